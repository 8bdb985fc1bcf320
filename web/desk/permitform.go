package desk

import (
	"context"
	"errors"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/permit"
	"sekisho/policy"
	"sekisho/web"
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
		Columns: permit.Columns(k), Reads: d.Permits.Reach(r.By).Any(),
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
