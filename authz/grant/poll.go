package grant

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/policy/store"
)

// A row says when it was changed, and is seen when its transaction commits. Each
// poll goes back a few seconds for that; every deepEvery-th goes back deepReread,
// as sessions do.
const (
	deepEvery  = 40
	deepReread = time.Minute
)

// known is the version of a row that was taken over, and when that was written, in
// microseconds.
type known struct{ version, changed int64 }

// Follow polls beside the sessions, at the same bell.
func (b *Book) Follow(ctx context.Context, _ time.Time) error { return b.poll(ctx) }

// poll takes over what was changed since the last one, here or elsewhere.
//
// One at a time: a poll that read before another and wrote after it would bring
// back to life what that one had seen ended.
func (b *Book) poll(ctx context.Context) error {
	b.polling.Lock()
	defer b.polling.Unlock()
	at, begun := b.Now(), b.ticks()
	since := b.polled.Load()
	var (
		changed []Lease
		seen    map[string]known
		err     error
	)
	if since == 0 {
		changed, err = list(ctx, b.DB, `state = 'active'`)
	} else {
		back := b.Policy().Session.RevocationReread
		if b.polls.Add(1)%deepEvery == 0 {
			back = max(back, deepReread)
			b.forget(since - deepReread.Microseconds())
		}
		changed, seen, err = b.changedAfter(ctx, since-back.Microseconds())
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	for _, l := range changed {
		b.hold(l, at)
	}
	b.mu.Unlock()
	maps.Copy(b.known, seen)
	raise(&b.polled, store.Micros(at))
	raise(&b.heard, int64(begun))
	return nil
}

// changedAfter are the leases that were changed after a moment and are not known as
// they are, with what is known of them then. A poll reads the last seconds again, so
// nearly every row that it comes by is known, and taking a lease apart costs many
// times what its version does.
func (b *Book) changedAfter(ctx context.Context, after int64) ([]Lease, map[string]known, error) {
	type row struct {
		id string
		known
	}
	rows, err := store.All(ctx, b.DB, "changed leases", func(r store.Row) (one row, err error) {
		err = r.Scan(&one.id, &one.version, &one.changed)
		return one, err
	}, `SELECT id, version, changed_at FROM lease WHERE changed_at > $1`, after)
	if err != nil {
		return nil, nil, err
	}
	seen, ids := map[string]known{}, []string(nil)
	for _, one := range rows {
		if b.known[one.id].version != one.version {
			seen[one.id] = one.known
			ids = append(ids, one.id)
		}
	}
	var changed []Lease
	for part := range slices.Chunk(ids, named) {
		args := make([]any, named)
		for i := range args {
			args[i] = part[min(i, len(part)-1)]
		}
		some, err := list(ctx, b.DB, byName, args...)
		if err != nil {
			return nil, nil, fmt.Errorf("reading changed leases: %w", err)
		}
		changed = append(changed, some...)
	}
	for _, l := range changed { // a row may have been changed once more since
		seen[l.ID] = known{l.version, seen[l.ID].changed}
	}
	return changed, seen, nil
}

// named is how many leases one statement reads by name: always as many, so that it
// is prepared once.
const named = 64

var byName = func() string {
	marks := make([]string, named)
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(i+1)
	}
	return "id IN (" + strings.Join(marks, ", ") + ")"
}()

// forget drops what is known of rows that no poll reads again.
func (b *Book) forget(before int64) {
	maps.DeleteFunc(b.known, func(_ string, k known) bool { return k.changed < before })
}
