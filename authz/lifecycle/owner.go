package lifecycle

import (
	"context"
	"slices"

	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// mostOwners is how many are told of one ID.
const mostOwners = 5

// owned reports whether somebody else answers for an ID: a program reads no mail, and of
// several people none need think that it is about them.
func owned(who directory.Person) bool {
	return who.Kind == directory.KindService || who.Kind == directory.KindShared
}

// ownersOf are those who answer for an ID of a program or of several people: who has its
// number, may use their own ID, and can be written to.
func (b *Book) ownersOf(ctx context.Context, who directory.Person) ([]directory.Person, error) {
	if !owned(who) || who.Number == "" {
		return nil, nil
	}
	all, err := b.Directory.Numbered(ctx, who.Number)
	if err != nil {
		return nil, err
	}
	now := b.Now()
	all = slices.DeleteFunc(all, func(p directory.Person) bool {
		return p.ID == who.ID || owned(p) || p.Mail == "" || !p.MaySignIn(now)
	})
	return all[:min(len(all), mostOwners)], nil
}

// unheard reports whether what is done about an ID would reach nobody.
func unheard(who directory.Person, owners []directory.Person) bool {
	return owned(who) && who.Mail == "" && len(owners) == 0
}

// nobodyTold tells that nothing is done about an ID because nobody would hear of it.
func (w *work) nobodyTold(ctx context.Context, tx *store.Tx, e Entry) error {
	if err := w.found(ctx, tx, Finding{Kind: NobodyTold, Subject: string(e.Person), Login: e.Login, Section: e.Section, Detail: string(e.Kind)}); err != nil {
		return err
	}
	entry := w.about("dormancy.held", e)
	entry.Outcome, entry.Reason = audit.Refused, string(NoOwnerTold)
	return w.Trail.Append(ctx, tx, entry)
}
