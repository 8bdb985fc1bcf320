package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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

// sealed waits until the tree has grown by all that waits now.
func sealed(ctx context.Context, db *store.DB) error {
	size, waiting, err := progress(ctx, db)
	if err != nil {
		return err
	}
	want := size + waiting
	tick := time.NewTicker(pollEvery / 10)
	defer tick.Stop()
	patience := time.NewTimer(exportPatience)
	defer patience.Stop()
	for size < want {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return fmt.Errorf("%w (%d of %d)", ErrUnsealed, want-size, want)
		case <-tick.C:
		}
		before := size
		if size, _, err = progress(ctx, db); err != nil {
			return err
		}
		if size > before {
			patience.Reset(exportPatience)
		}
	}
	return nil
}

// progress reads, at one moment, the size of the sealed tree and how many
// entries wait.
func progress(ctx context.Context, db *store.DB) (size, waiting int64, err error) {
	_, err = one(ctx, db, []any{&size, &waiting}, `
		SELECT COALESCE((SELECT MAX(size) FROM trail_checkpoint), 0), (SELECT COUNT(*) FROM trail_pending)`)
	return size, waiting, err
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
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(Export(ctx, db, w)) }()
	report, err := proof.Verify(r, publicKey, old)
	_ = r.Close() // ends an Export that nobody reads any more
	return report, err
}
