package elevate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Finding is where the directory and the leases do not agree. It is open as
// long as they do not.
type Finding struct {
	ID        string
	Kind      FindingKind
	Place     string // DN of the group, or of the ID
	Subject   string // DN of the member, or of the ID
	Login     string // of the subject, where it has one
	Privilege string // the id of one whose lease would have accounted for it
	FoundAt   time.Time
	SeenAt    time.Time
	RemovedAt time.Time // when we took it away; zero: we have not
	Hindrance string    // why we have not, though it was to be
	ClosedAt  time.Time // zero: it is still so
	ClosedBy  Closer
	Taken     Taken // who looks into it

	mute bool // entered and not told
}

// Taken is that somebody looks into a finding. It closes nothing.
type Taken struct {
	At   time.Time // zero: nobody does
	By   Who
	Note string
}

// FindingKind is what was found.
type FindingKind string

// The kinds.
const (
	Membership FindingKind = "membership" // in a group that is lent, without a lease
	Enabled    FindingKind = "enabled"    // a named ID that is open, without a lease
	Leftover   FindingKind = "leftover"   // an ID that was made for a lease which is over
	Missing    FindingKind = "missing"    // a lease lives, and somebody took away what it gives
	Undo       FindingKind = "undo"       // a lease is over, and what it gave cannot be taken back
)

// Closer is what closed a finding.
type Closer string

// The closers.
const (
	ClosedBySekisho   Closer = "sekisho"   // we took it away, or brought it about
	ClosedByLease     Closer = "lease"     // a lease accounts for it now, or for nothing any more
	ClosedByDirectory Closer = "directory" // it is gone, and it was not us
)

const findingColumns = `id, kind, place, subject, login, privilege, found_at, seen_at, removed_at, hindrance, closed_at, closed_by, taken_at, taken_by, taken_note`

func findings(ctx context.Context, in store.Reader, where string, args ...any) ([]Finding, error) {
	rows, err := in.Query(ctx, `SELECT `+findingColumns+` FROM elevation_finding WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading findings: %w", err)
	}
	defer rows.Close()
	var all []Finding
	for rows.Next() {
		var (
			f                            Finding
			kind, by, taker              string
			found, seen, removed, closed int64
			taken                        int64
		)
		if err := rows.Scan(&f.ID, &kind, &f.Place, &f.Subject, &f.Login, &f.Privilege, &found, &seen, &removed, &f.Hindrance, &closed, &by, &taken, &taker, &f.Taken.Note); err != nil {
			return nil, fmt.Errorf("reading findings: %w", err)
		}
		f.Kind, f.ClosedBy, f.FoundAt, f.SeenAt = FindingKind(kind), Closer(by), store.FromMicros(found), store.FromMicros(seen)
		f.RemovedAt, f.ClosedAt, f.Taken.At = store.FromMicros(removed), store.FromMicros(closed), store.FromMicros(taken)
		if taken != 0 {
			if err := json.Unmarshal([]byte(taker), &f.Taken.By); err != nil {
				return nil, fmt.Errorf("reading findings: %w", err)
			}
		}
		all = append(all, f)
	}
	return all, rows.Err()
}

// Findings are the open ones, the newest first, and then the last ones that were
// closed, at most so many.
func (b *Book) Findings(ctx context.Context, most int) ([]Finding, error) {
	return findings(ctx, b.DB, `1 = 1 ORDER BY closed_at <> 0, closed_at DESC, found_at DESC, id LIMIT $1`, most)
}

// OpenFindings counts those that are open, and of them those that nobody has taken up.
func (b *Book) OpenFindings(ctx context.Context) (open, untaken int, err error) {
	err = b.DB.QueryRow(ctx, `
		SELECT COUNT(*), COUNT(CASE WHEN taken_at = 0 THEN 1 END) FROM elevation_finding WHERE closed_at = 0`).Scan(&open, &untaken)
	if err != nil {
		return 0, 0, fmt.Errorf("counting findings: %w", err)
	}
	return open, untaken, nil
}

// found stores that something was found, or that it is still so. What is new is
// entered on the trail and told, in the same transaction.
func (b *Book) found(ctx context.Context, tx *store.Tx, f Finding) error {
	now := b.Now()
	var id string
	err := tx.QueryRow(ctx, `
		SELECT id FROM elevation_finding WHERE kind = $1 AND place = $2 AND subject = $3 AND closed_at = 0`,
		string(f.Kind), f.Place, f.Subject).Scan(&id)
	if err == nil {
		return tx.ExecOne(ctx, `
			UPDATE elevation_finding
			SET    seen_at = $1, hindrance = $2, removed_at = CASE WHEN removed_at = 0 THEN $3 ELSE removed_at END
			WHERE  id = $4`, store.Micros(now), f.Hindrance, store.Micros(f.RemovedAt), id)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	f.ID, f.FoundAt, f.SeenAt = secret.Token(12), now, now
	if err := tx.ExecOne(ctx, `
		INSERT INTO elevation_finding (id, kind, place, subject, login, privilege, found_at, seen_at, removed_at, hindrance)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)`,
		f.ID, string(f.Kind), f.Place, f.Subject, f.Login, f.Privilege, store.Micros(now), store.Micros(f.RemovedAt), f.Hindrance); err != nil {
		return err
	}
	outcome := audit.Refused
	if f.Kind == Undo {
		outcome = audit.Failed
	}
	if err := b.Trail.Append(ctx, tx, audit.Entry{
		Actor: "system", Action: "elevation.found", Object: f.Subject, Outcome: outcome, Reason: string(f.Kind), Articles: articles,
		Detail: map[string]string{"place": f.Place, "privilege": f.Privilege, "login": f.Login, "removed": fmt.Sprint(!f.RemovedAt.IsZero()), "hindrance": f.Hindrance},
	}); err != nil {
		return err
	}
	if b.Tell != nil && !f.mute {
		return b.Tell(ctx, tx, f)
	}
	return nil
}

// ErrNoFinding says that there is no such finding, or that it is closed.
var ErrNoFinding = errors.New("no such open finding")

// TakeUp writes down who looks into a finding, with the entry on the trail that e
// begins. Whoever takes it up after them replaces them. The finding stays open as
// long as what was found is so: nobody closes it by hand, for then it would come back
// a minute later, or be missed.
func (b *Book) TakeUp(ctx context.Context, id string, by Who, note string, e audit.Entry) error {
	text, err := json.Marshal(by)
	if err != nil {
		return fmt.Errorf("taking up a finding: %w", err)
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		err := tx.ExecOne(ctx, `
			UPDATE elevation_finding SET taken_at = $1, taken_by = $2, taken_note = $3
			WHERE  id = $4 AND closed_at = 0`, store.Micros(b.Now()), string(text), note, id)
		if errors.Is(err, store.ErrUntouched) {
			return ErrNoFinding
		}
		if err != nil {
			return err
		}
		found, err := findings(ctx, tx, `id = $1`, id)
		if err != nil || len(found) != 1 {
			return errors.Join(err, ErrNoFinding)
		}
		f := found[0]
		entry := e
		entry.Actor, entry.Action, entry.Object, entry.Outcome, entry.Reason, entry.Articles = by.Login, "elevation.finding_taken_up", f.Subject, audit.OK, note, articles
		entry.Detail = map[string]string{"kind": string(f.Kind), "place": f.Place, "privilege": f.Privilege, "login": f.Login}
		return b.Trail.Append(ctx, tx, entry)
	})
	if err != nil {
		return fmt.Errorf("taking up a finding: %w", err)
	}
	return nil
}

// over closes a finding.
func (b *Book) over(ctx context.Context, tx *store.Tx, f Finding, by Closer) error {
	err := tx.ExecOne(ctx, `
		UPDATE elevation_finding SET closed_at = $1, closed_by = $2 WHERE id = $3 AND closed_at = 0`, store.Micros(b.Now()), string(by), f.ID)
	if errors.Is(err, store.ErrUntouched) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, audit.Entry{
		Actor: "system", Action: "elevation.finding_closed", Object: f.Subject, Reason: string(by), Articles: articles,
		Detail: map[string]string{"kind": string(f.Kind), "place": f.Place, "privilege": f.Privilege, "login": f.Login},
	})
}

// Since are the findings that are open, or were found or closed at a time or after it;
// the open ones first, at most so many. It reads rows alone, so that it serves a
// terminal too.
func Since(ctx context.Context, in store.Reader, from time.Time, most int) ([]Finding, error) {
	return findings(ctx, in, `closed_at = 0 OR found_at >= $1 OR closed_at >= $1 ORDER BY closed_at <> 0, closed_at DESC, found_at DESC, id LIMIT $2`, store.Micros(from), most)
}
