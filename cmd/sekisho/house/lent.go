package house

import (
	"context"

	"sekisho/authn/session"
	"sekisho/authz/grant"
	sharing "sekisho/authz/shared"
	"sekisho/directory"
	"sekisho/policy/store"
)

// lentAll is whatever somebody may have that is not theirs: privilege that is lent,
// and shared IDs. Who is suspended, closed or shut out loses both.
type lentAll struct {
	leases *grant.Book
	shared *sharing.Book
}

func (l lentAll) EndOf(ctx context.Context, tx *store.Tx, who directory.PersonID, by, why string) (int, error) {
	n, err := l.leases.EndOf(ctx, tx, who, by, why)
	if err != nil {
		return n, err
	}
	more, err := l.shared.EndOf(ctx, tx, who, by, why)
	return n + more, err
}

func (l lentAll) EndFor(ctx context.Context, tx *store.Tx, people []directory.PersonID, by, why string) (int, error) {
	n, err := l.leases.EndFor(ctx, tx, people, by, why)
	if err != nil {
		return n, err
	}
	more, err := l.shared.EndFor(ctx, tx, people, by, why)
	return n + more, err
}

func (l lentAll) Borrowers(ctx context.Context, in store.Reader) ([]directory.PersonID, error) {
	all, err := l.leases.Borrowers(ctx, in)
	if err != nil {
		return nil, err
	}
	more, err := l.shared.Borrowers(ctx, in)
	return append(all, more...), err
}

func (l lentAll) Changed(ctx context.Context) { l.leases.Changed(ctx) }

// succeed carries both along to the session that follows another in the same browser.
func (l lentAll) succeed(ctx context.Context, tx *store.Tx, from string, to session.Session) error {
	if err := l.leases.Succeed(ctx, tx, from, to); err != nil {
		return err
	}
	return l.shared.Succeed(ctx, tx, from, to)
}
