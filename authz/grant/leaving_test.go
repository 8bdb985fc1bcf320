package grant

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/embedded/embeddedtest"
	"sekisho/policy"
	"sekisho/policy/store"
)

func TestMayKeep(t *testing.T) {
	const a, b = "cn=a,ou=groups,dc=x", "cn=b,ou=groups,dc=x"
	p := &policy.Policy{Posts: []policy.Post{{ID: policy.SystemOperator}}}
	byGroup := policy.Privilege{ID: "v", Eligible: policy.Eligible{Groups: []string{a, b}}}
	byPost := policy.Privilege{ID: "v", Eligible: policy.Eligible{Posts: []policy.PostID{policy.SystemOperator}}}
	both := policy.Privilege{ID: "v", Eligible: policy.Eligible{Posts: []policy.PostID{policy.SystemOperator}, Groups: []string{a}}}
	named := policy.Privilege{ID: "v", Eligible: policy.Eligible{Groups: []string{a}, Persons: []string{"ito"}}}
	for _, tt := range []struct {
		name    string
		v       policy.Privilege
		groups  []string
		leaving []string
		want    Reason
	}{
		{"its only group goes", byGroup, []string{a}, []string{a}, EligibilityEnds},
		{"as the directory spells it elsewhere", byGroup, []string{a}, []string{"CN=A, OU=groups,DC=x"}, EligibilityEnds},
		{"another group stays", byGroup, []string{a, b}, []string{a}, ""},
		{"both go", byGroup, []string{a, b}, []string{b, a}, EligibilityEnds},
		{"a group of something else goes", byGroup, []string{a, "cn=c,ou=groups,dc=x"}, []string{"cn=c,ou=groups,dc=x"}, ""},
		{"by post", byPost, []string{a}, []string{a}, ""},
		{"by post and group together", both, []string{a}, []string{a}, EligibilityEnds},
		{"by name too", named, []string{a}, []string{a}, ""},
		{"nothing goes", byGroup, []string{a}, nil, ""},
	} {
		who := Borrower{Person: directory.Person{ID: "p", Login: "ito", Groups: tt.groups}, Posts: []policy.PostID{policy.SystemOperator}}
		err := MayKeep(p, tt.v, who, tt.leaving)
		var no *Refusal
		if errors.As(err, &no); tt.want == "" && err != nil || tt.want != "" && (no == nil || no.Reason != tt.want || no.Says.EN == "") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestEligibilityEndsAtOnce: from the decision on nothing is asked for, taken, begun or
// prolonged, though the directory has somebody in the group still.
func TestEligibilityEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn := w.server.Look()
	defer conn.Close()
	join := goldap.NewModifyRequest(trials, nil)
	join.Add("member", []string{embeddedtest.PersonDN("tanaka")})
	w.must(conn.Modify(join))
	for i := range w.policy.Privileges {
		if v := &w.policy.Privileges[i]; v.ID == "claims" || v.ID == "batch" {
			v.Eligible = policy.Eligible{Groups: []string{trials}}
		}
	}
	live, waits := w.active("tanaka", "batch", 15), w.approved("tanaka", "claims", 15)
	w.leaves.Store(w.id("tanaka"), []string{strings.ToUpper(trials)})

	_, _, err := w.Activate(t.Context(), w.as("tanaka"), waits.ID)
	w.refused(err, EligibilityEnds)
	w.isState(waits, Approved)
	_, _, err = w.Emergency(t.Context(), w.as("tanaka"), w.wish("claims", 15))
	w.refused(err, EligibilityEnds)
	_, err = w.Cancel(t.Context(), w.as("tanaka"), waits.ID, "")
	w.must(err)
	_, err = w.Ask(t.Context(), w.as("tanaka"), w.wish("claims", 15))
	w.refused(err, EligibilityEnds)
	_, err = w.Extend(t.Context(), w.as("tanaka"), live.ID, 15*time.Minute, "")
	w.refused(err, EligibilityEnds)
	if n := w.entries("tanaka", "lease.refused", string(EligibilityEnds)); n != 1 { // once a minute
		t.Errorf("%d refusals on the trail", n)
	}
	// What they have ends, though they are in the group still.
	w.must(w.Watch(t.Context()))
	w.isState(live, Revoked)
	if n := w.entries(`"action":"lease.revoked"`, string(EligibilityEnds)); n != 1 {
		t.Errorf("%d leases were taken away on the trail", n)
	}
	// Whom no group makes eligible is asked about nothing: a watch over many leases reads
	// no more for it.
	w.active("sato", "db-admin", 15)
	w.Leaving = func(context.Context, store.Reader, directory.PersonID) ([]string, error) {
		t.Error("asked which groups somebody leaves who borrows by post")
		return nil, nil
	}
	w.must(w.Watch(t.Context()))
	w.Leaving = w.leaving
	w.leaves.Delete(w.id("tanaka"))
	if _, err := w.Ask(t.Context(), w.as("tanaka"), w.wish("claims", 15)); err != nil {
		t.Errorf("who is put into the group anew: %v", err)
	}
}
