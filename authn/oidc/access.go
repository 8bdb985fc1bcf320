package oidc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/session"
	"sekisho/authn/token"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const maxToken = 8 << 10

// dead tells a token that opens nothing from an answer that could not be had.
func dead(err error) bool {
	var no *Refused
	return errors.Is(err, errNone) || errors.Is(err, errOver) || errors.Is(err, errPolicy) || errors.Is(err, session.ErrNone) ||
		errors.Is(err, token.ErrNotOurs) || errors.As(err, &no)
}

// read verifies an access token and asks the store whether it was taken back.
func (p *Provider) read(ctx context.Context, signed string) (jwt.MapClaims, error) {
	if len(signed) > maxToken {
		return nil, token.ErrNotOurs
	}
	claims, err := p.Keys.Read(signed, token.TypeAccess, p.Issuer, false)
	if err != nil {
		return nil, err
	}
	var n int
	err = p.DB.QueryRow(ctx, `SELECT COUNT(*) FROM oidc_revoked WHERE jti = $1`, text(claims, "jti")).Scan(&n)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading what was revoked: %w", err)
	case n > 0:
		return nil, errOver
	}
	return claims, nil
}

func text(claims jwt.MapClaims, name string) string { s, _ := claims[name].(string); return s }

// held is the family behind an access token of a person, found to hold now.
func (p *Provider) held(ctx context.Context, claims jwt.MapClaims) (holding, error) {
	g, err := readGrant(ctx, p.DB, `g.id = $1`, text(claims, "grant_id"))
	if err != nil {
		return holding{}, err
	}
	if g.Client != text(claims, "client_id") || Subject(g.Person) != text(claims, "sub") {
		return holding{}, errOver
	}
	return p.holds(ctx, g)
}

// UserInfo answers who the person of an access token is (OpenID Connect Core
// section 5.3). An ID token, a token for somebody else, or one whose person,
// session or policy no longer allows it is none.
func (p *Provider) UserInfo(ctx context.Context, t Presented) (map[string]any, error) {
	claims, err := p.read(ctx, t.Token)
	if err == nil {
		// Ours is the issuer's name, and the person's share is behind it.
		if aud, _ := claims.GetAudience(); !slices.Contains(aud, p.Issuer) {
			err = errOver
		}
	}
	var h holding
	if err == nil {
		err = p.shownRightly(ctx, claims, t)
	}
	if err == nil {
		h, err = p.held(ctx, claims)
	}
	switch {
	case err != nil && dead(err):
		return nil, invalidToken("the access token is wrong, too old, or what it came from has ended")
	case err != nil:
		return nil, err
	}
	scope := strings.Fields(text(claims, "scope"))
	if !slices.Contains(scope, policy.ScopeOpenID) {
		return nil, &Error{Code: "insufficient_scope", Description: "the token has no scope openid", Status: 403}
	}
	wishes := h.grant.asked().UserInfo
	out, err := p.about(ctx, h, scope, wishes)
	if err != nil {
		return nil, err
	}
	out["sub"] = Subject(h.grant.Person)
	for name, value := range map[string]any{
		"acr": string(h.grant.ACR), "amr": amr(h.grant.AMR), "auth_time": h.grant.AuthAt.Unix(), "sid": h.grant.SID,
	} {
		if slices.Contains(wishes, name) {
			out[name] = value
		}
	}
	return out, nil
}

// inactive is all that is said of a token that opens nothing, or is none of the
// caller's business (RFC 7662 section 2.2).
func inactive() map[string]any { return map[string]any{"active": false} }

// Introspect answers a client whether a token is good now: one of its own, or
// one that is meant for it.
func (p *Provider) Introspect(ctx context.Context, call Call, form url.Values) (map[string]any, error) {
	value := form.Get("token")
	if len(form["token"]) != 1 || value == "" {
		return nil, invalid("token is missing or comes more than once")
	}
	if call.Client.AuthMethod == policy.AuthNone {
		return nil, unproven(false) // RFC 7662 section 2.1
	}
	var (
		out map[string]any
		err error
	)
	if mac, ok := p.Sessions.MAC(session.KindRefresh, value); ok {
		out, err = p.introspectRefresh(ctx, call, mac)
	} else {
		out, err = p.introspectAccess(ctx, call, value)
	}
	switch {
	case err != nil && dead(err):
		return inactive(), nil
	case err != nil:
		return nil, err
	}
	return out, nil
}

func (p *Provider) introspectAccess(ctx context.Context, call Call, value string) (map[string]any, error) {
	claims, err := p.read(ctx, value)
	if err != nil {
		return nil, err
	}
	aud, _ := claims.GetAudience()
	if text(claims, "client_id") != call.Client.ID && !slices.Contains(aud, call.Client.ID) {
		return nil, errOver
	}
	out := map[string]any{"active": true, "token_type": tokenType(boundTo(claims))}
	for _, name := range []string{"scope", "client_id", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "acr", "amr", "auth_time", "sid", "cnf"} {
		if v, there := claims[name]; there {
			out[name] = v
		}
	}
	if text(claims, "grant_id") == "" { // a service's own
		c, ok := p.Policy().Client(text(claims, "client_id"))
		if !ok || c.Service.Owner == "" {
			return nil, errPolicy
		}
		answers, err := p.answersFor(ctx, c, p.Now())
		if err != nil {
			return nil, err
		}
		if !answers {
			return nil, errOver
		}
		return out, nil
	}
	h, err := p.held(ctx, claims)
	if err != nil {
		return nil, err
	}
	out["username"] = h.person.Login
	return out, nil
}

func (p *Provider) introspectRefresh(ctx context.Context, call Call, mac string) (map[string]any, error) {
	var used, ends int64
	err := p.DB.QueryRow(ctx, `SELECT used_at, expires_at FROM oidc_refresh WHERE mac = $1`, mac).Scan(&used, &ends)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading a refresh token: %w", err)
	}
	g, err := readGrant(ctx, p.DB, `g.id = (SELECT grant_id FROM oidc_refresh WHERE mac = $1)`, mac)
	if err != nil {
		return nil, err
	}
	if g.Client != call.Client.ID || used != 0 || !p.Now().Before(store.FromMicros(ends)) {
		return nil, errOver
	}
	h, err := p.holds(ctx, g)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"active": true, "client_id": g.Client, "sub": Subject(g.Person), "username": h.person.Login, "scope": strings.Join(g.Scope, " "),
		"exp": earlier(store.FromMicros(ends), h.session.ExpiresAt).Unix(), "iss": p.Issuer,
	}, nil
}

// Revoke takes a token back (RFC 7009). A refresh token takes its whole family
// with it. No error means that it opens nothing any more; whatever could not be
// written is an error, never a success (security.md section 2, row 19).
func (p *Provider) Revoke(ctx context.Context, call Call, form url.Values) error {
	value := form.Get("token")
	if len(form["token"]) != 1 || value == "" {
		return invalid("token is missing or comes more than once")
	}
	if mac, ok := p.Sessions.MAC(session.KindRefresh, value); ok {
		return p.revokeRefresh(ctx, call, mac)
	}
	if len(value) > maxToken {
		return nil
	}
	// Its times are no matter: one that begins in a moment is revoked, too.
	claims, err := p.Keys.Read(value, token.TypeAccess, p.Issuer, true)
	if errors.Is(err, token.ErrNotOurs) {
		return nil // it opens nothing (section 2.2)
	}
	if err != nil {
		return err
	}
	if text(claims, "client_id") != call.Client.ID {
		return notYours()
	}
	end, err := claims.GetExpirationTime()
	if err != nil {
		return err
	}
	if end == nil || !p.Now().Before(end.Time) {
		return nil // its end has come
	}
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO oidc_revoked (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING`,
			text(claims, "jti"), store.Micros(end.Time))
		if err != nil {
			return fmt.Errorf("revoking an access token: %w", err)
		}
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: call.Client.ID, Action: "token.revoked", Object: call.Client.ID, Outcome: audit.OK, Articles: articles,
			From: call.From, RequestID: call.RequestID, Detail: map[string]string{"grant": text(claims, "grant_id"), "kind": "access"},
		})
	})
}

func notYours() *Error {
	return refusal("unauthorized_client", "the token was given to another client")
}

func (p *Provider) revokeRefresh(ctx context.Context, call Call, mac string) error {
	var id string
	err := p.DB.QueryRow(ctx, `SELECT grant_id FROM oidc_refresh WHERE mac = $1`, mac).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a refresh token: %w", err)
	}
	g, err := readGrant(ctx, p.DB, `g.id = $1`, id)
	if err != nil {
		return err
	}
	if g.Client != call.Client.ID {
		return notYours()
	}
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		ended, err := endGrant(ctx, tx, id, "revoked by its client", p.Now())
		if err != nil || !ended {
			return err
		}
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: call.Client.ID, Action: "token.revoked", Object: call.Client.ID, Outcome: audit.OK, Articles: articles,
			From: call.From, RequestID: call.RequestID, Detail: map[string]string{"grant": id, "login": g.Login, "kind": "refresh"},
		})
	})
}
