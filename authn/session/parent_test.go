package session

import (
	"errors"
	"testing"
	"time"

	"sekisho/policy/store"
)

// handed gives an application's host its own cookie.
func handed(t *testing.T, s *Sessions, parent string) string {
	t.Helper()
	code, err := s.HandoverCode(ctx, parent, "bunsho", "bunsho.example")
	if err != nil {
		t.Fatal("handing over:", err)
	}
	cookie, err := s.RedeemHandover(ctx, code, "bunsho.example", "10.2.0.7")
	if err != nil {
		t.Fatal("redeeming:", err)
	}
	return cookie
}

// TestWorkInAnApplicationKeepsTheGate: whoever works in an application does not
// idle out at the gate, though another gateway answers for the application, or
// this one has started anew, and holds no copy of the gate's session.
func TestWorkInAnApplicationKeepsTheGate(t *testing.T) {
	g := newGate(t)
	_, cookie := g.begin(t)
	child := handed(t, g.Sessions, cookie)
	other := g.beside()
	idle := g.policy.Zones[0].IdleEnd
	for range 3 {
		g.clock.Advance(idle - time.Minute)
		wantAlive(t, other, child, "while somebody works there")
		if err := other.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wantAlive(t, g.beside(), cookie, "for the gate, which another gateway answers for")
}

// TestIdledOutStaysOut: a session that lay unused too long is not woken by what
// it opened, neither its row nor a copy of it.
func TestIdledOutStaysOut(t *testing.T) {
	g := newGate(t)
	n, cookie := g.begin(t)
	child := handed(t, g.Sessions, cookie)
	wantAlive(t, g.Sessions, cookie, "at first")
	other := g.beside()
	idle := g.policy.Zones[0].IdleEnd
	// The application's session is used where the gate's is not known and
	// nothing is written back, until the gate's has idled out.
	g.clock.Advance(idle - time.Minute)
	wantAlive(t, other, child, "while somebody works there")
	other.mu.Lock()
	clear(other.parents)
	other.mu.Unlock()
	if err := other.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(2 * time.Minute)
	for name, s := range map[string]*Sessions{"with a copy of the gate's": g.Sessions, "without": other} {
		if _, err := s.Load(ctx, child); err != nil {
			t.Fatalf("the application's session %s: %v", name, err)
		}
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		wantDead(t, s, cookie, "after it idled out, "+name)
	}
	wantDead(t, g.beside(), cookie, "by its row")
	// It opens nothing, and is found by who ends it: so is what it opened.
	former, err := g.Former(ctx, cookie)
	if err != nil || former.ID != n.ID {
		t.Fatalf("the session before: %q, %v", former.ID, err)
	}
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, former.ID, "signed out") }); err != nil {
		t.Fatal(err)
	}
	if err := g.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.Sessions, child, "after its session was ended")
	if _, err := g.Former(ctx, cookie); !errors.Is(err, ErrNone) {
		t.Errorf("an ended session is found again: %v", err)
	}
	if _, err := g.Former(ctx, "x"); !errors.Is(err, ErrNone) {
		t.Errorf("no session is found: %v", err)
	}
}

// TestCopiesAgeWhileTheClockStands: the machine's clock was set back and ours
// waits for it; revocations cannot be polled meanwhile. Copies are not young for
// that.
func TestCopiesAgeWhileTheClockStands(t *testing.T) {
	g := newGate(t)
	_, cookie := g.begin(t)
	other := g.beside()
	var ticks time.Duration
	other.ticks = func() time.Duration { return ticks }
	if err := other.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, other, cookie, "at first")
	n, err := g.Load(ctx, cookie)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "signed out") }); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, other, cookie, "by a copy that is young") // or the rest would prove nothing
	ticks = g.policy.Session.RevocationStale
	wantDead(t, other, cookie, "by a copy that has aged")
}
