// Package signin is the one sign-in that every door leads to.
//
// A sign-in is a small state machine. What has been proved so far is stored
// under the cookie's HMAC; authn.Next looks at it and says which step is open;
// a step that succeeds stores what it proved and asks again. Steps never call
// one another.
//
// It does not know HTTP, pages or applications, and it decides nothing about
// what a person may open once they are in.
package signin

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"sync"
	"time"

	"sekisho/authn"
	"sekisho/authn/card"
	"sekisho/authn/notice"
	"sekisho/authn/passkey"
	"sekisho/authn/password"
	"sekisho/authn/recovery"
	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/claim"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A State names a step of a sign-in.
type State = authn.State

// An Origin is where an attempt comes from, as the web server established it.
type Origin struct {
	Source    netip.Addr
	Zone      policy.ZoneID
	Outside   bool
	RequestID string
	UserAgent string
	Device    string // value of the device cookie, "" for none
	// Terminal is what the terminal says of itself, a signed assertion; "" for
	// nothing.
	Terminal string
	// Certificate is the client certificate that came with the request, leaf
	// first: a card's. nil for none.
	Certificate []*x509.Certificate
	// Headless: no browser asks, and none is remembered as its owner's.
	Headless bool
}

// A Step is what a sign-in has come to.
type Step struct {
	State        State
	Methods      []string // what may be used at this step
	Version      string   // at acknowledge: the version of the rules
	Cookie       string   // new value of the cookie; "" leaves it as it is
	CSRF         string   // goes with the cookie
	DeviceCookie string   // new value of the device cookie; "" leaves it
	Session      *session.Session
	Person       directory.Person
	// AsOf is when the directory was last read of the person, where it is away;
	// zero where it answers.
	AsOf time.Time
}

// A Directory is what a sign-in asks of the people directory.
type Directory interface {
	Find(ctx context.Context, typed string) (directory.Person, error)
	Authenticate(ctx context.Context, p directory.Person, pw secret.Text) (directory.Outcome, error)
	ResetPassword(ctx context.Context, p directory.Person, pw secret.Text, mustChange bool) error
}

// House is what a sign-in is built on.
type House struct {
	DB        *store.DB
	Trail     *audit.Trail
	Policy    func() *policy.Policy
	Directory Directory
	Watch     *standing.Watch
	Sessions  *session.Sessions
	Codes     *totp.Devices
	Passkeys  *passkey.Keys
	Cards     *card.Reader
	Terminals *terminal.Register
	Recovery  *recovery.Codes
	History   *password.History
	Notices   *notice.Queue
	Flows     ephemeral.Store
	Now       clock.Now
	// Ceiling is the most wrong passwords in a row that may reach the
	// directory: one below its own lockout, 0 for no lockout there.
	Ceiling func() int
	// Succeeded carries over what hung on a session when the same person signs
	// in again in its browser, in the transaction that ends it. nil: nothing.
	Succeeded func(ctx context.Context, tx *store.Tx, from string, to session.Session) error
	// Barred says whether somebody who is who they say is kept out for now; in is
	// the store, or the transaction that must not go on if they are. nil: nobody.
	Barred func(ctx context.Context, in store.Reader, e Entrant) (bool, error)
	// Enters says by what somebody comes in who has proved who they are; *NoPassage says
	// that nothing lets them. What it answers counts from outside, and from a zone that is
	// not served here. nil: nobody is asked.
	Enters func(ctx context.Context, in store.Reader, e Entrant) (Passage, error)
	// Entered hears of it in the transaction that makes the session, and Left when its
	// person ends it.
	Entered func(ctx context.Context, tx *store.Tx, p Passage, n session.Session) error
	Left    func(ctx context.Context, tx *store.Tx, n session.Session) error
	// Reachable says whether anybody at all could come in from a network of a zone that
	// is not served here. nil: nobody.
	Reachable func(ctx context.Context, zone policy.ZoneID, outside bool) (bool, error)
}

// Service signs people in.
type Service struct {
	House
	pace    *pace
	flight  *flight
	sources *ephemeral.Rows // failures by source address; always rows, see sourceOpen
	claims  *claim.Claims
}

// changeWithin is how long a change of a password waits for another of the same
// person's to end.
const changeWithin = 10 * time.Second

// Changing waits until no other change of the person's password is under way, at
// any gateway: the directory and the store cannot be changed in one transaction.
func (s *Service) Changing(ctx context.Context, id directory.PersonID) (done func(), err error) {
	done, err = s.claims.Take(ctx, "password:"+string(id), changeWithin)
	if errors.Is(err, claim.ErrHeld) {
		return nil, ErrBusy
	}
	return done, err
}

// New builds the sign-in of a house.
func New(h House) *Service {
	return &Service{House: h, pace: newPace(), flight: newFlight(), sources: ephemeral.NewRows(h.DB, h.Now), claims: claim.New(h.DB, h.Now)}
}

// Password is the first step: a name and a password.
func (s *Service) Password(ctx context.Context, o Origin, cookie, typed string, pw secret.Text) (Step, error) {
	stop := s.pace.start()
	if err := s.sourceOpen(ctx, o); err != nil {
		return Step{}, err
	}
	who, err := s.who(ctx, typed)
	if err != nil {
		return Step{}, err
	}
	ways, err := s.passwordWays(ctx, o, who)
	if err != nil {
		return Step{}, err
	}
	leave, err := s.flight.enter(ctx, ways[0].credential, s.Policy().Lockout.FreeFailures)
	if err != nil {
		return Step{}, err
	}
	leave = sync.OnceFunc(leave)
	defer leave()
	if err := s.reserve(ctx, o, who, ways); err != nil {
		// For a name that exists the store was asked more than for one that
		// does not: a held answer is paced like a refusal. The place is given
		// back first, or a crowd at one name would wait in single file.
		leave()
		return Step{}, errors.Join(s.pace.wait(ctx, stop), err)
	}
	spoke, err := s.spoken(ctx, o, who)
	if err != nil {
		s.release(context.WithoutCancel(ctx), ways)
		return Step{}, err
	}
	since := s.Now()
	outcome, err := s.verify(ctx, who, pw)
	if err != nil {
		s.release(context.WithoutCancel(ctx), ways)
		return Step{}, err
	}
	if outcome.refused == standing.SeveralUse { // the password was right
		s.release(context.WithoutCancel(ctx), ways)
		return Step{}, s.nobodysOwn(ctx, o, who.facts.Person)
	}
	if outcome.refused != "" {
		err := s.refuse(ctx, o, who, "sign_in.password", outcome.refused)
		if outcome.asked {
			s.pace.learn(stop())
		}
		leave() // who waits here holds up nobody
		if err := s.pace.wait(ctx, stop); err != nil {
			return Step{}, err
		}
		return Step{}, err
	}
	f := flow{
		Person: who.facts.Person.ID, Login: who.facts.Person.Login, Zone: o.Zone, Outside: o.Outside,
		Progress: authn.Progress{Methods: []authn.Method{authn.Password}, MustChange: outcome.mustChange, At: s.Now()},
		Since:    since,
	}
	if err := s.former(ctx, cookie, &f); err != nil {
		return Step{}, err
	}
	s.sitting(&f, spoke)
	var dying *password.Digest
	if outcome.mustChange {
		if dying, err = s.dying(ctx, f.Person, pw); err != nil {
			s.release(context.WithoutCancel(ctx), ways)
			return Step{}, err
		}
	}
	step, err := s.advance(ctx, o, cookie, &f, who.facts.Person, func(tx *store.Tx) error {
		if err := s.heard(ctx, tx, spoke); err != nil {
			return err
		}
		if dying != nil {
			if err := s.History.Record(ctx, tx, *dying); err != nil {
				return err
			}
		}
		return clear(ctx, tx, credential("pw", string(f.Person)))
	}, "sign_in.password")
	if errors.As(err, new(*ShutOut)) { // the password was right
		s.release(context.WithoutCancel(ctx), ways)
	}
	if unspent := (*terminal.Refused)(nil); errors.As(err, &unspent) {
		// Its word was used before: the password was right all the same.
		s.release(context.WithoutCancel(ctx), ways)
		return Step{}, s.unheard(ctx, o, who, err)
	}
	return step, err
}

// TOTP is the second step: a one-time code.
func (s *Service) TOTP(ctx context.Context, o Origin, cookie, code string) (Step, error) {
	stop := s.pace.start()
	f, person, err := s.resume(ctx, o, cookie, authn.SecondFactor)
	if err != nil {
		return Step{}, err
	}
	if err := s.sourceOpen(ctx, o); err != nil {
		return Step{}, err
	}
	who := someone{facts: standing.Facts{Person: person}, name: f.Login}
	ways := s.codeWays(person.ID)
	leave, err := s.flight.enter(ctx, ways[0].credential, s.Policy().Lockout.FreeFailures)
	if err != nil {
		return Step{}, err
	}
	leave = sync.OnceFunc(leave)
	defer leave()
	if err := s.reserve(ctx, o, who, ways); err != nil {
		return Step{}, err
	}
	f.Progress.Methods = append(f.Progress.Methods, authn.OTP)
	f.Progress.At = s.Now()
	step, err := s.advance(ctx, o, cookie, &f, person, func(tx *store.Tx) error {
		if _, err := s.Codes.Spend(ctx, tx, person.ID, code); err != nil {
			return err
		}
		return clear(ctx, tx, ways[0].credential)
	}, "sign_in.totp")
	switch {
	case errors.Is(err, totp.ErrWrong), errors.Is(err, totp.ErrReplayed):
		why := "wrong_code"
		if errors.Is(err, totp.ErrReplayed) {
			why = "replayed_code"
		}
		err := s.refuse(ctx, o, who, "sign_in.totp", why)
		leave() // who waits here holds up nobody
		if err := s.pace.wait(ctx, stop); err != nil {
			return Step{}, err
		}
		return Step{}, err
	case err != nil:
		s.release(context.WithoutCancel(ctx), ways)
	}
	return step, err
}

// NewPassword replaces a temporary, expired or leaked password.
func (s *Service) NewPassword(ctx context.Context, o Origin, cookie string, pw secret.Text) (Step, error) {
	f, person, err := s.resume(ctx, o, cookie, authn.PasswordChange)
	if err != nil {
		return Step{}, err
	}
	digest, err := s.Acceptable(ctx, person, f.Progress.Enrolled, secret.Text{}, pw)
	if err != nil {
		return Step{}, err
	}
	// Nothing is written for somebody whom no permit lets in: the directory's change
	// cannot be taken back.
	if err := s.Commit(ctx, func(tx *store.Tx) error { return s.passes(ctx, tx, o, &f, person) }); err != nil {
		return Step{}, err
	}
	// Two answers to one form must not both set a password: whoever takes the
	// flow is the one.
	if taken, err := s.take(ctx, cookie); err != nil || !taken {
		return Step{}, errors.Join(err, ErrStep)
	}
	done, err := s.Changing(ctx, person.ID)
	if err != nil {
		return Step{}, errors.Join(err, s.put(ctx, cookie, f))
	}
	defer done()
	if err := s.overtaken(ctx, s.DB, f); err != nil { // by one who changed it just now
		return Step{}, err
	}
	intent, err := s.IntendPassword(ctx, o, person, digest)
	if err != nil {
		return Step{}, errors.Join(err, s.put(ctx, cookie, f))
	}
	if err := s.Directory.ResetPassword(ctx, person, pw, false); err != nil {
		return Step{}, errors.Join(s.DropPassword(ctx, intent, err), s.put(ctx, cookie, f))
	}
	s.Watch.Forget(person.ID)
	f.Progress.MustChange = false
	return s.advance(ctx, o, cookie, &f, person, func(tx *store.Tx) error {
		if err := s.Tell(ctx, tx, o, person.ID, notice.PasswordChanged, nil); err != nil {
			return err
		}
		return s.SettlePassword(ctx, tx, person, intent, "")
	}, "password.changed")
}

// Acknowledge records that the person has read the rules (articles 39, 40).
func (s *Service) Acknowledge(ctx context.Context, o Origin, cookie, version string) (Step, error) {
	f, person, err := s.resume(ctx, o, cookie, authn.Acknowledge)
	if err != nil {
		return Step{}, err
	}
	if version == "" || version != s.Policy().Acknowledgement.Version {
		return Step{}, ErrStep // another version came into force meanwhile
	}
	return s.advance(ctx, o, cookie, &f, person, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO acknowledgement (person_id, version, at) VALUES ($1, $2, $3)
			ON CONFLICT DO NOTHING`, string(person.ID), version, store.Micros(s.Now()))
		return err
	}, "rules.acknowledged")
}

// Current says what a cookie stands for: a session, or a sign-in under way.
// ErrNone means neither.
//
// A session that opens nothing where it is used (ErrNone, or *NoPassage) is answered
// with its CSRF token all the same: its browser may sign in anew from there.
func (s *Service) Current(ctx context.Context, o Origin, cookie string) (Step, error) {
	switch session.KindOf(cookie) {
	case session.KindSession:
		n, err := s.Sessions.Load(ctx, cookie)
		if err != nil {
			return Step{}, away(err)
		}
		if n.App != "" { // an application's own cookie opens its host alone
			return Step{}, ErrNone
		}
		p, err := s.Watch.Person(ctx, n.Person, s.stale(n.Zone))
		if err != nil {
			return Step{}, away(err)
		}
		if err := s.elsewhere(ctx, o, n, p); err != nil {
			return Step{CSRF: s.Sessions.CSRF(cookie)}, err
		}
		// The session was looked at as it began; this request may come from elsewhere.
		if s.Barred != nil && (n.Zone != o.Zone || n.Outside != o.Outside) {
			if shut, err := s.Barred(ctx, s.DB, Entrant{Person: p, Zone: o.Zone, Outside: o.Outside, Terminal: n.Terminal}); err != nil {
				return Step{}, err
			} else if shut {
				return Step{}, &ShutOut{}
			}
		}
		return Step{State: authn.SignedIn, CSRF: s.Sessions.CSRF(cookie), Session: &n, Person: p, AsOf: s.Watch.AsOf(n.Person)}, nil
	case session.KindFlow:
		f, person, err := s.resume(ctx, o, cookie, "")
		if err != nil {
			return Step{}, err
		}
		return s.describe(f, person, cookie), nil
	}
	return Step{}, ErrNone
}

func (s *Service) stale(z policy.ZoneID) time.Duration {
	zone, _ := s.Policy().RulesOf(z)
	return zone.DirectoryStale
}
