package oidc

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/token"
	"sekisho/policy"
)

// TestConsent is OpenID Connect Core section 3.1.2.4: asked where the policy or
// the application wants it, once for a session and what was agreed to; never
// silently, and never again for less.
func TestConsent(t *testing.T) {
	w := newWorld(t)
	authorize := func(agreed bool, change ...string) (Answer, error) {
		t.Helper()
		v := w.visit()
		v.Agreed = agreed
		return w.Authorize(ctx, w.request(change...), v)
	}
	// The application's own wish, whatever the policy says.
	if a, err := authorize(false, "prompt", "consent"); err != nil || !a.Ask || a.Code != "" {
		t.Errorf("prompt=consent: %+v, %v", a, err)
	}
	if a, err := authorize(true, "prompt", "consent"); err != nil || a.Code == "" {
		t.Errorf("prompt=consent, agreed: %+v, %v", a, err)
	}
	if a, err := authorize(false, "prompt", "consent"); err != nil || !a.Ask {
		t.Errorf("prompt=consent after having agreed: %+v, %v", a, err)
	}
	if _, e := mustAddress(t, asked("code_challenge", strings.Repeat("A", 43), "prompt", "none consent")).Fill(); e == nil || e.Code != "invalid_request" {
		t.Errorf("none and consent: %v", e)
	}
	// The policy's.
	w = newWorld(t)
	w.set(func() { w.rules.Clients[0].Consent = true; w.rules.Clients[0].Scopes = policy.ClientScopes() })
	if _, err := authorize(false, "prompt", "none"); code(err) != "consent_required" {
		t.Errorf("silently: %v", err)
	}
	if a, err := authorize(false, "scope", "openid email"); err != nil || !a.Ask {
		t.Errorf("the first time: %+v, %v", a, err)
	}
	if a, err := authorize(true, "scope", "openid email"); err != nil || a.Code == "" {
		t.Errorf("agreed: %+v, %v", a, err)
	}
	if a, err := authorize(false, "scope", "openid", "prompt", "none"); err != nil || a.Code == "" {
		t.Errorf("for less, silently: %+v, %v", a, err)
	}
	if a, err := authorize(false, "scope", "openid email profile"); err != nil || !a.Ask {
		t.Errorf("for more: %+v, %v", a, err)
	}
	if a, err := authorize(false, "scope", "openid email", "claims", `{"userinfo":{"name":null}}`); err != nil || !a.Ask {
		t.Errorf("for one claim more: %+v, %v", a, err)
	}
}

func mustAddress(t *testing.T, q url.Values) Request {
	t.Helper()
	r, e := Address(rules(), q)
	if e != nil {
		t.Fatal(e)
	}
	return r
}

// TestIDTokenHint: a hint is an ID token of ours, of any age; whoever signs in as
// another is not taken for the one who was meant.
func TestIDTokenHint(t *testing.T) {
	w := newWorld(t)
	hint := w.tokens().IDToken
	signed := func(typ string, change func(jwt.MapClaims)) string {
		t.Helper()
		c := jwt.MapClaims{"iss": issuer, "sub": "id-of-tanaka", "aud": "web", "iat": w.Now().Unix(), "exp": w.Now().Add(time.Minute).Unix()}
		change(c)
		s, err := w.Keys.Sign(typ, c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := func(jwt.MapClaims) {}
	for _, tt := range []struct {
		name, hint, claims string
		code               string // the error; "" for none
		again              bool   // sent to sign in
	}{
		{"the same person", hint, "", "", false},
		{"the same person, said twice", hint, `{"id_token":{"sub":{"value":"id-of-tanaka"}}}`, "", false},
		{"whose time is over", signed(token.TypeID, func(c jwt.MapClaims) { c["exp"] = w.Now().Add(-time.Hour).Unix() }), "", "", false},
		{"given to another application", signed(token.TypeID, func(c jwt.MapClaims) { c["aud"] = "other" }), "", "", false},
		{"another person", signed(token.TypeID, func(c jwt.MapClaims) { c["sub"] = "id-of-suzuki" }), "", "", true},
		{"two people", hint, `{"id_token":{"sub":{"value":"id-of-suzuki"}}}`, "invalid_request", false},
		{"nobody", signed(token.TypeID, func(c jwt.MapClaims) { delete(c, "sub") }), "", "invalid_request", false},
		{"another issuer's", signed(token.TypeID, func(c jwt.MapClaims) { c["iss"] = "https://elsewhere.example" }), "", "invalid_request", false},
		{"an access token", signed(token.TypeAccess, same), "", "invalid_request", false},
		{"a logout token", signed(token.TypeLogout, same), "", "invalid_request", false},
		{"no token", "e30.e30.e30", "", "invalid_request", false},
	} {
		change := []string{"id_token_hint", tt.hint}
		if tt.claims != "" {
			change = append(change, "claims", tt.claims)
		}
		a, err := w.Authorize(ctx, w.request(change...), w.visit())
		if code(err) != tt.code || (a.SignIn != nil) != tt.again || (a.Code != "") != (tt.code == "" && !tt.again) {
			t.Errorf("%s: %+v, %v", tt.name, a, err)
		}
		if tt.again {
			if _, err := w.Authorize(ctx, w.request(append(change, "prompt", "none")...), w.visit()); code(err) != "login_required" {
				t.Errorf("%s, silently: %v", tt.name, err)
			}
			v := w.visit()
			v.Asked = w.session.AuthAt.Add(-time.Second) // signed in since, and is still not the one
			if _, err := w.Authorize(ctx, w.request(change...), v); code(err) != "login_required" {
				t.Errorf("%s, having signed in: %v", tt.name, err)
			}
		}
	}
}

// TestClaimsWished: claims come where they are wished for, and only those that
// the client may have at all (section 5.5).
func TestClaimsWished(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.rules.Clients[0].Scopes = []string{policy.ScopeEmail} })
	a, err := w.Authorize(ctx, w.request("scope", "openid", "claims", `{"id_token":{"email":{"essential":true},"name":null,"unheard_of":null},"userinfo":{"email":null,"acr":null,"posts":null}}`), w.visit())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := w.redeem(a.Code)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.Keys.Read(tok.IDToken, token.TypeID, issuer, false)
	if err != nil {
		t.Fatal(err)
	}
	told, err := w.UserInfo(ctx, Presented{Token: tok.AccessToken})
	if err != nil {
		t.Fatal(err)
	}
	for name, said := range map[string]map[string]any{"the ID token": id, "userinfo": told} {
		if said["email"] != "tanaka@pref.example" {
			t.Errorf("%s has no email: %v", name, said)
		}
		for _, none := range []string{"name", "posts", "preferred_username", "unheard_of"} {
			if _, there := said[none]; there {
				t.Errorf("%s tells %s, which the client may not have", name, none)
			}
		}
	}
	if told["acr"] != string(policy.AAL2) {
		t.Errorf("userinfo's acr is %v", told["acr"])
	}
}

// TestIgnored: what means nothing here is ignored, as RFC 6749 section 3.1 and
// OpenID Connect Core section 3.1.2.1 have it, and is not carried along.
func TestIgnored(t *testing.T) {
	q := asked("code_challenge", strings.Repeat("A", 43), "display", "wap", "resource", "https://elsewhere.example/", "audience", "x", "unheard_of", "y",
		"login_hint", "田中", "ui_locales", "fr-CA ja en")
	q.Add("unheard_of", "z")
	r, e := mustAddress(t, q).Fill()
	if e != nil {
		t.Fatal(e)
	}
	for _, name := range []string{"display", "resource", "audience", "unheard_of"} {
		if r.Encode().Has(name) {
			t.Errorf("%s is carried along", name)
		}
	}
	if r.LoginHint != "田中" || !slices.Equal(r.Locales, []string{"fr-CA", "ja", "en"}) {
		t.Errorf("%q, %v", r.LoginHint, r.Locales)
	}
	for name, value := range map[string]string{"login_hint": strings.Repeat("a", maxParameter+1), "ui_locales": "ja\x00", "state": "\x01"} {
		if _, e := mustAddress(t, asked("code_challenge", strings.Repeat("A", 43), name, value)).Fill(); e == nil {
			t.Errorf("%s = %.10q is taken", name, value)
		}
	}
}

// TestCriticalHeaders: an assertion with extensions that must be understood is
// not understood (RFC 7515 section 4.1.11).
func TestCriticalHeaders(t *testing.T) {
	h := newHolder(t)
	keys := []policy.ClientKey{{ID: "k", Alg: "ES256", Key: &h.key.PublicKey}}
	claims := jwt.MapClaims{"iss": "web", "sub": "web", "aud": issuer, "jti": "1", "exp": t0.Add(time.Minute).Unix()}
	plain := func(head map[string]any) { delete(head, "jwk"); head["typ"], head["kid"] = "JWT", "k" }
	if _, err := verifyAssertion(h.sign(claims, plain), "web", []string{issuer}, keys, t0); err != nil {
		t.Fatal(err)
	}
	if _, err := verifyAssertion(h.sign(claims, plain, func(head map[string]any) { head["crit"] = []string{"b64"}; head["b64"] = false }), "web", []string{issuer}, keys, t0); err == nil {
		t.Error("a critical extension is passed over")
	}
}
