package web

import (
	"testing"

	"sekisho/authz"
	"sekisho/authz/grant"
	"sekisho/authz/shared"
	"sekisho/policy"
)

// TestOtherID: who is lent or shared nothing because of their ID is told which ID would
// help, and not to ask for rights that it would not have (article 68-2).
func TestOtherID(t *testing.T) {
	says := policy.Words{JA: "これは", EN: "This"}
	for _, tt := range []struct {
		err  error
		want authz.Move
	}{
		{&grant.Refusal{Reason: grant.Reason(authz.WrongEnvironment), Is: grant.Forbidden, Says: says}, authz.SignInAsOther},
		{&grant.Refusal{Reason: grant.Reason(authz.ProjectOver), Is: grant.Forbidden, Says: says}, authz.AskAdministrator},
		{&grant.Refusal{Reason: grant.NotEligible, Is: grant.Forbidden, Says: says}, ""},
		{&shared.Refusal{Reason: string(authz.WrongEnvironment), Is: shared.Forbidden, Says: says}, authz.SignInAsOther},
		{&shared.Refusal{Reason: "not_eligible", Is: shared.Forbidden, Says: says}, ""},
	} {
		p := ProblemOf(tt.err)
		if p.Code != CodeForbidden || p.Detail != says || p.Next.Move != tt.want && (tt.want != "" || p.Next.Move == authz.SignInAsOther) {
			t.Errorf("%v: %+v, want the move %q", tt.err, p, tt.want)
		}
	}
}
