package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const (
	// lookEvery is how often it is looked whether something is to be done.
	lookEvery = 2 * time.Second
	// claimLasts is how long one who died at a project's IDs is waited for.
	claimLasts = time.Minute
	// triesOfID is how often it is tried to close an ID before it is left to a person.
	triesOfID = 3
)

// Failed is why an ID is held that could not be dealt with.
const Failed = "failed"

// errLost: somebody else goes on with the project's IDs.
var errLost = errors.New("the project is in other hands")

func isUntouched(err error) bool { return errors.Is(err, store.ErrUntouched) }

// Run warns of ends, closes the IDs of projects that are over, and has the directory
// follow, until ctx ends. Nothing waits for it: a tie that is over refuses by itself.
func (b *Book) Run(ctx context.Context) {
	floor := false // a restored store says nothing of the gates that worked on the one before
	for ctx.Err() == nil {
		if !floor {
			err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return endOlder(ctx, tx) })
			b.complain(ctx, "saying which gates know projects", err)
			floor = err == nil
		}
		if err := b.Tick(ctx); err != nil && ctx.Err() == nil {
			b.Log.WarnContext(ctx, "following the ends of projects failed; it is tried again", "error", err)
		}
		waiting, stop := context.WithTimeout(ctx, lookEvery)
		select {
		case <-b.wake:
		case <-waiting.Done():
		}
		stop()
	}
}

// Tick does all that is due.
func (b *Book) Tick(ctx context.Context) error {
	problems := []error{b.warn(ctx)}
	now := b.Now()
	over, err := projects(ctx, b.DB, `settled_at = 0 AND (completed_at > 0 OR until_at <= $1) AND (claimed_until <= $1 OR claimed_until > $2) ORDER BY until_at, id LIMIT 100`,
		store.Micros(now), store.Micros(now.Add(2*claimLasts)))
	problems = append(problems, err)
	for _, p := range over {
		if err := b.follow(ctx, p); err != nil {
			problems = append(problems, fmt.Errorf("closing the IDs of the project %s: %w", p.ID, err))
		}
	}
	return errors.Join(append(problems, b.Effects(ctx))...)
}

// A hand is one gateway's hold on what follows from a project's end. Every transaction
// moves it on, so that one who was frozen has lost it.
type hand struct {
	*Book
	p     Project
	until int64
}

// grasp takes or keeps the project in hand.
func (h *hand) grasp(ctx context.Context, tx *store.Tx) (until int64, err error) {
	until = max(store.Micros(h.Now().Add(claimLasts)), h.until+1)
	err = tx.ExecOne(ctx, `UPDATE project SET claimed_until = $1 WHERE id = $2 AND claimed_until = $3 AND settled_at = 0`, until, h.p.ID, h.until)
	if isUntouched(err) {
		err = errLost
	}
	return until, err
}

// follow closes the IDs of a project that is over, from where it was left, each in a
// transaction of its own. One that cannot be dealt with keeps no other waiting.
func (b *Book) follow(ctx context.Context, p Project) error {
	h := &hand{Book: b, p: p}
	if err := b.DB.QueryRow(ctx, `SELECT claimed_until FROM project WHERE id = $1`, p.ID).Scan(&h.until); err != nil {
		return err
	}
	now := store.Micros(b.Now())
	if h.until > now && h.until <= store.Micros(b.Now().Add(2*claimLasts)) {
		return nil // another gateway has it by now
	}
	err := h.inTx(ctx, func(*store.Tx) error { return nil })
	if err == nil {
		err = h.members(ctx)
	}
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}

// inTx does something while the project is in this gateway's hand.
func (h *hand) inTx(ctx context.Context, do func(tx *store.Tx) error) error {
	var until int64
	err := h.DB.WithTx(ctx, func(tx *store.Tx) error {
		var err error
		if until, err = h.grasp(ctx, tx); err != nil {
			return err
		}
		return do(tx)
	})
	if err == nil {
		h.until = until
	}
	return err
}

func (h *hand) members(ctx context.Context) error {
	var stuck []error
	for after := ""; ; {
		some, err := members(ctx, h.DB, `m.project = $1 AND m.unbound_at = 0 AND m.dealt_at = 0 AND m.person_id > $2 ORDER BY m.person_id LIMIT $3`, h.p.ID, after, batch)
		if err != nil {
			return err
		}
		var people []directory.PersonID
		for _, m := range some {
			after = string(m.Person.ID)
			err := h.at(PointClosing)
			if err == nil {
				err = h.one(ctx, m)
			}
			if errors.Is(err, errLost) || errors.Is(err, errCrash) || errors.Is(err, directory.ErrAway) || ctx.Err() != nil {
				return h.loose(ctx, err)
			}
			if err != nil {
				stuck = append(stuck, fmt.Errorf("closing %s: %w", m.Person.Login, err))
				if err := h.stumbled(ctx, m, err); err != nil {
					return errors.Join(append(stuck, err)...)
				}
				continue
			}
			people = append(people, m.Person.ID)
			if err := h.at(PointClosed); err != nil {
				return err
			}
		}
		if len(people) > 0 {
			h.IDs.Told(ctx)
			h.seen(ctx, people...)
			for _, id := range people {
				h.complain(ctx, "closing an ID in the directory", h.IDs.Bring(ctx, id))
			}
		}
		if len(some) < batch {
			break
		}
	}
	if len(stuck) > 0 {
		return h.loose(ctx, errors.Join(stuck...))
	}
	return h.settle(ctx)
}

// loose lets another, or this one, try again soon.
func (h *hand) loose(ctx context.Context, why error) error {
	if errors.Is(why, errLost) || errors.Is(why, errCrash) {
		return why
	}
	err := h.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `UPDATE project SET claimed_until = $1 WHERE id = $2 AND claimed_until = $3`, store.Micros(h.Now().Add(restOfHand)), h.p.ID, h.until)
		if isUntouched(err) {
			return nil
		}
		return err
	})
	return errors.Join(why, err)
}

// restOfHand is how long it rests that a project's IDs could not all be dealt with.
const restOfHand = 5 * time.Second

func (h *hand) one(ctx context.Context, m Member) error {
	c, err := h.prepare(ctx, m)
	if err != nil {
		return err
	}
	err = h.inTx(ctx, func(tx *store.Tx) error {
		by := approval.Approver{}
		_, err := h.deal(ctx, tx, h.p, c, by, h.p.State(h.Now()) == Completed)
		if isUntouched(err) {
			return errDealt
		}
		return err
	})
	if errors.Is(err, errDealt) {
		return nil
	}
	return err
}

// errDealt: somebody else has dealt with the ID, or released it.
var errDealt = errors.New("the ID was dealt with already")

// stumbled counts that an ID could not be dealt with; after some tries it is left to a
// person, who hears of it with the rest. It is refused at every door all the same.
func (h *hand) stumbled(ctx context.Context, m Member, why error) error {
	now := h.Now().UTC().Truncate(time.Microsecond)
	return h.inTx(ctx, func(tx *store.Tx) error {
		var tries int
		err := tx.QueryRow(ctx, `UPDATE project_member SET tries = tries + 1 WHERE id = $1 RETURNING tries`, m.id).Scan(&tries)
		if err != nil || tries < triesOfID {
			return err
		}
		if err := h.dealt(ctx, tx, m, heldBy+Failed, now); err != nil {
			return err
		}
		e := h.p.about("project.id_held", m.Person, approval.Approver{}, Failed)
		e.Outcome, e.Detail["because"] = audit.Failed, store.Brief(why)
		return h.Trail.Append(ctx, tx, e)
	})
}

// settle writes down that nothing is left to do, and tells who administers what became of
// the IDs.
func (h *hand) settle(ctx context.Context) error {
	var err error
	if h.p.admins, err = h.administrators(ctx, h.p.Section); err != nil {
		return h.loose(ctx, err)
	}
	above, err := h.above(ctx, h.p.Section)
	if err != nil {
		return h.loose(ctx, err)
	}
	return h.inTx(ctx, func(tx *store.Tx) error {
		now := h.Now()
		if err := tx.ExecOne(ctx, `UPDATE project SET settled_at = $1 WHERE id = $2 AND settled_at = 0`, store.Micros(now), h.p.ID); err != nil {
			return err
		}
		closed, held, err := h.tellEnded(ctx, tx, h.p, above)
		if err != nil {
			return err
		}
		e := h.p.entry("project.ended", approval.Approver{}, string(h.p.State(now)))
		e.Detail["closed"], e.Detail["held"], e.Detail["until"] = count(closed), count(held), h.p.Until.Format(time.RFC3339)
		if held > 0 {
			h.Log.WarnContext(ctx, "some IDs of a project that is over could not be closed; a person is to see to them", "project", h.p.ID, "held", held)
		}
		return h.Trail.Append(ctx, tx, e)
	})
}
