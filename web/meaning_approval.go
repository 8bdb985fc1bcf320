package web

import (
	"errors"
	"time"

	"sekisho/authz/approval"
	"sekisho/authz/people"
	"sekisho/policy"
)

// ofApproval says what the errors mean of asking and deciding.
func ofApproval(err error) (Problem, bool) {
	var (
		refused *approval.Refused
		step    *approval.StepUp
		bad     *approval.Invalid
		waiting *people.Waiting
	)
	switch {
	case errors.As(err, &step):
		return Problem{Code: CodeStepUp, Detail: step.Verdict.Says, Articles: step.Verdict.Articles, Extra: map[string]any{
			"required_acr": string(step.Required), "max_age": int64(step.MaxAge / time.Second)}}, true
	case errors.As(err, &refused) && refused.Verdict.Reason == approval.Over:
		return Problem{Code: CodeState, Detail: refused.Verdict.Says, Articles: refused.Verdict.Articles}, true
	case errors.As(err, &refused):
		return Problem{Code: CodeForbidden, Detail: refused.Verdict.Says, Articles: refused.Verdict.Articles}, true
	case errors.As(err, &bad):
		return Problem{Code: CodeInvalid, Errors: []FieldError{{bad.Field, bad.Rule, bad.Says}}}, true
	case errors.As(err, &waiting):
		return Problem{Code: CodeState, Detail: waiting.Says(), Articles: waiting.Articles, Extra: map[string]any{
			"request": waiting.Matter, "lapses_at": waiting.LapsesAt.Format(time.RFC3339)}}, true
	case errors.Is(err, approval.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	case errors.Is(err, approval.ErrNotApproved):
		return Problem{Code: CodeState, Detail: policy.Words{
			JA: "承認がないか、もう使われています。", EN: "There is no approval, or it was used already."}}, true
	}
	return Problem{}, false
}
