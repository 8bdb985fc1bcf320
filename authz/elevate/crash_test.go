package elevate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// points are where a process may die: before and after each step outside, and
// between a step and its confirmation.
var points = []string{"claimed", "add", "made", "added", "done", "confirmed"}

// TestDiesWhileGiving: F1. A process dies at each point of an activation; another
// finds what is left, and the directory and the store agree: nothing is given that
// is not kept.
func TestDiesWhileGiving(t *testing.T) {
	t.Parallel()
	for kind, g := range map[string]policy.Gift{"group": ofGroup(dbAdmins), "account": named(), "ephemeral": ephemeral()} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i, point := range points {
				if point == "made" && kind != "ephemeral" {
					continue
				}
				lease := fmt.Sprintf("L%d", i)
				w.must(w.intend(lease, w.tanaka, g))
				// What dies does nothing more: neither failed nor turn come to pass.
				dying := w.book(func(h *elevate.House) { h.Directory = w.dir; h.Stop = dieAt(point) })
				if !died(func() { _, _ = dying.Apply(t.Context(), lease) }) {
					t.Fatalf("it did not come to %s", point)
				}
				// The claim of the dead, and the time to decide, run out.
				w.clock.Advance(elevate.DecideWithin + 3*time.Second)
				if err := w.keep(lease, 10); !errors.Is(err, elevate.ErrTurned) {
					t.Errorf("%s: kept by nobody: %v", point, err)
				}
				w.undoAll()
				w.nothingLent(point)
				if got, err := w.Cleanup2(lease); err != nil || got == elevate.CleanupPending {
					t.Errorf("%s: cleanup is %s, %v", point, got, err)
				}
				// And the same lease can be had afterwards.
				w.lend(lease, w.tanaka, 10, g)
				w.withdraw(lease)
				w.undoAll()
				w.nothingLent(point + ", then whole")
			}
		})
	}
}

// TestDiesWhileTaking: the other half of F1.
func TestDiesWhileTaking(t *testing.T) {
	t.Parallel()
	for kind, g := range map[string]policy.Gift{"group": ofGroup(dbAdmins), "account": named(), "ephemeral": ephemeral()} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i, point := range []string{"claimed", "remove", "removed", "done", "confirmed"} {
				lease := fmt.Sprintf("L%d", i)
				w.lend(lease, w.tanaka, 10, g)
				w.withdraw(lease)
				dying := w.book(func(h *elevate.House) { h.Stop = dieAt(point) })
				if !died(func() { _ = dying.Undo(t.Context()) }) {
					t.Fatalf("it did not come to %s", point)
				}
				w.clock.Advance(31 * time.Second)
				w.undoAll()
				w.nothingLent(point)
				w.cleanup(lease, elevate.CleanupConfirmed)
			}
		})
	}
}

// errDead ends the goroutine of a process that dies there.
var errDead = errors.New("dead")

func dieAt(point string) func(string) error {
	return func(p string) error {
		if p == point {
			panic(errDead)
		}
		return nil
	}
}

func died(do func()) (dead bool) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case errDead:
			dead = true
		default:
			panic(r)
		}
	}()
	do()
	return false
}

// nothingLent: an independent look at the directory.
func (w *world) nothingLent(when string) {
	w.Helper()
	if a, b := w.server.Members(dbAdmins), w.server.Members(servers); len(a)+len(b) > 0 {
		w.Errorf("%s: members are %v and %v", when, a, b)
	}
	if got := w.lent(); !slices.Equal(got, []string{"adm-switch"}) {
		w.Errorf("%s: IDs are %v", when, got)
	}
	p, err := w.dir.Lent(w.Context(), admSwitch)
	if err != nil || !p.Account.Disabled {
		w.Errorf("%s: the named ID is %+v, %v", when, p.Account, err)
	}
}

// A liar is a directory whose answer to what was done is lost.
type liar struct {
	elevate.Directory
	lose bool
}

func (l *liar) lost(err error) error {
	if err == nil && l.lose {
		return fmt.Errorf("%w: the answer was lost", directory.ErrAway)
	}
	return err
}

func (l *liar) Join(ctx context.Context, group string, id directory.PersonID) (directory.Person, error) {
	p, err := l.Directory.Join(ctx, group, id)
	return p, l.lost(err)
}

func (l *liar) CreateLent(ctx context.Context, under string, n directory.NewPerson) (directory.Person, error) {
	p, err := l.Directory.CreateLent(ctx, under, n)
	return p, l.lost(err)
}

// TestLostAnswer: F5. It was done and nobody heard so: the caller is told that the
// directory is away, the lease can begin anew, and what was done is undone.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for kind, g := range map[string]policy.Gift{"group": ofGroup(dbAdmins), "ephemeral": ephemeral()} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := &liar{Directory: w.dir, lose: true}
			good := w.Book
			w.Book = w.book(func(h *elevate.House) { h.Directory = l })
			w.must(w.intend("L1", w.tanaka, g))
			if _, err := w.Apply(t.Context(), "L1"); !errors.Is(err, directory.ErrAway) {
				t.Errorf("Apply = %v", err)
			}
			if err := w.keep("L1", 10); !errors.Is(err, elevate.ErrTurned) {
				t.Errorf("Keep = %v", err)
			}
			w.Book = good
			w.undoAll()
			w.nothingLent("after a lost answer")
			w.cleanup("L1", elevate.CleanupNone)
		})
	}
}

// TestLateAdd: a wish is granted after it was undone. It is looked at a few times
// more, and the comparison takes it away although the policy would only report it.
func TestLateAdd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range w.policy.Privileges {
		w.policy.Privileges[i].Standing = policy.StandingReport
	}
	l := &liar{Directory: w.dir, lose: true}
	good := w.Book
	w.Book = w.book(func(h *elevate.House) { h.Directory = l })
	w.must(w.intend("L1", w.tanaka, ofGroup(dbAdmins)))
	_, err := w.Apply(t.Context(), "L1")
	if err == nil {
		t.Fatal("no error")
	}
	w.Book = good
	w.undoAll()
	w.inGroup(dbAdmins)
	for _, rest := range []time.Duration{2 * time.Second, 10 * time.Second, time.Minute} {
		w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
		w.clock.Advance(rest)
		w.undoAll()
		w.inGroup(dbAdmins)
	}
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.clock.Advance(2 * time.Minute)
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.must(w.Compare(t.Context()))
	w.inGroup(dbAdmins)
	// Much later it is somebody else's doing, and only reported.
	w.clock.Advance(time.Hour)
	w.must(w.dir.AddMember(t.Context(), dbAdmins, w.tanaka.DN))
	w.must(w.Compare(t.Context()))
	w.inGroup(dbAdmins, w.tanaka.DN)
}

// TestDirectoryAway: F5 and F6. Away at the activation: an error, and nothing.
// Away at the end: undone within 30 s of its return, and somebody is woken within
// a minute.
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.tanaka, 10, ofGroup(dbAdmins))
	w.lend("L2", w.suzuki, 60, named())
	w.must(w.intend("L3", w.suzuki, ofGroup(dbAdmins)))
	w.server.Away()
	if _, err := w.Apply(t.Context(), "L3"); !errors.Is(err, directory.ErrAway) {
		t.Errorf("Apply = %v", err)
	}
	w.withdraw("L1")
	w.withdraw("L2")
	woken := time.Duration(-1)
	for past := time.Duration(0); past < 30*time.Minute; past += 10 * time.Second {
		if err := w.Undo(t.Context()); err == nil && past == 0 {
			t.Error("undone without a directory")
		}
		w.must(w.Alarm(t.Context()))
		if n := w.entries("elevation.overdue"); n > 0 && woken < 0 {
			woken = past
		}
		w.cleanup("L1", elevate.CleanupPending)
		w.clock.Advance(10 * time.Second)
	}
	if woken < 0 || woken > time.Minute {
		t.Errorf("somebody is woken after %v", woken)
	}
	if n := w.entries("elevation.overdue"); n != 3 {
		t.Errorf("%d entries for three effects", n)
	}
	if got, err := w.Waiting(t.Context()); err != nil || got.Count != 3 || w.clock.Now().Sub(got.Oldest) < 29*time.Minute {
		t.Errorf("waiting are %+v, %v", got, err)
	}
	w.server.Back()
	for range 3 { // a rest is ten seconds at the most
		w.clock.Advance(10 * time.Second)
		_ = w.Undo(t.Context())
	}
	w.nothingLent("after its return")
	w.cleanup("L1", elevate.CleanupConfirmed)
	w.cleanup("L2", elevate.CleanupConfirmed)
	w.must(w.Alarm(t.Context()))
	found, err := w.Findings(t.Context(), 10)
	w.must(err)
	for _, f := range found {
		if f.Kind != elevate.Undo || f.ClosedBy != elevate.ClosedBySekisho {
			t.Errorf("found %+v", f)
		}
	}
	if len(found) != 3 {
		t.Errorf("%d findings", len(found))
	}
	w.lend("L3", w.suzuki, 10, ofGroup(dbAdmins))
}

// TestStaleHand: F3. A gateway is stopped in the middle of undoing, longer than
// its claim lasts; the person has the group again by then. What the late hand
// takes away is put back, and it cannot confirm.
func TestStaleHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lend("L1", w.tanaka, 10, ofGroup(dbAdmins))
	w.withdraw("L1")
	slow := w.book(func(h *elevate.House) {
		h.Stop = func(point string) error {
			if point != "remove" {
				return nil
			}
			w.clock.Advance(31 * time.Second) // stopped
			w.undoAll()                       // another gateway undoes it
			w.inGroup(dbAdmins)
			w.lend("L2", w.tanaka, 10, ofGroup(dbAdmins))
			return nil
		}
	})
	w.must(slow.Undo(t.Context()))
	w.inGroup(dbAdmins) // the late hand
	w.undoAll()
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.cleanup("L1", elevate.CleanupConfirmed)
	w.withdraw("L2")
	w.undoAll()
	w.inGroup(dbAdmins)

	// The other way round: a late hand adds.
	w.must(w.intend("L3", w.tanaka, ofGroup(dbAdmins)))
	slow = w.book(func(h *elevate.House) {
		h.Stop = func(point string) error {
			if point == "add" {
				w.clock.Advance(40 * time.Second)
				w.undoAll()
			}
			return nil
		}
	})
	if _, err := slow.Apply(t.Context(), "L3"); err == nil {
		t.Error("a stale claim was confirmed")
	}
	w.undoAll()
	w.inGroup(dbAdmins)
	if err := w.keep("L3", 10); !errors.Is(err, elevate.ErrTurned) {
		t.Errorf("Keep = %v", err)
	}
}

// TestManyHands: two gateways race for the same leases; each effect is done and
// undone once, and the two never at odds.
func TestManyHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.book()
	const leases = 20
	for i := range leases {
		lease := fmt.Sprintf("L%d", i)
		w.must(w.intend(lease, w.tanaka, ofGroup(dbAdmins)))
		done := make(chan error, 4)
		for _, b := range []*elevate.Book{w.Book, other} {
			go func() { _, err := b.Apply(t.Context(), lease); done <- err }()
			go func() { done <- b.Undo(t.Context()) }()
		}
		for range cap(done) {
			if err := <-done; err != nil && !errors.Is(err, elevate.ErrTurned) && !errors.Is(err, elevate.ErrBusy) {
				t.Fatal(err)
			}
		}
		kept := w.tx(func(tx *store.Tx) error { return w.Keep(t.Context(), tx, lease, w.clock.Now().Add(time.Minute)) })
		if kept == nil {
			w.inGroup(dbAdmins, w.tanaka.DN)
		}
		w.withdraw(lease)
		for _, b := range []*elevate.Book{w.Book, other} {
			go func() { done <- b.Undo(t.Context()) }()
			go func() { done <- b.Undo(t.Context()) }()
		}
		for range cap(done) {
			w.must(<-done)
		}
		w.inGroup(dbAdmins)
	}
	if a, u := w.entries("elevation.applied"), w.entries("elevation.undone"); a != leases || u < a {
		t.Errorf("%d applied and %d undone in %d leases", a, u, leases)
	}
}
