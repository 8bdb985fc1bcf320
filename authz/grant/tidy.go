package grant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// Tidying decides nothing: every end counts when it has come. It writes down what
// is so already, has the directory rid of it at once instead of by its own clock,
// and tells people.
const (
	tidyEvery  = 250 * time.Millisecond
	tidyBatch  = 100
	watchEvery = 5 * time.Second
	// tidyLongest is how long one that fails each time is left alone at most.
	tidyLongest = 5 * time.Second
)

// Run polls, tidies, and watches whether those who hold leases still may, until
// ctx ends.
func (b *Book) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; clock.Wait(ctx, watchEvery) == nil; n++ {
			if n%12 == 0 {
				b.remember(ctx)
			}
			if err := b.Watch(ctx); err != nil && ctx.Err() == nil {
				slog.ErrorContext(ctx, "looking at who holds leases", "error", err)
			}
		}
	}()
	for clock.Wait(ctx, tidyEvery) == nil {
		// Where the sessions' poll carries ours along, this is seldom needed.
		if b.ticks()-time.Duration(b.heard.Load()) >= tidyEvery {
			if err := b.poll(ctx); err != nil && ctx.Err() == nil {
				slog.ErrorContext(ctx, "polling for leases", "error", err)
			}
		}
		if err := b.Tidy(ctx); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "tidying leases", "error", err)
		}
	}
	<-done
}

// A setback is a lease that could not be tidied, left alone for a while: the earliest
// are tidied first, and those that fail each time would starve the rest.
type setback struct {
	until time.Time
	wait  time.Duration
}

// setBack notes that a lease could not be tidied. It is tried again at once, and then
// after twice as long each time.
func (b *Book) setBack(id string, now time.Time) {
	was, again := b.setbacks[id]
	var wait time.Duration
	if again {
		wait = min(max(2*was.wait, time.Second), tidyLongest)
	}
	b.setbacks[id] = setback{now.Add(wait), wait}
}

// Tidy writes down what has come to its end, and tells who is to be told.
func (b *Book) Tidy(ctx context.Context) error {
	b.tidying.Lock()
	defer b.tidying.Unlock()
	begun := b.Now()
	// Of what another gateway tidied, or its people ended, nothing is remembered.
	maps.DeleteFunc(b.setbacks, func(_ string, s setback) bool { return begun.After(s.until.Add(time.Minute)) })
	var all error
	for {
		now := b.Now()
		limit := b.batch + len(b.setbacks)
		due, err := list(ctx, b.DB, `due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2`, store.Micros(now), limit)
		if err != nil {
			return errors.Join(all, err)
		}
		more := len(due) == limit
		due = slices.DeleteFunc(due, func(l Lease) bool { return now.Before(b.setbacks[l.ID].until) })
		if len(due) == 0 {
			return all
		}
		wrote, err := b.tidyAll(ctx, due)
		if err != nil {
			// One of them stands in the way of the rest: each by itself.
			wrote = 0
			for _, l := range due {
				n, failed := b.tidyAll(ctx, []Lease{l})
				wrote += n
				if failed == nil {
					delete(b.setbacks, l.ID)
					continue
				}
				b.setBack(l.ID, now)
				all = errors.Join(all, failed)
			}
		} else {
			for _, l := range due {
				delete(b.setbacks, l.ID)
			}
		}
		b.changed(ctx)
		if wrote > 0 {
			if err := b.Stop(PointExpired); err != nil {
				return err
			}
		}
		if !more || wrote == 0 || ctx.Err() != nil {
			return all
		}
	}
}

// tidyAll tidies some leases in one transaction.
func (b *Book) tidyAll(ctx context.Context, due []Lease) (wrote int, err error) {
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		wrote = 0
		for _, seen := range due {
			l, err := read(ctx, tx, seen.ID)
			if err != nil {
				return err
			}
			if l.version != seen.version {
				continue // another gateway, or its people, were first
			}
			done, err := b.tidy(ctx, tx, &l)
			if err != nil {
				return fmt.Errorf("tidying lease %s: %w", l.ID, err)
			}
			if done {
				wrote++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return wrote, nil
}

// tidy writes down what is so already of one lease, in the caller's transaction,
// and reports whether anything was.
func (b *Book) tidy(ctx context.Context, tx *store.Tx, l *Lease) (bool, error) {
	now := b.Now().Truncate(time.Microsecond)
	if due := l.due(); due.IsZero() || due.After(now) {
		return false, nil
	}
	was := l.version
	if out, over := l.tidied(now); over {
		*l = out
		l.activation = ""
		action := "lease." + string(l.state)
		e := b.entry(*l, By{}, action, "")
		e.Detail["at"] = l.EndedAt.Format(time.RFC3339Nano)
		var err error
		if l.state == Expired {
			err = b.gone(ctx, tx, *l, "", "")
		} else if err = b.Effects.Withdraw(ctx, tx, l.ID); err == nil {
			err = b.tell(ctx, tx, *l, l.By.ID, notice.LeaseLapsed, nil)
		}
		if err != nil {
			return false, err
		}
		if err := b.put(ctx, tx, l); err != nil {
			return false, err
		}
		return true, b.Trail.Append(ctx, tx, e)
	}
	if l.activation != "" && !now.Before(l.activating.Add(applyWithin)) {
		if err := b.abandon(ctx, tx, By{}, l.ID, l.activation, "the gateway that activated it did not come back"); err != nil {
			return false, err
		}
		again, err := read(ctx, tx, l.ID)
		if err != nil {
			return false, err
		}
		*l = again
		return l.version != was, nil
	}
	if out, paused := l.pause(now); paused {
		*l = out
		if err := b.Effects.Withdraw(ctx, tx, l.ID); err != nil {
			return false, err
		}
		for _, to := range []directory.PersonID{l.By.ID, l.Witness.ID} {
			if to == "" {
				continue
			}
			if err := b.tell(ctx, tx, *l, to, notice.LeasePaused, nil); err != nil {
				return false, err
			}
		}
		e := b.entry(*l, By{}, "lease.paused", "not confirmed")
		e.Articles = together
		if err := b.put(ctx, tx, l); err != nil {
			return false, err
		}
		return true, b.Trail.Append(ctx, tx, e)
	}
	return b.remind(ctx, tx, l, now)
}

// remind tells people what they are told once, and drops a wish for more time
// that nobody decided.
func (b *Book) remind(ctx context.Context, tx *store.Tx, l *Lease, now time.Time) (bool, error) {
	switch due, owed := l.Owed(now); {
	case l.state == Active && l.Extension.Matter != "" && !now.Before(l.Extension.LapsesAt):
		l.Extension = Extension{}
	case l.state == Active && !l.toldEnding && !now.Before(l.endsAt.Add(-endingSoon)):
		l.toldEnding = true
		if err := b.tell(ctx, tx, *l, l.By.ID, notice.LeaseEnding, map[string]string{"until": l.endsAt.Format(time.RFC3339)}); err != nil {
			return false, err
		}
	case !l.state.Open() && owed && !l.toldOverdue && !now.Before(due):
		l.toldOverdue = true
		if err := b.tell(ctx, tx, *l, l.By.ID, notice.RecordOverdue, map[string]string{"due": due.UTC().Format(time.RFC3339)}); err != nil {
			return false, err
		}
		e := b.entry(*l, By{}, "lease.record_overdue", "")
		e.Articles = recording
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return false, err
		}
	default:
		// Nothing is to be said; the row only names a moment that has passed.
	}
	if err := b.put(ctx, tx, l); err != nil {
		return false, err
	}
	return true, nil
}

// Watch looks at everybody who holds a lease: who may not borrow it any more, and
// whose session is over where the lease goes with it, loses it. What they may open
// at the gate is refused before that: Live asks the same at each decision.
func (b *Book) Watch(ctx context.Context) error {
	live, err := list(ctx, b.DB, `state = 'active' AND ends_at > $1`, store.Micros(b.Now()))
	if err != nil {
		return err
	}
	var failed error
	for _, l := range live {
		if err := b.look(ctx, l); err != nil {
			failed = errors.Join(failed, fmt.Errorf("looking at lease %s: %w", l.ID, err))
		}
	}
	return failed
}

// look takes a lease away whose borrower may not hold it any more.
func (b *Book) look(ctx context.Context, l Lease) error {
	why, err := b.against(ctx, l)
	if err != nil || why == "" {
		return err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		l, err := read(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		to := Revoked
		if why == sessionOver {
			to = Ended
		}
		out, err := b.overTx(ctx, tx, l, to, Ref{}, "", why)
		var gone *Refusal
		if errors.As(err, &gone) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.put(ctx, tx, &out); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, b.entry(out, By{}, "lease."+string(to), why))
	})
	if err != nil {
		return err
	}
	b.changed(ctx)
	return nil
}

// Why a lease is taken away that nobody asked to be.
const (
	sessionOver = "the session is over"
	noLonger    = "no longer eligible"
)

// against is why a lease that lives must not any more; "" for no reason.
func (b *Book) against(ctx context.Context, l Lease) (string, error) {
	p, now := b.Policy(), b.Now()
	v, ok := p.Privilege(l.Privilege)
	if !ok {
		return "the privilege is not lent any more", nil
	}
	if !l.Outlives {
		over, err := b.Sessions.Over(ctx, l.Session)
		if err != nil {
			return "", err
		}
		if over {
			return sessionOver, nil
		}
	}
	closed, err := standing.Closed(ctx, b.DB, l.By.ID, now)
	if err != nil {
		return "", err
	}
	if closed { // suspended, say: also what outlives its session ends with that
		return "the borrower may use nothing", nil
	}
	// Of projects the gate itself knows, whether or not the directory answers.
	tied, err := b.Ties.Of(ctx, nil, l.By.ID, now)
	if err != nil {
		return "", err
	}
	if no, refused := tied.Refuses(v.Environment, now); refused {
		return noLonger + ": " + string(no.Reason), nil
	}
	zone, _ := p.Zone(l.Zone)
	person, err := b.People.Person(ctx, l.By.ID, zone.DirectoryStale)
	if err != nil {
		// The directory is away: what it gave cannot be taken back there at this
		// moment either, and the lease ends by its own clock.
		slog.WarnContext(ctx, "who holds a lease cannot be asked about", "lease", l.ID, "error", err)
		return "", nil
	}
	if b.Barred != nil {
		shut, err := b.Barred(ctx, person)
		if err != nil {
			return "", err
		}
		if shut {
			return "a lock-down", nil
		}
	}
	whose := Borrower{Person: person, Posts: p.PostsOf(person.Groups), Tied: tied}
	err = MayBorrow(p, v, whose, now)
	if err == nil { // what a section has decided holds, though the directory keeps them in the group
		err = b.keeps(ctx, b.DB, v, whose)
	}
	var no *Refusal
	switch {
	case errors.As(err, &no) && no.Reason != NotEligible:
		return noLonger + ": " + string(no.Reason), nil
	case errors.As(err, &no):
		return noLonger, nil
	case err != nil:
		return "", err
	}
	if _, open := v.OpenUntil(now); !open && !l.Emergency {
		return "out of hours", nil
	}
	return "", nil
}

// Given is what a live lease gives, for whoever decides what its borrower may
// open.
type Given struct {
	Lease     string
	Privilege string
	Person    directory.PersonID
	Until     time.Time // the lease says nothing from then on
	Emergency bool
	// Session is the one that it was activated in; where Outlives is false it is
	// good in no other, nor in one whose parent that is not.
	Session  string
	Outlives bool
	ACR      policy.ACR // that a session must have for it
	Gives    []policy.Gift
}

// Roles are what an application is told while the lease lives.
func (g Given) Roles(application string) []string {
	var out []string
	for _, gift := range g.Gives {
		if gift.Kind == policy.GiftApplication && gift.Application == application {
			out = append(out, gift.Roles...)
		}
	}
	return out
}

// To reports whether the lease is one to an application.
func (g Given) To(application string) bool {
	for _, gift := range g.Gives {
		if gift.Kind == policy.GiftApplication && gift.Application == application {
			return true
		}
	}
	return false
}

// Live are the leases that a person lives with at this moment, from memory where
// that is fresh enough. p is the person as the directory was last read: a lease
// whose borrower may not borrow it any more is not among them. An error means
// that nobody could say; then there are none. The answer is to be read alone.
func (b *Book) Live(ctx context.Context, p directory.Person) ([]Given, error) {
	return b.LiveAt(ctx, clock.Moment{Now: b.Now(), Tick: b.ticks()}, p)
}

// LiveAt is Live for who asks several rooms at one moment.
func (b *Book) LiveAt(ctx context.Context, at clock.Moment, p directory.Person) ([]Given, error) {
	if p.ID == "" {
		return nil, nil
	}
	rules, now := b.Policy(), at.Now
	var mine []Lease
	fresh := b.fresh(rules, at)
	if fresh {
		b.mu.RLock()
		any := len(b.byWhom[p.ID]) > 0
		b.mu.RUnlock()
		if !any {
			return nil, nil
		}
	} else {
		var err error
		if mine, err = list(ctx, b.DB, `person_id = $1 AND state = 'active'`, string(p.ID)); err != nil || len(mine) == 0 {
			return nil, err
		}
	}
	tied, err := b.Ties.Of(ctx, nil, p.ID, now)
	if err != nil {
		return nil, err
	}
	if fresh {
		return b.fromMemory(rules, p, tied, now), nil
	}
	return judge(rules, Borrower{Person: p, Posts: rules.PostsOf(p.Groups), Tied: tied}, mine, now), nil
}

// fresh reports whether what is held in memory may be gone by: the last poll that
// succeeded is young enough, by the clock and by the ticks, for the clock stands
// still while it waits for a machine's that was set back.
func (b *Book) fresh(p *policy.Policy, at clock.Moment) bool {
	polled := b.polled.Load()
	stale := p.Session.RevocationStale
	return polled != 0 && at.Now.Sub(store.FromMicros(polled)) < stale && at.Tick-time.Duration(b.heard.Load()) < stale
}
