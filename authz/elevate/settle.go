package elevate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/authn/standing"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// What each entry of this room serves.
var articles = []policy.Article{"62-6", "62-7", "65"}

// restsAfterUndo are when a thing is looked at again after it was undone under
// doubt: a wish that nobody heard the answer of may be granted late.
var restsAfterUndo = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute}

// A finding of what the directory was made to be, to be confirmed.
type outcome struct {
	given   map[int]effect // by index into hold.effects: it is there, as this says
	gone    []int          // seen to be gone
	account *Account
}

// settle makes one thing what it is wanted to be, and stores that it is. With a
// lease given, it is that one's Apply which asks.
func (b *Book) settle(ctx context.Context, thing, applying string) (*Account, error) {
	h, err := b.claim(ctx, thing, applying)
	if err != nil {
		return nil, err
	}
	if err := b.Stop("claimed"); err != nil {
		return nil, err
	}
	got, problem := b.atDirectory(ctx, h, applying)
	for _, e := range h.effects {
		if e.state != closed && b.Forget != nil {
			b.Forget.Forget(e.person)
		}
	}
	if problem != nil {
		return nil, b.failed(ctx, h, applying, problem)
	}
	if err := b.Stop("done"); err != nil {
		return nil, err
	}
	return b.confirm(ctx, h, got, applying)
}

// confirm stores what was seen in the directory.
func (b *Book) confirm(ctx context.Context, h hold, got outcome, applying string) (*Account, error) {
	var stale, turned bool
	err := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		now := b.Now()
		checks, next := h.checks, time.Time{}
		turned = false
		for _, i := range got.gone {
			if h.effects[i].doubt {
				checks = int64(len(restsAfterUndo))
			}
		}
		live := slices.ContainsFunc(h.effects, func(e effect) bool { return e.state != closed && e.state != withdrawn && !e.over(h.now) })
		for i, e := range h.effects {
			if g, ok := got.given[i]; ok {
				e = g
			}
			if e.state != closed && !slices.Contains(got.gone, i) {
				next = earlier(next, e.due(now))
			}
		}
		switch {
		case live:
			checks = 0
		case checks > 0:
			next = earlier(next, now.Add(restsAfterUndo[int64(len(restsAfterUndo))-checks]))
			checks--
		}
		var err error
		if stale, err = release(ctx, tx, h, next, 0, checks, "", now); err != nil {
			return err
		}
		if err := changed(ctx, tx, h, now); err != nil || stale {
			return err
		}
		for i, e := range got.given {
			was := h.effects[i]
			err := tx.ExecOne(ctx, `
				UPDATE elevation_effect
				SET    state = $1, account_id = $2, account_dn = $3, account = $4, told_until = $5, doubt = 0, version = version + 1,
				       applied_at = CASE WHEN applied_at = 0 THEN $6 ELSE applied_at END
				WHERE  lease = $7 AND place = $8 AND version = $9`,
				string(e.state), string(e.accountID), e.accountDN, e.account, store.Micros(e.toldUntil), store.Micros(now), e.lease, e.place, was.version)
			if errors.Is(err, store.ErrUntouched) {
				// Withdrawn, or kept for another time, while we were outside.
				turned = turned || was.state == intended
				if err = stir(ctx, tx, h.thing, now); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			if was.state != intended {
				continue
			}
			if err := b.enter(ctx, tx, "elevation.applied", e, ""); err != nil {
				return err
			}
		}
		for _, i := range got.gone {
			e := h.effects[i]
			if e.state == closed {
				continue
			}
			err := shut(ctx, tx, e, reasonOver(e), now)
			if errors.Is(err, store.ErrUntouched) {
				if err = stir(ctx, tx, h.thing, now); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			if err := b.enter(ctx, tx, "elevation.undone", e, reasonOver(e)); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("confirming what the directory has: %w", err)
	case stale:
		b.hint()
		return nil, fmt.Errorf("confirming what the directory has: %w", ErrBusy)
	case turned:
		b.hint()
		return nil, fmt.Errorf("confirming what the directory has: %w", ErrTurned)
	}
	if err := b.Stop("confirmed"); err != nil {
		return nil, err
	}
	return got.account, nil
}

// changed tells the other gateways whose facts in the directory are others now.
func changed(ctx context.Context, tx *store.Tx, h hold, now time.Time) error {
	for _, e := range h.effects {
		if e.state == closed || e.kind != policy.GiftGroup {
			continue
		}
		return standing.Changed(ctx, tx, e.person, now) // all are about one person
	}
	return nil
}

func reasonOver(e effect) string {
	switch e.state {
	case kept:
		return "its end has come"
	case intended, applied:
		return "its lease did not become active"
	}
	return "withdrawn"
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// failed stores that a try failed. It is tried again, after a rest that grows.
//
// A membership that was refused for good was not given: unless a try before left a
// doubt, there is none.
func (b *Book) failed(ctx context.Context, h hold, applying string, problem error) error {
	b.met.failed.Add(1)
	err := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		now := b.Now()
		if err := changed(ctx, tx, h, now); err != nil {
			return err
		}
		said := store.Brief(problem)
		if h.mend {
			said = lateHand
		}
		rest := min(longestRest, 250*time.Millisecond<<min(h.tries, 10))
		stale, err := release(ctx, tx, h, now.Add(rest), h.tries+1, h.checks, said, now)
		if err != nil || stale || !errors.Is(problem, ErrUnlendable) {
			return err
		}
		for _, e := range h.effects {
			if e.lease != applying || e.kind != policy.GiftGroup || e.doubt || e.state != intended {
				continue
			}
			if _, err := tx.Exec(ctx, `
				UPDATE elevation_effect SET doubt = 0 WHERE lease = $1 AND place = $2 AND version = $3`, e.lease, e.place, e.version); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return errors.Join(problem, err)
	}
	return problem
}

// enter writes one effect's fate on the trail.
func (b *Book) enter(ctx context.Context, tx *store.Tx, action string, e effect, reason string) error {
	detail := map[string]string{"kind": e.kind, "target": e.target, "person": e.login}
	if e.account != "" {
		detail["account"] = e.account
	}
	return b.Trail.Append(ctx, tx, audit.Entry{
		Actor: "system", Action: action, Object: "lease:" + e.lease, Reason: reason, Articles: articles, Detail: detail,
	})
}
