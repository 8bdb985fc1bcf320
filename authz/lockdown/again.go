package lockdown

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authz"
	"sekisho/policy/store"
)

// Again puts an order back in force that a restore has lost, until the end that it had,
// in the caller's transaction. false: it is known here, in force or lifted. Who is in its
// scope is shut out at their next use (Bar).
func Again(ctx context.Context, tx *store.Tx, l authz.LockDown) (bool, error) {
	err := tx.ExecOne(ctx, insert+` ON CONFLICT (id) DO NOTHING`, values(l)...)
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ordering a lock-down again: %w", err)
	}
	return true, nil
}

// RatifyAgain makes what was ordered under delegation last to its end, as it did before a
// restore lost that. false: there is nothing that it would make last.
func RatifyAgain(ctx context.Context, tx *store.Tx, id, by string, at, now time.Time) (bool, error) {
	err := tx.ExecOne(ctx, `
		UPDATE lockdown SET ratified_at = $1, ratified_by = $2, version = version + 1
		WHERE  id = $3 AND lifted_at = 0 AND ratified_at = 0 AND ratify_by > 0 AND ends_at > $4`, store.Micros(at), by, id, store.Micros(now))
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ratifying a lock-down again: %w", err)
	}
	return true, nil
}
