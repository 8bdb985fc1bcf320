package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Terminal is who sits at a terminal under a login, with the posts they hold. Who
// is not in the directory is known by that login alone.
func (b *Book) Terminal(ctx context.Context, login string) (PersonRef, []policy.PostID, error) {
	p, err := b.People.Find(ctx, login)
	switch {
	case err == nil && directory.Canonical(p.Login) == directory.Canonical(login):
		return Ref(p), b.Policy().PostsOf(p.Groups), nil
	case err == nil, errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrAmbiguous), errors.Is(err, directory.ErrMalformed):
		return AtTerminal(login), nil, nil
	}
	return PersonRef{}, nil, err
}

// Everywhere is the zone of a matter that is of none, such as a policy: the first
// that may send mail, so that those who decide hear of it.
func (b *Book) Everywhere() policy.ZoneID {
	zones := b.Policy().Zones
	if i := slices.IndexFunc(zones, func(z policy.Zone) bool { return z.MailNotices }); i >= 0 {
		return zones[i].ID
	}
	if len(zones) > 0 {
		return zones[0].ID
	}
	return ""
}

// A Decided matter is one that was decided elsewhere: with a sealed key at a
// console, or in a store that another has replaced. Nothing can be done with it any
// more but reading it, and reviewing what is to be reviewed.
type Decided struct {
	View
	At time.Time // when it was used
}

// BySealedKey is a matter that nobody was asked, decided with the sealed key by
// somebody at a terminal. The CIO reviews it.
func BySealedKey(m Matter, operator string, at time.Time, reviewWithin time.Duration) Decided {
	at = at.UTC().Truncate(time.Microsecond)
	m.Requester, m.Nobody, m.AskedAt, m.LapsesAt = AtTerminal(operator), true, at, at
	m.state, m.settledAt = Approved, at
	return Decided{View{m, at, []Decision{{
		ID: m.ID + "-key", By: m.Requester, Post: policy.CIO, How: BySealed, Yes: true, At: at, ReviewDue: at.Add(reviewWithin),
	}}}, at}
}

// Record writes such a matter down, used up, in the caller's transaction. Its entry
// on the trail is the caller's.
func Record(ctx context.Context, tx *store.Tx, d Decided) error {
	text, err := d.body()
	if err != nil {
		return fmt.Errorf("writing down a matter that was decided: %w", err)
	}
	if err := insertMatter(ctx, tx, d.Matter, text); err != nil {
		return err
	}
	for _, made := range d.Decisions {
		if err := insertDecision(ctx, tx, d.ID, made); err != nil {
			return fmt.Errorf("writing down a decision: %w", err)
		}
	}
	err = tx.ExecOne(ctx, `UPDATE approval_matter SET spent_at = $1 WHERE id = $2`, store.Micros(d.At), d.ID)
	if err != nil {
		return fmt.Errorf("writing down a matter that was decided: %w", err)
	}
	return nil
}
