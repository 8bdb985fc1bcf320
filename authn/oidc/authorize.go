package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/token"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A Visit is the browser that an authorization request came with.
type Visit struct {
	Origin  signin.Origin
	Session *session.Session // nil: nobody is signed in
	Person  directory.Person
	// Asked is when this browser was sent to sign in because of this very
	// request; zero if it was not. Whoever signed in since has answered it.
	Asked time.Time
	// Agreed: the person has just consented, on a page of ours.
	Agreed bool
}

// An Answer says what comes next for an authorization request. Exactly one of
// its three parts is set.
type Answer struct {
	Code   string // for the redirect URI
	SignIn *SignIn
	Ask    bool // for consent
}

// SignIn is what a sign-in must reach before the request can go on.
type SignIn struct {
	ACR   policy.ACR // "" for what the zone asks anyway
	Fresh bool       // whoever is signed in signs in again
}

// Authorize decides an authorization request. An *Error goes to the redirect
// URI; any other error means that nobody could say, and refuses.
//
// It changes nothing unless it gives out a code, so a request that another site
// made a browser send gets its answer to the application, and no further.
func (p *Provider) Authorize(ctx context.Context, r Request, v Visit) (Answer, error) {
	now, pol := p.Now(), p.Policy()
	app, ok := pol.ClientApplication(r.Client)
	if !ok {
		return Answer{}, refusal("unauthorized_client", "the client belongs to no application")
	}
	need, ok := r.least()
	if !ok {
		return Answer{}, refusal("unmet_authentication_requirements", "none of the assurances asked for exists here")
	}
	signIn := func(acr policy.ACR, fresh bool) (Answer, error) {
		if r.silent() {
			return Answer{}, refusal("login_required", "the person must sign in first")
		}
		return Answer{SignIn: &SignIn{acr, fresh}}, nil
	}
	if v.Session == nil {
		return signIn(need, false)
	}
	n := *v.Session
	answered := !v.Asked.IsZero() && n.AuthAt.After(v.Asked)
	meant, err := p.meant(r)
	if err != nil {
		return Answer{}, err
	}
	switch {
	case meant != "" && meant != Subject(n.Person):
		if answered {
			return Answer{}, refusal("login_required", "another person has signed in")
		}
		return signIn(need, true)
	case r.again() && !answered, r.MaxAge >= 0 && now.Sub(n.AuthAt) > r.MaxAge && !answered:
		return signIn(need, true)
	case need != "" && !n.ACR.AtLeast(need):
		if answered {
			return Answer{}, refusal("unmet_authentication_requirements", "the person cannot sign in as strongly as was asked")
		}
		return signIn(need, false)
	}
	facts := Facts{Application: app, Client: r.Client.ID, Person: v.Person, Session: n, Zone: v.Origin.Zone, Outside: v.Origin.Outside, Source: v.Origin.Source, Now: now}
	if err := p.Admit.Admit(ctx, facts); err != nil {
		var no *Refused
		if !errors.As(err, &no) {
			return Answer{}, err
		}
		switch {
		case no.StepUp != "" && answered:
			return Answer{}, refusal("unmet_authentication_requirements", "the person cannot sign in as strongly as the application needs")
		case no.StepUp != "":
			return signIn(no.StepUp, no.Again)
		}
		if err := p.denied(ctx, facts, no, v.Origin.Source.String()); err != nil {
			return Answer{}, err
		}
		return Answer{}, &Error{Code: "access_denied", Description: "the person may not use this application", Says: no.Says, Articles: no.Articles}
	}
	agreed, err := p.agreed(ctx, n.ID, r)
	if err != nil {
		return Answer{}, err
	}
	if !agreed && !v.Agreed {
		if r.silent() {
			return Answer{}, refusal("consent_required", "the person must agree first")
		}
		return Answer{Ask: true}, nil
	}
	code, err := p.issue(ctx, r, v, facts)
	return Answer{Code: code}, err
}

// meant is the person whom a request means, by a former ID token or by its
// claims; "" for anybody. An error that is no *Error means that nobody could say.
func (p *Provider) meant(r Request) (string, error) {
	sub := r.Claims.Sub
	if r.IDTokenHint == "" {
		return sub, nil
	}
	claims, err := p.Keys.Read(r.IDTokenHint, token.TypeID, p.Issuer, true)
	if errors.Is(err, token.ErrNotOurs) {
		return "", invalid("id_token_hint is no ID token of this server")
	}
	if err != nil {
		return "", err
	}
	hinted, _ := claims["sub"].(string)
	if hinted == "" || sub != "" && sub != hinted {
		return "", invalid("id_token_hint and claims mean two people")
	}
	return hinted, nil
}

// agreed reports whether no consent has to be asked for: nobody asks for it, or
// the person has given it in this session for all that is asked now.
func (p *Provider) agreed(ctx context.Context, sessionID string, r Request) (bool, error) {
	if slices.Contains(r.Prompt, "consent") {
		return false, nil
	}
	if !r.Client.Consent {
		return true, nil
	}
	share, err := shareOf(ctx, p.DB, sessionID, r.Client.ID)
	if err != nil {
		return false, err
	}
	given := strings.Fields(share.consented)
	return !slices.ContainsFunc(r.wanted(), func(s string) bool { return !slices.Contains(given, s) }), nil
}

// wanted is what a person agrees to: the scopes, and the claims beyond them.
func (r Request) wanted() []string {
	return slices.Concat(r.Scope, r.Claims.UserInfo, r.Claims.IDToken)
}

// Wanted are the names of all that the application will be told, for the page
// that asks.
func (r Request) Wanted() []string { return r.wanted() }

// issue gives out a code. The application's share of the session, the grant, the
// code and the entry on the trail exist together or not at all, and only for a
// session that is still good then.
func (p *Provider) issue(ctx context.Context, r Request, v Visit, f Facts) (string, error) {
	now, pol := f.Now, p.Policy()
	code, _, mac, err := p.Sessions.New(session.KindAuthorization)
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(r.Claims)
	if err != nil {
		return "", err
	}
	g := grant{
		ID: secret.Token(16), Client: r.Client.ID, Person: f.Person.ID, Login: f.Person.Login, Scope: r.Scope, claims: string(claims),
		ACR: f.Session.ACR, AMR: f.Session.AMR, AuthAt: f.Session.AuthAt, BeganAt: now,
		ExpiresAt: earlier(f.Session.ExpiresAt, now.Add(pol.OpenID.RefreshEnd)), redirectURI: r.RedirectURI, challenge: r.Challenge, jkt: r.JKT, Nonce: r.Nonce,
		codeEnds: earlier(f.Session.ExpiresAt, now.Add(pol.OpenID.CodeEnd)),
	}
	consented := ""
	if v.Agreed {
		consented = strings.Join(r.wanted(), " ")
	}
	err = p.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := p.Sessions.StillOpen(ctx, tx, f.Session.ID); err != nil {
			return err
		}
		if closed, err := standing.Closed(ctx, tx, f.Person.ID, now); err != nil || closed {
			return errors.Join(err, session.ErrNone)
		}
		if err := p.take(ctx, tx, r, now); err != nil {
			return err
		}
		var err error
		if g.SID, err = share(ctx, tx, f.Session.ID, r.Client.ID, f.Person, consented, now); err != nil {
			return err
		}
		if err := g.insert(ctx, tx, mac); err != nil {
			return err
		}
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: f.Person.Login, Action: "openid.authorized", Object: r.Client.ID, Outcome: audit.OK, Articles: articles,
			From: v.Origin.Source.String(), Zone: string(f.Session.Zone), Terminal: f.Session.Terminal, RequestID: v.Origin.RequestID,
			Detail: map[string]string{"grant": g.ID, "scope": strings.Join(r.Scope, " "), "acr": string(g.ACR)},
		})
	})
	switch {
	case errors.Is(err, session.ErrNone):
		return "", refusal("login_required", "the session has just ended")
	case errors.Is(err, errSpent):
		return "", refusal("invalid_request_uri", "the pushed request has been used or is too old")
	}
	if err != nil {
		return "", fmt.Errorf("giving out a code for %s: %w", r.Client.ID, err)
	}
	p.forget(ctx, r)
	return code, nil
}

// denied enters a refusal on the trail, once for a person, application, reason
// and minute.
func (p *Provider) denied(ctx context.Context, f Facts, no *Refused, from string) error {
	times, err := p.Requests.Count(ctx, "oidc:denied:"+string(f.Person.ID)+":"+f.Client+":"+no.Reason, time.Minute)
	if err == nil && times > 1 {
		return nil
	}
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: f.Person.Login, Action: "openid.authorized", Object: f.Client, Outcome: audit.Refused, Reason: no.Reason,
			Articles: no.Articles, From: from, Zone: string(f.Session.Zone), Terminal: f.Session.Terminal,
		})
	})
}
