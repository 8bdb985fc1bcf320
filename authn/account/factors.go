package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sekisho/authn"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// FactorsOf lists the further factors of anybody, for those who may see them.
func (s *Service) FactorsOf(ctx context.Context, person directory.PersonID) ([]Factor, error) {
	var out []Factor
	keys, err := s.in.Passkeys.List(ctx, person)
	if err != nil {
		return nil, fmt.Errorf("reading passkeys: %w", err)
	}
	for _, k := range keys {
		out = append(out, Factor{ID: k.ID, Kind: "passkey", Name: k.Name, Synced: k.Synced, AddedAt: k.AddedAt, LastUsedAt: k.LastUsedAt})
	}
	cards, err := s.in.Cards.List(ctx, person)
	if err != nil {
		return nil, fmt.Errorf("reading cards: %w", err)
	}
	for _, c := range cards {
		out = append(out, Factor{ID: c.ID, Kind: "card", Name: c.Name, AddedAt: c.AddedAt, LastUsedAt: c.LastUsedAt})
	}
	devices, err := s.in.Codes.List(ctx, person)
	if err != nil {
		return nil, fmt.Errorf("reading factors: %w", err)
	}
	for _, d := range devices {
		out = append(out, Factor{ID: d.ID, Kind: d.Kind, Name: d.Name, Serial: d.Serial, AddedAt: d.AddedAt, LastUsedAt: d.LastUsedAt})
	}
	return out, nil
}

// WithFactors says which of many people have a further factor of any kind.
func (s *Service) WithFactors(ctx context.Context, people []directory.PersonID) (map[directory.PersonID]bool, error) {
	out := map[directory.PersonID]bool{}
	for part := range slices.Chunk(people, withAtMost) {
		args := make([]any, withAtMost)
		for i := range args {
			args[i] = "" // nobody's id
			if i < len(part) {
				args[i] = string(part[i])
			}
		}
		if err := s.holders(ctx, args, out); err != nil {
			return nil, fmt.Errorf("reading who has factors: %w", err)
		}
	}
	return out, nil
}

// withAtMost is how many people one question asks about. Its text is the same
// whatever their number, so that it is prepared once.
const withAtMost = 100

var withFactors = func() string {
	marks := make([]string, withAtMost)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	of := " IN (" + strings.Join(marks, ", ") + ")"
	return `
		SELECT person FROM passkey WHERE person` + of + `
		UNION SELECT person_id FROM card WHERE removed_at = 0 AND person_id` + of + `
		UNION SELECT person FROM totp_device WHERE confirmed_at > 0 AND person` + of
}()

func (s *Service) holders(ctx context.Context, args []any, into map[directory.PersonID]bool) error {
	rows, err := s.in.DB.Query(ctx, withFactors, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id directory.PersonID
		if err := rows.Scan(&id); err != nil {
			return err
		}
		into[id] = true
	}
	return rows.Err()
}

// Named is a factor as the trail names it.
func (f Factor) Named() map[string]string {
	return map[string]string{"factor": f.ID, "kind": f.Kind, "name": f.Name}
}

// Unbind takes one factor of a person away, whatever kind it is, in the
// caller's transaction, who has asked whether it may go.
func (s *Service) Unbind(ctx context.Context, tx *store.Tx, person directory.PersonID, f Factor) error {
	switch f.Kind {
	case "passkey":
		return s.in.Passkeys.Remove(ctx, tx, person, f.ID)
	case "card":
		return s.in.Cards.Remove(ctx, tx, person, f.ID)
	}
	return s.in.Codes.Remove(ctx, tx, person, f.ID)
}

// Factors lists the person's further factors.
func (s *Service) Factors(ctx context.Context, o signin.Origin, cookie string) ([]Factor, error) {
	n, _, err := s.me(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	return s.FactorsOf(ctx, n.Person)
}

// binder is the person who may bind a factor now.
func (s *Service) binder(ctx context.Context, o signin.Origin, cookie string) (directory.Person, error) {
	if session.KindOf(cookie) == session.KindFlow {
		return s.in.Enrolling(ctx, o, cookie)
	}
	n, p, err := s.me(ctx, o, cookie)
	if err != nil {
		return p, err
	}
	return p, s.fresh(ctx, n)
}

// BeginTOTP starts to enrol a TOTP device, in a fresh session or at the enrol
// step of a sign-in.
func (s *Service) BeginTOTP(ctx context.Context, o signin.Origin, cookie string) (totp.Enrolment, error) {
	person, err := s.binder(ctx, o, cookie)
	if err != nil {
		return totp.Enrolment{}, err
	}
	issuer := s.in.Policy().Prefecture.Name.In("en") // what the app lists the code under
	if issuer == "" {
		issuer = "Sekisho"
	}
	return s.in.Codes.Begin(ctx, person.ID, person.Login, issuer)
}

// FinishTOTP binds the device that was begun, once its code is right. A sign-in
// at the enrol step goes on; a session gets a new handle and the others end.
func (s *Service) FinishTOTP(ctx context.Context, o signin.Origin, cookie, id, code, name string) (signin.Step, error) {
	person, err := s.binder(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	return s.bind(ctx, o, cookie, person, authn.OTP, name, func(tx *store.Tx) (authn.Method, error) {
		err := s.in.Codes.Confirm(ctx, tx, person.ID, id, code, name)
		if errors.Is(err, totp.ErrWrong) {
			err = signin.Keep(err) // the try stays counted
		}
		if err == nil {
			err = s.in.Rebound(ctx, tx, person.ID)
		}
		return authn.OTP, err
	})
}

// BeginPasskey asks the browser for a new passkey, in a fresh session or at the
// enrol step of a sign-in.
func (s *Service) BeginPasskey(ctx context.Context, o signin.Origin, cookie string) (passkey.Enrolment, error) {
	person, err := s.binder(ctx, o, cookie)
	if err != nil {
		return passkey.Enrolment{}, err
	}
	return s.in.Passkeys.BeginEnrol(ctx, person, s.in.Policy().PostsOf(person.Groups), s.in.Holder(cookie))
}

// FinishPasskey binds the passkey that the browser made. *passkey.NotAccepted
// says why a key will not do for this person or from here.
func (s *Service) FinishPasskey(ctx context.Context, o signin.Origin, cookie, id, name string, credential []byte) (signin.Step, error) {
	person, err := s.binder(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	posts := s.in.Policy().PostsOf(person.Groups)
	return s.bind(ctx, o, cookie, person, authn.HardwareKey, name, func(tx *store.Tx) (authn.Method, error) {
		k, err := s.in.Passkeys.FinishEnrol(ctx, tx, person, posts, o.Zone, s.in.Holder(cookie), id, name, credential)
		return k.Method(), err
	})
}

// bind adds a factor: a sign-in goes on, a session gets a new handle and the
// others end.
func (s *Service) bind(ctx context.Context, o signin.Origin, cookie string, p directory.Person, m authn.Method, name string, do func(*store.Tx) (authn.Method, error)) (signin.Step, error) {
	if session.KindOf(cookie) == session.KindFlow {
		return s.in.Enrolled(ctx, o, cookie, m, do)
	}
	n, _, err := s.me(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	return s.rise(ctx, o, n, p, "factor.added", nil, func(tx *store.Tx) error {
		m, err := do(tx)
		if err != nil {
			return err
		}
		if err := s.in.FactorFound(ctx, tx, p.ID); err != nil {
			return err
		}
		return s.in.Tell(ctx, tx, o, p.ID, notice.FactorAdded, map[string]string{"factor": signin.FactorKind(m), "name": name})
	})
}

// factor is one of the person's own.
func (s *Service) factor(ctx context.Context, person directory.PersonID, id string) (f Factor, all []Factor, err error) {
	if all, err = s.FactorsOf(ctx, person); err != nil {
		return Factor{}, nil, err
	}
	at := slices.IndexFunc(all, func(f Factor) bool { return f.ID == id })
	if at < 0 {
		return Factor{}, nil, ErrNotFound
	}
	return all[at], all, nil
}

// RenameFactor gives one of the person's factors another name. It changes
// nothing that the factor can do, so it needs no fresh sign-in.
func (s *Service) RenameFactor(ctx context.Context, o signin.Origin, cookie, id, name string) error {
	n, p, err := s.me(ctx, o, cookie)
	if err != nil {
		return err
	}
	f, _, err := s.factor(ctx, p.ID, id)
	if err != nil {
		return err
	}
	return s.in.DB.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		switch f.Kind {
		case "passkey":
			err = s.in.Passkeys.Rename(ctx, tx, p.ID, id, name)
		case "totp", "token":
			err = s.in.Codes.Rename(ctx, tx, p.ID, id, name)
		default: // a card is called what is printed on it
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.in.Trail.Append(ctx, tx, s.entry(o, n, "factor.renamed"))
	})
}

// RemoveFactor unbinds one of the person's factors, unless it is the last that
// their zone needs.
func (s *Service) RemoveFactor(ctx context.Context, o signin.Origin, cookie, id string) (signin.Step, error) {
	n, p, err := s.me(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	if err := s.fresh(ctx, n); err != nil {
		return signin.Step{}, err
	}
	f, all, err := s.factor(ctx, p.ID, id)
	if err != nil {
		return signin.Step{}, err
	}
	zone, ok := s.in.Policy().Zone(n.Zone)
	needed := !ok || zone.SignInACR != policy.AAL1
	if len(all) == 1 && needed {
		return signin.Step{}, ErrLastFactor
	}
	step, err := s.rise(ctx, o, n, p, "factor.removed", f.Named(), func(tx *store.Tx) error {
		if err := s.Unbind(ctx, tx, p.ID, f); err != nil {
			return err
		}
		// Counted again, of two removed at once one is the last.
		left, err := s.left(ctx, tx, p.ID)
		if err == nil && left == 0 && needed {
			err = ErrLastFactor
		}
		if err != nil {
			return err
		}
		if err := s.in.FactorFound(ctx, tx, p.ID); err != nil { // dropped by choice
			return err
		}
		return s.in.Tell(ctx, tx, o, p.ID, notice.FactorRemoved, map[string]string{"factor": f.Kind, "name": f.Name})
	})
	if errors.Is(err, totp.ErrNoDevice) || errors.Is(err, passkey.ErrNoKey) || errors.Is(err, card.ErrNoCard) {
		return signin.Step{}, ErrNotFound // removed by another request meanwhile
	}
	return step, err
}

// left is how many factors the person has, as the transaction sees it.
func (s *Service) left(ctx context.Context, tx *store.Tx, person directory.PersonID) (int, error) {
	codes, err := s.in.Codes.Count(ctx, tx, person)
	if err != nil {
		return 0, err
	}
	keys, err := s.in.Passkeys.Count(ctx, tx, person)
	if err != nil {
		return 0, err
	}
	cards, err := s.in.Cards.Count(ctx, tx, person)
	return codes + keys + cards, err
}

// Second is the further address that the person's notices go to; "" for none.
func (s *Service) Second(ctx context.Context, o signin.Origin, cookie string) (string, error) {
	n, _, err := s.me(ctx, o, cookie)
	if err != nil {
		return "", err
	}
	return s.in.Notices.Second(ctx, n.Person)
}

// SetSecond changes the further address, "" for none. The addresses before are
// told, so that nobody can turn a person's notices away unseen.
func (s *Service) SetSecond(ctx context.Context, o signin.Origin, cookie, address string) (signin.Step, error) {
	n, p, err := s.me(ctx, o, cookie)
	if err != nil {
		return signin.Step{}, err
	}
	if err := s.fresh(ctx, n); err != nil {
		return signin.Step{}, err
	}
	if address, err = notice.SecondAddress(address, p.Mail); err != nil {
		return signin.Step{}, err
	}
	err = s.in.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := s.in.Notices.SetSecond(ctx, tx, p.ID, address, o.Zone); err != nil {
			return err
		}
		return s.in.Trail.Append(ctx, tx, s.entry(o, n, "notice_address.changed"))
	})
	if err != nil {
		return signin.Step{}, err
	}
	return signin.Step{State: authn.SignedIn, CSRF: s.in.Sessions.CSRF(cookie), Session: &n, Person: p}, nil
}
