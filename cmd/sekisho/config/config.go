// Package config is sekisho.yaml: one documented struct, read strictly.
//
// It knows the form of the file and nothing of what the values do. A key it
// does not know is an error that names the line and the nearest key it does
// know, because a misspelt limit that is silently ignored is no limit. Secrets
// are never in the file, only paths to them. An absent key takes the default
// written beside its field.
package config

import (
	"net/netip"
	"time"
)

// A File is sekisho.yaml. Relative paths are relative to the file's own folder.
type File struct {
	// Listen is the address of the gate, host:port. Default 127.0.0.1:8080.
	Listen string `yaml:"listen"`
	// PublicURL is the address browsers use, without a path. Its scheme is
	// https, but for localhost. Required.
	PublicURL string `yaml:"public_url"`
	// TLS is for a gate that ends TLS itself. Without it the gate speaks plain
	// HTTP, which is allowed on loopback, or with behind_proxy.
	TLS TLS `yaml:"tls"`
	// BehindProxy says in as many words that a proxy of ours ends TLS and that
	// the way from it to us is our own network.
	BehindProxy bool `yaml:"behind_proxy"`
	// TrustedProxies are the addresses whose X-Forwarded-* headers are believed
	// and that may ask /auth/check. Default none: an empty list trusts nobody.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Zones are the policy's zones that this gate serves. Default: the policy's
	// only one. More than one is a deviation that the policy must record.
	Zones []string `yaml:"zones"`

	Cards     Cards     `yaml:"cards"`
	Metrics   Metrics   `yaml:"metrics"`
	Store     Store     `yaml:"store"`
	Directory Directory `yaml:"directory"`
	Keys      Keys      `yaml:"keys"`
	Trail     Trail     `yaml:"trail"`
	Policy    Policy    `yaml:"policy"`
	Mail      Mail      `yaml:"mail"`
	Log       Log       `yaml:"log"`
	Argon2    Argon2    `yaml:"argon2"`

	// ShutdownGrace is how long requests in flight may take after SIGTERM.
	// Default 20s, at most 5m.
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`

	// Path is where the file was read from, for sentences about it.
	Path string `yaml:"-"`
}

// TLS names a certificate chain and its key, both PEM. Read again on SIGHUP.
type TLS struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// ClientCertificates asks browsers for the certificate of an IC card. They
	// then ask their user, so leave it off where there are no cards.
	ClientCertificates bool `yaml:"client_certificates"`
}

// Metrics is a listener of its own for Prometheus.
type Metrics struct {
	// Listen is host:port. Default none: no metrics.
	Listen string `yaml:"listen"`
}

// Store is what must not be lost.
type Store struct {
	// Path is the SQLite file. Its folder must be writable. Required.
	Path string `yaml:"path"`
}

// Directory is where the people are.
type Directory struct {
	// Servers are LDAP URLs, tried in order. Required.
	Servers []string `yaml:"servers"`
	// BindDN and BindPasswordFile are Sekisho's own account. Required.
	BindDN           string `yaml:"bind_dn"`
	BindPasswordFile string `yaml:"bind_password_file"`
	// BaseDN is the suffix; PeopleDN and GroupsDN default to ou=people and
	// ou=groups below it.
	BaseDN   string `yaml:"base_dn"`
	PeopleDN string `yaml:"people_dn"`
	GroupsDN string `yaml:"groups_dn"`
	// Schema is "openldap" (default).
	Schema string `yaml:"schema"`
	// CAFile is the PEM of the authority that signed the servers. Default: the
	// machine's own list.
	CAFile string `yaml:"ca_file"`
	// StartTLS upgrades ldap:// connections.
	StartTLS bool `yaml:"start_tls"`
	// PlaintextAllowed permits ldap:// without StartTLS to other machines than
	// this one. Passwords then cross the network unprotected.
	PlaintextAllowed bool `yaml:"plaintext_allowed"`
	// PolicyDN is the entry of the directory's own password policy. `config
	// check` compares its failure limit with ours. Default: searched for.
	PolicyDN string `yaml:"policy_dn"`
	// PlaceholderMember stands in groups that may not be empty. Default: bind_dn.
	PlaceholderMember string `yaml:"placeholder_member"`
	// PoolSize is the number of connections. Default 8.
	PoolSize int `yaml:"pool_size"`
	// OpTimeout bounds each operation. Default 5s.
	OpTimeout time.Duration `yaml:"op_timeout"`
}

// Keys are files of mode 0600, made at the first start of an empty store. Keep
// copies apart from the store: without them nothing sealed can be read again.
type Keys struct {
	// Sealing opens TOTP secrets and other secrets in the store. Required.
	Sealing string `yaml:"sealing"`
	// Session keys the cookies. Required.
	Session string `yaml:"session"`
	// Trail signs the trail's checkpoints. Required.
	Trail string `yaml:"trail"`
}

// Trail is the record of everything.
type Trail struct {
	// Origin names this gate's trail in its checkpoints. Default: the host of
	// public_url.
	Origin string `yaml:"origin"`
	// Anchor is a file, best on another machine's disk, that holds the newest
	// checkpoint, so that a store rolled back is found out. Default none.
	Anchor string `yaml:"anchor"`
}

// Policy is where the rules come from when there are none yet.
type Policy struct {
	// Bootstrap is installed into an empty store at the first start. After that
	// the rules change by `sekisho policy apply` and a second person.
	Bootstrap string `yaml:"bootstrap"`
}

// Log is what goes to stderr.
type Log struct {
	// Level is debug, info (default), warn or error. Read again on SIGHUP.
	Level string `yaml:"level"`
}

// Argon2 is the cost of each password hash we store ourselves (history).
type Argon2 struct {
	// MemoryKiB defaults to 65536, Time to 2, Threads to 1.
	MemoryKiB uint32 `yaml:"memory_kib"`
	Time      uint32 `yaml:"time"`
	Threads   uint8  `yaml:"threads"`
	// Queue is how many may wait for a hash before the next is told that we are
	// busy. Default 64.
	Queue int `yaml:"queue"`
}

// Prefixes are the trusted proxies as address ranges. Read has checked them.
func (f *File) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range f.TrustedProxies {
		if p, err := prefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// prefix takes an address or a range.
func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return p.Masked(), nil
}
