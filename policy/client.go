package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A Client is a program that asks who somebody is through OpenID Connect, or
// that proves itself in order to call another.
//
// Whom it serves is said once: by the application it belongs to, or by a zone,
// class, posts and sections of its own.
type Client struct {
	ID          string   `yaml:"client_id"`
	Name        Words    `yaml:"name"`
	Application string   `yaml:"application"` // id; empty: what follows
	Zone        ZoneID   `yaml:"zone"`
	Class       int      `yaml:"class"`
	Posts       []PostID `yaml:"posts"`
	Sections    []string `yaml:"sections"`
	ACR         ACR      `yaml:"acr"`
	// Environment is that of Application where there is one; empty: production.
	Environment Environment `yaml:"environment"`

	AuthMethod   string   `yaml:"auth_method"`
	SecretHashes []string `yaml:"secret_hashes"` // HashSecret; two while one takes the other's place
	JWKS         string   `yaml:"jwks"`          // RFC 7517, the public keys of private_key_jwt

	RedirectURIs           []string `yaml:"redirect_uris"` // compared as a whole
	PostLogoutRedirectURIs []string `yaml:"post_logout_redirect_uris"`
	BackchannelLogoutURI   string   `yaml:"backchannel_logout_uri"`

	Scopes     []string      `yaml:"scopes"`      // what it may ask for beside openid
	Audiences  []string      `yaml:"audiences"`   // clients that its access tokens are meant for, beside the gate itself
	Consent    bool          `yaml:"consent"`     // people are asked before it is told of them
	Refresh    bool          `yaml:"refresh"`     // offline_access gives it refresh tokens
	RequirePAR bool          `yaml:"require_par"` // RFC 9126, section 5
	DPoP       string        `yaml:"dpop"`        // whether its tokens are bound to a key, one of DPoPChoices; RFC 9449
	MaxAge     time.Duration `yaml:"max_age"`     // people must have signed in so recently; 0: not asked
	Service    Service       `yaml:"service"`
}

// Service lets a client act for itself (RFC 6749 section 4.4). Somebody answers
// for it: it ends when they do.
type Service struct {
	Owner  string   `yaml:"owner"`  // login; empty: the client never acts for itself
	Scopes []string `yaml:"scopes"` // what it may ask for then; names of its own
}

// How a client proves itself at the token endpoint (OpenID Connect Core section
// 9); none is a public client, whose every code is bound by PKCE alone.
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none"
)

// ClientAuthMethods are all of them.
func ClientAuthMethods() []string { return []string{AuthBasic, AuthPost, AuthPrivateKey, AuthNone} }

// The scopes that say something of a person.
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopeOffline = "offline_access"
)

// ClientScopes are what a client may be let ask for beside openid.
// offline_access is Refresh's.
func ClientScopes() []string { return []string{ScopeProfile, ScopeEmail} }

// Client finds a client by its id.
func (p *Policy) Client(id string) (Client, bool) {
	for _, c := range p.Clients {
		if id != "" && c.ID == id {
			return c, true
		}
	}
	return Client{}, false
}

// ClientApplication is whom a client serves, as an application: the one it
// belongs to, or one made of what the client itself says.
func (p *Policy) ClientApplication(c Client) (Application, bool) {
	if c.Application != "" {
		return p.Application(c.Application)
	}
	return Application{ID: c.ID, Name: c.Name, Zone: c.Zone, Class: c.Class, Posts: c.Posts, Sections: c.Sections, ACR: c.ACR, Environment: c.Environment}, c.ID != ""
}

// hashForm begins each secret hash.
const hashForm = "$sha256$"

// HashSecret is what policy.yaml says of a client's secret, with a salt of 16
// bytes. The secret itself must come from a random source, of 256 bits: because
// a machine makes it and nobody chooses it, one hash is enough. There is nothing
// to guess, and a token request must not cost what a password does.
func HashSecret(secret string, salt []byte) string {
	b64 := base64.RawURLEncoding
	sum := sha256.Sum256(append(slices.Clone(salt), secret...))
	return hashForm + b64.EncodeToString(salt) + "$" + b64.EncodeToString(sum[:])
}

func splitHash(text string) (salt, sum []byte, err error) {
	rest, ok := strings.CutPrefix(text, hashForm)
	a, b, two := strings.Cut(rest, "$")
	if !ok || !two {
		return nil, nil, errors.New("not the hash of a client's secret")
	}
	strict := base64.RawURLEncoding.Strict()
	salt, errSalt := strict.DecodeString(a)
	sum, errSum := strict.DecodeString(b)
	if errSalt != nil || errSum != nil || len(salt) != 16 || len(sum) != sha256.Size {
		return nil, nil, errors.New("not the hash of a client's secret")
	}
	return salt, sum, nil
}

// SecretIs reports whether secret is one of the client's. It takes as long for
// a wrong one as for a right one.
func (c Client) SecretIs(secret string) bool {
	right := 0
	for _, text := range c.SecretHashes {
		salt, sum, err := splitHash(text)
		if err != nil {
			continue
		}
		got := sha256.Sum256(append(slices.Clone(salt), secret...))
		right |= subtle.ConstantTimeCompare(got[:], sum)
	}
	return right == 1 && secret != ""
}

// A ClientKey is one public key of a client, bound to one algorithm.
type ClientKey struct {
	ID  string
	Alg string // ES256, PS256, RS256 or EdDSA
	Key crypto.PublicKey
}

// ClientAlgorithms are what a client may sign with.
func ClientAlgorithms() []string { return []string{"ES256", "PS256", "RS256", "EdDSA"} }

// Keys reads the client's JWK Set. What it refuses is never repeated in the
// error: people paste private keys where public ones belong.
func (c Client) Keys() ([]ClientKey, error) { return parseJWKS(c.JWKS) }

func parseJWKS(text string) ([]ClientKey, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if len(text) > 16<<10 || json.Unmarshal([]byte(text), &set) != nil || len(set.Keys) == 0 || len(set.Keys) > 8 {
		return nil, errors.New("reading a client's keys: not a JWK Set of one to eight keys")
	}
	var out []ClientKey
	for i, jwk := range set.Keys {
		for _, private := range privateMembers {
			if jwk[private] != nil {
				return nil, errPrivateKey
			}
		}
		k, err := parseJWK(jwk)
		if err != nil {
			return nil, fmt.Errorf("reading a client's keys: number %d: %w", i+1, err)
		}
		if slices.ContainsFunc(out, func(o ClientKey) bool { return o.ID == k.ID }) {
			return nil, fmt.Errorf("reading a client's keys: number %d has the kid of another", i+1)
		}
		out = append(out, k)
	}
	return out, nil
}

// privateMembers are those of a JWK that its owner keeps (RFC 7518 section 6).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

func parseJWK(jwk map[string]any) (ClientKey, error) {
	text := func(name string) string { s, _ := jwk[name].(string); return s }
	number := func(name string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(text(name))
		if err != nil {
			return nil
		}
		return b
	}
	k := ClientKey{ID: text("kid"), Alg: text("alg")}
	if use := text("use"); k.ID == "" || use != "" && use != "sig" {
		return ClientKey{}, errors.New("it has no kid, or is not for signatures")
	}
	var algs []string // the first is that of a key that names none
	switch text("kty") + " " + text("crv") {
	case "EC P-256":
		x, y := number("x"), number("y")
		if len(x) != 32 || len(y) != 32 {
			return ClientKey{}, errors.New("it is no P-256 key")
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		if err != nil {
			return ClientKey{}, errors.New("it is no P-256 key")
		}
		k.Key, algs = key, []string{"ES256"}
	case "OKP Ed25519":
		x := number("x")
		if len(x) != ed25519.PublicKeySize {
			return ClientKey{}, errors.New("it is no Ed25519 key")
		}
		k.Key, algs = ed25519.PublicKey(x), []string{"EdDSA"}
	case "RSA ":
		n, e := number("n"), new(big.Int).SetBytes(number("e"))
		if len(n) == 0 || len(n) > 1024 || !e.IsInt64() || e.Int64() < 3 || e.Int64() >= 1<<31 {
			return ClientKey{}, errors.New("it is no RSA key")
		}
		k.Key, algs = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(e.Int64())}, []string{"PS256", "RS256"}
	default:
		return ClientKey{}, errors.New("its kind is none of EC P-256, OKP Ed25519, RSA")
	}
	if k.Alg == "" {
		k.Alg = algs[0]
	}
	if !slices.Contains(algs, k.Alg) || !StrongKey(k.Key) {
		return ClientKey{}, errors.New("its algorithm does not fit, or it is too weak")
	}
	return k, nil
}

// OpenIDRules are the times of OpenID Connect (docs/openid.md).
type OpenIDRules struct {
	CodeEnd        time.Duration `yaml:"code_end"`         // an authorization code
	RequestEnd     time.Duration `yaml:"request_end"`      // a pushed authorization request
	TokenEnd       time.Duration `yaml:"token_end"`        // access tokens and ID tokens
	RefreshIdleEnd time.Duration `yaml:"refresh_idle_end"` // a refresh token that is not used
	RefreshEnd     time.Duration `yaml:"refresh_end"`      // all refresh tokens of one authorization, whatever happens
	LogoutEnd      time.Duration `yaml:"logout_end"`       // how long an application is tried to be told of a sign-out
}
