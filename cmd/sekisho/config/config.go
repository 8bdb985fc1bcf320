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
	Redis     Redis     `yaml:"redis"`
	RADIUS    RADIUS    `yaml:"radius"`
	Directory Directory `yaml:"directory"`
	Keys      Keys      `yaml:"keys"`
	Trail     Trail     `yaml:"trail"`
	Policy    Policy    `yaml:"policy"`
	Mail      Mail      `yaml:"mail"`
	Backup    Backup    `yaml:"backup"`
	Log       Log       `yaml:"log"`
	Tracing   Tracing   `yaml:"tracing"`
	Argon2    Argon2    `yaml:"argon2"`

	// ShutdownGrace is how long requests in flight may take after SIGTERM.
	// Default 20s, at most 5m.
	ShutdownGrace time.Duration `yaml:"shutdown_grace"`

	// DrainDelay is how long requests are still taken after SIGTERM while
	// /readyz already says that the gate is stopping. Set it to a little more
	// than a balancer needs to notice. Default 0s, at most 5m.
	DrainDelay time.Duration `yaml:"drain_delay"`
	// DiskLowMiB: /readyz and the metrics say so when less than this is left on
	// a disk that is written to. Default 512.
	DiskLowMiB int `yaml:"disk_low_mib"`
	// DiskReserveMiB: below this, what gives somebody more than they had is
	// refused. Default an eighth of DiskLowMiB.
	DiskReserveMiB int `yaml:"disk_reserve_mib"`

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

// Directory is where the people are.
type Directory struct {
	// Servers are LDAP URLs, tried in order. Required.
	Servers []string `yaml:"servers"`
	// BindDN and BindPasswordFile are Sekisho's own account. Required.
	BindDN           string `yaml:"bind_dn"`
	BindPasswordFile string `yaml:"bind_password_file"`
	// BaseDN is the suffix; PeopleDN, GroupsDN and LentDN default to ou=people,
	// ou=groups and ou=admins below it. Under LentDN are the IDs that are lent: named
	// ones, and those that are made for a lease. They are nobody's, and found
	// nowhere among the people.
	BaseDN   string `yaml:"base_dn"`
	PeopleDN string `yaml:"people_dn"`
	GroupsDN string `yaml:"groups_dn"`
	LentDN   string `yaml:"lent_dn"`
	// Schema is "openldap" (default), "active_directory" or "389ds".
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
	// check` compares its failure limit with ours. Default:
	// cn=default,ou=policies below base_dn; the domain of base_dn
	// (active_directory); cn=config (389ds).
	PolicyDN string `yaml:"policy_dn"`
	// StatedPolicy is that policy in your words, where our account may not read
	// it. Default: it is read.
	StatedPolicy StatedPolicy `yaml:"stated_policy"`
	// PlaceholderMember stands in groups that may not be empty. Default: bind_dn.
	PlaceholderMember string `yaml:"placeholder_member"`
	// PoolSize is the number of connections. Default 8.
	PoolSize int `yaml:"pool_size"`
	// OpTimeout bounds each operation, waiting for a connection included. Default
	// 2s: whoever signs in is told that the directory is away before they give
	// up, and half of it is left for a second server.
	OpTimeout time.Duration `yaml:"op_timeout"`
}

// StatedPolicy is what a directory that does not show it does about wrong and
// old passwords. What is stated too high lets a stranger lock people out there.
type StatedPolicy struct {
	// MaxFailures is after how many failures the directory locks; -1: never.
	// Default 0: nothing is stated.
	MaxFailures int `yaml:"max_failures"`
	// Window is how long a failure counts, Duration how long a lock lasts.
	// Default 0: until an administrator ends it.
	Window   time.Duration `yaml:"window"`
	Duration time.Duration `yaml:"duration"`
	// MaxAge is the age at which a password expires. Default 0: never.
	MaxAge time.Duration `yaml:"max_age"`
	// DatesPasswords: the directory writes down when a password was changed.
	// Without that, temporary passwords are refused for want of an age.
	DatesPasswords bool `yaml:"dates_passwords"`
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
	// Export signs policies for other zones' gateways. It is made by the first
	// `sekisho policy export`. Default: export.key beside the trail's key.
	Export string `yaml:"export"`
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
	// Trusted are files of public keys, one a line, of other zones' gateways
	// whose signed policies `policy apply` takes. Default none: nobody's.
	Trusted []string `yaml:"trusted"`
}

// Log is what goes to stderr.
type Log struct {
	// Level is debug, info (default), warn or error. Read again on SIGHUP.
	Level string `yaml:"level"`
	// Format is json (default), a JSON object a line, or text, for the eye.
	Format string `yaml:"format"`
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
	return Ranges(f.TrustedProxies)
}

// Ranges are addresses and ranges that Read has checked.
func Ranges(of []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range of {
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
