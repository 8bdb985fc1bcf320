package personnel

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const (
	adminDN   = "cn=admin," + base
	adminWord = "admin-of-this-test"
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
	{"ito", "joho", []policy.PostID{policy.Staff}, nil}, {"modori", "joho", nil, map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}},
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
	ring     *secret.KeyRing

	mu    sync.Mutex
	stop  string
	after int
	lose  int // the answer to this commit from now on is lost; 0: none is
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(planned)}
	folder := t.TempDir()
	server, err := embedded.Start(t.Context(), embedded.Config{
		Dir: filepath.Join(folder, "ldap"), BaseDN: base, AdminPassword: secret.NewText([]byte(adminWord)), Now: w.clock.Now,
		Hasher: secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 64), Seed: seed,
	})
	w.must(err)
	t.Cleanup(func() { _ = server.Close() })
	w.dir, err = ldap.Open(t.Context(), ldap.Config{
		Servers: []string{server.URL()}, BindDN: adminDN, BindPassword: secret.NewText([]byte(adminWord)), BaseDN: base, Schema: "embedded", OpTimeout: 20 * time.Second,
	}, w.clock.Now)
	w.must(err)
	t.Cleanup(w.dir.Close)
	w.db, w.policy = storetest.OpenWith(t, store.Config{Fault: w.fault}), rules()
	w.policy.Personnel.PerSecond = 10_000
	w.ring, err = secret.CreateKeyRing(filepath.Join(folder, "ring"))
	w.must(err)
	w.Book = w.gateway(w.dir)
	return w
}

func seed(add func(string, map[string][]string) error) error {
	held := map[policy.PostID][]string{}
	for _, m := range members {
		dn := "uid=" + m.login + ",ou=people," + base
		entry := map[string][]string{
			"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"}, "uid": {m.login}, "cn": {"例 " + m.login}, "sn": {m.login},
			"mail": {m.login + "@pref.example"}, "departmentNumber": {m.section}, "employeeType": {"staff"}, "employeeNumber": {"K-" + m.login},
		}
		for k, v := range m.more {
			entry[k] = v
		}
		if err := add(dn, entry); err != nil {
			return err
		}
		for _, id := range m.posts {
			held[id] = append(held[id], dn)
		}
	}
	for _, id := range policy.PostIDs() {
		if err := add(groupOf(id), map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {string(id)}, "member": append(held[id], "cn=nobody,"+base)}); err != nil {
			return err
		}
	}
	return nil
}

// gateway is a gate of its own on the same store and directory.
func (w *world) gateway(dir Directory) *Book {
	pol := func() *policy.Policy { return w.policy }
	now := w.clock.Now
	trail := audit.New(w.db, now)
	w.watch = standing.NewWatch(w.db, w.dir, now)
	w.sessions = session.New(w.db, w.ring, trail, w.watch, pol, now)
	notices := notice.New(w.db, now, pol)
	w.matters = approval.New(approval.House{
		DB: w.db, Trail: trail, Policy: pol, Version: func() int64 { return 7 }, People: w.dir, Facts: w.watch, Notices: notices, Now: now,
	})
	life := lifecycle.New(lifecycle.House{DB: w.db, Trail: trail, Policy: pol, Directory: w.dir, Sessions: w.sessions, Matters: w.matters, Notices: notices, Forget: w.watch, Now: now})
	return New(House{
		DB: w.db, Trail: trail, Policy: pol, Directory: dir, Sessions: w.sessions, Life: life, Matters: w.matters, Forget: w.watch, Fresh: func() bool { return false }, Now: now, Stop: w.stopped,
	})
}

var errDied = errors.New("died, says the test")

func (w *world) stopped(point string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != point {
		return nil
	}
	if w.after > 0 {
		w.after--
		return nil
	}
	w.stop = ""
	return fmt.Errorf("%w at %s", errDied, point)
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

// dieAt ends what comes to a point, once, after it was passed so often.
func (w *world) dieAt(point string, after int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop, w.after = point, after
}

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

// as is somebody who signed in with a key of last year.
func (w *world) as(login string) approval.Approver {
	w.Helper()
	p := w.person(login)
	var id string
	w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
		n, _, err := w.sessions.Begin(w.Context(), tx, session.Session{Person: p.ID, Login: login, Zone: policy.LGWAN, ACR: policy.PHR, AuthAt: w.clock.Now(), From: "10.2.0.9"})
		id = n.ID
		return err
	}))
	return approval.Approver{
		Holder: approval.Holder{Person: p, Posts: w.policy.PostsOf(p.Groups)}, Usable: true, ACR: policy.PHR, AuthAt: w.clock.Now(),
		FactorAt: planned.AddDate(-1, 0, 0), SessionID: id, From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
}

func (w *world) decide(login, matter string, yes bool) {
	w.Helper()
	_, err := w.matters.Decide(w.Context(), w.as(login), matter, yes, "決めた")
	w.must(err)
}

func (w *world) person(login string) directory.Person {
	w.Helper()
	p, err := w.dir.Find(w.Context(), login)
	w.must(err)
	return p
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
	var n int
	w.must(w.db.QueryRow(w.Context(), q, args...).Scan(&n))
	return n
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(parts ...string) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, "%"+strings.Join(parts, "%")+"%")
}

func (w *world) state(id string) State {
	w.Helper()
	i, err := w.Get(w.Context(), id)
	w.must(err)
	return i.State
}
