package signin_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// TestBegunElsewhere: a sign-in goes on where it began, whatever its step.
func TestBegunElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	seed := w.device(t, p)
	step, err := w.Password(ctx, w.origin, "", "tanaka", text(pw))
	must(t, err)
	for name, move := range map[string]func(*signin.Origin){
		"outside":         func(o *signin.Origin) { o.Outside = true },
		"of another zone": func(o *signin.Origin) { o.Zone = policy.Internet },
		"of no zone":      func(o *signin.Origin) { o.Zone, o.Outside = "", true },
	} {
		o := w.origin
		o.Source = netip.MustParseAddr("203.0.113.7")
		move(&o)
		if _, err := w.TOTP(ctx, o, step.Cookie, w.code(t, seed)); !errors.Is(err, signin.ErrNone) {
			t.Errorf("%s: %v, want ErrNone", name, err)
		}
		if _, err := w.Current(ctx, o, step.Cookie); !errors.Is(err, signin.ErrNone) {
			t.Errorf("%s it is shown: %v", name, err)
		}
	}
	if step, err = w.TOTP(ctx, w.origin, step.Cookie, w.code(t, seed)); err != nil || step.State != "signed_in" {
		t.Errorf("where it began: %q, %v", step.State, err)
	}
}

// TestNothingIsWrittenForWhoHasNoPassage: a permit that ends while somebody chooses a
// password, or enrols a factor, leaves both as they were.
func TestNothingIsWrittenForWhoHasNoPassage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over := false
	w.Enters = func(context.Context, store.Reader, signin.Entrant) (signin.Passage, error) {
		if over {
			return signin.Passage{}, &signin.NoPassage{Reason: "no_remote"}
		}
		return signin.Passage{Permits: []string{"m"}, Until: w.clock.Now().Add(3600e9)}, nil
	}
	o := w.origin
	o.Outside = true
	p := w.person(t, "suzuki")
	must(t, w.dir.ResetPassword(ctx, p, text("kari-no-aikotoba-31"), true))
	step, err := w.Password(ctx, o, "", "suzuki", text("kari-no-aikotoba-31"))
	must(t, err)
	refused := func(what string, err error) {
		t.Helper()
		if !errors.As(err, new(*signin.NoPassage)) {
			t.Errorf("%s: %v, want no passage", what, err)
		}
	}
	over = true
	_, err = w.NewPassword(ctx, o, step.Cookie, text(next))
	refused("a new password", err)
	if said, err := w.dir.Authenticate(ctx, p, text(next)); err != nil || said == directory.OutcomeRight {
		t.Errorf("the directory has the new password: %v, %v", said, err)
	}
	over = false
	if step, err = w.NewPassword(ctx, o, step.Cookie, text(next)); err != nil || step.State != "enrol" {
		t.Fatalf("with a permit: %q, %v", step.State, err)
	}
	enrolment, err := w.account.BeginTOTP(ctx, o, step.Cookie)
	must(t, err)
	seed, err := parseSecret(enrolment.Secret)
	must(t, err)
	over = true
	_, err = w.account.FinishTOTP(ctx, o, step.Cookie, enrolment.ID, w.code(t, seed), "電話")
	refused("a factor", err)
	if has, err := w.codes.List(ctx, p.ID); err != nil || len(has) != 0 {
		t.Errorf("it was bound: %v, %v", has, err)
	}
	if n := w.actions(t, "factor.added"); n != 0 {
		t.Errorf("%d factors on the trail", n)
	}
}

// TestAnewFromOutside: where a session of inside opens nothing, its browser may sign in
// anew. Asking, a wrong password and a refusal leave that session as it is; the sign-in
// that is complete ends it, and nothing that hung on it goes along.
func TestAnewFromOutside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "tanaka")
	seed := w.device(t, p)
	permitted, over := false, false // over: the session of inside has ended
	w.Enters = func(_ context.Context, _ store.Reader, e signin.Entrant) (signin.Passage, error) {
		if e.Outside && !permitted {
			return signin.Passage{}, &signin.NoPassage{Reason: "no_remote"}
		}
		return signin.Passage{Permits: []string{"m"}, Until: w.clock.Now().Add(time.Hour)}, nil
	}
	went := 0
	w.Succeeded = func(context.Context, *store.Tx, string, session.Session) error { went++; return nil }
	var inside signin.Step
	lives := func(when string) {
		t.Helper()
		if over {
			return
		}
		if step, err := w.Current(ctx, w.origin, inside.Cookie); err != nil || step.State != authn.SignedIn {
			t.Fatalf("%s the session of inside is %q, %v", when, step.State, err)
		}
	}
	signIn := func(o signin.Origin, cookie string) (signin.Step, error) {
		t.Helper()
		step, err := w.Password(ctx, o, cookie, "tanaka", text(pw))
		must(t, err)
		w.clock.Advance(30 * time.Second)
		if step, err = w.TOTP(ctx, o, step.Cookie, w.code(t, seed)); err != nil || step.State != authn.TerminalCheck {
			return step, err
		}
		lives("before the terminal is confirmed,")
		return w.ConfirmTerminal(ctx, o, step.Cookie)
	}
	var err error
	inside, err = signIn(w.origin, "")
	must(t, err)
	out := w.origin
	out.Outside, out.Source = true, netip.MustParseAddr("203.0.113.7")
	for name, want := range map[string]func(error) bool{
		"without a permit": func(err error) bool { return errors.As(err, new(*signin.NoPassage)) },
		"with one":         func(err error) bool { return errors.Is(err, signin.ErrNone) },
	} {
		permitted = name == "with one"
		step, err := w.Current(ctx, out, inside.Cookie)
		if !want(err) || step.State != "" || step.Session != nil || !w.Sessions.CheckCSRF(inside.Cookie, step.CSRF) {
			t.Errorf("%s: %+v, %v", name, step, err)
		}
		c, err := w.BeginPasskey(ctx, out, inside.Cookie, "")
		if err != nil || c.Cookie != "" || !w.Sessions.CheckCSRF(inside.Cookie, c.CSRF) {
			t.Errorf("%s, asking for a passkey takes the browser's cookie: %q, %v", name, c.Cookie, err)
		}
		if _, err := w.Password(ctx, out, inside.Cookie, "tanaka", text("wrong wrong wrong")); !errors.Is(err, signin.ErrRefused) {
			t.Errorf("%s, a wrong password: %v", name, err)
		}
		lives(name)
	}
	permitted = false
	if _, err := signIn(out, inside.Cookie); !errors.As(err, new(*signin.NoPassage)) {
		t.Errorf("without a permit: %v", err)
	}
	lives("after a refusal,")
	permitted = true
	w.clock.Advance(time.Minute)
	step, err := signIn(out, inside.Cookie)
	must(t, err)
	if step.State != authn.SignedIn || !step.Session.Outside {
		t.Fatalf("from outside: %q", step.State)
	}
	if _, err := w.Current(ctx, w.origin, inside.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("the session of inside after a complete sign-in outside: %v", err)
	}
	if went != 0 {
		t.Error("what hung on the session of inside went along")
	}
	// In one place it does go along.
	over = true
	if again, err := signIn(out, step.Cookie); err != nil || again.State != authn.SignedIn || went != 1 {
		t.Errorf("again outside: %q, %v, went along %d times", again.State, err, went)
	}
}
