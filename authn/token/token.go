// Package token signs what Sekisho tells applications about people.
//
// Tokens are ES256 JWTs (RFC 7519, RFC 8725). The private keys are rows of the
// store, sealed to their row; a key id is bound to one algorithm. This package
// does not know who may have a token or what the claims mean.
package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
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
	ACR  policy.ACR    `json:"acr"`
	AMR  []string      `json:"amr,omitempty"`
	Name string        `json:"name,omitempty"`
	Zone policy.ZoneID `json:"zone,omitempty"`
}

// assertionType is the typ header of an Assertion: a token of one kind is never
// taken for another (RFC 8725 section 3.11).
const assertionType = "sekisho-assertion+jwt"

// Keys are the signing keys of a gateway's store.
type Keys struct {
	now clock.Now

	mu      sync.RWMutex
	current string
	private map[string]*ecdsa.PrivateKey
}

// Open reads the signing keys, making the first one in an empty store. Of
// several gateways that start at once, all come to use the same key.
func Open(ctx context.Context, db *store.DB, ring *secret.KeyRing, trail *audit.Trail, now clock.Now) (*Keys, error) {
	k := &Keys{now: now, private: map[string]*ecdsa.PrivateKey{}}
	err := db.WithTx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM signing_key`).Scan(&n); err != nil || n > 0 {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		kid := secret.Token(9)
		sealed, err := ring.Seal(place(kid), der)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO signing_key (kid, sealed, created_at) VALUES ($1, $2, $3)`,
			kid, sealed, store.Micros(now())); err != nil {
			return err
		}
		return trail.Append(ctx, tx, audit.Entry{
			Actor: "system", Action: "key.created", Object: "signing/" + kid, Outcome: "ok", Articles: []policy.Article{"64-1"},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	rows, err := db.Query(ctx, `SELECT kid, sealed FROM signing_key ORDER BY created_at, kid`)
	if err != nil {
		return nil, fmt.Errorf("reading signing keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			kid    string
			sealed []byte
		)
		if err := rows.Scan(&kid, &sealed); err != nil {
			return nil, fmt.Errorf("reading signing keys: %w", err)
		}
		der, err := ring.Open(place(kid), sealed)
		if err != nil {
			return nil, fmt.Errorf("opening signing key %s: %w", kid, err)
		}
		key, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return nil, fmt.Errorf("reading signing key %s: %w", kid, err)
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if !ok || ec.Curve != elliptic.P256() {
			return nil, fmt.Errorf("signing key %s is not a P-256 key", kid)
		}
		k.private[kid], k.current = ec, kid
	}
	return k, rows.Err()
}

func place(kid string) secret.Place {
	return secret.Place{Table: "signing_key", Column: "sealed", Row: kid}
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
	t := jwt.NewWithClaims(jwt.SigningMethodES256, a)
	k.mu.RLock()
	defer k.mu.RUnlock()
	t.Header["kid"], t.Header["typ"] = k.current, assertionType
	return t.SignedString(k.private[k.current])
}

// ErrNotOurs means that a token was not signed by one of these keys for this
// use, or is not valid now.
var ErrNotOurs = errors.New("not a valid assertion")

// Verify reads an assertion for one audience. Algorithm, type, issuer, audience
// and end are all checked (RFC 8725 section 3).
func (k *Keys) Verify(signed, issuer, audience string) (Assertion, error) {
	var a Assertion
	_, err := jwt.ParseWithClaims(signed, &a, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		k.mu.RLock()
		defer k.mu.RUnlock()
		key := k.private[kid]
		if key == nil || t.Header["typ"] != assertionType {
			return nil, ErrNotOurs
		}
		return &key.PublicKey, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(Leeway), jwt.WithTimeFunc(k.now))
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	return a, nil
}

// JWKS is the public half of the keys as a JWK Set (RFC 7517).
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
	for kid, key := range k.private {
		point, err := key.PublicKey.Bytes() // 0x04, X, Y
		if err != nil {
			return nil, fmt.Errorf("publishing key %s: %w", kid, err)
		}
		half := (len(point) - 1) / 2
		set.Keys = append(set.Keys, jwk{
			Kty: "EC", Use: "sig", Alg: "ES256", Kid: kid, Crv: "P-256",
			X: base64.RawURLEncoding.EncodeToString(point[1 : 1+half]),
			Y: base64.RawURLEncoding.EncodeToString(point[1+half:]),
		})
	}
	return json.Marshal(set)
}
