package notice

import (
	"context"
	"fmt"
	"time"

	"sekisho/policy/store"
)

// mostTidied bounds the rows of one Tidy: everybody waits for a transaction.
const mostTidied = 500

// Tidy removes, in the caller's transaction, what ended Kept ago, and whatever
// waits since then: news of that age warns nobody. lost counts the copies that
// were never sent, for the trail; more says that there is more to remove.
func (q *Queue) Tidy(ctx context.Context, tx *store.Tx) (lost int, more bool, err error) {
	before := store.Micros(q.now().Add(-Kept))
	ended, err := q.remove(ctx, tx, `
		DELETE FROM notice_copy WHERE (notice_id, address) IN (
			SELECT notice_id, address FROM notice_copy
			WHERE  state <> 'waiting' AND ended_at <= $1 LIMIT $2)`, before)
	if err != nil {
		return 0, false, err
	}
	lost, err = q.remove(ctx, tx, `
		DELETE FROM notice_copy WHERE (notice_id, address) IN (
			SELECT c.notice_id, c.address FROM notice_copy c JOIN notice n ON n.id = c.notice_id
			WHERE  c.state = 'waiting' AND n.at <= $1 LIMIT $2)`, before)
	if err != nil {
		return 0, false, err
	}
	whole, err := q.remove(ctx, tx, `
		DELETE FROM notice WHERE id IN (
			SELECT n.id FROM notice n
			WHERE  n.at <= $1 AND NOT EXISTS (SELECT 1 FROM notice_copy c WHERE c.notice_id = n.id) LIMIT $2)`, before)
	return lost, max(ended, lost, whole) == mostTidied, err
}

func (q *Queue) remove(ctx context.Context, tx *store.Tx, statement string, before int64) (int, error) {
	res, err := tx.Exec(ctx, statement, before, mostTidied)
	if err != nil {
		return 0, fmt.Errorf("tidying notices: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("tidying notices: %w", err)
	}
	return int(n), nil
}

// Waiting is how many copies wait, and since when the oldest does; the zero
// time when none does.
func (q *Queue) Waiting(ctx context.Context) (n int, oldest time.Time, err error) {
	var at int64
	err = q.db.QueryRow(ctx, `
		SELECT COUNT(*), COALESCE(MIN(n.at), 0)
		FROM   notice_copy c JOIN notice n ON n.id = c.notice_id
		WHERE  c.state = 'waiting'`).Scan(&n, &at)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("counting notices that wait: %w", err)
	}
	return n, store.FromMicros(at), nil
}
