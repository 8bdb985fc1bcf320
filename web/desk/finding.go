package desk

import (
	"context"
	"errors"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/elevate"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
	"sekisho/web"
)

// A Lookout compares the directory with the leases; elevate.Book is one.
type Lookout interface {
	Findings(ctx context.Context, most int) ([]elevate.Finding, error)
	TakeUp(ctx context.Context, id string, by elevate.Who, note string, e audit.Entry) error
}

// Sealed is the register of emergency IDs in envelopes; sealed.Book is one.
type Sealed interface {
	Known(ctx context.Context, in store.Reader, login, dn string) (systems []string, err error)
}

// Findings are what no lease accounts for, those that are open first.
func (d *Desk) Findings(ctx context.Context, o signin.Origin, cookie string) ([]Finding, error) {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return nil, err
	}
	if !r.sees() {
		return nil, outsider()
	}
	if d.Lookout == nil {
		return nil, nil
	}
	found, err := d.Lookout.Findings(ctx, mostLines)
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, f := range found {
		v, ok := r.p.Privilege(f.Privilege)
		if !ok {
			s, _ := r.p.SharedID(f.Privilege)
			v = policy.Privilege{ID: f.Privilege, Name: s.Name}
		}
		one := Finding{
			ID: f.ID, Kind: string(f.Kind), Privilege: d.privilege(reader{p: r.p, now: r.now}, v), Account: f.Login, Object: f.Place, SeenAt: f.FoundAt, LastAt: f.SeenAt,
			RemovedAt: f.RemovedAt, Hindrance: f.Hindrance, ClosedAt: f.ClosedAt, ClosedBy: string(f.ClosedBy),
			TakenAt: f.Taken.At, TakenBy: Who{Login: f.Taken.By.Login, Name: f.Taken.By.Name}, Note: f.Taken.Note,
			MayTake: f.ClosedAt.IsZero() && !r.audits(),
		}
		if one.Account == "" {
			one.Account = f.Subject
		}
		if d.Sealed != nil {
			if one.Sealed, err = d.Sealed.Known(ctx, d.DB, f.Login, f.Subject); err != nil {
				return nil, err
			}
		}
		if one.Residual = one.Privilege.Residual; f.ClosedAt.IsZero() && f.RemovedAt.IsZero() {
			one.Residual = nil // it is all there still
		}
		out = append(out, one)
	}
	return out, nil
}

// TakeUp writes down that the reader looks into a finding.
func (d *Desk) TakeUp(ctx context.Context, o signin.Origin, cookie, id, note string) error {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	switch {
	case !r.sees() || d.Lookout == nil || !r.Usable:
		return outsider()
	case r.audits():
		return web.Say(web.CodeForbidden, policy.Words{JA: "監査の役割を持つ方は、閲覧だけができます。", EN: "Whoever audits reads and changes nothing."})
	}
	if err := approval.Comment("note", note, true); err != nil {
		return err
	}
	err = d.Lookout.TakeUp(ctx, id, elevate.Who{ID: r.Person.ID, Login: r.Person.Login, Name: r.Person.Name}, note, audit.Entry{
		From: r.From, RequestID: r.RequestID, Terminal: r.Terminal, Zone: string(r.Zone),
	})
	if errors.Is(err, elevate.ErrNoFinding) {
		return web.ErrNoPage
	}
	return err
}
