package session

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Bell has the other gateways look for what was ended, sooner than they would
// by themselves. It carries no word of what that was and nothing is believed
// because of it: a ring that is lost costs a quarter of a second, one that is
// forged costs a poll. It is declared here because this is where haste is needed;
// policy/ephemeral has one that goes through Redis.
type Bell interface {
	Ring() // waits for nothing
	// Rung is sent to when another gateway rang.
	Rung() <-chan struct{}
}

// UseBell has b rung when sessions were ended here, and listened to by Run. It
// must be called before either.
func (s *Sessions) UseBell(b Bell) { s.bell = b }

// A Follower learns with each poll what other gateways changed since, in rows of
// its own. While it fails the poll counts as failed too, and memory goes unused.
type Follower interface {
	Follow(ctx context.Context, since time.Time) error
}

// PollWith has more than sessions polled for. It must be called before Run.
func (s *Sessions) PollWith(f ...Follower) { s.followers = append(s.followers, f...) }

// InStep reports whether the last poll is young enough for memory to be gone by
// (design rule 4): of what other gateways changed, all but the last moment is
// known here.
func (s *Sessions) InStep() bool { return s.InStepAt(s.moment()) }

// InStepAt is InStep at a moment.
func (s *Sessions) InStepAt(at clock.Moment) bool { return s.inStep(s.policy(), at) }

func (s *Sessions) inStep(pol *policy.Policy, at clock.Moment) bool {
	stale := pol.Session.RevocationStale
	return at.Now.Sub(store.FromMicros(s.polled.Load())) < stale && at.Tick-time.Duration(s.heard.Load()) < stale
}

// CatchUp polls where the last poll is too old for memory to be gone by, once for all
// who ask meanwhile: a poll reads little more than what each of them would read for
// itself, and they would ask the directory too. It promises nothing. Where the poll
// fails, memory stays unused (design rule 4), and whoever asks within the time between
// two polls goes on without trying again.
func (s *Sessions) CatchUp(ctx context.Context) {
	if s.InStep() {
		return
	}
	rules := s.policy().Session
	if failed := s.failed.Load(); failed != 0 && s.ticks()-time.Duration(failed) < rules.RevocationPoll {
		return
	}
	caught := s.catching.DoChan("", func() (any, error) {
		if s.InStep() { // somebody's poll came in between
			return nil, nil
		}
		// It is everybody's, so it does not end with the request of whoever began it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rules.RevocationStale)
		defer cancel()
		err := s.poll(ctx)
		if err != nil {
			s.failed.Store(max(1, int64(s.ticks())))
		}
		return nil, err // Run's own poll says why
	})
	select {
	case <-caught:
	case <-ctx.Done():
	}
}

// Ring has the other gateways poll at once.
func (s *Sessions) Ring() {
	if s.bell != nil {
		s.bell.Ring()
	}
}

// A row says when it was changed, and is seen when its transaction commits. Each
// poll goes back a few seconds for that (the rule session.revocation_reread);
// every deepEvery-th, so every ten seconds, goes back deepReread: longer than a
// transaction can take and a database that struggles takes to commit it.
const (
	deepEvery  = 40
	deepReread = time.Minute
)

// hurryAtMost is the shortest time between two polls that were asked for by a
// bell, so that whoever can ring it does not make us read the store all the time.
const hurryAtMost = 20 * time.Millisecond

// Run polls for what other gateways ended, and writes back when sessions were
// last used, until ctx ends.
func (s *Sessions) Run(ctx context.Context) {
	every := s.policy().Session.RevocationPoll
	poll, flush := time.NewTicker(every), time.NewTicker(flushEvery)
	defer poll.Stop()
	defer flush.Stop()
	var rung <-chan struct{}
	if s.bell != nil {
		rung = s.bell.Rung()
	}
	listening, deaf := rung, time.NewTimer(0)
	defer deaf.Stop()
	first := time.NewTimer(0) // until it has polled, a gateway goes by nothing that it holds
	defer first.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			// What was used in the last seconds is not lost by a clean stop.
			if err := s.Flush(context.WithoutCancel(ctx)); err != nil {
				slog.Warn("writing back when sessions were last used", "error", err)
			}
			return
		case <-poll.C:
			if now := s.policy().Session.RevocationPoll; now != every {
				every = now
				poll.Reset(every)
			}
			err = s.poll(ctx)
		case <-first.C:
			err = s.poll(ctx)
		case <-listening:
			err = s.poll(ctx)
			listening = nil
			deaf.Reset(hurryAtMost)
		case <-deaf.C:
			listening = rung
		case <-flush.C:
			err = s.Flush(ctx)
		}
		// Nothing is trusted longer because of a failed poll: the cache turns
		// itself off.
		if err != nil && ctx.Err() == nil {
			slog.Error("sessions: reading the store", "error", err)
		}
	}
}

// Poll drops the copies of sessions that were ended or given a new handle, here
// or at another gateway, and tells the other gateways to look. Callers that ended
// one call it after their commit, so that it is refused here at once.
func (s *Sessions) Poll(ctx context.Context) error {
	s.Ring()
	return s.poll(ctx)
}

func (s *Sessions) poll(ctx context.Context) error {
	at, begun := s.now(), s.ticks()
	since := store.FromMicros(s.polled.Load())
	if since.IsZero() { // nothing is held yet
		since = at
	}
	back := s.policy().Session.RevocationReread
	if s.polls.Add(1)%deepEvery == 0 {
		back = max(back, deepReread)
	}
	ids, err := s.changedSince(ctx, since.Add(-back))
	if err != nil {
		return err
	}
	s.mu.Lock()
	for _, id := range ids {
		s.drop(id)
	}
	s.mu.Unlock()
	if err := s.followPrivileged(ctx, since.Add(-back)); err != nil {
		return err
	}
	for _, f := range s.followers {
		if err := f.Follow(ctx, since.Add(-back)); err != nil {
			return err
		}
	}
	touch(&s.polled, store.Micros(at))
	touch(&s.heard, int64(begun))
	return nil
}

func (s *Sessions) changedSince(ctx context.Context, since time.Time) (ids []string, err error) {
	rows, err := s.db.Query(ctx, `SELECT id FROM session WHERE changed_at > $1`, store.Micros(since))
	if err != nil {
		return nil, fmt.Errorf("polling for ended sessions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("polling for ended sessions: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("polling for ended sessions: %w", err)
	}
	return ids, nil
}

// drop forgets a copy; s.mu is held.
func (s *Sessions) drop(id string) {
	delete(s.held, s.byID[id])
	delete(s.byID, id)
}

func (s *Sessions) dropPerson(person directory.PersonID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.held {
		if c.s.Person == person {
			s.drop(c.s.ID)
		}
	}
}

// Flush writes back when sessions were last used. It never wakes one that has
// ended.
func (s *Sessions) Flush(ctx context.Context) error {
	type use struct {
		c    *copyOf
		mac  string
		seen int64
	}
	var used []use
	s.mu.RLock()
	for mac, c := range s.held {
		if seen := c.seen.Load(); seen > c.flushed.Load() {
			used = append(used, use{c, mac, seen})
		}
	}
	s.mu.RUnlock()
	for len(used) > 0 { // small transactions, so that nobody waits behind this
		batch := used[:min(len(used), 200)]
		used = used[len(batch):]
		err := s.db.WithTx(ctx, func(tx *store.Tx) error {
			for _, u := range batch {
				// Whoever uses the handle that a session has now was given it: the one
				// before has no use any more (Unheard).
				if _, err := tx.Exec(ctx, `
					UPDATE session SET seen_at = $1, handle_was = CASE WHEN handle_mac = $3 THEN '' ELSE handle_was END
					WHERE  id = $2 AND ended_at = 0 AND seen_at < $1`, u.seen, u.c.s.ID, u.mac); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("writing back when sessions were last used: %w", err)
		}
		for _, u := range batch {
			touch(&u.c.flushed, u.seen)
		}
	}
	if err := s.flushParents(ctx); err != nil {
		return err
	}
	return s.flushPrivileged(ctx)
}

// flushParents writes back the use of sessions of which no copy is held. Whether
// one had idled out before is decided by its row.
func (s *Sessions) flushParents(ctx context.Context) error {
	s.mu.Lock()
	used := s.parents
	s.parents = map[string]parentUse{}
	s.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	ids := slices.Collect(maps.Keys(used))
	for batch := range slices.Chunk(ids, 200) {
		err := s.db.WithTx(ctx, func(tx *store.Tx) error {
			for _, id := range batch {
				if _, err := tx.Exec(ctx, `
					UPDATE session SET seen_at = $1 WHERE id = $2 AND ended_at = 0 AND seen_at < $1 AND seen_at > $3`,
					used[id].seen, id, used[id].seen-used[id].idle.Microseconds()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.mu.Lock()
			for _, id := range ids { // what was written already is written again
				if s.parents[id].seen < used[id].seen {
					s.parents[id] = used[id]
				}
			}
			s.mu.Unlock()
			return fmt.Errorf("writing back when sessions were last used: %w", err)
		}
	}
	return nil
}
