package test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sekisho/test/harness"
)

// evil are addresses that lead elsewhere for at least one browser or parser.
func evil(d *harness.Dev) []string {
	gate := strings.TrimPrefix(d.URL, "http://") // localhost:PORT
	port := gate[strings.LastIndex(gate, ":"):]
	app := d.Apps[0].Host
	return []string{
		"//evil.example", "///evil.example", "////evil.example/", "/\\evil.example", "\\\\evil.example", "\\/evil.example", "/\\/evil.example", "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example",
		"http://evil.example", "https://evil.example/", "http:evil.example", "http:/evil.example", "http:\\\\evil.example", "HTTP://evil.example", "hTtP:///evil.example", "http:///evil.example", "://evil.example", "ftp://" + gate + "/",
		"javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "blob:x", "view-source:http://evil.example",
		"http://" + gate + "@evil.example/", "http://evil.example@" + gate + "/", "http://" + app + port + "@evil.example", "http://a@b@" + app + port + "/", "http://evil.example\\@" + app + port + "/", "http://evil.example#@" + app + port, "http://evil.example?@" + app + port + "/",
		"http://evil.example%2f@" + app + port, "http://" + app + port + "%2f@evil.example", "http://" + app + port + "\\.evil.example/", "http://" + app + "%00.evil.example/", "http://" + app + ".evil.example" + port + "/", "http://evil" + app + port + "/", "http://" + app + "." + port + "/",
		"http://" + app + ":1/", "http://" + app + "/", "http://" + app + port + port + "/", "https://" + app + port + "/", "http://localhost" + port + ".evil.example/", "http://localhost.evil.example" + port + "/", "http://x.localhost" + port + "/",
		"http://ｌocalhost" + port + "/", "http://bunsho。localhost" + port + "/", "http://bunѕho.localhost" + port + "/", "http://[::1]" + port + "/", "http://2130706433" + port + "/", "//" + app + port + "/", "//" + gate + "/",
		"/%5cevil.example", "/%2f/evil.example", "/%2fevil.example", "/%09/evil.example", "/..//evil.example", "/.//evil.example", "/x/..//evil.example", "%2f%2fevil.example", "%68ttp://evil.example", "evil.example", ".evil.example", "@evil.example", "?//evil.example", "",
		"http://" + app + port + "//evil.example", "http://" + app + port + "/\\evil.example", "http://" + gate + "//evil.example",
	}
}

// away reports whether a browser that is sent to an address would leave the
// hosts that are ours. It allows what all parsers read alike, and no more.
func away(d *harness.Dev, to string) bool {
	for i := range len(to) {
		if to[i] <= ' ' || to[i] >= 0x7f || to[i] == '\\' {
			return true
		}
	}
	if strings.HasPrefix(to, "/") {
		return strings.HasPrefix(to, "//")
	}
	origins := []string{d.URL}
	for _, a := range d.Apps {
		origins = append(origins, strings.TrimSuffix(a.URL, "/"))
	}
	for _, o := range origins {
		if rest, ok := strings.CutPrefix(to, o); ok && (rest == "" || rest[0] == '/' && !strings.HasPrefix(rest, "//")) {
			return false
		}
	}
	return true
}

// chase follows redirects from an address and fails where one leads away.
func chase(t *testing.T, d *harness.Dev, c *harness.Client, host, at, why string) (end string) {
	t.Helper()
	for range 8 {
		a := c.Do(t, "GET", d.URL+at, nil, "Host", host, "Accept", "text/html")
		if a.Status >= 500 {
			t.Errorf("%s: %s%s answers %d", why, host, at, a.Status)
		}
		to := a.Header.Get("Location")
		if a.Status/100 != 3 || to == "" {
			if a.Header.Get("Refresh") != "" {
				t.Errorf("%s: a Refresh to %s", why, a.Header.Get("Refresh"))
			}
			return host + at
		}
		if away(d, to) {
			t.Errorf("%s: %s%s leads away, to %q", why, host, at, to)
			return to
		}
		host, at = follow(t, a, host)
	}
	t.Errorf("%s: redirects without end", why)
	return host + at
}

// TestPeersOpenRedirect is row 15: nobody is led to a host that is not ours, by
// the sign-in, the handover, or an application's own part of it.
func TestPeersOpenRedirect(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	p := d.Person(t, "tanaka")
	in := signIn(t, d, p)
	gate := strings.TrimPrefix(d.URL, "http://")
	app := app(d)
	appHost := strings.TrimSuffix(strings.TrimPrefix(app.URL, "http://"), "/")
	out := harness.NewClient(d.URL)
	for _, rd := range evil(d) {
		q := url.QueryEscape(rd)
		for _, path := range []string{
			"/signin?rd=" + q, "/signin?acr=aal1&rd=" + q, "/signin/totp?rd=" + q, "/signin/welcome?rd=" + q, "/signin?rd=/me&rd=" + q, "/?rd=" + q, "/me?rd=" + q,
			"/handover?app=" + app.ID + "&rd=" + q, "/handover?app=" + q + "&rd=" + q, "/handover?app=" + app.ID + "&rd=" + url.QueryEscape(app.URL) + "&rd=" + q,
		} {
			end := chase(t, d, in.Fork(), gate, path, fmt.Sprintf("signed in, rd %q", rd))
			if strings.Contains(end, "evil.example") && !strings.HasPrefix(end, gate) && !strings.HasPrefix(end, appHost) {
				t.Errorf("%s ends at %s", path, end)
			}
			chase(t, d, out, gate, path, fmt.Sprintf("signed out, rd %q", rd))
		}
		if kept := form(t, out, "/signin?rd="+q).Get("rd"); kept != "" && away(d, kept) {
			t.Errorf("the form keeps rd %q", kept)
		}
		for _, path := range []string{"/.sekisho/start?rd=" + q, "/.sekisho/callback?code=x&rd=" + q, "/.sekisho/signout?rd=" + q} {
			chase(t, d, in.Fork(), appHost, path, fmt.Sprintf("at the application, rd %q", rd))
			chase(t, d, out, appHost, path, fmt.Sprintf("at the application, signed out, rd %q", rd))
		}
		// A code that is right, with a way back that is not.
		browser := out.Fork()
		_, begun := follow(t, browser.Do(t, "GET", d.URL+"/.sekisho/start?rd=/", nil, "Host", app.Host), gate)
		a := in.Do(t, "GET", d.URL+begun, nil)
		_, callback := follow(t, a, gate)
		code, err := url.Parse(callback)
		if err != nil || code.Query().Get("code") == "" {
			t.Fatalf("the handover answers %d, to %q", a.Status, a.Header.Get("Location"))
		}
		right := "/.sekisho/callback?code=" + code.Query().Get("code") + "&state=" + code.Query().Get("state")
		if end := chase(t, d, browser, appHost, right+"&rd="+q, fmt.Sprintf("callback with a right code, rd %q", rd)); !strings.HasPrefix(end, appHost) {
			t.Errorf("a right code with rd %q ends at %s", rd, end)
		}
	}
	// What is asked for properly is reached, or the above would prove nothing.
	if end := chase(t, d, in.Fork(), gate, "/signin?rd=%2Frules%3Fx%3D1", "a path of ours"); end != gate+"/rules?x=1" {
		t.Errorf("rd=/rules?x=1 ends at %s", end)
	}
	if end := chase(t, d, in.Fork(), gate, "/signin?rd="+url.QueryEscape(app.URL+"deep/page?q=1"), "an application"); end != appHost+"/deep/page?q=1" {
		t.Errorf("rd to an application ends at %s", end)
	}
	// And after a sign-in by form, where rd travels in the body.
	nextStep(t, d)
	for _, rd := range []string{"//evil.example", "http://evil.example/", "/\\evil.example", "http://" + appHost + "@evil.example/"} {
		c := from(d, 9)
		a := c.Form(t, "/signin", url.Values{"login": {p.Login}, "password": {p.Password}, "rd": {rd}})
		for range 3 {
			to := a.Header.Get("Location")
			if a.Status != 303 || away(d, to) || strings.Contains(to, "evil") {
				t.Fatalf("a sign-in by form with rd %q: %d to %q", rd, a.Status, to)
			}
			if !strings.HasPrefix(to, "/signin/totp") {
				break
			}
			f := form(t, c, "/signin/totp")
			f.Set("rd", rd)
			f.Set("code", harness.Code(t, *p.TOTPSecret, c.Now(t)))
			a = c.Form(t, "/signin/totp", f)
		}
		nextStep(t, d)
	}
}

// dead reports whether a cookie opens nothing any more: neither a session nor a
// step of a sign-in.
func dead(t *testing.T, d *harness.Dev, cookie string) bool {
	t.Helper()
	c := harness.NewClient(d.URL)
	c.Cookies["__Host-sekisho"] = cookie
	if c.Fork().Do(t, "GET", "/api/v1/session", nil).Status != 401 {
		return false
	}
	for _, path := range []string{"/signin/totp", "/signin/password", "/signin/enrol", "/signin/acknowledge", "/me"} {
		if c.Fork().Do(t, "GET", path, nil, "Accept", "text/html").Status/100 == 2 {
			return false
		}
	}
	return true
}

// TestPeersFixation is row 16: a cookie that was there before a sign-in is
// never the one after it; each step has a new one, and the one before is dead.
func TestPeersFixation(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	victim, attacker := d.Person(t, "nakamura"), d.Person(t, "hayashi")
	theirs := toCode(t, d, attacker, 1)
	inside := signIn(t, d, d.Person(t, "tanaka"))
	shape := inside.Cookies["__Host-sekisho"]
	for _, planted := range []struct{ what, cookie, csrf string }{
		{"made up", "planted", ""},
		{"of the right shape", shape[:len(shape)-12] + "AAAAAAAAAAAA", ""},
		{"of the attacker's own sign-in", theirs.Cookies["__Host-sekisho"], theirs.CSRF},
		{"of the attacker's own session", shape, inside.CSRF},
	} {
		t.Run(planted.what, func(t *testing.T) {
			nextStep(t, d)
			c := from(d, 2)
			c.Cookies["__Host-sekisho"], c.CSRF = planted.cookie, planted.csrf
			seen := map[string]string{planted.cookie: "planted"}
			fresh := func(step string) {
				t.Helper()
				now := c.Cookies["__Host-sekisho"]
				if was, ok := seen[now]; ok {
					t.Fatalf("the cookie after %s is that of %s", step, was)
				}
				for old, was := range seen {
					if was != "planted" && !dead(t, d, old) {
						t.Errorf("after %s the cookie of %s still opens something", step, was)
					}
				}
				seen[now] = step
			}
			s, a := c.Password(t, victim.Login, victim.Password)
			if s.State != "second_factor" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			fresh("the password")
			s, _ = c.TOTP(t, harness.Code(t, *victim.TOTPSecret, c.Now(t)))
			fresh("the code")
			if s.State == "acknowledge" {
				c.Acknowledge(t, s.Version)
				fresh("the acknowledgement")
			}
			if s := who(t, c); s != victim.Login {
				t.Fatalf("signed in as %q", s)
			}
			before := harness.NewClient(d.URL)
			before.Cookies["__Host-sekisho"] = planted.cookie
			if s := who(t, before); s == victim.Login {
				t.Errorf("the planted cookie is %s's session", s)
			}
			// Rising: a new factor, a new password, signing in again.
			addFactor(t, d, c, "first")
			fresh("a new factor")
			var step harness.Step
			a = c.Do(t, "POST", "/api/v1/password", map[string]string{"current": victim.Password, "new": "hatsukaze ni yureru susuki no " + planted.what})
			if a.Into(t, &step); step.State != "signed_in" {
				t.Fatalf("a new password: %d %s", a.Status, a.Body)
			}
			victim.Password = "hatsukaze ni yureru susuki no " + planted.what
			fresh("a new password")
			old := c.Cookies["__Host-sekisho"]
			nextStep(t, d)
			c.SignIn(t, victim.Login, victim.Password, *victim.TOTPSecret, c.Now(t))
			fresh("signing in again")
			if !dead(t, d, old) {
				t.Error("signing in again left the session before it alive")
			}
		})
	}
}

func who(t testing.TB, c *harness.Client) string {
	t.Helper()
	var s struct{ Login string }
	if a := c.Fork().Do(t, "GET", "/api/v1/session", nil); a.Status == 200 {
		a.Into(t, &s)
	}
	return s.Login
}

// addFactor enrols a TOTP device and returns its id and secret.
func addFactor(t testing.TB, d *harness.Dev, c *harness.Client, name string) (id, secret string) {
	t.Helper()
	var begun struct{ ID, Secret string }
	a := c.Do(t, "POST", "/api/v1/factors/totp/begin", map[string]string{})
	if a.Status != 201 {
		t.Fatalf("beginning an enrolment: %d %s", a.Status, a.Body)
	}
	a.Into(t, &begun)
	a = c.Do(t, "POST", "/api/v1/factors/totp/finish", map[string]string{"id": begun.ID, "code": harness.Code(t, begun.Secret, c.Now(t)), "name": name})
	if a.Status != 201 {
		t.Fatalf("finishing an enrolment: %d %s", a.Status, a.Body)
	}
	return begun.ID, begun.Secret
}
