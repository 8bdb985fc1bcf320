// Package lockdown stops a part of everything under attack, and says who may order
// that (articles 11-4, 54-3, 75-2).
//
//	ordered by the CIO ───────────────► in force ──► its end, or lifted
//	ordered by CSIRT under delegation ► in force ──► ratified by the CIO: as above
//	                                             └─► not ratified in time: over
//
// When one is over is computed (authz.LockDown.Live) and never done: no job has to
// run for it to end, nor for it to hold. Each gateway has those in force in memory,
// read with the sessions that were ended; one that could not read them lately asks
// the store each time.
//
// Ordering ends what is in scope in the same transaction as its row and its entry
// on the trail. A sign-in reads the rows in the transaction that makes a session of
// it, so none begins beside an order.
//
// It refuses to know how a session is kept (authn/session), how a sign-in goes
// (authn/signin), what is lent (grant) and what an answer looks like (web). Whom a
// lock-down hits is authz's to say.
package lockdown

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// ErrNotFound means that there is no such lock-down in force.
var ErrNotFound = errors.New("no such lock-down in force")

// Orders are the lock-downs in force, as every door asks for them.
type Orders struct {
	db     *store.DB
	policy func() *policy.Policy
	now    clock.Now
	// inStep reports whether Follow was called lately enough for a moment; see session.Sessions.
	inStep func(clock.Moment) bool
	held   atomic.Pointer[[]authz.LockDown]
	sealed atomic.Int64 // lifted by a sealed key within the last day
}

// New keeps orders of db. They are gone by from memory while inStep says so and
// Follow is called with each poll.
func New(db *store.DB, pol func() *policy.Policy, now clock.Now, inStep func(clock.Moment) bool) *Orders {
	return &Orders{db: db, policy: pol, now: now, inStep: inStep}
}

// Follow reads what is in force. It is called with each poll of the sessions.
func (o *Orders) Follow(ctx context.Context, _ time.Time) error {
	live, err := o.Read(ctx, o.db)
	if err != nil {
		return err
	}
	o.held.Store(&live)
	return nil
}

// Held is how many are in force, as far as this gateway knows.
func (o *Orders) Held() (n int) {
	if held := o.held.Load(); held != nil {
		for _, l := range *held {
			if l.Live(o.now()) {
				n++
			}
		}
	}
	return n
}

// SealedHeld is how many a sealed key has lifted within the last day, when Count
// looked last.
func (o *Orders) SealedHeld() int { return int(o.sealed.Load()) }

// InForce are the lock-downs that may be in force, from memory where that is young
// enough. Its caller must not change them. An error refuses.
func (o *Orders) InForce(ctx context.Context) ([]authz.LockDown, error) {
	return o.InForceAt(ctx, clock.Moment{Now: o.now(), Tick: clock.Ticks()})
}

// InForceAt is InForce for who asks several rooms at one moment.
func (o *Orders) InForceAt(ctx context.Context, at clock.Moment) ([]authz.LockDown, error) {
	if held := o.held.Load(); held != nil && o.inStep(at) {
		return *held, nil
	}
	return o.Read(ctx, o.db)
}

const columns = `id, scope, target, person_id, reason, ordered_by, ordered_at, ends_at, ratify_by, ratified_at, ratified_by,
	lifted_at, lifted_by, lift_reason, envelope`

// insert stores an order as it is given, with its values.
const insert = `
	INSERT INTO lockdown (id, scope, target, person_id, reason, ordered_by, ordered_at, ends_at, ratify_by)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func values(l authz.LockDown) []any {
	return []any{
		l.ID, string(l.Scope), l.Target, string(l.Person), l.Reason, l.By, store.Micros(l.OrderedAt), store.Micros(l.EndsAt), store.Micros(l.RatifyBy),
	}
}

type scanner interface{ Scan(...any) error }

func scan(row scanner) (authz.LockDown, error) {
	var (
		l                                           authz.LockDown
		person                                      string
		ordered, ends, ratify, ratified, lifted, by int64
	)
	err := row.Scan(&l.ID, &l.Scope, &l.Target, &person, &l.Reason, &l.By, &ordered, &ends, &ratify, &ratified, &l.RatifiedBy,
		&lifted, &l.LiftedBy, &l.LiftReason, &by)
	if errors.Is(err, sql.ErrNoRows) {
		return authz.LockDown{}, ErrNotFound
	}
	if err != nil {
		return authz.LockDown{}, fmt.Errorf("reading a lock-down: %w", err)
	}
	l.Person, l.Sealed = directory.PersonID(person), by != 0
	l.OrderedAt, l.EndsAt, l.RatifyBy = store.FromMicros(ordered), store.FromMicros(ends), store.FromMicros(ratify)
	l.RatifiedAt, l.LiftedAt = store.FromMicros(ratified), store.FromMicros(lifted)
	return l, nil
}

func read(ctx context.Context, in store.Reader, where string, args ...any) ([]authz.LockDown, error) {
	rows, err := in.Query(ctx, `SELECT `+columns+` FROM lockdown WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading lock-downs: %w", err)
	}
	defer rows.Close()
	var out []authz.LockDown
	for rows.Next() {
		l, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading lock-downs: %w", err)
	}
	return out, nil
}

// Read reads those in force from the store, or in a transaction that goes by them.
func (o *Orders) Read(ctx context.Context, in store.Reader) ([]authz.LockDown, error) {
	now := o.now()
	all, err := read(ctx, in, `lifted_at = 0 AND ends_at > $1 ORDER BY ordered_at`, store.Micros(now))
	if err != nil {
		return nil, err
	}
	live := all[:0]
	for _, l := range all {
		if l.Live(now) {
			live = append(live, l)
		}
	}
	return live, nil
}

// Lately are the last lock-downs, in force or over, newest first.
func (o *Orders) Lately(ctx context.Context) ([]authz.LockDown, error) {
	return read(ctx, o.db, `ordered_at > 0 ORDER BY ordered_at DESC LIMIT 50`)
}

// Barred is a sign-in's question: may somebody who has proved who they are come in?
func (o *Orders) Barred(ctx context.Context, in store.Reader, e signin.Entrant) (bool, error) {
	live, err := o.Read(ctx, in)
	if err != nil || len(live) == 0 {
		return false, err
	}
	_, shut := authz.ShutOut(o.policy(), live, o.subject(e.Person, e.Zone, e.Outside, e.Terminal), o.now())
	return shut, nil
}

// Bar is a session's question at each use.
func (o *Orders) Bar(ctx context.Context, at clock.Moment, n *session.Session, p directory.Person) (why string, shut bool, err error) {
	live, err := o.InForceAt(ctx, at)
	if err != nil || len(live) == 0 {
		return "", false, err
	}
	l, shut := o.hit(live, n, p, at.Now)
	if !shut {
		return "", false, nil
	}
	return "lock-down " + l.ID, true, nil
}

// hit finds the lock-down that ends a session. The session of an application that
// was excepted goes on, but not against what is aimed at it or its person.
func (o *Orders) hit(live []authz.LockDown, n *session.Session, p directory.Person, now time.Time) (authz.LockDown, bool) {
	pol := o.policy()
	s := authz.Subject{Person: p, From: n.Zone, Outside: n.Outside, Terminal: n.Terminal}
	var app policy.Application
	if n.App != "" {
		var ok bool
		if app, ok = pol.Application(n.App); !ok {
			app.ID = n.App
		}
	}
	shuts := func(l *authz.LockDown) bool {
		if n.App == "" {
			return l.Hits(pol, s)
		}
		return l.Shuts(pol, app, s)
	}
	for i := range live {
		l := &live[i]
		if !l.Live(now) || !shuts(l) {
			continue
		}
		// Posts can but spare somebody, and take longer to read than all of this.
		if s.Posts = pol.PostsOf(p.Groups); shuts(l) {
			return *l, true
		}
	}
	return authz.LockDown{}, false
}

func (o *Orders) subject(p directory.Person, zone policy.ZoneID, outside bool, terminal string) authz.Subject {
	return authz.Subject{Person: p, Posts: o.policy().PostsOf(p.Groups), From: zone, Outside: outside, Terminal: terminal}
}

// Spared are the applications whose sessions go on when the gate's ends.
func (o *Orders) Spared() []string { return o.policy().LockDown.Applications }

// HitsPerson reports whether a lock-down in force shuts a person out wherever they
// are, for what is lent: a lease has no network.
func (o *Orders) HitsPerson(ctx context.Context, p directory.Person) (bool, error) {
	live, err := o.InForce(ctx)
	if err != nil || len(live) == 0 {
		return false, err
	}
	s := o.subject(p, policy.LGWAN, false, "")
	for _, l := range live {
		if l.Scope != authz.LockZone && l.Live(o.now()) && l.Hits(o.policy(), s) {
			return true, nil
		}
	}
	return false, nil
}
