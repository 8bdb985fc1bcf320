package elevate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// meter counts what this process has done.
type meter struct{ failed atomic.Int64 }

// Stats is what this process has met since its start.
type Stats struct {
	Failures int64 // tries to give or to undo that failed
}

// Stats tells them.
func (b *Book) Stats() Stats { return Stats{Failures: b.met.failed.Load()} }

const (
	undoEvery  = 500 * time.Millisecond
	undoAtOnce = 64 // things read at a time
	undoHands  = 4  // at the directory at a time: people who sign in need connections too
	// undoBegun is how many are under way at a time. Those that are not at the directory
	// are being claimed and confirmed, and whose transactions are ready together are
	// committed together.
	undoBegun = 16
)

// Run undoes what is to be undone, wakes somebody when that takes too long, and
// compares the directory with the leases each minute, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { b.undoing(ctx) })
	wg.Go(func() {
		for clock.Wait(ctx, overdueEvery) == nil {
			b.complain(ctx, "looking for what should be undone", b.Alarm(ctx))
		}
	})
	wg.Go(func() {
		for {
			b.complain(ctx, "comparing the directory with the leases", b.Compare(ctx))
			if clock.Wait(ctx, compareEvery) != nil {
				return
			}
		}
	})
	wg.Wait()
}

func (b *Book) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.Log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}

func (b *Book) undoing(ctx context.Context) {
	for {
		err := b.Undo(ctx)
		b.complain(ctx, "undoing what leases gave", err)
		rest := undoEvery
		if err != nil {
			rest = 2 * undoEvery
		}
		waiting, stop := context.WithTimeout(ctx, rest)
		select {
		case <-b.wake:
			// The hint comes before the commit.
			_ = clock.Wait(waiting, 20*time.Millisecond)
		case <-waiting.Done():
		}
		stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// Undo looks at everything that is due, once. Where the directory is away, it
// gives up after two things, which costs two time-outs: the rest stays due, and is
// nearer its turn. A thing that fails by itself holds up no other.
func (b *Book) Undo(ctx context.Context) error {
	proven := false // that the directory answers
	for ctx.Err() == nil {
		things, err := dueThings(ctx, b.DB, b.Now(), undoAtOnce)
		if err != nil || len(things) == 0 {
			return err
		}
		var (
			wg     sync.WaitGroup
			begun  = make(chan struct{}, undoBegun)
			mu     sync.Mutex
			streak int // failures since the last success
			bad    error
		)
		look := func(thing string) {
			err := b.look(ctx, thing)
			mu.Lock()
			defer mu.Unlock()
			if streak++; err == nil {
				streak = 0
			} else {
				bad = err
			}
		}
		enough := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return streak >= 2
		}
		for i, thing := range things {
			if i < 2 && !proven {
				look(thing)
			} else {
				begun <- struct{}{}
				wg.Go(func() {
					defer func() { <-begun }()
					look(thing)
				})
			}
			if enough() || ctx.Err() != nil {
				break
			}
		}
		wg.Wait()
		if bad != nil {
			return bad
		}
		if len(things) < undoAtOnce {
			return nil
		}
		proven = true
	}
	return ctx.Err()
}

// look settles one thing in the background. Only what stands in the way of all
// others is an error of the pass; what one thing meets is stored with it.
func (b *Book) look(ctx context.Context, thing string) error {
	_, err := b.settle(ctx, thing, "")
	switch {
	case err == nil, errors.Is(err, errHeld), errors.Is(err, ErrBusy), errors.Is(err, ErrTurned):
		return nil
	case errors.Is(err, directory.ErrAway), errors.Is(err, store.ErrAway), errors.Is(err, store.ErrClosed), ctx.Err() != nil:
		return err
	}
	b.Log.WarnContext(ctx, "an effect of a lease could not be undone; it is tried again", "thing", thing, "error", err)
	return nil
}

// Alarm tells of effects that should have been gone for a while: a line in the
// log each time, and one entry on the trail for each effect.
func (b *Book) Alarm(ctx context.Context) error {
	now := b.Now()
	late := store.Micros(now.Add(-overdueAfter))
	all, err := effects(ctx, b.DB, `
		state = 'withdrawn' AND withdrawn_at <= $1 OR state = 'kept' AND not_after <= $1 OR state IN ('intended', 'applied') AND decide_by <= $1
		ORDER BY lease, place LIMIT 1000`, late)
	if err != nil {
		return fmt.Errorf("looking for what should be undone: %w", err)
	}
	if err := b.relieve(ctx, all); err != nil || len(all) == 0 {
		return err
	}
	b.Log.ErrorContext(ctx, "privilege that has ended could not be taken back in the directory yet",
		"effects", len(all), "lease", all[0].lease, "target", all[0].target, "since", all[0].since())
	for _, e := range all {
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `
				UPDATE elevation_effect SET alarmed_at = $1
				WHERE  lease = $2 AND place = $3 AND alarmed_at = 0 AND state <> 'closed'`, store.Micros(now), e.lease, e.place)
			if errors.Is(err, store.ErrUntouched) {
				return nil // said, here or at another gateway
			}
			if err != nil {
				return err
			}
			if err := b.found(ctx, tx, e.overdue()); err != nil {
				return err
			}
			return b.enter(ctx, tx, "elevation.overdue", e, "the directory has not taken it back since "+e.since().Format(time.RFC3339))
		})
		if err != nil {
			return fmt.Errorf("telling of what should be undone: %w", err)
		}
	}
	return nil
}

// overdue is the finding that an effect cannot be undone.
func (e effect) overdue() Finding {
	return Finding{Kind: Undo, Place: e.target, Subject: fmt.Sprintf("lease:%s/%d", e.lease, e.place), Login: orElse(e.account, e.login)}
}

// relieve closes the findings about effects that are not overdue any more.
func (b *Book) relieve(ctx context.Context, overdue []effect) error {
	open, err := findings(ctx, b.DB, `closed_at = 0 AND kind = 'undo'`)
	if err != nil {
		return err
	}
	for _, f := range open {
		if slices.ContainsFunc(overdue, func(e effect) bool { return e.overdue().Subject == f.Subject }) {
			continue
		}
		if err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.over(ctx, tx, f, ClosedBySekisho) }); err != nil {
			return fmt.Errorf("closing a finding: %w", err)
		}
	}
	return nil
}
