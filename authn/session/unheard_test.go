package session

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func (g *gate) rotate(t *testing.T, id string) string {
	t.Helper()
	var cookie string
	must(t, g.db.WithTx(ctx, func(tx *store.Tx) (err error) {
		cookie, err = g.Rotate(ctx, tx, id, g.clock.Now())
		return err
	}))
	polled(t, g.Sessions)
	return cookie
}

// TestUnheard: the handle of before tells which session it was of, and opens nothing,
// until somebody has used the one that took its place.
func TestUnheard(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	there := g.beside()
	n, old := g.begin(t)
	wantAlive(t, g.Sessions, old, "at first")
	knows := func(cookie string, want bool, when string) {
		t.Helper()
		got, err := g.Unheard(ctx, cookie)
		if want && (err != nil || got.ID != n.ID) || !want && !errors.Is(err, ErrNone) {
			t.Errorf("%s: Unheard = %q, %v; want it %v", when, got.ID, err, want)
		}
	}
	knows(old, false, "the handle in use")
	g.clock.Advance(2 * time.Second)
	polled(t, g.Sessions)
	wantAlive(t, g.Sessions, old, "used, and not written back yet")
	lost := g.rotate(t, n.ID)
	knows(old, true, "its answer lost")
	knows(lost, false, "the one that nobody has")
	knows("x", false, "no handle")
	wantDead(t, g.Sessions, old, "the handle before")
	must(t, g.Flush(ctx)) // what the old handle did before is not the new one's
	knows(old, true, "after what came before was written back")
	g.clock.Advance(2 * time.Second)
	polled(t, g.Sessions, there)
	wantAlive(t, there, lost, "heard after all, elsewhere")
	must(t, there.Flush(ctx))
	knows(old, false, "its successor was used")
	last := g.rotate(t, n.ID)
	knows(lost, true, "the one of before that")
	knows(old, false, "an older one")
	must(t, g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "test") }))
	knows(lost, false, "the session is over")
	wantDead(t, g.Sessions, last, "its last handle")

	n, old = g.begin(t)
	g.rotate(t, n.ID)
	g.clock.Advance(g.policy.Zones[0].IdleEnd)
	knows(old, false, "the session has idled out")
}

// TestUnheardReadsOneRow: a stranger can ask with any handle, and has not every session
// read for it.
func TestUnheardReadsOneRow(t *testing.T) {
	t.Parallel()
	storetest.OnlySQLite(t) // and its planner
	var a, b, c int
	var plan string
	must(t, storetest.Open(t).QueryRow(ctx, `EXPLAIN QUERY PLAN `+unheard, "x").Scan(&a, &b, &c, &plan))
	if !strings.Contains(plan, "session_handle_was") {
		t.Errorf("the plan is %q", plan)
	}
}
