package lockdown

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var ctx = context.Background()

func put(t *testing.T, db *store.DB, l authz.LockDown) {
	t.Helper()
	err := db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO lockdown (id, scope, target, person_id, reason, ordered_by, ordered_at, ends_at, ratify_by)
			VALUES ($1, $2, $3, $4, 'x', 'sasaki', $5, $6, $7)`,
			l.ID, string(l.Scope), l.Target, string(l.Person), store.Micros(t0), store.Micros(l.EndsAt), store.Micros(l.RatifyBy))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOrdersInStep: what is in force is gone by from memory while that is young,
// and from the store as soon as it is not; each end is seen at its instant.
func TestOrdersInStep(t *testing.T) {
	t.Parallel()
	fake, db := clock.NewFake(t0), storetest.Open(t)
	inStep := true
	o := New(db, func() *policy.Policy { return rules() }, fake.Now, func(clock.Moment) bool { return inStep })
	n := session.Session{Person: "1", Zone: policy.LGWAN}
	p := directory.Person{ID: "1", Login: "tanaka", Section: "jinji"}
	shut := func() bool {
		t.Helper()
		_, shut, err := o.Bar(ctx, clock.Moment{Now: fake.Now()}, &n, p)
		if err != nil {
			t.Fatal(err)
		}
		return shut
	}
	follow := func() {
		t.Helper()
		if err := o.Follow(ctx, t0); err != nil {
			t.Fatal(err)
		}
	}
	follow()
	put(t, db, authz.LockDown{ID: "a", Scope: authz.LockAll, EndsAt: t0.Add(time.Hour), RatifyBy: t0.Add(time.Minute)})
	if shut() {
		t.Fatal("known before the poll: the test shows nothing")
	}
	inStep = false
	if !shut() {
		t.Error("a gateway that could not poll goes by its memory")
	}
	inStep = true
	follow()
	if !shut() || o.Held() != 1 {
		t.Error("not known after the poll")
	}
	in := func() bool {
		t.Helper()
		barred, err := o.Barred(ctx, db, signin.Entrant{Person: p, Zone: policy.LGWAN})
		if err != nil {
			t.Fatal(err)
		}
		return !barred
	}
	if in() {
		t.Error("somebody comes in")
	}
	if lent, err := o.HitsPerson(ctx, p); err != nil || !lent {
		t.Errorf("what is lent: %t, %v", lent, err)
	}
	fake.Advance(time.Minute - 1)
	if !shut() || in() {
		t.Error("over before its end")
	}
	fake.Advance(1) // nobody ratified it, and nothing ran
	if shut() || !in() || o.Held() != 0 {
		t.Error("in force after its end")
	}
}

// TestBarOfApplications: the session of an application that was excepted goes on
// under a lock-down of many, not under one that is aimed at it.
func TestBarOfApplications(t *testing.T) {
	t.Parallel()
	pol := rules(func(p *policy.Policy) {
		p.Applications = append(p.Applications, policy.Application{ID: "bosai", Zone: policy.LGWAN})
		p.LockDown.Applications = []string{"bosai"}
	})
	o := New(storetest.Open(t), func() *policy.Policy { return pol }, func() time.Time { return t0 }, func(clock.Moment) bool { return true })
	end := t0.Add(time.Hour)
	for _, tt := range []struct {
		name     string
		l        authz.LockDown
		app      string
		person   directory.PersonID
		terminal string
		want     bool
	}{
		{"everything, the gate's", authz.LockDown{ID: "a", Scope: authz.LockAll, EndsAt: end}, "", "1", "", true},
		{"everything, an application's", authz.LockDown{ID: "a", Scope: authz.LockAll, EndsAt: end}, "bunsho", "1", "", true},
		{"everything, an excepted one's", authz.LockDown{ID: "a", Scope: authz.LockAll, EndsAt: end}, "bosai", "1", "", false},
		{"the excepted one itself", authz.LockDown{ID: "a", Scope: authz.LockApplication, Target: "bosai", EndsAt: end}, "bosai", "1", "", true},
		{"the person in it", authz.LockDown{ID: "a", Scope: authz.LockPerson, Person: "1", EndsAt: end}, "bosai", "1", "", true},
		{"another person", authz.LockDown{ID: "a", Scope: authz.LockPerson, Person: "2", EndsAt: end}, "bosai", "1", "", false},
		{"the terminal it is used at", authz.LockDown{ID: "a", Scope: authz.LockTerminal, Target: "c1", EndsAt: end}, "bosai", "1", "c1", true},
		{"an application leaves the gate's alone", authz.LockDown{ID: "a", Scope: authz.LockApplication, Target: "bunsho", EndsAt: end}, "", "1", "", false},
		{"an application that the policy no longer has", authz.LockDown{ID: "a", Scope: authz.LockAll, EndsAt: end}, "gone", "1", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, got := o.hit([]authz.LockDown{tt.l}, &session.Session{Person: tt.person, App: tt.app, Zone: policy.LGWAN, Terminal: tt.terminal},
				directory.Person{ID: tt.person, Login: "tanaka"}, t0)
			if got == tt.want {
				return
			}
			t.Errorf("hit = %t", got)
		})
	}
}

// TestSealedKey: the private half of a key that the policy names lifts everything
// in force, each with its entry; no other key lifts anything.
func TestSealedKey(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	trail := audit.New(db, func() time.Time { return t0 })
	file, public, err := NewSealedKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ReadSealedKey(file)
	if err != nil {
		t.Fatal(err)
	}
	_, another, _ := NewSealedKey()
	for name, bad := range map[string][]byte{"nothing": nil, "half": file[:len(file)/2], "two": append(append([]byte{}, file...), file...), "public": []byte(public)} {
		if _, err := ReadSealedKey(bad); err == nil {
			t.Errorf("%s is taken for a key", name)
		}
	}
	for id, end := range map[string]time.Duration{"a": time.Hour, "b": time.Minute, "over": 0} {
		put(t, db, authz.LockDown{ID: id, Scope: authz.LockAll, EndsAt: t0.Add(end)})
	}
	named := func(keys ...string) *policy.Policy {
		return rules(func(p *policy.Policy) { p.LockDown.SealedKeys = keys })
	}
	for name, p := range map[string]*policy.Policy{"none": named(), "another": named(another), "nonsense": named("ed25519:AAAA")} {
		if _, err := LiftSealed(ctx, db, trail, p, key, "root", t0); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("a policy that names %s: %v", name, err)
		}
	}
	lifted, err := LiftSealed(ctx, db, trail, named(another, public), key, "root", t0)
	if err != nil || len(lifted) != 2 {
		t.Fatalf("lifted %d, %v; want the two in force", len(lifted), err)
	}
	if _, err := LiftSealed(ctx, db, trail, named(public), key, "root", t0); !errors.Is(err, ErrNothingInForce) {
		t.Errorf("again: %v", err)
	}
	var entries int
	if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM trail_pending`).Scan(&entries); err != nil || entries != 2 {
		t.Errorf("%d entries on the trail, %v", entries, err)
	}
}

// TestUnreadAreNotSpared: of whom the directory could not tell, an order that goes
// by what it tells takes session and lease all the same; one that names a person
// goes by the name.
func TestUnreadAreNotSpared(t *testing.T) {
	t.Parallel()
	pol := rules()
	o := New(storetest.Open(t), func() *policy.Policy { return pol }, func() time.Time { return t0 }, func(clock.Moment) bool { return true })
	end := t0.Add(time.Hour)
	read := map[directory.PersonID]directory.Person{"1": {ID: "1", Login: "suzuki", Section: "zaisei"}}
	for _, tt := range []struct {
		name string
		l    authz.LockDown
		want []directory.PersonID
	}{
		{"a section", authz.LockDown{ID: "a", Scope: authz.LockSection, Target: "jinji", EndsAt: end}, []directory.PersonID{"2"}},
		{"a company", authz.LockDown{ID: "a", Scope: authz.LockCompany, Target: "x", EndsAt: end}, []directory.PersonID{"2"}},
		{"everything", authz.LockDown{ID: "a", Scope: authz.LockAll, EndsAt: end}, []directory.PersonID{"1", "2"}},
		{"a person", authz.LockDown{ID: "a", Scope: authz.LockPerson, Person: "2", EndsAt: end}, []directory.PersonID{"2"}},
		{"somebody else", authz.LockDown{ID: "a", Scope: authz.LockPerson, Person: "1", EndsAt: end}, []directory.PersonID{"1"}},
	} {
		r := reached{people: read}
		r.look(o, tt.l, []session.Session{{ID: "s1", Person: "1", Zone: policy.LGWAN}, {ID: "s2", Person: "2", Zone: policy.LGWAN}}, actor{})
		r.borrow(o, tt.l, []directory.PersonID{"1", "2"})
		var want []string
		for _, id := range tt.want {
			want = append(want, "s"+string(id))
		}
		if !slices.Equal(r.sessions, want) || !slices.Equal(r.lent, tt.want) {
			t.Errorf("%s ends %q and takes from %q, want %q", tt.name, r.sessions, r.lent, tt.want)
		}
	}
}
