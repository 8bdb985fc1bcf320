package main

import (
	"slices"
	"testing"

	"sekisho/cmd/sekisho/sample"
	"sekisho/policy/secret"
)

// TestNobodyHoldsWithoutALease: who keeps the sample's lent groups from being empty is
// no member to the gate, which would report that nobody lent them the privilege.
func TestNobodyHoldsWithoutALease(t *testing.T) {
	t.Parallel()
	placeholder, groups := devDirectory("", secret.Text{}).PlaceholderMember, 0
	err := sample.Lendable(func(dn string, attributes map[string][]string) error {
		if members, ok := attributes["member"]; ok {
			if groups++; !slices.Equal(members, []string{placeholder}) {
				t.Errorf("%s begins with %q", dn, members)
			}
		}
		return nil
	})
	if err != nil || groups == 0 {
		t.Errorf("%d groups, %v", groups, err)
	}
}
