package project

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/authz/grant"
	"sekisho/authz/lifecycle"
	"sekisho/authz/permit"
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

// t0 is noon of 10 March 2026 in Japan.
var t0 = time.Date(2026, 3, 10, 3, 0, 0, 0, time.UTC)

// A person is one ID of the test's prefecture.
type person struct {
	login string
	posts []policy.PostID
	more  map[string][]string
}

func in(section string) map[string][]string {
	return map[string][]string{"departmentNumber": {section}}
}

func of(kind directory.Kind) map[string][]string {
	return map[string][]string{"employeeType": {string(kind)}}
}

// prefecture is who there is: who acts, who decides, and whose IDs are bound.
var prefecture = []person{
	{login: "sato", posts: []policy.PostID{policy.SystemAdministrator}}, {login: "kato", posts: []policy.PostID{policy.SystemAdministrator}},
	{login: "yamamoto", posts: []policy.PostID{policy.SecurityManager}}, {login: "nakamura", posts: []policy.PostID{policy.SecurityManager}},
	{login: "kobayashi", posts: []policy.PostID{policy.SecurityOfficer}},
	{login: "yoshida", posts: []policy.PostID{policy.CIO}},
	{login: "sasaki", posts: []policy.PostID{policy.CSIRT}},
	{login: "kansa", posts: []policy.PostID{policy.Auditor}},
	{login: "zai", posts: []policy.PostID{policy.SystemAdministrator}, more: in("zaisei")},
	{login: "tanaka"}, {login: "suzuki"}, {login: "mori"}, {login: "hara"},
	{login: "dev1", more: of(directory.KindContractor)}, {login: "dev2", more: of(directory.KindContractor)}, {login: "dev3", more: of(directory.KindContractor)},
	{login: "kyoyo", more: of(directory.KindShared)}, {login: "batch", more: of(directory.KindService)},
	{login: "soto", more: in("zaisei")}, {login: "bu", more: in("dejitaru")},
	{login: "sato-dev", more: map[string][]string{"employeeNumber": {"N0000"}}}, // sato's second ID
	{login: "shut", more: map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
}

// A world is a book on a real store and a real directory, with the rooms below it, and a
// clock of its own.
type world struct {
	testing.TB
	*Book
	db     *store.DB
	dir    *ldap.Directory
	clock  *clock.Fake
	policy *policy.Policy
	gate   *authztest.Gate
	ring   *secret.KeyRing
	sealed register
	life   *lifecycle.Book
	death  authztest.Death
}

func newWorld(t testing.TB, more ...person) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0)}
	all := append(append([]person{}, prefecture...), more...)
	server := embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: func(add embeddedtest.Add) error { return seed(add, all) }})
	w.dir, w.db, w.policy, w.ring = server.Dial(), storetest.Open(t), rules(), authztest.Ring(t)
	w.Book = w.gateway(w.dir)
	return w
}

func rules() *policy.Policy {
	p := authztest.Rules()
	p.Sections = append(p.Sections, policy.Section{ID: "zaisei", Parent: "dejitaru"})
	p.Projects = policy.ProjectRules{LongestDays: 1096, WarnDays: 14, BindsAlone: 1000}
	return p
}

func seed(add embeddedtest.Add, people []person) error {
	var all []embeddedtest.Person
	for i, m := range people {
		entry := map[string][]string{"cn": {"例 " + m.login}, "employeeNumber": {fmt.Sprintf("N%04d", i)}}
		maps.Copy(entry, m.more)
		all = append(all, embeddedtest.Person{Login: m.login, Posts: m.posts, More: entry})
	}
	return embeddedtest.Seed(add, all)
}

// gateway is a gate of its own on the same store.
func (w *world) gateway(dir Directory) *Book {
	w.gate = authztest.Ground{DB: w.db, Dir: w.dir, Ring: w.ring, Policy: func() *policy.Policy { return w.policy }}.Gate(w.clock.Now)
	g := w.gate
	permits := permit.New(permit.House{DB: w.db, Trail: g.Trail, Policy: g.Policy, Version: authztest.Version, Matters: g.Matters, Facts: g.Watch, Sessions: g.Sessions, Notices: g.Notices, Now: g.Now})
	w.life = lifecycle.New(lifecycle.House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: w.dir, Sessions: g.Sessions, Permits: permits, Matters: g.Matters, Notices: g.Notices, Sealed: &w.sealed,
		Forget: g.Watch, Now: g.Now,
	})
	b := Open(House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: dir, IDs: w.life, Sessions: g.Sessions, Permits: permits, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch,
		Fresh: g.Sessions.InStepAt, Now: g.Now, Stop: w.death.Stop,
	})
	g.Sessions.PollWith(b)
	return b
}

var _ Leases = (*grant.Book)(nil)

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) tick() { w.Helper(); w.must(w.Tick(w.Context())) }

// day is the instant with which a day of Japan's calendar begins; after that with which it
// is over.
func day(text string) time.Time { at, _ := policy.JapanDay(text); return at }

func after(text string) time.Time { return day(text).Add(24 * time.Hour) }

func (w *world) at(at time.Time) { w.Helper(); w.clock.Advance(at.Sub(w.clock.Now())) }

func (w *world) as(login string) approval.Approver {
	w.Helper()
	return w.gate.SignIn(w, login, t0.AddDate(-1, 0, 0))
}

func plan(id string, env policy.Environment, last string) New {
	return New{ID: id, Name: "案件 " + id, Section: "joho", Environment: env, Company: "例ソフト", Until: after(last)}
}

// register has sato register a project of joho.
func (w *world) register(id string, env policy.Environment, last string) Project {
	w.Helper()
	p, err := w.RegisterAs(w.Context(), w.as("sato"), plan(id, env, last))
	w.must(err)
	return p
}

// bind has sato bind IDs as workers.
func (w *world) bind(project string, logins ...string) {
	w.Helper()
	for _, l := range logins {
		out, err := w.BindAs(w.Context(), w.as("sato"), project, l, Worker, "作業のため")
		w.must(err)
		if out.Waits() {
			w.Fatalf("binding %s to %s waits for %s", l, project, out.Matter)
		}
	}
}

func (w *world) project(id string) Project {
	w.Helper()
	p, err := projectOf(w.Context(), w.db, id)
	w.must(err)
	return p
}

func (w *world) person(login string) directory.Person { w.Helper(); return w.gate.Person(w, login) }

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.gate.Told(w, w.person(login).ID, k)
}

func (w *world) count(q string, args ...any) int {
	w.Helper()
	return storetest.Count(w, w.db, q, args...)
}

func (w *world) entries(parts ...string) int {
	w.Helper()
	return storetest.Entries(w, w.db, parts...)
}

// enters says whether somebody comes in, by the store alone.
func (w *world) enters(login string) authz.Reason {
	w.Helper()
	f := authz.Facts{SignedIn: true, Person: w.person(login), ACR: policy.AAL2, From: policy.LGWAN, SessionEnds: w.clock.Now().Add(time.Hour), Now: w.clock.Now()}
	f.Person.Account = directory.Account{} // what the directory says of it is not what is asked
	w.must(w.FillIn(w.Context(), w.db, &f))
	return authz.Enter(w.policy, f).Reason
}

// closed is what became of somebody's binding.
func (w *world) closed(project, login string) string {
	w.Helper()
	all, err := members(w.Context(), w.db, `m.project = $1 AND m.login = $2 ORDER BY m.bound_at DESC`, project, login)
	w.must(err)
	if len(all) == 0 {
		w.Fatalf("%s is not bound to %s", login, project)
	}
	return all[0].Closed
}

// refused is the reason of a refusal.
func (w *world) refused(what string, err error, reason string) {
	w.Helper()
	var why *Refusal
	if !errors.As(err, &why) || why.Reason != reason || why.Says.JA == "" || why.Says.EN == "" || why.Is == Invalid && why.Field == "" {
		w.Errorf("%s: %v, want a refusal for %s", what, err, reason)
	}
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

// broken is a directory that answers otherwise.
type broken struct {
	Directory
	amend func(ctx context.Context, p directory.Person, a directory.Amendment) error
	byID  func(ctx context.Context, id directory.PersonID) (directory.Person, error)
}

func (b *broken) Amend(ctx context.Context, p directory.Person, a directory.Amendment) error {
	if b.amend != nil {
		return b.amend(ctx, p, a)
	}
	return b.Directory.Amend(ctx, p, a)
}

func (b *broken) ByID(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	if b.byID != nil {
		return b.byID(ctx, id)
	}
	return b.Directory.ByID(ctx, id)
}
