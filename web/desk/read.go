package desk

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/grant"
	"sekisho/policy"
	"sekisho/web"
)

// Bounds of what one answer gathers.
const (
	mostCards = 50
	mostUses  = 3
	mostLines = 100
	mostNamed = 5
)

// Privileges are those that are lent to the reader.
func (d *Desk) Privileges(ctx context.Context, o signin.Origin, cookie string) ([]Privilege, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	offers, err := d.Lent.Offers(ctx, r.By)
	if err != nil {
		return nil, err
	}
	var out []Privilege
	for _, one := range offers {
		p := d.privilege(r, one.Privilege)
		p.Refused, p.RefusedAtOnce = answer(one.Refused), answer(one.AtOnce)
		p.StepUp = r.toBorrow(one.Privilege)
		out = append(out, p)
	}
	return out, nil
}

// answer is a refusal as it is shown beside what it is about.
func answer(err error) Answer {
	if err == nil {
		return Answer{OK: true}
	}
	var no *grant.Refusal
	if errors.As(err, &no) {
		return Answer{Why: no.Says, Articles: no.Articles}
	}
	p := web.ProblemOf(err)
	return Answer{Why: p.Detail, Articles: p.Articles}
}

func (d *Desk) privilege(r reader, v policy.Privilege) Privilege {
	p := Privilege{
		ID: v.ID, Name: v.Name, Usual: v.Usual, Longest: v.Longest, Approvers: v.Approvers.Posts, Quorum: max(1, v.Approvers.Quorum), All: v.Approvers.All,
		Ticket: v.Ticket, TwoPerson: v.TwoPerson, WitnessEvery: v.WitnessEvery, Emergency: v.Emergency, ShortestTime: v.EmergencyLongest,
		WorkRecord: v.WorkRecord, RecordEnd: v.RecordEnd, ShowsSecret: v.ShowsSecret(), Outlives: v.OutlivesSession, CoolDown: v.CoolDown,
	}
	if p.Name.IsEmpty() {
		p.Name = policy.Words{JA: v.ID, EN: v.ID}
	}
	if r.Person.ID != "" {
		_, p.Decided = r.p.StandingFor(string(approval.Elevation), v.ID, r.Person.Section, r.now)
	}
	for _, g := range v.Gives {
		p.Gives = append(p.Gives, gives(r.p, g))
	}
	for _, one := range d.Effects.Residuals(v.Gives) {
		p.Residual = append(p.Residual, one.Words)
	}
	return p
}

// gives says what a gift is and of what.
func gives(p *policy.Policy, g policy.Gift) policy.Words {
	switch g.Kind {
	case policy.GiftGroup:
		name := shortDN(g.Group)
		return policy.Words{JA: "グループ " + name + " の一員になります", EN: "Membership of the group " + name}
	case policy.GiftAccount:
		name := shortDN(g.Account)
		return policy.Words{JA: "管理用のID " + name + " が、新しいパスワードで使えるようになります", EN: "The administrator's ID " + name + ", with a fresh password"}
	case policy.GiftEphemeral:
		w := policy.Words{JA: "この貸出しのためだけのIDが作られます", EN: "An ID that is made for this lease alone"}
		var groups []string
		for _, dn := range g.Groups {
			groups = append(groups, shortDN(dn))
		}
		if len(groups) > 0 {
			w.JA += "（グループ " + strings.Join(groups, "、") + "）"
			w.EN += " (groups: " + strings.Join(groups, ", ") + ")"
		}
		return w
	case policy.GiftApplication:
		name := policy.Words{JA: g.Application, EN: g.Application}
		for _, a := range p.Applications {
			if string(a.ID) == g.Application && !a.Name.IsEmpty() {
				name = a.Name
			}
		}
		roles := strings.Join(g.Roles, ", ")
		return policy.Words{JA: "「" + name.In("ja") + "」に役割 " + roles + " が伝えられます", EN: name.In("en") + " is told of the role " + roles}
	}
	return grant.Says(g)
}

// shortDN is the value of a name's first part, which people know the entry by.
func shortDN(dn string) string {
	first, _, _ := strings.Cut(dn, ",")
	if _, value, ok := strings.Cut(first, "="); ok && value != "" {
		return value
	}
	return dn
}

// Lease is one lease, as the reader may see it.
func (d *Desk) Lease(ctx context.Context, o signin.Origin, cookie, id string) (Lease, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Lease{}, err
	}
	return d.lease(ctx, r, id)
}

func (d *Desk) lease(ctx context.Context, r reader, id string) (Lease, error) {
	l, err := d.Lent.Get(ctx, id)
	if err != nil {
		return Lease{}, err
	}
	out, err := d.shown(ctx, r, l, true)
	if err != nil {
		return Lease{}, err
	}
	// A lease that does not concern the reader is none to them.
	if !out.Mine && !r.sees() && len(out.May) == 0 && l.Witness.ID != r.Person.ID && !decided(out, r.Person.Login) {
		return Lease{}, grant.ErrNotFound
	}
	return out, nil
}

func decided(l Lease, login string) bool {
	return slices.ContainsFunc(l.Decisions, func(d Decision) bool { return d.By.Login == login })
}

// shown is a lease with what its reader may do. whole reads also what stands on
// its own page alone.
func (d *Desk) shown(ctx context.Context, r reader, l grant.Lease, whole bool) (Lease, error) {
	v, known := r.p.Privilege(l.Privilege)
	if !known {
		v = policy.Privilege{ID: l.Privilege, Gives: l.Gives}
	}
	out := Lease{
		ID: l.ID, State: State(l.State(r.now)), Privilege: d.privilege(r, v), Requester: who(l.By), Reason: l.Reason, Ticket: l.Ticket, Minutes: int(l.Asked / time.Minute),
		RequestedAt: l.AskedAt, LapsesAt: l.LapsesAt, ApprovedUntil: l.ApprovedUntil, StartedAt: l.StartedAt, EndsAt: l.EndsAt(),
		EndedBy: who(l.EndedBy), EndReason: l.EndReason, Emergency: l.Emergency, Times: l.Times, Witness: who(l.Witness), Paused: l.Paused(r.now),
		Judgement: Judgement{who(l.Judgement.By), l.Judgement.At, l.Judgement.Comment}, Extending: l.Extending(r.now),
		Account: Account{Login: l.Account}, Mine: l.By.ID == r.Person.ID, May: map[Act]Answer{}, Cleanup: "none",
		Record: Record{Text: l.Record.Text, WrittenAt: l.Record.WrittenAt, By: who(l.Record.Countersigned), At: l.Record.At, Comment: l.Record.Comment},
	}
	out.Privilege.TwoPerson = l.TwoPerson || !known && v.TwoPerson
	out.Record.Due, out.Record.Owed = l.Owed(r.now)
	if over, ok := l.Over(r.now); ok {
		out.EndedAt = over
	}
	if out.State == Active && l.TwoPerson {
		out.WitnessDue = l.WitnessDue
	}
	if out.State != Pending {
		out.LapsesAt = time.Time{}
	}
	if !l.StartedAt.IsZero() || out.State == Approved {
		c, err := d.Lent.Cleanup(ctx, l.ID)
		if err != nil {
			return Lease{}, err
		}
		if out.Cleanup = string(c); out.State == Active || out.State == Approved {
			out.Cleanup = "none" // what it gives is there by right
		}
	}
	if err := d.decisions(ctx, r, l, &out, whole); err != nil {
		return Lease{}, err
	}
	d.may(r, l, v, &out)
	if !whole {
		return out, nil
	}
	err := d.shut(ctx, r, l, v, &out)
	if err != nil {
		return Lease{}, err
	}
	out.Uses, err = d.uses(ctx, r, l)
	return out, err
}

// shut says of the reader's own lease whether it waits for them to sign in anew.
func (d *Desk) shut(ctx context.Context, r reader, l grant.Lease, v policy.Privilege, out *Lease) error {
	if !out.Mine || out.State != Active || l.Outlives || l.Session != r.SessionID {
		return nil
	}
	_, raised, err := d.Sessions.Privileged(ctx, session.Session{ID: l.Session})
	if err != nil || raised && grant.Meets(v.ACR, r.ACR, r.Synced) {
		return err
	}
	out.Shut, out.Resume = true, r.needs(v.ACR, r.p.Session.ElevatedIdleEnd)
	return nil
}

// matterOf is the matter about a lease that waits, or that decided it.
func matterOf(l grant.Lease, now time.Time) string {
	if l.Extending(now) {
		return l.Extension.Matter
	}
	return l.Matter
}

// decisions fills in who said what, who may still, and whether the reader may.
func (d *Desk) decisions(ctx context.Context, r reader, l grant.Lease, out *Lease, whole bool) error {
	id := matterOf(l, r.now)
	if id == "" {
		return nil
	}
	view, err := d.Approvals.Get(ctx, id)
	if errors.Is(err, approval.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	out.Decisions, out.Missing = saidOf(view)
	if view.At() != approval.Pending {
		return nil
	}
	verdict, err := d.Approvals.Verdict(ctx, view, r.By)
	if err != nil {
		return err
	}
	if !out.Mine {
		if can, theirs := r.decides(verdict); theirs {
			out.May[Approve], out.May[Deny] = can, can
		}
	}
	if !whole {
		return nil
	}
	card, err := d.Approvals.Card(ctx, id)
	if err != nil {
		return err
	}
	for _, c := range card.Who {
		if c.Verdict.OK() && len(out.Asked) < mostNamed {
			out.Asked = append(out.Asked, who(approval.Ref(c.Person)))
		}
	}
	return nil
}

// decides is what a verdict means for the reader. theirs is false where the matter
// is none of their business.
func (r reader) decides(v approval.Verdict) (can Answer, theirs bool) {
	switch {
	case v.OK():
		return Answer{OK: true}, true
	case v.Reason == approval.NewFactor:
		return Answer{Why: v.Says, Articles: v.Articles}, true // the same sign-in again would not help
	case v.StepUp:
		need := r.toDecide()
		if need == nil {
			return Answer{Why: v.Says, Articles: v.Articles}, true
		}
		return Answer{OK: true, StepUp: need}, true
	case v.Reason == approval.NotTheirs:
		return Answer{}, false
	}
	return Answer{Why: v.Says, Articles: v.Articles}, true
}

// saidOf is what was said on a matter, and how many yeses the step that waits
// still lacks.
func saidOf(view approval.View) (list []Decision, missing int) {
	at, of := view.Step()
	yes := 0
	for _, one := range view.Decisions {
		list = append(list, Decision{
			By: who(one.By), Yes: one.Yes, At: one.At, Comment: one.Comment, Acting: one.How.Reviewed(), Standing: one.How == approval.ByStanding,
		})
		if one.Yes && one.Step == at {
			yes++
		}
	}
	if view.At() == approval.Pending && at < of {
		missing = max(1, view.Rule.Steps[at].Quorum-yes)
	}
	return list, missing
}

// may fills in what the reader may do beside deciding. Each act is asked again
// where it is done.
func (d *Desk) may(r reader, l grant.Lease, v policy.Privilege, out *Lease) {
	state, yes := l.State(r.now), Answer{OK: true}
	if out.Mine {
		switch state {
		case grant.Pending:
			out.May[Cancel] = yes
		case grant.Approved:
			out.May[Activate], out.May[Cancel] = Answer{OK: true, StepUp: r.toBorrow(v)}, yes
			if err := grant.MayBorrow(r.p, v, r.Holder, r.now); err != nil {
				out.May[Activate] = answer(err)
			}
		case grant.Active:
			out.May[End] = yes
			if !l.Emergency && !l.Extending(r.now) && l.EndsAt().Before(l.Limit()) {
				out.May[Extend] = Answer{OK: true, StepUp: r.toBorrow(v)}
			}
			if l.Account != "" && !l.Paused(r.now) && (l.Outlives || l.Session == r.SessionID) {
				out.May[Renew] = Answer{OK: true, StepUp: r.toBorrow(v)}
			}
			if l.TwoPerson && v.ShowsSecret() { // its borrower was not there when it began
				out.May[Activate] = Answer{OK: true, StepUp: r.toBorrow(v)}
			}
		}
		if out.Record.Owed {
			out.May[Report] = yes
		}
		return
	}
	if r.audits() {
		return
	}
	if l.TwoPerson && (l.Waits(r.now) || state == grant.Active) && grant.MayBorrow(r.p, v, r.Holder, r.now) == nil && !l.By.Same(approval.Ref(r.Person)) {
		out.May[Witness] = Answer{OK: true, StepUp: r.toBorrow(v)}
	}
	if (state == grant.Active || state == grant.Approved) && d.Lent.MayRevoke(r.By, l) == nil {
		out.May[Revoke] = Answer{OK: true, StepUp: r.toOversee()}
	}
	if !l.Record.WrittenAt.IsZero() && l.Record.At.IsZero() && d.Lent.MayCountersign(r.By, l) == nil {
		out.May[Countersign] = Answer{OK: true, StepUp: r.toOversee()}
	}
	if l.Emergency && !l.StartedAt.IsZero() && l.Judgement.At.IsZero() && d.Lent.MayJudge(r.By, l) == nil {
		out.May[Judge] = Answer{OK: true, StepUp: r.toOversee()}
	}
}

// uses are the last times that a lease's borrower used the same privilege before.
func (d *Desk) uses(ctx context.Context, r reader, l grant.Lease) ([]Use, error) {
	before, err := d.Lent.List(ctx, grant.Filter{Person: l.By.ID, Privilege: l.Privilege, Before: l.AskedAt, Limit: 20})
	if err != nil {
		return nil, err
	}
	var out []Use
	for _, one := range before {
		if one.StartedAt.IsZero() || len(out) == mostUses {
			continue
		}
		u := Use{ID: one.ID, At: one.StartedAt, Reason: one.Reason, State: State(one.State(r.now)), Emergency: one.Emergency}
		if over, ok := one.Over(r.now); ok {
			u.For = over.Sub(one.StartedAt)
		}
		out = append(out, u)
	}
	return out, nil
}

// Leases lists. Who sees nothing of others is shown their own.
func (d *Desk) Leases(ctx context.Context, o signin.Origin, cookie string, f Filter) (List, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return List{}, err
	}
	limit := f.Limit
	if limit < 1 || limit > mostLines {
		limit = mostLines
	}
	if f.ToApprove {
		return d.toApprove(ctx, r, f, limit)
	}
	want := grant.Filter{State: grant.State(f.State), Limit: limit + 1}
	if f.Mine || !r.sees() {
		want.Person = r.Person.ID
	}
	if f.After != "" {
		// A cursor is the time of the last line; nothing of it is trusted.
		us, err := strconv.ParseInt(f.After, 10, 64)
		if err != nil || us <= 0 {
			return List{}, web.Invalid(web.FieldError{Field: "after", Rule: "cursor", Detail: policy.Words{
				JA: "前の答えの next をそのまま指定してください。", EN: "Give what the answer before called next."}})
		}
		want.Before = time.UnixMicro(us)
	}
	found, err := d.Lent.List(ctx, want)
	if err != nil {
		return List{}, err
	}
	var out List
	if len(found) > limit {
		found = found[:limit]
		out.Next = strconv.FormatInt(found[limit-1].AskedAt.UnixMicro(), 10)
	}
	for _, l := range found {
		one, err := d.shown(ctx, r, l, false)
		if err != nil {
			return List{}, err
		}
		out.Leases = append(out.Leases, one)
	}
	return out, nil
}

// toApprove lists the leases about which a matter waits for the reader.
func (d *Desk) toApprove(ctx context.Context, r reader, f Filter, limit int) (List, error) {
	waits, err := d.Approvals.Pending(ctx, r.By)
	if err != nil {
		return List{}, err
	}
	var out List
	for _, view := range waits {
		id := view.Detail["lease"]
		if (view.Kind != grant.KindElevation && view.Kind != grant.KindExtension) || id == "" || len(out.Leases) == limit {
			continue
		}
		l, err := d.Lent.Get(ctx, id)
		if errors.Is(err, grant.ErrNotFound) {
			continue
		}
		if err != nil {
			return List{}, err
		}
		if f.State != "" && State(l.State(r.now)) != f.State || f.Mine && l.By.ID != r.Person.ID {
			continue
		}
		one, err := d.shown(ctx, r, l, false)
		if err != nil {
			return List{}, err
		}
		out.Leases = append(out.Leases, one)
	}
	return out, nil
}
