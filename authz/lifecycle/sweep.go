package lifecycle

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

const (
	// claimLasts is how long one who died at a sweep is waited for.
	claimLasts = time.Minute
	// beatEvery is how often, in real time, whoever sweeps says that they live.
	beatEvery = 5 * time.Second
	lookEvery = 2 * time.Second
	// restAfter is how long a sweep rests at most that the directory did not answer.
	restAfter = 5 * time.Minute
	actBatch  = 50
)

// errLost: somebody else goes on with the sweep, or it is over.
var errLost = errors.New("the sweep is somebody else's")

// system is who acts where nobody does.
const system = "system"

// Run sweeps when it is due, goes on with what others left, and brings about in the
// directory what was intended, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			b.complain(ctx, "ending what is open of people whose leave begins", b.BeginLeaves(ctx))
			b.complain(ctx, "bringing about in the directory what a sweep intended", b.Effects(ctx))
			if clock.Wait(ctx, lookEvery) != nil {
				return
			}
		}
	})
	for ctx.Err() == nil {
		b.complain(ctx, "sweeping for unused IDs", b.Tick(ctx))
		waiting, stop := context.WithTimeout(ctx, lookEvery)
		select {
		case <-b.wake:
		case <-waiting.Done():
		}
		stop()
	}
	wg.Wait()
}

func (b *Book) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.Log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}

// Tick begins the sweep that is due, if one is, and goes on with whatever is open and
// nobody is at.
func (b *Book) Tick(ctx context.Context) error {
	if err := b.schedule(ctx); err != nil {
		return fmt.Errorf("scheduling a sweep: %w", err)
	}
	now := b.Now()
	open, err := summaries(ctx, b.DB, `state IN ('reading', 'acting') AND (claimed_until <= $1 OR claimed_until > $2) ORDER BY began_at`,
		store.Micros(now), store.Micros(now.Add(2*restAfter)))
	if err != nil {
		return err
	}
	var problems []error
	for _, s := range open {
		if err := b.goOn(ctx, s.ID); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// firstSlot is the sweep that a new store begins with: it looks, and does nothing, so
// that people see what there is before anybody is told. Where it did not come to its end
// on its day, that of the next day is the first.
const firstSlot = "first"

// schedule begins the sweep of the day, at one gateway, also where days were missed:
// then one makes up for all of them.
func (b *Book) schedule(ctx context.Context) error {
	slot := slotOf(b.Now(), b.Policy().Dormancy.SweepHour)
	var last string
	err := b.DB.QueryRow(ctx, `SELECT last_slot FROM sweep_schedule WHERE id = 1`).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if err == nil && last >= slot {
		return nil
	}
	first := err != nil
	_, before, err := b.Last(ctx)
	if err != nil {
		return err
	}
	next := slot
	if !before {
		next = firstSlot + " " + slot
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		if first {
			if err := tx.ExecOne(ctx, `INSERT INTO sweep_schedule (id, last_slot) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, slot); err != nil {
				return err
			}
			return b.begin(ctx, tx, Summary{ID: secret.Token(12), Slot: firstSlot, AsOf: b.Now(), By: system}, "")
		}
		if err := tx.ExecOne(ctx, `UPDATE sweep_schedule SET last_slot = $1 WHERE id = 1 AND last_slot < $1`, slot); err != nil {
			return err
		}
		return b.begin(ctx, tx, Summary{ID: secret.Token(12), Slot: next, AsOf: b.Now(), By: system}, "")
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway did
	}
	return err
}

// begin writes a sweep down in the caller's transaction. What was open before it is
// over: it sees all of that anew.
func (b *Book) begin(ctx context.Context, tx *store.Tx, s Summary, holder string) error {
	now := b.Now()
	before, err := summaries(ctx, tx, `state IN ('reading', 'acting', 'stopped')`)
	if err != nil {
		return err
	}
	for _, old := range before {
		if err := tx.ExecOne(ctx, `UPDATE sweep SET state = 'superseded', ended_at = $1, holder = '' WHERE id = $2`, store.Micros(now), old.ID); err != nil {
			return err
		}
		if err := b.forget(ctx, tx, old.ID); err != nil {
			return err
		}
		if old.Matter != "" {
			if err := b.Matters.Void(ctx, tx, old.Matter, "a later sweep has begun"); err != nil {
				return err
			}
		}
	}
	ends := int64(0)
	if holder != "" {
		ends = store.Micros(now.Add(claimLasts))
	}
	return tx.ExecOne(ctx, `
		INSERT INTO sweep (id, slot, as_of, began_at, by_login, state, holder, claimed_until) VALUES ($1, $2, $3, $4, $5, 'reading', $6, $7)`,
		s.ID, s.Slot, store.Micros(s.AsOf), store.Micros(now), s.By, holder, ends)
}

// lookSlot begins the slots of those by hand that only look.
const lookSlot = "look by hand "

// OnlyLooked reports whether it was to find, and not to act.
func (s Summary) OnlyLooked() bool { return s.looks() }

// looks reports whether a sweep only looks.
func (s Summary) looks() bool {
	return strings.HasPrefix(s.Slot, firstSlot) || strings.HasPrefix(s.Slot, lookSlot)
}

// ByHand sweeps at once, for somebody at a terminal, as of a time. In a store where none
// has come to its end it only looks, as the first by itself does, unless act says that
// it is known what follows. ErrBusy: one is under way. *Stopped: it waits for somebody.
func (b *Book) ByHand(ctx context.Context, by string, asOf time.Time, act bool, progress func(people int)) (Summary, error) {
	id, holder := secret.Token(12), secret.Token(9)
	slot := "by hand " + id
	_, before, err := b.Last(ctx)
	if err != nil {
		return Summary{}, err
	}
	if !before && !act {
		slot = lookSlot + id
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM sweep WHERE state IN ('reading', 'acting') AND claimed_until > $1`, store.Micros(b.Now())).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ErrBusy
		}
		return b.begin(ctx, tx, Summary{ID: id, Slot: slot, AsOf: asOf.Truncate(time.Microsecond), By: by}, holder)
	})
	if err != nil {
		return Summary{}, fmt.Errorf("beginning a sweep: %w", err)
	}
	err = b.perform(ctx, id, holder, progress)
	if err != nil {
		return Summary{}, err
	}
	s, err := b.Sweep(ctx, id)
	if err != nil {
		return Summary{}, err
	}
	if s.State == Halted {
		return s, b.stopped(ctx, s)
	}
	return s, nil
}

func (b *Book) stopped(ctx context.Context, s Summary) error {
	before, err := b.before(ctx)
	if err != nil {
		return err
	}
	return &Stopped{Sweep: s.ID, Why: Stop(s.Why), Before: before, Matter: s.Matter, Answer: s.Answer}
}

// Look reads as a sweep does, tells each entry, and does nothing. uses are counted as if
// they had been told (Tell). The error is a *Stopped where a sweep would stop.
func (b *Book) Look(ctx context.Context, asOf time.Time, uses []Use, each func(Entry) error) (Summary, []Count, error) {
	s := Summary{AsOf: asOf, BeganAt: b.Now(), State: Finished}
	t, err := b.read(ctx, asOf, latestOf(uses), func(_ context.Context, some []Entry) error {
		for _, e := range some {
			s.count(e)
			if err := each(e); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		return Summary{}, nil, fmt.Errorf("reading the directory for a sweep: %w", err)
	}
	s.Answer, s.EndedAt = t.Answer, b.Now()
	before, err := b.before(ctx)
	if err != nil {
		return Summary{}, nil, err
	}
	if why := Halt(t.Answer, before, b.Policy().Dormancy.StopShare, b.Policy().Dormancy.StopFew); why != "" {
		s.State, s.Why = Halted, string(why)
		return s, t.list(), &Stopped{Why: why, Before: before, Answer: t.Answer}
	}
	return s, t.list(), nil
}

func (s *Summary) count(e Entry) {
	switch e.Act {
	case Warn:
		s.ToWarn++
	case Disable:
		s.ToDisable++
	case Propose:
		s.ToDelete++
	}
}

// before is what the last sweep that came to its end found.
func (b *Book) before(ctx context.Context) (Answer, error) {
	last, _, err := b.Last(ctx)
	return last.Answer, err
}

// goOn takes a sweep that nobody is at.
func (b *Book) goOn(ctx context.Context, id string) error {
	holder, now := secret.Token(9), b.Now()
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `
			UPDATE sweep SET holder = $1, claimed_until = $2
			WHERE  id = $3 AND state IN ('reading', 'acting') AND (claimed_until <= $4 OR claimed_until > $5)`,
			holder, store.Micros(now.Add(claimLasts)), id, store.Micros(now), store.Micros(now.Add(2*restAfter)))
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway has it
	}
	if err != nil {
		return err
	}
	return b.perform(ctx, id, holder, nil)
}

// perform does what is left of a sweep.
func (b *Book) perform(ctx context.Context, id, holder string, progress func(int)) error {
	s, err := b.Sweep(ctx, id)
	if err != nil {
		return err
	}
	w := &work{Book: b, Summary: s, holder: holder, ticks: clock.Stopwatch(), progress: progress}
	if s.State == Reading {
		err = w.reading(ctx)
	}
	if err == nil && w.State == Acting {
		err = w.acting(ctx)
	}
	if errors.Is(err, errLost) {
		return nil
	}
	if err != nil {
		return errors.Join(fmt.Errorf("sweep %s: %w", s.Slot, err), w.rest(context.WithoutCancel(ctx), err))
	}
	return nil
}

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
				brief(why), store.Micros(w.Now()), w.ID, w.holder)
			if err != nil {
				return err
			}
			return w.forget(ctx, tx, w.ID)
		}
		return tx.ExecOne(ctx, `UPDATE sweep SET why = $1, claimed_until = $2, tries = tries + 1 WHERE id = $3 AND holder = $4`, brief(why), store.Micros(until), w.ID, w.holder)
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	return err
}

// brief is an error as it is kept.
func brief(err error) string {
	s := []rune(err.Error())
	return string(s[:min(len(s), 300)])
}

// reading goes through the directory, and decides whether its answer may be gone by.
func (w *work) reading(ctx context.Context) error {
	err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		return w.forget(ctx, tx, w.ID)
	})
	if err != nil {
		return err
	}
	if err := w.at("reading"); err != nil {
		return err
	}
	w.People = 0
	alive := func(ctx context.Context, people int) error {
		w.People = people
		if w.progress != nil && people%tellEvery == 0 {
			w.progress(people)
		}
		return w.alive(ctx)
	}
	w.ToWarn, w.ToDisable, w.ToDelete = 0, 0, 0
	t, err := w.read(ctx, w.AsOf, nil, func(ctx context.Context, some []Entry) error {
		if len(some) == 0 {
			return nil
		}
		for i := range some {
			if w.looks() {
				some[i].Act = ""
			}
			w.count(some[i])
		}
		if err := w.at("entries"); err != nil {
			return err
		}
		return w.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := w.beat(ctx, tx); err != nil {
				return err
			}
			return keepEntries(ctx, tx, w.ID, some)
		})
	}, alive)
	if err != nil {
		return fmt.Errorf("reading the directory: %w", err)
	}
	w.Answer = t.Answer
	if err := w.orphans(ctx, t); err != nil {
		return err
	}
	if err := w.disowned(ctx, t); err != nil {
		return err
	}
	before, err := w.before(ctx)
	if err != nil {
		return err
	}
	why := Halt(t.Answer, before, w.Policy().Dormancy.StopShare, w.Policy().Dormancy.StopFew)
	if w.looks() {
		why = "" // nothing follows
	}
	var ask *approval.Considered
	if why != "" {
		if ask, err = w.askToGoOn(ctx, why, before); err != nil {
			return err
		}
	}
	if err := w.at("read"); err != nil {
		return err
	}
	next := Acting // from here on, pauses are counted anew
	err = w.DB.WithTx(ctx, func(tx *store.Tx) error {
		next = Acting
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		for p, n := range t.counts {
			if err := tx.ExecOne(ctx, `INSERT INTO sweep_count (sweep, section, class, age, n) VALUES ($1, $2, $3, $4, $5)`,
				w.ID, p.section, string(p.class), string(p.age), n); err != nil {
				return err
			}
		}
		if err := w.findings(ctx, tx, t.found); err != nil {
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
			e := w.entry("sweep.stopped", string(why))
			e.Outcome = audit.Refused
			e.Detail["before"], e.Detail["matter"] = strconv.Itoa(before.People), matter
			if err := w.Trail.Append(ctx, tx, e); err != nil {
				return err
			}
		}
		return tx.ExecOne(ctx, `
			UPDATE sweep SET tries = 0, state = $1, why = $2, people = $3, dated = $4, to_warn = $5, to_disable = $6, to_delete = $7, matter = $8
			WHERE  id = $9 AND holder = $10`, string(next), string(why), t.People, t.Dated, w.ToWarn, w.ToDisable, w.ToDelete, matter, w.ID, w.holder)
	})
	if err != nil {
		return err
	}
	w.State = next
	if next == Halted {
		w.Log.ErrorContext(ctx, "the sweep for unused IDs stopped; somebody is asked", "reason", string(why), "people", t.People, "people_before", before.People, "acts", t.Acts)
	}
	return nil
}

// forget removes what a sweep has stored.
func (b *Book) forget(ctx context.Context, tx *store.Tx, sweep string) error {
	for _, q := range []string{`DELETE FROM sweep_entry WHERE sweep = $1`, `DELETE FROM sweep_count WHERE sweep = $1`} {
		if _, err := tx.Exec(ctx, q, sweep); err != nil {
			return err
		}
	}
	return nil
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

// tries are how often a sweep tries to deal with one ID, the rest of which is a finding.
const tries = 3

// tryAgain is how long an ID rests that could not be dealt with.
const tryAgain = 30 * time.Second

// acting does what is to be done, from where it was left. An ID that cannot be dealt
// with keeps nobody else waiting: it is tried again a little later, and after some tries
// the sweep ends without it.
func (w *work) acting(ctx context.Context) error {
	for after := directory.PersonID(""); ; {
		some, err := entries(ctx, w.DB, w.ID, ` AND act IN ('warn', 'disable') AND outcome = '' AND due <= $4`, after, actBatch, store.Micros(w.Now()))
		if err != nil {
			return err
		}
		if len(some) == 0 {
			break
		}
		for _, e := range some {
			after = e.Person
			if err := w.act(ctx, e); err != nil {
				if err := w.stumbled(ctx, e, err); err != nil {
					return err
				}
			}
		}
		if err := w.Sessions.Poll(ctx); err != nil {
			w.complain(ctx, "noting ended sessions", err)
		}
	}
	var left int
	if err := w.DB.QueryRow(ctx, `SELECT COUNT(*) FROM sweep_entry WHERE sweep = $1 AND act IN ('warn', 'disable') AND outcome = ''`, w.ID).Scan(&left); err != nil {
		return err
	}
	if left > 0 {
		return w.restFor(ctx, fmt.Errorf("%d IDs could not be dealt with; they are tried again", left), tryAgain)
	}
	if err := w.propose(ctx); err != nil {
		return err
	}
	if err := w.tidy(ctx); err != nil {
		return err
	}
	if err := w.at("finishing"); err != nil {
		return err
	}
	return w.finish(ctx)
}

// stumbled writes down that one ID could not be dealt with. An error ends the sweep for
// now: it is about more than this ID.
func (w *work) stumbled(ctx context.Context, e Entry, why error) error {
	if errors.Is(why, errLost) || errors.Is(why, errCrash) || ctx.Err() != nil {
		return why
	}
	if errors.Is(why, directory.ErrAway) || errors.Is(why, directory.ErrTruncated) {
		if err := w.Directory.Ping(ctx); err != nil {
			return why // away for everybody
		}
	}
	w.Log.WarnContext(ctx, "an ID could not be dealt with; the sweep goes on with the others", "error", why)
	err := w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		var n int
		err := tx.QueryRow(ctx, `UPDATE sweep_entry SET tries = tries + 1, due = $1 WHERE sweep = $2 AND person_id = $3 AND outcome = '' RETURNING tries`,
			store.Micros(w.Now().Add(tryAgain)), w.ID, string(e.Person)).Scan(&n)
		if err != nil || n < tries {
			return err
		}
		if err := tx.ExecOne(ctx, `UPDATE sweep_entry SET outcome = $1 WHERE sweep = $2 AND person_id = $3`, string(Failed), w.ID, string(e.Person)); err != nil {
			return err
		}
		if err := tx.ExecOne(ctx, `UPDATE sweep SET failed = failed + 1 WHERE id = $1`, w.ID); err != nil {
			return err
		}
		if err := w.found(ctx, tx, Finding{Kind: NotDealt, Subject: string(e.Person), Login: e.Login, Section: e.Section, Detail: brief(why)}); err != nil {
			return err
		}
		entry := w.about("dormancy.failed", e)
		entry.Outcome, entry.Reason = audit.Failed, brief(why)
		return w.Trail.Append(ctx, tx, entry)
	})
	if err != nil {
		return errors.Join(why, err)
	}
	return nil
}

// finish ends a sweep: from now on it is what reports show and the next one is
// compared with.
func (w *work) finish(ctx context.Context) error {
	return w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		for _, table := range []string{"sweep_entry", "sweep_count"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE sweep <> $1 AND sweep NOT IN (SELECT id FROM sweep WHERE state IN ('reading', 'acting', 'stopped'))`, w.ID); err != nil {
				return err
			}
		}
		if err := tx.ExecOne(ctx, `UPDATE sweep SET state = 'done', ended_at = $1, claimed_until = 0, holder = '' WHERE id = $2 AND holder = $3`,
			store.Micros(w.Now()), w.ID, w.holder); err != nil {
			return err
		}
		// What this sweep did not find is not so any more. One that was given up closes
		// nothing: what it read may have been no answer.
		if _, err := tx.Exec(ctx, `UPDATE lifecycle_finding SET closed_at = $1 WHERE closed_at = 0 AND kind <> 'not_confirmed' AND seen_at < $2`,
			store.Micros(w.Now()), store.Micros(w.BeganAt)); err != nil {
			return err
		}
		now, err := sweepOf(ctx, tx, w.ID)
		if err != nil {
			return err
		}
		e := w.entry("sweep.done", "")
		for key, n := range map[string]int{"failed": now.Failed, "warned": now.Warned, "disabled": now.Disabled, "proposed": now.Proposed, "passed_over": now.PassedOver} {
			e.Detail[key] = strconv.Itoa(n)
		}
		return w.Trail.Append(ctx, tx, e)
	})
}
