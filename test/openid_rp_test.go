package test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// An rp is an application that signs its people in through OpenID Connect, by
// libraries that are not ours.
type rp struct {
	d        *harness.Dev
	provider *oidc.Provider
	conf     oauth2.Config
	c        *harness.Client // of the application itself; no cookies
}

// sampleWeb is the client of dev.json.
func sampleWeb(t testing.TB, d *harness.Dev) *rp {
	t.Helper()
	if len(d.Clients) != 1 || d.Clients[0].ClientID != "sample-web" {
		t.Fatalf("dev.json's clients are %+v", d.Clients)
	}
	k := d.Clients[0]
	return newRP(t, d, k.ClientID, k.ClientSecret, k.RedirectURIs[0], oauth2.AuthStyleInHeader)
}

func newRP(t testing.TB, d *harness.Dev, id, secret, redirect string, style oauth2.AuthStyle) *rp {
	t.Helper()
	harness.Until(t, "client "+id, func() bool {
		got := harness.NewClient(d.URL).Do(t, "GET", "/oauth2/authorize?client_id="+id, nil)
		return !strings.Contains(string(got.Body), "(client_id)")
	})
	p, err := oidc.NewProvider(context.Background(), d.URL)
	if err != nil {
		t.Fatal("discovery:", err)
	}
	end := p.Endpoint()
	end.AuthStyle = style
	return &rp{d, p, oauth2.Config{
		ClientID: id, ClientSecret: secret, Endpoint: end, RedirectURL: redirect,
		Scopes: []string{"openid", "profile", "email", "offline_access"},
	}, harness.NewClient(d.URL)}
}

// addClients puts further clients into dev's policy, in YAML as it stands below
// "clients:".
func addClients(t testing.TB, d *harness.Dev, yaml string) {
	t.Helper()
	changePolicy(t, d, "clients:\n", "clients:\n"+yaml)
}

func changePolicy(t testing.TB, d *harness.Dev, old, next string) {
	t.Helper()
	out, errs, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
	if status != 0 || strings.Count(out, old) != 1 {
		t.Fatalf("policy show: %d, %q stands %d times\n%s", status, old, strings.Count(out, old), errs)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(out, old, next, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, status := harness.Run(t, "sekisho", "policy", "apply", file, "--data", d.Folder); status != 0 {
		t.Fatalf("policy apply: %d\n%s%s", status, out, errs)
	}
}

func hashed(secret string) string { return policy.HashSecret(secret, []byte("0123456789abcdef")) }

// asking is the address of an authorization request.
func (a *rp) asking(verifier, state, nonce string, more url.Values) string {
	to, err := url.Parse(a.conf.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce)))
	if err != nil {
		panic(err)
	}
	q := to.Query()
	for name, values := range more {
		if values[0] == "" {
			q.Del(name)
		} else {
			q[name] = values
		}
	}
	to.RawQuery = q.Encode()
	return to.String()
}

// ask sends a browser with an authorization request and returns what it was
// answered.
func (a *rp) ask(t testing.TB, c *harness.Client, verifier string, more url.Values) harness.Answer {
	t.Helper()
	return c.Do(t, "GET", a.asking(verifier, "the-state", "the-nonce", more), nil, "Accept", "text/html")
}

// back reads what an answer carries to the application.
func (a *rp) back(t testing.TB, got harness.Answer) url.Values {
	t.Helper()
	to := got.Header.Get("Location")
	if got.Status != http.StatusSeeOther || !strings.HasPrefix(to, a.conf.RedirectURL+"?") {
		t.Fatalf("not sent back to the application: %d %s %s", got.Status, to, got.Body)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("iss") != a.d.URL {
		t.Errorf("iss = %q (RFC 9207)", q.Get("iss"))
	}
	if q.Get("state") != "the-state" {
		t.Errorf("state = %q", q.Get("state"))
	}
	return q
}

// code gets a code for a browser that is signed in.
func (a *rp) code(t testing.TB, c *harness.Client, more url.Values) (code, verifier string) {
	t.Helper()
	verifier = oauth2.GenerateVerifier()
	q := a.back(t, a.ask(t, c, verifier, more))
	if q.Get("code") == "" {
		t.Fatalf("no code but %v", q)
	}
	return q.Get("code"), verifier
}

// tokens takes a browser that is signed in to tokens.
func (a *rp) tokens(t testing.TB, c *harness.Client, more url.Values) *oauth2.Token {
	t.Helper()
	code, verifier := a.code(t, c, more)
	tok, err := a.conf.Exchange(context.Background(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal("exchanging the code:", err)
	}
	return tok
}

// idToken verifies the ID token of an answer with go-oidc.
func (a *rp) idToken(t testing.TB, tok *oauth2.Token) *oidc.IDToken {
	t.Helper()
	raw, _ := tok.Extra("id_token").(string)
	id, err := a.provider.Verifier(&oidc.Config{ClientID: a.conf.ClientID, Now: func() time.Time { return a.c.Now(t) }}).Verify(context.Background(), raw)
	if err != nil {
		t.Fatal("verifying the ID token:", err)
	}
	return id
}

// post sends a form to an endpoint, with the client's own proof.
func (a *rp) post(t testing.TB, path string, form url.Values) harness.Answer {
	t.Helper()
	var headers []string
	if a.conf.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		headers = []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString(
			[]byte(url.QueryEscape(a.conf.ClientID)+":"+url.QueryEscape(a.conf.ClientSecret)))}
	} else {
		form.Set("client_id", a.conf.ClientID)
		if a.conf.ClientSecret != "" {
			form.Set("client_secret", a.conf.ClientSecret)
		}
	}
	got, err := harness.NewClient(a.d.URL).Send("POST", path, "application/x-www-form-urlencoded", []byte(form.Encode()), headers...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (a *rp) redeem(t testing.TB, code, verifier string, more url.Values) harness.Answer {
	t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.conf.RedirectURL}, "code_verifier": {verifier}}
	for name, values := range more {
		if values[0] == "" {
			form.Del(name)
		} else {
			form[name] = values
		}
	}
	return a.post(t, "/oauth2/token", form)
}

func (a *rp) refresh(t testing.TB, token string) harness.Answer {
	t.Helper()
	return a.post(t, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// active asks by introspection whether a token is good.
func (a *rp) active(t testing.TB, token string) bool {
	t.Helper()
	got := a.post(t, "/oauth2/introspect", url.Values{"token": {token}})
	if got.Status != http.StatusOK {
		t.Fatalf("introspection: %d %s", got.Status, got.Body)
	}
	var said struct{ Active bool }
	got.Into(t, &said)
	return said.Active
}

func (a *rp) userInfo(t testing.TB, token string) harness.Answer {
	t.Helper()
	return harness.NewClient(a.d.URL).Do(t, "GET", "/oauth2/userinfo", nil, "Authorization", "Bearer "+token)
}

// refused is the OAuth error of an answer in JSON.
func refused(t testing.TB, got harness.Answer) string {
	t.Helper()
	var e struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(got.Body, &e); err != nil {
		t.Fatalf("%d %s is no OAuth error", got.Status, got.Body)
	}
	return e.Error
}

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
}

// given are the tokens of an answer.
func given(t testing.TB, got harness.Answer) tokenAnswer {
	t.Helper()
	if got.Status != http.StatusOK {
		t.Fatalf("no tokens: %d %s", got.Status, got.Body)
	}
	var tok tokenAnswer
	got.Into(t, &tok)
	return tok
}

// opened are the header and claims of a JWT, unverified.
func opened(t testing.TB, signed string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(signed, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", signed)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(b, into) != nil {
			t.Fatalf("part %d of %q is no JSON", i, signed)
		}
	}
	return header, claims
}

// lift lifts what elsewhere recorded against a person.
func lift(t testing.TB, d *harness.Dev, login string) {
	t.Helper()
	f, err := folder.Existing(d.Folder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(context.Background(), store.Config{Driver: "sqlite", Path: f.Store()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.WithTx(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.Background(), `DELETE FROM standing WHERE person_id IN (SELECT person_id FROM session WHERE login = $1)`, login)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
