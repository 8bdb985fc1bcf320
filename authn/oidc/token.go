package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/session"
	"sekisho/authn/token"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// The grants that are served.
const (
	GrantCode    = "authorization_code"
	GrantRefresh = "refresh_token"
	GrantClient  = "client_credentials"
)

// Tokens are the answer of the token endpoint (RFC 6749 section 5.1). It is
// written to its client and nowhere else.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
}

// String keeps tokens out of whatever prints them.
func (Tokens) String() string { return "[tokens]" }

// GoString is String.
func (t Tokens) GoString() string { return t.String() }

// A Call is one request of a client to an endpoint of ours, as far as the trail
// is to know it.
type Call struct {
	Client    policy.Client
	From      string
	RequestID string
	Shown     Shown // what it proves its key with
}

// Token answers the token endpoint for a client that has proved itself.
func (p *Provider) Token(ctx context.Context, call Call, form url.Values) (Tokens, error) {
	for name, values := range form {
		if len(values) > 1 && name != "resource" { // RFC 6749 section 3.2
			return Tokens{}, invalid("a parameter comes more than once")
		}
	}
	switch form.Get("grant_type") {
	case GrantCode:
		return p.exchange(ctx, call, form)
	case GrantRefresh:
		return p.refresh(ctx, call, form)
	case GrantClient:
		return p.service(ctx, call, form)
	case "":
		return Tokens{}, invalid("grant_type is missing")
	}
	return Tokens{}, refusal("unsupported_grant_type", "this grant is not served")
}

// deadCode is the one answer for a code that opens nothing, whatever the reason.
func deadCode() *Error {
	return invalidGrant("the code is wrong, used, too old, or was given to another client or address")
}

// exchange turns a code into tokens, once.
func (p *Provider) exchange(ctx context.Context, call Call, form url.Values) (Tokens, error) {
	mac, ok := p.Sessions.MAC(session.KindAuthorization, form.Get("code"))
	if !ok {
		return Tokens{}, deadCode()
	}
	g, err := readGrant(ctx, p.DB, `g.code_mac = $1`, mac)
	if errors.Is(err, errNone) || err == nil && g.Client != call.Client.ID {
		return Tokens{}, deadCode()
	}
	if err != nil {
		return Tokens{}, err
	}
	jkt, err := p.proven(ctx, call.Client, call.Shown)
	if err != nil {
		return Tokens{}, err
	}
	right := g.redirectURI == form.Get("redirect_uri") && challenged(g.challenge, form.Get("code_verifier")) && (g.jkt == "" || g.jkt == jkt)
	if !g.codeUsed.IsZero() && (right || call.Client.AuthMethod != policy.AuthNone) {
		// Somebody has the code who should not. Which of the two it was nobody
		// can tell, so what the first one got ends too (RFC 6749 section 4.1.2).
		// A stranger who saw a public client's code proves nothing, and ends
		// nothing.
		return Tokens{}, p.replayed(ctx, call, g, "code used twice", deadCode())
	}
	if !right {
		return Tokens{}, deadCode()
	}
	if !p.Now().Before(g.codeEnds) || !g.codeUsed.IsZero() {
		return Tokens{}, deadCode()
	}
	h, err := p.holds(ctx, g)
	if err != nil {
		return Tokens{}, p.refused(ctx, call, g, "tokens.issued", err)
	}
	refresh := ""
	err = p.give(ctx, call, h, "tokens.issued", func(tx *store.Tx, now time.Time) error {
		err := tx.ExecOne(ctx, `
			UPDATE oidc_grant SET code_used_at = $1, jkt = $3
			WHERE  id = $2 AND code_used_at = 0 AND code_expires_at > $1 AND ended_at = 0`, store.Micros(now), g.ID, jkt)
		if err != nil {
			return err
		}
		refresh, err = p.newRefresh(ctx, tx, g, now)
		return err
	})
	if errors.Is(err, store.ErrUntouched) { // another request came first
		return Tokens{}, p.replayed(ctx, call, g, "code used twice", deadCode())
	}
	if err != nil {
		return Tokens{}, err
	}
	return p.tokens(ctx, h, g.Scope, refresh, g.Nonce, jkt)
}

// challenged is RFC 7636 section 4.6.
func challenged(challenge, verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	for i := range len(verifier) {
		if c := verifier[i]; !base64url(string(c)) && c != '.' && c != '~' {
			return false
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// deadRefresh is the one answer for a refresh token that opens nothing.
func deadRefresh() *Error {
	return invalidGrant("the refresh token is wrong, used, too old, or what it came from has ended")
}

// refresh turns a refresh token into the next, once. Whoever comes second with
// it, at the same moment or after a restart, ends the family (RFC 9700 section
// 4.14.2).
func (p *Provider) refresh(ctx context.Context, call Call, form url.Values) (Tokens, error) {
	mac, ok := p.Sessions.MAC(session.KindRefresh, form.Get("refresh_token"))
	if !ok {
		return Tokens{}, deadRefresh()
	}
	g, err := readGrant(ctx, p.DB, `g.id = (SELECT grant_id FROM oidc_refresh WHERE mac = $1)`, mac)
	if errors.Is(err, errNone) || err == nil && g.Client != call.Client.ID {
		return Tokens{}, deadRefresh()
	}
	if err != nil {
		return Tokens{}, err
	}
	jkt, err := p.provenAgain(ctx, call, g)
	if err != nil {
		return Tokens{}, err
	}
	var used, ends int64
	if err := p.DB.QueryRow(ctx, `SELECT used_at, expires_at FROM oidc_refresh WHERE mac = $1`, mac).Scan(&used, &ends); err != nil {
		return Tokens{}, fmt.Errorf("reading a refresh token: %w", err)
	}
	if used != 0 {
		return Tokens{}, p.replayed(ctx, call, g, "refresh token used twice", deadRefresh())
	}
	if !p.Now().Before(store.FromMicros(ends)) {
		return Tokens{}, deadRefresh()
	}
	scope := g.Scope
	if form.Has("scope") { // RFC 6749 section 6: less, never more
		asked := words(form.Get("scope"))
		if slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(g.Scope, s) }) || len(asked) == 0 {
			return Tokens{}, refusal("invalid_scope", "scope is more than was granted")
		}
		scope = slices.DeleteFunc(slices.Clone(scope), func(s string) bool { return !slices.Contains(asked, s) })
	}
	h, err := p.holds(ctx, g)
	if err != nil {
		return Tokens{}, p.refused(ctx, call, g, "tokens.refreshed", err)
	}
	if !call.Client.Refresh {
		return Tokens{}, p.refused(ctx, call, g, "tokens.refreshed", errPolicy)
	}
	next := ""
	err = p.give(ctx, call, h, "tokens.refreshed", func(tx *store.Tx, now time.Time) error {
		err := tx.ExecOne(ctx, `UPDATE oidc_refresh SET used_at = $1 WHERE mac = $2 AND used_at = 0 AND expires_at > $1`, store.Micros(now), mac)
		if err != nil {
			return err
		}
		// A revocation that commits at the same moment wins: either it sees the
		// new token, or this sees the end.
		err = tx.ExecOne(ctx, `UPDATE oidc_grant SET ended_at = 0 WHERE id = $1 AND ended_at = 0 AND expires_at > $2`, g.ID, store.Micros(now))
		if errors.Is(err, store.ErrUntouched) {
			return errOver
		}
		if err != nil {
			return err
		}
		if err := p.Sessions.Use(ctx, tx, h.session); err != nil {
			return err
		}
		if err := stay(ctx, tx, call.Client, g, jkt); err != nil {
			return err
		}
		next, err = p.newRefresh(ctx, tx, g, now)
		return err
	})
	if errors.Is(err, store.ErrUntouched) {
		return Tokens{}, p.replayed(ctx, call, g, "refresh token used twice", deadRefresh())
	}
	if err != nil {
		return Tokens{}, err
	}
	return p.tokens(ctx, h, scope, next, "", jkt)
}

// newRefresh makes the family's next refresh token; "" where it has none.
func (p *Provider) newRefresh(ctx context.Context, tx *store.Tx, g grant, now time.Time) (string, error) {
	if !slices.Contains(g.Scope, policy.ScopeOffline) {
		return "", nil
	}
	value, _, mac, err := p.Sessions.New(session.KindRefresh)
	if err != nil {
		return "", err
	}
	ends := earlier(g.ExpiresAt, now.Add(p.Policy().OpenID.RefreshIdleEnd))
	_, err = tx.Exec(ctx, `INSERT INTO oidc_refresh (mac, grant_id, expires_at) VALUES ($1, $2, $3)`, mac, g.ID, store.Micros(ends))
	if err != nil {
		return "", fmt.Errorf("keeping a refresh token: %w", err)
	}
	return value, nil
}

// give does what an answer with tokens commits to, in one transaction with its
// entry, and only while session and family are open.
func (p *Provider) give(ctx context.Context, call Call, h holding, action string, act func(tx *store.Tx, now time.Time) error) error {
	now := p.Now()
	err := p.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := p.Sessions.StillOpen(ctx, tx, h.session.ID); err != nil {
			return err
		}
		if err := act(tx, now); err != nil {
			return err
		}
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: h.person.Login, Action: action, Object: h.grant.Client, Outcome: audit.OK, Articles: articles, From: call.From,
			Zone: string(h.session.Zone), Terminal: h.session.Terminal, RequestID: call.RequestID, Detail: map[string]string{"grant": h.grant.ID},
		})
	})
	switch {
	case errors.Is(err, errOver), errors.Is(err, session.ErrNone):
		return invalidGrant("what this came from has ended")
	case errors.Is(err, store.ErrUntouched), err == nil:
		return err
	}
	return fmt.Errorf("giving tokens to %s: %w", h.grant.Client, err)
}

// replayed ends a family whose code or refresh token came a second time, and
// answers as for any other that is dead.
func (p *Provider) replayed(ctx context.Context, call Call, g grant, why string, answer *Error) error {
	err := p.DB.WithTx(ctx, func(tx *store.Tx) error {
		ended, err := endGrant(ctx, tx, g.ID, why, p.Now())
		if err != nil || !ended {
			return err
		}
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "openid.family_ended", Object: g.Client, Outcome: audit.OK, Reason: why, Articles: []policy.Article{"62-1", "64-3"},
			From: call.From, RequestID: call.RequestID, Detail: map[string]string{"grant": g.ID, "login": g.Login},
		})
	})
	if err != nil { // what could not be ended is not said to be refused
		return fmt.Errorf("ending a family: %w", err)
	}
	return answer
}

// refused is the answer for a family whose person, session or policy no longer
// allows it. The entry is coalesced: an application may try for hours.
func (p *Provider) refused(ctx context.Context, call Call, g grant, action string, cause error) error {
	var no *Refused
	why := ""
	served := articles
	switch {
	case errors.As(cause, &no):
		why, served = no.Reason, no.Articles
	case errors.Is(cause, errOver), errors.Is(cause, errPolicy), errors.Is(cause, session.ErrNone):
		why = cause.Error()
	default:
		return cause // nobody could say
	}
	if times, err := p.Requests.Count(ctx, "oidc:refused:"+g.ID+":"+why, time.Minute); err == nil && times > 1 {
		return invalidGrant("what this came from has ended or is not allowed any more")
	}
	err := p.DB.WithTx(ctx, func(tx *store.Tx) error {
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: g.Login, Action: action, Object: g.Client, Outcome: audit.Refused, Reason: why, Articles: served,
			From: call.From, RequestID: call.RequestID, Detail: map[string]string{"grant": g.ID},
		})
	})
	if err != nil {
		return err
	}
	return invalidGrant("what this came from has ended or is not allowed any more")
}

// tokens signs what a family gives its client. Nothing outlives the session.
func (p *Provider) tokens(ctx context.Context, h holding, scope []string, refresh, nonce, jkt string) (Tokens, error) {
	now := p.Now()
	end, err := p.endOfLent(ctx, h, scope, earlier(now.Add(p.Policy().OpenID.TokenEnd), h.session.ExpiresAt))
	if err != nil {
		return Tokens{}, err
	}
	g := h.grant
	access := p.accessClaims(h.client, Subject(g.Person), strings.Join(scope, " "), now, end)
	access["auth_time"], access["acr"], access["amr"] = g.AuthAt.Unix(), string(g.ACR), amr(g.AMR)
	access["sid"], access["grant_id"] = g.SID, g.ID
	bind(access, jkt)
	signed, err := p.Keys.Sign(token.TypeAccess, access)
	if err != nil {
		return Tokens{}, err
	}
	out := Tokens{AccessToken: signed, TokenType: tokenType(jkt), ExpiresIn: int64(end.Sub(now) / time.Second), RefreshToken: refresh, Scope: strings.Join(scope, " ")}
	if !slices.Contains(scope, policy.ScopeOpenID) {
		return out, nil
	}
	about, err := p.about(ctx, h, scope, g.asked().IDToken)
	if err != nil {
		return Tokens{}, err
	}
	sum := sha256.Sum256([]byte(signed))
	id := jwt.MapClaims{
		"iss": p.Issuer, "sub": Subject(g.Person), "aud": g.Client, "azp": g.Client, "iat": now.Unix(), "exp": end.Unix(),
		"auth_time": g.AuthAt.Unix(), "acr": string(g.ACR), "amr": amr(g.AMR), "sid": g.SID,
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if nonce != "" {
		id["nonce"] = nonce
	}
	for name, value := range about {
		if _, there := id[name]; !there {
			id[name] = value
		}
	}
	if out.IDToken, err = p.Keys.Sign(token.TypeID, id); err != nil {
		return Tokens{}, err
	}
	return out, nil
}

// amr is never null: RFC 8176 makes it an array.
func amr(methods []string) []string {
	if methods == nil {
		return []string{}
	}
	return methods
}

// accessClaims are what RFC 9068 section 2.2 asks of every access token.
func (p *Provider) accessClaims(c policy.Client, sub, scope string, now, end time.Time) jwt.MapClaims {
	var aud any = p.Issuer
	if len(c.Audiences) > 0 {
		aud = append([]string{p.Issuer}, c.Audiences...)
	}
	return jwt.MapClaims{
		"iss": p.Issuer, "sub": sub, "aud": aud, "client_id": c.ID, "scope": scope,
		"iat": now.Unix(), "nbf": now.Add(-token.Leeway).Unix(), // another gateway's clock may be a second behind
		"exp": end.Unix(), "jti": secret.Token(16),
	}
}

// service lets a client act for itself (RFC 6749 section 4.4), while the person
// who answers for it may.
func (p *Provider) service(ctx context.Context, call Call, form url.Values) (Tokens, error) {
	c := call.Client
	if c.Service.Owner == "" || c.AuthMethod == policy.AuthNone {
		return Tokens{}, refusal("unauthorized_client", "this client does not act for itself")
	}
	scope := c.Service.Scopes
	if asked := words(form.Get("scope")); len(asked) > 0 {
		if slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(scope, s) }) {
			return Tokens{}, refusal("invalid_scope", "scope is more than the service may have")
		}
		scope = asked
	}
	jkt, err := p.proven(ctx, c, call.Shown)
	if err != nil {
		return Tokens{}, err
	}
	now := p.Now()
	answers, err := p.answersFor(ctx, c, now)
	if err != nil {
		return Tokens{}, err
	}
	e := audit.Entry{
		Actor: c.ID, Action: "tokens.issued", Object: c.ID, Outcome: audit.OK, Articles: []policy.Article{"62-1", "62-2", "62-3"},
		From: call.From, RequestID: call.RequestID, Detail: map[string]string{"owner": c.Service.Owner, "scope": strings.Join(scope, " ")},
	}
	if !answers {
		e.Outcome, e.Reason = audit.Refused, "the owner may use nothing"
	}
	if err := p.DB.WithTx(ctx, func(tx *store.Tx) error { return p.Trail.Append(ctx, tx, e) }); err != nil {
		return Tokens{}, err
	}
	if !answers {
		return Tokens{}, refusal("unauthorized_client", "nobody answers for this client any more")
	}
	end := now.Add(p.Policy().OpenID.TokenEnd)
	claims := p.accessClaims(c, c.ID, strings.Join(scope, " "), now, end)
	if len(c.Audiences) > 0 {
		claims["aud"] = c.Audiences // nothing of ours takes a token without a person
	}
	bind(claims, jkt)
	signed, err := p.Keys.Sign(token.TypeAccess, claims)
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{AccessToken: signed, TokenType: tokenType(jkt), ExpiresIn: int64(end.Sub(now) / time.Second), Scope: strings.Join(scope, " ")}, nil
}

// answersFor reports whether the owner of a service may still use anything.
func (p *Provider) answersFor(ctx context.Context, c policy.Client, now time.Time) (bool, error) {
	owner, err := p.Finder.Find(ctx, c.Service.Owner)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	closed, err := closed(ctx, p.DB, owner.ID, now)
	if err != nil || closed || !owner.MaySignIn(now) {
		return false, err
	}
	app, ok := p.Policy().ClientApplication(c)
	if !ok || p.Answers == nil {
		return ok, nil
	}
	return p.Answers(ctx, owner, app)
}
