package lifecycle

import (
	"context"
	"errors"
	"strconv"
	"time"

	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const (
	// claimLasts is how long one who died at a sweep is waited for.
	claimLasts = time.Minute
	// beatEvery is how often, in real time, whoever sweeps says that they live.
	beatEvery = 5 * time.Second
	// restAfter is how long a sweep rests at most that the directory did not answer.
	restAfter = 5 * time.Minute
)

// errLost: somebody else goes on with the sweep, or it is over.
var errLost = errors.New("the sweep is somebody else's")

// work is a sweep in somebody's hands.
type work struct {
	*Book
	Summary
	holder   string
	ticks    func() time.Duration
	beaten   time.Duration
	beatenAt time.Time
	progress func(int)
}

// alive says, where it was not said lately, that whoever sweeps is: between questions to
// a directory, each of which may take its time. The claim lapses by the clock, so that the
// clock counts beside the ticks.
func (w *work) alive(ctx context.Context) error {
	now := w.Now()
	if w.ticks()-w.beaten < beatEvery && now.Sub(w.beatenAt) < beatEvery {
		return nil
	}
	w.beaten, w.beatenAt = w.ticks(), now
	return w.DB.WithTx(ctx, func(tx *store.Tx) error { return w.beat(ctx, tx) })
}

// beat says, in the caller's transaction, that whoever sweeps is alive. errLost: they
// have lost it to another.
func (w *work) beat(ctx context.Context, tx *store.Tx) error {
	err := tx.ExecOne(ctx, `
		UPDATE sweep SET claimed_until = $1, people = CASE WHEN people > $2 THEN people ELSE $2 END
		WHERE  id = $3 AND holder = $4 AND state IN ('reading', 'acting')`, store.Micros(w.Now().Add(claimLasts)), w.People, w.ID, w.holder)
	if errors.Is(err, store.ErrUntouched) {
		return errLost
	}
	return err
}

// rest gives the sweep back, with what stood in its way.
func (w *work) rest(ctx context.Context, why error) error {
	if errors.Is(why, directory.ErrAway) || errors.Is(why, directory.ErrTruncated) {
		return w.restFor(ctx, why, pauses[min(w.tries, len(pauses)-1)])
	}
	return w.restFor(ctx, why, 0)
}

// pauses are how long a sweep rests that the directory did not answer: shortly at first,
// for one that starts beside us is there in a moment. The last repeats.
var pauses = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, restAfter}

// restFor gives the sweep back until somebody may go on with it.
func (w *work) restFor(ctx context.Context, why error, pause time.Duration) error {
	until := w.Now().Add(pause)
	err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if w.By != system && w.State == Reading {
			// Whoever is at the terminal sees it, and tries again themselves.
			err := tx.ExecOne(ctx, `UPDATE sweep SET state = 'dropped', why = $1, ended_at = $2 WHERE id = $3 AND holder = $4`,
				store.Brief(why), store.Micros(w.Now()), w.ID, w.holder)
			if err != nil {
				return err
			}
			return w.forget(ctx, tx, w.ID)
		}
		return tx.ExecOne(ctx, `UPDATE sweep SET why = $1, claimed_until = $2, tries = tries + 1 WHERE id = $3 AND holder = $4`, store.Brief(why), store.Micros(until), w.ID, w.holder)
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	return err
}

// entry begins an entry of a sweep on the trail.
func (w *work) entry(action, reason string) audit.Entry {
	return audit.Entry{
		Actor: w.By, Action: action, Object: "sweep/" + w.Slot, Outcome: audit.OK, Reason: reason, Articles: articles,
		Detail: map[string]string{
			"people": strconv.Itoa(w.People), "to_warn": strconv.Itoa(w.ToWarn), "to_disable": strconv.Itoa(w.ToDisable), "to_delete": strconv.Itoa(w.ToDelete),
			"as_of": w.AsOf.UTC().Format(time.RFC3339),
		},
	}
}
