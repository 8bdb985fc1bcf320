package ephemeral

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Rows is a Store in the database: shared by all gateways, and slower than the
// others by a commit. It never answers ErrFull: whoever fills the disk is refused
// by the store itself.
type Rows struct {
	db  *store.DB
	now clock.Now
}

// NewRows keeps values and counters in db.
func NewRows(db *store.DB, now clock.Now) *Rows { return &Rows{db, now} }

// Put implements Store.
func (r *Rows) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkValue(key, value, ttl); err != nil {
		return err
	}
	err := r.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO ephemeral_value (name, value, ends_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at`,
			key, value, store.Micros(r.now().Add(ttl)))
		return err
	})
	if err != nil {
		return fmt.Errorf("putting a value: %w", err)
	}
	return nil
}

// Get implements Store.
func (r *Rows) Get(ctx context.Context, key string) ([]byte, bool, error) {
	return value("getting a value", r.db.QueryRow(ctx, `
		SELECT value FROM ephemeral_value WHERE name = $1 AND ends_at > $2`, key, store.Micros(r.now())))
}

// Take implements Store.
func (r *Rows) Take(ctx context.Context, key string) (got []byte, ok bool, err error) {
	// Most are asked for what is not there; they need not wait for their turn.
	if _, ok, err := r.Get(ctx, key); !ok || err != nil {
		return nil, false, err
	}
	err = r.db.WithTx(ctx, func(tx *store.Tx) error {
		got, ok, err = value("taking a value", tx.QueryRow(ctx, `
			DELETE FROM ephemeral_value WHERE name = $1 AND ends_at > $2 RETURNING value`, key, store.Micros(r.now())))
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return got, ok, nil
}

func value(doing string, row *sql.Row) ([]byte, bool, error) {
	got := []byte{}
	err := row.Scan(&got)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", doing, err)
	}
	return got, true, nil
}

// Count implements Store.
func (r *Rows) Count(ctx context.Context, key string, window time.Duration) (n int, err error) {
	err = r.db.WithTx(ctx, func(tx *store.Tx) error {
		n, err = r.CountIn(ctx, tx, key, window)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// CountIn is Count in the caller's transaction: the count stands when that
// commits.
func (r *Rows) CountIn(ctx context.Context, tx *store.Tx, key string, window time.Duration) (int, error) {
	if err := checkEntry(key, window); err != nil {
		return 0, err
	}
	now := r.now()
	var n int
	err := tx.QueryRow(ctx, `
		INSERT INTO ephemeral_count (name, n, ends_at) VALUES ($1, 1, $2)
		ON CONFLICT (name) DO UPDATE
		SET    n = CASE WHEN ephemeral_count.ends_at > $3 THEN ephemeral_count.n + 1 ELSE 1 END,
		       ends_at = CASE WHEN ephemeral_count.ends_at > $3 THEN ephemeral_count.ends_at ELSE excluded.ends_at END
		RETURNING n`, key, store.Micros(now.Add(window)), store.Micros(now)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting: %w", err)
	}
	return n, nil
}

// Peek implements Store.
func (r *Rows) Peek(ctx context.Context, key string) (int, error) {
	var n int
	err := r.db.QueryRow(ctx, `SELECT n FROM ephemeral_count WHERE name = $1 AND ends_at > $2`, key, store.Micros(r.now())).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading a count: %w", err)
	}
	return n, nil
}

// Delete implements Store.
func (r *Rows) Delete(ctx context.Context, key string) error {
	err := r.db.WithTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM ephemeral_value WHERE name = $1`, key); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM ephemeral_count WHERE name = $1`, key)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting: %w", err)
	}
	return nil
}

// Tidy removes what has ended. Nothing depends on it but the size of the store.
func (r *Rows) Tidy(ctx context.Context) error {
	now := store.Micros(r.now())
	return r.db.WithTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM ephemeral_value WHERE ends_at <= $1`, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM ephemeral_count WHERE ends_at <= $1`, now)
		return err
	})
}
