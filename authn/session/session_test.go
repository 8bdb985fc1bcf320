package session

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var ctx = context.Background()

// people is a directory of one, whose answer a test can change.
type people struct {
	mu  sync.Mutex
	p   directory.Person
	err error
}

func (d *people) ByID(context.Context, directory.PersonID) (directory.Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.p, d.err
}

func (d *people) set(p directory.Person, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.p, d.err = p, err
}

// gate is one gateway on a store, which several may share.
type gate struct {
	*Sessions
	db     *store.DB
	clock  *clock.Fake
	dir    *people
	policy *policy.Policy
	file   string
	ring   *secret.KeyRing
}

func newGate(t *testing.T) *gate {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sekisho.db")
	return newGateOn(t, storetest.At(t, file), file)
}

func newGateOn(t *testing.T, at store.Config, file string) *gate {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	ring, err := secret.CreateKeyRing(filepath.Join(dir, "ring"))
	if err != nil {
		t.Fatal(err)
	}
	pol := policy.Standard()
	pol.Zones = []policy.Zone{{ID: policy.LGWAN, SignInACR: policy.AAL1, IdleEnd: 30 * time.Minute, AbsoluteEnd: 9 * time.Hour}}
	pol.Session.MaxPerPerson = 3
	g := &gate{db: db, clock: clock.NewFake(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)), policy: pol, file: file, ring: ring}
	g.dir = &people{p: directory.Person{ID: "tanaka", Login: "tanaka"}}
	g.Sessions = g.beside()
	return g
}

// beside is another gateway on the same store.

func (g *gate) beside() *Sessions {
	watch := standing.NewWatch(g.db, g.dir, g.clock.Now)
	return New(g.db, g.ring, audit.New(g.db, g.clock.Now), watch, func() *policy.Policy { return g.policy }, g.clock.Now)
}

func (g *gate) begin(t *testing.T) (Session, string) {
	t.Helper()
	var (
		n      Session
		cookie string
	)
	err := g.db.WithTx(ctx, func(tx *store.Tx) (err error) {
		n, cookie, err = g.Begin(ctx, tx, Session{
			Person: "tanaka", Login: "tanaka", Zone: policy.LGWAN, ACR: policy.AAL2, AMR: []string{"pwd", "otp", "mfa"},
			From: "10.2.0.9", AuthAt: g.clock.Now(),
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, cookie
}

func wantAlive(t *testing.T, s *Sessions, cookie, when string) {
	t.Helper()
	if _, err := s.Load(ctx, cookie); err != nil {
		t.Errorf("%s: Load = %v, want a session", when, err)
	}
}

func wantDead(t *testing.T, s *Sessions, cookie, when string) {
	t.Helper()
	if _, err := s.Load(ctx, cookie); !errors.Is(err, ErrNone) {
		t.Errorf("%s: Load = %v, want ErrNone", when, err)
	}
}

func TestSessionEnds(t *testing.T) {
	t.Run("of idleness, at the very instant", func(t *testing.T) {
		g := newGate(t)
		_, cookie := g.begin(t)
		g.clock.Advance(30*time.Minute - time.Microsecond)
		wantAlive(t, g.Sessions, cookie, "a moment before")
		g.clock.Advance(30 * time.Minute)
		wantDead(t, g.Sessions, cookie, "30 minutes after its last use")
	})
	t.Run("absolutely, however busy", func(t *testing.T) {
		g := newGate(t)
		_, cookie := g.begin(t)
		for range 17 {
			g.clock.Advance(29 * time.Minute)
			wantAlive(t, g.Sessions, cookie, "in use")
		}
		g.clock.Advance(9*time.Hour - 17*29*time.Minute)
		wantDead(t, g.Sessions, cookie, "nine hours after it began")
	})
	t.Run("when a stricter policy comes into force", func(t *testing.T) {
		g := newGate(t)
		_, cookie := g.begin(t)
		g.clock.Advance(10 * time.Minute)
		stricter := *g.policy
		stricter.Zones = slices.Clone(g.policy.Zones)
		stricter.Zones[0].AbsoluteEnd = 5 * time.Minute
		g.policy = &stricter
		wantDead(t, g.Sessions, cookie, "five minutes allowed, ten gone")
	})
	t.Run("when its zone is taken out of the policy", func(t *testing.T) {
		g := newGate(t)
		_, cookie := g.begin(t)
		without := *g.policy
		without.Zones = nil
		g.policy = &without
		wantDead(t, g.Sessions, cookie, "no such zone")
	})
	t.Run("with one more than the policy allows, the oldest first", func(t *testing.T) {
		g := newGate(t)
		var cookies []string
		for range 4 {
			_, c := g.begin(t)
			cookies = append(cookies, c)
			g.clock.Advance(time.Second)
		}
		wantDead(t, g.Sessions, cookies[0], "the oldest of four")
		for _, c := range cookies[1:] {
			wantAlive(t, g.Sessions, c, "the three newest")
		}
	})
}

// TestPersonWhoMayNotGoOn tries what can become of a person: each closes every

// session for good, so that coming back does not revive them.

func TestPersonWhoMayNotGoOn(t *testing.T) {
	for _, tt := range []struct {
		name string
		to   func(now time.Time) (directory.Person, error)
	}{
		{"disabled in the directory", func(time.Time) (directory.Person, error) {
			return directory.Person{ID: "tanaka", Account: directory.Account{Disabled: true}}, nil
		}},
		{"contract ended", func(now time.Time) (directory.Person, error) {
			return directory.Person{ID: "tanaka", Account: directory.Account{ExpiresAt: now}}, nil
		}},
		{"gone from the directory", func(time.Time) (directory.Person, error) {
			return directory.Person{}, directory.ErrNotFound
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t)
			_, cookie := g.begin(t)
			wantAlive(t, g.Sessions, cookie, "before")
			g.dir.set(tt.to(g.clock.Now()))
			g.clock.Advance(30 * time.Second)
			wantDead(t, g.Sessions, cookie, "30 s after")
			g.dir.set(directory.Person{ID: "tanaka"}, nil)
			g.clock.Advance(time.Minute)
			wantDead(t, g.Sessions, cookie, "let back in")
		})
	}
}

func TestDirectoryAway(t *testing.T) {
	g := newGate(t)
	g.policy.Zones[0].DirectoryStale = 5 * time.Minute
	_, cookie := g.begin(t)
	wantAlive(t, g.Sessions, cookie, "before")
	g.dir.set(directory.Person{}, directory.ErrAway)
	g.clock.Advance(4 * time.Minute)
	wantAlive(t, g.Sessions, cookie, "away for less than the zone allows")
	g.clock.Advance(3 * time.Minute)
	if _, err := g.Load(ctx, cookie); !errors.Is(err, standing.ErrAway) {
		t.Errorf("away for longer: Load = %v, want ErrAway", err)
	}
	g.dir.set(directory.Person{ID: "tanaka"}, nil)
	wantAlive(t, g.Sessions, cookie, "back again")
}

func TestRevokedHereIsRefusedThere(t *testing.T) {
	g := newGate(t)
	other := g.beside()
	n, cookie := g.begin(t)
	for _, s := range []*Sessions{g.Sessions, other} {
		if err := s.Poll(ctx); err != nil {
			t.Fatal(err)
		}
		wantAlive(t, s, cookie, "before")
	}
	g.clock.Advance(100 * time.Millisecond)
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "test") }); err != nil {
		t.Fatal(err)
	}
	if err := other.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, other, cookie, "after the other gateway's next poll")

	t.Run("and by a gateway that cannot poll", func(t *testing.T) {
		n, cookie := g.begin(t)
		if err := other.Poll(ctx); err != nil {
			t.Fatal(err)
		}
		wantAlive(t, other, cookie, "before")
		if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "test") }); err != nil {
			t.Fatal(err)
		}
		g.clock.Advance(751 * time.Millisecond)
		wantDead(t, other, cookie, "its last poll is too old to trust memory")
	})
}

// TestNewHandleKillsTheOld: security.md section 2, row 16.

func TestNewHandleKillsTheOld(t *testing.T) {
	g := newGate(t)
	n, old := g.begin(t)
	wantAlive(t, g.Sessions, old, "before")
	var fresh string
	err := g.db.WithTx(ctx, func(tx *store.Tx) (err error) {
		fresh, err = g.Rotate(ctx, tx, n.ID, g.clock.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.Sessions, old, "the handle before the rise")
	wantAlive(t, g.Sessions, fresh, "the handle after")
	if g.CSRF(old) == "" || g.CSRF(old) != g.CSRF(fresh) {
		t.Error("the token of the session's forms changed with the handle")
	}
	head := func(cookie string) string { return cookie[:len(cookie)-tailChars] }
	if len(old) != len(fresh) || head(old) == head(fresh) || old[len(head(old)):] != fresh[len(head(fresh)):] {
		t.Errorf("%q replaced %q: want another head and the same tail", fresh, old)
	}
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "test") }); err != nil {
		t.Fatal(err)
	}
	err = g.db.WithTx(ctx, func(tx *store.Tx) error { _, err := g.Rotate(ctx, tx, n.ID, g.clock.Now()); return err })
	if !errors.Is(err, ErrNone) {
		t.Errorf("rotating an ended session: %v, want ErrNone", err)
	}
}

// TestOneCopyOfASession: a gateway that meets the new handle before it hears of

// the change must not go on honouring the old one.

func TestOneCopyOfASession(t *testing.T) {
	g := newGate(t)
	there := g.beside()
	n, old := g.begin(t)
	if err := there.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantAlive(t, there, old, "at first")
	var fresh string
	err := g.db.WithTx(ctx, func(tx *store.Tx) (err error) {
		fresh, err = g.Rotate(ctx, tx, n.ID, g.clock.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	wantAlive(t, there, fresh, "after the change")
	g.clock.Advance(g.policy.Session.RevocationPoll)
	if err := there.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, there, old, "after the poll")
}

func TestUseOutlivesARestart(t *testing.T) {
	g := newGate(t)
	_, cookie := g.begin(t)
	g.clock.Advance(20 * time.Minute)
	wantAlive(t, g.Sessions, cookie, "in use")
	if err := g.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(20 * time.Minute)
	wantAlive(t, g.beside(), cookie, "40 minutes old, used 20 minutes ago, after a restart")
}

func TestFlushWakesNothing(t *testing.T) {
	g := newGate(t)
	n, cookie := g.begin(t)
	g.clock.Advance(time.Minute)
	wantAlive(t, g.Sessions, cookie, "in use")
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "test") }); err != nil {
		t.Fatal(err)
	}
	if err := g.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.beside(), cookie, "ended, then flushed")
}

func TestPrevious(t *testing.T) {
	g := newGate(t)
	first, cookie := g.begin(t)
	if first.Previous != (Previous{}) {
		t.Errorf("the first sign-in has a previous one: %+v", first.Previous)
	}
	_ = cookie
	g.clock.Advance(time.Minute)
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, first.ID, "signed out") }); err != nil {
		t.Fatal(err)
	}
	out := g.clock.Now()
	for range 2 {
		if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return CountFailure(ctx, tx, "tanaka") }); err != nil {
			t.Fatal(err)
		}
	}
	g.clock.Advance(time.Hour)
	second, _ := g.begin(t)
	want := Previous{At: first.StartedAt, From: "10.2.0.9", OutAt: out, FailuresSince: 2}
	if second.Previous != want {
		t.Errorf("Previous = %+v, want %+v", second.Previous, want)
	}
	g.clock.Advance(10 * time.Hour)
	third, _ := g.begin(t)
	want = Previous{At: second.StartedAt, From: "10.2.0.9", OutAt: second.StartedAt.Add(30 * time.Minute)}
	if third.Previous != want {
		t.Errorf("Previous = %+v, want %+v (it idled out)", third.Previous, want)
	}
}

// TestHandleIsNotStored reads the bytes of the database: security.md section 2,

// row 26.

func TestHandleIsNotStored(t *testing.T) {
	g := newGate(t)
	_, cookie := g.begin(t)
	code, err := g.HandoverCode(ctx, cookie, "juki", "juki.localhost")
	if err != nil {
		t.Fatal(err)
	}
	if storetest.Engine() != "sqlite" {
		t.Skip("the bytes of SQLite's file are read")
	}
	files, err := filepath.Glob(g.file + "*")
	if err != nil || len(files) == 0 {
		t.Fatal("no database files", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{cookie, code} {
			for _, part := range []string{secret, secret[len(secret)-43:], secret[len(secret)-20:]} {
				if bytes.Contains(b, []byte(part)) {
					t.Errorf("%s contains a handle", filepath.Base(f))
				}
			}
		}
	}
}

func TestCookiesThatAreNone(t *testing.T) {
	g := newGate(t)
	_, cookie := g.begin(t)
	flow, _, _, err := g.Handles.New(KindFlow)
	if err != nil {
		t.Fatal(err)
	}
	code, err := g.HandoverCode(ctx, cookie, "juki", "juki.localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]string{
		"empty": "", "a dot": ".", "no key": cookie[1:], "an unknown key": "nobody" + cookie, "cut": cookie[:len(cookie)-1],
		"longer": cookie + "A", "a sign-in under way": flow, "a handover code": code, "spaces": " " + cookie,
		"another kind's letter": string(bytes.Replace([]byte(flow), []byte(".f"), []byte(".s"), 1)),
	} {
		t.Run(name, func(t *testing.T) { wantDead(t, g.Sessions, c, name) })
	}
	wantAlive(t, g.Sessions, cookie, "the cookie itself")
}

func TestCheckCSRF(t *testing.T) {
	g := newGate(t)
	_, a := g.begin(t)
	_, b := g.begin(t)
	for _, tt := range []struct {
		name          string
		cookie, token string
		want          bool
	}{
		{"its own", a, g.CSRF(a), true},
		{"its own, as versions before derived it", a, g.csrfOfAll(a), true},
		{"another session's", a, g.CSRF(b), false},
		{"another session's, as versions before derived it", a, g.csrfOfAll(b), false},
		{"of another turn of its handle, as versions before derived it", b[:len(b)-tailChars] + a[len(a)-tailChars:], g.csrfOfAll(a), false},
		{"none", a, "", false},
		{"none for none", "", "", false},
		{"the cookie itself", a, a, false},
		{"of another session with this one's head", b[:len(b)-tailChars] + a[len(a)-tailChars:], g.CSRF(b), false},
	} {
		if got := g.CheckCSRF(tt.cookie, tt.token); got != tt.want {
			t.Errorf("%s: CheckCSRF = %t", tt.name, got)
		}
	}
}

func TestEndAllSparesOne(t *testing.T) {
	g := newGate(t)
	_, a := g.begin(t)
	keep, b := g.begin(t)
	err := g.db.WithTx(ctx, func(tx *store.Tx) error {
		return g.EndAll(ctx, tx, "tanaka", "tanaka", keep.ID, "password changed")
	})
	if err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.Sessions, a, "another session")
	wantAlive(t, g.Sessions, b, "the one that is spared")
	list, err := g.List(ctx, "tanaka")
	if err != nil || len(list) != 1 || list[0].ID != keep.ID {
		t.Errorf("List = %v, %v", list, err)
	}
}

// at begins a session of somebody on a terminal.
func (g *gate) at(t *testing.T, login, terminal, class string) (Session, string) {
	t.Helper()
	var (
		n      Session
		cookie string
	)
	err := g.db.WithTx(ctx, func(tx *store.Tx) (err error) {
		n, cookie, err = g.Begin(ctx, tx, Session{
			Person: "tanaka", Login: login, Zone: policy.LGWAN, ACR: policy.PHR, AuthAt: g.clock.Now(),
			Terminal: terminal, TerminalClass: class,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, cookie
}

// TestTakeOver: whoever signs in at a terminal ends the session before it there,
// with its applications, and no other (article 38-6).
func TestTakeOver(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.policy.Session.MaxPerPerson = 10
	g.policy.Zones[0].CounterIdleEnd = 3 * time.Minute
	_, first := g.at(t, "tanaka", "counter-1", policy.TerminalCounter)
	_, elsewhere := g.at(t, "tanaka", "counter-2", policy.TerminalCounter)
	_, desk := g.begin(t)
	code, err := g.HandoverCode(ctx, first, "bunsho", "bunsho.example")
	if err != nil {
		t.Fatal(err)
	}
	child, err := g.RedeemHandover(ctx, code, "bunsho.example", "10.2.0.9")
	if err != nil {
		t.Fatal(err)
	}
	wantAlive(t, g.Sessions, first, "before")
	wantAlive(t, g.Sessions, child, "before")

	_, second := g.at(t, "suzuki", "counter-1", policy.TerminalCounter)
	if err := g.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.Sessions, first, "after the take-over")
	wantDead(t, g.Sessions, child, "its application after the take-over")
	for name, cookie := range map[string]string{"the new one": second, "another counter": elsewhere, "a desk": desk} {
		wantAlive(t, g.Sessions, cookie, name)
	}

	if err := g.db.WithTx(ctx, func(tx *store.Tx) error {
		n, err := g.EndAt(ctx, tx, "counter-1", "lost")
		if n != 1 {
			t.Errorf("%d sessions ended at a lost terminal, want 1", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := g.Poll(ctx); err != nil {
		t.Fatal(err)
	}
	wantDead(t, g.Sessions, second, "at a lost terminal")
	wantAlive(t, g.Sessions, elsewhere, "at another terminal")
}

// TestCounterIdlesSoon: at a counter a session ends as soon as somebody may have
// turned away, and the application's with it.
func TestCounterIdlesSoon(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		class string
		idle  time.Duration
	}{
		{policy.TerminalCounter, 2 * time.Minute},
		{policy.TerminalDedicated, 30 * time.Minute},
		{policy.TerminalLent, 30 * time.Minute},
		{"", 30 * time.Minute},
	} {
		t.Run("class "+tt.class, func(t *testing.T) {
			g := newGate(t)
			g.policy.Zones[0].CounterIdleEnd = 2 * time.Minute
			n, cookie := g.at(t, "tanaka", "t-1", tt.class)
			if got := n.IdleExpiresAt.Sub(g.clock.Now()); got != tt.idle {
				t.Errorf("told to idle out after %v, want %v", got, tt.idle)
			}
			g.clock.Advance(tt.idle - time.Microsecond)
			wantAlive(t, g.Sessions, cookie, "a moment before")
			g.clock.Advance(tt.idle)
			wantDead(t, g.Sessions, cookie, "after the idle end")
		})
	}
}
