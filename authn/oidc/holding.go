package oidc

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/directory"
	"sekisho/policy"
)

var (
	// errOver: the session, the family or the code has ended.
	errOver = errors.New("the session or the authorization has ended")
	// errPolicy: the policy does not have this any more.
	errPolicy = errors.New("the policy does not allow this any more")
)

// A holding is a grant that was found to hold just now, with everything it hangs
// on.
type holding struct {
	grant   grant
	client  policy.Client
	session session.Session
	person  directory.Person
}

// closed is what Sekisho itself has recorded against a person.
var closed = standing.Closed

// holds asks everything that a family hangs on, at the time of use: itself, its
// session, its person, the policy, and whether this person may use this
// application. errOver, errPolicy, session.ErrNone and a *Refused refuse; any
// other error means that nobody could say.
func (p *Provider) holds(ctx context.Context, g grant) (holding, error) {
	now, pol := p.Now(), p.Policy()
	h := holding{grant: g}
	var ok bool
	if h.client, ok = pol.Client(g.Client); !ok {
		return h, errPolicy
	}
	app, ok := pol.ClientApplication(h.client)
	// A scope that the policy has taken away takes what was granted with it.
	if left := allowed(h.client, g.Scope); !ok || len(left) != len(g.Scope) || !slices.Contains(h.client.RedirectURIs, g.redirectURI) {
		return h, errPolicy
	}
	if !g.open(now) {
		return h, errOver
	}
	var err error
	if h.session, err = p.Sessions.ByID(ctx, g.session); err != nil {
		return h, err
	}
	if h.session.Person != g.Person {
		return h, errOver
	}
	zone, _ := pol.RulesOf(h.session.Zone)
	if h.person, err = p.People.Person(ctx, g.Person, zone.DirectoryStale); err != nil {
		return h, err
	}
	shut, err := closed(ctx, p.DB, g.Person, now)
	if err != nil {
		return h, err
	}
	if shut || !h.person.MaySignIn(now) {
		return h, errOver
	}
	from, _ := netip.ParseAddr(h.session.From)
	return h, p.Admit.Admit(ctx, Facts{
		Application: app, Client: h.client.ID, Person: h.person, Session: h.session,
		Zone: h.session.Zone, Outside: h.session.Outside, Source: from, Now: now,
	})
}

// about are the claims about a person that the scopes give, and those of wishes
// that the client may have.
func (p *Provider) about(ctx context.Context, h holding, scope, wishes []string) (map[string]any, error) {
	out := map[string]any{}
	told := func(name string) bool {
		need := claimScopes[name]
		return need == "" || slices.Contains(scope, need) || slices.Contains(wishes, name) && slices.Contains(h.client.Scopes, need)
	}
	put := func(name string, value any) {
		if told(name) {
			out[name] = value
		}
	}
	put("preferred_username", h.person.Login)
	put("name", h.person.Name)
	if h.person.Mail != "" {
		put("email", h.person.Mail)
		put("email_verified", true) // the prefecture itself gives the address, in its directory
	}
	put("section", h.person.Section)
	posts := p.Policy().PostsOf(h.person.Groups)
	if posts == nil {
		posts = []policy.PostID{}
	}
	put("posts", posts)
	put("zone", string(h.session.Zone))
	if h.session.TerminalClass != "" {
		put("terminal_class", h.session.TerminalClass)
	}
	if told("privileges") {
		leases := []Lease{}
		lent, err := p.lent(ctx, h)
		if err != nil {
			return nil, err
		}
		out["privileges"] = append(leases, lent...)
	}
	return out, nil
}

// lent are the leases that a person holds now in the session behind a grant.
func (p *Provider) lent(ctx context.Context, h holding) ([]Lease, error) {
	if p.Leases == nil {
		return nil, nil
	}
	app, _ := p.Policy().ClientApplication(h.client)
	return p.Leases(ctx, h.session, h.person, app)
}

// endOfLent is when tokens end that may tell of leases: before the first of them
// does, so that no application goes on by one that is over.
func (p *Provider) endOfLent(ctx context.Context, h holding, scope []string, end time.Time) (time.Time, error) {
	if !slices.Contains(scope, claimScopes["privileges"]) && !slices.Contains(h.grant.asked().IDToken, "privileges") {
		return end, nil
	}
	lent, err := p.lent(ctx, h)
	if err != nil {
		return time.Time{}, err
	}
	for _, l := range lent {
		end = earlier(end, l.EndsAt)
	}
	return end, nil
}
