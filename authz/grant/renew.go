package grant

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/session"
	"sekisho/authz/elevate"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Renew gives the ID that was lent with a lease a new password and shows it once, to its
// borrower, in the session that the lease is used in and after a sign-in as fresh as
// activating takes: the answer that held the first one may have been lost. That one is
// dead. Both what is about to be done and what was are on the trail.
//
// Errors: *Refusal (Away: the ID may be shut until it succeeds), *account.StepUp,
// session.ErrNone, ErrNotFound.
func (b *Book) Renew(ctx context.Context, by By, id string) (Lease, *elevate.Account, error) {
	l, v, err := b.proven(ctx, by, id)
	if err != nil {
		return Lease{}, nil, err
	}
	// Whoever may have it no more is given no way into it, though its end is yet to be tidied.
	if err := MayBorrow(b.Policy(), v, by.Holder, b.Now()); err != nil {
		return Lease{}, nil, b.refuse(ctx, by, v.ID, err)
	}
	if err := b.Trail.MayBegin(); err != nil { // no trail, no password
		return Lease{}, nil, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		if err := b.keeps(ctx, tx, v, by.Holder); err != nil {
			return err
		}
		if l, err = read(ctx, tx, id); err != nil {
			return err
		}
		if err := l.renewable(by.SessionID, b.Now()); err != nil {
			return err
		}
		// One that waits to be shown is dead too.
		if _, err := tx.Exec(ctx, `DELETE FROM lease_secret WHERE lease = $1`, l.ID); err != nil {
			return fmt.Errorf("forgetting the password of a lease: %w", err)
		}
		return b.Trail.Append(ctx, tx, b.entry(l, by, "lease.password_renewing", ""))
	})
	if err != nil {
		return Lease{}, nil, err
	}
	given, err := b.Effects.Renew(ctx, l.ID)
	e := b.entry(l, by, "lease.account_shown", "a new password")
	if err != nil {
		e.Action, e.Outcome, e.Reason = "lease.password_renewing", audit.Failed, store.Brief(err)
	}
	wrote := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error { return b.Trail.Append(ctx, tx, e) })
	if err = errors.Join(err, wrote); err != nil {
		return Lease{}, nil, unrenewed(err)
	}
	return l, given, nil
}

// renewable says why the password of a lease's ID cannot be renewed in a session.
func (l Lease) renewable(sessionID string, now time.Time) error {
	switch {
	case l.State(now) != Active:
		return wrongState(l, now)
	case l.Account == "":
		return conflict(NoAccount, lending, "この貸出しに、パスワードで使うIDはありません。", "No ID with a password is lent with this.")
	case l.suspended || l.Paused(now):
		return conflict(StillUnderWay, together, "立会いが確認されていないため、止まっています。もう一人の方に確認してもらってください。", "It is paused. Please have the second person confirm that they are there.")
	case !l.Outlives && l.Session != sessionID:
		return conflict(Elsewhere, lending, "この特権は、別のサインインで使われています。そのブラウザで行うか、いったん返してください。", "This privilege is in use in another sign-in. Do it in that browser, or give the privilege back.")
	}
	return nil
}

// unrenewed says to its borrower why there is no new password.
func unrenewed(err error) error {
	var r *Refusal
	switch {
	case errors.As(err, &r), errors.Is(err, session.ErrNone), errors.Is(err, ErrNotFound), errors.Is(err, store.ErrUnknown):
		return err
	case errors.Is(err, elevate.ErrTurned), errors.Is(err, elevate.ErrUnlendable):
		r = conflict(NoAccount, lending, "このIDは、ディレクトリで使えなくなっています。情報システム管理者に知らせ、この特権を返して、改めて申請してください。",
			"The directory has this ID no more, or does not let it be changed. Tell the system administrator, give the privilege back and ask again.")
	case errors.Is(err, elevate.ErrBusy), errors.Is(err, directory.ErrAway), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		r = &Refusal{Reason: DirectoryAway, Is: Away, Articles: lending, Says: policy.Words{
			JA: "ディレクトリに届かないため、新しいパスワードを設定できませんでした。前のパスワードは使えなくなっていることがあります。しばらくしてからもう一度お試しください。",
			EN: "The directory could not be reached, so no new password was set; the one before may not work any more. Please try again in a while.",
		}}
	default:
		return err
	}
	r.Err = err
	return r
}
