package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/policy"
	"sekisho/policy/store"
)

// A proof of possession (DPoP, RFC 9449) shows that whoever uses a code or a token
// has the key that it was given to. Which clients must, or may, is the policy's to
// say; of any other client a proof is not looked at, and its tokens are bearer
// tokens.

const (
	proofType = "dpop+jwt"
	// proofAge is how old a proof may be, and nonceAge how old the nonce in it. The
	// nonce is what keeps somebody who had the key for a moment from making proofs
	// for later.
	proofAge = time.Minute
	nonceAge = 5 * time.Minute
)

// TokenTypeDPoP is the token_type of tokens that are bound to a key, and the
// scheme by which they are shown.
const TokenTypeDPoP = "DPoP"

// ProofAlgorithms are those a proof may be signed with.
func ProofAlgorithms() []string { return policy.ClientAlgorithms() }

// Shown is what came with a request to prove that its sender has a key: the
// values of its DPoP header, and what the proof must have been made for.
type Shown struct {
	Proofs []string
	Method string
	URL    string // without query and fragment
}

var errProof = errors.New("no proof of this key for this request")

// The errors of RFC 9449, whose answers carry the nonce for the next proof.
const (
	CodeProof = "invalid_dpop_proof"
	CodeNonce = "use_dpop_nonce"
)

// badProof is the one answer for a proof that proves nothing.
func badProof(description string) *Error {
	return &Error{Code: CodeProof, Description: description, Status: http.StatusBadRequest}
}

// needNonce asks for the same again with a nonce of ours (section 8).
func needNonce() *Error {
	return &Error{Code: CodeNonce, Description: "the proof must have the nonce that this answer gives", Status: http.StatusBadRequest}
}

// proven is the thumbprint of the key that a client has just proved to have; "" for
// a client that need not and did not. A proof is good once.
func (p *Provider) proven(ctx context.Context, c policy.Client, s Shown) (jkt string, err error) {
	switch {
	case !binds(c):
		return "", nil
	case len(s.Proofs) == 0 && c.DPoP == policy.DPoPAllowed:
		return "", nil
	case len(s.Proofs) == 0:
		return "", badProof("this client must prove its key (DPoP)")
	}
	return p.prove(ctx, s, "")
}

// prove verifies a proof, for the access token that it is shown with if there is
// one, and uses it up.
func (p *Provider) prove(ctx context.Context, s Shown, token string) (jkt string, err error) {
	if len(s.Proofs) != 1 {
		return "", badProof("more than one DPoP header")
	}
	now := p.Now()
	proof, err := readProof(s.Proofs[0], s.Method, s.URL, token, now)
	if err != nil {
		return "", badProof("the proof is not one of this request, now")
	}
	if !p.nonceIs(proof.nonce, now) {
		return "", needNonce()
	}
	err = p.DB.WithTx(ctx, func(tx *store.Tx) error {
		sum := sha256.Sum256([]byte(proof.jkt + " " + proof.jti))
		return spend(ctx, tx, "dpop:"+base64.RawURLEncoding.EncodeToString(sum[:]), proof.issued.Add(proofAge+2*clockLeeway))
	})
	if errors.Is(err, errSpent) {
		return "", badProof("the proof was used before")
	}
	return proof.jkt, err
}

// stay has a family that began without a key stay with the first one that a client
// which proves nothing else shows at a refresh (section 5).
func stay(ctx context.Context, tx *store.Tx, c policy.Client, g grant, jkt string) error {
	if g.jkt != "" || jkt == "" || c.AuthMethod != policy.AuthNone {
		return nil
	}
	return tx.ExecOne(ctx, `UPDATE oidc_grant SET jkt = $1 WHERE id = $2 AND jkt = ''`, jkt, g.ID)
}

// provenAgain is proven at a refresh. Tokens of a client that proves nothing else
// stay with the key that they began with, and a family that is bound is never let
// loose; a client that proves itself may change its key (section 5).
func (p *Provider) provenAgain(ctx context.Context, call Call, g grant) (jkt string, err error) {
	switch {
	case g.jkt == "":
		return p.proven(ctx, call.Client, call.Shown)
	case len(call.Shown.Proofs) == 0:
		return "", badProof("what this came from is bound to a key, which must be proved (DPoP)")
	}
	if jkt, err = p.prove(ctx, call.Shown, ""); err != nil {
		return "", err
	}
	if jkt != g.jkt && call.Client.AuthMethod == policy.AuthNone {
		return "", deadRefresh()
	}
	return jkt, nil
}

// bind writes into an access token whose key it takes to use it (section 6.1).
func bind(claims jwt.MapClaims, jkt string) {
	if jkt != "" {
		claims["cnf"] = map[string]any{"jkt": jkt}
	}
}

func tokenType(jkt string) string {
	if jkt != "" {
		return TokenTypeDPoP
	}
	return "Bearer"
}

// boundTo is the key that an access token is bound to; "" for none.
func boundTo(claims jwt.MapClaims) string {
	cnf, _ := claims["cnf"].(map[string]any)
	jkt, _ := cnf["jkt"].(string)
	return jkt
}

// Presented is an access token as it was shown to a resource of ours.
type Presented struct {
	Token string
	Bound bool // by the scheme DPoP, and not as a bearer token
	Shown Shown
}

// shownRightly asks that a token which is bound to a key comes with a proof of it,
// and that one which is not does not pretend to be (section 7).
func (p *Provider) shownRightly(ctx context.Context, claims jwt.MapClaims, t Presented) error {
	jkt := boundTo(claims)
	switch {
	case jkt == "" && !t.Bound:
		return nil
	case jkt == "" || !t.Bound || len(t.Shown.Proofs) == 0:
		return invalidToken("the access token is bound to a key, or is not, and was not shown so")
	}
	proved, err := p.prove(ctx, t.Shown, t.Token)
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Status = http.StatusUnauthorized // at a resource (section 7.1)
	}
	if err != nil {
		return err
	}
	if proved != jkt {
		return invalidToken("the access token is bound to another key")
	}
	return nil
}

// binds reports whether proofs of a client are looked at.
func binds(c policy.Client) bool {
	return c.DPoP == policy.DPoPAllowed || c.DPoP == policy.DPoPRequired
}

type proof struct {
	jkt, jti, nonce string
	issued          time.Time
}

// readProof is section 4.3, all but the nonce. It is pure.
func readProof(signed, method, target, token string, now time.Time) (proof, error) {
	if len(signed) > maxCredential {
		return proof{}, errProof
	}
	var key policy.ClientKey
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(signed, claims, func(t *jwt.Token) (any, error) {
		jwk, ok := t.Header["jwk"].(map[string]any)
		if _, critical := t.Header["crit"]; !ok || critical || t.Header["typ"] != proofType {
			return nil, errProof
		}
		var err error
		// Only the public half of a key whose kind fits the algorithm; jku, x5u and
		// kid are never looked at.
		if key, err = policy.ProofKey(jwk, t.Method.Alg()); err != nil {
			return nil, errProof
		}
		return key.Key, nil
	}, jwt.WithValidMethods(ProofAlgorithms()), jwt.WithStrictDecoding(), jwt.WithLeeway(clockLeeway), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return proof{}, errProof
	}
	issued, err := claims.GetIssuedAt()
	out := proof{jti: text(claims, "jti"), nonce: text(claims, "nonce")}
	switch {
	case err != nil || issued == nil:
		return proof{}, errProof
	case out.jti == "" || len(out.jti) > 256:
		return proof{}, errProof
	case text(claims, "htm") != method || !sameTarget(text(claims, "htu"), target):
		return proof{}, errProof
	case now.Sub(issued.Time) > proofAge+clockLeeway || issued.Sub(now) > clockLeeway:
		return proof{}, errProof
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		if !hmac.Equal([]byte(text(claims, "ath")), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) {
			return proof{}, errProof
		}
	}
	out.issued = issued.Time
	if out.jkt, err = policy.Thumbprint(key.Key); err != nil {
		return proof{}, errProof
	}
	return out, nil
}

// sameTarget compares two addresses as RFC 3986 section 6.2 has it for scheme,
// host and port, without query and fragment (section 4.3).
func sameTarget(htu, target string) bool {
	a, errA := url.Parse(htu)
	b, errB := url.Parse(target)
	if errA != nil || errB != nil || a.User != nil || a.Opaque != "" || len(htu) > maxParameter {
		return false
	}
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(withPort(a), withPort(b)) && a.EscapedPath() == b.EscapedPath()
}

func withPort(u *url.URL) string {
	if u.Port() != "" || u.Host == "" {
		return u.Host
	}
	switch strings.ToLower(u.Scheme) {
	case "https":
		return u.Host + ":443"
	case "http":
		return u.Host + ":80"
	}
	return u.Host
}

// ProofNonce is the nonce that the next proof is to have. It says when it was
// given, under a MAC of the session ring, which all gateways share: nothing is
// kept for it.
func (p *Provider) ProofNonce() string {
	at := strconv.FormatInt(p.Now().Unix(), 36)
	return at + "." + p.nonceMAC(at)
}

func (p *Provider) nonceMAC(at string) string {
	sum := p.Sessions.Tag("openid-dpop-nonce", at)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func (p *Provider) nonceIs(nonce string, now time.Time) bool {
	at, mac, ok := strings.Cut(nonce, ".")
	if !ok || len(at) > 16 || !hmac.Equal([]byte(mac), []byte(p.nonceMAC(at))) {
		return false
	}
	secs, err := strconv.ParseInt(at, 36, 64)
	if err != nil {
		return false
	}
	age := now.Sub(time.Unix(secs, 0))
	return age <= nonceAge && age >= -clockLeeway
}

// thumb reports whether s has the form of a thumbprint.
func thumb(s string) bool { return len(s) == 43 && base64url(s) }
