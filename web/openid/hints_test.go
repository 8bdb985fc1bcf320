package openid

import (
	"context"
	"net/url"
	"testing"

	"sekisho/authn/oidc"
	"sekisho/policy"
)

// hinting is a provider that wants everybody to sign in.
type hinting struct {
	Provider
	req oidc.Request
}

func (p hinting) Read(context.Context, url.Values) (oidc.Request, bool, error) {
	return p.req, false, nil
}
func (p hinting) Authorize(context.Context, oidc.Request, oidc.Visit) (oidc.Answer, error) {
	return oidc.Answer{SignIn: &oidc.SignIn{ACR: policy.AAL2, Fresh: true}}, nil
}
func (p hinting) Resume(context.Context, oidc.Request, string, int) (url.Values, error) {
	return url.Values{"client_id": {"web"}}, nil
}

// TestHints: whom the application means and in which language go with the browser
// to the sign-in (OpenID Connect Core section 3.1.2.1). The first language that
// there is counts; of none there is the browser's own.
func TestHints(t *testing.T) {
	hinting := hinting{}
	hinting.Provider = refusing{}
	for _, tt := range []struct {
		locales []string
		lang    string
	}{
		{nil, ""}, {[]string{"ja"}, "ja"}, {[]string{"en-GB", "ja"}, "en"}, {[]string{"fr-CA", "JA-jp", "en"}, "ja"}, {[]string{"fr", "jam", "english"}, ""},
	} {
		hinting.req = oidc.Request{Client: policy.Client{ID: "web"}, LoginHint: "田中&rd=https://evil.example/", Locales: tt.locales}
		resp := send(serverOn(t, hinting), "GET", AuthorizePath+"?client_id=web", "")
		to, err := url.Parse(resp.Header.Get("Location"))
		if err != nil || to.Path != "/signin" || to.Host != "" {
			t.Fatalf("%d %v, %v", resp.StatusCode, to, err)
		}
		q := to.Query()
		if q.Get("lang") != tt.lang || q.Get("login_hint") != "田中&rd=https://evil.example/" || len(q["rd"]) != 1 || q.Get("rd") != AuthorizePath+"?client_id=web" ||
			q.Get("acr") != "aal2" || q.Get("max_age") != "0" {
			t.Errorf("%v: %v", tt.locales, q)
		}
	}
}
