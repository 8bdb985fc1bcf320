package standing

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sekisho/directory"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// What Sekisho itself changes in the directory counts within a second at every
// gateway (design rule 4). Here that is so at once: Forget. The others hear of it
// by a row of person_changed, which they read with the sessions that were ended:
//
//	Forget ──► here, at once
//	      └──► Run writes the row ──► bell ──► the others' Follow ──► forgotten there
//
// A gateway that could not read the rows lately asks the directory each time
// (told.inStep). Whoever ends in a transaction what was changed in the directory
// writes the row there (Changed), so that not even a crash comes between.

// forgotten says since when what is known of a person counts. Watch.mu is held.
type forgotten struct {
	at map[directory.PersonID]time.Duration // by ticks
	// floor stands for those that were dropped to keep the map small.
	floor time.Duration
}

const (
	mostForgotten  = 50_000
	forgottenAfter = time.Minute // longer than any read takes; if not, floor holds
)

// since reports whether a person was to be forgotten at or after a tick.
func (f *forgotten) since(id directory.PersonID, tick time.Duration) bool {
	at, ok := f.at[id]
	return ok && tick <= at || f.floor > 0 && tick <= f.floor
}

func (f *forgotten) forget(id directory.PersonID, now time.Duration) {
	if len(f.at) >= mostForgotten {
		for id, at := range f.at {
			if now-at > forgottenAfter || len(f.at) > mostForgotten/2 {
				f.floor = max(f.floor, at)
				delete(f.at, id)
			}
		}
	}
	f.at[id] = now
}

// Forget makes the next question about a person reach the directory, for use
// right after Sekisho changed something there. The other gateways are told beside
// it, by Run.
func (w *Watch) Forget(id directory.PersonID) {
	w.forgetHere(id)
	w.told.put(id)
}

func (w *Watch) forgetHere(id directory.PersonID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, id)
	w.forget(id, w.ticks())
	// A read under way may have been answered before the change: nobody joins it.
	w.once.Forget(string(id))
}

// Changed says, in the caller's transaction, that Sekisho has changed something
// of a person in the directory. Whoever calls it rings the bell after the commit
// (session.Poll), and has called Forget for its own gateway.
func Changed(ctx context.Context, tx *store.Tx, id directory.PersonID, now time.Time) error {
	// Not by changed: many are told of in one transaction, and a statement that answers
	// nothing is prepared once for all of them.
	_, err := tx.Exec(ctx, `
		INSERT INTO person_changed (person_id, version, changed_at) VALUES ($1, 1, $2)
		ON CONFLICT (person_id) DO UPDATE SET version = person_changed.version + 1, changed_at = excluded.changed_at`, string(id), store.Micros(now))
	if err != nil {
		return fmt.Errorf("saying that a person was changed in the directory: %w", err)
	}
	return nil
}

func changed(ctx context.Context, tx *store.Tx, id directory.PersonID, now time.Time) (version int64, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO person_changed (person_id, version, changed_at) VALUES ($1, 1, $2)
		ON CONFLICT (person_id) DO UPDATE SET version = person_changed.version + 1, changed_at = excluded.changed_at
		RETURNING version`, string(id), store.Micros(now)).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("saying that a person was changed in the directory: %w", err)
	}
	return version, nil
}

// told is what the gateways tell one another of people who were changed.
type told struct {
	mu      sync.Mutex
	waiting map[directory.PersonID]bool // to be written by Run
	wake    chan struct{}
	seen    map[directory.PersonID]row // of person_changed, as far as polls go back
	// fresh reports whether the rows were read lately; nil where nobody reads
	// them, and there is one gateway.
	fresh func(clock.Moment) bool
	ring  func()
}

type row struct{ version, changedAt int64 }

func newTold() *told {
	return &told{waiting: map[directory.PersonID]bool{}, wake: make(chan struct{}, 1), seen: map[directory.PersonID]row{}}
}

func (t *told) inStep(at clock.Moment) bool { return t.fresh == nil || t.fresh(at) }

func (t *told) put(id directory.PersonID) {
	t.mu.Lock()
	t.waiting[id] = true
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Heed has the watch go by what other gateways changed: fresh reports whether
// Follow was called lately enough for a moment, ring has the others follow at once. It must be
// called before anything is asked.
func (w *Watch) Heed(fresh func(clock.Moment) bool, ring func()) {
	w.told.fresh, w.told.ring = fresh, ring
}

// Follow forgets whom other gateways have changed since, and is called with each
// poll of the sessions. A row that was seen before costs nothing.
func (w *Watch) Follow(ctx context.Context, since time.Time) error {
	rows, err := w.db.Query(ctx, `SELECT person_id, version, changed_at FROM person_changed WHERE changed_at > $1`, store.Micros(since))
	if err != nil {
		return fmt.Errorf("polling for people who were changed: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id directory.PersonID
			r  row
		)
		if err := rows.Scan(&id, &r.version, &r.changedAt); err != nil {
			return fmt.Errorf("polling for people who were changed: %w", err)
		}
		if w.told.news(id, r) {
			w.forgetHere(id) // first: who finds the row noted finds the person forgotten
			w.told.note(id, r)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("polling for people who were changed: %w", err)
	}
	w.told.tidy(store.Micros(since))
	return nil
}

// news reports whether a row says something that was not noted.
func (t *told) news(id directory.PersonID, r row) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ok := t.seen[id]
	return !ok || was.version < r.version
}

func (t *told) note(id directory.PersonID, r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[id].version < r.version {
		t.seen[id] = r
	}
}

// tidy lets go of rows that the next polls do not read: the longest look back is
// longer than since says, and a row that is read again is no harm.
func (t *told) tidy(since int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seen) < 10_000 {
		return
	}
	for id, r := range t.seen {
		if r.changedAt < since-(2*time.Minute).Microseconds() {
			delete(t.seen, id)
		}
	}
}

// spreadAgain is how soon what could not be written is tried again.
const spreadAgain = 200 * time.Millisecond

// Run tells the other gateways whom this one forgot, until ctx ends. What waits
// then is told before it returns.
func (w *Watch) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer stop()
			if err := w.Spread(last); err != nil {
				slog.Warn("telling other gateways of changed people", "error", err)
			}
			return
		case <-w.told.wake:
		}
		for {
			err := w.Spread(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			slog.Error("telling other gateways of changed people; it is tried again", "error", err)
			if clock.Wait(ctx, spreadAgain) != nil {
				break
			}
		}
	}
}

// Spread writes the rows that wait, in one transaction, and rings.
func (w *Watch) Spread(ctx context.Context) error {
	t := w.told
	t.mu.Lock()
	ids := make([]directory.PersonID, 0, len(t.waiting))
	for id := range t.waiting {
		ids = append(ids, id)
	}
	clear(t.waiting)
	t.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	versions := map[directory.PersonID]row{}
	now := w.now()
	err := w.db.WithTx(ctx, func(tx *store.Tx) error {
		clear(versions)
		for _, id := range ids {
			version, err := changed(ctx, tx, id, now)
			if err != nil {
				return err
			}
			versions[id] = row{version, store.Micros(now)}
		}
		return nil
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		for _, id := range ids {
			t.waiting[id] = true
		}
		return err
	}
	for id, r := range versions { // forgotten here already, unless another gateway came between
		if was := t.seen[id]; was.version == r.version-1 {
			t.seen[id] = r
		}
	}
	if t.ring != nil {
		t.ring()
	}
	return nil
}
