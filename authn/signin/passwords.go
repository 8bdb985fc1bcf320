package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sekisho/authn"
	"sekisho/authn/password"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Acceptable checks a new password against every rule at once: what it is made
// of, what the person used before, and the current one where it is known. A
// *password.Rejected names all that is wrong; otherwise the digest is to be
// remembered with the change.
func (s *Service) Acceptable(ctx context.Context, p directory.Person, enrolled []authn.Method, current, pw secret.Text) (password.Digest, error) {
	pol := s.Policy()
	// A password that will stand alone must be longer (NIST SP 800-63B-4
	// section 3.1.1). It does not if a factor is there or will be asked for.
	single := len(enrolled) == 0
	for _, z := range pol.Zones {
		single = single && !z.SignInACR.AtLeast(policy.AAL2)
	}
	rejected := &password.Rejected{}
	err := password.Check(pol.Password, password.Context{
		Login: p.Login, Name: p.Name, Mail: p.Mail, Section: p.Section,
		Prefecture: pol.Prefecture.Words, Current: current, SingleFactor: single,
	}, pw)
	if err != nil && !errors.As(err, &rejected) {
		return password.Digest{}, err
	}
	digest, err := s.History.Digest(ctx, p.ID, pw)
	if err != nil {
		return password.Digest{}, busy(err)
	}
	seen, err := s.History.Seen(ctx, digest, pol.Password.History)
	if err != nil {
		return password.Digest{}, err
	}
	if seen && !rejected.Has(password.Unchanged) {
		rejected.Failures = append(rejected.Failures, password.WasUsed(pol.Password))
	}
	if len(rejected.Failures) > 0 {
		return password.Digest{}, rejected
	}
	return digest, nil
}

// busy tells that the hasher's queue was full.
func busy(err error) error {
	if errors.Is(err, secret.ErrBusy) {
		return ErrBusy
	}
	return err
}

// IntendPassword records that a password is about to be changed in the
// directory, so that a process that dies on the way leaves something to settle
// (design rule 8). It returns what SettlePassword wants.
func (s *Service) IntendPassword(ctx context.Context, o Origin, p directory.Person, d password.Digest) (intent string, err error) {
	err = s.DB.WithTx(ctx, func(tx *store.Tx) error {
		if intent, err = s.History.Intend(ctx, tx, d); err != nil {
			return err
		}
		return s.Trail.Append(ctx, tx, audit.Entry{
			Actor: p.Login, Action: "password.changing", Object: string(p.ID), Outcome: "ok",
			Articles: articles("password.changed"), From: o.Source.String(), Zone: string(o.Zone), RequestID: o.RequestID,
		})
	})
	return intent, err
}

// SettlePassword completes a change that the directory has confirmed, in the
// caller's transaction: the password is remembered, failures against the old
// one are forgotten, a reported leak is dealt with, and every session of the
// person but one ends.
func (s *Service) SettlePassword(ctx context.Context, tx *store.Tx, p directory.Person, intent, exceptSession string) error {
	if err := s.History.Settle(ctx, tx, intent); err != nil {
		return err
	}
	if err := clear(ctx, tx, credential("pw", string(p.ID))); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		UPDATE leak_report SET cleared_at = $1 WHERE person_id = $2 AND cleared_at = 0`,
		store.Micros(s.Now()), string(p.ID)); err != nil {
		return fmt.Errorf("closing leak reports: %w", err)
	}
	return s.Sessions.EndAll(ctx, tx, p.ID, p.Login, exceptSession, "password changed")
}

// Recover settles the changes that a process left behind when it died between
// telling the directory and recording it. Whether the directory took the new
// password is not known, so the person's sessions end as if it had: that only
// narrows.
func (s *Service) Recover(ctx context.Context) error {
	left, err := s.History.Unsettled(ctx)
	if err != nil {
		return err
	}
	for _, u := range left {
		err := s.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := s.History.Settle(ctx, tx, u.ID); err != nil {
				return err
			}
			if err := s.Sessions.EndAll(ctx, tx, u.Person, string(u.Person), "", "password change was interrupted"); err != nil {
				return err
			}
			return s.Trail.Append(ctx, tx, audit.Entry{
				Actor: "system", Action: "password.settled", Object: string(u.Person), Outcome: "ok",
				Reason: "interrupted", Articles: articles("password.changed"),
			})
		})
		if err != nil {
			return fmt.Errorf("settling an interrupted password change: %w", err)
		}
		slog.Warn("a password change was interrupted; the person's sessions were ended", "person", u.Person)
	}
	return nil
}
