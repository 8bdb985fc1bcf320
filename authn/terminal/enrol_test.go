package terminal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sekisho/authn/terminal"
	"sekisho/policy"
	"sekisho/policy/store"
)

// counter2 is a terminal that an administrator may enrol.
func counter2() terminal.Terminal {
	return terminal.Terminal{ID: "counter-2", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口2", EN: "Counter 2"}, AddedBy: "suzuki"}
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newPair(t)
	mine := counter2()
	mine.Name.JA = "  窓口カ\u3099 "
	// What a form could send beside the fields that are asked for counts for nothing.
	mine.Declared, mine.Key, mine.SeenAt = true, w.juki.print(), t0
	wantIs(t, "Enrol", w.enrol(mine, "a note\n"+key.public), nil)
	got := w.find("counter-2")
	if want := (terminal.Terminal{ID: "counter-2", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口ガ", EN: "Counter 2"},
		Key: key.print(), AddedAt: t0, AddedBy: "suzuki"}); got != want {
		t.Errorf("Find = %+v\nwant   %+v", got, want)
	}
	w.restart()
	a := w.heard("counter-2", key)
	wantWhy(t, "Spend", w.spend(a), "taken")
	// The rule of two persons, from end to end: all that its word says is of no use.
	zone, _ := w.policy.Load().Zone(policy.LGWAN)
	if a.StandsIn("tanaka", zone, w.clock.Now()) {
		t.Error("the word of a terminal that one person enrolled stands in for a factor")
	}

	silent := counter2()
	silent.ID, silent.Class, silent.Key = "lent-2", policy.TerminalLent, w.juki.print()
	wantIs(t, "one that cannot speak", w.enrol(silent, " \n"), nil)
	silent.ID = "lent-3"
	wantIs(t, "another one", w.enrol(silent, ""), nil)
	if got := w.find("lent-3"); got.Key != "" || got.Class != policy.TerminalLent {
		t.Errorf("Find = %+v", got)
	}
}

func TestEnrolRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key, there := newPair(t), newPair(t)
	first := counter2()
	first.ID = "counter-1"
	wantIs(t, "Enrol", w.enrol(first, there.public), nil)
	for _, tt := range []struct {
		name        string
		wrong       func(*terminal.Terminal)
		key         string
		field, rule string
		also        error
	}{
		{"a dedicated one", func(t *terminal.Terminal) { t.Class, t.Zone = policy.TerminalDedicated, policy.MyNumber }, key.public, "class", "two_persons", nil},
		{"of no class", func(t *terminal.Terminal) { t.Class = "" }, key.public, "class", "unknown", nil},
		{"of a class nobody knows", func(t *terminal.Terminal) { t.Class = "Dedicated" }, key.public, "class", "unknown", nil},
		{"of no zone", func(t *terminal.Terminal) { t.Zone = "" }, key.public, "zone", "unknown", nil},
		{"of a zone this gate does not serve", func(t *terminal.Terminal) { t.Zone = policy.Internet }, key.public, "zone", "unknown", nil},
		{"without an id", func(t *terminal.Terminal) { t.ID = "" }, key.public, "id", "malformed", nil},
		{"an id in capitals", func(t *terminal.Terminal) { t.ID = "Counter-2" }, key.public, "id", "malformed", nil},
		{"an id that begins with a digit", func(t *terminal.Terminal) { t.ID = "2-counter" }, key.public, "id", "malformed", nil},
		{"an id with a line's end", func(t *terminal.Terminal) { t.ID = "counter-2\n" }, key.public, "id", "malformed", nil},
		{"an id of 64 characters", func(t *terminal.Terminal) { t.ID = strings.Repeat("a", 64) }, key.public, "id", "malformed", nil},
		{"without a name", func(t *terminal.Terminal) { t.Name = policy.Words{} }, key.public, "name", "required", nil},
		{"a name of blanks", func(t *terminal.Terminal) { t.Name.JA = "\u3000 " }, key.public, "name", "required", nil},
		{"an English name alone", func(t *terminal.Terminal) { t.Name.JA = "" }, key.public, "name", "required", nil},
		{"a name of 65 characters", func(t *terminal.Terminal) { t.Name.JA = strings.Repeat("窓", 65) }, key.public, "name", "malformed", nil},
		{"a name without end", func(t *terminal.Terminal) { t.Name.JA = strings.Repeat(" ", 257) + "a" }, key.public, "name", "malformed", nil},
		{"a name of two lines", func(t *terminal.Terminal) { t.Name.JA = "窓口\n2" }, key.public, "name", "malformed", nil},
		{"a name that turns the line", func(t *terminal.Terminal) { t.Name.EN = "counter \u202e2" }, key.public, "name", "malformed", nil},
		{"a name that is no text", func(t *terminal.Terminal) { t.Name.EN = "\xff" }, key.public, "name", "malformed", nil},

		{"what is no key", func(*terminal.Terminal) {}, "hello", "public_key", "malformed", nil},
		{"a private key", func(*terminal.Terminal) {}, key.private, "public_key", "private", nil},
		{"two keys", func(*terminal.Terminal) {}, key.public + there.public, "public_key", "malformed", nil},
		{"a torn key", func(*terminal.Terminal) {}, strings.Replace(key.public, "E", "F", 6), "public_key", "malformed", nil},
		{"a P-384 key", func(*terminal.Terminal) {}, public(t, "P-384"), "public_key", "malformed", nil},
		{"an RSA key", func(*terminal.Terminal) {}, public(t, "RSA"), "public_key", "malformed", nil},
		{"an Ed25519 key", func(*terminal.Terminal) {}, public(t, "Ed25519"), "public_key", "malformed", nil},
		{"a key in a book", func(*terminal.Terminal) {}, strings.Repeat("a\n", 2048) + key.public, "public_key", "malformed", nil},

		{"an id that is enrolled", func(t *terminal.Terminal) { t.ID = "counter-1" }, key.public, "id", "taken", terminal.ErrExists},
		{"an id that is enrolled, with its key", func(t *terminal.Terminal) { t.ID = "counter-1" }, there.public, "id", "taken", terminal.ErrExists},
		{"a key that is enrolled", func(*terminal.Terminal) {}, there.public, "public_key", "taken", terminal.ErrExists},
		{"the same key with a note before it", func(*terminal.Terminal) {}, "窓口1\n" + there.public, "public_key", "taken", terminal.ErrExists},
		{"an id that is declared", func(t *terminal.Terminal) { t.ID = "juki-1" }, key.public, "id", "taken", terminal.ErrExists},
		{"an id that is declared without a key", func(t *terminal.Terminal) { t.ID = "lent-1" }, key.public, "id", "taken", terminal.ErrExists},
		{"a key that is declared", func(*terminal.Terminal) {}, w.juki.public, "public_key", "taken", terminal.ErrExists},
	} {
		mine := counter2()
		tt.wrong(&mine)
		err := w.enrol(mine, tt.key)
		wantInvalid(t, tt.name, err, tt.field, tt.rule)
		if got := errors.Is(err, terminal.ErrExists); got != errors.Is(tt.also, terminal.ErrExists) {
			t.Errorf("%s: ErrExists = %v", tt.name, got)
		}
		if err != nil && strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: the error repeats the key: %v", tt.name, err)
		}
	}
	if got := w.list(); len(got) != 4 {
		t.Errorf("after the refusals there are %d terminals, want 4: %+v", len(got), got)
	}
	if again := w.find("counter-1"); again.Key != there.print() {
		t.Errorf("a refusal changed the terminal that was there: %+v", again)
	}
}

// public is a public key that terminals do not sign with.
func public(t *testing.T, kind string) string {
	t.Helper()
	var (
		key any
		err error
	)
	switch kind {
	case "P-384":
		var k *ecdsa.PrivateKey
		if k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err == nil {
			key = k.Public()
		}
	case "RSA":
		var k *rsa.PrivateKey
		if k, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
			key = k.Public()
		}
	case "Ed25519":
		key, _, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// race does a thing n times at once and collects what came of it.
func race(n int, do func(i int) error) []error {
	got := make([]error, n)
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			got[i] = do(i)
		})
	}
	close(start)
	group.Wait()
	return got
}

// count is how many of errs are want.
func count(errs []error, want error) (n int) {
	for _, err := range errs {
		if errors.Is(err, want) {
			n++
		}
	}
	return n
}

func TestEnrolRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := race(8, func(int) error { return w.enrol(counter2(), newPair(t).public) })
	if count(got, nil) != 1 || count(got, terminal.ErrExists) != 7 {
		t.Errorf("one id: %v, want one enrolled and seven told that it exists", got)
	}
	key := newPair(t)
	got = race(8, func(i int) error {
		mine := counter2()
		mine.ID = fmt.Sprintf("counter-%d", 10+i)
		return w.enrol(mine, key.public)
	})
	if count(got, nil) != 1 || count(got, terminal.ErrExists) != 7 {
		t.Errorf("one key: %v, want one enrolled and seven told that it exists", got)
	}
	if n := len(w.list()); n != 5 {
		t.Errorf("there are %d terminals, want 5", n)
	}
}

// TestStoreRefusesDedicated: not even a row written by hand makes a terminal
// whose word stands in.
func TestStoreRefusesDedicated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	write := func(class string) error {
		return w.tx(func(tx *store.Tx) error {
			return tx.ExecOne(context.Background(), `
				INSERT INTO terminal (id, zone, class, name_ja, name_en, public_key, fingerprint, added_at, added_by)
				VALUES ($1, 'mynumber', $2, '住', '', $3, 'f', 1, 'tanaka')`, class+"-7", class, newPair(t).public)
		})
	}
	if err := write(policy.TerminalDedicated); err == nil {
		t.Error("the store takes a dedicated terminal")
	}
	if err := write(policy.TerminalCounter); err != nil {
		t.Error("the store refuses a counter terminal:", err)
	}
}
