package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
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

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

func groupOf(id policy.PostID) string {
	return "cn=" + strings.ReplaceAll(string(id), "_", "-") + ",ou=groups," + base
}

func rules() *policy.Policy {
	p := policy.Standard()
	for i := range p.Posts {
		p.Posts[i].Group = groupOf(p.Posts[i].ID)
	}
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
	ring     *secret.KeyRing
	url      string
	server   *embedded.Server
	folder   string

	mu     sync.Mutex
	signed map[string]approval.Approver
	stop   string
	barred directory.PersonID
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), folder: t.TempDir(), policy: rules(), signed: map[string]approval.Approver{}}
	w.open("127.0.0.1:0")
	var err error
	w.dir, err = ldap.Open(t.Context(), ldap.Config{
		Servers: []string{w.url}, BindDN: adminDN, BindPassword: text(adminWord), BaseDN: base, Schema: "embedded", OpTimeout: 10 * time.Second,
	}, w.clock.Now)
	w.must(err)
	t.Cleanup(w.dir.Close)
	w.build()
	return w
}

// build makes the rooms on the directory.
func (w *world) build() {
	w.Helper()
	w.db = storetest.Open(w)
	var err error
	w.ring, err = secret.CreateKeyRing(filepath.Join(w.folder, "ring"))
	w.must(err)
	pol := func() *policy.Policy { return w.policy }
	trail := audit.New(w.db, w.clock.Now)
	w.watch = standing.NewWatch(w.db, w.dir, w.clock.Now)
	w.sessions = session.New(w.db, w.ring, trail, w.watch, pol, w.clock.Now)
	w.effects = elevate.New(elevate.House{DB: w.db, Trail: trail, Directory: w.dir, Policy: pol, Forget: w.watch, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w.Output(), nil))})
	w.Book = New(House{
		DB: w.db, Trail: trail, Policy: pol, Presence: w, Effects: w.effects, People: w.watch, Sessions: w.sessions, Sealing: w.ring, Now: w.clock.Now,
		Barred: func(_ context.Context, p directory.Person) (bool, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return p.ID == w.barred, nil
		},
		Stop: w.stopped,
	})
}

// open starts the embedded directory; a second time on what the first has left.
func (w *world) open(listen string) {
	w.Helper()
	hasher := secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, nil, 64)
	var err error
	w.server, err = embedded.Start(w.Context(), embedded.Config{
		Dir: filepath.Join(w.folder, "ldap"), Listen: listen, BaseDN: base, AdminPassword: text(adminWord), Hasher: hasher, Now: w.clock.Now,
		Seed: func(add func(string, map[string][]string) error) error {
			members := map[policy.PostID][]string{}
			for login, post := range map[string]policy.PostID{
				"tanaka": policy.Staff, "suzuki": policy.Staff, "mori": policy.Staff, "kimura": policy.Contractor,
				"yamamoto": policy.SecurityManager, "inoue": policy.Auditor,
			} {
				dn := "uid=" + login + ",ou=people," + base
				members[post] = append(members[post], dn)
				if err := add(dn, map[string][]string{
					"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"}, "uid": {login}, "cn": {login}, "sn": {login},
					"employeeType": {"staff"}, "departmentNumber": {"joho"},
				}); err != nil {
					return err
				}
			}
			for post, of := range members {
				cn, _, _ := strings.Cut(strings.TrimPrefix(groupOf(post), "cn="), ",")
				if err := add(groupOf(post), map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {cn}, "member": append(of, "cn=nobody,"+base)}); err != nil {
					return err
				}
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
		},
	})
	w.must(err)
	w.url = w.server.URL()
	server := w.server
	w.Cleanup(func() { _ = server.Close() })
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

var errDied = errors.New("died, says the test")

func (w *world) stopped(point string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop == point {
		return fmt.Errorf("%w at %s", errDied, point)
	}
	return nil
}

// as has somebody sign in, by their login.
func (w *world) as(login string) string {
	w.Helper()
	p, err := w.dir.Find(w.Context(), login)
	w.must(err)
	var id string
	w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
		n, _, err := w.sessions.Begin(w.Context(), tx, session.Session{Person: p.ID, Login: login, Zone: policy.LGWAN, ACR: policy.PHR, AuthAt: w.clock.Now(), From: "10.2.0.9"})
		id = n.ID
		return err
	}))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.signed[login] = approval.Approver{
		Holder: approval.Holder{Person: p, Posts: w.policy.PostsOf(p.Groups)}, Usable: true, ACR: policy.PHR, AuthAt: w.clock.Now(), SessionID: id,
		From: "10.2.0.9", Zone: policy.LGWAN, RequestID: "r1",
	}
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
	c, err := goldap.DialURL(w.url)
	w.must(err)
	defer c.Close()
	s, _ := w.policy.SharedID(id)
	return c.Bind(s.Account, string(pw.Reveal())) == nil
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
	var n int
	w.must(w.db.QueryRow(w.Context(), q, args...).Scan(&n))
	return n
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(parts ...string) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, "%"+strings.Join(parts, "%")+"%")
}
