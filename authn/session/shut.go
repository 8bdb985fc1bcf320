package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Bar says whether a session that is good by its row and its person must open
// nothing all the same, and why. It is asked at each use, so it answers from
// memory where that was young enough at the moment; an error refuses. It changes nothing
// of the session.
type Bar func(ctx context.Context, at clock.Moment, n *Session, p directory.Person) (why string, shut bool, err error)

// Obey has a bar asked at each use of a session, and names the applications whose
// own sessions go on when the gate's is ended because of it. It must be called
// before anything is loaded.
func (s *Sessions) Obey(b Bar, spared func() []string) { s.bar, s.spared = b, spared }

// also is a further bar, with the articles that it serves.
type also struct {
	bar      Bar
	articles []policy.Article
}

// Require has a further bar asked at each use. What it shuts ends with all that hangs
// on it. It must be called before anything is loaded.
func (s *Sessions) Require(b Bar, articles ...policy.Article) {
	s.also = append(s.also, also{b, articles})
}

// required asks the further bars, and ends what one of them shuts for good.
func (s *Sessions) required(ctx context.Context, at clock.Moment, n *Session, p directory.Person) error {
	for _, one := range s.also {
		why, shut, err := one.bar(ctx, at, n, p)
		if err != nil {
			return err
		}
		if !shut {
			continue
		}
		err = s.db.WithTx(ctx, func(tx *store.Tx) error {
			ended, err := end(ctx, tx, s.now(), why, `id = $3 OR parent = $3`, n.ID)
			if err != nil || ended == 0 {
				return err
			}
			return s.trail.Append(ctx, tx, audit.Entry{
				Actor: "system", Action: "session.ended", Object: n.Login, Outcome: audit.OK, Reason: why,
				Articles: one.articles, Detail: map[string]string{"sessions": fmt.Sprint(ended)},
			})
		})
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.drop(n.ID)
		s.mu.Unlock()
		s.Ring()
		return ErrNone
	}
	return nil
}

// barred refuses a session that a bar shuts, and ends it for good.
func (s *Sessions) barred(ctx context.Context, at clock.Moment, n *Session, p directory.Person) error {
	if err := s.required(ctx, at, n, p); err != nil || s.bar == nil {
		return err
	}
	why, shut, err := s.bar(ctx, at, n, p)
	if err != nil {
		return err
	}
	if !shut {
		return nil
	}
	err = s.db.WithTx(ctx, func(tx *store.Tx) error {
		ended, err := s.Shut(ctx, tx, []string{n.ID}, why)
		if err != nil || ended == 0 {
			return err
		}
		return s.trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "session.ended", Object: n.Login, Outcome: audit.OK, Reason: why,
			Articles: []policy.Article{"75-2"}, Detail: map[string]string{"sessions": fmt.Sprint(ended)},
		})
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.drop(n.ID)
	s.mu.Unlock()
	s.Ring()
	return ErrNone
}

// perShut is how many sessions one statement ends.
const perShut = 100

// Shut ends sessions with what hangs on them, in the caller's transaction, but not
// those of applications that were spared beforehand.
func (s *Sessions) Shut(ctx context.Context, tx *store.Tx, ids []string, why string) (int64, error) {
	var apps []string
	if s.spared != nil {
		apps = s.spared()
	}
	var ended int64
	for part := range slices.Chunk(ids, perShut) {
		args := []any{}
		mark := func(v string) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)+2) }
		var in []string
		for _, id := range part {
			in = append(in, mark(id))
		}
		list := strings.Join(in, ", ")
		where := `id IN (` + list + `) OR parent IN (` + list + `)`
		if len(apps) > 0 { // what hangs on one that ends; one that was chosen itself ends
			var spared []string
			for _, app := range apps {
				spared = append(spared, mark(app))
			}
			where += ` AND app NOT IN (` + strings.Join(spared, ", ") + `)`
		}
		n, err := end(ctx, tx, s.now(), why, where, args...)
		if err != nil {
			return 0, err
		}
		ended += n
	}
	return ended, nil
}

// ShutApplication ends the sessions of one application's host.
func (s *Sessions) ShutApplication(ctx context.Context, tx *store.Tx, app, why string) (int64, error) {
	return end(ctx, tx, s.now(), why, `app = $3 AND app <> ''`, app)
}

// Everyone is every session that has not ended or run out, the gate's and those of
// applications. in is the store, or the transaction that goes by it.
func (s *Sessions) Everyone(ctx context.Context, in store.Reader) ([]Session, error) {
	rows, err := in.Query(ctx, `SELECT `+columns+` FROM session WHERE ended_at = 0 AND expires_at > $1`, store.Micros(s.now()))
	if err != nil {
		return nil, fmt.Errorf("listing all sessions: %w", err)
	}
	defer rows.Close()
	pol, now := s.policy(), s.now()
	var out []Session
	for rows.Next() {
		n, err := scan(rows)
		if err != nil && !errors.Is(err, ErrNone) {
			return nil, err
		}
		n.SeenAt = s.lastSeen(n)
		// Another gateway may have seen it used a moment ago.
		if n.alive(pol, now.Add(-2*flushEvery)) {
			out = append(out, n)
		}
	}
	return out, rows.Err()
}
