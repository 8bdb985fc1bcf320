package oidc

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
)

// rules is a policy with two clients.
func rules() *policy.Policy {
	p := policy.Standard()
	p.Clients = []policy.Client{
		{
			ID: "web", Zone: policy.LGWAN, Class: 3, AuthMethod: policy.AuthBasic, RedirectURIs: []string{"https://web.example/cb", "https://web.example/cb?a=b"},
			Scopes: []string{policy.ScopeEmail}, Refresh: true, MaxAge: time.Hour,
		},
		{ID: "other", Zone: policy.LGWAN, Class: 3, AuthMethod: policy.AuthNone, RedirectURIs: []string{"https://other.example/cb"}},
	}
	return p
}

func asked(change ...string) url.Values {
	q := url.Values{
		"client_id": {"web"}, "redirect_uri": {"https://web.example/cb"}, "response_type": {"code"}, "scope": {"openid email profile offline_access unknown"},
		"state": {"s"}, "code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	return q
}

func TestFill(t *testing.T) {
	r, e := Address(rules(), asked())
	if e != nil {
		t.Fatal(e)
	}
	r, e = r.Fill()
	if e != nil {
		t.Fatal(e)
	}
	// Only what the policy lets the client ask for, and nothing unknown.
	if got := strings.Join(r.Scope, " "); got != "openid email offline_access" {
		t.Errorf("scope %q", got)
	}
	if r.MaxAge != time.Hour || r.ResponseMode != "query" || r.State != "s" {
		t.Errorf("%+v", r)
	}
	for asks, want := range map[string]time.Duration{"60": time.Minute, "0": 0, "7200": time.Hour} {
		r, _ := Address(rules(), asked("max_age", asks))
		if r, e := r.Fill(); e != nil || r.MaxAge != want {
			t.Errorf("max_age %s: %v %v", asks, r.MaxAge, e)
		}
	}
	// A request that was read asks for the same when it is written again.
	again, e := Address(rules(), r.Encode())
	if e != nil {
		t.Fatal(e)
	}
	if again, e = again.Fill(); e != nil || again.Encode().Encode() != r.Encode().Encode() || r.Encode().Has("unknown") {
		t.Errorf("%v\n%v", again.Encode(), r.Encode())
	}
}

func TestLeast(t *testing.T) {
	for _, tt := range []struct {
		acr, claims []string
		want        policy.ACR
		ok          bool
	}{
		{nil, nil, "", true},
		{[]string{"phr"}, nil, policy.PHR, true},
		{[]string{"phr", "aal2"}, nil, policy.AAL2, true},
		{[]string{"urn:mace:silver", "phr"}, nil, policy.PHR, true},
		{[]string{"urn:mace:silver"}, nil, "", false},
		{[]string{"aal1"}, []string{"phr"}, policy.PHR, true},
		{[]string{"phr"}, []string{"aal1", "aal2"}, policy.PHR, true},
		{nil, []string{"gold"}, "", false},
	} {
		got, ok := (Request{ACR: tt.acr, Claims: ClaimsRequest{ACR: tt.claims}}).least()
		if got != tt.want || ok != tt.ok {
			t.Errorf("%v %v: %q %v, want %q %v", tt.acr, tt.claims, got, ok, tt.want, tt.ok)
		}
	}
}

func TestParseClaims(t *testing.T) {
	for _, tt := range []struct {
		text string
		want ClaimsRequest
		ok   bool
	}{
		{``, ClaimsRequest{}, true},
		{`{}`, ClaimsRequest{}, true},
		{`{"userinfo":null,"id_token":{}}`, ClaimsRequest{}, true},
		{`{"userinfo":{"email":null,"name":{"essential":true},"shoe_size":null}}`, ClaimsRequest{UserInfo: []string{"email", "name"}}, true},
		{`{"id_token":{"acr":{"essential":true,"values":["phr","aal2"]},"sub":{"value":"x"}}}`, ClaimsRequest{IDToken: []string{"acr"}, Sub: "x", ACR: []string{"phr", "aal2"}}, true},
		{`{"id_token":{"acr":{"values":["phr"]}}}`, ClaimsRequest{IDToken: []string{"acr"}}, true},
		{`{"id_token":{"sub":{"value":"x"}},"userinfo":{"sub":{"value":"y"}}}`, ClaimsRequest{}, false},
		{`{"id_token":{"sub":{"values":["x","y"]}}}`, ClaimsRequest{}, false},
		{`{"id_token":{"sub":{"value":7}}}`, ClaimsRequest{}, false},
		{`{"id_token":{"acr":{"essential":true,"value":""}}}`, ClaimsRequest{}, false},
		{`{"id_token":{"a":{},"a":{}}}`, ClaimsRequest{}, false},
		{`{"id_token":[]}`, ClaimsRequest{}, false},
		{`[]`, ClaimsRequest{}, false},
		{`{} {}`, ClaimsRequest{}, false},
		{`{"id_token":{"a":{"b":{"c":{"d":1}}}}}`, ClaimsRequest{}, false},
		{`{"x":"` + strings.Repeat("a", maxClaims) + `"}`, ClaimsRequest{}, false},
	} {
		got, err := ParseClaims(tt.text)
		if (err == nil) != tt.ok || !slices.Equal(got.UserInfo, tt.want.UserInfo) || !slices.Equal(got.IDToken, tt.want.IDToken) ||
			got.Sub != tt.want.Sub || !slices.Equal(got.ACR, tt.want.ACR) {
			t.Errorf("%.60s: %+v, %v", tt.text, got, err)
		}
	}
}

func TestChallenged(t *testing.T) {
	// RFC 7636, appendix B.
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for _, tt := range []struct {
		name, verifier string
		want           bool
	}{
		{"right", verifier, true},
		{"wrong", verifier[1:] + "a", false},
		{"the challenge itself", challenge, false},
		{"none", "", false},
		{"too short", verifier[:42], false},
		{"too long", strings.Repeat("a", 129), false},
		{"not of its letters", verifier[:42] + "+", false},
	} {
		if got := challenged(challenge, tt.verifier); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// FuzzAuthorize reads whatever comes as an authorization request. Nothing is
// ever sent to an address that is not the client's, and what is read reads the
// same again.
func FuzzAuthorize(f *testing.F) {
	for _, q := range []url.Values{
		asked(), asked("prompt", "none login"), asked("claims", `{"id_token":{"acr":{"essential":true,"values":["phr"]}}}`), asked("max_age", "-1"),
		asked("redirect_uri", "https://web.example@evil.example/"), asked("response_mode", "form_post"), asked("acr_values", "phr aal9"),
		asked("request_uri", RequestURIPrefix+"x"), {"client_id": {"web", "other"}},
	} {
		f.Add(q.Encode())
	}
	p := rules()
	f.Fuzz(func(t *testing.T, text string) {
		q, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		r, e := Address(p, q)
		if e != nil {
			if e.Says.JA == "" || e.Says.EN == "" {
				t.Error("a page without words")
			}
			return
		}
		if !slices.Contains(r.Client.RedirectURIs, r.RedirectURI) {
			t.Fatalf("answers go to %q", r.RedirectURI)
		}
		full, e := r.Fill()
		if e != nil {
			if strings.ContainsFunc(e.Description, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
				t.Errorf("error_description %q (RFC 6749 section 4.1.2.1)", e.Description)
			}
			return
		}
		if full.Challenge == "" || !slices.Contains(full.Scope, policy.ScopeOpenID) || full.silent() && len(full.Prompt) > 1 {
			t.Errorf("%+v", full)
		}
		again, e := Address(p, full.Encode())
		if e != nil {
			t.Fatal(e)
		}
		if again, e = again.Fill(); e != nil || again.Encode().Encode() != full.Encode().Encode() {
			t.Errorf("%v is read as %v, %v", full.Encode(), again.Encode(), e)
		}
	})
}

func FuzzClaimsParameter(f *testing.F) {
	for _, s := range []string{`{}`, `{"userinfo":{"email":null}}`, `{"id_token":{"acr":{"essential":true,"values":["phr"]},"sub":{"value":"x"}}}`, `{"a":{"a":{"a":{"a":1}}}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseClaims(text)
		if err != nil {
			return
		}
		for _, name := range slices.Concat(c.UserInfo, c.IDToken) {
			if _, known := claimScopes[name]; !known {
				t.Errorf("claim %q", name)
			}
		}
		if slices.Contains(c.ACR, "") {
			t.Error("an empty assurance")
		}
	})
}
