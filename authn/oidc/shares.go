package oidc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy/store"
)

// A Share is what one application holds of a session.
type Share struct {
	SID     string
	Client  string
	Person  directory.PersonID
	Login   string
	BeganAt time.Time
	Session session.Session // that it hangs on
}

// MostShares bounds what Shares answers with.
const MostShares = 200

// Shares are a client's open shares of sessions that are good, the newest first;
// login "" for everybody's.
func (p *Provider) Shares(ctx context.Context, client, login string) ([]Share, error) {
	rows, err := p.DB.Query(ctx, `
		SELECT o.sid, o.client_id, o.person_id, o.login, o.began_at, o.session_id
		FROM   oidc_session o JOIN session n ON n.id = o.session_id
		WHERE  o.client_id = $1 AND ($2 = '' OR o.login = $2) AND o.ended_at = 0 AND n.ended_at = 0 AND n.expires_at > $3
		ORDER  BY o.began_at DESC, o.sid LIMIT $4`, client, login, store.Micros(p.Now()), MostShares)
	if err != nil {
		return nil, fmt.Errorf("listing an application's shares of sessions: %w", err)
	}
	var out []Share
	for rows.Next() {
		var (
			s       Share
			person  string
			session string
			began   int64
		)
		if err := rows.Scan(&s.SID, &s.Client, &person, &s.Login, &began, &session); err != nil {
			rows.Close()
			return nil, fmt.Errorf("listing an application's shares of sessions: %w", err)
		}
		s.Person, s.BeganAt, s.Session.ID = directory.PersonID(person), store.FromMicros(began), session
		out = append(out, s)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing an application's shares of sessions: %w", err)
	}
	live := out[:0]
	for _, s := range out {
		switch n, err := p.Sessions.Peek(ctx, s.Session.ID); {
		case errors.Is(err, session.ErrNone): // idled out a moment ago
		case err != nil:
			return nil, err
		default:
			s.Session = n
			live = append(live, s)
		}
	}
	return live, nil
}

// EndShare ends one application's share of a session in the caller's
// transaction, with all tokens that came of it, and queues the word to the
// application. The session goes on. false: there is none that is open.
func (p *Provider) EndShare(ctx context.Context, tx *store.Tx, sid, why string) (bool, error) {
	ended, err := p.partIn(ctx, tx, sid, why, p.Now())
	if err != nil || !ended {
		return false, err
	}
	// The row leaves the session, which may have one share for a client: whoever
	// comes back there gets another, under another sid.
	_, err = tx.Exec(ctx, `UPDATE oidc_session SET session_id = sid WHERE sid = $1`, sid)
	return err == nil, err
}
