package signin_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

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

// pw is everybody's password here; a new one that the rules accept is next.
const (
	pw   = "tsubame-noboru-kasumi-7"
	next = "harusame furikomu tera no kane"
)

// gateURL is where the gate of these tests is.
const gateURL = "https://gate.example"

// world is a sign-in on a real directory and a real store, with a clock of its
// own. The policy may be changed before use.
type world struct {
	*signin.Service
	account *account.Service
	dir     *ldap.Directory
	db      *store.DB
	clock   *clock.Fake
	policy  *policy.Policy
	codes   *totp.Devices
	trail   *audit.Trail
	keys    *passkey.Keys
	help    *recovery.Codes
	origin  signin.Origin
	ceiling int
	folder  string
	ldapURL string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: clock.NewFake(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)), folder: t.TempDir(), ceiling: 99}
	ring, err := secret.CreateKeyRing(filepath.Join(w.folder, "ring"))
	must(t, err)
	hasher := secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, ring, 4096)
	admin := secret.NewText([]byte("admin-of-the-test"))
	srv, err := embedded.Start(ctx, embedded.Config{
		Dir: filepath.Join(w.folder, "ldap"), BaseDN: "dc=pref,dc=example", AdminPassword: admin, Hasher: hasher, Now: w.clock.Now,
	})
	must(t, err)
	t.Cleanup(func() { srv.Close() })
	w.ldapURL = "ldap://" + srv.Addr()
	w.dir, err = ldap.Open(ctx, ldap.Config{
		Servers: []string{"ldap://" + srv.Addr()}, BindDN: "cn=admin,dc=pref,dc=example", BindPassword: admin,
		BaseDN: "dc=pref,dc=example", Schema: "embedded", OpTimeout: 20 * time.Second,
	}, w.clock.Now)
	must(t, err)
	t.Cleanup(func() { w.dir.Close() })
	w.db, err = store.Open(ctx, storetest.At(t, filepath.Join(w.folder, "sekisho.db")))
	must(t, err)
	t.Cleanup(func() { w.db.Close() })

	w.policy = policy.Standard()
	w.policy.Zones = []policy.Zone{{ID: policy.LGWAN, SignInACR: policy.AAL1, IdleEnd: 30 * time.Minute, AbsoluteEnd: 9 * time.Hour, CounterIdleEnd: 3 * time.Minute}}
	w.policy.Prefecture.Words = []string{"reiken"}
	w.policy.SignIn.SourceFailures = 100_000
	w.build(ring, hasher)
	w.origin = signin.Origin{Source: netip.MustParseAddr("10.2.0.9"), Zone: policy.LGWAN, RequestID: "r1", UserAgent: "test"}
	return w
}

// build makes the services, as a restart would.
func (w *world) build(ring *secret.KeyRing, hasher *secret.Hasher) {
	pol := func() *policy.Policy { return w.policy }
	w.trail = audit.New(w.db, w.clock.Now)
	watch := standing.NewWatch(w.db, w.dir, w.clock.Now)
	w.codes = totp.New(w.db, ring, w.clock.Now)
	once := ticket.New(ring, w.clock.Now)
	var err error
	if w.keys, err = passkey.New(w.db, ring, once, passkey.RP{ID: "gate.example", Name: "関所", Origins: []string{gateURL}}, w.clock.Now, pol); err != nil {
		panic(err)
	}
	w.help = recovery.New(w.db, ring, w.clock.Now, func() policy.RecoveryRules { return w.policy.Recovery })
	w.Service = signin.New(signin.House{
		DB: w.db, Trail: w.trail, Policy: pol, Directory: w.dir, Watch: watch,
		Sessions: session.New(w.db, ring, w.trail, watch, pol, w.clock.Now), Codes: w.codes,
		Passkeys: w.keys, Cards: card.New(w.db, nil, w.clock.Now, pol), Terminals: terminal.New(w.db, once, gateURL, w.clock.Now, pol),
		Recovery: w.help, Notices: notice.New(w.db, w.clock.Now, pol),
		History: password.New(w.db, hasher, ring, w.clock.Now), Flows: ephemeral.NewMemory(w.clock.Now, 1<<20),
		Now: w.clock.Now, Ceiling: func() int { return w.ceiling },
	})
	w.account = account.New(w.Service, w.dir)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// person creates somebody with the password pw.
func (w *world) person(t *testing.T, login string) directory.Person {
	t.Helper()
	p, err := w.dir.Create(ctx, directory.NewPerson{
		Login: login, Name: "例 " + login, Mail: login + "@pref.example", Section: "jinji",
		Kind: directory.KindStaff, Password: text(pw),
	})
	must(t, err)
	return p
}

// device gives a person a TOTP device and returns its seed.
func (w *world) device(t *testing.T, p directory.Person) []byte {
	t.Helper()
	const seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return w.codes.Import(ctx, tx, p.ID, seed, "phone") }))
	raw, err := totp.ParseSecret(seed)
	must(t, err)
	return raw
}

// code is what the device shows now.
func (w *world) code(t testing.TB, seed []byte) string {
	t.Helper()
	c, err := totp.Code(seed, totp.StepAt(w.clock.Now()))
	must(t, err)
	return c
}

func text(s string) secret.Text { return secret.NewText([]byte(s)) }

// in signs somebody in by password alone and returns the cookie.
func (w *world) in(t *testing.T, login string) string {
	t.Helper()
	step, err := w.Password(ctx, w.origin, "", login, text(pw))
	must(t, err)
	if step.State != "signed_in" || step.Cookie == "" {
		t.Fatalf("signing %s in came to %q", login, step.State)
	}
	return step.Cookie
}

// actions lists the trail's entries of one action, pending and sealed.
func (w *world) actions(t *testing.T, action string) int {
	t.Helper()
	var n int
	must(t, w.db.QueryRow(ctx, `SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, `%"action":"`+action+`"%`).Scan(&n))
	return n
}

func parseSecret(s secret.Text) ([]byte, error) { return totp.ParseSecret(string(s.Reveal())) }

// join makes a person the member of a new group, as the directory's
// administrators do.
func (w *world) join(t *testing.T, group string, p directory.Person) {
	t.Helper()
	conn, err := goldap.DialURL(w.ldapURL)
	must(t, err)
	defer conn.Close()
	must(t, conn.Bind("cn=admin,dc=pref,dc=example", "admin-of-the-test"))
	for _, e := range []struct {
		dn    string
		class string
		attrs map[string][]string
	}{
		{"ou=groups,dc=pref,dc=example", "organizationalUnit", map[string][]string{"ou": {"groups"}}},
		{"cn=" + group + ",ou=groups,dc=pref,dc=example", "groupOfNames", map[string][]string{"cn": {group}, "member": {p.DN}}},
	} {
		add := goldap.NewAddRequest(e.dn, nil)
		add.Attribute("objectClass", []string{e.class})
		for k, v := range e.attrs {
			add.Attribute(k, v)
		}
		if err := conn.Add(add); err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultEntryAlreadyExists) {
			t.Fatal(err)
		}
	}
	w.Watch.Forget(p.ID)
}

// lose takes a table away, as a store that does not answer; back puts it back.
func (w *world) lose(t *testing.T, table string) (back func()) {
	t.Helper()
	rename := func(from, to string) {
		t.Helper()
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `ALTER TABLE `+from+` RENAME TO `+to)
			return err
		}))
	}
	rename(table, table+"_lost")
	return func() { rename(table+"_lost", table) }
}
