package lifecycle

import (
	"context"
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
	base      = "dc=pref,dc=example"
	adminDN   = "cn=admin," + base
	adminWord = "admin-of-this-test"
)

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
	server   *embedded.Server
	clock    *clock.Fake
	policy   *policy.Policy
	sessions *session.Sessions
	matters  *approval.Book
	watch    *standing.Watch
	folder   string
	ring     *secret.KeyRing
	sealed   register
	signed   map[string]string

	mu    sync.Mutex
	stop  string
	after int // how often the point is passed before
}

func newWorld(t testing.TB, people ...member) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), folder: t.TempDir(), signed: map[string]string{}}
	hasher := secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 64)
	var err error
	w.server, err = embedded.Start(t.Context(), embedded.Config{
		Dir: filepath.Join(w.folder, "ldap"), BaseDN: base, AdminPassword: secret.NewText([]byte(adminWord)), Hasher: hasher, Now: w.clock.Now,
		Seed: func(add func(string, map[string][]string) error) error {
			return seed(add, append(officials, people...))
		},
	})
	w.must(err)
	server := w.server
	t.Cleanup(func() { _ = server.Close() })
	w.dir = w.dial(w.server.URL(), 500)
	w.db = storetest.Open(t)
	w.policy = rules()
	w.ring, err = secret.CreateKeyRing(filepath.Join(w.folder, "ring"))
	w.must(err)
	w.Book = w.gateway(w.dir)
	return w
}

func (w *world) dial(url string, page int) *ldap.Directory {
	w.Helper()
	d, err := ldap.Open(w.Context(), ldap.Config{
		Servers: []string{url}, BindDN: adminDN, BindPassword: secret.NewText([]byte(adminWord)), BaseDN: base, Schema: "embedded", OpTimeout: 20 * time.Second, PageSize: page,
	}, w.clock.Now)
	w.must(err)
	w.Cleanup(d.Close)
	return d
}

func rules() *policy.Policy {
	p := policy.Standard()
	p.Sections = []policy.Section{{ID: "dejitaru"}, {ID: "joho", Parent: "dejitaru"}}
	for i := range p.Posts {
		p.Posts[i].Group = groupOf(p.Posts[i].ID)
	}
	for i := range p.Zones {
		p.Zones[i].MailNotices = true
	}
	p.Mail.From = "sekisho@pref.example"
	return p
}

func groupOf(id policy.PostID) string {
	return "cn=" + strings.ReplaceAll(string(id), "_", "-") + ",ou=groups," + base
}

func generalized(t time.Time) string { return t.UTC().Format("20060102150405Z") }

func dnOf(login string) string { return "uid=" + login + ",ou=people," + base }

func seed(add func(string, map[string][]string) error, people []member) error {
	members := map[policy.PostID][]string{}
	for _, m := range people {
		made := m.made
		if made.IsZero() {
			made = t0.AddDate(-2, 0, 0)
		}
		if m.kind == "" {
			m.kind = "staff"
		}
		entry := map[string][]string{
			"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"}, "uid": {m.login}, "cn": {"例 " + m.login}, "sn": {m.login},
			"mail": {m.login + "@pref.example"}, "departmentNumber": {"joho"}, "employeeType": {m.kind}, "createTimestamp": {generalized(made)}, "pwdChangedTime": {generalized(made)},
		}
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
		for k, v := range m.more {
			entry[k] = v
		}
		if err := add(dnOf(m.login), entry); err != nil {
			return err
		}
		for _, id := range m.posts {
			members[id] = append(members[id], dnOf(m.login))
		}
	}
	for _, id := range policy.PostIDs() {
		group := map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {string(id)}, "member": append(members[id], "cn=nobody,"+base)}
		if err := add(groupOf(id), group); err != nil {
			return err
		}
	}
	return nil
}

// gateway is a gate of its own on the same store.
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
	return New(House{
		DB: w.db, Trail: trail, Policy: pol, Directory: dir, Sessions: w.sessions, Matters: w.matters, Notices: notices, Forget: w.watch, Now: now, Stop: w.stopped, Sealed: &w.sealed,
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
	p, err := w.dir.Find(w.Context(), login)
	w.must(err)
	return p
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

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, string(w.person(login).ID), string(k))
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
	p := w.person(login)
	var id string
	w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
		n, _, err := w.sessions.Begin(w.Context(), tx, session.Session{
			Person: p.ID, Login: login, Zone: policy.LGWAN, ACR: policy.PHR, AuthAt: w.clock.Now(), From: "10.2.0.9",
		})
		id = n.ID
		return err
	}))
	return approval.Approver{
		Holder: approval.Holder{Person: p, Posts: w.policy.PostsOf(p.Groups)}, Usable: true, ACR: policy.PHR, AuthAt: w.clock.Now(),
		FactorAt: t0.AddDate(-1, 0, 0), SessionID: id, From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
}

func (w *world) decide(login, matter string, yes bool) {
	w.Helper()
	_, err := w.matters.Decide(w.Context(), w.as(login), matter, yes, "決めた")
	w.must(err)
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
