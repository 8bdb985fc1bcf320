// Package ephemeraltest is what every ephemeral.Store must pass, whether it
// lives in this process or on another machine.
package ephemeraltest

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
)

const racers = 50

// Suite runs the contract of ephemeral.Store against what open makes. Each
// subtest opens its own, empty store, which must take its time from now.
func Suite(t *testing.T, open func(t *testing.T, now clock.Now) ephemeral.Store) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, s ephemeral.Store, clk *clock.Fake)
	}{
		{"a value is there until its time has passed", valueEnds},
		{"Put replaces value and time", putReplaces},
		{"what was put and what was got are copies", copies},
		{"Take answers once", takeOnce},
		{"of 50 who take at once one is answered", takeRace},
		{"a window is fixed and opens again", windowFixed},
		{"Count misses nobody in a race", countRace},
		{"Peek does not count", peekOnly},
		{"values and counters are apart, Delete forgets both", apart},
		{"what cannot be kept is refused", refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clk := clock.NewFake(time.Date(2026, 4, 1, 8, 30, 0, 0, time.UTC))
			tt.run(t, open(t, clk.Now), clk)
		})
	}
}

func put(t *testing.T, s ephemeral.Store, key, value string, ttl time.Duration) {
	t.Helper()
	if err := s.Put(t.Context(), key, []byte(value), ttl); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
}

func wantValue(t *testing.T, s ephemeral.Store, key, want string) {
	t.Helper()
	got, ok, err := s.Get(t.Context(), key)
	if err != nil || !ok || string(got) != want {
		t.Errorf("Get(%q) = %q, %v, %v, want %q", key, got, ok, err, want)
	}
}

func wantNone(t *testing.T, s ephemeral.Store, key string) {
	t.Helper()
	if got, ok, err := s.Get(t.Context(), key); ok || err != nil || got != nil {
		t.Errorf("Get(%q) = %q, %v, %v, want nothing", key, got, ok, err)
	}
}

func wantCount(t *testing.T, s ephemeral.Store, key string, window time.Duration, want int) {
	t.Helper()
	if got, err := s.Count(t.Context(), key, window); err != nil || got != want {
		t.Errorf("Count(%q) = %d, %v, want %d", key, got, err, want)
	}
}

func wantPeek(t *testing.T, s ephemeral.Store, key string, want int) {
	t.Helper()
	if got, err := s.Peek(t.Context(), key); err != nil || got != want {
		t.Errorf("Peek(%q) = %d, %v, want %d", key, got, err, want)
	}
}

func valueEnds(t *testing.T, s ephemeral.Store, clk *clock.Fake) {
	wantNone(t, s, "flow:a")
	put(t, s, "flow:a", "state", time.Minute)
	put(t, s, "flow:empty", "", time.Minute)
	clk.Advance(time.Minute - time.Millisecond)
	wantValue(t, s, "flow:a", "state")
	wantValue(t, s, "flow:empty", "")
	clk.Advance(time.Millisecond)
	wantNone(t, s, "flow:a")
	if _, ok, err := s.Take(t.Context(), "flow:empty"); ok || err != nil {
		t.Errorf("Take after the end = %v, %v, want nothing", ok, err)
	}
}

func putReplaces(t *testing.T, s ephemeral.Store, clk *clock.Fake) {
	put(t, s, "flow:a", "one", time.Hour)
	put(t, s, "flow:a", "two", time.Minute)
	wantValue(t, s, "flow:a", "two")
	clk.Advance(time.Minute)
	wantNone(t, s, "flow:a")
}

func copies(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	given := []byte("state")
	if err := s.Put(t.Context(), "flow:a", given, time.Minute); err != nil {
		t.Fatal("Put:", err)
	}
	clear(given)
	got, _, err := s.Get(t.Context(), "flow:a")
	if err != nil || !bytes.Equal(got, []byte("state")) {
		t.Fatalf("Get = %q, %v after the caller wiped its slice", got, err)
	}
	clear(got)
	wantValue(t, s, "flow:a", "state")
}

func takeOnce(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	put(t, s, "flow:a", "state", time.Minute)
	got, ok, err := s.Take(t.Context(), "flow:a")
	if err != nil || !ok || string(got) != "state" {
		t.Fatalf("Take = %q, %v, %v, want the value", got, ok, err)
	}
	if got, ok, err := s.Take(t.Context(), "flow:a"); ok || err != nil || got != nil {
		t.Errorf("second Take = %q, %v, %v, want nothing", got, ok, err)
	}
	wantNone(t, s, "flow:a")
}

func takeRace(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	for round := range 20 {
		key := fmt.Sprintf("flow:%d", round)
		put(t, s, key, "state", time.Minute)
		var won atomic.Int64
		together(func() {
			_, ok, err := s.Take(t.Context(), key)
			if err != nil {
				t.Error("Take:", err)
			}
			if ok {
				won.Add(1)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of %d took the value, want one", round, won.Load(), racers)
		}
	}
}

func windowFixed(t *testing.T, s ephemeral.Store, clk *clock.Fake) {
	wantCount(t, s, "source:a", time.Minute, 1)
	clk.Advance(40 * time.Second)
	wantCount(t, s, "source:a", time.Minute, 2)
	wantCount(t, s, "source:b", time.Minute, 1)
	clk.Advance(20*time.Second - time.Millisecond)
	wantPeek(t, s, "source:a", 2)
	clk.Advance(time.Millisecond)
	wantPeek(t, s, "source:a", 0)
	wantPeek(t, s, "source:b", 1)
	wantCount(t, s, "source:a", time.Minute, 1)
}

func countRace(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	var mu sync.Mutex
	seen := map[int]bool{}
	together(func() {
		n, err := s.Count(t.Context(), "source:a", time.Minute)
		if err != nil {
			t.Error("Count:", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if seen[n] {
			t.Errorf("two callers were number %d", n)
		}
		seen[n] = true
	})
	wantPeek(t, s, "source:a", racers)
}

func peekOnly(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	wantPeek(t, s, "source:a", 0)
	wantPeek(t, s, "source:a", 0)
	wantCount(t, s, "source:a", time.Minute, 1)
	wantPeek(t, s, "source:a", 1)
	wantPeek(t, s, "source:a", 1)
}

func apart(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	put(t, s, "x:a", "state", time.Minute)
	wantPeek(t, s, "x:a", 0)
	wantCount(t, s, "x:a", time.Minute, 1)
	wantValue(t, s, "x:a", "state")
	if _, _, err := s.Take(t.Context(), "x:a"); err != nil {
		t.Error("Take:", err)
	}
	wantPeek(t, s, "x:a", 1)
	put(t, s, "x:a", "state", time.Minute)
	for range 2 { // forgetting nothing is no error
		if err := s.Delete(t.Context(), "x:a"); err != nil {
			t.Error("Delete:", err)
		}
	}
	wantNone(t, s, "x:a")
	wantPeek(t, s, "x:a", 0)
}

func refused(t *testing.T, s ephemeral.Store, _ *clock.Fake) {
	for _, tt := range []struct {
		name, key string
		size      int
		lasts     time.Duration
	}{
		{"no time", "x:a", 1, 0},
		{"negative time", "x:a", 1, -time.Second},
		{"no key", "", 1, time.Minute},
		{"key too long", string(make([]byte, ephemeral.MaxKey+1)), 1, time.Minute},
		{"value too long", "x:a", ephemeral.MaxValue + 1, time.Minute},
	} {
		if err := s.Put(t.Context(), tt.key, make([]byte, tt.size), tt.lasts); err == nil {
			t.Errorf("%s: Put kept it", tt.name)
		}
		if tt.size > 1 {
			continue
		}
		if _, err := s.Count(t.Context(), tt.key, tt.lasts); err == nil {
			t.Errorf("%s: Count counted it", tt.name)
		}
	}
}

// together runs f in all racers, released at one moment.
func together(f func()) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(racers)
	for range racers {
		done.Go(func() {
			ready.Done()
			<-start
			f()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}
