package approval

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/policy/audit"
)

// TestRefusalsAreEnteredOnceAMinute each, and forgotten after it.
func TestRefusalsAreEnteredOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var r Refusals
	for _, tt := range []struct {
		name, key string
		at        time.Duration
		entered   int // so far
	}{
		{"the first", "eto read", 0, 1},
		{"again at once", "eto read", 0, 1},
		{"another", "eto write", 30 * time.Second, 2},
		{"just within the minute", "eto read", time.Minute - 1, 2},
		{"a minute later", "eto read", time.Minute, 3},
		{"and again", "eto read", time.Minute, 3},
		{"the other, not forgotten by it", "eto write", time.Minute, 3},
	} {
		e := audit.Entry{Actor: "eto", Action: "test.refused", Object: tt.key, Outcome: audit.Refused}
		must(t, r.Enter(ctx, w.DB, w.Trail, tt.key, e, t0.Add(tt.at)))
		if got := w.entries(t, `"action":"test.refused"`); got != tt.entered {
			t.Errorf("%s: %d entered, want %d", tt.name, got, tt.entered)
		}
	}
	must(t, r.Enter(ctx, w.DB, w.Trail, "eto leave", audit.Entry{Actor: "eto", Action: "test.refused", Object: "x", Outcome: audit.Refused}, t0.Add(time.Hour)))
	kept := 0
	r.lately.Range(func(_, _ any) bool { kept++; return true })
	if kept != 1 {
		t.Errorf("%d refusals kept in memory after an hour, want the last one alone", kept)
	}
}

// TestARefusalThatWasNotEnteredIsTriedAgain: a minute's silence begins with an entry.
func TestARefusalThatWasNotEnteredIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var r Refusals
	e := audit.Entry{Actor: "eto", Action: "test.refused", Object: "x", Outcome: audit.Refused}
	gone, leave := context.WithCancel(ctx)
	leave()
	if err := r.Enter(gone, w.DB, w.Trail, "eto read", e, t0); !errors.Is(err, context.Canceled) {
		t.Fatalf("whoever asked was gone: %v", err)
	}
	must(t, r.Enter(ctx, w.DB, w.Trail, "eto read", e, t0))
	if got := w.entries(t, `"action":"test.refused"`); got != 1 {
		t.Errorf("%d entered, want 1", got)
	}
}
