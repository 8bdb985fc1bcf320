package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const (
	effectBatch = 50
	// workLasts is for how long an end is in one gateway's hands.
	workLasts = 30 * time.Second
	// stubborn is after how many tries a person is told that the directory does not take
	// an end.
	stubborn = 3
)

// rests are how long it rests that an end could not be written; the last repeats, for ever.
var rests = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// An end is when somebody's account ends in the directory, as far as projects have to do
// with it: own is what stood there before, aim what was to be written, wrote what stood
// there when it was read back. Zero: none.
type end struct {
	who             directory.PersonID
	login           string
	own, aim, wrote time.Time
	due             time.Time
	tries           int
	version         int64
}

const endColumns = `person_id, login, own_at, aim_at, wrote_at, due_at, tries, version`

func scanEnd(r store.Row) (e end, err error) {
	var own, aim, wrote, due int64
	err = r.Scan(&e.who, &e.login, &own, &aim, &wrote, &due, &e.tries, &e.version)
	e.own, e.aim, e.wrote, e.due = store.FromMicros(own), store.FromMicros(aim), store.FromMicros(wrote), store.FromMicros(due)
	return e, err
}

// aimed is what is to stand in the directory, given what stands there: the earlier of the
// account's own end and the last of its projects'. Where nobody but we have changed what
// stands there, the own end is what it was before us; what anybody else wrote is.
func (e end) aimed(now time.Time, stands time.Time, all []bound) (next end, write bool) {
	next = e
	ours := !e.wrote.IsZero() && stands.Equal(e.wrote) || kept(stands, e.aim)
	if !ours {
		next.own = stands
	}
	var last time.Time
	for _, b := range all {
		// Also of one that is completed: who closes the ID may hold it, give it up where it
		// is used meanwhile, or open it again, and the directory is asked without us.
		if ended := b.project.ended(); ended.After(last) {
			last = ended
		}
	}
	switch {
	case last.IsZero() || !next.own.IsZero() && next.own.Before(last):
		next.aim = next.own
	default:
		next.aim = last
	}
	return next, !stands.Equal(next.aim) && !kept(stands, next.aim)
}

// kept reports whether an end that stands in the directory is one that was written there:
// some directories keep days alone, and then a little before.
func kept(stands, written time.Time) bool {
	if written.IsZero() || stands.IsZero() {
		return false
	}
	return !stands.After(written) && written.Sub(stands) < 24*time.Hour
}

// Effects brings the directory to the ends that are due.
func (b *Book) Effects(ctx context.Context) error {
	streak := 0
	var problems []error
	for ctx.Err() == nil {
		due, err := store.All(ctx, b.DB, "ends of accounts that are to be written", scanEnd,
			`SELECT `+endColumns+` FROM project_end WHERE due_at > 0 AND due_at <= $1 ORDER BY due_at, person_id LIMIT $2`, store.Micros(b.Now()), effectBatch)
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
		for _, e := range due {
			err := b.bring(ctx, e)
			if errors.Is(err, errCrash) {
				return err
			}
			if err != nil {
				problems = append(problems, fmt.Errorf("bringing the directory to the end of %s: %w", e.login, err))
				// Where the directory is away, two time-outs are enough.
				if streak++; streak >= 2 || ctx.Err() != nil {
					return errors.Join(problems...)
				}
				continue
			}
			streak = 0
		}
		if len(due) < effectBatch {
			return errors.Join(problems...)
		}
	}
	return ctx.Err()
}

// bring does and confirms one end. A row that changed meanwhile is left to whoever changed
// it: it is due again.
func (b *Book) bring(ctx context.Context, e end) error {
	e, err := b.retake(ctx, e, b.Now().Add(workLasts))
	if isUntouched(err) {
		return nil // another gateway has it
	}
	if err != nil {
		return err
	}
	working, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	e, did, problem := b.apply(working, e)
	if isUntouched(problem) {
		return nil
	}
	if errors.Is(problem, errCrash) {
		return problem
	}
	if b.Forget != nil && did {
		b.Forget.Forget(e.who)
	}
	return errors.Join(problem, b.confirm(context.WithoutCancel(ctx), e, did, problem))
}

// retake has an end be in this gateway's hands until a time, with what is intended.
func (b *Book) retake(ctx context.Context, e end, until time.Time) (end, error) {
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		return tx.ExecOne(ctx, `UPDATE project_end SET own_at = $1, aim_at = $2, due_at = $3, version = version + 1 WHERE person_id = $4 AND version = $5`,
			store.Micros(e.own), store.Micros(e.aim), store.Micros(until), string(e.who), e.version)
	})
	if err == nil {
		e.version++
	}
	return e, err
}

// apply does it, and reads back that it is so. What is intended is written down before,
// with the account's own end: who dies in between has not taken the one for the other.
func (b *Book) apply(ctx context.Context, e end) (end, bool, error) {
	p, err := b.Directory.ByID(ctx, e.who)
	if errors.Is(err, directory.ErrNotFound) {
		return e, false, nil // there is nothing left to bring anywhere
	}
	if err != nil {
		return e, false, err
	}
	all, err := bindings(ctx, b.DB, e.who)
	if err != nil {
		return e, false, err
	}
	next, write := e.aimed(b.Now(), p.Account.ExpiresAt, all)
	if !write {
		next.wrote = p.Account.ExpiresAt
		return next, false, nil
	}
	if p.Protected {
		return e, false, directory.ErrProtected
	}
	if next, err = b.retake(ctx, next, b.Now().Add(workLasts)); err != nil {
		return e, false, err
	}
	if err := b.at(PointEnd); err != nil {
		return next, false, err
	}
	if err := b.Directory.Amend(ctx, p, directory.Amendment{ExpiresAt: &next.aim}); err != nil {
		return next, false, err
	}
	if err := b.at(PointEndWritten); err != nil {
		return next, true, err
	}
	if p, err = b.Directory.ByID(ctx, e.who); err != nil {
		return next, true, err
	}
	if next.wrote = p.Account.ExpiresAt; !next.wrote.Equal(next.aim) && !kept(next.wrote, next.aim) {
		return next, true, errors.New("the directory says that the account ends at another time than was written")
	}
	return next, true, nil
}

// confirm writes down what came of it.
func (b *Book) confirm(ctx context.Context, e end, did bool, problem error) error {
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		now := b.Now()
		due, tries, word := time.Time{}, 0, ""
		if problem != nil {
			tries, word = e.tries+1, store.Brief(problem)
			due = now.Add(rests[min(tries-1, len(rests)-1)])
		}
		err := tx.ExecOne(ctx, `UPDATE project_end SET own_at = $1, aim_at = $2, wrote_at = $3, due_at = $4, tries = $5, error = $6, version = version + 1 WHERE person_id = $7 AND version = $8`,
			store.Micros(e.own), store.Micros(e.aim), store.Micros(e.wrote), store.Micros(due), tries, word, string(e.who), e.version)
		if err != nil {
			return err
		}
		if did {
			if err := standing.Changed(ctx, tx, e.who, now); err != nil {
				return err
			}
		}
		entry := audit.Entry{Actor: system, Object: object(e.login, e.who), Outcome: audit.OK, Articles: articles, Detail: map[string]string{"until": "none"}}
		if !e.wrote.IsZero() {
			entry.Detail["until"] = e.wrote.UTC().Format(time.RFC3339)
		}
		switch {
		case problem != nil && tries == stubborn:
			entry.Action, entry.Outcome, entry.Reason = "project.end_failed", audit.Failed, word
			b.Log.ErrorContext(ctx, "the directory does not take the end of an ID's projects; it is tried again, and the ID is refused here all the same", "error", problem)
		case problem == nil && did:
			entry.Action = "project.end_set"
		default:
			return nil
		}
		return b.Trail.Append(ctx, tx, entry)
	})
	if isUntouched(err) {
		return nil // it was changed meanwhile, and is due again
	}
	if err != nil {
		return fmt.Errorf("confirming the end of an account: %w", err)
	}
	return nil
}
