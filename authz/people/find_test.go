package people_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
)

func TestStateOf(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var (
		open     = directory.Account{}
		disabled = directory.Account{Disabled: true}
		expired  = directory.Account{ExpiresAt: now}
	)
	for _, tt := range []struct {
		name    string
		closed  []standing.Kind
		account directory.Account
		want    string
	}{
		{"nothing stands against them", nil, open, people.Active},
		{"ends later", nil, directory.Account{ExpiresAt: now.Add(1)}, people.Active},
		{"a locked password closes no person", nil, directory.Account{PasswordLocked: true}, people.Active},
		{"disabled", nil, disabled, people.Disabled},
		{"ended this instant", nil, expired, people.Expired},
		{"suspended", []standing.Kind{standing.Suspended}, open, people.Suspended},
		{"dormant", []standing.Kind{standing.Dormant}, open, people.Dormant},
		{"on leave", []standing.Kind{standing.OnLeave}, open, people.OnLeave},
		{"suspended while on leave", []standing.Kind{standing.Dormant, standing.OnLeave, standing.Suspended}, disabled, people.Suspended},
		{"dormant and disabled", []standing.Kind{standing.Dormant}, disabled, people.Dormant},
		{"a reason of the future", []standing.Kind{"seconded"}, open, "seconded"},
	} {
		if got := people.StateOf(tt.closed, tt.account, now); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.person(t, "yamada1", func(n *directory.NewPerson) { n.Name = "山田 一" })
	w.person(t, "yamada2", func(n *directory.NewPerson) {
		n.Name, n.Kind, n.ExpiresAt = "山田 二", directory.KindContractor, w.clock.Now()
	})
	w.person(t, "yamada3", func(n *directory.NewPerson) { n.Name, n.Section = "山田 三", "zaisei" })
	w.record(t, "yamada3", standing.OnLeave)
	cookie := w.session(t, "auditor", policy.AAL2)

	list := func(query, after string, limit int) (out []string, next string) {
		t.Helper()
		found, next, err := w.Find(ctx, w.origin, cookie, query, after, limit)
		must(t, err)
		for _, p := range found {
			out = append(out, fmt.Sprint(p.Login, p.Name, p.Section, p.Kind, p.State, p.Posts))
		}
		return out, next
	}
	first, next := list("山田", "", 2)
	second, last := list("山田", next, 2)
	want := []string{
		"yamada1山田 一jinjistaffactive[]", "yamada2山田 二jinjicontractorexpired[]", "yamada3山田 三zaiseistaffon_leave[]",
	}
	if got := slices.Concat(first, second); next != "yamada2" || last != "" || !slices.Equal(got, want) {
		t.Errorf("found %q, %q then %q", got, next, last)
	}
	if got, _ := list("operator@pref", "", 10); len(got) != 1 || !strings.HasSuffix(got[0], "active[system_operator]") {
		t.Errorf("by address: %q", got)
	}
	if got, _ := list("", "", 1000); len(got) != len(w.all) {
		t.Errorf("everybody: %d people of %d", len(got), len(w.all))
	}
	if got, next := list("", "", -1); len(got) != 1 || next != "admin" {
		t.Errorf("at most -1: %q, then %q", got, next)
	}
	var bad *people.Invalid
	if _, _, err := w.Find(ctx, w.origin, cookie, "a\x00", "", 10); !errors.As(err, &bad) || bad.Field != "q" || bad.Says.IsEmpty() {
		t.Errorf("what no name holds: %v", err)
	}
}

// hanging is a directory whose searches do not end until told.
type hanging struct {
	people.Directory
	begun, end chan struct{}
}

func (h hanging) Search(context.Context, string, string, int) ([]directory.Person, string, error) {
	h.begun <- struct{}{}
	<-h.end
	return nil, "", nil
}

func (h hanging) Look(context.Context, directory.Wanted, string, int) (directory.Found, error) {
	h.begun <- struct{}{}
	<-h.end
	return directory.Found{}, nil
}

// TestSearchesAreBounded: whoever looks people up leaves the directory to those
// who sign in.
func TestSearchesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie := w.session(t, "admin", policy.AAL2)
	dir := hanging{w.dir, make(chan struct{}, 10), make(chan struct{})}
	s := people.New(people.House{In: w.in, Account: w.Account, Directory: dir})
	done := make(chan error, 2)
	for range 2 {
		go func() { _, _, err := s.Find(ctx, w.origin, cookie, "", "", 1); done <- err }()
	}
	<-dir.begun
	<-dir.begun
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, _, err := s.Find(short, w.origin, cookie, "", "", 1); err == nil || !errors.Is(err, signin.ErrBusy) && !errors.Is(err, context.DeadlineExceeded) || len(dir.begun) != 0 {
		t.Errorf("a third at once: %v", err)
	}
	close(dir.end)
	for range 2 {
		must(t, <-done)
	}
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, _, err := s.Find(within, w.origin, cookie, "", "", 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device(t, "tanaka")
	w.session(t, "tanaka", policy.AAL2)
	w.session(t, "tanaka", policy.AAL2)
	for range 5 {
		if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text("wrong")); !errors.Is(err, signin.ErrRefused) {
			t.Fatal(err)
		}
	}
	admin := w.session(t, "admin", policy.PHR)
	code, err := w.RecoveryCode(ctx, w.origin, admin, "tanaka")
	must(t, err)
	must(t, w.Suspend(ctx, w.origin, admin, "tanaka", "調査", w.clock.Now().Add(time.Hour)))
	w.session(t, "tanaka", policy.AAL2) // as if an hour had passed

	d, err := w.Show(ctx, w.origin, w.session(t, "operator", policy.AAL2), "ＴＡＮＡＫＡ")
	must(t, err)
	if d.Person.ID != w.all["tanaka"].ID || d.State != people.Suspended || d.Sessions != 1 || len(d.Posts) != 0 {
		t.Errorf("%+v", d)
	}
	if len(d.Closed) != 1 || d.Closed[0].Reason != "調査" || d.Closed[0].By != "admin" || !d.Closed[0].Until.Equal(w.clock.Now().Add(time.Hour)) {
		t.Errorf("closed: %+v", d.Closed)
	}
	if len(d.Factors) != 1 || d.Factors[0].Kind != "totp" || d.Factors[0].Name != "電話" || !d.Recovery.Equal(code.EndsAt) {
		t.Errorf("factors: %+v, recovery until %v", d.Factors, d.Recovery)
	}
	held := w.clock.Now().Add(w.policy.Lockout.Delays[0])
	if want := []people.Attempt{{"password", 5, held, false}, {"code", 0, time.Time{}, false}}; !slices.Equal(d.Attempts, want) {
		t.Errorf("attempts: %+v, want %+v", d.Attempts, want)
	}
	for _, tt := range []struct {
		reader, on string
		act        authz.Act
		want       authz.Reason
	}{
		{"operator", "tanaka", authz.TemporaryPassword, authz.Allowed},
		{"operator", "admin", authz.TemporaryPassword, authz.TwoPersons},
		{"operator", "operator", authz.Suspend, authz.OwnAccount},
		{"officer", "tanaka", authz.Suspend, authz.Allowed},
		{"officer", "tanaka", authz.Unlock, authz.NoPost},
		{"auditor", "tanaka", authz.Unlock, authz.ReadsOnly},
		{"auditor", "tanaka", authz.ViewPeople, authz.Allowed},
	} {
		d, err := w.Show(ctx, w.origin, w.session(t, tt.reader, policy.AAL2), tt.on)
		must(t, err)
		if got := d.May[tt.act]; got.Reason != tt.want || len(d.May) != len(authz.Acts()) {
			t.Errorf("%s of %s by %s: %q, want %q", tt.act, tt.on, tt.reader, got.Reason, tt.want)
		}
	}
	for _, name := range []string{"nobody", "", "tanaka@pref.example", w.all["tanaka"].DN, "*"} {
		if _, err := w.Show(ctx, w.origin, admin, name); !errors.Is(err, people.ErrNotFound) {
			t.Errorf("Show(%q): %v", name, err)
		}
	}
	if _, err := w.Show(ctx, w.origin, w.session(t, "suzuki", policy.PHR), "nobody"); !denied(authz.NoPost)(err) || errors.Is(err, session.ErrNone) {
		t.Errorf("without a post: %v", err)
	}
}

// TestSpentShows: a password that opens nothing any more says so.
func TestSpentShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Lockout.HardLimit, w.policy.Lockout.KnownBrowserShare, w.policy.Lockout.FreeFailures = 3, 1, 10
	for range 2 {
		if _, err := w.in.Password(ctx, w.origin, "", "tanaka", text("wrong")); !errors.Is(err, signin.ErrRefused) {
			t.Fatal(err)
		}
	}
	d, err := w.Show(ctx, w.origin, w.session(t, "admin", policy.AAL2), "tanaka")
	must(t, err)
	if a := d.Attempts[0]; a.Failures != 2 || !a.Spent {
		t.Errorf("with one try left for browsers that are known: %+v", a)
	}
}
