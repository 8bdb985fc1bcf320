package session

import (
	"errors"
	"testing"
	"time"

	"sekisho/policy/store"
)

func (g *gate) elevate(t *testing.T, id string) Privileged {
	t.Helper()
	var p Privileged
	err := g.db.WithTx(ctx, func(tx *store.Tx) (err error) {
		p, err = g.Elevate(ctx, tx, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	polled(t, g.Sessions)
	return p
}

func polled(t *testing.T, gates ...*Sessions) {
	t.Helper()
	for _, s := range gates {
		if err := s.Poll(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// wantRaised asks a gateway by its memory, and by the store alone.
func wantRaised(t *testing.T, s *Sessions, n Session, want bool, when string) {
	t.Helper()
	if _, ok, err := s.Privileged(ctx, n); ok != want || err != nil {
		t.Errorf("%s: privileged = %v, %v; want %v", when, ok, err, want)
	}
	at := s.polled.Swap(1) // out of step: nothing in memory counts
	defer s.polled.Store(at)
	if _, ok, err := s.Privileged(ctx, n); ok != want || err != nil {
		t.Errorf("%s, by the store: privileged = %v, %v; want %v", when, ok, err, want)
	}
}

// TestPrivilegedEnds: a privileged session has an idle end and an absolute end of its
// own, and the session under it outlives both (NIST SP 800-63B-4 section 2.3.3).
func TestPrivilegedEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		use  func(*testing.T, *gate, string) // every ten minutes
		live time.Duration                   // it is good then
		over time.Duration                   // and not then
	}{
		{"unused", nil, 15*time.Minute - time.Second, 15 * time.Minute},
		{"used at the gate", func(t *testing.T, g *gate, cookie string) { wantAlive(t, g.Sessions, cookie, "used") }, 8*time.Hour - time.Second, 8 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			g.policy.Zones[0].IdleEnd = time.Hour
			n, cookie := g.begin(t)
			wantRaised(t, g.Sessions, n, false, "before")
			p := g.elevate(t, n.ID)
			if p.Session != n.ID || p.Person != n.Person || !p.ExpiresAt.Equal(n.AuthAt.Add(8*time.Hour)) || !p.IdleExpiresAt.Equal(g.clock.Now().Add(15*time.Minute)) {
				t.Errorf("begun as %+v", p)
			}
			begun := g.clock.Now()
			for tt.use != nil && g.clock.Now().Before(begun.Add(tt.live-10*time.Minute)) {
				g.clock.Advance(10 * time.Minute)
				polled(t, g.Sessions)
				tt.use(t, g, cookie)
				must(t, g.Flush(ctx))
			}
			g.clock.Advance(begun.Add(tt.live).Sub(g.clock.Now()))
			must(t, g.Flush(ctx))
			polled(t, g.Sessions)
			wantRaised(t, g.Sessions, n, true, "just before its end")
			g.clock.Advance(tt.over - tt.live)
			polled(t, g.Sessions)
			wantRaised(t, g.Sessions, n, false, "at its end")
			// Whoever goes on wakes the session and not what was over it.
			wantAlive(t, g.Sessions, cookie, "after the end of the privileged one")
			must(t, g.db.WithTx(ctx, func(tx *store.Tx) error { return g.Use(ctx, tx, n) }))
			must(t, g.Flush(ctx))
			polled(t, g.Sessions)
			wantRaised(t, g.Sessions, n, false, "used after its end")
			g.clock.Advance(time.Minute)
			must(t, g.Flush(ctx))
			open, err := privileged(ctx, g.db, `ended_at = 0`)
			if err != nil || len(open) != 0 {
				t.Errorf("its end is not written down: %+v, %v", open, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestTokensKeepNobodyPrivileged: an application renews its tokens with nobody there.
// That is use of the session, and none of the privileged one.
func TestTokensKeepNobodyPrivileged(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	n, cookie := g.begin(t)
	g.elevate(t, n.ID)
	for range 5 {
		g.clock.Advance(10 * time.Minute)
		polled(t, g.Sessions)
		must(t, g.db.WithTx(ctx, func(tx *store.Tx) error { return g.Use(ctx, tx, n) }))
		must(t, g.Flush(ctx))
	}
	polled(t, g.Sessions)
	wantRaised(t, g.Sessions, n, false, "fifty minutes of tokens alone")
	wantAlive(t, g.beside(), cookie, "the session itself")
}

// TestElevatingEndsApplications: what an application's host was given before is not
// privileged after, at any gateway, nor what a code of before would give; the browser
// comes back by another handover. What others hold is left alone.
func TestElevatingEndsApplications(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	other := g.beside()
	n, cookie := g.begin(t)
	_, theirs := g.begin(t)
	child, spared := handedOver(t, g, cookie), handedOver(t, g, theirs)
	for _, s := range []*Sessions{g.Sessions, other} {
		wantAlive(t, s, child, "before")
		wantAlive(t, s, spared, "before")
	}
	code, err := g.HandoverCode(ctx, cookie, "zaimu", "zaimu.pref.example")
	must(t, err)
	g.clock.Advance(time.Second)
	g.elevate(t, n.ID)
	polled(t, other)
	for _, s := range []*Sessions{g.Sessions, other, g.beside()} {
		wantDead(t, s, child, "taken before the privileged session")
		wantAlive(t, s, spared, "another session's")
		wantAlive(t, s, cookie, "the session")
	}
	if _, err := g.RedeemHandover(ctx, code, "zaimu.pref.example", "10.2.0.9"); !errors.Is(err, ErrNone) {
		t.Errorf("a code of before is taken after: %v", err)
	}
	wantAlive(t, g.Sessions, handedOver(t, g, cookie), "handed over anew")
}

// TestPrivilegedIsUsed: what is done in an application or at another gateway is use of
// the privileged session too.
func TestPrivilegedIsUsed(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*testing.T, *gate, *Sessions, Session, string){
		"an application's host": func(t *testing.T, g *gate, _ *Sessions, n Session, cookie string) {
			child := handedOver(t, g, cookie)
			wantAlive(t, g.Sessions, child, "the application's session")
			g.clock.Advance(2 * time.Second)
			polled(t, g.Sessions)
			wantAlive(t, g.Sessions, child, "the application's session")
		},
		"another gateway": func(t *testing.T, _ *gate, other *Sessions, _ Session, cookie string) {
			wantAlive(t, other, cookie, "there")
			must(t, other.Flush(ctx))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			other := g.beside()
			n, cookie := g.begin(t)
			g.elevate(t, n.ID)
			polled(t, other)
			g.clock.Advance(10 * time.Minute)
			polled(t, g.Sessions, other)
			use(t, g, other, n, cookie)
			g.clock.Advance(10 * time.Minute)
			polled(t, g.Sessions, other)
			must(t, g.Flush(ctx))
			wantRaised(t, g.Sessions, n, true, "ten minutes after it was used")
			wantRaised(t, other, n, true, "ten minutes after it was used, elsewhere")
			g.clock.Advance(6 * time.Minute)
			polled(t, g.Sessions, other)
			wantRaised(t, g.Sessions, n, false, "sixteen minutes after it was used")
			wantRaised(t, other, n, false, "sixteen minutes after it was used, elsewhere")
		})
	}
}

// handedOver is the cookie of an application's host.
func handedOver(t *testing.T, g *gate, cookie string) string {
	t.Helper()
	code, err := g.HandoverCode(ctx, cookie, "zaimu", "zaimu.pref.example")
	must(t, err)
	child, err := g.RedeemHandover(ctx, code, "zaimu.pref.example", "10.2.0.9")
	must(t, err)
	return child
}

// TestPrivilegedOne: a person has one privileged session, good in the session that
// it stands over and its children, at every gateway, and in no other.
func TestPrivilegedOne(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	other := g.beside()
	first, cookie := g.begin(t)
	second, _ := g.begin(t)
	g.elevate(t, first.ID)
	polled(t, other)
	child, err := g.Load(ctx, handedOver(t, g, cookie))
	must(t, err)
	for _, s := range []*Sessions{g.Sessions, other} {
		wantRaised(t, s, first, true, "the session")
		wantRaised(t, s, child, true, "its application")
		wantRaised(t, s, second, false, "another session")
	}
	g.clock.Advance(time.Second)
	g.elevate(t, second.ID)
	polled(t, other)
	for _, s := range []*Sessions{g.Sessions, other} {
		wantRaised(t, s, first, false, "the one before")
		wantRaised(t, s, child, false, "its application")
		wantRaised(t, s, second, true, "the one that began elsewhere")
	}
	wantAlive(t, g.Sessions, cookie, "the session that is not privileged any more")
	must(t, g.db.WithTx(ctx, func(tx *store.Tx) error { return g.Lower(ctx, tx, second.ID, "given back") }))
	polled(t, g.Sessions, other)
	wantRaised(t, g.Sessions, second, false, "ended by its lease")
	wantRaised(t, other, second, false, "ended by its lease, elsewhere")
	// One that begins again in the same session is another.
	g.elevate(t, second.ID)
	must(t, g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, second.ID, "signed out") }))
	err = g.db.WithTx(ctx, func(tx *store.Tx) error { _, err := g.Elevate(ctx, tx, second.ID); return err })
	if !errors.Is(err, ErrNone) {
		t.Errorf("begun over a session that has ended: %v", err)
	}
	must(t, g.Flush(ctx))
	var over int
	must(t, g.db.QueryRow(ctx, `SELECT COUNT(*) FROM privileged_session WHERE session_id = $1 AND ended_why = 'the session is over'`, second.ID).Scan(&over))
	if over != 1 {
		t.Errorf("%d are written down as ended with their session", over)
	}
	// Only the database sees two that begin at once.
	err = g.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO privileged_session (id, session_id, person_id, login, started_at, expires_at, seen_at, changed_at)
			VALUES ('a', $1, 'tanaka', 'tanaka', 1, 1, 1, 1), ('b', $2, 'tanaka', 'tanaka', 1, 1, 1, 1)`, first.ID, second.ID)
		return err
	})
	if err == nil {
		t.Error("a person has two privileged sessions")
	}
}

// TestPrivilegedByStricterPolicy: a policy that is made stricter governs at once.
func TestPrivilegedByStricterPolicy(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	n, _ := g.begin(t)
	g.elevate(t, n.ID)
	g.clock.Advance(6 * time.Minute)
	polled(t, g.Sessions)
	wantRaised(t, g.Sessions, n, true, "under the rules it began with")
	g.policy.Session.ElevatedIdleEnd = 5 * time.Minute
	wantRaised(t, g.Sessions, n, false, "under a shorter idle end")
	g.policy.Session.ElevatedIdleEnd, g.policy.Session.ElevatedAbsoluteEnd = 15*time.Minute, 5*time.Minute
	wantRaised(t, g.Sessions, n, false, "under a shorter absolute end")
}
