package test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"sekisho/test/harness"
)

// TestOpenIDSignIn takes a person to an application by libraries that are not
// ours, as the contract describes it: to the sign-in and back, and at once the
// second time.
func TestOpenIDSignIn(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	a := sampleWeb(t, d)
	tanaka := d.Person(t, "tanaka")
	c := harness.NewClient(d.URL)
	verifier := oauth2.GenerateVerifier()

	got := a.ask(t, c, verifier, url.Values{"login_hint": {"tanaka"}, "ui_locales": {"fr en"}})
	to := got.Header.Get("Location")
	if got.Status != http.StatusSeeOther || !strings.HasPrefix(to, "/signin?") {
		t.Fatalf("nobody is signed in: %d %s", got.Status, to)
	}
	page := c.Do(t, "GET", to, nil, "Accept", "text/html")
	if !strings.Contains(string(page.Body), `value="tanaka"`) {
		t.Error("the sign-in page does not hold the login_hint")
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:9999") {
		t.Errorf("the form of the sign-in page may not end at the application: %s", csp)
	}
	c.SignIn(t, tanaka.Login, tanaka.Password, *tanaka.TOTPSecret, c.Now(t))
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	back := u.Query().Get("rd")
	if !strings.HasPrefix(back, "/oauth2/authorize?") {
		t.Fatalf("rd = %q", back)
	}
	code := a.back(t, c.Do(t, "GET", back, nil)).Get("code")
	tok, err := a.conf.Exchange(context.Background(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal("exchanging the code:", err)
	}
	if tok.RefreshToken == "" || tok.TokenType != "Bearer" {
		t.Errorf("%+v", tok)
	}

	t.Run("the ID token", func(t *testing.T) {
		id := a.idToken(t, tok)
		if id.Nonce != "the-nonce" || id.Issuer != d.URL || len(id.Audience) != 1 || id.Audience[0] != "sample-web" {
			t.Errorf("%+v", id)
		}
		if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
			t.Error("at_hash:", err)
		}
		var claims struct {
			ACR      string   `json:"acr"`
			AMR      []string `json:"amr"`
			AuthTime int64    `json:"auth_time"`
			AZP      string   `json:"azp"`
			SID      string   `json:"sid"`
			Login    string   `json:"preferred_username"`
		}
		if err := id.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		if claims.ACR != "aal2" || strings.Join(claims.AMR, " ") != "pwd otp mfa" || claims.AZP != "sample-web" || claims.SID == "" || claims.Login != "tanaka" {
			t.Errorf("%+v", claims)
		}
		if age := c.Now(t).Unix() - claims.AuthTime; age < 0 || age > 60 {
			t.Errorf("auth_time is %d s ago", age)
		}
		header, _ := opened(t, tok.Extra("id_token").(string))
		if header["alg"] != "ES256" || header["kid"] == nil {
			t.Errorf("header %v", header)
		}
	})

	t.Run("the access token is RFC 9068's", func(t *testing.T) {
		header, claims := opened(t, tok.AccessToken)
		if header["typ"] != "at+jwt" || header["alg"] != "ES256" {
			t.Errorf("header %v", header)
		}
		for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "auth_time", "acr", "amr", "scope"} {
			if claims[name] == nil {
				t.Errorf("no %s", name)
			}
		}
		if left := claims["exp"].(float64) - claims["iat"].(float64); left > 300 || left <= 0 {
			t.Errorf("it lives %v s", left)
		}
		if claims["sub"] == "tanaka" || claims["client_id"] != "sample-web" {
			t.Errorf("claims %v", claims)
		}
	})

	t.Run("userinfo", func(t *testing.T) {
		info, err := a.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(tok))
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := info.Claims(&claims); err != nil {
			t.Fatal(err)
		}
		_, id := opened(t, tok.Extra("id_token").(string))
		if info.Subject != id["sub"] || claims["preferred_username"] != "tanaka" || claims["email"] != tanaka.Mail || claims["section"] != tanaka.Section ||
			claims["zone"] != "lgwan" || claims["name"] == "" {
			t.Errorf("%v", claims)
		}
		if posts, _ := claims["posts"].([]any); len(posts) != 1 || posts[0] != "staff" {
			t.Errorf("posts %v", claims["posts"])
		}
		if lent, ok := claims["privileges"].([]any); !ok || len(lent) != 0 {
			t.Errorf("privileges %v, want none", claims["privileges"])
		}
		form := harness.NewClient(d.URL).Form(t, "/oauth2/userinfo", url.Values{"access_token": {tok.AccessToken}})
		if form.Status != http.StatusOK || form.Header.Get("Cache-Control") != "no-store" || form.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("by POST: %d %v", form.Status, form.Header)
		}
		if got := c.Do(t, "GET", "/oauth2/userinfo?access_token="+url.QueryEscape(tok.AccessToken), nil); got.Status != http.StatusUnauthorized {
			t.Errorf("a token in the query: %d", got.Status)
		}
		if got := c.Do(t, "GET", "/oauth2/userinfo", nil); got.Status != http.StatusUnauthorized || !strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("the session's cookie alone: %d", got.Status)
		}
	})

	t.Run("at once the second time, and silently", func(t *testing.T) {
		for _, more := range []url.Values{nil, {"prompt": {"none"}}, {"max_age": {"3600"}}, {"acr_values": {"aal2"}}, {"acr_values": {"phr aal2"}}} {
			if q := a.back(t, a.ask(t, c, verifier, more)); q.Get("code") == "" {
				t.Errorf("%v: %v", more, q)
			}
		}
	})

	t.Run("refreshing", func(t *testing.T) {
		one := given(t, a.refresh(t, tok.RefreshToken))
		if one.RefreshToken == "" || one.RefreshToken == tok.RefreshToken || one.AccessToken == "" {
			t.Errorf("%+v", one)
		}
		_, was := opened(t, tok.Extra("id_token").(string))
		_, is := opened(t, one.IDToken)
		for _, name := range []string{"iss", "sub", "aud", "auth_time", "azp", "sid"} { // OpenID Connect Core section 12.2
			if was[name] != is[name] {
				t.Errorf("%s: %v, was %v", name, is[name], was[name])
			}
		}
		if !a.active(t, one.AccessToken) || !a.active(t, one.RefreshToken) || a.active(t, tok.RefreshToken) {
			t.Error("introspection disagrees")
		}
	})

	t.Run("the discovery document is true", func(t *testing.T) {
		var doc map[string]any
		a.c.Do(t, "GET", "/.well-known/openid-configuration", nil).Into(t, &doc)
		for name, value := range doc {
			text, ok := value.(string)
			if !ok || !strings.HasPrefix(text, d.URL) || name == "issuer" {
				continue
			}
			for _, method := range []string{"GET", "POST"} {
				got := harness.NewClient(d.URL)
				answer, err := got.Send(method, text, "application/x-www-form-urlencoded", nil)
				if err != nil || answer.Status == http.StatusNotFound {
					t.Errorf("%s %s: %d %v", method, name, answer.Status, err)
				}
			}
		}
		for _, gone := range []string{"registration_endpoint", "check_session_iframe", "device_authorization_endpoint"} {
			if doc[gone] != nil {
				t.Errorf("%s is named", gone)
			}
		}
	})
}

// TestOpenIDRequests tries what an authorization request may and may not be.
func TestOpenIDRequests(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	a := sampleWeb(t, d)
	c := signIn(t, d, d.Person(t, "tanaka"))
	stranger := harness.NewClient(d.URL)
	verifier := oauth2.GenerateVerifier()

	t.Run("to nobody but the application", func(t *testing.T) {
		for name, more := range map[string]url.Values{
			"no client":                    {"client_id": {""}},
			"an unknown client":            {"client_id": {"evil"}},
			"no address":                   {"redirect_uri": {""}},
			"another address":              {"redirect_uri": {"https://evil.example/"}},
			"a longer path":                {"redirect_uri": {"http://127.0.0.1:9999/callback/"}},
			"a path below":                 {"redirect_uri": {"http://127.0.0.1:9999/callback/../evil"}},
			"a query":                      {"redirect_uri": {"http://127.0.0.1:9999/callback?a=b"}},
			"another port":                 {"redirect_uri": {"http://127.0.0.1:9998/callback"}},
			"another name":                 {"redirect_uri": {"http://localhost:9999/callback"}},
			"a user before the host":       {"redirect_uri": {"http://127.0.0.1:9999@evil.example/callback"}},
			"two of them":                  {"redirect_uri": {"http://127.0.0.1:9999/callback", "https://evil.example/"}},
			"two clients":                  {"client_id": {"sample-web", "sample-web"}},
			"capitals":                     {"redirect_uri": {"HTTP://127.0.0.1:9999/callback"}},
			"a backslash":                  {"redirect_uri": {`http://127.0.0.1:9999\@evil.example/callback`}},
			"a pushed request of no one's": {"request_uri": {"urn:ietf:params:oauth:request_uri:1.qAAAA"}},
		} {
			for _, browser := range []*harness.Client{c, stranger} {
				got := a.ask(t, browser, verifier, more)
				if got.Status != http.StatusBadRequest || got.Header.Get("Location") != "" || !strings.Contains(got.Header.Get("Content-Type"), "text/html") {
					t.Errorf("%s: %d %s", name, got.Status, got.Header.Get("Location"))
				}
			}
		}
		ja := harness.NewClient(d.URL)
		got := ja.Do(t, "GET", a.asking(verifier, "s", "n", url.Values{"client_id": {"evil"}}), nil, "Accept-Language", "ja")
		if !strings.Contains(string(got.Body), "登録されていません") {
			t.Error("the page does not help in Japanese")
		}
	})

	t.Run("what is refused to the application", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			more url.Values
			want string
		}{
			{"no PKCE", url.Values{"code_challenge": {""}}, "invalid_request"},
			{"plain PKCE", url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
			{"PKCE without a method", url.Values{"code_challenge_method": {""}}, "invalid_request"},
			{"a challenge too short", url.Values{"code_challenge": {"abc"}}, "invalid_request"},
			{"implicit", url.Values{"response_type": {"id_token token"}}, "unsupported_response_type"},
			{"hybrid", url.Values{"response_type": {"code id_token"}}, "unsupported_response_type"},
			{"no response_type", url.Values{"response_type": {""}}, "invalid_request"},
			{"fragment", url.Values{"response_mode": {"fragment"}}, "invalid_request"},
			{"no openid", url.Values{"scope": {"profile"}}, "invalid_scope"},
			{"a request object", url.Values{"request": {"e30.e30."}}, "request_not_supported"},
			{"a request_uri of elsewhere", url.Values{"request_uri": {"https://evil.example/r"}}, "request_uri_not_supported"},
			{"a registration", url.Values{"registration": {"{}"}}, "registration_not_supported"},
			{"none and login", url.Values{"prompt": {"none login"}}, "invalid_request"},
			{"an unknown prompt", url.Values{"prompt": {"create"}}, "invalid_request"},
			{"a max_age below zero", url.Values{"max_age": {"-1"}}, "invalid_request"},
			{"a max_age in words", url.Values{"max_age": {"soon"}}, "invalid_request"},
			{"two scopes", url.Values{"scope": {"openid", "openid"}}, "invalid_request"},
			{"two nonces", url.Values{"nonce": {"a", "b"}}, "invalid_request"},
			{"claims that are none", url.Values{"claims": {"[]"}}, "invalid_request"},
			{"an assurance there is not", url.Values{"acr_values": {"aal9"}}, "unmet_authentication_requirements"},
			{"a hint that is no ID token", url.Values{"id_token_hint": {"e30.e30.e30"}}, "invalid_request"},
			{"silent and stronger", url.Values{"prompt": {"none"}, "acr_values": {"phr"}}, "login_required"},
			{"silent and newer", url.Values{"prompt": {"none"}, "max_age": {"0"}}, "login_required"},
			{"silent about another person", url.Values{"prompt": {"none"}, "claims": {`{"id_token":{"sub":{"value":"somebody-else"}}}`}}, "login_required"},
		} {
			if got := a.back(t, a.ask(t, c, verifier, tt.more)); got.Get("error") != tt.want || got.Get("code") != "" {
				t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
			}
		}
		if got := a.back(t, a.ask(t, stranger, verifier, url.Values{"prompt": {"none"}})); got.Get("error") != "login_required" {
			t.Errorf("silent without a session: %v", got)
		}
	})

	t.Run("signing in again", func(t *testing.T) {
		for name, more := range map[string]url.Values{
			"login":   {"prompt": {"login"}},
			"account": {"prompt": {"select_account"}},
			"max_age": {"max_age": {"0"}},
			"acr":     {"acr_values": {"phr"}},
			"claims":  {"claims": {`{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`}},
		} {
			d.Advance(t, 31*time.Second)
			got := a.ask(t, c, verifier, more)
			to, err := url.Parse(got.Header.Get("Location"))
			if err != nil || got.Status != http.StatusSeeOther || to.Path != "/signin" {
				t.Errorf("%s: %d %s", name, got.Status, to)
				continue
			}
			if page := c.Do(t, "GET", to.String(), nil, "Accept", "text/html"); page.Status != http.StatusOK || !strings.Contains(string(page.Body), `name="password"`) {
				t.Errorf("%s: the sign-in page sends on: %d %s", name, page.Status, page.Header.Get("Location"))
			}
			back := to.Query().Get("rd")
			if again := c.Do(t, "GET", back, nil); again.Header.Get("Location") == "" || !strings.HasPrefix(again.Header.Get("Location"), "/signin?") {
				t.Errorf("%s: coming back without having signed in: %d %s", name, again.Status, again.Header.Get("Location"))
			}
			tanaka := d.Person(t, "tanaka")
			c.SignIn(t, tanaka.Login, tanaka.Password, *tanaka.TOTPSecret, c.Now(t))
			q := a.back(t, c.Do(t, "GET", back, nil))
			switch {
			case name == "acr" || name == "claims":
				// As strongly as tanaka can is not enough.
				if q.Get("error") != "unmet_authentication_requirements" {
					t.Errorf("%s: %v", name, q)
				}
			case q.Get("code") == "":
				t.Errorf("%s: %v", name, q)
			}
		}
		t.Run("a mark that is not ours", func(t *testing.T) {
			forged := a.asking(verifier, "the-state", "the-nonce", url.Values{"prompt": {"login"}, "asked": {"1.AAAAAAAAAAAAAAAAAAAAAA"}})
			if got := c.Do(t, "GET", forged, nil); !strings.HasPrefix(got.Header.Get("Location"), "/signin?") {
				t.Errorf("%d %s", got.Status, got.Header.Get("Location"))
			}
		})
	})

	t.Run("somebody else than the application means", func(t *testing.T) {
		tok := a.tokens(t, c, nil)
		sato := d.Person(t, "sato")
		other := signIn(t, d, sato)
		got := a.ask(t, other, verifier, url.Values{"id_token_hint": {tok.Extra("id_token").(string)}})
		if !strings.HasPrefix(got.Header.Get("Location"), "/signin?") {
			t.Errorf("%d %s", got.Status, got.Header.Get("Location"))
		}
		if q := a.back(t, a.ask(t, c, verifier, url.Values{"prompt": {"none"}, "id_token_hint": {tok.Extra("id_token").(string)}})); q.Get("code") == "" {
			t.Errorf("the same person: %v", q)
		}
	})

	t.Run("a form for the application", func(t *testing.T) {
		got := a.ask(t, c, verifier, url.Values{"response_mode": {"form_post"}, "state": {`"><script>alert(1)</script>`}})
		body := string(got.Body)
		if got.Status != http.StatusOK || !strings.Contains(body, `action="http://127.0.0.1:9999/callback"`) || !strings.Contains(body, `name="code"`) ||
			!strings.Contains(body, `name="iss"`) || strings.Contains(body, "<script>alert") {
			t.Errorf("%d %s", got.Status, body)
		}
		if csp := got.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:9999") || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", got.Header)
		}
	})

	t.Run("by POST", func(t *testing.T) {
		u, err := url.Parse(a.asking(verifier, "the-state", "the-nonce", nil))
		if err != nil {
			t.Fatal(err)
		}
		got := stranger.Form(t, u.Path, u.Query(), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		if got.Status != http.StatusSeeOther || !strings.HasPrefix(got.Header.Get("Location"), "/oauth2/authorize?") {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		if q := a.back(t, c.Do(t, "GET", got.Header.Get("Location"), nil)); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})

	t.Run("a request that no page can carry along", func(t *testing.T) {
		long := url.Values{"claims": {`{"userinfo":{"` + strings.Repeat("x", 1900) + `":null}}`}}
		browser := harness.NewClient(d.URL)
		to, err := url.Parse(a.ask(t, browser, verifier, long).Header.Get("Location"))
		if err != nil || to.Path != "/signin" || len(to.String()) > 1500 {
			t.Fatalf("%v %v", to, err)
		}
		page := browser.Do(t, "GET", to.String(), nil, "Accept", "text/html")
		if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:9999") {
			t.Errorf("%s", csp)
		}
		if q := a.back(t, c.Do(t, "GET", to.Query().Get("rd"), nil)); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
}

// TestOpenIDCodes is row 23 of security.md section 2, and ASVS 10.4.2: a code is
// good once, soon, for its client, its address and its verifier.
func TestOpenIDCodes(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	addClients(t, d, `
  - {client_id: other, name: {ja: 別}, zone: lgwan, class: 3, auth_method: client_secret_post, secret_hashes: ["`+hashed("other-secret")+`"], redirect_uris: ["http://127.0.0.1:9999/callback", "http://127.0.0.1:9999/second"]}
  - {client_id: public, name: {ja: 公開}, zone: lgwan, class: 3, auth_method: none, redirect_uris: ["http://127.0.0.1:9999/public"]}
`)
	a := sampleWeb(t, d)
	other := newRP(t, d, "other", "other-secret", "http://127.0.0.1:9999/callback", oauth2.AuthStyleInParams)
	public := newRP(t, d, "public", "", "http://127.0.0.1:9999/public", oauth2.AuthStyleInParams)
	c := signIn(t, d, d.Person(t, "tanaka"))

	for name, try := range map[string]func(code, verifier string) harness.Answer{
		"no verifier":    func(code, _ string) harness.Answer { return a.redeem(t, code, "", url.Values{"code_verifier": {""}}) },
		"another":        func(code, _ string) harness.Answer { return a.redeem(t, code, oauth2.GenerateVerifier(), nil) },
		"the challenge":  func(code, v string) harness.Answer { return a.redeem(t, code, s256(v), nil) },
		"another client": func(code, v string) harness.Answer { return other.redeem(t, code, v, nil) },
		"another address": func(code, v string) harness.Answer {
			return a.redeem(t, code, v, url.Values{"redirect_uri": {"http://127.0.0.1:9999/second"}})
		},
		"no address":  func(code, v string) harness.Answer { return a.redeem(t, code, v, url.Values{"redirect_uri": {""}}) },
		"half a code": func(code, v string) harness.Answer { return a.redeem(t, code[:len(code)/2], v, nil) },
	} {
		code, verifier := a.code(t, c, nil)
		if got := try(code, verifier); got.Status != http.StatusBadRequest || refused(t, got) != "invalid_grant" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		given(t, a.redeem(t, code, verifier, nil)) // the code itself was good
	}

	t.Run("twice", func(t *testing.T) {
		code, verifier := a.code(t, c, nil)
		tok := given(t, a.redeem(t, code, verifier, nil))
		if got := a.redeem(t, code, verifier, nil); refused(t, got) != "invalid_grant" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		if a.active(t, tok.AccessToken) || a.active(t, tok.RefreshToken) || a.userInfo(t, tok.AccessToken).Status != http.StatusUnauthorized ||
			refused(t, a.refresh(t, tok.RefreshToken)) != "invalid_grant" {
			t.Error("what the first one got is still good (RFC 6749 section 4.1.2)")
		}
	})

	t.Run("twenty at once", func(t *testing.T) {
		code, verifier := a.code(t, c, nil)
		won := atOnce(20, func(int) int { return a.redeem(t, code, verifier, nil).Status })
		if won[http.StatusOK] > 1 || won[http.StatusOK]+won[http.StatusBadRequest] != 20 {
			t.Errorf("twenty answers by status: %v", won)
		}
	})

	t.Run("a minute later", func(t *testing.T) {
		code, verifier := a.code(t, c, nil)
		d.Advance(t, 61*time.Second)
		if got := a.redeem(t, code, verifier, nil); refused(t, got) != "invalid_grant" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})

	t.Run("a client that proves nothing", func(t *testing.T) {
		code, verifier := public.code(t, c, url.Values{"scope": {"openid"}})
		tok := given(t, public.redeem(t, code, verifier, nil))
		if tok.RefreshToken != "" || tok.Scope != "openid" {
			t.Errorf("%+v", tok)
		}
		// A stranger who saw its code ends nothing with it.
		if got := public.redeem(t, code, oauth2.GenerateVerifier(), nil); refused(t, got) != "invalid_grant" {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		if a.userInfo(t, tok.AccessToken).Status != http.StatusOK {
			t.Error("a stranger with an old code ended the family")
		}
		if got := public.post(t, "/oauth2/introspect", url.Values{"token": {tok.AccessToken}}); got.Status != http.StatusUnauthorized {
			t.Errorf("introspecting: %d", got.Status)
		}
	})

	t.Run("who is not the client", func(t *testing.T) {
		wrong := *a
		wrong.conf.ClientSecret = "wrong"
		post := *a
		post.conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
		none := *a
		none.conf.ClientSecret, none.conf.Endpoint.AuthStyle = "", oauth2.AuthStyleInParams
		for name, x := range map[string]*rp{"a wrong secret": &wrong, "the right secret in another way": &post, "no secret": &none} {
			code, verifier := a.code(t, c, nil)
			got := x.redeem(t, code, verifier, nil)
			if got.Status != http.StatusUnauthorized || refused(t, got) != "invalid_client" || got.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
		}
	})
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
