package terminal_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/terminal"
	"sekisho/authn/ticket"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestSpendIsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := w.sign(w.words("juki-1"), w.juki)
	a, err := w.Read(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	undone := errors.New("the step it came with failed")
	err = w.tx(func(tx *store.Tx) error {
		if err := w.Spend(context.Background(), tx, a); err != nil {
			return err
		}
		return undone
	})
	wantIs(t, "a step that is undone", err, undone)
	if at := w.find("juki-1").SeenAt; !at.IsZero() {
		t.Errorf("an undone step says that the terminal spoke at %v", at)
	}
	wantWhy(t, "the same after it was undone", w.spend(a), "taken")
	if at := w.find("juki-1").SeenAt; !at.Equal(t0) {
		t.Errorf("SeenAt = %v, want %v", at, t0)
	}
	wantWhy(t, "again", w.spend(a), "nonce_used")
	// Read cannot know; Spend is asked each time.
	b, err := w.Read(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	wantWhy(t, "read again", w.spend(b), "nonce_used")
	w.restart()
	wantWhy(t, "after a restart", w.spend(a), "nonce_used")

	// Another terminal cannot use what one has used.
	stolen := w.words("madoguchi-1")
	stolen.Nonce, _ = w.Nonce()
	c, err := w.say(stolen, w.madoguchi)
	if err != nil {
		t.Fatal(err)
	}
	wantWhy(t, "the counter's", w.spend(c), "taken")
	stolen.Terminal = "juki-1"
	d, err := w.say(stolen, w.juki)
	if err != nil {
		t.Fatal(err)
	}
	wantWhy(t, "the counter's, by another terminal", w.spend(d), "nonce_used")
}

// TestSpendRace: of twenty requests with one assertion, at two gateways on one
// store, one is taken.
func TestSpendRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := w.sign(w.words("juki-1"), w.juki)
	db, err := store.Open(context.Background(), storetest.At(w.t, w.path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	beside := terminal.New(db, ticket.New(w.ring, w.clock.Now), gate, w.clock.Now, w.policy.Load)
	var (
		taken, used atomic.Int64
		group       sync.WaitGroup
		start       = make(chan struct{})
	)
	for i := range 20 {
		gateway, on := w.Register, w.db
		if i%2 == 1 {
			gateway, on = beside, db
		}
		group.Go(func() {
			<-start
			a, err := gateway.Read(context.Background(), text)
			if err != nil {
				t.Errorf("Read: %v", err)
				return
			}
			err = on.WithTx(context.Background(), func(tx *store.Tx) error { return gateway.Spend(context.Background(), tx, a) })
			switch got := why(err); got {
			case "taken":
				taken.Add(1)
			case "nonce_used":
				used.Add(1)
			default:
				t.Errorf("Spend: %s", got)
			}
		})
	}
	close(start)
	group.Wait()
	if taken.Load() != 1 || used.Load() != 19 {
		t.Errorf("%d taken, %d refused as used; want 1 and 19", taken.Load(), used.Load())
	}
}

// TestSpendAsksAgain: what changes between Read and Spend counts.
func TestSpendAsksAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, w *world)
		want   string
	}{
		{"nothing", func(*testing.T, *world) {}, "taken"},
		{"the terminal is lost", func(t *testing.T, w *world) { wantIs(t, "Lose", w.lose("juki-1"), nil) }, "lost"},
		{"the policy drops it", func(_ *testing.T, w *world) { w.declare() }, "unknown_terminal"},
		{"the policy changes its key", func(t *testing.T, w *world) {
			d := w.declared("juki-1")
			d.PublicKey = newPair(t).public
			w.declare(d)
		}, "changed"},
		{"the policy takes its key away", func(_ *testing.T, w *world) {
			d := w.declared("juki-1")
			d.PublicKey = ""
			w.declare(d)
		}, "changed"},
		{"the policy puts it at a counter", func(_ *testing.T, w *world) {
			d := w.declared("juki-1")
			d.Class = policy.TerminalCounter
			w.declare(d)
		}, "changed"},
		{"the policy moves it to another zone", func(_ *testing.T, w *world) {
			d := w.declared("juki-1")
			d.Zone = policy.LGWAN
			w.declare(d)
		}, "changed"},
		{"the policy gives it another name", func(_ *testing.T, w *world) {
			d := w.declared("juki-1")
			d.Name.JA = "住基端末一号"
			w.declare(d)
		}, "taken"},
		{"the nonce ends", func(_ *testing.T, w *world) { w.clock.Advance(time.Minute) }, "nonce_old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			a := w.heard("juki-1", w.juki)
			tt.change(t, w)
			wantWhy(t, "Spend", w.spend(a), tt.want)
			spoke, err := w.Find(context.Background(), w.db, "juki-1")
			if err == nil && (tt.want == "taken") == spoke.SeenAt.IsZero() {
				t.Errorf("SeenAt = %v", spoke.SeenAt)
			}
		})
	}
}

// TestSpendOfAnEnrolledOne: removed, and enrolled anew by another person's word,
// it is not the terminal that spoke.
func TestSpendOfAnEnrolledOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, another := newPair(t), newPair(t)
	counter := terminal.Terminal{ID: "counter-2", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口2"}}
	wantIs(t, "Enrol", w.enrol(counter, old.public), nil)
	a := w.heard("counter-2", old)
	wantIs(t, "Remove", w.remove("counter-2"), nil)
	wantWhy(t, "removed", w.spend(a), "unknown_terminal")
	wantIs(t, "Enrol anew", w.enrol(counter, another.public), nil)
	wantWhy(t, "enrolled anew", w.spend(a), "changed")

	b := w.heard("counter-2", another)
	w.declare(policy.Terminal{ID: "counter-2", Zone: policy.LGWAN, Class: policy.TerminalCounter, PublicKey: another.public})
	wantWhy(t, "declared meanwhile", w.spend(b), "changed")
}

// TestSpendDeniesWhatWasNotRead: an assertion that somebody put together.
func TestSpendDeniesWhatWasNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wantWhy(t, "the zero value", w.spend(terminal.Assertion{}), "unknown_terminal")
	wantWhy(t, "a terminal without a nonce", w.spend(terminal.Assertion{Terminal: w.find("juki-1")}), "nonce_unknown")
	wantWhy(t, "a terminal that cannot speak", w.spend(terminal.Assertion{Terminal: w.find("lent-1")}), "changed")
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	other := terminal.New(w.db, ticket.New(ring, w.clock.Now), gate, w.clock.Now, w.policy.Load)
	a := w.heard("juki-1", w.juki)
	err = w.tx(func(tx *store.Tx) error { return other.Spend(context.Background(), tx, a) })
	wantWhy(t, "a nonce under keys of another gate", err, "nonce_unknown")
}

// TestSeenIsNeverSetBack: a gateway whose clock lags does not undo another's note.
func TestSeenIsNeverSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.Advance(time.Hour)
	wantWhy(t, "Spend", w.spend(w.heard("juki-1", w.juki)), "taken")
	w.clock.Advance(-time.Hour)
	wantWhy(t, "Spend by a clock set back", w.spend(w.heard("juki-1", w.juki)), "taken")
	if at := w.find("juki-1").SeenAt; !at.Equal(t0.Add(time.Hour)) {
		t.Errorf("SeenAt = %v, want %v", at, t0.Add(time.Hour))
	}
	w.clock.Advance(2 * time.Hour)
	wantWhy(t, "Spend later", w.spend(w.heard("juki-1", w.juki)), "taken")
	if at := w.find("juki-1").SeenAt; !at.Equal(t0.Add(2 * time.Hour)) {
		t.Errorf("SeenAt = %v, want %v", at, t0.Add(2*time.Hour))
	}
}
