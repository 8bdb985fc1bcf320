package test

import (
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/test/harness"
	"sekisho/test/slapd"
)

// allowed reports whether the forward-auth lets an application's cookie pass.
func allowed(t *testing.T, c *harness.Client, app, cookie string) int {
	t.Helper()
	a := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", "https://"+app+".pref.example/", "X-Original-Method", "GET", "Cookie", cookie)
	if a.Status == 200 && a.Header.Get("Remote-User") == "" {
		t.Errorf("a 200 without an identity (security.md section 2, row 11)")
	}
	return a.Status
}

// TestDirectoryGone: without the directory nobody signs in and everybody hears
// why, who is signed in goes on within the allowance, and nothing opens wider.
func TestDirectoryGone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		away      func(t *testing.T, s *harness.Site)
		back      func(t *testing.T, s *harness.Site)
		allowance string
		late      int // what the application's check answers when its facts are 28 s old
	}{
		{"ended", func(t *testing.T, s *harness.Site) {
			if err := s.Slapd.Kill(); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, s *harness.Site) {
			u, err := url.Parse(s.Slapd.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := net.SplitHostPort(u.Host)
			port, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			again, err := slapd.Run(s.Slapd.Dir, port, slapd.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := again.Stop(); err != nil {
					t.Error(err)
				}
			})
		}, "30m", 200},
		{"silent", func(t *testing.T, s *harness.Site) {
			if err := s.Slapd.Pause(); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, s *harness.Site) {
			if err := s.Slapd.Resume(); err != nil {
				t.Fatal(err)
			}
		}, "0s", 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			site := harness.NewSite(t, harness.SiteOptions{OpTimeout: "1s", Zone: "    directory_stale: " + tt.allowance})
			site.Serve(t)
			tanaka, c, stranger := site.Members["tanaka"], site.Behind("10.2.0.1"), site.Behind("10.2.0.2")
			tanaka.SignIn(t, c)
			cookie := appCookie(t, site, c, "app")
			if got := allowed(t, c, "app", cookie); got != 200 {
				t.Fatalf("the application before: %d", got)
			}

			tt.away(t, site)
			gone := time.Now()
			_, a := stranger.Password(t, tanaka.Login, tanaka.Password)
			if a.Status != 503 || a.Code() != "away" || !strings.Contains(string(a.Body), "directory") || a.Header.Get("Retry-After") == "" {
				t.Errorf("signing in: %d %s", a.Status, a.Body)
			}
			if took := time.Since(gone); took > 3*time.Second {
				t.Errorf("saying so took %v", took)
			}
			if len(stranger.Cookies) > 0 {
				t.Errorf("it set cookies %v", stranger.Cookies)
			}
			var ready struct{ Down []string }
			harness.Until(t, "/readyz to notice", func() bool {
				a = c.Do(t, "GET", "/readyz", nil)
				return a.Status == 503
			})
			if a.Into(t, &ready); !slices.Equal(ready.Down, []string{"directory"}) {
				t.Errorf("/readyz names %v", ready.Down)
			}
			if a := c.Do(t, "GET", "/healthz", nil); a.Status != 200 {
				t.Errorf("/healthz: %d", a.Status)
			}
			// Facts younger than 28 s serve as they are; later the allowance counts.
			answers := map[int]int{}
			deadline := gone.Add(34 * time.Second)
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for last := 0; time.Now().Before(deadline); <-tick.C {
				last = allowed(t, c, "app", cookie)
				answers[last]++
				if got := allowed(t, c, "closed", cookie); got == 200 {
					t.Fatal("an application that is not for this person opened")
				}
				if last == tt.late && last != 200 {
					break
				}
			}
			delete(answers, 200)
			delete(answers, tt.late)
			if len(answers) > 0 {
				t.Errorf("the application answered %v besides 200 and %d", answers, tt.late)
			}
			if got := allowed(t, c, "app", cookie); got != tt.late {
				t.Errorf("with facts %v old the application answers %d, want %d", time.Since(gone).Round(time.Second), got, tt.late)
			}

			tt.back(t, site)
			harness.Until(t, "the directory to be back", func() bool {
				s, _ := stranger.Password(t, tanaka.Login, tanaka.Password)
				return s.State == "second_factor"
			})
			harness.Until(t, "/readyz to recover", func() bool { return c.Do(t, "GET", "/readyz", nil).Status == 200 })
			harness.Until(t, "the application to open", func() bool { return allowed(t, c, "app", cookie) == 200 })
			// What could not be verified was not counted as a failure.
			var n struct {
				Previous struct {
					FailuresSince int `json:"failures_since"`
				}
			}
			if s, a := stranger.TOTP(t, tanaka.Code(t, stranger)); s.State != "signed_in" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if stranger.Do(t, "GET", "/api/v1/session", nil).Into(t, &n); n.Previous.FailuresSince != 0 {
				t.Errorf("%d failures were counted while the directory was away", n.Previous.FailuresSince)
			}
		})
	}
}

// TestDisabledInSlapd: somebody disabled in the directory, without Sekisho, is
// refused within 30 s at the gate and before the application (design rule 4).
func TestDisabledInSlapd(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	site.Serve(t)
	tanaka, c := site.Members["tanaka"], site.Behind("10.2.0.1")
	tanaka.SignIn(t, c)
	cookie := appCookie(t, site, c, "app")
	if got := allowed(t, c, "app", cookie); got != 200 {
		t.Fatalf("the application before: %d", got)
	}
	site.Replace(t, tanaka.DN, "pwdAccountLockedTime", "000001010000Z")
	disabled := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		app, gate := allowed(t, c, "app", cookie), c.Fork().Do(t, "GET", "/api/v1/session", nil).Status
		took := time.Since(disabled)
		if app != 200 && gate != 200 {
			t.Logf("refused after %v: application %d, gate %d", took.Round(time.Millisecond), app, gate)
			break
		}
		if took > 30*time.Second {
			t.Fatalf("%v after being disabled: application %d, gate %d", took, app, gate)
		}
		<-tick.C
	}
	if s, a := site.Behind("10.2.0.2").Password(t, tanaka.Login, tanaka.Password); a.Status != 401 || a.Code() != "refused" {
		t.Errorf("signing in: %d %q", a.Status, s.State)
	}
}

// whoami binds to slapd as its own tool does.
func whoami(t *testing.T, s *slapd.Server, dn, password string) error {
	t.Helper()
	return exec.Command(harness.Need(t, "ldapwhoami", "ldap-utils"), "-x", "-H", s.URL, "-D", dn, "-w", password).Run()
}

// TestForcedChangeOnSlapd: a temporary password opens nothing but its own
// change; the new one is slapd's, and the mark is gone.
func TestForcedChangeOnSlapd(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	site.Serve(t)
	shimizu, c := site.Members["shimizu"], site.Behind("10.2.0.1")
	s, a := c.Password(t, shimizu.Login, shimizu.Password)
	if s.State != "password_change" {
		t.Fatalf("after a temporary password: %d %s", a.Status, a.Body)
	}
	for _, path := range []string{"/api/v1/session", "/api/v1/sessions", "/api/v1/factors", "/api/v1/policy"} {
		if got := c.Do(t, "GET", path, nil).Status; got == 200 {
			t.Errorf("%s is open before the change", path)
		}
	}
	if a := c.Do(t, "POST", "/api/v1/factors/totp/begin", nil); a.Status/100 == 2 {
		t.Error("a device can be enrolled before the change")
	}
	// Everything that is wrong is said at once.
	a = c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": "shimizu1"})
	var p struct{ Errors []struct{ Rule string } }
	if a.Status != 422 {
		t.Fatalf("a bad new password: %d %s", a.Status, a.Body)
	}
	if a.Into(t, &p); len(p.Errors) < 2 {
		t.Errorf("only %v is said of a password that is short and made of the login", p.Errors)
	}
	if a := c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": shimizu.Password}); a.Status != 422 {
		t.Errorf("the temporary password again: %d %s", a.Status, a.Body)
	}
	const fresh = "aoi-Enogu-73-kanazuchi"
	a = c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": fresh})
	if a.Into(t, &s); s.State != "enrol" {
		t.Fatalf("after the change: %d %s", a.Status, a.Body)
	}
	if err := whoami(t, site.Slapd, shimizu.DN, fresh); err != nil {
		t.Error("slapd does not take the new password:", err)
	}
	if whoami(t, site.Slapd, shimizu.DN, shimizu.Password) == nil {
		t.Error("slapd still takes the temporary one")
	}
	if v := site.Attribute(t, shimizu.DN, "pwdReset"); len(v) > 0 && v[0] == "TRUE" {
		t.Error("slapd still says that the password is temporary")
	}
	if s, a = shimizu.Enrol(t, c); s.State != "acknowledge" {
		t.Fatalf("after the enrolment: %d %s", a.Status, a.Body)
	}
	if s, a = c.Acknowledge(t, s.Version); s.State != "signed_in" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	shimizu.Password = fresh
	shimizu.SignIn(t, site.Behind("10.2.0.2"))
}

// TestGuessingNeverLocksSlapd: however wrong, however often, slapd hears of so
// few tries that it locks nobody out of everything else (design section 4.6).
// The policy's own limit is above slapd's here; slapd's counts.
func TestGuessingNeverLocksSlapd(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{
		Slapd: slapd.Options{MaxFailures: 10},
		Rules: "lockout: {free_failures: 10, delays: [1s]}",
	})
	site.Serve(t)
	tanaka := site.Members["tanaka"]
	owner := site.Behind("10.2.0.1")
	tanaka.SignIn(t, owner)
	got := map[int]int{}
	for i := range 30 {
		c := site.Behind("10.2.1." + strconv.Itoa(i))
		// One person, however the name is typed (security.md section 2, row 4).
		login := []string{"tanaka", "TANAKA", "ｔａｎａｋａ", " tanaka ", "tanaka@pref.example", tanaka.DN}[i%6]
		_, a := c.Password(t, login, "wrong-"+strconv.Itoa(i))
		got[a.Status]++
		if i == 9 {
			if s, a := site.Behind("10.2.2.1").Password(t, tanaka.Login, tanaka.Password); a.Status != 429 && a.Status != 200 {
				t.Errorf("the right password: %d %q", a.Status, s.State)
			}
		}
	}
	if got[401] == 0 || got[401] > 9 || got[429] != 30-got[401] {
		t.Errorf("30 wrong passwords were answered %v; slapd locks at 10", got)
	}
	if v := site.Attribute(t, tanaka.DN, "pwdAccountLockedTime"); len(v) > 0 {
		t.Errorf("slapd locked: %v", v)
	}
	if n := len(site.Attribute(t, tanaka.DN, "pwdFailureTime")); n > 9 {
		t.Errorf("slapd heard of %d failures", n)
	}
	if err := whoami(t, site.Slapd, tanaka.DN, tanaka.Password); err != nil {
		t.Error("the person is locked out of slapd:", err)
	}
	// Their own browser is not held by a stranger's guesses.
	if s, a := owner.Password(t, tanaka.Login, tanaka.Password); s.State != "second_factor" && s.State != "signed_in" {
		t.Errorf("the owner's browser: %d %s", a.Status, a.Body)
	}
}
