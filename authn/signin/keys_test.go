package signin_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// key enrols a passkey for somebody who is signed in by password, and signs
// them out again.
func (w *world) key(t *testing.T, login string, tweak ...func(*passkeytest.Tweak)) *passkeytest.Key {
	t.Helper()
	cookie := w.in(t, login)
	k, step, err := w.enrolKey(t, cookie, tweak...)
	must(t, err)
	must(t, w.SignOut(ctx, w.origin, step.Cookie))
	return k
}

func (w *world) enrolKey(t *testing.T, cookie string, tweak ...func(*passkeytest.Tweak)) (*passkeytest.Key, signin.Step, error) {
	t.Helper()
	begun, err := w.account.BeginPasskey(ctx, w.origin, cookie)
	must(t, err)
	made, k, err := passkeytest.New("gate.example", gateURL).Create(begun.PublicKey, tweak...)
	must(t, err)
	step, err := w.account.FinishPasskey(ctx, w.origin, cookie, begun.ID, "鍵", made)
	return k, step, err
}

// answer asks for a passkey and answers with k; it returns what came of it, and
// the cookie the answer came with.
func (w *world) answer(t *testing.T, cookie string, k *passkeytest.Key, tweak ...func(*passkeytest.Tweak)) (signin.Step, error) {
	t.Helper()
	ask, err := w.BeginPasskey(ctx, w.origin, cookie, "")
	must(t, err)
	if ask.Cookie != "" {
		cookie = ask.Cookie
	}
	given, err := k.Get(ask.PublicKey, tweak...)
	must(t, err)
	return w.Passkey(ctx, w.origin, cookie, given)
}

func TestPasskeyAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	k := w.key(t, "tanaka")
	step, err := w.answer(t, "", k)
	must(t, err)
	if step.State != authn.SignedIn || step.Session.ACR != policy.PHR || !slices.Equal(step.Session.AMR, []string{"hwk", "mfa"}) {
		t.Errorf("a passkey alone came to %+v", step)
	}
	if w.actions(t, "sign_in") == 0 {
		t.Error("it is not on the trail")
	}
	keys, err := w.Passkeys.List(ctx, step.Person.ID)
	must(t, err)
	if at := step.Session.FactorAt; at.IsZero() || !at.Equal(keys[0].AddedAt) {
		t.Errorf("the session knows its factor since %v, it was added at %v", at, keys[0].AddedAt)
	}
}

func TestPasskeyAsSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	w.person(t, "suzuki")
	k := w.key(t, "tanaka")
	other := w.key(t, "suzuki")
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if step.State != authn.SecondFactor || !slices.Equal(step.Methods, []string{"passkey"}) {
		t.Fatalf("after the password: %+v", step)
	}
	if _, err := w.answer(t, step.Cookie, other); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("another person's passkey: %v", err)
	}
	step, err = w.answer(t, step.Cookie, k)
	must(t, err)
	if step.State != authn.SignedIn || step.Session.Login != "tanaka" || !slices.Equal(step.Session.AMR, []string{"pwd", "hwk", "mfa"}) {
		t.Errorf("it came to %+v", step.Session)
	}
}

// TestPasskeyCeremonies: an answer is good for the cookie it was asked under,
// once, at a sign-in (security.md section 2, row 9).
func TestPasskeyCeremonies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	k := w.key(t, "tanaka")
	ask, err := w.BeginPasskey(ctx, w.origin, "", "")
	must(t, err)
	other, err := w.BeginPasskey(ctx, w.origin, "", "")
	must(t, err)
	given, err := k.Get(ask.PublicKey)
	must(t, err)
	for name, cookie := range map[string]string{"another browser's cookie": other.Cookie, "no cookie": "", "nonsense": "x.fnonsense"} {
		if _, err := w.Passkey(ctx, w.origin, cookie, given); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("with %s: %v", name, err)
		}
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := w.Passkey(ctx, w.origin, ask.Cookie, given); err == nil {
				won.Add(1)
			} else if !errors.Is(err, signin.ErrRefused) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d sign-ins by one answer", won.Load())
	}
}

// TestTwoWindows: a question in a second window leaves that of the first good.
func TestTwoWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	k := w.key(t, "tanaka")
	first, err := w.BeginPasskey(ctx, w.origin, "", "")
	must(t, err)
	second, err := w.BeginPasskey(ctx, w.origin, first.Cookie, "")
	must(t, err)
	if second.Cookie != "" || second.CSRF != first.CSRF {
		t.Errorf("the second window got a cookie of its own")
	}
	given, err := k.Get(first.PublicKey)
	must(t, err)
	if _, err := w.Passkey(ctx, w.origin, first.Cookie, given); err != nil {
		t.Errorf("the first window's answer: %v", err)
	}
}

// TestPasskeyOfWhoMayNot: closing a person closes this door too (design rule 9).
func TestPasskeyOfWhoMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	k := w.key(t, "tanaka")
	for _, kind := range []standing.Kind{standing.Suspended, standing.Dormant, standing.OnLeave} {
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			return standing.Set(ctx, tx, p.ID, kind, w.clock.Now(), time.Time{}, "test", "test")
		}))
		if _, err := w.answer(t, "", k); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("%s: %v", kind, err)
		}
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error { return standing.Lift(ctx, tx, p.ID, kind, w.clock.Now()) }))
	}
	if _, err := w.answer(t, "", k); err != nil {
		t.Error("when nothing stands against them:", err)
	}
}

// TestPasskeyBesideALockedPassword: whoever uses up a password keeps nobody's
// passkey out, and a passkey neither counts nor clears (design rule 6).
func TestPasskeyBesideALockedPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	k := w.key(t, "tanaka")
	w.ceiling = 6
	for range 12 {
		_, err := w.Password(ctx, w.origin, "", "tanaka", text("wrong"))
		if err == nil {
			t.Fatal("a wrong password was right")
		}
		w.clock.Advance(2 * time.Hour)
	}
	var held *signin.Held
	if _, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.As(err, &held) || !held.Spent {
		t.Fatalf("the password is not spent: %v", err)
	}
	if _, err := w.answer(t, "", k, func(tw *passkeytest.Tweak) { tw.BreakSignature = true }); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("a wrong answer: %v", err)
	}
	step, err := w.answer(t, "", k)
	must(t, err)
	if step.State != authn.SignedIn || step.Session.Previous.FailuresSince == 0 {
		t.Errorf("the owner came to %+v", step)
	}
	if _, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.As(err, &held) {
		t.Errorf("the passkey opened the password again: %v", err)
	}
}

// TestSyncedPasskey: a key that is copied serves neither in the mynumber zone
// nor a post that approves or administers, when enrolled and when used.
func TestSyncedPasskey(t *testing.T) {
	t.Parallel()
	synced := func(tw *passkeytest.Tweak) { tw.BE, tw.BS = true, true }
	w := newWorld(t)
	w.policy.Zones = append(w.policy.Zones, policy.Zone{ID: policy.MyNumber, SignInACR: policy.AAL1, IdleEnd: time.Hour, AbsoluteEnd: time.Hour})
	for i := range w.policy.Posts {
		if w.policy.Posts[i].ID == policy.SecurityManager {
			w.policy.Posts[i].Group = "cn=managers,ou=groups,dc=pref,dc=example"
		}
	}
	w.person(t, "tanaka")
	k := w.key(t, "tanaka", synced)
	if step, err := w.answer(t, "", k, synced); err != nil || step.Session.AMR[0] != "swk" {
		t.Fatalf("elsewhere it serves: %v", err)
	}
	var no *passkey.NotAccepted
	at := w.origin
	w.origin.Zone = policy.MyNumber
	if _, err := w.answer(t, "", k, synced); !errors.Is(err, signin.ErrRefused) || !errors.As(err, &no) || no.Reason != "synced" {
		t.Errorf("in the mynumber zone: %v", err)
	}
	// It does not count as "no factor yet" there either.
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if step.State != authn.SecondFactor || !slices.Equal(step.Methods, []string{"recovery"}) {
		t.Errorf("a password there leads to %q with %v", step.State, step.Methods)
	}
	w.person(t, "suzuki")
	cookie := w.in(t, "suzuki")
	if _, _, err := w.enrolKey(t, cookie, synced); !errors.As(err, &no) {
		t.Errorf("enrolled in the mynumber zone: %v", err)
	}
	w.origin = at

	boss := w.manager(t, "sato")
	cookie = w.in(t, boss.Login)
	if _, _, err := w.enrolKey(t, cookie, synced); !errors.As(err, &no) {
		t.Errorf("enrolled by who approves: %v", err)
	}
	if _, _, err := w.enrolKey(t, cookie); err != nil {
		t.Errorf("one that stays on its device: %v", err)
	}
}

// manager creates somebody who approves.
func (w *world) manager(t *testing.T, login string) directory.Person {
	t.Helper()
	p := w.person(t, login)
	w.join(t, "managers", p)
	return p
}

// TestClonedPasskey: a counter that goes back ends the key and everything it
// may have opened.
func TestClonedPasskey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	k := w.key(t, "tanaka")
	count := func(n uint32) func(*passkeytest.Tweak) {
		return func(tw *passkeytest.Tweak) { tw.Count = n }
	}
	step, err := w.answer(t, "", k, count(10))
	must(t, err)
	if _, err := w.answer(t, "", k, count(9)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the copy: %v", err)
	}
	if _, err := w.Sessions.Load(ctx, step.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("the session that was open: %v", err)
	}
	if _, err := w.answer(t, "", k, count(11)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the key after it: %v", err)
	}
	if in, err := w.Password(ctx, w.origin, "", "tanaka", text(pw)); err != nil || in.State != authn.SecondFactor || !slices.Equal(in.Methods, []string{"recovery"}) {
		t.Errorf("the password after it leads to %q with %v, %v: it must not bind a new factor alone", in.State, in.Methods, err)
	}
	if w.actions(t, "factor.ended") != 1 {
		t.Error("it is not on the trail")
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	lose := func(t *testing.T) (w *world, p directory.Person, code string, step signin.Step) {
		w = newWorld(t)
		w.policy.Zones[0].SignInACR = policy.AAL2
		p = w.person(t, "tanaka")
		w.device(t, p)
		must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
			c, _, err := w.help.Issue(ctx, tx, p.ID, "sato", false)
			code = string(c.Reveal())
			return err
		}))
		step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
		must(t, err)
		return w, p, code, step
	}
	t.Run("leads to a new factor, which takes the place of the old", func(t *testing.T) {
		t.Parallel()
		w, p, code, step := lose(t)
		// Somebody has the old one, and is at the rules with it.
		w.policy.Acknowledgement.Version = "2026-04"
		thief, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
		must(t, err)
		seed, err := parseSecret(text("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
		must(t, err)
		thief, err = w.TOTP(ctx, w.origin, thief.Cookie, w.code(t, seed))
		must(t, err)

		w.clock.Advance(time.Second)
		step, err = w.RecoveryCode(ctx, w.origin, step.Cookie, text(code))
		must(t, err)
		if step.State != authn.Enrol || step.Session != nil {
			t.Fatalf("a code came to %+v", step)
		}
		if _, err := w.Acknowledge(ctx, w.origin, step.Cookie, "2026-04"); !errors.Is(err, signin.ErrStep) {
			t.Errorf("going on without a new factor: %v", err)
		}
		k, step, err := w.enrolKey(t, step.Cookie)
		must(t, err)
		if step.State != authn.Acknowledge {
			t.Errorf("with the new factor it came to %q", step.State)
		}
		if step, err = w.Acknowledge(ctx, w.origin, step.Cookie, "2026-04"); err != nil || step.State != authn.SignedIn {
			t.Errorf("and then to %q, %v", step.State, err)
		}
		if left, err := w.codes.List(ctx, p.ID); err != nil || len(left) > 0 {
			t.Errorf("the lost device is still there: %v, %v", left, err)
		}
		if _, err := w.Acknowledge(ctx, w.origin, thief.Cookie, "2026-04"); !errors.Is(err, signin.ErrNone) {
			t.Errorf("who was half-way in with it: %v", err)
		}
		if _, err := w.answer(t, "", k); err != nil {
			t.Errorf("the new key: %v", err)
		}
	})
	t.Run("is refused when wrong, counted, and held", func(t *testing.T) {
		t.Parallel()
		w, _, code, step := lose(t)
		var held *signin.Held
		var err error
		for range 6 {
			if _, err = w.RecoveryCode(ctx, w.origin, step.Cookie, text("00000-00000-00000-00000-00000-0")); errors.As(err, &held) {
				break
			}
			if !errors.Is(err, signin.ErrRefused) {
				t.Fatalf("a wrong code: %v", err)
			}
		}
		if held == nil {
			t.Fatal("guessing is not slowed down")
		}
		if _, err := w.RecoveryCode(ctx, w.origin, step.Cookie, text(code)); !errors.As(err, &held) {
			t.Errorf("the right code while held: %v", err)
		}
	})
	t.Run("needs the password before it", func(t *testing.T) {
		t.Parallel()
		w, _, code, _ := lose(t)
		for _, cookie := range []string{"", w.opening(t)} {
			if _, err := w.RecoveryCode(ctx, w.origin, cookie, text(code)); !errors.Is(err, signin.ErrNone) {
				t.Errorf("without a sign-in: %v", err)
			}
		}
	})
	t.Run("is refused for who has come to approve meanwhile", func(t *testing.T) {
		t.Parallel()
		w, p, code, step := lose(t)
		for i := range w.policy.Posts {
			if w.policy.Posts[i].ID == policy.CIO {
				w.policy.Posts[i].Group = "cn=managers,ou=groups,dc=pref,dc=example"
			}
		}
		w.join(t, "managers", p)
		if _, err := w.RecoveryCode(ctx, w.origin, step.Cookie, text(code)); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("the code of a CIO: %v", err)
		}
	})
}

// opening is the cookie of somebody who has been asked for a passkey and has
// proved nothing.
func (w *world) opening(t *testing.T) string {
	t.Helper()
	ask, err := w.BeginPasskey(ctx, w.origin, "", "")
	must(t, err)
	return ask.Cookie
}

// TestAskingProvesNothing: the cookie that a question comes with opens no step.
func TestAskingProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	cookie := w.opening(t)
	if step, err := w.Current(ctx, w.origin, cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("Current = %+v, %v", step, err)
	}
	for name, err := range map[string]error{
		"TOTP":        second(w.TOTP(ctx, w.origin, cookie, "123456")),
		"NewPassword": second(w.NewPassword(ctx, w.origin, cookie, text(next))),
		"Acknowledge": second(w.Acknowledge(ctx, w.origin, cookie, "x")),
		"BeginTOTP":   second(w.account.BeginTOTP(ctx, w.origin, cookie)),
		"a passkey":   second(w.account.BeginPasskey(ctx, w.origin, cookie)),
	} {
		if !errors.Is(err, signin.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestRenameFactor changes a name and nothing else, and of one's own alone.
func TestRenameFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "tanaka")
	w.person(t, "suzuki")
	w.key(t, "tanaka")
	k := w.key(t, "suzuki")
	in, err := w.answer(t, "", k)
	must(t, err)
	mine, err := w.account.Factors(ctx, w.origin, in.Cookie)
	must(t, err)
	if len(mine) != 1 || mine[0].Kind != "passkey" || mine[0].Synced {
		t.Fatalf("suzuki's factors: %+v", mine)
	}
	must(t, w.account.RenameFactor(ctx, w.origin, in.Cookie, mine[0].ID, "庁舎の鍵"))
	if mine, err = w.account.Factors(ctx, w.origin, in.Cookie); err != nil || mine[0].Name != "庁舎の鍵" {
		t.Errorf("after renaming: %+v, %v", mine, err)
	}
	if err := w.account.RenameFactor(ctx, w.origin, in.Cookie, "somebody-elses", "x"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("another's: %v", err)
	}
	if err := w.account.RenameFactor(ctx, w.origin, in.Cookie, mine[0].ID, "a\nb"); !errors.Is(err, passkey.ErrName) {
		t.Errorf("a name with a line break: %v", err)
	}
}
