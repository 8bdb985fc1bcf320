package oidc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/token"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Farewell is a request to sign out that an application sent a browser with
// (OpenID Connect RP-Initiated Logout 1.0).
type Farewell struct {
	Client policy.Client // zero: nobody knows whose request it is
	// Back is where to go afterwards: registered letter by letter, or "".
	Back  string
	State string
	// Proven: the application holds an ID token of the very session that this
	// browser is in, which no other site can have. Without it the person is
	// asked, or anybody could sign people out (OWASP ASVS 10.6.2).
	Proven bool
}

// Farewell reads such a request for the session that a browser is in, "" for
// none.
func (p *Provider) Farewell(ctx context.Context, hint, clientID, back, state, sessionID string) (Farewell, error) {
	f := Farewell{}
	if readable(state) && len(state) <= maxParameter {
		f.State = state
	}
	sid, known := "", false
	if hint != "" && len(hint) <= maxToken {
		claims, err := p.Keys.Read(hint, token.TypeID, p.Issuer, true)
		if err != nil && !errors.Is(err, token.ErrNotOurs) {
			return f, err
		}
		// A hint that proves nothing is as good as none: the person is asked. Its
		// key may have followed its time, while the session goes on.
		if err == nil {
			aud, _ := claims.GetAudience()
			if len(aud) != 1 || clientID != "" && clientID != aud[0] {
				return f, invalid("id_token_hint was given to another client")
			}
			clientID, sid = aud[0], text(claims, "sid")
		}
	}
	if f.Client, known = p.Policy().Client(clientID); known && back != "" && slices.Contains(f.Client.PostLogoutRedirectURIs, back) {
		f.Back = back
	}
	if sid == "" || sessionID == "" {
		return f, nil
	}
	var of string
	err := p.DB.QueryRow(ctx, `SELECT session_id FROM oidc_session WHERE sid = $1 AND client_id = $2`, sid, clientID).Scan(&of)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return f, fmt.Errorf("reading an application's share of a session: %w", err)
	}
	f.Proven = of == sessionID
	return f, nil
}

const (
	// claimFor is how long a try may take before another gateway may try.
	claimFor = time.Minute
	// mostWait is the longest wait between two tries.
	mostWait = 10 * time.Minute
)

// Since is how far Queue has looked.
type Since struct{ at, scanned time.Time }

// Queue finds applications' shares of sessions that are over, for whatever
// reason, ends them, and queues what each application is to be told. Most ends
// are rows that have just changed; once a minute all open shares are looked at,
// for those that nobody ended: they ran out or were left idle.
func (p *Provider) Queue(ctx context.Context, since *Since) error {
	now, pol := p.Now(), p.Policy()
	all := since.scanned.IsZero() || now.Sub(since.scanned) >= time.Minute
	type open struct{ sid, session string }
	var found []open
	ended := func() (*sql.Rows, error) {
		return p.DB.Query(ctx, `
			SELECT o.sid, o.session_id FROM session n JOIN oidc_session o ON o.session_id = n.id
			WHERE  n.changed_at > $1 AND n.ended_at <> 0 AND o.ended_at = 0`, store.Micros(since.at.Add(-pol.Session.RevocationReread)))
	}
	if all {
		idle, absolute := shortest(pol)
		ended = func() (*sql.Rows, error) {
			return p.DB.Query(ctx, `
				SELECT o.sid, o.session_id FROM oidc_session o LEFT JOIN session n ON n.id = o.session_id
				WHERE  o.ended_at = 0 AND (n.id IS NULL OR n.ended_at <> 0 OR n.expires_at <= $1 OR n.seen_at <= $2 OR n.started_at <= $3)`,
				store.Micros(now), store.Micros(now.Add(-idle)), store.Micros(now.Add(-absolute)))
		}
	}
	rows, err := ended()
	if err != nil {
		return fmt.Errorf("looking for sessions that are over: %w", err)
	}
	for rows.Next() {
		var o open
		if err := rows.Scan(&o.sid, &o.session); err != nil {
			rows.Close()
			return fmt.Errorf("looking for sessions that are over: %w", err)
		}
		found = append(found, o)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return fmt.Errorf("looking for sessions that are over: %w", err)
	}
	for _, o := range found {
		over, err := p.Sessions.Over(ctx, o.session)
		if err != nil {
			return err
		}
		if over {
			if err := p.part(ctx, o.sid, now); err != nil {
				return err
			}
		}
	}
	since.at = now
	if all {
		since.scanned = now
	}
	return nil
}

// shortest are the shortest lives that a session may have anywhere.
func shortest(p *policy.Policy) (idle, absolute time.Duration) {
	idle, absolute = time.Hour, 24*time.Hour
	for _, z := range p.Zones {
		idle, absolute = min(idle, z.IdleEnd, z.CounterIdleEnd), min(absolute, z.AbsoluteEnd)
	}
	return idle, absolute
}

// part ends an application's share of a session with its families, and queues
// the word to the application in the same transaction.
func (p *Provider) part(ctx context.Context, sid string, now time.Time) error {
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := p.partIn(ctx, tx, sid, "session over", now)
		return err
	})
}

// partIn is part in the caller's transaction; false: another came first.
func (p *Provider) partIn(ctx context.Context, tx *store.Tx, sid, why string, now time.Time) (bool, error) {
	err := tx.ExecOne(ctx, `UPDATE oidc_session SET ended_at = $1 WHERE sid = $2 AND ended_at = 0`, store.Micros(now), sid)
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ending an application's share of a session: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE oidc_grant SET ended_at = $1, ended_why = $2 WHERE sid = $3 AND ended_at = 0`, store.Micros(now), why, sid); err != nil {
		return false, fmt.Errorf("ending what came of a session: %w", err)
	}
	var client, person, login string
	if err := tx.QueryRow(ctx, `SELECT client_id, person_id, login FROM oidc_session WHERE sid = $1`, sid).Scan(&client, &person, &login); err != nil {
		return false, err
	}
	if c, ok := p.Policy().Client(client); !ok || c.BackchannelLogoutURI == "" {
		return true, nil
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO oidc_logout (id, client_id, sid, person_id, login, queued_at, next_at)
		VALUES ($1, $2, $3, $4, $5, $6, $6)`, secret.Token(16), client, sid, person, login, store.Micros(now))
	if err != nil {
		return false, fmt.Errorf("queueing the word of a sign-out: %w", err)
	}
	return true, nil
}

// A Word is what an application is to be told of the end of a session.
type Word struct {
	ID     string
	Client string
	URI    string // where; "" when the policy no longer names it
	Token  string // a logout token, made for this one try
	login  string
	queued time.Time
	tries  int
}

// ErrSilent is how a try failed that got no answer at all: the application's
// other words would not get one either.
var ErrSilent = errors.New("no answer")

// Claim takes words that are due, for this gateway alone and for a minute. room
// says of each client that is due, the longest waiting first, how many it may
// have, given how often the least tried of its words has been tried: so no
// client takes another's place, however many words wait for it.
func (p *Provider) Claim(ctx context.Context, room func(client string, tries int) int) ([]Word, error) {
	now := p.Now()
	type due struct {
		client string
		tries  int
	}
	clients, err := store.All(ctx, p.DB, "whom to tell of sign-outs", func(row store.Row) (d due, err error) {
		var oldest int64
		err = row.Scan(&d.client, &oldest, &d.tries)
		return d, err
	}, `SELECT client_id, MIN(next_at), MIN(tries) FROM oidc_logout WHERE done_at = 0 AND next_at <= $1 GROUP BY client_id ORDER BY MIN(next_at)`, store.Micros(now))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range clients {
		n := room(d.client, d.tries)
		if n <= 0 {
			continue
		}
		some, err := store.All(ctx, p.DB, "what to tell of sign-outs", oneText,
			`SELECT id FROM oidc_logout WHERE client_id = $1 AND done_at = 0 AND next_at <= $2 ORDER BY next_at, id LIMIT $3`, d.client, store.Micros(now), n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	var out []Word
	for _, id := range ids {
		w, sid, person := Word{ID: id}, "", ""
		err := p.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `UPDATE oidc_logout SET next_at = $1, tries = tries + 1 WHERE id = $2 AND done_at = 0 AND next_at <= $3`,
				store.Micros(now.Add(claimFor)), id, store.Micros(now))
			if err != nil {
				return err
			}
			var queued int64
			err = tx.QueryRow(ctx, `SELECT client_id, sid, person_id, login, queued_at, tries FROM oidc_logout WHERE id = $1`, id).
				Scan(&w.Client, &sid, &person, &w.login, &queued, &w.tries)
			w.queued = store.FromMicros(queued)
			return err
		})
		if errors.Is(err, store.ErrUntouched) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("taking the word of a sign-out: %w", err)
		}
		if c, ok := p.Policy().Client(w.Client); ok {
			w.URI = c.BackchannelLogoutURI
		}
		w.Token, err = p.Keys.Sign(token.TypeLogout, jwt.MapClaims{
			"iss": p.Issuer, "sub": Subject(directory.PersonID(person)), "aud": w.Client, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(),
			"jti": secret.Token(16), "sid": sid, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		})
		if err != nil {
			return out, err
		}
		out = append(out, w)
	}
	return out, nil
}

// Tried reports whether a word was tried before this time.
func (w Word) Tried() bool { return w.tries > 1 }

// oneText reads a row of one text.
func oneText(row store.Row) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}

// Settle records how a try went: told, to be tried again, or given up. It
// returns which.
func (p *Provider) Settle(ctx context.Context, w Word, failure error) (outcome string, err error) {
	now := p.Now()
	outcome = "told"
	switch {
	case failure == nil:
	case w.URI == "" || now.Sub(w.queued) >= p.Policy().OpenID.LogoutEnd:
		outcome = "given_up"
	default:
		next := store.Micros(now.Add(min(mostWait, time.Second<<min(w.tries, 12))))
		err := p.DB.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE oidc_logout SET next_at = $1 WHERE id = $2 AND done_at = 0`, next, w.ID)
			if err != nil || !errors.Is(failure, ErrSilent) {
				return err
			}
			// One word finds out whether it is back; the others wait with it.
			_, err = tx.Exec(ctx, `UPDATE oidc_logout SET next_at = $1 WHERE client_id = $2 AND done_at = 0 AND next_at < $1`, next, w.Client)
			return err
		})
		return "retry", err
	}
	e := audit.Entry{
		Actor: "system", Action: "application.signed_out", Object: w.Client, Outcome: audit.OK, Articles: []policy.Article{"62-1"},
		Detail: map[string]string{"login": w.login, "tries": fmt.Sprint(w.tries)},
	}
	if failure != nil {
		e.Outcome, e.Reason = audit.Failed, "the application could not be told: "+failure.Error()
	}
	err = p.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `UPDATE oidc_logout SET done_at = $1, outcome = $2 WHERE id = $3 AND done_at = 0`, store.Micros(now), outcome, w.ID)
		if errors.Is(err, store.ErrUntouched) {
			return nil
		}
		if err != nil {
			return err
		}
		return p.Trail.Append(ctx, tx, e)
	})
	return outcome, err
}

// Waiting is how many words have not been said yet.
func (p *Provider) Waiting(ctx context.Context) (int, error) {
	var n int
	err := p.DB.QueryRow(ctx, `SELECT COUNT(*) FROM oidc_logout WHERE done_at = 0`).Scan(&n)
	return n, err
}

// keptFor is how long rows stay that decide nothing any more.
const keptFor = 30 * 24 * time.Hour

// Tidy removes what decides nothing any more. A used refresh token stays as long
// as its family could have lived: until then it must be known when it comes
// again.
func (p *Provider) Tidy(ctx context.Context) error {
	now := store.Micros(p.Now())
	old := store.Micros(p.Now().Add(-keptFor))
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		for _, q := range []string{
			`DELETE FROM oidc_revoked WHERE expires_at < $1`,
			`DELETE FROM oidc_assertion WHERE expires_at < $1`,
			`DELETE FROM oidc_spent WHERE expires_at < $1`,
		} {
			if _, err := tx.Exec(ctx, q, now); err != nil {
				return fmt.Errorf("tidying OpenID Connect's rows: %w", err)
			}
		}
		for _, q := range []string{
			`DELETE FROM oidc_refresh WHERE grant_id IN (SELECT id FROM oidc_grant WHERE expires_at < $1)`,
			`DELETE FROM oidc_grant WHERE expires_at < $1`,
			`DELETE FROM oidc_session WHERE ended_at <> 0 AND ended_at < $1 AND sid NOT IN (SELECT sid FROM oidc_grant)`,
			`DELETE FROM oidc_logout WHERE done_at <> 0 AND done_at < $1`,
		} {
			if _, err := tx.Exec(ctx, q, old); err != nil {
				return fmt.Errorf("tidying OpenID Connect's rows: %w", err)
			}
		}
		return nil
	})
}
