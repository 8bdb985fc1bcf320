package store

import (
	"context"
	"fmt"
	"time"
)

// Epoch tells the lives of a store apart: 1 at first, and a greater number after
// each restore. What was given out in an epoch before opens nothing.
func (db *DB) Epoch(ctx context.Context) (int64, error) {
	var epoch int64
	if err := db.QueryRow(ctx, `SELECT epoch FROM store_epoch WHERE id = 1`).Scan(&epoch); err != nil {
		return 0, fmt.Errorf("reading the store's epoch: %w", err)
	}
	return epoch, nil
}

// Still answers ErrReplaced when what lies in this store's place is not what was
// opened in an epoch. A gateway asks, because it must not go on with what it holds
// of the store before: what was ended there may have been begun anew here.
func (db *DB) Still(ctx context.Context, epoch int64) error {
	if db.engine.moved() {
		return ErrReplaced
	}
	now, err := db.Epoch(ctx)
	if err == nil && now != epoch {
		err = ErrReplaced
	}
	return err
}

// Moved reports whether something else lies in this store's place.
func (db *DB) Moved() bool { return db.engine.moved() }

// NextEpoch begins a new epoch in the caller's transaction. It is at least
// after, so that a store that was set back does not count an epoch twice. A store
// that was set aside is in use again by it.
func NextEpoch(ctx context.Context, tx *Tx, after int64, at time.Time) (int64, error) {
	var epoch int64
	if err := tx.QueryRow(ctx, `SELECT epoch FROM store_epoch WHERE id = 1`).Scan(&epoch); err != nil {
		return 0, fmt.Errorf("reading the store's epoch: %w", err)
	}
	epoch = max(epoch, after) + 1
	if err := tx.ExecOne(ctx, `UPDATE store_epoch SET epoch = $1, since = $2, set_aside_at = 0 WHERE id = 1`, epoch, Micros(at)); err != nil {
		return 0, fmt.Errorf("beginning an epoch: %w", err)
	}
	return epoch, nil
}

// SetAside marks the store, in the caller's transaction, as one that another is about
// to take the place of.
func SetAside(ctx context.Context, tx *Tx, at time.Time) error {
	if err := tx.ExecOne(ctx, `UPDATE store_epoch SET set_aside_at = $1 WHERE id = 1`, Micros(at)); err != nil {
		return fmt.Errorf("setting the store aside: %w", err)
	}
	return nil
}

// Aside is since when a store is set aside; ok is false for one that is in use.
func Aside(ctx context.Context, in Reader) (since time.Time, ok bool, err error) {
	var at int64
	if err := in.QueryRow(ctx, `SELECT set_aside_at FROM store_epoch WHERE id = 1`).Scan(&at); err != nil {
		return since, false, fmt.Errorf("reading whether the store was set aside: %w", err)
	}
	return FromMicros(at), at != 0, nil
}
