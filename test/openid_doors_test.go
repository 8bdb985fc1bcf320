package test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"sekisho/test/harness"
)

// applicationsTokens are what an application got while a browser's session was
// good, by the session's cookie: the doors that take tokens try those.
var applicationsTokens sync.Map

// tokensOf are the tokens that came of a browser's session, the first time by
// the code flow; empty where that gives none.
func tokensOf(t *testing.T, d *harness.Dev, c *harness.Client) (*rp, tokenAnswer) {
	t.Helper()
	a := sampleWeb(t, d)
	key := d.URL + " " + c.Cookies["__Host-sekisho"]
	if tok, ok := applicationsTokens.Load(key); ok {
		return a, tok.(tokenAnswer)
	}
	tok, ok := codeFlow(t, a, c)
	if ok {
		applicationsTokens.Store(key, tok)
	}
	return a, tok
}

// codeFlow goes through authorization and token endpoint without a page.
func codeFlow(t *testing.T, a *rp, c *harness.Client) (tokenAnswer, bool) {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	code := a.back(t, a.ask(t, c, verifier, url.Values{"prompt": {"none"}})).Get("code")
	if code == "" {
		return tokenAnswer{}, false
	}
	got := a.redeem(t, code, verifier, nil)
	if got.Status != http.StatusOK {
		return tokenAnswer{}, false
	}
	return given(t, got), true
}

// openIDDoors are those of the OpenID provider.
var openIDDoors = []door{
	{"code to token", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		_, ok := codeFlow(t, sampleWeb(t, d), c)
		return ok
	}},
	{"userinfo", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a, tok := tokensOf(t, d, c)
		return a.userInfo(t, tok.AccessToken).Status == http.StatusOK
	}},
	{"introspection", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a, tok := tokensOf(t, d, c)
		return tok.AccessToken != "" && (a.active(t, tok.AccessToken) || a.active(t, tok.RefreshToken))
	}},
	{"refresh", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a, tok := tokensOf(t, d, c)
		got := a.refresh(t, tok.RefreshToken)
		if got.Status == http.StatusOK {
			applicationsTokens.Store(d.URL+" "+c.Cookies["__Host-sekisho"], given(t, got))
			return true
		}
		return false
	}},
}
