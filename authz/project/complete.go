package project

import (
	"context"
	"errors"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// A Result is what became of a project's IDs when it was completed.
type Result struct {
	Closed  []Ref
	Kept    []Ref // they have another project that runs
	Held    []HeldID
	Pending int // that are closed by and by; they are refused already
}

// A HeldID is an ID that could not be closed, and why. It is refused at every door all the
// same.
type HeldID struct {
	Person Ref
	Why    string // a lifecycle.Hold
}

func asRefusal(err error, why **Refusal) bool { return errors.As(err, why) }

func isRefusal(err error) bool { var why *Refusal; return errors.As(err, &why) }

// The points at which a test may stop what is under way.
const (
	PointCompleting = "project completing"  // it is about to be committed
	PointCompleted  = "project completed"   // it is, and nothing outside has heard of it
	PointClosing    = "project closing"     // one ID is about to be closed
	PointClosed     = "project closed"      // it is, and nothing outside has heard of it
	PointEnd        = "project end"         // the directory is about to hear of an end
	PointEndWritten = "project end written" // it has, and that is not written down
)

// batch is how many IDs are closed with a project's completion, and read at once by whoever
// closes the rest. The others are refused at that instant all the same.
const batch = 100

// readingLasts is how long a completion waits for a slow directory: the project's end does
// not, and who closes the rest goes on.
const readingLasts = 5 * time.Second

// Complete ends a project now, for who administers its section and has just signed in: its
// IDs that have no other are closed with it.
func (b *Book) Complete(ctx context.Context, o signin.Origin, cookie, id, reason string) (Result, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Result{}, err
	}
	return b.CompleteAs(ctx, by, id, reason)
}

// CompleteAs is Complete for somebody who is known already.
func (b *Book) CompleteAs(ctx context.Context, by approval.Approver, id, reason string) (Result, error) {
	p, reason, err := b.begin(ctx, by, id, reason)
	if err != nil {
		return Result{}, err
	}
	if now := b.Now(); p.State(now) != Running {
		return Result{}, b.refuse(ctx, by, p, overRefusal(p, now))
	}
	first, err := members(ctx, b.DB, `m.project = $1 AND m.unbound_at = 0 ORDER BY m.person_id LIMIT $2`, id, batch)
	if err != nil {
		return Result{}, err
	}
	var ready []closing
	reading, cancel := context.WithTimeout(ctx, readingLasts)
	defer cancel()
	for _, m := range first {
		c, err := b.prepare(reading, m)
		if err != nil { // the project ends all the same; Run closes what is left
			b.complain(ctx, "reading an ID whose project is completed", err)
			break
		}
		ready = append(ready, c)
	}
	if p.admins, err = b.administrators(ctx, p.Section); err != nil {
		b.complain(ctx, "reading who administers a section", err)
	}
	var out Result
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out = Result{}
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		admins := p.admins
		var err error
		if p, err = hold(ctx, tx, id, now); err != nil {
			return err
		}
		p.admins = admins
		if p.State(now) != Running {
			return overRefusal(p, now)
		}
		p.CompletedAt, p.CompletedBy, p.Reason = now, approval.Ref(by.Person), reason
		text, err := p.body()
		if err != nil {
			return err
		}
		// The guard is in the WHERE clause: of two who complete it, one does.
		if err := tx.ExecOne(ctx, `UPDATE project SET completed_at = $1, body = $2, changed_at = $1 WHERE id = $3 AND completed_at = 0`, store.Micros(now), text, id); err != nil {
			return err
		}
		if err := intendEnds(ctx, tx, id, now); err != nil {
			return err
		}
		for _, c := range ready {
			became, err := b.deal(ctx, tx, p, c, by, true)
			if errors.Is(err, store.ErrUntouched) {
				continue // released meanwhile
			}
			if err != nil {
				return err
			}
			switch became {
			case Closed:
				out.Closed = append(out.Closed, c.member.Person)
			case NotDealt:
				out.Kept = append(out.Kept, c.member.Person)
			default:
				out.Held = append(out.Held, HeldID{c.member.Person, strings.TrimPrefix(became, heldBy)})
			}
		}
		err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM project_member WHERE project = $1 AND unbound_at = 0 AND dealt_at = 0`, id).Scan(&out.Pending)
		if err != nil {
			return err
		}
		e := p.entry("project.completed", by, reason)
		e.Detail["closed"], e.Detail["held"], e.Detail["kept"], e.Detail["pending"] = count(len(out.Closed)), count(len(out.Held)), count(len(out.Kept)), count(out.Pending)
		for _, h := range out.Held {
			e.Detail["left"] = strings.TrimPrefix(e.Detail["left"]+", "+h.Person.Login+" ("+h.Why+")", ", ")
		}
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
		return b.at(PointCompleting)
	})
	if why := (*Refusal)(nil); asRefusal(err, &why) {
		err = b.refuse(ctx, by, p, why)
	}
	if err != nil {
		return Result{}, err
	}
	if err := b.at(PointCompleted); err != nil {
		return Result{}, err
	}
	var people []directory.PersonID
	for _, c := range ready {
		people = append(people, c.member.Person.ID)
	}
	b.seen(ctx, people...)
	b.IDs.Told(context.WithoutCancel(ctx))
	return out, nil
}

// A closing is an ID whose project is over, as the directory has it before the transaction
// that closes it.
type closing struct {
	member Member
	of     lifecycle.Closing
	gone   bool // it is in the directory no more
}

func (b *Book) prepare(ctx context.Context, m Member) (closing, error) {
	c := closing{member: m}
	var err error
	c.of, err = b.IDs.Prepare(ctx, m.Person.ID)
	if errors.Is(err, directory.ErrNotFound) {
		c.gone, err = true, nil
	}
	return c, err
}

// deal does to one ID what its project's end means, in the caller's transaction: it is
// closed, unless another project of its runs, or something holds it. asked says that
// somebody has completed the project. store.ErrUntouched: somebody else did.
func (b *Book) deal(ctx context.Context, tx *store.Tx, p Project, c closing, by approval.Approver, asked bool) (became string, err error) {
	now, m := b.Now().UTC().Truncate(time.Microsecond), c.member
	actor := system
	if by.Person.ID != "" {
		actor = by.Person.Login
	}
	if err := intendEnd(ctx, tx, m.Person, now); err != nil {
		return "", err
	}
	all, err := bindings(ctx, tx, m.Person.ID)
	if err != nil {
		return "", err
	}
	reason, action := "project "+p.ID+" is over", "project.id_closed"
	if asked {
		reason = "project " + p.ID + " is completed"
	}
	outcome := ""
	switch {
	case !latest(tiesOf(all), now).IsZero(): // it has another that runs
		return NotDealt, b.dealt(ctx, tx, m, NotDealt, now)
	case c.gone:
		became, outcome = Closed, "gone"
	default:
		open := c.of.Who
		open.Account.ExpiresAt = time.Time{} // the end of its account is what we have written there ourselves
		shut, err := b.IDs.Shut(ctx, tx, []directory.Person{open})
		if err != nil {
			return "", err
		}
		if shut[open.ID] {
			became, outcome = Closed, "closed already"
			break
		}
		hold, err := b.IDs.CloseOut(ctx, tx, c.of, actor, reason, "project", asked)
		if err != nil {
			return "", err
		}
		if became = Closed; hold != "" {
			became, action = heldBy+string(hold), "project.id_held"
		}
	}
	if err := b.dealt(ctx, tx, m, became, now); err != nil {
		return "", err
	}
	e := p.about(action, m.Person, by, reason)
	if outcome != "" {
		e.Detail["because"] = outcome
	}
	if action == "project.id_held" {
		e.Outcome, e.Reason, e.Detail["because"] = audit.Refused, strings.TrimPrefix(became, heldBy), reason
	}
	if err := b.Trail.Append(ctx, tx, e); err != nil {
		return "", err
	}
	if became == Closed && outcome == "" {
		err = b.tellOver(ctx, tx, p, c)
	}
	return became, err
}

// dealt writes down what became of an ID, once.
func (b *Book) dealt(ctx context.Context, tx *store.Tx, m Member, became string, now time.Time) error {
	return tx.ExecOne(ctx, `UPDATE project_member SET dealt_at = $1, closed = $2, changed_at = $1 WHERE id = $3 AND dealt_at = 0 AND unbound_at = 0`,
		store.Micros(now), became, m.id)
}
