package shared

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// body is a check-out as it is stored, less what has a column of its own.
type body struct {
	By        Ref           `json:"by"`
	Zone      policy.ZoneID `json:"zone,omitempty"`
	Reason    string        `json:"reason"`
	Outlives  bool          `json:"outlives,omitempty"`
	Account   string        `json:"account,omitempty"`
	EndedBy   Ref           `json:"ended_by"`
	EndReason string        `json:"end_reason,omitempty"`
}

const columns = `id, shared_id, tenure, person_id, session_id, state, asked_at, ends_at, ended_at, told_at, version, body`

func scan(row store.Row) (Checkout, error) {
	var (
		c                  Checkout
		person, state      string
		asked, ends, ended int64
		told               int64
		text               string
		b                  body
	)
	err := row.Scan(&c.ID, &c.Shared, &c.Tenure, &person, &c.Session, &state, &asked, &ends, &ended, &told, &c.version, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return Checkout{}, ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return Checkout{}, fmt.Errorf("reading a check-out: %w", err)
	}
	if b.By.ID != directory.PersonID(person) {
		return Checkout{}, fmt.Errorf("reading check-out %s: it is another's than its row says", c.ID)
	}
	c.By, c.Zone, c.Reason, c.Outlives, c.Account, c.EndedBy, c.EndReason = b.By, b.Zone, b.Reason, b.Outlives, b.Account, b.EndedBy, b.EndReason
	c.state, c.AskedAt, c.EndsAt, c.EndedAt = State(state), store.FromMicros(asked), store.FromMicros(ends), store.FromMicros(ended)
	c.ToldAt = store.FromMicros(told)
	return c, nil
}

func list(ctx context.Context, in store.Reader, where string, args ...any) ([]Checkout, error) {
	return store.All(ctx, in, "check-outs", scan, `SELECT `+columns+` FROM shared_checkout WHERE `+where, args...)
}

func read(ctx context.Context, in store.Reader, id string) (Checkout, error) {
	return scan(in.QueryRow(ctx, `SELECT `+columns+` FROM shared_checkout WHERE id = $1`, id))
}

// open are those of a condition that are not over by their rows.
func open(ctx context.Context, in store.Reader, where string, args ...any) ([]Checkout, error) {
	return list(ctx, in, `state IN ('starting', 'active') AND (`+where+`) ORDER BY asked_at, id`, args...)
}

// known is the condition of those whose holders know a password that is good: they have
// it, or are about to, or gave it back while another has it.
const known = `tenure IN (SELECT tenure FROM shared_checkout WHERE state IN ('starting', 'active'))`

// tenureOf names what a check-out begins, and beganWith the check-out that began it.
func tenureOf(checkout string) string { return "shared:" + checkout }

func beganWith(tenure string) string { return strings.TrimPrefix(tenure, "shared:") }

func (c Checkout) body() (string, error) {
	text, err := json.Marshal(body{c.By, c.Zone, c.Reason, c.Outlives, c.Account, c.EndedBy, c.EndReason})
	return string(text), err
}

func insert(ctx context.Context, tx *store.Tx, c Checkout) error {
	text, err := c.body()
	if err != nil {
		return err
	}
	return tx.ExecOne(ctx, `
		INSERT INTO shared_checkout (id, shared_id, tenure, person_id, session_id, state, asked_at, ends_at, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		c.ID, c.Shared, c.Tenure, string(c.By.ID), c.Session, string(c.state), store.Micros(c.AskedAt), store.Micros(c.EndsAt), text)
}

// save stores a check-out as it is now; store.ErrUntouched where somebody else was first.
func save(ctx context.Context, tx *store.Tx, c *Checkout) error {
	text, err := c.body()
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		UPDATE shared_checkout SET session_id = $1, state = $2, ends_at = $3, ended_at = $4, told_at = $5, body = $6, version = version + 1
		WHERE  id = $7 AND version = $8`, c.Session, string(c.state), store.Micros(c.EndsAt), store.Micros(c.EndedAt), store.Micros(c.ToldAt), text, c.ID, c.version)
	if err == nil {
		c.version++
	}
	return err
}

// secretPlace binds the password of a tenure to its row.
func secretPlace(tenure string) secret.Place {
	return secret.Place{Table: "shared_secret", Column: "sealed", Row: tenure}
}

// conceal keeps the password of a tenure for those who join it.
func (b *Book) conceal(ctx context.Context, tx *store.Tx, tenure string, pw secret.Text) error {
	sealed, err := b.Sealing.Seal(secretPlace(tenure), pw.Reveal())
	if err != nil {
		return fmt.Errorf("sealing the password of a shared ID: %w", err)
	}
	if err := tx.ExecOne(ctx, `INSERT INTO shared_secret (tenure, sealed) VALUES ($1, $2)`, tenure, sealed); err != nil {
		return fmt.Errorf("keeping the password of a shared ID: %w", err)
	}
	return nil
}

func (b *Book) reveal(ctx context.Context, tx *store.Tx, tenure string) (secret.Text, error) {
	var sealed []byte
	if err := tx.QueryRow(ctx, `SELECT sealed FROM shared_secret WHERE tenure = $1`, tenure).Scan(&sealed); err != nil {
		return secret.Text{}, fmt.Errorf("reading the password of a shared ID: %w", err)
	}
	pw, err := b.Sealing.Open(secretPlace(tenure), sealed)
	if err != nil {
		return secret.Text{}, fmt.Errorf("opening the password of a shared ID: %w", err)
	}
	return secret.NewText(pw), nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(first time.Time, more ...time.Time) time.Time {
	for _, t := range more {
		if t.After(first) {
			first = t
		}
	}
	return first
}
