package ephemeral_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/ephemeral/ephemeraltest"
)

func TestMemory(t *testing.T) {
	ephemeraltest.Suite(t, func(_ *testing.T, now clock.Now) ephemeral.Store {
		return ephemeral.NewMemory(now, 1000)
	})
}

var monday = time.Date(2026, 4, 6, 8, 30, 0, 0, time.UTC)

// TestJunkDoesNotEvictACounter plays Argo CD's CVE-2024-21652: a stranger who
// has used up the tries at one name makes up others until the counter is gone.
func TestJunkDoesNotEvictACounter(t *testing.T) {
	clk := clock.NewFake(monday)
	m := ephemeral.NewMemory(clk.Now, 1000)
	for range 5 {
		if _, err := m.Count(t.Context(), "login:mira", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	refused := 0
	for i := range 100_000 {
		key := fmt.Sprintf("login:junk%d", i)
		if _, err := m.Count(t.Context(), key, time.Hour); errors.Is(err, ephemeral.ErrFull) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
		if err := m.Put(t.Context(), key, []byte("x"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := m.Peek(t.Context(), "login:mira"); n != 5 || err != nil {
		t.Errorf("the victim's counter is %d, %v, want 5", n, err)
	}
	if n, err := m.Count(t.Context(), "login:mira", time.Hour); n != 6 || err != nil {
		t.Errorf("a full store counts the victim %d, %v, want 6", n, err)
	}
	if want := 100_000 - 499; refused != want {
		t.Errorf("%d junk counters were refused, want %d: all beyond half of the room", refused, want)
	}
	// Another kind is still open, and the junk's own kind opens when it ends.
	if n, err := m.Count(t.Context(), "source:198.51.100.7", time.Hour); n != 1 || err != nil {
		t.Errorf("another kind is closed: %d, %v", n, err)
	}
	clk.Advance(time.Hour)
	if n, err := m.Count(t.Context(), "login:new", time.Hour); n != 1 || err != nil {
		t.Errorf("after the junk has ended: %d, %v", n, err)
	}
}

func TestValuesMakeWay(t *testing.T) {
	clk := clock.NewFake(monday)
	m := ephemeral.NewMemory(clk.Now, 8)
	put := func(key string, ttl time.Duration) {
		t.Helper()
		if err := m.Put(t.Context(), key, []byte("x"), ttl); err != nil {
			t.Fatal(err)
		}
	}
	there := func(key string) bool {
		t.Helper()
		_, ok, err := m.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	put("session:kept", time.Second) // ends first of all, but is of another kind
	put("flow:long", time.Hour)
	put("flow:short", time.Minute)
	put("flow:a", 30*time.Minute)
	put("flow:b", 30*time.Minute)
	put("flow:c", 30*time.Minute) // a fifth flow: one too many for half of 8
	for key, want := range map[string]bool{
		"session:kept": true, "flow:long": true, "flow:short": false, "flow:a": true, "flow:c": true,
	} {
		if got := there(key); got != want {
			t.Errorf("%s there: %v, want %v", key, got, want)
		}
	}
	// The room is full of two kinds; a third takes from a largest.
	for i := range 3 {
		put(fmt.Sprintf("session:%d", i), time.Hour)
	}
	put("code:x", time.Hour)
	if !there("code:x") {
		t.Error("a third kind found no room")
	}
}

// TestMemoryStaysBounded does anything in any order: the bound holds, and a
// counter that has once answered keeps counting until its window ends.
func TestMemoryStaysBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const room = 6
		clk := clock.NewFake(monday)
		m := ephemeral.NewMemory(clk.Now, room)
		type window struct {
			n   int
			end time.Time
		}
		counters := map[string]window{}
		keys := rapid.SampledFrom([]string{"a:1", "a:2", "a:3", "a:4", "a:5", "b:1", "b:2", "b:3", "b:4", "c:1", "plain"})
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			lasts := time.Duration(rapid.IntRange(1, 5).Draw(t, "lasts")) * time.Second
			switch rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				if err := m.Put(t.Context(), key, []byte(key), lasts); err != nil {
					t.Fatalf("Put: %v", err)
				}
				if v, ok, _ := m.Get(t.Context(), key); !ok || string(v) != key {
					t.Fatalf("what was put is %q, %v", v, ok)
				}
			case 1:
				got, err := m.Count(t.Context(), key, lasts)
				w, known := counters[key]
				if known && clk.Now().Before(w.end) {
					w.n++
				} else {
					w = window{1, clk.Now().Add(lasts)}
					known = false
				}
				if errors.Is(err, ephemeral.ErrFull) && !known {
					continue
				}
				if err != nil || got != w.n {
					t.Fatalf("Count(%s) = %d, %v, want %d", key, got, err, w.n)
				}
				counters[key] = w
			case 2:
				clk.Advance(time.Second)
			case 3:
				if _, _, err := m.Take(t.Context(), key); err != nil {
					t.Fatalf("Take: %v", err)
				}
			case 4:
				if err := m.Delete(t.Context(), key); err != nil {
					t.Fatalf("Delete: %v", err)
				}
				delete(counters, key)
			}
			if v, c := m.Len(); v > room || c > room {
				t.Fatalf("%d values and %d counters in a room of %d", v, c, room)
			}
		}
	})
}
