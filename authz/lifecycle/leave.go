package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Leave is 育休, 休職 and the like: its owner uses nothing meanwhile, and the count of
// unused days rests.
type Leave struct {
	Who    directory.Person
	From   time.Time // may lie ahead
	Until  time.Time // zero: until it is ended
	Reason string
	By     string // login
}

var (
	// ErrLeaveApart: somebody is on leave, and another leave would begin after it has
	// ended: it is recorded when they are back.
	ErrLeaveApart = errors.New("another leave is in force, and ends before this one begins")
	// ErrNoLeave: none is recorded.
	ErrNoLeave = errors.New("no leave is recorded")
)

// Leave records leave in the caller's transaction, whose entry on the trail is the
// caller's to write. What its owner has open ends with it; where it begins later, it
// does so then, at whichever gate lives. One that is in force and reaches to the new one
// goes on in it. The caller calls Told after the commit.
func (b *Book) Leave(ctx context.Context, tx *store.Tx, l Leave) error {
	now := b.Now()
	before, ok, err := standing.Leave(ctx, tx, l.Who.ID, now)
	if err != nil {
		return err
	}
	from, err := joined(before, ok, l.From, now)
	if err != nil {
		return err
	}
	if from.After(now) {
		if err := standing.Foretell(ctx, tx, l.Who.ID, from, l.Until, l.Reason, l.By); err != nil {
			return err
		}
	} else {
		if err := standing.Set(ctx, tx, l.Who.ID, standing.OnLeave, from, l.Until, l.Reason, l.By); err != nil {
			return err
		}
		if err := b.close(ctx, tx, l.Who.ID, l.Who.Login, l.By, "on_leave"); err != nil {
			return err
		}
	}
	detail := map[string]string{"by": l.By, "from": l.From.UTC().Format(time.RFC3339), "until": ""}
	if !l.Until.IsZero() {
		detail["until"] = l.Until.UTC().Format(time.RFC3339)
	}
	return b.tell(ctx, tx, l.Who.ID, notice.LeaveRecorded, detail)
}

// joined is when a leave begins beside the one that is recorded before it.
func joined(before standing.Record, ok bool, from, now time.Time) (time.Time, error) {
	switch {
	case !ok || before.Since.After(now): // none, or one to come, in whose place it is
		return from, nil
	case !before.Until.IsZero() && before.Until.Before(from):
		return time.Time{}, ErrLeaveApart
	}
	return earlier(before.Since, from), nil
}

// EndLeave ends leave now, or takes back one to come, in the caller's transaction, whose
// entry on the trail is the caller's to write. The days of leave until now stay without
// count. ErrNoLeave: there is none.
func (b *Book) EndLeave(ctx context.Context, tx *store.Tx, who directory.Person, by string) error {
	_, ok, err := standing.Leave(ctx, tx, who.ID, b.Now())
	if err != nil {
		return err
	}
	if !ok {
		return ErrNoLeave
	}
	if err := standing.Lift(ctx, tx, who.ID, standing.OnLeave, b.Now()); err != nil {
		return err
	}
	return b.tell(ctx, tx, who.ID, notice.LeaveEnded, map[string]string{"by": by})
}

// Told has it seen at once, after a commit, that what was lent or permitted has ended.
func (b *Book) Told(ctx context.Context) {
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of != nil {
			of.Changed(ctx)
		}
	}
}

// close ends what somebody has open, and what is lent and permitted to them.
func (b *Book) close(ctx context.Context, tx *store.Tx, id directory.PersonID, login, by, why string) error {
	if err := b.Sessions.EndAll(ctx, tx, id, login, "", why); err != nil {
		return err
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of == nil {
			continue
		}
		if _, err := of.EndOf(ctx, tx, id, by, why); err != nil {
			return err
		}
	}
	return standing.Changed(ctx, tx, id, b.Now())
}

// leavesAtOnce is how many leaves are looked at that begin at one time.
const leavesAtOnce = 100

// BeginLeaves ends what those have open whose leave has begun. The doors are shut to them
// since that moment; this is about who was inside. One of whom it fails keeps nobody else
// of the batch waiting, and is tried again at the next call.
func (b *Book) BeginLeaves(ctx context.Context) error {
	for {
		due, err := standing.Beginning(ctx, b.DB, b.Now(), leavesAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		var problems []error
		for _, id := range due {
			login := string(id)
			if p, err := b.Directory.ByID(ctx, id); err == nil { // a name for the trail: it waits for nobody
				login = p.Login
			}
			err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
				if err := standing.Begun(ctx, tx, id, b.Now()); err != nil {
					return err
				}
				if err := b.close(ctx, tx, id, login, system, "on_leave"); err != nil {
					return err
				}
				return b.Trail.Append(ctx, tx, audit.Entry{
					Actor: system, Action: "leave.began", Object: object(login, id), Outcome: audit.OK, Articles: articles,
				})
			})
			if err != nil && !errors.Is(err, store.ErrUntouched) {
				problems = append(problems, fmt.Errorf("beginning the leave of %s: %w", login, err))
			}
		}
		b.Told(ctx)
		if err := b.Sessions.Poll(ctx); err != nil {
			problems = append(problems, fmt.Errorf("noting sessions that ended with leave: %w", err))
		}
		if len(problems) > 0 {
			return errors.Join(problems...)
		}
	}
}
