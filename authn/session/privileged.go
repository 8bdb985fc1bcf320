package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Privileged is a privileged session: the time in which what is lent to somebody
// is good at the gate and in its applications. It stands over a session of the gate
// and ends before it: unused for minutes, some hours after its person last proved
// who they are, with the last lease in it, or when the same person begins another.
//
// The handle goes up and not down. Whoever begins one gives the session a new handle
// (Rotate), so that one that was taken before is worth nothing by then, and those of
// its applications end; when it is
// over the same handle stands for the session alone, and its person can write the
// record that they owe without signing in again. To go on after it idled out they
// sign in anew.
type Privileged struct {
	ID            string
	Session       string // of the gate, that it stands over
	Person        directory.PersonID
	Login         string
	StartedAt     time.Time
	ExpiresAt     time.Time // absolute end
	IdleExpiresAt time.Time // the end unless the session is used before
	SeenAt        time.Time
	EndedAt       time.Time
}

// bounds are its ends under the policy in force, as a session's are.
func (p Privileged) bounds(pol *policy.Policy) (absolute, idle time.Time) {
	absolute = earlier(p.ExpiresAt, p.StartedAt.Add(pol.Session.ElevatedAbsoluteEnd))
	return absolute, earlier(absolute, p.SeenAt.Add(pol.Session.ElevatedIdleEnd))
}

func (p Privileged) alive(pol *policy.Policy, now time.Time) bool {
	_, idle := p.bounds(pol)
	return p.ID != "" && p.EndedAt.IsZero() && now.Before(idle)
}

// raised is a privileged session in memory, as copyOf is a session.
type raised struct {
	p             Privileged
	seen, flushed atomic.Int64
}

func (c *raised) now() Privileged {
	p := c.p
	p.SeenAt = store.FromMicros(c.seen.Load())
	return p
}

// Root is the session of the gate that a session is, or is the child of.
func (s *Session) Root() string {
	if s.Parent != "" {
		return s.Parent
	}
	return s.ID
}

const privilegedColumns = `id, session_id, person_id, login, started_at, expires_at, seen_at, ended_at`

func scanPrivileged(row store.Row) (Privileged, error) {
	var (
		p                             Privileged
		person                        string
		started, expires, seen, ended int64
	)
	err := row.Scan(&p.ID, &p.Session, &person, &p.Login, &started, &expires, &seen, &ended)
	if errors.Is(err, sql.ErrNoRows) {
		return Privileged{}, ErrNone
	}
	if err != nil {
		return Privileged{}, fmt.Errorf("reading a privileged session: %w", err)
	}
	p.Person = directory.PersonID(person)
	p.StartedAt, p.ExpiresAt = store.FromMicros(started), store.FromMicros(expires)
	p.SeenAt, p.EndedAt = store.FromMicros(seen), store.FromMicros(ended)
	return p, nil
}

func privileged(ctx context.Context, in store.Reader, where string, args ...any) ([]Privileged, error) {
	return store.All(ctx, in, "privileged sessions", scanPrivileged, `SELECT `+privilegedColumns+` FROM privileged_session WHERE `+where, args...)
}

// Elevate begins a privileged session over a session of the gate, in the caller's
// transaction. Its person has one at a time: another of theirs ends. The sessions of
// applications under it end, with the codes that would begin some: a cookie of an
// application's host that was taken before must not rise with the gate's, which is
// replaced. The handover by which the browser comes back is redirects alone. ErrNone
// means that the session was ended meanwhile.
func (s *Sessions) Elevate(ctx context.Context, tx *store.Tx, id string) (Privileged, error) {
	n, err := scan(tx.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE id = $1 AND app = '' AND ended_at = 0`, id))
	if err != nil {
		return Privileged{}, err
	}
	if err := s.lower(ctx, tx, "another privileged session began", `person_id = $1`, string(n.Person)); err != nil {
		return Privileged{}, err
	}
	now, rules := s.now(), s.policy().Session
	if _, err := end(ctx, tx, now, "a privileged session began", `parent = $3`, n.ID); err != nil {
		return Privileged{}, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM handover WHERE parent = $1 AND used_at = 0`, n.ID); err != nil {
		return Privileged{}, fmt.Errorf("dropping handovers of before a privileged session: %w", err)
	}
	p := Privileged{
		ID: secret.Token(16), Session: n.ID, Person: n.Person, Login: n.Login, StartedAt: now, SeenAt: now,
		ExpiresAt: earlier(n.ExpiresAt, n.AuthAt.Add(rules.ElevatedAbsoluteEnd)),
	}
	p.IdleExpiresAt = earlier(p.ExpiresAt, now.Add(rules.ElevatedIdleEnd))
	_, err = tx.Exec(ctx, `
		INSERT INTO privileged_session (`+privilegedColumns+`, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $5, 0, $5)`,
		p.ID, p.Session, string(p.Person), p.Login, store.Micros(now), store.Micros(p.ExpiresAt))
	if err != nil {
		return Privileged{}, fmt.Errorf("beginning a privileged session: %w", err)
	}
	return p, s.trail.Append(ctx, tx, audit.Entry{
		Actor: p.Login, Action: "session.elevated", Object: p.Login, Outcome: audit.OK, Zone: string(n.Zone), Terminal: n.Terminal,
		Articles: elevation, Detail: map[string]string{"session": p.Session, "privileged_session": p.ID, "until": p.ExpiresAt.UTC().Format(time.RFC3339)},
	})
}

// elevation is what the ends of a privileged session serve.
var elevation = []policy.Article{"62-7", "65"}

// Lower ends the privileged session over a session, if there is one, in the caller's
// transaction. The session goes on.
func (s *Sessions) Lower(ctx context.Context, tx *store.Tx, id, why string) error {
	return s.lower(ctx, tx, why, `session_id = $1`, id)
}

func (s *Sessions) lower(ctx context.Context, tx *store.Tx, why, where, arg string) error {
	open, err := privileged(ctx, tx, `ended_at = 0 AND `+where, arg)
	if err != nil {
		return err
	}
	for _, p := range open {
		err := tx.ExecOne(ctx, `
			UPDATE privileged_session SET ended_at = $1, ended_why = $2, changed_at = $1
			WHERE  id = $3 AND ended_at = 0`, store.Micros(s.now()), why, p.ID)
		if err != nil {
			return fmt.Errorf("ending a privileged session: %w", err)
		}
		err = s.trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "session.lowered", Object: p.Login, Outcome: audit.OK, Reason: why,
			Articles: elevation, Detail: map[string]string{"session": p.Session, "privileged_session": p.ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Privileged is the privileged session that is good over a session, or over the one
// that a session is the child of. It counts as no use. An error means that nobody
// could say; then there is none.
func (s *Sessions) Privileged(ctx context.Context, n Session) (p Privileged, ok bool, err error) {
	return s.PrivilegedAt(ctx, s.moment(), n.Root())
}

// PrivilegedAt is Privileged, over the session of the gate of that id, for who asks
// several rooms at one moment.
func (s *Sessions) PrivilegedAt(ctx context.Context, at clock.Moment, root string) (p Privileged, ok bool, err error) {
	now, pol := at.Now, s.policy()
	answer := func(p Privileged) (Privileged, bool, error) {
		if !p.alive(pol, now) {
			return Privileged{}, false, nil
		}
		p.ExpiresAt, p.IdleExpiresAt = p.bounds(pol)
		return p, true, nil
	}
	held := s.raisedOver(root)
	if s.inStep(pol, at) {
		if held == nil {
			return Privileged{}, false, nil
		}
		if p := held.now(); p.alive(pol, now) {
			return answer(p)
		}
	}
	open, err := privileged(ctx, s.db, `ended_at = 0 AND session_id = $1`, root)
	if err != nil || len(open) == 0 {
		return Privileged{}, false, err
	}
	p = open[0]
	if held != nil && held.p.ID == p.ID { // used elsewhere meanwhile, or here and not yet written
		touch(&held.seen, store.Micros(p.SeenAt))
		p = held.now()
	}
	return answer(p)
}

func (s *Sessions) raisedOver(root string) *raised {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.raised[root]
}

// usePrivileged counts what was done in a session as use of the privileged one over
// it. It wakes none that has idled out.
func (s *Sessions) usePrivileged(n *Session, at int64, pol *policy.Policy, now time.Time) {
	if c := s.raisedOver(n.Root()); c != nil && c.now().alive(pol, now) {
		touch(&c.seen, at)
	}
}

// followPrivileged takes over what began and what ended. One at a time: a poll that
// read before another and wrote after it would bring back what that one had seen
// ended.
func (s *Sessions) followPrivileged(ctx context.Context, since time.Time) error {
	s.raising.Lock()
	defer s.raising.Unlock()
	where, arg := `changed_at > $1`, store.Micros(since)
	if !s.raisedKnown {
		where, arg = `ended_at = 0 AND expires_at > $1`, store.Micros(s.now())
	}
	changed, err := privileged(ctx, s.db, where, arg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range changed {
		held := s.raised[p.Session]
		switch {
		case !p.EndedAt.IsZero():
			if held != nil && held.p.ID == p.ID {
				delete(s.raised, p.Session)
			}
		case held != nil && held.p.ID == p.ID:
			touch(&held.seen, store.Micros(p.SeenAt))
		default:
			c := &raised{p: p}
			c.seen.Store(store.Micros(p.SeenAt))
			c.flushed.Store(c.seen.Load())
			s.raised[p.Session] = c
		}
	}
	s.raisedKnown = true
	return nil
}

// wasUsed writes down that the privileged session over a session was used. Whether
// it had idled out before is decided by its row.
func (s *Sessions) wasUsed(ctx context.Context, tx *store.Tx, root string, seen int64) error {
	idle := s.policy().Session.ElevatedIdleEnd
	_, err := tx.Exec(ctx, `
		UPDATE privileged_session SET seen_at = $1
		WHERE  session_id = $2 AND ended_at = 0 AND seen_at < $1 AND seen_at > $3`, seen, root, seen-idle.Microseconds())
	if err != nil {
		return fmt.Errorf("writing back when a privileged session was last used: %w", err)
	}
	return nil
}

// flushPrivileged writes back when privileged sessions were last used, and writes
// down which are over by themselves. Nothing goes by that: they gave nothing from
// their end on.
func (s *Sessions) flushPrivileged(ctx context.Context) error {
	var used []*raised
	s.mu.RLock()
	for _, c := range s.raised {
		if c.seen.Load() > c.flushed.Load() {
			used = append(used, c)
		}
	}
	s.mu.RUnlock()
	for _, c := range used {
		seen := c.seen.Load()
		if err := s.db.WithTx(ctx, func(tx *store.Tx) error { return s.wasUsed(ctx, tx, c.p.Session, seen) }); err != nil {
			return err
		}
		touch(&c.flushed, seen)
	}
	// Another gateway may have seen it used a moment ago.
	now, idle := s.now(), s.policy().Session.ElevatedIdleEnd
	over, err := privileged(ctx, s.db, `ended_at = 0 AND (expires_at <= $1 OR seen_at <= $2 
		OR EXISTS (SELECT 1 FROM session n WHERE n.id = privileged_session.session_id AND n.ended_at > 0))`,
		store.Micros(now), store.Micros(now.Add(-idle-2*flushEvery)))
	if err != nil {
		return err
	}
	for _, p := range over {
		why := "idle"
		if !now.Before(p.ExpiresAt) {
			why = "its time is over"
		} else if store.Micros(now.Add(-idle-2*flushEvery)) < store.Micros(p.SeenAt) {
			why = "the session is over"
		}
		err := s.db.WithTx(ctx, func(tx *store.Tx) error { return s.lower(ctx, tx, why, `id = $1`, p.ID) })
		if err != nil {
			return err
		}
	}
	return nil
}
