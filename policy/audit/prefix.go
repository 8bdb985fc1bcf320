package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
)

// Continues reports whether the sealed trail in a store goes on from a checkpoint:
// its first entries are those that were signed there. It reads the tree that is
// stored, and a few hashes of it; Verify hashes the entries.
func Continues(ctx context.Context, in store.Reader, from proof.Checkpoint) (bool, error) {
	held, err := leafCount(ctx, in)
	if err != nil || held < from.Size {
		return false, err
	}
	root, err := tlog.TreeHash(from.Size, &nodes{ctx: ctx, from: in})
	if err != nil {
		return false, fmt.Errorf("hashing the first %d entries of the trail: %w", from.Size, err)
	}
	return root == from.Root, nil
}
