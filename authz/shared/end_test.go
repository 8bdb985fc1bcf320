package shared

import (
	"context"
	"errors"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz/authztest"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// TestEveryEnd: whatever ends it, the password is good for nothing afterwards.
func TestEveryEnd(t *testing.T) {
	t.Parallel()
	endOf := func(w *world, c Checkout) {
		w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
			return second(w.EndFor(w.Context(), tx, []directory.PersonID{c.By.ID}, "yamamoto", "suspended"))
		}))
	}
	for _, tt := range []struct {
		name string
		do   func(w *world, c Checkout)
		want State
		why  string
	}{
		{"its time", func(w *world, _ Checkout) { w.clock.Advance(30 * time.Minute) }, Expired, ""},
		{"sign-out", func(w *world, c Checkout) {
			w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
				return w.sessions.EndAll(w.Context(), tx, c.By.ID, c.By.Login, "", "signed out")
			}))
		}, Ended, "the session is over"},
		{"a suspension", endOf, Revoked, "suspended"},
		{"a suspension that nobody told of", func(w *world, c Checkout) {
			w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
				return standing.Set(w.Context(), tx, c.By.ID, standing.Suspended, w.clock.Now(), time.Time{}, "x", "y")
			}))
		}, Revoked, "the holder may use nothing"},
		{"a lock-down", func(w *world, c Checkout) { w.mu.Lock(); w.barred = c.By.ID; w.mu.Unlock() }, Revoked, "a lock-down"},
		{"another post", func(w *world, c Checkout) {
			w.policy.SharedIDs[1].Eligible = policy.Eligible{Persons: []string{"mori"}}
		}, Revoked, "no longer eligible"},
		{"a project of the other environment", func(w *world, c Checkout) {
			w.bind(c.By.ID, policy.Development, w.clock.Now().AddDate(1, 0, 0))
		}, Revoked, "no longer eligible: wrong_environment"},
		{"the end of a project", func(w *world, c Checkout) { w.bind(c.By.ID, policy.Production, w.clock.Now()) }, Revoked, "no longer eligible: project_over"},
		{"it is shared no more", func(w *world, _ Checkout) { w.policy.SharedIDs[1].ID = "three" }, Revoked, "it is not shared any more"},
		{"somebody ends it", func(w *world, c Checkout) {
			w.must(second(w.End(w.Context(), signin.Origin{}, w.as("yamamoto"), c.ID, "不審な操作")))
		}, Revoked, "不審な操作"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := w.out(w.as("tanaka"), "two", 30)
			w.works("two", g.Password, true)
			url := w.url
			account, _ := w.policy.SharedID("two")
			tt.do(w, g.Checkout)
			w.settle()
			if c := w.state(g.Checkout, tt.want); c.EndReason != tt.why || c.EndedAt.IsZero() {
				t.Errorf("it ended at %v because of %q, want %q", c.EndedAt, c.EndReason, tt.why)
			}
			conn, err := goldap.DialURL(url)
			w.must(err)
			defer conn.Close()
			if conn.Bind(account.Account, string(g.Password.Reveal())) == nil {
				t.Error("it binds still")
			}
			if n := w.count(`SELECT COUNT(*) FROM shared_secret`); n != 0 {
				t.Errorf("%d passwords are kept", n)
			}
		})
	}
	t.Run("for all who have it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g, other := w.out(w.as("tanaka"), "two", 30), w.out(w.as("suzuki"), "two", 30)
		endOf(w, g.Checkout)
		w.settle()
		w.works("two", other.Password, false)
		w.state(other.Checkout, Revoked)
		if w.entries(`"action":"shared.revoked"`, `"person":"suzuki"`) != 1 {
			t.Error("the trail does not say that suzuki lost it")
		}
	})
	t.Run("but what outlives its session", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := w.out(w.as("tanaka"), "kept", 30)
		w.must(w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			return w.sessions.EndAll(t.Context(), tx, g.By.ID, "tanaka", "", "signed out")
		}))
		w.settle()
		w.works("kept", g.Password, true)
	})
	t.Run("and no gate of ours alive", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		g := w.out(w.as("tanaka"), "one", 30)
		w.must(w.effects.Undo(t.Context()))
		w.clock.Advance(30 * time.Minute)
		w.works("one", g.Password, false) // the directory keeps to the end itself
	})
}

// TestKnownAfterwards: who gave back what another has still knows its password, until it
// is changed: at once when they may know nothing any more.
func TestKnownAfterwards(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(w *world, c Checkout){
		"suspended": func(w *world, c Checkout) {
			who, err := w.Borrowers(w.Context(), w.db)
			w.must(err)
			if len(who) != 2 {
				w.Errorf("who would lose what they know: %v", who)
			}
			w.must(w.db.WithTx(w.Context(), func(tx *store.Tx) error {
				return second(w.EndFor(w.Context(), tx, []directory.PersonID{c.By.ID}, "yamamoto", "suspended"))
			}))
		},
		"under a lock-down": func(w *world, c Checkout) { w.mu.Lock(); w.barred = c.By.ID; w.mu.Unlock() },
		"ended by their row": func(w *world, c Checkout) {
			w.must(second(w.End(w.Context(), signin.Origin{}, w.as("yamamoto"), c.ID, "不審な操作")))
		},
	} {
		for how, over := range map[string]func(w *world){
			"given back": func(w *world) { w.back("tanaka", "two") },
			"their time": func(w *world) { w.clock.Advance(30 * time.Minute) }, // and nothing has run since
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				first, next := w.out(w.as("tanaka"), "two", 30), w.out(w.as("suzuki"), "two", 60)
				over(w)
				do(w, first.Checkout)
				w.settle()
				w.works("two", next.Password, false)
				if c := w.state(next.Checkout, Revoked); c.EndReason != WithAnother {
					t.Errorf("suzuki's ended because of %q", c.EndReason)
				}
				if n := w.count(`SELECT COUNT(*) FROM shared_secret`); n != 0 {
					t.Errorf("%d passwords are kept", n)
				}
				if w.entries(`"action":"shared.revoked"`, `"person":"suzuki"`, `"with":"tanaka"`) != 1 {
					t.Error("the trail does not say whose end it came with")
				}
				// Once: the next password is not theirs.
				again := w.out(w.as("suzuki"), "two", 30)
				w.settle()
				w.works("two", again.Password, true)
			})
		}
	}
}

// However many follow each other, one password is good for the longest time alone.
func TestOnePasswordEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.out(w.as("tanaka"), "two", 60)
	w.clock.Advance(50 * time.Minute)
	next := w.out(w.as("suzuki"), "two", 120)
	if want := t0.Add(2 * time.Hour); !next.EndsAt.Equal(want) {
		t.Errorf("who follows has it until %v, want %v", next.EndsAt, want)
	}
	w.clock.Advance(69*time.Minute + time.Second)
	if no := w.refused(second(w.checkOut(w.as("mori"), "two", 30)), "ending"); no.Is != Conflict {
		t.Errorf("it is refused as %q", no.Is)
	}
	w.clock.Advance(59 * time.Second)
	w.settle()
	w.works("two", first.Password, false)
	if third := w.out(w.as("mori"), "two", 30); string(third.Password.Reveal()) == string(first.Password.Reveal()) {
		t.Error("the same password goes on")
	}
}

// TestDies: whatever dies between the steps, nobody has a password that nobody is on
// record for, and the ID can be had again (F1).
func TestDies(t *testing.T) {
	t.Parallel()
	for _, point := range []string{PointIntended, PointApplied, PointStarted, PointOver} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tanaka := w.as("tanaka")
			w.death.At(point)
			g, err := w.checkOut(tanaka, "one", 30)
			if point == PointOver {
				w.must(err)
				if _, err := w.CheckIn(t.Context(), signin.Origin{}, tanaka, "one"); !errors.Is(err, authztest.ErrDied) {
					t.Fatalf("giving back: %v", err)
				}
			} else if !errors.Is(err, authztest.ErrDied) {
				t.Fatalf("checking out: %v", err)
			}
			w.death.At("")
			w.clock.Advance(startWithin + 3*time.Second)
			w.settle()
			held, err := open(t.Context(), w.db, `1 = 1`)
			w.must(err)
			if point == PointStarted { // the answer was lost, and it is theirs
				if len(held) != 1 || held[0].state != Active {
					t.Fatalf("held: %+v", held)
				}
				w.back(tanaka, "one")
				w.settle()
			} else if len(held) != 0 {
				t.Errorf("held: %+v", held)
			}
			p, err := w.dir.Lent(t.Context(), "one")
			if err != nil || !p.Account.Disabled {
				t.Errorf("it is open in the directory, and nobody has it: %v", err)
			}
			if !g.Password.IsEmpty() {
				w.works("one", g.Password, false)
			}
			w.works("one", w.out(w.as("suzuki"), "one", 30).Password, true)
		})
	}
}

func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tanaka := w.as("tanaka")
	g := w.out(tanaka, "two", 30)
	w.server.Away()
	if no := w.refused(second(w.checkOut(tanaka, "one", 30)), "away"); no.Is != Away {
		t.Errorf("the refusal is %q", no.Is)
	}
	w.back(tanaka, "two")
	if err := w.effects.Undo(t.Context()); !errors.Is(err, directory.ErrAway) {
		t.Errorf("undoing without a directory: %v", err)
	}
	w.server.Back()
	w.clock.Advance(time.Minute)
	w.settle()
	w.works("two", g.Password, false)
	w.works("one", w.out(w.as("tanaka"), "one", 30).Password, true)
	if w.entries(`"action":"shared.failed"`) != 1 {
		t.Error("the trail does not say that it failed")
	}
}

// An ID that is open and that nobody has is a finding, and closed.
func TestOpenedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.out(w.as("tanaka"), "two", 30)
	p, err := w.dir.Lent(t.Context(), "one")
	w.must(err)
	w.must(w.dir.OpenLent(t.Context(), p, text("By-somebody-12345"), t0.Add(time.Hour)))
	w.must(w.effects.Compare(t.Context()))
	w.works("one", text("By-somebody-12345"), false)
	w.works("two", g.Password, true)
	found, err := w.effects.Findings(t.Context(), 10)
	if err != nil || len(found) != 1 || found[0].Privilege != "one" || found[0].RemovedAt.IsZero() {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	g := w.out(w.as("tanaka"), "one", 30)
	w.clock.Advance(30 * time.Minute)
	for {
		c, err := read(t.Context(), w.db, g.ID)
		w.must(err)
		if c.state == Expired {
			break
		}
		w.must(clock.Wait(t.Context(), 10*time.Millisecond)) // until the loop has come round
	}
	stop()
	<-done
}
