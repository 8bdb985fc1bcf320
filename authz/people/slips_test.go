package people_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
)

// TestTemporaryPasswords: each of several has a password of their own, which leads to
// a new one, and whoever cannot be given one is named with the reason.
func TestTemporaryPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "batch", func(n *directory.NewPerson) { n.Kind = directory.KindService })
	w.person(t, "joiner", func(n *directory.NewPerson) { n.MustChange = true })
	admin := w.session(t, "admin", policy.PHR)
	got, err := w.TemporaryPasswords(ctx, w.origin, admin, []string{"tanaka", " TANAKA", "", "nobody", "joiner", "batch", "officer", "admin"})
	must(t, err)
	var given, passed []string
	seen := map[string]bool{}
	for _, s := range got.Given {
		given, seen[string(s.Secret.Reveal())] = append(given, s.Login), true
		if !s.EndsAt.Equal(w.clock.Now().Add(w.policy.Password.TemporaryEnd)) {
			t.Errorf("%s has it until %v", s.Login, s.EndsAt)
		}
		step, err := w.in.Password(ctx, w.origin, "", s.Login, s.Secret)
		if err != nil || step.State != "password_change" {
			t.Errorf("%s comes to %q, %v", s.Login, step.State, err)
		}
	}
	for _, p := range got.Passed {
		passed = append(passed, p.Login)
	}
	if fmt.Sprint(given) != "[tanaka joiner]" || fmt.Sprint(passed) != "[nobody batch officer admin]" || len(seen) != 2 {
		t.Fatalf("given to %v, not to %v; %d passwords", given, passed, len(seen))
	}
	var denied *people.Denied
	if !errors.Is(got.Passed[0].Err, people.ErrNotFound) || !errors.Is(got.Passed[1].Err, people.ErrUnusable) || !errors.As(got.Passed[2].Err, &denied) || !errors.As(got.Passed[3].Err, &denied) {
		t.Errorf("the reasons are %v", got.Passed)
	}
	if n := w.entries(t, `"action":"password.temporary"`, `"outcome":"ok"`); n != 2 {
		t.Errorf("%d entries on the trail, want one each", n)
	}
	// Unused, it is listed; when its time is over it is void, and another can be given.
	list := func() []people.Line {
		t.Helper()
		l, err := w.List(ctx, w.origin, admin, people.Filter{Unbegun: true, Section: "jinji"}, "", 50)
		must(t, err)
		return l.People
	}
	for _, l := range list() {
		if l.Login == "tanaka" && (!l.Temporary || !l.TemporaryEnds.Equal(got.Given[0].EndsAt)) {
			t.Errorf("tanaka's is listed as %+v", l)
		}
	}
	w.clock.Advance(w.policy.Password.TemporaryEnd)
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", got.Given[0].Secret); !errors.Is(err, signin.ErrRefused) {
		t.Errorf("after its end: %v", err)
	}
	admin = w.session(t, "admin", policy.PHR)
	again, err := w.TemporaryPasswords(ctx, w.origin, admin, []string{"tanaka"})
	must(t, err)
	if _, err := w.in.Password(ctx, w.origin, "", "tanaka", again.Given[0].Secret); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestTemporaryPasswordsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	give := func(cookie string, logins ...string) error {
		_, err := w.TemporaryPasswords(ctx, w.origin, cookie, logins)
		return err
	}
	admin := w.session(t, "admin", policy.PHR)
	var invalid *people.Invalid
	if err := give(admin, " "); !errors.As(err, &invalid) || invalid.Rule != "required" {
		t.Errorf("to nobody: %v", err)
	}
	var many []string
	for i := range people.MostSlips + 1 {
		many = append(many, fmt.Sprint("p", i))
	}
	if err := give(admin, many...); !errors.As(err, &invalid) || invalid.Rule != "too_many" || !strings.Contains(invalid.Says.JA, fmt.Sprint(people.MostSlips)) {
		t.Errorf("to too many: %v", err)
	}
	var denied *people.Denied
	if err := give(w.session(t, "tanaka", policy.PHR), "suzuki"); !errors.As(err, &denied) {
		t.Errorf("by staff: %v", err)
	}
	w.clock.Advance(time.Hour)
	var need *account.StepUp
	if err := give(w.session(t, "admin", policy.AAL2), "suzuki"); !errors.As(err, &need) {
		t.Errorf("with less than it takes: %v", err)
	}
	w.reset.lose = true
	if err := give(w.session(t, "admin", policy.PHR), "suzuki", "tanaka"); !errors.Is(err, directory.ErrAway) {
		t.Errorf("without a directory: %v", err)
	}
	if n := w.entries(t, `"action":"password.temporary"`, `"outcome":"ok"`); n != 0 {
		t.Errorf("%d were given", n)
	}
}
