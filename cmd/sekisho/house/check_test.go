package house_test

import (
	"testing"

	"sekisho/cmd/sekisho/house"
	"sekisho/directory"
	"sekisho/policy"
)

// TestCompareLockout: a stranger at our door must not be able to lock a person
// out of everything else that uses the directory.
func TestCompareLockout(t *testing.T) {
	ours := policy.LockoutRules{HardLimit: 50}
	for _, tt := range []struct {
		name   string
		theirs directory.LockoutPolicy
		sound  bool
	}{
		{"above ours", directory.LockoutPolicy{Enabled: true, MaxFailures: 51}, true},
		{"at ours", directory.LockoutPolicy{Enabled: true, MaxFailures: 50}, false},
		{"at the first", directory.LockoutPolicy{Enabled: true, MaxFailures: 1}, false},
		{"below ours", directory.LockoutPolicy{Enabled: true, MaxFailures: 5}, false},
		{"counts and does not lock", directory.LockoutPolicy{MaxFailures: 5}, true},
		{"no limit", directory.LockoutPolicy{Enabled: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := house.CompareLockout("lockoutThreshold", ours, tt.theirs); (err == nil) != tt.sound {
				t.Errorf("CompareLockout = %v, want sound %v", err, tt.sound)
			}
		})
	}
}
