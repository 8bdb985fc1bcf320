package web

import (
	"errors"

	"sekisho/authz/sealed"
)

// ofSealed says what the errors mean of the register of emergency IDs. Whoever gets
// them has signed in and, but for the first, holds a post.
func ofSealed(err error) (Problem, bool) {
	var no *sealed.Refusal
	switch {
	case errors.As(err, &no) && no.Field != "":
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no) && no.Conflict:
		return Problem{Code: CodeState, Detail: no.Says, Articles: no.Articles}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	case errors.Is(err, sealed.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}
