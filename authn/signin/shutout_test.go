package signin_test

import (
	"errors"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/signin"
	"sekisho/directory"
)

// several makes an ID one that several people use, as the directory's administrators do.
func (w *world) several(t *testing.T, p directory.Person) {
	t.Helper()
	conn, err := goldap.DialURL(w.ldapURL)
	must(t, err)
	defer conn.Close()
	must(t, conn.Bind("cn=admin,dc=pref,dc=example", "admin-of-the-test"))
	m := goldap.NewModifyRequest(p.DN, nil)
	m.Replace("employeeType", []string{string(directory.KindShared)})
	must(t, conn.Modify(m))
	w.Watch.Forget(p.ID)
}

// TestNobodysOwn: with an ID that several people use nobody signs in, by password or
// passkey, and nobody goes on (article 46-1). Whoever has its password is told why, is
// not counted as guessing and may be told so as often as they try; whoever has not hears
// what a stranger hears.
func TestNobodysOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.person(t, "madoguchi")
	key := w.key(t, "madoguchi")
	begun, err := w.Password(ctx, w.origin, "", "madoguchi", text(pw))
	must(t, err)
	open, err := w.answer(t, begun.Cookie, key)
	must(t, err)
	halfway, err := w.Password(ctx, w.origin, "", "madoguchi", text(pw))
	must(t, err)
	w.several(t, p)

	var own *signin.NobodysOwn
	for range w.policy.Lockout.FreeFailures + 1 {
		if step, err := w.Password(ctx, w.origin, "", "madoguchi", text(pw)); !errors.As(err, &own) || step.Cookie != "" {
			t.Fatalf("the right password: %+v, %v", step, err)
		}
	}
	if _, err := w.Password(ctx, w.origin, "", "madoguchi", text("no")); !errors.Is(err, signin.ErrRefused) || errors.As(err, &own) {
		t.Errorf("a wrong password: %v", err)
	}
	if step, err := w.answer(t, "", key); !errors.As(err, &own) || step.Cookie != "" {
		t.Errorf("a passkey: %+v, %v", step, err)
	}
	if _, err := w.answer(t, halfway.Cookie, key); err == nil {
		t.Error("a sign-in under way goes on")
	}
	if _, err := w.Sessions.Load(ctx, open.Cookie); !errors.Is(err, signin.ErrNone) {
		t.Errorf("a session goes on: %v", err)
	}
	if got := w.actions(t, "sign_in"); got != 3 { // enrolling the key, open, and one refusal for all within a minute
		t.Errorf("%d entries of sign-ins, want 3", got)
	}
}
