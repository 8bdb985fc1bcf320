package desk

import (
	"context"
	"slices"
	"strings"

	"sekisho/authn/signin"
	"sekisho/authz/remote/radius"
	"sekisho/policy"
)

// Network are those whom the gear at the network's edge has let in by the gate's word;
// radius.Door knows.
type Network interface {
	Live(ctx context.Context) ([]radius.Remote, error)
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
