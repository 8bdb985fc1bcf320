package shared

import (
	"context"
	"errors"
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// A Shown is a shared ID as a reader sees it.
type Shown struct {
	policy.SharedID
	Held    []Checkout      // those who have it now
	Mine    Checkout        // the reader's own; the zero Checkout: none
	Refused *Refusal        // why the reader cannot check it out now; nil: they can
	StepUp  *account.StepUp // the sign-in that it takes first; nil: the present one does
	// Residual is what goes on in the directory after it was given back (design rule 8).
	Residual []policy.Words
}

// List is the shared IDs that are for the reader, and those that they have still.
func (b *Book) List(ctx context.Context, o signin.Origin, cookie string) ([]Shown, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	p, now := b.Policy(), b.Now()
	held, err := b.live(ctx, b.DB, now)
	if err != nil {
		return nil, err
	}
	var out []Shown
	for _, s := range p.SharedIDs {
		one := Shown{SharedID: s, StepUp: needs(s, by, now)}
		for _, r := range b.Effects.Residuals([]policy.Gift{s.Gift()}) {
			one.Residual = append(one.Residual, r.Words)
		}
		for _, c := range held {
			if c.Shared != s.ID {
				continue
			}
			if one.Held = append(one.Held, c); c.By.ID == by.Person.ID {
				one.Mine = c
			}
		}
		why := May(p, s, by.Holder, now)
		if why != nil && one.Mine.ID == "" {
			continue
		}
		if why == nil {
			why = elsewhere(p, s, by.Zone)
		}
		if why == nil {
			why = room(s, one.Held, by.Person.ID, now)
		}
		if why == nil {
			if err := b.emergency(ctx, b.DB, s, ""); err != nil && !errors.As(err, &why) {
				return nil, err
			}
		}
		one.Refused = why
		out = append(out, one)
	}
	return out, nil
}

// Any reports whether there is a shared ID for somebody who holds these posts.
func (b *Book) Any(who approval.Holder) bool {
	p := b.Policy()
	return slices.ContainsFunc(p.SharedIDs, func(s policy.SharedID) bool { return For(p, s, who) })
}

// live are those that somebody has, or is about to have, at this moment.
func (b *Book) live(ctx context.Context, in store.Reader, now time.Time) ([]Checkout, error) {
	all, err := open(ctx, in, `ends_at > $1`, store.Micros(now))
	return slices.DeleteFunc(all, func(c Checkout) bool { return !c.State(now).Open() }), err
}

// A Seen is a check-out as somebody sees it who looks at what others have.
type Seen struct {
	Checkout
	Name   policy.Words // of the shared ID
	MayEnd bool
	StepUp *account.StepUp // the sign-in that ending it takes first
}

// Live is who has which shared ID now, for those who look at what others have.
func (b *Book) Live(ctx context.Context, o signin.Origin, cookie string) ([]Seen, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	p, now := b.Policy(), b.Now()
	if why := MaySee(p, by.Posts); why != nil {
		return nil, why
	}
	all, err := b.live(ctx, b.DB, now)
	if err != nil {
		return nil, err
	}
	var out []Seen
	for _, c := range all {
		s, _ := p.SharedID(c.Shared)
		out = append(out, Seen{Checkout: c, Name: s.Name, MayEnd: c.state == Active && MayEnd(p, by.Posts) == nil, StepUp: by.Elevated(p, now)})
	}
	return out, nil
}

// Past are the reader's own check-outs that are over, the last first.
func (b *Book) Past(ctx context.Context, o signin.Origin, cookie string, most int) ([]Checkout, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	return list(ctx, b.DB, `person_id = $1 AND (state IN ('ended', 'expired', 'revoked') OR state = 'active' AND ends_at <= $2) ORDER BY asked_at DESC, id LIMIT $3`,
		string(by.Person.ID), store.Micros(b.Now()), most)
}
