package people_test

import (
	"errors"
	"testing"

	"sekisho/policy"
	"sekisho/policy/audit"
)

// TestNoRoomForTheTrail: where the trail may not hold what follows, nobody is given
// anything, and what takes away is done all the same.
func TestNoRoomForTheTrail(t *testing.T) {
	t.Parallel()
	for _, d := range onPeople {
		t.Run(string(d.act), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.ready(t, "tanaka", d.act)
			w.in.Trail.Guard(func() error { return audit.ErrNoRoom })
			err := d.do(w, w.session(t, "admin", policy.PHR), "tanaka")
			if d.act.Gives() {
				if !errors.Is(err, audit.ErrNoRoom) || d.happened(t, w, "tanaka") {
					t.Errorf("given without room for it: %v", err)
				}
				return
			}
			if err != nil || !d.happened(t, w, "tanaka") {
				t.Errorf("not taken away: %v", err)
			}
		})
	}
}
