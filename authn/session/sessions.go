package session

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

const (
	// flushEvery is how much idle time a crash may take from a session.
	flushEvery = 15 * time.Second
	// seenWithin is how exactly the last use is kept in memory. A page asks for
	// dozens of things at once; an idle end that comes a second early only
	// narrows.
	seenWithin = time.Second
	// heldAtMost bounds the copies in memory; beyond it the store is asked.
	heldAtMost = 200_000
)

// Sessions begins, finds and ends sessions.
type Sessions struct {
	Handles
	db     *store.DB
	trail  *audit.Trail
	people People
	policy func() *policy.Policy
	now    clock.Now
	bell   Bell // nil: nobody is told

	followers []Follower
	bar       Bar
	spared    func() []string
	also      []also

	mu     sync.RWMutex
	held   map[string]*copyOf // by handle MAC
	byID   map[string]string  // session id → handle MAC
	polled atomic.Int64       // microseconds of the last poll that succeeded
	heard  atomic.Int64       // the same, in nanoseconds of ticks
	ticks  func() time.Duration
	polls  atomic.Int64 // how many were begun

	// catching has those who find the last poll too old share the next; failed is when
	// that was tried in vain, in ticks.
	catching singleflight.Group
	failed   atomic.Int64

	// raised are the privileged sessions that are open, by the session that they stand
	// over. raising has them read one poll at a time.
	raised      map[string]*raised
	raisedKnown bool // they were read once
	raising     sync.Mutex

	// parents are the gate's sessions that were used through an application here
	// while no copy of them is held: a restart, or a browser whose application
	// another gateway answers for.
	parents map[string]parentUse
}

// copyOf is a session in memory. The session itself is never changed; seen is
// when it was last used, flushed what of that the store has.
type copyOf struct {
	s             Session
	version       int64 // of the row it was read from
	seen, flushed atomic.Int64
}

// New keeps sessions in db, their handles keyed by ring.
func New(db *store.DB, ring *secret.KeyRing, trail *audit.Trail, people People, pol func() *policy.Policy, now clock.Now) *Sessions {
	return &Sessions{
		Handles: NewHandles(ring), db: db, trail: trail, people: people, policy: pol, now: now,
		held: map[string]*copyOf{}, byID: map[string]string{}, parents: map[string]parentUse{}, raised: map[string]*raised{}, ticks: clock.Ticks,
	}
}

// CheckCSRF reports whether token belongs to cookie. The token of the whole handle
// does too: gateways of before gave that one, and their forms are open while they are
// brought up to date one after the other.
func (s *Sessions) CheckCSRF(cookie, token string) bool {
	same := func(want string) bool {
		return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(token)) == 1
	}
	return same(s.CSRF(cookie)) || same(s.csrfOfAll(cookie))
}

// Begin starts a session of the gate in the caller's transaction and returns it
// with its cookie. Of n it takes who, where and how, and an ExpiresAt that it must
// not pass (zero: none); id, times and Previous are set here. Sessions beyond the policy's number for one person end, oldest
// first.
func (s *Sessions) Begin(ctx context.Context, tx *store.Tx, n Session) (Session, string, error) {
	now, pol := s.now(), s.policy()
	zone, ok := pol.RulesOf(n.Zone)
	if !ok {
		return Session{}, "", fmt.Errorf("beginning a session: zone %q is not in the policy", n.Zone)
	}
	zone = n.rules(pol, zone)
	before, err := latest(ctx, tx, n.Person)
	switch {
	case err == nil:
		n.Previous = Previous{At: before.StartedAt, From: before.From, OutAt: before.outAt(pol, now)}
	case !errors.Is(err, ErrNone):
		return Session{}, "", err
	}
	if n.Previous.FailuresSince, err = takeFailures(ctx, tx, n.Person); err != nil {
		return Session{}, "", err
	}
	n.ID = secret.Token(16)
	n.StartedAt, n.SeenAt = now, now
	if end := now.Add(zone.AbsoluteEnd); n.ExpiresAt.IsZero() || end.Before(n.ExpiresAt) {
		n.ExpiresAt = end
	}
	n.IdleExpiresAt = earlier(n.ExpiresAt, now.Add(n.idle(zone)))
	if err := s.takeOver(ctx, tx, n); err != nil {
		return Session{}, "", err
	}
	if most := pol.Session.MaxPerPerson; most > 0 {
		_, err := end(ctx, tx, now, "too many sessions", `person_id = $3 AND id NOT IN (
			SELECT id FROM session WHERE person_id = $3 AND app = '' AND ended_at = 0
			ORDER BY started_at DESC LIMIT $4) AND parent NOT IN (
			SELECT id FROM session WHERE person_id = $3 AND app = '' AND ended_at = 0
			ORDER BY started_at DESC LIMIT $4)`, string(n.Person), most-1)
		if err != nil {
			return Session{}, "", err
		}
	}
	cookie, keyID, mac, err := s.newOf(n.ID)
	if err != nil {
		return Session{}, "", err
	}
	return n, cookie, insert(ctx, tx, n, keyID, mac)
}

// takeOver ends what goes on at the terminal that a new session begins on, with
// its applications: whoever sits down there finds nobody else signed in
// (article 38-6).
func (s *Sessions) takeOver(ctx context.Context, tx *store.Tx, n Session) error {
	if n.Terminal == "" {
		return nil
	}
	ended, err := end(ctx, tx, s.now(), "terminal taken over", `terminal = $3 OR parent IN (
		SELECT id FROM session WHERE terminal = $3)`, n.Terminal)
	if err != nil || ended == 0 {
		return err
	}
	return s.trail.Append(ctx, tx, audit.Entry{
		Actor: n.Login, Action: "terminal.taken_over", Object: n.Terminal, Outcome: "ok", Zone: string(n.Zone), From: n.From,
		Articles: []policy.Article{"38-6"}, Detail: map[string]string{"sessions": fmt.Sprint(ended)},
	})
}

// EndAt ends everything at a terminal, in the caller's transaction, for one that
// was lost.
func (s *Sessions) EndAt(ctx context.Context, tx *store.Tx, terminal, why string) (int64, error) {
	return end(ctx, tx, s.now(), why, `terminal = $3 OR parent IN (SELECT id FROM session WHERE terminal = $3)`, terminal)
}

// outAt is when a session that came before ended: by signing out, or by idling
// or running out since. Zero means that it is still good.
func (s *Session) outAt(p *policy.Policy, now time.Time) time.Time {
	if !s.EndedAt.IsZero() {
		return s.EndedAt
	}
	if _, idle := s.bounds(p); !now.Before(idle) {
		return idle
	}
	return time.Time{}
}

// Rotate gives a live session a new handle in the caller's transaction; the old
// one is dead when it commits (ASVS 7.2.4), and known to Unheard alone. The returned
// cookie replaces the old one; the token of its forms stays.
func (s *Sessions) Rotate(ctx context.Context, tx *store.Tx, id string, authAt time.Time) (string, error) {
	cookie, keyID, mac, err := s.newOf(id)
	if err != nil {
		return "", err
	}
	err = tx.ExecOne(ctx, `
		UPDATE session SET handle_was = handle_mac, handle_key = $1, handle_mac = $2, auth_at = $3, changed_at = $4, version = version + 1
		WHERE  id = $5 AND ended_at = 0`, keyID, mac, store.Micros(authAt), store.Micros(s.now()), id)
	if errors.Is(err, store.ErrUntouched) {
		return "", ErrNone
	}
	return cookie, err
}

// Load finds the live session that a cookie stands for, and counts this as use
// of it. ErrNone refuses; so does any other error, which means that the answer
// could not be had.
func (s *Sessions) Load(ctx context.Context, cookie string) (Session, error) {
	u, err := s.LoadAt(ctx, s.moment(), cookie)
	return u.Session, err
}

func (s *Sessions) holding(mac string) *copyOf {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.held[mac]
}

// unchanged asks the store whether a copy is still what the row says, and takes
// over when the session was last used elsewhere. Each change of a row but that
// one raises its version, so this reads two numbers instead of the row.
func (s *Sessions) unchanged(ctx context.Context, mac string, c *copyOf) (bool, error) {
	var version, seen int64
	err := s.db.QueryRow(ctx, `SELECT version, seen_at FROM session WHERE handle_mac = $1 AND ended_at = 0`, mac).Scan(&version, &seen)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading a session: %w", err)
	}
	touch(&c.seen, seen)
	return version == c.version, nil
}

// remembered is the copy of a live session, where memory may be gone by: what another
// gateway revoked is seen at the next poll, and a gateway that could not poll reads
// every session from the store (design rule 4).
func (s *Sessions) remembered(mac []byte, pol *policy.Policy, at clock.Moment) *copyOf {
	if !s.inStep(pol, at) {
		return nil
	}
	s.mu.RLock()
	c := s.held[string(mac)]
	s.mu.RUnlock()
	if c == nil || !c.alive(pol, at.Now) {
		return nil
	}
	return c
}

// find gets a live session from the store.
func (s *Sessions) find(ctx context.Context, mac string, pol *policy.Policy, now time.Time) (*copyOf, error) {
	if c := s.holding(mac); c != nil {
		if current, err := s.unchanged(ctx, mac, c); err != nil {
			return nil, err
		} else if current && c.alive(pol, now) {
			return c, nil
		}
	}
	var version int64
	row, err := scan(versioned{s.db.QueryRow(ctx, `SELECT version, `+columns+` FROM session WHERE handle_mac = $1`, mac), &version})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &copyOf{s: row, version: version}
	c.seen.Store(store.Micros(row.SeenAt))
	c.flushed.Store(c.seen.Load())
	if old := s.held[mac]; old != nil { // used since the last flush
		touch(&c.seen, old.seen.Load())
	}
	if !c.alive(pol, now) {
		delete(s.held, mac)
		return nil, ErrNone
	}
	if len(s.held) >= heldAtMost {
		s.held, s.byID = map[string]*copyOf{}, map[string]string{}
	}
	// A session has one copy, under one handle: a second one would be out of the
	// reach of drop, and so outlive its end.
	if was := s.byID[row.ID]; was != mac {
		delete(s.held, was)
	}
	s.held[mac], s.byID[row.ID] = c, mac
	return c, nil
}

func (c *copyOf) alive(pol *policy.Policy, now time.Time) bool {
	return c.s.aliveSeen(pol, store.FromMicros(c.seen.Load()), now)
}

// touch raises a time, never lowers it.
func touch(at *atomic.Int64, to int64) {
	for {
		was := at.Load()
		if was >= to || at.CompareAndSwap(was, to) {
			return
		}
	}
}

// A parentUse is when a gate's session was last used through an application, and
// how long it may lie unused.
type parentUse struct {
	seen int64
	idle time.Duration
}

// touchParent keeps the gate's session from idling out under someone who works
// in an application. It wakes none that has idled out already.
func (s *Sessions) touchParent(child *copyOf, at int64, pol *policy.Policy, now time.Time) {
	id := child.s.Parent
	s.mu.RLock()
	c := s.held[s.byID[id]]
	s.mu.RUnlock()
	if c != nil {
		if c.alive(pol, now) {
			touch(&c.seen, at)
		}
		return
	}
	zone, ok := pol.RulesOf(child.s.Zone)
	if !ok {
		return
	}
	zone = child.s.rules(pol, zone)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parents) < heldAtMost {
		s.parents[id] = parentUse{at, child.s.idle(zone)}
	}
}

// Former is the session that a cookie was given for, if nobody has ended it:
// also one that has run out or idled out, whose applications may still be open.
// Whoever signs out, or signs in anew in the same browser, ends it with them. It
// opens nothing.
func (s *Sessions) Former(ctx context.Context, cookie string) (Session, error) {
	mac, ok := s.MAC(KindSession, cookie)
	if !ok {
		return Session{}, ErrNone
	}
	n, err := scan(s.db.QueryRow(ctx, `SELECT `+columns+` FROM session WHERE handle_mac = $1`, mac))
	if err != nil {
		return Session{}, err
	}
	if !n.EndedAt.IsZero() {
		return Session{}, ErrNone
	}
	return n, nil
}

// mayGoOn asks whether the session's person may still use anything. One who may
// not loses every session for good, so that being let back in later does not
// bring old ones back to life.
//
// It answers the person, and the moment to go on by: the directory may have let it wait.
func (s *Sessions) mayGoOn(ctx context.Context, n *Session, pol *policy.Policy, at clock.Moment) (directory.Person, clock.Moment, error) {
	zone, _ := pol.RulesOf(n.Zone)
	p, err := s.people.PersonAt(ctx, at, n.Person, zone.DirectoryStale)
	if err != nil {
		return directory.Person{}, at, err
	}
	if at = s.onward(at); p.MaySignIn(at.Now) {
		return p, at, s.barred(ctx, at, n, p)
	}
	err = s.db.WithTx(ctx, func(tx *store.Tx) error {
		return s.EndAll(ctx, tx, n.Person, n.Login, "", "person may no longer use anything")
	})
	if err != nil {
		return directory.Person{}, at, err
	}
	s.dropPerson(n.Person)
	s.Ring()
	return directory.Person{}, at, ErrNone
}

// End ends one session and its children in the caller's transaction.
// store.ErrUntouched means that it had ended before.
func (s *Sessions) End(ctx context.Context, tx *store.Tx, id, why string) error {
	n, err := end(ctx, tx, s.now(), why, `id = $3 OR parent = $3`, id)
	if err == nil && n == 0 {
		return store.ErrUntouched
	}
	return err
}

// EndAll ends every session of a person but one (and its children), in the
// caller's transaction, and enters it on the trail if there was any. Sign-ins
// under way end with them: see EndedSince.
func (s *Sessions) EndAll(ctx context.Context, tx *store.Tx, person directory.PersonID, login, except, why string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO sign_in_end (person_id, at) VALUES ($1, $2)
		ON CONFLICT (person_id) DO UPDATE SET at = excluded.at`, string(person), store.Micros(s.now()))
	if err != nil {
		return fmt.Errorf("ending sign-ins under way: %w", err)
	}
	n, err := end(ctx, tx, s.now(), why, `person_id = $3 AND id <> $4 AND (parent = '' OR parent <> $4)`, string(person), except)
	if err != nil || n == 0 {
		return err
	}
	return s.trail.Append(ctx, tx, audit.Entry{
		Actor: "system", Action: "session.ended", Object: login, Outcome: "ok", Reason: why,
		Articles: []policy.Article{"62-1"}, Detail: map[string]string{"sessions": fmt.Sprint(n)},
	})
}

// EndedSince reports whether everything of a person was ended after t. in is the
// store, or the transaction that must not go on if it was.
func EndedSince(ctx context.Context, in store.Reader, person directory.PersonID, t time.Time) (bool, error) {
	var n int
	err := in.QueryRow(ctx, `SELECT COUNT(*) FROM sign_in_end WHERE person_id = $1 AND at > $2`,
		string(person), store.Micros(t)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("reading what was ended: %w", err)
	}
	return n > 0, nil
}

// List is a person's live sessions at the gate, newest first.
func (s *Sessions) List(ctx context.Context, person directory.PersonID) ([]Session, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+columns+` FROM session
		WHERE  person_id = $1 AND app = '' AND ended_at = 0 AND expires_at > $2
		ORDER  BY started_at DESC`, string(person), store.Micros(s.now()))
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	defer rows.Close()
	var out []Session
	pol, now := s.policy(), s.now()
	for rows.Next() {
		n, err := scan(rows)
		if err != nil {
			return nil, err
		}
		s.mu.RLock()
		if c := s.held[s.byID[n.ID]]; c != nil {
			n.SeenAt = store.FromMicros(c.seen.Load())
		}
		s.mu.RUnlock()
		if !n.alive(pol, now) {
			continue
		}
		n.ExpiresAt, n.IdleExpiresAt = n.bounds(pol)
		out = append(out, n)
	}
	return out, rows.Err()
}
