package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
)

var (
	// ErrOtherKey says that the stored checkpoints were signed with another key
	// than the one in hand. Nothing is sealed: a trail has one signer.
	ErrOtherKey = errors.New("the trail was signed with another key")
	// ErrRewritten says that the stored tree does not hash to the checkpoint
	// signed last: somebody changed sealed rows.
	ErrRewritten = errors.New("the sealed trail was changed")
	// ErrForked says that the store and the anchor hold two histories signed
	// with one key: a copy of the store has lived a life of its own.
	ErrForked = errors.New("the trail in the store is not the one in the anchor")
)

// RolledBack says that the store is older than what was already sealed: an old
// copy of the database was put in place.
type RolledBack struct {
	Stored, Anchored int64 // tree sizes
	Anchor           string
}

func (r *RolledBack) Error() string {
	return fmt.Sprintf("the trail in the store holds %d entries, but %s proves that it held %d: the database was set back; restore the newer one, or keep both and tell the auditors",
		r.Stored, r.Anchor, r.Anchored)
}

// A querier is a transaction or the read pool.
type querier interface {
	Query(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// one reads a single row and closes it, which leaves the statement free for the
// next use in the same transaction. It answers false when there is none.
func one(ctx context.Context, from querier, into []any, q string, args ...any) (bool, error) {
	rows, err := from.Query(ctx, q, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	if err := rows.Scan(into...); err != nil {
		return false, err
	}
	return true, rows.Close()
}

// nodes reads the stored tree, and what a batch has added to it so far. Only
// the few hashes a computation asks for are ever in memory.
type nodes struct {
	ctx  context.Context // of the one transaction it lives in
	from querier
	// fresh are the hashes from position first on.
	fresh []tlog.Hash
	first int64
}

// ReadHashes implements tlog.HashReader.
func (n *nodes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, position := range at {
		if k := position - n.first; len(n.fresh) > 0 && k >= 0 && k < int64(len(n.fresh)) {
			out[i] = n.fresh[k]
			continue
		}
		var (
			h     []byte
			found bool
			err   error
		)
		if level, idx := tlog.SplitStoredHashIndex(position); level == 0 {
			found, err = one(n.ctx, n.from, []any{&h}, `SELECT hash FROM trail_leaf WHERE idx = $1`, idx)
		} else {
			h, found, err = n.inner(innerPlace(level, idx))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the tree: %w", err)
		}
		if !found || len(h) != tlog.HashSize {
			return nil, fmt.Errorf("%w: hash %d of its tree is missing", ErrRewritten, position)
		}
		copy(out[i][:], h)
	}
	return out, nil
}

// inner cuts one hash out of the run that holds it.
func (n *nodes) inner(place int64) ([]byte, bool, error) {
	var (
		begins int64
		run    []byte
	)
	found, err := one(n.ctx, n.from, []any{&begins, &run},
		`SELECT position, hash FROM trail_node WHERE position <= $1 ORDER BY position DESC LIMIT 1`, place)
	if err != nil || !found {
		return nil, false, err
	}
	from := (place - begins) * tlog.HashSize
	if from+tlog.HashSize > int64(len(run)) {
		return nil, false, nil
	}
	return run[from : from+tlog.HashSize], true, nil
}

// innerPlace counts the inner nodes stored before this one: tlog stores a node
// as soon as the last leaf below it is there, behind that leaf.
func innerPlace(level int, idx int64) int64 {
	return tlog.StoredHashIndex(level, idx) - (idx+1)<<level
}

// A head is the newest checkpoint of the store.
type head struct {
	proof.Checkpoint
	note []byte
}

// newest reads the newest signed note; false in a store that never had one.
func newest(ctx context.Context, from querier) ([]byte, bool, error) {
	var signed []byte
	found, err := one(ctx, from, []any{&signed}, `SELECT note FROM trail_checkpoint ORDER BY size DESC LIMIT 1`)
	if err != nil {
		return nil, false, fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	return signed, found, nil
}

// readHead checks that the newest checkpoint is this key's and that the stored
// tree still hashes to it. It is asked before every signature: signing on top
// of a changed tree would make the change genuine.
func (s *Sealer) readHead(ctx context.Context, from querier) (head, error) {
	signed, found, err := newest(ctx, from)
	if err != nil {
		return head{}, err
	}
	leaves, err := leafCount(ctx, from)
	if err != nil {
		return head{}, err
	}
	if !found {
		if leaves != 0 {
			return head{}, fmt.Errorf("%w: it holds %d entries and no checkpoint", ErrRewritten, leaves)
		}
		return head{}, nil
	}
	c, err := s.signedLast(signed)
	if err != nil {
		return head{}, fmt.Errorf("%w (%w): start with the key file of this trail, whose key is not %s", ErrOtherKey, err, s.key.PublicKey())
	}
	if leaves != c.Size {
		return head{}, fmt.Errorf("%w: it holds %d entries, but the newest checkpoint covers %d", ErrRewritten, leaves, c.Size)
	}
	root, err := tlog.TreeHash(c.Size, &nodes{ctx: ctx, from: from})
	if err != nil {
		return head{}, err
	}
	if root != c.Root {
		return head{}, fmt.Errorf("%w: its %d entries do not hash to their checkpoint", ErrRewritten, c.Size)
	}
	return head{c, signed}, nil
}

func leafCount(ctx context.Context, from querier) (int64, error) {
	var n int64
	if _, err := one(ctx, from, []any{&n}, `SELECT COALESCE(MAX(idx) + 1, 0) FROM trail_leaf`); err != nil {
		return 0, fmt.Errorf("counting the sealed entries: %w", err)
	}
	return n, nil
}

// signedLast reads the newest checkpoint under the key of ours that signed it
// last, which is the one whose turn it is. Where a key that we do not hold has
// succeeded ours, none is.
func (s *Sealer) signedLast(signed []byte) (c proof.Checkpoint, err error) {
	for _, k := range slices.Backward(s.key.all()) {
		if c, err = proof.OpenLastSigned(signed, k.public); err == nil {
			s.key.use(k.public)
			return c, nil
		}
	}
	return c, err
}

// sign makes the checkpoint of a tree, signed by the key in use, or by these.
func (s *Sealer) sign(size int64, root tlog.Hash, by ...note.Signer) (head, error) {
	if len(by) == 0 {
		by = []note.Signer{s.key.inUse()}
	}
	c := proof.Checkpoint{Origin: s.key.Origin(), Size: size, Root: root}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, by...)
	if err != nil {
		return head{}, fmt.Errorf("signing the checkpoint of %d entries: %w", size, err)
	}
	return head{c, signed}, nil
}
