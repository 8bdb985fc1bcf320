package web

import (
	"errors"

	"sekisho/authz/recertify"
)

// ofRecertify says what the errors mean of a recertification. Whoever gets them has signed
// in.
func ofRecertify(err error) (Problem, bool) {
	var no *recertify.Refusal
	switch {
	case errors.As(err, &no) && no.Is == recertify.Invalid:
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no) && no.Is == recertify.Conflict:
		return Problem{Code: CodeState, Detail: no.Says, Articles: no.Articles}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	case errors.Is(err, recertify.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}
