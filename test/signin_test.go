package test

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// signIn signs one of dev's people in, in a browser of their own.
func signIn(t testing.TB, d *harness.Dev, p folder.Person) *harness.Client {
	t.Helper()
	return signInFrom(t, d, p, "")
}

// signInFrom signs a person in from an address; "" is this machine, which dev
// counts to the lgwan zone.
func signInFrom(t testing.TB, d *harness.Dev, p folder.Person, from string) *harness.Client {
	t.Helper()
	c := harness.NewClient(d.URL)
	c.From = from
	c.SignIn(t, p.Login, p.Password, *p.TOTPSecret, c.Now(t))
	return c
}

// nextStep moves dev's clock to the next TOTP step: each is accepted once.
func nextStep(t testing.TB, d *harness.Dev) { t.Helper(); d.Advance(t, 30*time.Second) }

// TestSignIn walks through the API as the contract describes it.
func TestSignIn(t *testing.T) {
	t.Parallel()
	d := harness.StartDev(t, "")
	tanaka := d.Person(t, "tanaka")
	c := harness.NewClient(d.URL)

	if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != 401 || a.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("GET /session without one: %d %s", a.Status, a.Header.Get("Content-Type"))
	}
	step, a := c.Password(t, tanaka.Login, tanaka.Password)
	if step.State != "second_factor" || step.CSRF == "" || len(step.Methods) == 0 {
		t.Fatalf("after the password: %d %s", a.Status, a.Body)
	}
	before := c.Cookies["__Host-sekisho"]
	if step, a = c.TOTP(t, "000000"); a.Status != 401 {
		t.Errorf("a wrong code: %d %s", a.Status, a.Body)
	}
	if c.Cookies["__Host-sekisho"] != before {
		t.Error("a refused step changed the cookie")
	}
	step, a = c.TOTP(t, harness.Code(t, *tanaka.TOTPSecret, c.Now(t)))
	if step.State != "acknowledge" || step.Version == "" {
		t.Fatalf("after the code: %d %s", a.Status, a.Body)
	}
	if c.Cookies["__Host-sekisho"] == before {
		t.Error("the step did not replace the cookie")
	}
	step, a = c.Acknowledge(t, step.Version)
	if step.State != "signed_in" {
		t.Fatalf("after the acknowledgement: %d %s", a.Status, a.Body)
	}
	var s struct {
		Login, Name, Section, ACR, Zone string
		Posts, AMR                      []string
		SignedInAt                      time.Time `json:"signed_in_at"`
		ExpiresAt                       time.Time `json:"expires_at"`
		IdleExpiresAt                   time.Time `json:"idle_expires_at"`
		Previous                        map[string]any
		CSRF                            string `json:"csrf_token"`
	}
	c.Do(t, "GET", "/api/v1/session", nil).Into(t, &s)
	if s.Login != "tanaka" || s.ACR != "aal2" || s.Zone != "lgwan" || s.Section != tanaka.Section || s.Previous == nil || s.CSRF == "" ||
		!s.ExpiresAt.After(s.IdleExpiresAt) || s.SignedInAt.IsZero() || len(s.Posts) == 0 {
		t.Errorf("GET /session: %+v", s)
	}

	// A mutation without the token, or with another's, is refused.
	token := c.CSRF
	for _, bad := range []string{"", "x", token + "x"} {
		c.CSRF = bad
		if a := c.Do(t, "DELETE", "/api/v1/session", nil); a.Status != 403 || a.Code() != "csrf" {
			t.Errorf("token %q: %d %s", bad, a.Status, a.Body)
		}
	}
	c.CSRF = token
	old := c.Fork()
	if a := c.Do(t, "DELETE", "/api/v1/session", nil); a.Status != 204 {
		t.Errorf("signing out: %d %s", a.Status, a.Body)
	}
	if a := old.Do(t, "GET", "/api/v1/session", nil); a.Status != 401 {
		t.Errorf("the cookie after signing out: %d", a.Status)
	}
	nextStep(t, d)
	again := signIn(t, d, tanaka)
	again.Do(t, "GET", "/api/v1/session", nil).Into(t, &s)
	if s.Previous["at"] == nil || s.Previous["from"] == nil || s.Previous["out_at"] == nil || s.Previous["failures_since"] != 0.0 {
		t.Errorf("previous: %v", s.Previous)
	}
}

// inside is an address in one of dev's networks of a zone.
func inside(t testing.TB, d *harness.Dev, zone string) string {
	t.Helper()
	for _, n := range d.Networks {
		if p, err := netip.ParsePrefix(n.CIDR); err == nil && n.Zone == zone && !n.Outside {
			return p.Addr().Next().String()
		}
	}
	t.Fatalf("dev has no network of the zone %s", zone)
	return ""
}

// outside is an address that dev's policy calls outside.
func outside(t testing.TB, d *harness.Dev) string {
	t.Helper()
	for _, n := range d.Networks {
		if p, err := netip.ParsePrefix(n.CIDR); err == nil && n.Outside {
			return p.Addr().Next().String()
		}
	}
	t.Fatal("dev has no network outside")
	return ""
}

// TestApplicationsByNetwork: the network that a request comes from decides, not
// the one that its sign-in came from (articles 26no2, 26no4 and 63).
func TestApplicationsByNetwork(t *testing.T) {
	t.Parallel()
	d := harness.StartDev(t, "")
	at := map[string]folder.App{}
	for _, app := range d.Apps {
		at[app.Zone] = app
	}
	c := signInFrom(t, d, d.Person(t, "tanaka"), inside(t, d, "mynumber"))
	check := func(from string, app folder.App) harness.Answer {
		c.From = from
		return c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", app.URL, "X-Original-Method", "GET")
	}
	nobody := harness.NewClient(d.URL)
	for _, tt := range []struct {
		name, from string
		app        folder.App
		want       int
		before     int // of who has not signed in
	}{
		{"mynumber from its own zone", inside(t, d, "mynumber"), at["mynumber"], 200, 401},
		{"mynumber from LGWAN", inside(t, d, "lgwan"), at["mynumber"], 403, 403},
		{"mynumber from the Internet zone", inside(t, d, "internet"), at["mynumber"], 403, 403},
		{"mynumber from outside", outside(t, d), at["mynumber"], 403, 403},
		{"LGWAN from mynumber", inside(t, d, "mynumber"), at["lgwan"], 403, 403},
		{"LGWAN from its own zone", inside(t, d, "lgwan"), at["lgwan"], 200, 401},
		{"LGWAN from outside", outside(t, d), at["lgwan"], 403, 401},
		{"LGWAN from no network of ours", "192.0.2.77", at["lgwan"], 403, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := check(tt.from, tt.app); a.Status != tt.want {
				t.Errorf("signed in: %d, want %d", a.Status, tt.want)
			}
			nobody.From = tt.from
			if a := nobody.Do(t, "GET", "/auth/check", nil, "X-Original-URL", tt.app.URL, "X-Original-Method", "GET"); a.Status != tt.before {
				t.Errorf("nobody: %d, want %d", a.Status, tt.before)
			}
		})
	}
	c.From = inside(t, d, "lgwan")
	page := c.Do(t, "GET", d.URL+"/", nil, "Host", at["mynumber"].Host, "Accept", "text/html", "Accept-Language", "ja")
	for _, want := range []string{"別の領域", "第26条の2"} {
		if page.Status != 403 || !strings.Contains(string(page.Body), want) {
			t.Errorf("the page of a refused crossing does not say %s: %d %s", want, page.Status, page.Body)
		}
	}
}

// TestSampleApplication: a browser that comes to an application is sent to the
// gate, signs in, and is back at the application, by redirects alone.
func TestSampleApplication(t *testing.T) {
	t.Parallel()
	d := harness.StartDev(t, "")
	for _, app := range d.Apps {
		t.Run(app.ID, func(t *testing.T) {
			nextStep(t, d)
			c := signInFrom(t, d, d.Person(t, "tanaka"), inside(t, d, app.Zone))
			body, hops := open(t, c, d, app)
			if !strings.Contains(body, "tanaka") {
				t.Errorf("after %d hops the application does not show whom it was told of:\n%s", hops, body)
			}
			// The application's cookie is good for its host alone.
			other := d.Apps[0]
			if other.ID == app.ID {
				other = d.Apps[1]
			}
			stolen := harness.NewClient(d.URL)
			for name, value := range c.Cookies {
				if name != "__Host-sekisho" {
					stolen.Cookies[name] = value
				}
			}
			if a := stolen.Do(t, "GET", d.URL+"/", nil, "Host", other.Host); a.Status == 200 {
				t.Errorf("%s's cookie opened %s", app.ID, other.ID)
			}
			if a := stolen.Do(t, "GET", d.URL+"/api/v1/session", nil); a.Status != 401 {
				t.Errorf("%s's cookie opened the gate: %d", app.ID, a.Status)
			}
			if a := c.Do(t, "DELETE", "/api/v1/session", nil); a.Status != 204 {
				t.Fatalf("signing out: %d %s", a.Status, a.Body)
			}
			if a := c.Do(t, "GET", d.URL+"/", nil, "Host", app.Host); a.Status == 200 {
				t.Error("the application is still open after signing out")
			}
		})
	}
}

// open follows redirects from an application's page until one stays, and
// returns its body.
func open(t *testing.T, c *harness.Client, d *harness.Dev, app folder.App) (string, int) {
	t.Helper()
	host, at := app.Host, "/"
	for hops := range 10 {
		a := c.Do(t, "GET", d.URL+at, nil, "Host", host, "Accept", "text/html")
		if a.Status/100 != 3 {
			return string(a.Body), hops
		}
		host, at = follow(t, a, host)
	}
	t.Fatal("redirects without end")
	return "", 0
}

// follow reads where a redirect leads: all of dev's hosts are on one port.
func follow(t testing.TB, a harness.Answer, host string) (string, string) {
	t.Helper()
	to := a.Header.Get("Location")
	if strings.HasPrefix(to, "/") {
		return host, to
	}
	rest, ok := strings.CutPrefix(to, "http://")
	if !ok {
		t.Fatalf("redirected to %q", to)
	}
	h, path, _ := strings.Cut(rest, "/")
	return h, "/" + path
}

// TestRestart: sessions, people and the clock outlive the process.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	d := harness.StartDev(t, dir)
	c := signIn(t, d, d.Person(t, "tanaka"))
	d.Advance(t, 5*time.Minute)
	before := c.Now(t)
	d.Stop(t)
	d = harness.StartDev(t, dir)
	c.URL = d.URL
	if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != 200 {
		t.Errorf("the session after a restart: %d %s", a.Status, a.Body)
	}
	if now := c.Now(t); now.Before(before) {
		t.Errorf("the clock went back from %v to %v", before, now)
	}
	if s, err := os.Stat(filepath.Join(dir, "dev.json")); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("dev.json: %v, %v", s.Mode(), err)
	}
}

// TestSessionEndsByTheClock: idle and absolute ends follow Sekisho's clock.
func TestSessionEndsByTheClock(t *testing.T) {
	t.Parallel()
	d := harness.StartDev(t, "")
	c := signIn(t, d, d.Person(t, "tanaka"))
	var s struct {
		IdleExpiresAt time.Time `json:"idle_expires_at"`
		ExpiresAt     time.Time `json:"expires_at"`
	}
	c.Do(t, "GET", "/api/v1/session", nil).Into(t, &s)
	idle := s.IdleExpiresAt.Sub(c.Now(t))
	d.Advance(t, idle-10*time.Second)
	if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != 200 {
		t.Errorf("shortly before the idle end: %d", a.Status)
	}
	d.Advance(t, idle+2*time.Second)
	if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != 401 {
		t.Errorf("after the idle end: %d", a.Status)
	}
}

// TestOpenAPIIsTrue: what is documented is served.
func TestOpenAPIIsTrue(t *testing.T) {
	t.Parallel()
	d := harness.StartDev(t, "")
	c := harness.NewClient(d.URL)
	a := c.Do(t, "GET", "/api/openapi.json", nil)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	a.Into(t, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) < 10 {
		t.Fatalf("OpenAPI %q with %d paths", doc.OpenAPI, len(doc.Paths))
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			switch method {
			case "get", "post", "delete", "put", "patch":
			default:
				continue
			}
			full := path
			if !strings.HasPrefix(full, "/api") && !strings.HasPrefix(full, "/auth") && !strings.HasPrefix(full, "/healthz") && !strings.HasPrefix(full, "/readyz") {
				full = "/api/v1" + path
			}
			full = strings.NewReplacer("{id}", "x", "{login}", "x").Replace(full)
			a := c.Do(t, strings.ToUpper(method), full, nil)
			if a.Status == http.StatusMethodNotAllowed || a.Status == 404 && a.Code() == "not_found" && !strings.Contains(path, "{") {
				t.Errorf("%s %s is documented and answers %d", method, path, a.Status)
			}
		}
	}
}
