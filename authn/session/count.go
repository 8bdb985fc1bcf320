package session

import (
	"context"
	"fmt"
	"time"

	"sekisho/policy/store"
)

// Live counts the gate's sessions that have neither ended nor run out, of every
// gateway on this store. One that idles counts until its absolute end: asking
// the policy of each would read them all.
func (s *Sessions) Live(ctx context.Context) (int64, error) {
	var n int64
	err := s.db.QueryRow(ctx, `
		SELECT count(*) FROM session
		WHERE  ended_at = 0 AND app = '' AND expires_at > $1`, store.Micros(s.now())).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting sessions: %w", err)
	}
	return n, nil
}

// Held is how many sessions have a copy in memory here.
func (s *Sessions) Held() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.held)
}

// Raised is how many privileged sessions are open, as this gateway knows.
func (s *Sessions) Raised() int {
	now, pol := s.now(), s.policy()
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for _, c := range s.raised {
		if c.now().alive(pol, now) {
			n++
		}
	}
	return n
}

// PollAge is how old what this gateway knows of sessions ended elsewhere is.
func (s *Sessions) PollAge() time.Duration {
	at := s.polled.Load()
	if at == 0 {
		return 0 // nothing was held before the first poll
	}
	return max(0, s.now().Sub(store.FromMicros(at)))
}
