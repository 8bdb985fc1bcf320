package card

import (
	"context"
	"fmt"

	"sekisho/directory"
	"sekisho/policy/store"
)

// Count is how many cards the person has used and not removed, as in sees it.
func (r *Reader) Count(ctx context.Context, in store.Reader, person directory.PersonID) (int, error) {
	var n int
	err := in.QueryRow(ctx, `SELECT COUNT(*) FROM card WHERE person_id = $1 AND removed_at = 0`, string(person)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting cards: %w", err)
	}
	return n, nil
}
