package project

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy/store"
)

// Known are all projects, for who reads a file that names some.
func (b *Book) Known(ctx context.Context, in store.Reader) ([]Project, error) {
	return projects(ctx, in, `1 = 1 ORDER BY id`)
}

// Refusals of Tie, for who carries out a file: what was planned is not so any more.
var (
	ErrOver       = errors.New("the project is over")
	ErrOtherOf    = errors.New("the ID is bound to a running project of the other environment")
	ErrKind       = errors.New("an ID that several people use, or that is lent, is bound to no project")
	ErrPowerful   = errors.New("an ID that approves, administers or audits is bound to no project")
	ErrKept       = errors.New("an ID that is there whatever ends is bound to no project")
	ErrOutOfReach = errors.New("the ID is of a section that is not the project's, nor below it")
)

// Tie binds an ID to a project in the caller's transaction, as a file of personnel changes
// that two persons have decided says; imported names the file. One whose projects are all
// over is good again by it. Bound already, in whatever role, it has the role that is said:
// done twice, it is done once. The caller calls Seen after the commit.
func (b *Book) Tie(ctx context.Context, tx *store.Tx, projectID string, who directory.Person, role Role, by, imported string) error {
	return b.tieTo(ctx, tx, projectID, who, role, by, imported, false)
}

// TieOver is Tie also where the project is over by now, for an ID that is there for its
// sake alone: it is good for nothing then, and not for everything.
func (b *Book) TieOver(ctx context.Context, tx *store.Tx, projectID string, who directory.Person, role Role, by, imported string) error {
	return b.tieTo(ctx, tx, projectID, who, role, by, imported, true)
}

func (b *Book) tieTo(ctx context.Context, tx *store.Tx, projectID string, who directory.Person, role Role, by, imported string, over bool) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	p, err := hold(ctx, tx, projectID, now)
	if err != nil {
		return err
	}
	if err := intendEnd(ctx, tx, approval.Ref(who), now); err != nil {
		return err
	}
	all, err := bindings(ctx, tx, who.ID)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Project == p.ID && one.Role == role {
			return nil
		}
	}
	kept, err := b.IDs.Kept(ctx, tx, who)
	if err != nil {
		return err
	}
	switch {
	case p.State(now) != Running && !over:
		return fmt.Errorf("%w: %s", ErrOver, p.ID)
	case who.Kind == directory.KindShared || who.Kind == directory.KindLent:
		return ErrKind
	case kept != "":
		return fmt.Errorf("%w: %s", ErrKept, kept)
	case b.powerful(who):
		return ErrPowerful
	case !b.Policy().InSection(who.Section, []string{p.Section}):
		return ErrOutOfReach
	}
	if p.State(now) != Running { // what follows from its end is to be done for this one too
		if _, err := tx.Exec(ctx, `UPDATE project SET settled_at = 0 WHERE id = $1`, p.ID); err != nil {
			return err
		}
	}
	before := tiesOf(all)
	if of, ok := authz.EnvironmentOf(before, now); ok && len(all) > 0 && of != p.Environment {
		return fmt.Errorf("%w: %s", ErrOtherOf, of)
	}
	m := Member{Project: p.ID, Person: approval.Ref(who), Role: role, BoundBy: by, Imported: imported}
	for _, one := range all {
		if one.Project == p.ID { // another role: the binding of before is over
			one.UnboundBy, one.Why = by, "another role"
			if err := unbind(ctx, tx, one.Member, now); err != nil {
				return err
			}
		}
	}
	return b.bound(ctx, tx, p, m, before, approval.Approver{}, imported)
}

// Untie releases an ID from a project in the caller's transaction, likewise. Who is not
// bound to it is left alone. The caller calls Seen after the commit.
func (b *Book) Untie(ctx context.Context, tx *store.Tx, projectID string, who directory.PersonID, by, why string) error {
	now := b.Now().UTC().Truncate(time.Microsecond)
	p, err := hold(ctx, tx, projectID, now)
	if err != nil {
		return err
	}
	all, err := bindings(ctx, tx, who)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.Project != p.ID {
			continue
		}
		one.UnboundBy, one.Why = by, why
		return b.released(ctx, tx, p, one.Member, all, approval.Approver{}, "")
	}
	return nil
}

// Seen has what Tie and Untie did seen here at once, after the commit.
func (b *Book) Seen(ctx context.Context, people ...directory.PersonID) { b.seen(ctx, people...) }
