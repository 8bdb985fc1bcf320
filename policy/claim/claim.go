// Package claim lets one at a time do something that cannot be done in one
// transaction, at whichever gateway: a change that goes to the directory and the
// store, an act whose answer is kept for who asks again.
//
// It does not know what is done. A claim is a row with an end, so one who dies
// holding it keeps nobody out for longer; for the same reason it is no proof that
// one is alone. It orders those who are well, and what must be true whoever is not
// (a password settled since, an answer kept) is read again by whoever gets it.
package claim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// ErrHeld means that somebody else held the thing all the while.
var ErrHeld = errors.New("somebody else is doing this now")

const (
	// lasts is how long one who died is waited for. Whatever is done under a
	// claim has time limits of its own that end before.
	lasts = time.Minute
	// asks is how often one who waits looks again.
	asks = 25 * time.Millisecond
)

// Claims are those of one store.
type Claims struct {
	db  *store.DB
	now clock.Now
}

// New keeps claims in db.
func New(db *store.DB, now clock.Now) *Claims { return &Claims{db, now} }

// Take waits until the caller alone holds name, for as long as patience or ctx
// last; then it is ErrHeld. The caller calls leave when it is done.
func (c *Claims) Take(ctx context.Context, name string, patience time.Duration) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	holder := secret.Token(9)
	for {
		taken, err := c.try(ctx, name, holder)
		switch {
		case taken:
			return func() { c.leave(context.WithoutCancel(ctx), name, holder) }, nil
		case err != nil && ctx.Err() == nil:
			return nil, fmt.Errorf("claiming: %w", err)
		}
		if clock.Wait(ctx, asks) != nil {
			return nil, ErrHeld
		}
	}
}

// Try is Take without waiting: ErrHeld where somebody else holds name now.
func (c *Claims) Try(ctx context.Context, name string) (leave func(), err error) {
	holder := secret.Token(9)
	switch taken, err := c.try(ctx, name, holder); {
	case err != nil:
		return nil, fmt.Errorf("claiming: %w", err)
	case !taken:
		return nil, ErrHeld
	}
	return func() { c.leave(context.WithoutCancel(ctx), name, holder) }, nil
}

func (c *Claims) try(ctx context.Context, name, holder string) (taken bool, err error) {
	var ends int64
	err = c.db.QueryRow(ctx, `SELECT ends_at FROM claim WHERE name = $1`, name).Scan(&ends)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	now := c.now()
	if err == nil && ends > store.Micros(now) {
		return false, nil
	}
	err = c.db.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `
			INSERT INTO claim (name, holder, ends_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at
			WHERE  claim.ends_at <= $4`, name, holder, store.Micros(now.Add(lasts)), store.Micros(now))
	})
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	return err == nil, err
}

// leave gives a claim up. If that fails, it ends by itself.
func (c *Claims) leave(ctx context.Context, name, holder string) {
	err := c.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM claim WHERE name = $1 AND holder = $2`, name, holder)
		return err
	})
	if err != nil {
		slog.Warn("giving up a claim; it ends by itself", "error", err)
	}
}
