package elevate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Apply brings about, outside any transaction, what a lease intended, and answers
// when the directory has it, or with an error after which it is being taken back:
// the lease may be activated again. The caller calls Keep in the transaction in
// which the lease becomes active, and then shows the password, once.
//
// Errors: directory.ErrAway, ErrBusy, ErrTurned, ErrTaken, ErrUnlendable,
// directory.ErrNotFound (the person or the group is gone).
func (b *Book) Apply(ctx context.Context, lease string) (Result, error) {
	all, err := ofLease(ctx, b.DB, lease)
	if err != nil {
		return Result{}, fmt.Errorf("applying effects: %w", err)
	}
	var out Result
	for _, e := range all {
		account, err := b.applyOne(ctx, e)
		if err != nil {
			return Result{}, errors.Join(fmt.Errorf("applying what lease %s gives: %w", lease, err), b.turn(ctx, lease))
		}
		if account != nil {
			out.Account = account
		}
	}
	return out, nil
}

func (b *Book) applyOne(ctx context.Context, e effect) (*Account, error) {
	if e.state != intended && e.state != applied || !b.Now().Before(e.decideBy) {
		return nil, ErrTurned
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		account, err := b.settle(ctx, e.thing, e.lease)
		if !errors.Is(err, errHeld) {
			if err == nil {
				err = b.seen(ctx, e)
			}
			return account, err
		}
		if clock.Wait(waiting, 25*time.Millisecond) != nil {
			return nil, ErrBusy
		}
	}
}

// seen makes sure that the effect is confirmed: whoever held the thing may have
// found it too late.
func (b *Book) seen(ctx context.Context, e effect) error {
	now, err := effects(ctx, b.DB, `lease = $1 AND place = $2`, e.lease, e.place)
	if err != nil {
		return err
	}
	if len(now) != 1 || now[0].state != applied {
		return ErrTurned
	}
	return nil
}

// turn turns the effects of a lease round, whatever became of the caller. If even
// that fails, they are turned round when the time to decide is over.
func (b *Book) turn(ctx context.Context, lease string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		all, err := ofLease(ctx, tx, lease)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.state == kept {
				return nil // it became active after all; that is for its lease to end
			}
		}
		return b.withdraw(ctx, tx, lease, "not applied")
	})
	if err != nil {
		return fmt.Errorf("turning them round: %w", err)
	}
	return nil
}
