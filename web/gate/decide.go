package gate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/session"
	"sekisho/authn/token"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/web"
)

// An answer is what the gate makes of one request at an application's host.
type answer struct {
	verdict authz.Verdict
	session session.Session // zero for none
	person  directory.Person
	app     policy.Application
	now     time.Time // when it was decided
	leases  []authz.Lease
	told    *telling // what was worked out for this session and application before
}

// hostIndex finds an application by host. It belongs to one version of the
// policy and is made anew for the next.
type hostIndex struct {
	policy *policy.Policy
	byHost map[string]policy.Application
}

func (g *Gate) application(p *policy.Policy, host string) (policy.Application, bool) {
	ix := g.hosts.Load()
	if ix == nil || ix.policy != p {
		ix = &hostIndex{p, make(map[string]policy.Application, len(p.Applications))}
		for _, a := range p.Applications {
			if name := web.Hostname(a.Host); name != "" {
				ix.byHost[name] = a
			}
		}
		g.hosts.Store(ix)
	}
	app, ok := ix.byHost[host]
	return app, ok
}

// A place is the network that a request comes from, which may be another than
// that of the sign-in (articles 26no2 and 63).
type place struct {
	zone    policy.ZoneID
	outside bool
	source  netip.Addr
}

// check decides at the time of use. An error means that the answer could not
// be had, and refuses.
func (g *Gate) check(ctx context.Context, cookies []string, q question, from place) (answer, error) {
	p := g.srv.Policy()
	app, ok := g.application(p, q.host)
	if !ok {
		now := g.srv.Now()
		return answer{verdict: authz.Decide(p, authz.Facts{Now: now}), now: now}, nil
	}
	// All is asked at one moment, which moves on where the session had to be waited for.
	at := g.Sessions.Moment(ctx)
	a := answer{app: app}
	facts := authz.Facts{Application: app, URI: q.uri, From: from.zone, Outside: from.outside, Source: from.source}
	// A host's own cookie opens that host alone. The gate's stands for the
	// session itself.
	cookie, opens := web.AppCookie(cookies), app.ID
	if cookie == "" {
		cookie, opens = web.GateCookie(cookies), ""
	}
	if cookie != "" {
		u, err := g.Sessions.LoadAt(ctx, at, cookie)
		switch {
		case errors.Is(err, session.ErrNone):
		case err != nil:
			return answer{}, err
		case u.Session.App == opens:
			a.session, a.person = u.Session, u.Person
			at = u.At
		}
	}
	a.now, facts.Now = at.Now, at.Now
	if g.LockDowns != nil {
		var err error
		if facts.LockDowns, err = g.LockDowns(ctx, at); err != nil {
			return answer{}, err
		}
	}
	if a.session.ID != "" {
		a.told = g.known(key{a.session.ID, app.ID})
		facts.SignedIn, facts.Person, facts.SessionEnds = true, a.person, ends(a.session)
		facts.ACR, facts.AMR, facts.AuthAt = a.session.ACR, a.session.AMR, a.session.AuthAt
		facts.Terminal, facts.Checked = a.session.Terminal, a.session.Outside
		var err error
		if facts.Leases, a.leases, err = g.lent(ctx, at, a.session, a.person, app); err != nil {
			return answer{}, err
		}
		if a.told != nil && a.told.policy == p && slices.Equal(a.told.groups, a.person.Groups) && authz.SameLeases(a.told.leases, a.leases) {
			facts.Posts = a.told.posts
		} else {
			a.told, facts.Posts = nil, p.PostsOf(a.person.Groups)
		}
	}
	if g.Fill != nil {
		var err error
		if facts, err = g.Fill(ctx, at, facts); err != nil {
			return answer{}, err
		}
	}
	a.verdict = authz.Decide(p, facts)
	if len(a.verdict.Permits) > 0 && g.Used != nil {
		g.Used(a.verdict.Permits, from.source)
	}
	if a.verdict.Allowed(facts.Now) && a.told == nil {
		a.told = &telling{policy: p, groups: a.person.Groups, posts: facts.Posts, leases: a.leases}
	}
	return a, nil
}

// lent are the leases that a person holds in a session, and those of them that the
// application is told of: they live, and concern it.
func (g *Gate) lent(ctx context.Context, at clock.Moment, n session.Session, p directory.Person, app policy.Application) (all, told []authz.Lease, err error) {
	if g.Leases == nil {
		return nil, nil, nil
	}
	if all, err = g.Leases(ctx, at, n, p); err != nil {
		return nil, nil, err
	}
	for _, l := range all {
		if l.Live(at.Now) && l.Concerns(app) {
			told = append(told, l)
		}
	}
	return all, told, nil
}

// privileges are what an assertion says of leases.
func privileges(leases []authz.Lease, application string) []token.Lent {
	var out []token.Lent
	for _, l := range leases {
		out = append(out, token.Lent{Lease: l.ID, Privilege: l.Privilege, EndsAt: l.Until.UTC(), Emergency: l.Emergency, Roles: l.Roles(application)})
	}
	return out
}

// groups are the ids of posts and, while they are lent, of privileges, with the
// roles that they give at the application. No privilege has a post's id.
func groups(posts []policy.PostID, leases []authz.Lease, application string) []string {
	var ids []string
	add := func(id string) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, id := range posts {
		add(string(id))
	}
	for _, l := range leases {
		add(l.Privilege)
		for _, role := range l.Roles(application) {
			add(l.Privilege + ":" + role)
		}
	}
	return ids
}

func ends(n session.Session) time.Time {
	if n.IdleExpiresAt.Before(n.ExpiresAt) {
		return n.IdleExpiresAt
	}
	return n.ExpiresAt
}

type key struct{ session, app string }

// A telling is what an application is told of one session, ready to be put
// into an answer. It grants nothing: check is asked first, every time.
type telling struct {
	policy  *policy.Policy
	groups  []string
	posts   []policy.PostID
	leases  []authz.Lease // one that begins or ends has it made anew
	person  directory.Person
	acr     policy.ACR
	amr     []string
	until   time.Time
	headers [6][]string // in the order of headerNames
}

var headerNames = [6]string{"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups", "Remote-Acr", "X-Sekisho-Assertion"}

const (
	assertionEnd = 5*time.Minute - time.Second
	maxTold      = 50_000
)

func (g *Gate) known(k key) *telling {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.told[k]
}

// tell is what an allowed answer says. Its error refuses: a 200 without an
// identity would let a request through as nobody.
func (g *Gate) tell(a answer) (*telling, error) {
	now, t := a.now, a.told
	if t == nil || a.session.Login == "" {
		return nil, errors.New("telling an application: nobody to tell of")
	}
	if now.Before(t.until) && t.acr == a.session.ACR && slices.Equal(t.amr, a.session.AMR) && t.person.Login == a.person.Login &&
		t.person.Name == a.person.Name && t.person.Mail == a.person.Mail {
		return t, nil
	}
	end := now.Add(assertionEnd)
	if a.verdict.Until.Before(end) {
		end = a.verdict.Until
	}
	signed, err := g.Keys.Assert(token.Assertion{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: g.issuer, Subject: a.session.Login, Audience: jwt.ClaimStrings{a.app.ID}, ExpiresAt: jwt.NewNumericDate(end),
		},
		ACR: a.session.ACR, AMR: a.session.AMR, Name: a.person.Name, Groups: t.posts, Zone: a.session.Zone,
		Privileges: privileges(t.leases, a.app.ID),
	})
	if err != nil {
		return nil, err
	}
	ids := groups(t.posts, t.leases, a.app.ID)
	next := &telling{
		policy: t.policy, groups: t.groups, posts: t.posts, leases: t.leases, person: a.person, acr: a.session.ACR, amr: a.session.AMR,
		// The application gets it with a third of its life left at least.
		until: now.Add(end.Sub(now) * 2 / 3),
		headers: [6][]string{
			{escape(a.session.Login, false)}, {escape(a.person.Name, true)}, {escape(a.person.Mail, false)},
			{strings.Join(ids, ",")}, {string(a.session.ACR)}, {signed},
		},
	}
	k := key{a.session.ID, a.app.ID}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.told) >= maxTold {
		clear(g.told)
	}
	if a.session.App == "" && g.told[k] == nil && g.Opened != nil {
		g.Opened(a.session, a.app) // the handover has entered the others
	}
	g.told[k] = next
	return next, nil
}

// escape percent-encodes UTF-8 (RFC 3986, section 2.1) so that a header is
// ASCII; all is true where everything but unreserved characters is encoded.
func escape(s string, all bool) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '.', c == '_', c == '~',
			!all && c > ' ' && c < 0x7f && c != '%':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

func issuer(srv *web.Server) string {
	u := *srv.PublicURL()
	u.Path, u.RawQuery, u.Fragment = "", "", ""
	return u.String()
}
