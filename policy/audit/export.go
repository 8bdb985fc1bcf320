package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
)

// ErrUnsealed says that entries wait and nobody seals them.
var ErrUnsealed = errors.New("entries of the trail are not sealed yet, and no sealer is running")

// exportPatience is how long Export waits for a Sealer to get on. A Sealer
// needs under a second; one that works through a backlog shows progress.
const exportPatience = 10 * time.Second

// exportPage is how many entries are read at a time. No read transaction stays
// open over the whole export, so the store's log can be tidied meanwhile.
const exportPage = 500

// Export writes the sealed trail as the contract has it: a line for each entry,
// the checkpoints where they were signed, a checkpoint last. It waits until
// what was committed before the call is sealed, by a Sealer of any process;
// ErrUnsealed when none gets on with it. Memory does not grow with the trail.
//
// It copies and does not judge: what is exported from a store that was tampered
// with is what proof.Verify needs to see.
func Export(ctx context.Context, db *store.DB, w io.Writer) error {
	if err := sealed(ctx, db); err != nil {
		return fmt.Errorf("exporting the trail: %w", err)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	if err := export(ctx, db, out); err != nil {
		return fmt.Errorf("exporting the trail: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("exporting the trail: %w", err)
	}
	return nil
}

// overtaking bounds how many entries that were not yet committed at a moment can
// be sealed before one that was: no more than transactions run at once.
const overtaking = 4096

// sealed waits until all that waits now is sealed: the tree has grown by as
// many entries, and none of them waits any more. On PostgreSQL others may be
// sealed first, whose seq is lower and whose commit came later. On SQLite, where
// that cannot be, seqs begin anew when nothing waits and then tell nothing; the
// growth does.
func sealed(ctx context.Context, db *store.DB) error {
	now, err := progress(ctx, db, 0)
	if err != nil {
		return err
	}
	if now.waiting == 0 {
		return nil
	}
	want, last := now.size+now.waiting, now.last
	tick := time.NewTicker(pollEvery / 10)
	defer tick.Stop()
	patience := time.NewTimer(exportPatience)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return fmt.Errorf("%w (%d of %d)", ErrUnsealed, want-now.size, want)
		case <-tick.C:
		}
		before := now.size
		if now, err = progress(ctx, db, last); err != nil {
			return err
		}
		if now.size >= want && (now.waiting == 0 || now.size >= want+overtaking) {
			return nil
		}
		if now.size > before {
			patience.Reset(exportPatience)
		}
	}
}

// A progressed trail, at one moment: the size of its tree, how many entries
// wait up to a seq, and the last of them.
type progressed struct{ size, waiting, last int64 }

// progress counts what waits with a seq of no more than upTo; 0 means all.
func progress(ctx context.Context, db *store.DB, upTo int64) (p progressed, err error) {
	if upTo == 0 {
		upTo = math.MaxInt64
	}
	_, err = one(ctx, db, []any{&p.size, &p.waiting, &p.last}, `
		SELECT COALESCE((SELECT MAX(size) FROM trail_checkpoint), 0), COUNT(*), COALESCE(MAX(seq), 0)
		FROM   trail_pending
		WHERE  seq <= $1`, upTo)
	return p, err
}

// export merges entries and checkpoints. Both only grow, so the newest
// checkpoint at the start bounds a picture that does not change under the
// reader.
func export(ctx context.Context, db *store.DB, out *bufio.Writer) error {
	var last int64
	found, err := one(ctx, db, []any{&last}, `SELECT size FROM trail_checkpoint ORDER BY size DESC LIMIT 1`)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: it has no checkpoint; was a sealer ever started on this store?", ErrUnsealed)
	}
	var line []byte
	for done := int64(-1); done < last; {
		marks, err := checkpoints(ctx, db, done, last)
		if err != nil {
			return err
		}
		for _, m := range marks {
			if err := exportEntries(ctx, db, out, max(done, 0), m.size); err != nil {
				return err
			}
			line = proof.AppendCheckpoint(line[:0], m.note)
			if _, err := out.Write(line); err != nil {
				return err
			}
			done = m.size
		}
	}
	return nil
}

type signedSize struct {
	size int64
	note []byte
}

// checkpoints reads a page of those after ≤ last; it is never empty while after
// is smaller than last.
func checkpoints(ctx context.Context, db *store.DB, after, last int64) ([]signedSize, error) {
	rows, err := db.Query(ctx, `
		SELECT size, note FROM trail_checkpoint
		WHERE  size > $1 AND size <= $2 ORDER BY size LIMIT $3`, after, last, exportPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []signedSize
	for rows.Next() {
		var m signedSize
		if err := rows.Scan(&m.size, &m.note); err != nil {
			return nil, err
		}
		page = append(page, m)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, fmt.Errorf("%w: the checkpoint of size %d is gone", ErrRewritten, last)
	}
	return page, nil
}

func exportEntries(ctx context.Context, db *store.DB, out *bufio.Writer, from, to int64) error {
	var line []byte
	for from < to {
		past := min(to, from+exportPage)
		rows, err := db.Query(ctx, `SELECT idx, hash, data FROM trail_leaf WHERE idx >= $1 AND idx < $2 ORDER BY idx`, from, past)
		if err != nil {
			return err
		}
		for rows.Next() {
			var (
				idx        int64
				hash, data []byte
			)
			if err := rows.Scan(&idx, &hash, &data); err != nil {
				_ = rows.Close()
				return err
			}
			var h tlog.Hash
			copy(h[:], hash)
			line = proof.AppendEntry(line[:0], idx, h, data)
			if _, err := out.Write(line); err != nil {
				_ = rows.Close()
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		from = past
	}
	return nil
}

// Verify exports the trail into the verifier and says what that found. old is
// a signed note kept from earlier, or nil.
func Verify(ctx context.Context, db *store.DB, publicKey string, old []byte) (proof.Report, error) {
	began := publicKey
	all, err := successions(ctx, db)
	if err != nil {
		return proof.Report{}, err
	}
	if len(all) > 0 {
		began = all[0].Old
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(Export(ctx, db, w)) }()
	report, err := proof.VerifySince(r, publicKey, began, old)
	_ = r.Close() // ends an Export that nobody reads any more
	return report, err
}
