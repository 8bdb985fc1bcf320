package session

import (
	"cmp"
	"errors"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy/store"
)

// TestByIDBelievesAsLoadDoes: a copy is believed while the polls keep it true,
// and what another gateway ended is refused after the next of them, or at once
// where there were none.
func TestByIDBelievesAsLoadDoes(t *testing.T) {
	for _, polled := range []bool{true, false} {
		g := newGate(t)
		other := g.beside()
		poll := func() {
			t.Helper()
			if err := other.Poll(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if polled {
			poll()
		}
		n, cookie := g.begin(t)
		wantAlive(t, other, cookie, "before")
		if got, err := other.ByID(ctx, n.ID); err != nil || got.ID != n.ID || got.Person != n.Person || !got.ExpiresAt.Equal(n.ExpiresAt) {
			t.Errorf("ByID = %+v, %v, want %+v", got, err, n)
		}
		if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "signed out") }); err != nil {
			t.Fatal(err)
		}
		if _, err := other.ByID(ctx, n.ID); polled != (err == nil) {
			t.Errorf("polled %t: ended elsewhere just now, ByID: %v", polled, err)
		}
		err := g.db.WithTx(ctx, func(tx *store.Tx) error { return other.StillOpen(ctx, tx, n.ID) })
		if !errors.Is(err, ErrNone) {
			t.Errorf("StillOpen: %v, want ErrNone", err)
		}
		if polled {
			g.clock.Advance(time.Second)
			poll()
			if _, err := other.ByID(ctx, n.ID); !errors.Is(err, ErrNone) {
				t.Errorf("ended elsewhere, after a poll, ByID: %v, want ErrNone", err)
			}
		}
	}
}

// TestStillSignedIn: whoever acts is asked about again in the act's transaction.
func TestStillSignedIn(t *testing.T) {
	g := newGate(t)
	for _, tt := range []struct {
		name string
		who  directory.PersonID // as whom; "" as its owner
		meet func(tx *store.Tx, n Session) error
		want error
	}{
		{"signed in", "", nil, nil},
		{"signed out", "", func(tx *store.Tx, n Session) error { return g.End(ctx, tx, n.ID, "signed out") }, ErrNone},
		{"another person's", "suzuki", nil, ErrNone},
		{"closed out", "", func(tx *store.Tx, n Session) error {
			return standing.Set(ctx, tx, n.Person, standing.Suspended, g.clock.Now(), time.Time{}, "a test", "system")
		}, ErrNone},
		{"closed out until now", "", func(tx *store.Tx, n Session) error {
			return standing.Set(ctx, tx, n.Person, standing.Suspended, g.clock.Now().Add(-time.Hour), g.clock.Now(), "a test", "system")
		}, nil},
	} {
		n, _ := g.begin(t)
		err := g.db.WithTx(ctx, func(tx *store.Tx) error {
			if tt.meet != nil {
				if err := tt.meet(tx, n); err != nil {
					return err
				}
			}
			return StillSignedIn(ctx, tx, n.ID, cmp.Or(tt.who, n.Person), g.clock.Now())
		})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	err := g.db.WithTx(ctx, func(tx *store.Tx) error { return StillSignedIn(ctx, tx, "none", "tanaka", g.clock.Now()) })
	if !errors.Is(err, ErrNone) {
		t.Errorf("no such session: %v, want ErrNone", err)
	}
}

// TestByIDAsksTheRow about a session that has idled out here: it may have been
// used at another gateway. An application's session is none of the gate's.
func TestByIDAsksTheRow(t *testing.T) {
	g := newGate(t)
	other := g.beside()
	n, cookie := g.begin(t)
	if err := other.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, other, cookie, "at first")
	for range 2 {
		g.clock.Advance(20 * time.Minute)
		wantAlive(t, g.Sessions, cookie, "used here")
		if err := g.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := other.ByID(ctx, n.ID); err != nil {
		t.Errorf("used elsewhere: %v", err)
	}
	g.clock.Advance(31 * time.Minute)
	if _, err := other.ByID(ctx, n.ID); !errors.Is(err, ErrNone) {
		t.Errorf("used nowhere: %v, want ErrNone", err)
	}
	_, cookie = g.begin(t)
	child := handed(t, g.Sessions, cookie)
	if err := other.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	at, err := other.Load(ctx, child)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ByID(ctx, at.ID); !errors.Is(err, ErrNone) {
		t.Errorf("an application's session: %v, want ErrNone", err)
	}
}
