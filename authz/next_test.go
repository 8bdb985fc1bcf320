package authz

import (
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestNext: whoever is refused is told what to do, in both languages; whoever is
// let through is told nothing.
func TestNext(t *testing.T) {
	p := policy.Standard()
	app := policy.Application{ID: "juki", Zone: policy.MyNumber}
	for _, tt := range []struct {
		verdict Verdict
		want    Move
	}{
		{Verdict{Reason: Allowed}, ""},
		{Verdict{}, AskAdministrator},
		{Verdict{Reason: "never_heard_of"}, AskAdministrator},
		{Verdict{Reason: NoSession}, SignIn},
		{Verdict{Reason: TooWeak, StepUp: policy.AAL2}, SignInStronger},
		{Verdict{Reason: TooWeak, StepUp: policy.PHR}, SignInStronger},
		{Verdict{Reason: Stale}, SignInAgain},
		{Verdict{Reason: Synced}, SignInOtherwise},
		{Verdict{Reason: Closed}, AskAdministrator},
		{NobodysOwn(), SignIn},
		{OtherEnvironment(policy.Development), SignInAsOther},
		{OtherEnvironment(policy.Production), SignInAsOther},
		{projectOver(), AskAdministrator},
		{Verdict{Reason: NotYours}, AskManager},
		{Verdict{Reason: Unknown}, AskAdministrator},
		{Verdict{Reason: WrongZones}, ChangeNetwork},
		{Verdict{Reason: Walled}, ChangeNetwork},
		{Verdict{Reason: NoCrossing}, AskPermit},
		{Verdict{Reason: NoRemote}, AskPermit},
		{Verdict{Reason: Unreadable}, StartOver},
	} {
		n := tt.verdict.Next(p, app)
		if n.Move != tt.want || n.Says.JA == "" != (tt.want == "") || n.Says.EN == "" != (tt.want == "") {
			t.Errorf("after %q: %+v, want %q", tt.verdict.Reason, n, tt.want)
		}
	}
	for _, why := range []Reason{NotStated, UnknownAct, NoPost, ReadsOnly, OwnAccount, TwoPersons, "never_heard_of"} {
		if n := (Permission{Reason: why}).Next(); n.Move == "" || n.Says.JA == "" || n.Says.EN == "" {
			t.Errorf("after %q: %+v", why, n)
		}
	}
	if n := (Permission{Reason: Allowed}).Next(); n != (Next{}) {
		t.Errorf("who may is told %+v", n)
	}
}

// TestSurveyAlsoClients: a program that belongs to no application is one; a
// service has nobody who could open it; a stricter path is asked for by itself.
func TestSurveyAlsoClients(t *testing.T) {
	p := policy.Standard()
	p.Applications = []policy.Application{{
		ID: "kyuyo", Zone: policy.LGWAN, Class: 2, Paths: []policy.PathRule{{Path: "/pay", ACR: policy.PHR}},
	}}
	back := []string{"https://a.example/cb"}
	p.Clients = []policy.Client{
		{ID: "kyuyo-web", Application: "kyuyo", RedirectURIs: back},
		{ID: "chizu", Zone: policy.LGWAN, Class: 3, RedirectURIs: back},
		{ID: "batch", Zone: policy.LGWAN, Class: 3, Service: policy.Service{Owner: "sato"}},
	}
	got := Survey(p, Facts{SignedIn: true, Person: directory.Person{ID: "1"}, ACR: policy.AAL2, AuthAt: now, SessionEnds: now.Add(time.Hour), From: policy.LGWAN, Now: now})
	if len(got) != 2 || got[0].Application.ID != "kyuyo" || got[1].Client.ID != "chizu" || got[1].Application.ID != "chizu" || got[0].Client.ID != "" {
		t.Fatalf("%+v", got)
	}
	if !got[0].Verdict.Allowed(now) || len(got[0].Paths) != 1 || got[0].Paths[0].Verdict.Reason != TooWeak || got[0].Paths[0].Verdict.StepUp != policy.PHR {
		t.Errorf("%+v", got[0])
	}
}
