package people_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

func TestSuspendUntil(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "officer", policy.PHR)
	open := w.session(t, "tanaka", policy.AAL2)
	under, err := w.in.Password(ctx, w.origin, "", "suzuki", text(pw))
	must(t, err)
	until := w.clock.Now().Add(time.Hour)
	must(t, w.Suspend(ctx, w.origin, admin, "tanaka", "  外部への持ち出しの調査\n二行目 ", until))
	if w.alive(t, open) {
		t.Error("what was open is open")
	}
	if !w.alive(t, under.Cookie) {
		t.Error("somebody else's session has ended")
	}
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("signing in: %v", err)
	}
	records, err := standing.Records(ctx, w.db, w.all["tanaka"].ID, w.clock.Now())
	must(t, err)
	want := standing.Record{Kind: standing.Suspended, Since: w.clock.Now(), Until: until, Reason: "外部への持ち出しの調査\n二行目", By: "officer"}
	if len(records) != 1 || records[0] != want {
		t.Errorf("recorded %+v, want %+v", records, want)
	}
	if w.entries(t, `"action":"person.suspended"`, `"reason":"外部への持ち出しの調査\u000a二行目"`, `"until":"2026-03-02T01:00:00Z"`) != 1 {
		t.Error("the trail does not say why or until when")
	}
	w.clock.Advance(time.Hour)
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw)); err != nil {
		t.Errorf("after its end: %v", err)
	}
	if err := w.Restore(ctx, w.origin, w.session(t, "admin", policy.PHR), "tanaka", ""); !errors.Is(err, people.ErrNothingToLift) {
		t.Errorf("lifting what has ended by itself: %v", err)
	}
}

func TestSuspendRefusesWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	for _, tt := range []struct {
		reason      string
		until       time.Time
		field, rule string
	}{
		{"", time.Time{}, "reason", "required"},
		{" 　\n", time.Time{}, "reason", "required"},
		{strings.Repeat("あ", people.MaxReason+1), time.Time{}, "reason", "too_long"},
		{"a\x1bb", time.Time{}, "reason", "unusable"},
		{"a\u202eb", time.Time{}, "reason", "unusable"},
		{"a\xffb", time.Time{}, "reason", "unusable"},
		{"x", w.clock.Now(), "until", "past"},
		{"x", w.clock.Now().Add(-time.Hour), "until", "past"},
	} {
		var bad *people.Invalid
		err := w.Suspend(ctx, w.origin, admin, "tanaka", tt.reason, tt.until)
		if !errors.As(err, &bad) || bad.Field != tt.field || bad.Rule != tt.rule || bad.Says.JA == "" || bad.Says.EN == "" {
			t.Errorf("%.20q until %v: %v", tt.reason, tt.until, err)
		}
	}
	if w.closed(t, "tanaka", standing.Suspended) {
		t.Error("suspended all the same")
	}
	must(t, w.Suspend(ctx, w.origin, admin, "tanaka", strings.Repeat("あ", people.MaxReason), time.Time{}))
}

func TestRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	try := func(want error) {
		t.Helper()
		if err := w.Restore(ctx, w.origin, admin, "tanaka", "異動から戻った"); !errors.Is(err, want) {
			t.Errorf("Restore: %v, want %v", err, want)
		}
	}
	try(people.ErrNothingToLift)
	w.record(t, "tanaka", standing.OnLeave)
	try(people.ErrNothingToLift)
	try(people.ErrState)
	w.record(t, "tanaka", standing.Suspended)
	w.record(t, "tanaka", standing.Dormant)
	try(nil)
	for k, want := range map[standing.Kind]bool{standing.OnLeave: true, standing.Suspended: false, standing.Dormant: false} {
		if got := w.closed(t, "tanaka", k); got != want {
			t.Errorf("%s afterwards: %t, want %t", k, got, want)
		}
	}
	if w.entries(t, `"action":"person.restored"`, `"reason":"異動から戻った"`, `"62-5"`) != 1 {
		t.Error("the trail does not say why")
	}
	try(people.ErrNothingToLift)
}

// TestUnlock: a right password that was held back opens at once.
func TestUnlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.device(t, "tanaka")
	in := func() (signin.Step, error) { return w.in.Password(ctx, w.origin, "", "tanaka", text(pw)) }
	step, err := in()
	must(t, err)
	for range 5 {
		if _, err := w.in.TOTP(ctx, w.origin, step.Cookie, "000000"); !errors.Is(err, signin.ErrRefused) {
			t.Fatal(err)
		}
	}
	for range 5 {
		if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text("wrong")); !errors.Is(err, signin.ErrRefused) {
			t.Fatal(err)
		}
	}
	var held *signin.Held
	if _, err := in(); !errors.As(err, &held) {
		t.Fatalf("the right password is not held back: %v", err)
	}
	open := w.session(t, "tanaka", policy.AAL2)
	must(t, w.Unlock(ctx, w.origin, w.session(t, "operator", policy.PHR), "tanaka"))
	if step, err = in(); err != nil {
		t.Fatalf("after unlocking: %v", err)
	}
	if step, err = w.in.TOTP(ctx, w.origin, step.Cookie, w.code(t, seed)); err != nil || step.State != "signed_in" {
		t.Errorf("a code after unlocking: %+v, %v", step, err)
	}
	if !w.alive(t, open) {
		t.Error("unlocking ended a session, and changed no credential")
	}
}

// TestUnlockDirectory: the directory's own lock, which came by another door,
// ends too; an account that is disabled stays so.
func TestUnlockDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	guess := func() {
		t.Helper()
		for range 100 {
			if _, err := w.dir.Authenticate(ctx, w.all["tanaka"], text("x")); err != nil {
				t.Fatal(err)
			}
		}
		p, err := w.dir.ByID(ctx, w.all["tanaka"].ID)
		must(t, err)
		if !p.Account.PasswordLocked {
			t.Fatal("not locked")
		}
	}
	guess()
	mend := w.breakTrail(t, "person.unlocking")
	if err := w.Unlock(ctx, w.origin, admin, "tanaka"); err == nil {
		t.Error("unlocked without an entry on the trail")
	}
	if p, err := w.dir.ByID(ctx, w.all["tanaka"].ID); err != nil || !p.Account.PasswordLocked {
		t.Errorf("the directory was changed without an entry on the trail: %v", err)
	}
	mend()
	must(t, w.Unlock(ctx, w.origin, admin, "tanaka"))
	if said, err := w.dir.Authenticate(ctx, w.all["tanaka"], text(pw)); err != nil || said != directory.OutcomeRight {
		t.Errorf("the directory says %v, %v", said, err)
	}
	if w.entries(t, `"action":"person.unlocking"`) != 1 || w.entries(t, `"action":"person.unlocked"`, `"directory":"unlocked"`) != 1 {
		t.Error("the trail does not tell of the directory")
	}
	must(t, w.dir.Disable(ctx, w.all["tanaka"]))
	must(t, w.Unlock(ctx, w.origin, admin, "tanaka"))
	if p, err := w.dir.ByID(ctx, w.all["tanaka"].ID); err != nil || !p.Account.Disabled {
		t.Errorf("unlocking opened a disabled account: %v", err)
	}
}

// lent notes whose leases are ended, and when that is told of.
type lent struct {
	ended   []directory.PersonID
	changed int
	fault   error
}

func (l *lent) EndOf(_ context.Context, _ *store.Tx, who directory.PersonID, by, why string) (int, error) {
	l.ended = append(l.ended, who)
	return 1, l.fault
}

func (l *lent) Changed(context.Context) { l.changed++ }

// TestSuspensionEndsWhatIsLent: in its own transaction, or it does not happen.
func TestSuspensionEndsWhatIsLent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := &lent{fault: errors.New("the store refuses")}
	w.Leases = l
	admin := w.session(t, "officer", policy.PHR)
	if err := w.Suspend(ctx, w.origin, admin, "tanaka", "調査", time.Time{}); !errors.Is(err, l.fault) || l.changed != 0 {
		t.Errorf("a lease stays, and the suspension says %v", err)
	}
	if closed, err := standing.Closed(ctx, w.db, w.all["tanaka"].ID, w.clock.Now()); err != nil || closed {
		t.Errorf("suspended without it: %t, %v", closed, err)
	}
	l.fault, l.ended = nil, nil
	must(t, w.Suspend(ctx, w.origin, admin, "tanaka", "調査", time.Time{}))
	if !slices.Equal(l.ended, []directory.PersonID{w.all["tanaka"].ID}) || l.changed != 1 {
		t.Errorf("ended %q, told %d times", l.ended, l.changed)
	}
}
