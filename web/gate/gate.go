// Package gate stands before applications: it answers a proxy's question
// whether a request may pass (forward-auth), gives each application's host its
// own cookie, and in dev is the proxy itself.
//
// It reads what proxies say, which is the one place where a stranger's bytes
// come nearest to a decision, so everything it cannot read with certainty is
// refused. It does not decide who may open what (authz) nor keep sessions
// (authn/session), and nothing is written on the way of a check.
package gate

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/token"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/web"
)

// Sessions finds sessions and hands them over; authn/session is one.
type Sessions interface {
	// Moment is when a check is decided. What it goes by is read at once, for all who
	// ask, where it is too old to be gone by from memory.
	Moment(ctx context.Context) clock.Moment
	LoadAt(ctx context.Context, at clock.Moment, cookie string) (session.Loaded, error)
	HandoverCode(ctx context.Context, parentCookie, appID, host string) (code string, err error)
	RedeemHandover(ctx context.Context, code, host, source string) (cookie string, err error)
	CSRF(cookie string) string
}

// People says how old what is known of a person is; authn/standing is one.
type People interface {
	// AsOf is when the directory was last read of a person, where it is away and
	// what is known is old; zero otherwise.
	AsOf(id directory.PersonID) time.Time
}

// SignIn knows the gate's own sessions, and ends one; authn/signin is one.
type SignIn interface {
	Current(ctx context.Context, o signin.Origin, cookie string) (signin.Step, error)
	SignOut(ctx context.Context, o signin.Origin, cookie string) error
}

// Keys sign what an application is told; authn/token is one.
type Keys interface {
	Assert(a token.Assertion) (string, error)
	JWKS() ([]byte, error)
}

// A Denial is a person at an application that is not for them.
type Denial struct {
	Session session.Session
	App     policy.Application
	Reason  string
	Article []policy.Article
	Source  netip.Addr
}

// Services is what the gate stands on. All but Denied, Opened,
// LockDowns, Leases, Fill and Used must be given.
type Services struct {
	Sessions Sessions
	People   People
	SignIn   SignIn
	Keys     Keys
	// Denied hears of a refusal once for a person, application, reason and
	// minute. It is called beside the answer, not before it, and must not
	// block. nil: nobody hears.
	Denied func(Denial)
	// Opened hears of an application that the gate's own cookie opens, once
	// for a session and application. It must not block. nil: nobody hears.
	Opened func(session.Session, policy.Application)
	// LockDowns are those that may be in force, from memory; an error refuses. nil:
	// there are none.
	LockDowns func(context.Context, clock.Moment) ([]authz.LockDown, error)
	// Leases are what a person holds in a session, in a list of the caller's own; an
	// error refuses. nil: nothing is lent.
	Leases func(context.Context, clock.Moment, session.Session, directory.Person) ([]authz.Lease, error)
	// Fill adds to facts what they may rest on beside the directory, from memory; an
	// error refuses. It takes a copy, which keeps the facts of each request off the
	// heap. nil: there is nothing to add.
	Fill func(context.Context, clock.Moment, authz.Facts) (authz.Facts, error)
	// Used hears which permits let somebody through. It must not block. nil: nobody
	// hears.
	Used func(ids []string, from netip.Addr)
}

// A Gate answers for the applications of the policy.
type Gate struct {
	Services
	srv    *web.Server
	issuer string

	mu    sync.RWMutex
	told  map[key]*telling
	hosts atomic.Pointer[hostIndex]

	denied denials
	counts struct{ allowed, signIn, refused, malformed, untrusted, failed prometheus.Counter }
}

// Mount puts the gate on srv: /auth/check, the handover on the gate's own host
// and on those of the applications.
func Mount(srv *web.Server, s Services) *Gate {
	g := &Gate{Services: s, srv: srv, issuer: issuer(srv), told: map[key]*telling{}}
	g.denied.seen = map[denialKey]bool{}
	g.counts.allowed = srv.CheckCounter("allowed")
	g.counts.signIn = srv.CheckCounter("sign_in")
	g.counts.refused = srv.CheckCounter("refused")
	g.counts.malformed = srv.CheckCounter("malformed")
	g.counts.untrusted = srv.CheckCounter("untrusted")
	g.counts.failed = srv.CheckCounter("failed")

	srv.MountBare("/auth/check", g)
	srv.Mount("GET /.well-known/jwks.json", g.keySet)
	srv.Mount("GET /handover", g.handOver)
	srv.MountApp("GET /.sekisho/start", g.start)
	srv.MountApp("GET /.sekisho/callback", g.callback)
	srv.MountApp("GET /.sekisho/signout", g.askSignOut)
	srv.MountApp("POST /.sekisho/signout", g.signOut)
	return g
}

// denials remembers, for the minute that is now, whom it has told of already.
type denials struct {
	mu     sync.Mutex
	minute int64
	seen   map[denialKey]bool
}

type denialKey struct {
	person directory.PersonID
	app    string
	reason string
}

// maxDenials bounds the memory of one minute; beyond it the rest is not told.
const maxDenials = 10_000

func (g *Gate) deny(a answer, source netip.Addr) {
	if g.Denied == nil || a.session.ID == "" {
		return
	}
	k, minute := denialKey{a.session.Person, a.app.ID, string(a.verdict.Reason)}, g.srv.Now().Unix()/60
	g.denied.mu.Lock()
	if g.denied.minute != minute {
		g.denied.minute = minute
		clear(g.denied.seen)
	}
	known := g.denied.seen[k] || len(g.denied.seen) >= maxDenials
	if !known {
		g.denied.seen[k] = true
	}
	g.denied.mu.Unlock()
	if !known {
		g.Denied(Denial{a.session, a.app, string(a.verdict.Reason), a.verdict.Articles, source})
	}
}

// keySet publishes what an application verifies an assertion with (RFC 7517).
func (g *Gate) keySet(w http.ResponseWriter, r *web.Request) error {
	set, err := g.Keys.JWKS()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	// Pages of other sites verify tokens too; there is nothing secret here.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	_, err = w.Write(set)
	return err
}
