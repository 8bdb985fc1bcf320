package audit

import (
	"context"
	"fmt"

	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Trail is where services write what they did, and where it is looked up.
type Trail struct {
	db  *store.DB
	now clock.Now
}

// New makes the trail of a store. Entries without a time get now's.
func New(db *store.DB, now clock.Now) *Trail { return &Trail{db: db, now: now} }

// Append writes e in the caller's transaction: it exists when the act does, and
// not otherwise. An error (ErrEntry, or the store's) must end the transaction.
//
// Free text may come from strangers: what is too long is cut and marked, what
// is not UTF-8 or would disturb a terminal is replaced or escaped. The entry is
// numbered and signed by the Sealer, later.
func (t *Trail) Append(ctx context.Context, tx *store.Tx, e Entry) error {
	if e.Time.IsZero() {
		e.Time = t.now()
	}
	data, err := encode(e)
	if err != nil {
		return err
	}
	if err := tx.ExecOne(ctx, `INSERT INTO trail_pending (data) VALUES ($1)`, data); err != nil {
		return fmt.Errorf("writing %s on the trail: %w", e.Action, err)
	}
	return nil
}
