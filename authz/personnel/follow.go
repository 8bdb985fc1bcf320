package personnel

import (
	"context"
	"errors"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy/store"
)

// follows is what follows in the store from a change that the directory has.
func (b *Book) follows(ctx context.Context, tx *store.Tx, j *job) error {
	c, now := j.change, b.Now()
	if c.Act == Leaves {
		if err := b.Sessions.EndAll(ctx, tx, j.who.ID, j.who.Login, "", "left"); err != nil {
			return err
		}
		if err := endPlaces(ctx, tx, j.who.ID, nil, now); err != nil {
			return err
		}
	}
	if err := b.ends(ctx, tx, j, c.EndsLeases(), c.EndsPermits(), string(c.Act)); err != nil {
		return err
	}
	if c.SaysConcurrent {
		if err := endPlaces(ctx, tx, j.who.ID, c.Concurrent, now); err != nil {
			return err
		}
		for _, section := range c.Concurrent {
			if err := putPlace(ctx, tx, j.who.ID, section, concurrent, now, c.After.Expires, j.importID); err != nil {
				return err
			}
		}
	}
	if !c.Handover.IsZero() {
		if err := putPlace(ctx, tx, j.who.ID, c.Before.Section, handover, now, c.Handover, j.importID); err != nil {
			return err
		}
	}
	if err := b.tie(ctx, tx, j); err != nil {
		return err
	}
	if b.Life == nil {
		return nil
	}
	if c.Before.Disabled && !c.After.Disabled {
		kinds, err := standing.Records(ctx, tx, j.who.ID, now)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(kinds, func(r standing.Record) bool { return r.Kind == standing.Dormant }) {
			if err := b.Life.Reopen(ctx, tx, j.who); err != nil {
				return err
			}
			if err := standing.Lift(ctx, tx, j.who.ID, standing.Dormant, now); err != nil && !errors.Is(err, store.ErrUntouched) {
				return err
			}
		}
	}
	if c.LeaveOver {
		if err := b.Life.EndLeave(ctx, tx, j.who, j.by); err != nil && !errors.Is(err, lifecycle.ErrNoLeave) {
			return err
		}
	}
	if !c.LeaveFrom.IsZero() {
		return b.Life.Leave(ctx, tx, lifecycle.Leave{Who: j.who, From: c.LeaveFrom, Until: c.LeaveUntil, Reason: j.importID, By: j.by})
	}
	return nil
}

// ends ends what is lent and permitted to somebody.
func (b *Book) ends(ctx context.Context, tx *store.Tx, j *job, leases, permits bool, why string) error {
	for _, of := range []struct {
		Leases
		ends bool
	}{{b.Leases, leases}, {b.Permits, permits}} {
		if of.Leases == nil || !of.ends || j.who.ID == "" {
			continue
		}
		if _, err := of.EndOf(ctx, tx, j.who.ID, j.by, why); err != nil {
			return err
		}
	}
	return nil
}

// handedOver ends the permits that somebody kept in order to hand over: those that they
// asked for before they moved. What was asked for since is of the new section.
func (b *Book) handedOver(ctx context.Context, tx *store.Tx, j *job) error {
	if b.Permits == nil || j.who.ID == "" {
		return nil
	}
	var moved int64
	if err := tx.QueryRow(ctx, `SELECT done_at FROM personnel_step WHERE import = $1 AND n = $2 AND step = $3`, j.importID, j.n, stepApply).Scan(&moved); err != nil {
		return err
	}
	before := when(moved)
	if before.IsZero() { // the move itself is still being tried
		before = b.Now()
	}
	_, err := b.Permits.EndAsked(ctx, tx, j.who.ID, before, j.by, "handover over")
	return err
}

// unfollows turns round what follows turned.
func (b *Book) unfollows(ctx context.Context, tx *store.Tx, j *job) error {
	c, now := j.change, b.Now()
	if j.who.ID == "" {
		return nil
	}
	if err := b.untie(ctx, tx, j); err != nil || !j.found.Applied {
		return err
	}
	if j.found.New {
		return b.Sessions.EndAll(ctx, tx, j.who.ID, j.who.Login, "", "undone")
	}
	if c.SaysConcurrent || c.Act == Leaves || !c.Handover.IsZero() {
		if err := endPlaces(ctx, tx, j.who.ID, j.found.Places, now); err != nil {
			return err
		}
		for _, section := range j.found.Places {
			if err := putPlace(ctx, tx, j.who.ID, section, concurrent, now, j.found.Expires, j.importID); err != nil {
				return err
			}
		}
	}
	if !c.LeaveFrom.IsZero() && b.Life != nil {
		if err := b.Life.EndLeave(ctx, tx, j.who, j.by); err != nil && !errors.Is(err, lifecycle.ErrNoLeave) {
			return err
		}
	}
	return nil
}

// tells is what a person hears of a change once it is so; "" for nothing. Who joins has no
// address of theirs yet, and leave is told of by whoever records it.
func (c Change) tells() notice.Kind {
	switch {
	case c.Person == "" || c.After.Kind != directory.KindStaff && c.After.Kind != directory.KindContractor:
		return ""
	case c.Act == Leaves:
		return notice.PersonnelEnded
	case c.moved() || len(c.Gained) > 0 || len(c.Lost) > 0:
		return notice.PersonnelMoved
	}
	return ""
}

// tell queues what the person of a step hears of it, in the transaction that confirms it:
// before that it is confidential.
func (b *Book) tell(ctx context.Context, tx *store.Tx, j *job) error {
	kind := j.change.tells()
	if b.Notices == nil || kind == "" || j.who.ID == "" || j.found != nil && j.found.New {
		return nil
	}
	n := notice.Notice{Person: j.who.ID, Kind: kind, Zone: b.Matters.Everywhere(), Detail: map[string]string{}}
	stamp := func(at time.Time) {
		if !at.IsZero() {
			n.Detail["until"] = at.UTC().Format(time.RFC3339)
		}
	}
	switch {
	case j.step == stepUndo:
		if !j.found.Applied {
			return nil // nothing was told
		}
		n.Kind = notice.PersonnelUndone
	case kind == notice.PersonnelEnded:
		stamp(j.who.Account.ExpiresAt)
	default:
		n.Detail["section"] = j.change.After.Section
		stamp(j.change.Handover)
	}
	return b.Notices.Add(ctx, tx, n)
}
