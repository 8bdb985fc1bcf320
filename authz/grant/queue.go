package grant

import (
	"context"

	"sekisho/policy/store"
)

// Actives are the leases that live now, those that end first at the front. A
// paused one is among them.
func (b *Book) Actives(ctx context.Context) ([]Lease, error) {
	return list(ctx, b.DB, `state = 'active' AND ends_at > $1 ORDER BY ends_at, id LIMIT 1000`, store.Micros(b.Now()))
}

// Together are the leases that a second person could join, or is with, now.
func (b *Book) Together(ctx context.Context) ([]Lease, error) {
	now := b.Now()
	open, err := list(ctx, b.DB, `state IN ('approved', 'active') AND due_at > 0 ORDER BY due_at, id LIMIT 1000`)
	if err != nil {
		return nil, err
	}
	var out []Lease
	for _, l := range open {
		if l.TwoPerson && (l.Waits(now) || l.State(now) == Active) {
			out = append(out, l)
		}
	}
	return out, nil
}
