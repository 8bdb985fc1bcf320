package ticket_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/ticket"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

type office struct {
	*ticket.Tickets
	db    *store.DB
	ring  *secret.KeyRing
	clock *clock.Fake
}

func newOffice(t testing.TB) *office {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(context.Background(), storetest.At(t, filepath.Join(dir, "sekisho.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := secret.CreateKeyRing(filepath.Join(dir, "ring"))
	if err != nil {
		t.Fatal(err)
	}
	c := clock.NewFake(time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC))
	return &office{ticket.New(ring, c.Now), db, ring, c}
}

func (o *office) spend(purpose, whose string, value []byte) error {
	return o.db.WithTx(context.Background(), func(tx *store.Tx) error {
		return o.Spend(context.Background(), tx, purpose, whose, value)
	})
}

func TestTicketIsGoodOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	value := o.Issue("passkey", "cookie", time.Minute)
	if err := o.Check("passkey", "cookie", value); err != nil {
		t.Fatal("a fresh ticket:", err)
	}
	if err := o.spend("passkey", "cookie", value); err != nil {
		t.Fatal("spending it:", err)
	}
	if err := o.spend("passkey", "cookie", value); !errors.Is(err, ticket.ErrInvalid) || ticket.Why(err) != "used" {
		t.Errorf("spending it again: %v (%s)", err, ticket.Why(err))
	}
	// Another gateway, or this one after a restart.
	again := ticket.New(o.ring, o.clock.Now)
	err := o.db.WithTx(context.Background(), func(tx *store.Tx) error {
		return again.Spend(context.Background(), tx, "passkey", "cookie", value)
	})
	if ticket.Why(err) != "used" {
		t.Errorf("spending it after a restart: %v", err)
	}
}

func TestTicketIsRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	value := o.Issue("passkey", "cookie", time.Minute)
	other := newOffice(t)
	flipped := func(at int) []byte {
		v := bytes.Clone(value)
		v[at] ^= 1
		return v
	}
	for _, tt := range []struct {
		name, purpose, whose string
		value                []byte
	}{
		{"for another purpose", "terminal", "cookie", value},
		{"of another holder", "passkey", "another", value},
		{"of nobody", "passkey", "", value},
		{"with another end", "passkey", "cookie", flipped(len(value) - 32 - 16 - 1)},
		{"with another number", "passkey", "cookie", flipped(len(value) - 32 - 1)},
		{"with another MAC", "passkey", "cookie", flipped(len(value) - 1)},
		{"of another key", "passkey", "cookie", flipped(1)},
		{"cut short", "passkey", "cookie", value[:len(value)-1]},
		{"with something behind it", "passkey", "cookie", append(bytes.Clone(value), 0)},
		{"of another house", "passkey", "cookie", other.Issue("passkey", "cookie", time.Minute)},
		{"that is empty", "passkey", "cookie", nil},
		{"that is one byte", "passkey", "cookie", []byte{255}},
	} {
		if err := o.Check(tt.purpose, tt.whose, tt.value); !errors.Is(err, ticket.ErrInvalid) || ticket.Why(err) != "unknown" {
			t.Errorf("a ticket %s: Check = %v", tt.name, err)
		}
		if err := o.spend(tt.purpose, tt.whose, tt.value); !errors.Is(err, ticket.ErrInvalid) {
			t.Errorf("a ticket %s: Spend = %v", tt.name, err)
		}
	}
	o.clock.Advance(time.Minute - time.Microsecond)
	if err := o.Check("passkey", "cookie", value); err != nil {
		t.Error("a moment before its end:", err)
	}
	o.clock.Advance(time.Minute)
	if err := o.spend("passkey", "cookie", value); ticket.Why(err) != "old" {
		t.Errorf("at its end: %v", err)
	}
}

// TestTicketRace: of fifty that carry one ticket at once, one is let through.
func TestTicketRace(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	value := o.Issue("terminal", "", time.Minute)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch err := o.spend("terminal", "", value); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ticket.ErrInvalid):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d spent one ticket", won.Load())
	}
}

// TestRolledBackIsNotSpent: a ticket belongs to its act. If the act did not
// happen, neither did its use.
func TestRolledBackIsNotSpent(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	value := o.Issue("passkey", "", time.Minute)
	broken := errors.New("broken")
	err := o.db.WithTx(context.Background(), func(tx *store.Tx) error {
		if err := o.Spend(context.Background(), tx, "passkey", "", value); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := o.spend("passkey", "", value); err != nil {
		t.Error("after the act was rolled back:", err)
	}
}

// TestSpentRowsGo: the table holds no more than the tickets that are young.
func TestSpentRowsGo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for range 5 {
		if err := o.spend("passkey", "", o.Issue("passkey", "", time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	o.clock.Advance(time.Minute)
	if err := o.spend("passkey", "", o.Issue("passkey", "", time.Minute)); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := o.db.QueryRow(context.Background(), `SELECT COUNT(*) FROM spent_ticket`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 1 {
		t.Errorf("%d rows, want the youngest alone", n)
	}
}

func FuzzCheck(f *testing.F) {
	o := newOffice(f)
	real := o.Issue("passkey", "cookie", time.Hour)
	f.Add([]byte{})
	f.Add([]byte{8})
	f.Add(real)
	f.Add(real[:len(real)-1])
	f.Fuzz(func(t *testing.T, value []byte) {
		if err := o.Check("passkey", "cookie", value); err == nil && !bytes.Equal(value, real) {
			t.Errorf("a ticket nobody issued: %x", value)
		}
	})
}
