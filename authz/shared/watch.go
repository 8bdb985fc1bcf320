package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// How often ends are written down, and how often it is looked whether somebody still
// may have what they have.
const (
	tidyEvery  = 500 * time.Millisecond
	watchEvery = 5 * time.Second
	atOnce     = 100
)

// Run tidies and watches until ctx ends.
func (b *Book) Run(ctx context.Context) {
	watched := clock.Stopwatch()
	for last := watched(); clock.Wait(ctx, tidyEvery) == nil; {
		if err := b.Tidy(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "tidying shared IDs failed; it is tried again", "error", err)
		}
		if watched()-last < watchEvery {
			continue
		}
		last = watched()
		if err := b.Watch(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "looking at who has a shared ID failed; it is tried again", "error", err)
		}
	}
}

// Tidy writes down what has come to its end. It decides nothing: the directory is rid
// of it by its own clock.
func (b *Book) Tidy(ctx context.Context) error {
	now := b.Now()
	due, err := list(ctx, b.DB, `state = 'active' AND ends_at <= $1 OR state = 'starting' AND asked_at <= $2 ORDER BY ends_at LIMIT $3`,
		store.Micros(now), store.Micros(now.Add(-startWithin)), atOnce)
	if err != nil {
		return err
	}
	var failed error
	for _, seen := range due {
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			c, err := read(ctx, tx, seen.ID)
			if err != nil || c.version != seen.version {
				return err // another gateway, or its people, were first
			}
			if c.state == Starting {
				return b.fail(ctx, tx, approval.Approver{}, c, "the gateway that began it did not come back")
			}
			_, err = b.end(ctx, tx, c, Expired, Ref{}, approval.Approver{}, "")
			return err
		})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("tidying check-out %s: %w", seen.ID, err))
		}
	}
	return failed
}

// Watch looks at everybody who has a shared ID, or knows the password that another has,
// and takes it from who may not have it any more.
func (b *Book) Watch(ctx context.Context) error {
	all, err := list(ctx, b.DB, `state <> 'starting' AND `+known+` ORDER BY asked_at, id`)
	if err != nil {
		return err
	}
	var failed error
	for _, seen := range all {
		to, why, err := b.against(ctx, seen)
		if err == nil && why != "" {
			err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
				c, err := read(ctx, tx, seen.ID)
				switch {
				case err != nil || c.version != seen.version:
				case to == Revoked:
					_, err = b.takeAway(ctx, tx, c, Ref{}, approval.Approver{}, why)
				default:
					_, err = b.end(ctx, tx, c, to, Ref{}, approval.Approver{}, why)
				}
				return err
			})
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("looking at check-out %s: %w", seen.ID, err))
		}
	}
	return failed
}

// against is why somebody must not have what they have any more; "" for no reason.
func (b *Book) against(ctx context.Context, c Checkout) (State, string, error) {
	p, now := b.Policy(), b.Now()
	s, ok := p.SharedID(c.Shared)
	if !ok {
		return Revoked, "it is not shared any more", nil
	}
	closed, err := standing.Closed(ctx, b.DB, c.By.ID, now)
	if err != nil {
		return "", "", err
	}
	if closed {
		return Revoked, "the holder may use nothing", nil
	}
	zone, _ := p.Zone(c.Zone)
	person, err := b.People.Person(ctx, c.By.ID, zone.DirectoryStale)
	if err != nil {
		// The directory is away: it cannot be told now either, and the end comes by itself.
		slog.WarnContext(ctx, "who has a shared ID cannot be asked about", "checkout", c.ID, "error", err)
		return "", "", nil
	}
	if b.Barred != nil {
		shut, err := b.Barred(ctx, person)
		if err != nil {
			return "", "", err
		}
		if shut {
			return Revoked, "a lock-down", nil
		}
	}
	if may := May(p, s, approval.Holder{Person: person, Posts: p.PostsOf(person.Groups)}, now) == nil; !may {
		return Revoked, "no longer eligible", nil
	}
	if c.Outlives || c.state != Active {
		return "", "", nil
	}
	over, err := b.Sessions.Over(ctx, c.Session)
	if err != nil || !over {
		return "", "", err
	}
	return Ended, "the session is over", nil
}
