package authz

import (
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestTies: an ID is good while a project that it is tied to runs, and at what belongs to
// that project's environment alone (articles 67-2(1), 68-2). Neither needs a job to have run.
func TestTies(t *testing.T) {
	var (
		p       = prefecture()
		someone = directory.Person{ID: "1"}
		ends    = now.Add(time.Hour)
		soon    = now.Add(time.Minute)
		app     = func(e policy.Environment) policy.Application {
			return policy.Application{ID: "mail", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1, Environment: e}
		}
		tie = func(e policy.Environment, until time.Time) Tie {
			return Tie{Project: "p", Environment: e, Until: until}
		}
	)
	for _, tt := range []struct {
		name  string
		ties  []Tie
		of    policy.Environment // of the application
		want  Reason
		until time.Time
		enter Reason
	}{
		{"tied to nothing, production", nil, "", Allowed, ends, Allowed},
		{"tied to nothing, development", nil, policy.Development, WrongEnvironment, time.Time{}, Allowed},
		{"tied to nothing, either", nil, policy.EitherEnvironment, Allowed, ends, Allowed},
		{"development at development", []Tie{tie(policy.Development, ends)}, policy.Development, Allowed, ends, Allowed},
		{"development at production", []Tie{tie(policy.Development, ends)}, policy.Production, WrongEnvironment, time.Time{}, Allowed},
		{"development at what says nothing", []Tie{tie(policy.Development, ends)}, "", WrongEnvironment, time.Time{}, Allowed},
		{"development at either", []Tie{tie(policy.Development, ends)}, policy.EitherEnvironment, Allowed, ends, Allowed},
		{"maintenance of production", []Tie{tie(policy.Production, ends)}, "", Allowed, ends, Allowed},
		{"a project that says no environment is of production", []Tie{tie("", ends)}, "", Allowed, ends, Allowed},
		{"nothing lets through beyond the project's end", []Tie{tie(policy.Production, soon)}, "", Allowed, soon, Allowed},
		{"the last of several ends it", []Tie{tie(policy.Production, soon), tie(policy.Production, ends.Add(-time.Second))}, "", Allowed, ends.Add(-time.Second), Allowed},
		{"over this instant", []Tie{tie(policy.Production, now)}, "", ProjectOver, time.Time{}, ProjectOver},
		{"one over, one not", []Tie{tie(policy.Production, now), tie(policy.Production, soon)}, "", Allowed, soon, Allowed},
		{"one over gives no environment", []Tie{tie(policy.Development, now), tie(policy.Production, soon)}, policy.Development, WrongEnvironment, time.Time{}, Allowed},
		{"all over, nothing falls back to production", []Tie{tie(policy.Development, now)}, "", ProjectOver, time.Time{}, ProjectOver},
		{"of both environments, good for nothing", []Tie{tie(policy.Development, soon), tie(policy.Production, soon)}, policy.EitherEnvironment, ProjectOver, time.Time{}, ProjectOver},
		{"the zero tie is over", []Tie{{}}, "", ProjectOver, time.Time{}, ProjectOver},
		{"an environment that is not known", []Tie{tie("staging", soon)}, policy.EitherEnvironment, WrongEnvironment, time.Time{}, Allowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts{SignedIn: true, Person: someone, ACR: policy.AAL2, SessionEnds: ends, Application: app(tt.of), From: policy.LGWAN, Ties: tt.ties, Now: now}
			v := Decide(p, f)
			if v.Reason != tt.want || v.Allowed(now) != (tt.want == Allowed) || !v.Until.Equal(tt.until) {
				t.Errorf("Decide: %q until %v, want %q until %v", v.Reason, v.Until, tt.want, tt.until)
			}
			if want := map[Reason]policy.Article{ProjectOver: "67-2(1)", WrongEnvironment: "68-2"}[tt.want]; want != "" && (!slices.Contains(v.Articles, want) || v.Says.JA == "" || v.Says.EN == "") {
				t.Errorf("Decide serves %v and says %q, want %s and words", v.Articles, v.Says, want)
			}
			if v := Enter(p, f); v.Reason != tt.enter || v.Allowed(now) != (tt.enter == Allowed) {
				t.Errorf("Enter: %q, want %q", v.Reason, tt.enter)
			}
		})
	}
}

// TestEnterEndsWithTheProject: what lets somebody in lets nobody in beyond the project, and
// a session without an end is none, tied or not.
func TestEnterEndsWithTheProject(t *testing.T) {
	f := Facts{
		SignedIn: true, Person: directory.Person{ID: "1"}, ACR: policy.AAL2, SessionEnds: now.Add(time.Hour), From: policy.LGWAN, Now: now,
		Ties: []Tie{{Project: "p", Until: now.Add(time.Minute)}},
	}
	if v := Enter(prefecture(), f); !v.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("until %v, want the project's end", v.Until)
	}
	f.SessionEnds = time.Time{}
	if v := Enter(prefecture(), f); v.Allowed(now) {
		t.Error("a session without an end was let in by its project's")
	}
}

// TestTiedRefuses: the same beside the applications, where something is lent or shared. Of
// whom nobody has asked, the ID is good for nothing.
func TestTiedRefuses(t *testing.T) {
	tie := func(e policy.Environment, until time.Time) Tie { return Tie{Environment: e, Until: until} }
	soon := now.Add(time.Minute)
	for _, tt := range []struct {
		name string
		of   Tied
		at   policy.Environment
		want Reason
	}{
		{"nobody asked", Tied{}, policy.EitherEnvironment, ProjectOver},
		{"tied to nothing, at production", TiedBy(nil, now), "", ""},
		{"tied to nothing, at development", TiedBy(nil, now), policy.Development, WrongEnvironment},
		{"untied", Untied, policy.Production, ""},
		{"development at its own", TiedBy([]Tie{tie(policy.Development, soon)}, now), policy.Development, ""},
		{"development at production", TiedBy([]Tie{tie(policy.Development, soon)}, now), "", WrongEnvironment},
		{"development at either", TiedBy([]Tie{tie(policy.Development, soon)}, now), policy.EitherEnvironment, ""},
		{"all over", TiedBy([]Tie{tie(policy.Development, now)}, now), policy.EitherEnvironment, ProjectOver},
		{"over since it was asked", Tied{Of: policy.Production, Until: now}, policy.Production, ProjectOver},
		{"of both", TiedBy([]Tie{tie(policy.Development, soon), tie("", soon)}, now), policy.EitherEnvironment, ProjectOver},
		{"what is not known", Tied{Of: "staging"}, policy.EitherEnvironment, WrongEnvironment},
	} {
		v, refused := tt.of.Refuses(tt.at, now)
		if v.Reason != tt.want || refused != (tt.want != "") || v.Allowed(now) || refused && (v.Says.JA == "" || len(v.Articles) == 0) {
			t.Errorf("%s: %q %v, want %q", tt.name, v.Reason, refused, tt.want)
		}
	}
	if got := TiedBy([]Tie{tie("", soon), tie("", soon.Add(1))}, now); got != (Tied{policy.Production, soon.Add(1)}) {
		t.Errorf("tied as %+v", got)
	}
}
