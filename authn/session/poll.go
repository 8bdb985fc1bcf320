package session

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
)

// Run polls for what other gateways ended, and writes back when sessions were
// last used, until ctx ends.
func (s *Sessions) Run(ctx context.Context) {
	every := s.policy().Session.RevocationPoll
	poll, flush := time.NewTicker(every), time.NewTicker(flushEvery)
	defer poll.Stop()
	defer flush.Stop()
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
			err = s.Poll(ctx)
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
// or at another gateway. Callers that ended one call it after their commit, so
// that it is refused here at once.
func (s *Sessions) Poll(ctx context.Context) error {
	at := s.now()
	since := store.FromMicros(s.polled.Load())
	if since.IsZero() { // nothing is held yet
		since = at
	}
	rows, err := s.db.Query(ctx, `SELECT id FROM session WHERE changed_at > $1`, store.Micros(since.Add(-s.policy().Session.RevocationReread)))
	if err != nil {
		return fmt.Errorf("polling for ended sessions: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("polling for ended sessions: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("polling for ended sessions: %w", err)
	}
	s.mu.Lock()
	for _, id := range ids {
		s.drop(id)
	}
	s.mu.Unlock()
	touch(&s.polled, store.Micros(at))
	return nil
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
		seen int64
	}
	var used []use
	s.mu.RLock()
	for _, c := range s.held {
		if seen := c.seen.Load(); seen > c.flushed.Load() {
			used = append(used, use{c, seen})
		}
	}
	s.mu.RUnlock()
	for len(used) > 0 { // small transactions, so that nobody waits behind this
		batch := used[:min(len(used), 200)]
		used = used[len(batch):]
		err := s.db.WithTx(ctx, func(tx *store.Tx) error {
			for _, u := range batch {
				if _, err := tx.Exec(ctx, `
					UPDATE session SET seen_at = $1 WHERE id = $2 AND ended_at = 0 AND seen_at < $1`, u.seen, u.c.s.ID); err != nil {
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
	return nil
}
