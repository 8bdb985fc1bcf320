package grant

import (
	"testing"
	"time"

	"sekisho/policy/store"
)

// TestPair: article 49-3, with an ID whose password only its borrower is shown.
func TestPair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.approved("sato", "server-pair", 30)
	_, err := w.Witness(t.Context(), w.as("ito"), l.ID)
	w.refused(err, WrongState)
	l, given, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	if given != nil {
		t.Error("an ID before the second person came")
	}
	w.isState(l, Approved)
	w.inGroup(servers)
	_, err = w.Witness(t.Context(), w.as("sato"), l.ID)
	w.refused(err, OwnLease)
	l, err = w.Witness(t.Context(), w.as("ito"), l.ID)
	w.must(err)
	w.isState(l, Active)
	if l.Witness.Login != "ito" || !l.WitnessDue.Equal(t0.Add(5*time.Minute)) {
		t.Errorf("witnessed by %s until %v", l.Witness.Login, l.WitnessDue)
	}
	_, _, err = w.Activate(t.Context(), w.as("ito"), l.ID)
	w.refused(err, NotTheirs)
	l, given, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	if given == nil || given.Login != l.Account {
		t.Fatalf("the borrower was not shown the ID: %+v", given)
	}
	if _, again, err := w.Activate(t.Context(), w.as("sato"), l.ID); err != nil || again != nil {
		t.Errorf("shown twice: %+v, %v", again, err)
	}
	w.inGroup(servers, l.Account)

	w.clock.Advance(5 * time.Minute) // nobody confirms
	if w.lives("sato") {
		t.Error("the gate goes by a lease that has paused")
	}
	w.settle()
	if !w.get(l).Paused(w.clock.Now()) || w.entries(`"action":"lease.paused"`) != 1 {
		t.Error("the pause was not written down")
	}
	w.inGroup(servers)
	l, err = w.Witness(t.Context(), w.as("takahashi"), l.ID) // another may
	w.must(err)
	if !w.lives("sato") || l.Paused(w.clock.Now()) || !l.EndsAt().Equal(t0.Add(30*time.Minute)) {
		t.Errorf("not resumed as it was: ends %v", l.EndsAt())
	}
	if n := len(w.members(servers)); n != 1 {
		t.Errorf("%d are in the group after the pause", n)
	}
	w.clock.Advance(3 * time.Minute)
	l, err = w.Witness(t.Context(), w.as("takahashi"), l.ID)
	w.must(err)
	if !l.WitnessDue.Equal(w.clock.Now().Add(5 * time.Minute)) {
		t.Errorf("confirmed until %v", l.WitnessDue)
	}
	w.clock.Advance(30 * time.Minute)
	w.settle()
	w.isState(l, Expired)
	w.inGroup(servers)
	if n := w.count(`SELECT COUNT(*) FROM lease_secret`); n != 0 {
		t.Errorf("%d passwords are kept", n)
	}
	_, err = w.Report(t.Context(), w.as("sato"), l.ID, "再起動した")
	w.must(err)
	_, err = w.Countersign(t.Context(), w.as("takahashi"), l.ID, "見た")
	w.must(err)
}

// TestTheBorrowerHasSignedOut: nothing is given to a session that is over.
func TestTheBorrowerHasSignedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.approved("sato", "pair", 30)
	by := w.as("sato")
	_, _, err := w.Activate(t.Context(), by, l.ID)
	w.must(err)
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, by.SessionID, "signed out") }))
	_, err = w.Witness(t.Context(), w.as("ito"), l.ID)
	w.refused(err, WrongState)
	w.inGroup(dbAdmins)
}
