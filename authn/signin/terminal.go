package signin

import (
	"context"
	"errors"
	"strconv"
	"time"

	"sekisho/authn"
	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/terminal"
	"sekisho/directory"
	"sekisho/policy/store"
)

// Nonce is a value for a terminal to sign, and until when.
func (s *Service) Nonce() (value string, ends time.Time) { return s.Terminals.Nonce() }

// spoken reads what the terminal says. nil: it said nothing. What it says and
// cannot prove refuses the sign-in: a terminal that is imitated must be noticed,
// not passed over.
func (s *Service) spoken(ctx context.Context, o Origin, who someone) (*terminal.Assertion, error) {
	if o.Terminal == "" {
		return nil, nil
	}
	a, err := s.Terminals.Read(ctx, o.Terminal)
	var no *terminal.Refused
	if errors.As(err, &no) {
		return nil, errors.Join(s.refuse(ctx, o, who, "sign_in.terminal", no.Why), no)
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// sitting notes the terminal that a sign-in goes on at, and whether its word
// replaces a second factor (article 26no3-1).
func (s *Service) sitting(f *flow, a *terminal.Assertion) {
	if a == nil {
		return
	}
	f.Terminal, f.TerminalClass = a.Terminal.ID, a.Terminal.Class
	if zone, ok := s.Policy().Zone(f.Zone); ok && a.StandsIn(f.Login, zone, s.Now()) {
		f.Progress.Methods = append(f.Progress.Methods, authn.Terminal)
	}
}

// still refuses a sign-in whose terminal was lost, or became another, since it
// spoke: what it said is asked for again when a session comes of it (design rule
// 2).
func (s *Service) still(ctx context.Context, tx *store.Tx, f *flow) error {
	if f.Terminal == "" {
		return nil
	}
	t, err := s.Terminals.Find(ctx, tx, f.Terminal)
	switch {
	case errors.Is(err, terminal.ErrNotFound):
		return &terminal.Refused{Why: "unknown_terminal"}
	case err != nil:
		return err
	case !t.LostAt.IsZero():
		return &terminal.Refused{Why: "lost"}
	case t.Class != f.TerminalClass:
		return &terminal.Refused{Why: "changed"}
	}
	return nil
}

// heard uses an assertion up in the transaction of the step that it came with.
func (s *Service) heard(ctx context.Context, tx *store.Tx, a *terminal.Assertion) error {
	if a == nil {
		return nil
	}
	return s.Terminals.Spend(ctx, tx, *a)
}

// unheard makes a refusal of what kept an assertion from being used up: its
// nonce was used before, or the terminal was lost meanwhile. Other errors pass.
func (s *Service) unheard(ctx context.Context, o Origin, who someone, err error) error {
	var no *terminal.Refused
	if errors.As(err, &no) && !errors.Is(err, ErrRefused) { // else it was entered already
		return errors.Join(s.refuse(ctx, o, who, "sign_in.terminal", no.Why), no)
	}
	return err
}

// Tell queues a notice to a person about what is theirs, in the transaction of
// the act.
func (s *Service) Tell(ctx context.Context, tx *store.Tx, o Origin, person directory.PersonID, k notice.Kind, detail map[string]string) error {
	return s.Notices.Add(ctx, tx, notice.Notice{Person: person, Kind: k, Zone: o.Zone, At: s.Now(), Detail: detail})
}

// networkSeen reports whether the person has had a session from this source
// before.
func (s *Service) networkSeen(ctx context.Context, tx *store.Tx, o Origin, person directory.PersonID) (bool, error) {
	var n int
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM session WHERE person_id = $1 AND source = $2`,
		string(person), o.Source.String()).Scan(&n)
	return n > 0, err
}

// tellUnusual tells a person of a sign-in that came after failures, from a
// network or a browser they had not used before (ASVS 6.3.5).
func (s *Service) tellUnusual(ctx context.Context, tx *store.Tx, o Origin, n session.Session, usual bool) error {
	if usual || n.Previous.At.IsZero() || n.Previous.FailuresSince < s.Policy().SignIn.NoticeAfter {
		return nil
	}
	return s.Tell(ctx, tx, o, n.Person, notice.SignInUnusual, map[string]string{
		"from": n.From, "browser": n.UserAgent, "failures": strconv.Itoa(n.Previous.FailuresSince),
	})
}

// Powerful reports whether a person may not be given a credential by one other
// person alone (design rule 7).
func (s *Service) Powerful(p directory.Person) bool {
	pol := s.Policy()
	return pol.Powerful(append(pol.PostsOf(p.Groups), pol.StandsInFor(p.Login, s.Now())...))
}
