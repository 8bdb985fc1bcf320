package grant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
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

const (
	base     = embeddedtest.Base
	dbAdmins = "cn=db-admins,ou=groups," + base
	servers  = "cn=server-admins,ou=groups," + base
	trials   = "cn=trials,ou=groups," + base
)

// staff are those of the test's prefecture, all in one section, and their posts.
var staff = []embeddedtest.Person{
	holds("sato", policy.SystemAdministrator), holds("takahashi", policy.SystemAdministrator), holds("ito", policy.SystemOperator),
	holds("yamamoto", policy.SecurityManager), holds("nakamura", policy.SecurityManager), holds("kobayashi", policy.SecurityOfficer), holds("kato", policy.SecurityOfficer),
	holds("yoshida", policy.CIO), holds("yamada", policy.CIO), holds("sasaki", policy.CSIRT), holds("inoue", policy.Auditor), holds("tanaka", policy.Staff),
}

func holds(login string, post policy.PostID) embeddedtest.Person {
	return embeddedtest.Person{Login: login, Posts: []policy.PostID{post}}
}

// A world is leases on a real store and a real directory, with a clock of its
// own. The directory is looked at by a connection that Sekisho knows nothing of.
type world struct {
	testing.TB
	*Book
	db       *store.DB
	dir      *ldap.Directory
	server   *embeddedtest.Server
	clock    *clock.Fake
	policy   *policy.Policy
	sessions *session.Sessions
	gate     *authztest.Gate
	matters  *approval.Book
	effects  *elevate.Book
	ring     *secret.KeyRing
	signed   map[string]By
	death    authztest.Death
	ties     sync.Map // []authz.Tie by person
	leaves   sync.Map // []string by person: groups that they are being taken out of
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), signed: map[string]By{}}
	w.server = embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: seed})
	w.dir, w.db, w.policy, w.ring = w.server.Dial(), storetest.Open(t), rules(), authztest.Ring(t)
	w.build()
	return w
}

func rules() *policy.Policy {
	p := authztest.Rules()
	borrowers := policy.Eligible{Posts: []policy.PostID{policy.SystemAdministrator, policy.SystemOperator}}
	lend := func(id string, change func(*policy.Privilege), gifts ...policy.Gift) policy.Privilege {
		v := changed(plain, func(v *policy.Privilege) {
			v.ID, v.Name, v.Gives, v.Eligible = id, policy.Words{JA: id, EN: id}, gifts, borrowers
			v.Approvers = policy.Approvers{Posts: []policy.PostID{policy.SecurityManager}, Quorum: 1, Where: policy.ApproversAnywhere}
			v.Standing = policy.StandingRemove
		})
		change(&v)
		return v
	}
	group := policy.Gift{Kind: policy.GiftGroup, Group: dbAdmins}
	ephemeral := policy.Gift{Kind: policy.GiftEphemeral, Under: "ou=admins," + base, Prefix: "tmp-", Groups: []string{servers}}
	p.Privileges = []policy.Privilege{
		lend("db-admin", func(*policy.Privilege) {}, group),
		lend("claims", func(v *policy.Privilege) { v.Emergency = true }, policy.Gift{Kind: policy.GiftApplication, Application: "zaimu", Roles: []string{"closer"}}),
		lend("pair", func(v *policy.Privilege) { v.TwoPerson, v.WitnessEvery, v.Emergency = true, 5*time.Minute, false }, group),
		lend("server", func(v *policy.Privilege) { v.Emergency = false }, ephemeral),
		lend("server-pair", func(v *policy.Privilege) { v.TwoPerson, v.WitnessEvery, v.Emergency = true, 5*time.Minute, false }, ephemeral),
		lend("trial", func(v *policy.Privilege) { v.Environment = policy.Development }, policy.Gift{Kind: policy.GiftGroup, Group: trials}),
		lend("takeover", func(v *policy.Privilege) { v.Environment = policy.EitherEnvironment }, policy.Gift{Kind: policy.GiftApplication, Application: "zaimu"}),
		lend("batch", func(v *policy.Privilege) { v.OutlivesSession, v.Emergency = true, false }, policy.Gift{Kind: policy.GiftApplication, Application: "zaimu"}),
	}
	return p
}

// build makes the rooms of one process on what is stored: again, after one died.
func (w *world) build() {
	w.Book, w.effects, w.gate = w.gateway(w.clock.Now)
	w.sessions, w.matters = w.gate.Sessions, w.gate.Matters
}

func (w *world) gateway(now clock.Now) (*Book, *elevate.Book, *authztest.Gate) {
	g := authztest.Ground{DB: w.db, Dir: w.dir, Ring: w.ring, Policy: func() *policy.Policy { return w.policy }}.Gate(now)
	effects := elevate.New(elevate.House{DB: w.db, Trail: g.Trail, Directory: w.dir, Policy: g.Policy, Forget: g.Watch, Now: now})
	book := New(House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Version: authztest.Version, Matters: g.Matters, Effects: effects, People: g.Watch,
		Holders: w.dir, Sessions: g.Sessions, Notices: g.Notices, Sealing: w.ring, Now: now, Stop: w.death.Stop, Ties: w.tied, Leaving: w.leaving,
	})
	book.Open(g.Matters)
	return book, effects, g
}

// tied are the projects of an ID, as the room of projects would say.
func (w *world) tied(_ context.Context, _ store.Reader, who directory.PersonID) ([]authz.Tie, error) {
	held, _ := w.ties.Load(who)
	ties, _ := held.([]authz.Tie)
	return ties, nil
}

// leaving is what a recertification has decided.
func (w *world) leaving(_ context.Context, _ store.Reader, who directory.PersonID) ([]string, error) {
	held, _ := w.leaves.Load(who)
	groups, _ := held.([]string)
	return groups, nil
}

// bind ties somebody's ID to a project, and to no other.
func (w *world) bind(login string, to policy.Environment, until time.Time) {
	w.Helper()
	w.ties.Store(w.id(login), []authz.Tie{{Project: "p", Environment: to, Until: until}})
}

func seed(add embeddedtest.Add) error {
	if err := embeddedtest.Seed(add, staff); err != nil {
		return err
	}
	return errors.Join(add(dbAdmins, embeddedtest.Group(dbAdmins)), add(servers, embeddedtest.Group(servers)), add(trials, embeddedtest.Group(trials)))
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) refused(err error, want Reason) {
	w.Helper()
	if why(err) != want {
		w.Errorf("answered %v, want %s", err, want)
	}
}

// as is somebody who signed in with a key of last year, once in this world.
func (w *world) as(login string) By {
	w.Helper()
	if by, ok := w.signed[login]; ok {
		return w.afresh(by)
	}
	return w.signIn(login)
}

// signIn has somebody sign in anew.
func (w *world) signIn(login string) By {
	w.Helper()
	w.signed[login] = w.gate.SignIn(w.TB, login, t0.AddDate(-1, 0, 0))
	return w.afresh(w.signed[login])
}

// afresh is somebody as the directory has them now.
func (w *world) afresh(by By) By {
	w.Helper()
	p, err := w.dir.ByID(w.Context(), by.Person.ID)
	w.must(err)
	by.Person, by.Posts, by.Usable = p, w.policy.PostsOf(p.Groups), p.Account.Usable(w.clock.Now())
	ties, _ := w.tied(w.Context(), nil, p.ID)
	by.Tied = authz.TiedBy(ties, w.clock.Now())
	by.AuthAt = w.clock.Now() // the age of a sign-in has tests of its own
	return by
}

func (w *world) tx(fn func(tx *store.Tx) error) error { return w.db.WithTx(w.Context(), fn) }

func (w *world) wish(privilege string, m int) Wish {
	return Wish{Privilege: privilege, Reason: "障害対応", For: time.Duration(m) * time.Minute}
}

func (w *world) ask(login, privilege string, m int) Lease {
	w.Helper()
	l, err := w.Ask(w.Context(), w.as(login), w.wish(privilege, m))
	w.must(err)
	return l
}

func (w *world) decide(login string, l Lease, yes bool) {
	w.Helper()
	now, err := w.Get(w.Context(), l.ID)
	w.must(err)
	matter := now.Matter
	if now.Extension.Matter != "" {
		matter = now.Extension.Matter
	}
	w.gate.Decide(w.TB, w.as(login), matter, yes)
}

// approved is a lease that yamamoto approved.
func (w *world) approved(login, privilege string, m int) Lease {
	w.Helper()
	l := w.ask(login, privilege, m)
	w.decide("yamamoto", l, true)
	return w.get(l)
}

func (w *world) active(login, privilege string, m int) Lease {
	w.Helper()
	l := w.approved(login, privilege, m)
	l, _, err := w.Activate(w.Context(), w.as(login), l.ID)
	w.must(err)
	return l
}

func (w *world) get(l Lease) Lease {
	w.Helper()
	l, err := w.Get(w.Context(), l.ID)
	w.must(err)
	return l
}

func (w *world) isState(l Lease, want State) {
	w.Helper()
	if got := w.get(l).State(w.clock.Now()); got != want {
		w.Errorf("the lease is %s, want %s", got, want)
	}
}

// lives reports whether the gate goes by a lease of somebody.
func (w *world) lives(login string) bool {
	w.Helper()
	given, err := w.Live(w.Context(), w.as(login).Person)
	w.must(err)
	return len(given) > 0
}

// members are whom a group names, by an independent search.
func (w *world) members(groupDN string) []string {
	w.Helper()
	var out []string
	for _, dn := range w.server.Members(groupDN) {
		login, _, _ := strings.Cut(strings.TrimPrefix(dn, "uid="), ",")
		out = append(out, login)
	}
	slices.Sort(out)
	return out
}

func (w *world) inGroup(groupDN string, want ...string) {
	w.Helper()
	if got := w.members(groupDN); !slices.Equal(got, want) {
		w.Errorf("in %s are %v, want %v", groupDN, got, want)
	}
}

// settled lets the background of one gateway work until nothing is due.
func (w *world) settle() {
	w.Helper()
	w.must(w.Tidy(w.Context()))
	w.must(w.effects.Undo(w.Context()))
}

func (w *world) count(q string, args ...any) int {
	w.Helper()
	return storetest.Count(w.TB, w.db, q, args...)
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(parts ...string) int {
	w.Helper()
	return storetest.Entries(w.TB, w.db, parts...)
}

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.gate.Told(w.TB, w.id(login), k)
}

func (w *world) id(login string) directory.PersonID { w.Helper(); return w.as(login).Person.ID }
