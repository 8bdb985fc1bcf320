// Package embeddedtest is the directory of a test's prefecture: the embedded server in a
// folder of the test's own, a gate's connection to it, and another connection to look at
// it by, of which the gate knows nothing. It seeds who works there; what is done with
// them it does not know.
package embeddedtest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory/embedded"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
)

// The directory's base, and who may do everything in it.
const (
	Base      = "dc=pref,dc=example"
	AdminDN   = "cn=admin," + Base
	AdminWord = "admin-of-this-test"
)

// nobody is a member of every group: groupOfNames has to have one (RFC 4519 section 3.5).
const nobody = "cn=nobody," + Base

// A Server is a directory's server that can be taken away and brought back.
type Server struct {
	*embedded.Server
	t testing.TB
	c embedded.Config
}

// Start starts a server that lasts as long as the test. What the configuration leaves
// out is the test's prefecture's; it has to have the clock.
func Start(t testing.TB, c embedded.Config) *Server {
	t.Helper()
	c.Dir, c.BaseDN, c.AdminPassword = filepath.Join(t.TempDir(), "ldap"), Base, secret.NewText([]byte(AdminWord))
	if c.Hasher == nil {
		c.Hasher = Hasher(nil)
	}
	s := &Server{t: t, c: c}
	s.start()
	return s
}

// Hasher is Argon2id at the least that the package takes: what is tested is not how slow
// a guess is.
func Hasher(ring *secret.KeyRing) *secret.Hasher {
	return secret.NewHasher(secret.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}, ring, 4096)
}

func (s *Server) start() {
	s.t.Helper()
	server, err := embedded.Start(s.t.Context(), s.c)
	must(s.t, err)
	s.Server, s.c.Listen = server, server.Addr()
	s.t.Cleanup(func() { _ = server.Close() })
}

// Away takes the directory away.
func (s *Server) Away() { s.t.Helper(); must(s.t, s.Close()) }

// Back brings it back, at the same address and as it was.
func (s *Server) Back() { s.t.Helper(); s.start() }

// Config is how a gate reaches a server of these.
func Config(url string) ldap.Config {
	return ldap.Config{
		Servers: []string{url}, BindDN: AdminDN, BindPassword: secret.NewText([]byte(AdminWord)), BaseDN: Base, Schema: "embedded", OpTimeout: 20 * time.Second,
	}
}

// Dial is a gate's connection.
func Dial(t testing.TB, c ldap.Config, now clock.Now) *ldap.Directory {
	t.Helper()
	d, err := ldap.Open(t.Context(), c, now)
	must(t, err)
	t.Cleanup(d.Close)
	return d
}

// Dial is a gate's connection to this server.
func (s *Server) Dial() *ldap.Directory { s.t.Helper(); return Dial(s.t, Config(s.URL()), s.c.Now) }

// Look is a connection of the administrator's, which the caller closes.
func (s *Server) Look() *goldap.Conn {
	s.t.Helper()
	c, err := goldap.DialURL(s.URL())
	must(s.t, err)
	must(s.t, c.Bind(AdminDN, AdminWord))
	return c
}

// Members are the DNs that a group names, in order.
func (s *Server) Members(group string) []string {
	s.t.Helper()
	c := s.Look()
	defer c.Close()
	result, err := c.Search(goldap.NewSearchRequest(group, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"member"}, nil))
	must(s.t, err)
	out := slices.DeleteFunc(result.Entries[0].GetAttributeValues("member"), func(dn string) bool { return dn == nobody })
	slices.Sort(out)
	return out
}

// Lets reports whether the directory itself lets somebody in.
func (s *Server) Lets(dn string, pw secret.Text) bool {
	s.t.Helper()
	return Lets(s.t, s.URL(), dn, pw)
}

// DialTLS is a connection over TLS to a server whose authority a file holds.
func DialTLS(url, caFile string) (*goldap.Conn, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return goldap.DialURL(url, goldap.DialWithTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
}

// Lets reports whether the server at an address lets somebody in.
func Lets(t testing.TB, url, dn string, pw secret.Text) bool {
	t.Helper()
	c, err := goldap.DialURL(url)
	must(t, err)
	defer c.Close()
	return c.Bind(dn, string(pw.Reveal())) == nil
}

// PersonDN is where somebody is.
func PersonDN(login string) string { return "uid=" + login + ",ou=people," + Base }

// PostGroup is the group of those who hold a post.
func PostGroup(id policy.PostID) string {
	return "cn=" + strings.ReplaceAll(string(id), "_", "-") + ",ou=groups," + Base
}

// Group is a group's entry, for its DN.
func Group(dn string, members ...string) map[string][]string {
	cn, _, _ := strings.Cut(strings.TrimPrefix(dn, "cn="), ",")
	return map[string][]string{"objectClass": {"top", "groupOfNames"}, "cn": {cn}, "member": append(members, nobody)}
}

// Add puts an entry into a new directory.
type Add = func(dn string, attributes map[string][]string) error

// A Person is somebody of the prefecture: of the staff, in joho, with a mailbox.
type Person struct {
	Login string
	Posts []policy.PostID
	More  map[string][]string // instead of what is usual, or beside it
}

// Seed has a directory begin with people, and with a group for each post.
func Seed(add Add, people []Person) error {
	held := map[policy.PostID][]string{}
	for _, p := range people {
		entry := map[string][]string{
			"objectClass": {"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"}, "uid": {p.Login}, "cn": {p.Login}, "sn": {p.Login},
			"mail": {p.Login + "@pref.example"}, "departmentNumber": {"joho"}, "employeeType": {"staff"},
		}
		for k, v := range p.More {
			entry[k] = v
		}
		if err := add(PersonDN(p.Login), entry); err != nil {
			return err
		}
		for _, id := range p.Posts {
			held[id] = append(held[id], PersonDN(p.Login))
		}
	}
	for _, id := range policy.PostIDs() {
		if err := add(PostGroup(id), Group(PostGroup(id), held[id]...)); err != nil {
			return err
		}
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
