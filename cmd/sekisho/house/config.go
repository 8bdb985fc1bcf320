package house

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"sekisho/authz/remote/radius"
	"sekisho/cmd/sekisho/config"
	"sekisho/cmd/sekisho/say"
	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/directory/schema"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/web"
	mail "sekisho/web/notice"
)

// A Config is what a house is built from. dev, serve and tests make one each;
// the house does not know which of them it serves.
type Config struct {
	Store store.Config

	// Key files. They are made when the store does not exist yet, and only then.
	SealingKey, SessionKey, TrailKey string

	// ExportKey signs policies for other gateways; it is made when it is first
	// used. TrustedPolicies are files of the public keys of others.
	ExportKey       string
	TrustedPolicies []string

	Backup config.Backup // who may read backups

	Origin string // of the trail's checkpoints
	Anchor string // file of the newest checkpoint, outside the store; "" none

	// Bootstrap is the file of rules for an empty store; BootstrapText stands
	// in for it where there is no file.
	Bootstrap     string
	BootstrapText []byte
	// MayBeEmpty lets the ground floor open without rules in force, for the
	// commands that bring them.
	MayBeEmpty bool

	Directory        ldap.Config
	BindPasswordFile string // read when the directory is opened; Directory.BindPassword wins

	Argon2 secret.Params
	Queue  int // who may wait for a hash

	PublicURL      *url.URL
	ExtraHosts     []string
	TrustedProxies []netip.Prefix
	LoopbackZone   policy.ZoneID   // of a request from loopback that names no other source; dev alone
	Zones          []policy.ZoneID // served here; empty: the policy's only one
	SampleApps     bool            // show the built-in sample where an application has no URL; dev alone

	// CertificateHeader is where a trusted proxy passes a card's certificate on;
	// "" nowhere. ClientCertificates: our own TLS asks for it. RevocationLists are
	// files by card authority.
	CertificateHeader  string
	ClientCertificates bool
	RevocationLists    map[string][]string

	Redis config.Redis // no addresses: none

	// RADIUS names the gear of the network door; Gear stands in for it where there is
	// no file.
	RADIUS config.RADIUS
	Gear   []radius.Client

	Mailer mail.Mailer // takes notices for delivery; nil: this gateway sends none
	Mail   config.Mail // what Check tries; serve makes a Mailer of it

	// DiskLow is how many bytes must be left on the disks that are written to.
	DiskLow int64
	// DiskReserve is how many must be left for an act that gives somebody more.
	DiskReserve int64
	// DrainDelay is how long requests are still taken after the house was asked
	// to stop, so that balancers see it in /readyz.
	DrainDelay time.Duration
	// CertificateEnds is when the certificate that serve shows ends; nil for none.
	CertificateEnds func() time.Time

	// Stop is called at the named points of lending (grant.PointAsked and its like, and those of elevate),
	// none of which lies in a transaction: there tests kill a whole gate, or stop
	// it. nil outside tests; no setting reaches it.
	Stop func(point string) error

	Log   *slog.Logger // nil: nothing is logged
	Trace web.Trace    // nil: requests are not traced
	Spans Spans        // nil: nor what they wait for
}

// FromFile turns sekisho.yaml into what a house is built from. It touches no
// file that it names: which of them a command needs is known only when it opens
// them.
func FromFile(f *config.File) (Config, error) {
	u, err := url.Parse(f.PublicURL)
	if err != nil {
		return Config{}, say.Errorf("public_url を読めません: %[1]v", "public_url cannot be read: %[1]v", err)
	}
	u.Path = ""
	c := Config{
		Store:      storeOf(f.Store),
		SealingKey: f.Keys.Sealing, SessionKey: f.Keys.Session, TrailKey: f.Keys.Trail,
		Origin: f.Trail.Origin, Anchor: f.Trail.Anchor,
		Bootstrap: f.Policy.Bootstrap,
		Backup:    f.Backup, ExportKey: f.Keys.Export, TrustedPolicies: f.Policy.Trusted,
		Directory: ldap.Config{
			Servers: f.Directory.Servers, BindDN: f.Directory.BindDN,
			BaseDN: f.Directory.BaseDN, PeopleDN: f.Directory.PeopleDN, GroupsDN: f.Directory.GroupsDN, LentDN: f.Directory.LentDN,
			PolicyDN: f.Directory.PolicyDN, CAFile: f.Directory.CAFile, StartTLS: f.Directory.StartTLS,
			PlaintextAllowed: f.Directory.PlaintextAllowed, Schema: f.Directory.Schema,
			PoolSize: f.Directory.PoolSize, OpTimeout: f.Directory.OpTimeout,
			PlaceholderMember: f.Directory.PlaceholderMember, Stated: stated(f.Directory.StatedPolicy),
		},
		BindPasswordFile: f.Directory.BindPasswordFile,
		Argon2:           secret.Params{MemoryKiB: f.Argon2.MemoryKiB, Time: f.Argon2.Time, Threads: f.Argon2.Threads},
		Queue:            f.Argon2.Queue,
		PublicURL:        u,
		TrustedProxies:   f.Prefixes(),

		CertificateHeader: f.Cards.Header, ClientCertificates: f.TLS.ClientCertificates, RevocationLists: f.Cards.RevocationLists,
		Mail: f.Mail, Redis: f.Redis, RADIUS: f.RADIUS,
		DiskLow: int64(f.DiskLowMiB) << 20, DiskReserve: int64(f.DiskReserveMiB) << 20, DrainDelay: f.DrainDelay,
	}
	for _, z := range f.Zones {
		c.Zones = append(c.Zones, policy.ZoneID(z))
	}
	return c, nil
}

// stated is the directory's password policy in its operator's words; nil where
// it is to be read.
func stated(p config.StatedPolicy) *schema.Policy {
	if p.MaxFailures == 0 {
		return nil
	}
	return &schema.Policy{Found: true, MaxAge: p.MaxAge, Lockout: directory.LockoutPolicy{
		Enabled: p.MaxFailures > 0, MaxFailures: max(0, p.MaxFailures), Window: p.Window, Duration: p.Duration, DatesPasswords: p.DatesPasswords,
	}}
}
