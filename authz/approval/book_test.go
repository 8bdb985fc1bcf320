package approval

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func reasonOf(err error) Reason {
	var refused *Refused
	var step *StepUp
	switch {
	case errors.As(err, &refused):
		return refused.Verdict.Reason
	case errors.As(err, &step):
		return step.Verdict.Reason
	case err == nil:
		return Allowed
	}
	return Reason(err.Error())
}

func TestOneYesApproves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var to State
	w.settled = func(_ context.Context, _ *store.Tx, _ Matter, s State) error { to = s; return nil }
	m := w.ask(t)
	if m.State(t0) != Pending || m.PolicyVersion != 7 || !m.LapsesAt.Equal(t0.Add(24*time.Hour)) || w.told(t, "eto", notice.RequestWaits) != 1 || w.told(t, "endo", notice.RequestWaits) != 0 {
		t.Errorf("asked: %+v", m)
	}
	eto := w.signedIn(t, "eto")
	v, err := w.Decide(ctx, eto, m.ID, true, "よい")
	must(t, err)
	if v.At() != Approved || to != Approved || len(v.Decisions) != 1 || v.Decisions[0].How != ByPost || v.Decisions[0].Post != policy.SecurityManager {
		t.Errorf("%+v", v)
	}
	if w.entries(t, `"actor":"sato","action":"approval.asked"`, `"16-1","62-6"`, `"sha256"`) != 1 || w.entries(t, `"actor":"eto","action":"approval.given"`, `"state":"approved"`) != 1 {
		t.Error("not on the trail")
	}
	if w.told(t, "sato", notice.RequestSettled) != 1 {
		t.Error("who asked was not told")
	}
	again, err := w.Decide(ctx, eto, m.ID, true, "よい")
	if err != nil || again.At() != Approved || w.entries(t, `"action":"approval.given"`) != 1 {
		t.Errorf("the same once more: %v", err)
	}
	if _, err := w.Decide(ctx, eto, m.ID, false, "やはり"); reasonOf(err) != Over {
		t.Errorf("another word after the outcome: %v", err)
	}
}

func TestDenyCancelLapse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var told []State
	w.settled = func(_ context.Context, _ *store.Tx, _ Matter, s State) error { told = append(told, s); return nil }
	m := w.ask(t)
	var invalid *Invalid
	if _, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, false, " "); !errors.As(err, &invalid) {
		t.Errorf("a no without a reason: %v", err)
	}
	v, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, false, "理由が足りない")
	if err != nil || v.At() != Denied {
		t.Errorf("%v %v", v.At(), err)
	}
	m = w.ask(t)
	if _, err := w.Cancel(ctx, w.signedIn(t, "eto"), m.ID, ""); reasonOf(err) != NotTheirs {
		t.Errorf("taken back by another: %v", err)
	}
	sato := w.signedIn(t, "sato")
	if v, err := w.Cancel(ctx, sato, m.ID, "不要"); err != nil || v.At() != Cancelled {
		t.Errorf("%v %v", v.At(), err)
	}
	if _, err := w.Cancel(ctx, sato, m.ID, "不要"); err != nil || w.entries(t, `"action":"approval.cancelled"`) != 1 {
		t.Errorf("twice: %v", err)
	}
	if _, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, true, ""); reasonOf(err) != Over {
		t.Errorf("decided after it was taken back: %v", err)
	}
	m = w.ask(t)
	w.clock.Advance(24 * time.Hour)
	if w.state(t, m.ID) != Lapsed {
		t.Error("its end has come and nothing ran: it is not lapsed")
	}
	if _, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, true, ""); reasonOf(err) != Over {
		t.Errorf("decided after its end: %v", err)
	}
	if _, err := w.Cancel(ctx, w.signedIn(t, "sato"), m.ID, ""); reasonOf(err) != Over {
		t.Errorf("taken back after its end: %v", err)
	}
	must(t, w.Lapse(ctx))
	must(t, w.Lapse(ctx))
	if w.entries(t, `"action":"approval.lapsed"`) != 1 || w.state(t, m.ID) != Lapsed {
		t.Error("lapsed not once on the trail")
	}
	if len(told) != 3 || told[0] != Denied || told[1] != Cancelled || told[2] != Lapsed {
		t.Errorf("its desk heard %v", told)
	}
}

// TestRulesAreAskedAgain breaks each rule between the asking and the decision.
func TestRulesAreAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, tt := range map[string]struct {
		by     string
		change func(*Approver)
		want   Reason
	}{
		"who asked":                {"sato", nil, OwnMatter},
		"no such post":             {"sada", nil, NotTheirs},
		"another section":          {"endo", nil, NotTheirs},
		"an auditor":               {"kan", nil, Audits},
		"above, and too early":     {"oda", nil, NotTheirs},
		"closed":                   {"eto", func(a *Approver) { a.Usable = false }, Closed},
		"a one-time code":          {"eto", func(a *Approver) { a.ACR = policy.AAL2 }, TooWeak},
		"a key that is copied":     {"eto", func(a *Approver) { a.Synced = true }, TooWeak},
		"an old sign-in":           {"eto", func(a *Approver) { a.AuthAt = t0.Add(-10*time.Minute - 1) }, Stale},
		"a key of yesterday":       {"eto", func(a *Approver) { a.FactorAt = t0.Add(-24*time.Hour + 1) }, NewFactor},
		"a key of unknown age":     {"eto", func(a *Approver) { a.FactorAt = time.Time{} }, Stale},
		"lost the post meanwhile":  {"eto", func(a *Approver) { a.Posts = nil }, NotTheirs},
		"at the last moment of it": {"eto", func(a *Approver) { a.AuthAt, a.FactorAt = t0.Add(-10*time.Minute), t0.Add(-24*time.Hour) }, Allowed},
	} {
		m := w.ask(t)
		by := w.signedIn(t, tt.by)
		if tt.change != nil {
			tt.change(&by)
		}
		if _, err := w.Decide(ctx, by, m.ID, true, ""); reasonOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		if want := map[bool]State{true: Approved, false: Pending}[tt.want == Allowed]; w.state(t, m.ID) != want {
			t.Errorf("%s: %s", name, w.state(t, m.ID))
		}
	}
	if w.entries(t, `"actor":"sato","action":"approval.refused"`, `"outcome":"refused","reason":"own_matter","articles":["16-1"]`) != 1 {
		t.Error("a self-approval is not on the trail")
	}
	m := w.ask(t)
	by := w.signedIn(t, "eto")
	must(t, w.DB.WithTx(ctx, func(tx *store.Tx) error { return w.sessions.End(ctx, tx, by.SessionID, "signed out") }))
	if _, err := w.Decide(ctx, by, m.ID, true, ""); !errors.Is(err, session.ErrNone) || w.state(t, m.ID) != Pending {
		t.Errorf("signed out meanwhile: %v", err)
	}
	by = w.signedIn(t, "eto")
	must(t, w.DB.WithTx(ctx, func(tx *store.Tx) error {
		return standing.Set(ctx, tx, by.Person.ID, standing.Suspended, t0, time.Time{}, "a test", "system")
	}))
	if _, err := w.Decide(ctx, by, m.ID, true, ""); !errors.Is(err, session.ErrNone) || w.state(t, m.ID) != Pending {
		t.Errorf("closed out meanwhile: %v", err)
	}
	if _, err := w.Decide(ctx, w.signedIn(t, "eto"), "no-such", true, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such matter: %v", err)
	}
}

// TestMattersStay: what was asked, and what was said, is not rewritten.
func TestMattersStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.ask(t)
	_, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, true, "")
	must(t, err)
	for _, q := range []string{
		`UPDATE approval_matter SET body = '{}'`, `UPDATE approval_matter SET lapses_at = lapses_at + 1`, `UPDATE approval_matter SET state = 'pending'`,
		`UPDATE approval_matter SET state = 'denied'`, `DELETE FROM approval_matter`,
		`UPDATE approval_decision SET body = '{}'`, `UPDATE approval_decision SET human = 'x'`, `DELETE FROM approval_decision`,
	} {
		if err := w.DB.WithTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, q); return err }); err == nil {
			t.Error("allowed:", q)
		}
	}
}

// TestQuorumIsOfHumans: two IDs of one human being are one yes, and each yes
// counts once.
func TestQuorumIsOfHumans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.ask(t, func(m *Matter) { m.Rule.Steps[0].Quorum = 2 })
	v, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, true, "")
	if err != nil || v.At() != Pending {
		t.Fatal(v.At(), err)
	}
	if _, err := w.Decide(ctx, w.signedIn(t, "eto2"), m.ID, true, ""); err != nil || w.state(t, m.ID) != Pending {
		t.Errorf("the second ID of the first: %v, %s", err, w.state(t, m.ID))
	}
	if _, err := w.Decide(ctx, w.signedIn(t, "eto2"), m.ID, false, "だめ"); reasonOf(err) != Twice {
		t.Errorf("another word by the second ID: %v", err)
	}
	if v, err := w.Decide(ctx, w.signedIn(t, "both"), m.ID, true, ""); err != nil || v.At() != Approved || len(v.Decisions) != 2 {
		t.Errorf("a second human being: %v, %v", v.At(), err)
	}
}

// TestAllOrNothing breaks each step; whatever broke, matter, decision, settlement
// and trail agree, and one retry later there is one of each.
func TestAllOrNothing(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, point := range []string{"trail", "settle", "decision", "notice"} {
		t.Run(point, func(t *testing.T) {
			w := newWorld(t)
			m := w.ask(t)
			by := w.signedIn(t, "eto")
			mend := func() {}
			switch point {
			case "trail":
				mend = storetest.Refuse(t, w.DB, "INSERT", "trail_pending", "")
			case "decision":
				mend = storetest.Refuse(t, w.DB, "INSERT", "approval_decision", "")
			case "notice":
				mend = storetest.Refuse(t, w.DB, "INSERT", "notice", "")
			case "settle":
				w.settled = func(context.Context, *store.Tx, Matter, State) error { return broken }
			}
			if _, err := w.Decide(ctx, by, m.ID, true, ""); err == nil {
				t.Fatal("decided on a broken store")
			}
			if w.state(t, m.ID) != Pending || w.count(t, `SELECT COUNT(*) FROM approval_decision`) != 0 || w.entries(t, `"action":"approval.given"`) != 0 {
				t.Error("half of it is there")
			}
			mend()
			w.settled = nil
			if v, err := w.Decide(ctx, by, m.ID, true, ""); err != nil || v.At() != Approved || w.entries(t, `"action":"approval.given"`) != 1 {
				t.Errorf("retry: %v", err)
			}
		})
	}
}

// rounds is how often a race is run: the long form is of security.md, F2.
func rounds() int {
	if os.Getenv("SEKISHO_SOAK") == "1" {
		return 1000
	}
	return 50
}

// TestRacingWords is F2: two approvals and a withdrawal at once, and a try to
// approve oneself. There is one outcome, the desk hears it once, the quorum is
// exact, and the trail says the same.
func TestRacingWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	heard := map[string][]State{}
	w.Open(Elevation, Desk{Settled: func(_ context.Context, m Matter, to State) {
		mu.Lock()
		defer mu.Unlock()
		heard[m.ID] = append(heard[m.ID], to)
	}})
	eto, both, sato := w.signedIn(t, "eto"), w.signedIn(t, "both"), w.signedIn(t, "sato")
	outcomes := map[State]int{}
	for range rounds() {
		eto.AuthAt, both.AuthAt = w.clock.Now(), w.clock.Now()
		m := w.ask(t, func(m *Matter) { m.Rule.Steps[0].Quorum = 2 })
		var (
			wg  sync.WaitGroup
			err [4]error
		)
		for i, do := range []func() error{
			func() error { _, err := w.Decide(ctx, eto, m.ID, true, ""); return err },
			func() error { _, err := w.Decide(ctx, both, m.ID, true, ""); return err },
			func() error { _, err := w.Cancel(ctx, sato, m.ID, ""); return err },
			func() error { _, err := w.Decide(ctx, sato, m.ID, true, ""); return err },
		} {
			wg.Go(func() { err[i] = do() })
		}
		wg.Wait()
		v, got := w.Get(ctx, m.ID)
		must(t, got)
		yes := 0
		for i := range 2 {
			if err[i] == nil {
				yes++
			} else if reasonOf(err[i]) != Over {
				t.Fatalf("an approval: %v", err[i])
			}
		}
		if r := reasonOf(err[3]); r != OwnMatter && r != Over {
			t.Fatalf("a self-approval: %v", err[3])
		}
		if err[2] != nil && reasonOf(err[2]) != Over || len(v.Decisions) != yes {
			t.Fatalf("withdrawal %v, %d said yes and %d were written", err[2], yes, len(v.Decisions))
		}
		switch {
		case v.At() == Approved && yes == 2 && err[2] != nil:
		case v.At() == Cancelled && yes < 2 && err[2] == nil:
		default:
			t.Fatalf("%s with %d approvals and withdrawal %v", v.At(), yes, err[2])
		}
		mu.Lock()
		if len(heard[m.ID]) != 1 || heard[m.ID][0] != v.At() {
			t.Fatalf("the desk heard %v of %s", heard[m.ID], v.At())
		}
		mu.Unlock()
		if n := w.entries(t, `"action":"approval.given"`, m.ID); n != yes {
			t.Fatalf("%d entries of %d approvals", n, yes)
		}
		outcomes[v.At()]++
	}
	t.Logf("outcomes: %v", outcomes)
}

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

func TestAskRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, tt := range map[string]struct {
		change func(*Matter)
		want   Reason
	}{
		"an auditor asks": {func(m *Matter) {
			m.Requester, m.RequesterPosts = Ref(w.office.people["kan"]), []policy.PostID{policy.Auditor}
		}, Audits},
		"nobody decides":      {func(m *Matter) { m.Rule = Rule{} }, NotStated},
		"more than there are": {func(m *Matter) { m.Rule.Steps[0].Quorum = 9 }, NotTheirs},
		"strict, and nobody": {func(m *Matter) {
			m.Rule = Rule{Strict: true, Steps: []Step{{Posts: []policy.PostID{policy.CSIRT}, Where: Anywhere}}}
		}, NotTheirs},
		"the only one asks":     {func(m *Matter) { m.Rule.Strict, m.Requester, m.Section = true, Ref(w.office.people["endo"]), "jinji" }, NotTheirs},
		"the only one is asked": {func(m *Matter) { m.Rule.Strict, m.Beneficiary, m.Section = true, Ref(w.office.people["endo"]), "jinji" }, NotTheirs},
	} {
		if _, err := w.tryAsk(tt.change); reasonOf(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	var invalid *Invalid
	if _, err := w.tryAsk(func(m *Matter) { m.Reason = "" }); !errors.As(err, &invalid) || invalid.Field != "reason" {
		t.Errorf("no reason: %v", err)
	}
	if _, err := w.tryAsk(func(m *Matter) { m.Kind = "unheard" }); err == nil {
		t.Error("a matter that nobody settles")
	}
	if n := w.count(t, `SELECT COUNT(*) FROM approval_matter`); n != 0 {
		t.Errorf("%d were stored", n)
	}
	if err := w.DB.WithTx(ctx, func(tx *store.Tx) error { _, err := w.Ask(ctx, tx, Considered{}); return err }); err == nil {
		t.Error("asked what was not considered")
	}
	w.office.away = errors.New("away")
	w.clock.Advance(time.Minute)
	if _, err := w.tryAsk(); err == nil {
		t.Error("asked while nobody knows who decides")
	}
}

func TestAnApprovalIsSpentOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.ask(t)
	spend := func(k Kind, by string) error {
		return w.DB.WithTx(ctx, func(tx *store.Tx) error { return w.Spend(ctx, tx, m.ID, k, Ref(w.office.people[by]), time.Hour) })
	}
	if err := spend(Elevation, "sato"); !errors.Is(err, ErrNotApproved) {
		t.Errorf("pending: %v", err)
	}
	_, err := w.Decide(ctx, w.signedIn(t, "eto"), m.ID, true, "")
	must(t, err)
	if err := errors.Join(spend(Credential, "sato"), spend(Elevation, "sada")); !errors.Is(err, ErrNotApproved) {
		t.Errorf("for something else, or by somebody else: %v", err)
	}
	must(t, spend(Elevation, "sato"))
	if err := spend(Elevation, "sato"); !errors.Is(err, ErrNotApproved) {
		t.Errorf("twice: %v", err)
	}
	m = w.ask(t)
	_, err = w.Decide(ctx, w.signedIn(t, "eto"), m.ID, true, "")
	must(t, err)
	w.clock.Advance(time.Hour)
	if err := spend(Elevation, "sato"); !errors.Is(err, ErrNotApproved) {
		t.Errorf("an hour later: %v", err)
	}
}

func TestTheQueueAndTheCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Open(Elevation, Desk{Name: policy.Words{JA: "特権", EN: "Privilege"}, Card: func(_ context.Context, m Matter, c *Card) error {
		c.Yes = policy.Words{JA: "30分だけ", EN: "for 30 minutes"}
		return nil
	}})
	first := w.ask(t)
	_, err := w.Decide(ctx, w.signedIn(t, "eto"), first.ID, true, "")
	must(t, err)
	w.clock.Advance(time.Minute)
	m := w.ask(t)
	by := w.signedIn(t, "eto")
	by.AuthAt = time.Time{} // that can be mended
	for login, want := range map[string]int{"eto": 1, "endo": 0, "sato": 0, "kan": 0} {
		a := w.signedIn(t, login)
		if login == "eto" {
			a = by
		}
		if got, err := w.Pending(ctx, a); err != nil || len(got) != want {
			t.Errorf("%s: %d, %v", login, len(got), err)
		}
	}
	c, err := w.Card(ctx, m.ID)
	must(t, err)
	if c.Title.EN != "Privilege" || c.Yes.EN == "" || len(c.Last) != 1 || c.Last[0].ID != first.ID || c.Last[0].State != Approved || len(c.Who) == 0 || !c.Who[0].Verdict.OK() {
		t.Errorf("%+v", c)
	}
	if mine, err := w.Mine(ctx, "id-sato"); err != nil || len(mine) != 2 || mine[0].ID != m.ID {
		t.Errorf("%d, %v", len(mine), err)
	}
}
