package session

import (
	"context"
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

// A bell for two gateways in one process.
type bell struct{ here, there chan struct{} }

func (b bell) Ring() {
	select {
	case b.there <- struct{}{}:
	default:
	}
}
func (b bell) Rung() <-chan struct{} { return b.here }

// TestBell: what one gateway ends is refused at another as soon as the bell is
// heard, long before the other would have looked by itself; and a bell that never
// stops ringing does not have the store read without end.
func TestBell(t *testing.T) {
	g := newGate(t)
	g.policy.Session.RevocationPoll, g.policy.Session.RevocationStale = time.Hour, 2*time.Hour
	here, there := make(chan struct{}, 1), make(chan struct{}, 1)
	other := g.beside()
	g.UseBell(bell{here, there})
	other.UseBell(bell{there, here})
	n, cookie := g.begin(t)
	if err := other.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, other, cookie, "before")
	run, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { other.Run(run); close(done) }()
	t.Cleanup(func() { stop(); <-done })

	g.clock.Advance(time.Millisecond)
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "test") }); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, other, cookie, "ended, and nobody rang")
	if err := g.Poll(ctx); err != nil { // as whoever ended it does
		t.Fatal(err)
	}
	dropped := func() bool { mac, _ := other.MAC(KindSession, cookie); return other.holding(mac) == nil }
	for tick := time.NewTicker(time.Millisecond); !dropped(); <-tick.C {
	}
	wantDead(t, other, cookie, "after the bell")

	// A flood of rings: one every 20 ms at most is followed.
	start := time.Now()
	polls := 0
	for last := other.polled.Load(); time.Since(start) < 200*time.Millisecond; {
		g.clock.Advance(time.Microsecond)
		select {
		case there <- struct{}{}:
		default:
		}
		if at := other.polled.Load(); at != last {
			last, polls = at, polls+1
		}
	}
	if polls < 1 || polls > 12 {
		t.Errorf("a flood of rings for 200 ms brought %d polls", polls)
	}
}
