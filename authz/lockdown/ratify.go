package lockdown

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy/store"
)

// Ratify makes what was ordered under delegation the CIO's own.
func (s *Service) Ratify(ctx context.Context, o signin.Origin, cookie, id string) (authz.LockDown, error) {
	a, err := s.actor(ctx, o, cookie)
	if err != nil {
		return authz.LockDown{}, err
	}
	if why := MayRatify(s.In.Policy(), a.posts); why != nil {
		return authz.LockDown{}, s.refuse(ctx, o, a, "lockdown.ratified", why)
	}
	if err := s.proved(a); err != nil {
		return authz.LockDown{}, err
	}
	var l authz.LockDown
	err = s.In.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.In.Sessions.StillOpen(ctx, tx, a.ID); err != nil {
			return err
		}
		if l, err = s.byID(ctx, tx, id); err != nil {
			return err
		}
		now := s.In.Now()
		err = tx.ExecOne(ctx, `
			UPDATE lockdown SET ratified_at = $1, ratified_by = $2, version = version + 1
			WHERE  id = $3 AND lifted_at = 0 AND ratified_at = 0 AND ratify_by > $1 AND ends_at > $1`, store.Micros(now), a.Login, id)
		if errors.Is(err, store.ErrUntouched) {
			return ErrNotFound // the CIO's own, ratified already, or over
		}
		if err != nil {
			return err
		}
		l.RatifiedAt, l.RatifiedBy = now, a.Login
		return s.In.Trail.Append(ctx, tx, s.entry(o, a, "lockdown.ratified", id, "", map[string]string{"until": l.EndsAt.UTC().Format(time.RFC3339)}))
	})
	if err != nil {
		return authz.LockDown{}, err
	}
	s.noted(ctx)
	return l, nil
}
