package signin

import (
	"context"
	"errors"

	"sekisho/authn/session"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// SignOut ends the session, or gives up the sign-in under way.
func (s *Service) SignOut(ctx context.Context, o Origin, cookie string) error {
	if session.KindOf(cookie) == session.KindFlow {
		taken, err := s.take(ctx, cookie)
		if err == nil && !taken {
			err = ErrNone
		}
		return err
	}
	n, err := s.Sessions.Former(ctx, cookie)
	if errors.Is(err, session.ErrNone) {
		// Whoever never heard that they got another handle, and goes away, leaves no
		// session behind that nobody holds.
		n, err = s.Sessions.Unheard(ctx, cookie)
	}
	if err != nil {
		return away(err)
	}
	return s.EndSession(ctx, o, n, n.ID, "signed out")
}

// EndSession ends one session on behalf of the person of by.
func (s *Service) EndSession(ctx context.Context, o Origin, by session.Session, id, why string) error {
	err := s.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.Sessions.End(ctx, tx, id, why); err != nil {
			return err
		}
		if s.Left != nil && by.ID == id {
			if err := s.Left(ctx, tx, by); err != nil {
				return err
			}
		}
		return s.Trail.Append(ctx, tx, audit.Entry{
			Actor: by.Login, Action: "session.ended", Object: id, Outcome: "ok", Reason: why,
			Articles: []policy.Article{"63-7"}, From: o.Source.String(), Zone: string(o.Zone), RequestID: o.RequestID,
		})
	})
	if errors.Is(err, store.ErrUntouched) { // ended meanwhile: that is what was asked for
		err = nil
	}
	if err != nil {
		return err
	}
	return s.Sessions.Poll(ctx)
}
