package totp_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/directory"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// resync commits on a wrong pair, as Resync asks of its callers.
func (b *bench) resync(serial, first, second string) error {
	b.t.Helper()
	var said error
	err := b.db.WithTx(b.t.Context(), func(tx *store.Tx) error {
		said = b.tokens.Resync(b.t.Context(), tx, serial, first, second)
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

// TestDrift: a clock that runs away is followed a step at a time, and not beyond
// MaxFollow; the window moves and does not widen.
func TestDrift(t *testing.T) {
	t.Parallel()
	for _, way := range []int64{1, -1} {
		t.Run(fmt.Sprint(way), func(t *testing.T) {
			b := newBench(t)
			h := b.assigned("A-1", miraHerself)
			for step := int64(1); step <= totp.MaxFollow; step++ {
				// Clocks do not run so fast; a step further than one has not been
				// followed to is refused.
				b.clock.Advance(10 * time.Minute)
				h.ahead = way * (step + 1)
				_, err := b.spend(mira, h.shows(0))
				want(t, fmt.Sprint("two steps away at ", step), err, totp.ErrWrong)
				h.ahead = way * step
				if _, err := b.spend(mira, h.shows(0)); err != nil {
					t.Fatalf("%d steps away: %v", h.ahead, err)
				}
				if _, drift := h.device(); drift != h.ahead {
					t.Fatalf("drift is %d, want %d", drift, h.ahead)
				}
				_, err = b.spend(mira, h.shows(-way*2))
				want(t, "the other end of the window", err, totp.ErrWrong)
			}
			// One more is within the window, but is not followed.
			for range 3 {
				b.clock.Advance(10 * time.Minute)
				h.ahead = way * (totp.MaxFollow + 1)
				if _, err := b.spend(mira, h.shows(0)); err != nil {
					t.Fatalf("at the bound: %v", err)
				}
				if _, drift := h.device(); drift != way*totp.MaxFollow {
					t.Fatalf("drift is %d, beyond its bound", drift)
				}
				b.clock.Advance(10 * time.Minute)
				h.ahead += way
				_, err := b.spend(mira, h.shows(0))
				want(t, "beyond the bound", err, totp.ErrWrong)
			}
		})
	}
}

// TestDriftIsOfTokens: an app's window stays where it is.
func TestDriftIsOfTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, base32 := b.enrolled(mira, "phone")
	for range 3 {
		b.clock.Advance(10 * time.Minute)
		if _, err := b.spend(mira, b.code(base32, 1)); err != nil {
			t.Fatal(err)
		}
		_, err := b.spend(mira, b.code(base32, 2))
		want(t, "two steps ahead", err, totp.ErrWrong)
	}
}

// TestDriftBackAndForth: codes typed slowly and promptly by turns lead nowhere.
func TestDriftBackAndForth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	for i := range 60 {
		b.clock.Advance(10 * time.Minute)
		if _, err := b.spend(mira, h.shows(-int64(i%2))); err != nil {
			t.Fatalf("time %d: %v", i, err)
		}
		if _, drift := h.device(); drift != -int64(i%2) {
			t.Fatalf("time %d: drift %d", i, drift)
		}
	}
}

func TestResync(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, tt := range []struct {
		name  string
		ahead int64 // what the token shows with its second code
		want  error
	}{
		{"right already", 0, nil},
		{"a little behind", -2, nil},
		{"the farthest ahead", totp.ResyncRange, nil},
		{"the farthest behind", 1 - totp.ResyncRange, nil},
		{"too far ahead", totp.ResyncRange + 1, totp.ErrWrong},
		{"too far behind", -totp.ResyncRange, totp.ErrWrong},
	} {
		for _, state := range []string{totp.StateStock, totp.StateAssigned} {
			t.Run(tt.name+", "+state, func(t *testing.T) {
				h := b.token(fmt.Sprintf("%s-%d", strings.ToUpper(state), i))
				owner := directory.Person{ID: directory.PersonID(h.Serial)}
				give := func() {
					t.Helper()
					if err := b.assign(h.Serial, owner); err != nil {
						t.Fatal(err)
					}
				}
				if state == totp.StateAssigned {
					give()
				}
				h.ahead = tt.ahead
				first, second := h.shows(-1), h.shows(0)
				want(t, "setting it", b.resync(" "+strings.ToLower(h.Serial), first[:4]+" "+first[4:], second), tt.want)
				if state == totp.StateStock {
					give()
				}
				if tt.want != nil {
					_, err := b.spend(owner.ID, h.shows(1))
					want(t, "a code of it", err, totp.ErrWrong)
					return
				}
				_, err := b.spend(owner.ID, first)
				want(t, "the first code", err, totp.ErrReplayed)
				_, err = b.spend(owner.ID, second)
				want(t, "the second code", err, totp.ErrReplayed)
				want(t, "the same pair", b.resync(h.Serial, first, second), totp.ErrReplayed)
				b.clock.Advance(time.Minute)
				want(t, "a pair half spent", b.resync(h.Serial, second, h.shows(0)), totp.ErrReplayed)
				if _, err := b.spend(owner.ID, h.shows(0)); err != nil {
					t.Errorf("the next code: %v", err)
				}
			})
		}
	}
}

// TestResyncTakesPairsOnly: one code is not enough, nor two that were not shown
// one after the other.
func TestResyncTakesPairsOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.token("A-2")
	for i, pair := range []func(h *hard) (string, string){
		func(h *hard) (string, string) { return h.shows(0), h.shows(0) },
		func(h *hard) (string, string) { return h.shows(0), h.shows(2) },
		func(h *hard) (string, string) { return h.shows(1), h.shows(0) },
		func(h *hard) (string, string) { return h.shows(0), other.shows(1) },
		func(h *hard) (string, string) { return other.shows(0), h.shows(1) },
		func(h *hard) (string, string) { return "", h.shows(1) },
		func(h *hard) (string, string) { return h.shows(0), "" },
		func(h *hard) (string, string) { return h.shows(0)[2:], h.shows(1)[2:] },
		func(h *hard) (string, string) { return "abcdefgh", "x" },
	} {
		h := b.token(fmt.Sprint("T-", i))
		first, second := pair(h)
		want(t, fmt.Sprint("pair ", i), b.resync(h.Serial, first, second), totp.ErrWrong)
	}
	want(t, "an unknown token", b.resync("A-3", "12345678", "12345678"), totp.ErrNoToken)
	want(t, "no token", b.resync("", "12345678", "12345678"), totp.ErrNoToken)
}

// TestResyncFollows: after it the clock is followed from where it was found.
func TestResyncFollows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	h.ahead = 60
	if err := b.resync("A-1", h.shows(-1), h.shows(0)); err != nil {
		t.Fatal(err)
	}
	for range totp.MaxFollow {
		b.clock.Advance(10 * time.Minute)
		h.ahead++
		if _, err := b.spend(mira, h.shows(0)); err != nil {
			t.Fatalf("%d steps ahead: %v", h.ahead, err)
		}
	}
	// Handed on, it is known where the clock was found and how far it has gone.
	if err := b.unassign("A-1"); err != nil {
		t.Fatal(err)
	}
	if err := b.assign("A-1", taro); err != nil {
		t.Fatal(err)
	}
	h.ahead++
	b.clock.Advance(10 * time.Minute)
	if _, err := b.spend(taro.ID, h.shows(0)); err != nil {
		t.Fatal(err)
	}
	if _, drift := h.device(); drift != 60+totp.MaxFollow {
		t.Errorf("drift is %d", drift)
	}
}

// TestResyncTries is security.md section 2 row 3 for setting a clock.
func TestResyncTries(t *testing.T) {
	t.Parallel()
	wrong := func(b *bench, n int) {
		b.t.Helper()
		for range n {
			want(b.t, "a wrong pair", b.resync("A-1", "00000000", "00000000"), totp.ErrWrong)
		}
	}
	t.Run("the last try", func(t *testing.T) {
		b := newBench(t)
		h := b.token("A-1")
		wrong(b, totp.ResyncTries-1)
		b.restart()
		if err := b.resync("A-1", h.shows(0), h.shows(1)); err != nil {
			t.Errorf("the right pair at last: %v", err)
		}
		wrong(b, totp.ResyncTries) // which begins the count anew
		want(t, "one more", b.resync("A-1", "1", "2"), totp.ErrResyncHeld)
	})
	t.Run("held", func(t *testing.T) {
		b := newBench(t)
		h := b.assigned("A-1", miraHerself)
		other := b.token("A-2")
		wrong(b, totp.ResyncTries-1)
		b.clock.Advance(totp.ResyncRest - time.Microsecond)
		want(t, "a malformed pair", b.resync("A-1", "x", ""), totp.ErrWrong)
		b.restart()
		right := func() error { return b.resync("A-1", h.shows(0), h.shows(1)) }
		want(t, "the right pair afterwards", right(), totp.ErrResyncHeld)
		b.clock.Advance(totp.ResyncRest - time.Microsecond)
		want(t, "before the hour is over", right(), totp.ErrResyncHeld)
		if err := b.resync("A-2", other.shows(0), other.shows(1)); err != nil {
			t.Errorf("another token: %v", err)
		}
		if _, err := b.spend(mira, h.shows(0)); err != nil {
			t.Errorf("signing in meanwhile: %v", err)
		}
		// Neither taking it back nor giving it out forgets the tries.
		if err := errors.Join(b.unassign("A-1"), b.assign("A-1", taro)); err != nil {
			t.Fatal(err)
		}
		want(t, "with a new owner", right(), totp.ErrResyncHeld)
		b.clock.Advance(time.Microsecond)
		wrong(b, 1)
		h.ahead = 1 // the code at 0 was spent above
		if err := right(); err != nil {
			t.Errorf("when the hour is over: %v", err)
		}
	})
	t.Run("parallel guesses", func(t *testing.T) {
		b := newBench(t)
		b.token("A-1")
		var verified, held atomic.Int32
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				switch err := b.resync("A-1", "00000000", "00000000"); {
				case errors.Is(err, totp.ErrWrong):
					verified.Add(1)
				case errors.Is(err, totp.ErrResyncHeld):
					held.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if verified.Load() != totp.ResyncTries || held.Load() != 100-totp.ResyncTries {
			t.Errorf("%d guesses were verified and %d held", verified.Load(), held.Load())
		}
	})
}

// TestResyncAgainstSignIn: a pair, and one code of it typed at a sign-in at the
// same moment. Whoever is second is refused.
func TestResyncAgainstSignIn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	h := b.assigned("A-1", miraHerself)
	for range 20 {
		b.clock.Advance(10 * time.Minute)
		first, second := h.shows(-1), h.shows(0)
		var accepted atomic.Int32
		var all sync.WaitGroup
		all.Go(func() {
			if err := b.resync("A-1", first, second); err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, totp.ErrReplayed) {
				t.Error(err)
			}
		})
		all.Go(func() {
			if _, err := b.spend(mira, second); err == nil {
				accepted.Add(1)
			} else if !errors.Is(err, totp.ErrReplayed) {
				t.Error(err)
			}
		})
		all.Wait()
		if accepted.Load() != 1 {
			t.Fatalf("%d used one code", accepted.Load())
		}
	}
}

// TestForms: tokens of every form are set and spent.
func TestForms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	n := 0
	for _, algorithm := range []string{oath.SHA1, oath.SHA256, oath.SHA512} {
		for _, digits := range []int{6, 8} {
			for _, period := range []time.Duration{30 * time.Second, time.Minute} {
				n++
				h := &hard{b: b, ahead: 7, Seed: oath.Seed{Serial: fmt.Sprint("F-", n), Algorithm: algorithm, Digits: digits,
					Period: period, Key: secret.NewText(secret.Bytes(20))}}
				b.stock(h.Seed)
				owner := directory.Person{ID: directory.PersonID(h.Serial)}
				if err := b.assign(h.Serial, owner); err != nil {
					t.Fatal(err)
				}
				if err := b.resync(h.Serial, h.shows(-1), h.shows(0)); err != nil {
					t.Errorf("%s, %d digits, %v: %v", algorithm, digits, period, err)
				}
				if len(h.shows(0)) != digits {
					t.Errorf("%d digits are shown, want %d", len(h.shows(0)), digits)
				}
				if _, err := b.spend(owner.ID, h.shows(1)); err != nil {
					t.Errorf("%s, %d digits, %v: %v", algorithm, digits, period, err)
				}
			}
		}
	}
}
