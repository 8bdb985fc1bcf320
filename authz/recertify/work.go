package recertify

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

const (
	// lookEvery is how often it is looked whether something is to be done.
	lookEvery = 2 * time.Second
	// claimLasts is how long one who died at a round is waited for.
	claimLasts = time.Minute
	// beatEvery is how often whoever works at a round says that they live.
	beatEvery = 5 * time.Second
	// restAfter is how long a round rests that could not go on.
	restAfter = 30 * time.Second
)

// errLost: somebody else goes on with the round, or it is over.
var errLost = errors.New("the round is somebody else's")

// Run begins rounds when they are due, reminds, ends what nobody confirmed, and has the
// directory follow, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.Tick(ctx); err != nil && ctx.Err() == nil {
			b.Log.WarnContext(ctx, "working at a recertification failed; it is tried again", "error", err)
		}
		if clock.Wait(ctx, lookEvery) != nil {
			return
		}
	}
}

// Tick does all that is due.
func (b *Book) Tick(ctx context.Context) error {
	var problems []error
	for _, c := range b.Policy().Recertification.Campaigns {
		if err := b.schedule(ctx, c); err != nil {
			problems = append(problems, fmt.Errorf("beginning the recertification %s: %w", c.ID, err))
		}
	}
	if err := b.callOff(ctx); err != nil {
		problems = append(problems, err)
	}
	open, err := rounds(ctx, b.DB, `state IN ('freezing', 'open', 'ending') AND (claimed_until <= $1 OR claimed_until > $2) ORDER BY began_at, id`,
		store.Micros(b.Now()), store.Micros(b.Now().Add(2*claimLasts)))
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	for _, r := range open {
		if r.State == Open && r.Next(r.Deadline, b.Now()) == Wait {
			continue
		}
		if err := b.goOn(ctx, r); err != nil {
			problems = append(problems, fmt.Errorf("the recertification %s of %s: %w", r.Campaign, r.Slot, err))
		}
	}
	return errors.Join(append(problems, b.Follow(ctx), b.tellHeld(ctx))...)
}

// slotForm writes a due time so that a later one compares as greater.
const slotForm = "2006-01-02T15"

// schedule begins the round that is due, at one gateway. What is new to the policy begins
// with its next time; who slept through several begins the last.
func (b *Book) schedule(ctx context.Context, c policy.RecertifyCampaign) error {
	due := c.Due(b.Now())
	if due.IsZero() {
		return nil
	}
	slot := due.Add(9 * time.Hour).Format(slotForm) // Japan has one time
	var last string
	err := b.DB.QueryRow(ctx, `SELECT last_slot FROM recertify_schedule WHERE id = $1`, c.ID).Scan(&last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return b.DB.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO recertify_schedule (id, last_slot) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, c.ID, slot)
			return err
		})
	case err != nil || last >= slot:
		return err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		// The guard is in the WHERE clause: two gateways can come to a day together.
		if err := tx.ExecOne(ctx, `UPDATE recertify_schedule SET last_slot = $1 WHERE id = $2 AND last_slot < $1`, slot, c.ID); err != nil {
			return err
		}
		return b.begin(ctx, tx, c, slot)
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway did
	}
	return err
}

// begin writes a round down in the caller's transaction. One of the same campaign that is
// open still is over: the new one goes through all of it.
func (b *Book) begin(ctx context.Context, tx *store.Tx, c policy.RecertifyCampaign, slot string) error {
	now := b.Now()
	before, err := rounds(ctx, tx, `campaign = $1 AND `+goesOn, c.ID)
	if err != nil {
		return err
	}
	for _, old := range before {
		if err := b.breakOff(ctx, tx, old, Superseded, Void, "superseded", "a later round has begun"); err != nil {
			return err
		}
	}
	body, err := json.Marshal(roundBody{c.Name, c.Sections, c.RemindDays})
	if err != nil {
		return err
	}
	return tx.ExecOne(ctx, `
		INSERT INTO recertify_campaign (id, campaign, slot, kind, state, began_at, deadline, body) VALUES ($1, $2, $3, $4, 'freezing', $5, $6, $7)`,
		secret.Token(12), c.ID, slot, c.Kind, store.Micros(now), store.Micros(c.Deadline(now)), string(body))
}

// goesOn is the condition on rounds that are not over.
const goesOn = `state IN ('freezing', 'open', 'halted', 'ending')`

// callOff ends the rounds of campaigns that the policy has no more, and forgets when they
// began last: two persons have taken them out of it, nothing ends any more because nobody
// confirmed it, and what is put back is new. A round that has just begun is let be, for it
// may be of a policy that this gateway is about to read.
func (b *Book) callOff(ctx context.Context) error {
	rules := b.Policy().Recertification
	known, err := store.All(ctx, b.DB, "campaigns that have begun", func(r store.Row) (id string, err error) {
		err = r.Scan(&id)
		return id, err
	}, `SELECT id FROM recertify_schedule`)
	if err != nil {
		return err
	}
	for _, id := range known {
		if _, there := rules.Campaign(id); there {
			continue
		}
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM recertify_schedule WHERE id = $1`, id)
			return err
		})
		if err != nil {
			return fmt.Errorf("forgetting the recertification %s: %w", id, err)
		}
	}
	all, err := rounds(ctx, b.DB, goesOn+` AND began_at <= $1`, store.Micros(b.Now().Add(-claimLasts)))
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, there := rules.Campaign(r.Campaign); there {
			continue
		}
		err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
			now, err := roundOf(ctx, tx, r.ID)
			if err != nil || !slices.Contains([]State{Freezing, Open, Halted, Ending}, now.State) {
				return err // another gateway did
			}
			return b.breakOff(ctx, tx, now, Dropped, Left, "called_off", "the policy has its campaign no more")
		})
		if err != nil {
			return fmt.Errorf("calling off the recertification %s of %s: %w", r.Campaign, r.Slot, err)
		}
	}
	return nil
}

// breakOff is over for a round before its time: what is asked about it is asked no more.
func (b *Book) breakOff(ctx context.Context, tx *store.Tx, r Round, to State, left LineState, why, says string) error {
	if err := b.over(ctx, tx, r, to, left, why); err != nil || r.Matter == "" {
		return err
	}
	return b.Matters.Void(ctx, tx, r.Matter, says)
}

// over ends a round in the caller's transaction: the lines that wait become something
// else, for a reason.
func (b *Book) over(ctx context.Context, tx *store.Tx, r Round, to State, left LineState, why string) error {
	now := b.Now()
	if err := b.takeBack(ctx, tx, r, string(to)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE recertify_line SET state = $1, reason = $2, decided_at = $3, version = version + 1 WHERE campaign = $4 AND state = 'open'`,
		string(left), why, store.Micros(now), r.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE recertify_campaign SET state = $1, ended_at = $2, holder = '', claimed_until = 0 WHERE id = $3`, string(to), store.Micros(now), r.ID); err != nil {
		return err
	}
	n, err := countLines(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	e := r.entry("recertify.closed")
	e.Reason = string(to)
	for state, many := range n {
		e.Detail[string(state)] = strconv.Itoa(many)
	}
	return b.Trail.Append(ctx, tx, e)
}

func countLines(ctx context.Context, in store.Reader, round string) (map[LineState]int, error) {
	out := map[LineState]int{}
	_, err := store.All(ctx, in, "how many lines are in which state", func(r store.Row) (struct{}, error) {
		var (
			state LineState
			n     int
		)
		err := r.Scan(&state, &n)
		out[state] = n
		return struct{}{}, err
	}, `SELECT state, COUNT(*) FROM recertify_line WHERE campaign = $1 GROUP BY state`, round)
	return out, err
}

// work is a round in somebody's hands.
type work struct {
	*Book
	Round
	ticks  func() time.Duration
	beaten time.Duration
}

// goOn takes a round that nobody is at, and does what is next.
func (b *Book) goOn(ctx context.Context, r Round) error {
	w := &work{Book: b, ticks: clock.Stopwatch()}
	holder, now := secret.Token(9), b.Now()
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `
			UPDATE recertify_campaign SET holder = $1, claimed_until = $2
			WHERE  id = $3 AND state = $4 AND (claimed_until <= $5 OR claimed_until > $6)`,
			holder, store.Micros(now.Add(claimLasts)), r.ID, string(r.State), store.Micros(now), store.Micros(now.Add(2*claimLasts)))
		if err != nil {
			return err
		}
		// Another gateway may have done what is next since the round was read.
		w.Round, err = roundOf(ctx, tx, r.ID)
		return err
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway has it
	}
	if err != nil {
		return err
	}
	rest := time.Duration(0)
	if err = w.step(ctx); err != nil {
		rest = restAfter
	}
	switch {
	case errors.Is(err, errLost):
		return nil
	case errors.Is(err, errCrash):
		return err
	}
	// What cannot go on rests a little; the rest is there for whoever comes.
	free := b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE recertify_campaign SET holder = '', claimed_until = $1 WHERE id = $2 AND holder = $3`, w.until(rest), r.ID, holder)
		return err
	})
	return errors.Join(err, free)
}

func (w *work) until(rest time.Duration) int64 {
	if rest == 0 {
		return 0
	}
	return store.Micros(w.Now().Add(rest))
}

func (w *work) step(ctx context.Context) error {
	switch w.State {
	case Freezing:
		return w.freeze(ctx)
	case Ending:
		if err := w.look(ctx); err != nil || w.State != Ending {
			return err
		}
		return w.ending(ctx)
	}
	switch step := w.Next(w.Deadline, w.Now()); step {
	case Remind, RemindLast:
		return w.remind(ctx, step)
	case End:
		if err := w.look(ctx); err != nil || w.State != Ending {
			return err
		}
		return w.ending(ctx)
	}
	return nil
}

// beat says, in the caller's transaction, that whoever works at the round lives. errLost:
// they have lost it to another.
func (w *work) beat(ctx context.Context, tx *store.Tx) error {
	err := tx.ExecOne(ctx, `UPDATE recertify_campaign SET claimed_until = $1 WHERE id = $2 AND holder = $3 AND state IN ('freezing', 'open', 'ending')`,
		store.Micros(w.Now().Add(claimLasts)), w.ID, w.holder)
	if errors.Is(err, store.ErrUntouched) {
		return errLost
	}
	return err
}

// alive beats between questions to a directory, each of which may take its time.
func (w *work) alive(ctx context.Context) error {
	if w.ticks()-w.beaten < beatEvery {
		return nil
	}
	w.beaten = w.ticks()
	return w.DB.WithTx(ctx, func(tx *store.Tx) error { return w.beat(ctx, tx) })
}

// remind tells those before whom lines wait, and, the last time, those a step above too.
// Where nobody is left of whom a line was put before, it is put before the next.
func (w *work) remind(ctx context.Context, step Step) error {
	open, err := lines(ctx, w.DB, `campaign = $1 AND state = 'open' ORDER BY id`, w.ID)
	if err != nil {
		return err
	}
	c := w.crowd()
	var moved []Line
	for i, l := range open {
		if err := w.alive(ctx); err != nil {
			return err
		}
		all, err := c.of(ctx, l.Person.Section)
		if err != nil {
			return err
		}
		if to := l.raise(w.Policy(), all, w.Now()); to != l.Raised {
			open[i].Raised = to
			moved = append(moved, open[i])
		}
	}
	up, column := 0, "reminded_at"
	if step == RemindLast {
		up, column = 1, "last_reminded_at"
	}
	to, err := c.heard(ctx, open, up)
	if err != nil {
		return err
	}
	return w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		for _, l := range moved {
			if _, err := tx.Exec(ctx, `UPDATE recertify_line SET raised = $1 WHERE campaign = $2 AND id = $3 AND state = 'open'`, l.Raised, w.ID, l.ID); err != nil {
				return err
			}
		}
		if err := tx.ExecOne(ctx, `UPDATE recertify_campaign SET `+column+` = $1 WHERE id = $2 AND `+column+` = 0`, store.Micros(w.Now()), w.ID); err != nil {
			return err
		}
		told, err := w.tellReviewers(ctx, tx, w.Round, to)
		if err != nil {
			return err
		}
		e := w.entry("recertify.reminded")
		e.Reason, e.Detail["open"], e.Detail["told"] = string(step), strconv.Itoa(len(open)), strconv.Itoa(told)
		return w.Trail.Append(ctx, tx, e)
	})
}

// look decides at the deadline whether what nobody has confirmed may end, or somebody is
// asked first. It looks again wherever the ending is taken up, for a directory that was
// away meanwhile can come back with nobody in it; what somebody has said yes to is asked
// no more.
func (w *work) look(ctx context.Context) error {
	if w.State == Ending && w.Why == Missing {
		return nil
	}
	open, err := lines(ctx, w.DB, `campaign = $1 AND state IN ('open', 'to_end') ORDER BY id`, w.ID)
	if err != nil {
		return err
	}
	rules, why := w.Policy().Recertification, Stop("")
	if w.State == Open {
		why = Halt(len(open), 0, w.Lines, rules.StopShare, rules.StopFew)
	}
	if why == "" {
		missing := 0
		for _, l := range open {
			if err := w.alive(ctx); err != nil {
				return err
			}
			switch _, err := w.Directory.ByID(ctx, l.Person.ID); {
			case errors.Is(err, directory.ErrNotFound):
				missing++
			case err != nil:
				return fmt.Errorf("reading %s again: %w", l.Person.Login, err)
			}
		}
		if Halt(len(open), missing, w.Lines, rules.StopShare, rules.StopFew) == Missing {
			why = Missing
		}
	}
	if w.State == Ending && why == "" {
		return nil
	}
	ask, err := w.considerHalt(ctx, why, len(open))
	if err != nil {
		return err
	}
	next := Ending
	err = w.DB.WithTx(ctx, func(tx *store.Tx) error {
		next = Ending
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		matter := ""
		if why != "" {
			next = Halted
			if ask != nil {
				m, err := w.Matters.Ask(ctx, tx, *ask)
				if err != nil {
					return err
				}
				matter = m.ID
			}
			e := w.entry("recertify.halted")
			e.Outcome, e.Reason, e.Detail["open"], e.Detail["matter"] = audit.Refused, string(why), strconv.Itoa(len(open)), matter
			if err := w.Trail.Append(ctx, tx, e); err != nil {
				return err
			}
		} else if err := w.takeBack(ctx, tx, w.Round, "deadline"); err != nil {
			return err
		}
		return tx.ExecOne(ctx, `UPDATE recertify_campaign SET state = $1, why = $2, matter = $3 WHERE id = $4 AND holder = $5`, string(next), string(why), matter, w.ID, w.holder)
	})
	if err != nil {
		return err
	}
	if w.State = next; next == Halted {
		w.Log.ErrorContext(ctx, "a recertification has halted; somebody is asked", "reason", string(why), "lines", w.Lines, "unconfirmed", len(open))
	}
	return nil
}

// ending ends what nobody has confirmed, line by line, from where it was left. A line that
// cannot be dealt with keeps no other waiting, and is tried again.
func (w *work) ending(ctx context.Context) error {
	const some = 50
	var stuck []error
	for after := ""; ; {
		open, err := lines(ctx, w.DB, `campaign = $1 AND state = 'open' AND id > $2 ORDER BY id LIMIT $3`, w.ID, after, some)
		if err != nil {
			return err
		}
		for _, l := range open {
			after = l.ID
			err := w.at(PointLine)
			if err == nil {
				err = w.unconfirmed(ctx, l)
			}
			if errors.Is(err, errLost) || errors.Is(err, errCrash) || errors.Is(err, directory.ErrAway) || ctx.Err() != nil {
				return err
			}
			if err != nil {
				stuck = append(stuck, fmt.Errorf("ending what was not confirmed of %s: %w", l.Person.Login, err))
				if err := w.stumbled(ctx, l, err); err != nil {
					return errors.Join(append(stuck, err)...)
				}
			}
		}
		if len(open) < some {
			break
		}
	}
	if len(stuck) > 0 {
		return errors.Join(stuck...)
	}
	return w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		return w.over(ctx, tx, w.Round, Done, Void, "")
	})
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
