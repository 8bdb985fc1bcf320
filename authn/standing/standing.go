// Package standing answers whether a person may use anything at all, at the
// moment they try to.
//
// Two things decide: the directory (disabled, expired) and what Sekisho itself
// has recorded (suspended, dormant, on leave). Every door asks here, so that
// closing one closes all (design rule 9). It does not know what is behind the
// doors, nor how the person proved who they are.
package standing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Kind is a reason, recorded by Sekisho, why a person may use nothing.
type Kind string

const (
	Suspended Kind = "suspended" // articles 75-2, 78-3
	Dormant   Kind = "dormant"   // article 62-5: found unused and closed
	OnLeave   Kind = "on_leave"  // 育休, 休職: a state, not dormancy
)

// Facts are what is known of a person, and when it was read.
type Facts struct {
	Person directory.Person
	Closed []Kind    // what Sekisho has recorded against use
	ReadAt time.Time // when the directory was last read
	// Stale: the directory could not be asked in time, and the person is as they
	// were at ReadAt.
	Stale bool
}

// SeveralUse is the reason (Why) against an ID that is nobody's own (article 46-1).
const SeveralUse = "shared"

// Usable reports whether the person may use anything at now. Everything must
// be known to be well: the zero value is not usable.
func (f Facts) Usable(now time.Time) bool {
	return len(f.Closed) == 0 && f.Person.MaySignIn(now)
}

// Why names the first reason against use, for the trail; "" if there is none.
func (f Facts) Why(now time.Time) string {
	a := f.Person.Account
	switch {
	case f.Person.ID == "":
		return "unknown"
	case len(f.Closed) > 0:
		return string(f.Closed[0])
	case a.Disabled:
		return "disabled"
	case !a.ExpiresAt.IsZero() && !now.Before(a.ExpiresAt):
		return "expired"
	case f.Person.Kind == directory.KindShared:
		return SeveralUse
	case !f.Usable(now):
		return "unusable"
	}
	return ""
}

// ErrAway means that the directory could not be asked and what was known is
// too old to go by. It refuses.
var ErrAway = errors.New("the directory is away and what is known of this person is too old")

// A Finder reads one person from the directory.
type Finder interface {
	ByID(ctx context.Context, id directory.PersonID) (directory.Person, error)
}

// Directory facts younger than renewAfter are used as they are, younger than
// mustRenew while they are read again behind the reader's back, and older only
// while the directory is away and the zone allows it. What changes in the
// directory without Sekisho is so seen within 30 s (design rule 4).
const (
	renewAfter = 15 * time.Second
	mustRenew  = 28 * time.Second
	// remembered bounds the people held in memory; a prefecture has fewer.
	remembered = 200_000
	// patience is how long a sign-in waits for a directory before it goes by what
	// is known. A directory that is well answers in a few milliseconds.
	patience = 300 * time.Millisecond
)

// A Watch remembers directory facts for a few seconds.
type Watch struct {
	db   *store.DB
	dir  Finder
	now  clock.Now
	once singleflight.Group
	away atomic.Bool // the last question was not answered

	mu    sync.RWMutex
	known map[directory.PersonID]known
	ticks func() time.Duration
	forgotten
	told *told
}

type known struct {
	person directory.Person
	at     time.Time
	tick   time.Duration // the same moment by ticks
}

// age is how old what is known is, by the clock or by the ticks, whichever says
// more: the clock stands still while it waits for a machine's that was set back.
func (w *Watch) age(k known) time.Duration { return k.age(w.moment()) }

func (k *known) age(at clock.Moment) time.Duration { return max(at.Now.Sub(k.at), at.Tick-k.tick) }

func (w *Watch) moment() clock.Moment { return clock.Moment{Now: w.now(), Tick: w.ticks()} }

// NewWatch watches people in dir.
func NewWatch(db *store.DB, dir Finder, now clock.Now) *Watch {
	return &Watch{
		db: db, dir: dir, now: now, ticks: clock.Ticks, known: map[directory.PersonID]known{},
		forgotten: forgotten{at: map[directory.PersonID]time.Duration{}},
		told:      newTold(),
	}
}

// Of reads the person fresh from the directory and the store.
func (w *Watch) Of(ctx context.Context, id directory.PersonID) (Facts, error) {
	f := Facts{ReadAt: w.now()}
	var err error
	if f.Person, err = w.renew(ctx, id); err != nil {
		return Facts{}, err
	}
	f.Closed, err = kinds(ctx, w.db, id, w.now())
	return f, err
}

// Lately is Of for a sign-in that the directory does not verify: a passkey's, or
// a step after the password's. The directory is asked all the same. Where it does
// not answer at once, the person is taken to be as they were last read, if that
// is no longer ago than a session in use would put up with; stale is how much the
// zone allows beyond the usual. Who was known to be closed then is closed still,
// and what the store records against anybody is always asked afresh.
func (w *Watch) Lately(ctx context.Context, id directory.PersonID, stale time.Duration) (Facts, error) {
	f := Facts{ReadAt: w.now()}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	f.Person, err = w.renew(soon, id)
	if err != nil {
		w.mu.RLock()
		k, ok := w.known[id]
		w.mu.RUnlock()
		switch {
		case ctx.Err() != nil:
			return Facts{}, ctx.Err()
		case ok && w.age(k) < mustRenew+stale:
			f.Person, f.ReadAt, f.Stale = k.person, k.at, true
		case soon.Err() != nil:
			// Nothing to go by: wait as long as it takes, which is what the
			// directory's own time limit says.
			if f.Person, err = w.renew(ctx, id); err != nil {
				return Facts{}, err
			}
			f.ReadAt = w.now()
		default:
			return Facts{}, err
		}
	}
	f.Closed, err = kinds(ctx, w.db, id, w.now())
	return f, err
}

// Asked is when the directory was asked something. The zero value is no time at
// all: what is dated by it is not remembered.
type Asked struct {
	at   time.Time
	tick time.Duration
}

// Asking is taken before the directory is asked, so that the answer counts as at
// least as old as it is.
func (w *Watch) Asking() Asked { return Asked{w.now(), w.ticks()} }

// WithPerson adds to a person who was read from the directory after asked what
// the store says of them. It remembers the person, unless they were to be
// forgotten since: the answer may be of before the change.
func (w *Watch) WithPerson(ctx context.Context, p directory.Person, asked Asked) (Facts, error) {
	closed, err := kinds(ctx, w.db, p.ID, w.now())
	if err != nil {
		return Facts{}, err
	}
	if !asked.at.IsZero() {
		w.remember(p.ID, known{p, asked.at, asked.tick})
	}
	return Facts{Person: p, Closed: closed, ReadAt: asked.at}, nil
}

// Person gives the directory's facts for a session that is in use, from memory
// if they are young enough. stale is how much longer they may serve while the
// directory is away. A person who is gone from the directory comes back as the
// zero Person without error: known to be nobody.
//
// What the store records against a person is not asked here: recording it ends
// their sessions in the same transaction.
func (w *Watch) Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error) {
	return w.PersonAt(ctx, w.moment(), id, stale)
}

// PersonAt is Person for who asks several rooms at one moment.
func (w *Watch) PersonAt(ctx context.Context, at clock.Moment, id directory.PersonID, stale time.Duration) (directory.Person, error) {
	w.mu.RLock()
	k, ok := w.known[id]
	w.mu.RUnlock()
	age := k.age(at)
	switch {
	case ok && !w.told.inStep(at):
		// What other gateways changed in the directory was not heard of lately.
	case ok && age < renewAfter:
		return k.person, nil
	case ok && age < mustRenew:
		w.once.DoChan(string(id), func() (any, error) { return w.read(context.WithoutCancel(ctx), id) })
		return k.person, nil
	}
	p, err := w.renew(ctx, id)
	switch {
	case err == nil:
		return p, nil
	case ok && age < mustRenew+stale:
		return k.person, nil
	}
	return directory.Person{}, err
}

// AsOf is when the directory was last read of a person, where it is away and what
// is known of them is older than it would otherwise be; zero where it is not. How
// stale an answer is, is stated on it (design rule 4).
func (w *Watch) AsOf(id directory.PersonID) time.Time {
	if !w.away.Load() {
		return time.Time{}
	}
	w.mu.RLock()
	k, ok := w.known[id]
	w.mu.RUnlock()
	if !ok || w.age(k) < mustRenew {
		return time.Time{}
	}
	return k.at
}

func (w *Watch) renew(ctx context.Context, id directory.PersonID) (directory.Person, error) {
	// The read is shared, so it must not end with the first reader's request.
	ch := w.once.DoChan(string(id), func() (any, error) { return w.read(context.WithoutCancel(ctx), id) })
	select {
	case <-ctx.Done():
		return directory.Person{}, ctx.Err()
	case r := <-ch:
		if r.Err != nil {
			return directory.Person{}, r.Err
		}
		return r.Val.(directory.Person), nil
	}
}

func (w *Watch) read(ctx context.Context, id directory.PersonID) (any, error) {
	asked := w.Asking()
	p, err := w.dir.ByID(ctx, id)
	w.away.Store(err != nil && !errors.Is(err, directory.ErrNotFound))
	switch {
	case errors.Is(err, directory.ErrNotFound):
		p = directory.Person{}
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	w.remember(id, known{p, asked.at, asked.tick})
	return p, nil
}

// remember keeps what was read, unless the person was to be forgotten since it
// was asked for, or something younger is known.
func (w *Watch) remember(id directory.PersonID, k known) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since(id, k.tick) || w.known[id].tick > k.tick {
		return
	}
	if len(w.known) >= remembered {
		clear(w.known) // dearer reads for a moment, never a wrong answer
	}
	w.known[id] = k
}

// kinds lists what is recorded against a person at now, in a fixed order.
func kinds(ctx context.Context, db *store.DB, id directory.PersonID, now time.Time) ([]Kind, error) {
	rows, err := db.Query(ctx, `
		SELECT kind FROM standing
		WHERE  person_id = $1 AND `+inForce("$2"), string(id), store.Micros(now))
	if err != nil {
		return nil, fmt.Errorf("reading what is recorded of a person: %w", err)
	}
	defer rows.Close()
	var out []Kind
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			return nil, fmt.Errorf("reading what is recorded of a person: %w", err)
		}
		out = append(out, Kind(k))
	}
	slices.Sort(out)
	return out, rows.Err()
}

// Closed reports whether anything is recorded against a person at now. in is the
// store, or the transaction that must not go on if something is.
func Closed(ctx context.Context, in store.Reader, id directory.PersonID, now time.Time) (bool, error) {
	var n int
	err := in.QueryRow(ctx, `
		SELECT COUNT(*) FROM standing WHERE person_id = $1 AND `+inForce("$2"),
		string(id), store.Micros(now)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("reading what is recorded of a person: %w", err)
	}
	return n > 0, nil
}

// inForce is the condition under which a row counts at a time. Leave alone may be
// recorded before it begins: whatever else is recorded counts at once, also at a
// gateway whose clock is behind.
func inForce(at string) string {
	return `(until = 0 OR until > ` + at + `) AND (kind <> 'on_leave' OR since <= ` + at + `)`
}

// Set records a kind against a person from since until the given time (zero for no
// end). What was recorded before ends at that moment, and is remembered (Past). Leave
// may begin later than now; whoever looks with Beginning does then what follows from
// it. For everything else since is now, and the caller ends the person's sessions and
// writes the trail in the same transaction.
func Set(ctx context.Context, tx *store.Tx, id directory.PersonID, k Kind, since, until time.Time, reason, by string) error {
	return set(ctx, tx, id, k, since, until, reason, by, true)
}

// Foretell is Set of leave that begins later.
func Foretell(ctx context.Context, tx *store.Tx, id directory.PersonID, since, until time.Time, reason, by string) error {
	return set(ctx, tx, id, OnLeave, since, until, reason, by, false)
}

func set(ctx context.Context, tx *store.Tx, id directory.PersonID, k Kind, since, until time.Time, reason, by string, begun bool) error {
	if err := remember(ctx, tx, id, k, since); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO standing (person_id, kind, since, until, reason, set_by, begun)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (person_id, kind) DO UPDATE
		SET    since = excluded.since, until = excluded.until, reason = excluded.reason, set_by = excluded.set_by, begun = excluded.begun`,
		string(id), string(k), store.Micros(since), store.Micros(until), reason, by, begun)
	if err != nil {
		return fmt.Errorf("recording a person as %s: %w", k, err)
	}
	return nil
}

// Lift removes a kind from a person at now, and remembers that it was (Past).
// store.ErrUntouched means that it was not recorded.
func Lift(ctx context.Context, tx *store.Tx, id directory.PersonID, k Kind, now time.Time) error {
	if err := remember(ctx, tx, id, k, now); err != nil {
		return err
	}
	return tx.ExecOne(ctx, `DELETE FROM standing WHERE person_id = $1 AND kind = $2`, string(id), string(k))
}

// remember keeps what of a row had passed when it ended: at its end, or at the given
// time if that came first.
func remember(ctx context.Context, tx *store.Tx, id directory.PersonID, k Kind, ended time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO standing_past (person_id, kind, since, until)
		SELECT person_id, kind, since, CASE WHEN until <> 0 AND until < $3 THEN until ELSE $3 END FROM standing
		WHERE  person_id = $1 AND kind = $2 AND kind IN ('suspended', 'on_leave') AND since < $3
		ON CONFLICT (person_id, kind, since) DO UPDATE SET until = excluded.until WHERE standing_past.until < excluded.until`,
		string(id), string(k), store.Micros(ended))
	if err != nil {
		return fmt.Errorf("remembering that a person was %s: %w", k, err)
	}
	return nil
}
