package people

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy/store"
)

// What a restore has undone is taken away again by these, in the caller's transaction:
// each is its act without the person who does it. That somebody might do it was decided
// when it was done; whoever calls has the signed entry that says so, and writes the next.

// SuspendAgain closes every door to a person. by is whoever did it first. ErrState: they
// are suspended for as long already, which is not made shorter.
func (s *Service) SuspendAgain(ctx context.Context, tx *store.Tx, o signin.Origin, on directory.Person, by, reason string, until time.Time) error {
	closed, err := standing.Records(ctx, tx, on.ID, s.In.Now())
	if err != nil {
		return err
	}
	for _, r := range closed {
		if r.Kind == standing.Suspended && (r.Until.IsZero() || !until.IsZero() && !r.Until.Before(until)) {
			return ErrState
		}
	}
	if err := s.shut(ctx, tx, on, by, reason, until); err != nil {
		return err
	}
	return s.In.Tell(ctx, tx, o, on.ID, notice.Suspended, map[string]string{"by": by, "reason": reason})
}

// ErrOnLeave means that leave is recorded which is not the one that is lost.
var ErrOnLeave = errors.New("other leave is recorded")

// LeaveAgain records leave, which shuts every door while it lasts. by is whoever did it
// first. ErrState: it is recorded; ErrOnLeave: another is, whose days are not changed.
func (s *Service) LeaveAgain(ctx context.Context, tx *store.Tx, on directory.Person, from, until time.Time, reason, by string) error {
	before, ok, err := standing.Leave(ctx, tx, on.ID, s.In.Now())
	switch {
	case err != nil:
		return err
	case ok && !before.Since.After(from) && (before.Until.IsZero() || !until.IsZero() && !before.Until.Before(until)), s.Dormancy == nil:
		return ErrState
	case ok:
		return ErrOnLeave
	}
	return s.Dormancy.Leave(ctx, tx, lifecycle.Leave{Who: on, From: from, Until: until, Reason: reason, By: by})
}

// RemoveAgain takes a factor away. The error of its room says that it is not there. What
// its owner had bound beside it, when they dropped it by choice, may be lost: who has none
// left proves themselves anew before they bind another, or a password alone would do.
func (s *Service) RemoveAgain(ctx context.Context, tx *store.Tx, o signin.Origin, on directory.Person, f account.Factor) error {
	if err := s.Account.Unbind(ctx, tx, on.ID, f); err != nil {
		return err
	}
	if err := s.In.FactorLost(ctx, tx, on.ID); err != nil {
		return err
	}
	if err := s.In.Sessions.EndAll(ctx, tx, on.ID, on.Login, "", "a factor was removed"); err != nil {
		return err
	}
	return s.In.Tell(ctx, tx, o, on.ID, notice.FactorRemoved, map[string]string{"factor": f.Kind, "name": f.Name})
}

// LoseTokenAgain ends a hardware token for good: ErrNotFound, or ErrState where that was
// done.
func (s *Service) LoseTokenAgain(ctx context.Context, tx *store.Tx, o signin.Origin, serial string) error {
	t, err := s.token(ctx, tx, serial)
	if err != nil {
		return err
	}
	return known(s.tokenGone(ctx, tx, o, t, "a token was lost", s.Stock.Lose))
}

// UnassignAgain takes a hardware token back from the one who had it: ErrNotFound, or
// ErrState where they have it no more.
func (s *Service) UnassignAgain(ctx context.Context, tx *store.Tx, o signin.Origin, serial string, from directory.PersonID) error {
	t, err := s.token(ctx, tx, serial)
	if err != nil {
		return err
	}
	if t.State != totp.StateAssigned || t.Person != from {
		return ErrState
	}
	return known(s.tokenGone(ctx, tx, o, t, "a token was taken back", s.Stock.Unassign))
}

// LoseTerminalAgain records that a terminal is lost. The error of its room says that it
// is not known, or was lost already. detail is filled as the trail tells it.
func (s *Service) LoseTerminalAgain(ctx context.Context, tx *store.Tx, id, by string, detail map[string]string) error {
	return s.terminalGone(ctx, tx, authz.LoseTerminal, id, by, "the terminal was lost", detail, func(tx *store.Tx, by string) error {
		return s.In.Terminals.Lose(ctx, tx, id, by)
	})
}

// RemoveTerminalAgain takes a terminal off the register.
func (s *Service) RemoveTerminalAgain(ctx context.Context, tx *store.Tx, id, by string, detail map[string]string) error {
	return s.terminalGone(ctx, tx, authz.RemoveTerminal, id, by, "the terminal was removed", detail, func(tx *store.Tx, _ string) error {
		return s.In.Terminals.Remove(ctx, tx, id)
	})
}
