package grant

import (
	"fmt"
	"testing"
	"time"

	"sekisho/policy/store"
)

// TestPollsTakeEachChangeOver: a poll reads the last seconds again, and takes apart
// only what has changed since it was read, however much that is.
func TestPollsTakeEachChangeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "claims", 15)
	w.must(w.tx(func(tx *store.Tx) error {
		for i := range 2*named + 1 {
			one := l
			one.ID = fmt.Sprintf("copy-%d", i)
			if _, err := insert(t.Context(), tx, one, w.clock.Now()); err != nil {
				return err
			}
		}
		return nil
	}))
	other, _, _ := w.gateway(w.clock.Now)
	other.polled.Store(store.Micros(w.clock.Now().Add(-time.Second))) // it was there before them
	changed := func(want int, when string) {
		t.Helper()
		got, _, err := other.changedAfter(t.Context(), 0)
		if err != nil || len(got) != want {
			t.Errorf("%s: %d are taken apart, %v; want %d", when, len(got), err, want)
		}
	}
	all := 2*named + 2
	changed(all, "before a poll")
	w.must(other.poll(t.Context()))
	if len(other.held) != all {
		t.Errorf("%d are held, want %d", len(other.held), all)
	}
	changed(0, "after a poll")
	_, err := w.End(t.Context(), w.as("sato"), l.ID, "")
	w.must(err)
	changed(1, "one was given back")
	w.must(other.poll(t.Context()))
	if _, held := other.held[l.ID]; held {
		t.Error("what was given back is held after a poll")
	}
	changed(0, "and is known")
	// What no poll reads again is not remembered.
	w.clock.Advance(2 * deepReread)
	for range deepEvery {
		w.must(other.poll(t.Context()))
	}
	w.clock.Advance(time.Second)
	for range deepEvery {
		w.must(other.poll(t.Context()))
	}
	if len(other.known) != 0 {
		t.Errorf("%d are remembered", len(other.known))
	}
}
