package permit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// body is a permit as it is stored, less what has a column of its own.
type body struct {
	Person        Ref           `json:"person"`
	Requester     Ref           `json:"requester"`
	Contractor    bool          `json:"contractor,omitempty"`
	Reason        string        `json:"reason"`
	Stated        Stated        `json:"stated,omitempty"`
	Zone          policy.ZoneID `json:"zone,omitempty"`
	Renews        string        `json:"renews,omitempty"`
	PolicyVersion int64         `json:"policy_version"`
	Wish          string        `json:"wish,omitempty"`

	LapsesAt   int64    `json:"lapses_at,omitempty"`
	DecidedAt  int64    `json:"decided_at,omitempty"`
	Deciders   []Ref    `json:"deciders,omitempty"`
	Confirmed  []string `json:"confirmed,omitempty"`
	EndedAt    int64    `json:"ended_at,omitempty"`
	EndedBy    Ref      `json:"ended_by"`
	EndReason  string   `json:"end_reason,omitempty"`
	ReviewedAt int64    `json:"reviewed_at,omitempty"`
	ReviewedBy Ref      `json:"reviewed_by"`
	Done       *Done    `json:"done,omitempty"`

	ToldRenew bool  `json:"told_renew,omitempty"`
	ToldDue   int64 `json:"told_due,omitempty"`
}

func (m Permit) body() ([]byte, error) {
	at := store.Micros
	b := body{
		Person: m.Person, Requester: m.Requester, Contractor: m.Contractor, Reason: m.Reason, Stated: m.Stated, Zone: m.Zone, Renews: m.Renews,
		PolicyVersion: m.PolicyVersion, Wish: m.wish, LapsesAt: at(m.LapsesAt), DecidedAt: at(m.DecidedAt), Deciders: m.Deciders, Confirmed: m.Confirmed,
		EndedAt: at(m.EndedAt), EndedBy: m.EndedBy, EndReason: m.EndReason, ReviewedAt: at(m.ReviewedAt), ReviewedBy: m.ReviewedBy,
		ToldRenew: m.toldRenew, ToldDue: at(m.toldDue),
	}
	if !m.Done.Wrote.IsZero() {
		b.Done = &m.Done
	}
	return json.Marshal(b)
}

// columns are a permit's, and what administrators have enrolled its terminal as.
const columns = `id, kind, person_id, requester_id, state, version, asked_at, starts_at, ends_at, matter, used_at, used_from, body,
	COALESCE((SELECT t.class FROM terminal t WHERE t.id = permit.terminal), '')`

func scan(row store.Row) (Permit, error) {
	var (
		m                         Permit
		person, requester, state  string
		asked, starts, ends, used int64
		text                      string
		b                         body
	)
	err := row.Scan(&m.ID, &m.Kind, &person, &requester, &state, &m.version, &asked, &starts, &ends, &m.Matter, &used, &m.UsedFrom, &text, &m.enrolled)
	if errors.Is(err, sql.ErrNoRows) {
		return Permit{}, ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return Permit{}, fmt.Errorf("reading a permit: %w", err)
	}
	if b.Person.ID != directory.PersonID(person) || b.Requester.ID != directory.PersonID(requester) {
		return Permit{}, fmt.Errorf("reading permit %s: it is another's than its row says", m.ID)
	}
	at := store.FromMicros
	m.state, m.AskedAt, m.From, m.Until, m.UsedAt = State(state), at(asked), at(starts), at(ends), at(used)
	m.Person, m.Requester, m.Contractor, m.Reason, m.Stated, m.Zone, m.Renews = b.Person, b.Requester, b.Contractor, b.Reason, b.Stated, b.Zone, b.Renews
	m.PolicyVersion, m.wish, m.LapsesAt, m.DecidedAt, m.Deciders, m.Confirmed = b.PolicyVersion, b.Wish, at(b.LapsesAt), at(b.DecidedAt), b.Deciders, b.Confirmed
	m.EndedAt, m.EndedBy, m.EndReason, m.ReviewedAt, m.ReviewedBy = at(b.EndedAt), b.EndedBy, b.EndReason, at(b.ReviewedAt), b.ReviewedBy
	m.toldRenew, m.toldDue = b.ToldRenew, at(b.ToldDue)
	if b.Done != nil {
		m.Done = *b.Done
	}
	return m, nil
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

func insert(ctx context.Context, tx *store.Tx, m Permit, due, now time.Time) error {
	text, err := m.body()
	if err != nil {
		return fmt.Errorf("storing a permit: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, body,
		                    section, applications, words, lapses_at, decided_at, looked_at, done_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
		m.ID, m.Kind, string(m.Person.ID), string(m.Requester.ID), m.Stated.One("application"), m.Stated.One("terminal"), flag(enforced(m.Kind)), string(m.state),
		store.Micros(m.AskedAt), store.Micros(m.From), store.Micros(m.Until), store.Micros(due), m.Matter, store.Micros(now), string(text),
		m.Person.Section, m.opens(), m.words(), store.Micros(m.LapsesAt), store.Micros(m.DecidedAt), store.Micros(m.looked()), store.Micros(m.Done.Wrote))
	if err != nil {
		return fmt.Errorf("storing a permit: %w", err)
	}
	return nil
}

// save writes a permit back if nobody else has since it was read. The guard is in the
// WHERE clause: two who change one permit can race, and only the database sees both.
func save(ctx context.Context, tx *store.Tx, m Permit, due, now time.Time) error {
	text, err := m.body()
	if err != nil {
		return fmt.Errorf("storing a permit: %w", err)
	}
	err = tx.ExecOne(ctx, `
		UPDATE permit SET state = $1, version = version + 1, due_at = $2, changed_at = $3, body = $4, lapses_at = $7, decided_at = $8, looked_at = $9, done_at = $10
		WHERE  id = $5 AND version = $6`,
		string(m.state), store.Micros(due), store.Micros(now), string(text), m.ID, m.version,
		store.Micros(m.LapsesAt), store.Micros(m.DecidedAt), store.Micros(m.looked()), store.Micros(m.Done.Wrote))
	if err != nil {
		return fmt.Errorf("storing permit %s: %w", m.ID, err)
	}
	return nil
}

// touch has every gateway read anew the permits that name a terminal.
func touch(ctx context.Context, tx *store.Tx, terminal string, now time.Time) error {
	if _, err := tx.Exec(ctx, `UPDATE permit SET changed_at = $1 WHERE terminal = $2 AND enforced = 1`, store.Micros(now), terminal); err != nil {
		return fmt.Errorf("having permits of terminal %s read anew: %w", terminal, err)
	}
	return nil
}

func read(ctx context.Context, in store.Reader, id string) (Permit, error) {
	return scan(in.QueryRow(ctx, `SELECT `+columns+` FROM permit WHERE id = $1`, id))
}

func list(ctx context.Context, in store.Reader, where string, args ...any) ([]Permit, error) {
	return store.All(ctx, in, "permits", scan, `SELECT `+columns+` FROM permit WHERE `+where, args...)
}
