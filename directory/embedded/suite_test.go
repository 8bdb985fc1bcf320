package embedded_test

import (
	"strconv"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory/directorytest"
	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

const (
	base          = "dc=pref,dc=example"
	admin         = "cn=admin," + base
	adminPassword = "admin-of-this-test"
)

// cheap is Argon2id at the least the package takes: what is tested here is not
// how slow a guess is.
var cheap = secret.Params{MemoryKiB: 8192, Time: 1, Threads: 1}

func config(dir string, now clock.Now) embedded.Config {
	return embedded.Config{
		Dir: dir, BaseDN: base, AdminPassword: secret.NewText([]byte(adminPassword)),
		Hasher: secret.NewHasher(cheap, nil, 64), Now: now,
	}
}

func start(t testing.TB, dir string, now clock.Now) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), config(dir, now))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func asAdmin(t testing.TB, s *embedded.Server) *goldap.Conn {
	t.Helper()
	c, err := goldap.DialURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Bind(admin, adminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}

func client(t testing.TB, s *embedded.Server, now clock.Now) ldap.Config {
	t.Helper()
	return ldap.Config{
		Servers: []string{s.URL()}, BindDN: admin, BindPassword: secret.NewText([]byte(adminPassword)),
		BaseDN: base, PeopleDN: "ou=people," + base, GroupsDN: "ou=groups," + base, Schema: "embedded",
		// The hashes of parallel tests share two cores.
		OpTimeout: 20 * time.Second,
	}
}

func TestSuite(t *testing.T) {
	directorytest.Suite(t, func(t *testing.T) directorytest.Server {
		now := clock.System()
		s := start(t, t.TempDir(), now)
		m := goldap.NewModifyRequest("cn=default,ou=policies,"+base, nil)
		m.Replace("pwdMaxFailure", []string{"5"})
		m.Replace("pwdLockoutDuration", []string{"60"})
		m.Replace("pwdFailureCountInterval", []string{"60"})
		m.Replace("pwdMinLength", []string{"8"})
		m.Replace("pwdInHistory", []string{"3"})
		m.Replace("pwdMaxAge", []string{strconv.Itoa(int(directorytest.MaxAge.Seconds()))})
		if err := asAdmin(t, s).Modify(m); err != nil {
			t.Fatal(err)
		}
		return directorytest.Server{
			Config: client(t, s, now), AdminDN: admin, AdminPassword: adminPassword,
			MaxFailures: 5, Duration: time.Minute, Now: now, Kind: directorytest.OpenLDAP(),
		}
	})
}
