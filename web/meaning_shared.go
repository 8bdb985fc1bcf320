package web

import (
	"errors"
	"time"

	"sekisho/authz/shared"
)

// ofShared says what the errors mean of shared IDs. Whoever gets them has signed in.
func ofShared(err error) (Problem, bool) {
	var no *shared.Refusal
	switch {
	case errors.As(err, &no) && no.Is == shared.Invalid:
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no) && no.Is == shared.Conflict:
		return Problem{Code: CodeState, Detail: no.Says, Articles: no.Articles}, true
	case errors.As(err, &no) && no.Is == shared.Away:
		return Problem{Code: CodeAway, Detail: no.Says, RetryAfter: 5 * time.Second, Extra: map[string]any{"away": []string{"directory"}}}, true
	case errors.As(err, &no) && no.Reason == "unknown":
		return Problem{Code: CodeNotFound, Detail: no.Says}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles, Next: otherID(no.Reason)}, true
	case errors.Is(err, shared.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}
