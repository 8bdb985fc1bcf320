package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy/store"
)

// TerminalSeen is a terminal and who is signed in there now.
type TerminalSeen struct {
	terminal.Terminal
	Who, WhoName string // login and name; "" for nobody
}

// Terminals lists the register, by id.
func (s *Service) Terminals(ctx context.Context, o signin.Origin, cookie string) ([]TerminalSeen, error) {
	if _, err := s.viewer(ctx, o, cookie, authz.ViewTerminals); err != nil {
		return nil, err
	}
	all, err := s.In.Terminals.List(ctx)
	if err != nil {
		return nil, err
	}
	at, err := s.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]TerminalSeen, 0, len(all))
	for _, t := range all {
		out = append(out, TerminalSeen{t, at[t.ID].Login, at[t.ID].Name})
	}
	return out, nil
}

// signedIn is the session at each terminal that has one. A row that has not been
// ended may have idled out: whether it lives is session's to say.
func (s *Service) signedIn(ctx context.Context) (map[string]session.Session, error) {
	holders, err := s.holders(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]session.Session{}
	for _, id := range holders {
		live, err := s.In.Sessions.List(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, n := range slices.Backward(live) { // of two, the newer
			if n.Terminal != "" {
				out[n.Terminal] = n
			}
		}
	}
	return out, nil
}

// holders are the people with a session on a terminal that has not been ended.
func (s *Service) holders(ctx context.Context) ([]directory.PersonID, error) {
	rows, err := s.In.DB.Query(ctx, `
		SELECT DISTINCT person_id FROM session
		WHERE  terminal <> '' AND ended_at = 0 AND app = '' AND expires_at > $1`, store.Micros(s.In.Now()))
	if err != nil {
		return nil, fmt.Errorf("reading who is at a terminal: %w", err)
	}
	defer rows.Close()
	var out []directory.PersonID
	for rows.Next() {
		var id directory.PersonID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("reading who is at a terminal: %w", err)
		}
		out = append(out, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading who is at a terminal: %w", err)
	}
	return out, nil
}

// EnrolTerminal adds a counter or lent terminal to the register. A dedicated
// one, whose word may stand in for a factor, is declared in the policy by two
// persons. *terminal.Invalid refuses a field.
func (s *Service) EnrolTerminal(ctx context.Context, o signin.Origin, cookie string, t terminal.Terminal, publicKeyPEM string) error {
	d, err := s.begin(ctx, o, cookie, authz.EnrolTerminal, nobody)
	if err != nil {
		return err
	}
	t.AddedBy = d.by.Login
	e := d.entry(t.ID, "", map[string]string{"zone": string(t.Zone), "class": t.Class})
	err = s.commit(ctx, d, e, func(tx *store.Tx) error {
		if err := s.In.Terminals.Enrol(ctx, tx, t, publicKeyPEM); err != nil || s.Permits == nil {
			return err
		}
		return s.Permits.Enrolled(ctx, tx, t.ID)
	})
	if err == nil && s.Permits != nil {
		s.Permits.Changed(ctx)
	}
	return err
}

// LoseTerminal records that a terminal is lost: nothing it says is believed from
// now on, and whatever is open on it ends. One that is not enrolled, as a person's own,
// may be named by permits all the same: they end.
func (s *Service) LoseTerminal(ctx context.Context, o signin.Origin, cookie, id string) error {
	return s.takeAway(ctx, o, cookie, authz.LoseTerminal, id, "the terminal was lost", func(tx *store.Tx, by string) error {
		return s.In.Terminals.Lose(ctx, tx, id, by)
	})
}

// RemoveTerminal takes a terminal that was enrolled here off the register, and
// ends whatever is open on it.
func (s *Service) RemoveTerminal(ctx context.Context, o signin.Origin, cookie, id string) error {
	return s.takeAway(ctx, o, cookie, authz.RemoveTerminal, id, "the terminal was removed", func(tx *store.Tx, _ string) error {
		return s.In.Terminals.Remove(ctx, tx, id)
	})
}

func (s *Service) takeAway(ctx context.Context, o signin.Origin, cookie string, act authz.Act, id, why string, do func(tx *store.Tx, by string) error) error {
	d, err := s.begin(ctx, o, cookie, act, nobody)
	if err != nil {
		return err
	}
	detail := map[string]string{}
	err = s.commit(ctx, d, d.entry(id, "", detail), func(tx *store.Tx) error {
		return s.terminalGone(ctx, tx, act, id, d.by.Login, why, detail, do)
	})
	if err == nil && s.Permits != nil {
		s.Permits.Changed(ctx)
	}
	switch {
	case errors.Is(err, terminal.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, terminal.ErrLost):
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return err
}

// terminalGone takes a terminal away, with what is open on it and what names it.
func (s *Service) terminalGone(ctx context.Context, tx *store.Tx, act authz.Act, id, by, why string, detail map[string]string, do func(tx *store.Tx, by string) error) error {
	unknown := do(tx, by)
	if unknown != nil && (s.Permits == nil || act != authz.LoseTerminal || !errors.Is(unknown, terminal.ErrNotFound)) {
		return unknown
	}
	ended, err := s.In.Sessions.EndAt(ctx, tx, id, why)
	detail["sessions"] = strconv.FormatInt(ended, 10)
	if err != nil || s.Permits == nil {
		return err
	}
	over, err := s.Permits.Lost(ctx, tx, id, by, why)
	if detail["permits"] = strconv.Itoa(over); err == nil && over == 0 {
		return unknown
	}
	return err
}
