package people_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy"
)

// deaf is a directory that does not say who holds a post while it is told not to.
type deaf struct {
	*ldap.Directory
	away atomic.Bool
}

func (d *deaf) Holders(ctx context.Context, groupDN string) ([]directory.Person, error) {
	if d.away.Load() {
		return nil, directory.ErrAway
	}
	return d.Directory.Holders(ctx, groupDN)
}

// TestRightsSuspended: of a suspension by the CIO the officer, the manager and the
// system administrators who answer for the person are told (article 78-3), once, also
// when the directory was away at that moment.
func TestRightsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Sections = []policy.Section{{ID: "somu"}, {ID: "jinji", Parent: "somu"}, {ID: "zaisei", Parent: "somu"}}
	for i, post := range w.policy.Posts {
		if post.ID == policy.SecurityManager { // whoever operates is a manager here
			w.policy.Posts[i].Group = groupOf(policy.SystemOperator)
		}
	}
	elsewhere := func(n *directory.NewPerson) { n.Section = "zaisei" }
	must(t, w.dir.AddMember(ctx, groupOf(policy.SystemOperator), w.person(t, "takagi", elsewhere).DN))
	dir := &deaf{Directory: w.dir}
	w.Service = people.New(people.House{In: w.in, Account: w.Account, Directory: dir, Stock: w.Stock})
	told := func(want int) {
		t.Helper()
		must(t, w.TellRights(ctx))
		for login, n := range map[string]int{"officer": want, "operator": want, "admin": want, "takagi": 0, "tanaka": 0, "suzuki": 0, "auditor": 0} {
			if got := w.told(t, login, notice.RightsSuspended); got != n {
				t.Errorf("%s was told %d times, want %d", login, got, n)
			}
		}
	}
	// Whoever protects a person, or the systems from them, is not the CIO.
	must(t, w.Suspend(ctx, w.origin, w.session(t, "officer", policy.PHR), "tanaka", "端末の紛失", time.Time{}))
	must(t, w.Suspend(ctx, w.origin, w.session(t, "admin", policy.PHR), "tanaka", "端末の紛失", time.Time{}))
	told(0)
	// The officer stands in for the CIO.
	w.policy.Approval.Deputies = []policy.Deputy{{Login: "officer", Post: policy.CIO, Until: "2026-03-31"}}
	dir.away.Store(true)
	must(t, w.Suspend(ctx, w.origin, w.session(t, "officer", policy.PHR), "tanaka", "指導に従わない", time.Time{}))
	if err := w.TellRights(ctx); !errors.Is(err, directory.ErrAway) {
		t.Errorf("while nobody can say who they are: %v", err)
	}
	if w.told(t, "officer", notice.RightsSuspended) != 0 {
		t.Error("told although not all could be found")
	}
	dir.away.Store(false)
	told(1)
	told(1) // once
	if n := w.entries(t, `"action":"person.rights_told"`, `"78-3"`, `"security_manager":"1"`); n != 1 {
		t.Errorf("%d entries on the trail", n)
	}
	// Where nobody answers for the section, all of the post hear of it.
	must(t, w.Suspend(ctx, w.origin, w.session(t, "officer", policy.PHR), "takagi", "指導に従わない", time.Time{}))
	told(2)
}
