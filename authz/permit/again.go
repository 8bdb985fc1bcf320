package permit

import (
	"context"
	"errors"

	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// EndAgain ends a permit that a restore has brought back into force, in the caller's
// transaction, who enters e. false: it is not in force here. Call Changed after the commit.
func (b *Book) EndAgain(ctx context.Context, tx *store.Tx, id string, to State, by, why string, e *audit.Entry) (bool, error) {
	m, err := read(ctx, tx, id)
	if errors.Is(err, ErrNotFound) || err == nil && m.State(b.Now()) != Approved {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := b.end(ctx, tx, &m, e, over{to: to, by: Ref{Login: by}, why: why}); err != nil {
		return false, err
	}
	k, _ := b.Policy().Permit(m.Kind)
	return true, b.put(ctx, tx, &m, k)
}
