package people_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A deed is an act on a person, as a test does it.
type deed struct {
	act    authz.Act
	action string // on the trail
	told   notice.Kind
	do     func(w *world, cookie, login string) error
	// happened reports whether it has been done to somebody made ready for it.
	happened func(t *testing.T, w *world, login string) bool
}

var onPeople = []deed{
	{authz.Suspend, "person.suspended", notice.Suspended, func(w *world, cookie, login string) error {
		return w.Suspend(ctx, w.origin, cookie, login, "調査のため", time.Time{})
	}, func(t *testing.T, w *world, login string) bool { return w.closed(t, login, standing.Suspended) }},
	{authz.Restore, "person.restored", notice.Restored, func(w *world, cookie, login string) error {
		return w.Restore(ctx, w.origin, cookie, login, "異動先で使う")
	}, func(t *testing.T, w *world, login string) bool { return !w.closed(t, login, standing.Dormant) }},
	{authz.RecordLeave, "leave.recorded", notice.LeaveRecorded, func(w *world, cookie, login string) error {
		return w.RecordLeave(ctx, w.origin, cookie, login, people.LeaveDays{Reason: "育休"})
	}, func(t *testing.T, w *world, login string) bool { return w.closed(t, login, standing.OnLeave) }},
	{authz.EndLeave, "leave.ended", notice.LeaveEnded, func(w *world, cookie, login string) error {
		return w.EndLeave(ctx, w.origin, cookie, login, "復職")
	}, func(t *testing.T, w *world, login string) bool { return !w.closed(t, login, standing.OnLeave) }},
	{authz.Unlock, "person.unlocked", notice.Unlocked, func(w *world, cookie, login string) error {
		return w.Unlock(ctx, w.origin, cookie, login)
	}, func(t *testing.T, w *world, login string) bool {
		return w.count(t, `SELECT COUNT(*) FROM attempt`) == 0
	}},
	{authz.RecoveryCode, "recovery.issued", notice.RecoveryIssued, func(w *world, cookie, login string) error {
		_, err := w.RecoveryCode(ctx, w.origin, cookie, login)
		return err
	}, func(t *testing.T, w *world, login string) bool {
		return w.count(t, `SELECT COUNT(*) FROM recovery_code`) == 1
	}},
	{authz.RemoveFactor, "factor.removed", notice.FactorRemoved, func(w *world, cookie, login string) error {
		all, err := w.Account.FactorsOf(ctx, w.all[login].ID)
		if err != nil || len(all) == 0 {
			all = []account.Factor{{ID: "none"}}
		}
		return w.RemoveFactor(ctx, w.origin, cookie, login, all[0].ID)
	}, func(t *testing.T, w *world, login string) bool {
		return w.count(t, `SELECT COUNT(*) FROM totp_device`) == 0
	}},
	{authz.TemporaryPassword, "password.temporary", notice.PasswordTemporary, func(w *world, cookie, login string) error {
		_, err := w.TemporaryPassword(ctx, w.origin, cookie, login)
		return err
	}, func(t *testing.T, w *world, login string) bool {
		return w.count(t, `SELECT COUNT(*) FROM password_history WHERE settled_at > 0`) == 1
	}},
}

// closed reports whether a kind is recorded against somebody.
func (w *world) closed(t *testing.T, login string, k standing.Kind) bool {
	t.Helper()
	all, err := standing.Records(ctx, w.db, w.all[login].ID, w.clock.Now())
	must(t, err)
	return slices.ContainsFunc(all, func(r standing.Record) bool { return r.Kind == k })
}

// ready makes every act but a temporary password's possible.
func (w *world) ready(t *testing.T, login string, act authz.Act) {
	t.Helper()
	w.device(t, login)
	if act == authz.Restore {
		w.record(t, login, standing.Dormant)
	}
	if act == authz.EndLeave {
		w.record(t, login, standing.OnLeave)
	}
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO attempt (credential, failures, held_until, updated_at) VALUES ($1, 3, 0, 0)`, "pw:"+string(w.all[login].ID))
		return err
	}))
}

func TestWhoMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stale := func(n *session.Session) { n.AuthAt = n.AuthAt.Add(-w.policy.SignIn.FreshFor - time.Second) }
	admin := w.session(t, "admin", policy.PHR)
	code, err := w.in.Sessions.HandoverCode(ctx, admin, "juki", "juki.localhost")
	must(t, err)
	app, err := w.in.Sessions.RedeemHandover(ctx, code, "juki.localhost", "10.2.0.9")
	must(t, err)
	under, err := w.in.Password(ctx, w.origin, "", "suzuki", text(pw))
	must(t, err)
	w.device(t, "suzuki")
	flow, err := w.in.Password(ctx, w.origin, under.Cookie, "suzuki", text(pw))
	must(t, err)
	if flow.State != "second_factor" {
		t.Fatal(flow.State)
	}
	for _, tt := range []struct {
		name, cookie, login string
		check               func(error) bool
	}{
		{"nobody", "", "tanaka", is(session.ErrNone)},
		{"a sign-in under way", flow.Cookie, "tanaka", is(session.ErrNone)},
		{"an application's own cookie", app, "tanaka", is(session.ErrNone)},
		{"a member of the staff", w.session(t, "suzuki", policy.PHR), "tanaka", denied(authz.NoPost)},
		{"on somebody who does not exist", w.session(t, "suzuki", policy.PHR), "nobody", denied(authz.NoPost)},
		{"an auditor", w.session(t, "auditor", policy.PHR), "tanaka", denied(authz.ReadsOnly)},
		{"two factors that can be phished", w.session(t, "admin", policy.AAL2), "tanaka", stepUp(policy.PHR)},
		{"proved too long ago", w.session(t, "admin", policy.PHR, stale), "tanaka", stepUp(policy.PHR)},
		{"on oneself", admin, "admin", denied(authz.OwnAccount)},
		{"nobody of that login", admin, "nobody", is(people.ErrNotFound)},
		{"a name that is no login", admin, "tanaka@pref.example", is(people.ErrNotFound)},
		{"no name", admin, "", is(people.ErrNotFound)},
	} {
		for _, a := range onPeople {
			if err := a.do(w, tt.cookie, tt.login); !tt.check(err) {
				t.Errorf("%s by %s: %v", a.act, tt.name, err)
			}
		}
	}
	for _, powerful := range []string{"operator", "officer"} {
		for _, act := range []authz.Act{authz.TemporaryPassword, authz.RecoveryCode, authz.RemoveFactor} {
			i := slices.IndexFunc(onPeople, func(d deed) bool { return d.act == act })
			if err := onPeople[i].do(w, admin, powerful); !denied(authz.TwoPersons)(err) {
				t.Errorf("%s of %s: %v", act, powerful, err)
			}
		}
	}
	for _, act := range []string{"person.", "leave.", "password.", "recovery.", "factor."} {
		if n := w.entries(t, `"action":"`+act, `"outcome":"ok"`); n != 0 {
			t.Errorf("%d acts %s… were done", n, act)
		}
	}
	if n := w.entries(t, `"actor":"admin"`, `"outcome":"refused"`, `"reason":"two_persons"`, `"16-1","62-7"`); n != 3 {
		t.Errorf("%d refusals for want of a second person on the trail, want one for each act", n)
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func denied(why authz.Reason) func(error) bool {
	return func(err error) bool {
		var d *people.Denied
		return errors.As(err, &d) && d.Permission.Reason == why && !d.Permission.OK()
	}
}

func stepUp(to policy.ACR) func(error) bool {
	return func(err error) bool {
		var up *account.StepUp
		return errors.As(err, &up) && up.Required == to && up.MaxAge > 0
	}
}

func TestProvedLatelyEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name                      string
		fresh, idle, absolute, at time.Duration
		want                      bool
	}{
		{"within all", 10 * time.Minute, 15 * time.Minute, 8 * time.Hour, 10 * time.Minute, true},
		{"a moment after it must be fresh", 10 * time.Minute, 15 * time.Minute, 8 * time.Hour, 10*time.Minute + 1, false},
		{"perhaps idle for longer", time.Hour, 15 * time.Minute, 8 * time.Hour, 15*time.Minute + 1, false},
		{"beyond the absolute end", time.Hour, time.Hour, 30 * time.Minute, 30*time.Minute + 1, false},
	} {
		w.policy.SignIn.FreshFor, w.policy.Session.ElevatedIdleEnd, w.policy.Session.ElevatedAbsoluteEnd = tt.fresh, tt.idle, tt.absolute
		cookie := w.session(t, "admin", policy.PHR, func(n *session.Session) { n.AuthAt = n.AuthAt.Add(-tt.at) })
		err := w.Suspend(ctx, w.origin, cookie, "tanaka", "x", time.Time{})
		var up *account.StepUp
		if (err == nil) != tt.want || err != nil && (!errors.As(err, &up) || up.MaxAge != min(tt.fresh, tt.idle, tt.absolute)) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// views read without changing anything.
var views = map[authz.Act]func(w *world, cookie string) error{
	authz.ViewPeople: func(w *world, cookie string) error {
		_, _, err := w.Find(ctx, w.origin, cookie, "", "", 10)
		_, also := w.Show(ctx, w.origin, cookie, "tanaka")
		if fmt.Sprint(err) != fmt.Sprint(also) {
			return fmt.Errorf("the list says %w and the person %w", err, also)
		}
		return err
	},
	authz.ViewTerminals: func(w *world, cookie string) error { _, err := w.Terminals(ctx, w.origin, cookie); return err },
}

func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	since := func(d time.Duration) func(*session.Session) {
		return func(n *session.Session) { n.AuthAt = n.AuthAt.Add(-d) }
	}
	for _, tt := range []struct {
		name, cookie string
		check        func(error) bool
	}{
		{"nobody", "", is(session.ErrNone)},
		{"staff", w.session(t, "tanaka", policy.PHR), denied(authz.NoPost)},
		{"an administrator with one factor", w.session(t, "admin", policy.AAL1), stepUp(policy.AAL2)},
		{"an administrator with two", w.session(t, "admin", policy.AAL2), is(nil)},
		{"an auditor", w.session(t, "auditor", policy.AAL2), is(nil)},
		{"who approves", w.session(t, "officer", policy.AAL2), is(nil)},
		{"who proved themselves this morning", w.session(t, "officer", policy.AAL2, since(w.policy.Session.ElevatedAbsoluteEnd)), is(nil)},
		{"and who did so before", w.session(t, "officer", policy.AAL2, since(w.policy.Session.ElevatedAbsoluteEnd+1)), stepUp(policy.AAL2)},
	} {
		for act, view := range views {
			if err := view(w, tt.cookie); !tt.check(err) {
				t.Errorf("%s by %s: %v", act, tt.name, err)
			}
		}
	}
}

// TestRefusalsAreEntered: once a minute for each person, act and reason.
func TestRefusalsAreEntered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie := w.session(t, "tanaka", policy.PHR)
	try := func(n int) {
		for range n {
			if err := w.Suspend(ctx, w.origin, cookie, "suzuki", "x", time.Time{}); !denied(authz.NoPost)(err) {
				t.Fatal(err)
			}
		}
	}
	want := func(n int) {
		t.Helper()
		if got := w.entries(t, `"actor":"tanaka"`, `"action":"person.suspended"`, `"outcome":"refused"`, `"reason":"no_post"`, `"request_id":"r1"`); got != n {
			t.Errorf("%d refusals on the trail, want %d", got, n)
		}
	}
	try(5)
	want(1)
	if _, _, err := w.Find(ctx, w.origin, cookie, "", "", 1); !denied(authz.NoPost)(err) || w.entries(t, `"action":"people.read"`, `"outcome":"refused"`) != 1 {
		t.Errorf("another act: %v", err)
	}
	w.clock.Advance(time.Minute)
	try(2)
	want(2)
}

// TestNothingWithoutTheTrail breaks the trail at the last statement of each act.
// Whatever came before it in the transaction is undone; one retry later it is
// done once.
func TestNothingWithoutTheTrail(t *testing.T) {
	t.Parallel()
	for _, a := range onPeople {
		if a.act == authz.TemporaryPassword { // the directory has it by then: TestTemporaryPasswordCrash
			continue
		}
		t.Run(string(a.act), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.ready(t, "tanaka", a.act)
			admin, subject := w.session(t, "admin", policy.PHR), w.session(t, "tanaka", policy.AAL2)
			mend := w.breakTrail(t, a.action)
			if err := a.do(w, admin, "tanaka"); err == nil {
				t.Fatal("done without an entry on the trail")
			}
			if a.happened(t, w, "tanaka") || !w.alive(t, subject) || w.told(t, "tanaka", a.told) != 0 || w.entries(t, `"action":"session.ended"`) != 0 {
				t.Error("something was done without an entry on the trail")
			}
			mend()
			must(t, a.do(w, admin, "tanaka"))
			if !a.happened(t, w, "tanaka") || w.told(t, "tanaka", a.told) != 1 {
				t.Error("not done, or not told")
			}
			if n := w.entries(t, `"actor":"admin"`, `"action":"`+a.action+`"`, `"object":"tanaka (`+string(w.all["tanaka"].ID)+`)"`, `"outcome":"ok"`, `"articles":["`); n != 1 {
				t.Errorf("%d entries", n)
			}
			ends := a.act != authz.Restore && a.act != authz.EndLeave && a.act != authz.Unlock
			if w.alive(t, subject) == ends || !w.alive(t, admin) {
				t.Errorf("the session is alive: %t", !ends)
			}
		})
	}
}

// TestSuspendingEachOther: of two who suspend each other at the same moment, one
// does.
func TestSuspendingEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for round := range 10 {
		w.clock.Advance(time.Second) // of two sessions that began at one instant, none is the older
		var (
			start sync.WaitGroup
			done  sync.WaitGroup
			errs  [2]error
		)
		pair := [2]string{"admin", "operator"}
		cookies := [2]string{w.session(t, pair[0], policy.PHR), w.session(t, pair[1], policy.PHR)}
		start.Add(1)
		for i := range pair {
			done.Go(func() {
				start.Wait()
				errs[i] = w.Suspend(ctx, w.origin, cookies[i], pair[1-i], "相手のほうが", time.Time{})
			})
		}
		start.Done()
		done.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
		}
		for i, err := range errs {
			if err != nil && !errors.Is(err, session.ErrNone) {
				t.Fatal(err)
			}
			if w.closed(t, pair[i], standing.Suspended) != (err != nil) {
				t.Fatalf("round %d: %s was answered %v", round, pair[i], err)
			}
		}
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM standing`)
			return err
		}))
	}
}

// TestPostsCountNow: a post that was taken away in the directory is gone at the
// next act, whatever was remembered of its holder.
func TestPostsCountNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie := w.session(t, "admin", policy.PHR)
	must(t, w.Suspend(ctx, w.origin, cookie, "tanaka", "x", time.Time{}))
	must(t, w.dir.RemoveMember(ctx, groupOf(policy.SystemAdministrator), w.all["admin"].DN))
	if err := w.Restore(ctx, w.origin, cookie, "tanaka", ""); !denied(authz.NoPost)(err) {
		t.Errorf("without the post: %v", err)
	}
	must(t, w.dir.AddMember(ctx, groupOf(policy.SystemAdministrator), w.all["admin"].DN))
	must(t, w.dir.Disable(ctx, w.all["admin"]))
	if err := w.Restore(ctx, w.origin, cookie, "tanaka", ""); !errors.Is(err, session.ErrNone) {
		t.Errorf("disabled: %v", err)
	}
}

func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie := w.session(t, "admin", policy.PHR)
	w.dir.Close()
	for _, a := range onPeople {
		err := a.do(w, cookie, "tanaka")
		var away *signin.Away
		if !errors.As(err, &away) && !errors.Is(err, directory.ErrAway) && !errors.Is(err, standing.ErrAway) {
			t.Errorf("%s: %v", a.act, err)
		}
	}
	if errors.Is(w.Suspend(ctx, w.origin, cookie, "tanaka", "x", time.Time{}), people.ErrNotFound) {
		t.Error("a directory that is away was taken for one without tanaka")
	}
}
