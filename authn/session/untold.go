package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Untold are sessions of the gate from outside that are over, whatever ended them, and of
// whose end nobody has told anybody (Tell); so many at most. Those that have come to their
// end by their time alone are given a moment, in which another gateway may say that they
// were used. Those through gear are told of where gear is heard.
func (s *Sessions) Untold(ctx context.Context, most int) ([]Session, error) {
	pol, now := s.policy(), s.now()
	var out []Session
	for at, id := int64(-1), ""; ; {
		page, err := store.All(ctx, s.db, "sessions from outside that are over", func(r store.Row) (Session, error) { return scan(r) }, `
			SELECT `+columns+` FROM session
			WHERE  outside = 1 AND app = '' AND over_told = 0 AND (ended_at > 0 OR expires_at <= $1 OR seen_at <= $2)
			AND    NOT EXISTS (SELECT 1 FROM remote_session r WHERE r.id = session.id)
			AND    (started_at > $3 OR started_at = $3 AND id > $4) ORDER BY started_at, id LIMIT $5`,
			store.Micros(now), store.Micros(now.Add(-leastIdle(pol))), at, id, perUntold)
		if err != nil {
			return nil, err
		}
		for _, n := range page {
			at, id = store.Micros(n.StartedAt), n.ID
			row := n
			n.SeenAt = s.lastSeen(n)
			if n.EndedAt.IsZero() && n.alive(pol, now.Add(-2*flushEvery)) {
				continue
			}
			if out = append(out, row); len(out) == most {
				return out, nil
			}
		}
		if len(page) < perUntold {
			return out, nil
		}
	}
}

// perUntold is how many rows Untold reads at once.
const perUntold = 500

// leastIdle is for how long a session from outside goes unused at least before it idles out.
func leastIdle(p *policy.Policy) time.Duration {
	least := p.Remote.IdleEnd
	for _, z := range p.Zones {
		for _, end := range []time.Duration{z.IdleEnd, z.CounterIdleEnd} {
			if end > 0 && (least <= 0 || end < least) {
				least = end
			}
		}
	}
	return least
}

// Tell notes, in the caller's transaction, that the end of a session is told, and reports
// whether nobody has before: of several gateways, one. A session of Untold that has come
// to its end by its time alone ends for good, with what hangs on it: what is told is so.
func (s *Sessions) Tell(ctx context.Context, tx *store.Tx, n Session) (first bool, err error) {
	now := s.now()
	if !n.EndedAt.IsZero() {
		err = tx.ExecOne(ctx, `UPDATE session SET over_told = $1 WHERE id = $2 AND over_told <= 0`, store.Micros(now), n.ID)
		return told(err)
	}
	absolute, idle := n.bounds(s.policy())
	at, why := idle, "idle"
	if !absolute.After(idle) {
		at, why = absolute, "its time is over"
	}
	if at.After(now) { // the policy is another than when it was found
		return false, nil
	}
	// Used since it was found, at this gateway or another, it goes on.
	err = tx.ExecOne(ctx, `
		UPDATE session SET over_told = $1, ended_at = $2, ended_why = $3, changed_at = $1, version = version + 1
		WHERE  id = $4 AND over_told <= 0 AND ended_at = 0 AND seen_at = $5`, store.Micros(now), store.Micros(at), why, n.ID, store.Micros(n.SeenAt))
	if first, err = told(err); err != nil || !first {
		return first, err
	}
	if _, err := end(ctx, tx, now, why, `parent = $3`, n.ID); err != nil {
		return false, err
	}
	return true, s.trail.Append(ctx, tx, audit.Entry{
		Actor: "system", Action: "session.ended", Object: n.Login, Outcome: audit.OK, Reason: why,
		Articles: []policy.Article{"63-7"}, Zone: string(n.Zone), Detail: map[string]string{"session": n.ID, "at": at.UTC().Format(time.RFC3339)},
	})
}

func told(err error) (first bool, _ error) {
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("noting that the end of a session is told: %w", err)
	}
	return true, nil
}
