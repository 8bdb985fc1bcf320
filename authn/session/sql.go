package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

const columns = `id, person_id, login, name, zone, outside, acr, amr, source, user_agent, app, parent,
	started_at, auth_at, expires_at, idle_expires_at, seen_at,
	previous_at, previous_from, previous_out_at, failures_since, ended_at, terminal, terminal_class, factor_at, permits`

type scanner interface{ Scan(...any) error }

// versioned is a row that has its version before the columns.
type versioned struct {
	scanner
	version *int64
}

func (v versioned) Scan(into ...any) error {
	return v.scanner.Scan(append([]any{v.version}, into...)...)
}

func scan(row scanner) (Session, error) {
	var (
		s                                             Session
		person, zone, acr, amr, permits               string
		outside                                       int64
		started, auth, expires, idle, seen, pAt, pOut int64
		ended, factor                                 int64
	)
	err := row.Scan(&s.ID, &person, &s.Login, &s.Name, &zone, &outside, &acr, &amr, &s.From, &s.UserAgent, &s.App, &s.Parent,
		&started, &auth, &expires, &idle, &seen, &pAt, &s.Previous.From, &pOut, &s.Previous.FailuresSince, &ended, &s.Terminal, &s.TerminalClass, &factor, &permits)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, fmt.Errorf("reading a session: %w", err)
	}
	s.Person, s.Zone, s.ACR = directory.PersonID(person), policy.ZoneID(zone), policy.ACR(acr)
	s.Outside, s.AMR, s.Permits = outside != 0, strings.Fields(amr), strings.Fields(permits)
	s.FactorAt = store.FromMicros(factor)
	s.StartedAt, s.AuthAt = store.FromMicros(started), store.FromMicros(auth)
	s.ExpiresAt, s.IdleExpiresAt, s.SeenAt = store.FromMicros(expires), store.FromMicros(idle), store.FromMicros(seen)
	s.Previous.At, s.Previous.OutAt, s.EndedAt = store.FromMicros(pAt), store.FromMicros(pOut), store.FromMicros(ended)
	return s, nil
}

func insert(ctx context.Context, tx *store.Tx, s Session, keyID, mac string) error {
	outside := 0
	if s.Outside {
		outside = 1
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO session (handle_key, handle_mac, changed_at, `+columns+`)
		VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
		        $15, $16, $17, $18, $19, $20, $21, $22, $23, 0, $24, $25, $26, $27)`,
		keyID, mac, s.ID, string(s.Person), s.Login, s.Name, string(s.Zone), outside, string(s.ACR),
		strings.Join(s.AMR, " "), s.From, s.UserAgent, s.App, s.Parent,
		store.Micros(s.StartedAt), store.Micros(s.AuthAt), store.Micros(s.ExpiresAt), store.Micros(s.IdleExpiresAt),
		store.Micros(s.SeenAt), store.Micros(s.Previous.At), s.Previous.From, store.Micros(s.Previous.OutAt),
		s.Previous.FailuresSince, s.Terminal, s.TerminalClass, store.Micros(s.FactorAt), strings.Join(s.Permits, " "))
	if err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	return nil
}

// end marks sessions as ended by the given condition and returns how many. The
// guard on ended_at makes the first end the one that counts.
func end(ctx context.Context, tx *store.Tx, now time.Time, why, where string, args ...any) (int64, error) {
	args = append([]any{store.Micros(now), why}, args...)
	res, err := tx.Exec(ctx, `
		UPDATE session SET ended_at = $1, ended_why = $2, changed_at = $1, version = version + 1
		WHERE  ended_at = 0 AND (`+where+`)`, args...)
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	return res.RowsAffected()
}

// latest is the person's newest sign-in at the gate before now, for Previous.
func latest(ctx context.Context, tx *store.Tx, person directory.PersonID) (Session, error) {
	return scan(tx.QueryRow(ctx, `
		SELECT `+columns+` FROM session
		WHERE  person_id = $1 AND app = ''
		ORDER  BY started_at DESC LIMIT 1`, string(person)))
}

// takeFailures reads and clears what was counted against a person since the
// last sign-in.
func takeFailures(ctx context.Context, tx *store.Tx, person directory.PersonID) (int, error) {
	var n int
	err := tx.QueryRow(ctx, `SELECT failures FROM sign_in_failure WHERE person_id = $1`, string(person)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err == nil && n > 0 {
		_, err = tx.Exec(ctx, `UPDATE sign_in_failure SET failures = 0 WHERE person_id = $1`, string(person))
	}
	if err != nil {
		return 0, fmt.Errorf("counting failures since the last sign-in: %w", err)
	}
	return n, nil
}

// CountFailure adds one to the failures that the person is shown at the next
// sign-in.
func CountFailure(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO sign_in_failure (person_id, failures) VALUES ($1, 1)
		ON CONFLICT (person_id) DO UPDATE SET failures = sign_in_failure.failures + 1`, string(person))
	if err != nil {
		return fmt.Errorf("counting failures since the last sign-in: %w", err)
	}
	return nil
}

// Abroad are a person's sessions at the gate that began outside, or where no zone is
// served, as in sees them.
func (s *Sessions) Abroad(ctx context.Context, in store.Reader, person directory.PersonID) ([]Session, error) {
	rows, err := in.Query(ctx, `SELECT `+columns+` FROM session WHERE person_id = $1 AND app = '' AND ended_at = 0 AND expires_at > $2`,
		string(person), store.Micros(s.now()))
	if err != nil {
		return nil, fmt.Errorf("listing sessions from outside: %w", err)
	}
	defer rows.Close()
	pol := s.policy()
	var out []Session
	for rows.Next() {
		n, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if _, served := pol.Zone(n.Zone); n.Outside || !served {
			out = append(out, n)
		}
	}
	return out, rows.Err()
}

// Outside calls each with the sessions of people that came from outside within a time
// (from ≤ t < to) or were open then, oldest first. It reads rows alone, so that it
// serves a terminal too; the last use is exact to some seconds.
func Outside(ctx context.Context, in store.Reader, from, to time.Time, each func(Session) error) error {
	for at, id := int64(-1), ""; ; {
		page, err := store.All(ctx, in, "sessions from outside", func(r store.Row) (Session, error) { return scan(r) }, `
			SELECT `+columns+` FROM session
			WHERE  outside = 1 AND app = '' AND started_at < $1 AND (started_at >= $2 OR seen_at >= $2)
			AND    (started_at > $3 OR started_at = $3 AND id > $4) ORDER BY started_at, id LIMIT 500`,
			store.Micros(to), store.Micros(from), at, id)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, s := range page {
			if err := each(s); err != nil {
				return err
			}
		}
		last := page[len(page)-1]
		at, id = store.Micros(last.StartedAt), last.ID
	}
}
