package session

import (
	"errors"
	"sync"
	"testing"

	"sekisho/policy"
	"sekisho/policy/store"
)

func TestHandover(t *testing.T) {
	g := newGate(t)
	n, cookie := g.begin(t)
	code := func() string {
		t.Helper()
		c, err := g.HandoverCode(ctx, cookie, "juki", "juki.localhost")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Run("to another host is refused", func(t *testing.T) {
		if _, err := g.RedeemHandover(ctx, code(), "bunsho.localhost", "10.2.0.9"); !errors.Is(err, ErrNone) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("too late is refused", func(t *testing.T) {
		c := code()
		g.clock.Advance(g.policy.Session.HandoverEnd)
		if _, err := g.RedeemHandover(ctx, c, "juki.localhost", "10.2.0.9"); !errors.Is(err, ErrNone) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("works once, however many try", func(t *testing.T) {
		c := code()
		var (
			wg  sync.WaitGroup
			mu  sync.Mutex
			won []string
		)
		for range 20 {
			wg.Go(func() {
				child, err := g.RedeemHandover(ctx, c, "juki.localhost", "10.2.0.9")
				if err == nil {
					mu.Lock()
					won = append(won, child)
					mu.Unlock()
				} else if !errors.Is(err, ErrNone) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("%d of 20 got a session, want 1", len(won))
		}
		child, err := g.Load(ctx, won[0])
		if err != nil || child.App != "juki" || child.Parent != n.ID || child.ACR != policy.AAL2 || !child.ExpiresAt.Equal(n.ExpiresAt) {
			t.Errorf("child %+v, %v", child, err)
		}
		if _, err := g.HandoverCode(ctx, won[0], "bunsho", "bunsho.localhost"); !errors.Is(err, ErrNone) {
			t.Errorf("a host's own cookie was handed on: %v", err)
		}
		if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "signed out") }); err != nil {
			t.Fatal(err)
		}
		if err := g.Poll(ctx); err != nil {
			t.Fatal(err)
		}
		wantDead(t, g.Sessions, won[0], "the child of a session that ended")
	})
	t.Run("of a session that has ended is refused", func(t *testing.T) {
		n, cookie := g.begin(t)
		c, err := g.HandoverCode(ctx, cookie, "juki", "juki.localhost")
		if err != nil {
			t.Fatal(err)
		}
		if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "signed out") }); err != nil {
			t.Fatal(err)
		}
		if _, err := g.RedeemHandover(ctx, c, "juki.localhost", "10.2.0.9"); !errors.Is(err, ErrNone) {
			t.Errorf("got %v", err)
		}
	})
}
