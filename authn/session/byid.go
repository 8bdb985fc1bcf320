package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// ByID finds a live session of the gate by its id, for what outlives a request
// of its browser: the tokens of applications. It believes a copy as Load does, and
// does not count as use; whoever gives something out for it asks StillOpen in the
// transaction that does.
func (s *Sessions) ByID(ctx context.Context, id string) (Session, error) {
	at, pol := s.moment(), s.policy()
	now := at.Now
	n, ok := s.heldByID(id, pol, at)
	if !ok {
		var err error
		if n, err = scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE id = $1 AND app = ''`, id)); err != nil {
			return Session{}, err
		}
		n.SeenAt = s.lastSeen(n)
		if !n.alive(pol, now) {
			return Session{}, ErrNone
		}
	}
	if _, _, err := s.mayGoOn(ctx, &n, pol, at); err != nil {
		return Session{}, err
	}
	n.ExpiresAt, n.IdleExpiresAt = n.bounds(pol)
	return n, nil
}

// heldByID is the copy of one of the gate's own sessions, where there is one that
// may be believed (design rule 4). One that seems over may have been used
// elsewhere, so the row decides about that.
func (s *Sessions) heldByID(id string, pol *policy.Policy, at clock.Moment) (Session, bool) {
	if !s.inStep(pol, at) {
		return Session{}, false
	}
	s.mu.RLock()
	c := s.held[s.byID[id]]
	s.mu.RUnlock()
	if c == nil || c.s.App != "" || !c.alive(pol, at.Now) {
		return Session{}, false
	}
	n := c.s
	n.SeenAt = store.FromMicros(c.seen.Load())
	return n, true
}

// StillOpen is ErrNone for a session that was ended, asked in the transaction
// that gives something out because of it. Its times were looked at just before.
func (s *Sessions) StillOpen(ctx context.Context, tx *store.Tx, id string) error {
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM session WHERE id = $1 AND ended_at = 0`, id).Scan(&n); err != nil {
		return fmt.Errorf("reading a session: %w", err)
	}
	if n == 0 {
		return ErrNone
	}
	return nil
}

// StillSignedIn is ErrNone for who has been signed out, or closed out, since their
// request began, asked in the transaction of what they do. A session that is somebody
// else's is none of theirs.
func StillSignedIn(ctx context.Context, tx *store.Tx, id string, who directory.PersonID, now time.Time) error {
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM session WHERE id = $1 AND person_id = $2 AND ended_at = 0`, id, string(who)).Scan(&n); err != nil {
		return fmt.Errorf("reading the session of whoever acts: %w", err)
	}
	if n == 0 {
		return ErrNone
	}
	closed, err := standing.Closed(ctx, tx, who, now)
	if err != nil {
		return err
	}
	if closed {
		return ErrNone
	}
	return nil
}

// Use counts an application's work for the session's person as use of the
// session, in the caller's transaction: whoever works there must not be signed
// out for doing nothing here. Not at a counter, where only what its keyboard
// does shows that somebody is there (article 38-6), and not of a privileged session:
// an application asks for tokens whether or not anybody is there.
func (s *Sessions) Use(ctx context.Context, tx *store.Tx, n Session) error {
	if n.TerminalClass == policy.TerminalCounter {
		return nil
	}
	at := store.Micros(s.now())
	if _, err := tx.Exec(ctx, `UPDATE session SET seen_at = $1 WHERE id = $2 AND ended_at = 0 AND seen_at < $1`, at, n.ID); err != nil {
		return fmt.Errorf("counting the use of a session: %w", err)
	}
	return nil
}

// Over reports whether a session can be used no more, by its row: ended, run
// out, idle too long, or gone. It asks nobody about the person. Another gateway
// may have seen it used and not have written that back yet, so one that nobody
// ended is over only when that time has passed too.
func (s *Sessions) Over(ctx context.Context, id string) (bool, error) {
	n, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE id = $1`, id))
	if errors.Is(err, ErrNone) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	n.SeenAt = s.lastSeen(n)
	return !n.alive(s.policy(), s.now().Add(-2*flushEvery)), nil
}
