package grant

import (
	"errors"
	"slices"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestStory is a lease's whole life, seen in the directory by another connection.
func TestStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.ask("sato", "db-admin", 15)
	w.isState(l, Pending)
	w.inGroup(dbAdmins)
	if n := w.told("yamamoto", notice.LeaseAsked); n != 1 {
		t.Errorf("the manager was told %d times of the request", n)
	}
	_, _, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.refused(err, WrongState)
	w.decide("yamamoto", l, true)
	w.isState(l, Approved)
	w.clock.Advance(time.Hour) // the clock starts at activation
	l, given, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	if given != nil {
		t.Error("a group came with an ID")
	}
	w.isState(l, Active)
	w.inGroup(dbAdmins, "sato")
	if until, ok := l.Live(w.clock.Now()); !ok || !until.Equal(w.clock.Now().Add(15*time.Minute)) {
		t.Errorf("lives until %v, want a quarter of an hour from now", until)
	}
	if !w.lives("sato") || w.lives("takahashi") {
		t.Error("the gate does not go by the lease, or for another")
	}
	l, err = w.End(t.Context(), w.as("sato"), l.ID, "done")
	w.must(err)
	w.settle()
	w.isState(l, Ended)
	w.inGroup(dbAdmins)
	if w.lives("sato") {
		t.Error("the gate goes by a lease that was given back")
	}
	if got, err := w.Book.Cleanup(t.Context(), l.ID); err != nil || got != elevate.CleanupConfirmed {
		t.Errorf("cleanup is %q, %v", got, err)
	}
	again, err := w.End(t.Context(), w.as("sato"), l.ID, "done")
	if err != nil || again.Version() != l.Version() {
		t.Errorf("giving back twice: %v, version %d", err, again.Version())
	}
	for _, action := range []string{"lease.asked", "lease.approved", "lease.activating", "lease.activated", "lease.ended"} {
		if n := w.entries(`"action":"`+action+`"`, `"articles":["62-6","62-7","65"]`, `"lease":"`+l.ID+`"`); n != 1 {
			t.Errorf("%d entries of %s, want one", n, action)
		}
	}
	if w.told("sato", notice.LeaseActivated) != 1 || w.told("sato", notice.LeaseEnded) != 1 || w.told("sato", notice.RecordOwed) != 1 || w.told("sato", notice.LeaseApproved) != 1 {
		t.Error("the borrower was not told once of each")
	}
}

// TestOverAtItsEnd: security.md row 18. Nothing runs: neither Tidy nor elevate.
func TestOverAtItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 15)
	w.clock.Advance(15*time.Minute - time.Microsecond)
	if !w.lives("sato") {
		t.Error("over before its end")
	}
	w.clock.Advance(time.Microsecond)
	if w.lives("sato") {
		t.Error("lives at its end")
	}
	w.isState(l, Expired)
	if _, err := w.End(t.Context(), w.as("sato"), l.ID, ""); why(err) != WrongState {
		t.Errorf("giving back what is over: %v", err)
	}
	w.settle()
	w.inGroup(dbAdmins)
	l = w.get(l)
	if at, over := l.Over(w.clock.Now()); !over || !at.Equal(l.EndsAt()) || w.entries(`"action":"lease.expired"`) != 1 {
		t.Errorf("written down as over at %v, %t", at, over)
	}
}

// TestTwoGatewaysAgree: rows 19 and 20. What one gateway begins or ends, the
// other knows at its next poll, and without polls it asks the store.
func TestTwoGatewaysAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, _, _ := w.gateway(w.clock.Now)
	lives := func() bool {
		t.Helper()
		given, err := other.Live(t.Context(), w.as("sato").Person)
		w.must(err)
		return len(given) == 1
	}
	if lives() {
		t.Error("a lease before there was one")
	}
	w.must(other.poll(t.Context()))
	l := w.active("sato", "claims", 15)
	if lives() {
		t.Error("known elsewhere before the poll, in less time than a poll takes")
	}
	w.must(other.poll(t.Context()))
	if !lives() {
		t.Error("not known elsewhere after the poll")
	}
	_, err := w.End(t.Context(), w.as("sato"), l.ID, "")
	w.must(err)
	w.must(other.poll(t.Context()))
	if lives() {
		t.Error("lives elsewhere after it ended and the poll")
	}
	l = w.active("sato", "claims", 15)
	w.clock.Advance(751 * time.Millisecond) // nobody polled: memory is off
	if !lives() {
		t.Error("the store was not asked although memory is old")
	}
	_, err = w.End(t.Context(), w.as("sato"), l.ID, "")
	w.must(err)
	if lives() {
		t.Error("memory was gone by although it is old")
	}
}

// TestSessions: a lease ends with its session, unless it may outlive it, and goes
// along when its borrower signs in again in the same browser.
func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, batch := w.active("sato", "claims", 15), w.active("sato", "batch", 15)
	first := w.as("sato")
	second := w.signIn("sato")
	w.must(w.tx(func(tx *store.Tx) error {
		return w.Succeed(t.Context(), tx, first.SessionID, session.Session{ID: second.SessionID, Person: second.Person.ID})
	}))
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, first.SessionID, "signed in again") }))
	w.must(w.Watch(t.Context()))
	w.isState(l, Active)
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, second.SessionID, "signed out") }))
	w.must(w.Watch(t.Context()))
	w.isState(l, Ended)
	w.isState(batch, Active)
	w.must(w.tx(func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, second.Person.ID, standing.Suspended, w.clock.Now(), time.Time{}, "x", "y")
	}))
	w.must(w.Watch(t.Context()))
	w.isState(batch, Revoked)
}

// TestCaps: the person's own validity, and the hours.
func TestCaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := *w.policy
	p.Privileges = slices.Clone(p.Privileges)
	p.Privileges[0].Hours = []policy.Hours{{From: "18:00", Until: "18:20"}} // t0 is 18:00 in Japan
	w.policy = &p
	l := w.active("sato", "db-admin", 60)
	if got := l.EndsAt().Sub(t0); got != 20*time.Minute {
		t.Errorf("lent for %v, beyond its hours", got)
	}
	_, err := w.Extend(t.Context(), w.as("sato"), l.ID, 10*time.Minute, "")
	w.refused(err, NoMore)
	late := w.approved("takahashi", "db-admin", 15)
	w.clock.Advance(21 * time.Minute)
	_, _, err = w.Activate(t.Context(), w.as("takahashi"), late.ID)
	w.refused(err, OutOfHours)
	w.isState(late, Approved)
	w.inGroup(dbAdmins, "sato") // not tidied yet
	w.settle()
	w.inGroup(dbAdmins)

	ends := w.clock.Now().Add(7 * time.Minute)
	by := w.as("ito")
	by.Person.Account.ExpiresAt = ends
	got, err := w.Ask(t.Context(), by, w.wish("claims", 30))
	w.must(err)
	w.decide("yamamoto", got, true)
	got, _, err = w.Activate(t.Context(), by, got.ID)
	w.must(err)
	if !got.EndsAt().Equal(ends) {
		t.Errorf("ends %v, the person %v", got.EndsAt(), ends)
	}
}

// TestMoreIsCappedByValidity: an extension is capped by the borrower's own end as it is
// when they ask for it, also where that was set after the lease began.
func TestMoreIsCappedByValidity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "claims", 10)
	by := w.as("sato")
	by.Person.Account.ExpiresAt = t0.Add(25 * time.Minute)
	_, err := w.Extend(t.Context(), by, l.ID, 30*time.Minute, "終わらない")
	w.must(err)
	w.decide("nakamura", l, true)
	if got := w.get(l).EndsAt(); !got.Equal(by.Person.Account.ExpiresAt) {
		t.Errorf("ends %v, its borrower %v", got, by.Person.Account.ExpiresAt)
	}
}

// TestMore: more time is decided like the first, passes no cap, and gives nothing
// to a lease that is over.
func TestMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 30)
	l, err := w.Extend(t.Context(), w.as("sato"), l.ID, 20*time.Minute, "もう少し")
	w.must(err)
	if !l.Extending(w.clock.Now()) || l.EndsAt().Sub(t0) != 30*time.Minute {
		t.Errorf("asking gave time already: %v", l.EndsAt())
	}
	_, err = w.Extend(t.Context(), w.as("sato"), l.ID, 20*time.Minute, "")
	w.refused(err, HasOne)
	w.decide("nakamura", l, true)
	if got := w.get(l).EndsAt().Sub(t0); got != 50*time.Minute {
		t.Errorf("ends after %v, want 50 minutes", got)
	}
	_, err = w.Extend(t.Context(), w.as("sato"), l.ID, 60*time.Minute, "")
	w.must(err)
	w.decide("nakamura", l, true)
	if got := w.get(l).EndsAt().Sub(t0); got != time.Hour {
		t.Errorf("ends after %v, want the longest time and not more", got)
	}
	_, err = w.Extend(t.Context(), w.as("sato"), l.ID, time.Minute, "")
	w.refused(err, NoMore)
	w.must(w.effects.Undo(t.Context()))
	w.clock.Advance(59 * time.Minute)
	w.settle()
	w.inGroup(dbAdmins, "sato") // the directory's own end went along

	other := w.active("takahashi", "claims", 10)
	other, err = w.Extend(t.Context(), w.as("takahashi"), other.ID, 10*time.Minute, "")
	w.must(err)
	w.decide("yamamoto", other, false)
	if got := w.get(other); got.Extension.Matter != "" || !got.EndsAt().Equal(other.EndsAt()) {
		t.Errorf("a no changed it: %+v", got.Extension)
	}
	other, err = w.Extend(t.Context(), w.as("takahashi"), other.ID, 10*time.Minute, "")
	w.must(err)
	_, err = w.End(t.Context(), w.as("takahashi"), other.ID, "")
	w.must(err)
	var no *approval.Refused
	if _, err := w.matters.Decide(t.Context(), w.as("yamamoto"), other.Extension.Matter, true, ""); !errors.As(err, &no) {
		t.Errorf("a yes after it was given back: %v", err)
	}
	w.isState(other, Ended)
}

// TestEphemeralID: it binds and then it does not, and its password is shown once.
func TestEphemeralID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.approved("sato", "server", 15)
	l, given, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	if given == nil || given.Login != l.Account || len(given.Password.Reveal()) < 20 {
		t.Fatalf("given %+v, account %q", given, l.Account)
	}
	lent, err := w.dir.Lent(t.Context(), given.Login)
	w.must(err)
	bind := func() directory.Outcome {
		t.Helper()
		how, err := w.dir.AuthenticateLent(t.Context(), lent, given.Password)
		w.must(err)
		return how
	}
	if how := bind(); how != directory.OutcomeRight {
		t.Errorf("it does not bind: %v", how)
	}
	w.inGroup(servers, given.Login)
	if n := w.count(`SELECT COUNT(*) FROM lease WHERE body LIKE $1`, "%"+string(given.Password.Reveal())+"%"); n != 0 {
		t.Error("the password is in the store")
	}
	if n := w.entries(string(given.Password.Reveal())); n != 0 {
		t.Error("the password is on the trail")
	}
	_, err = w.End(t.Context(), w.as("sato"), l.ID, "")
	w.must(err)
	w.settle()
	if how := bind(); how == directory.OutcomeRight {
		t.Error("it binds after the end")
	}
	w.inGroup(servers)
}

// TestCancel: what its borrower takes back cannot be approved any more.
func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.ask("sato", "db-admin", 15)
	l, err := w.Cancel(t.Context(), w.as("sato"), l.ID, "間違えた")
	w.must(err)
	w.isState(l, Cancelled)
	if _, err := w.Cancel(t.Context(), w.as("sato"), l.ID, ""); err != nil {
		t.Errorf("taken back twice: %v", err)
	}
	w.decide2(l)
	w.isState(l, Cancelled)
	l = w.approved("sato", "db-admin", 15)
	_, err = w.Cancel(t.Context(), w.as("sato"), l.ID, "")
	w.must(err)
	_, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.refused(err, WrongState)
	l = w.approved("sato", "db-admin", 15)
	l, err = w.Revoke(t.Context(), w.as("yamamoto"), l.ID, "やはり待つ")
	w.must(err)
	w.isState(l, Cancelled)
}

// TestLapsing: undecided, and unused.
func TestLapsing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.ask("sato", "db-admin", 15)
	unused := w.approved("takahashi", "claims", 15)
	w.clock.Advance(4 * time.Hour)
	_, _, err := w.Activate(t.Context(), w.as("takahashi"), unused.ID)
	w.refused(err, WrongState)
	w.settle()
	w.clock.Advance(20 * time.Hour)
	w.isState(l, Lapsed)
	w.must(w.matters.Lapse(t.Context()))
	w.settle()
	w.isState(l, Lapsed)
	w.isState(unused, Lapsed)
	if w.told("takahashi", notice.LeaseLapsed) != 1 || w.told("sato", notice.LeaseLapsed) != 1 {
		t.Errorf("told %d and %d times that it lapsed", w.told("takahashi", notice.LeaseLapsed), w.told("sato", notice.LeaseLapsed))
	}
	w.ask("sato", "db-admin", 15) // and may ask anew
}
