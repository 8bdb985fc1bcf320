package audit

import (
	"context"
	"errors"
	"fmt"

	"sekisho/policy/clock"
	"sekisho/policy/store"
)

var (
	// ErrNoRoom says that the disk of the store, or of the anchor, has less room
	// left than is kept for what must still be written down.
	ErrNoRoom = errors.New("there is too little room left for the trail")
	// ErrNoSeal says that the trail is not being sealed.
	ErrNoSeal = errors.New("the trail is not being sealed")
)

// A Trail is where services write what they did, and where it is looked up.
type Trail struct {
	db    *store.DB
	now   clock.Now
	ready func() error // see Guard
}

// New makes the trail of a store. Entries without a time get now's, those without
// a request id the context's.
func New(db *store.DB, now clock.Now) *Trail { return &Trail{db: db, now: now} }

// Guard says what MayBegin asks: ready answers ErrNoRoom or ErrNoSeal, or nil. It
// is for whoever builds the trail, before anybody uses it.
func (t *Trail) Guard(ready func() error) { t.ready = ready }

// MayBegin refuses, before anything is done, what gives somebody more than they
// had: whatever follows from it must be written down too, and the last room on the
// disk is for that. Taking away asks nobody; it is done for as long as its entry
// can be written.
func (t *Trail) MayBegin() error {
	if t.ready == nil {
		return nil
	}
	return t.ready()
}

// Append writes e in the caller's transaction: it exists when the act does, and
// not otherwise. An error (ErrEntry, or the store's) must end the transaction.
//
// Free text may come from strangers: what is too long is cut and marked, what
// is not UTF-8 or would disturb a terminal is replaced or escaped. The entry is
// numbered and signed by the Sealer, later.
func (t *Trail) Append(ctx context.Context, tx *store.Tx, e Entry) error {
	if e.Time.IsZero() {
		e.Time = t.now()
	}
	if e.RequestID == "" {
		e.RequestID = RequestOf(ctx)
	}
	data, err := encode(e)
	if err != nil {
		return err
	}
	if err := tx.ExecOne(ctx, `INSERT INTO trail_pending (data) VALUES ($1)`, data); err != nil {
		return fmt.Errorf("writing %s on the trail: %w", e.Action, err)
	}
	return nil
}
