// Package token signs what Sekisho tells applications about people.
//
// Tokens are ES256 JWTs (RFC 7519, RFC 8725). The private keys are rows of the
// store, sealed to their row; a key id is bound to one algorithm. Keys follow one
// another by a plan (Life) that every gateway computes for itself from the rows,
// so nobody has to be told when the next one begins. This package does not know who may have a token or what the claims mean.
package token

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Leeway is how far two clocks may differ when a token is verified.
const Leeway = 30 * time.Second

// An Assertion tells an application behind the gate who is there.
type Assertion struct {
	jwt.RegisteredClaims
	ACR    policy.ACR      `json:"acr"`
	AMR    []string        `json:"amr,omitempty"`
	Name   string          `json:"name,omitempty"`
	Groups []policy.PostID `json:"groups,omitempty"`
	Zone   policy.ZoneID   `json:"zone,omitempty"`
	// Privileges are what the person holds for a while; the assertion ends before
	// any of them does.
	Privileges []Lent `json:"privileges,omitempty"`
}

// Lent is privilege that somebody holds until EndsAt.
type Lent struct {
	Lease     string    `json:"id"`
	Privilege string    `json:"privilege"`
	EndsAt    time.Time `json:"ends_at"`
	Emergency bool      `json:"emergency,omitempty"` // taken without approval, article 80-2
	Roles     []string  `json:"roles,omitempty"`     // at the application that is told
}

// assertionType is the typ header of an Assertion: a token of one kind is never
// taken for another (RFC 8725 section 3.11).
const assertionType = "sekisho-assertion+jwt"

// Keys are the signing keys of a store, as this gateway last read them.
type Keys struct {
	db    *store.DB
	ring  *secret.KeyRing
	trail *audit.Trail
	now   clock.Now

	mu      sync.RWMutex
	life    Life
	keys    []Key // in order of their first use
	private map[string]*ecdsa.PrivateKey
}

// Assert signs an assertion, which must carry an issuer, one audience, a
// subject and an end of at most five minutes (security.md section 4).
func (k *Keys) Assert(a Assertion) (string, error) {
	now := k.now()
	if a.Issuer == "" || a.Subject == "" || len(a.Audience) != 1 || a.ExpiresAt == nil ||
		a.ExpiresAt.Sub(now) <= 0 || a.ExpiresAt.Sub(now) > 5*time.Minute {
		return "", errors.New("an assertion needs issuer, subject, one audience and an end within five minutes")
	}
	a.IssuedAt, a.NotBefore, a.ID = jwt.NewNumericDate(now), jwt.NewNumericDate(now), secret.Token(12)
	return k.sign(assertionType, a)
}

// sign signs claims as a token of a type with the key that is current now.
func (k *Keys) sign(typ string, claims jwt.Claims) (string, error) {
	k.mu.RLock()
	c := current(k.keys, k.now())
	if c < 0 {
		k.mu.RUnlock()
		return "", errors.New("there is no signing key that is good now")
	}
	kid := k.keys[c].ID
	private := k.private[kid]
	k.mu.RUnlock()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"], t.Header["typ"] = kid, typ
	return t.SignedString(private)
}

// meetWithin bounds the question whether the store has a key that is unknown here.
const meetWithin = 2 * time.Second

// meet reads the keys again if the store has one of this id that this gateway has not
// read yet: another may have made it a moment ago, in an emergency, and somebody may
// want to revoke what it signed. An id that is made up costs one read of a row. Where
// the store or the key cannot be read, nobody knows whose the token is: an error, since
// a revocation that found it to be nobody's would be a false success.
func (k *Keys) meet(kid string) error {
	ctx, cancel := context.WithTimeout(context.Background(), meetWithin)
	defer cancel()
	var n int
	if err := k.db.QueryRow(ctx, `SELECT COUNT(*) FROM signing_key WHERE kid = $1`, kid).Scan(&n); err != nil {
		return fmt.Errorf("looking for a signing key: %w", err)
	}
	if n == 0 {
		return nil
	}
	return k.Refresh(ctx)
}

// unknowable is why it could not be found out whose key signed a token.
type unknowable struct{ error }

func (u unknowable) Unwrap() error { return u.error }

// unverified tells a token that is not ours from an answer that could not be had.
func unverified(err error) error {
	if u := (unknowable{}); errors.As(err, &u) {
		return u.error
	}
	return fmt.Errorf("%w: %w", ErrNotOurs, err)
}

// public is the key that verifies a token of a type, by its header alone. A key
// id stands for one algorithm, and for nothing once the key is retired.
func (k *Keys) public(t *jwt.Token, typ string) (any, error) {
	kid, _ := t.Header["kid"].(string)
	alg, _ := t.Header["alg"].(string)
	if _, critical := t.Header["crit"]; critical || t.Header["typ"] != typ {
		return nil, ErrNotOurs
	}
	k.mu.RLock()
	unknown := k.private[kid] == nil
	k.mu.RUnlock()
	if unknown {
		if err := k.meet(kid); err != nil {
			return nil, unknowable{err}
		}
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	private := k.private[kid]
	if private == nil {
		return nil, ErrNotOurs
	}
	now := k.now()
	for i, key := range k.keys {
		if key.ID == kid && (key.Alg != alg || k.life.State(k.keys, i, now) == Retired) {
			return nil, ErrNotOurs
		}
	}
	return &private.PublicKey, nil
}

// ErrNotOurs means that a token was not signed by one of these keys for this
// use, or is not valid now.
var ErrNotOurs = errors.New("not a valid assertion")

// Verify reads an assertion for one audience. Algorithm, type, issuer, audience
// and end are all checked (RFC 8725 section 3). An error that is not ErrNotOurs is an
// answer that could not be had.
func (k *Keys) Verify(signed, issuer, audience string) (Assertion, error) {
	var a Assertion
	_, err := jwt.ParseWithClaims(signed, &a, func(t *jwt.Token) (any, error) {
		return k.public(t, assertionType)
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(k.now))
	if err != nil {
		return Assertion{}, unverified(err)
	}
	return a, nil
}

// JWKS is the public half of the keys as a JWK Set (RFC 7517): the next key, so
// that whoever reads this today can verify tomorrow, the current one, and those
// whose last tokens are still good.
func (k *Keys) JWKS() ([]byte, error) {
	type jwk struct {
		Kty string `json:"kty"`
		Use string `json:"use"`
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Crv string `json:"crv"`
		X   string `json:"x"`
		Y   string `json:"y"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	k.mu.RLock()
	defer k.mu.RUnlock()
	now := k.now()
	for i, known := range k.keys {
		kid, key := known.ID, k.private[known.ID]
		if k.life.State(k.keys, i, now) == Retired {
			continue
		}
		point, err := key.PublicKey.Bytes() // 0x04, X, Y
		if err != nil {
			return nil, fmt.Errorf("publishing key %s: %w", kid, err)
		}
		half := (len(point) - 1) / 2
		set.Keys = append(set.Keys, jwk{
			Kty: "EC", Use: "sig", Alg: known.Alg, Kid: kid, Crv: "P-256",
			X: base64.RawURLEncoding.EncodeToString(point[1 : 1+half]),
			Y: base64.RawURLEncoding.EncodeToString(point[1+half:]),
		})
	}
	return json.Marshal(set)
}
