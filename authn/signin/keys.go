package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/authn"
	"sekisho/authn/card"
	"sekisho/authn/lockout"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/recovery"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Ceremony is a question to a browser that a passkey can answer.
type Ceremony struct {
	PublicKey json.RawMessage // PublicKeyCredentialRequestOptionsJSON
	Cookie    string          // new value of the cookie, which the answer must come with; "" leaves it
	CSRF      string          // goes with the cookie
}

// Holder is what a challenge is tied to: the handle behind a cookie, whatever it
// stands for. "" for no handle.
func (s *Service) Holder(cookie string) string {
	mac, _ := s.Sessions.MAC(session.KindOf(cookie), cookie)
	return mac
}

// BeginPasskey asks for a passkey: any at the first step, one of the person's at
// the second. Nothing is stored, so that a stranger's question costs nothing.
//
// login is a hint that a browser may give and is not looked up: an answer that
// lists somebody's keys would tell that they exist.
func (s *Service) BeginPasskey(ctx context.Context, o Origin, cookie, _ string) (Ceremony, error) {
	if err := s.sourceOpen(ctx, o); err != nil {
		return Ceremony{}, err
	}
	var person directory.PersonID
	fresh := ""
	step, err := s.Current(ctx, o, cookie)
	switch {
	case step.CSRF != "" && (errors.Is(err, ErrNone) || errors.As(err, new(*NoPassage))):
		// A session of another place: the browser keeps it until somebody has
		// signed in here.
	case errors.Is(err, ErrNone) && s.opening(cookie):
		// Another window of this browser has asked already. Its question stays
		// good beside this one: each is its own ticket.
	case errors.Is(err, ErrNone):
		lost, err := s.unheardOf(ctx, cookie)
		if err != nil {
			return Ceremony{}, err
		}
		if lost { // the answer goes with what is known of it (former)
			break
		}
		if cookie, _, _, err = s.Sessions.New(session.KindFlow); err != nil {
			return Ceremony{}, err
		}
		fresh = cookie
	case err != nil:
		return Ceremony{}, err
	case step.State == authn.SecondFactor:
		person = step.Person.ID
	}
	ask, err := s.Passkeys.BeginSignIn(ctx, s.Holder(cookie), person)
	if errors.Is(err, passkey.ErrNoKey) {
		return Ceremony{}, ErrStep // the second factor is another one
	}
	if err != nil {
		return Ceremony{}, err
	}
	return Ceremony{PublicKey: ask, Cookie: fresh, CSRF: s.Sessions.CSRF(cookie)}, nil
}

// opening reports whether a cookie is a handle that a question came with, or of
// a sign-in that is over: it stands for nothing, and a question can be tied to
// it.
func (s *Service) opening(cookie string) bool {
	_, ok := s.Sessions.MAC(session.KindFlow, cookie)
	return ok
}

// unheardOf reports whether a cookie is the handle before one that nobody has used: its
// browser may never have been given that.
func (s *Service) unheardOf(ctx context.Context, cookie string) (bool, error) {
	_, err := s.Sessions.Unheard(ctx, cookie)
	if errors.Is(err, session.ErrNone) {
		return false, nil
	}
	return err == nil, err
}

// Passkey takes a passkey's answer, as the first step or as the second factor.
//
// Passwords are neither counted nor cleared by it: whoever has used up a
// person's password does not keep them out (design rule 6).
func (s *Service) Passkey(ctx context.Context, o Origin, cookie string, credential []byte) (Step, error) {
	if err := s.sourceOpen(ctx, o); err != nil {
		return Step{}, err
	}
	f, before, err := s.onward(ctx, o, cookie)
	if err != nil {
		return Step{}, err
	}
	who := someone{facts: standing.Facts{Person: before}, name: f.Login}
	answer, err := s.Passkeys.Verify(ctx, s.Holder(cookie), f.Person, credential)
	if errors.Is(err, passkey.ErrWrong) {
		return Step{}, s.refuse(ctx, o, who, "sign_in.passkey", passkey.Why(err))
	}
	if err != nil {
		return Step{}, err
	}
	if who.facts, err = s.Watch.Lately(ctx, answer.Person, s.stale(f.Zone)); err != nil {
		return Step{}, away(err)
	}
	who.name = who.facts.Person.Login
	switch why := who.facts.Why(s.Now()); why {
	case "":
	case standing.SeveralUse:
		return Step{}, s.nobodysOwn(ctx, o, who.facts.Person)
	default:
		return Step{}, s.refuse(ctx, o, who, "sign_in.passkey", why)
	}
	person := who.facts.Person
	if no := passkey.Acceptable(s.Policy(), s.Policy().PostsOf(person.Groups), f.Zone, answer.Key); no != nil {
		// Whoever holds the key may be told why it does not serve here.
		return Step{}, errors.Join(s.refuse(ctx, o, who, "sign_in.passkey", "passkey_"+no.Reason), no)
	}
	step, err := s.proved(ctx, o, cookie, f, who, answer.Key.Method(), answer.Key.AddedAt, "sign_in.passkey", func(tx *store.Tx) error {
		err := s.Passkeys.Spend(ctx, tx, answer)
		if errors.Is(err, passkey.ErrCloned) {
			return s.cloned(ctx, tx, o, person, answer.Key)
		}
		return err
	})
	switch {
	case errors.Is(err, passkey.ErrCloned):
		if err := s.Sessions.Poll(ctx); err != nil {
			return Step{}, err
		}
		return Step{}, s.refuse(ctx, o, who, "sign_in.passkey", "cloned")
	case errors.Is(err, passkey.ErrWrong):
		return Step{}, s.refuse(ctx, o, who, "sign_in.passkey", passkey.Why(err))
	}
	return step, err
}

// cloned ends what a copied key may have opened, tells its owner, and has the
// transaction commit although the sign-in is refused.
func (s *Service) cloned(ctx context.Context, tx *store.Tx, o Origin, p directory.Person, k passkey.Key) error {
	if err := s.Sessions.EndAll(ctx, tx, p.ID, p.Login, "", "a passkey was copied"); err != nil {
		return err
	}
	if err := s.FactorLost(ctx, tx, p.ID); err != nil {
		return err
	}
	if err := s.Tell(ctx, tx, o, p.ID, notice.PasskeyCloned, map[string]string{"name": k.Name}); err != nil {
		return err
	}
	e := s.entry(o, someone{facts: standing.Facts{Person: p}}, "factor.ended")
	e.Outcome, e.Reason, e.Articles = "ok", "the passkey was copied", []policy.Article{"46-2(4)", "64-1"}
	e.Detail = map[string]string{"factor": k.ID}
	if err := s.Trail.Append(ctx, tx, e); err != nil {
		return err
	}
	return Keep(passkey.ErrCloned)
}

// Card takes the client certificate of an IC card, as the first step or as the
// second factor. That the card's PIN was entered is what its certificate's
// policy says.
func (s *Service) Card(ctx context.Context, o Origin, cookie string) (Step, error) {
	if err := s.sourceOpen(ctx, o); err != nil {
		return Step{}, err
	}
	f, before, err := s.onward(ctx, o, cookie)
	if err != nil {
		return Step{}, err
	}
	who := someone{facts: standing.Facts{Person: before}, name: f.Login}
	read, err := s.Cards.Read(ctx, o.Certificate, f.Zone)
	var no *card.Refused
	switch {
	case errors.Is(err, card.ErrNone):
		return Step{}, errors.Join(ErrRefused, err) // nothing was tried
	case errors.As(err, &no):
		return Step{}, errors.Join(s.refuse(ctx, o, who, "sign_in.card", no.Why), no)
	case err != nil:
		return Step{}, err
	}
	owner, err := s.who(ctx, read.Subject)
	if err != nil {
		return Step{}, err
	}
	if !names(read, owner.facts.Person) || f.Person != "" && owner.facts.Person.ID != f.Person {
		return Step{}, s.refuse(ctx, o, who, "sign_in.card", "card_names_another")
	}
	switch why := owner.facts.Why(s.Now()); why {
	case "":
	case standing.SeveralUse:
		return Step{}, s.nobodysOwn(ctx, o, owner.facts.Person)
	default:
		return Step{}, s.refuse(ctx, o, owner, "sign_in.card", why)
	}
	since, err := s.heldSince(ctx, owner.facts.Person.ID, read.ID)
	if err != nil {
		return Step{}, err
	}
	step, err := s.proved(ctx, o, cookie, f, owner, authn.SmartCard, since, "sign_in.card", func(tx *store.Tx) error {
		return s.Cards.Use(ctx, tx, owner.facts.Person.ID, read)
	})
	if errors.As(err, &no) {
		return Step{}, errors.Join(s.refuse(ctx, o, owner, "sign_in.card", no.Why), no)
	}
	return step, err
}

// heldSince is when a person first used a card; now, where they never have.
func (s *Service) heldSince(ctx context.Context, person directory.PersonID, id string) (time.Time, error) {
	cards, err := s.Cards.List(ctx, person)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading cards: %w", err)
	}
	for _, c := range cards {
		if c.ID == id {
			return c.AddedAt, nil
		}
	}
	return s.Now(), nil
}

// names reports whether a card's subject is this very person: the directory's
// search finds people by more than the policy says the card names.
func names(c card.Card, p directory.Person) bool {
	if p.ID == "" || c.Subject == "" {
		return false
	}
	if c.Match == policy.CardMatchMail {
		return directory.Canonical(c.Subject) == directory.Canonical(p.Mail)
	}
	return directory.Canonical(c.Subject) == directory.Canonical(p.Login)
}

// onward is the sign-in that a factor which is enough alone joins: one that
// waits for its second factor, or a new one.
func (s *Service) onward(ctx context.Context, o Origin, cookie string) (flow, directory.Person, error) {
	if session.KindOf(cookie) == session.KindFlow {
		f, p, err := s.resume(ctx, o, cookie, authn.SecondFactor)
		if err == nil || !errors.Is(err, ErrNone) && !errors.Is(err, ErrStep) {
			return f, p, err
		}
	}
	f := flow{Zone: o.Zone, Outside: o.Outside, Since: s.Now()}
	return f, directory.Person{}, s.former(ctx, cookie, &f)
}

// proved moves a sign-in on by a phishing-resistant factor that was right, and
// that the person has had since then.
func (s *Service) proved(ctx context.Context, o Origin, cookie string, f flow, who someone, m authn.Method, since time.Time, action string, act func(*store.Tx) error) (Step, error) {
	var spoke *terminal.Assertion
	if f.Terminal == "" { // else it has spoken at the step before
		var err error
		if spoke, err = s.spoken(ctx, o, who); err != nil {
			return Step{}, err
		}
	}
	f.Person, f.Login = who.facts.Person.ID, who.facts.Person.Login
	f.Progress.Methods = append(f.Progress.Methods, m)
	f.Progress.At = s.Now()
	if since.After(f.FactorAt) {
		f.FactorAt = since
	}
	if who.facts.Stale {
		f.AsOf = who.facts.ReadAt
	}
	s.sitting(&f, spoke)
	step, err := s.advance(ctx, o, cookie, &f, who.facts.Person, func(tx *store.Tx) error {
		if err := s.heard(ctx, tx, spoke); err != nil {
			return err
		}
		return act(tx)
	}, action)
	return step, s.unheard(ctx, o, who, err)
}

// RecoveryCode takes the code that was given in person to someone who has lost
// the factor they are asked for. It leads to a new factor and to nothing else.
func (s *Service) RecoveryCode(ctx context.Context, o Origin, cookie string, code secret.Text) (Step, error) {
	stop := s.pace.start()
	f, person, err := s.resume(ctx, o, cookie, authn.SecondFactor)
	if err != nil {
		return Step{}, err
	}
	if err := s.sourceOpen(ctx, o); err != nil {
		return Step{}, err
	}
	who := someone{facts: standing.Facts{Person: person}, name: f.Login}
	ways := []way{{credential("rec", string(person.ID)), lockout.Of(s.Policy().Lockout, 0)}}
	leave, err := s.flight.enter(ctx, ways[0].credential, s.Policy().Lockout.FreeFailures)
	if err != nil {
		return Step{}, err
	}
	defer leave()
	if err := s.reserve(ctx, o, who, ways); err != nil {
		return Step{}, err
	}
	refused := func(why string) (Step, error) {
		err := s.refuse(ctx, o, who, "sign_in.recovery", why)
		if err := s.pace.wait(ctx, stop); err != nil {
			return Step{}, err
		}
		return Step{}, err
	}
	powerful := s.Powerful(person)
	if powerful {
		// Design rule 7: two persons gave it, or the post came after the code.
		two, err := s.Recovery.ByTwo(ctx, person.ID)
		if err != nil {
			return Step{}, err
		}
		if !two {
			return refused("needs_two_persons")
		}
	}
	f.Progress.Recovering = true
	step, err := s.advance(ctx, o, cookie, &f, person, func(tx *store.Tx) error {
		if err := s.Recovery.Spend(ctx, tx, person.ID, string(code.Reveal()), powerful); err != nil {
			return err
		}
		if err := s.Tell(ctx, tx, o, person.ID, notice.RecoveryUsed, nil); err != nil {
			return err
		}
		return clear(ctx, tx, ways[0].credential)
	}, "sign_in.recovery")
	switch {
	case errors.Is(err, recovery.ErrWrong):
		return refused("wrong_recovery_code")
	case err != nil:
		s.release(context.WithoutCancel(ctx), ways)
	}
	return step, err
}

// enrolled are the further factors a person has, and what of them may be used
// at the second step of a sign-in from this zone.
func (s *Service) enrolled(ctx context.Context, p directory.Person, zone policy.ZoneID) (all []authn.Method, usable []string, err error) {
	keys, err := s.Passkeys.List(ctx, p.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading passkeys: %w", err)
	}
	pol := s.Policy()
	posts := pol.PostsOf(p.Groups)
	for _, k := range keys {
		all = append(all, k.Method())
		if !slices.Contains(usable, "passkey") && passkey.Acceptable(pol, posts, zone, k) == nil {
			usable = append(usable, "passkey")
		}
	}
	cards, err := s.Cards.List(ctx, p.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading cards: %w", err)
	}
	if len(cards) > 0 && pol.CardsIn(zone) {
		all = append(all, authn.SmartCard)
		usable = append(usable, "card")
	}
	devices, err := s.Codes.List(ctx, p.ID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading factors: %w", err)
	}
	if len(devices) > 0 {
		all = append(all, authn.OTP)
		usable = append(usable, "totp")
	}
	if len(all) > 0 && len(usable) == 0 {
		usable = []string{"recovery"}
	}
	return all, usable, nil
}

// FactorLost notes, in the transaction that takes a factor from a person who did
// not drop it, that a password alone binds no other if it was the last (ASVS
// 6.4.4): whoever takes a factor away and knows the password would else have
// both.
func (s *Service) FactorLost(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO factor_lost (person_id, at) VALUES ($1, $2)
		ON CONFLICT (person_id) DO UPDATE SET at = excluded.at`, string(person), store.Micros(s.Now()))
	if err != nil {
		return fmt.Errorf("noting a lost factor: %w", err)
	}
	return nil
}

// FactorFound forgets that a factor was lost: a new one is bound, or the owner
// has dropped the last by choice.
func (s *Service) FactorFound(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM factor_lost WHERE person_id = $1`, string(person)); err != nil {
		return fmt.Errorf("noting a new factor: %w", err)
	}
	return nil
}

func (s *Service) lost(ctx context.Context, person directory.PersonID) (bool, error) {
	var n int
	if err := s.DB.QueryRow(ctx, `SELECT COUNT(*) FROM factor_lost WHERE person_id = $1`, string(person)).Scan(&n); err != nil {
		return false, fmt.Errorf("reading a lost factor: %w", err)
	}
	return n > 0, nil
}
