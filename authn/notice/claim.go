package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Due is one copy of a notice, claimed by whoever is to send it.
type Due struct {
	Notice
	ID      string // of the notice; the same for all its copies
	Address string // empty: the one that the directory holds
	Tries   int    // before this one

	claim    string
	refusals int
}

// An Outcome is how a copy ended. The zero value is none.
type Outcome string

// The outcomes, as they are stored and counted.
const (
	Sent        Outcome = "sent"
	Undelivered Outcome = "undelivered" // tried for Patience
	Refused     Outcome = "refused"     // the server will not take it, and was asked again
	Unaddressed Outcome = "unaddressed" // the directory has no address, or nobody, any more
	Withheld    Outcome = "withheld"    // the zone has stopped sending mail
)

// farthest is how far ahead a time in the store may lie before it counts as
// written under a wrong clock: twice the longest wait, because another gateway's
// clock may run a little ahead of ours.
const farthest = 2 * longestWait

// Claim takes up to n copies that are due, oldest first, for the length of
// lease. Of several gateways each copy goes to one; when that one dies, the copy
// is due again after its lease.
//
// A time that lies too far ahead counts as past, so that no notice waits for a
// wrong clock to be right.
func (q *Queue) Claim(ctx context.Context, n int, lease time.Duration) ([]Due, error) {
	claim := secret.Token(12)
	var taken []Due
	err := q.db.WithTx(ctx, func(tx *store.Tx) error {
		taken = nil
		now := q.now() // not before: waiting for the turn is no part of the lease
		at, ends, wrong := store.Micros(now), store.Micros(now.Add(lease)), store.Micros(now.Add(farthest))
		due, err := readDue(ctx, tx, at, wrong, n)
		if err != nil {
			return err
		}
		for _, d := range due {
			err := tx.ExecOne(ctx, `
				UPDATE notice_copy
				SET    claim = $1, claimed_until = $2
				WHERE  notice_id = $3 AND address = $4 AND state = 'waiting'
				       AND (claimed_until <= $5 OR claimed_until > $6)`,
				claim, ends, d.ID, d.Address, at, wrong)
			if errors.Is(err, store.ErrUntouched) {
				continue // another gateway was first
			}
			if err != nil {
				return err
			}
			d.claim = claim
			taken = append(taken, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claiming notices: %w", err)
	}
	return taken, nil
}

// readDue reads up to n copies that may be claimed.
func readDue(ctx context.Context, tx *store.Tx, now, wrong int64, n int) ([]Due, error) {
	rows, err := tx.Query(ctx, `
		SELECT n.id, n.person_id, n.kind, n.zone, n.at, n.detail, c.address, c.tries, c.refusals
		FROM   notice_copy c JOIN notice n ON n.id = c.notice_id
		WHERE  c.state = 'waiting'
		       AND (c.due_at <= $1 OR c.due_at > $2)
		       AND (c.claimed_until <= $1 OR c.claimed_until > $2)
		ORDER  BY c.due_at, n.at, n.id, c.address
		LIMIT  $3`, now, wrong, n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var due []Due
	for rows.Next() {
		var (
			d                  Due
			person, kind, zone string
			happened           int64
			detail             []byte
		)
		if err := rows.Scan(&d.ID, &person, &kind, &zone, &happened, &detail, &d.Address, &d.Tries, &d.refusals); err != nil {
			return nil, err
		}
		if json.Unmarshal(detail, &d.Detail) != nil {
			d.Detail = nil // a damaged row tells less; it must not hold up everybody's
		}
		d.Person, d.Kind, d.Zone, d.At = directory.PersonID(person), Kind(kind), policy.ZoneID(zone), store.FromMicros(happened)
		d.Detail = kept(details[d.Kind], d.Detail)
		due = append(due, d)
	}
	return due, rows.Err()
}

// Done says that a copy was sent. It holds whoever has claimed the copy
// meanwhile: what is sent is sent.
func (q *Queue) Done(ctx context.Context, d Due) error {
	return q.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := q.End(ctx, tx, d, Sent)
		return err
	})
}

// End ends a copy in the caller's transaction, and reports whether it had not
// ended before.
func (q *Queue) End(ctx context.Context, tx *store.Tx, d Due, how Outcome) (bool, error) {
	err := tx.ExecOne(ctx, `
		UPDATE notice_copy
		SET    state = $1, tries = $2, refusals = $3, ended_at = $4
		WHERE  notice_id = $5 AND address = $6 AND state = 'waiting'`,
		string(how), d.Tries+1, d.refusals, store.Micros(q.now()), d.ID, d.Address)
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ending a notice: %w", err)
	}
	return true, nil
}

// Failed says, in the caller's transaction, that a try failed. The copy rests
// and is then due again, or is given up, and the outcome says so; the caller
// enters that on the trail. refused means that the server will never take it.
// A copy that another has claimed meanwhile is left to that one.
func (q *Queue) Failed(ctx context.Context, tx *store.Tx, d Due, refused bool) (Outcome, error) {
	how := Undelivered
	if refused {
		d.refusals++
		how = Refused
	}
	now := q.now()
	rest, again := after(d.Tries+1, d.refusals, refused, now.Sub(d.At))
	if again {
		how = ""
	}
	err := tx.ExecOne(ctx, `
		UPDATE notice_copy
		SET    tries = $1, refusals = $2, due_at = $3, claim = '', claimed_until = 0
		WHERE  notice_id = $4 AND address = $5 AND state = 'waiting' AND claim = $6`,
		d.Tries+1, d.refusals, store.Micros(now.Add(rest)), d.ID, d.Address, d.claim)
	if errors.Is(err, store.ErrUntouched) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("putting a notice back: %w", err)
	}
	if how != "" {
		_, err = q.End(ctx, tx, d, how)
	}
	return how, err
}

// Release gives back copies that were claimed and not tried.
func (q *Queue) Release(ctx context.Context, due []Due) error {
	err := q.db.WithTx(ctx, func(tx *store.Tx) error {
		for _, d := range due {
			if _, err := tx.Exec(ctx, `
				UPDATE notice_copy SET claim = '', claimed_until = 0
				WHERE  notice_id = $1 AND address = $2 AND claim = $3`, d.ID, d.Address, d.claim); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("giving notices back: %w", err)
	}
	return nil
}
