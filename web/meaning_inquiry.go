package web

import (
	"errors"

	"sekisho/authz/inquiry"
	"sekisho/policy"
	"sekisho/policy/audit"
)

// ofInquiry says what the errors mean of looking through the trail.
func ofInquiry(err error) (Problem, bool) {
	var no *inquiry.Refusal
	switch {
	case errors.As(err, &no) && len(no.Faults) > 0:
		p := Problem{Code: CodeInvalid, Articles: no.Articles}
		for _, f := range no.Faults {
			p.Errors = append(p.Errors, FieldError{Field: f.Field, Rule: f.Rule, Detail: f.Says})
		}
		return p, true
	case errors.As(err, &no):
		return Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}, true
	case errors.Is(err, audit.ErrNoEntry):
		return Problem{Code: CodeNotFound, Detail: policy.Words{
			JA: "この番号の証跡はありません。記録されたばかりのものは、1秒ほどで封印されて番号が付きます。",
			EN: "The trail has no entry of this number. What has just been recorded is sealed, and gets its number, within about a second.",
		}}, true
	}
	return Problem{}, false
}
