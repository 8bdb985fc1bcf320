package ldap_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/test/slapd"
)

func TestConfigRefused(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*ldap.Config)
		says   string // "" accepted
	}{
		{"as it is", func(*ldap.Config) {}, ""},
		{"no server", func(c *ldap.Config) { c.Servers = nil }, "no directory server"},
		{"no password", func(c *ldap.Config) { c.BindPassword = secret.Text{} }, "bind password"},
		{"no bind DN", func(c *ldap.Config) { c.BindDN = "" }, "bind DN"},
		{"no base", func(c *ldap.Config) { c.BaseDN = "" }, "base DN"},
		{"a base that is no DN", func(c *ldap.Config) { c.BaseDN = "pref" }, "DN"},
		{"an unknown schema", func(c *ldap.Config) { c.Schema = "x500" }, "known are openldap, active_directory, 389ds"},
		{"plain LDAP over a network", func(c *ldap.Config) { c.Servers = []string{"ldap://192.0.2.1"} }, "in clear"},
		{"plain LDAP to a name", func(c *ldap.Config) { c.Servers = []string{"ldap://ldap.pref.example"} }, "in clear"},
		{"plain LDAP to a name like loopback", func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1.pref.example"} }, "in clear"},
		{"plain LDAP to the second server", func(c *ldap.Config) { c.Servers = append(c.Servers, "ldap://192.0.2.1:389") }, "in clear"},
		{"plain LDAP allowed in as many words", func(c *ldap.Config) { c.Servers, c.PlaintextAllowed = []string{"ldap://192.0.2.1"}, true }, ""},
		{"StartTLS over a network", func(c *ldap.Config) { c.Servers, c.StartTLS = []string{"ldap://192.0.2.1"}, true }, ""},
		{"LDAPS over a network", func(c *ldap.Config) { c.Servers = []string{"ldaps://ldap.pref.example"} }, ""},
		{"plain LDAP to loopback", func(c *ldap.Config) { c.Servers = []string{"ldap://localhost", "ldap://[::1]:3890"} }, ""},
		{"another scheme", func(c *ldap.Config) { c.Servers = []string{"http://127.0.0.1"} }, "scheme"},
		{"no scheme", func(c *ldap.Config) { c.Servers = []string{"127.0.0.1:389"} }, "not a URL"},
		{"a password in the URL", func(c *ldap.Config) { c.Servers = []string{"ldaps://a:b@ldap.example"} }, "not a URL"},
		{"no CA file", func(c *ldap.Config) { c.CAFile = "/nowhere/ca.pem" }, "CA file"},
		{"a CA file without a certificate", func(c *ldap.Config) { c.CAFile = notPEM }, "no certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := onFake("ldap://127.0.0.1:3890")
			tt.change(&c)
			d, err := ldap.Open(t.Context(), c, clock.System())
			if err == nil {
				d.Close()
			}
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Open = %v, want %q", err, tt.says)
			}
		})
	}
}

// TestTLS: a certificate is checked against our own CA and the server's name,
// by LDAPS and by StartTLS alike.
func TestTLS(t *testing.T) {
	s, other := slapd.Start(t, slapd.Options{}), slapd.Start(t, slapd.Options{})
	for _, tt := range []struct {
		name   string
		change func(*ldap.Config)
		away   bool
	}{
		{"LDAPS", func(c *ldap.Config) {}, false},
		{"StartTLS", func(c *ldap.Config) { c.Servers, c.StartTLS = []string{s.URL}, true }, false},
		{"LDAPS, another CA", func(c *ldap.Config) { c.CAFile = other.CAFile }, true},
		{"StartTLS, another CA", func(c *ldap.Config) { c.Servers, c.StartTLS, c.CAFile = []string{s.URL}, true, other.CAFile }, true},
		{"LDAPS, the system's CAs", func(c *ldap.Config) { c.CAFile = "" }, true},
		{"LDAPS, another name", func(c *ldap.Config) { c.Servers = []string{strings.Replace(s.LDAPSURL, "127.0.0.1", "127.0.0.2", 1)} }, true},
		{"LDAPS on the plain port", func(c *ldap.Config) { c.Servers = []string{strings.Replace(s.URL, "ldap:", "ldaps:", 1)} }, true},
		{"a wrong service password", func(c *ldap.Config) { c.BindPassword = text("wrong") }, true},
		{"another people base", func(c *ldap.Config) { c.PeopleDN = "ou=nobody," + s.BaseDN }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := onSlapd(s)
			tt.change(&c)
			err := open(t, c).Ping(t.Context())
			if errors.Is(err, directory.ErrAway) != tt.away || !tt.away && err != nil {
				t.Errorf("Ping = %v", err)
			}
		})
	}
}

// TestServerGoesAndComes: a client outlives its server.
func TestServerGoesAndComes(t *testing.T) {
	s := slapd.Start(t, slapd.Options{LDIF: people(2, "dc=pref,dc=example")})
	c := onSlapd(s)
	c.OpTimeout = 500 * time.Millisecond
	d := open(t, c)
	find := func() error {
		_, err := d.Find(t.Context(), "p000001")
		return err
	}
	if err := find(); err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := find(); !errors.Is(err, directory.ErrAway) {
		t.Errorf("Find of a stopped server: %v", err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := find(); err != nil {
		t.Error("Find after the server went on:", err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := find(); !errors.Is(err, directory.ErrAway) {
		t.Errorf("Find of a killed server: %v", err)
	}
}

// TestSilentHashing: a server that would keep passwords in clear is found out
// at the first reset, and the password is taken away again.
func TestSilentHashing(t *testing.T) {
	s := slapd.Start(t, slapd.Options{Cleartext: true})
	d := open(t, onSlapd(s))
	_, err := d.Create(t.Context(), directory.NewPerson{Login: "taro", Name: "太郎", Kind: directory.KindStaff, Password: text("in-clear-words")})
	if !errors.Is(err, ldap.ErrCleartext) {
		t.Fatalf("Create = %v, want %v", err, ldap.ErrCleartext)
	}
	p, err := d.Find(t.Context(), "taro")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Authenticate(t.Context(), p, text("in-clear-words")); got != directory.OutcomeWrong || err != nil {
		t.Errorf("Authenticate = %v, %v", got, err)
	}
	if err := d.ResetPassword(t.Context(), p, text("in-clear-words"), false); !errors.Is(err, ldap.ErrCleartext) {
		t.Errorf("ResetPassword = %v, want %v", err, ldap.ErrCleartext)
	}
}

// TestTooYoung: a minimum age is the directory's to enforce.
func TestTooYoung(t *testing.T) {
	s := slapd.Start(t, slapd.Options{MinAge: time.Hour})
	d := open(t, onSlapd(s))
	p, err := d.Create(t.Context(), directory.NewPerson{Login: "taro", Name: "太郎", Kind: directory.KindStaff, Password: text("first-password")})
	if err != nil {
		t.Fatal(err)
	}
	var refused *directory.Refused
	err = d.ChangePassword(t.Context(), p, text("first-password"), text("second-password"))
	if !errors.As(err, &refused) || refused.Reason != directory.ReasonTooYoung {
		t.Errorf("ChangePassword = %v, want %s", err, directory.ReasonTooYoung)
	}
}
