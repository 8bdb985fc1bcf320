package elevate_test

import (
	"errors"
	"testing"
	"time"

	"sekisho/authz/elevate"
)

// TestRenew: the ID of a lease gets a password that opens it until the lease's end, and the
// one before opens nothing; without a lease that goes on, nothing is changed.
func TestRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n, e := w.lend("L1", w.tanaka, 10, named()).Account, w.lend("L2", w.tanaka, 10, ofGroup(dbAdmins), ephemeral()).Account
	p, err := w.dir.Lent(t.Context(), e.Login)
	w.must(err)
	for lease, of := range map[string]struct {
		dn  string
		was *elevate.Account
	}{"L1": {admSwitch, n}, "L2": {p.DN, e}} {
		a, err := w.Renew(t.Context(), lease)
		w.must(err)
		if a.Login != of.was.Login || w.server.Lets(of.dn, of.was.Password) || !w.server.Lets(of.dn, a.Password) {
			t.Errorf("%s of %s: the password before opens it, or the new one does not", a.Login, lease)
		}
		w.undoAll() // what is looked at again stays as it is
		if !w.server.Lets(of.dn, a.Password) {
			t.Errorf("%s: looked at again, it is shut", lease)
		}
		w.clock.Advance(10*time.Minute - time.Second)
		if !w.server.Lets(of.dn, a.Password) {
			t.Errorf("%s: it is shut before its end", lease)
		}
		w.clock.Advance(-10*time.Minute + time.Second)
		of.was.Password = a.Password
	}
	w.inGroup(dbAdmins, w.tanaka.DN)
	w.lend("L3", w.suzuki, 10, ofGroup(dbAdmins))
	w.withdraw("L1")
	for _, lease := range []string{"L1", "L3", "none"} { // given back, no ID with it, no such lease
		if a, err := w.Renew(t.Context(), lease); !errors.Is(err, elevate.ErrTurned) || a != nil {
			t.Errorf("%s: %v, %v", lease, a, err)
		}
	}
	w.clock.Advance(10 * time.Minute)
	if a, err := w.Renew(t.Context(), "L2"); !errors.Is(err, elevate.ErrTurned) || a != nil {
		t.Errorf("after its end: %v, %v", a, err)
	}
	w.undoAll()
	if w.server.Lets(admSwitch, n.Password) || w.server.Lets(p.DN, e.Password) {
		t.Error("they open after their end")
	}
}
