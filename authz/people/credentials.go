package people

import (
	"context"
	"errors"
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Slip is a credential as it is handed over in person: a temporary password
// or a recovery code. It is shown once and kept nowhere.
type Slip struct {
	Login, Name, Section string
	Secret               secret.Text
	EndsAt               time.Time
}

func slip(p directory.Person, s secret.Text, ends time.Time) Slip {
	return Slip{Login: p.Login, Name: p.Name, Section: p.Section, Secret: s, EndsAt: ends}
}

// TemporaryPassword replaces a person's password by one that they must change
// when they sign in with it (articles 46-2(6), 64-2). Everything they have open
// ends, no browser of theirs is known any more, and their other factors stay:
// to lose a password is not to lose those (ASVS 6.4.3).
func (s *Service) TemporaryPassword(ctx context.Context, o signin.Origin, cookie, login string) (Slip, error) {
	d, err := s.beginOn(ctx, o, cookie, authz.TemporaryPassword, "", s.called(login))
	if err != nil {
		return Slip{}, err
	}
	if err := s.usable(ctx, d.on); err != nil {
		return Slip{}, err
	}
	e := d.entry(object(d.on), "", nil)
	pw, ends, err := s.In.IssuePassword(ctx, signin.Issue{
		To: d.on, Entry: e,
		Still: func(tx *store.Tx) error { return s.still(ctx, tx, d) },
		// Nobody has seen what was made: the second person's word stands for the next try.
		Undone: func(tx *store.Tx) error {
			if d.approval == "" {
				return nil
			}
			return s.Approvals.Unspend(ctx, tx, d.approval, approval.Credential)
		},
		Done: func(tx *store.Tx) error {
			if err := s.tell(ctx, tx, d, notice.PasswordTemporary, map[string]string{"by": d.by.Name}); err != nil {
				return err
			}
			return s.written(ctx, tx, d, e)
		},
	})
	if err != nil {
		return Slip{}, err
	}
	s.noted(ctx)
	return slip(d.on, pw, ends), nil
}

// RecoveryCode makes the code that opens the way to a new factor for a person
// who has lost theirs. A code before it is dead, and what they have open ends:
// somebody may have found what was lost.
func (s *Service) RecoveryCode(ctx context.Context, o signin.Origin, cookie, login string) (Slip, error) {
	d, err := s.beginOn(ctx, o, cookie, authz.RecoveryCode, "", s.called(login))
	if err != nil {
		return Slip{}, err
	}
	if err := s.usable(ctx, d.on); err != nil {
		return Slip{}, err
	}
	if err := s.recoverable(ctx, d.on.ID); err != nil {
		return Slip{}, err
	}
	var (
		code secret.Text
		ends time.Time
	)
	err = s.commit(ctx, d, d.entry(object(d.on), "", nil), func(tx *store.Tx) error {
		if code, ends, err = s.In.IssueRecovery(ctx, tx, d.on.ID, d.by.Login, d.approval != ""); err != nil {
			return err
		}
		if err := s.end(ctx, tx, d, "a factor was reported as lost"); err != nil {
			return err
		}
		return s.tell(ctx, tx, d, notice.RecoveryIssued, map[string]string{"by": d.by.Name})
	})
	if err != nil {
		return Slip{}, err
	}
	return slip(d.on, code, ends), nil
}

// usable refuses to give a credential to whom it would open nothing: it would
// lie about until they come back. A program's ID is nobody's to sign in with.
func (s *Service) usable(ctx context.Context, p directory.Person) error {
	if p.Kind == directory.KindShared {
		return ErrShared
	}
	facts, err := s.In.Watch.WithPerson(ctx, p, standing.Asked{})
	if err != nil {
		return err
	}
	if !facts.Usable(s.In.Now()) || p.Kind == directory.KindService {
		return ErrUnusable
	}
	return nil
}

// recoverable refuses a code to whom there is nothing to recover: it would wait
// for their first factor, and open a way around it.
func (s *Service) recoverable(ctx context.Context, id directory.PersonID) error {
	factors, err := s.Account.FactorsOf(ctx, id)
	if err != nil || len(factors) > 0 {
		return err
	}
	lost, err := s.In.HasLost(ctx, id)
	if err == nil && !lost {
		err = ErrNoFactor
	}
	return err
}

// RemoveFactor takes one factor of a person away: a passkey, a card, a one-time
// code app or a hardware token. What they have open ends. If it was the last,
// the password alone binds no other: that takes a recovery code, so that nobody
// who knows the password has both (ASVS 6.4.4).
func (s *Service) RemoveFactor(ctx context.Context, o signin.Origin, cookie, login, factorID string) error {
	d, err := s.beginOn(ctx, o, cookie, authz.RemoveFactor, factorID, s.called(login))
	if err != nil {
		return err
	}
	factors, err := s.Account.FactorsOf(ctx, d.on.ID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(factors, func(f account.Factor) bool { return f.ID == factorID })
	if at < 0 {
		return ErrNotFound
	}
	f := factors[at]
	err = s.commit(ctx, d, d.entry(object(d.on), "", f.Named()), func(tx *store.Tx) error {
		if err := s.Account.Unbind(ctx, tx, d.on.ID, f); err != nil {
			return err
		}
		if err := s.In.FactorLost(ctx, tx, d.on.ID); err != nil {
			return err
		}
		if err := s.end(ctx, tx, d, "a factor was removed"); err != nil {
			return err
		}
		return s.tell(ctx, tx, d, notice.FactorRemoved, map[string]string{"factor": f.Kind, "name": f.Name})
	})
	if errors.Is(err, totp.ErrNoDevice) || errors.Is(err, passkey.ErrNoKey) || errors.Is(err, card.ErrNoCard) {
		return ErrNotFound // removed by somebody else meanwhile
	}
	return err
}
