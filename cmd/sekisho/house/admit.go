package house

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"sekisho/authn/oidc"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/grant"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// admitter lets the OpenID provider ask what forward-auth asks: may this person
// use this application, from there, with what they proved?
type admitter struct {
	rules     func() *policy.Policy
	lockDowns func(context.Context) ([]authz.LockDown, error)
	leases    leases
	permits   func(context.Context, *authz.Facts) error
	used      func(ids []string, from netip.Addr)
}

// leases are what is lent, as those ask who decide and who tell applications.
type leases struct {
	book     func() *grant.Book
	sessions *session.Sessions
}

// Lent is how those who decide are told what a book has lent.
func Lent(b *grant.Book, s *session.Sessions) func(context.Context, clock.Moment, session.Session, directory.Person) ([]authz.Lease, error) {
	return leases{func() *grant.Book { return b }, s}.At
}

// In are the leases that a person holds in a session. One that does not outlive
// the session it was activated in is good in that one and its applications alone,
// while its person's privileged session is; without it, it is shut. It is too where that
// session's sign-in is weaker than the privilege asks for: a person's leases go along
// when they begin another elsewhere, or sign in anew.
func (of leases) In(ctx context.Context, n session.Session, p directory.Person) ([]authz.Lease, error) {
	return of.At(ctx, of.sessions.Moment(ctx), n, p)
}

// At is In for who asks several rooms at one moment.
func (of leases) At(ctx context.Context, at clock.Moment, n session.Session, p directory.Person) ([]authz.Lease, error) {
	live, err := of.book().LiveAt(ctx, at, p)
	if err != nil || len(live) == 0 {
		return nil, err
	}
	good := func(g grant.Given) bool {
		return g.Outlives || g.Session == n.ID || n.Parent != "" && g.Session == n.Parent
	}
	here := 0
	for i := range live {
		if good(live[i]) {
			here++
		}
	}
	if here == 0 {
		return nil, nil
	}
	raised, elevated, err := of.sessions.PrivilegedAt(ctx, at, n.Root())
	if err != nil {
		return nil, err
	}
	out := make([]authz.Lease, 0, here)
	for _, g := range live {
		if !good(g) {
			continue
		}
		out = append(out, lent(g, &n, raised, elevated))
	}
	return out, nil
}

// lent is what somebody holds by a lease in a session that it is good in.
func lent(g grant.Given, n *session.Session, raised session.Privileged, elevated bool) authz.Lease {
	l := authz.Lease{ID: g.Lease, Privilege: g.Privilege, Until: g.Until, Emergency: g.Emergency, Gives: g.Gives}
	switch {
	case g.Outlives:
	case !elevated, !grant.Meets(g.ACR, n.ACR, slices.Contains(n.AMR, "swk")):
		l.Shut = true
	case raised.ExpiresAt.Before(l.Until):
		l.Until = raised.ExpiresAt
	}
	return l
}

// told is In for the OpenID provider.
func (of leases) told(ctx context.Context, n session.Session, p directory.Person, app policy.Application) ([]oidc.Lease, error) {
	held, err := of.In(ctx, n, p)
	if err != nil {
		return nil, err
	}
	var out []oidc.Lease
	for _, l := range held {
		if l.Shut || !l.Concerns(app) {
			continue
		}
		out = append(out, oidc.Lease{ID: l.ID, Privilege: l.Privilege, EndsAt: l.Until.UTC(), Emergency: l.Emergency, Roles: l.Roles(app.ID)})
	}
	return out, nil
}

func (a admitter) Admit(ctx context.Context, f oidc.Facts) error {
	p := a.rules()
	locks, err := a.lockDowns(ctx)
	if err != nil {
		return err
	}
	lent, err := a.leases.In(ctx, f.Session, f.Person)
	if err != nil {
		return err
	}
	ends := f.Session.ExpiresAt
	if f.Session.IdleExpiresAt.Before(ends) {
		ends = f.Session.IdleExpiresAt
	}
	facts := authz.Facts{
		SignedIn: true, Person: f.Person, Posts: p.PostsOf(f.Person.Groups),
		ACR: f.Session.ACR, AMR: f.Session.AMR, AuthAt: f.Session.AuthAt, SessionEnds: ends,
		Application: f.Application, From: f.Zone, Outside: f.Outside, Source: f.Source, Now: f.Now,
		LockDowns: locks, Leases: lent, Terminal: f.Session.Terminal, Checked: f.Session.Outside,
	}
	if err := a.permits(ctx, &facts); err != nil {
		return err
	}
	v := authz.Decide(p, facts)
	if v.Allowed(f.Now) {
		a.used(v.Permits, f.Source)
		return nil
	}
	return &oidc.Refused{Reason: string(v.Reason), Says: v.Says, Articles: v.Articles, StepUp: v.StepUp, Again: v.Fresh > 0}
}

// more adds to the facts of a page what it shows of lock-downs, leases and permits.
func (a admitter) more(ctx context.Context, f *authz.Facts, n session.Session) (err error) {
	if f.LockDowns, err = a.lockDowns(ctx); err != nil {
		return err
	}
	if f.Leases, err = a.leases.In(ctx, n, f.Person); err != nil {
		return err
	}
	return a.permits(ctx, f)
}

// filled is fill for a door that hands over its facts as a copy.
func (h *House) filled(ctx context.Context, at clock.Moment, f authz.Facts) (authz.Facts, error) {
	err := h.fillAt(ctx, at, &f)
	return f, err
}

// entrant is somebody at the door, as signin asks about them.
func (h *House) entrant(ctx context.Context, in store.Reader, e signin.Entrant) (signin.Passage, error) {
	now := h.Clock.Now()
	f := authz.Facts{
		SignedIn: true, Person: e.Person, ACR: e.ACR, From: e.Zone, Outside: e.Outside, Source: e.Source, Terminal: e.Terminal,
		SessionEnds: now.Add(24 * time.Hour), Now: now, // signin knows its own ends
	}
	if _, served := h.inForce().Zone(e.Zone); e.Outside || !served {
		if err := h.Permits.FillIn(ctx, in, &f); err != nil {
			return signin.Passage{}, err
		}
	}
	if err := h.Projects.FillIn(ctx, in, &f); err != nil {
		return signin.Passage{}, err
	}
	v := authz.Enter(h.inForce(), f)
	if !v.Allowed(now) {
		return signin.Passage{}, &signin.NoPassage{Reason: string(v.Reason), Says: v.Says, Articles: v.Articles, Ask: string(v.Ask)}
	}
	return signin.Passage{Permits: v.Permits, Until: v.Until, Check: true}, nil
}

// entered notes by which permits a session has begun.
func (h *House) entered(ctx context.Context, tx *store.Tx, p signin.Passage, n session.Session) error {
	return h.Permits.Came(ctx, tx, p.Permits, n)
}
