package people_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// withSeconds gives the world an approval engine and a second administrator.
func withSeconds(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	must(t, w.dir.AddMember(ctx, groupOf(policy.SystemAdministrator), w.person(t, "admin2").DN))
	var err error
	w.all["admin2"], err = w.dir.Find(ctx, "admin2")
	must(t, err)
	book := approval.New(approval.House{
		DB: w.db, Trail: audit.New(w.db, w.clock.Now), Policy: func() *policy.Policy { return w.policy }, Version: func() int64 { return 1 },
		People: w.dir, Facts: w.in.Watch, Presence: w.in, Notices: w.in.Notices, Now: w.clock.Now,
	})
	w.Service = people.New(people.House{In: w.in, Account: w.Account, Directory: w.dir, Stock: w.Stock, Approvals: book, Dormancy: w.Dormancy})
	return w
}

// rested is a session by a key of last year.
func rested(n *session.Session) { n.FactorAt = n.AuthAt.AddDate(-1, 0, 0) }

func (w *world) decide(t *testing.T, login, id string, yes bool) error {
	t.Helper()
	by, err := w.Approvals.Signed(ctx, w.origin, w.session(t, login, policy.PHR, rested))
	must(t, err)
	_, err = w.Approvals.Decide(ctx, by, id, yes, "本人に電話で確かめた")
	return err
}

func waits(t *testing.T, err error) *people.Waiting {
	t.Helper()
	var w *people.Waiting
	if !errors.As(err, &w) {
		t.Fatalf("not proposed: %v", err)
	}
	return w
}

// TestTwoPersonsGiveACredential: a temporary password for an officer is proposed
// by one administrator, approved by another, and given out once.
func TestTwoPersonsGiveACredential(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	admin := w.session(t, "admin", policy.PHR, rested)
	give := func() (people.Slip, error) { return w.TemporaryPassword(ctx, w.origin, admin, "officer") }
	_, err := give()
	first := waits(t, err)
	if !first.Proposed || first.Says().EN == "" || w.told(t, "admin2", notice.RequestWaits) != 1 || w.told(t, "admin", notice.RequestWaits) != 0 || w.told(t, "officer", notice.RequestWaits) != 0 {
		t.Errorf("%+v", first)
	}
	_, err = give()
	if again := waits(t, err); again.Proposed || again.Matter != first.Matter {
		t.Errorf("asked twice: %+v", again)
	}
	for login, want := range map[string]approval.Reason{"admin": approval.OwnMatter, "officer": approval.OwnMatter, "operator": approval.NotTheirs, "auditor": approval.Audits} {
		var refused *approval.Refused
		if err := w.decide(t, login, first.Matter, true); !errors.As(err, &refused) || refused.Verdict.Reason != want {
			t.Errorf("decided by %s: %v", login, err)
		}
	}
	if said, err := w.dir.Authenticate(ctx, w.all["officer"], text(pw)); err != nil || said != directory.OutcomeRight {
		t.Errorf("the password changed before anybody approved: %v, %v", said, err)
	}
	must(t, w.decide(t, "admin2", first.Matter, true))
	if _, err := w.TemporaryPassword(ctx, w.origin, w.session(t, "operator", policy.PHR, rested), "officer"); waits(t, err).Matter == first.Matter {
		t.Error("another administrator used it")
	}
	given, err := give()
	must(t, err)
	if _, err := w.in.Password(ctx, w.origin, "", "officer", given.Secret); err != nil {
		t.Errorf("it does not open: %v", err)
	}
	if _, err := give(); waits(t, err).Matter == first.Matter {
		t.Error("one approval gave two")
	}
	if w.told(t, "officer", notice.RequestSettled) != 1 || w.told(t, "officer", notice.PasswordTemporary) != 1 {
		t.Error("whom it is about was not told")
	}
	if w.entries(t, `"actor":"admin","action":"password.temporary"`, `"46-2(6)","64-2","16-1","62-7"`) != 1 {
		t.Error("the articles of two persons are not on the trail")
	}
}

// TestCardNamesTheFactor: who approves that a factor is taken away reads which, in words.
func TestCardNamesTheFactor(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	w.device(t, "officer")
	err := w.RemoveFactor(ctx, w.origin, w.session(t, "admin", policy.PHR, rested), "officer", w.factor(t, "officer"))
	card, err := w.Approvals.Card(ctx, waits(t, err).Matter)
	must(t, err)
	if len(card.Facts) != 1 || !strings.HasPrefix(card.Facts[0].Says.JA, "認証アプリ") || !strings.HasPrefix(card.Facts[0].Says.EN, "authenticator app") {
		t.Errorf("%+v", card.Facts)
	}
}

// TestApprovalOutlivesAFailure: a second person's word is not used up by a directory
// that fails, or whose answer is lost.
func TestApprovalOutlivesAFailure(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	admin := w.session(t, "admin", policy.PHR, rested)
	_, err := w.TemporaryPassword(ctx, w.origin, admin, "officer")
	id := waits(t, err).Matter
	must(t, w.decide(t, "admin2", id, true))
	w.reset.lose = true
	for range 2 {
		if _, err := w.TemporaryPassword(ctx, w.origin, admin, "officer"); !errors.Is(err, directory.ErrAway) {
			t.Fatalf("while the directory's answer is lost: %v", err)
		}
	}
	w.reset.lose = false
	given, err := w.TemporaryPassword(ctx, w.origin, admin, "officer")
	must(t, err)
	if _, err := w.in.Password(ctx, w.origin, "", "officer", given.Secret); err != nil {
		t.Errorf("it does not open: %v", err)
	}
	if _, err := w.TemporaryPassword(ctx, w.origin, admin, "officer"); waits(t, err).Matter == id {
		t.Error("one approval gave two")
	}
}

// TestOneApprovalIsOneAct: of many who use it at once, one does, and it is for
// this act on this person with this factor alone.
func TestOneApprovalIsOneAct(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	w.device(t, "officer")
	admin := w.session(t, "admin", policy.PHR, rested)
	factor := w.factor(t, "officer")
	id := waits(t, w.RemoveFactor(ctx, w.origin, admin, "officer", factor)).Matter
	must(t, w.decide(t, "admin2", id, true))
	if _, err := w.RecoveryCode(ctx, w.origin, admin, "officer"); waits(t, err).Matter == id {
		t.Error("used for another act")
	}
	var (
		wg  sync.WaitGroup
		err [8]error
	)
	for i := range err {
		wg.Go(func() { err[i] = w.RemoveFactor(ctx, w.origin, admin, "officer", factor) })
	}
	wg.Wait()
	done := 0
	for _, e := range err {
		var wait *people.Waiting
		switch {
		case e == nil:
			done++
		case errors.Is(e, approval.ErrNotApproved), errors.Is(e, people.ErrNotFound), errors.As(e, &wait):
		default:
			t.Errorf("%v", e)
		}
	}
	if done != 1 || w.entries(t, `"action":"factor.removed"`, `"outcome":"ok"`) != 1 {
		t.Errorf("done %d times", done)
	}
	if err := w.RemoveFactor(ctx, w.origin, admin, "officer", "no-such-factor"); !errors.Is(err, people.ErrNotFound) {
		t.Errorf("proposed what cannot be done: %v", err)
	}
}

func TestAnApprovalOfACredentialGrowsOld(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	give := func() error {
		_, err := w.TemporaryPassword(ctx, w.origin, w.session(t, "admin", policy.PHR, rested), "officer")
		return err
	}
	id := waits(t, give()).Matter
	must(t, w.decide(t, "admin2", id, true))
	w.clock.Advance(w.policy.Approval.LapseAfter)
	second := waits(t, give())
	if second.Matter == id || !second.Proposed {
		t.Error("an approval of yesterday was used")
	}
	must(t, w.decide(t, "admin2", second.Matter, false))
	if third := waits(t, give()); !third.Proposed {
		t.Error("denied, and not to be asked for again")
	}
}

// TestARecoveryCodeOfTwo: a code that two persons gave opens for somebody
// powerful, one that was given before they became so does not.
func TestARecoveryCodeOfTwo(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	admin := w.session(t, "admin", policy.PHR, rested)
	w.device(t, "officer")
	_, err := w.RecoveryCode(ctx, w.origin, admin, "officer")
	must(t, w.decide(t, "admin2", waits(t, err).Matter, true))
	given, err := w.RecoveryCode(ctx, w.origin, admin, "officer")
	must(t, err)
	step, err := w.in.Password(ctx, w.origin, "", "officer", text(pw))
	must(t, err)
	if step, err = w.in.RecoveryCode(ctx, w.origin, step.Cookie, given.Secret); err != nil || step.State != "enrol" {
		t.Errorf("%+v, %v", step, err)
	}
	w.device(t, "suzuki")
	given, err = w.RecoveryCode(ctx, w.origin, admin, "suzuki")
	must(t, err)
	w.policy.Approval.Deputies = []policy.Deputy{{ID: "d", Login: "Suzuki", Post: policy.SecurityManager, Section: "jinji", From: "2026-03-01", Until: "2026-03-31"}}
	step, err = w.in.Password(ctx, w.origin, "", "suzuki", text(pw))
	must(t, err)
	if _, err := w.in.RecoveryCode(ctx, w.origin, step.Cookie, given.Secret); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("a deputy by a code of one: %v", err)
	}
	if _, err := w.RecoveryCode(ctx, w.origin, admin, "suzuki"); !waits(t, err).Proposed {
		t.Error("a deputy's code by one person")
	}
}

// TestTokensOfThePowerfulTakeTwo.
func TestTokensOfThePowerfulTakeTwo(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	admin := w.stocked(t, "T1")
	give := func() error { return w.AssignToken(ctx, w.origin, admin, "T1", "officer") }
	must(t, w.decide(t, "admin2", waits(t, give()).Matter, true))
	must(t, give())
	if found, _, err := w.Tokens(ctx, w.origin, admin, "T1", "", 1); err != nil || found[0].State != totp.StateAssigned {
		t.Errorf("%+v, %v", found, err)
	}
	if err := w.AssignToken(ctx, w.origin, admin, "T9", "officer"); !errors.Is(err, people.ErrNotFound) {
		t.Errorf("no such token: %v", err)
	}
}

// TestOnesOwnSecondID: an administrator's other ID is no other person.
func TestOnesOwnSecondID(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	w.person(t, "admin-b", func(n *directory.NewPerson) { n.Mail = w.all["admin"].Mail })
	_, err := w.TemporaryPassword(ctx, w.origin, w.session(t, "admin", policy.PHR), "admin-b")
	if !denied(authz.OwnAccount)(err) {
		t.Errorf("to one's own other ID: %v", err)
	}
	must(t, w.dir.AddMember(ctx, groupOf(policy.SystemAdministrator), w.all["admin-b"].DN))
	w.clock.Advance(time.Minute)
	w.all["admin-b"], err = w.dir.Find(ctx, "admin-b")
	must(t, err)
	_, err = w.TemporaryPassword(ctx, w.origin, w.session(t, "admin", policy.PHR), "officer")
	var refused *approval.Refused
	if err := w.decide(t, "admin-b", waits(t, err).Matter, true); !errors.As(err, &refused) || refused.Verdict.Reason != approval.OwnMatter {
		t.Errorf("approved by the proposer's other ID: %v", err)
	}
}

// TestDormantIsOpenedByADecision: an administrator opens a staff member's unused ID
// again; somebody powerful's takes a second person.
func TestDormantIsOpenedByADecision(t *testing.T) {
	t.Parallel()
	w := withSeconds(t)
	opened := &reopened{}
	w.Dormancy = opened
	for _, login := range []string{"tanaka", "officer"} {
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			return standing.Set(ctx, tx, w.all[login].ID, standing.Dormant, w.clock.Now(), time.Time{}, "unused", "system")
		}))
	}
	admin := w.session(t, "admin", policy.PHR, rested)
	must(t, w.Restore(ctx, w.origin, admin, "tanaka", "異動先で使う"))
	if !slices.Equal(opened.logins, []string{"tanaka"}) || opened.brought != 1 {
		t.Fatalf("opened %v, brought about %d times", opened.logins, opened.brought)
	}
	first := waits(t, w.Restore(ctx, w.origin, admin, "officer", "復職"))
	if closed, err := standing.Closed(ctx, w.db, w.all["officer"].ID, w.clock.Now()); err != nil || !closed || len(opened.logins) != 1 {
		t.Errorf("opened before anybody approved: %t, %v, %v", closed, err, opened.logins)
	}
	must(t, w.decide(t, "admin2", first.Matter, true))
	must(t, w.Restore(ctx, w.origin, admin, "officer", "復職"))
	if closed, err := standing.Closed(ctx, w.db, w.all["officer"].ID, w.clock.Now()); err != nil || closed || len(opened.logins) != 2 {
		t.Errorf("after the second person: closed %t, %v, %v", closed, err, opened.logins)
	}
}

type reopened struct {
	people.Dormancy
	logins  []string
	brought int
}

func (r *reopened) Reopen(_ context.Context, _ *store.Tx, who directory.Person) error {
	r.logins = append(r.logins, who.Login)
	return nil
}

func (r *reopened) Bring(context.Context, directory.PersonID) error {
	r.brought++
	return nil
}
