package ldap_test

import (
	"testing"
	"time"

	"sekisho/directory/directorytest"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/test/slapd"
)

// onSlapd is the client's configuration for a real server, over LDAPS and as
// the least-privileged account.
func onSlapd(s *slapd.Server) ldap.Config {
	return ldap.Config{
		Servers: []string{s.LDAPSURL}, CAFile: s.CAFile,
		BindDN: s.ServiceDN, BindPassword: secret.NewText([]byte(s.ServicePassword)),
		BaseDN: s.BaseDN, PeopleDN: "ou=people," + s.BaseDN, GroupsDN: "ou=groups," + s.BaseDN,
		// The hashes of parallel tests share two cores.
		OpTimeout: 20 * time.Second,
	}
}

func TestSuiteOnSlapd(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options slapd.Options
		change  func(*ldap.Config, *slapd.Server)
	}{
		{"with memberOf", slapd.Options{}, func(c *ldap.Config, s *slapd.Server) {
			c.Servers, c.StartTLS = []string{s.URL}, true
		}},
		{"without memberOf", slapd.Options{NoMemberOf: true, PasswordHash: "{SSHA}"}, func(c *ldap.Config, s *slapd.Server) {
			c.Servers = []string{s.URL}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			directorytest.Suite(t, func(t *testing.T) directorytest.Server {
				o := tt.options
				o.MaxFailures, o.LockDuration, o.MaxAge = 5, time.Minute, directorytest.MaxAge
				s := slapd.Start(t, o)
				c := onSlapd(s)
				tt.change(&c, s)
				return directorytest.Server{
					Config: c, AdminDN: s.AdminDN, AdminPassword: s.AdminPassword,
					MaxFailures: o.MaxFailures, Duration: o.LockDuration, Now: clock.System(), Kind: directorytest.OpenLDAP(),
				}
			})
		})
	}
}
