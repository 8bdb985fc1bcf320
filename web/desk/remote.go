package desk

import (
	"context"
	"slices"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/permit"
	"sekisho/authz/remote/radius"
	"sekisho/policy"
)

// Network are those whom the gear at the network's edge has let in by the gate's word;
// radius.Door knows.
type Network interface {
	Live(ctx context.Context) ([]radius.Remote, error)
}

// RemoteSessions are those who are inside from outside now, for who looks at what
// others do: those of the sections that the reader answers for (article 47-3).
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
	all = slices.DeleteFunc(all, func(n session.Session) bool { return !n.Outside || n.Parent != "" })
	var through []radius.Remote
	if d.Network != nil {
		if through, err = d.Network.Live(ctx); err != nil {
			return nil, err
		}
		for _, n := range through {
			// Their session at the gate stands for the same; the gear says where it is.
			all = slices.DeleteFunc(all, func(s session.Session) bool { return s.ID == n.ID })
		}
	}
	known := slices.Clone(all)
	for _, n := range through {
		known = append(known, session.Session{ID: n.ID, Permits: n.Permits})
	}
	sections, err := d.Permits.SectionsOf(ctx, known)
	if err != nil {
		return nil, err
	}
	reach := d.Permits.Reach(r.By)
	var out []RemoteSession
	add := func(s RemoteSession, permits []string) {
		s.Person.Section = sections[s.ID]
		if !reach.Sees(r.p, s.Person.Section) {
			return
		}
		if len(permits) > 0 {
			s.Permit = permits[0]
		}
		if permit.MayEndSession(r.p, s.Person.Section, r.Holder, r.now) == nil {
			s.End = Answer{OK: true, StepUp: r.toOversee()}
		}
		out = append(out, s)
	}
	for _, n := range all {
		add(RemoteSession{
			ID: n.ID, Person: Who{Login: n.Login, Name: n.Name}, Since: n.StartedAt, SeenAt: n.SeenAt, From: n.From, Door: policy.Words{JA: "関所の画面", EN: "The gate's pages"},
		}, n.Permits)
	}
	for _, n := range through {
		add(RemoteSession{
			ID: n.ID, Person: Who{Login: n.Login, Name: n.Name}, Since: n.AdmittedAt, SeenAt: n.HeardAt, From: n.From, Door: policy.Words{JA: n.Client, EN: n.Client}, Until: n.EndsAt,
			Ending: !n.CutAt.IsZero(),
		}, n.Permits)
	}
	slices.SortStableFunc(out, func(a, b RemoteSession) int { return b.Since.Compare(a.Since) })
	return out, nil
}

// EndRemote ends one of them, for a reason.
func (d *Desk) EndRemote(ctx context.Context, o signin.Origin, cookie, id, reason string) error {
	r, err := d.reader(ctx, o, cookie)
	if err != nil {
		return err
	}
	return said(d.Permits.EndSession(ctx, r.By, id, reason))
}
