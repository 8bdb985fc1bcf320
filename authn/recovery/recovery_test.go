package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/recovery"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var ctx = context.Background()

type desk struct {
	*recovery.Codes
	db    *store.DB
	clock *clock.Fake
	file  string
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	dir := t.TempDir()
	d := &desk{clock: clock.NewFake(time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)), file: filepath.Join(dir, "sekisho.db")}
	var err error
	if d.db, err = store.Open(ctx, storetest.At(t, d.file)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	ring, err := secret.CreateKeyRing(filepath.Join(dir, "ring"))
	if err != nil {
		t.Fatal(err)
	}
	d.Codes = recovery.New(d.db, ring, d.clock.Now, func() policy.RecoveryRules { return policy.RecoveryRules{CodeEnd: time.Hour} })
	return d
}

func (d *desk) issue(t testing.TB, person directory.PersonID) string {
	t.Helper()
	var code string
	err := d.db.WithTx(ctx, func(tx *store.Tx) error {
		c, ends, err := d.Issue(ctx, tx, person, "sato", false)
		if err == nil && !ends.Equal(d.clock.Now().Add(time.Hour)) {
			t.Errorf("the code ends at %v", ends)
		}
		code = string(c.Reveal())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (d *desk) spend(person directory.PersonID, code string) error {
	return d.db.WithTx(ctx, func(tx *store.Tx) error { return d.Spend(ctx, tx, person, code, false) })
}

func TestCodeAsPeopleTypeIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		typed func(code string) string
	}{
		{"as it is printed", func(c string) string { return c }},
		{"in small letters", strings.ToLower},
		{"without hyphens", func(c string) string { return strings.ReplaceAll(c, "-", "") }},
		{"with spaces", func(c string) string { return " " + strings.ReplaceAll(c, "-", " ") }},
		{"in full width", func(c string) string {
			return strings.Map(func(r rune) rune {
				if r > ' ' && r <= '~' && r != '-' {
					return r + 0xfee0
				}
				return r
			}, c)
		}},
		{"with O for 0 and I for 1", func(c string) string { return strings.NewReplacer("0", "O", "1", "I").Replace(c) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			if err := d.spend("tanaka", tt.typed(d.issue(t, "tanaka"))); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCodeIsRefused(t *testing.T) {
	t.Parallel()
	t.Run("when it is another person's", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		code := d.issue(t, "tanaka")
		d.issue(t, "suzuki")
		if err := d.spend("suzuki", code); !errors.Is(err, recovery.ErrWrong) {
			t.Error(err)
		}
		if err := d.spend("nobody", code); !errors.Is(err, recovery.ErrWrong) {
			t.Error(err)
		}
		if err := d.spend("tanaka", code); err != nil {
			t.Error("its owner, afterwards:", err)
		}
	})
	t.Run("after it was used", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		code := d.issue(t, "tanaka")
		if err := d.spend("tanaka", code); err != nil {
			t.Fatal(err)
		}
		if err := d.spend("tanaka", code); !errors.Is(err, recovery.ErrWrong) {
			t.Error(err)
		}
	})
	t.Run("when a newer one was made", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		old := d.issue(t, "tanaka")
		d.issue(t, "tanaka")
		if err := d.spend("tanaka", old); !errors.Is(err, recovery.ErrWrong) {
			t.Error(err)
		}
	})
	t.Run("at its end", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		code := d.issue(t, "tanaka")
		d.clock.Advance(time.Hour)
		if err := d.spend("tanaka", code); !errors.Is(err, recovery.ErrWrong) {
			t.Error(err)
		}
		if ends, err := d.Open(ctx, "tanaka"); err != nil || !ends.IsZero() {
			t.Errorf("Open = %v, %v", ends, err)
		}
	})
	t.Run("when it was withdrawn", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		code := d.issue(t, "tanaka")
		if ends, err := d.Open(ctx, "tanaka"); err != nil || ends.IsZero() {
			t.Errorf("Open before = %v, %v", ends, err)
		}
		if err := d.db.WithTx(ctx, func(tx *store.Tx) error { return d.Drop(ctx, tx, "tanaka") }); err != nil {
			t.Fatal(err)
		}
		if err := d.spend("tanaka", code); !errors.Is(err, recovery.ErrWrong) {
			t.Error(err)
		}
	})
	t.Run("when it is no code", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		code := d.issue(t, "tanaka")
		for _, typed := range []string{"", "-", code[:len(code)-1], code + "A", strings.Repeat("A", 10_000), "あいうえお", "U" + code[1:], "%00"} {
			if err := d.spend("tanaka", typed); !errors.Is(err, recovery.ErrWrong) {
				t.Errorf("%.40q: %v", typed, err)
			}
		}
	})
}

// TestCodeRace: of many who carry the right code at once, one is let through.
func TestCodeRace(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	code := d.issue(t, "tanaka")
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if d.spend("tanaka", code) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d spent one code", won.Load())
	}
}

// TestCodeIsNotStored: who reads the database learns no code, and codes are of
// 128 bits.
func TestCodeIsNotStored(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	code := d.issue(t, "tanaka")
	letters := strings.ReplaceAll(code, "-", "")
	if len(letters) != 26 { // 26 letters of five bits hold 128
		t.Errorf("a code of %d letters", len(letters))
	}
	if err := d.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{d.file, d.file + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // a store that was closed has no log beside it
		}
		if bytes.Contains(b, []byte(letters)) || bytes.Contains(b, []byte(code)) {
			t.Errorf("the code stands in %s", filepath.Base(file))
		}
	}
}
