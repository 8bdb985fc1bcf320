package statute_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/approval/approvaltest"
	"sekisho/authz/statute"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var (
	ctx    = context.Background()
	t0     = time.Date(2026, 4, 1, 1, 0, 0, 0, time.UTC)
	origin = signin.Origin{Source: netip.MustParseAddr("10.2.0.9"), Zone: policy.LGWAN, RequestID: "r1"}
)

// text is a policy of the prefecture with one number that differs.
func text(limit int) []byte {
	return fmt.Appendf(nil, `
prefecture: {name: {ja: 関所県}}
zones: [{id: lgwan}]
posts:
  - {id: cio, group: "cn=cio,ou=groups"}
  - {id: security_officer, group: "cn=security_officer,ou=groups"}
  - {id: auditor, group: "cn=auditor,ou=groups"}
lockout: {hard_limit: %d}
`, limit)
}

// world is a charter, an approval engine and the desk between them. cho and choei
// are CIO, oda and oda2 one officer with two IDs, kan audits, tanaka is staff.
type world struct {
	*statute.Desk
	t       *testing.T
	db      *store.DB
	charter *charter.Charter
	book    *approval.Book
	clock   *clock.Fake
	office  *approvaltest.Office
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: storetest.Open(t), clock: clock.NewFake(t0)}
	trail := audit.New(w.db, w.clock.Now)
	w.charter = charter.New(w.db, trail, w.clock.Now)
	_, err := w.charter.Install(ctx, "system", text(50))
	w.must(err)
	w.office = approvaltest.Open(t, w.db, trail, w.charter.Current, w.clock, map[string]policy.PostID{
		"cho": "cio", "choei": "cio", "oda": "security_officer", "oda2": "security_officer", "kan": "auditor", "tanaka": "staff",
	})
	second := w.office.People["oda2"]
	second.Number = "oda"
	w.office.People["oda2"] = second
	w.book = approval.New(approval.House{
		DB: w.db, Trail: trail, Policy: w.charter.Current, Version: w.charter.Version, People: w.office, Facts: w.office, Presence: w.office,
		Notices: notice.New(w.db, w.clock.Now, w.charter.Current), Now: w.clock.Now,
	})
	w.Desk = statute.Open(w.charter, w.book)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// in is the cookie of somebody who has just signed in.
func (w *world) in(login string, acr policy.ACR) string { return w.with(login, acr, time.Time{}) }

// with is in, with a factor that they have had for a while.
func (w *world) with(login string, acr policy.ACR, since time.Time) string {
	w.t.Helper()
	return w.office.SignIn(w.t, login, acr, since)
}

func (w *world) propose(by string, limit int) string {
	w.t.Helper()
	p, err := w.charter.Propose(ctx, by, text(limit))
	w.must(err)
	return p.ID
}

func reason(err error) approval.Reason {
	var refused *approval.Refused
	var step *approval.StepUp
	switch {
	case errors.As(err, &refused):
		return refused.Verdict.Reason
	case errors.As(err, &step):
		return step.Verdict.Reason
	}
	return approval.NotStated
}

func TestASecondPersonEnacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.propose("oda", 60)
	for login, want := range map[string]approval.Reason{"oda": approval.OwnMatter, "oda2": approval.OwnMatter, "kan": approval.Audits, "tanaka": approval.NotTheirs} {
		if _, err := w.Approve(ctx, origin, w.in(login, policy.PHR), id); reason(err) != want {
			t.Errorf("approved by %s: %v", login, err)
		}
	}
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL1), id); reason(err) != approval.TooWeak {
		t.Errorf("by one factor: %v", err)
	}
	if w.Version() != 1 {
		t.Fatal("refused, and in force")
	}
	cho := w.in("cho", policy.AAL2)
	n, err := w.Approve(ctx, origin, cho, id)
	if err != nil || n != 2 || w.charter.Current().Lockout.HardLimit != 60 {
		t.Fatalf("%d, %v", n, err)
	}
	_, v, err := w.charter.Show(ctx, 2)
	if err != nil || v.By != "oda" || v.ApprovedBy != "cho" || v.Proposal != id {
		t.Errorf("%+v, %v", v, err)
	}
	if n, err := w.Approve(ctx, origin, cho, id); err != nil || n != 2 {
		t.Errorf("asked again: %d, %v", n, err)
	}
	if _, err := w.Approve(ctx, origin, w.in("choei", policy.AAL2), id); reason(err) != approval.Over {
		t.Errorf("and by another: %v", err)
	}
}

// TestAFactorRests: two factors suffice on a gate's first day, when none can have
// rested. After it a policy is approved as everything else, also one that was
// proposed on that day.
func TestAFactorRests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.propose("oda", 60)
	if _, err := w.Approve(ctx, origin, w.in("tanaka", policy.AAL2), id); reason(err) != approval.NotTheirs {
		t.Fatal(err)
	}
	w.clock.Advance(24*time.Hour - time.Second)
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL1), id); reason(err) != approval.TooWeak {
		t.Errorf("on the first day, by one factor: %v", err)
	}
	w.clock.Advance(time.Second)
	for name, c := range map[string]struct {
		cookie string
		want   approval.Reason
	}{
		"a code":          {w.in("cho", policy.AAL2), approval.TooWeak},
		"a key of now":    {w.with("cho", policy.PHR, w.clock.Now()), approval.NewFactor},
		"a key of no age": {w.in("cho", policy.PHR), approval.Stale},
		"almost rested":   {w.with("cho", policy.PHR, t0.Add(time.Second)), approval.NewFactor},
	} {
		if _, err := w.Approve(ctx, origin, c.cookie, id); reason(err) != c.want {
			t.Errorf("after it, by %s: %v, want %s", name, err, c.want)
		}
	}
	var step *approval.StepUp
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), id); !errors.As(err, &step) || step.Required != policy.PHR {
		t.Errorf("what would help: %+v (%v)", step, err)
	}
	if n, err := w.Approve(ctx, origin, w.with("cho", policy.PHR, t0), id); err != nil || n != 2 {
		t.Errorf("by a key of the first day: %d, %v", n, err)
	}
}

// TestALongerRestMakesNoGateNew: the exception of the first day does not grow with the
// rest that factors need.
func TestALongerRestMakesNoGateNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	longer := append(text(60), "approval: {factor_rest: 168h}\n"...)
	p, err := w.charter.Propose(ctx, "oda", longer)
	w.must(err)
	if n, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), p.ID); err != nil || n != 2 {
		t.Fatalf("on the first day: %d, %v", n, err)
	}
	w.clock.Advance(25 * time.Hour)
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), w.propose("oda", 70)); reason(err) != approval.TooWeak {
		t.Errorf("on the second, by a code: %v", err)
	}
}

// TestAtATerminal: whoever proposed is compared by the login there, also where the
// directory does not know it.
func TestAtATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), w.propose("ＣＨＯ", 60)); reason(err) != approval.OwnMatter {
		t.Errorf("the proposer's login in another spelling: %v", err)
	}
	if n, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), w.propose("root", 70)); err != nil || n != 2 {
		t.Errorf("proposed by nobody the directory knows: %d, %v", n, err)
	}
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), w.propose("kan", 80)); reason(err) != approval.Audits {
		t.Errorf("proposed by an auditor: %v", err)
	}
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), "policy-none"); !errors.Is(err, charter.ErrNoProposal) {
		t.Errorf("no such proposal: %v", err)
	}
}

// TestOneVersionOfMany: proposals against one version, approved at once: one
// comes into force, and nobody's yes to another is written down.
func TestOneVersionOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := []string{w.propose("oda", 60), w.propose("tanaka", 70)}
	var (
		wg  sync.WaitGroup
		err [4]error
	)
	cookies := []string{w.in("cho", policy.AAL2), w.in("choei", policy.AAL2)}
	for i := range err {
		wg.Go(func() { _, err[i] = w.Approve(ctx, origin, cookies[i/2], ids[i%2]) })
	}
	wg.Wait()
	won := 0
	for i, e := range err {
		switch {
		case e == nil:
			won++
		case errors.Is(e, charter.ErrStale), errors.Is(e, charter.ErrNoProposal), reason(e) == approval.Over:
		default:
			t.Errorf("%d: %v", i, e)
		}
	}
	var versions, yes int
	w.must(w.db.QueryRow(ctx, `SELECT COUNT(*) FROM charter_version`).Scan(&versions))
	w.must(w.db.QueryRow(ctx, `SELECT COUNT(*) FROM approval_decision`).Scan(&yes))
	if won != 1 || versions != 2 || yes != 1 {
		t.Errorf("%d won, %d versions, %d words", won, versions, yes)
	}
	if _, err := w.Approve(ctx, origin, w.in("cho", policy.AAL2), ids[0]); w.Version() != 2 {
		t.Errorf("version %d after %v", w.Version(), err)
	}
}

// TestADeniedProposalIsOffTheTable, and what waits is asked for by itself.
func TestADeniedProposalIsOffTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.propose("oda", 60)
	if _, err := w.Approve(ctx, origin, w.in("tanaka", policy.AAL2), id); reason(err) != approval.NotTheirs {
		t.Fatal(err)
	}
	c, err := w.book.Card(ctx, id)
	if err != nil || len(c.Facts) != 1 || c.Facts[0].Value != "50 → 60" || c.Yes.EN == "" {
		t.Errorf("%+v, %v", c.Facts, err)
	}
	by, err := w.book.Signed(ctx, origin, w.in("cho", policy.AAL2))
	w.must(err)
	if waiting, err := w.book.Pending(ctx, by); err != nil || len(waiting) != 1 {
		t.Errorf("%d wait, %v", len(waiting), err)
	}
	_, err = w.book.Decide(ctx, by, id, false, "理由がない")
	w.must(err)
	if all, err := w.Proposals(ctx); err != nil || len(all) != 0 {
		t.Errorf("a denied proposal is offered: %v, %v", all, err)
	}
	if _, err := w.Approve(ctx, origin, w.in("choei", policy.AAL2), id); reason(err) != approval.Over || w.Version() != 1 {
		t.Errorf("approved after it was denied: %v", err)
	}
}
