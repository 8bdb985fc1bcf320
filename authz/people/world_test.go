package people_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/password"
	"sekisho/authn/recovery"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/ticket"
	"sekisho/authn/totp"
	"sekisho/authz/lifecycle"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var ctx = context.Background()

const (
	base = "dc=pref,dc=example"
	// pw is everybody's password here.
	pw = "tsubame-noboru-kasumi-7"
)

// world is the service on a real directory and a real store, with a clock of its
// own. In it are, by login: admin and operator, who administer; officer, who
// approves; auditor; tanaka and suzuki, who are staff.
type world struct {
	*people.Service
	in     *signin.Service
	dir    *ldap.Directory
	reset  *resets
	db     *store.DB
	clock  *clock.Fake
	policy *policy.Policy
	origin signin.Origin
	folder string
	all    map[string]directory.Person
}

// resets is the directory of the sign-in, whose answer to a reset can be lost.
type resets struct {
	*ldap.Directory
	lose bool
}

func (r *resets) ResetPassword(ctx context.Context, p directory.Person, pw secret.Text, mustChange bool) error {
	err := r.Directory.ResetPassword(ctx, p, pw, mustChange)
	if err == nil && r.lose {
		return directory.ErrAway
	}
	return err
}

var holders = map[policy.PostID][]string{
	policy.SystemAdministrator: {"admin"}, policy.SystemOperator: {"operator"},
	policy.SecurityOfficer: {"officer"}, policy.Auditor: {"auditor"},
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		clock: clock.NewFake(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)), folder: t.TempDir(), all: map[string]directory.Person{},
		origin: signin.Origin{Source: netip.MustParseAddr("10.2.0.9"), Zone: policy.LGWAN, RequestID: "r1", UserAgent: "test"},
	}
	ring, err := secret.CreateKeyRing(filepath.Join(w.folder, "ring"))
	must(t, err)
	hasher := secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, ring, 4096)
	w.openDirectory(t, hasher)
	w.db, err = store.Open(ctx, storetest.At(t, filepath.Join(w.folder, "sekisho.db")))
	must(t, err)
	t.Cleanup(func() { w.db.Close() })
	w.policy = policy.Standard()
	w.policy.Zones = []policy.Zone{{
		ID: policy.LGWAN, SignInACR: policy.AAL1, IdleEnd: 30 * time.Minute, AbsoluteEnd: 9 * time.Hour, CounterIdleEnd: 3 * time.Minute, MailNotices: true,
	}}
	w.policy.Mail.From = "sekisho@pref.example"
	w.policy.SignIn.SourceFailures = 100_000
	for i, post := range w.policy.Posts {
		if holders[post.ID] != nil {
			w.policy.Posts[i].Group = groupOf(post.ID)
		}
	}
	w.build(t, ring, hasher)
	return w
}

func groupOf(id policy.PostID) string { return "cn=" + string(id) + ",ou=groups," + base }

func (w *world) openDirectory(t *testing.T, hasher *secret.Hasher) {
	t.Helper()
	password := text("admin-of-the-test")
	srv, err := embedded.Start(ctx, embedded.Config{
		Dir: filepath.Join(w.folder, "ldap"), BaseDN: base, AdminPassword: password, Hasher: hasher, Now: w.clock.Now,
		Seed: func(add func(string, map[string][]string) error) error {
			for post := range holders {
				err := add(groupOf(post), map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {string(post)}, "member": {"cn=nobody," + base}})
				if err != nil {
					return err
				}
			}
			return nil
		},
	})
	must(t, err)
	t.Cleanup(func() { srv.Close() })
	w.dir, err = ldap.Open(ctx, ldap.Config{
		Servers: []string{srv.URL()}, BindDN: "cn=admin," + base, BindPassword: password,
		BaseDN: base, Schema: "embedded", OpTimeout: 20 * time.Second,
	}, w.clock.Now)
	must(t, err)
	t.Cleanup(func() { w.dir.Close() })
	for _, login := range []string{"tanaka", "suzuki"} {
		w.person(t, login)
	}
	for post, logins := range holders {
		for _, login := range logins {
			must(t, w.dir.AddMember(ctx, groupOf(post), w.person(t, login).DN))
			w.all[login], err = w.dir.Find(ctx, login)
			must(t, err)
		}
	}
}

// person creates somebody with the password pw.
func (w *world) person(t *testing.T, login string, change ...func(*directory.NewPerson)) directory.Person {
	t.Helper()
	n := directory.NewPerson{
		Login: login, Name: "例 " + login, Mail: login + "@pref.example", Section: "jinji",
		Kind: directory.KindStaff, Password: text(pw),
	}
	for _, c := range change {
		c(&n)
	}
	p, err := w.dir.Create(ctx, n)
	must(t, err)
	w.all[login] = p
	return p
}

func (w *world) build(t *testing.T, ring *secret.KeyRing, hasher *secret.Hasher) {
	t.Helper()
	pol := func() *policy.Policy { return w.policy }
	now := w.clock.Now
	tickets := ticket.New(ring, now)
	keys, err := passkey.New(w.db, ring, tickets, passkey.RP{ID: "localhost", Name: "Sekisho", Origins: []string{"http://localhost:8080"}}, now, pol)
	must(t, err)
	trail, watch := audit.New(w.db, now), standing.NewWatch(w.db, w.dir, now)
	w.reset = &resets{Directory: w.dir}
	w.in = signin.New(signin.House{
		DB: w.db, Trail: trail, Policy: pol, Directory: w.reset, Watch: watch,
		Sessions: session.New(w.db, ring, trail, watch, pol, now),
		Codes:    totp.New(w.db, ring, now), Passkeys: keys, Cards: card.New(w.db, nil, now, pol),
		Terminals: terminal.New(w.db, tickets, "http://localhost:8080", now, pol),
		Recovery:  recovery.New(w.db, ring, now, func() policy.RecoveryRules { return w.policy.Recovery }),
		History:   password.New(w.db, hasher, ring, now), Notices: notice.New(w.db, now, pol),
		Flows: ephemeral.NewMemory(now, 1<<20), Now: now, Ceiling: func() int { return 99 },
	})
	w.Service = people.New(people.House{
		In: w.in, Account: account.New(w.in, w.dir), Directory: w.dir,
		Stock: totp.NewTokens(w.db, ring, now, func() policy.TOTPRules { return w.policy.TOTP }),
		Dormancy: lifecycle.New(lifecycle.House{
			DB: w.db, Trail: trail, Policy: pol, Directory: w.dir, Sessions: w.in.Sessions, Notices: w.in.Notices, Forget: watch, Now: now,
		}),
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

// session is the cookie of somebody who has just proved themselves so strongly.
func (w *world) session(t testing.TB, login string, acr policy.ACR, change ...func(*session.Session)) string {
	t.Helper()
	p := w.all[login]
	n := session.Session{
		Person: p.ID, Login: p.Login, Name: p.Name, Zone: policy.LGWAN, ACR: acr, From: "10.2.0.9", AuthAt: w.clock.Now(),
	}
	for _, c := range change {
		c(&n)
	}
	var cookie string
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		_, cookie, err = w.in.Sessions.Begin(ctx, tx, n)
		return err
	}))
	return cookie
}

// at is what a session began on.
func at(terminal string) func(*session.Session) {
	return func(n *session.Session) { n.Terminal, n.TerminalClass = terminal, policy.TerminalCounter }
}

func (w *world) alive(t testing.TB, cookie string) bool {
	t.Helper()
	_, err := w.in.Sessions.Load(ctx, cookie)
	return err == nil
}

// device gives a person a one-time code app.
func (w *world) device(t testing.TB, login string) (seed []byte) {
	t.Helper()
	const text = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.in.Codes.Import(ctx, tx, w.all[login].ID, text, "電話") }))
	seed, err := totp.ParseSecret(text)
	must(t, err)
	return seed
}

// factor is the id of the only factor that a person has.
func (w *world) factor(t testing.TB, login string) string {
	t.Helper()
	all, err := w.Account.FactorsOf(ctx, w.all[login].ID)
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%s has %d factors", login, len(all))
	}
	return all[0].ID
}

// record writes something against a person, as a sweep would.
func (w *world) record(t testing.TB, login string, k standing.Kind) {
	t.Helper()
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		return standing.Set(ctx, tx, w.all[login].ID, k, w.clock.Now(), time.Time{}, "test", "sweep")
	}))
}

func (w *world) count(t testing.TB, q string, args ...any) int {
	t.Helper()
	var n int
	must(t, w.db.QueryRow(ctx, q, args...).Scan(&n))
	return n
}

// entries counts the trail's entries that hold all the given parts.
func (w *world) entries(t testing.TB, parts ...string) int {
	t.Helper()
	like := ` LIKE $1`
	if storetest.Engine() == "postgres" {
		like += ` ESCAPE ''` // a backslash is one, as it is in SQLite
	}
	return w.count(t, `SELECT COUNT(*) FROM trail_pending WHERE `+readable("data")+like, "%"+strings.Join(parts, "%")+"%")
}

// readable is what the bytes of a column say.
func readable(column string) string {
	if storetest.Engine() == "postgres" {
		return `convert_from(` + column + `, 'UTF8')`
	}
	return `CAST(` + column + ` AS TEXT)`
}

// told counts the notices of a kind to a person.
func (w *world) told(t testing.TB, login string, k notice.Kind) int {
	t.Helper()
	return w.count(t, `SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, string(w.all[login].ID), string(k))
}

// breakTrail has the store refuse entries of one action until mended.
func (w *world) breakTrail(t testing.TB, action string) (mend func()) {
	t.Helper()
	exec := func(q string) {
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, q); return err }))
	}
	if storetest.Engine() == "postgres" {
		exec(`CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken by the test'; END $$`)
		exec(`CREATE TRIGGER broken BEFORE INSERT ON trail_pending FOR EACH ROW
			WHEN (` + readable("NEW.data") + ` LIKE '%"action":"` + action + `"%') EXECUTE FUNCTION broken()`)
		return func() { exec(`DROP TRIGGER broken ON trail_pending`); exec(`DROP FUNCTION broken()`) }
	}
	exec(`CREATE TRIGGER broken BEFORE INSERT ON trail_pending
		WHEN CAST(NEW.data AS TEXT) LIKE '%"action":"` + action + `"%'
		BEGIN SELECT RAISE(ABORT, 'broken by the test'); END`)
	return func() { exec(`DROP TRIGGER broken`) }
}

// holdsSecret reports whether any file of the store holds a text.
func (w *world) holdsSecret(t testing.TB, s secret.Text) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.folder, "sekisho.db*"))
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		if strings.Contains(string(b), string(s.Reveal())) {
			return true
		}
	}
	return false
}
