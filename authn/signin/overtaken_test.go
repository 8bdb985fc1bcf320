package signin_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A sign-in under way ends with the password it began with: whoever knew a
// temporary password before its owner replaced it sets no other over it.
func TestReplacedPasswordEndsSignIns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	must(t, w.dir.ResetPassword(ctx, p, text(pw), true))
	watcher, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	w.clock.Advance(time.Second)
	owner, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	w.clock.Advance(time.Second)
	if owner, err = w.NewPassword(ctx, w.origin, owner.Cookie, text(next)); err != nil || owner.State != "signed_in" {
		t.Fatalf("the owner: %+v, %v", owner, err)
	}
	if _, err := w.NewPassword(ctx, w.origin, watcher.Cookie, text("hatsuyuki tomoru machi no akari")); !errors.Is(err, signin.ErrNone) {
		t.Errorf("the other sign-in: %v, want ErrNone", err)
	}
	if said, err := w.dir.Authenticate(ctx, p, text(next)); err != nil || said != directory.OutcomeRight {
		t.Errorf("the owner's password: %v, %v", said, err)
	}
	if _, err := w.Sessions.Load(ctx, owner.Cookie); err != nil {
		t.Errorf("the owner's session: %v", err)
	}
}

func TestReportedPasswordEndsSignIns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.device(t, w.person(t, "tanaka"))
	thief, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	owner, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	owner, err = w.TOTP(ctx, w.origin, owner.Cookie, w.code(t, seed))
	must(t, err)
	w.clock.Advance(30 * time.Second)
	if _, err := w.account.ReportLeak(ctx, w.origin, owner.Cookie, "x"); err != nil {
		t.Fatal(err)
	}
	if step, err := w.TOTP(ctx, w.origin, thief.Cookie, w.code(t, seed)); !errors.Is(err, signin.ErrNone) {
		t.Errorf("a sign-in on the reported password: %+v, %v, want ErrNone", step, err)
	}
}

// Of two sign-ins that wait to bind the first factor, one binds it; the other
// knows the password alone and must prove what was bound.
func TestOneFirstFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Zones[0].SignInACR = policy.AAL2
	w.person(t, "tanaka")
	var cookies, ids, codes [2]string
	for i := range cookies {
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
		must(t, err)
		e, err := w.account.BeginTOTP(ctx, w.origin, step.Cookie)
		must(t, err)
		seed, err := parseSecret(e.Secret)
		must(t, err)
		cookies[i], ids[i], codes[i] = step.Cookie, e.ID, w.code(t, seed)
	}
	if step, err := w.account.FinishTOTP(ctx, w.origin, cookies[0], ids[0], codes[0], "mine"); err != nil || step.State != "signed_in" {
		t.Fatalf("the first: %+v, %v", step, err)
	}
	if step, err := w.account.FinishTOTP(ctx, w.origin, cookies[1], ids[1], codes[1], "theirs"); !errors.Is(err, signin.ErrStep) {
		t.Errorf("the second: %+v, %v, want ErrStep", step, err)
	}
}

// meanwhile is a directory in which something happens while it compares a
// password.
type meanwhile struct {
	signin.Directory
	do func()
}

func (m meanwhile) Authenticate(ctx context.Context, p directory.Person, pw secret.Text) (directory.Outcome, error) {
	m.do()
	return m.Directory.Authenticate(ctx, p, pw)
}

func (w *world) withMeanwhile(do func()) *signin.Service {
	h := w.House
	h.Directory = meanwhile{w.dir, do}
	return signin.New(h)
}

func TestSuspendedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	s := w.withMeanwhile(func() {
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			if err := standing.Set(ctx, tx, p.ID, standing.Suspended, w.clock.Now(), time.Time{}, "", "suzuki"); err != nil {
				return err
			}
			return w.Sessions.EndAll(ctx, tx, p.ID, p.Login, "", "suspended")
		}))
	})
	if step, err := s.Password(ctx, w.origin, "", "tanaka", text(pw)); err == nil {
		t.Errorf("suspended while the password was compared, and came to %q", step.State)
	}
}

// A guess is a guess although its sender does not wait for the answer: the
// directory has counted it, so it is counted here and is on the trail.
func TestHangingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	gone, hangUp := context.WithCancel(ctx)
	if _, err := w.withMeanwhile(hangUp).Password(gone, w.origin, "", "tanaka", text("wrong")); err == nil {
		t.Error("a wrong password opened")
	}
	var failures int
	must(t, w.db.QueryRow(ctx, `SELECT failures FROM attempt WHERE credential = $1`, "pw:"+string(p.ID)).Scan(&failures))
	if failures != 1 {
		t.Errorf("%d failures are counted, want 1", failures)
	}
	if n := w.actions(t, "sign_in.password"); n != 1 {
		t.Errorf("%d entries on the trail, want 1", n)
	}
}

// One report that the directory does not take keeps no other from it.
func TestEveryLeakedPasswordDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stuck, free := w.person(t, "tanaka"), w.person(t, "sato")
	acc := account.New(w.Service, refusing{w.dir, stuck.ID})
	for _, login := range []string{"tanaka", "sato"} {
		if _, err := acc.ReportLeak(ctx, w.origin, w.in(t, login), "x"); !errors.Is(err, account.ErrInPerson) {
			t.Fatal(err)
		}
		w.clock.Advance(time.Second)
	}
	if said, err := w.dir.Authenticate(ctx, free, text(pw)); err != nil || said != directory.OutcomeWrong {
		t.Errorf("the directory says %v, %v to a reported password", said, err)
	}
}

// refusing is a directory that does not let one person's password be set.
type refusing struct {
	account.Directory
	whose directory.PersonID
}

func (r refusing) ResetPassword(ctx context.Context, p directory.Person, pw secret.Text, mustChange bool) error {
	if p.ID == r.whose {
		return &directory.Refused{Reason: directory.ReasonNotAllowed}
	}
	return r.Directory.ResetPassword(ctx, p, pw, mustChange)
}

func TestTwoFactorsRemovedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Zones[0].SignInACR = policy.AAL2
	p := w.person(t, "tanaka")
	seed := w.device(t, p)
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		return w.codes.Import(ctx, tx, p.ID, "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU", "tablet")
	}))
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	step, err = w.TOTP(ctx, w.origin, step.Cookie, w.code(t, seed))
	must(t, err)
	list, err := w.codes.List(ctx, p.ID)
	must(t, err)
	race(len(list), func(i int) { _, _ = w.account.RemoveFactor(ctx, w.origin, step.Cookie, list[i].ID) })
	if list, err = w.codes.List(ctx, p.ID); err != nil || len(list) != 1 {
		t.Errorf("%d factors are left, %v; want 1", len(list), err)
	}
}

// A relapsing store forgets that something was taken, as Redis does when a
// replica that lags is promoted.
type relapsing struct{ ephemeral.Store }

func (r relapsing) Take(ctx context.Context, key string) ([]byte, bool, error) {
	return r.Get(ctx, key)
}

// TestStepOnce: a step of a sign-in is made once, whatever the ephemeral store
// gives back: at one moment, at two gateways, or after a failover.
func TestStepOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Flows = relapsing{w.Flows}
	w.policy.Acknowledgement.Version = "2026-1"
	w.person(t, "tanaka")
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	var won atomic.Int64
	race(10, func(int) {
		if _, err := w.Acknowledge(ctx, w.origin, step.Cookie, "2026-1"); err == nil {
			won.Add(1)
		} else if !errors.Is(err, signin.ErrNone) && !errors.Is(err, signin.ErrStep) {
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("one step was made %d times", won.Load())
	}
	if _, err := w.Acknowledge(ctx, w.origin, step.Cookie, "2026-1"); !errors.Is(err, signin.ErrNone) && !errors.Is(err, signin.ErrStep) {
		t.Errorf("a step that was made came back: %v", err)
	}
	// The browser may still hold the old handle; it does not keep its owner out.
	if step, err := w.Password(ctx, w.origin, step.Cookie, "tanaka", text(pw)); err != nil || step.State != "signed_in" {
		t.Errorf("signing in anew: %q, %v", step.State, err)
	}
}
