package web

import (
	"net/url"
	"strconv"
	"time"

	"sekisho/authz"
	"sekisho/policy"
)

// A Next is what the reader of a refusal can do now.
type Next struct {
	authz.Next
	URL string // where, on this gate; "" where it is done elsewhere
}

// PermitPath is where permits are asked for. A refusal that one would lift leads
// there once it is mounted, and says whom to ask either way.
const PermitPath = "/permits/new"

// Refused is what a verdict becomes for who met it: what is missing, the
// articles, and the next step. back is the address at the application that was
// wanted, "" for none.
func (s *Server) Refused(p *policy.Policy, app policy.Application, v authz.Verdict, back string) error {
	return &Refusal{Problem{
		Code: CodeForbidden, Title: notOpened, Detail: v.Says, Articles: v.Articles,
		Next: Next{v.Next(p, app), s.NextURL(app, v, back)},
	}}
}

var notOpened = policy.Words{JA: "このシステムは開けません", EN: "This application does not open"}

// NextURL is where the next step after a verdict is taken on this gate; "" where
// it is taken elsewhere, or by somebody else.
func (s *Server) NextURL(app policy.Application, v authz.Verdict, back string) string {
	switch {
	case v.Reason == authz.Synced:
		return "/me"
	case s.PermitURL(v.Ask, app.ID) != "":
		return s.PermitURL(v.Ask, app.ID)
	case v.StepUp != "":
		return signInURL(v.StepUp, v.Fresh, back)
	}
	return ""
}

func signInURL(acr policy.ACR, fresh time.Duration, back string) string {
	q := url.Values{}
	if acr != "" {
		q.Set("acr", string(acr))
	}
	if fresh > 0 {
		q.Set("max_age", strconv.Itoa(int(fresh/time.Second)))
	}
	if back != "" {
		q.Set("rd", back)
	}
	if len(q) == 0 {
		return "/signin"
	}
	return "/signin?" + q.Encode()
}

// nextOf is the next step after a problem whose own room has named none.
func nextOf(p Problem) Next {
	switch p.Code {
	case CodeNoSession:
		return Next{authz.Verdict{Reason: authz.NoSession}.Next(nil, policy.Application{}), "/signin"}
	case CodeStepUp:
		acr, _ := p.Extra["required_acr"].(string)
		age, _ := p.Extra["max_age"].(int64)
		return Next{authz.Next{Move: authz.SignInStronger, Says: policy.Words{
			JA: "もう一度サインインすると、続けられます。", EN: "Sign in once more, and you can go on."}},
			signInURL(policy.ACR(acr), time.Duration(age)*time.Second, "")}
	case CodeForbidden:
		return Next{Next: authz.Next{Move: authz.AskManager, Says: policy.Words{
			JA: "必要な場合は、所属の情報セキュリティ管理者に相談してください。",
			EN: "If you need it, ask the security manager of your section."}}}
	}
	return Next{}
}
