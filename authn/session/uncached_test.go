package session

import (
	"testing"
	"time"

	"sekisho/policy/store"
)

// TestUncachedReadsTheStore: a gateway that never polled trusts no copy it
// holds. What another gateway does to a session, it sees at the next request.
func TestUncachedReadsTheStore(t *testing.T) {
	for name, change := range map[string]func(g *gate, tx *store.Tx, n Session) error{
		"ended":      func(g *gate, tx *store.Tx, n Session) error { return g.End(ctx, tx, n.ID, "signed out") },
		"all ended":  func(g *gate, tx *store.Tx, n Session) error { return g.EndAll(ctx, tx, n.Person, n.Login, "", "x") },
		"new handle": func(g *gate, tx *store.Tx, n Session) error { _, err := g.Rotate(ctx, tx, n.ID, n.AuthAt); return err },
		"row is gone": func(_ *gate, tx *store.Tx, n Session) error {
			return tx.ExecOne(ctx, `DELETE FROM session WHERE id = $1`, n.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			other := g.beside()
			n, cookie := g.begin(t)
			wantAlive(t, other, cookie, "before, read from the store")
			wantAlive(t, other, cookie, "before, as a copy that was compared")
			if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return change(g, tx, n) }); err != nil {
				t.Fatal(err)
			}
			wantDead(t, other, cookie, "after")
		})
	}
}

// TestUncachedHearsOfUse: being used at one gateway keeps a session from idling
// out at another that compares its copy.
func TestUncachedHearsOfUse(t *testing.T) {
	g := newGate(t)
	other := g.beside()
	_, cookie := g.begin(t)
	wantAlive(t, other, cookie, "at first")
	g.clock.Advance(20 * time.Minute)
	wantAlive(t, g.Sessions, cookie, "used here")
	if err := g.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(20 * time.Minute)
	wantAlive(t, other, cookie, "used there 20 minutes ago")
	g.clock.Advance(31 * time.Minute)
	wantDead(t, other, cookie, "used nowhere for longer than the idle end")
}

// TestUseIsKeptToTheSecond: uses within one second may count as one, and never
// as later than they were.
func TestUseIsKeptToTheSecond(t *testing.T) {
	g := newGate(t)
	_, cookie := g.begin(t)
	begun := g.clock.Now()
	g.clock.Advance(time.Second - time.Microsecond)
	wantAlive(t, g.Sessions, cookie, "within the first second")
	g.clock.Advance(time.Second)
	wantAlive(t, g.Sessions, cookie, "in the next")
	last := g.clock.Now()
	g.clock.Advance(begun.Add(30 * time.Minute).Sub(last))
	wantAlive(t, g.Sessions, cookie, "at the idle end of the beginning")
	g.clock.Advance(30 * time.Minute)
	wantDead(t, g.Sessions, cookie, "a whole idle end later")
}
