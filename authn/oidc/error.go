package oidc

import (
	"net/http"

	"sekisho/policy"
)

// An Error is a refusal in the words of OAuth 2.0: its Code is RFC 6749's or
// that of the specification which added it, its Description ASCII (section
// 4.1.2.1), and neither says anything of a person.
type Error struct {
	Code        string
	Description string
	Status      int          // at endpoints that answer in JSON
	Says        policy.Words // for a person, where it is shown on a page of ours
	Articles    []policy.Article
	// Basic: the client tried HTTP authentication, which the answer must name
	// (RFC 6749 section 5.2).
	Basic bool
}

func (e *Error) Error() string { return e.Code + ": " + e.Description }

func invalid(description string) *Error {
	return &Error{Code: "invalid_request", Description: description, Status: http.StatusBadRequest}
}

func invalidGrant(description string) *Error {
	return &Error{Code: "invalid_grant", Description: description, Status: http.StatusBadRequest}
}

func refusal(code, description string) *Error {
	return &Error{Code: code, Description: description, Status: http.StatusBadRequest}
}

// invalidToken is RFC 6750 section 3.1.
func invalidToken(description string) *Error {
	return &Error{Code: "invalid_token", Description: description, Status: http.StatusUnauthorized}
}
