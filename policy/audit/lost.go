package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
)

var (
	// ErrNothingLost means that the store holds every entry of an export: it was
	// written before the backup, or after the restore.
	ErrNothingLost = errors.New("the store has everything that the export holds")
	// ErrOtherTrail means that a trail and an export part where no restore says why.
	ErrOtherTrail = errors.New("the export does not go on from this trail")
)

// restored is the entry with which a store says that it is an old copy.
const restored = "store.restored"

// A Gap is what an export holds that a store was restored without.
type Gap struct {
	Same     int64  // the entries before it, which both have
	Size     int64  // of the export: the gap is Same ≤ i < Size
	LostTo   int64  // up to where entries are known to be lost; 0: nobody knows
	Restored Record // the store's entry that says so
	Report   proof.Report
}

// Lost reads an export to its end, proves it under a key of this trail, and answers
// what is in it and not in the store, which was restored from a backup: keep is given
// each such entry, in order, and is not to be believed before Lost returns without an
// error. A *proof.Fault is an export that is not whole, or another trail's.
//
// Every entry before the gap is held against the store's own, so no checkpoint has to
// be found that both have. What waited to be sealed when the backup was made may have
// come into another order since: it is found by its hash, and not lost.
func Lost(ctx context.Context, in store.Reader, export io.Reader, key string, keep func(Record) error) (Gap, error) {
	r := &reading{ctx: ctx, in: in, keep: keep}
	report, err := proof.Verify(io.TeeReader(export, r), key, nil)
	switch {
	case r.failed != nil:
		return Gap{}, r.failed
	case err != nil:
		return Gap{}, err
	case !r.parted:
		return Gap{}, ErrNothingLost
	case len(r.ours) > 0:
		return Gap{}, fmt.Errorf("%w: it has not all entries from %d to %d", ErrOtherTrail, r.gap.Same, r.gap.Restored.Index-1)
	}
	r.gap.Size, r.gap.Report = report.Size, report
	return r.gap, nil
}

// A reading follows an export beside the store's own trail.
type reading struct {
	ctx  context.Context
	in   store.Reader
	keep func(Record) error

	rest   []byte      // of a line that is not whole yet
	held   []tlog.Hash // of the store's next entries
	next   int64       // of the export
	parted bool
	ours   map[tlog.Hash]bool // sealed in the store in another order; not met yet
	gap    Gap
	failed error
}

// Write is given what the verifier reads. It answers no error: a verifier that stops
// says why, and failed is asked first.
func (r *reading) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for r.failed == nil {
		line, after, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			if len(line) > proof.MaxLine { // the verifier refuses it
				r.rest = r.rest[:0]
			}
			break
		}
		r.failed = r.line(line)
		r.rest = after
	}
	r.rest = append([]byte(nil), r.rest...)
	return len(p), r.failed
}

func (r *reading) line(line []byte) error {
	l, err := proof.ParseLine(line)
	if err != nil || l.Checkpoint != nil || l.Index != r.next {
		return nil //nolint:nilerr // the verifier reads it too, and says what is wrong
	}
	r.next++
	if !r.parted {
		same, err := r.same(l)
		if err != nil || same {
			return err
		}
		if err := r.part(l.Index); err != nil {
			return err
		}
	}
	if r.ours[l.Hash] {
		delete(r.ours, l.Hash)
		return nil
	}
	e, err := Decode(l.Entry)
	if err != nil {
		return fmt.Errorf("entry %d of the export: %w", l.Index, err)
	}
	return r.keep(Record{Index: l.Index, Hash: l.Hash, Data: bytes.Clone(l.Entry), Entry: e})
}

// atOnce is how many of the store's entries are read at a time.
const atOnce = 4096

// same reports whether the store has this entry in this place.
func (r *reading) same(l proof.Line) (bool, error) {
	if len(r.held) == 0 {
		var err error
		r.held, err = hashes(r.ctx, r.in, l.Index, l.Index+atOnce)
		if err != nil || len(r.held) == 0 {
			return false, err
		}
	}
	if r.held[0] != l.Hash {
		return false, nil
	}
	r.held = r.held[1:]
	return true, nil
}

// part finds the restore that explains why the store goes on differently from here.
func (r *reading) part(at int64) error {
	r.parted, r.gap.Same = true, at
	found, err := store.All(r.ctx, r.in, "why the trails part", func(row store.Row) (rec Record, err error) {
		var hash []byte
		err = row.Scan(&rec.Index, &hash, &rec.Data)
		copy(rec.Hash[:], hash)
		return rec, err
	}, `SELECT idx, hash, data FROM trail_leaf WHERE action = $1 AND idx >= $2 ORDER BY idx LIMIT 1`, restored, at)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return fmt.Errorf("%w: they part at entry %d, and no restore of this store says why", ErrOtherTrail, at)
	case at == 0 || found[0].Index-at > overtaking:
		return fmt.Errorf("%w: they part at entry %d, before the restore of entry %d", ErrOtherTrail, at, found[0].Index)
	}
	if found[0].Entry, err = Decode(found[0].Data); err != nil {
		return err
	}
	r.gap.Restored = found[0]
	if to := found[0].Detail["trail_lost_to"]; to != "" {
		if r.gap.LostTo, err = strconv.ParseInt(to, 10, 64); err != nil {
			return fmt.Errorf("reading how much was lost: %w", err)
		}
	}
	between, err := hashes(r.ctx, r.in, at, found[0].Index)
	if err != nil {
		return err
	}
	r.ours = map[tlog.Hash]bool{}
	for _, h := range between {
		r.ours[h] = true
	}
	return nil
}

// hashes are those of the store's entries from ≤ i < to.
func hashes(ctx context.Context, in store.Reader, from, to int64) ([]tlog.Hash, error) {
	return store.All(ctx, in, "the trail", func(row store.Row) (h tlog.Hash, err error) {
		var hash []byte
		err = row.Scan(&hash)
		copy(h[:], hash)
		return h, err
	}, `SELECT hash FROM trail_leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx`, from, to)
}
