package signin_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

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
