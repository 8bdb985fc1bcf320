package web

import (
	"errors"

	"sekisho/authz/report"
	"sekisho/policy"
)

// ofReport says what the errors mean of reports.
func ofReport(err error) (Problem, bool) {
	var no *report.Refusal
	switch {
	case errors.As(err, &no) && no.Field != "":
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, no.Reason, no.Says}}}, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	case errors.Is(err, report.ErrNotKept):
		return Problem{Code: CodeNotFound, Detail: policy.Words{
			JA: "この報告はありません。保存の期間が過ぎたか、あなたの役割では見られないものです。",
			EN: "There is no such report: its time is over, or your post does not include it.",
		}}, true
	}
	return Problem{}, false
}
