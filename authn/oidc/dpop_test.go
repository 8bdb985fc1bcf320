package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/token"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// holder is a client that has a key and makes proofs with it, by hand.
type holder struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

func newHolder(t testing.TB) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return holder{t, key}
}

func (h holder) jwk() map[string]any {
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		h.t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func (h holder) thumb() string {
	jkt, err := policy.Thumbprint(&h.key.PublicKey)
	if err != nil {
		h.t.Fatal(err)
	}
	return jkt
}

const tokenURL = issuer + "/oauth2/token"

// claims are those of a proof that is right at the token endpoint at now.
func proofClaims(now time.Time, nonce string) jwt.MapClaims {
	return jwt.MapClaims{"jti": secret.Token(12), "htm": "POST", "htu": tokenURL, "iat": now.Unix(), "nonce": nonce}
}

func (h holder) sign(claims jwt.MapClaims, change ...func(header map[string]any)) string {
	h.t.Helper()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"], t.Header["jwk"] = "dpop+jwt", h.jwk()
	for _, c := range change {
		c(t.Header)
	}
	signed, err := t.SignedString(h.key)
	if err != nil {
		h.t.Fatal(err)
	}
	return signed
}

// shown is a good proof at the token endpoint.
func (h holder) shown(w *world) Shown {
	return Shown{Proofs: []string{h.sign(proofClaims(w.Now(), w.ProofNonce()))}, Method: "POST", URL: tokenURL}
}

// marked gives the world's client a rule about proofs.
func marked(t *testing.T, rule string, change ...func(*policy.Client)) *world {
	t.Helper()
	w := newWorld(t)
	w.set(func() {
		w.rules.Clients[0].DPoP = rule
		for _, c := range change {
			c(&w.rules.Clients[0])
		}
	})
	return w
}

func public(c *policy.Client) { c.AuthMethod = policy.AuthNone }

func (w *world) with(s Shown) Call { c := w.call(); c.Shown = s; return c }

func (w *world) redeemBy(code string, s Shown) (Tokens, error) {
	return w.Token(ctx, w.with(s), url.Values{"grant_type": {GrantCode}, "code": {code}, "redirect_uri": {"https://web.example/cb"}, "code_verifier": {verifier}})
}

func (w *world) refreshedBy(value string, s Shown) (Tokens, error) {
	return w.Token(ctx, w.with(s), url.Values{"grant_type": {GrantRefresh}, "refresh_token": {value}})
}

// TestReadProof is RFC 9449 section 4.3, one thing wrong at a time.
func TestReadProof(t *testing.T) {
	h := newHolder(t)
	right := func() jwt.MapClaims { return proofClaims(t0, "n") }
	if p, err := readProof(h.sign(right()), "POST", tokenURL, "", t0); err != nil || p.jkt != h.thumb() || p.nonce != "n" || p.jti == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	bound := func(c jwt.MapClaims) jwt.MapClaims {
		sum := sha256.Sum256([]byte("the-token"))
		c["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
		return c
	}
	if _, err := readProof(h.sign(bound(right())), "POST", tokenURL, "the-token", t0); err != nil {
		t.Errorf("with the token that it is for: %v", err)
	}
	claims := func(change func(jwt.MapClaims)) string { c := right(); change(c); return h.sign(c) }
	header := func(name string, value any) string {
		return h.sign(right(), func(head map[string]any) { head[name] = value })
	}
	private := h.jwk()
	private["d"] = "AAAA"
	hmacOf := func() string {
		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, right())
		tok.Header["typ"], tok.Header["jwk"] = "dpop+jwt", map[string]any{"kty": "oct", "k": "c2VjcmV0"}
		s, _ := tok.SignedString([]byte("secret"))
		return s
	}
	none := func() string {
		tok := jwt.NewWithClaims(jwt.SigningMethodNone, right())
		tok.Header["typ"], tok.Header["jwk"] = "dpop+jwt", h.jwk()
		s, _ := tok.SignedString(jwt.UnsafeAllowNoneSignatureType)
		return s
	}
	for name, text := range map[string]string{
		"nothing":                    "",
		"no JWT":                     "a.b.c",
		"too long":                   strings.Repeat("a", maxCredential+1),
		"another typ":                header("typ", "JWT"),
		"an access token's typ":      header("typ", token.TypeAccess),
		"no key in it":               header("jwk", nil),
		"a private key in it":        header("jwk", private),
		"somebody else's key in it":  header("jwk", newHolder(t).jwk()),
		"a key of another algorithm": header("jwk", func() map[string]any { k := h.jwk(); k["alg"] = "PS256"; return k }()),
		"a key that is nowhere":      header("jwk", map[string]any{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
		"a key by address":           h.sign(right(), func(head map[string]any) { delete(head, "jwk"); head["jku"] = "https://evil.example/" }),
		"something critical":         header("crit", []string{"exp"}),
		"a shared secret":            hmacOf(),
		"no signature":               none(),
		"no name":                    claims(func(c jwt.MapClaims) { delete(c, "jti") }),
		"a name without end":         claims(func(c jwt.MapClaims) { c["jti"] = strings.Repeat("a", 257) }),
		"no time":                    claims(func(c jwt.MapClaims) { delete(c, "iat") }),
		"too old":                    claims(func(c jwt.MapClaims) { c["iat"] = t0.Add(-2 * time.Minute).Unix() }),
		"from later":                 claims(func(c jwt.MapClaims) { c["iat"] = t0.Add(time.Minute).Unix() }),
		"over":                       claims(func(c jwt.MapClaims) { c["exp"] = t0.Add(-time.Minute).Unix() }),
		"another method":             claims(func(c jwt.MapClaims) { c["htm"] = "GET" }),
		"no method":                  claims(func(c jwt.MapClaims) { delete(c, "htm") }),
		"another address":            claims(func(c jwt.MapClaims) { c["htu"] = "https://elsewhere.example/oauth2/token" }),
		"another path":               claims(func(c jwt.MapClaims) { c["htu"] = issuer + "/oauth2/userinfo" }),
		"another scheme":             claims(func(c jwt.MapClaims) { c["htu"] = strings.Replace(tokenURL, "https", "http", 1) }),
		"a user in the address":      claims(func(c jwt.MapClaims) { c["htu"] = strings.Replace(tokenURL, "://", "://gate.example@", 1) }),
		"a number for an address":    claims(func(c jwt.MapClaims) { c["htu"] = 1 }),
	} {
		if p, err := readProof(text, "POST", tokenURL, "", t0); err == nil {
			t.Errorf("%s: taken as %+v", name, p)
		}
	}
	for name, text := range map[string]string{"no token": h.sign(right()), "another's": h.sign(func() jwt.MapClaims { c := right(); c["ath"] = "x"; return c }())} {
		if _, err := readProof(text, "POST", tokenURL, "the-token", t0); err == nil {
			t.Errorf("for a token, with %s in it: taken", name)
		}
	}
	for _, same := range []string{"HTTPS://GATE.example/oauth2/token", issuer + ":443/oauth2/token", tokenURL + "?a=b#c"} {
		if _, err := readProof(claims(func(c jwt.MapClaims) { c["htu"] = same }), "POST", tokenURL, "", t0); err != nil {
			t.Errorf("%s is the same address: %v", same, err)
		}
	}
}

// TestProofKinds: every algorithm that is announced is taken, and a key has one
// thumbprint however it is written.
func TestProofKinds(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	edPublic, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwkRSA := map[string]any{"kty": "RSA", "n": b64(rs.N.Bytes()), "e": "AQAB"}
	for _, tt := range []struct {
		method jwt.SigningMethod
		key    any
		jwk    map[string]any
	}{
		{jwt.SigningMethodEdDSA, ed, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(edPublic)}},
		{jwt.SigningMethodPS256, rs, jwkRSA}, {jwt.SigningMethodRS256, rs, jwkRSA},
	} {
		tok := jwt.NewWithClaims(tt.method, proofClaims(t0, "n"))
		tok.Header["typ"], tok.Header["jwk"] = "dpop+jwt", tt.jwk
		signed, err := tok.SignedString(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := readProof(signed, "POST", tokenURL, "", t0); err != nil || !thumb(p.jkt) {
			t.Errorf("%s: %+v, %v", tt.method.Alg(), p, err)
		}
	}
	// RFC 7638 section 3.1.
	example := map[string]any{"kty": "RSA", "kid": "2011-04-29", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}
	k, err := policy.ProofKey(example, "RS256")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := policy.Thumbprint(k.Key); err != nil || got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("the RFC's example has thumbprint %s, %v", got, err)
	}
}

// TestRequiredProof: a client that must prove its key gets nothing without; what
// it gets is bound to the key, and says so wherever it is asked for.
func TestRequiredProof(t *testing.T) {
	w := marked(t, policy.DPoPRequired)
	h, given := newHolder(t), w.code()
	for name, s := range map[string]Shown{
		"none":             {},
		"two":              {Proofs: []string{h.shown(w).Proofs[0], h.shown(w).Proofs[0]}, Method: "POST", URL: tokenURL},
		"at another place": {Proofs: h.shown(w).Proofs, Method: "POST", URL: issuer + "/oauth2/par"},
	} {
		if _, err := w.redeemBy(given, s); code(err) != CodeProof {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, nonce := range map[string]string{"no nonce": "", "a nonce of one's own": "abc", "a nonce moved on": "zzzzzz." + strings.Split(w.ProofNonce(), ".")[1]} {
		s := Shown{Proofs: []string{h.sign(proofClaims(w.Now(), nonce))}, Method: "POST", URL: tokenURL}
		if _, err := w.redeemBy(given, s); code(err) != CodeNonce {
			t.Errorf("%s: %v", name, err)
		}
	}
	old := w.ProofNonce()
	w.forward(nonceAge + time.Second)
	if _, err := w.redeemBy(w.code(), Shown{Proofs: []string{h.sign(proofClaims(w.Now(), old))}, Method: "POST", URL: tokenURL}); code(err) != CodeNonce {
		t.Errorf("an old nonce: %v", err)
	}

	tok, err := w.redeemBy(w.code(), h.shown(w))
	if err != nil || tok.TokenType != TokenTypeDPoP {
		t.Fatalf("%s, %v", tok.TokenType, err)
	}
	said, err := w.Introspect(ctx, w.call(), url.Values{"token": {tok.AccessToken}})
	cnf, _ := said["cnf"].(map[string]any)
	if err != nil || said["token_type"] != TokenTypeDPoP || cnf["jkt"] != h.thumb() {
		t.Errorf("%v, %v", said, err)
	}
	if _, err := w.refreshedBy(tok.RefreshToken, Shown{}); code(err) != CodeProof {
		t.Errorf("refreshed without a proof: %v", err)
	}
	if next, err := w.refreshedBy(tok.RefreshToken, h.shown(w)); err != nil || next.TokenType != TokenTypeDPoP {
		t.Errorf("refreshed: %v", err)
	}
	// Once bound, never let loose, whatever the policy says later.
	tok, err = w.redeemBy(w.code(), h.shown(w))
	if err != nil {
		t.Fatal(err)
	}
	w.set(func() { w.rules.Clients[0].DPoP = policy.DPoPNone })
	if _, err := w.refreshedBy(tok.RefreshToken, Shown{}); code(err) != CodeProof {
		t.Errorf("the policy lets it go: %v", err)
	}
}

// TestProofOnce: of all who come with one proof, one is served, at one gateway or
// another: a row decides.
func TestProofOnce(t *testing.T) {
	w := marked(t, policy.DPoPRequired)
	s := newHolder(t).shown(w)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		came = map[string]int{}
	)
	for range 10 {
		given := w.code()
		wg.Go(func() {
			_, err := w.redeemBy(given, s)
			mu.Lock()
			defer mu.Unlock()
			came[code(err)]++
		})
	}
	wg.Wait()
	if came[""] != 1 || came[CodeProof] != 9 {
		t.Errorf("of ten: %v", came)
	}
	back := w.lose("oidc_spent")
	if tok, err := w.redeemBy(w.code(), newHolder(t).shown(w)); err == nil || code(err) != "" || tok.AccessToken != "" {
		t.Errorf("nobody could say whether it was used: %v", err)
	}
	back()
}

// TestPublicStaysWithItsKey: a client that proves nothing else keeps the key it
// began with; one that proves itself may change it.
func TestPublicStaysWithItsKey(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change []func(*policy.Client)
		want   string
	}{{"public", []func(*policy.Client){public}, "invalid_grant"}, {"confidential", nil, ""}} {
		w := marked(t, policy.DPoPRequired, tt.change...)
		h, other := newHolder(t), newHolder(t)
		tok, err := w.redeemBy(w.code(), h.shown(w))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.refreshedBy(tok.RefreshToken, other.shown(w)); code(err) != tt.want {
			t.Errorf("%s with another key: %v", tt.name, err)
		}
		if tt.want != "" {
			if _, err := w.refreshedBy(tok.RefreshToken, h.shown(w)); err != nil {
				t.Errorf("%s, which a thief has tried: %v", tt.name, err)
			}
		}
	}
}

// TestPublicIsBoundLater: a public client's family that began without a key stays
// with the first one it shows (RFC 9449 section 5).
func TestPublicIsBoundLater(t *testing.T) {
	w := marked(t, policy.DPoPAllowed, public)
	h, thief := newHolder(t), newHolder(t)
	tok, err := w.redeemBy(w.code(), Shown{})
	if err != nil {
		t.Fatal(err)
	}
	if tok, err = w.refreshedBy(tok.RefreshToken, h.shown(w)); err != nil || tok.TokenType != TokenTypeDPoP {
		t.Fatalf("its first key: %v", err)
	}
	for name, s := range map[string]Shown{"another key": thief.shown(w), "no key": {}} {
		if _, err := w.refreshedBy(tok.RefreshToken, s); err == nil {
			t.Errorf("%s after it", name)
		}
	}
	if _, err := w.refreshedBy(tok.RefreshToken, h.shown(w)); err != nil {
		t.Errorf("its own key again: %v", err)
	}
}

// TestCodeBoundToKey: dpop_jkt binds a code before anybody could steal it, as a
// proof at the push does; PKCE alone is not enough then.
func TestCodeBoundToKey(t *testing.T) {
	w := marked(t, policy.DPoPAllowed)
	h, thief := newHolder(t), newHolder(t)
	authorize := func(r Request) string {
		t.Helper()
		a, err := w.Authorize(ctx, r, w.visit())
		if err != nil {
			t.Fatal(err)
		}
		return a.Code
	}
	given := authorize(w.request("dpop_jkt", h.thumb()))
	for name, s := range map[string]Shown{"another key": thief.shown(w), "no key": {}} {
		if _, err := w.redeemBy(given, s); code(err) != "invalid_grant" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if tok, err := w.redeemBy(given, h.shown(w)); err != nil || tok.TokenType != TokenTypeDPoP {
		t.Errorf("the right key: %v", err)
	}

	push := func(s Shown, change ...string) (Request, error) {
		form := asked(append([]string{"code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, change...)...)
		uri, _, err := w.Push(ctx, w.with(s), form)
		if err != nil {
			return Request{}, err
		}
		r, _, err := w.Read(ctx, url.Values{"client_id": {"web"}, "request_uri": {uri}})
		return r, err
	}
	at := func(h holder) Shown {
		c := proofClaims(w.Now(), w.ProofNonce())
		c["htu"] = issuer + "/oauth2/par"
		return Shown{Proofs: []string{h.sign(c)}, Method: "POST", URL: issuer + "/oauth2/par"}
	}
	r, err := push(at(h))
	if err != nil || r.JKT != h.thumb() {
		t.Fatalf("pushed with a proof: %q, %v", r.JKT, err)
	}
	if _, err := w.redeemBy(authorize(r), thief.shown(w)); code(err) != "invalid_grant" {
		t.Errorf("pushed by another key: %v", err)
	}
	if _, err := push(at(h), "dpop_jkt", thief.thumb()); code(err) != CodeProof {
		t.Errorf("the push names another key: %v", err)
	}
	if _, _, err := w.Read(ctx, asked("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "dpop_jkt", "short")); code(err) != "invalid_request" {
		t.Errorf("no thumbprint: %v", err)
	}
	// Without a proof such a client has bearer tokens, and a client that the policy
	// does not mark has no others.
	if tok := w.tokens(); tok.TokenType != "Bearer" {
		t.Errorf("%s without a proof", tok.TokenType)
	}
	w.set(func() { w.rules.Clients[0].DPoP = "" })
	if tok, err := w.redeemBy(w.code(), Shown{Proofs: []string{"junk"}}); err != nil || tok.TokenType != "Bearer" {
		t.Errorf("a client that is not marked: %s, %v", tok.TokenType, err)
	}
}

// TestShownRightly: a bound token is no bearer token, and a bearer token no bound
// one (section 7.2).
func TestShownRightly(t *testing.T) {
	w := marked(t, policy.DPoPAllowed)
	h, thief := newHolder(t), newHolder(t)
	tok, err := w.redeemBy(w.code(), h.shown(w))
	if err != nil {
		t.Fatal(err)
	}
	bearer := w.tokens()
	at := func(by holder, signed string, change ...func(jwt.MapClaims)) Shown {
		c := proofClaims(w.Now(), w.ProofNonce())
		sum := sha256.Sum256([]byte(signed))
		c["htm"], c["htu"], c["ath"] = "GET", issuer+"/oauth2/userinfo", base64.RawURLEncoding.EncodeToString(sum[:])
		for _, x := range change {
			x(c)
		}
		return Shown{Proofs: []string{by.sign(c)}, Method: "GET", URL: issuer + "/oauth2/userinfo"}
	}
	again := at(h, tok.AccessToken)
	for _, tt := range []struct {
		name string
		t    Presented
		want string
	}{
		{"as it should be", Presented{tok.AccessToken, true, again}, ""},
		{"with a used proof", Presented{tok.AccessToken, true, again}, CodeProof},
		{"a bound one as a bearer's", Presented{tok.AccessToken, false, at(h, tok.AccessToken)}, "invalid_token"},
		{"a bound one without a proof", Presented{tok.AccessToken, true, Shown{}}, "invalid_token"},
		{"a bound one by another key", Presented{tok.AccessToken, true, at(thief, tok.AccessToken)}, "invalid_token"},
		{"with a proof for another token", Presented{tok.AccessToken, true, at(h, bearer.AccessToken)}, CodeProof},
		{"with a proof for the token endpoint", Presented{tok.AccessToken, true, Shown{h.shown(w).Proofs, "GET", issuer + "/oauth2/userinfo"}}, CodeProof},
		{"with a proof without a nonce", Presented{tok.AccessToken, true, at(h, tok.AccessToken, func(c jwt.MapClaims) { delete(c, "nonce") })}, CodeNonce},
		{"a bearer's as a bound one", Presented{bearer.AccessToken, true, at(h, bearer.AccessToken)}, "invalid_token"},
		{"a bearer's", Presented{bearer.AccessToken, false, Shown{}}, ""},
		{"an ID token", Presented{tok.IDToken, true, at(h, tok.IDToken)}, "invalid_token"},
		{"a proof as a token", Presented{again.Proofs[0], true, at(h, again.Proofs[0])}, "invalid_token"},
	} {
		said, err := w.UserInfo(ctx, tt.t)
		if code(err) != tt.want || (err == nil) != (tt.want == "") || err == nil && said["sub"] != "id-of-tanaka" {
			t.Errorf("%s: %v, %v, want %q", tt.name, said, err, tt.want)
		}
		if e := (*Error)(nil); errors.As(err, &e) && e.Status != 401 {
			t.Errorf("%s: status %d", tt.name, e.Status)
		}
	}
}

// FuzzProof: nothing that a stranger sends panics or is taken.
func FuzzProof(f *testing.F) {
	f.Add("a.b.c")
	f.Add("eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYifX0.e30.AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := readProof(text, "POST", tokenURL, "", t0); err == nil {
			t.Errorf("taken: %+v", p)
		}
	})
}
