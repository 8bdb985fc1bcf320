package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
)

// An anchor is the newest checkpoint kept in a file outside the database. The
// database can be set back as a whole, signatures and all, and be sound in
// itself; only something that was not set back with it can tell.
type anchor struct {
	path string // "": there is none
	key  *Key
	past []string // public halves of the keys that ours have succeeded
}

// learn reads which keys ours have succeeded: the anchor may be a former key's.
// Each is vouched for by the next, up to one that we hold.
func (a *anchor) learn(ctx context.Context, db querier) error {
	all, err := successions(ctx, db)
	if err != nil {
		return err
	}
	_, known := a.key.Held()
	for _, s := range slices.Backward(all) {
		if slices.Contains(known, s.New) && !slices.Contains(known, s.Old) {
			known, a.past = append(known, s.Old), append(a.past, s.Old)
		}
	}
	return nil
}

// open reads a checkpoint of any key of this trail.
func (a anchor) open(signed []byte) (c proof.Checkpoint, err error) {
	_, known := a.key.Held()
	for _, public := range slices.Backward(slices.Concat(a.past, known)) {
		if c, err = proof.OpenLastSigned(signed, public); err == nil {
			return c, nil
		}
	}
	return c, err
}

// read answers the checkpoint in the file; its note is nil when there is none.
func (a anchor) read() (head, error) {
	if a.path == "" {
		return head{}, nil
	}
	signed, err := os.ReadFile(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return head{}, nil
	}
	if err != nil {
		return head{}, fmt.Errorf("reading the anchor: %w", err)
	}
	c, err := a.open(signed)
	if err != nil {
		return head{}, fmt.Errorf("%s is not a checkpoint of this trail under the key %s: %w", a.path, a.key, err)
	}
	return head{c, signed}, nil
}

// compare proves that kept is a prefix of h. An anchor that is behind is the
// normal case: a crash fell between the commit and the file.
func (a anchor) compare(ctx context.Context, from querier, kept, h head) error {
	switch {
	case kept.note == nil || bytes.Equal(kept.note, h.note):
		return nil
	case kept.Size > h.Size:
		return &RolledBack{Stored: h.Size, Anchored: kept.Size, Anchor: a.path}
	case kept.Size == h.Size && kept.Root != h.Root:
		return a.forked(kept, h)
	case kept.Size == h.Size || kept.Size == 0:
		return nil
	}
	// Both roots from one proof: hashes that serve only the older root could
	// have been left in place by whoever changed the others.
	p, err := tlog.ProveTree(h.Size, kept.Size, &nodes{ctx: ctx, from: from})
	if err != nil {
		return fmt.Errorf("comparing the trail with its anchor: %w", err)
	}
	if tlog.CheckTree(p, h.Size, h.Root, kept.Size, kept.Root) != nil {
		return a.forked(kept, h)
	}
	return nil
}

func (a anchor) forked(kept, h head) error {
	return fmt.Errorf("%w: %s covers %d entries, which are not the first of the store's %d; keep both and tell the auditors",
		ErrForked, a.path, kept.Size, h.Size)
}

// write puts the newest checkpoint into the file, whole or not at all, after
// its commit. Another process may have written a newer one meanwhile: that one
// stays, so the lock is held from looking to renaming.
func (a anchor) write(h head) error {
	if a.path == "" {
		return nil
	}
	unlock, err := lockBeside(a.path)
	if err != nil {
		return fmt.Errorf("writing the anchor: %w", err)
	}
	defer unlock()
	kept, err := a.read()
	if err != nil {
		return err
	}
	if kept.note != nil && kept.Size >= h.Size {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(a.path), filepath.Base(a.path)+".*")
	if err != nil {
		return fmt.Errorf("writing the anchor: %w", err)
	}
	if err := errors.Join(handOver(f), finish(f, string(h.note))); err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing the anchor: %w", err)
	}
	if err := os.Rename(f.Name(), a.path); err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing the anchor: %w", err)
	}
	if err := syncDir(filepath.Dir(a.path)); err != nil {
		return fmt.Errorf("writing the anchor: %w", err)
	}
	return nil
}

// handOver gives a file that root makes to the owner of its folder. An operator
// who works through sudo, so that the trail has their name, must not leave a
// file that the gate, under its own account, can no longer read.
func handOver(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	dir, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if owner, ok := dir.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// lockBeside takes a lock that ends with the process if need be. The lock file
// stays: removing it would let two processes hold locks on two files.
func lockBeside(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := handOver(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s.lock: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
