package shared

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/authz/elevate"
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

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

func rules() *policy.Policy {
	p := authztest.Rules()
	one := policy.SharedID{
		ID: "one", Name: policy.Words{JA: "庁内放送", EN: "Public address"}, Account: "uid=one,ou=admins," + base, Eligible: policy.Eligible{Posts: []policy.PostID{policy.Staff}},
		Zone: policy.LGWAN, Holders: 1, Usual: 30 * time.Minute, Longest: 2 * time.Hour, ACR: policy.AAL2, FreshFor: 15 * time.Minute,
	}
	two, kept := one, one
	two.ID, two.Account, two.Holders = "two", "uid=two,ou=admins,"+base, 2
	kept.ID, kept.Account, kept.OutlivesSession = "kept", "uid=kept,ou=admins,"+base, true
	p.SharedIDs = []policy.SharedID{one, two, kept}
	return p
}

// A world is a book on a real store and a real directory, with a clock of its own.
// Whoever signs in does so with their login for a cookie.
type world struct {
	testing.TB
	*Book
	db       *store.DB
	dir      *ldap.Directory
	clock    *clock.Fake
	policy   *policy.Policy
	sessions *session.Sessions
	effects  *elevate.Book
	watch    *standing.Watch
	gate     *authztest.Gate
	server   *embeddedtest.Server
	url      string
	death    authztest.Death
	ties     sync.Map // []authz.Tie by person

	mu     sync.Mutex
	signed map[string]approval.Approver
	barred directory.PersonID
	// sealed says for which systems an ID lies sealed; nil: for none.
	sealed func(login, dn string) []string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), policy: rules(), signed: map[string]approval.Approver{}}
	w.server = embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: seed})
	w.url, w.dir = w.server.URL(), w.server.Dial()
	w.build()
	return w
}

// build makes the rooms on the directory.
func (w *world) build() {
	w.Helper()
	w.db = storetest.Open(w)
	g := authztest.Ground{DB: w.db, Dir: w.dir, Ring: authztest.Ring(w), Policy: func() *policy.Policy { return w.policy }}.Gate(w.clock.Now)
	w.gate, w.watch, w.sessions = g, g.Watch, g.Sessions
	w.effects = elevate.New(elevate.House{DB: w.db, Trail: g.Trail, Directory: w.dir, Policy: g.Policy, Forget: g.Watch, Now: g.Now, Log: slog.New(slog.NewTextHandler(w.Output(), nil))})
	w.Book = New(House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Presence: w, Effects: w.effects, People: g.Watch, Sessions: g.Sessions, Sealing: g.Ring, Notices: notice.New(w.db, g.Now, g.Policy), Now: g.Now,
		Barred: func(_ context.Context, p directory.Person) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return p.ID == w.barred, nil
		},
		Emergency: func(_ context.Context, _ store.Reader, login, dn string) ([]string, error) {
			if w.sealed == nil {
				return nil, nil
			}
			return w.sealed(login, dn), nil
		},
		Stop: w.death.Stop, Ties: func(_ context.Context, _ store.Reader, who directory.PersonID) ([]authz.Tie, error) {
			held, _ := w.ties.Load(who)
			ties, _ := held.([]authz.Tie)
			return ties, nil
		},
	})
}

// bind ties somebody's ID to a project, and to no other.
func (w *world) bind(who directory.PersonID, to policy.Environment, until time.Time) {
	w.ties.Store(who, []authz.Tie{{Project: "p", Environment: to, Until: until}})
}

func seed(add embeddedtest.Add) error {
	var people []embeddedtest.Person
	for login, post := range map[string]policy.PostID{
		"tanaka": policy.Staff, "suzuki": policy.Staff, "mori": policy.Staff, "kimura": policy.Contractor,
		"yamamoto": policy.SecurityManager, "inoue": policy.Auditor,
	} {
		people = append(people, embeddedtest.Person{Login: login, Posts: []policy.PostID{post}})
	}
	if err := embeddedtest.Seed(add, people); err != nil {
		return err
	}
	for _, login := range []string{"one", "two", "kept"} {
		if err := add("uid="+login+",ou=admins,"+base, map[string][]string{
			"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"}, "uid": {login}, "cn": {login}, "sn": {login},
			"employeeType": {"shared"}, "userPassword": {"Former-word-1234"}, "pwdAccountLockedTime": {"000001010000Z"},
		}); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// as has somebody sign in, by their login.
func (w *world) as(login string) string {
	w.Helper()
	by := w.gate.SignIn(w, login, time.Time{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.signed[login] = by
	return login
}

// Signed is who has that login for a cookie.
func (w *world) Signed(_ context.Context, _ signin.Origin, cookie string) (approval.Approver, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by, ok := w.signed[cookie]
	if !ok {
		return by, session.ErrNone
	}
	return by, nil
}

// change has somebody be signed in otherwise.
func (w *world) change(login string, do func(*approval.Approver)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by := w.signed[login]
	do(&by)
	w.signed[login] = by
}

func (w *world) checkOut(cookie, id string, minutes int) (Given, error) {
	return w.CheckOut(w.Context(), signin.Origin{}, cookie, id, "放送の準備", minutes)
}

func (w *world) out(cookie, id string, minutes int) Given {
	w.Helper()
	g, err := w.checkOut(cookie, id, minutes)
	w.must(err)
	if g.Password.IsEmpty() || g.Account != id {
		w.Fatalf("given: %q, a password: %v", g.Account, !g.Password.IsEmpty())
	}
	return g
}

func (w *world) back(cookie, id string) Checkout {
	w.Helper()
	c, err := w.CheckIn(w.Context(), signin.Origin{}, cookie, id)
	w.must(err)
	return c
}

// settle is what a gate does by itself, once.
func (w *world) settle() {
	w.Helper()
	w.must(w.Tidy(w.Context()))
	w.must(w.Watch(w.Context()))
	w.must(w.effects.Undo(w.Context()))
}

func (w *world) refused(err error, want string) *Refusal {
	w.Helper()
	var no *Refusal
	if !errors.As(err, &no) || reason(no) != want {
		w.Errorf("answered %v, want %s", err, want)
		return &Refusal{}
	}
	return no
}

// binds reports whether the directory itself lets a shared ID in.
func (w *world) binds(id string, pw secret.Text) bool {
	w.Helper()
	s, _ := w.policy.SharedID(id)
	return embeddedtest.Lets(w, w.url, s.Account, pw)
}

func (w *world) works(id string, pw secret.Text, want bool) {
	w.Helper()
	if got := w.binds(id, pw); got != want {
		w.Errorf("%s binds with its password: %v, want %v", id, got, want)
	}
}

func (w *world) state(c Checkout, want State) Checkout {
	w.Helper()
	c, err := read(w.Context(), w.db, c.ID)
	w.must(err)
	if c.state != want {
		w.Errorf("the check-out of %s by %s is %s (%s), want %s", c.Shared, c.By.Login, c.state, c.EndReason, want)
	}
	return c
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
