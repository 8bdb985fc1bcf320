package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"sekisho/test/harness"
)

// TestOpenIDNode: an application in Node, by npm's openid-client, pushes its
// request, signs a person in, refreshes, loses a stolen token's family, revokes,
// signs out, and is told from afar.
func TestOpenIDNode(t *testing.T) {
	t.Parallel()
	node := harness.Need(t, "node", "nodejs")
	modules := harness.Tool(t, "openid-client/node_modules")
	d := harness.StartSample(t)
	port := strconv.Itoa(harness.FreePort(t))
	at := "http://127.0.0.1:" + port
	addClients(t, d, fmt.Sprintf(`
  - {client_id: node, name: {ja: ノード}, zone: lgwan, class: 2, auth_method: client_secret_basic, secret_hashes: [%q], redirect_uris: ["%[2]s/callback"], post_logout_redirect_uris: ["%[2]s/"], backchannel_logout_uri: "%[2]s/backchannel", scopes: [profile, email], refresh: true}
`, hashed("node-secret"), at))
	newRP(t, d, "node", "", "", 0) // waits until the policy has it

	dir := t.TempDir()
	program, err := os.ReadFile("testdata/openid-client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app.mjs"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	p := harness.Start(t, dir, node, "app.mjs", d.URL, "node", "node-secret", port)
	app := harness.NewClient(at)
	harness.Until(t, "the application in Node", func() bool {
		if p.Ended() {
			t.Fatalf("it ended: %s", p.Output())
		}
		_, err := app.Try("GET", "/", nil)
		return err == nil
	})

	gate := signIn(t, d, d.Person(t, "tanaka"))
	get := func(path string, want int) (out struct {
		Claims, Info, Access, State map[string]any
		Token, Error                string
		Rotated                     bool
	}) {
		t.Helper()
		got := app.Do(t, "GET", path, nil)
		if got.Status != want {
			t.Fatalf("%s: %d %s\n%s", path, got.Status, got.Body, p.Output())
		}
		if len(got.Body) > 0 {
			got.Into(t, &out)
		}
		return out
	}
	enter := func() map[string]any {
		t.Helper()
		got := app.Do(t, "GET", "/login", nil)
		to := got.Header.Get("Location")
		if got.Status != http.StatusSeeOther || !strings.HasPrefix(to, d.URL+"/oauth2/authorize?") || !strings.Contains(to, "request_uri=") || strings.Contains(to, "nonce") {
			t.Fatalf("the request is not pushed: %d %s %s\n%s", got.Status, to, got.Body, p.Output())
		}
		got = gate.Do(t, "GET", to, nil)
		if !strings.HasPrefix(got.Header.Get("Location"), at+"/callback?") {
			t.Fatalf("the gate does not send back: %d %s %s", got.Status, got.Header.Get("Location"), got.Body)
		}
		return get(strings.TrimPrefix(got.Header.Get("Location"), at), http.StatusOK).Claims
	}

	claims := enter()
	if claims["preferred_username"] != "tanaka" || claims["acr"] != "aal2" || claims["sid"] == nil || claims["aud"] != "node" {
		t.Errorf("the ID token's claims are %v", claims)
	}
	me := get("/me", http.StatusOK)
	if me.Info["sub"] != claims["sub"] || me.Info["name"] == nil || me.Info["email"] == nil || me.State["active"] != true || me.Access["client_id"] != "node" {
		t.Errorf("%+v", me)
	}
	next := get("/refresh", http.StatusOK)
	if !next.Rotated || next.Token == me.Token || get("/me", http.StatusOK).State["active"] != true {
		t.Errorf("refreshed: %+v", next)
	}
	if again := get("/again", http.StatusBadRequest); again.Error != "invalid_grant" {
		t.Errorf("the former refresh token: %+v", again)
	}
	if after := get("/refresh", http.StatusBadRequest); after.Error != "invalid_grant" {
		t.Errorf("the family lives on: %+v", after)
	}

	enter()
	if out := get("/revoke", http.StatusOK); out.State["active"] != false {
		t.Errorf("revoked: %+v", out)
	}

	enter()
	got := app.Do(t, "GET", "/logout", nil)
	got = gate.Do(t, "GET", got.Header.Get("Location"), nil)
	if got.Header.Get("Location") != at+"/?state=bye" {
		t.Errorf("signed out: %d %s %s", got.Status, got.Header.Get("Location"), got.Body)
	}
	if got := gate.Do(t, "GET", "/api/v1/session", nil); got.Status != http.StatusUnauthorized {
		t.Errorf("the gate's session lives on: %d", got.Status)
	}

	gate = signIn(t, d, d.Person(t, "suzuki"))
	enter()
	get("/me", http.StatusOK)
	if a := gate.Do(t, "DELETE", "/api/v1/session", nil); a.Status != http.StatusNoContent {
		t.Fatalf("signing out: %d", a.Status)
	}
	harness.Until(t, "the application to have heard", func() bool { return app.Do(t, "GET", "/me", nil).Status == http.StatusUnauthorized })
	if strings.Contains(p.Output(), "Error") {
		t.Errorf("it says: %s", p.Output())
	}
}

// TestOpenIDProxy: oauth2-proxy signs people in for an application that knows
// nothing of it, refreshes, and learns at its next refresh that it is over: it has
// no back-channel logout.
func TestOpenIDProxy(t *testing.T) {
	t.Parallel()
	program := harness.Tool(t, "oauth2-proxy")
	d := harness.StartSample(t)
	addr := "127.0.0.1:" + strconv.Itoa(harness.FreePort(t))
	at := "http://" + addr
	addClients(t, d, fmt.Sprintf(`
  - {client_id: proxy, name: {ja: プロキシ}, zone: lgwan, class: 2, auth_method: client_secret_basic, secret_hashes: [%q], redirect_uris: ["%[2]s/oauth2/callback"], scopes: [profile, email], refresh: true}
`, hashed("proxy-secret"), at))
	newRP(t, d, "proxy", "", "", 0) // waits until the policy has it

	var asked atomic.Int64
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	defer application.Close()
	p := harness.Start(t, t.TempDir(), program,
		"--provider=oidc", "--oidc-issuer-url="+d.URL, "--client-id=proxy", "--client-secret=proxy-secret", "--redirect-url="+at+"/oauth2/callback",
		"--code-challenge-method=S256", "--scope=openid profile email offline_access", "--email-domain=*", "--oidc-groups-claim=posts",
		"--http-address="+addr, "--upstream="+application.URL, "--skip-provider-button", "--pass-access-token", "--pass-user-headers",
		"--cookie-secret=0123456789abcdef0123456789abcdef", "--cookie-secure=false", "--cookie-refresh=1s", "--cookie-expire=8h")
	web := harness.NewClient(at)
	harness.Until(t, "oauth2-proxy", func() bool {
		if p.Ended() {
			t.Fatalf("it ended: %s", p.Output())
		}
		_, err := web.Try("GET", "/ping", nil)
		return err == nil
	})

	gate := signIn(t, d, d.Person(t, "tanaka"))
	got := web.Do(t, "GET", "/page", nil, "Accept", "text/html", "X-Forwarded-User", "yoshida", "X-Forwarded-Preferred-Username", "yoshida")
	if got.Status != http.StatusFound || !strings.HasPrefix(got.Header.Get("Location"), d.URL+"/oauth2/authorize?") || asked.Load() != 0 {
		t.Fatalf("it does not send to the gate: %d %s\n%s", got.Status, got.Header.Get("Location"), p.Output())
	}
	got = gate.Do(t, "GET", got.Header.Get("Location"), nil)
	if !strings.HasPrefix(got.Header.Get("Location"), at+"/oauth2/callback?") {
		t.Fatalf("the gate does not send back: %d %s %s", got.Status, got.Header.Get("Location"), got.Body)
	}
	got = web.Do(t, "GET", got.Header.Get("Location"), nil)
	if got.Status != http.StatusFound || got.Header.Get("Location") != "/page" {
		t.Fatalf("it does not take the code: %d %s\n%s", got.Status, got.Body, p.Output())
	}
	page := func() http.Header {
		t.Helper()
		got := web.Do(t, "GET", "/page", nil)
		if got.Status != http.StatusOK {
			t.Fatalf("the application: %d\n%s", got.Status, p.Output())
		}
		var h http.Header
		got.Into(t, &h)
		return h
	}
	h := page()
	if h.Get("X-Forwarded-Preferred-Username") != "tanaka" || h.Get("X-Forwarded-Email") != d.Person(t, "tanaka").Mail || !strings.Contains(h.Get("X-Forwarded-Groups"), "staff") {
		t.Errorf("the application is told %v", h)
	}
	first := h.Get("X-Forwarded-Access-Token")
	harness.Until(t, "oauth2-proxy to refresh", func() bool { return page().Get("X-Forwarded-Access-Token") != first })
	if a := gate.Do(t, "DELETE", "/api/v1/session", nil); a.Status != http.StatusNoContent {
		t.Fatalf("signing out: %d", a.Status)
	}
	harness.Until(t, "oauth2-proxy to be told at its next refresh", func() bool {
		return web.Do(t, "GET", "/page", nil, "Accept", "text/html").Status == http.StatusFound
	})
	reached := asked.Load()
	if got := web.Do(t, "GET", "/page", nil, "Accept", "text/html"); got.Status != http.StatusFound || !strings.HasPrefix(got.Header.Get("Location"), d.URL) || asked.Load() != reached {
		t.Errorf("afterwards: %d %s, the application was asked %d times more", got.Status, got.Header.Get("Location"), asked.Load()-reached)
	}
	if strings.Contains(p.Output(), "proxy-secret") {
		t.Error("a secret is in its log")
	}
}
