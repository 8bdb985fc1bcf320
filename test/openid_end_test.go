package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"sekisho/authn/standing"
	"sekisho/test/harness"
)

// TestOpenIDRefreshReuse is row 22 of security.md section 2: whoever comes second
// with a refresh token, at the same moment, after a restart, or within the same
// second, ends the family.
func TestOpenIDRefreshReuse(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	a := sampleWeb(t, d)
	c := signIn(t, d, d.Person(t, "tanaka"))

	dead := func(t *testing.T, a *rp, tokens ...string) {
		t.Helper()
		for i, tok := range tokens {
			if a.active(t, tok) {
				t.Errorf("token %d is still good", i)
			}
		}
	}
	t.Run("twenty at once", func(t *testing.T) {
		tok := a.tokens(t, c, nil)
		var (
			mu  sync.Mutex
			won []tokenAnswer
		)
		counts := atOnce(20, func(int) int {
			got := a.refresh(t, tok.RefreshToken)
			if got.Status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, given(t, got))
			}
			return got.Status
		})
		if len(won) > 1 || counts[http.StatusOK]+counts[http.StatusBadRequest] != 20 {
			t.Fatalf("answers by status: %v", counts)
		}
		dead(t, a, tok.AccessToken, tok.RefreshToken)
		for _, w := range won {
			dead(t, a, w.AccessToken, w.RefreshToken)
		}
	})
	t.Run("one after the other in one second", func(t *testing.T) {
		tok := a.tokens(t, c, nil)
		seen := []string{tok.RefreshToken}
		for range 5 {
			seen = append(seen, given(t, a.refresh(t, seen[len(seen)-1])).RefreshToken)
		}
		for i := range seen[:len(seen)-1] {
			if seen[i] == seen[i+1] {
				t.Error("a refresh token came twice")
			}
		}
		if got := a.refresh(t, seen[2]); refused(t, got) != "invalid_grant" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		dead(t, a, append(seen, tok.AccessToken)...)
	})
	t.Run("another client's", func(t *testing.T) {
		addClients(t, d, `
  - {client_id: other, name: {ja: 別}, zone: lgwan, class: 3, auth_method: client_secret_post, secret_hashes: ["`+hashed("other-secret")+`"], redirect_uris: ["http://127.0.0.1:9999/other"], refresh: true}
`)
		other := newRP(t, d, "other", "other-secret", "http://127.0.0.1:9999/other", oauth2.AuthStyleInParams)
		tok := a.tokens(t, c, nil)
		if got := other.refresh(t, tok.RefreshToken); refused(t, got) != "invalid_grant" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		if other.active(t, tok.AccessToken) || other.active(t, tok.RefreshToken) {
			t.Error("a token is told about to a client that it is not meant for")
		}
		if got := other.post(t, "/oauth2/revoke", url.Values{"token": {tok.RefreshToken}}); got.Status == http.StatusOK {
			t.Error("another client revoked it")
		}
		if !a.active(t, tok.RefreshToken) {
			t.Error("another client's try ended it")
		}
	})
	t.Run("less, never more", func(t *testing.T) {
		tok := a.tokens(t, c, url.Values{"scope": {"openid email offline_access"}})
		less := given(t, a.post(t, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}, "scope": {"openid"}}))
		if less.Scope != "openid" {
			t.Errorf("scope %q", less.Scope)
		}
		if got := a.post(t, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {less.RefreshToken}, "scope": {"openid profile"}}); refused(t, got) != "invalid_scope" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	t.Run("refreshed and revoked at once", func(t *testing.T) { // row 19
		for range 5 {
			tok := a.tokens(t, c, nil)
			var (
				mu   sync.Mutex
				next []string
			)
			atOnce(2, func(i int) int {
				if i == 0 {
					return a.post(t, "/oauth2/revoke", url.Values{"token": {tok.RefreshToken}}).Status
				}
				got := a.refresh(t, tok.RefreshToken)
				if got.Status == http.StatusOK {
					mu.Lock()
					defer mu.Unlock()
					n := given(t, got)
					next = append(next, n.AccessToken, n.RefreshToken)
				}
				return got.Status
			})
			dead(t, a, append(next, tok.AccessToken, tok.RefreshToken)...)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		tok := a.tokens(t, c, nil)
		next := given(t, a.refresh(t, tok.RefreshToken))
		d.Stop(t)
		for _, secret := range []string{tok.AccessToken, tok.RefreshToken, next.RefreshToken, a.conf.ClientSecret} {
			if strings.Contains(d.Output()+d.Log(), secret) {
				t.Error("a token or a secret is in the log (row 26)")
			}
		}
		again := harness.StartDev(t, d.Folder)
		b := sampleWeb(t, again)
		if !b.active(t, next.RefreshToken) {
			t.Fatal("the family did not survive the restart")
		}
		if got := b.refresh(t, tok.RefreshToken); refused(t, got) != "invalid_grant" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		dead(t, b, next.RefreshToken)
		if out, _, _ := harness.Run(t, "sekisho", "audit", "export", "--data", d.Folder); strings.Count(out, `"openid.family_ended"`) < 3 || strings.Contains(out, tok.RefreshToken) {
			t.Error("the trail does not say which families ended, or says too much")
		}
	})
}

// TestOpenIDEnds is rows 6, 18 and 20: tokens, codes and refreshing end with the
// session, the person, the policy and the clock.
func TestOpenIDEnds(t *testing.T) {
	t.Parallel()
	type held struct {
		tok            *oauth2.Token
		code, verifier string
	}
	begin := func(t *testing.T) (*harness.Dev, *rp, *harness.Client, held) {
		d := harness.StartSample(t)
		a := sampleWeb(t, d)
		c := signIn(t, d, d.Person(t, "tanaka"))
		h := held{tok: a.tokens(t, c, nil)}
		h.code, h.verifier = a.code(t, c, nil)
		if !a.active(t, h.tok.AccessToken) || !a.active(t, h.tok.RefreshToken) || a.userInfo(t, h.tok.AccessToken).Status != http.StatusOK {
			t.Fatal("the tokens are not good to begin with")
		}
		return d, a, c, h
	}
	closed := func(t *testing.T, a *rp, h held) {
		t.Helper()
		if got := a.userInfo(t, h.tok.AccessToken); got.Status != http.StatusUnauthorized || !strings.Contains(got.Header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("userinfo: %d %s", got.Status, got.Body)
		}
		if got := a.redeem(t, h.code, h.verifier, nil); got.Status != http.StatusBadRequest || refused(t, got) != "invalid_grant" {
			t.Errorf("the code: %d %s", got.Status, got.Body)
		}
		if got := a.refresh(t, h.tok.RefreshToken); got.Status != http.StatusBadRequest || refused(t, got) != "invalid_grant" {
			t.Errorf("refreshing: %d %s", got.Status, got.Body)
		}
		if a.active(t, h.tok.AccessToken) || a.active(t, h.tok.RefreshToken) {
			t.Error("introspection says active")
		}
	}
	t.Run("signed out", func(t *testing.T) {
		t.Parallel()
		_, a, c, h := begin(t)
		if got := c.Do(t, "DELETE", "/api/v1/session", nil); got.Status != http.StatusNoContent {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		closed(t, a, h)
		if q := a.back(t, a.ask(t, c, h.verifier, url.Values{"prompt": {"none"}})); q.Get("error") != "login_required" {
			t.Errorf("%v", q)
		}
	})
	for _, kind := range []standing.Kind{standing.Suspended, standing.Dormant, standing.OnLeave} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			d, a, _, h := begin(t)
			elsewhere(t, d)("tanaka", kind)
			closed(t, a, h) // at once: the store is asked
		})
	}
	for name, change := range map[string]func(*goldap.ModifyRequest){
		"disabled": func(m *goldap.ModifyRequest) { m.Replace("pwdAccountLockedTime", []string{"000001010000Z"}) },
		"expired":  func(m *goldap.ModifyRequest) { m.Replace("shadowExpire", []string{"1"}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, a, _, h := begin(t)
			directoryDo(t, d, func(conn *goldap.Conn) error {
				m := goldap.NewModifyRequest(d.Person(t, "tanaka").DN, nil)
				change(m)
				return conn.Modify(m)
			})
			d.Advance(t, 30*time.Second)
			closed(t, a, h)
		})
	}
	for name, change := range map[string][2]string{
		"the client is gone":       {"client_id: sample-web", "client_id: sample-wob"},
		"meant for others":         {"    auth_method: client_secret_basic", "    posts: [cio]\n    auth_method: client_secret_basic"},
		"needs more":               {"    auth_method: client_secret_basic", "    acr: phr\n    auth_method: client_secret_basic"},
		"a scope is gone":          {"scopes: [profile, email]", "scopes: [profile]"},
		"the address is gone":      {`redirect_uris: ["http://127.0.0.1:9999/callback"]`, `redirect_uris: ["http://127.0.0.1:9999/elsewhere"]`},
		"its zone is not served":   {"    zone: lgwan\n    class: 3\n    auth_method", "    zone: mynumber\n    class: 1\n    acr: phr\n    auth_method"},
		"no refreshing any longer": {"    refresh: true\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, a, _, h := begin(t)
			changePolicy(t, d, change[0], change[1])
			harness.Until(t, "the policy", func() bool { return a.userInfo(t, h.tok.AccessToken).Status != http.StatusOK })
			if got := a.refresh(t, h.tok.RefreshToken); got.Status/100 != 4 {
				t.Errorf("refreshing: %d %s", got.Status, got.Body)
			}
			if got := a.redeem(t, h.code, h.verifier, nil); got.Status/100 != 4 {
				t.Errorf("the code: %d %s", got.Status, got.Body)
			}
		})
	}
	t.Run("the clock", func(t *testing.T) {
		t.Parallel()
		d, a, c, h := begin(t)
		d.Advance(t, 5*time.Minute)
		if a.userInfo(t, h.tok.AccessToken).Status != http.StatusUnauthorized || a.active(t, h.tok.AccessToken) {
			t.Error("an access token is good after five minutes")
		}
		// Who works in the application is not signed out for idling here, and
		// still no refreshing passes the session's end.
		last := h.tok.RefreshToken
		began := c.Now(t)
		for range 40 {
			got := a.refresh(t, last)
			if got.Status != http.StatusOK {
				break
			}
			tok := given(t, got)
			last = tok.RefreshToken
			if _, claims := opened(t, tok.AccessToken); claims["exp"].(float64) > float64(began.Add(9*time.Hour).Unix()) {
				t.Error("a token outlives the session")
			}
			d.Advance(t, 25*time.Minute)
		}
		if lived := c.Now(t).Sub(began); lived < 8*time.Hour || lived > 9*time.Hour+30*time.Minute {
			t.Errorf("refreshing ended after %v, want the session's nine hours", lived)
		}
		if a.active(t, last) {
			t.Error("a refresh token is good after the session's end")
		}
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		d, a, _, h := begin(t)
		d.Advance(t, 31*time.Minute)
		closed(t, a, h)
	})
	t.Run("signing in again goes on", func(t *testing.T) {
		t.Parallel()
		d, a, c, h := begin(t)
		nextStep(t, d)
		tanaka := d.Person(t, "tanaka")
		c.SignIn(t, tanaka.Login, tanaka.Password, *tanaka.TOTPSecret, c.Now(t))
		next := given(t, a.refresh(t, h.tok.RefreshToken))
		_, was := opened(t, h.tok.Extra("id_token").(string))
		_, is := opened(t, next.IDToken)
		if was["sid"] != is["sid"] || was["auth_time"] != is["auth_time"] {
			t.Errorf("sid and auth_time were %v %v, are %v %v", was["sid"], was["auth_time"], is["sid"], is["auth_time"])
		}
		sato := d.Person(t, "sato")
		c.SignIn(t, sato.Login, sato.Password, *sato.TOTPSecret, c.Now(t))
		if got := a.refresh(t, next.RefreshToken); refused(t, got) != "invalid_grant" {
			t.Errorf("after another person signed in: %d %s", got.Status, got.Body)
		}
	})
}

// TestOpenIDConfusion is row 21: nothing passes for an access token but one.
func TestOpenIDConfusion(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	a := sampleWeb(t, d)
	c := signIn(t, d, d.Person(t, "tanaka"))
	tok := a.tokens(t, c, nil)
	header, claims := opened(t, tok.AccessToken)
	assertion := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET").Header.Get("X-Sekisho-Assertion")
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&own.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	a.c.Do(t, "GET", "/.well-known/jwks.json", nil).Into(t, &set)
	x, _ := base64.RawURLEncoding.DecodeString(set.Keys[0]["x"])
	y, _ := base64.RawURLEncoding.DecodeString(set.Keys[0]["y"])
	forge := func(method jwt.SigningMethod, key any, change func(h, c map[string]any)) string {
		forged := jwt.NewWithClaims(method, jwt.MapClaims{})
		for k, v := range claims {
			forged.Claims.(jwt.MapClaims)[k] = v
		}
		for _, k := range []string{"kid", "typ"} {
			forged.Header[k] = header[k]
		}
		change(forged.Header, forged.Claims.(jwt.MapClaims))
		signed, err := forged.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	same := func(_, _ map[string]any) {}
	parts := strings.Split(tok.AccessToken, ".")
	for name, signed := range map[string]string{
		"the ID token":                 tok.Extra("id_token").(string),
		"an application's assertion":   assertion,
		"the refresh token":            tok.RefreshToken,
		"alg none":                     forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"HS256 with the public point":  forge(jwt.SigningMethodHS256, append([]byte{4}, append(x, y...)...), same),
		"HS256 with a public key":      forge(jwt.SigningMethodHS256, public, same),
		"a key of one's own":           forge(jwt.SigningMethodES256, own, same),
		"a key of one's own, enclosed": forge(jwt.SigningMethodES256, own, func(h, _ map[string]any) { h["jwk"] = set.Keys[0]; h["jku"] = "https://evil.example/jwks" }),
		"a kid of somewhere else":      forge(jwt.SigningMethodES256, own, func(h, _ map[string]any) { h["kid"] = "../../etc/passwd" }),
		"no kid":                       forge(jwt.SigningMethodES256, own, func(h, _ map[string]any) { delete(h, "kid") }),
		"many audiences":               forge(jwt.SigningMethodES256, own, func(_, c map[string]any) { c["aud"] = []string{"sample-web", d.URL} }),
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"another payload":              parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"somebody"}`)) + "." + parts[2],
		"nothing":                      "..",
	} {
		if got := a.userInfo(t, signed); got.Status != http.StatusUnauthorized {
			t.Errorf("%s: userinfo %d %s", name, got.Status, got.Body)
		}
		if name != "the refresh token" && a.active(t, signed) {
			t.Errorf("%s: active", name)
		}
	}
	for name, value := range map[string]string{"an access token": tok.AccessToken, "an ID token": tok.Extra("id_token").(string)} {
		if got := a.refresh(t, value); refused(t, got) != "invalid_grant" {
			t.Errorf("%s as a refresh token: %d %s", name, got.Status, got.Body)
		}
	}
	if got := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET"); got.Status != http.StatusOK {
		t.Fatal("forward-auth does not go on beside it")
	}
	stranger := harness.NewClient(d.URL)
	for _, as := range []string{tok.RefreshToken, tok.AccessToken} {
		stranger.Cookies["__Host-sekisho"] = as
		if got := stranger.Do(t, "GET", "/api/v1/session", nil); got.Status != http.StatusUnauthorized {
			t.Errorf("a token as a cookie: %d", got.Status)
		}
	}
	if got := a.refresh(t, c.Cookies["__Host-sekisho"]); refused(t, got) != "invalid_grant" {
		t.Errorf("a cookie as a refresh token: %d", got.Status)
	}
}

// A listener is an application that is told of sign-outs.
type listener struct {
	url    string
	mu     sync.Mutex
	tokens []string
	fail   int // so many tries are answered 503 first
}

func listening(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.url = "http://" + ln.Addr().String() + "/backchannel-logout"
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.fail > 0 {
			l.fail--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		l.tokens = append(l.tokens, r.PostFormValue("logout_token"))
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
	return l
}

func (l *listener) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.tokens...)
}

// TestOpenIDBackChannelLogout: an application is told of the end of a session,
// whatever ended it, until it has heard.
func TestOpenIDBackChannelLogout(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	l := listening(t)
	addClients(t, d, fmt.Sprintf(`
  - {client_id: told, name: {ja: 知る}, zone: lgwan, class: 3, auth_method: client_secret_basic, secret_hashes: [%q], redirect_uris: ["http://127.0.0.1:9999/told"], backchannel_logout_uri: %q, refresh: true}
`, hashed("told-secret"), l.url))
	a := newRP(t, d, "told", "told-secret", "http://127.0.0.1:9999/told", oauth2.AuthStyleInHeader)
	tanaka := d.Person(t, "tanaka")
	heard := 0
	for _, tt := range []struct {
		name string
		end  func(c *harness.Client)
		fail int
	}{
		{"signed out", func(c *harness.Client) { c.Do(t, "DELETE", "/api/v1/session", nil) }, 0},
		{"signed out, and the application is away twice", func(c *harness.Client) { c.Do(t, "DELETE", "/api/v1/session", nil) }, 2},
		{"ended at another gateway", func(*harness.Client) { elsewhere(t, d)("tanaka", standing.Suspended) }, 0},
		{"left idle", func(*harness.Client) { d.Advance(t, 32*time.Minute) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nextStep(t, d)
			c := signIn(t, d, tanaka)
			tok := a.tokens(t, c, url.Values{"scope": {"openid offline_access"}})
			_, id := opened(t, tok.Extra("id_token").(string))
			l.mu.Lock()
			l.fail = tt.fail
			l.mu.Unlock()
			if tt.name == "ended at another gateway" {
				defer lift(t, d, "tanaka")
			}
			tt.end(c)
			begun := time.Now()
			harness.Until(t, "the application to be told", func() bool {
				if time.Since(begun) > 2*time.Second {
					d.Advance(t, 61*time.Second) // for what is looked for once a minute, and for the waits between tries
				}
				return len(l.told()) > heard
			})
			signed := l.told()[heard]
			heard++
			header, claims := opened(t, signed)
			events, _ := claims["events"].(map[string]any)
			event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
			if header["typ"] != "logout+jwt" || header["alg"] != "ES256" || claims["iss"] != d.URL || claims["aud"] != "told" || claims["sid"] != id["sid"] ||
				claims["sub"] != id["sub"] || claims["jti"] == "" || claims["nonce"] != nil || !ok || len(event) != 0 {
				t.Errorf("%v %v", header, claims)
			}
			if a.active(t, tok.AccessToken) || a.active(t, tok.RefreshToken) {
				t.Error("its tokens are still good")
			}
			if got := a.userInfo(t, signed); got.Status != http.StatusUnauthorized {
				t.Error("a logout token opens userinfo")
			}
		})
	}
	if extra := len(l.told()) - heard; extra != 0 {
		t.Errorf("%d words too many", extra)
	}
}

// TestOpenIDLogout is RP-Initiated Logout, and its forced form (ASVS 10.6.2).
func TestOpenIDLogout(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	a := sampleWeb(t, d)
	tanaka := d.Person(t, "tanaka")
	there := d.Clients[0].PostLogoutRedirectURIs[0]
	signedIn := func(c *harness.Client) bool { return c.Do(t, "GET", "/api/v1/session", nil).Status == http.StatusOK }
	begin := func(t *testing.T) (*harness.Client, string) {
		nextStep(t, d)
		c := signIn(t, d, tanaka)
		return c, a.tokens(t, c, nil).Extra("id_token").(string)
	}
	leave := func(c *harness.Client, q url.Values) harness.Answer {
		return c.Do(t, "GET", "/oauth2/logout?"+q.Encode(), nil, "Accept", "text/html")
	}
	t.Run("with an ID token of this session", func(t *testing.T) {
		c, hint := begin(t)
		got := leave(c, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {there}, "state": {"s&1"}})
		if got.Status != http.StatusSeeOther || got.Header.Get("Location") != there+"?state=s%261" {
			t.Errorf("%d %s", got.Status, got.Header.Get("Location"))
		}
		if signedIn(c) {
			t.Error("still signed in")
		}
	})
	t.Run("without, the person is asked", func(t *testing.T) {
		c, _ := begin(t)
		other, hint := begin(t) // of another session
		_ = other
		for name, q := range map[string]url.Values{
			"nothing":                   {},
			"a client's name":           {"client_id": {"sample-web"}, "post_logout_redirect_uri": {there}},
			"another session's token":   {"id_token_hint": {hint}, "post_logout_redirect_uri": {there}},
			"an address of nobody's":    {"client_id": {"sample-web"}, "post_logout_redirect_uri": {"https://evil.example/"}},
			"an address without client": {"post_logout_redirect_uri": {there}},
			"a forged hint":             {"id_token_hint": {hint + "x"}, "post_logout_redirect_uri": {there}},
			"what is no token":          {"id_token_hint": {"e30.e30.e30"}, "client_id": {"sample-web"}, "post_logout_redirect_uri": {there}},
		} {
			got := leave(c, q)
			if got.Status != http.StatusOK || !strings.Contains(string(got.Body), "csrf_token") || got.Header.Get("Location") != "" {
				t.Errorf("%s: %d %s", name, got.Status, got.Header.Get("Location"))
			}
			if !signedIn(c) {
				t.Fatalf("%s signed the person out", name)
			}
		}
		request := url.Values{"client_id": {"sample-web"}, "post_logout_redirect_uri": {there}}.Encode()
		forged := c.Fork()
		forged.CSRF = ""
		if got := forged.Form(t, "/oauth2/logout/confirm", url.Values{"request": {request}, "answer": {"agree"}}); got.Status != http.StatusForbidden || !signedIn(c) {
			t.Errorf("without the token of the page: %d", got.Status)
		}
		if got := c.Form(t, "/oauth2/logout/confirm", url.Values{"request": {request}, "answer": {"refuse"}}); got.Status != http.StatusSeeOther || !signedIn(c) {
			t.Errorf("the person stays: %d", got.Status)
		}
		got := c.Form(t, "/oauth2/logout/confirm", url.Values{"request": {request}, "answer": {"agree"}})
		if got.Header.Get("Location") != there || signedIn(c) {
			t.Errorf("%d %s", got.Status, got.Header.Get("Location"))
		}
	})
	t.Run("never to where nobody registered", func(t *testing.T) {
		c, hint := begin(t)
		got := leave(c, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/callback"}})
		if got.Status != http.StatusSeeOther || !strings.HasPrefix(got.Header.Get("Location"), "/signin") || signedIn(c) {
			t.Errorf("%d %s", got.Status, got.Header.Get("Location"))
		}
		for name, q := range map[string]url.Values{
			"a hint for another": {"id_token_hint": {hint}, "client_id": {"other"}},
			"an address twice":   {"post_logout_redirect_uri": {there, "https://evil.example/"}},
		} {
			if got := leave(c, q); got.Status != http.StatusBadRequest {
				t.Errorf("%s: %d", name, got.Status)
			}
		}
	})
	t.Run("by POST from another site", func(t *testing.T) {
		c, hint := begin(t)
		got := harness.NewClient(d.URL).Form(t, "/oauth2/logout", url.Values{"id_token_hint": {hint}}, "Origin", "https://app.example", "Sec-Fetch-Site", "cross-site")
		if got.Status != http.StatusSeeOther || !signedIn(c) {
			t.Fatalf("%d", got.Status)
		}
		if c.Do(t, "GET", got.Header.Get("Location"), nil); signedIn(c) {
			t.Error("still signed in")
		}
	})
}
