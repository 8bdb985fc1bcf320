package session

import (
	"context"
	"fmt"

	"sekisho/policy/store"
)

// MostInside bounds what Inside answers with.
const MostInside = 200

// Inside are the live sessions of an application's own host, the newest first;
// login "" for everybody's.
func (s *Sessions) Inside(ctx context.Context, app, login string) ([]Session, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+columns+` FROM session
		WHERE  app = $1 AND app <> '' AND ($2 = '' OR login = $2) AND ended_at = 0 AND expires_at > $3
		ORDER  BY started_at DESC, id LIMIT $4`, app, login, store.Micros(s.now()), MostInside)
	if err != nil {
		return nil, fmt.Errorf("listing who is in an application: %w", err)
	}
	defer rows.Close()
	pol, now := s.policy(), s.now()
	var out []Session
	for rows.Next() {
		n, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if n.SeenAt = s.lastSeen(n); !n.alive(pol, now) {
			continue
		}
		n.ExpiresAt, n.IdleExpiresAt = n.bounds(pol)
		out = append(out, n)
	}
	return out, rows.Err()
}

// Row is a session of the gate as its row has it, alive or not.
func (s *Sessions) Row(ctx context.Context, in store.Reader, id string) (Session, error) {
	return scan(in.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE id = $1 AND app = ''`, id))
}

// Peek is a live session of the gate as its row and this gateway's memory have
// it, for who looks on: it asks nobody about the person, counts as no use and
// opens nothing.
func (s *Sessions) Peek(ctx context.Context, id string) (Session, error) {
	n, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE id = $1 AND app = ''`, id))
	if err != nil {
		return Session{}, err
	}
	pol := s.policy()
	if n.SeenAt = s.lastSeen(n); !n.alive(pol, s.now()) {
		return Session{}, ErrNone
	}
	n.ExpiresAt, n.IdleExpiresAt = n.bounds(pol)
	return n, nil
}
