package session

import (
	"testing"
	"time"

	"sekisho/policy/store"
)

// TestLive: what is counted lives, and what this gateway holds and how old its
// knowledge is are told apart from it.
func TestLive(t *testing.T) {
	g := newGate(t)
	count := func(want int64) {
		t.Helper()
		if n, err := g.Live(ctx); err != nil || n != want {
			t.Errorf("Live = %d, %v, want %d", n, err, want)
		}
	}
	count(0)
	first, cookie := g.begin(t)
	g.begin(t)
	count(2)
	if g.Held() != 0 {
		t.Errorf("%d held before anything was loaded", g.Held())
	}
	if _, err := g.Load(ctx, cookie); err != nil {
		t.Fatal(err)
	}
	if g.Held() != 1 {
		t.Errorf("%d held, want 1", g.Held())
	}
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, first.ID, "test") }); err != nil {
		t.Fatal(err)
	}
	count(1)
	if err := g.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(3 * time.Second)
	if age := g.PollAge(); age != 3*time.Second {
		t.Errorf("PollAge = %v, want 3s", age)
	}
	g.clock.Advance(9 * time.Hour)
	count(0)
}
