package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

const (
	// assertionType is RFC 7523 section 2.2.
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionEnd is the longest life of a client's assertion.
	assertionEnd = 5 * time.Minute
	// clockLeeway is how far a client's clock may be from ours (security.md
	// section 4 allows a minute).
	clockLeeway   = 30 * time.Second
	maxCredential = 8 << 10
)

// Credentials are what a client proves itself with, one way of them and no more
// (RFC 6749 section 2.3).
type Credentials struct {
	Method    string // one of policy.ClientAuthMethods
	ID        string
	secret    string
	assertion string
}

// String keeps a secret out of whatever prints credentials.
func (c Credentials) String() string { return c.Method + " " + c.ID }

// GoString is String.
func (c Credentials) GoString() string { return c.String() }

// ReadCredentials finds a client's credentials in the Authorization header and
// the form of a request. It asks nobody whether they are right.
func ReadCredentials(authorization []string, form url.Values) (Credentials, *Error) {
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if len(form[name]) > 1 {
			return Credentials{}, invalid(name + " comes more than once")
		}
	}
	id, assertion := form.Get("client_id"), form.Get("client_assertion")
	switch {
	case len(authorization) > 1:
		return Credentials{}, invalid("two Authorization headers")
	case len(authorization) == 1:
		c, ok := basic(authorization[0])
		if !ok {
			return Credentials{}, &Error{Code: "invalid_client", Description: "the Authorization header cannot be read", Status: http.StatusUnauthorized, Basic: true}
		}
		if form.Has("client_secret") || form.Has("client_assertion") || form.Has("client_id") && id != c.ID {
			return Credentials{}, invalid("the client proves itself in two ways")
		}
		return c, nil
	case form.Has("client_assertion"):
		if form.Has("client_secret") || form.Get("client_assertion_type") != assertionType || len(assertion) > maxCredential {
			return Credentials{}, invalid("client_assertion is not of the type that is taken, or not alone")
		}
		sub := unverifiedSubject(assertion)
		if sub == "" || form.Has("client_id") && id != sub {
			return Credentials{}, unproven(false)
		}
		return Credentials{Method: policy.AuthPrivateKey, ID: sub, assertion: assertion}, nil
	case form.Has("client_secret"):
		return Credentials{Method: policy.AuthPost, ID: id, secret: form.Get("client_secret")}, nil
	case id != "":
		return Credentials{Method: policy.AuthNone, ID: id}, nil
	}
	return Credentials{}, unproven(true)
}

// basic reads RFC 6749 section 2.3.1: both halves are form-encoded before they
// are joined.
func basic(header string) (Credentials, bool) {
	scheme, text, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") || len(text) > maxCredential {
		return Credentials{}, false
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Credentials{}, false
	}
	a, b, ok := strings.Cut(string(raw), ":")
	id, errID := url.QueryUnescape(a)
	pass, errPass := url.QueryUnescape(b)
	if !ok || errID != nil || errPass != nil || id == "" {
		return Credentials{}, false
	}
	return Credentials{Method: policy.AuthBasic, ID: id, secret: pass}, true
}

// unverifiedSubject is whom an assertion claims to be from, which says only
// whose keys to try.
func unverifiedSubject(assertion string) string {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(assertion, &claims); err != nil {
		return ""
	}
	return claims.Subject
}

// unproven is the one answer for an unknown client, a wrong secret and a way
// that is not the client's.
func unproven(tried bool) *Error {
	return &Error{Code: "invalid_client", Description: "the client could not be authenticated", Status: http.StatusUnauthorized, Basic: tried}
}

// Client finds out whether a client is who it says. Only the way that the policy
// names for it counts.
func (p *Provider) Client(ctx context.Context, c Credentials, from string) (policy.Client, error) {
	client, ok := p.Policy().Client(c.ID)
	proven := ok && c.Method == client.AuthMethod
	if proven {
		switch c.Method {
		case policy.AuthBasic, policy.AuthPost:
			proven = client.SecretIs(c.secret)
		case policy.AuthPrivateKey:
			err := p.asserted(ctx, client, c.assertion)
			if err != nil && !errors.Is(err, errAssertion) {
				return policy.Client{}, err
			}
			proven = err == nil
		case policy.AuthNone: // its codes are bound by PKCE alone, and it gets no more
		default:
			proven = false
		}
	}
	if proven {
		return client, nil
	}
	if ok { // names that nobody has are for the log alone: a stranger could fill the trail with them
		if err := p.strange(ctx, client.ID, c.Method, from); err != nil {
			return policy.Client{}, err
		}
	}
	return policy.Client{}, unproven(c.Method == policy.AuthBasic)
}

// strange enters a client that could not prove itself on the trail, once a
// minute.
func (p *Provider) strange(ctx context.Context, id, method, from string) error {
	if times, err := p.Requests.Count(ctx, "oidc:strange:"+id, time.Minute); err == nil && times > 1 {
		return nil
	}
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		return p.Trail.Append(ctx, tx, audit.Entry{
			Actor: "unknown", Action: "client.authenticated", Object: id, Outcome: audit.Refused, Reason: "not proven by " + method,
			Articles: []policy.Article{"62-2"}, From: from,
		})
	})
}

var errAssertion = errors.New("not an assertion of this client, or used before")

// asserted verifies private_key_jwt (RFC 7523, OpenID Connect Core section 9):
// signed by a key that the policy names, for us, now, and never before.
func (p *Provider) asserted(ctx context.Context, c policy.Client, assertion string) error {
	keys, err := c.Keys()
	if err != nil {
		return fmt.Errorf("reading the keys of client %s: %w", c.ID, err)
	}
	now := p.Now()
	claims, err := verifyAssertion(assertion, c.ID, []string{p.Issuer, p.TokenURL}, keys, now)
	if err != nil {
		return err
	}
	return p.DB.WithTx(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(ctx, `
			INSERT INTO oidc_assertion (client_id, jti, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (client_id, jti) DO NOTHING`, c.ID, claims.ID, store.Micros(claims.ExpiresAt.Add(clockLeeway)))
		if err != nil {
			return fmt.Errorf("spending a client's assertion: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errAssertion)
		}
		return nil
	})
}

// verifyAssertion is pure. The audience may be the issuer or the token endpoint;
// both are ours alone.
func verifyAssertion(assertion, client string, audiences []string, keys []policy.ClientKey, now time.Time) (jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(assertion, &claims, func(t *jwt.Token) (any, error) {
		// jku, x5u and jwk are never looked at (RFC 8725 section 3.10).
		kid, named := t.Header["kid"].(string)
		if _, critical := t.Header["crit"]; critical {
			return nil, errAssertion // what must be understood is not (RFC 7515 section 4.1.11)
		}
		for _, k := range keys {
			if k.Alg == t.Method.Alg() && (k.ID == kid || !named && len(keys) == 1) {
				return k.Key, nil
			}
		}
		return nil, errAssertion
	}, jwt.WithValidMethods(policy.ClientAlgorithms()), jwt.WithIssuer(client), jwt.WithSubject(client), jwt.WithExpirationRequired(),
		jwt.WithAudience(audiences...), jwt.WithLeeway(clockLeeway), jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case err != nil:
		return claims, fmt.Errorf("%w: %w", errAssertion, err)
	case len(claims.Audience) != 1, claims.ID == "", len(claims.ID) > 256, claims.ExpiresAt.Sub(now) > assertionEnd+clockLeeway:
		// An assertion for us and another could be carried to the other.
		return claims, errAssertion
	}
	return claims, nil
}
