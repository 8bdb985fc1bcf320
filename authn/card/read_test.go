package card_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"sekisho/authn/card"
	"sekisho/authn/card/cardtest"
	"sekisho/policy"
)

func TestGoodCard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	cert := d.Issue("tanaka")
	c, why := d.read(t, cert)
	if why != "" {
		t.Fatal(why)
	}
	sum := sha256.Sum256(cert.Raw)
	if c.Subject != "tanaka" || c.Match != "login" || c.Authority != "staff-card" || c.ID != hex.EncodeToString(sum[:]) ||
		c.Serial != cert.SerialNumber.Text(16) || !c.NotAfter.Equal(cert.NotAfter) {
		t.Errorf("read as %+v", c)
	}
	if strings.Contains(c.String(), "tanaka") {
		t.Error("a card prints whom it names")
	}
	if _, err := d.Read(t.Context(), nil, policy.LGWAN); !errors.Is(err, card.ErrNone) {
		t.Errorf("no card at all: %v", err)
	}
	if _, err := card.New(d.db, nil, d.clock.Now, func() *policy.Policy { return d.policy }).Read(t.Context(), []*x509.Certificate{cert}, policy.LGWAN); err == nil {
		t.Error("a card is good although nobody knows what was revoked")
	}
}

// TestKeys: what a card may sign with, and what it may not.
func TestKeys(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, tt := range []struct {
		name string
		make func() (crypto.Signer, error)
		good bool
	}{
		{"RSA 2048", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }, true},
		{"RSA 1024", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) }, false}, //nolint:gosec // that it is weak is the point
		{"P-224", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P224(), rand.Reader) }, false},
		{"P-384", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }, true},
		{"P-521", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }, true},
		{"Ed25519", func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err }, true},
	} {
		key, err := tt.make()
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if _, why := d.read(t, d.IssueTo(key.Public(), "tanaka")); (why == "") != tt.good || !tt.good && why != "weak_key" {
			t.Errorf("%s: refused for %q", tt.name, why)
		}
	}
}

func TestRefusedCards(t *testing.T) {
	t.Parallel()
	with := func(change func(*x509.Certificate)) func(*testing.T, *desk) []*x509.Certificate {
		return func(_ *testing.T, d *desk) []*x509.Certificate { return []*x509.Certificate{d.Issue("tanaka", change)} }
	}
	// publish has a good card and lists as make says.
	publish := func(make func(t *testing.T, d *desk, c *x509.Certificate) []*x509.RevocationList) func(*testing.T, *desk) []*x509.Certificate {
		return func(t *testing.T, d *desk) []*x509.Certificate {
			c := d.Issue("tanaka", func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.pref.example/2"} })
			d.lists.all = make(t, d, c)
			return []*x509.Certificate{c}
		}
	}
	ended := func(l *x509.RevocationList) { l.NextUpdate = t0.Add(-time.Minute) }
	for _, tt := range []struct {
		name string
		card func(*testing.T, *desk) []*x509.Certificate
		why  string // "": the neighbour of a refusal, which is good
	}{
		{"of another authority", func(t *testing.T, _ *desk) []*x509.Certificate {
			return []*x509.Certificate{cardtest.NewOffice(t, t0).Issue("tanaka")}
		}, "unknown_authority"},
		{"of another authority, with its certificate", func(t *testing.T, _ *desk) []*x509.Certificate {
			o := cardtest.NewOffice(t, t0)
			return []*x509.Certificate{o.Issue("tanaka"), o.Cert}
		}, "unknown_authority"},
		{"that signed itself", func(t *testing.T, _ *desk) []*x509.Certificate {
			return []*x509.Certificate{cardtest.NewOffice(t, t0).Cert}
		}, "unknown_authority"},
		{"that is the authority", func(_ *testing.T, d *desk) []*x509.Certificate { return []*x509.Certificate{d.Cert} }, "is_an_authority"},
		{"that is an authority below", func(_ *testing.T, d *desk) []*x509.Certificate { return []*x509.Certificate{d.Branch().Cert} }, "is_an_authority"},
		{"that has ended", with(func(c *x509.Certificate) { c.NotAfter = t0.Add(-time.Second) }), "expired"},
		{"in its last second", with(func(c *x509.Certificate) { c.NotAfter = t0 }), ""},
		{"that has not begun", with(func(c *x509.Certificate) { c.NotBefore = t0.Add(time.Second) }), "expired"},
		{"whose authority has ended", func(_ *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards[0].CA = cardtest.PEM(d.Renewed(func(c *x509.Certificate) { c.NotAfter = t0.Add(-time.Second) }).Cert)
			return []*x509.Certificate{d.Issue("tanaka")}
		}, "expired"},
		{"for servers", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "not_for_clients"},
		{"for nothing that is said", with(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "not_for_clients"},
		{"for anything", with(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), "not_for_clients"},
		{"for opening mail", with(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "not_for_clients"},
		{"with a critical extension nobody knows", with(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 7}, Critical: true, Value: []byte{5, 0}}}
		}), "invalid"},
		{"without a policy", with(func(c *x509.Certificate) { c.Policies = nil }), "policy"},
		{"of another policy", with(func(c *x509.Certificate) { c.Policies = []x509.OID{cardtest.OID(t, cardtest.PIN+".1")} }), "policy"},
		{"of any policy", with(func(c *x509.Certificate) { c.Policies = []x509.OID{cardtest.OID(t, "2.5.29.32.0")} }), "policy"},
		{"of any policy, which the rules allow", func(t *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards[0].PolicyOIDs = []string{"2.5.29.32.0"} // no file can say so
			return []*x509.Certificate{d.Issue("tanaka", func(c *x509.Certificate) { c.Policies = []x509.OID{cardtest.OID(t, "2.5.29.32.0")} })}
		}, "policy"},
		{"of one policy of several", func(t *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards[0].PolicyOIDs = []string{"2.999.4", cardtest.PIN}
			return []*x509.Certificate{d.Issue("tanaka", func(c *x509.Certificate) { c.Policies = append([]x509.OID{cardtest.OID(t, "2.999.5")}, c.Policies...) })}
		}, ""},
		{"that names nobody", with(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), "names_nobody"},
		{"in another zone", func(_ *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards[0].Zones = []policy.ZoneID{policy.MyNumber}
			return []*x509.Certificate{d.Issue("tanaka")}
		}, "not_in_this_zone"},
		{"in its zone", func(_ *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards[0].Zones = []policy.ZoneID{policy.MyNumber, policy.LGWAN}
			return []*x509.Certificate{d.Issue("tanaka")}
		}, ""},
		{"where the policy knows none", func(_ *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards = nil
			return []*x509.Certificate{d.Issue("tanaka")}
		}, "unknown_authority"},
		{"whose authority cannot be read", func(_ *testing.T, d *desk) []*x509.Certificate {
			d.policy.Cards[0].CA = "?"
			return []*x509.Certificate{d.Issue("tanaka")}
		}, "unknown_authority"},
		{"with four beside it", func(_ *testing.T, d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.Issue("tanaka"), d.Cert, d.Cert, d.Cert, d.Cert}
		}, "chain_too_long"},

		{"that was revoked", publish(func(_ *testing.T, d *desk, c *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish([]*x509.Certificate{c})}
		}), "revoked"},
		{"when others were revoked", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish([]*x509.Certificate{d.Issue("sato"), d.Issue("ito")})}
		}), ""},
		{"that one list of two revokes", publish(func(_ *testing.T, d *desk, c *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil), d.Publish([]*x509.Certificate{c})}
		}), "revoked"},
		{"that an old list revokes", publish(func(_ *testing.T, d *desk, c *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish([]*x509.Certificate{c}, ended), d.Publish(nil)}
		}), "revoked"},
		{"whose old list stands beside the new one", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil), d.Publish(nil, ended)}
		}), ""},
		{"that was taken off hold", publish(func(_ *testing.T, d *desk, c *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil), d.Publish([]*x509.Certificate{c}, func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 8 })}
		}), ""},
		{"whose list has just ended", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, func(l *x509.RevocationList) { l.NextUpdate = t0 })}
		}), "revocation_list_old"},
		{"whose list is of tomorrow", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, func(l *x509.RevocationList) { l.ThisUpdate = t0.Add(time.Hour) })}
		}), "revocation_list_old"},
		{"whose list has no end", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			endless := *d.Publish(nil)
			endless.NextUpdate = time.Time{}
			return []*x509.RevocationList{&endless}
		}), "revocation_list_old"},
		{"without a list", publish(func(*testing.T, *desk, *x509.Certificate) []*x509.RevocationList { return nil }), "no_revocation_list"},
		{"whose list cannot be read", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			d.lists.err = errors.New("no such file")
			return d.lists.all
		}), "no_revocation_list"},
		{"whose list somebody of the same name signed", publish(func(t *testing.T, _ *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{cardtest.NewOffice(t, t0).Publish(nil)}
		}), "no_revocation_list"},
		{"whose list was changed after it was signed", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			changed := *d.Publish(nil)
			changed.RawTBSRevocationList = append([]byte(nil), changed.RawTBSRevocationList...)
			changed.RawTBSRevocationList[len(changed.RawTBSRevocationList)-1] ^= 1
			return []*x509.RevocationList{&changed}
		}), "no_revocation_list"},
		{"whose list was signed with SHA-1", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			weak := d.Publish(nil, func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.ECDSAWithSHA1 })
			if err := weak.CheckSignatureFrom(d.Cert); err != nil {
				t.Fatal("crypto/x509 does not take it either: ", err)
			}
			return []*x509.RevocationList{weak}
		}), "no_revocation_list"},
		{"whose list is a delta", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, extension(27, true, []byte{2, 1, 1}))}
		}), "no_revocation_list"},
		{"that a delta revokes", publish(func(_ *testing.T, d *desk, c *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil), d.Publish([]*x509.Certificate{c}, extension(27, true, []byte{2, 1, 1}))}
		}), "revoked"},
		{"whose list has a critical extension nobody knows", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, extension(99, true, []byte{5, 0}))}
		}), "no_revocation_list"},
		{"whose list has an extension nobody need know", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, extension(99, false, []byte{5, 0}))}
		}), ""},
		{"whose list is of its part", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "http://crl.pref.example/2"))}
		}), ""},
		{"whose list is of another part", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "http://crl.pref.example/1"))}
		}), "no_revocation_list"},
		{"whose list is of users", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "", 0x81, 1, 0xff))}
		}), ""},
		{"whose list is of authorities", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "", 0x82, 1, 0xff))}
		}), "no_revocation_list"},
		{"whose list is of some reasons", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "", 0x83, 2, 1, 6))}
		}), "no_revocation_list"},
		{"whose list is of several issuers", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "", 0x84, 1, 0xff))}
		}), "no_revocation_list"},
		{"whose list is of attributes", publish(func(t *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, cardtest.Parted(t, "", 0x85, 1, 0xff))}
		}), "no_revocation_list"},
		{"whose list is of nobody knows what", publish(func(_ *testing.T, d *desk, _ *x509.Certificate) []*x509.RevocationList {
			return []*x509.RevocationList{d.Publish(nil, extension(28, true, []byte{0x30, 1}))}
		}), "no_revocation_list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			chain := tt.card(t, d)
			if c, why := d.read(t, chain...); why != tt.why {
				t.Errorf("read as %v, refused for %q; want %q", c, why, tt.why)
			}
			// What is remembered of the lists says the same.
			if c, why := d.read(t, chain...); why != tt.why {
				t.Errorf("the second time: read as %v, refused for %q; want %q", c, why, tt.why)
			}
		})
	}
}

// extension adds 2.5.29.n to a list.
func extension(n int, critical bool, value []byte) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, n}, Critical: critical, Value: value})
	}
}

// TestWhatIsRememberedEnds: a list that is replaced, and the clock, count at
// once.
func TestWhatIsRememberedEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c := d.Issue("tanaka")
	if _, why := d.read(t, c); why != "" {
		t.Fatal(why)
	}
	d.revoke(c)
	if _, why := d.read(t, c); why != "revoked" {
		t.Errorf("with a new list: %q", why)
	}
	d.revoke()
	if _, why := d.read(t, c); why != "" {
		t.Errorf("with another: %q", why)
	}
	d.clock.Advance(7 * 24 * time.Hour)
	if _, why := d.read(t, c); why != "revocation_list_old" {
		t.Errorf("a week later: %q", why)
	}
	d.lists.all = nil
	if _, why := d.read(t, c); why != "no_revocation_list" {
		t.Errorf("with none: %q", why)
	}
}

// TestFirstAuthorityDecides: a card belongs to one authority, whatever another
// would say of it.
func TestFirstAuthorityDecides(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other, branch := cardtest.NewOffice(t, t0), d.Branch()
	d.lists.all = append(d.lists.all, other.Publish(nil), branch.Publish(nil))
	d.policy.Cards = []policy.CardAuthority{other.Authority("other"), d.Authority("staff-card"), branch.Authority("branch")}
	d.policy.Cards[1].Zones = []policy.ZoneID{policy.MyNumber}
	if c, why := d.read(t, other.Issue("tanaka")); c.Authority != "other" {
		t.Errorf("of the first: %v %q", c, why)
	}
	c := branch.Issue("tanaka")
	if read, why := d.read(t, c); read.Authority != "branch" {
		t.Errorf("of the third: %v %q", read, why)
	}
	// With the branch's own certificate, the second has signed it too.
	if read, why := d.read(t, c, branch.Cert); why != "not_in_this_zone" {
		t.Errorf("of the second and third: %v %q", read, why)
	}
}
