package people

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Past is something that an administrator has done to a person. What people do
// themselves, and where they sign in, is not among it: to search the trail for
// a person is the auditor's, for a case (design 11–4, 45-3).
type Past struct {
	At     time.Time
	Action string // as on the trail
	By     string // login
	Reason string
	What   string // the factor or token that it was about; "" for none
}

// MostPast is how much of the past a person's page shows.
const MostPast = 20

// keep writes an act beside its entry on the trail.
func keep(ctx context.Context, tx *store.Tx, now time.Time, on directory.PersonID, e audit.Entry) error {
	what := e.Detail["name"]
	if what == "" {
		what = e.Detail["serial"]
	}
	if e.Action == actions[authz.EndInside] {
		what = e.Object // the application
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO office_act (id, person_id, at, action, by_login, reason, what)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		rand.Text(), string(on), store.Micros(now), e.Action, e.Actor, e.Reason, what)
	if err != nil {
		return fmt.Errorf("writing down what was done to a person: %w", err)
	}
	return nil
}

// past is the newest of what administrators did to a person.
func past(ctx context.Context, in store.Reader, on directory.PersonID) ([]Past, error) {
	rows, err := in.Query(ctx, `
		SELECT at, action, by_login, reason, what FROM office_act
		WHERE  person_id = $1 ORDER BY at DESC, id LIMIT $2`, string(on), MostPast)
	if err != nil {
		return nil, fmt.Errorf("reading what was done to a person: %w", err)
	}
	defer rows.Close()
	var out []Past
	for rows.Next() {
		var (
			one Past
			at  int64
		)
		if err := rows.Scan(&at, &one.Action, &one.By, &one.Reason, &one.What); err != nil {
			return nil, fmt.Errorf("reading what was done to a person: %w", err)
		}
		one.At = store.FromMicros(at)
		out = append(out, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading what was done to a person: %w", err)
	}
	return out, nil
}
