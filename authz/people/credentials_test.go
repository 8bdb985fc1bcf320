package people_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// code is what a device shows now.
func (w *world) code(t testing.TB, seed []byte) string {
	t.Helper()
	c, err := totp.Code(seed, totp.StepAt(w.clock.Now()))
	must(t, err)
	return c
}

func TestTemporaryPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := w.device(t, "tanaka")
	open := w.session(t, "tanaka", policy.AAL2)
	given, err := w.TemporaryPassword(ctx, w.origin, w.session(t, "admin", policy.PHR), "tanaka")
	must(t, err)
	if given.Login != "tanaka" || given.Name != "例 tanaka" || given.Section != "jinji" || !given.EndsAt.Equal(w.clock.Now().Add(w.policy.Password.TemporaryEnd)) {
		t.Errorf("slip %+v", given)
	}
	if w.alive(t, open) {
		t.Error("what was open is open")
	}
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the password before: %v", err)
	}
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", given.Secret)
	must(t, err)
	if step.State != "second_factor" {
		t.Errorf("it leads to %s: a reset must not be a way around the other factor", step.State)
	}
	step, err = w.in.TOTP(ctx, w.origin, step.Cookie, w.code(t, seed))
	must(t, err)
	if step.State != "password_change" {
		t.Errorf("then to %s", step.State)
	}
	if _, err := w.in.NewPassword(ctx, w.origin, step.Cookie, given.Secret); err == nil {
		t.Error("it was taken for a new one")
	}
	if w.holdsSecret(t, given.Secret) {
		t.Error("the store holds it")
	}
	if w.told(t, "tanaka", notice.PasswordTemporary) != 1 || w.entries(t, `"actor":"admin"`, `"action":"password.temporary"`, `"46-2(6)"`) != 1 {
		t.Error("the person was not told, or not the trail")
	}
	again, err := w.TemporaryPassword(ctx, w.origin, w.session(t, "operator", policy.PHR), "tanaka")
	must(t, err)
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", given.Secret); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the first of two: %v", err)
	}
	w.clock.Advance(w.policy.Password.TemporaryEnd)
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", again.Secret); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("unused until its end: %v", err)
	}
}

// TestTemporaryPasswordAfterALeak: a reported password is dealt with by a new
// one that is given in person, and a report that comes later is not.
func TestTemporaryPasswordAfterALeak(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Account.ReportLeak(ctx, w.origin, w.session(t, "tanaka", policy.AAL1), "メモを紛失"); err == nil {
		t.Fatal("led on without another factor")
	}
	w.clock.Advance(time.Minute)
	admin := w.session(t, "admin", policy.PHR)
	given, err := w.TemporaryPassword(ctx, w.origin, admin, "tanaka")
	must(t, err)
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", given.Secret)
	if err != nil || step.State != "password_change" {
		t.Fatalf("after the leak: %+v, %v", step, err)
	}
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO leak_report (id, person_id, what, reported_at) VALUES ('later', $1, 'slip lost', $2)`,
			string(w.all["tanaka"].ID), store.Micros(w.clock.Now().Add(time.Second)))
		return err
	}))
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", given.Secret); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("reported after it was given: %v", err)
	}
}

// TestTemporaryPasswordCrash breaks the change between the directory and the
// store in each way there is. The directory's word counts in the end.
func TestTemporaryPasswordCrash(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(t *testing.T, w *world) (mend func()){
		"the directory's answer is lost": func(_ *testing.T, w *world) func() {
			w.reset.lose = true
			return func() { w.reset.lose = false }
		},
		"the store breaks after it": func(t *testing.T, w *world) func() { return w.breakTrail(t, "password.temporary") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			admin, open := w.session(t, "admin", policy.PHR), w.session(t, "tanaka", policy.AAL2)
			mend := crash(t, w)
			given, err := w.TemporaryPassword(ctx, w.origin, admin, "tanaka")
			if err == nil || !given.Secret.IsEmpty() {
				t.Fatalf("slip %+v, %v", given, err)
			}
			mend()
			if w.told(t, "tanaka", notice.PasswordTemporary) != 0 || w.entries(t, `"action":"password.temporary"`) != 0 {
				t.Error("told of what was not settled")
			}
			if w.entries(t, `"actor":"admin"`, `"action":"password.changing"`) != 1 {
				t.Error("the intention is not on the trail")
			}
			w.clock.Advance(2 * time.Minute)
			must(t, w.in.Recover(ctx))
			must(t, w.in.Sessions.Poll(ctx))
			if w.alive(t, open) {
				t.Error("what was open before the directory took the password is open")
			}
			if n := w.count(t, `SELECT COUNT(*) FROM password_history WHERE settled_at = 0`); n != 0 {
				t.Errorf("%d changes are left open", n)
			}
			if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw)); !errors.Is(err, signin.ErrRefused) {
				t.Errorf("the password before: %v", err)
			}
			given, err = w.TemporaryPassword(ctx, w.origin, admin, "tanaka")
			must(t, err)
			if _, err := w.in.Password(ctx, w.origin, "", "tanaka", given.Secret); err != nil {
				t.Errorf("once more: %v", err)
			}
		})
	}
	t.Run("before the directory", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		admin, open := w.session(t, "admin", policy.PHR), w.session(t, "tanaka", policy.AAL2)
		defer w.breakTrail(t, "password.changing")()
		if _, err := w.TemporaryPassword(ctx, w.origin, admin, "tanaka"); err == nil {
			t.Error("changed without its intention on the trail")
		}
		if said, err := w.dir.Authenticate(ctx, w.all["tanaka"], text(pw)); err != nil || said != directory.OutcomeRight || !w.alive(t, open) {
			t.Errorf("something was changed: %v, %v", said, err)
		}
	})
}

// TestTemporaryPasswordForgetsBrowsers: also when the change was interrupted.
func TestTemporaryPasswordForgetsBrowsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if step.DeviceCookie == "" || w.count(t, `SELECT COUNT(*) FROM known_browser WHERE revoked_at = 0`) != 1 {
		t.Fatal("no browser is known")
	}
	w.reset.lose = true
	_, err = w.TemporaryPassword(ctx, w.origin, w.session(t, "admin", policy.PHR), "tanaka")
	if err == nil || w.count(t, `SELECT COUNT(*) FROM known_browser WHERE revoked_at = 0`) != 0 {
		t.Errorf("a browser is still known, %v", err)
	}
}

func TestNoCredentialForTheUnusable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	w.person(t, "ended", func(n *directory.NewPerson) { n.ExpiresAt = w.clock.Now() })
	w.person(t, "program", func(n *directory.NewPerson) { n.Kind = directory.KindService })
	w.person(t, "disabled")
	must(t, w.dir.Disable(ctx, w.all["disabled"]))
	for login, k := range map[string]standing.Kind{"suspended": standing.Suspended, "dormant": standing.Dormant, "leave": standing.OnLeave} {
		w.person(t, login)
		w.record(t, login, k)
	}
	w.person(t, "window", func(n *directory.NewPerson) { n.Kind = directory.KindShared })
	if _, err := w.TemporaryPassword(ctx, w.origin, admin, "window"); !errors.Is(err, people.ErrShared) || !errors.Is(err, people.ErrState) {
		t.Errorf("a temporary password for an ID that several use (article 46-1): %v", err)
	}
	if _, err := w.RecoveryCode(ctx, w.origin, admin, "window"); !errors.Is(err, people.ErrShared) {
		t.Errorf("a recovery code for an ID that several use: %v", err)
	}
	for _, login := range []string{"ended", "program", "disabled", "suspended", "dormant", "leave"} {
		w.device(t, login)
		if _, err := w.TemporaryPassword(ctx, w.origin, admin, login); !errors.Is(err, people.ErrUnusable) || !errors.Is(err, people.ErrState) {
			t.Errorf("a temporary password for %s: %v", login, err)
		}
		if _, err := w.RecoveryCode(ctx, w.origin, admin, login); !errors.Is(err, people.ErrUnusable) {
			t.Errorf("a recovery code for %s: %v", login, err)
		}
		if said, err := w.dir.Authenticate(ctx, w.all[login], text(pw)); err != nil || said == directory.OutcomeWrong {
			t.Errorf("%s's password was changed: %v, %v", login, said, err)
		}
	}
	if _, err := w.RecoveryCode(ctx, w.origin, admin, "tanaka"); !errors.Is(err, people.ErrNoFactor) || !errors.Is(err, people.ErrState) {
		t.Errorf("a recovery code for somebody with nothing to lose: %v", err)
	}
}

func TestRecoveryCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device(t, "tanaka")
	admin, open := w.session(t, "admin", policy.PHR), w.session(t, "tanaka", policy.AAL2)
	first, err := w.RecoveryCode(ctx, w.origin, admin, "tanaka")
	must(t, err)
	given, err := w.RecoveryCode(ctx, w.origin, admin, "tanaka")
	must(t, err)
	if given.Login != "tanaka" || !given.EndsAt.Equal(w.clock.Now().Add(w.policy.Recovery.CodeEnd)) || w.alive(t, open) {
		t.Errorf("slip %+v, session alive %t", given, w.alive(t, open))
	}
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if _, err := w.in.RecoveryCode(ctx, w.origin, step.Cookie, first.Secret); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("the code before it: %v", err)
	}
	if step, err = w.in.RecoveryCode(ctx, w.origin, step.Cookie, given.Secret); err != nil || step.State != "enrol" {
		t.Errorf("the code: %+v, %v", step, err)
	}
	for _, s := range []secret.Text{first.Secret, given.Secret} {
		if w.holdsSecret(t, s) || w.holdsSecret(t, text(strings.ReplaceAll(string(s.Reveal()), "-", ""))) {
			t.Error("the store holds it")
		}
	}
	var by string
	must(t, w.db.QueryRow(ctx, `SELECT detail FROM notice WHERE kind = 'recovery_issued' LIMIT 1`).Scan(&by))
	if !strings.Contains(by, "例 admin") {
		t.Errorf("the person was told %s", by)
	}
}

// TestANewCodeIsUntried: wrong codes were tried against the one before.
func TestANewCodeIsUntried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device(t, "tanaka")
	admin := w.session(t, "admin", policy.PHR)
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO attempt (credential, failures, held_until, updated_at) VALUES ($1, 99, 0, 0)`, "rec:"+string(w.all["tanaka"].ID))
		return err
	}))
	given, err := w.RecoveryCode(ctx, w.origin, admin, "tanaka")
	must(t, err)
	step, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	if _, err := w.in.RecoveryCode(ctx, w.origin, step.Cookie, given.Secret); err != nil {
		t.Errorf("after a code that was spent: %v", err)
	}
}

func TestRemoveFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.session(t, "admin", policy.PHR)
	w.device(t, "tanaka")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cose, err := passkey.COSE(&private.PublicKey)
	must(t, err)
	must(t, w.db.WithTx(ctx, func(tx *store.Tx) error {
		return w.in.Passkeys.Import(ctx, tx, w.all["tanaka"].ID, passkey.Imported{
			CredentialID: secret.Bytes(32), UserHandle: secret.Bytes(64), PublicKey: cose, Name: "鍵",
		})
	}))
	w.device(t, "suzuki")
	others := w.factor(t, "suzuki")
	if err := w.RemoveFactor(ctx, w.origin, admin, "tanaka", others); !errors.Is(err, people.ErrNotFound) {
		t.Errorf("somebody else's factor: %v", err)
	}
	all, err := w.Account.FactorsOf(ctx, w.all["tanaka"].ID)
	must(t, err)
	for _, f := range all {
		open := w.session(t, "tanaka", policy.AAL2)
		must(t, w.RemoveFactor(ctx, w.origin, admin, "tanaka", f.ID))
		if w.alive(t, open) {
			t.Errorf("what was open is open after the %s was removed", f.Kind)
		}
		if err := w.RemoveFactor(ctx, w.origin, admin, "tanaka", f.ID); !errors.Is(err, people.ErrNotFound) {
			t.Errorf("the %s twice: %v", f.Kind, err)
		}
		if w.entries(t, `"action":"factor.removed"`, `"factor":"`+f.ID+`"`, `"kind":"`+f.Kind+`"`, `"name":"`+f.Name+`"`) != 1 {
			t.Errorf("the trail does not name the %s", f.Kind)
		}
	}
	if left, err := w.Account.FactorsOf(ctx, w.all["tanaka"].ID); err != nil || len(all) != 2 || len(left) != 0 {
		t.Errorf("of %d factors %d are left, %v", len(all), len(left), err)
	}
	if w.factor(t, "suzuki") != others {
		t.Error("somebody else's factor is gone")
	}
}

// TestTheLastFactorComesBackInPerson: whoever takes a person's last factor away
// and knows their password does not bind another with it.
func TestTheLastFactorComesBackInPerson(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, w *world, admin string) error{
		"removed": func(t *testing.T, w *world, admin string) error {
			w.device(t, "tanaka")
			return w.RemoveFactor(ctx, w.origin, admin, "tanaka", w.factor(t, "tanaka"))
		},
		"taken back": func(t *testing.T, w *world, admin string) error {
			must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
			return w.UnassignToken(ctx, w.origin, admin, "T1")
		},
		"lost": func(t *testing.T, w *world, admin string) error {
			must(t, w.AssignToken(ctx, w.origin, admin, "T1", "tanaka"))
			return w.LoseToken(ctx, w.origin, admin, "T1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			admin := w.stocked(t, "T1", "T2")
			in := func() signin.Step {
				t.Helper()
				step, err := w.in.Password(ctx, w.origin, "", "tanaka", text(pw))
				must(t, err)
				return step
			}
			must(t, take(t, w, admin))
			if step := in(); step.State != "second_factor" || !slices.Equal(step.Methods, []string{"recovery"}) {
				t.Errorf("the password alone leads to %s with %v", step.State, step.Methods)
			}
			given, err := w.RecoveryCode(ctx, w.origin, admin, "tanaka")
			must(t, err)
			if step, err := w.in.RecoveryCode(ctx, w.origin, in().Cookie, given.Secret); err != nil || step.State != "enrol" {
				t.Errorf("the code leads to %s, %v", step.State, err)
			}
			must(t, w.AssignToken(ctx, w.origin, admin, "T2", "tanaka"))
			if step := in(); step.State != "second_factor" || !slices.Equal(step.Methods, []string{"totp"}) {
				t.Errorf("with a new token: %s with %v", step.State, step.Methods)
			}
		})
	}
}

// TestRemovingAFactorAtOnce: of many who remove one factor, one does.
func TestRemovingAFactorAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device(t, "tanaka")
	id := w.factor(t, "tanaka")
	admin := w.session(t, "admin", policy.PHR)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done int
	)
	for range 8 {
		wg.Go(func() {
			err := w.RemoveFactor(ctx, w.origin, admin, "tanaka", id)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			} else if !errors.Is(err, people.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done != 1 || w.told(t, "tanaka", notice.FactorRemoved) != 1 || w.entries(t, `"action":"factor.removed"`) != 1 {
		t.Errorf("done %d times", done)
	}
}
