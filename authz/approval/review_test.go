package approval

import (
	"errors"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/policy"
)

func TestRemindersGoOutOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.ask(t)
	w.clock.Advance(time.Hour - 1)
	must(t, w.Remind(ctx))
	if w.told(t, "eto", notice.RequestWaits) != 1 {
		t.Error("reminded too early")
	}
	w.clock.Advance(1)
	var wg sync.WaitGroup
	for range 4 { // gateways
		wg.Go(func() { must(t, w.Remind(ctx)) })
	}
	wg.Wait()
	if n := w.told(t, "eto", notice.RequestWaits); n != 2 {
		t.Errorf("told %d times after one reminder", n)
	}
	w.clock.Advance(3 * time.Hour) // four since it was asked: the way up is open
	must(t, w.Remind(ctx))
	if w.told(t, "oda", notice.RequestWaits) != 1 || w.told(t, "cho", notice.RequestWaits) != 0 {
		t.Error("the officer was not told that the way up is open, or the CIO was")
	}
	v, err := w.Decide(ctx, w.signedIn(t, "oda"), m.ID, true, "")
	if err != nil || v.At() != Approved || v.Decisions[0].How != ByWayUp || v.Decisions[0].Through != "security_officer" {
		t.Errorf("%+v, %v", v.Decisions, err)
	}
}

func TestStandingDecision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Approval.Standing = []policy.StandingDecision{{
		ID: "night", Kinds: []string{"elevation"}, Subjects: []string{"db-admin"}, From: "2026-04-01", Until: "2026-04-30", Decision: "情企第1号",
		Reason: policy.Words{JA: "夜間の障害", EN: "faults at night"},
	}}
	if m := w.ask(t); m.State(t0) != Pending {
		t.Error("by day it was decided beforehand")
	}
	w.clock.Advance(8 * time.Hour) // 18:00
	m := w.ask(t)
	v, err := w.Get(ctx, m.ID)
	if err != nil || m.State(w.clock.Now()) != Approved || v.At() != Approved || len(v.Decisions) != 1 || v.Decisions[0].How != ByStanding || v.Decisions[0].Through != "night" {
		t.Errorf("%+v, %v", v, err)
	}
	if w.entries(t, `"actor":"system","action":"approval.given"`, `"decision":"情企第1号"`) != 1 {
		t.Error("not on the trail")
	}
	if m := w.ask(t, func(m *Matter) { m.Subject = "other" }); m.State(w.clock.Now()) != Pending {
		t.Error("another subject was decided beforehand")
	}
	if m := w.ask(t, func(m *Matter) { m.Rule.Strict = true }); m.State(w.clock.Now()) != Pending {
		t.Error("a strict matter was decided beforehand")
	}
	if m := w.ask(t, func(m *Matter) { m.Unheard = true }); m.State(w.clock.Now()) != Pending {
		t.Error("what somebody has to confirm was decided beforehand")
	}
}

// TestAnObjectionIsTold: it needs its reason and a fresh sign-in, and undoes nothing.
func TestAnObjectionIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Approval.Duty = []policy.Duty{{
		ID: "gw", Logins: []string{"sub"}, Posts: []policy.PostID{policy.SecurityManager}, From: "2026-04-01T00:00:00+09:00", Until: "2026-04-02T00:00:00+09:00",
	}}
	v, err := w.Decide(ctx, w.signedIn(t, "sub"), w.ask(t).ID, true, "当番")
	must(t, err)
	d := v.Decisions[0]
	eto := w.signedIn(t, "eto")
	var bad *Invalid
	if _, err := w.Review(ctx, eto, d.ID, true, " "); !errors.As(err, &bad) || bad.Field != "comment" {
		t.Errorf("an objection without a reason: %v", err)
	}
	if _, err := w.Review(ctx, eto, "nothing", false, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	var up *StepUp
	old, weak, synced := eto, eto, eto
	old.AuthAt, weak.ACR, synced.Synced = t0.Add(-time.Hour), policy.AAL2, true
	for _, by := range []Approver{old, weak, synced} {
		if _, err := w.Review(ctx, by, d.ID, false, ""); !errors.As(err, &up) || up.Required != policy.PHR {
			t.Errorf("%+v: %v", by, err)
		}
	}
	v, err = w.Review(ctx, eto, d.ID, true, "必要がなかった")
	if err != nil || !v.Decisions[0].Review.Objects || v.At() != Approved {
		t.Fatalf("%+v, %v", v, err)
	}
	if w.entries(t, `"actor":"eto","action":"approval.objected"`, "必要がなかった") != 1 {
		t.Error("not on the trail")
	}
	for login, want := range map[string]int{"sub": 1, "sato": 1, "oda": 1, "cho": 1, "eto": 0, "ono": 0, "endo": 0} {
		if n := w.told(t, login, notice.DecisionObjected); n != want {
			t.Errorf("%s was told %d times, want %d", login, n, want)
		}
	}
	acted, err := w.Acted(ctx, 10)
	if err != nil || len(acted) != 1 || !acted[0].Decision.Review.Objects || acted[0].Decision.Review.By.Login != "eto" {
		t.Errorf("%+v, %v", acted, err)
	}
}

// TestReviewsAreRemindedOf at their date and after, a few times, by one gateway.
func TestReviewsAreRemindedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Approval.Duty = []policy.Duty{{
		ID: "gw", Logins: []string{"sub"}, Posts: []policy.PostID{policy.SecurityManager}, From: "2026-04-01T00:00:00+09:00", Until: "2026-04-02T00:00:00+09:00",
	}}
	v, err := w.Decide(ctx, w.signedIn(t, "sub"), w.ask(t).ID, true, "当番")
	must(t, err)
	d := v.Decisions[0]
	remind := func(want int) {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { must(t, w.RemindReviews(ctx)) })
		}
		wg.Wait()
		if n := w.told(t, "eto", notice.ReviewOverdue); n != want {
			t.Errorf("told %d times, want %d", n, want)
		}
	}
	owed := func(want int) {
		t.Helper()
		if n, overdue, err := w.ReviewsOwed(ctx); err != nil || n != 1 || overdue != want {
			t.Errorf("%d are owed, %d overdue, %v; want 1, %d", n, overdue, err, want)
		}
	}
	w.clock.Advance(72*time.Hour - 1)
	remind(0)
	owed(0)
	w.clock.Advance(1)
	remind(1)
	owed(1)
	w.clock.Advance(72*time.Hour - 1)
	remind(1)
	w.clock.Advance(1)
	remind(2)
	w.clock.Advance(1000 * time.Hour)
	remind(3) // of several that were missed one is told
	w.clock.Advance(1000 * time.Hour)
	remind(3)
	if n := w.told(t, "sato", notice.ReviewOverdue) + w.told(t, "sub", notice.ReviewOverdue); n != 0 {
		t.Errorf("who may not review was told %d times", n)
	}
	_, err = w.Review(ctx, w.signedIn(t, "eto"), d.ID, false, "")
	must(t, err)
	w.clock.Advance(1000 * time.Hour)
	remind(3)
}

// TestActingDecisionsAreReviewed is 代決 and 後閲.
func TestActingDecisionsAreReviewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Approval.Duty = []policy.Duty{{
		ID: "gw", Logins: []string{"sub"}, Posts: []policy.PostID{policy.SecurityManager}, From: "2026-04-01T00:00:00+09:00", Until: "2026-04-02T00:00:00+09:00",
	}}
	m := w.ask(t)
	v, err := w.Decide(ctx, w.signedIn(t, "sub"), m.ID, true, "当番")
	must(t, err)
	d := v.Decisions[0]
	if v.At() != Approved || d.How != ByDuty || d.Through != "gw" || !d.ReviewDue.Equal(t0.Add(72*time.Hour)) || !d.Owed() {
		t.Fatalf("%+v", d)
	}
	if w.told(t, "eto", notice.ReviewOwed) != 1 || w.told(t, "sato", notice.ReviewOwed) != 0 {
		t.Error("the holder of the post was not told, or who asked was")
	}
	if owed, err := w.Owed(ctx, w.signedIn(t, "eto")); err != nil || len(owed) != 1 || owed[0].Decision.ID != d.ID {
		t.Errorf("owed: %+v, %v", owed, err)
	}
	for login, want := range map[string]Reason{"sub": OwnMatter, "sato": OwnMatter, "endo": NotTheirs, "kan": Audits} {
		if _, err := w.Review(ctx, w.signedIn(t, login), d.ID, false, ""); reasonOf(err) != want {
			t.Errorf("reviewed by %s: %v", login, err)
		}
	}
	v, err = w.Review(ctx, w.signedIn(t, "eto"), d.ID, false, "確認した")
	if n, _, err := w.ReviewsOwed(ctx); err != nil || n != 0 {
		t.Errorf("reviewed, and %d are owed: %v", n, err)
	}
	if err != nil || v.Decisions[0].Owed() || v.Decisions[0].Review.By.Login != "eto" || w.entries(t, `"actor":"eto","action":"approval.reviewed"`) != 1 {
		t.Errorf("%+v, %v", v.Decisions, err)
	}
	if _, err := w.Review(ctx, w.signedIn(t, "both"), d.ID, false, ""); reasonOf(err) != Over {
		t.Errorf("twice: %v", err)
	}
	w.clock.Advance(14 * time.Hour) // midnight in Japan
	if _, err := w.Decide(ctx, w.signedIn(t, "sub"), w.ask(t).ID, true, ""); reasonOf(err) != NotTheirs {
		t.Errorf("after the turn: %v", err)
	}
}
