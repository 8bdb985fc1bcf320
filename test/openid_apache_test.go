package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// apacheConf is an application behind Apache's mod_auth_openidc, as
// docs/openid.md has it; the rest is what Apache needs to run from a folder.
const apacheConf = `
ServerRoot %[1]s
PidFile %[1]s/apache.pid
ErrorLog %[1]s/error.log
Mutex file:%[1]s default
Listen 127.0.0.1:%[2]d
ServerName 127.0.0.1
User www-data
Group www-data
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule auth_openidc_module /usr/lib/apache2/modules/mod_auth_openidc.so
StartServers 1
ServerLimit 1
DocumentRoot %[1]s/pages
OIDCProviderMetadataURL %[3]s/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret apache-secret
OIDCRedirectURI http://127.0.0.1:%[2]d/callback
OIDCPKCEMethod S256
OIDCScope "openid profile email offline_access"
OIDCRemoteUserClaim preferred_username
OIDCCryptoPassphrase a-phrase-for-the-test
OIDCCacheType file
OIDCCacheDir %[1]s/cache
# Each request finds its access token about to end, and refreshes.
OIDCRefreshAccessTokenBeforeExpiry 400
<Location />
AuthType openid-connect
Require valid-user
Header always set X-Who "%%{OIDC_CLAIM_preferred_username}e"
Header always set X-Posts "%%{OIDC_CLAIM_posts}e"
Header always set X-Token "%%{OIDC_access_token}e"
</Location>
`

// TestOpenIDApache: a relying party that many prefectures run signs a person in,
// refreshes, and is told from afar that it is over.
func TestOpenIDApache(t *testing.T) {
	t.Parallel()
	apache := harness.Need(t, "apache2", "apache2-bin")
	if _, err := os.Stat("/usr/lib/apache2/modules/mod_auth_openidc.so"); err != nil {
		if os.Getenv("SEKISHO_TEST_REQUIRE") == "1" {
			t.Fatal("install the Debian package libapache2-mod-auth-openidc")
		}
		t.Skip("install the Debian package libapache2-mod-auth-openidc")
	}
	d := harness.StartSample(t)
	port := harness.FreePort(t)
	at := "http://127.0.0.1:" + strconv.Itoa(port)
	addClients(t, d, fmt.Sprintf(`
  - {client_id: apache, name: {ja: アパッチ}, zone: lgwan, class: 3, auth_method: client_secret_basic, secret_hashes: [%q], redirect_uris: ["%[2]s/callback"], backchannel_logout_uri: "%[2]s/callback?logout=backchannel", scopes: [profile, email], refresh: true}
`, hashed("apache-secret"), at))

	dir, err := os.MkdirTemp("", "sekisho-apache-") // not t.TempDir: www-data must get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, sub := range []string{"", "pages", "cache"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, sub), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "apache.conf")
	if err := os.WriteFile(filepath.Join(dir, "pages", "index.html"), []byte("the application\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, apacheConf, dir, port, d.URL), 0o644); err != nil {
		t.Fatal(err)
	}
	newRP(t, d, "apache", "", "", 0) // waits until the policy has it
	p := harness.Start(t, dir, apache, "-f", conf, "-DFOREGROUND")
	web := harness.NewClient(at)
	harness.Until(t, "Apache", func() bool {
		if p.Ended() {
			t.Fatalf("Apache ended: %s", p.Output())
		}
		_, err := web.Try("GET", "/", nil)
		return err == nil
	})
	said := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		return string(b)
	}

	gate := signIn(t, d, d.Person(t, "tanaka"))
	enter := func() harness.Answer {
		t.Helper()
		got := web.Do(t, "GET", "/index.html", nil, "Accept", "text/html")
		if got.Status != http.StatusFound || !strings.HasPrefix(got.Header.Get("Location"), d.URL+"/oauth2/authorize?") {
			t.Fatalf("Apache does not send to the gate: %d %s\n%s", got.Status, got.Header.Get("Location"), said())
		}
		got = gate.Do(t, "GET", got.Header.Get("Location"), nil)
		if !strings.HasPrefix(got.Header.Get("Location"), at+"/callback?") {
			t.Fatalf("the gate does not send back: %d %s", got.Status, got.Header.Get("Location"))
		}
		got = web.Do(t, "GET", got.Header.Get("Location"), nil)
		if got.Status != http.StatusFound {
			t.Fatalf("Apache does not take the code: %d %s\n%s", got.Status, got.Body, said())
		}
		return web.Do(t, "GET", "/index.html", nil, "Accept", "text/html")
	}
	got := enter()
	if got.Status != http.StatusOK || got.Header.Get("X-Who") != "tanaka" || !strings.Contains(got.Header.Get("X-Posts"), "staff") {
		t.Fatalf("%d %v\n%s", got.Status, got.Header, said())
	}
	first := got.Header.Get("X-Token")
	again := web.Do(t, "GET", "/index.html", nil, "Accept", "text/html")
	if again.Status != http.StatusOK || again.Header.Get("X-Token") == first || again.Header.Get("X-Token") == "" {
		t.Errorf("it did not refresh: %d\n%s", again.Status, said())
	}
	if a := gate.Do(t, "DELETE", "/api/v1/session", nil); a.Status != http.StatusNoContent {
		t.Fatalf("signing out: %d", a.Status)
	}
	harness.Until(t, "Apache to have heard", func() bool {
		return web.Do(t, "GET", "/index.html", nil, "Accept", "text/html").Status == http.StatusFound
	})
	if strings.Contains(said(), "apache-secret") {
		t.Error("a secret is in Apache's log")
	}
}
