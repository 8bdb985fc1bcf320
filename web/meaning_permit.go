package web

import (
	"errors"
	"net/url"
	"slices"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/permit"
	"sekisho/policy"
)

// ofPermit says what the errors mean of permits, and of the way in that they open.
func ofPermit(err error) (Problem, bool) {
	var (
		no  *permit.Refused
		bad *permit.Invalid
		way *signin.NoPassage
	)
	switch {
	case errors.As(err, &way):
		v := authz.Verdict{Reason: authz.Reason(way.Reason), Ask: authz.PermitKind(way.Ask)}
		p := Problem{Code: CodeForbidden, Detail: way.Says, Articles: way.Articles, Next: Next{Next: v.Next(&policy.Policy{}, policy.Application{})}}
		if v.Reason == authz.ProjectOver { // who has another ID signs in with that
			p.Title, p.Next.URL = policy.Words{JA: "このIDの案件は終わりました", EN: "The project of this ID is over"}, "/signin"
		}
		return p, true
	case errors.As(err, &bad):
		p := Problem{Code: CodeInvalid, Articles: bad.Articles}
		for _, f := range bad.Faults {
			p.Errors = append(p.Errors, FieldError{f.Field, f.Rule, f.Says})
		}
		return p, true
	case errors.As(err, &no):
		p := Problem{Code: CodeForbidden, Detail: no.Says, Articles: no.Articles}
		if no.Conflict() {
			p.Code = CodeState
		}
		if no.Reason == permit.OtherRequest {
			p.Code = CodeIdempotency
		}
		return p, true
	case errors.Is(err, permit.ErrNotFound):
		return Problem{Code: CodeNotFound}, true
	}
	return Problem{}, false
}

// PermitURL leads to the form that asks for a permit, where it is mounted; app may be "".
func (s *Server) PermitURL(kind authz.PermitKind, app string) string {
	if kind == "" || !slices.Contains(s.routes, "GET "+PermitPath) {
		return ""
	}
	q := url.Values{"kind": {string(kind)}}
	if app != "" {
		q.Set("application", app)
	}
	return PermitPath + "?" + q.Encode()
}
