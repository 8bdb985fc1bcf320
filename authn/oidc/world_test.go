package oidc

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/token"
	"sekisho/directory"
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
	issuer   = "https://gate.example"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// world is one gateway with one person signed in.
type world struct {
	*Provider
	t     *testing.T
	db    *store.DB
	clock *clock.Fake

	mu    sync.Mutex
	rules *policy.Policy
	who   directory.Person
	away  error // of the directory
	no    error // of the admitter

	session session.Session
	cookie  string
	ring    *secret.KeyRing
	trail   *audit.Trail
}

func (w *world) ByID(context.Context, directory.PersonID) (directory.Person, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.who, w.away
}

func (w *world) Find(context.Context, string) (directory.Person, error) { return w.ByID(ctx, "") }

func (w *world) Admit(context.Context, Facts) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.no
}

func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: storetest.Open(t), clock: clock.NewFake(t0), rules: rules(), who: directory.Person{ID: "id-of-tanaka", Login: "tanaka", Name: "田中", Mail: "tanaka@pref.example"}}
	w.rules.Clients[0].BackchannelLogoutURI = "https://web.example/logout"
	w.rules.Clients[0].MaxAge = 0
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	now, current := w.clock.Now, func() *policy.Policy { w.mu.Lock(); defer w.mu.Unlock(); return w.rules }
	trail := audit.New(w.db, now)
	watch := standing.NewWatch(w.db, w, now)
	w.ring, w.trail = ring, trail
	keys, err := token.Open(ctx, w.db, ring, trail, now)
	if err != nil {
		t.Fatal(err)
	}
	w.Provider = New(House{
		DB: w.db, Trail: trail, Policy: current, Sessions: session.New(w.db, ring, trail, watch, current, now), People: watch, Finder: w, Keys: keys,
		Requests: ephemeral.NewMemory(now, 1000), Admit: w, Issuer: issuer, TokenURL: issuer + "/oauth2/token", Now: now,
	})
	err = w.db.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		w.session, w.cookie, err = w.Sessions.Begin(ctx, tx, session.Session{
			Person: w.who.ID, Login: "tanaka", Zone: policy.LGWAN, ACR: policy.AAL2, AMR: []string{"pwd", "otp", "mfa"}, AuthAt: t0,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) visit() Visit {
	n := w.session
	return Visit{Origin: signin.Origin{Source: netip.MustParseAddr("10.2.0.1"), Zone: policy.LGWAN}, Session: &n, Person: w.who}
}

func (w *world) request(change ...string) Request {
	w.t.Helper()
	r, _, err := w.Read(ctx, asked(append([]string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, change...)...))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) code() string {
	w.t.Helper()
	a, err := w.Authorize(ctx, w.request(), w.visit())
	if err != nil || a.Code == "" {
		w.t.Fatalf("%+v, %v", a, err)
	}
	return a.Code
}

func (w *world) call() Call {
	c, _ := w.Policy().Client("web")
	return Call{Client: c, From: "10.2.0.9"}
}

func (w *world) redeem(code string) (Tokens, error) {
	return w.Token(ctx, w.call(), url.Values{"grant_type": {GrantCode}, "code": {code}, "redirect_uri": {"https://web.example/cb"}, "code_verifier": {verifier}})
}

func (w *world) refreshed(value string) (Tokens, error) {
	return w.Token(ctx, w.call(), url.Values{"grant_type": {GrantRefresh}, "refresh_token": {value}})
}

func (w *world) tokens() Tokens {
	w.t.Helper()
	tok, err := w.redeem(w.code())
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

func (w *world) active(value string) bool {
	w.t.Helper()
	said, err := w.Introspect(ctx, w.call(), url.Values{"token": {value}})
	if err != nil {
		w.t.Fatal(err)
	}
	return said["active"] == true
}

// lose takes a table away until it is given back: whatever needs it breaks.
func (w *world) lose(table string) (back func()) {
	w.t.Helper()
	rename := func(from, to string) {
		w.t.Helper()
		err := w.db.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `ALTER TABLE `+from+` RENAME TO `+to)
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	rename(table, table+"_lost")
	return func() { rename(table+"_lost", table) }
}

func (w *world) count(q string, args ...any) int {
	w.t.Helper()
	var n int
	if err := w.db.QueryRow(ctx, q, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) end() {
	w.t.Helper()
	err := w.db.WithTx(ctx, func(tx *store.Tx) error { return w.Sessions.End(ctx, tx, w.session.ID, "test") })
	if err != nil {
		w.t.Fatal(err)
	}
}

// code is the OAuth error of err; "" for an error that is none.
func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// forward moves the clock while nothing idles.
func (w *world) forward(by time.Duration) { w.clock.Advance(by) }

// ten is room enough for any client.
func ten(string, int) int { return 10 }
