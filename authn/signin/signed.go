package signin

import (
	"context"
	"errors"

	"sekisho/authn"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/standing"
	"sekisho/authn/totp"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Recheck verifies the current password of someone who is signed in, under the
// same counts and holds as at sign-in. ErrRefused means that it is not right.
func (s *Service) Recheck(ctx context.Context, o Origin, p directory.Person, pw secret.Text) error {
	if err := s.sourceOpen(ctx, o); err != nil {
		return err
	}
	w := someone{facts: standing.Facts{Person: p}, name: p.Login}
	ways, err := s.passwordWays(ctx, o, w)
	if err != nil {
		return err
	}
	leave, err := s.flight.enter(ctx, ways[0].credential, s.Policy().Lockout.FreeFailures)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.reserve(ctx, o, w, ways); err != nil {
		return err
	}
	said, err := s.verify(ctx, w, pw)
	if err != nil {
		s.release(context.WithoutCancel(ctx), ways)
		return err
	}
	if said.refused != "" {
		return s.refuse(ctx, o, w, "password.recheck", said.refused)
	}
	return s.DB.WithTx(ctx, func(tx *store.Tx) error { return clear(ctx, tx, credential("pw", string(p.ID))) })
}

// Enrolling is the person of a sign-in that is at the enrol step.
func (s *Service) Enrolling(ctx context.Context, o Origin, cookie string) (directory.Person, error) {
	_, p, err := s.resume(ctx, o, cookie, authn.Enrol)
	return p, err
}

// Keep marks an error of an act whose transaction commits all the same: what a
// failed try has counted must stay counted.
func Keep(err error) error { return &keep{err} }

type keep struct{ error }

// Commit runs act in a transaction. An error marked by Keep is returned after
// the transaction has committed; any other rolls it back.
func (s *Service) Commit(ctx context.Context, act func(*store.Tx) error) error {
	var kept error
	err := s.DB.WithTx(ctx, func(tx *store.Tx) error {
		kept = nil
		err := act(tx)
		if k := (*keep)(nil); errors.As(err, &k) {
			kept = k.error
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return kept
}

// Enrolled moves a sign-in at the enrol step on: bind binds the factor, whose
// first use has just been proved, in the transaction of the step, and says what
// it is. expected is what it will be, as far as is known before.
//
// After a recovery code the new factor takes the place of those before: what
// was lost may be in somebody's hands.
func (s *Service) Enrolled(ctx context.Context, o Origin, cookie string, expected authn.Method, bind func(*store.Tx) (authn.Method, error)) (Step, error) {
	f, person, err := s.resume(ctx, o, cookie, authn.Enrol)
	if err != nil {
		return Step{}, err
	}
	lost, alone := f.Progress.Recovering, !authn.Strength(f.Progress.Methods).AtLeast(policy.AAL2)
	former, err := s.Codes.List(ctx, person.ID)
	if err != nil {
		return Step{}, err
	}
	keys, err := s.Passkeys.List(ctx, person.ID)
	if err != nil {
		return Step{}, err
	}
	at := len(f.Progress.Methods)
	f.Progress.Methods = append(f.Progress.Methods, expected)
	f.Progress.At, f.Progress.Recovering = s.Now(), false
	return s.advance(ctx, o, cookie, &f, person, func(tx *store.Tx) error {
		switch {
		case lost:
			if err := s.replaced(ctx, tx, person, former, keys); err != nil {
				return err
			}
		case alone:
			// Two sign-ins can be at this step at once. A password alone binds
			// the first factor and no other.
			codes, err := s.Codes.Count(ctx, tx, person.ID)
			if err != nil {
				return err
			}
			keys, err := s.Passkeys.Count(ctx, tx, person.ID)
			if err != nil {
				return err
			}
			if codes+keys > 0 {
				return ErrStep
			}
		}
		method, err := bind(tx)
		if err != nil {
			return err
		}
		f.Progress.Methods[at] = method
		if method.Resists() {
			f.FactorAt = s.Now() // it is as new as it can be
		}
		if err := s.FactorFound(ctx, tx, person.ID); err != nil {
			return err
		}
		return s.Tell(ctx, tx, o, person.ID, notice.FactorAdded, map[string]string{"factor": FactorKind(method)})
	}, "factor.added")
}

// replaced takes away the factors that a person had before a recovery.
func (s *Service) replaced(ctx context.Context, tx *store.Tx, person directory.Person, former []totp.Device, keys []passkey.Key) error {
	for _, d := range former {
		if err := s.Codes.Remove(ctx, tx, person.ID, d.ID); err != nil && !errors.Is(err, totp.ErrNoDevice) {
			return err
		}
	}
	for _, k := range keys {
		if err := s.Passkeys.Remove(ctx, tx, person.ID, k.ID); err != nil && !errors.Is(err, passkey.ErrNoKey) {
			return err
		}
	}
	if err := s.ForgetBrowsers(ctx, tx, person.ID); err != nil {
		return err
	}
	return s.Sessions.EndAll(ctx, tx, person.ID, person.Login, "", "a lost factor was replaced")
}

// FactorKind is what people call a method's factor: "passkey", "card", "totp".
func FactorKind(m authn.Method) string {
	switch m {
	case authn.HardwareKey, authn.SyncedKey:
		return "passkey"
	case authn.SmartCard:
		return "card"
	}
	return "totp"
}

// AfterLeak opens a sign-in for someone who has just reported their password
// and has another factor: that factor first, then a new password. Someone
// without gets ErrNone, and must come in person (article 46-2(4)).
func (s *Service) AfterLeak(ctx context.Context, o Origin, p directory.Person, zone policy.ZoneID, outside bool) (Step, error) {
	f := flow{
		Person: p.ID, Login: p.Login, Zone: zone, Outside: outside,
		Progress: authn.Progress{Methods: []authn.Method{authn.Password}, MustChange: true, At: s.Now()},
		Since:    s.Now(),
	}
	if err := s.fill(ctx, &f, p, "password.leak_reported"); err != nil {
		return Step{}, err
	}
	if len(f.Progress.Enrolled) == 0 {
		return Step{}, ErrNone
	}
	return s.advance(ctx, o, "", &f, p, func(*store.Tx) error { return nil }, "password.replacing")
}
