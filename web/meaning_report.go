package web

import (
	"errors"

	"sekisho/authz/report"
)

// ofReport says what the errors mean of reports.
func ofReport(err error) (Problem, bool) {
	var no *report.Refusal
	switch {
	case errors.As(err, &no) && no.Field != "":
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	}
	return Problem{}, false
}
