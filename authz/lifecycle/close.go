package lifecycle

import (
	"context"
	"slices"
	"time"

	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy/store"
)

// A Closing is an ID that is to be closed for another reason than its not being used, as
// the directory has it before the transaction that closes it.
type Closing struct {
	Who    directory.Person
	Owners []directory.Person // who answers for an ID of a program or of several people
	posts  []holders
}

// Prepare reads what closing an ID goes by. directory.ErrNotFound: it is gone.
func (b *Book) Prepare(ctx context.Context, id directory.PersonID) (Closing, error) {
	who, err := b.Directory.ByID(ctx, id)
	if err != nil {
		return Closing{}, err
	}
	c := Closing{Who: who}
	if c.posts, err = b.holdersBeside(ctx, who); err != nil {
		return Closing{}, err
	}
	c.Owners, err = b.ownersOf(ctx, who)
	return c, err
}

// CloseOut closes an ID in the caller's transaction, whose entry on the trail and whose
// words to people are the caller's. It is opened again as one that nobody used: by
// somebody's decision. Nothing is done where the Hold is not "": what a sweep never
// closes, this does not either. asked says that a person wants it; where nobody does,
// leave, an ID for emergencies that is exempt, and one of which nobody would hear, hold it too. The
// caller calls Told and Bring after the commit.
func (b *Book) CloseOut(ctx context.Context, tx *store.Tx, c Closing, by, reason, why string, asked bool) (Hold, error) {
	known, err := b.knows(ctx, tx, []directory.Person{c.Who})
	if err != nil {
		return "", err
	}
	k := known[c.Who.ID]
	switch hold := b.never(c.Who, k); {
	case hold != "" && (hold != Exempt || !asked):
		return hold, nil
	case asked:
	case k.holds(b.Now()) == OnLeave:
		return OnLeave, nil
	case unheard(c.Who, c.Owners):
		return NoOwnerTold, nil
	}
	few, err := b.wouldEmpty(ctx, tx, c.posts)
	if err != nil {
		return "", err
	}
	if few != "" {
		return LastOfPost, nil
	}
	r := k.row.filled(Entry{Person: c.Who.ID, Login: c.Who.Login, Name: c.Who.Name, Section: c.Who.Section, Kind: c.Who.Kind, Class: ClassOf(b.Policy(), c.Who)})
	_, err = b.shut(ctx, tx, c.Who, r, by, reason, why)
	return "", err
}

// never says why an ID is closed by nothing that acts for itself.
func (b *Book) never(who directory.Person, k known) Hold {
	exemption, exempt := b.Policy().Dormancy.Exempt(who.Login, b.Now())
	switch {
	case b.own(who):
		return Own
	case k.sealed:
		return Sealed
	case who.Protected:
		return Guarded
	case exempt && exemption.BreakGlass:
		return Exempt
	}
	return ""
}

// Kept says why an ID is to be there whatever ends: Sekisho's own, one in an envelope, one
// that the directory guards, one for emergencies. "": it is like others.
func (b *Book) Kept(ctx context.Context, in store.Reader, who directory.Person) (Hold, error) {
	known, err := b.knows(ctx, in, []directory.Person{who})
	if err != nil {
		return "", err
	}
	return b.never(who, known[who.ID]), nil
}

// Shut are those of some IDs that are closed already: by their account, or by what is
// recorded of them other than leave.
func (b *Book) Shut(ctx context.Context, in store.Reader, people []directory.Person) (map[directory.PersonID]bool, error) {
	now, out := b.Now(), map[directory.PersonID]bool{}
	ids := make([]directory.PersonID, 0, len(people))
	for _, p := range people {
		out[p.ID] = !p.Account.Usable(now)
		ids = append(ids, p.ID)
	}
	closed, err := standing.Among(ctx, in, ids, now)
	for id, kinds := range closed {
		out[id] = out[id] || slices.ContainsFunc(kinds, func(k standing.Kind) bool { return k != standing.OnLeave })
	}
	return out, err
}

// LastUses are when IDs were last used, as a sweep sees it; who is not among them never
// was, as far as is known.
func (b *Book) LastUses(ctx context.Context, people []directory.Person) (map[directory.PersonID]time.Time, error) {
	out := map[directory.PersonID]time.Time{}
	for part := range slices.Chunk(people, atOnce) {
		known, err := b.knows(ctx, b.DB, part)
		if err != nil {
			return nil, err
		}
		for _, p := range part {
			k := known[p.ID]
			if at := latest(p.Account.LastUsedAt, k.seen, k.told); !at.IsZero() {
				out[p.ID] = at
			}
		}
	}
	return out, nil
}
