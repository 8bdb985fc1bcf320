package elevate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// Renew gives the ID that a lease has a new password, which from then on is known to
// nobody but whoever reads the answer: the one before may have been lost on its way.
//
// Errors: ErrTurned, the lease has no ID, or not any more; ErrBusy; those of the directory,
// after which the ID may be shut until it succeeds.
func (b *Book) Renew(ctx context.Context, lease string) (*Account, error) {
	all, err := ofLease(ctx, b.DB, lease)
	if err != nil {
		return nil, fmt.Errorf("renewing a password: %w", err)
	}
	at := slices.IndexFunc(all, func(e effect) bool { return e.kind != policy.GiftGroup })
	if at < 0 {
		return nil, fmt.Errorf("renewing a password: %w", ErrTurned)
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		account, err := b.renew(ctx, all[at])
		if !errors.Is(err, errHeld) {
			return account, err
		}
		if clock.Wait(waiting, 25*time.Millisecond) != nil {
			return nil, ErrBusy
		}
	}
}

func (b *Book) renew(ctx context.Context, of effect) (*Account, error) {
	h, err := b.claim(ctx, of.thing, "")
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(h.effects, func(e effect) bool {
		return e.lease == of.lease && e.place == of.place && e.state == kept && h.now.Before(e.notAfter)
	})
	if at < 0 {
		_, err := b.confirm(ctx, h, outcome{}, "")
		return nil, errors.Join(fmt.Errorf("renewing a password: %w", ErrTurned), err)
	}
	account, problem := b.reopen(ctx, h.effects[at])
	if problem != nil {
		return nil, b.failed(ctx, h, "", problem)
	}
	return b.confirm(ctx, h, outcome{account: account}, "")
}

// reopen sets the password of an ID that is lent.
func (b *Book) reopen(ctx context.Context, e effect) (*Account, error) {
	ctx, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	p, err := b.Directory.LentByID(ctx, e.accountID)
	if errors.Is(err, directory.ErrNotFound) {
		return nil, fmt.Errorf("%w: the ID is gone: %w", ErrTurned, err) // the comparison says so
	}
	if err != nil {
		return nil, err
	}
	pw := newPassword()
	if err := b.Directory.OpenLent(ctx, p, pw, e.notAfter); err != nil {
		return nil, unlendable(err)
	}
	return &Account{p.Login, pw}, nil
}
