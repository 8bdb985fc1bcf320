package desk

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/grant"
	"sekisho/authz/permit"
	"sekisho/authz/personnel"
	"sekisho/authz/project"
	"sekisho/policy"
)

// Waiting is what waits for the reader, and what they hold.
func (d *Desk) Waiting(ctx context.Context, o signin.Origin, cookie string) (Waiting, error) {
	var out Waiting
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return out, err
	}
	matters, err := d.Approvals.Pending(ctx, r.By)
	if err != nil {
		return out, err
	}
	for _, view := range matters[:min(len(matters), mostCards)] {
		c, err := d.card(ctx, r, view.ID)
		if err != nil {
			return out, err
		}
		out.Decide = append(out.Decide, c)
	}
	own, err := d.Lent.List(ctx, grant.Filter{Person: r.Person.ID, Limit: mostLines})
	if err != nil {
		return out, err
	}
	for _, l := range own {
		_, owed := l.Owed(r.now)
		if !l.State(r.now).Open() && !owed {
			continue
		}
		one, err := d.shown(ctx, r, l, false)
		if err != nil {
			return out, err
		}
		if l.State(r.now).Open() {
			out.Own = append(out.Own, one)
		}
		if owed {
			out.Owed = append(out.Owed, one)
		}
	}
	owed, err := d.Approvals.Owed(ctx, r.By)
	if err != nil {
		return out, err
	}
	out.Review = len(owed)
	return out, d.ofOthers(ctx, r, &out)
}

// ofOthers fills in what of others' leases waits for the reader.
func (d *Desk) ofOthers(ctx context.Context, r reader, out *Waiting) error {
	together, err := d.Lent.Together(ctx)
	if err != nil {
		return err
	}
	written, err := d.Lent.List(ctx, grant.Filter{Owing: true, Limit: mostLines})
	if err != nil {
		return err
	}
	for _, l := range append(together, written...) {
		if l.By.ID == r.Person.ID {
			continue
		}
		one := Lease{May: map[Act]Answer{}}
		v, _ := r.p.Privilege(l.Privilege)
		if d.may(r, l, v, &one); len(one.May) == 0 {
			continue
		}
		one, err := d.shown(ctx, r, l, false)
		if err != nil {
			return err
		}
		// The present second person is asked when it is time, the others at once.
		fresh := l.State(r.now) == grant.Active && r.now.Before(l.WitnessDue.Add(-l.WitnessEvery/2))
		if one.May[Witness].OK && !fresh {
			out.Witness = append(out.Witness, one)
		}
		if one.May[Countersign].OK {
			out.Countersign = append(out.Countersign, one)
		}
		if one.May[Judge].OK {
			out.Judge = append(out.Judge, one)
		}
	}
	return nil
}

// Card is one matter, as somebody who would decide it reads it.
func (d *Desk) Card(ctx context.Context, o signin.Origin, cookie, id string) (Card, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Card{}, err
	}
	return d.card(ctx, r, id)
}

func (d *Desk) card(ctx context.Context, r reader, id string) (Card, error) {
	c, err := d.Approvals.Card(ctx, id)
	if err != nil {
		return Card{}, err
	}
	verdict, err := d.Approvals.Verdict(ctx, c.View, r.By)
	if err != nil {
		return Card{}, err
	}
	can, theirs := r.decides(verdict)
	if verdict.Reason == approval.Over && !r.sees() && c.For().ID != r.Person.ID &&
		!slices.ContainsFunc(c.Decisions, func(d approval.Decision) bool { return d.By.ID == r.Person.ID }) {
		theirs = false // what is settled is read by whom it concerned
	}
	if !theirs {
		if !r.sees() && c.Requester.ID != r.Person.ID {
			return Card{}, approval.ErrNotFound
		}
		can = Answer{Why: verdict.Says, Articles: verdict.Articles}
	}
	out := Card{
		ID: c.ID, Kind: string(c.Kind), What: c.Title, By: who(c.Requester), Reason: c.Reason, AskedAt: c.AskedAt, LapsesAt: c.LapsesAt,
		As: verdict.As.Post, Acting: verdict.As.How.Reviewed(), Articles: c.Articles, StepUp: can.StepUp,
	}
	if !can.OK {
		out.Refused = can
	}
	if c.Beneficiary.ID != "" && c.Beneficiary.ID != c.Requester.ID {
		out.For = who(c.Beneficiary)
	}
	for _, w := range []policy.Words{c.Yes} {
		if !w.IsEmpty() {
			out.Yes = append(out.Yes, w)
		}
	}
	out.Decisions, out.Missing = saidOf(c.View)
	if slices.Contains(permit.Kinds(), c.Kind) {
		return out, d.permitCard(ctx, r, c, &out)
	}
	if c.Kind != grant.KindElevation && c.Kind != grant.KindExtension {
		for _, f := range c.Facts {
			out.Facts = append(out.Facts, Fact(f))
		}
		if c.Kind == personnel.Carry || c.Kind == personnel.Undo {
			out.Import = c.Subject
		}
		if c.Kind == project.Widening {
			out.Project = c.Subject
		}
		for _, p := range c.Last {
			out.Uses = append(out.Uses, Use{ID: p.ID, At: p.At, Reason: p.Reason, State: State(p.State)})
		}
		return out, nil
	}
	l, err := d.Lent.Get(ctx, c.Detail["lease"])
	switch {
	case errors.Is(err, grant.ErrNotFound):
		return out, nil
	case err != nil:
		return Card{}, err
	}
	out.Lease, out.Ticket = l.ID, l.Ticket
	if m, err := strconv.Atoi(c.Detail["minutes"]); err == nil {
		out.Lasts = time.Duration(m) * time.Minute
	}
	if v, ok := r.p.Privilege(l.Privilege); ok {
		p := d.privilege(r, v)
		out.What, out.Yes = p.Name, append(p.Gives, out.Yes...)
	}
	out.Uses, err = d.uses(ctx, r, l)
	return out, err
}

// Live are the leases that live now, those that end first at the front.
func (d *Desk) Live(ctx context.Context, o signin.Origin, cookie string) ([]Lease, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	if !r.sees() {
		return nil, outsider()
	}
	live, err := d.Lent.Actives(ctx)
	if err != nil {
		return nil, err
	}
	var out []Lease
	for _, l := range live {
		one, err := d.shown(ctx, r, l, false)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}
