package project

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// An Outcome is what became of something that somebody asked for: it is done, or it waits
// for a second person.
type Outcome struct {
	Matter   string // "": it is done
	LapsesAt time.Time
	// Proposed: it was asked for just now; else it waited already.
	Proposed bool
}

// Waits reports whether somebody else is to decide it.
func (o Outcome) Waits() bool { return o.Matter != "" }

// powerful reports whether somebody holds, or stands in for, a post that approves or
// administers.
func (b *Book) powerful(who directory.Person) bool {
	p := b.Policy()
	return p.Powerful(append(slices.Clone(p.PostsOf(who.Groups)), p.StandsInFor(who.Login, b.Now())...))
}

func count(n int) string { return strconv.Itoa(n) }

// bound binds an ID in the caller's transaction: its row, its entry, and the end of what
// it has open where it is of another environment from now on, for what was lent was lent
// to an ID of that one.
func (b *Book) bound(ctx context.Context, tx *store.Tx, p Project, m Member, before []authz.Tie, by approval.Approver, reason string) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	err := bind(ctx, tx, m, now)
	if errors.Is(err, store.ErrUntouched) {
		return errBoundAlready
	}
	if err != nil {
		return err
	}
	if err := b.turned(ctx, tx, m.Person, before, append(slices.Clone(before), p.tie()), m.BoundBy); err != nil {
		return err
	}
	e := p.about("project.bound", m.Person, by, reason)
	e.Actor = m.BoundBy
	e.Detail["role"], e.Detail["until"] = string(m.Role), p.Until.Format(time.RFC3339)
	if m.Imported != "" {
		e.Detail["import"] = m.Imported
	}
	return b.Trail.Append(ctx, tx, e)
}

// released ends a binding in the caller's transaction. all are the ID's bindings.
func (b *Book) released(ctx context.Context, tx *store.Tx, p Project, m Member, all []bound, by approval.Approver) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	if err := intendEnd(ctx, tx, m.Person, now); err != nil {
		return err
	}
	if err := unbind(ctx, tx, m, now); err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(all), func(o bound) bool { return o.id == m.id })
	if err := b.turned(ctx, tx, m.Person, tiesOf(all), tiesOf(rest), m.UnboundBy); err != nil {
		return err
	}
	e := p.about("project.released", m.Person, by, m.Why)
	e.Actor = m.UnboundBy
	return b.Trail.Append(ctx, tx, e)
}

// turned ends what an ID has open where its environment is another than before.
func (b *Book) turned(ctx context.Context, tx *store.Tx, who Ref, before, after []authz.Tie, by string) error {
	now := b.Now()
	if err := standing.Changed(ctx, tx, who.ID, now); err != nil {
		return err
	}
	was, good := authz.EnvironmentOf(before, now)
	is, still := authz.EnvironmentOf(after, now)
	if was == is && good == still {
		return nil
	}
	const why = "the ID is of another environment"
	if err := b.Sessions.EndAll(ctx, tx, who.ID, who.Login, "", why); err != nil {
		return err
	}
	for _, of := range []Leases{b.Leases, b.Permits} {
		if of == nil {
			continue
		}
		if _, err := of.EndOf(ctx, tx, who.ID, by, why); err != nil {
			return err
		}
	}
	return nil
}

var _ = policy.Production
