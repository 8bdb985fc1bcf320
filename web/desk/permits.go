package desk

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/permit"
	"sekisho/authz/remote/radius"
	"sekisho/policy"
	"sekisho/web"
)

// Terminals is the register of terminals; authn/terminal has one.
type Terminals interface {
	List(ctx context.Context) ([]terminal.Terminal, error)
}

// Network are those whom the gear at the network's edge has let in by the gate's word;
// radius.Door knows.
type Network interface {
	Live(ctx context.Context) ([]radius.Remote, error)
}

// Bounds of what is gathered about permits.
const (
	pageRead    = 500 // of one person's, to see which follow which
	mostDays    = 31  // days of use that a permit's page shows
	mostOffered = 500 // terminals that a form suggests
	mostWords   = 16  // that a list is searched for
)

// PermitKinds are the kinds of the policy, with what the reader may do.
func (d *Desk) PermitKinds(ctx context.Context, o signin.Origin, cookie string) ([]PermitKind, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	var out []PermitKind
	for _, k := range r.p.Permits {
		out = append(out, d.permitKind(r, k))
	}
	return out, nil
}

func (d *Desk) permitKind(r reader, k policy.PermitKind) PermitKind {
	out := PermitKind{
		ID: k.ID, Name: k.Name, Articles: k.Articles, Enforced: k.Enforces != policy.EnforcesNothing, Done: k.Done, Review: days(k.ReviewDays), Longest: days(k.LongestDays),
		Columns: permit.Columns(k), Reads: d.Permits.Sees(r.By),
	}
	for _, s := range k.Steps {
		out.Deciders = append(out.Deciders, decider(r.p, s))
	}
	for _, f := range k.Fields {
		out.Fields = append(out.Fields, PermitField{ID: f.ID, Label: f.Name, Type: f.Type, Must: f.Required, OfContractor: f.OfContractors, Choices: f.Choices})
		out.Others = out.Others || f.OfContractors || f.Type == policy.FieldTerminal
	}
	for _, c := range k.Confirm {
		out.Confirms = append(out.Confirms, confirmation(c))
	}
	out.Ask = mayAsk(r, k)
	out.Brings = out.Reads && out.Ask.OK
	return out
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// mayAsk says whether the reader may ask for a permit of a kind. What is asked for
// by other posts is not the reader's business.
func mayAsk(r reader, k policy.PermitKind) Answer {
	err := permit.MayAsk(r.p, k, r.Holder, r.Person, r.now)
	var no *permit.Refused
	switch {
	case err == nil:
		return Answer{OK: true}
	case errors.As(err, &no) && (no.Reason == permit.NoPost || no.Reason == permit.ReadsOnly):
		return Answer{}
	case errors.As(err, &no):
		return Answer{Why: no.Says, Articles: no.Articles}
	}
	p := web.ProblemOf(err)
	return Answer{Why: p.Detail, Articles: p.Articles}
}

// decider says who decides a step.
func decider(p *policy.Policy, s policy.PermitStep) policy.Words {
	ja, en := "、又は", " or "
	if s.All {
		ja, en = "と", " and "
	}
	var names, english []string
	for _, id := range s.Posts {
		name := policy.Words{JA: string(id), EN: string(id)}
		if post, ok := p.Post(id); ok && !post.Name.IsEmpty() {
			name = post.Name
		}
		names, english = append(names, name.In("ja")), append(english, name.In("en"))
	}
	return policy.Words{JA: strings.Join(names, ja), EN: strings.Join(english, en)}
}

func confirmation(c policy.PermitConfirmation) Confirmation {
	out := Confirmation{ID: c.ID, Says: c.Says, Instead: c.Instead}
	if c.Article != "" {
		out.Articles = []policy.Article{c.Article}
	}
	return out
}

// PermitForm is a kind with what its form offers.
func (d *Desk) PermitForm(ctx context.Context, o signin.Origin, cookie, kind string) (PermitForm, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return PermitForm{}, err
	}
	k, ok := r.p.Permit(kind)
	if !ok {
		return PermitForm{}, web.ErrNoPage
	}
	out := PermitForm{PermitKind: d.permitKind(r, k), Until: k.Longest(r.now), Last: k.Longest(r.now.AddDate(0, 0, k.AheadDays))}
	for _, f := range k.Fields {
		switch f.Type {
		case policy.FieldTerminal:
			if out.Terminals, err = d.lent(ctx); err != nil {
				return PermitForm{}, err
			}
		case policy.FieldApplication, policy.FieldApplications:
			for _, a := range r.p.Applications {
				// The My Number zone is closed to the outside (article 26no2-1).
				if k.Enforces != policy.EnforcesRemote || a.Zone != policy.MyNumber {
					out.Applications = append(out.Applications, PermitChoice{a.ID, applicationName(r.p, a.ID)})
				}
			}
			for _, c := range r.p.Clients {
				if a, ok := r.p.ClientApplication(c); ok && c.Application == "" && len(c.RedirectURIs) > 0 && k.Enforces == policy.EnforcesRemote && a.Zone != policy.MyNumber {
					out.Applications = append(out.Applications, PermitChoice{a.ID, applicationName(r.p, a.ID)})
				}
			}
		case policy.FieldZone:
			for _, z := range policy.ZoneIDs() {
				out.Zones = append(out.Zones, PermitChoice{string(z), authz.ZoneName(r.p, z)})
			}
		}
	}
	return out, nil
}

// lent are the terminals that are lent and not lost.
func (d *Desk) lent(ctx context.Context) ([]PermitChoice, error) {
	all, err := d.Terminals.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []PermitChoice
	for _, t := range all {
		if t.Class == policy.TerminalLent && t.LostAt.IsZero() && len(out) < mostOffered {
			says := t.Name
			if says.IsEmpty() {
				says = policy.Words{JA: t.ID, EN: t.ID}
			}
			out = append(out, PermitChoice{t.ID, says})
		}
	}
	return out, nil
}

// applicationName is what people call an application, or a program that is one.
func applicationName(p *policy.Policy, id string) policy.Words {
	if a, ok := p.Application(id); ok && !a.Name.IsEmpty() {
		return a.Name
	}
	for _, c := range p.Clients {
		if a, ok := p.ClientApplication(c); ok && a.ID == id && !c.Name.IsEmpty() {
			return c.Name
		}
	}
	return policy.Words{JA: id, EN: id}
}

// AskPermit asks for a permit.
func (d *Desk) AskPermit(ctx context.Context, o signin.Origin, cookie string, w PermitWish) (Permit, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Permit{}, err
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	m, err := d.Permits.Ask(ctx, r.By, permit.Wish{
		Kind: w.Kind, Person: w.Person, Reason: w.Reason, From: at(w.From), Until: at(w.Until), Stated: permit.Stated(w.Stated), Renews: w.Renews, Key: w.Key,
	})
	if err != nil {
		return Permit{}, said(err)
	}
	return d.permit(ctx, r, m, false)
}

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

func company(s permit.Stated) string {
	name := s.One("company")
	if sub := s.One("subcontractor"); sub != "" {
		name += "（" + sub + "）"
	}
	return name
}

// dayNames are what people call the days of the policy.
var dayNames = map[string]policy.Words{
	"mon": {JA: "月", EN: "Mon"}, "tue": {JA: "火", EN: "Tue"}, "wed": {JA: "水", EN: "Wed"}, "thu": {JA: "木", EN: "Thu"},
	"fri": {JA: "金", EN: "Fri"}, "sat": {JA: "土", EN: "Sat"}, "sun": {JA: "日", EN: "Sun"},
}

// when says days and hours; nothing where neither was stated.
func when(days, hours []string) policy.Words {
	var out policy.Words
	if len(days) > 0 {
		out = named(days, func(id string) policy.Words { return dayNames[id] }, "・")
	}
	if len(hours) > 0 {
		if !out.IsEmpty() {
			out.JA, out.EN = out.JA+" ", out.EN+" "
		}
		out.JA, out.EN = out.JA+strings.Join(hours, "、"), out.EN+strings.Join(hours, ", ")
	}
	return out
}

// named joins what several ids are called.
func named(ids []string, name func(string) policy.Words, comma string) policy.Words {
	var ja, en []string
	for _, id := range ids {
		w := name(id)
		if w.IsEmpty() {
			w = policy.Words{JA: id, EN: id}
		}
		ja, en = append(ja, w.In("ja")), append(en, w.In("en"))
	}
	return policy.Words{JA: strings.Join(ja, comma), EN: strings.Join(en, ", ")}
}

// valueOf says what was stated in a field.
func valueOf(p *policy.Policy, f policy.PermitField, values []string) policy.Words {
	plain := func(id string) policy.Words { return policy.Words{JA: id, EN: id} }
	switch f.Type {
	case policy.FieldApplication, policy.FieldApplications:
		return named(values, func(id string) policy.Words { return applicationName(p, id) }, "、")
	case policy.FieldZone:
		return named(values, func(id string) policy.Words { return authz.ZoneName(p, policy.ZoneID(id)) }, "、")
	case policy.FieldDays:
		return named(values, func(id string) policy.Words { return dayNames[id] }, "・")
	}
	return named(values, plain, "、")
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

// followed are the permits that others follow, by id, with those.
func followed(r reader, among []permit.Permit) map[string]string {
	out := map[string]string{}
	for _, next := range among {
		if next.Renews != "" && next.State(r.now).Open() {
			out[next.Renews] = next.ID
		}
	}
	return out
}

// follow finds for each permit the one that follows it, and lets nobody renew
// twice.
func follow(r reader, among []permit.Permit, shown []*Permit) {
	next := followed(r, among)
	for _, p := range shown {
		if id := next[p.ID]; id != "" {
			p.Renewed = id
			delete(p.May, PermitRenew)
		}
	}
}

// ListPermits lists, the newest first. Who sees nothing of others is shown their own.
func (d *Desk) ListPermits(ctx context.Context, o signin.Origin, cookie string, f PermitFilter) (PermitList, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return PermitList{}, err
	}
	limit := f.Limit
	if limit < 1 || limit > mostLines {
		limit = mostLines
	}
	if f.Which == WhichRenew {
		return d.toRenew(ctx, r, f.Kind, limit)
	}
	filter := d.filter(f)
	filter.After, filter.Limit = f.After, limit
	page, next, err := d.Permits.List(ctx, r.By, filter)
	if err != nil {
		return PermitList{}, err
	}
	out := PermitList{Next: next}
	for _, m := range page {
		one, err := d.permit(ctx, r, m, false)
		if err != nil {
			return PermitList{}, err
		}
		out.Permits = append(out.Permits, one)
	}
	if f.Which == WhichMine {
		own, err := d.ownPermits(ctx, r, f.Kind)
		if err != nil {
			return PermitList{}, err
		}
		shown := make([]*Permit, len(out.Permits))
		for i := range out.Permits {
			shown[i] = &out.Permits[i]
		}
		follow(r, own, shown)
		return out, nil
	}
	counts, err := d.Permits.Count(ctx, r.By, f.Kind)
	for _, n := range counts {
		out.Live, out.Soon, out.Unused = out.Live+n.Live, out.Soon+n.Soon, out.Unused+n.Unused
	}
	return out, err
}

// filter is what a page asks for, as the book knows it.
func (d *Desk) filter(f PermitFilter) permit.Filter {
	words := strings.Fields(f.Words)
	out := permit.Filter{Kind: f.Kind, Section: f.Section, Application: f.Application, Words: words[:min(len(words), mostWords)]}
	switch f.Which {
	case WhichLive:
		out.State = permit.Approved
	case WhichRenew:
		out.State, out.Mine = permit.Approved, true
	case WhichMine:
		out.Mine = true
	case WhichSoon:
		out.Soon = true
	case WhichUnused:
		out.State, out.Unused = permit.Approved, true
	case WhichPending:
		out.State = permit.Pending
	case WhichDue:
		out.Review = true
	case WhichOwed:
		out.Owed = true
	case WhichOver:
		out.Over = true
	}
	return out
}

// CountPermits counts by kind what somebody has to look at.
func (d *Desk) CountPermits(ctx context.Context, o signin.Origin, cookie string) (map[string]PermitCount, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	counts, err := d.Permits.Count(ctx, r.By, "")
	out := map[string]PermitCount{}
	for kind, n := range counts {
		out[kind] = PermitCount{n.Live, n.Pending, n.Due, n.Owed}
	}
	return out, err
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

// ImportPermits asks for what a file lists. The whole file is looked through first,
// and where a line is wrong nothing is asked for.
func (d *Desk) ImportPermits(ctx context.Context, o signin.Origin, cookie, kind string, data []byte) (Imported, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return Imported{}, err
	}
	if need := r.toOversee(); need != nil {
		return Imported{}, need
	}
	lines, err := d.Permits.Import(ctx, r.By, kind, strings.NewReader(string(data)))
	if err != nil {
		return Imported{}, said(err)
	}
	var out Imported
	for _, l := range lines {
		switch {
		case l.Err != nil:
			out.Bad = append(out.Bad, badLines(l)...)
		case l.Known:
			out.Known++
		case l.Permit.ID != "":
			out.Added++
		}
	}
	return out, nil
}

// badLines says what is wrong with a line.
func badLines(l permit.Line) []BadLine {
	p := web.ProblemOf(l.Err)
	if len(p.Errors) == 0 {
		return []BadLine{{Line: l.Line, Says: p.Detail}}
	}
	var out []BadLine
	for _, e := range p.Errors {
		out = append(out, BadLine{l.Line, e.Field, e.Detail})
	}
	return out
}

// ExportPermits writes what a filter lists as a file.
func (d *Desk) ExportPermits(ctx context.Context, o signin.Origin, cookie string, f PermitFilter, w io.Writer) error {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	return d.Permits.Export(ctx, r.By, d.filter(f), w)
}

// RemoteSessions are those who are inside from outside now, for who looks at what
// others do.
func (d *Desk) RemoteSessions(ctx context.Context, o signin.Origin, cookie string) ([]RemoteSession, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	if !r.sees() {
		return nil, outsider()
	}
	all, err := d.Sessions.Everyone(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	var out []RemoteSession
	for _, n := range all {
		if !n.Outside || n.Parent != "" {
			continue
		}
		out = append(out, RemoteSession{
			ID: n.ID, Person: Who{Login: n.Login, Name: n.Name}, Since: n.StartedAt, SeenAt: n.SeenAt, From: n.From, Door: policy.Words{JA: "関所の画面", EN: "The gate's pages"},
		})
	}
	if d.Network != nil {
		through, err := d.Network.Live(ctx)
		if err != nil {
			return nil, err
		}
		for _, n := range through {
			// Their session at the gate stands for the same; the gear says where it is.
			out = slices.DeleteFunc(out, func(s RemoteSession) bool { return s.ID == n.ID })
			out = append(out, RemoteSession{
				ID: n.ID, Person: Who{Login: n.Login, Name: n.Name}, Since: n.AdmittedAt, SeenAt: n.HeardAt, From: n.From, Door: policy.Words{JA: n.Client, EN: n.Client}, Until: n.EndsAt, Permit: strings.Join(n.Permits[:min(1, len(n.Permits))], ""),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b RemoteSession) int { return b.Since.Compare(a.Since) })
	return out, nil
}
