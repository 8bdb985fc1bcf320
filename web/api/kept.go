package api

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/claim"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Answers keeps what was answered to requests with an Idempotency-Key, across
// restarts. What it is given is sealed already; it looks into nothing.
type Answers struct {
	DB  *store.DB
	Now clock.Now
}

// Put keeps the first answer of a place; a later one changes nothing. Answers
// whose time is over are removed on the way.
func (a Answers) Put(ctx context.Context, place string, sealed []byte, ttl time.Duration) error {
	now := a.Now()
	err := a.DB.WithTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM kept_answer WHERE ends_at <= $1`, store.Micros(now)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO kept_answer (place, sealed, ends_at) VALUES ($1, $2, $3)
			ON CONFLICT DO NOTHING`, place, sealed, store.Micros(now.Add(ttl)))
		return err
	})
	if err != nil {
		return fmt.Errorf("keeping an answer: %w", err)
	}
	return nil
}

// Claim waits until no other request of a place is under way.
func (a Answers) Claim(ctx context.Context, place string, patience time.Duration) (leave func(), err error) {
	return claim.New(a.DB, a.Now).Take(ctx, place, patience)
}

// Get finds the answer of a place.
func (a Answers) Get(ctx context.Context, place string) ([]byte, bool, error) {
	var sealed []byte
	err := a.DB.QueryRow(ctx, `SELECT sealed FROM kept_answer WHERE place = $1 AND ends_at > $2`,
		place, store.Micros(a.Now())).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading a kept answer: %w", err)
	}
	return sealed, true, nil
}
