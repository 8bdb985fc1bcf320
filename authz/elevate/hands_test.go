package elevate_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy/clock"
)

// A counted directory counts who takes somebody out of a group at a time. Each waits
// there for what hold waits for.
type counted struct {
	elevate.Directory
	mu          sync.Mutex
	there, most int
	hold        func(ctx context.Context) error
}

func (d *counted) Leave(ctx context.Context, group string, id directory.PersonID, former string) error {
	d.add(1)
	defer d.add(-1)
	if err := d.hold(ctx); err != nil {
		return err
	}
	return d.Directory.Leave(ctx, group, id, former)
}

func (d *counted) add(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.there += n
	d.most = max(d.most, d.there)
}

// TestUndoLeavesConnections: of what is undone, so many are at the directory at a time
// and no more, whoever else wants its connections; the rest is claimed meanwhile.
func TestUndoLeavesConnections(t *testing.T) {
	t.Parallel()
	const hands = 4
	w := newWorld(t)
	var leases []string
	for i := range 3 * hands {
		p, err := w.dir.Create(t.Context(), directory.NewPerson{Login: fmt.Sprintf("p%d", i), Name: "p", Kind: directory.KindStaff})
		w.must(err)
		lease := fmt.Sprintf("L%d", i)
		w.lend(lease, p, 60, ofGroup(dbAdmins))
		leases = append(leases, lease)
	}
	narrow := &counted{Directory: w.dir}
	b := w.book(func(h *elevate.House) { h.Directory = narrow })
	for _, lease := range leases {
		w.withdraw(lease)
	}
	// The first two go one after the other: they show whether the directory answers.
	const first = 2
	claimed := make(chan struct{})
	go func() { // until all but those are
		defer close(claimed)
		for n := 0; n < len(leases)-first && clock.Wait(t.Context(), time.Millisecond) == nil; {
			if err := w.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM elevation_thing WHERE claimed_until > 0`).Scan(&n); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	var come atomic.Int64
	narrow.hold = func(ctx context.Context) error {
		if come.Add(1) <= first {
			return nil
		}
		select {
		case <-claimed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w.must(b.Undo(ctx))
	<-claimed
	for _, lease := range leases {
		w.cleanup(lease, elevate.CleanupConfirmed)
	}
	if narrow.most > hands {
		t.Errorf("%d were at the directory at a time, want at most %d", narrow.most, hands)
	}
	w.inGroup(dbAdmins)
}
