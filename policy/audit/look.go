package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/store"
)

// ErrNoEntry says that no sealed entry has a number.
var ErrNoEntry = errors.New("the trail has no sealed entry of this number")

// A Sight is one sealed entry, and where its proof is found.
type Sight struct {
	Record
	// Readable says that Data is an entry. Only somebody who changed the store makes
	// one that is not: it is shown as it lies, for whoever looks must see that.
	Readable bool
	// Fits says that Data still hashes to Hash. It is the store's word about itself,
	// and no proof: that is the export's, under the key that the auditors hold.
	Fits bool
	// Checkpoint is the first signed note that covers the entry, Covers how many
	// entries it is about; "" where none does yet.
	Checkpoint string
	Covers     int64
	SignedAt   time.Time
	// Last is the number of the newest sealed entry.
	Last int64
}

// Look reads one sealed entry by its number. ErrNoEntry: there is none.
func (t *Trail) Look(ctx context.Context, index int64) (Sight, error) {
	var (
		s      = Sight{Record: Record{Index: index}}
		hash   []byte
		signed []byte
		at     int64
	)
	found, err := one(ctx, t.db, []any{&hash, &s.Data}, `SELECT hash, data FROM trail_leaf WHERE idx = $1`, index)
	if err != nil {
		return Sight{}, fmt.Errorf("looking at entry %d of the trail: %w", index, err)
	}
	if !found {
		return Sight{}, fmt.Errorf("%w: %d", ErrNoEntry, index)
	}
	copy(s.Hash[:], hash)
	s.Fits = len(hash) == tlog.HashSize && tlog.RecordHash(s.Data) == s.Hash
	if e, err := decode(s.Data); err == nil {
		s.Entry, s.Readable = e, true
	}
	s.Broken = !s.Readable
	found, err = one(ctx, t.db, []any{&s.Covers, &signed, &at},
		`SELECT size, note, signed_at FROM trail_checkpoint WHERE size > $1 ORDER BY size LIMIT 1`, index)
	if err != nil {
		return Sight{}, fmt.Errorf("looking for the checkpoint of entry %d: %w", index, err)
	}
	if found {
		s.Checkpoint, s.SignedAt = string(signed), store.FromMicros(at)
	}
	n, err := leafCount(ctx, t.db)
	if err != nil {
		return Sight{}, err
	}
	s.Last = n - 1
	return s, nil
}
