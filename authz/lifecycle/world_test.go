package lifecycle

import (
	"context"
	"maps"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const base = embeddedtest.Base

// t0 is noon of 1 April 2026 in Japan.
var t0 = time.Date(2026, 4, 1, 3, 0, 0, 0, time.UTC)

// A member is one ID of the test's prefecture.
type member struct {
	login, kind, number string
	used                time.Time // zero: never
	made                time.Time // zero: two years ago
	posts               []policy.PostID
	more                map[string][]string
}

// officials decide; they are used all the time.
var officials = []member{
	{login: "yamamoto", posts: []policy.PostID{policy.SecurityManager}}, {login: "nakamura", posts: []policy.PostID{policy.SecurityManager}},
	{login: "kobayashi", posts: []policy.PostID{policy.SecurityOfficer}}, {login: "yoshida", posts: []policy.PostID{policy.CIO}},
}

// A world is a book on a real store and a real directory, with a clock of its own.
type world struct {
	testing.TB
	*Book
	db       *store.DB
	dir      *ldap.Directory
	server   *embeddedtest.Server
	clock    *clock.Fake
	policy   *policy.Policy
	sessions *session.Sessions
	matters  *approval.Book
	watch    *standing.Watch
	gate     *authztest.Gate
	ring     *secret.KeyRing
	sealed   register
	signed   map[string]string
	death    authztest.Death
}

func newWorld(t testing.TB, people ...member) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), signed: map[string]string{}}
	w.server = embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: func(add embeddedtest.Add) error { return seed(add, append(officials, people...)) }})
	c := embeddedtest.Config(w.server.URL())
	c.PageSize = 500
	w.dir, w.db, w.policy, w.ring = embeddedtest.Dial(t, c, w.clock.Now), storetest.Open(t), authztest.Rules(), authztest.Ring(t)
	w.Book = w.gateway(w.dir)
	return w
}

func generalized(t time.Time) string { return t.UTC().Format("20060102150405Z") }

func seed(add embeddedtest.Add, people []member) error {
	var all []embeddedtest.Person
	for _, m := range people {
		made := m.made
		if made.IsZero() {
			made = t0.AddDate(-2, 0, 0)
		}
		if m.kind == "" {
			m.kind = "staff"
		}
		entry := map[string][]string{"cn": {"例 " + m.login}, "employeeType": {m.kind}, "createTimestamp": {generalized(made)}, "pwdChangedTime": {generalized(made)}}
		if m.number != "" {
			entry["employeeNumber"] = []string{m.number}
		}
		used := m.used
		if len(m.posts) > 0 {
			used = t0.AddDate(9, 0, 0) // always
		}
		if !used.IsZero() {
			entry["pwdLastSuccess"] = []string{generalized(used)}
		}
		maps.Copy(entry, m.more)
		all = append(all, embeddedtest.Person{Login: m.login, Posts: m.posts, More: entry})
	}
	return embeddedtest.Seed(add, all)
}

// gateway is a gate of its own on the same store.
func (w *world) gateway(dir Directory) *Book {
	w.gate = authztest.Ground{DB: w.db, Dir: w.dir, Ring: w.ring, Policy: func() *policy.Policy { return w.policy }}.Gate(w.clock.Now)
	g := w.gate
	w.watch, w.sessions, w.matters = g.Watch, g.Sessions, g.Matters
	return New(House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: dir, Sessions: g.Sessions, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch, Now: g.Now, Stop: w.death.Stop, Sealed: &w.sealed,
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// on has it be so many days after t0, at noon of Japan.
func (w *world) on(days int) {
	w.Helper()
	w.clock.Advance(t0.AddDate(0, 0, days).Sub(w.clock.Now()))
}

// sweep is the scheduled sweep of the day, to its end.
func (w *world) sweep() Summary {
	w.Helper()
	w.must(w.Tick(w.Context()))
	return w.newest()
}

func (w *world) newest() Summary {
	w.Helper()
	all, err := w.Sweeps(w.Context(), 1)
	w.must(err)
	if len(all) == 0 {
		w.Fatal("there was no sweep")
	}
	return all[0]
}

func (w *world) person(login string) directory.Person {
	w.Helper()
	return w.gate.Person(w, login)
}

func (w *world) count(q string, args ...any) int {
	w.Helper()
	return storetest.Count(w, w.db, q, args...)
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(parts ...string) int {
	w.Helper()
	return storetest.Entries(w, w.db, parts...)
}

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.gate.Told(w, w.person(login).ID, k)
}

// isStage looks at everything that shows how far an ID has come.
func (w *world) isStage(login, stage string) {
	w.Helper()
	p := w.person(login)
	r, err := rowOf(w.Context(), w.db, p.ID)
	w.must(err)
	closed, err := standing.Closed(w.Context(), w.db, p.ID, w.clock.Now())
	w.must(err)
	want := stage == rowDisabled || stage == rowDeleting
	if r.stage != stage || closed != want || p.Account.Disabled != want || r.effect != "" {
		w.Errorf("%s: row %q (effect %q), closed %t, disabled in the directory %t; want %q", login, r.stage, r.effect, closed, p.Account.Disabled, stage)
	}
}

// as is somebody who signed in with a key of last year.
func (w *world) as(login string) approval.Approver {
	w.Helper()
	return w.gate.SignIn(w, login, t0.AddDate(-1, 0, 0))
}

func (w *world) decide(login, matter string, yes bool) {
	w.Helper()
	w.gate.Decide(w, w.as(login), matter, yes)
}

// broken is a directory that answers otherwise.
type broken struct {
	Directory
	stream func(ctx context.Context, each func(directory.Person) error, real func(context.Context, func(directory.Person) error) error) error
}

func (b *broken) Stream(ctx context.Context, each func(directory.Person) error) error {
	return b.stream(ctx, each, b.Directory.Stream)
}

// register are logins of IDs that lie in envelopes.
type register []string

func (r *register) Among(_ context.Context, _ store.Reader, logins []string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, l := range *r {
		out[l] = true
	}
	return out, nil
}

// noAnswer is a directory's answer that is none: well, and empty.
func noAnswer(context.Context, func(directory.Person) error, func(context.Context, func(directory.Person) error) error) error {
	return nil
}
