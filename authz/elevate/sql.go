package elevate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy/store"
)

const columns = `lease, place, thing, kind, target, groups, person_id, login, name, account, account_id, account_dn,
	state, version, doubt, intended_at, decide_by, not_after, told_until, applied_at, withdrawn_at, closed_at`

// effects reads those that a condition of ours picks.
func effects(ctx context.Context, in store.Reader, where string, args ...any) ([]effect, error) {
	rows, err := in.Query(ctx, `SELECT `+columns+` FROM elevation_effect WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []effect
	for rows.Next() {
		var (
			e                                                                 effect
			groups, person, accountID, st                                     string
			doubt                                                             int64
			intendedAt, decideBy, notAfter, told, appliedAt, withdrawn, ended int64
		)
		if err := rows.Scan(&e.lease, &e.place, &e.thing, &e.kind, &e.target, &groups, &person, &e.login, &e.name, &e.account, &accountID, &e.accountDN,
			&st, &e.version, &doubt, &intendedAt, &decideBy, &notAfter, &told, &appliedAt, &withdrawn, &ended); err != nil {
			return nil, err
		}
		if e.groups, err = decodeGroups(groups); err != nil {
			return nil, err
		}
		e.person, e.accountID, e.state, e.doubt = directory.PersonID(person), directory.PersonID(accountID), state(st), doubt != 0
		for at, into := range map[*int64]*time.Time{
			&intendedAt: &e.intendedAt, &decideBy: &e.decideBy, &notAfter: &e.notAfter, &told: &e.toldUntil,
			&appliedAt: &e.appliedAt, &withdrawn: &e.withdrawnAt, &ended: &e.closedAt,
		} {
			*into = store.FromMicros(*at)
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

func ofLease(ctx context.Context, in store.Reader, lease string) ([]effect, error) {
	return effects(ctx, in, `lease = $1 ORDER BY place`, lease)
}

// ofThing reads the effects about one thing, those that are closed last: what was
// undone is looked at again by them.
func ofThing(ctx context.Context, in store.Reader, thing string) ([]effect, error) {
	return effects(ctx, in, `thing = $1 ORDER BY closed_at = 0 DESC, closed_at DESC, lease LIMIT 64`, thing)
}

// intend stores an effect, or has one that was turned round intended again. An ID
// that was being made keeps its name: it is looked for under it.
func intend(ctx context.Context, tx *store.Tx, e effect) error {
	if e.kind == "account" {
		var others int
		err := tx.QueryRow(ctx, `
			SELECT COUNT(*) FROM elevation_effect WHERE thing = $1 AND lease <> $2 AND state <> 'closed'`, e.thing, e.lease).Scan(&others)
		if err != nil {
			return err
		}
		if others > 0 {
			return ErrTaken
		}
	}
	err := tx.ExecOne(ctx, `
		INSERT INTO elevation_effect
			(lease, place, thing, kind, target, groups, person_id, login, name, account, state, intended_at, decide_by, not_after)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'intended', $11, $12, $13)
		ON CONFLICT (lease, place) DO UPDATE
		SET    state = 'intended', version = elevation_effect.version + 1, intended_at = excluded.intended_at,
		       decide_by = excluded.decide_by, not_after = excluded.not_after, told_until = 0, applied_at = 0, withdrawn_at = 0,
		       closed_at = 0, alarmed_at = 0, why = ''
		WHERE  elevation_effect.thing = excluded.thing AND elevation_effect.state IN ('withdrawn', 'closed')`,
		e.lease, e.place, e.thing, e.kind, e.target, encodeGroups(e.groups), string(e.person), e.login, e.name, e.account,
		store.Micros(e.intendedAt), store.Micros(e.decideBy), store.Micros(e.notAfter))
	if errors.Is(err, store.ErrUntouched) {
		return fmt.Errorf("%w: they are intended already", ErrTurned)
	}
	if err != nil {
		return err
	}
	return stir(ctx, tx, e.thing, e.decideBy.Add(decideGrace))
}

// stir says that what is wanted of a thing has changed, and when somebody has to
// look at the latest.
func stir(ctx context.Context, tx *store.Tx, thing string, due time.Time) error {
	at := store.Micros(due)
	return tx.ExecOne(ctx, `
		INSERT INTO elevation_thing (thing, due_at) VALUES ($1, $2)
		ON CONFLICT (thing) DO UPDATE
		SET    version = elevation_thing.version + 1,
		       due_at = CASE WHEN elevation_thing.due_at = 0 OR elevation_thing.due_at > $2 THEN $2 ELSE elevation_thing.due_at END`, thing, at)
}

func keep(ctx context.Context, tx *store.Tx, e effect, until, due time.Time) error {
	if err := tx.ExecOne(ctx, `
		UPDATE elevation_effect SET state = 'kept', not_after = $1, version = version + 1
		WHERE  lease = $2 AND place = $3 AND version = $4`, store.Micros(until), e.lease, e.place, e.version); err != nil {
		return err
	}
	return stir(ctx, tx, e.thing, due)
}

func takeBack(ctx context.Context, tx *store.Tx, e effect, why string, now time.Time) error {
	if err := tx.ExecOne(ctx, `
		UPDATE elevation_effect SET state = 'withdrawn', withdrawn_at = $1, why = $2, version = version + 1
		WHERE  lease = $3 AND place = $4 AND version = $5`, store.Micros(now), why, e.lease, e.place, e.version); err != nil {
		return err
	}
	return stir(ctx, tx, e.thing, now)
}

func shut(ctx context.Context, tx *store.Tx, e effect, why string, now time.Time) error {
	return tx.ExecOne(ctx, `
		UPDATE elevation_effect
		SET    state = 'closed', closed_at = $1, version = version + 1, doubt = 0,
		       why = CASE WHEN why = '' THEN $2 ELSE why END
		WHERE  lease = $3 AND place = $4 AND version = $5 AND state <> 'closed'`,
		store.Micros(now), why, e.lease, e.place, e.version)
}

// A hold is a thing that this gateway works at.
type hold struct {
	thing          string
	fence, version int64
	checks         int64
	tries          int64
	mend           bool // a hand that came too late may have undone what is wanted
	effects        []effect
	now            time.Time
}

// lateHand is stored with a thing that somebody worked at whose claim had run out.
const lateHand = "a claim ran out"

var errHeld = errors.New("somebody else works at it")

// claim takes a thing for a while, and reads what is about it. Where the caller
// applies a lease, the effect is marked as begun: from then on nobody knows
// whether the directory has it.
func (b *Book) claim(ctx context.Context, thing, applying string) (hold, error) {
	var h hold
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		h = hold{thing: thing, now: b.Now()}
		err := tx.ExecOne(ctx, `
			UPDATE elevation_thing SET fence = fence + 1, claimed_until = $1
			WHERE  thing = $2 AND (claimed_until <= $3 OR claimed_until > $4)`,
			store.Micros(h.now.Add(claimLasts)), thing, store.Micros(h.now), store.Micros(h.now.Add(2*claimLasts)))
		if errors.Is(err, store.ErrUntouched) {
			return errHeld
		}
		if err != nil {
			return err
		}
		var problem string
		err = tx.QueryRow(ctx, `SELECT fence, version, checks, tries, error FROM elevation_thing WHERE thing = $1`, thing).Scan(&h.fence, &h.version, &h.checks, &h.tries, &problem)
		if err != nil {
			return err
		}
		h.mend = problem == lateHand
		if h.effects, err = ofThing(ctx, tx, thing); err != nil || applying == "" {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE elevation_effect SET doubt = 1 WHERE thing = $1 AND lease = $2`, thing, applying)
		return err
	})
	return h, err
}

// release ends a claim, in the transaction in which its outcome is stored. next
// is when the thing is to be looked at, unless what is wanted has changed. stale
// reports that the claim had run out and was another's: then the thing is to be
// looked at at once, and nothing that the caller has seen counts.
func release(ctx context.Context, tx *store.Tx, h hold, next time.Time, tries, checks int64, problem string, now time.Time) (stale bool, err error) {
	err = tx.ExecOne(ctx, `
		UPDATE elevation_thing
		SET    claimed_until = 0, tries = $1, checks = $2, error = $3,
		       due_at = CASE WHEN version = $4 THEN $5 WHEN due_at = 0 OR due_at > $6 THEN $6 ELSE due_at END
		WHERE  thing = $7 AND fence = $8`,
		tries, checks, problem, h.version, store.Micros(next), store.Micros(now), h.thing, h.fence)
	if !errors.Is(err, store.ErrUntouched) {
		return false, err
	}
	return true, tx.ExecOne(ctx, `
		UPDATE elevation_thing SET due_at = $1, version = version + 1, error = $2 WHERE thing = $3`, store.Micros(now), lateHand, h.thing)
}

// dueThings are those to be looked at, the longest waiting first.
func dueThings(ctx context.Context, in store.Reader, now time.Time, most int) ([]string, error) {
	return store.All(ctx, in, "what is due", func(row store.Row) (thing string, err error) { err = row.Scan(&thing); return thing, err }, `
		SELECT thing FROM elevation_thing
		WHERE  due_at <> 0 AND due_at <= $1 AND (claimed_until <= $1 OR claimed_until > $2)
		ORDER  BY due_at LIMIT $3`, store.Micros(now), store.Micros(now.Add(2*claimLasts)), most)
}

// A Waiting is what is to be undone and is not yet.
type Waiting struct {
	Count  int
	Oldest time.Time // since when the oldest should have been gone; zero: there is none
}

// Waiting counts them, in all gateways.
func (b *Book) Waiting(ctx context.Context) (Waiting, error) {
	var (
		w      Waiting
		oldest sql.NullInt64
	)
	now := store.Micros(b.Now())
	err := b.DB.QueryRow(ctx, `
		SELECT COUNT(*), MIN(CASE WHEN state = 'withdrawn' THEN withdrawn_at WHEN state = 'kept' THEN not_after ELSE decide_by END)
		FROM   elevation_effect
		WHERE  state = 'withdrawn' OR state = 'kept' AND not_after <= $1 OR state IN ('intended', 'applied') AND decide_by <= $1`, now).Scan(&w.Count, &oldest)
	if err != nil {
		return w, fmt.Errorf("counting what is to be undone: %w", err)
	}
	if oldest.Valid && w.Count > 0 {
		w.Oldest = store.FromMicros(oldest.Int64)
	}
	return w, nil
}
