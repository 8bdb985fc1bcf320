package signin_test

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestSignInStepByStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Zones[0].SignInACR = policy.AAL2
	w.policy.Acknowledgement.Version = "2026-1"
	p := w.person(t, "tanaka")
	seed := w.device(t, p)

	first, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if first.State != "second_factor" || first.Session != nil || len(first.Methods) != 1 {
		t.Fatalf("after the password: %+v", first)
	}
	if _, err := w.Sessions.Load(ctx, first.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("a sign-in under way passes for a session: %v", err)
	}
	second, err := w.TOTP(ctx, w.origin, first.Cookie, w.code(t, seed))
	must(t, err)
	if second.State != "acknowledge" || second.Version != "2026-1" || second.Cookie == first.Cookie {
		t.Fatalf("after the code: %+v", second)
	}
	if _, err := w.Current(ctx, w.origin, first.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("the cookie of the step before is still good: %v", err)
	}
	if _, err := w.Acknowledge(ctx, w.origin, second.Cookie, "2025-9"); !errors.Is(err, signin.ErrStep) {
		t.Errorf("acknowledging another version: %v, want ErrStep", err)
	}
	third, err := w.Acknowledge(ctx, w.origin, second.Cookie, "2026-1")
	must(t, err)
	if third.State != "signed_in" || third.Session.ACR != policy.AAL2 || third.DeviceCookie == "" {
		t.Fatalf("after the acknowledgement: %+v", third)
	}
	n, err := w.Sessions.Load(ctx, third.Cookie)
	must(t, err)
	if n.Person != p.ID || n.Zone != policy.LGWAN || n.From != "10.2.0.9" {
		t.Errorf("session %+v", n)
	}
	if _, err := w.TOTP(ctx, w.origin, third.Cookie, "000000"); !errors.Is(err, signin.ErrStep) {
		t.Errorf("a code with a session: %v, want ErrStep", err)
	}
	must(t, w.SignOut(ctx, w.origin, third.Cookie))
	if _, err := w.Sessions.Load(ctx, third.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("signed out, and still: %v", err)
	}
	if got := w.actions(t, "sign_in"); got != 1 {
		t.Errorf("%d sign-ins on the trail, want 1", got)
	}
	again, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	w.clock.Advance(30 * time.Second)
	again, err = w.TOTP(ctx, w.origin, again.Cookie, w.code(t, seed))
	must(t, err)
	if again.State != "signed_in" {
		t.Errorf("the rules were asked for again: %q", again.State)
	}
}

// TestStepOfNobodyKnowsWhom: a step asked for with the handle of a session that cannot
// be read now. Were that said to be no session, its browser would drop the handle.
func TestStepOfNobodyKnowsWhom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	cookie := w.in(t, "tanaka")
	w.clock.Advance(10 * time.Second) // what is held in memory is too old to be used
	back := w.lose(t, "session")
	if _, err := w.TOTP(ctx, w.origin, cookie, "000000"); err == nil || errors.Is(err, signin.ErrNone) || errors.Is(err, signin.ErrStep) {
		t.Errorf("the store does not answer: %v", err)
	}
	back()
	if _, err := w.TOTP(ctx, w.origin, cookie, "000000"); !errors.Is(err, signin.ErrStep) {
		t.Errorf("once it is mended: %v", err)
	}
}

// TestStepsCannotBeSkipped tries every step on a sign-in that is at another

// (security.md section 2, row 8).

func TestStepsCannotBeSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Acknowledgement.Version = "2026-1"
	p := w.person(t, "tanaka")
	w.device(t, p)
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	for name, try := range map[string]func() error{
		"acknowledge":  func() error { _, err := w.Acknowledge(ctx, w.origin, step.Cookie, "2026-1"); return err },
		"new password": func() error { _, err := w.NewPassword(ctx, w.origin, step.Cookie, text(next)); return err },
		"enrol":        func() error { _, err := w.account.BeginTOTP(ctx, w.origin, step.Cookie); return err },
	} {
		if err := try(); !errors.Is(err, signin.ErrStep) {
			t.Errorf("%s before the second factor: %v, want ErrStep", name, err)
		}
	}
	for name, try := range map[string]func() error{
		"change password": func() error {
			_, err := w.account.ChangePassword(ctx, w.origin, step.Cookie, text(pw), text(next))
			return err
		},
		"factors":       func() error { _, err := w.account.Factors(ctx, w.origin, step.Cookie); return err },
		"sessions":      func() error { _, _, err := w.account.Sessions(ctx, w.origin, step.Cookie); return err },
		"leak":          func() error { _, err := w.account.ReportLeak(ctx, w.origin, step.Cookie, "x"); return err },
		"remove factor": func() error { _, err := w.account.RemoveFactor(ctx, w.origin, step.Cookie, "x"); return err },
		"handover":      func() error { _, err := w.Sessions.HandoverCode(ctx, step.Cookie, "a", "b"); return err },
	} {
		if err := try(); !errors.Is(err, signin.ErrNone) {
			t.Errorf("%s before the second factor: %v, want ErrNone", name, err)
		}
	}
}

// TestRefusals: unknown, wrong and unusable people all get ErrRefused, and the

// trail alone knows why.

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := func(p directory.Person, k standing.Kind) {
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			return standing.Set(ctx, tx, p.ID, k, w.clock.Now(), time.Time{}, "test", "test")
		}))
	}
	w.person(t, "wrong")
	must(t, w.dir.Disable(ctx, w.person(t, "disabled")))
	set(w.person(t, "dormant"), standing.Dormant)
	set(w.person(t, "suspended"), standing.Suspended)
	set(w.person(t, "leave"), standing.OnLeave)
	_, err := w.dir.Create(ctx, directory.NewPerson{Login: "ended", Name: "e", Kind: directory.KindContractor, Password: text(pw), ExpiresAt: w.clock.Now()})
	must(t, err)
	for _, tt := range []struct{ login, password, why string }{
		{"nobody-of-that-name", pw, "unknown"},
		{"wrong", "not-the-password", "wrong_password"},
		{"wrong", "", "empty_password"},
		{"disabled", pw, "disabled"},
		{"dormant", pw, "dormant"},
		{"suspended", pw, "suspended"},
		{"leave", pw, "on_leave"},
		{"ended", pw, "expired"},
		{"*", pw, "unknown"},
		{"wrong)(uid=*", pw, "unknown"},
		{"", pw, "unknown"},
		{"uid=wrong,ou=people,dc=pref,dc=example\x00", pw, "unknown"},
	} {
		step, err := w.Password(ctx, w.origin, "", tt.login, text(tt.password))
		if !errors.Is(err, signin.ErrRefused) || step.Cookie != "" || step.State != "" {
			t.Errorf("%q: %+v, %v; want ErrRefused alone", tt.login, step, err)
		}
		var n int
		must(t, w.db.QueryRow(ctx, `SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, `%"reason":"`+tt.why+`"%`).Scan(&n))
		if n == 0 {
			t.Errorf("%q: the trail does not say %q", tt.login, tt.why)
		}
	}
}

// TestNames: however a name is written it is one person, with one count

// (security.md section 2, row 4).

func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	names := []string{"tanaka", "TANAKA", "ｔａｎａｋａ", " tanaka ", "Tanaka@pref.example"}
	for _, name := range names[1:] {
		step, err := w.Password(ctx, w.origin, "", name, text(pw))
		if err != nil || step.Person.Login != "tanaka" {
			t.Errorf("%q: %v, %v", name, step.Person.Login, err)
		}
	}
	for _, name := range names {
		if _, err := w.Password(ctx, w.origin, "", name, text("wrong")); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("%q: %v, want ErrRefused", name, err)
		}
	}
	for _, name := range names {
		var held *signin.Held
		if _, err := w.Password(ctx, w.origin, "", name, text(pw)); !errors.As(err, &held) {
			t.Errorf("after five failures under five spellings, %q: %v, want Held", name, err)
		}
	}
}

func TestHolding(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"tanaka", "nobody"} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.person(t, "tanaka")
			fail := func() error { _, err := w.Password(ctx, w.origin, "", login, text("wrong")); return err }
			for i := range 5 {
				if err := fail(); !errors.Is(err, signin.ErrRefused) {
					t.Fatalf("failure %d: %v, want ErrRefused: fewer than five delay nobody", i+1, err)
				}
			}
			var held *signin.Held
			if err := fail(); !errors.As(err, &held) || held.RetryAfter != 30*time.Second {
				t.Fatalf("the sixth: %v (%+v), want Held for 30 s", err, held)
			}
			w.clock.Advance(30 * time.Second)
			if err := fail(); !errors.Is(err, signin.ErrRefused) {
				t.Errorf("after the wait: %v, want ErrRefused", err)
			}
			if err := fail(); !errors.As(err, &held) || held.RetryAfter != time.Minute {
				t.Errorf("then: %v (%+v), want Held for a minute", err, held)
			}
		})
	}
}

func TestSuccessForgetsFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	for range 3 {
		for range 4 {
			if _, err := w.Password(ctx, w.origin, "", "tanaka", text("wrong")); !errors.Is(err, signin.ErrRefused) {
				t.Fatal(err)
			}
		}
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
		must(t, err)
		if step.Session.Previous.FailuresSince != 4 {
			t.Errorf("the person is shown %d failures, want 4", step.Session.Previous.FailuresSince)
		}
	}
}

// TestNeverReachesTheDirectorysOwnLock: however long a stranger goes on, fewer

// wrong passwords reach the directory than lock it, some of them are kept back

// for the owner's browser, and that one gets in (design rule 6; row 7).

func TestNeverReachesTheDirectorysOwnLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	w.ceiling = 12
	w.policy.Lockout.KnownBrowserShare = 5
	mine := w.origin
	step, err := w.Password(ctx, mine, "", "tanaka", text(pw))
	must(t, err)
	mine.Device = step.DeviceCookie

	binds := 0
	for range 40 {
		w.clock.Advance(2 * time.Hour)
		_, err := w.Password(ctx, w.origin, "", "tanaka", text("wrong"))
		if errors.Is(err, signin.ErrRefused) {
			binds++
		}
	}
	if binds != 12-5 {
		t.Errorf("%d of a stranger's guesses were verified, want 7", binds)
	}
	var held *signin.Held
	if _, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.As(err, &held) || !held.Spent {
		t.Errorf("the right password from a stranger's browser: %v, want Held", err)
	}
	if _, err := w.Password(ctx, mine, "", "tanaka", text(pw)); err != nil {
		t.Errorf("the owner's browser: %v", err)
	}
	got, err := w.dir.ByID(ctx, p.ID)
	must(t, err)
	if got.Account.PasswordLocked || got.Account.Disabled {
		t.Error("the directory locked the account")
	}
	t.Run("and another's browser is a stranger's", func(t *testing.T) {
		w.person(t, "sato")
		for range 5 {
			if _, err := w.Password(ctx, w.origin, "", "sato", text("wrong")); !errors.Is(err, signin.ErrRefused) {
				t.Fatal(err)
			}
		}
		if _, err := w.Password(ctx, mine, "", "sato", text(pw)); !errors.As(err, &held) {
			t.Errorf("tanaka's browser for sato: %v, want Held", err)
		}
	})
}

// TestParallelGuesses: a thousand guesses at once are no more than five in a row

// (security.md section 2, row 3).

func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	seed := w.device(t, p)
	t.Run("of a password", func(t *testing.T) {
		var verified, held atomic.Int64
		race(1000, func(int) {
			_, err := w.Password(ctx, w.origin, "", "tanaka", text("wrong"))
			count(t, err, &verified, &held)
		})
		if verified.Load() != 5 || held.Load() != 995 {
			t.Errorf("%d verified, %d held; want 5 and 995", verified.Load(), held.Load())
		}
	})
	w.clock.Advance(time.Hour)
	t.Run("of a code", func(t *testing.T) {
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
		must(t, err)
		var verified, held atomic.Int64
		wrong := "000000"
		if w.code(t, seed) == wrong {
			wrong = "000001"
		}
		race(300, func(int) {
			_, err := w.TOTP(ctx, w.origin, step.Cookie, wrong)
			count(t, err, &verified, &held)
		})
		if verified.Load() != 5 || held.Load() != 295 {
			t.Errorf("%d verified, %d held; want 5 and 295", verified.Load(), held.Load())
		}
	})
}

func race(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func count(t *testing.T, err error, refused, held *atomic.Int64) {
	var h *signin.Held
	switch {
	case errors.Is(err, signin.ErrRefused):
		refused.Add(1)
	case errors.As(err, &h):
		held.Add(1)
	default:
		t.Error("unexpected:", err)
	}
}

// TestOneCodeOnce: fifty sign-ins that all carry the same right code

// (security.md section 2, row 2).

func TestOneCodeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.device(t, w.person(t, "tanaka"))
	w.policy.Lockout.FreeFailures = 60 // the replays themselves are failures
	cookies := make([]string, 50)
	for i := range cookies {
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
		must(t, err)
		cookies[i] = step.Cookie
	}
	var won atomic.Int64
	code := w.code(t, seed)
	race(50, func(i int) {
		step, err := w.TOTP(ctx, w.origin, cookies[i], code)
		if err == nil && step.State == "signed_in" {
			won.Add(1)
		} else if !errors.Is(err, signin.ErrRefused) {
			t.Error(err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("one code signed in %d times", won.Load())
	}
}

// TestRightPasswordsAtOnce: the right password is never held up by itself.

func TestRightPasswordsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	race(40, func(int) {
		if _, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); err != nil {
			t.Error(err)
		}
	})
}

func TestSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.SignIn.SourceFailures = 10
	w.person(t, "tanaka")
	from := func(addr string) signin.Origin {
		o := w.origin
		o.Source = netip.MustParseAddr(addr)
		return o
	}
	spray := func(addr string, n int) {
		for i := range n {
			if _, err := w.Password(ctx, from(addr), "", "name"+string(rune('a'+i)), text("wrong")); !errors.Is(err, signin.ErrRefused) {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct{ name, used, same, other string }{
		{"an IPv4 address is one source", "10.2.0.1", "10.2.0.1", "10.2.0.2"},
		{"so is the same mapped to IPv6", "10.2.0.3", "::ffff:10.2.0.3", "::ffff:10.2.0.4"},
		{"an IPv6 network of 64 bits is one", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spray(tt.used, 10)
			var held *signin.Held
			if _, err := w.Password(ctx, from(tt.same), "", "tanaka", text(pw)); !errors.As(err, &held) {
				t.Errorf("%s: %v, want Held", tt.same, err)
			}
			if _, err := w.Password(ctx, from(tt.other), "", "tanaka", text(pw)); err != nil {
				t.Errorf("%s: %v", tt.other, err)
			}
			w.clock.Advance(w.policy.SignIn.SourceWindow)
			if _, err := w.Password(ctx, from(tt.same), "", "tanaka", text(pw)); err != nil {
				t.Errorf("%s, later: %v", tt.same, err)
			}
		})
	}
}

// TestHistory: a password used before is refused, whichever way it is set

// (article 46-2).

func TestSigningInAgainReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	old := w.in(t, "tanaka")
	step, err := w.Password(ctx, w.origin, old, "tanaka", text(pw))
	must(t, err)
	if _, err := w.Sessions.Load(ctx, old); !errors.Is(err, signin.ErrNone) {
		t.Errorf("the session of before survived in the same browser: %v", err)
	}
	if step.Cookie == old {
		t.Error("the handle did not change")
	}
	if _, err := w.Password(ctx, w.origin, step.Cookie, "tanaka", text("wrong")); !errors.Is(err, signin.ErrRefused) {
		t.Fatal(err)
	}
	if _, err := w.Sessions.Load(ctx, step.Cookie); err != nil {
		t.Errorf("a refused step changed the session: %v", err)
	}
}

// TestStricterPolicyOfOnePerson: somebody whom the directory locks sooner than

// others is held sooner (design rule 6).

func TestStricterPolicyOfOnePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Lockout.KnownBrowserShare = 1
	w.person(t, "tanaka")
	conn, err := goldap.DialURL(w.ldapURL)
	must(t, err)
	defer conn.Close()
	must(t, conn.Bind("cn=admin,dc=pref,dc=example", "admin-of-the-test"))
	strict := goldap.NewAddRequest("cn=strict,ou=policies,dc=pref,dc=example", nil)
	strict.Attribute("objectClass", []string{"pwdPolicy", "person"})
	strict.Attribute("sn", []string{"strict"})
	strict.Attribute("pwdAttribute", []string{"userPassword"})
	strict.Attribute("pwdLockout", []string{"TRUE"})
	strict.Attribute("pwdMaxFailure", []string{"4"})
	must(t, conn.Add(strict))
	own := goldap.NewModifyRequest("uid=tanaka,ou=people,dc=pref,dc=example", nil)
	own.Replace("pwdPolicySubentry", []string{"cn=strict,ou=policies,dc=pref,dc=example"})
	must(t, conn.Modify(own))

	verified := 0
	for range 6 {
		w.clock.Advance(2 * time.Hour)
		if _, err := w.Password(ctx, w.origin, "", "tanaka", text("wrong")); errors.Is(err, signin.ErrRefused) {
			verified++
		}
	}
	if verified != 4-1-1 {
		t.Errorf("%d wrong passwords were verified, want 2: one kept back, one below the directory's 4", verified)
	}
}
