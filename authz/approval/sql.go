package approval

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A body is a matter as it is stored, for good.
type body struct {
	Requester      PersonRef         `json:"requester"`
	Beneficiary    PersonRef         `json:"beneficiary"`
	Nobody         bool              `json:"nobody,omitempty"`
	Section        string            `json:"section,omitempty"`
	Zone           policy.ZoneID     `json:"zone"`
	Reason         string            `json:"reason"`
	Detail         map[string]string `json:"detail,omitempty"`
	Rule           Rule              `json:"rule"`
	PolicyVersion  int64             `json:"policy_version"`
	Articles       []policy.Article  `json:"articles,omitempty"`
	RequesterPosts []policy.PostID   `json:"requester_posts,omitempty"`
}

func (m Matter) body() ([]byte, error) {
	return json.Marshal(body{
		m.Requester, m.Beneficiary, m.Nobody, m.Section, m.Zone, m.Reason, m.Detail, m.Rule, m.PolicyVersion, m.Articles, m.RequesterPosts,
	})
}

const columns = `id, kind, subject, body, asked_at, lapses_at, state, settled_at, reminded, spent_at`

func scan(row store.Row) (Matter, error) {
	var (
		m                      Matter
		kind, state, text      string
		asked, lapses, settled int64
		spent                  int64
		b                      body
	)
	err := row.Scan(&m.ID, &kind, &m.Subject, &text, &asked, &lapses, &state, &settled, &m.reminded, &spent)
	if errors.Is(err, sql.ErrNoRows) {
		return Matter{}, ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &b)
	}
	if err != nil {
		return Matter{}, fmt.Errorf("reading a matter: %w", err)
	}
	m.Kind, m.state = Kind(kind), State(state)
	m.AskedAt, m.LapsesAt, m.settledAt = store.FromMicros(asked), store.FromMicros(lapses), store.FromMicros(settled)
	m.spentAt = store.FromMicros(spent)
	m.Requester, m.Beneficiary, m.Nobody, m.Section, m.Zone = b.Requester, b.Beneficiary, b.Nobody, b.Section, b.Zone
	m.Reason, m.Detail, m.Rule, m.PolicyVersion, m.Articles, m.RequesterPosts = b.Reason, b.Detail, b.Rule, b.PolicyVersion, b.Articles, b.RequesterPosts
	return m, nil
}

func insertMatter(ctx context.Context, tx *store.Tx, m Matter, text []byte) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO approval_matter (id, kind, subject, requester_id, beneficiary_id, body, asked_at, lapses_at, state, settled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		m.ID, string(m.Kind), m.Subject, string(m.Requester.ID), string(m.For().ID), string(text),
		store.Micros(m.AskedAt), store.Micros(m.LapsesAt), string(m.state), store.Micros(m.settledAt))
	if err != nil {
		return fmt.Errorf("storing a matter: %w", err)
	}
	return nil
}

func readMatter(ctx context.Context, in store.Reader, id string) (Matter, error) {
	return scan(in.QueryRow(ctx, `SELECT `+columns+` FROM approval_matter WHERE id = $1`, id))
}

// seize makes the caller's transaction the one that speaks on a matter which
// waits still. Two who decide at once, and one who takes it back, all change
// this row first: the database lets them through one after another.
func seize(ctx context.Context, tx *store.Tx, id string) error {
	return tx.ExecOne(ctx, `UPDATE approval_matter SET version = version + 1 WHERE id = $1 AND state = 'pending'`, id)
}

// end gives a matter its one outcome.
func end(ctx context.Context, tx *store.Tx, id string, to State, at time.Time) error {
	return tx.ExecOne(ctx, `
		UPDATE approval_matter SET state = $1, settled_at = $2, version = version + 1
		WHERE  id = $3 AND state = 'pending'`, string(to), store.Micros(at), id)
}

// A word is a decision as it is stored, for good.
type word struct {
	Step    int           `json:"step"`
	By      PersonRef     `json:"by"`
	Post    policy.PostID `json:"post"`
	How     How           `json:"how"`
	Through string        `json:"through,omitempty"`
	Yes     bool          `json:"yes"`
	Comment string        `json:"comment"`

	Also      []policy.PostID `json:"also,omitempty"`
	Confirmed []string        `json:"confirmed,omitempty"`
}

// human is what the store tells human beings apart by.
func (r PersonRef) key() string {
	if n := directory.Canonical(r.Number); n != "" {
		return "number:" + n
	}
	return "id:" + string(r.ID)
}

// insertDecision adds a decision: ErrUntouched where this human being has decided
// the matter already.
func insertDecision(ctx context.Context, tx *store.Tx, matter string, d Decision) error {
	text, err := json.Marshal(word{d.Step, d.By, d.Post, d.How, d.Through, d.Yes, d.Comment, d.Also, d.Confirmed})
	if err != nil {
		return fmt.Errorf("storing a decision: %w", err)
	}
	return tx.ExecOne(ctx, `
		INSERT INTO approval_decision (id, matter_id, human, body, at, review_due) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (matter_id, human) DO NOTHING`,
		d.ID, matter, d.By.key(), string(text), store.Micros(d.At), store.Micros(d.ReviewDue))
}

const decisionColumns = `id, matter_id, body, at, review_due, reviewed_at, reviewed_by, review_comment, review_objects, review_reminded`

func scanDecision(row store.Row) (Decision, string, error) {
	var (
		d                 Decision
		matter, text, by  string
		at, due, reviewed int64
		objects           int64
		w                 word
	)
	if err := row.Scan(&d.ID, &matter, &text, &at, &due, &reviewed, &by, &d.Review.Comment, &objects, &d.reminded); err != nil {
		return Decision{}, "", err
	}
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return Decision{}, "", err
	}
	d.Step, d.By, d.Post, d.How, d.Through, d.Yes, d.Comment = w.Step, w.By, w.Post, w.How, w.Through, w.Yes, w.Comment
	d.Also, d.Confirmed = w.Also, w.Confirmed
	d.At, d.ReviewDue, d.Review.At = store.FromMicros(at), store.FromMicros(due), store.FromMicros(reviewed)
	d.Review.Objects = objects != 0
	if by != "" {
		if err := json.Unmarshal([]byte(by), &d.Review.By); err != nil {
			return Decision{}, "", err
		}
	}
	return d, matter, nil
}

func readDecisions(ctx context.Context, in store.Reader, matter string) ([]Decision, error) {
	return store.All(ctx, in, "decisions", func(row store.Row) (Decision, error) { d, _, err := scanDecision(row); return d, err },
		`SELECT `+decisionColumns+` FROM approval_decision WHERE matter_id = $1 ORDER BY at, id`, matter)
}

// matterOf is the matter that a decision was made on.
func matterOf(ctx context.Context, in store.Reader, decision string) (id string, err error) {
	err = in.QueryRow(ctx, `SELECT matter_id FROM approval_decision WHERE id = $1`, decision).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("reading a decision: %w", err)
	}
	return id, nil
}

// review writes a review down: ErrUntouched where somebody was first.
func review(ctx context.Context, tx *store.Tx, d Decision) error {
	by, err := json.Marshal(d.Review.By)
	if err != nil {
		return fmt.Errorf("storing a review: %w", err)
	}
	objects := 0
	if d.Review.Objects {
		objects = 1
	}
	return tx.ExecOne(ctx, `
		UPDATE approval_decision SET reviewed_at = $1, reviewed_by = $2, review_comment = $3, review_objects = $4
		WHERE  id = $5 AND review_due > 0 AND reviewed_at = 0`,
		store.Micros(d.Review.At), string(by), d.Review.Comment, objects, d.ID)
}

// matters reads those that a condition finds.
func matters(ctx context.Context, in store.Reader, where string, args ...any) ([]Matter, error) {
	return store.All(ctx, in, "matters", scan, `SELECT `+columns+` FROM approval_matter WHERE `+where, args...)
}

// WaitingOn are the matters of a kind about a subject that wait at a time, as in sees
// them, the oldest first.
func WaitingOn(ctx context.Context, in store.Reader, k Kind, subject string, now time.Time) ([]Matter, error) {
	return matters(ctx, in, `kind = $1 AND subject = $2 AND state = 'pending' AND lapses_at > $3 ORDER BY asked_at, id`, string(k), subject, store.Micros(now))
}

// AskedSince are the matters of a kind that were asked for at a time or later, in that
// order.
func AskedSince(ctx context.Context, in store.Reader, k Kind, from time.Time) ([]Matter, error) {
	return matters(ctx, in, `kind = $1 AND asked_at >= $2 ORDER BY asked_at, id`, string(k), store.Micros(from))
}

// DecisionsOn are what was said on each of some matters, a few hundred at most, by the
// matter's id.
func DecisionsOn(ctx context.Context, in store.Reader, ids []string) (map[string][]Decision, error) {
	out := map[string][]Decision{}
	if len(ids) == 0 {
		return out, nil
	}
	args := make([]any, len(ids))
	places := make([]string, len(ids))
	for i, id := range ids {
		args[i], places[i] = id, "$"+strconv.Itoa(i+1)
	}
	type said struct {
		Decision
		matter string
	}
	all, err := store.All(ctx, in, "decisions", func(row store.Row) (said, error) {
		d, matter, err := scanDecision(row)
		return said{d, matter}, err
	}, `SELECT `+decisionColumns+` FROM approval_decision WHERE matter_id IN (`+strings.Join(places, ", ")+`) ORDER BY at, id`, args...)
	for _, d := range all {
		out[d.matter] = append(out[d.matter], d.Decision)
	}
	return out, err
}
