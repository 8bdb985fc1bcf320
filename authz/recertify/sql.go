package recertify

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// roundBody is what a round was when it began.
type roundBody struct {
	Name       policy.Words `json:"name"`
	Sections   []string     `json:"sections,omitempty"`
	RemindDays int          `json:"remind_days"`
}

const roundColumns = `id, campaign, slot, kind, state, why, began_at, deadline, reminded_at, last_reminded_at, ended_at, lines, matter, holder, body`

func scanRound(r store.Row) (Round, error) {
	var (
		one                                    Round
		began, deadline, reminded, last, ended int64
		body                                   string
		b                                      roundBody
	)
	err := r.Scan(&one.ID, &one.Campaign, &one.Slot, &one.Kind, &one.State, &one.Why, &began, &deadline, &reminded, &last, &ended, &one.Lines, &one.Matter, &one.holder, &body)
	if err != nil {
		return one, err
	}
	err = json.Unmarshal([]byte(body), &b)
	one.BeganAt, one.Deadline, one.EndedAt = store.FromMicros(began), store.FromMicros(deadline), store.FromMicros(ended)
	one.Course = Course{b.RemindDays, store.FromMicros(reminded), store.FromMicros(last)}
	one.Name, one.Sections = b.Name, b.Sections
	return one, err
}

func rounds(ctx context.Context, in store.Reader, where string, args ...any) ([]Round, error) {
	return store.All(ctx, in, "rounds of recertification", scanRound, `SELECT `+roundColumns+` FROM recertify_campaign WHERE `+where, args...)
}

func roundOf(ctx context.Context, in store.Reader, id string) (Round, error) {
	all, err := rounds(ctx, in, `id = $1`, id)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Round{}, err
	}
	return all[0], nil
}

// lineBody is what of a line nothing is looked for by.
type lineBody struct {
	Person    Ref             `json:"person"`
	Kind      directory.Kind  `json:"kind"`
	Company   string          `json:"company,omitempty"`
	Posts     []policy.PostID `json:"posts,omitempty"`
	About     []string        `json:"about,omitempty"`
	Why       string          `json:"why,omitempty"`
	Until     time.Time       `json:"until,omitzero"`
	CreatedAt time.Time       `json:"created_at,omitzero"`
	Apex      bool            `json:"apex,omitempty"`
	Comment   string          `json:"comment,omitempty"`
	By        Ref             `json:"by,omitzero"`
	DN        string          `json:"dn,omitempty"`
	Projects  []string        `json:"projects,omitempty"`
}

const lineColumns = `campaign, id, raised, object, last_use_at, state, reason, decided_at, tries, version, matter, body`

func scanLine(r store.Row) (Line, error) {
	var (
		l             Line
		used, decided int64
		body          string
		b             lineBody
	)
	if err := r.Scan(&l.Round, &l.ID, &l.Raised, &l.Object, &used, &l.State, &l.Reason, &decided, &l.tries, &l.version, &l.Matter, &body); err != nil {
		return l, err
	}
	err := json.Unmarshal([]byte(body), &b)
	l.LastUse, l.DecidedAt = store.FromMicros(used), store.FromMicros(decided)
	l.Person, l.Kind, l.Company, l.Posts, l.About, l.Why, l.Until = b.Person, b.Kind, b.Company, b.Posts, b.About, b.Why, b.Until
	l.CreatedAt, l.Apex, l.Comment, l.DecidedBy, l.dn, l.Projects = b.CreatedAt, b.Apex, b.Comment, b.By, b.DN, b.Projects
	return l, err
}

func (l Line) body() (string, error) {
	text, err := json.Marshal(lineBody{l.Person, l.Kind, l.Company, l.Posts, l.About, l.Why, l.Until, l.CreatedAt, l.Apex, l.Comment, l.DecidedBy, l.dn, l.Projects})
	return string(text), err
}

func lines(ctx context.Context, in store.Reader, where string, args ...any) ([]Line, error) {
	return store.All(ctx, in, "lines of a recertification", scanLine, `SELECT `+lineColumns+` FROM recertify_line WHERE `+where, args...)
}

// keyOf names a line within its round, the same each time that it is made.
func keyOf(person directory.PersonID, object string) string {
	sum := sha256.Sum256([]byte(string(person) + "\x00" + object))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// linesAtOnce is how many lines one statement stores.
const linesAtOnce = 25

// keep stores new lines, whole statements at a time.
func keep(ctx context.Context, tx *store.Tx, round string, all []Line) error {
	for part := range slices.Chunk(all, linesAtOnce) {
		var (
			q    strings.Builder
			args = []any{round}
		)
		q.WriteString(`INSERT INTO recertify_line (campaign, id, section, raised, person_id, login, object, last_use_at, state, body) VALUES `)
		for i, l := range part {
			body, err := l.body()
			if err != nil {
				return fmt.Errorf("storing lines of a recertification: %w", err)
			}
			if i > 0 {
				q.WriteString(", ")
			}
			q.WriteString("($1")
			for _, v := range []any{l.ID, l.Person.Section, l.Raised, string(l.Person.ID), l.Person.Login, l.Object, store.Micros(l.LastUse), string(Waits), body} {
				args = append(args, v)
				fmt.Fprintf(&q, ", $%d", len(args))
			}
			q.WriteString(")")
		}
		if _, err := tx.Exec(ctx, q.String(), args...); err != nil {
			return fmt.Errorf("storing lines of a recertification: %w", err)
		}
	}
	return nil
}

// put writes a line over the version that was read: two who decide one line have one
// outcome (store.ErrUntouched for the second). due is when it is looked at next; the zero
// time: never.
func put(ctx context.Context, tx *store.Tx, l Line, due time.Time) error {
	body, err := l.body()
	if err != nil {
		return fmt.Errorf("storing a line of a recertification: %w", err)
	}
	return tx.ExecOne(ctx, `
		UPDATE recertify_line SET state = $1, reason = $2, decided_by = $3, decided_at = $4, due_at = $5, tries = $6, raised = $7, matter = $8, body = $9, version = version + 1
		WHERE  campaign = $10 AND id = $11 AND version = $12`,
		string(l.State), l.Reason, string(l.DecidedBy.ID), store.Micros(l.DecidedAt), store.Micros(due), l.tries, l.Raised, l.Matter, body, l.Round, l.ID, l.version)
}
