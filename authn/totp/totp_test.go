package totp_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/totp"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

const mira directory.PersonID = "6f1c0d9e-mira"

// bench is a store on a file that can be closed and opened again.
type bench struct {
	*totp.Devices
	tokens *totp.Tokens
	t      *testing.T
	path   string
	db     *store.DB
	ring   *secret.KeyRing
	clock  *clock.Fake
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "sekisho.db"),
		clock: clock.NewFake(time.Date(2026, 4, 1, 9, 0, 10, 0, time.UTC))}
	var err error
	if b.ring, err = secret.CreateKeyRing(filepath.Join(t.TempDir(), "keys")); err != nil {
		t.Fatal(err)
	}
	b.open()
	t.Cleanup(func() { b.db.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.db, err = store.Open(b.t.Context(), storetest.At(b.t, b.path)); err != nil {
		b.t.Fatal(err)
	}
	b.Devices = totp.New(b.db, b.ring, b.clock.Now)
	b.tokens = totp.NewTokens(b.db, b.ring, b.clock.Now, func() policy.TOTPRules { return policy.TOTPRules{Skew: totp.Skew} })
}

// restart is what a crash and a new start leave of the store.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *bench) begin(person directory.PersonID) totp.Enrolment {
	b.t.Helper()
	e, err := b.Begin(b.t.Context(), person, "mira", "関所県 Sekisho")
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// code is what the app with this secret shows, so many steps from now.
func (b *bench) code(base32 string, steps int64) string {
	b.t.Helper()
	seed, err := totp.ParseSecret(base32)
	if err != nil {
		b.t.Fatal(err)
	}
	code, err := totp.Code(seed, totp.StepAt(b.clock.Now())+steps)
	if err != nil {
		b.t.Fatal(err)
	}
	return code
}

// wrong is a code that none of the steps nearby has.
func (b *bench) wrong(base32 string) string {
	for n := 0; ; n++ {
		code, near := fmt.Sprintf("%06d", n), false
		for s := int64(-2); s <= 2; s++ {
			near = near || code == b.code(base32, s)
		}
		if !near {
			return code
		}
	}
}

// confirm commits on a wrong code, as Confirm asks of its callers.
func (b *bench) confirm(person directory.PersonID, id, code, name string) error {
	b.t.Helper()
	var said error
	err := b.db.WithTx(b.t.Context(), func(tx *store.Tx) error {
		said = b.Confirm(b.t.Context(), tx, person, id, code, name)
		if errors.Is(said, totp.ErrWrong) {
			return nil
		}
		return said
	})
	if said != nil {
		return said
	}
	return err
}

func (b *bench) spend(person directory.PersonID, code string) (id string, err error) {
	err = b.db.WithTx(b.t.Context(), func(tx *store.Tx) error {
		id, err = b.Spend(b.t.Context(), tx, person, code)
		return err
	})
	return id, err
}

func (b *bench) imported(person directory.PersonID, base32, name string) error {
	return b.db.WithTx(b.t.Context(), func(tx *store.Tx) error {
		return b.Import(b.t.Context(), tx, person, base32, name)
	})
}

// enrolled gives the person a device and lets its first code pass.
func (b *bench) enrolled(person directory.PersonID, name string) (id, base32 string) {
	b.t.Helper()
	e := b.begin(person)
	base32 = string(e.Secret.Reveal())
	if err := b.confirm(person, e.ID, b.code(base32, 0), name); err != nil {
		b.t.Fatal(err)
	}
	b.clock.Advance(2 * totp.Period)
	return e.ID, base32
}

func (b *bench) names(person directory.PersonID) []string {
	b.t.Helper()
	devices, err := b.List(b.t.Context(), person)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, d := range devices {
		names = append(names, d.Name)
	}
	return names
}

func want(t *testing.T, what string, got, target error) {
	t.Helper()
	if !errors.Is(got, target) {
		t.Errorf("%s: %v, want %v", what, got, target)
	}
}

// TestSpendOnce is security.md section 2 row 2: fifty requests carry one code at
// once, one of them gets in, and after a restart none does.
func TestSpendOnce(t *testing.T) {
	b := newBench(t)
	id, base32 := b.enrolled(mira, "phone")
	code := b.code(base32, 0)

	var right, replayed atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			got, err := b.spend(mira, code)
			switch {
			case err == nil && got == id:
				right.Add(1)
			case errors.Is(err, totp.ErrReplayed):
				replayed.Add(1)
			default:
				t.Errorf("Spend = %q, %v", got, err)
			}
		})
	}
	all.Wait()
	if right.Load() != 1 || replayed.Load() != 49 {
		t.Errorf("%d accepted and %d replayed, want 1 and 49", right.Load(), replayed.Load())
	}

	b.restart()
	_, err := b.spend(mira, code)
	want(t, "the code after a restart", err, totp.ErrReplayed)
	b.clock.Advance(totp.Period)
	_, err = b.spend(mira, code)
	want(t, "the code one step later", err, totp.ErrReplayed)
	if _, err := b.spend(mira, b.code(base32, 0)); err != nil {
		t.Errorf("the next code: %v", err)
	}
}

func TestSpend(t *testing.T) {
	b := newBench(t)
	phone, phoneSecret := b.enrolled(mira, "phone")
	tablet, tabletSecret := b.enrolled(mira, "tablet")
	_, other := b.enrolled("somebody else", "phone")

	_, err := b.spend(mira, b.wrong(phoneSecret))
	want(t, "a wrong code", err, totp.ErrWrong)
	_, err = b.spend(mira, "12345")
	want(t, "no code at all", err, totp.ErrWrong)
	_, err = b.spend(mira, b.code(other, 0))
	want(t, "another person's code", err, totp.ErrWrong)
	_, err = b.spend("nobody", b.code(phoneSecret, 0))
	want(t, "a person without devices", err, totp.ErrWrong)
	_, err = b.spend(mira, b.code(phoneSecret, 2))
	want(t, "two steps ahead", err, totp.ErrWrong)

	if id, err := b.spend(mira, b.code(tabletSecret, 0)); err != nil || id != tablet {
		t.Errorf("the second device: %q, %v", id, err)
	}
	if id, err := b.spend(mira, " "+b.code(phoneSecret, 1)[:3]+"　"+b.code(phoneSecret, 1)[3:]); err != nil || id != phone {
		t.Errorf("the first device, one step ahead, with spaces: %q, %v", id, err)
	}
	_, err = b.spend(mira, b.code(phoneSecret, 0))
	want(t, "a step before the last accepted one", err, totp.ErrReplayed)

	devices, err := b.List(t.Context(), mira)
	if err != nil || len(devices) != 2 {
		t.Fatal(devices, err)
	}
	for _, d := range devices {
		if !d.LastUsedAt.Equal(b.clock.Now()) || d.AddedAt.IsZero() {
			t.Errorf("%s was added %v and used %v", d.Name, d.AddedAt, d.LastUsedAt)
		}
	}
}

// TestSpendRolledBack: what the caller does not commit has not happened.
func TestSpendRolledBack(t *testing.T) {
	b := newBench(t)
	_, base32 := b.enrolled(mira, "phone")
	broken := errors.New("the trail is away")
	err := b.db.WithTx(t.Context(), func(tx *store.Tx) error {
		if _, err := b.Spend(t.Context(), tx, mira, b.code(base32, 0)); err != nil {
			return err
		}
		return broken
	})
	want(t, "the act", err, broken)
	if _, err := b.spend(mira, b.code(base32, 0)); err != nil {
		t.Errorf("the code after a rollback: %v", err)
	}
}

// TestClockSetBack: codes seen once stay spent when time runs again.
func TestClockSetBack(t *testing.T) {
	b := newBench(t)
	_, base32 := b.enrolled(mira, "phone")
	code := b.code(base32, 0)
	if _, err := b.spend(mira, code); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(24 * time.Hour)
	if _, err := b.spend(mira, b.code(base32, 0)); err != nil {
		t.Fatal("a day later:", err)
	}
	b.clock.Advance(-24 * time.Hour)
	for s := int64(-1); s <= 1; s++ {
		_, err := b.spend(mira, b.code(base32, s))
		want(t, "a code of the day before", err, totp.ErrReplayed)
	}
}

// TestOneSeedTwice: a seed that stands in two rows is still good for one use.
func TestOneSeedTwice(t *testing.T) {
	b := newBench(t)
	base32 := totp.FormatSecret(seed)
	for _, name := range []string{"first", "second"} {
		if err := b.imported(mira, base32, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.spend(mira, b.code(base32, 0)); err != nil {
		t.Fatal(err)
	}
	_, err := b.spend(mira, b.code(base32, 0))
	want(t, "through the other row", err, totp.ErrReplayed)
}

func TestRemove(t *testing.T) {
	b := newBench(t)
	id, base32 := b.enrolled(mira, "phone")
	b.enrolled(mira, "tablet")
	pending := b.begin(mira)
	remove := func(person directory.PersonID, id string) error {
		return b.db.WithTx(t.Context(), func(tx *store.Tx) error { return b.Remove(t.Context(), tx, person, id) })
	}
	want(t, "somebody else's device", remove("somebody else", id), totp.ErrNoDevice)
	want(t, "what is not confirmed", remove(mira, pending.ID), totp.ErrNoDevice)
	if err := remove(mira, id); err != nil {
		t.Fatal(err)
	}
	want(t, "twice", remove(mira, id), totp.ErrNoDevice)
	_, err := b.spend(mira, b.code(base32, 0))
	want(t, "its code", err, totp.ErrWrong)
	if names := b.names(mira); len(names) != 1 || names[0] != "tablet" {
		t.Errorf("devices left: %v", names)
	}
	if err := b.db.WithTx(t.Context(), func(tx *store.Tx) error { return b.RemoveAll(t.Context(), tx, mira) }); err != nil {
		t.Fatal(err)
	}
	want(t, "an enrolment of before", b.confirm(mira, pending.ID, b.code(string(pending.Secret.Reveal()), 0), "x"), totp.ErrNoEnrolment)
	if names := b.names(mira); len(names) != 0 {
		t.Errorf("devices left: %v", names)
	}
}

func TestRename(t *testing.T) {
	b := newBench(t)
	id, _ := b.enrolled(mira, "phone")
	pending := b.begin(mira)
	rename := func(person directory.PersonID, id, name string) error {
		return b.db.WithTx(t.Context(), func(tx *store.Tx) error { return b.Rename(t.Context(), tx, person, id, name) })
	}
	want(t, "somebody else's", rename("somebody else", id, "x"), totp.ErrNoDevice)
	want(t, "what is not confirmed", rename(mira, pending.ID, "x"), totp.ErrNoDevice)
	want(t, "no name", rename(mira, id, " "), totp.ErrName)
	if err := rename(mira, id, " 携帯 "); err != nil || b.names(mira)[0] != "携帯" {
		t.Errorf("%v, named %v", err, b.names(mira))
	}
}

func TestImport(t *testing.T) {
	b := newBench(t)
	want(t, "no secret", b.imported(mira, "canary!", "x"), totp.ErrSecret)
	want(t, "no name", b.imported(mira, totp.FormatSecret(seed), "\t"), totp.ErrName)
	if err := b.imported(mira, totp.FormatSecret(seed), "sample"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.spend(mira, b.code(totp.FormatSecret(seed), 0)); err != nil {
		t.Error(err)
	}
}

// TestSeedIsSealed: the seed is nowhere in the files of the store, and a sealed
// seed moved to another row, or under another ring, opens nothing (security.md
// section 2 row 26).
func TestSeedIsSealed(t *testing.T) {
	b := newBench(t)
	id, base32 := b.enrolled(mira, "phone")
	e := b.begin(mira)
	code := b.code(base32, 0)
	if _, err := b.spend(mira, code); err != nil {
		t.Fatal(err)
	}
	storetest.OnlySQLite(t)
	for _, file := range []string{b.path, b.path + "-wal"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{base32, string(e.Secret.Reveal())} {
			raw, err := totp.ParseSecret(text)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(data, []byte(text)) || bytes.Contains(data, raw) || bytes.Contains(data, []byte(strings.ToLower(text))) {
				t.Errorf("%s holds a seed in clear", filepath.Base(file))
			}
		}
	}

	// A thief of the database gives somebody else's row the seed of their own.
	_, theirs := b.enrolled("thief", "phone")
	if err := b.db.WithTx(t.Context(), func(tx *store.Tx) error {
		return tx.ExecOne(t.Context(), `
			UPDATE totp_device SET seed = (SELECT seed FROM totp_device WHERE person = 'thief') WHERE id = $1`, id)
	}); err != nil {
		t.Fatal(err)
	}
	_, err := b.spend(mira, b.code(theirs, 0))
	want(t, "a moved seed", err, secret.ErrSealBroken)
	if err != nil && strings.Contains(err.Error(), theirs) {
		t.Error("the error shows the seed")
	}
}

// TestNothingPrints: an enrolment can be logged by mistake without harm, and no
// error repeats a code or a seed.
func TestNothingPrints(t *testing.T) {
	b := newBench(t)
	e := b.begin(mira)
	base32 := string(e.Secret.Reveal())
	code := b.wrong(base32)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("enrolment", "secret", e.Secret, "uri", e.URI)
	slog.New(slog.NewTextHandler(&log, nil)).Info("enrolment", "e", e)
	shown := fmt.Sprintf("%v %+v %#v", e, e, e) + log.String()
	_, err := b.spend(mira, code)
	shown += fmt.Sprint(err, b.confirm(mira, e.ID, code, "x"), b.imported(mira, base32+"1", "x"))
	for what, canary := range map[string]string{"seed": base32, "code": code} {
		if strings.Contains(shown, canary) {
			t.Errorf("the %s shows in %s", what, shown)
		}
	}
}
