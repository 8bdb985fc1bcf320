package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"sekisho/test/harness"
)

// A keyClient proves itself by a key (private_key_jwt).
type keyClient struct {
	id  string
	key *ecdsa.PrivateKey
	d   *harness.Dev
}

func newKeyClient(t *testing.T, d *harness.Dev, id string) (k keyClient, jwks string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return keyClient{id, key, d}, fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"%s","y":"%s"}]}`, b64(point[1:33]), b64(point[33:]))
}

// assertion is one that is good, changed.
func (k keyClient) assertion(t *testing.T, change func(c jwt.MapClaims)) string {
	t.Helper()
	now := harness.NewClient(k.d.URL).Now(t)
	c := jwt.MapClaims{
		"iss": k.id, "sub": k.id, "aud": k.d.URL + "/oauth2/token", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text(),
	}
	if change != nil {
		change(c)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	tok.Header["kid"] = "k1"
	signed, err := tok.SignedString(k.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (k keyClient) post(t *testing.T, path, assertion string, form url.Values) harness.Answer {
	t.Helper()
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	return harness.NewClient(k.d.URL).Form(t, path, form)
}

// TestOpenIDClients tries pushed requests (RFC 9126), clients that prove
// themselves by a key (RFC 7523), services, and consent.
func TestOpenIDClients(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	k, jwks := newKeyClient(t, d, "renkei")
	addClients(t, d, `
  - client_id: renkei
    name: {ja: 連携, en: Exchange}
    zone: lgwan
    class: 3
    auth_method: private_key_jwt
    jwks: '`+jwks+`'
    redirect_uris: ["http://127.0.0.1:9999/renkei"]
    require_par: true
    consent: true
    scopes: [email]
    service: {owner: sato, scopes: [renkei.read, renkei.write]}
  - {client_id: front, name: {ja: 画面}, zone: lgwan, class: 3, auth_method: client_secret_basic, secret_hashes: ["`+hashed("front-secret")+`"], redirect_uris: ["http://127.0.0.1:9999/front"], audiences: [renkei]}
`)
	a := newRP(t, d, "renkei", "", "http://127.0.0.1:9999/renkei", oauth2.AuthStyleInParams)
	front := newRP(t, d, "front", "front-secret", "http://127.0.0.1:9999/front", oauth2.AuthStyleInHeader)
	c := signIn(t, d, d.Person(t, "tanaka"))

	pushed := func(t *testing.T, verifier string, more url.Values) harness.Answer {
		t.Helper()
		u, err := url.Parse(a.asking(verifier, "the-state", "the-nonce", more))
		if err != nil {
			t.Fatal(err)
		}
		return k.post(t, "/oauth2/par", k.assertion(t, nil), u.Query())
	}
	name := func(t *testing.T, got harness.Answer) string {
		t.Helper()
		var said struct {
			URI  string `json:"request_uri"`
			Ends int    `json:"expires_in"`
		}
		got.Into(t, &said)
		if got.Status != http.StatusCreated || !strings.HasPrefix(said.URI, "urn:ietf:params:oauth:request_uri:") || said.Ends <= 0 || got.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		return said.URI
	}
	ask := func(t *testing.T, client, uri string) harness.Answer {
		t.Helper()
		return c.Do(t, "GET", "/oauth2/authorize?"+url.Values{"client_id": {client}, "request_uri": {uri}}.Encode(), nil, "Accept", "text/html")
	}
	agree := func(t *testing.T, page harness.Answer, answer string) harness.Answer {
		t.Helper()
		body := string(page.Body)
		_, rest, ok := strings.Cut(body, `name="request" value="`)
		request, _, _ := strings.Cut(rest, `"`)
		if page.Status != http.StatusOK || !ok {
			t.Fatalf("no page that asks: %d %s", page.Status, body)
		}
		return c.Form(t, "/oauth2/consent", url.Values{"request": {strings.ReplaceAll(request, "&amp;", "&")}, "answer": {answer}})
	}

	t.Run("pushed, asked, agreed, redeemed", func(t *testing.T) {
		verifier := oauth2.GenerateVerifier()
		uri := name(t, pushed(t, verifier, url.Values{"scope": {"openid email"}}))
		page := ask(t, "renkei", uri)
		if !strings.Contains(string(page.Body), "your mail address") || strings.Contains(string(page.Body), "your name, login") {
			t.Errorf("the page does not say what is asked for: %s", page.Body)
		}
		forged := c.Fork()
		forged.CSRF = ""
		if got := forged.Form(t, "/oauth2/consent", url.Values{"request": {"client_id=renkei&request_uri=" + url.QueryEscape(uri)}, "answer": {"agree"}}); got.Status != http.StatusForbidden {
			t.Errorf("agreed by another site: %d", got.Status)
		}
		if q := a.back(t, agree(t, page, "refuse")); q.Get("error") != "access_denied" {
			t.Errorf("%v", q)
		}
		code := a.back(t, agree(t, ask(t, "renkei", uri), "agree")).Get("code")
		form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.conf.RedirectURL}, "code_verifier": {verifier}}
		tok := given(t, k.post(t, "/oauth2/token", k.assertion(t, nil), form))
		if tok.Scope != "openid email" {
			t.Errorf("scope %q", tok.Scope)
		}
		if got := ask(t, "renkei", uri); got.Status == http.StatusOK && !strings.Contains(string(got.Body), "used or is too old") {
			t.Errorf("a pushed request twice: %d %s", got.Status, got.Body)
		}
		// In this session it is not asked again for what was agreed to, but for more.
		if q := a.back(t, ask(t, "renkei", name(t, pushed(t, verifier, url.Values{"scope": {"openid"}})))); q.Get("code") == "" {
			t.Errorf("asked again for less: %v", q)
		}
		if got := ask(t, "renkei", name(t, pushed(t, verifier, url.Values{"scope": {"openid"}, "prompt": {"consent"}}))); got.Status != http.StatusOK {
			t.Errorf("prompt=consent: %d", got.Status)
		}
	})
	t.Run("pushed requests that are refused", func(t *testing.T) {
		verifier := oauth2.GenerateVerifier()
		for what, more := range map[string]url.Values{
			"no PKCE":             {"code_challenge": {""}},
			"another address":     {"redirect_uri": {"https://evil.example/"}},
			"a request in it":     {"request_uri": {"urn:ietf:params:oauth:request_uri:x"}},
			"another client's":    {"client_id": {"sample-web"}},
			"an unknown response": {"response_type": {"token"}},
		} {
			if got := pushed(t, verifier, more); got.Status/100 != 4 || refused(t, got) == "" {
				t.Errorf("%s: %d %s", what, got.Status, got.Body)
			}
		}
		if q := a.back(t, a.ask(t, c, verifier, nil)); q.Get("error") != "invalid_request" {
			t.Errorf("not pushed: %v", q)
		}
		uri := name(t, pushed(t, verifier, nil))
		if got := ask(t, "sample-web", uri); got.Status != http.StatusBadRequest {
			t.Errorf("another client's name for it: %d", got.Status)
		}
		d.Advance(t, 6*time.Minute)
		if got := ask(t, "renkei", uri); got.Status != http.StatusBadRequest {
			t.Errorf("too old: %d", got.Status)
		}
	})
	t.Run("assertions", func(t *testing.T) {
		service := func(assertion string) harness.Answer {
			return k.post(t, "/oauth2/token", assertion, url.Values{"grant_type": {"client_credentials"}})
		}
		good := k.assertion(t, nil)
		given(t, service(good))
		if got := service(good); refused(t, got) != "invalid_client" || got.Status != http.StatusUnauthorized {
			t.Errorf("twice: %d %s", got.Status, got.Body)
		}
		now := harness.NewClient(d.URL).Now(t)
		twice := k.assertion(t, nil)
		if won := atOnce(10, func(int) int { return service(twice).Status }); won[http.StatusOK] != 1 {
			t.Errorf("ten at once: %v", won)
		}
		for what, change := range map[string]func(jwt.MapClaims){
			"for somebody else":    func(c jwt.MapClaims) { c["aud"] = "https://elsewhere.example/token" },
			"for us and another":   func(c jwt.MapClaims) { c["aud"] = []string{d.URL, "https://elsewhere.example/"} },
			"for nobody":           func(c jwt.MapClaims) { delete(c, "aud") },
			"by somebody else":     func(c jwt.MapClaims) { c["iss"] = "sample-web" },
			"about somebody else":  func(c jwt.MapClaims) { c["sub"] = "sample-web" },
			"without a name":       func(c jwt.MapClaims) { delete(c, "jti") },
			"without an end":       func(c jwt.MapClaims) { delete(c, "exp") },
			"with an end far away": func(c jwt.MapClaims) { c["exp"] = now.Add(time.Hour).Unix() },
			"whose end has come":   func(c jwt.MapClaims) { c["exp"] = now.Add(-time.Minute).Unix() },
			"that begins later":    func(c jwt.MapClaims) { c["nbf"] = now.Add(time.Minute).Unix() },
		} {
			if got := service(k.assertion(t, change)); got.Status != http.StatusUnauthorized || refused(t, got) != "invalid_client" {
				t.Errorf("%s: %d %s", what, got.Status, got.Body)
			}
		}
		stranger, _ := newKeyClient(t, d, "renkei")
		if got := service(stranger.assertion(t, nil)); got.Status != http.StatusUnauthorized {
			t.Errorf("by another key: %d", got.Status)
		}
		given(t, service(k.assertion(t, func(c jwt.MapClaims) { c["aud"] = d.URL })))
	})
	t.Run("a service, and who answers for it", func(t *testing.T) {
		form := func(scope string) url.Values {
			return url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
		}
		tok := given(t, k.post(t, "/oauth2/token", k.assertion(t, nil), form("renkei.read")))
		header, claims := opened(t, tok.AccessToken)
		if header["typ"] != "at+jwt" || claims["sub"] != "renkei" || claims["client_id"] != "renkei" || claims["scope"] != "renkei.read" || tok.RefreshToken != "" || tok.IDToken != "" {
			t.Errorf("%v %v", header, claims)
		}
		if got := a.userInfo(t, tok.AccessToken); got.Status != http.StatusUnauthorized {
			t.Errorf("userinfo for a service: %d", got.Status)
		}
		if got := k.post(t, "/oauth2/token", k.assertion(t, nil), form("openid")); refused(t, got) != "invalid_scope" {
			t.Errorf("a person's scope: %s", got.Body)
		}
		if got := front.post(t, "/oauth2/token", form("")); refused(t, got) != "unauthorized_client" {
			t.Errorf("a client without a service: %s", got.Body)
		}
		active := func() bool {
			var said struct{ Active bool }
			k.post(t, "/oauth2/introspect", k.assertion(t, nil), url.Values{"token": {tok.AccessToken}}).Into(t, &said)
			return said.Active
		}
		if !active() {
			t.Error("its token is not good")
		}
		directoryDo(t, d, func(conn *goldap.Conn) error {
			m := goldap.NewModifyRequest(d.Person(t, "sato").DN, nil)
			m.Replace("pwdAccountLockedTime", []string{"000001010000Z"})
			return conn.Modify(m)
		})
		if active() {
			t.Error("its token outlives who answers for it")
		}
		if got := k.post(t, "/oauth2/token", k.assertion(t, nil), form("renkei.read")); refused(t, got) != "unauthorized_client" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	t.Run("a token meant for another asks about it", func(t *testing.T) {
		tok := front.tokens(t, c, url.Values{"scope": {"openid"}})
		var said map[string]any
		k.post(t, "/oauth2/introspect", k.assertion(t, nil), url.Values{"token": {tok.AccessToken}}).Into(t, &said)
		if said["active"] != true || said["username"] != "tanaka" || said["client_id"] != "front" || said["token_type"] != "Bearer" {
			t.Errorf("%v", said)
		}
		if sampleWeb(t, d).active(t, tok.AccessToken) {
			t.Error("one whom it does not concern is told")
		}
		front.post(t, "/oauth2/revoke", url.Values{"token": {tok.AccessToken}, "token_type_hint": {"refresh_token"}})
		if front.active(t, tok.AccessToken) || front.userInfo(t, tok.AccessToken).Status != http.StatusUnauthorized {
			t.Error("revoked, and still good")
		}
		for _, junk := range []string{"x", "a.b.c", strings.Repeat("a", 9000)} { // RFC 7009 section 2.2
			if got := front.post(t, "/oauth2/revoke", url.Values{"token": {junk}}); got.Status != http.StatusOK {
				t.Errorf("revoking %.10q: %d", junk, got.Status)
			}
		}
	})
	t.Run("what endpoints do not take", func(t *testing.T) {
		for what, send := range map[string]func() harness.Answer{
			"no grant":   func() harness.Answer { return front.post(t, "/oauth2/token", url.Values{}) },
			"a password": func() harness.Answer { return front.post(t, "/oauth2/token", url.Values{"grant_type": {"password"}}) },
			"a parameter twice": func() harness.Answer {
				return front.post(t, "/oauth2/token", url.Values{"grant_type": {"authorization_code", "refresh_token"}})
			},
			"no token": func() harness.Answer { return front.post(t, "/oauth2/introspect", url.Values{}) },
			"JSON": func() harness.Answer {
				return harness.NewClient(d.URL).Do(t, "POST", "/oauth2/token", map[string]string{"grant_type": "password"})
			},
			"two ways at once": func() harness.Answer {
				return front.post(t, "/oauth2/token", url.Values{"client_secret": {"front-secret"}, "grant_type": {"refresh_token"}})
			},
			"parameters in a URL": func() harness.Answer {
				return front.post(t, "/oauth2/token?grant_type=client_credentials", url.Values{})
			},
		} {
			if got := send(); got.Status != http.StatusBadRequest || refused(t, got) == "" || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", what, got.Status, got.Body)
			}
		}
		if got := harness.NewClient(d.URL).Do(t, "GET", "/oauth2/token", nil); got.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", got.Status)
		}
		// A cookie proves no client, and none is asked for a token of ours.
		if got := c.Form(t, "/oauth2/introspect", url.Values{"token": {"x"}}); got.Status != http.StatusUnauthorized {
			t.Errorf("a session as a client: %d", got.Status)
		}
	})
}
