package ldap

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// TestWatch: every operation is told by its kind, with how it ended, and a full
// pool is seen from outside.
func TestWatch(t *testing.T) {
	var told []string
	d, err := Open(t.Context(), Config{
		Servers: []string{"ldap://127.0.0.1:1"}, BindDN: "cn=x", BindPassword: secret.NewText([]byte("x")),
		BaseDN: "dc=pref,dc=example", PoolSize: 2, OpTimeout: time.Second,
		Watch: func(_ context.Context, operation string) func(error) {
			return func(err error) {
				if errors.Is(err, directory.ErrAway) {
					operation += " away"
				}
				told = append(told, operation)
			}
		},
	}, clock.System())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	tanaka := directory.Person{ID: "tanaka", DN: "uid=tanaka,ou=people,dc=pref,dc=example"}
	pw := secret.NewText([]byte("a password"))
	_ = d.Ping(t.Context())
	_, _ = d.Authenticate(t.Context(), tanaka, pw)
	_ = d.ChangePassword(t.Context(), tanaka, pw, pw)
	_ = d.write(t.Context(), func(*link) error { return nil })
	_ = d.Stream(t.Context(), func(directory.Person) error { return nil })
	if want := []string{"search away", "bind away", "password_change away", "write away", "stream away"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}

	p := testPool(t, clock.System(), func(*link) error { return nil })
	err = p.do(t.Context(), false, func(context.Context, *link) error {
		if got, want := p.use("service"), (PoolUse{Name: "service", Most: 3, Busy: 1}); got != want {
			t.Errorf("at work: %+v, want %+v", got, want)
		}
		return nil
	})
	if got, want := p.use("service"), (PoolUse{Name: "service", Most: 3, Idle: 1}); err != nil || got != want {
		t.Errorf("afterwards: %+v, %v, want %+v", got, err, want)
	}
}
