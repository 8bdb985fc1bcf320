package authz

import (
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// TestDecideByShutLease: a lease whose privileged session is over opens nothing, and
// what it would have opened leads to the sign-in.
func TestDecideByShutLease(t *testing.T) {
	t.Parallel()
	p := prefecture()
	p.Privileges = []policy.Privilege{{ID: "db-admin", ACR: policy.PHR}}
	console := policy.Application{ID: "console", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1, RequiresPrivilege: "db-admin"}
	plain := policy.Application{ID: "plain", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1}
	ends := now.Add(time.Hour)
	shut := Lease{ID: "l1", Privilege: "db-admin", Until: now.Add(time.Minute), Shut: true}
	decide := func(app policy.Application, leases ...Lease) Verdict {
		return Decide(p, Facts{
			SignedIn: true, Person: directory.Person{ID: "1", Section: "jinji"}, ACR: policy.AAL2, Application: app, URI: "/", From: policy.LGWAN,
			Leases: leases, SessionEnds: ends, Now: now,
		})
	}
	v := decide(console, shut)
	if v.Allowed(now) || v.Reason != Stale || v.StepUp != policy.PHR || v.Fresh != p.Session.ElevatedIdleEnd || v.Says.JA == "" || v.Says.EN == "" || v.Next(p, console).Move != SignInAgain {
		t.Errorf("shut: %+v", v)
	}
	again := Facts{
		SignedIn: true, Person: directory.Person{ID: "1", Section: "jinji"}, ACR: policy.PHR, AuthAt: now.Add(-time.Minute), Application: console, URI: "/",
		From: policy.LGWAN, Leases: []Lease{shut}, SessionEnds: ends, Now: now,
	}
	if v := Decide(p, again); v.Allowed(now) || v.Reason != Stale || v.StepUp != "" {
		t.Errorf("shut after a sign-in that is all it could be: %+v", v)
	}
	copied := again
	copied.AMR = []string{"swk"}
	if c := Decide(p, copied); c.Allowed(now) || c.StepUp != "" || c.Says == Decide(p, again).Says || c.Says != v.Says {
		t.Errorf("shut after a sign-in with a copied key: %+v", c)
	}
	over := shut
	over.Until = now
	if v := decide(console, over); v.Reason != NoLease {
		t.Errorf("over as well: %q", v.Reason)
	}
	open := Lease{ID: "l2", Privilege: "db-admin", Until: now.Add(2 * time.Minute)}
	if v := decide(console, shut, open); !v.Allowed(now) || !v.Until.Equal(open.Until) {
		t.Errorf("beside one that is open: %q until %v", v.Reason, v.Until)
	}
	if v := decide(plain, shut); !v.Allowed(now) || !v.Until.Equal(ends) {
		t.Errorf("what asks for none: %q until %v", v.Reason, v.Until)
	}
}

// TestDecideByLease: what asks for a privilege opens while it is lent, and no
// verdict passes a lease's end (articles 62-6, 65).
func TestDecideByLease(t *testing.T) {
	var (
		someone = directory.Person{ID: "1", Section: "jinji"}
		console = policy.Application{ID: "console", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1, RequiresPrivilege: "db-admin",
			Paths: []policy.PathRule{{Path: "/keys", RequiresPrivilege: "keys"}}}
		plain = policy.Application{ID: "plain", Zone: policy.LGWAN, Class: 4, ACR: policy.AAL1}
		ends  = now.Add(time.Hour)
	)
	lease := func(id string, until time.Time) Lease { return Lease{ID: "l-" + id, Privilege: id, Until: until} }
	db, keys := lease("db-admin", now.Add(10*time.Minute)), lease("keys", now.Add(5*time.Minute))
	for _, tt := range []struct {
		name   string
		app    policy.Application
		uri    string
		leases []Lease
		want   Reason
		borrow string
		until  time.Time
	}{
		{"none", console, "/", nil, NoLease, "db-admin", time.Time{}},
		{"another", console, "/", []Lease{keys}, NoLease, "db-admin", time.Time{}},
		{"the one", console, "/", []Lease{db}, Allowed, "", db.Until},
		{"at its end", console, "/", []Lease{lease("db-admin", now)}, NoLease, "db-admin", time.Time{}},
		{"the zero lease", console, "/", []Lease{{Privilege: "db-admin", Until: ends}}, NoLease, "db-admin", time.Time{}},
		{"of two, the longer opens; nothing is told past the shorter", console, "/", []Lease{lease("db-admin", now.Add(time.Minute)), db}, Allowed, "", now.Add(time.Minute)},
		{"a path that asks for one more", console, "/keys/1", []Lease{db}, NoLease, "keys", time.Time{}},
		{"with both", console, "/keys/1", []Lease{db, keys}, Allowed, "", keys.Until},
		{"in capitals", console, "/KEYS", []Lease{db}, NoLease, "keys", time.Time{}},
		{"a path that can be read in two ways", console, "/%2e/keys", []Lease{db, keys}, Unreadable, "", time.Time{}},
		{"what asks for none", plain, "/", nil, Allowed, "", ends},
		{"what was lent for it is told no longer than it lives", plain, "/", []Lease{{ID: "l", Privilege: "x", Until: keys.Until, Gives: []policy.Gift{{Kind: policy.GiftApplication, Application: "plain"}}}}, Allowed, "", keys.Until},
		{"what nobody approved is told to all, no longer than it lives", plain, "/", []Lease{{ID: "l", Privilege: "x", Until: keys.Until, Emergency: true}}, Allowed, "", keys.Until},
		{"what does not concern it shortens nothing", plain, "/", []Lease{keys}, Allowed, "", ends},
		{"one that is over costs nothing", plain, "/", []Lease{lease("keys", now)}, Allowed, "", ends},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := Decide(prefecture(), Facts{
				SignedIn: true, Person: someone, ACR: policy.AAL2, Application: tt.app, URI: tt.uri, From: policy.LGWAN,
				Leases: tt.leases, SessionEnds: ends, Now: now,
			})
			if v.Reason != tt.want || v.Borrow != tt.borrow || !v.Until.Equal(tt.until) || v.Allowed(now) != (tt.want == Allowed) {
				t.Errorf("Decide = %q, borrow %q, until %v; want %q, %q, %v", v.Reason, v.Borrow, v.Until, tt.want, tt.borrow, tt.until)
			}
			if tt.want == NoLease && (v.Says.JA == "" || v.Says.EN == "" || v.StepUp != "" || v.Next(prefecture(), tt.app).Move != BorrowPrivilege) {
				t.Errorf("a refusal without words or next step: %+v", v)
			}
		})
	}
}
