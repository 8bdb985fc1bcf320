package approval

import (
	"context"
	"errors"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/policy"
	"sekisho/policy/store"
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
