package test

import (
	"net/http"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/test/harness"
	"sekisho/test/postgres"
	"sekisho/test/redis"
)

// TestForgottenEverywhere is row 20 of security.md section 2 at two gateways: a
// group that is taken away in the directory counts at both within 30 s, and where
// Sekisho itself changed the person, at whichever of them, within a second. With
// Redis the other one hears of it by the bell.
func TestForgottenEverywhere(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, postgres.Options{})
	ways := map[string]string{"polled": ""}
	if soak() {
		ways["rung"] = redisSettings(redis.Start(t, redis.Options{}))
	}
	for name, settings := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := gates(t, harness.SiteOptions{Store: harness.OnPostgres(t, server, ""), Settings: settings})
			yoshida, c := a.Members["yoshida"], a.Behind("10.2.0.1")
			yoshida.SignIn(t, c)
			cookie := appCookie(t, a, c, "closed")
			opens := func(s *harness.Site) int { return allowed(t, s.Behind("10.2.0.1"), "closed", cookie) }
			for _, s := range []*harness.Site{a, b} {
				if got := opens(s); got != http.StatusOK {
					t.Fatalf("before: %d", got)
				}
			}
			members := func(logins ...string) {
				a.Directory(t, func(conn *goldap.Conn) error {
					m := goldap.NewModifyRequest("cn=cio,ou=groups,"+a.Slapd.BaseDN, nil)
					var dns []string
					for _, login := range logins {
						dns = append(dns, a.Members[login].DN)
					}
					m.Replace("member", dns)
					return conn.Modify(m)
				})
			}
			both := func() bool { return opens(a) == http.StatusOK && opens(b) == http.StatusOK }
			// A gate that is kept from its polls, as by a busy machine, asks the directory
			// at each check. Then the change was seen although nobody spoke of it, which
			// shows nothing, and it is made once more.
			members("kobayashi")
			for tries := 1; !both(); tries++ {
				if tries == 10 {
					t.Fatal("the change was seen although nobody spoke of it, ten times")
				}
				members("yoshida", "kobayashi")
				for _, s := range []*harness.Site{a, b} {
					harness.Until(t, "a gate to see it put back", func() bool { return opens(s) == http.StatusOK })
				}
				members("kobayashi")
			}
			changed := c.Do(t, "POST", "/api/v1/password", map[string]string{"current": yoshida.Password, "new": "harusame furikomu tera no kane"})
			if changed.Status/100 != 2 {
				t.Fatalf("changing the password: %d %s", changed.Status, changed.Body)
			}
			if got := opens(a); got != http.StatusForbidden {
				t.Errorf("where it was done: %d", got)
			}
			within(t, time.Second, "the other gate to refuse", func() bool { return opens(b) == http.StatusForbidden })
		})
	}
}
