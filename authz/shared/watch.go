package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/authn/notice"
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
	clearEvery = time.Hour
	atOnce     = 100
)

// kept is how long the rows of check-outs that are over are kept for those who had them;
// the trail keeps what happened.
const kept = 30 * 24 * time.Hour

// Run tidies and watches until ctx ends.
func (b *Book) Run(ctx context.Context) {
	watched := clock.Stopwatch()
	cleared := watched()
	for last := cleared; clock.Wait(ctx, tidyEvery) == nil; {
		if err := b.Tidy(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "tidying shared IDs failed; it is tried again", "error", err)
		}
		if watched()-last < watchEvery {
			continue
		}
		last = watched()
		if last-cleared >= clearEvery {
			cleared = last
			if err := b.Clear(ctx); err != nil && ctx.Err() == nil {
				slog.WarnContext(ctx, "clearing away check-outs of shared IDs failed; it is tried again", "error", err)
			}
		}
		if err := b.Watch(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "looking at who has a shared ID failed; it is tried again", "error", err)
		}
	}
}

// Clear removes rows that are long over. Those of a tenure that somebody is in still are
// asked who knows its password.
func (b *Book) Clear(ctx context.Context) error {
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM shared_checkout WHERE ended_at > 0 AND ended_at < $1 AND NOT (`+known+`)`, store.Micros(b.Now().Add(-kept)))
		return err
	})
	if err != nil {
		return fmt.Errorf("removing check-outs that are long over: %w", err)
	}
	return nil
}

// Tally is how many have a shared ID at this moment, by what the store says.
func (b *Book) Tally(ctx context.Context) (int, error) {
	all, err := b.live(ctx, b.DB, b.Now())
	return len(all), err
}

// Tidy writes down what has come to its end, and tells whose end is near. It decides nothing: the directory is rid
// of it by its own clock.
func (b *Book) Tidy(ctx context.Context) error {
	now := b.Now()
	due, err := list(ctx, b.DB, `state = 'active' AND (ends_at <= $1 OR ends_at <= $2 AND told_at = 0) OR state = 'starting' AND asked_at <= $3 ORDER BY ends_at LIMIT $4`,
		store.Micros(now), store.Micros(now.Add(endingSoon)), store.Micros(now.Add(-startWithin)), atOnce)
	if err != nil {
		return err
	}
	var failed error
	for _, seen := range due {
		if seen.State(now) == Active && !seen.toBeTold(now) {
			continue
		}
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			c, err := read(ctx, tx, seen.ID)
			if err != nil || c.version != seen.version {
				return err // another gateway, or its people, were first
			}
			if c.state == Starting {
				return b.fail(ctx, tx, approval.Approver{}, c, "the gateway that began it did not come back")
			}
			if now := b.Now(); c.State(now) == Active {
				c.ToldAt = now.Truncate(time.Microsecond)
				if err := save(ctx, tx, &c); err != nil {
					return err
				}
				return b.tell(ctx, tx, c, notice.SharedEnding, map[string]string{"until": c.EndsAt.UTC().Format(time.RFC3339)})
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
	// Of projects the gate itself knows, whether or not the directory answers.
	tied, err := b.Ties.Of(ctx, nil, c.By.ID, now)
	if err != nil {
		return "", "", err
	}
	if no, refused := tied.Refuses(s.Environment, now); refused {
		return Revoked, "no longer eligible: " + string(no.Reason), nil
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
	if why := May(p, s, approval.Holder{Person: person, Posts: p.PostsOf(person.Groups), Tied: tied}, now); why != nil {
		reason := "no longer eligible"
		if why.Reason != "not_eligible" {
			reason += ": " + why.Reason
		}
		return Revoked, reason, nil
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
