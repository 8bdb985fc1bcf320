package grant

import (
	"errors"
	"testing"
	"time"

	"sekisho/policy/audit"
)

// TestNoRoomForTheTrail: no trail, no privilege: nothing is lent, in an emergency
// neither, while the trail may not hold what follows; giving back asks nobody.
func TestNoRoomForTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	held := w.active("sato", "db-admin", 10)
	w.Trail.Guard(func() error { return audit.ErrNoRoom })
	if _, err := w.Extend(t.Context(), w.as("sato"), held.ID, time.Minute, "longer"); !errors.Is(err, audit.ErrNoRoom) {
		t.Errorf("extended: %v", err)
	}
	if _, err := w.End(t.Context(), w.as("sato"), held.ID, ""); err != nil {
		t.Errorf("given back: %v", err)
	}
	if _, _, err := w.Emergency(t.Context(), w.as("sato"), w.wish("db-admin", 10)); !errors.Is(err, audit.ErrNoRoom) {
		t.Errorf("in an emergency: %v", err)
	}
	w.Trail.Guard(func() error { return nil })
	asked := w.approved("sato", "db-admin", 10)
	w.Trail.Guard(func() error { return audit.ErrNoRoom })
	if _, _, err := w.Activate(t.Context(), w.as("sato"), asked.ID); !errors.Is(err, audit.ErrNoRoom) || w.lives("sato") {
		t.Errorf("activated: %v", err)
	}
	w.isState(asked, Approved)
}
