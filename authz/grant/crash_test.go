package grant

import (
	"errors"
	"sync"
	"testing"
	"time"

	"sekisho/authz/authztest"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestOneRequest: F16. Ten at once under one key make one lease; another request
// under it is refused; without a key, one at a time holds all the same.
func TestOneRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenTimes := func(wish Wish, by By) (ids map[string]bool, failed []error) {
		var (
			mu sync.Mutex
			wg sync.WaitGroup
		)
		ids = map[string]bool{}
		for range 10 {
			wg.Go(func() {
				l, err := w.Ask(t.Context(), by, wish)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = append(failed, err)
					return
				}
				ids[l.ID] = true
			})
		}
		wg.Wait()
		return ids, failed
	}
	wish := w.wish("db-admin", 15)
	wish.Key = "one"
	by := w.as("sato")
	if ids, failed := tenTimes(wish, by); len(ids) != 1 || len(failed) > 0 {
		t.Errorf("%d leases, %v", len(ids), failed)
	}
	w.build() // after a restart
	if ids, failed := tenTimes(wish, by); len(ids) != 1 || len(failed) > 0 {
		t.Errorf("after a restart: %d leases, %v", len(ids), failed)
	}
	if n := w.count(`SELECT COUNT(*) FROM lease`); n != 1 {
		t.Errorf("%d rows, want one", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM approval_matter`); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
	wish.Reason = "another"
	_, err := w.Ask(t.Context(), by, wish)
	w.refused(err, OtherRequest)
	if ids, failed := tenTimes(w.wish("db-admin", 15), w.as("takahashi")); len(ids) != 1 || len(failed) != 9 || why(failed[0]) != HasOne {
		t.Errorf("without a key: %d leases, %v", len(ids), failed)
	}
	l := w.get(Lease{ID: idOf(by.Person.ID, "one")})
	w.decide("yamamoto", l, true)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		was []error
	)
	for range 10 {
		wg.Go(func() {
			_, _, err := w.Activate(t.Context(), by, l.ID)
			mu.Lock()
			was = append(was, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	won := 0
	for _, err := range was {
		if err == nil {
			won++
		} else if r := why(err); r != StillUnderWay && r != WrongState {
			t.Errorf("a second activation: %v", err)
		}
	}
	if won != 1 || w.entries(`"action":"lease.activated"`) != 1 {
		t.Errorf("%d activations, %d entries", won, w.entries(`"action":"lease.activated"`))
	}
	w.inGroup(dbAdmins, "sato")
}

// TestCrashes: F1. Whoever dies at any point leaves what comes right by itself:
// the directory agrees with the store, and there is an entry for each.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		point string
		state State // when all has come to rest
		group []string
	}{
		{PointIntended, Approved, nil},
		{PointApplied, Approved, nil},
		{PointStarted, Active, []string{"sato"}},
	} {
		t.Run(tt.point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			l := w.approved("sato", "db-admin", 60)
			w.death.At(tt.point)
			if _, _, err := w.Activate(t.Context(), w.as("sato"), l.ID); !errors.Is(err, authztest.ErrDied) {
				t.Fatal(err)
			}
			if tt.state != Active && w.lives("sato") {
				t.Error("lives without having been confirmed")
			}
			w.death.At("")
			w.build()
			w.clock.Advance(elevate.DecideWithin + 3*time.Second)
			w.settle()
			w.isState(l, tt.state)
			w.inGroup(dbAdmins, tt.group...)
			if tt.state == Active {
				return
			}
			if n := w.entries(`"action":"lease.activation_failed"`); n != 1 {
				t.Errorf("%d entries of the failure, want one", n)
			}
			l, _, err := w.Activate(t.Context(), w.as("sato"), l.ID)
			w.must(err)
			w.isState(l, Active)
			w.inGroup(dbAdmins, "sato")
		})
	}
	t.Run(PointOver, func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		l := w.active("sato", "db-admin", 60)
		w.death.At(PointOver)
		if _, err := w.End(t.Context(), w.as("sato"), l.ID, ""); !errors.Is(err, authztest.ErrDied) {
			t.Fatal(err)
		}
		w.build()
		if w.lives("sato") {
			t.Error("lives after it ended")
		}
		w.settle()
		w.inGroup(dbAdmins)
	})
	t.Run(PointAsked+" in an emergency", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.death.At(PointAsked)
		if _, _, err := w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 15)); !errors.Is(err, authztest.ErrDied) {
			t.Fatal(err)
		}
		w.death.At("")
		w.build()
		if w.lives("sato") {
			t.Error("lives although it was only announced")
		}
		w.clock.Advance(applyWithin)
		w.settle()
		if n := w.count(`SELECT COUNT(*) FROM lease WHERE state IN ('approved', 'active')`); n != 0 {
			t.Errorf("%d are open still", n)
		}
		_, _, err := w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 15))
		w.must(err)
		w.inGroup(dbAdmins, "sato")
	})
}

// TestDirectoryAway: F5. The lease stays approved, and is lent when the directory
// is back.
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.approved("sato", "db-admin", 30)
	by := w.as("sato")
	w.server.Away()
	_, _, err := w.Activate(t.Context(), by, l.ID)
	var r *Refusal
	if !errors.As(err, &r) || r.Is != Away || !errors.Is(err, directory.ErrAway) {
		t.Fatalf("answered %v, want away", err)
	}
	w.isState(l, Approved)
	w.server.Back()
	w.settle()
	w.inGroup(dbAdmins)
	l, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	w.inGroup(dbAdmins, "sato")
	// Ended while the directory is away: the gate refuses at once.
	w.server.Away()
	_, err = w.End(t.Context(), by, l.ID, "")
	w.must(err)
	given, err := w.Live(t.Context(), by.Person)
	if err != nil || len(given) != 0 {
		t.Errorf("the gate goes by %v, %v", given, err)
	}
	w.server.Back()
	w.clock.Advance(30 * time.Second)
	w.settle()
	w.inGroup(dbAdmins)
	if got, err := w.Book.Cleanup(t.Context(), l.ID); err != nil || got != elevate.CleanupConfirmed {
		t.Errorf("cleanup is %q, %v", got, err)
	}
}

// TestWhatFailsStarvesNobody: the earliest of those that are due, as many as are tidied at
// once, cannot be; the rest are all the same, and they too when what was in the way is gone.
func TestWhatFailsStarvesNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.batch = 1
	first := w.active("sato", "claims", 10)
	w.clock.Advance(time.Minute)
	other := w.active("takahashi", "claims", 10)
	mend := storetest.Refuse(t, w.db, "INSERT", "notice", `NEW.person_id = '`+string(w.id("sato"))+`'`)
	w.clock.Advance(10 * time.Minute)
	for range 3 {
		if err := w.Tidy(t.Context()); err == nil {
			t.Error("a lease that could not be written down was not told of")
		}
		w.clock.Advance(tidyLongest)
	}
	if w.get(first).state != Active || w.get(other).state != Expired {
		t.Errorf("written down as %s and %s", w.get(first).state, w.get(other).state)
	}
	mend()
	w.must(w.Tidy(t.Context()))
	if w.get(first).state != Expired || len(w.setbacks) != 0 {
		t.Errorf("written down as %s at last, %d remembered", w.get(first).state, len(w.setbacks))
	}
}

// TestOneHoldsUpNoOther: a lease that cannot be written down as over, or taken
// away, does not keep the others.
func TestOneHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, other := w.active("sato", "db-admin", 10), w.active("takahashi", "db-admin", 10)
	mend := storetest.Refuse(t, w.db, "INSERT", "notice", `NEW.person_id = '`+string(w.id("sato"))+`'`)
	w.clock.Advance(10 * time.Minute)
	if err := w.Tidy(t.Context()); err == nil {
		t.Error("a lease that could not be written down was not told of")
	}
	if w.get(first).state != Active || w.get(other).state != Expired || w.lives("sato") {
		t.Errorf("written down as %s and %s", w.get(first).state, w.get(other).state)
	}
	mend()
	w.settle()
	w.inGroup(dbAdmins)
	first, other = w.active("sato", "claims", 10), w.active("takahashi", "claims", 10)
	for _, login := range []string{"sato", "takahashi"} {
		by := w.as(login)
		w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, by.SessionID, "signed out") }))
	}
	mend = storetest.Refuse(t, w.db, "INSERT", "notice", `NEW.person_id = '`+string(w.id("sato"))+`'`)
	if err := w.Watch(t.Context()); err == nil {
		t.Error("a lease that could not be taken away was not told of")
	}
	w.isState(first, Active)
	w.isState(other, Ended)
	mend()
	w.must(w.Watch(t.Context()))
	w.isState(first, Ended)
}
