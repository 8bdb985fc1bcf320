package signin_test

import (
	"errors"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/password"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

func TestTemporaryPassword(t *testing.T) {
	t.Parallel()
	make := func(t *testing.T) (*world, directory.Person) {
		w := newWorld(t)
		p := w.person(t, "suzuki")
		must(t, w.dir.ResetPassword(ctx, p, text("kari-no-aikotoba-31"), true))
		return w, p
	}
	t.Run("is changed before anything else", func(t *testing.T) {
		t.Parallel()
		w, p := make(t)
		w.policy.Zones[0].SignInACR = policy.AAL2
		step, err := w.Password(ctx, w.origin, "", "suzuki", text("kari-no-aikotoba-31"))
		must(t, err)
		if step.State != "password_change" {
			t.Fatalf("state %q", step.State)
		}
		var rejected *password.Rejected
		if _, err := w.NewPassword(ctx, w.origin, step.Cookie, text("short")); !errors.As(err, &rejected) {
			t.Fatalf("a bad one: %v", err)
		}
		step, err = w.NewPassword(ctx, w.origin, step.Cookie, text(next))
		must(t, err)
		if step.State != "enrol" {
			t.Fatalf("state %q, want enrol", step.State)
		}
		enrolment, err := w.account.BeginTOTP(ctx, w.origin, step.Cookie)
		must(t, err)
		seed, err := parseSecret(enrolment.Secret)
		must(t, err)
		step, err = w.account.FinishTOTP(ctx, w.origin, step.Cookie, enrolment.ID, w.code(t, seed), "電話")
		must(t, err)
		if step.State != "signed_in" || step.Session.ACR != policy.AAL2 {
			t.Fatalf("after enrolling: %+v", step)
		}
		got, err := w.dir.ByID(ctx, p.ID)
		must(t, err)
		if got.Account.MustChange {
			t.Error("the directory still asks for a change")
		}
		if _, err := w.Password(ctx, w.origin, "", "suzuki", text("kari-no-aikotoba-31")); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("the temporary password again: %v", err)
		}
	})
	t.Run("dies unused", func(t *testing.T) {
		t.Parallel()
		w, _ := make(t)
		w.clock.Advance(w.policy.Password.TemporaryEnd)
		if _, err := w.Password(ctx, w.origin, "", "suzuki", text("kari-no-aikotoba-31")); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("after its end: %v, want ErrRefused", err)
		}
	})
	t.Run("keeps the second factor", func(t *testing.T) {
		t.Parallel()
		w, p := make(t)
		w.device(t, p)
		step, err := w.Password(ctx, w.origin, "", "suzuki", text("kari-no-aikotoba-31"))
		must(t, err)
		if step.State != "second_factor" {
			t.Errorf("state %q, want second_factor (ASVS 6.4.3)", step.State)
		}
	})
}

// TestAgedPassword: at its age, or from 1 April where the fiscal year counts, a
// password opens its own change and nothing else, and cannot be its own successor.
// Sessions go on, and so do other factors, of which no age is asked.
func TestAgedPassword(t *testing.T) {
	t.Parallel()
	april := time.Date(2026, 4, 1, 0, 0, 0, 0, time.FixedZone("JST", 9*60*60))
	for _, tt := range []struct {
		name string
		set  func(*policy.PasswordRules)
		last func(begun time.Time) time.Time // when it is too old
	}{
		{"by its age", func(r *policy.PasswordRules) { r.MaxAge = 30 * 24 * time.Hour }, func(begun time.Time) time.Time { return begun.Add(30 * 24 * time.Hour) }},
		{"by the fiscal year", func(r *policy.PasswordRules) { r.FiscalYearEnd = true }, func(time.Time) time.Time { return april }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.person(t, "suzuki")
			end := tt.last(w.clock.Now())
			tt.set(&w.policy.Password)
			w.clock.Advance(end.Add(-time.Second).Sub(w.clock.Now()))
			cookie := w.in(t, "suzuki")
			w.clock.Advance(time.Second)
			if step, err := w.Current(ctx, w.origin, cookie); err != nil || step.State != "signed_in" {
				t.Errorf("the session of before: %q, %v", step.State, err)
			}
			step, err := w.Password(ctx, w.origin, "", "suzuki", text(pw))
			must(t, err)
			if step.State != "password_change" || step.Session != nil {
				t.Fatalf("an old password came to %q", step.State)
			}
			var rejected *password.Rejected
			if _, err := w.NewPassword(ctx, w.origin, step.Cookie, text(pw)); !errors.As(err, &rejected) || !rejected.Has(password.Reused) {
				t.Errorf("the same again: %v, want %s", err, password.Reused)
			}
			step, err = w.NewPassword(ctx, w.origin, step.Cookie, text(next))
			must(t, err)
			if step.State != "signed_in" {
				t.Errorf("after the change: %q", step.State)
			}
			if step, err = w.Password(ctx, w.origin, "", "suzuki", text(next)); err != nil || step.State != "signed_in" {
				t.Errorf("the new one: %q, %v", step.State, err)
			}
		})
	}
}

// TestThreeStrikes: under profile jp-legacy the third wrong password ends the
// password, at every browser and however long one waits; not the person, nor
// another of their factors. A new password begins anew.
func TestThreeStrikes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Lockout = policy.Legacy().Lockout
	p := w.person(t, "suzuki")
	w.in(t, "suzuki")
	for range 3 {
		if _, err := w.Password(ctx, w.origin, "", "suzuki", text("not-the-password")); !errors.Is(err, signin.ErrRefused) {
			t.Fatalf("a wrong password: %v", err)
		}
	}
	var held *signin.Held
	for _, later := range []time.Duration{0, 24 * time.Hour} {
		w.clock.Advance(later)
		if _, err := w.Password(ctx, w.origin, "", "suzuki", text(pw)); !errors.As(err, &held) || !held.Spent {
			t.Errorf("the right password %v after the third failure: %v, want Held for good", later, err)
		}
	}
	if _, err := w.Password(ctx, w.origin, "", "nobody-of-that-name", text(pw)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("another name: %v", err)
	}
	digest, err := w.Acceptable(ctx, p, nil, text(pw), text(next))
	must(t, err)
	intent, err := w.IntendPassword(ctx, w.origin, p, digest)
	must(t, err)
	must(t, w.dir.ResetPassword(ctx, p, text(next), false))
	must(t, w.Commit(ctx, func(tx *store.Tx) error { return w.SettlePassword(ctx, tx, p, intent, "") }))
	if step, err := w.Password(ctx, w.origin, "", "suzuki", text(next)); err != nil || step.State != "signed_in" {
		t.Errorf("a new password: %q, %v", step.State, err)
	}
}

// TestPasswordBesideUnreadFactors: while nobody can say what stands beside a password, a
// new one is not called too short to stand alone.
func TestPasswordBesideUnreadFactors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	cookie := w.in(t, "tanaka")
	w.device(t, p)
	back := w.lose(t, "totp_device")
	var rejected *password.Rejected
	const short = "kawa no kasumi" // good beside a factor
	if _, err := w.account.ChangePassword(ctx, w.origin, cookie, text(pw), text(short)); err == nil || errors.As(err, &rejected) {
		t.Errorf("the factors cannot be read: %v", err)
	}
	back()
	if _, err := w.account.ChangePassword(ctx, w.origin, cookie, text(pw), text(short)); err != nil {
		t.Error("once it is mended:", err)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	other, mine := w.in(t, "tanaka"), w.in(t, "tanaka")

	if _, err := w.account.ChangePassword(ctx, w.origin, mine, text("not this"), text(next)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("with a wrong current password: %v", err)
	}
	var rejected *password.Rejected
	if _, err := w.account.ChangePassword(ctx, w.origin, mine, text(pw), text(pw)); !errors.As(err, &rejected) || !rejected.Has(password.Unchanged) {
		t.Errorf("to the same: %v", err)
	}
	step, err := w.account.ChangePassword(ctx, w.origin, mine, text(pw), text(next))
	must(t, err)
	for name, cookie := range map[string]string{"another session": other, "the handle from before": mine} {
		if _, err := w.Sessions.Load(ctx, cookie); !errors.Is(err, signin.ErrNone) {
			t.Errorf("%s survived the change: %v", name, err)
		}
	}
	if _, err := w.Sessions.Load(ctx, step.Cookie); err != nil {
		t.Errorf("the new handle: %v", err)
	}
	if _, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := w.account.ChangePassword(ctx, w.origin, step.Cookie, text(next), text(next+" 2")); err != nil {
		t.Error("a second change:", err)
	}

	t.Run("a factor needs a fresh sign-in", func(t *testing.T) {
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(next+" 2"))
		must(t, err)
		w.clock.Advance(w.policy.SignIn.FreshFor + time.Second)
		var up *account.StepUp
		if _, err := w.account.BeginTOTP(ctx, w.origin, step.Cookie); !errors.As(err, &up) {
			t.Errorf("stale: %v, want StepUp", err)
		}
	})
	t.Run("another's session cannot be ended", func(t *testing.T) {
		w.person(t, "sato")
		sato, err := w.Sessions.Load(ctx, w.in(t, "sato"))
		must(t, err)
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(next+" 2"))
		must(t, err)
		if err := w.account.EndSession(ctx, w.origin, step.Cookie, sato.ID); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	step, err := w.account.ChangePassword(ctx, w.origin, w.in(t, "tanaka"), text(pw), text(next))
	must(t, err)
	step, err = w.account.ChangePassword(ctx, w.origin, step.Cookie, text(next), text(next+" 2"))
	must(t, err)
	var rejected *password.Rejected
	_, err = w.account.ChangePassword(ctx, w.origin, step.Cookie, text(next+" 2"), text(next))
	if !errors.As(err, &rejected) || !rejected.Has(password.Reused) {
		t.Errorf("back to an old one: %v, want reused", err)
	}
}

func TestLeak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	seed := w.device(t, p)
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	step, err = w.TOTP(ctx, w.origin, step.Cookie, w.code(t, seed))
	must(t, err)
	led, err := w.account.ReportLeak(ctx, w.origin, step.Cookie, "メモを紛失しました")
	must(t, err)
	if _, err := w.Sessions.Load(ctx, step.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("the session survived: %v", err)
	}
	if _, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the leaked password: %v, want ErrRefused", err)
	}
	if said, err := w.dir.Authenticate(ctx, p, text(pw)); err != nil || said == directory.OutcomeRight || said == directory.OutcomeMustChange {
		t.Errorf("the directory still takes it: %v, %v", said, err)
	}
	if led.State != "second_factor" {
		t.Fatalf("led to %q, want second_factor: a new password only after another factor", led.State)
	}
	w.clock.Advance(30 * time.Second)
	led, err = w.TOTP(ctx, w.origin, led.Cookie, w.code(t, seed))
	must(t, err)
	led, err = w.NewPassword(ctx, w.origin, led.Cookie, text(next))
	must(t, err)
	if led.State != "signed_in" {
		t.Errorf("state %q", led.State)
	}
	w.clock.Advance(30 * time.Second)
	if step, err := w.Password(ctx, w.origin, "", "tanaka", text(next)); err != nil || step.State != "second_factor" {
		t.Errorf("the new password: %+v, %v", step, err)
	}

	t.Run("without another factor, in person", func(t *testing.T) {
		w.person(t, "sato")
		if _, err := w.account.ReportLeak(ctx, w.origin, w.in(t, "sato"), "x"); !errors.Is(err, signin.ErrNone) {
			t.Errorf("got %v, want ErrNone: signed out, and nothing further", err)
		}
		if _, err := w.Password(ctx, w.origin, "", "sato", text(pw)); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("the leaked password: %v", err)
		}
	})
}

func TestLastFactorStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Zones[0].SignInACR = policy.AAL2
	seed := w.device(t, w.person(t, "tanaka"))
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	step, err = w.TOTP(ctx, w.origin, step.Cookie, w.code(t, seed))
	must(t, err)
	list, err := w.account.Factors(ctx, w.origin, step.Cookie)
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("factors %v", list)
	}
	if _, err := w.account.RemoveFactor(ctx, w.origin, step.Cookie, list[0].ID); !errors.Is(err, account.ErrLastFactor) {
		t.Errorf("removing the last: %v, want ErrLastFactor", err)
	}
	if _, err := w.account.RemoveFactor(ctx, w.origin, step.Cookie, "another's"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("removing what is not mine: %v, want ErrNotFound", err)
	}
}
