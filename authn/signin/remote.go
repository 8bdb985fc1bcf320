package signin

import (
	"context"
	"errors"
	"time"

	"sekisho/authn"
	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Passage is by what somebody comes in from outside, or from a zone that is not
// served here.
type Passage struct {
	Permits []string // the ids of those that let them in; none: nothing was needed
	Until   time.Time
	// Check: they confirm the terminal before anything opens (articles 63-4, 63-6).
	Check bool
}

// NoPassage refuses somebody who has proved who they are, and whom no permit lets in
// from where they are (articles 26no2-2, 63-1), or whose ID was for projects that are over
// (article 67-2(1)). It is said to nobody before that.
type NoPassage struct {
	Reason   string
	Says     policy.Words
	Articles []policy.Article
	Ask      string // the kind of permit to ask for
}

func (n *NoPassage) Error() string { return "no passage: " + n.Reason }

// foreign reports whether somebody comes from where nobody comes in without a permit.
func (s *Service) foreign(zone policy.ZoneID, outside bool) bool {
	_, served := s.Policy().Zone(zone)
	return outside || !served
}

// enters asks by what the person of a sign-in comes in. It is asked once more than one
// factor is proved: before that nobody is told whether there is a permit. Where no
// further factor would be asked for, it is asked at once: what is enrolled, or chosen
// anew, from outside is not for who has a password alone.
func (s *Service) enters(ctx context.Context, in store.Reader, o Origin, f flow, p directory.Person) (Passage, error) {
	if s.Enters == nil {
		return Passage{}, nil
	}
	acr := authn.Strength(f.Progress.Methods)
	if !acr.AtLeast(policy.AAL2) {
		if s.next(f) == authn.SecondFactor {
			return Passage{}, nil
		}
		acr = policy.AAL2 // whether the second factor would lead anywhere is asked before it is bound
	}
	way, err := s.Enters(ctx, in, Entrant{Person: p, Zone: f.Zone, Outside: f.Outside, Terminal: f.Terminal, Source: o.Source, ACR: acr})
	if !s.foreign(f.Zone, f.Outside) {
		way = Passage{} // whether the ID is good at all was the question
	}
	return way, err
}

// passing is what a step does, and that it leads on: refused, the step is done all the
// same, so that a code is good once, and the sign-in stays where it was. A factor is
// bound for nobody who is refused.
func (s *Service) passing(ctx context.Context, o Origin, f *flow, p directory.Person, action string, act func(*store.Tx) error) func(*store.Tx) error {
	if action == "factor.added" {
		return func(tx *store.Tx) error {
			if err := s.passes(ctx, tx, o, f, p); err != nil {
				return err
			}
			return act(tx)
		}
	}
	return func(tx *store.Tx) error {
		if err := act(tx); err != nil {
			return err
		}
		return s.passes(ctx, tx, o, f, p)
	}
}

// passes notes by what somebody comes in. A refusal is entered on the trail, and is one
// with which the transaction is to be kept.
func (s *Service) passes(ctx context.Context, tx *store.Tx, o Origin, f *flow, p directory.Person) error {
	way, err := s.enters(ctx, tx, o, *f, p)
	if no := (*NoPassage)(nil); errors.As(err, &no) {
		e := audit.Entry{
			Actor: p.Login, Action: "sign_in", Object: string(p.ID), Outcome: audit.Refused, Reason: no.Reason, Articles: no.Articles,
			From: o.Source.String(), Zone: string(o.Zone), Terminal: f.Terminal, RequestID: o.RequestID,
		}
		if err := s.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
		return Keep(no)
	}
	f.way = way
	return err
}

// ConfirmTerminal takes a person's word that the terminal is in order (articles 63-4
// and 63-6).
func (s *Service) ConfirmTerminal(ctx context.Context, o Origin, cookie string) (Step, error) {
	f, person, err := s.resume(ctx, o, cookie, authn.TerminalCheck)
	if err != nil {
		return Step{}, err
	}
	f.Progress.Checked = true
	return s.advance(ctx, o, cookie, &f, person, func(*store.Tx) error { return nil }, "terminal.confirmed")
}

// elsewhere asks about a session that is used from another place than it began in. One
// that began inside opens nothing outside: there its person signs in anew, confirms the
// terminal, and is governed by the rules for outside.
func (s *Service) elsewhere(ctx context.Context, o Origin, n session.Session, p directory.Person) error {
	if s.Enters == nil || !o.Source.IsValid() || !s.foreign(o.Zone, o.Outside) {
		return nil
	}
	if n.Zone == o.Zone && n.Outside == o.Outside {
		if !n.Outside || n.From == o.Source.String() {
			return nil // it is asked at each use of the session
		}
	}
	if _, err := s.Enters(ctx, s.DB, Entrant{Person: p, Zone: o.Zone, Outside: o.Outside, Terminal: n.Terminal, Source: o.Source, ACR: n.ACR}); err != nil {
		return err
	}
	if o.Outside && !n.Outside || n.Zone != o.Zone && !n.Outside {
		return ErrNone
	}
	return nil
}

// Welcomes reports whether the door asks for a name where somebody comes from.
func (s *Service) Welcomes(ctx context.Context, o Origin) error {
	if _, served := s.Policy().Zone(o.Zone); served {
		return nil
	}
	if s.Reachable != nil {
		if could, err := s.Reachable(ctx, o.Zone, o.Outside); err != nil || could {
			return err
		}
	}
	return &WrongZone{Zone: o.Zone}
}
