package authz

import (
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// locks is the prefecture of the tests with two custodians and an application that
// is excepted.
func locks() *policy.Policy {
	p := prefecture()
	p.LockDown = policy.LockDownRules{Custodians: []string{"Sasaki", "matsumoto"}, Applications: []string{"bosai"}}
	return p
}

func order(scope Scope, target string) LockDown {
	return LockDown{ID: "l1", Scope: scope, Target: target, Person: "1", OrderedAt: now, EndsAt: now.Add(time.Hour)}
}

func TestLockDownLive(t *testing.T) {
	own := order(LockAll, "")
	delegated := own
	delegated.RatifyBy = now.Add(10 * time.Minute)
	ratified := delegated
	ratified.RatifiedAt = now.Add(time.Minute)
	lifted := own
	lifted.LiftedAt = now.Add(time.Minute)
	long := delegated
	long.RatifyBy = now.Add(2 * time.Hour)
	for _, tt := range []struct {
		name string
		l    LockDown
		at   time.Duration
		want bool
	}{
		{"none", LockDown{}, 0, false},
		{"the CIO's, at once", own, 0, true},
		{"until the instant before its end", own, time.Hour - 1, true},
		{"not at its end", own, time.Hour, false},
		{"lifted", lifted, time.Minute, false},
		{"under delegation, in time", delegated, 10*time.Minute - 1, true},
		{"under delegation, not ratified", delegated, 10 * time.Minute, false},
		{"ratified", ratified, 10 * time.Minute, true},
		{"ratified, at its end", ratified, time.Hour, false},
		{"not ratified, but its own end is sooner", long, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.l.Live(now.Add(tt.at)); got != tt.want {
				t.Errorf("Live = %t", got)
			}
		})
	}
}

func TestLockDownHits(t *testing.T) {
	var (
		tanaka    = Subject{Person: directory.Person{ID: "1", Login: "tanaka", Section: "jinji"}, From: policy.LGWAN}
		hayashi   = Subject{Person: directory.Person{ID: "2", Login: "hayashi", Company: "例電算　株式会社"}, From: policy.LGWAN, Terminal: "t1"}
		cio       = Subject{Person: directory.Person{ID: "1", Login: "yoshida", Section: "jinji"}, Posts: []policy.PostID{policy.CIO}, From: policy.LGWAN, Terminal: "t1"}
		custodian = Subject{Person: directory.Person{ID: "4", Login: "SASAKI"}, From: policy.LGWAN}
		away      = tanaka
		nowhere   = tanaka
	)
	away.Outside, away.From = true, policy.Internet
	nowhere.From = ""
	for _, tt := range []struct {
		name  string
		scope Scope
		aim   string
		s     Subject
		want  bool
	}{
		{"the person", LockPerson, "tanaka", tanaka, true},
		{"another person", LockPerson, "tanaka", hayashi, false},
		{"nobody known", LockPerson, "tanaka", Subject{}, false},
		{"the CIO, aimed at", LockPerson, "yoshida", cio, true},
		{"the terminal", LockTerminal, "t1", hayashi, true},
		{"the terminal, with the CIO at it", LockTerminal, "t1", cio, true},
		{"no terminal that spoke", LockTerminal, "t1", tanaka, false},
		{"the section", LockSection, "jinji", tanaka, true},
		{"the 部局 above it", LockSection, "soumu", tanaka, true},
		{"another section", LockSection, "zaisei", tanaka, false},
		{"the section, with the CIO in it", LockSection, "jinji", cio, false},
		{"the company, however it is spaced", LockCompany, "例電算 株式会社", hayashi, true},
		{"another company", LockCompany, "例通信", hayashi, false},
		{"staff have no company", LockCompany, "例通信", tanaka, false},
		{"the zone", LockZone, "lgwan", tanaka, true},
		{"another zone", LockZone, "mynumber", tanaka, false},
		{"the zone, a custodian", LockZone, "lgwan", custodian, false},
		{"from outside", LockRemote, "", away, true},
		{"from no network of ours", LockRemote, "", nowhere, true},
		{"from inside", LockRemote, "", tanaka, false},
		{"everything", LockAll, "", tanaka, true},
		{"everything, whoever it is", LockAll, "", Subject{}, true},
		{"everything but the CIO", LockAll, "", cio, false},
		{"everything but a custodian", LockAll, "", custodian, false},
		{"an application shuts nobody out", LockApplication, "bunsho", tanaka, false},
		{"a scope of a newer version", "continent", "", tanaka, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := order(tt.scope, tt.aim)
			if got := l.Hits(locks(), tt.s); got != tt.want {
				t.Errorf("Hits = %t", got)
			}
			_, shut := ShutOut(locks(), []LockDown{l}, tt.s, now)
			if _, over := ShutOut(locks(), []LockDown{l}, tt.s, now.Add(time.Hour)); shut != tt.want || over {
				t.Errorf("ShutOut = %t, and %t when it is over", shut, over)
			}
		})
	}
}

func TestDecideUnderLockDown(t *testing.T) {
	var (
		bunsho = policy.Application{ID: "bunsho", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1}
		bosai  = policy.Application{ID: "bosai", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1}
		tanaka = Facts{SignedIn: true, Person: directory.Person{ID: "1", Login: "tanaka", Section: "jinji"}, ACR: policy.AAL2, From: policy.LGWAN, Terminal: "t1"}
		cio    = tanaka
		nobody = Facts{From: policy.LGWAN}
	)
	cio.Posts = []policy.PostID{policy.CIO}
	for _, tt := range []struct {
		name string
		l    LockDown
		f    Facts
		app  policy.Application
		want Reason
	}{
		{"none", LockDown{}, tanaka, bunsho, Allowed},
		{"everything", order(LockAll, ""), tanaka, bunsho, LockedDown},
		{"everything, the CIO", order(LockAll, ""), cio, bunsho, Allowed},
		{"everything, nobody signed in: it may be the CIO", order(LockAll, ""), nobody, bunsho, NoSession},
		{"everything but what was excepted", order(LockAll, ""), tanaka, bosai, Allowed},
		{"what was excepted, aimed at", order(LockApplication, "bosai"), tanaka, bosai, LockedDown},
		{"what was excepted, by a person who is aimed at", order(LockPerson, "tanaka"), tanaka, bosai, LockedDown},
		{"what was excepted, from a terminal that is aimed at", order(LockTerminal, "t1"), tanaka, bosai, LockedDown},
		{"the application", order(LockApplication, "bunsho"), tanaka, bunsho, LockedDown},
		{"the application, for the CIO too", order(LockApplication, "bunsho"), cio, bunsho, LockedDown},
		{"the application, before anybody signs in for nothing", order(LockApplication, "bunsho"), nobody, bunsho, LockedDown},
		{"another application", order(LockApplication, "zaimu"), tanaka, bunsho, Allowed},
		{"the application's zone", order(LockZone, "lgwan"), tanaka, bunsho, LockedDown},
		{"another zone", order(LockZone, "mynumber"), tanaka, bunsho, Allowed},
		{"the section", order(LockSection, "soumu"), tanaka, bunsho, LockedDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.f.Application, tt.f.Now, tt.f.SessionEnds, tt.f.LockDowns = tt.app, now, now.Add(time.Hour), []LockDown{tt.l}
			v := Decide(locks(), tt.f)
			if v.Reason != tt.want || v.Allowed(now) != (tt.want == Allowed) {
				t.Errorf("Decide = %q", v.Reason)
			}
			if tt.want == LockedDown && (!slices.Contains(v.Articles, "75-2") || v.Says.JA == "" || v.Says.EN == "" || v.Next(locks(), tt.app).Move == "" || v.StepUp != "") {
				t.Errorf("a refusal without its article, words or next step: %+v", v)
			}
		})
	}
}
