package grant

import (
	"context"
	"slices"
	"time"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Get is one lease, as its row says.
func (b *Book) Get(ctx context.Context, id string) (Lease, error) { return read(ctx, b.DB, id) }

func (b *Book) read(ctx context.Context, id string) (Lease, error) {
	b.changed(ctx)
	return read(ctx, b.DB, id)
}

// A Filter says which leases are listed. Zero fields do not restrict.
type Filter struct {
	Person    directory.PersonID
	Privilege string
	State     State
	Before    time.Time // asked for before then
	Owing     bool      // a record or a judgement is still to be written, or confirmed
	Limit     int       // 0: 100
}

// List is leases, those asked for last first. What is over by itself is listed as
// what it is, whatever its row says.
func (b *Book) List(ctx context.Context, f Filter) ([]Lease, error) {
	limit := f.Limit
	if limit <= 0 || limit > 1000 {
		limit = 100
	}
	now, before := b.Now(), f.Before
	if before.IsZero() {
		before = now.Add(24 * time.Hour)
	}
	var out []Lease
	for len(out) < limit {
		page, err := list(ctx, b.DB, `
			asked_at < $1 AND ($2 = '' OR person_id = $2) AND ($3 = '' OR privilege = $3) AND ($4 = 0 OR owes = 1)
			ORDER BY asked_at DESC, id LIMIT 500`, store.Micros(before), string(f.Person), f.Privilege, f.Owing)
		if err != nil {
			return nil, err
		}
		for _, l := range page {
			if len(out) < limit && (f.State == "" || l.State(now) == f.State) {
				out = append(out, l)
			}
			before = l.AskedAt
		}
		if len(page) < 500 {
			break
		}
	}
	return out, nil
}

// Cleanup is how far the directory is rid of what a lease gave.
func (b *Book) Cleanup(ctx context.Context, id string) (elevate.Cleanup, error) {
	return b.Effects.Cleanup(ctx, b.DB, id)
}

// An Offer is a privilege, and why somebody cannot ask for it now.
type Offer struct {
	Privilege policy.Privilege
	Refused   error // nil: they can
	AtOnce    error // why they cannot take it without approval; nil: they can
}

// Offers are the privileges that are lent to somebody, in the policy's order.
func (b *Book) Offers(ctx context.Context, by By) ([]Offer, error) {
	if err := b.signed(by); err != nil {
		return nil, err
	}
	p, now := b.Policy(), b.Now()
	theirs, err := ofPerson(ctx, b.DB, by.Person.ID, now)
	if err != nil {
		return nil, err
	}
	var out []Offer
	for _, v := range p.Privileges {
		if MayBorrow(p, v, by.Holder, now) == nil {
			out = append(out, Offer{v, MayAsk(p, v, by.Holder, theirs, false, now), MayAsk(p, v, by.Holder, theirs, true, now)})
		}
	}
	return out, nil
}

// Between calls each with the leases that were asked for within a time (from ≤ t < to)
// or active then, some hundred at a time in the order in which they were asked for. It
// reads rows alone, so that it serves a terminal too.
func Between(ctx context.Context, in store.Reader, from, to, now time.Time, each func([]Lease) error) error {
	for at, id := int64(-1), ""; ; {
		page, err := list(ctx, in, `
			asked_at < $1 AND (asked_at >= $2 OR ends_at >= $2) AND (asked_at > $3 OR asked_at = $3 AND id > $4)
			ORDER BY asked_at, id LIMIT 500`, store.Micros(to), store.Micros(from), at, id)
		if err != nil || len(page) == 0 {
			return err
		}
		last := page[len(page)-1]
		at, id = store.Micros(last.AskedAt), last.ID
		page = slices.DeleteFunc(page, func(l Lease) bool {
			over, _ := l.Over(now)
			return l.AskedAt.Before(from) && (l.StartedAt.IsZero() || !over.IsZero() && over.Before(from))
		})
		if err := each(page); err != nil {
			return err
		}
	}
}
