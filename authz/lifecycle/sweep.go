package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// lookEvery is how often it is looked whether something is to be done.
const lookEvery = 2 * time.Second

// system is who acts where nobody does.
const system = "system"

// Run sweeps when it is due, goes on with what others left, and brings about in the
// directory what was intended, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			b.complain(ctx, "ending what is open of people whose leave begins", b.BeginLeaves(ctx))
			b.complain(ctx, "bringing about in the directory what a sweep intended", b.Effects(ctx))
			if clock.Wait(ctx, lookEvery) != nil {
				return
			}
		}
	})
	for ctx.Err() == nil {
		b.complain(ctx, "sweeping for unused IDs", b.Tick(ctx))
		waiting, stop := context.WithTimeout(ctx, lookEvery)
		select {
		case <-b.wake:
		case <-waiting.Done():
		}
		stop()
	}
	wg.Wait()
}

func (b *Book) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.Log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}

// Tick begins the sweep that is due, if one is, and goes on with whatever is open and
// nobody is at.
func (b *Book) Tick(ctx context.Context) error {
	if err := b.schedule(ctx); err != nil {
		return fmt.Errorf("scheduling a sweep: %w", err)
	}
	now := b.Now()
	open, err := summaries(ctx, b.DB, `state IN ('reading', 'acting') AND (claimed_until <= $1 OR claimed_until > $2) ORDER BY began_at`,
		store.Micros(now), store.Micros(now.Add(2*restAfter)))
	if err != nil {
		return err
	}
	var problems []error
	for _, s := range open {
		if err := b.goOn(ctx, s.ID); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// firstSlot is the sweep that a new store begins with: it looks, and does nothing, so
// that people see what there is before anybody is told. Where it did not come to its end
// on its day, that of the next day is the first.
const firstSlot = "first"

// schedule begins the sweep of the day, at one gateway, also where days were missed:
// then one makes up for all of them.
func (b *Book) schedule(ctx context.Context) error {
	slot := slotOf(b.Now(), b.Policy().Dormancy.SweepHour)
	var last string
	err := b.DB.QueryRow(ctx, `SELECT last_slot FROM sweep_schedule WHERE id = 1`).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil && last >= slot {
		return nil
	}
	first := err != nil
	_, before, err := b.Last(ctx)
	if err != nil {
		return err
	}
	next := slot
	if !before {
		next = firstSlot + " " + slot
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if first {
			if err := tx.ExecOne(ctx, `INSERT INTO sweep_schedule (id, last_slot) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, slot); err != nil {
				return err
			}
			return b.begin(ctx, tx, Summary{ID: secret.Token(12), Slot: firstSlot, AsOf: b.Now(), By: system}, "")
		}
		if err := tx.ExecOne(ctx, `UPDATE sweep_schedule SET last_slot = $1 WHERE id = 1 AND last_slot < $1`, slot); err != nil {
			return err
		}
		return b.begin(ctx, tx, Summary{ID: secret.Token(12), Slot: next, AsOf: b.Now(), By: system}, "")
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway did
	}
	return err
}

// begin writes a sweep down in the caller's transaction. What was open before it is
// over: it sees all of that anew.
func (b *Book) begin(ctx context.Context, tx *store.Tx, s Summary, holder string) error {
	now := b.Now()
	before, err := summaries(ctx, tx, `state IN ('reading', 'acting', 'stopped')`)
	if err != nil {
		return err
	}
	for _, old := range before {
		if err := tx.ExecOne(ctx, `UPDATE sweep SET state = 'superseded', ended_at = $1, holder = '' WHERE id = $2`, store.Micros(now), old.ID); err != nil {
			return err
		}
		if err := b.forget(ctx, tx, old.ID); err != nil {
			return err
		}
		if old.Matter != "" {
			if err := b.Matters.Void(ctx, tx, old.Matter, "a later sweep has begun"); err != nil {
				return err
			}
		}
	}
	ends := int64(0)
	if holder != "" {
		ends = store.Micros(now.Add(claimLasts))
	}
	return tx.ExecOne(ctx, `
		INSERT INTO sweep (id, slot, as_of, began_at, by_login, state, holder, claimed_until) VALUES ($1, $2, $3, $4, $5, 'reading', $6, $7)`,
		s.ID, s.Slot, store.Micros(s.AsOf), store.Micros(now), s.By, holder, ends)
}

// goOn takes a sweep that nobody is at.
func (b *Book) goOn(ctx context.Context, id string) error {
	holder, now := secret.Token(9), b.Now()
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `
			UPDATE sweep SET holder = $1, claimed_until = $2
			WHERE  id = $3 AND state IN ('reading', 'acting') AND (claimed_until <= $4 OR claimed_until > $5)`,
			holder, store.Micros(now.Add(claimLasts)), id, store.Micros(now), store.Micros(now.Add(2*restAfter)))
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway has it
	}
	if err != nil {
		return err
	}
	return b.perform(ctx, id, holder, nil)
}

// perform does what is left of a sweep.
func (b *Book) perform(ctx context.Context, id, holder string, progress func(int)) error {
	s, err := b.Sweep(ctx, id)
	if err != nil {
		return err
	}
	w := &work{Book: b, Summary: s, holder: holder, ticks: clock.Stopwatch(), progress: progress}
	if s.State == Reading {
		err = w.reading(ctx)
	}
	if err == nil && w.State == Acting {
		err = w.acting(ctx)
	}
	if errors.Is(err, errLost) {
		return nil
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sweep %s: %w", s.Slot, err), w.rest(context.WithoutCancel(ctx), err))
	}
	return nil
}
