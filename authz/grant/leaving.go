package grant

import (
	"context"
	"fmt"
	"slices"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Leaving reads the groups that somebody is being taken out of, by a decision that is
// committed and that the directory may not have followed yet; authz/recertify knows.
type Leaving func(ctx context.Context, in store.Reader, who directory.PersonID) ([]string, error)

// MayKeep refuses somebody whom nothing but groups that they are being taken out of makes
// eligible: what was decided holds at once, whenever the directory follows (article 62-6).
func MayKeep(p *policy.Policy, v policy.Privilege, b Borrower, leaving []string) error {
	kept := slices.DeleteFunc(slices.Clone(b.Person.Groups), func(dn string) bool {
		return slices.ContainsFunc(leaving, func(gone string) bool { return policy.SameDN(gone, dn) })
	})
	if p.MayBorrow(v, b.Person.Login, b.Posts, kept, b.Person.Section) {
		return nil
	}
	return forbidden(EligibilityEnds, lending, "棚卸しで、この特権を借りられなくなることが決まっています。必要な場合は情報システム管理者に相談してください。",
		"It was decided at a recertification that this privilege is lent to you no more. If you need it, please ask the system administrator.")
}

// keeps is MayKeep as in sees it: in the transaction that lends something, no decision
// comes between.
func (b *Book) keeps(ctx context.Context, in store.Reader, v policy.Privilege, of Borrower) error {
	if b.Leaving == nil || b.Policy().MayBorrow(v, of.Person.Login, of.Posts, nil, of.Person.Section) {
		return nil // no group makes them eligible, and none that goes matters
	}
	leaving, err := b.Leaving(ctx, in, of.Person.ID)
	if err != nil {
		return fmt.Errorf("reading which groups a borrower is taken out of: %w", err)
	}
	if len(leaving) == 0 {
		return nil
	}
	return MayKeep(b.Policy(), v, of, leaving)
}
