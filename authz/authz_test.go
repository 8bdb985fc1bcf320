package authz

import (
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

var now = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func prefecture() *policy.Policy {
	p := policy.Standard()
	p.Zones = []policy.Zone{
		{ID: policy.MyNumber, SignInACR: policy.AAL2, IdleEnd: time.Hour, AbsoluteEnd: time.Hour},
		{ID: policy.LGWAN, SignInACR: policy.AAL1, IdleEnd: time.Hour, AbsoluteEnd: time.Hour},
	}
	p.Sections = []policy.Section{{ID: "soumu"}, {ID: "jinji", Parent: "soumu"}, {ID: "zaisei"}}
	return p
}

func TestDecide(t *testing.T) {
	var (
		someone = directory.Person{ID: "1", Section: "jinji"}
		left    = directory.Person{ID: "1", Account: directory.Account{Disabled: true}}
		ended   = directory.Person{ID: "1", Account: directory.Account{ExpiresAt: now}}
		mail    = policy.Application{ID: "mail", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1}
		juki    = policy.Application{ID: "juki", Zone: policy.MyNumber, Class: 1}
		ends    = now.Add(time.Hour)
	)
	with := func(a policy.Application, change func(*policy.Application)) policy.Application {
		change(&a)
		return a
	}
	for _, tt := range []struct {
		name    string
		facts   Facts
		want    Reason
		stepUp  policy.ACR
		article policy.Article
	}{
		{"an application that names nobody is everybody's", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: mail}, Allowed, "", "62-1"},
		{"nobody signed in", Facts{Application: juki}, NoSession, policy.AAL2, "62-2"},
		{"no such application", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2}, Unknown, "", "62-1"},
		{"another gateway's zone", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Zone = policy.Internet })}, WrongZones, "", "26no4-1"},
		{"one factor where two are asked", Facts{SignedIn: true, Person: someone, ACR: policy.AAL1, Application: juki}, TooWeak, policy.AAL2, "26no3-1"},
		{"two factors", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: juki}, Allowed, "", "62-2"},
		{"an unheard-of assurance", Facts{SignedIn: true, Person: someone, ACR: "super", Application: juki}, TooWeak, policy.AAL2, "26no3-1"},
		{"a key that stays on its device", Facts{SignedIn: true, Person: someone, ACR: policy.PHR, AMR: []string{"hwk", "mfa"}, Application: juki}, Allowed, "", "62-2"},
		{"a key that is copied, in the mynumber zone", Facts{SignedIn: true, Person: someone, ACR: policy.PHR, AMR: []string{"swk", "mfa"}, Application: juki}, Synced, "", "26no3-1"},
		{"a key that is copied, elsewhere", Facts{SignedIn: true, Person: someone, ACR: policy.PHR, AMR: []string{"swk", "mfa"}, Application: mail}, Allowed, "", "62-1"},
		{"a person who left", Facts{SignedIn: true, Person: left, ACR: policy.AAL2, Application: mail}, Closed, "", "62-1"},
		{"a contract that ends this instant", Facts{SignedIn: true, Person: ended, ACR: policy.AAL2, Application: mail}, Closed, "", "62-1"},
		{"an ID that several use", Facts{SignedIn: true, Person: directory.Person{ID: "madoguchi", Kind: directory.KindShared}, ACR: policy.AAL2, Application: mail}, SharedID, "", "46-1"},
		{"a person nobody knows", Facts{SignedIn: true, ACR: policy.AAL2, Application: mail}, Closed, "", "62-1"},
		{"another post's", Facts{SignedIn: true, Person: someone, Posts: []policy.PostID{policy.Staff}, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Posts = []policy.PostID{policy.Auditor} })}, NotYours, "", "47-2"},
		{"one of several posts suffices", Facts{SignedIn: true, Person: someone, Posts: []policy.PostID{policy.Staff, policy.Auditor}, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Posts = []policy.PostID{policy.Auditor} })}, Allowed, "", "62-1"},
		{"another section's", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Sections = []string{"zaisei"} })}, NotYours, "", "47-2"},
		{"the section's own", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Sections = []string{"jinji"} })}, Allowed, "", "62-1"},
		{"the 部局 above it", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Sections = []string{"soumu"} })}, Allowed, "", "62-1"},
		{"another group's", Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Groups = []string{"cn=a,dc=pref"} })}, NotYours, "", "47-2"},
		{"the group's own", Facts{SignedIn: true, Person: directory.Person{ID: "1", Groups: []string{"CN=a, dc=pref"}}, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Groups = []string{"cn=a,dc=pref"} })}, Allowed, "", "62-1"},
		{"a person of no section", Facts{SignedIn: true, Person: directory.Person{ID: "2"}, ACR: policy.AAL2, Application: with(mail, func(a *policy.Application) { a.Sections = []string{"soumu"} })}, NotYours, "", "47-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.facts.Now, tt.facts.SessionEnds = now, ends
			tt.facts.From = tt.facts.Application.Zone // nothing is crossed
			v := Decide(prefecture(), tt.facts)
			if v.Reason != tt.want || v.StepUp != tt.stepUp || v.Allowed(now) != (tt.want == Allowed) {
				t.Errorf("Decide = %q, step up %q, allowed %t; want %q, %q", v.Reason, v.StepUp, v.Allowed(now), tt.want, tt.stepUp)
			}
			if !slices.Contains(v.Articles, tt.article) {
				t.Errorf("articles %v do not name %s", v.Articles, tt.article)
			}
			if tt.want != Allowed && (v.Says.JA == "" || v.Says.EN == "") {
				t.Error("a refusal without words")
			}
		})
	}
}

func TestZeroVerdictDenies(t *testing.T) {
	if (Verdict{}).Allowed(now) {
		t.Error("the zero verdict allows")
	}
}

func TestVerdictEnds(t *testing.T) {
	v := Verdict{allowed: true, Until: now.Add(time.Minute)}
	if !v.Allowed(now.Add(time.Minute - 1)) {
		t.Error("refused before its end")
	}
	if v.Allowed(now.Add(time.Minute)) {
		t.Error("allowed at its end")
	}
}
