package grant

import (
	"errors"
	"testing"
	"time"

	"sekisho/authn/account"
)

// TestTheAnswerWasLost: whoever never saw the password of the ID that was lent to them has
// a new one set and is shown that, in the session in which they use it; the first is dead,
// and what was done is on the trail.
func TestTheAnswerWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.approved("sato", "server", 30)
	_, _, err := w.Renew(t.Context(), w.as("sato"), l.ID)
	w.refused(err, WrongState) // it has not begun
	l, lost, err := w.Activate(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	p, err := w.dir.Lent(t.Context(), l.Account)
	w.must(err)
	_, _, err = w.Renew(t.Context(), w.as("ito"), l.ID)
	w.refused(err, NotTheirs)
	old := w.as("sato")
	old.AuthAt = w.clock.Now().Add(-9 * time.Hour)
	var up *account.StepUp
	if _, a, err := w.Renew(t.Context(), old, l.ID); !errors.As(err, &up) || a != nil {
		t.Errorf("by an old sign-in: %v, %v", a, err)
	}
	moved := w.as("sato")
	moved.Posts, moved.Person.Groups = nil, nil
	_, _, err = w.Renew(t.Context(), moved, l.ID)
	w.refused(err, NotEligible) // they have lost the post that the privilege is for
	if !w.server.Lets(p.DN, lost.Password) {
		t.Fatal("what was refused has changed the password")
	}
	_, a, err := w.Renew(t.Context(), w.as("sato"), l.ID)
	w.must(err)
	if a.Login != l.Account || w.server.Lets(p.DN, lost.Password) || !w.server.Lets(p.DN, a.Password) {
		t.Error("the first password opens the ID, or the new one does not")
	}
	if n, m := w.entries(`"lease.password_renewing"`), w.entries(`"lease.account_shown"`); n != 1 || m != 1 {
		t.Errorf("%d entries before and %d after", n, m)
	}
	w.isState(l, Active)
	// In another session of theirs it is not good, so that is not shown its password.
	w.signIn("sato")
	_, _, err = w.Renew(t.Context(), w.as("sato"), l.ID)
	w.refused(err, Elsewhere)
	w.clock.Advance(30 * time.Minute)
	_, _, err = w.Renew(t.Context(), w.as("sato"), l.ID)
	w.refused(err, WrongState)
	// Membership alone has no password.
	g := w.active("ito", "db-admin", 30)
	_, _, err = w.Renew(t.Context(), w.as("ito"), g.ID)
	w.refused(err, NoAccount)
}
