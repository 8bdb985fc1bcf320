package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

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

// forget removes what a sweep has stored.
func (b *Book) forget(ctx context.Context, tx *store.Tx, sweep string) error {
	for _, q := range []string{`DELETE FROM sweep_entry WHERE sweep = $1`, `DELETE FROM sweep_count WHERE sweep = $1`} {
		if _, err := tx.Exec(ctx, q, sweep); err != nil {
			return err
		}
	}
	return nil
}

// actBatch is how many IDs are taken up at a time.
const actBatch = 50

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
		if err := w.found(ctx, tx, Finding{Kind: NotDealt, Subject: string(e.Person), Login: e.Login, Section: e.Section, Detail: store.Brief(why)}); err != nil {
			return err
		}
		entry := w.about("dormancy.failed", e)
		entry.Outcome, entry.Reason = audit.Failed, store.Brief(why)
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
