package personnel

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/authztest"
	"sekisho/authz/lifecycle"
	"sekisho/authz/project"
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

// A member is one ID of the test's prefecture.
type member struct {
	login, section string
	posts          []policy.PostID
	more           map[string][]string
}

// members: two who decide, and those that the file is about.
var members = []member{
	{"kobayashi", "soumu", []policy.PostID{policy.Staff, policy.SecurityOfficer}, nil}, {"yoshida", "soumu", []policy.PostID{policy.Staff, policy.CIO}, nil},
	{"tanaka", "jinji", []policy.PostID{policy.Staff, policy.SystemOperator}, nil}, {"suzuki", "zaisei", []policy.PostID{policy.Staff}, nil},
	{"kinnen", "jinji", []policy.PostID{policy.Staff}, map[string][]string{"pwdEndTime": {"20260331150000Z"}}},
	{"chosa", "joho", []policy.PostID{policy.Staff, policy.SystemAdministrator}, nil}, {"ito", "joho", []policy.PostID{policy.Staff}, nil}, {"modori", "joho", nil, map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
}

// changes is a file about them: one of each act.
var changes = strings.Join([]string{
	"number,name,login,section,posts,concurrent,kind,change,starts,ends,mail,leave_from,leave_until,handover",
	"K-tanaka,例 tanaka,,zaisei,,joho,,異動,,,,,,2026-04-10",
	"K-suzuki,例 suzuki,,,,,,退職,,2026-03-31,,,,",
	"K-kinnen,例 kinnen,,,,,会計年度任用職員,再任用,2026-04-01,2027-03-31,,,,",
	"K-ito,例 ito,,,,,,休職,,,,2026-04-01,2026-09-30,",
	"K-modori,例 modori,,jinji,,,,再任用,,,,,,",
	"K-nitta,新田 葵,nitta,jinji,security_manager,,会計年度任用職員,採用,,2027-03-31,nitta@pref.example,,,",
	"K-arai,新井 学,arai,joho,,,,採用,,,arai@pref.example,,,",
}, "\n")

// A world is a book on a real store and a real directory, with a clock of its own.
type world struct {
	testing.TB
	*Book
	db       *store.DB
	dir      *ldap.Directory
	clock    *clock.Fake
	policy   *policy.Policy
	sessions *session.Sessions
	matters  *approval.Book
	watch    *standing.Watch
	gate     *authztest.Gate
	projects *project.Book
	ring     *secret.KeyRing
	death    authztest.Death

	mu   sync.Mutex
	lose int // the answer to this commit from now on is lost; 0: none is
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(planned)}
	w.dir = embeddedtest.Start(t, embedded.Config{Now: w.clock.Now, Seed: seed}).Dial()
	w.db, w.policy, w.ring = storetest.OpenWith(t, store.Config{Fault: w.fault}), rules(), authztest.Ring(t)
	w.policy.Personnel.PerSecond = 10_000
	w.Book = w.gateway(w.dir)
	return w
}

func seed(add embeddedtest.Add) error {
	var all []embeddedtest.Person
	for _, m := range members {
		entry := map[string][]string{"cn": {"例 " + m.login}, "departmentNumber": {m.section}, "employeeNumber": {"K-" + m.login}}
		maps.Copy(entry, m.more)
		all = append(all, embeddedtest.Person{Login: m.login, Posts: m.posts, More: entry})
	}
	return embeddedtest.Seed(add, all)
}

// gateway is a gate of its own on the same store and directory.
func (w *world) gateway(dir Directory) *Book {
	w.gate = authztest.Ground{DB: w.db, Dir: w.dir, Ring: w.ring, Policy: func() *policy.Policy { return w.policy }}.Gate(w.clock.Now)
	g := w.gate
	w.watch, w.sessions, w.matters = g.Watch, g.Sessions, g.Matters
	life := lifecycle.New(lifecycle.House{DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: w.dir, Sessions: g.Sessions, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch, Now: g.Now})
	w.projects = project.Open(project.House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: w.dir, IDs: life, Sessions: g.Sessions, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch, Fresh: func(clock.Moment) bool { return false }, Now: g.Now,
	})
	return New(House{
		DB: w.db, Trail: g.Trail, Policy: g.Policy, Directory: dir, Sessions: g.Sessions, Life: life, Projects: w.projects, Matters: g.Matters, Notices: g.Notices, Forget: g.Watch, Fresh: func() bool { return false }, Now: g.Now, Stop: w.death.Stop,
	})
}

// fault loses the answer to a commit, once.
func (w *world) fault(stage string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stage != "committed" || w.lose == 0 {
		return nil
	}
	if w.lose--; w.lose > 0 {
		return nil
	}
	return errLost
}

var errLost = errors.New("the answer was lost, says the test")

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// at has it be a time.
func (w *world) at(t time.Time) {
	w.Helper()
	w.clock.Advance(t.Sub(w.clock.Now()))
}

func file(text string) File {
	return File{Name: "changes.csv", Digest: "d-" + fmt.Sprint(len(text)), From: strings.NewReader(text)}
}

func (w *world) propose(text string) Import {
	w.Helper()
	i, _, err := w.Propose(w.Context(), "oda", file(text), effective, false)
	w.must(err)
	return i
}

// approved is an import that a second person approved.
func (w *world) approved(text string) Import {
	w.Helper()
	i := w.propose(text)
	w.decide("kobayashi", i.ID, true)
	return i
}

// tick is one look of the gate, to its end.
func (w *world) tick() { w.Helper(); w.must(w.Tick(w.Context())) }

func (w *world) tickAt(t time.Time) { w.Helper(); w.at(t); w.tick() }

// as is somebody who signed in with a key of last year.
func (w *world) as(login string) approval.Approver {
	w.Helper()
	return w.gate.SignIn(w, login, planned.AddDate(-1, 0, 0))
}

func (w *world) decide(login, matter string, yes bool) {
	w.Helper()
	w.gate.Decide(w, w.as(login), matter, yes)
}

func (w *world) person(login string) directory.Person {
	w.Helper()
	return w.gate.Person(w, login)
}

// is says what a person is in short, as the directory and the store have it.
func (w *world) is(login string) string {
	w.Helper()
	p, err := w.dir.Find(w.Context(), login)
	if errors.Is(err, directory.ErrNotFound) {
		return "nobody"
	}
	w.must(err)
	s := p.Section
	for _, id := range w.policy.PostsOf(p.Groups) {
		s += " +" + string(id)
	}
	if p.Account.Disabled {
		s += " disabled"
	}
	if !p.Account.ExpiresAt.IsZero() {
		s += " until " + p.Account.ExpiresAt.In(japan).Format("2006-01-02 15:04")
	}
	f, err := w.watch.Of(w.Context(), p.ID)
	w.must(err)
	for _, k := range f.Closed {
		s += " " + string(k)
	}
	beside, err := readPostings(w.Context(), w.db, `person_id = $1 AND (until_at = 0 OR until_at > $2) ORDER BY section`, string(p.ID), store.Micros(w.clock.Now()))
	w.must(err)
	for _, place := range beside[p.ID] {
		s += " " + place.kind + ":" + place.section
	}
	return s
}

func (w *world) all() string {
	var out []string
	for _, login := range []string{"tanaka", "suzuki", "kinnen", "ito", "modori", "nitta", "arai"} {
		out = append(out, login+": "+w.is(login))
	}
	return strings.Join(out, "\n")
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

func (w *world) state(id string) State {
	w.Helper()
	i, err := w.Get(w.Context(), id)
	w.must(err)
	return i.State
}
