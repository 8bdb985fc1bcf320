package signin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// dying is the digest of a temporary or expired password that has just opened
// its own change, to be remembered as a former one: it came into the directory
// without us, and would otherwise pass for a new one. nil: it is remembered
// already.
func (s *Service) dying(ctx context.Context, id directory.PersonID, pw secret.Text) (*password.Digest, error) {
	d, err := s.History.Digest(ctx, id, pw)
	if err != nil {
		return nil, busy(err)
	}
	seen, err := s.History.Seen(ctx, d, password.Kept)
	if err != nil || seen {
		return nil, err
	}
	return &d, nil
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
	// A report that came after this change was begun is of the new password too,
	// for all we know.
	if _, err := tx.Exec(ctx, `
		UPDATE leak_report SET cleared_at = $1
		WHERE  person_id = $2 AND cleared_at = 0
		AND    reported_at <= (SELECT at FROM password_history WHERE id = $3)`,
		store.Micros(s.Now()), string(p.ID), intent); err != nil {
		return fmt.Errorf("closing leak reports: %w", err)
	}
	if err := s.History.Settle(ctx, tx, intent); err != nil {
		return err
	}
	if err := clear(ctx, tx, credential("pw", string(p.ID))); err != nil {
		return err
	}
	return s.Sessions.EndAll(ctx, tx, p.ID, p.Login, exceptSession, "password changed")
}

// dropPassword forgets an intended change that the directory definitely
// refused. One whose answer was lost stays, for Recover.
func (s *Service) dropPassword(ctx context.Context, intent string, cause error) error {
	var refused *directory.Refused
	if !errors.As(cause, &refused) {
		return nil
	}
	return s.DB.WithTx(ctx, func(tx *store.Tx) error { return s.History.Drop(ctx, tx, intent) })
}

// DropPassword is dropPassword for those who change a password elsewhere; it
// returns the cause, which is what matters to the person.
func (s *Service) DropPassword(ctx context.Context, intent string, cause error) error {
	return errors.Join(away(cause), s.dropPassword(context.WithoutCancel(ctx), intent, cause))
}

// abandoned is how old an intended change is before it is taken to have been
// left behind by a process that died.
const abandoned = time.Minute

// Recover settles the changes that a process left behind when it died between
// telling the directory and recording it. The directory knows when it last took
// a password: if that was after the intention, the change counts and the
// person's sessions end, as they would have.
func (s *Service) Recover(ctx context.Context) error {
	left, err := s.History.Unsettled(ctx)
	if err != nil {
		return err
	}
	for _, u := range left {
		if s.Now().Sub(u.At) < abandoned {
			continue
		}
		facts, err := s.Watch.Of(ctx, u.Person)
		if err != nil {
			return fmt.Errorf("settling an interrupted password change: %w", err)
		}
		// The directory writes whole seconds.
		took := !facts.Person.Account.PasswordChangedAt.Before(u.At.Truncate(time.Second))
		err = s.DB.WithTx(ctx, func(tx *store.Tx) error {
			e := audit.Entry{
				Actor: "system", Action: "password.changed", Object: string(u.Person), Outcome: "ok",
				Reason: "interrupted", Articles: articles("password.changed"),
			}
			if !took {
				e.Outcome = "failed"
				if err := s.History.Drop(ctx, tx, u.ID); err != nil {
					return err
				}
				return s.Trail.Append(ctx, tx, e)
			}
			if err := s.SettlePassword(ctx, tx, facts.Person, u.ID, ""); err != nil {
				return err
			}
			return s.Trail.Append(ctx, tx, e)
		})
		if err != nil && !errors.Is(err, password.ErrNoIntent) { // another gateway was first
			return fmt.Errorf("settling an interrupted password change: %w", err)
		}
	}
	return nil
}

// Run settles what was interrupted and removes counts that hold nothing back,
// once a minute until ctx ends. No decision waits for it.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		for _, task := range []func(context.Context) error{s.Recover, s.Tidy} {
			if err := task(ctx); err != nil && ctx.Err() == nil {
				slog.Error("tidying sign-ins", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
