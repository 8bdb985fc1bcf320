package grant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
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
	other, _, _, _, _ := w.gateway(w.clock.Now)
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

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 30)
	weak := func(by By) By { by.ACR = policy.AAL1; return by }
	old := func(by By) By { by.AuthAt = w.clock.Now().Add(-9 * time.Hour); return by }
	aal2 := func(by By) By { by.ACR = policy.AAL2; return by }
	out := w.signIn("takahashi")
	w.must(w.tx(func(tx *store.Tx) error { return w.sessions.End(t.Context(), tx, out.SessionID, "signed out") }))
	suspended := w.as("ito")
	w.must(w.tx(func(tx *store.Tx) error {
		return standing.Set(t.Context(), tx, suspended.Person.ID, standing.Suspended, w.clock.Now(), time.Time{}, "x", "y")
	}))
	for _, tt := range []struct {
		name string
		do   func() error
		want any // a Reason, *account.StepUp or an error
	}{
		{"staff asks", func() error { _, err := w.Ask(t.Context(), w.as("tanaka"), w.wish("db-admin", 15)); return err }, NotEligible},
		{"an auditor asks", func() error { _, err := w.Ask(t.Context(), w.as("inoue"), w.wish("db-admin", 15)); return err }, NotEligible},
		{"with one factor", func() error {
			_, err := w.Ask(t.Context(), weak(w.as("takahashi")), w.wish("db-admin", 15))
			return err
		}, &account.StepUp{}},
		{"signed in long ago", func() error { _, err := w.Ask(t.Context(), old(w.as("takahashi")), w.wish("db-admin", 15)); return err }, &account.StepUp{}},
		{"signed out meanwhile", func() error { _, err := w.Ask(t.Context(), out, w.wish("db-admin", 15)); return err }, session.ErrNone},
		{"suspended meanwhile", func() error { _, err := w.Ask(t.Context(), suspended, w.wish("db-admin", 15)); return err }, session.ErrNone},
		{"nobody", func() error { _, err := w.Ask(t.Context(), By{}, w.wish("db-admin", 15)); return err }, session.ErrNone},
		{"what is not lent", func() error { _, err := w.Ask(t.Context(), w.as("sato"), w.wish("root", 15)); return err }, UnknownPrivilege},
		{"another one", func() error { _, err := w.Ask(t.Context(), w.as("sato"), w.wish("db-admin", 15)); return err }, HasOne},
		{"another's activation", func() error { _, _, err := w.Activate(t.Context(), w.as("takahashi"), l.ID); return err }, NotTheirs},
		{"another's end", func() error { _, err := w.End(t.Context(), w.as("yamamoto"), l.ID, ""); return err }, NotTheirs},
		{"another's extension", func() error { _, err := w.Extend(t.Context(), w.as("takahashi"), l.ID, time.Minute, ""); return err }, NotTheirs},
		{"another's report", func() error { _, err := w.Report(t.Context(), w.as("takahashi"), l.ID, "x"); return err }, NotTheirs},
		{"another's cancellation", func() error { _, err := w.Cancel(t.Context(), w.as("takahashi"), l.ID, ""); return err }, NotTheirs},
		{"revoked by a colleague", func() error { _, err := w.Revoke(t.Context(), w.as("takahashi"), l.ID, "x"); return err }, NoPost},
		{"revoked by an officer who does not approve it", func() error { _, err := w.Revoke(t.Context(), w.as("kobayashi"), l.ID, "x"); return err }, NoPost},
		{"revoked by an auditor", func() error { _, err := w.Revoke(t.Context(), w.as("inoue"), l.ID, "x"); return err }, NoPost},
		{"revoked without a reason", func() error { _, err := w.Revoke(t.Context(), w.as("yamamoto"), l.ID, " "); return err }, BadReason},
		{"revoked after a weak sign-in", func() error { _, err := w.Revoke(t.Context(), aal2(w.as("yamamoto")), l.ID, "x"); return err }, &account.StepUp{}},
		{"a lease there is not", func() error { _, err := w.End(t.Context(), w.as("sato"), "nonesuch", ""); return err }, ErrNotFound},
		{"judged without being taken", func() error { _, err := w.Judge(t.Context(), w.as("yoshida"), l.ID, "x"); return err }, NotJudged},
		{"judged by a manager", func() error { _, err := w.Judge(t.Context(), w.as("yamamoto"), l.ID, "x"); return err }, NoPost},
		{"countersigned by a colleague", func() error { _, err := w.Countersign(t.Context(), w.as("takahashi"), l.ID, "x"); return err }, NoPost},
		{"countersigned by oneself", func() error { _, err := w.Countersign(t.Context(), w.as("sato"), l.ID, "x"); return err }, OwnLease},
		{"witnessed where nobody asks for it", func() error { _, err := w.Witness(t.Context(), w.as("takahashi"), l.ID); return err }, WrongState},
		{"witnessed by staff", func() error { _, err := w.Witness(t.Context(), w.as("tanaka"), l.ID); return err }, NotEligible},
	} {
		err := tt.do()
		var step *account.StepUp
		switch want := tt.want.(type) {
		case Reason:
			if why(err) != want {
				t.Errorf("%s: %v, want %s", tt.name, err, want)
			}
		case *account.StepUp:
			if !errors.As(err, &step) {
				t.Errorf("%s: %v, want a fresh sign-in asked for", tt.name, err)
			}
		case error:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", tt.name, err, want)
			}
		}
	}
	if v := w.get(l).Version(); v != l.Version() {
		t.Errorf("the lease changed: version %d, was %d", v, l.Version())
	}
	before := w.entries(`"action":"lease.refused"`, "not_eligible")
	for range 3 {
		_, err := w.Ask(t.Context(), w.as("tanaka"), w.wish("db-admin", 15))
		w.refused(err, NotEligible)
	}
	if n := w.entries(`"action":"lease.refused"`, "not_eligible"); n != before || before == 0 {
		t.Errorf("%d refusals on the trail after %d, want one a minute each", n, before)
	}
	for _, login := range []string{"yamamoto", "yoshida", "sasaki"} {
		if err := w.MayRevoke(w.as(login), l); err != nil {
			t.Errorf("%s may not revoke: %v", login, err)
		}
	}
	l, err := w.Revoke(t.Context(), w.as("sasaki"), l.ID, "攻撃の兆候")
	w.must(err)
	w.settle()
	w.isState(l, Revoked)
	w.inGroup(dbAdmins)
	if w.told("sato", notice.LeaseRevoked) != 1 {
		t.Error("the borrower was not told")
	}
}

// TestEligibilityIsAskedAgain: at activation, and while a lease lives.
func TestEligibilityIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kept := w.policy
	narrowed := func() {
		p := *kept
		p.Privileges = slices.Clone(kept.Privileges)
		for i := range p.Privileges {
			p.Privileges[i].Eligible = policy.Eligible{Persons: []string{"takahashi"}}
		}
		w.policy = &p
	}
	l := w.approved("sato", "db-admin", 15)
	narrowed()
	_, _, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.refused(err, NotEligible)
	w.inGroup(dbAdmins)
	w.policy = kept
	l, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	narrowed()
	if w.lives("sato") {
		t.Error("the gate goes by the lease of somebody who may not borrow it any more")
	}
	w.must(w.Watch(t.Context()))
	w.settle()
	w.isState(l, Revoked)
	w.inGroup(dbAdmins)
	// A shorter longest time in force caps again what was approved under another.
	w.policy = kept
	l = w.approved("takahashi", "db-admin", 60)
	p := *kept
	p.Privileges = slices.Clone(kept.Privileges)
	p.Privileges[0].Longest = 10 * time.Minute
	w.policy = &p
	l, _, err = w.Activate(t.Context(), w.as("takahashi"), l.ID)
	w.must(err)
	if got := l.EndsAt().Sub(w.clock.Now()); got != 10*time.Minute {
		t.Errorf("lent for %v, want no longer than the policy in force allows", got)
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
			w.dieAt(tt.point)
			if _, _, err := w.Activate(t.Context(), w.as("sato"), l.ID); !errors.Is(err, errDied) {
				t.Fatal(err)
			}
			if tt.state != Active && w.lives("sato") {
				t.Error("lives without having been confirmed")
			}
			w.dieAt("")
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
		w.dieAt(PointOver)
		if _, err := w.End(t.Context(), w.as("sato"), l.ID, ""); !errors.Is(err, errDied) {
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
		w.dieAt(PointAsked)
		if _, _, err := w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 15)); !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		w.dieAt("")
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
	w.away()
	_, _, err := w.Activate(t.Context(), by, l.ID)
	var r *Refusal
	if !errors.As(err, &r) || r.Is != Away || !errors.Is(err, directory.ErrAway) {
		t.Fatalf("answered %v, want away", err)
	}
	w.isState(l, Approved)
	w.back()
	w.settle()
	w.inGroup(dbAdmins)
	l, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	w.inGroup(dbAdmins, "sato")
	// Ended while the directory is away: the gate refuses at once.
	w.away()
	_, err = w.End(t.Context(), by, l.ID, "")
	w.must(err)
	given, err := w.Live(t.Context(), by.Person)
	if err != nil || len(given) != 0 {
		t.Errorf("the gate goes by %v, %v", given, err)
	}
	w.back()
	w.clock.Advance(30 * time.Second)
	w.settle()
	w.inGroup(dbAdmins)
	if got, err := w.Book.Cleanup(t.Context(), l.ID); err != nil || got != elevate.CleanupConfirmed {
		t.Errorf("cleanup is %q, %v", got, err)
	}
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
	w.away()
	_, _, err := w.Emergency(t.Context(), by, w.wish("db-admin", 10))
	var r *Refusal
	if !errors.As(err, &r) || r.Is != Away {
		t.Fatalf("answered %v", err)
	}
	w.back()
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

// TestOffTheTable: what is asked for a lease that is no more waits for nobody, and
// nobody is told that it was approved.
func TestOffTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off := func(what, matter string) {
		t.Helper()
		v, err := w.matters.Get(t.Context(), matter)
		w.must(err)
		if v.At() != approval.Cancelled {
			t.Errorf("%s: the request is %s", what, v.At())
		}
	}
	l := w.ask("sato", "db-admin", 15)
	_, err := w.Revoke(t.Context(), w.as("yamamoto"), l.ID, "やはり待つ")
	w.must(err)
	off("taken back by who oversees it", l.Matter)

	l = w.ask("sato", "db-admin", 15)
	_, _, err = w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 10))
	w.must(err)
	off("taken without approval", l.Matter)

	l = w.active("takahashi", "db-admin", 10)
	l, err = w.Extend(t.Context(), w.as("takahashi"), l.ID, 5*time.Minute, "まだ終わらない")
	w.must(err)
	_, err = w.End(t.Context(), w.as("takahashi"), l.ID, "")
	w.must(err)
	off("given back", l.Extension.Matter)

	if n := w.told("sato", notice.LeaseApproved); n != 0 {
		t.Errorf("told %d times that it was approved", n)
	}
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

// TestStandingDecision: what was decided beforehand is approved at once.
func TestStandingDecision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Approval.Standing = []policy.StandingDecision{{
		ID: "night", Kinds: []string{"elevation"}, Subjects: []string{"db-admin"}, From: "2026-05-01", Until: "2026-07-01",
		Hours: []policy.Hours{{From: "17:15", Until: "24:00"}}, Decision: "例情第9号", Reason: policy.Words{JA: "夜間", EN: "nights"},
	}}
	l, err := w.Ask(t.Context(), w.as("sato"), w.wish("db-admin", 15))
	w.must(err)
	w.isState(l, Approved)
	if l.State(w.clock.Now()) != Approved {
		t.Errorf("answered as %s", l.State(w.clock.Now()))
	}
	l, _, err = w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	w.isState(l, Active)
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

// TestListAndOffers: what pages and API show.
func TestListAndOffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.active("sato", "db-admin", 15)
	w.clock.Advance(time.Second)
	other := w.ask("takahashi", "claims", 15)
	ids := func(f Filter) string {
		t.Helper()
		all, err := w.List(t.Context(), f)
		w.must(err)
		var out []string
		for _, l := range all {
			out = append(out, l.ID)
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		name string
		f    Filter
		want string
	}{
		{"all, the last first", Filter{}, other.ID + " " + l.ID},
		{"one", Filter{Limit: 1}, other.ID},
		{"the next", Filter{Before: other.AskedAt}, l.ID},
		{"theirs", Filter{Person: w.id("sato")}, l.ID},
		{"of a privilege", Filter{Privilege: "claims"}, other.ID},
		{"active", Filter{State: Active}, l.ID},
		{"over", Filter{State: Expired}, ""},
		{"owing", Filter{Owing: true}, l.ID},
	} {
		if got := ids(tt.f); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	w.clock.Advance(15 * time.Minute)
	if got := ids(Filter{State: Expired}); got != l.ID {
		t.Errorf("what is over by itself is not listed as over: %q", got)
	}
	offers, err := w.Offers(t.Context(), w.as("takahashi"))
	w.must(err)
	got := map[string]Offer{}
	for _, o := range offers {
		got[o.Privilege.ID] = o
	}
	if len(offers) != len(w.policy.Privileges) || got["db-admin"].Refused != nil || why(got["claims"].Refused) != HasOne || why(got["pair"].AtOnce) != NoEmergency {
		t.Errorf("%+v", got)
	}
	if offers, err := w.Offers(t.Context(), w.as("tanaka")); err != nil || len(offers) != 0 {
		t.Errorf("staff is offered %v, %v", offers, err)
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
