package web

import (
	"errors"

	"sekisho/authz/project"
)

// ofProject says what the errors mean of projects. Whoever gets them has signed in.
func ofProject(err error) (Problem, bool) {
	var no *project.Refusal
	switch {
	case errors.As(err, &no) && no.Is == project.Invalid:
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no) && no.Is == project.Conflict:
		return Problem{Code: CodeState, Detail: no.Says, Articles: no.Articles}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	case errors.Is(err, project.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}
