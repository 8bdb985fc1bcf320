// Package ldap reaches a directory over LDAP and speaks of people.
//
// It keeps two bounded pools: one bound as the service account for searches and
// writes, one whose connections are only ever used to bind as somebody, so that
// no search can run under a stranger's name and no bind has to be undone. Every
// operation, dialling included, ends within Config.OpTimeout; a connection that
// failed is closed and never given out again.
//
// It refuses to know rules: whether an account may sign in, how often a password
// may be tried and what a refusal looks like are decided above. It remembers no
// person; only the password policy entry is kept, for a minute.
//
// # What the service account needs
//
// Not the rootdn. On OpenLDAP (slapd.conf form), with ppolicy_hash_cleartext and
// "lastbind on":
//
//	access to attrs=userPassword
//	    by dn.exact="cn=sekisho,ou=services,BASE" manage
//	    by self =xw by anonymous auth by * none
//	access to attrs=pwdReset,pwdAccountLockedTime,pwdEndTime,entryTtl
//	    by dn.exact="cn=sekisho,ou=services,BASE" manage by * none
//	access to dn.subtree="ou=people,BASE"
//	    by dn.exact="cn=sekisho,ou=services,BASE" write by self read by * none
//	access to dn.subtree="ou=admins,BASE"             only where Sekisho lends IDs
//	    by dn.exact="cn=sekisho,ou=services,BASE" write by self read by * none
//	access to dn.subtree="ou=groups,BASE"
//	    by dn.exact="cn=sekisho,ou=services,BASE" write by * none
//	access to *
//	    by dn.exact="cn=sekisho,ou=services,BASE" read by * none
//
// It must be able to read the entry of the people base itself: each search for a
// person asks for that entry too, and an answer without it is not believed.
// The rest of a directory that serves others keeps its own lines above the last.
//
// On Active Directory no group of administrators, but rights delegated on the two
// organisational units (docs/operations.md has the commands):
//
//	people, on descendant user objects:
//	    Read all properties
//	    Reset password
//	    Write pwdLastSet, lockoutTime, userAccountControl, accountExpires
//	people, on the unit and those below it:
//	    Create and delete user objects        only where Sekisho is to
//	admins, where Sekisho lends IDs: as on people
//	groups, on descendant group objects:
//	    Read all properties, Write members    only where Sekisho lends them
//	CN=Password Settings Container,CN=System,DOMAIN, with what is below it:
//	    Read all properties                   only an administrator can by default
//
// Windows Authorization Access Group, or the default Pre-Windows 2000 Compatible
// Access, lets it read tokenGroups. The domain takes the delegated rights from
// protected accounts (AdminSDHolder) within the hour, and rightly.
package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory/schema"
	"sekisho/policy/secret"
)

// Config says where the directory is and who we are to it. Servers, BindDN,
// BindPassword and BaseDN must be given; the zero value of the rest is usable.
type Config struct {
	Servers          []string    // ldap:// or ldaps:// URLs, tried in this order
	BindDN           string      // the service account
	BindPassword     secret.Text // never empty: an empty one would bind as nobody
	BaseDN           string
	PeopleDN         string // default ou=people,BaseDN
	GroupsDN         string // default ou=groups,BaseDN
	LentDN           string // where IDs are that are lent; default ou=admins,BaseDN
	PolicyDN         string // the default password policy entry; default from the schema
	CAFile           string // PEM; the system's roots when empty
	StartTLS         bool   // RFC 4511 section 4.14, on ldap:// URLs
	PlaintextAllowed bool   // ldap:// without StartTLS to other than loopback
	Schema           string // schema.Names; default "openldap"
	PoolSize         int    // connections per pool, default 8
	Waiters          int    // callers waiting for one, default 64 × PoolSize
	OpTimeout        time.Duration
	PageSize         int // entries per page of Stream, default 500
	// Watch sees each operation begin, by its kind (Operations), and hears how it
	// ended, waiting for a connection included. nil: nobody watches.
	Watch             func(ctx context.Context, operation string) (ended func(error))
	PlaceholderMember string // keeps a group that may not be empty from being so; default cn=nobody,BaseDN
	// Stated is the server's password policy in words of its operator, where we
	// may not read it; nil: it is read.
	Stated *schema.Policy
}

// DefaultOpTimeout bounds an operation, dialling and waiting for a connection
// included.
const DefaultOpTimeout = 2 * time.Second

// ErrNeedsTLS: this kind of server takes no password in clear, not even on the
// same machine.
var ErrNeedsTLS = errors.New("this kind of directory takes passwords over TLS alone; use ldaps:// or StartTLS")

// plan is a Config that has been checked.
type plan struct {
	Config
	schema schema.Schema
	people *goldap.DN
	groups *goldap.DN
	lent   *goldap.DN
	domain string // DNS name of BaseDN
	head   string // DN of that domain
	hosts  []*host
}

func (c Config) plan() (*plan, error) {
	p := &plan{Config: c}
	if len(c.Servers) == 0 {
		return nil, errors.New("no directory server is named")
	}
	if c.BindDN == "" || c.BindPassword.IsEmpty() {
		return nil, errors.New("bind DN and bind password must both be given: without them the directory would be read as nobody")
	}
	if c.BaseDN == "" {
		return nil, errors.New("no base DN is named")
	}
	var known bool
	if p.schema, known = schema.Named(orElse(c.Schema, "openldap")); !known {
		return nil, fmt.Errorf("unknown schema %q; known are %s", c.Schema, strings.Join(schema.Names(), ", "))
	}
	p.PeopleDN = orElse(c.PeopleDN, "ou=people,"+c.BaseDN)
	p.GroupsDN = orElse(c.GroupsDN, "ou=groups,"+c.BaseDN)
	p.LentDN = orElse(c.LentDN, "ou=admins,"+c.BaseDN)
	base, err := goldap.ParseDN(c.BaseDN)
	if err != nil {
		return nil, fmt.Errorf("reading the base DN %q: %w", c.BaseDN, err)
	}
	p.domain, p.head = domainOf(base)
	p.PolicyDN = orElse(c.PolicyDN, p.defaultPolicy())
	p.PlaceholderMember = orElse(c.PlaceholderMember, "cn=nobody,"+c.BaseDN)
	if p.PoolSize <= 0 {
		p.PoolSize = 8
	}
	if p.Waiters <= 0 {
		p.Waiters = 64 * p.PoolSize
	}
	if p.OpTimeout <= 0 {
		p.OpTimeout = DefaultOpTimeout
	}
	if p.PageSize <= 0 {
		p.PageSize = 500
	}
	for name, dn := range map[string]string{
		"bind DN": p.BindDN, "base DN": p.BaseDN, "policy DN": p.PolicyDN, "placeholder member": p.PlaceholderMember,
	} {
		if _, err := goldap.ParseDN(dn); err != nil {
			return nil, fmt.Errorf("reading the %s %q: %w", name, dn, err)
		}
	}
	if p.people, err = goldap.ParseDN(p.PeopleDN); err != nil {
		return nil, fmt.Errorf("reading the people DN %q: %w", p.PeopleDN, err)
	}
	if p.groups, err = goldap.ParseDN(p.GroupsDN); err != nil {
		return nil, fmt.Errorf("reading the groups DN %q: %w", p.GroupsDN, err)
	}
	if p.lent, err = goldap.ParseDN(p.LentDN); err != nil {
		return nil, fmt.Errorf("reading the DN of IDs that are lent %q: %w", p.LentDN, err)
	}
	// An ID that is lent is nobody's: it must not be found as a person who may
	// sign in here.
	if p.lent.EqualFold(p.people) || p.lent.AncestorOfFold(p.people) {
		return nil, fmt.Errorf("the people (%s) may not lie where IDs are lent (%s): give those a place of their own", p.PeopleDN, p.LentDN)
	}
	if p.hosts, err = c.hosts(); err != nil {
		return nil, err
	}
	for _, h := range p.hosts {
		if p.schema.NeedsTLS && !h.tls && !h.startTLS {
			return nil, fmt.Errorf("directory server %q: %w", h.url, ErrNeedsTLS)
		}
	}
	return p, nil
}

func (p *plan) defaultPolicy() string {
	switch p.schema.PolicyPlace {
	case schema.PolicyByItself:
		return p.schema.DefaultPolicy
	case schema.PolicyOfDomain:
		return p.head
	default:
		return p.schema.DefaultPolicy + "," + p.BaseDN
	}
}

func orElse(v, fallback string) string {
	if v == "" {
		return fallback
	}
	return v
}

// hosts reads the server URLs and refuses those that would carry passwords in
// clear over a wire.
func (c Config) hosts() ([]*host, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	hosts := make([]*host, 0, len(c.Servers))
	for _, server := range c.Servers {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || u.User != nil {
			return nil, fmt.Errorf("directory server %q: not a URL such as ldaps://ldap.example.jp", server)
		}
		h := &host{url: server, name: u.Hostname(), startTLS: c.StartTLS}
		port := u.Port()
		switch u.Scheme {
		case "ldaps":
			h.tls, h.startTLS, port = true, false, orElse(port, "636")
		case "ldap":
			port = orElse(port, "389")
			if !c.StartTLS && !c.PlaintextAllowed && !loopback(h.name) {
				return nil, fmt.Errorf("directory server %q: passwords would cross the network in clear; use ldaps:// or StartTLS, or allow plain LDAP in as many words", server)
			}
		default:
			return nil, fmt.Errorf("directory server %q: the scheme must be ldaps or ldap", server)
		}
		h.address = net.JoinHostPort(h.name, port)
		h.config = &tls.Config{ServerName: h.name, RootCAs: roots, MinVersion: tls.VersionTLS12}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the directory's CA file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the directory's CA file: %s holds no certificate", c.CAFile)
	}
	return roots, nil
}

// loopback trusts literal addresses and the one name that RFC 6761 section 6.3
// keeps on this machine; any other name may be answered by somebody's DNS.
func loopback(name string) bool {
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(name, "localhost")
}
