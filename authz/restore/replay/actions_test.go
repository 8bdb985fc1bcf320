package replay

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"sekisho/policy/audit/audittest"
)

// grown are the actions whose end is a state, where not all that begin alike come to the
// same.
var grown = map[string][]string{
	"permit.": {"approved", "denied", "cancelled", "lapsed", "expired", "revoked", "ended"},
	"shared.": {"checked_in", "expired", "revoked"},
}

// TestEveryActionIsDecided: for whatever the house enters on the trail there is a word
// what becomes of it when a restore has lost it, so that nothing new that takes something
// away is overlooked.
func TestEveryActionIsDecided(t *testing.T) {
	t.Parallel()
	undone := slices.Collect(maps.Keys(undoes))
	decided := func(action string) bool {
		return takes[action] != nil || among(slices.Concat(ended, past, hand), action)
	}
	for _, action := range undone {
		if !decided(action) {
			t.Errorf("%s undoes something, and nobody knows what becomes of it", action)
		}
	}
	for _, one := range hand {
		if takes[one] != nil || among(ended, one) || among(past, one) {
			t.Errorf("%s is for a person, and for none", one)
		}
	}
	found := audittest.Actions(t, "../../..")
	for _, known := range []string{"person.suspended", "leave.recorded", "shared.checked_out", "permit.", "token.unassigned", "lockdown.ordered", "key.distrusted", "report.read", "import.viewed", "import.done", "person.left"} {
		if found[known] == "" {
			t.Errorf("the source is not read well: %s is not found", known)
		}
	}
	for action := range takes {
		whole := found[action] != ""
		for begins, ends := range grown {
			whole = whole || found[begins] != "" && slices.Contains(ends, strings.TrimPrefix(action, begins))
		}
		if !whole {
			t.Errorf("nothing enters %s any more", action)
		}
	}
	for _, action := range slices.Sorted(maps.Keys(found)) {
		all := []string{action}
		if ends := grown[action]; ends != nil {
			all = nil
			for _, end := range ends {
				all = append(all, action+end)
			}
		}
		for _, one := range all {
			if !decided(one) {
				t.Errorf("what becomes of %s (%s) that a restore has lost? Put it into takes, ended, past or hand", one, found[action])
			}
		}
	}
}
