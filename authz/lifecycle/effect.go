package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const (
	effectBatch = 50
	// workLasts is for how long an effect is in one gateway's hands.
	workLasts = 30 * time.Second
	// stubborn is after how many tries an effect that fails is a finding.
	stubborn = 3
	// staleAfter is how long after it was judged an ID may still be closed in the
	// directory: later, somebody decides anew.
	staleAfter = 7 * 24 * time.Hour
)

// rests are how long an effect that failed rests; the last repeats, for ever.
var rests = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// Effects brings about in the directory what was intended and is due.
func (b *Book) Effects(ctx context.Context) error {
	streak := 0
	for ctx.Err() == nil {
		due, err := store.All(ctx, b.DB, "what the directory is to be brought to", scanRow, `
			SELECT `+rowColumns+` FROM dormancy WHERE effect <> '' AND effect_due <= $1 ORDER BY effect_due, person_id LIMIT $2`, store.Micros(b.Now()), effectBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, r := range due {
			if err := b.bring(ctx, r); err != nil {
				// Where the directory is away, two time-outs are enough.
				if streak++; streak >= 2 || ctx.Err() != nil {
					return err
				}
				continue
			}
			streak = 0
		}
		if len(due) < effectBatch {
			return nil
		}
	}
	return ctx.Err()
}

// Bring brings about at once what was intended for one ID.
func (b *Book) Bring(ctx context.Context, id directory.PersonID) error {
	r, err := rowOf(ctx, b.DB, id)
	if err != nil || r.effect == "" {
		return err
	}
	return b.bring(ctx, r)
}

// bring does and confirms one effect. A row that changed meanwhile has what it wants
// now brought about once more: our own word may have come after the other's.
func (b *Book) bring(ctx context.Context, r row) error {
	r.effectDue, r.tries = b.Now().Add(workLasts), r.tries+1
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return put(ctx, tx, r) })
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway has it
	}
	if err != nil {
		return err
	}
	r.version++
	if err := b.at("effect"); err != nil {
		return err
	}
	working, cancel := context.WithTimeout(ctx, workLasts)
	defer cancel()
	problem := b.apply(working, r)
	// That an ID is opened again is what somebody decided last: nothing overrules it, and
	// it is tried for as long as it takes.
	over := settled(problem) && r.effect != toEnable
	if err := b.at("applied"); err != nil {
		return err
	}
	if b.Forget != nil {
		b.Forget.Forget(r.person)
	}
	err = b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		now, err := rowOf(ctx, tx, r.person)
		if err != nil {
			return err
		}
		if now.version != r.version {
			if now.effect == "" {
				switch now.stage {
				case rowOpen:
					now = now.intend(toEnable, b.Now())
				case rowDisabled:
					now = now.intend(toDisable, b.Now())
				}
			}
			return put(ctx, tx, now)
		}
		if over {
			// What was decided of an unused ID does not hold for one that is used. Here it
			// stays closed until somebody decides.
			now.stage, now.matter, now.effect, now.effectDue = rowDisabled, "", "", time.Time{}
			now.keptUntil = b.Now().AddDate(0, 0, b.Policy().Dormancy.ReviewDays)
			if _, err := tx.Exec(ctx, `DELETE FROM tombstone WHERE person_id = $1`, string(now.person)); err != nil {
				return err
			}
			now.effectError = store.Brief(problem)
			if err := put(ctx, tx, now); err != nil {
				return err
			}
			if errors.Is(problem, errKept) {
				return b.Trail.Append(ctx, tx, audit.Entry{
					Actor: system, Action: "dormancy.kept", Object: object(now.login, now.person), Outcome: audit.OK, Reason: now.effectError, Articles: articles,
				})
			}
			return b.failed(ctx, tx, now)
		}
		if problem != nil {
			now.effectDue = b.Now().Add(rests[min(int(now.tries)-1, len(rests)-1)])
			now.effectError = store.Brief(problem)
			if now.tries == stubborn {
				if err := b.failed(ctx, tx, now); err != nil {
					return err
				}
			}
			return put(ctx, tx, now)
		}
		return b.confirmed(ctx, tx, now)
	})
	if over {
		problem = nil // it will not come right by trying
	}
	return errors.Join(problem, err)
}

var (
	// errUsed: an ID that is to be closed or deleted is in use.
	errUsed = errors.New("it has been used, or opened, since this was decided")
	// errKept: an ID whose deletion was decided is not to be deleted any more.
	errKept = errors.New("it is not to be deleted any more")
	// errStale: the directory could not be brought to it for days.
	errStale = errors.New("this was decided too long ago to be done unseen")
)

// settled reports whether a problem ends what was intended: a person decides.
func settled(problem error) bool {
	return errors.Is(problem, errUsed) || errors.Is(problem, errStale) || errors.Is(problem, errKept) || errors.Is(problem, directory.ErrProtected)
}

// anew judges an ID once more, right before it is deleted: of what was decided, used,
// on leave, exempt or held for another reason since, nothing is deleted.
func (b *Book) anew(ctx context.Context, p directory.Person, r row) error {
	if !p.Account.Disabled || p.Account.LastUsedAt.After(r.disabledAt) {
		return errUsed
	}
	k, err := b.knows(ctx, b.DB, []directory.Person{p})
	if err != nil {
		return err
	}
	switch e, j := b.judge(b.Policy(), p, k[p.ID], b.Now()); {
	case e.Hold != "":
		return fmt.Errorf("%w: %s", errKept, e.Hold)
	case j.LastUse.After(r.disabledAt):
		return errUsed
	case j.Stage != Deleted:
		return fmt.Errorf("%w: unused for %d days", errKept, j.Unused)
	}
	return nil
}

// apply does it, and reads back that it is so.
func (b *Book) apply(ctx context.Context, r row) error {
	p, err := b.Directory.ByID(ctx, r.person)
	if errors.Is(err, directory.ErrNotFound) {
		return nil // there is nothing left to bring anywhere
	}
	if err != nil {
		return err
	}
	switch {
	case r.effect == toEnable && !p.Account.Disabled:
		return nil
	case p.Protected:
		return directory.ErrProtected // became so since it was judged
	}
	switch r.effect {
	case toDisable:
		if p.Account.Disabled {
			return nil
		}
		switch {
		case p.Account.LastUsedAt.After(r.disabledAt):
			return errUsed
		case b.Now().Sub(r.effectSince) > staleAfter:
			return errStale
		}
		err = b.Directory.Disable(ctx, p)
	case toEnable:
		err = b.Directory.Enable(ctx, p)
	case toDelete:
		if err := b.anew(ctx, p, r); err != nil {
			return err
		}
		err = b.Directory.Delete(ctx, p)
	}
	if err != nil {
		return err
	}
	p, err = b.Directory.ByID(ctx, r.person)
	switch gone := errors.Is(err, directory.ErrNotFound); {
	case gone, err == nil && r.effect != toDelete && p.Account.Disabled == (r.effect == toDisable):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("the directory took the change (%s) and does not show it", r.effect)
}

// confirmed writes down that the directory is as it was to be.
func (b *Book) confirmed(ctx context.Context, tx *store.Tx, r row) error {
	did := r.effect
	r.effect, r.effectDue, r.effectError = "", time.Time{}, ""
	switch did {
	case toDisable:
		r.ours = true
	case toEnable:
		r.ours = false
	case toDelete:
		r.stage, r.deletedAt = rowDeleted, b.Now()
	}
	if err := put(ctx, tx, r); err != nil {
		return err
	}
	if err := b.closeFinding(ctx, tx, NotClosed, string(r.person)); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, audit.Entry{
		Actor: system, Action: "dormancy.confirmed", Object: object(r.login, r.person), Outcome: audit.OK, Reason: did, Articles: articles,
	})
}

// failed tells that the directory does not do what was intended.
func (b *Book) failed(ctx context.Context, tx *store.Tx, r row) error {
	if err := b.found(ctx, tx, Finding{Kind: NotClosed, Subject: string(r.person), Login: r.login, Section: r.section, Detail: strings.TrimPrefix(r.effect+": "+r.effectError, ": ")}); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, audit.Entry{
		Actor: system, Action: "dormancy.unconfirmed", Object: object(r.login, r.person), Outcome: audit.Failed, Reason: r.effectError, Articles: articles,
		Detail: map[string]string{"effect": r.effect},
	})
}
