package approval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/store"
)

// Spend uses an approval that is good once, in the transaction of what it allows.
// ErrNotApproved: it was not given, not for this, or was used.
func (b *Book) Spend(ctx context.Context, tx *store.Tx, id string, k Kind, by PersonRef, until time.Duration) error {
	return Spend(ctx, tx, id, k, by, until, b.Now())
}

// Spend is Book.Spend where no book is open, such as at a terminal.
func Spend(ctx context.Context, tx *store.Tx, id string, k Kind, by PersonRef, until time.Duration, now time.Time) error {
	err := tx.ExecOne(ctx, `
		UPDATE approval_matter SET spent_at = $1, version = version + 1
		WHERE  id = $2 AND kind = $3 AND requester_id = $4 AND state = 'approved' AND spent_at = 0 AND settled_at > $5`,
		store.Micros(now), id, string(k), string(by.ID), store.Micros(now.Add(-until)))
	if errors.Is(err, store.ErrUntouched) {
		return ErrNotApproved
	}
	return err
}

// Unspend gives an approval back that was used for what then failed outside, in a
// transaction of its own. It lapses when it would have.
func (b *Book) Unspend(ctx context.Context, tx *store.Tx, id string, k Kind) error {
	err := tx.ExecOne(ctx, `
		UPDATE approval_matter SET spent_at = 0, version = version + 1
		WHERE  id = $1 AND kind = $2 AND state = 'approved' AND spent_at > 0`, id, string(k))
	if err != nil {
		return fmt.Errorf("giving an approval back: %w", err)
	}
	return nil
}
