package web

import (
	"errors"
	"time"

	"sekisho/authz"
	"sekisho/authz/grant"
	"sekisho/policy"
)

// ofDesk says what the errors mean of lending. Whoever gets them has signed in, so
// they say which rule it was.
func ofDesk(err error) (Problem, bool) {
	var no *grant.Refusal
	switch {
	case errors.As(err, &no):
		return ofLending(no), true
	case errors.Is(err, grant.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}

// otherID is the next step of somebody whose ID is of the other environment, or whose
// project is over; the zero Next for another reason.
func otherID(reason string) Next {
	switch why := authz.Reason(reason); why {
	case authz.WrongEnvironment, authz.ProjectOver:
		return Next{Next: authz.Verdict{Reason: why}.Next(nil, policy.Application{})}
	}
	return Next{}
}

func ofLending(no *grant.Refusal) Problem {
	p := Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}
	switch no.Is {
	case grant.Conflict:
		p.Code = CodeState
		if no.Reason == grant.OtherRequest {
			p.Code = CodeIdempotency
		}
	case grant.Invalid:
		return Problem{Code: CodeInvalid, Articles: no.Articles, Errors: []FieldError{{no.Field, string(no.Reason), no.Says}}}
	case grant.Forbidden:
		p.Next = otherID(string(no.Reason))
	case grant.Away:
		return Problem{Code: CodeAway, Detail: no.Says, RetryAfter: 5 * time.Second, Extra: map[string]any{"away": []string{"directory"}}}
	}
	return p
}
