// Package oidc is the OpenID provider: applications ask it who is there.
//
// It speaks the code flow of OpenID Connect Core 1.0 and no other. One session
// row serves it and forward-auth; an application's share of it is a row beside
// it (sid), an authorization and all tokens that come of it are one family
// (grant), and everything a token opens is asked for again at the time of use:
// session, person, policy, and whether this person may use this application.
//
//	authorize ── code ──► token ── refresh ──► token ── …
//	    │                   │                    │
//	    └──── Admit ────────┴─────── Admit ──────┘     any refusal, any end of the session,
//	                                                   any reuse: the family opens nothing
//
// It does not know HTTP, nor how anybody signs in, nor who may use what: the
// first is web/openid's, the second authn/signin's, the third an Admitter's.
// No token and no code is ever stored, logged or entered on the trail; the
// store has their MACs.
package oidc

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/session"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/ephemeral"
	"sekisho/policy/store"
)

// Facts are what is known when an application asks for somebody.
type Facts struct {
	Application policy.Application
	Client      string // client_id
	Person      directory.Person
	Session     session.Session
	// Zone and Outside are where the request comes from: at authorization the
	// browser's network, later that of the session's beginning.
	Zone    policy.ZoneID
	Outside bool
	Source  netip.Addr
	Now     time.Time
}

// An Admitter decides whether a signed-in person may use an application. authz
// implements it and cmd hands it over; it is declared here because this is where
// it is needed, and authn does not know that authz exists.
//
// A nil error admits. Any error refuses, including one that means "we could not
// find out"; a *Refused says why.
type Admitter interface {
	Admit(ctx context.Context, f Facts) error
}

// Refused is an Admitter's no.
type Refused struct {
	Reason   string
	Says     policy.Words
	Articles []policy.Article
	StepUp   policy.ACR // assurance that would help, "" if none would
	Again    bool       // the sign-in was too long ago: another one, no stronger, would help
}

func (r *Refused) Error() string { return "not admitted: " + r.Reason }

// A Signer signs tokens and reads its own; authn/token is one.
type Signer interface {
	Sign(typ string, claims jwt.MapClaims) (string, error)
	Read(signed, typ, issuer string, past bool) (jwt.MapClaims, error)
}

// People reads a person, no staler than said; authn/standing is one.
type People interface {
	Person(ctx context.Context, id directory.PersonID, stale time.Duration) (directory.Person, error)
}

// A Finder finds a person by login, for the owner of a service.
type Finder interface {
	Find(ctx context.Context, login string) (directory.Person, error)
}

// A Lease is privilege that a person holds for a while.
type Lease struct {
	ID        string    `json:"id"`
	Privilege string    `json:"privilege"`
	EndsAt    time.Time `json:"ends_at"`
	Emergency bool      `json:"emergency,omitempty"` // taken without approval, article 80-2
	Roles     []string  `json:"roles,omitempty"`     // at the application that is told
}

// House is what the provider is built on. All but Leases must be given.
type House struct {
	DB       *store.DB
	Trail    *audit.Trail
	Policy   func() *policy.Policy
	Sessions *session.Sessions
	People   People
	Finder   Finder
	Keys     Signer
	Requests ephemeral.Store
	Admit    Admitter
	Issuer   string
	// TokenURL is where clients prove themselves, which their assertions may
	// name as their audience beside Issuer.
	TokenURL string
	Now      clock.Now
	// Leases are what a person holds now in a session, as far as an application is told
	// of it. nil: nothing is lent.
	Leases func(ctx context.Context, n session.Session, p directory.Person, app policy.Application) ([]Lease, error)
	// Answers says whether somebody may answer for what a client does by itself, for whom
	// nobody signs in whom Admit could be asked about. nil: whoever may use anything does.
	Answers func(ctx context.Context, owner directory.Person, app policy.Application) (bool, error)
}

// A Provider answers applications.
type Provider struct{ House }

// New builds the provider of a house.
func New(h House) *Provider { return &Provider{h} }

// Succeed moves the applications' shares of a session to the one that takes its
// place, in the transaction that ends the first: the same person, in the same
// browser, has signed in again, and goes on in every application.
func (p *Provider) Succeed(ctx context.Context, tx *store.Tx, from string, to session.Session) error {
	_, err := tx.Exec(ctx, `
		UPDATE oidc_session SET session_id = $1
		WHERE  session_id = $2 AND person_id = $3 AND ended_at = 0`, to.ID, from, string(to.Person))
	return err
}

// articles are what every decision about somebody's identity serves.
var articles = []policy.Article{"62-1", "62-2"}

// Subject is the stable name by which applications know a person: the
// directory's own id, which survives a new login and is never given again. It is
// the same for all of them, because they are told the login anyway.
func Subject(id directory.PersonID) string { return string(id) }

// Scopes are all that can be asked for.
func Scopes() []string {
	return []string{policy.ScopeOpenID, policy.ScopeProfile, policy.ScopeEmail, policy.ScopeOffline}
}

// allowed is what of asked a client may have, each once, in the order of Scopes.
func allowed(c policy.Client, asked []string) []string {
	var out []string
	for _, s := range Scopes() {
		may := s == policy.ScopeOpenID || slices.Contains(c.Scopes, s) || s == policy.ScopeOffline && c.Refresh
		if may && slices.Contains(asked, s) {
			out = append(out, s)
		}
	}
	return out
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
