package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"sekisho/test/harness"
)

// A holder is an application that binds its tokens to a key (RFC 9449), written
// by hand from the specification.
type holder struct {
	*rp
	key   *ecdsa.PrivateKey
	nonce string // that the gate gave last
}

func newHolder(t *testing.T, a *rp) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{rp: a, key: key}
}

func (h *holder) proof(t *testing.T, method, path, token string) string {
	t.Helper()
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	c := jwt.MapClaims{"jti": rand.Text(), "htm": method, "htu": h.d.URL + path, "iat": h.c.Now(t).Unix()}
	if h.nonce != "" {
		c["nonce"] = h.nonce
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		c["ath"] = b64(sum[:])
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	tok.Header["typ"], tok.Header["jwk"] = "dpop+jwt", map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	signed, err := tok.SignedString(h.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// sends is one request with a proof; the nonce of its answer is kept.
func (h *holder) sends(t *testing.T, path string, form url.Values, proof string) harness.Answer {
	t.Helper()
	form.Set("client_id", h.conf.ClientID)
	var headers []string
	if proof != "" {
		headers = []string{"DPoP", proof}
	}
	got, err := harness.NewClient(h.d.URL).Send("POST", path, "application/x-www-form-urlencoded", []byte(form.Encode()), headers...)
	if err != nil {
		t.Fatal(err)
	}
	if n := got.Header.Get("DPoP-Nonce"); n != "" {
		h.nonce = n
	}
	return got
}

func (h *holder) looks(t *testing.T, scheme, token, proof string) harness.Answer {
	t.Helper()
	headers := []string{"Authorization", scheme + " " + token}
	if proof != "" {
		headers = append(headers, "DPoP", proof)
	}
	got := harness.NewClient(h.d.URL).Do(t, "GET", "/oauth2/userinfo", nil, headers...)
	if n := got.Header.Get("DPoP-Nonce"); n != "" {
		h.nonce = n
	}
	return got
}

// TestOpenIDProofOfPossession: a public client whose tokens are of no use to
// whoever has the tokens alone.
func TestOpenIDProofOfPossession(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	addClients(t, d, `
  - {client_id: native, name: {ja: 手元のプログラム, en: Native}, zone: lgwan, class: 3, auth_method: none, redirect_uris: ["http://127.0.0.1:9999/native"], refresh: true, dpop: required}
`)
	h := newHolder(t, newRP(t, d, "native", "", "http://127.0.0.1:9999/native", oauth2.AuthStyleInParams))
	c := signIn(t, d, d.Person(t, "tanaka"))
	var said struct {
		Algs []string `json:"dpop_signing_alg_values_supported"`
	}
	if err := h.provider.Claims(&said); err != nil || !slices.Contains(said.Algs, "ES256") || slices.Contains(said.Algs, "none") || slices.Contains(said.Algs, "HS256") {
		t.Errorf("discovery: %v, %v", said, err)
	}

	code, verifier := h.code(t, c, nil)
	form := func() url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {h.conf.RedirectURL}, "code_verifier": {verifier}}
	}
	if got := h.sends(t, "/oauth2/token", form(), ""); got.Status != http.StatusBadRequest || refused(t, got) != "invalid_dpop_proof" || h.nonce == "" {
		t.Errorf("without a proof: %d %s", got.Status, got.Body)
	}
	first := h.nonce
	h.nonce = ""
	if got := h.sends(t, "/oauth2/token", form(), h.proof(t, "POST", "/oauth2/token", "")); got.Status != http.StatusBadRequest || refused(t, got) != "use_dpop_nonce" || h.nonce == "" {
		t.Errorf("without a nonce: %d %s", got.Status, got.Body)
	}
	if first == "" {
		t.Error("no nonce was given")
	}
	proof := h.proof(t, "POST", "/oauth2/token", "")
	tok := given(t, h.sends(t, "/oauth2/token", form(), proof))
	_, claims := opened(t, tok.AccessToken)
	cnf, _ := claims["cnf"].(map[string]any)
	if jkt, _ := cnf["jkt"].(string); len(jkt) != 43 || tok.TokenType != "DPoP" {
		t.Errorf("cnf %v, token_type %q", cnf, tok.TokenType)
	}

	// Whoever has the tokens alone.
	thief := newHolder(t, h.rp)
	thief.nonce = h.nonce
	refresh := func(by *holder, proof string) harness.Answer {
		return by.sends(t, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}}, proof)
	}
	for name, got := range map[string]harness.Answer{
		"refreshing without a proof":       refresh(thief, ""),
		"refreshing with another key":      refresh(thief, thief.proof(t, "POST", "/oauth2/token", "")),
		"refreshing with the proof it saw": refresh(thief, proof),
	} {
		if got.Status != http.StatusBadRequest || refused(t, got) == "" {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	for name, got := range map[string]harness.Answer{
		"userinfo as a bearer":      thief.looks(t, "Bearer", tok.AccessToken, ""),
		"userinfo without a proof":  thief.looks(t, "DPoP", tok.AccessToken, ""),
		"userinfo with another key": thief.looks(t, "DPoP", tok.AccessToken, thief.proof(t, "GET", "/oauth2/userinfo", tok.AccessToken)),
	} {
		if got.Status != http.StatusUnauthorized || !strings.Contains(got.Header.Get("WWW-Authenticate"), "error=") {
			t.Errorf("%s: %d %s", name, got.Status, got.Header.Get("WWW-Authenticate"))
		}
	}

	// Its owner goes on, also after the thief has tried.
	used := h.proof(t, "GET", "/oauth2/userinfo", tok.AccessToken)
	if got := h.looks(t, "DPoP", tok.AccessToken, used); got.Status != http.StatusOK || !strings.Contains(string(got.Body), `"sub"`) {
		t.Errorf("userinfo: %d %s %s", got.Status, got.Body, got.Header.Get("WWW-Authenticate"))
	}
	if got := h.looks(t, "DPoP", tok.AccessToken, used); got.Status != http.StatusUnauthorized || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "DPoP ") || !strings.Contains(got.Header.Get("WWW-Authenticate"), "invalid_dpop_proof") {
		t.Errorf("the same proof again: %d %s", got.Status, got.Header.Get("WWW-Authenticate"))
	}
	tok = given(t, refresh(h, h.proof(t, "POST", "/oauth2/token", "")))
	if got := h.looks(t, "DPoP", tok.AccessToken, h.proof(t, "GET", "/oauth2/userinfo", tok.AccessToken)); got.Status != http.StatusOK {
		t.Errorf("userinfo after refreshing: %d %s", got.Status, got.Header.Get("WWW-Authenticate"))
	}
}
