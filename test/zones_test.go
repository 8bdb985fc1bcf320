package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// TestOneZoneAGate: a gate serves the zones its file names, by default one
// (article 26no2). From the network of another zone nobody signs in, whatever
// the door; the applications of another zone are refused to everybody; and when
// the decision that allowed several is withdrawn, that holds within a second.
func TestOneZoneAGate(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{
		Zone: "  - id: mynumber\n",
		Rules: `deviations:
  - {id: showcase, rule: several_zones, reason: {ja: 試験, en: A test}, decision: CIO 2026-1, decided: "2026-04-01"}
`,
	})
	change(t, site.Policy, "networks:\n", "networks:\n  - {cidr: 10.1.0.0/16, zone: mynumber}\n",
		"applications:\n", "applications:\n  - {id: juki, name: {ja: 住民記録, en: Residents}, host: juki.pref.example, zone: mynumber, class: 1}\n")

	serve := site.Serve(t)
	tanaka := site.Behind("10.2.0.1")
	site.Members["tanaka"].SignIn(t, tanaka)

	t.Run("sign-in from another zone", func(t *testing.T) { refusedZone(t, site) })
	t.Run("sign-in by a crossing that leads here", func(t *testing.T) { crossesIn(t, site) })
	t.Run("an application of another zone", func(t *testing.T) {
		if got := allowed(t, tanaka, "juki", ""); got != 403 {
			t.Errorf("forward-auth: %d", got)
		}
		if got := allowed(t, site.Behind("10.2.0.9"), "juki", ""); got != 403 {
			t.Errorf("forward-auth of nobody: %d; signing in would not help", got)
		}
		a := tanaka.Do(t, "GET", "/handover?app=juki&rd=https%3A%2F%2Fjuki.pref.example%2F", nil)
		if a.Status != 403 || !strings.Contains(string(a.Body), "Article 26-2(1)") {
			t.Errorf("the handover: %d %s", a.Status, a.Body)
		}
		if got := allowed(t, tanaka, "app", appCookie(t, site, tanaka, "app")); got != 200 {
			t.Errorf("the application of the zone served: %d", got)
		}
	})
	serve.Stop(t)

	change(t, site.Config, "zones: [lgwan]", "zones: [lgwan, mynumber]")
	site.Serve(t)
	suzuki, cio := site.Behind("10.1.0.5"), site.Behind("10.2.0.2")
	site.Members["suzuki"].SignIn(t, suzuki)
	site.Members["yoshida"].SignIn(t, cio)
	juki := appCookie(t, site, suzuki, "juki")
	if got := allowed(t, suzuki, "juki", juki); got != 200 {
		t.Fatalf("under the deviation: %d", got)
	}
	t.Run("the decision is withdrawn", func(t *testing.T) {
		change(t, site.Policy, "deviations:\n  - {id: showcase, rule: several_zones, reason: {ja: 試験, en: A test}, decision: CIO 2026-1, decided: \"2026-04-01\"}\n", "")
		out, errs, status := harness.Run(t, "sekisho", "policy", "apply", site.Policy, "--config", site.Config)
		id, _, _ := strings.Cut(out, "\n")
		if status != 0 {
			t.Fatalf("policy apply: %s%s", out, errs)
		}
		if a := cio.Do(t, "POST", "/api/v1/policy/proposals/"+id+"/approve", nil); a.Status != 200 {
			t.Fatalf("approving: %d %s", a.Status, a.Body)
		}
		begun := time.Now()
		harness.Until(t, "the application to close", func() bool { return allowed(t, suzuki, "juki", juki) == 403 })
		harness.Until(t, "the session to end", func() bool {
			return suzuki.Do(t, "GET", "/api/v1/session", nil).Status == 401
		})
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
		refusedZone(t, site)
		if got := tanaka.Do(t, "GET", "/api/v1/session", nil).Status; got != 200 {
			t.Errorf("a session of the zone that stays: %d", got)
		}
	})
}

// refusedZone tries every door to a sign-in from the network of a zone that is
// not served.
func refusedZone(t *testing.T, site *harness.Site) {
	t.Helper()
	m := site.Members["suzuki"]
	for _, door := range []struct {
		name, method, path string
		body               any
	}{
		{"the password", "POST", "/api/v1/signin", map[string]string{"login": m.Login, "password": m.Password}},
		{"a passkey", "POST", "/api/v1/signin/passkey/begin", map[string]string{}},
	} {
		a := site.Behind("10.1.0.5").Do(t, door.method, door.path, door.body)
		var p struct {
			Detail   string
			Articles []string
		}
		if a.Into(t, &p); a.Status != 403 || a.Code() != "forbidden" || !slices.Contains(p.Articles, "26no2-1") || p.Detail == "" {
			t.Errorf("%s: %d %s", door.name, a.Status, a.Body)
		}
		if len(a.Header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: a cookie was set", door.name)
		}
	}
	a := site.Behind("10.1.0.5").Do(t, "GET", "/signin", nil, "Accept", "text/html")
	if a.Status != 403 || !strings.Contains(string(a.Body), "does not serve the zone of your network") {
		t.Errorf("the page: %d %.300s", a.Status, a.Body)
	}
}

// change exchanges texts in a file, pair by pair.
func change(t testing.TB, path string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := string(text)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(s, pairs[i]) {
			t.Fatalf("%s does not contain %q", path, pairs[i])
		}
		s = strings.Replace(s, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
}

// crossesIn signs somebody in from the network of a zone that the gate does not serve:
// while a crossing that leads from there to an application here is permitted, after the
// terminal was confirmed, and not a moment longer (article 26no2-2).
func crossesIn(t *testing.T, site *harness.Site) {
	t.Helper()
	suzuki := site.Members["suzuki"]
	suzuki.SignIn(t, site.Behind("10.2.0.6")) // has a second factor from now on
	db, err := store.Open(t.Context(), store.Config{Driver: "sqlite", Path: filepath.Join(site.Dir, "data", "sekisho.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(query string, args ...any) {
		t.Helper()
		if err := db.WithTx(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), query, args...); return err }); err != nil {
			t.Fatal(err)
		}
	}
	now := clock.System()
	const who = `{"id":"asker","login":"asker","name":"asker"}`
	exec(`INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, body)
		VALUES ('crossing', 'zone_crossing', 'asker', 'asker', 'app', '', 1, 'approved', 1, $1, $1, $2, 0, '', $1, $3)`,
		store.Micros(now()), store.Micros(now().Add(time.Hour)),
		`{"person":`+who+`,"requester":`+who+`,"reason":"x","stated":{"application":["app"],"from_zone":["mynumber"],"path":["/"],"protocol":["https"]}}`)
	c := site.Behind("10.1.0.5")
	var s harness.Step
	harness.Until(t, "the door to ask for a name", func() bool {
		var a harness.Answer
		s, a = c.Password(t, suzuki.Login, suzuki.Password)
		return a.Status == 200
	})
	if s.State != "second_factor" {
		t.Fatalf("the password leads to %q", s.State)
	}
	s, a := c.TOTP(t, suzuki.Code(t, c))
	if s.State != "terminal_check" {
		t.Fatalf("the code leads to %q: %d %s", s.State, a.Status, a.Body)
	}
	if a := c.Do(t, "POST", "/api/v1/signin/terminal-check", map[string]bool{"confirmed": true}); a.Status != 200 {
		t.Fatalf("confirmed: %d %s", a.Status, a.Body)
	}
	if got := allowed(t, c, "app", ""); got != 200 {
		t.Errorf("the application at the crossing's end answers %d", got)
	}
	exec(`UPDATE permit SET state = 'revoked', changed_at = $1 WHERE id = 'crossing'`, store.Micros(now()))
	harness.Until(t, "the session to end", func() bool { return c.Fork().Do(t, "GET", "/api/v1/session", nil).Status == 401 })
}
