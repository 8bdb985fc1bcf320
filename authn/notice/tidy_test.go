package notice

import (
	"testing"
	"time"

	"sekisho/policy/store"
)

func (w *world) tidy() (lost int, more bool) {
	w.t.Helper()
	w.tx(func(tx *store.Tx) (err error) {
		lost, more, err = w.Tidy(ctx, tx)
		return err
	})
	return lost, more
}

func TestTidy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example") // two copies
	due := w.claim()
	w.done(due[0])
	w.clock.Advance(time.Hour)
	w.done(due[1])
	w.add(Notice{Kind: PasswordChanged}) // two more, an hour later, that nobody sends

	w.clock.Advance(Kept - time.Hour - time.Microsecond)
	if lost, _ := w.tidy(); lost != 0 || w.count("notice_copy") != 4 {
		t.Fatalf("a moment early: %d lost, %d copies left of 4", lost, w.count("notice_copy"))
	}
	w.clock.Advance(time.Microsecond)
	if lost, _ := w.tidy(); lost != 0 || w.count("notice_copy") != 3 || w.count("notice") != 2 {
		t.Fatalf("one ended %v ago: %d lost, %d copies, %d notices; want 0, 3, 2", Kept, lost, w.count("notice_copy"), w.count("notice"))
	}
	w.clock.Advance(time.Hour)
	lost, more := w.tidy()
	if lost != 2 || more || w.count("notice_copy") != 0 || w.count("notice") != 0 {
		t.Errorf("%d lost, more %t, %d copies, %d notices; want 2, false, 0, 0", lost, more, w.count("notice_copy"), w.count("notice"))
	}
	if address, _ := w.Second(ctx, tanaka); address != "me@home.example" {
		t.Error("the second address was tidied away")
	}
}

func TestTidyTakesALittleAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tx(func(tx *store.Tx) error {
		for range mostTidied + 1 {
			if err := w.Add(ctx, tx, Notice{Person: tanaka, Kind: PasswordChanged, Zone: "lgwan"}); err != nil {
				return err
			}
		}
		return nil
	})
	w.clock.Advance(Kept)
	if lost, more := w.tidy(); lost != mostTidied || !more {
		t.Errorf("first: %d lost, more %t; want %d, true", lost, more, mostTidied)
	}
	if lost, more := w.tidy(); lost != 1 || more {
		t.Errorf("second: %d lost, more %t; want 1, false", lost, more)
	}
	if n := w.count("notice"); n != 0 {
		t.Errorf("%d notices left", n)
	}
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if n, oldest, err := w.Waiting(ctx); n != 0 || !oldest.IsZero() || err != nil {
		t.Errorf("empty: %d, %v, %v", n, oldest, err)
	}
	w.add(Notice{Kind: PasswordChanged, At: t0.Add(-time.Minute)})
	w.add(Notice{Kind: RecoveryUsed})
	if n, oldest, err := w.Waiting(ctx); n != 2 || !oldest.Equal(t0.Add(-time.Minute)) || err != nil {
		t.Errorf("two: %d, %v, %v", n, oldest, err)
	}
	w.done(w.claim()[0])
	if n, oldest, _ := w.Waiting(ctx); n != 1 || !oldest.Equal(t0) {
		t.Errorf("the oldest sent: %d, %v", n, oldest)
	}
}
