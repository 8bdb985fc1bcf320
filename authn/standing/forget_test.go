package standing

import (
	"sync"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var disabled = directory.Person{ID: "tanaka", Account: directory.Account{Disabled: true}}

// TestForgetReachesOtherGateways: what one gateway changed in the directory is
// asked for again at the other after its next poll, once, and not before.
func TestForgetReachesOtherGateways(t *testing.T) {
	t.Parallel()
	fake, db := clock.NewFake(t0), storetest.Open(t)
	dir := &registry{p: directory.Person{ID: "tanaka"}}
	here, there := NewWatch(db, dir, fake.Now), NewWatch(db, dir, fake.Now)
	rung := 0
	here.Heed(func(clock.Moment) bool { return true }, func() { rung++ })
	ask := func(w *Watch) directory.Person {
		t.Helper()
		p, err := w.Person(ctx, "tanaka", 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	poll := func(w *Watch) {
		t.Helper()
		if err := w.Follow(ctx, fake.Now().Add(-5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	ask(here)
	ask(there)
	dir.set(disabled, nil)
	here.Forget("tanaka")
	if !ask(here).Account.Disabled {
		t.Error("the gateway that forgot did not ask again")
	}
	if ask(there).Account.Disabled {
		t.Fatal("the other gateway asked although nobody told it: the test shows nothing")
	}
	if err := here.Spread(ctx); err != nil || rung != 1 {
		t.Fatalf("telling the others: %v, rung %d times", err, rung)
	}
	poll(there)
	if !ask(there).Account.Disabled {
		t.Error("the other gateway did not ask again after its poll")
	}
	// The same row, read by later polls, has nobody asked again; nor has one's own.
	before := dir.count()
	for range 3 {
		for _, w := range []*Watch{here, there} {
			poll(w)
			ask(w)
		}
	}
	if n := dir.count(); n != before {
		t.Errorf("rows that had been seen cost %d questions", n-before)
	}
	// Said in a transaction it is the same; and so is a second change in the same
	// microsecond.
	dir.set(directory.Person{ID: "tanaka"}, nil)
	if err := db.WithTx(ctx, func(tx *store.Tx) error { return Changed(ctx, tx, "tanaka", fake.Now()) }); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*Watch{"here": here, "there": there} {
		poll(w)
		if ask(w).Account.Disabled {
			t.Errorf("%s: not asked again after a change said in a transaction", name)
		}
	}
}

// TestOutOfStep: a gateway that could not hear of others' changes asks the
// directory each time.
func TestOutOfStep(t *testing.T) {
	t.Parallel()
	fake := clock.NewFake(t0)
	dir := &registry{p: directory.Person{ID: "tanaka"}}
	w := NewWatch(storetest.Open(t), dir, fake.Now)
	inStep := true
	w.Heed(func(clock.Moment) bool { return inStep }, nil)
	for _, inStep = range []bool{true, false, true} {
		if _, err := w.Person(ctx, "tanaka", 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := dir.count(); n != 2 {
		t.Errorf("the directory was asked %d times, want once at first and once out of step", n)
	}
	dir.set(directory.Person{}, directory.ErrAway)
	inStep = false
	if _, err := w.Person(ctx, "tanaka", 0); err != nil {
		t.Errorf("the directory is away: %v; nobody changes it either", err)
	}
}

// TestRunTells: what was forgotten is told without anybody asking for it, also
// when the gateway stops.
func TestRunTells(t *testing.T) {
	t.Parallel()
	for _, stopping := range []bool{false, true} {
		db := storetest.Open(t)
		w := NewWatch(db, &registry{}, clock.NewFake(t0).Now)
		running, stop := testContext(t)
		if stopping {
			stop()
		}
		w.Forget("tanaka")
		var wg sync.WaitGroup
		wg.Go(func() { w.Run(running) })
		if !stopping {
			until(t, func() bool { return rows(t, db) == 1 })
			stop()
		}
		wg.Wait()
		if n := rows(t, db); n != 1 {
			t.Errorf("stopping %t: %d rows, want 1", stopping, n)
		}
	}
}

// TestWithPersonDoesNotKeepWhatWasForgotten: a sign-in reads a person, Sekisho
// changes them, and the sign-in's word of before is not remembered.
func TestWithPersonDoesNotKeepWhatWasForgotten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		between func(w *Watch)
		dated   bool
		asks    int // questions to the directory afterwards
	}{
		{"nothing happens", func(*Watch) {}, true, 0},
		{"forgotten meanwhile", func(w *Watch) { w.Forget("tanaka") }, true, 1},
		{"another was forgotten", func(w *Watch) { w.Forget("suzuki") }, true, 0},
		{"nobody knows when it was read", func(*Watch) {}, false, 1},
		{"forgotten long ago, and no longer known by name", func(w *Watch) {
			w.Forget("tanaka")
			w.mu.Lock()
			defer w.mu.Unlock()
			w.floor, w.forgotten.at = w.ticks(), map[directory.PersonID]time.Duration{}
		}, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := &registry{p: disabled}
			w := NewWatch(storetest.Open(t), dir, clock.NewFake(t0).Now)
			var asked Asked
			if tt.dated {
				asked = w.Asking()
			}
			p := directory.Person{ID: "tanaka"}
			tt.between(w)
			if f, err := w.WithPerson(ctx, p, asked); err != nil || f.Person.ID != "tanaka" {
				t.Fatalf("%+v, %v", f, err)
			}
			got, err := w.Person(ctx, "tanaka", 0)
			if err != nil || dir.count() != tt.asks || got.Account.Disabled != (tt.asks > 0) {
				t.Errorf("afterwards %+v, %v, after %d questions; want %d", got, err, dir.count(), tt.asks)
			}
		})
	}
}

// TestRememberTheYounger: an older answer that comes later does not take the
// place of a younger one.
func TestRememberTheYounger(t *testing.T) {
	t.Parallel()
	dir := &registry{p: disabled}
	w := NewWatch(storetest.Open(t), dir, clock.NewFake(t0).Now)
	asked := w.Asking()
	if _, err := w.Of(ctx, "tanaka"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WithPerson(ctx, directory.Person{ID: "tanaka"}, asked); err != nil {
		t.Fatal(err)
	}
	if p, err := w.Person(ctx, "tanaka", 0); err != nil || !p.Account.Disabled || dir.count() != 1 {
		t.Errorf("%+v, %v, after %d questions", p, err, dir.count())
	}
}

// TestForgottenStaysSmall: who was dropped to keep the map small counts as
// forgotten all the same.
func TestForgottenStaysSmall(t *testing.T) {
	t.Parallel()
	f := forgotten{at: map[directory.PersonID]time.Duration{}}
	for i := range 2*mostForgotten + 10 {
		f.forget(directory.PersonID(rune(i)), time.Duration(i))
		if len(f.at) > mostForgotten {
			t.Fatalf("%d are held", len(f.at))
		}
	}
	for i := range 2*mostForgotten + 10 {
		if id := directory.PersonID(rune(i)); !f.since(id, time.Duration(i)) {
			t.Fatalf("%d is not known as forgotten at the time", i)
		}
	}
	if f.since("somebody else", 3*mostForgotten) {
		t.Error("who was never forgotten is")
	}
}
