package lockdown

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/signin"
	"sekisho/policy/store"
)

// Lift ends a lock-down. What it ended stays ended.
func (s *Service) Lift(ctx context.Context, o signin.Origin, cookie, id, why string) error {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return err
	}
	if _, refused := MayOrder(s.In.Policy(), a.posts, s.In.Now()); refused != nil {
		return s.refuse(ctx, o, a, "lockdown.lifted", refused)
	}
	if err := s.proved(a); err != nil {
		return err
	}
	if refused := reason("reason", Order{Reason: why}.tidy().Reason); refused != nil {
		return refused
	}
	l, err := s.byID(ctx, s.In.DB, id)
	if err != nil {
		return err
	}
	if refused := MayLift(s.In.Policy(), a.posts, l, s.In.Now()); refused != nil {
		return s.refuse(ctx, o, a, "lockdown.lifted", refused)
	}
	tell := s.concerned(ctx)
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.In.Sessions.StillOpen(ctx, tx, a.ID); err != nil {
			return err
		}
		if l, err = s.byID(ctx, tx, id); err != nil { // ratified meanwhile, perhaps
			return err
		}
		if refused := MayLift(s.In.Policy(), a.posts, l, s.In.Now()); refused != nil {
			return refused
		}
		if err := lift(ctx, tx, id, a.Login, why, false, s.In.Now()); err != nil {
			return err
		}
		err := s.tell(ctx, tx, o, tell, notice.LockDownLifted, map[string]string{"by": a.Name, "scope": string(l.Scope), "target": l.Target, "reason": why})
		if err != nil {
			return err
		}
		return s.In.Trail.Append(ctx, tx, s.entry(o, a, "lockdown.lifted", id, why, nil))
	})
	if err != nil {
		return err
	}
	s.noted(ctx)
	return nil
}

func lift(ctx context.Context, tx *store.Tx, id, by, why string, sealed bool, now time.Time) error {
	mark := 0
	if sealed {
		mark = 1
	}
	err := tx.ExecOne(ctx, `
		UPDATE lockdown SET lifted_at = $1, lifted_by = $2, lift_reason = $3, envelope = $4, version = version + 1
		WHERE  id = $5 AND lifted_at = 0`, store.Micros(now), by, why, mark, id)
	if errors.Is(err, store.ErrUntouched) {
		return ErrNotFound
	}
	return err
}
