package terminal_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/terminal"
	"sekisho/authn/terminal/terminaltest"
	"sekisho/authn/ticket"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const gate = "https://gate.example"

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

// A pair is a terminal's key, both halves in PEM.
type pair struct{ private, public string }

func newPair(t testing.TB) pair {
	t.Helper()
	private, public, err := terminaltest.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair{private, public}
}

// print is the key's fingerprint, reckoned without the package under test.
func (p pair) print() string {
	block, _ := pem.Decode([]byte(p.public))
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

// world is a gate with a policy of three terminals, on a store that can be
// closed and opened again: juki-1 is dedicated, lent-1 cannot speak, and
// madoguchi-1 stands at a counter.
type world struct {
	*terminal.Register
	t       testing.TB
	path    string
	db      *store.DB
	ring    *secret.KeyRing
	tickets *ticket.Tickets
	clock   *clock.Fake
	policy  atomic.Pointer[policy.Policy]

	juki, madoguchi pair
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "sekisho.db"), clock: clock.NewFake(t0), juki: newPair(t), madoguchi: newPair(t)}
	var err error
	if w.ring, err = secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring")); err != nil {
		t.Fatal(err)
	}
	w.declare(
		policy.Terminal{ID: "juki-1", Zone: policy.MyNumber, Class: policy.TerminalDedicated, Name: policy.Words{JA: "住基端末"}, PublicKey: w.juki.public},
		policy.Terminal{ID: "lent-1", Zone: policy.LGWAN, Class: policy.TerminalLent, Name: policy.Words{JA: "貸与1"}},
		policy.Terminal{ID: "madoguchi-1", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口1"}, PublicKey: w.madoguchi.public},
	)
	w.open()
	t.Cleanup(func() { w.db.Close() })
	return w
}

// declare puts a policy with these terminals in force.
func (w *world) declare(terminals ...policy.Terminal) {
	pol := policy.Standard()
	pol.Zones = pol.Zones[:2] // mynumber and lgwan
	pol.Terminals = terminals
	w.policy.Store(pol)
}

// declared is a terminal of the policy in force.
func (w *world) declared(id string) policy.Terminal {
	w.t.Helper()
	t, ok := w.policy.Load().Terminal(id)
	if !ok {
		w.t.Fatalf("the policy has no %s", id)
	}
	return t
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.db, err = store.Open(context.Background(), storetest.At(w.t, w.path)); err != nil {
		w.t.Fatal(err)
	}
	w.tickets = ticket.New(w.ring, w.clock.Now)
	w.Register = terminal.New(w.db, w.tickets, gate, w.clock.Now, w.policy.Load)
}

// restart is what a crash and a new start leave.
func (w *world) restart() {
	w.t.Helper()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

// tx does one thing in a transaction.
func (w *world) tx(fn func(*store.Tx) error) error { return w.db.WithTx(context.Background(), fn) }

func (w *world) enrol(t terminal.Terminal, key string) error {
	return w.tx(func(tx *store.Tx) error { return w.Enrol(context.Background(), tx, t, key) })
}

func (w *world) lose(id string) error {
	return w.tx(func(tx *store.Tx) error { return w.Lose(context.Background(), tx, id, "suzuki") })
}

func (w *world) remove(id string) error {
	return w.tx(func(tx *store.Tx) error { return w.Remove(context.Background(), tx, id) })
}

func (w *world) spend(a terminal.Assertion) error {
	return w.tx(func(tx *store.Tx) error { return w.Spend(context.Background(), tx, a) })
}

// find is what the register knows of a terminal.
func (w *world) find(id string) terminal.Terminal {
	w.t.Helper()
	found, err := w.Find(context.Background(), w.db, id)
	if err != nil {
		w.t.Fatalf("Find(%s): %v", id, err)
	}
	return found
}

// words is an honest assertion of a terminal, over a fresh nonce.
func (w *world) words(id string) terminaltest.Assertion {
	nonce, _ := w.Nonce()
	a := terminaltest.True(id, gate, nonce, w.clock.Now())
	a.Login, a.Methods, a.AuthAt = "tanaka", []string{"pwd", "fpt"}, w.clock.Now().Add(-time.Hour)
	return a
}

// say signs an assertion and has it read.
func (w *world) say(a terminaltest.Assertion, key pair) (terminal.Assertion, error) {
	w.t.Helper()
	return w.Read(context.Background(), w.sign(a, key))
}

func (w *world) sign(a terminaltest.Assertion, key pair) string {
	w.t.Helper()
	text, err := a.Sign(key.private)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// heard is an honest assertion that was read.
func (w *world) heard(id string, key pair) terminal.Assertion {
	w.t.Helper()
	a, err := w.say(w.words(id), key)
	if err != nil {
		w.t.Fatalf("%s's word is refused: %v", id, err)
	}
	return a
}

// why is the reason of a refusal, or what else an error says.
func why(err error) string {
	var no *terminal.Refused
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &no):
		return no.Why
	}
	return "error: " + err.Error()
}

func wantWhy(t testing.TB, what string, err error, want string) {
	t.Helper()
	if got := why(err); got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func wantIs(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantInvalid wants a field refused by a rule, in words for people.
func wantInvalid(t testing.TB, what string, err error, field, rule string) {
	t.Helper()
	var bad *terminal.Invalid
	if !errors.As(err, &bad) || bad.Field != field || bad.Rule != rule {
		t.Errorf("%s: %v, want %s refused: %s", what, err, field, rule)
		return
	}
	if bad.Says.JA == "" || bad.Says.EN == "" {
		t.Errorf("%s: nothing is said in one of the languages: %+v", what, bad.Says)
	}
}
