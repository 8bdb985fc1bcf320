package authz

import (
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestDecideAcrossZones: what comes from another zone's network, or from
// outside, needs a permit that lives, of this very path or person (articles
// 26no2, 26no4 and 63).
func TestDecideAcrossZones(t *testing.T) {
	var (
		p       = policy.Standard() // model α
		tanaka  = directory.Person{ID: "1"}
		juki    = policy.Application{ID: "juki", Zone: policy.MyNumber, Class: 1}
		bunsho  = policy.Application{ID: "bunsho", Zone: policy.LGWAN, Class: 4}
		web     = policy.Application{ID: "web", Zone: policy.Internet, Class: 4}
		live    = now.Add(time.Minute)
		crossed = func(from policy.ZoneID, path string, until time.Time) []Permit {
			return []Permit{{Kind: ZoneCrossing, Applications: []string{"juki", "bunsho"}, From: from, Path: path, Until: until}}
		}
		remote = func(who directory.PersonID, until time.Time, apps ...string) []Permit {
			return []Permit{{Kind: RemoteAccess, Applications: apps, Person: who, Until: until}}
		}
	)
	for _, tt := range []struct {
		name    string
		app     policy.Application
		from    policy.ZoneID
		outside bool
		uri     string
		acr     policy.ACR // "" for nobody signed in
		permits []Permit
		want    Reason
		ask     PermitKind
		article policy.Article
	}{
		{"within the zone", juki, policy.MyNumber, false, "", policy.AAL2, nil, Allowed, "", "62-1"},
		{"from LGWAN into mynumber", juki, policy.LGWAN, false, "/x", policy.AAL2, nil, NoCrossing, ZoneCrossing, "26no2-2"},
		{"nobody signed in: signing in would not help", juki, policy.LGWAN, false, "/x", "", nil, NoCrossing, ZoneCrossing, "26no2-2"},
		{"with a permit of all paths", juki, policy.LGWAN, false, "/x", policy.AAL2, crossed(policy.LGWAN, "/", live), Allowed, "", "62-1"},
		{"with a permit of this path", juki, policy.LGWAN, false, "/x/y?z", policy.AAL2, crossed(policy.LGWAN, "/x", live), Allowed, "", "62-1"},
		{"with a permit of another path", juki, policy.LGWAN, false, "/xy", policy.AAL2, crossed(policy.LGWAN, "/x", live), NoCrossing, ZoneCrossing, "26no2-2"},
		{"with a permit of a path in other letters", juki, policy.LGWAN, false, "/X", policy.AAL2, crossed(policy.LGWAN, "/x", live), NoCrossing, ZoneCrossing, "26no2-2"},
		{"by a path that leads out of the permit's", juki, policy.LGWAN, false, "/x/../y", policy.AAL2, crossed(policy.LGWAN, "/x", live), Unreadable, "", "62-1"},
		{"by the same, escaped", juki, policy.LGWAN, false, "/x/%2e%2e/y", policy.AAL2, crossed(policy.LGWAN, "/x", live), Unreadable, "", "62-1"},
		{"the application as a whole, permitted in part", juki, policy.LGWAN, false, "", policy.AAL2, crossed(policy.LGWAN, "/x", live), NoCrossing, ZoneCrossing, "26no2-2"},
		{"with a permit that ends this instant", juki, policy.LGWAN, false, "/x", policy.AAL2, crossed(policy.LGWAN, "/", now), NoCrossing, ZoneCrossing, "26no2-2"},
		{"with a permit from another zone", juki, policy.LGWAN, false, "/x", policy.AAL2, crossed(policy.Internet, "/", live), NoCrossing, ZoneCrossing, "26no2-2"},
		{"with a permit of the other kind", juki, policy.LGWAN, false, "/x", policy.AAL2, remote("1", live, "juki"), NoCrossing, ZoneCrossing, "26no2-2"},
		{"a permit replaces no factor", juki, policy.LGWAN, false, "/x", policy.AAL1, crossed(policy.LGWAN, "/", live), TooWeak, "", "26no3-1"},
		{"a permit signs nobody in", juki, policy.LGWAN, false, "/x", "", crossed(policy.LGWAN, "/", live), NoSession, "", "62-2"},
		{"from the Internet zone into mynumber, whatever permit", juki, policy.Internet, false, "/x", policy.AAL2, crossed(policy.Internet, "/", live), Walled, "", "26no2-1"},
		{"from the Internet zone into LGWAN", bunsho, policy.Internet, false, "/x", policy.AAL2, nil, NoCrossing, ZoneCrossing, "26no4-1"},
		{"from mynumber into the Internet zone", web, policy.MyNumber, false, "/x", policy.AAL2, nil, Walled, "", "26no2-1"},

		{"from outside, nobody signed in", bunsho, policy.Internet, true, "/x", "", nil, NoSession, "", "62-2"},
		{"from outside with a password alone", bunsho, policy.Internet, true, "/x", policy.AAL1, remote("1", live, "bunsho"), TooWeak, "", "62-1"},
		{"from outside without a permit", bunsho, policy.Internet, true, "/x", policy.AAL2, nil, NoRemote, RemoteAccess, "63-1"},
		{"from outside with one", bunsho, policy.Internet, true, "/x", policy.AAL2, remote("1", live, "web", "bunsho"), Allowed, "", "62-1"},
		{"from outside with somebody else's", bunsho, policy.Internet, true, "/x", policy.AAL2, remote("2", live, "bunsho"), NoRemote, RemoteAccess, "63-1"},
		{"from outside with one of another application", bunsho, policy.Internet, true, "/x", policy.AAL2, remote("1", live, "web"), NoRemote, RemoteAccess, "63-1"},
		{"from outside with one that ended", bunsho, policy.Internet, true, "/x", policy.AAL2, remote("1", now, "bunsho"), NoRemote, RemoteAccess, "63-1"},
		{"a crossing is no way in from outside", bunsho, policy.Internet, true, "/x", policy.AAL2, crossed(policy.Internet, "/", live), NoRemote, RemoteAccess, "63-1"},
		{"from no network of ours", bunsho, "", true, "/x", policy.AAL2, nil, NoRemote, RemoteAccess, "63-1"},
		{"from outside into the Internet zone too", web, policy.Internet, true, "/x", policy.AAL2, nil, NoRemote, RemoteAccess, "63-1"},
		{"from outside into mynumber, whatever permit", juki, policy.Internet, true, "/x", policy.AAL2, remote("1", live, "juki"), Walled, "", "26no2-1"},
		{"from no network of ours into mynumber", juki, "", true, "/x", policy.AAL2, remote("1", live, "juki"), Walled, "", "26no2-1"},
		{"from nowhere, not even outside", bunsho, "", false, "/x", policy.AAL2, nil, NoRemote, RemoteAccess, "63-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Facts{Application: tt.app, From: tt.from, Outside: tt.outside, URI: tt.uri, Permits: tt.permits, Checked: true, Now: now}
			if tt.acr != "" {
				f.SignedIn, f.Person, f.ACR, f.AuthAt, f.SessionEnds = true, tanaka, tt.acr, now, now.Add(time.Hour)
			}
			v := Decide(p, f)
			if v.Reason != tt.want || v.Ask != tt.ask || v.Allowed(now) != (tt.want == Allowed) {
				t.Errorf("Decide = %q, ask for %q, allowed %t; want %q, %q", v.Reason, v.Ask, v.Allowed(now), tt.want, tt.ask)
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

// TestDecideFresh: an application or a path may ask how long ago the person
// proved who they are, and the verdict does not outlive that.
func TestDecideFresh(t *testing.T) {
	app := policy.Application{
		ID: "kyuyo", Zone: policy.LGWAN, Class: 2, FreshFor: time.Hour,
		Paths: []policy.PathRule{{Path: "/pay", ACR: policy.PHR, FreshFor: 10 * time.Minute}},
	}
	for _, tt := range []struct {
		name, uri string
		acr       policy.ACR
		age       time.Duration
		want      Reason
		stepUp    policy.ACR
		fresh     time.Duration
		until     time.Duration // from now
	}{
		{"just now", "/", policy.AAL2, 0, Allowed, "", 0, time.Hour},
		{"its last instant", "/", policy.AAL2, time.Hour - 1, Allowed, "", 0, 1},
		{"too old", "/", policy.AAL2, time.Hour, Stale, policy.AAL2, time.Hour, 0},
		{"the stricter path, strong and new", "/pay", policy.PHR, time.Minute, Allowed, "", 0, 9 * time.Minute},
		{"the stricter path, too old for it", "/pay/1", policy.PHR, 10 * time.Minute, Stale, policy.PHR, 10 * time.Minute, 0},
		{"the stricter path, too weak for it", "/pay", policy.AAL2, 0, TooWeak, policy.PHR, 0, 0},
		{"beside it the same sign-in is good", "/list", policy.PHR, 10 * time.Minute, Allowed, "", 0, 50 * time.Minute},
		{"a path that is read in two ways", "/list/..%2fpay", policy.PHR, 0, Unreadable, "", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := Decide(policy.Standard(), Facts{
				SignedIn: true, Person: directory.Person{ID: "1"}, ACR: tt.acr, AuthAt: now.Add(-tt.age), SessionEnds: now.Add(2 * time.Hour),
				Application: app, URI: tt.uri, From: policy.LGWAN, Now: now,
			})
			if v.Reason != tt.want || v.StepUp != tt.stepUp || v.Fresh != tt.fresh {
				t.Errorf("Decide = %q, step up %q, fresh %v; want %q, %q, %v", v.Reason, v.StepUp, v.Fresh, tt.want, tt.stepUp, tt.fresh)
			}
			if tt.want == Allowed && !v.Until.Equal(now.Add(tt.until)) {
				t.Errorf("good until %v, want %v from now", v.Until.Sub(now), tt.until)
			}
		})
	}
}

// TestVerdictEndsFirst: of all that may end, the first counts; and a session
// without an end has none to give.
func TestVerdictEndsFirst(t *testing.T) {
	f := Facts{
		SignedIn: true, Person: directory.Person{ID: "1"}, ACR: policy.AAL2, AuthAt: now, SessionEnds: now.Add(time.Hour),
		Application: policy.Application{ID: "bunsho", Zone: policy.LGWAN, Class: 2}, From: policy.Internet, Now: now,
		Permits: []Permit{
			{Kind: ZoneCrossing, Applications: []string{"bunsho"}, From: policy.Internet, Path: "/", Until: now.Add(time.Minute)},
			{Kind: ZoneCrossing, Applications: []string{"bunsho"}, From: policy.Internet, Path: "/", Until: now.Add(2 * time.Minute)},
		},
	}
	if v := Decide(policy.Standard(), f); !v.Until.Equal(now.Add(2*time.Minute)) || !v.Allowed(now) {
		t.Errorf("%s until %v: of two permits the longer holds, and the verdict ends with it", v.Reason, v.Until.Sub(now))
	}
	f.SessionEnds = time.Time{}
	if v := Decide(policy.Standard(), f); v.Allowed(now) {
		t.Error("a session without an end lets through")
	}
}

// TestSurvey asks about every application, and of each what Decide says.
func TestSurvey(t *testing.T) {
	p := policy.Standard()
	p.Applications = []policy.Application{
		{ID: "bunsho", Zone: policy.LGWAN, Class: 2},
		{ID: "juki", Zone: policy.MyNumber, Class: 1},
		{ID: "kansa", Zone: policy.LGWAN, Class: 2, Posts: []policy.PostID{policy.Auditor}},
	}
	got := Survey(p, Facts{SignedIn: true, Person: directory.Person{ID: "1"}, ACR: policy.AAL2, AuthAt: now, SessionEnds: now.Add(time.Hour), From: policy.LGWAN, Now: now})
	want := []Reason{Allowed, NoCrossing, NotYours}
	for i, o := range got {
		if o.Application.ID != p.Applications[i].ID || o.Verdict.Reason != want[i] {
			t.Errorf("%s: %s, want %s", o.Application.ID, o.Verdict.Reason, want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d answers", len(got))
	}
}
