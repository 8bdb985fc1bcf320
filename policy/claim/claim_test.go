package claim

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/store/storetest"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	var inside, most, done atomic.Int64
	var wg sync.WaitGroup
	for range 4 { // gateways
		c := New(db, clock.System())
		for range 5 {
			wg.Go(func() {
				leave, err := c.Take(context.Background(), "password:tanaka", 20*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				inside.Add(-1)
				leave()
				done.Add(1)
			})
		}
	}
	wg.Wait()
	if most.Load() != 1 || done.Load() != 20 {
		t.Errorf("%d at once, %d in all; want 1 and 20", most.Load(), done.Load())
	}
}

func TestWhoHoldsAndWhoWaits(t *testing.T) {
	t.Parallel()
	db, clk := storetest.Open(t), clock.NewFake(time.Date(2026, 4, 1, 8, 30, 0, 0, time.UTC))
	c := New(db, clk.Now)
	// Whoever gets it may wait for a machine that is busy; who does not, gives up.
	take := func(name string) (func(), error) { return c.Take(t.Context(), name, time.Minute) }
	held := func(name string) error { _, err := c.Take(t.Context(), name, 60*time.Millisecond); return err }
	first, err := take("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := held("a"); !errors.Is(err, ErrHeld) {
		t.Errorf("held: %v", err)
	}
	if leave, err := take("b"); err != nil {
		t.Errorf("another name: %v", err)
	} else {
		leave()
	}
	clk.Advance(lasts - time.Microsecond)
	if err := held("a"); !errors.Is(err, ErrHeld) {
		t.Errorf("held to the last moment: %v", err)
	}
	clk.Advance(time.Microsecond)
	second, err := take("a")
	if err != nil {
		t.Fatalf("the claim of one who died: %v", err)
	}
	if _, err := c.Try(t.Context(), "a"); !errors.Is(err, ErrHeld) {
		t.Errorf("without waiting: %v", err)
	}
	first() // it comes back, and gives up nothing of the second's
	if err := held("a"); !errors.Is(err, ErrHeld) {
		t.Errorf("after the first one's leave: %v", err)
	}
	second()
	if leave, err := take("a"); err != nil {
		t.Errorf("given up: %v", err)
	} else {
		leave()
	}
	if leave, err := c.Try(t.Context(), "a"); err != nil {
		t.Errorf("without waiting, given up: %v", err)
	} else {
		leave()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Take(gone, "a", time.Hour); !errors.Is(err, ErrHeld) {
		t.Errorf("a caller who has gone: %v", err)
	}
	db.Close()
	if _, err := take("a"); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("a store that is closed: %v", err)
	}
	if _, err := c.Try(t.Context(), "a"); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("a store that is closed, without waiting: %v", err)
	}
}
