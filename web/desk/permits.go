package desk

import (
	"context"
	"errors"
	"slices"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/permit"
	"sekisho/policy"
	"sekisho/web"
)

// Bounds of what is gathered about permits.
const (
	pageRead    = 500 // of one person's, to see which follow which
	mostDays    = 31  // days of use that a permit's page shows
	mostOffered = 500 // terminals that a form suggests
	mostWords   = 16  // that a list is searched for
)

// Permit is one permit, as the reader may see it.
func (d *Desk) Permit(ctx context.Context, o signin.Origin, cookie, id string) (Permit, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Permit{}, err
	}
	m, err := d.Permits.Get(ctx, r.By, id)
	if err != nil {
		return Permit{}, err
	}
	return d.permit(ctx, r, m, true)
}

// permit is a permit with what its reader may do. whole reads also what stands on
// its own page alone.
func (d *Desk) permit(ctx context.Context, r reader, m permit.Permit, whole bool) (Permit, error) {
	k, known := r.p.Permit(m.Kind)
	if !known {
		k = policy.PermitKind{ID: m.Kind, Name: policy.Words{JA: m.Kind, EN: m.Kind}}
	}
	out := Permit{
		ID: m.ID, Kind: m.Kind, Name: k.Name, Enforced: k.Enforces != policy.EnforcesNothing && known, State: State(m.State(r.now)), Person: who(m.Person), By: who(m.Requester),
		Company: company(m.Stated), Reason: m.Reason, Where: m.Stated["networks"], From: m.From, Until: m.Until, AskedAt: m.AskedAt, LapsesAt: m.LapsesAt,
		EndedAt: m.EndedAt, EndedBy: who(m.EndedBy), EndReason: m.EndReason, UsedAt: m.UsedAt, Review: m.ReviewDue(k, r.now),
		DoneAt: m.Done.At, DoneBy: Who{Name: m.Done.By}, DoneHow: m.Done.What,
		Wish: PermitWish{Kind: m.Kind, Reason: m.Reason, Stated: m.Stated, From: m.From, Until: m.Until},
		Mine: m.Person.Same(approval.Ref(r.Person)), May: map[PermitAct]Answer{},
	}
	if m.Person.Login != m.Requester.Login || m.Contractor {
		out.Wish.Person = m.Person.Login
	}
	if t := m.Stated.One("terminal"); t != "" {
		out.Terminal = policy.Words{JA: t, EN: t}
		if one, ok := r.p.Terminal(t); ok && !one.Name.IsEmpty() {
			out.Terminal = policy.Words{JA: one.Name.In("ja") + "（" + t + "）", EN: one.Name.In("en") + " (" + t + ")"}
		}
	}
	for _, id := range slices.Concat(m.Stated["applications"], m.Stated["application"]) {
		out.Opens = append(out.Opens, applicationName(r.p, id))
	}
	out.When = when(m.Stated["days"], m.Stated["hours"])
	for _, f := range k.Fields {
		if v := m.Stated[f.ID]; len(v) > 0 {
			out.Facts = append(out.Facts, PermitFact{f.Name, valueOf(r.p, f, v)})
		}
	}
	state := m.State(r.now)
	out.Soon = state == permit.Approved && k.RenewDays > 0 && !r.now.Before(m.Until.AddDate(0, 0, -k.RenewDays))
	out.OwesIt = m.Owes(k, r.now)
	d.mayPermit(r, k, m, &out)
	if !whole {
		return out, nil
	}
	return out, d.wholePermit(ctx, r, m, &out)
}

// permitCard fills in what a card says of a permit that is asked for: who, from where,
// what, until when, and when they last used what they had before.
func (d *Desk) permitCard(ctx context.Context, r reader, c approval.Card, out *Card) error {
	out.Permit, out.Term = c.Detail["permit"], c.Until
	for _, one := range d.Approvals.Confirmations(c.Matter) {
		out.Confirms = append(out.Confirms, confirmation(one))
	}
	for _, p := range c.Last {
		out.Uses = append(out.Uses, Use{ID: p.ID, At: p.At, Reason: p.Reason, State: State(p.State)})
	}
	m, err := d.Permits.Get(ctx, r.By, out.Permit)
	if errors.Is(err, permit.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	shown, err := d.permit(ctx, r, m, false)
	if err != nil {
		return err
	}
	for _, f := range shown.Facts {
		out.Facts = append(out.Facts, Fact{Label: f.Label, Says: f.Value})
	}
	if shown.Enforced && m.Kind == policy.PermitRemote && len(shown.Where) == 0 {
		out.Facts = append(out.Facts, Fact{Label: policy.Words{JA: "どこから", EN: "From where"}, Says: policy.Words{JA: "庁外のどこからでも", EN: "Anywhere outside"}})
	}
	if m.Renews == "" {
		return nil
	}
	before, err := d.Permits.Get(ctx, r.By, m.Renews)
	switch {
	case errors.Is(err, permit.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	used := Fact{Label: policy.Words{JA: "これまでの許可の最後の利用", EN: "Last use of the permit before"}, Says: policy.Words{JA: "一度も使われていません", EN: "Never used"}}
	if !before.UsedAt.IsZero() {
		used.Says, used.Value = policy.Words{}, policy.DayInJapan(before.UsedAt)
	}
	out.Facts = append(out.Facts, used)
	return nil
}

// mayPermit fills in what the reader may do. Each act is asked again where it is
// done.
func (d *Desk) mayPermit(r reader, k policy.PermitKind, m permit.Permit, out *Permit) {
	me, yes := approval.Ref(r.Person), Answer{OK: true}
	concerns := m.Person.Same(me) || m.Requester.Same(me)
	keeps := permit.MayRevoke(r.p, k, m, r.Holder, r.now) == nil
	switch out.State {
	case Pending:
		if concerns {
			out.May[PermitCancel] = yes
		} else if keeps {
			out.May[PermitRevoke] = Answer{OK: true, StepUp: r.toOversee()}
		}
	case Approved:
		if concerns {
			out.May[PermitEnd] = yes
		} else if keeps {
			out.May[PermitRevoke] = Answer{OK: true, StepUp: r.toOversee()}
			if k.ReviewDays > 0 && permit.MayReview(r.p, k, m, m.Deciders, r.Holder, r.now) == nil {
				out.May[PermitReview] = Answer{OK: true, StepUp: r.toOversee()}
			}
		}
	}
	if concerns && out.OwesIt || keeps && out.OwesIt {
		out.May[PermitDone] = yes
	}
	ahead := !r.now.Before(m.Until.AddDate(0, 0, -max(k.AheadDays, 1)))
	if concerns && permit.Follows(m, m.Kind, m.Person, r.now) && (out.State != Approved || ahead) && mayAsk(r, k).OK {
		out.May[PermitRenew] = yes
	}
}

// wholePermit fills in what the page of a permit says besides.
func (d *Desk) wholePermit(ctx context.Context, r reader, m permit.Permit, out *Permit) error {
	view, err := d.Approvals.Get(ctx, m.Matter)
	switch {
	case errors.Is(err, approval.ErrNotFound):
	case err != nil:
		return err
	default:
		out.Decisions, out.Missing = saidOf(view)
		if view.At() == approval.Pending {
			card, err := d.Approvals.Card(ctx, m.Matter)
			if err != nil {
				return err
			}
			for _, c := range card.Who {
				if c.Verdict.OK() && len(out.Asked) < mostNamed {
					out.Asked = append(out.Asked, who(approval.Ref(c.Person)))
				}
			}
		}
	}
	uses, err := d.Permits.Uses(ctx, m.ID, mostDays)
	if err != nil {
		return err
	}
	for _, u := range uses {
		out.Uses = append(out.Uses, PermitUse{u.First, u.Last, u.From})
	}
	mine, _, err := d.Permits.List(ctx, r.By, permit.Filter{Kind: m.Kind, Person: m.Person.ID, Limit: pageRead})
	if err != nil {
		return err
	}
	follow(r, mine, []*Permit{out})
	return nil
}

// DoPermit does one act about a permit, and answers it as it is after it.
func (d *Desk) DoPermit(ctx context.Context, o signin.Origin, cookie, id string, a PermitAct, s PermitSaid) (Permit, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Permit{}, err
	}
	var m permit.Permit
	switch a {
	case PermitCancel:
		m, err = d.Permits.Cancel(ctx, r.By, id, s.Comment)
	case PermitEnd:
		m, err = d.Permits.End(ctx, r.By, id, s.Comment)
	case PermitRevoke:
		m, err = d.Permits.Revoke(ctx, r.By, id, s.Comment)
	case PermitReview:
		m, err = d.Permits.Review(ctx, r.By, id, s.Comment)
	case PermitDone:
		m, err = d.Permits.Record(ctx, r.By, id, permit.Done{At: s.At, By: s.By, What: s.Comment})
	default:
		err = web.ErrNoPage
	}
	if err != nil {
		return Permit{}, said(err)
	}
	return d.permit(ctx, r, m, false)
}

// DecideAll says yes or no to the permits that several matters ask for, each by
// itself. With an error, what it answers had been decided before.
func (d *Desk) DecideAll(ctx context.Context, o signin.Origin, cookie string, matters []string, yes bool, comment string, confirmed []string) ([]Decided, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	var ids []string
	asks := map[string]Decided{} // the matter of each permit
	for _, id := range matters {
		view, err := d.Approvals.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(permit.Kinds(), view.Kind) {
			return nil, approval.ErrNotFound // what is about something else is decided by itself
		}
		k, _ := r.p.Permit(view.Detail["kind"])
		ids, asks[view.Detail["permit"]] = append(ids, view.Detail["permit"]), Decided{ID: id, Name: k.Name, For: who(view.For())}
	}
	became, err := d.Permits.DecideAll(ctx, r.By, ids, yes, comment, confirmed)
	var out []Decided
	for _, one := range became {
		became := asks[one.ID]
		became.Err = said(one.Err)
		out = append(out, became)
	}
	return out, said(err)
}
