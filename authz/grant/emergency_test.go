package grant

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/store"
)

// TestBreakGlass: article 80-2.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	waiting := w.ask("sato", "db-admin", 15)
	l, _, err := w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 60))
	w.must(err)
	w.isState(waiting, Cancelled)
	w.isState(l, Active)
	w.inGroup(dbAdmins, "sato")
	if got := l.EndsAt().Sub(t0); got != 30*time.Minute || !l.Emergency || l.Times != 1 {
		t.Errorf("lasts %v, %+v", got, l)
	}
	if _, owed := l.Owed(w.clock.Now()); !owed {
		t.Error("no report is owed")
	}
	given, err := w.Live(t.Context(), w.as("sato").Person)
	if err != nil || len(given) != 1 || !given[0].Emergency {
		t.Errorf("the gate is not told that nobody approved: %+v", given)
	}
	for _, login := range []string{"yamamoto", "nakamura", "kobayashi", "kato", "yoshida", "yamada", "sasaki"} {
		if w.told(login, notice.LeaseEmergency) != 1 {
			t.Errorf("%s was not told at once", login)
		}
	}
	if w.told("tanaka", notice.LeaseEmergency) != 0 || w.entries(`"action":"lease.emergency"`, `"80-2"`) != 1 {
		t.Error("told to others, or without the article")
	}
	_, err = w.Extend(t.Context(), w.as("sato"), l.ID, time.Minute, "")
	w.refused(err, NoMore)
	_, err = w.End(t.Context(), w.as("sato"), l.ID, "")
	w.must(err)
	// A second use within the incident is possible, and louder.
	second, _, err := w.Emergency(t.Context(), w.as("takahashi"), w.wish("db-admin", 10))
	w.must(err)
	if second.Times != 2 || second.Incident != l.ID || w.told("yoshida", notice.LeaseEmergency) != 2 {
		t.Errorf("the second: %+v", second)
	}
	if w.count(`SELECT COUNT(*) FROM notice WHERE kind = 'lease_emergency' AND `+"detail"+` LIKE '%"times":"2"%'`) == 0 {
		t.Error("nobody was told that it was the second")
	}
	_, _, err = w.Emergency(t.Context(), w.as("takahashi"), w.wish("db-admin", 10))
	w.refused(err, HasOne)
	_, _, err = w.Emergency(t.Context(), w.as("ito"), w.wish("server", 10))
	w.refused(err, NoEmergency)
	_, _, err = w.Emergency(t.Context(), w.as("tanaka"), w.wish("db-admin", 10))
	w.refused(err, NotEligible)
	_, err = w.Report(t.Context(), w.as("sato"), l.ID, "やむを得なかった")
	w.must(err)
	if w.told("yamamoto", notice.RecordWritten) != 1 {
		t.Error("who may confirm it was not told of the report")
	}
	_, err = w.Judge(t.Context(), w.as("yoshida"), l.ID, "妥当")
	w.must(err)
	_, err = w.Judge(t.Context(), w.as("yamada"), l.ID, "不当")
	w.refused(err, WrongState)
	if w.told("sato", notice.EmergencyJudged) != 1 {
		t.Error("who used it was not told of the judgement")
	}
	w.settle()
	w.clock.Advance(10 * time.Minute)
	w.settle()
	w.inGroup(dbAdmins)
	w.clock.Advance(25 * time.Hour) // the second one's report is overdue
	w.settle()
	if w.told("takahashi", notice.RecordOverdue) != 1 || w.told("sato", notice.RecordOverdue) != 0 {
		t.Error("not told once of the report that is overdue")
	}
	_, err = w.Ask(t.Context(), w.as("takahashi"), w.wish("claims", 10))
	w.refused(err, RecordDue)
	third, _, err := w.Emergency(t.Context(), w.as("takahashi"), w.wish("claims", 10))
	w.must(err)
	if third.Times != 1 {
		t.Errorf("another privilege is the same incident: %+v", third)
	}
}

// TestEmergencyWithoutItsDirectory: everyone was told, nothing was lent, and it
// does not stand open.
func TestEmergencyWithoutItsDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	by := w.as("sato")
	w.remember(t.Context())
	w.server.Away()
	_, _, err := w.Emergency(t.Context(), by, w.wish("db-admin", 10))
	var r *Refusal
	if !errors.As(err, &r) || r.Is != Away {
		t.Fatalf("answered %v", err)
	}
	w.server.Back()
	if w.told("yoshida", notice.LeaseEmergency) != 1 || w.told("sasaki", notice.LeaseEmergency) != 1 {
		t.Error("those concerned were not told, though it was known who they are")
	}
	w.settle()
	w.inGroup(dbAdmins)
	if n := w.count(`SELECT COUNT(*) FROM lease WHERE state <> 'cancelled'`); n != 0 {
		t.Errorf("%d stand open", n)
	}
	_, _, err = w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 10))
	w.must(err)
}

// TestEndingMany: what a lock-down or a suspension calls.
func TestEndingMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, waits, other := w.active("sato", "db-admin", 30), w.ask("sato", "claims", 15), w.active("takahashi", "claims", 30)
	over := w.active("ito", "claims", 1)
	w.clock.Advance(time.Minute)
	var n int
	w.must(w.tx(func(tx *store.Tx) (err error) {
		n, err = w.EndOf(t.Context(), tx, w.id("sato"), "yoshida", "封鎖")
		return err
	}))
	w.Changed(t.Context())
	if n != 2 || w.lives("sato") || !w.lives("takahashi") {
		t.Errorf("%d ended", n)
	}
	w.isState(l, Revoked)
	w.isState(waits, Cancelled)
	w.must(w.tx(func(tx *store.Tx) (err error) {
		n, err = w.EndAll(t.Context(), tx, "yoshida", "封鎖")
		return err
	}))
	w.Changed(t.Context())
	w.isState(other, Revoked)
	w.isState(over, Expired)
	if n != 1 || w.lives("takahashi") {
		t.Errorf("%d ended of the rest", n)
	}
	w.settle()
	w.inGroup(dbAdmins)
	w.decide2(waits)
	w.isState(waits, Cancelled)
}

// decide2 says yes to a request whose lease is over; what becomes of it is the
// caller's to look at.
func (w *world) decide2(l Lease) {
	w.Helper()
	_, err := w.matters.Decide(w.Context(), w.as("yamamoto"), w.get(l).Matter, true, "")
	if err != nil {
		var refused *approval.Refused
		if !errors.As(err, &refused) {
			w.Fatal(err)
		}
	}
}

// TestLockDownEndsWhatBeganMeanwhile: what became active while a lock-down was
// being ordered ends at the next look, and not while nobody can say.
func TestLockDownEndsWhatBeganMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 30)
	shut, away := false, errors.New("the store is away")
	w.Barred = func(_ context.Context, p directory.Person) (bool, error) { return shut && p.ID == w.id("sato"), away }
	if err := w.Watch(t.Context()); err == nil || !w.lives("sato") {
		t.Errorf("nobody could say: %v", err)
	}
	away = nil
	w.must(w.Watch(t.Context()))
	w.isState(l, Active)
	shut = true
	w.must(w.Watch(t.Context()))
	w.isState(l, Revoked)
	if w.lives("sato") {
		t.Error("it lives")
	}
}
