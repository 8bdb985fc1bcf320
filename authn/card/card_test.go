package card_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/card"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

var (
	ctx = context.Background()
	t0  = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
)

const pin = "1.2.392.200999.1.2"

// An office issues cards.
type office struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{t: t, key: newKey(t)}
	o.cert = o.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Card CA"}, NotBefore: t0.AddDate(-1, 0, 0), NotAfter: t0.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, o.key.Public())
	o.next = 100
	return o
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (o *office) sign(form, by *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	o.t.Helper()
	if by == nil {
		by = form
	}
	der, err := x509.CreateCertificate(rand.Reader, form, by, public, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// issue makes a card for tanaka, but for what change says.
func (o *office) issue(change ...func(*x509.Certificate)) *x509.Certificate {
	o.t.Helper()
	return o.issueTo(newKey(o.t).Public(), change...)
}

func (o *office) issueTo(public crypto.PublicKey, change ...func(*x509.Certificate)) *x509.Certificate {
	o.t.Helper()
	o.next++
	oid, err := x509.ParseOID(pin)
	if err != nil {
		o.t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(o.next), Subject: pkix.Name{CommonName: "tanaka", SerialNumber: "S-7"},
		NotBefore: t0.AddDate(0, -1, 0), NotAfter: t0.AddDate(1, 0, 0), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Policies: []x509.OID{oid}, EmailAddresses: []string{"tanaka@pref.example"},
	}
	for _, c := range change {
		c(form)
	}
	return o.sign(form, o.cert, public)
}

// list is the office's revocation list at t0, good for a week, but for what
// change says.
func (o *office) list(revoked []*x509.Certificate, change ...func(*x509.RevocationList)) *x509.RevocationList {
	o.t.Helper()
	form := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: t0.Add(-time.Hour), NextUpdate: t0.Add(7 * 24 * time.Hour)}
	for _, c := range revoked {
		form.RevokedCertificateEntries = append(form.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: t0.Add(-time.Hour)})
	}
	for _, c := range change {
		c(form)
	}
	der, err := x509.CreateRevocationList(rand.Reader, form, o.cert, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return l
}

func (o *office) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.cert.Raw}))
}

// lists are given as they are.
type lists struct {
	all []*x509.RevocationList
	err error
}

func (l *lists) For(string) ([]*x509.RevocationList, error) { return l.all, l.err }

// A desk reads the cards of one office.
type desk struct {
	*card.Reader
	*office
	db     *store.DB
	clock  *clock.Fake
	policy *policy.Policy
	lists  *lists
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{office: newOffice(t), clock: clock.NewFake(t0), policy: policy.Standard()}
	var err error
	if d.db, err = store.Open(ctx, store.Config{Driver: "sqlite", Path: filepath.Join(t.TempDir(), "sekisho.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	d.lists = &lists{all: []*x509.RevocationList{d.list(nil)}}
	d.policy.Cards = []policy.CardAuthority{{
		ID: "staff-card", Name: policy.Words{JA: "職員証", EN: "Staff card"}, CA: d.pem(), PolicyOIDs: []string{"1.2.3.4", pin},
		Subject: "common_name", Match: policy.CardMatchLogin,
	}}
	d.Reader = card.New(d.db, d.lists, d.clock.Now, func() *policy.Policy { return d.policy })
	return d
}

func (d *desk) read(chain ...*x509.Certificate) (card.Card, error) {
	return d.Read(ctx, chain, policy.LGWAN)
}

func TestGoodCard(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c, err := d.read(d.issue())
	if err != nil {
		t.Fatal(err)
	}
	if c.Subject != "tanaka" || c.Match != "login" || c.Authority != "staff-card" || len(c.ID) != 64 {
		t.Errorf("read as %+v", c)
	}
	if strings.Contains(c.String(), "tanaka") {
		t.Error("a card prints whom it names")
	}
}

func TestRefusedCards(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // that it is weak is the point
	if err != nil {
		t.Skip("this Go makes no weak keys:", err)
	}
	for _, tt := range []struct {
		name string
		card func(d *desk) []*x509.Certificate
		why  string
	}{
		{"of another authority", func(d *desk) []*x509.Certificate { return []*x509.Certificate{newOffice(t).issue()} }, "unknown_authority"},
		{"that signed itself", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{newOffice(t).cert}
		}, "unknown_authority"},
		{"that is the authority", func(d *desk) []*x509.Certificate { return []*x509.Certificate{d.cert} }, "is_an_authority"},
		{"that has ended", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.NotAfter = t0.Add(-time.Second) })}
		}, "expired"},
		{"that has not begun", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.NotBefore = t0.Add(time.Hour) })}
		}, "expired"},
		{"for servers", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })}
		}, "not_for_clients"},
		{"for nothing that is said", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.ExtKeyUsage = nil })}
		}, "not_for_clients"},
		{"without a policy", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.Policies = nil })}
		}, "policy"},
		{"of another policy", func(d *desk) []*x509.Certificate {
			other, err := x509.ParseOID(pin + ".1")
			if err != nil {
				t.Fatal(err)
			}
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.Policies = []x509.OID{other} })}
		}, "policy"},
		{"with a weak key", func(d *desk) []*x509.Certificate { return []*x509.Certificate{d.issueTo(weak.Public())} }, "weak_key"},
		{"that names nobody", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.Subject = pkix.Name{} })}
		}, "names_nobody"},
		{"that names two", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) {
				c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{
					{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "tanaka"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "sato"},
				}
				c.Subject.CommonName = ""
			})}
		}, "names_nobody"},
		{"with a line break in the name", func(d *desk) []*x509.Certificate {
			return []*x509.Certificate{d.issue(func(c *x509.Certificate) { c.Subject.CommonName = "tana\nka" })}
		}, "names_nobody"},
		{"that was revoked", func(d *desk) []*x509.Certificate {
			c := d.issue()
			d.lists.all = []*x509.RevocationList{d.list([]*x509.Certificate{c})}
			return []*x509.Certificate{c}
		}, "revoked"},
		{"that an old list revokes", func(d *desk) []*x509.Certificate {
			c := d.issue()
			d.lists.all = []*x509.RevocationList{d.list([]*x509.Certificate{c}, func(l *x509.RevocationList) { l.NextUpdate = t0.Add(-time.Minute) }), d.list(nil)}
			return []*x509.Certificate{c}
		}, "revoked"},
		{"whose list is old", func(d *desk) []*x509.Certificate {
			d.lists.all = []*x509.RevocationList{d.list(nil, func(l *x509.RevocationList) { l.NextUpdate = t0 })}
			return []*x509.Certificate{d.issue()}
		}, "revocation_list_old"},
		{"whose list is of tomorrow", func(d *desk) []*x509.Certificate {
			d.lists.all = []*x509.RevocationList{d.list(nil, func(l *x509.RevocationList) { l.ThisUpdate = t0.Add(time.Hour) })}
			return []*x509.Certificate{d.issue()}
		}, "revocation_list_old"},
		{"without a list", func(d *desk) []*x509.Certificate {
			d.lists.all = nil
			return []*x509.Certificate{d.issue()}
		}, "no_revocation_list"},
		{"whose list cannot be read", func(d *desk) []*x509.Certificate {
			d.lists.err = errors.New("no such file")
			return []*x509.Certificate{d.issue()}
		}, "no_revocation_list"},
		{"whose list somebody else signed", func(d *desk) []*x509.Certificate {
			d.lists.all = []*x509.RevocationList{newOffice(t).list(nil)}
			return []*x509.Certificate{d.issue()}
		}, "no_revocation_list"},
		{"in another zone", func(d *desk) []*x509.Certificate {
			d.policy.Cards[0].Zones = []policy.ZoneID{policy.MyNumber}
			return []*x509.Certificate{d.issue()}
		}, "not_in_this_zone"},
		{"where the policy knows none", func(d *desk) []*x509.Certificate {
			d.policy.Cards = nil
			return []*x509.Certificate{d.issue()}
		}, "unknown_authority"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			var no *card.Refused
			if c, err := d.read(tt.card(d)...); !errors.As(err, &no) || no.Why != tt.why {
				t.Errorf("Read = %+v, %v; want refused for %q", c, err, tt.why)
			}
		})
	}
	t.Run("none at all", func(t *testing.T) {
		t.Parallel()
		if _, err := newDesk(t).read(); !errors.Is(err, card.ErrNone) {
			t.Error(err)
		}
	})
	t.Run("a reader without lists", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t)
		r := card.New(d.db, nil, d.clock.Now, func() *policy.Policy { return d.policy })
		if _, err := r.Read(ctx, []*x509.Certificate{d.issue()}, policy.LGWAN); err == nil {
			t.Error("a card is good although nobody knows what was revoked")
		}
	})
}

// TestRevokedBetween: what an authority between was revoked for ends its cards.
func TestRevokedBetween(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	between := &office{t: t, key: newKey(t), next: 500}
	d.next++
	between.cert = d.sign(&x509.Certificate{
		SerialNumber: big.NewInt(d.next), Subject: pkix.Name{CommonName: "Branch CA"}, NotBefore: t0.AddDate(-1, 0, 0), NotAfter: t0.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, d.cert, between.key.Public())
	leaf := between.issue()
	d.lists.all = []*x509.RevocationList{d.list(nil), between.list(nil)}
	if _, err := d.read(leaf, between.cert); err != nil {
		t.Fatal("through an authority between:", err)
	}
	if _, err := d.read(leaf); err == nil {
		t.Error("without the certificate between")
	}
	d.lists.all = []*x509.RevocationList{d.list([]*x509.Certificate{between.cert}), between.list(nil)}
	var no *card.Refused
	if _, err := d.read(leaf, between.cert); !errors.As(err, &no) || no.Why != "revoked" {
		t.Errorf("under a revoked authority: %v", err)
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	principal := func(c *x509.Certificate) {
		name, err := asn1.MarshalWithParams("tanaka@pref.local", "utf8")
		if err != nil {
			t.Fatal(err)
		}
		oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		value, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: name})
		if err != nil {
			t.Fatal(err)
		}
		other, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(oid, value...)})
		if err != nil {
			t.Fatal(err)
		}
		names, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: other})
		if err != nil {
			t.Fatal(err)
		}
		c.EmailAddresses = nil
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}
	}
	user := func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "tanaka-u"}}
	}
	for _, tt := range []struct {
		by, want string
		change   func(*x509.Certificate)
	}{
		{"common_name", "tanaka", func(*x509.Certificate) {}},
		{"serial_number", "S-7", func(*x509.Certificate) {}},
		{"email", "tanaka@pref.example", func(*x509.Certificate) {}},
		{"user_id", "tanaka-u", user},
		{"principal_name", "tanaka@pref.local", principal},
		{"user_id", "", func(*x509.Certificate) {}},
		{"principal_name", "", func(*x509.Certificate) {}},
		{"email", "", func(c *x509.Certificate) { c.EmailAddresses = append(c.EmailAddresses, "sato@pref.example") }},
		{"anything else", "", func(*x509.Certificate) {}},
	} {
		d := newDesk(t)
		d.policy.Cards[0].Subject = tt.by
		c, err := d.read(d.issue(tt.change))
		if c.Subject != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("by %s: %q, %v; want %q", tt.by, c.Subject, err, tt.want)
		}
	}
}

// TestUse: a card is its first user's for good, and a removed one is nobody's.
func TestUse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c, err := d.read(d.issue())
	if err != nil {
		t.Fatal(err)
	}
	do := func(act func(tx *store.Tx) error) error { return d.db.WithTx(ctx, act) }
	use := func() error {
		return do(func(tx *store.Tx) error { return d.Use(ctx, tx, "id-tanaka", c) })
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(time.Hour)
	if err := use(); err != nil {
		t.Fatal("again:", err)
	}
	seen, err := d.List(ctx, "id-tanaka")
	if err != nil || len(seen) != 1 || seen[0].ID != c.ID || seen[0].Name != "職員証" || !seen[0].LastUsedAt.Equal(t0.Add(time.Hour)) || !seen[0].AddedAt.Equal(t0) {
		t.Fatalf("List = %+v, %v", seen, err)
	}
	var no *card.Refused
	if err := do(func(tx *store.Tx) error { return d.Use(ctx, tx, "id-sato", c) }); !errors.As(err, &no) {
		t.Errorf("another person: %v", err)
	}
	if err := do(func(tx *store.Tx) error { return d.Remove(ctx, tx, "id-sato", c.ID) }); !errors.Is(err, card.ErrNoCard) {
		t.Errorf("removed by another person: %v", err)
	}
	if err := do(func(tx *store.Tx) error { return d.Remove(ctx, tx, "id-tanaka", c.ID) }); err != nil {
		t.Fatal(err)
	}
	if err := use(); !errors.As(err, &no) {
		t.Errorf("after it was removed: %v", err)
	}
	if err := do(func(tx *store.Tx) error { return d.Remove(ctx, tx, "id-tanaka", c.ID) }); !errors.Is(err, card.ErrNoCard) {
		t.Errorf("removed twice: %v", err)
	}
	if n, err := d.Count(ctx, d.db, "id-tanaka"); err != nil || n != 0 {
		t.Errorf("Count = %d, %v", n, err)
	}
}

// TestFirstUseRace: of two persons a card could name at once, it becomes one's.
func TestFirstUseRace(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	c, err := d.read(d.issue())
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			if d.db.WithTx(ctx, func(tx *store.Tx) error { return d.Use(ctx, tx, directory.PersonID(who), c) }) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("the card is of %d persons", won.Load())
	}
}

// TestFiles: a list is read again when its file changes, and one that has gone
// is not remembered.
func TestFiles(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := clock.NewFake(t0)
	path := filepath.Join(t.TempDir(), "crl")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := card.NewFiles(map[string][]string{"staff": {path}}, c.Now)
	if _, err := f.For("staff"); err == nil {
		t.Error("a file that is not there")
	}
	if _, err := f.For("others"); err == nil {
		t.Error("an authority without files")
	}
	write(o.list(nil).Raw)
	if _, err := f.For("staff"); err == nil {
		t.Error("it is looked at more than once a second")
	}
	c.Advance(time.Second)
	if l, err := f.For("staff"); err != nil || len(l) != 1 || len(l[0].RevokedCertificateEntries) != 0 {
		t.Fatalf("DER: %v, %v", l, err)
	}
	one := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: o.list([]*x509.Certificate{o.issue()}).Raw})
	write(bytes.Repeat(one, 2))
	c.Advance(2 * time.Second)
	if l, err := f.For("staff"); err != nil || len(l) != 2 || len(l[1].RevokedCertificateEntries) != 1 {
		t.Errorf("PEM of two: %v, %v", l, err)
	}
	for name, b := range map[string][]byte{
		"nonsense": []byte("nonsense"), "a certificate": []byte(o.pem()), "empty": nil,
		"half a list": one[:len(one)/2],
	} {
		write(b)
		c.Advance(time.Minute)
		if l, err := f.For("staff"); err == nil {
			t.Errorf("%s: %d lists", name, len(l))
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	if _, err := f.For("staff"); err == nil {
		t.Error("a list that has gone is remembered")
	}
}

func TestParseForwarded(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	c := o.issue()
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	rfc := ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":"
	for name, h := range map[string]string{
		"RFC 9440": rfc, "with space around": "  " + rfc + " ",
		"nginx":                       url.PathEscape(text),
		"with the letters left alone": strings.ReplaceAll(url.PathEscape(text), "%2B", "+"),
	} {
		if chain, err := card.ParseForwarded(h); err != nil || len(chain) != 1 || !chain[0].Equal(c) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if chain, err := card.ParseForwarded(url.PathEscape(text + o.pem())); err != nil || len(chain) != 2 {
		t.Errorf("with its authority: %d, %v", len(chain), err)
	}
	if _, err := card.ParseForwarded(""); !errors.Is(err, card.ErrNone) {
		t.Errorf("nothing: %v", err)
	}
	for name, h := range map[string]string{
		"text": "tanaka", "half of RFC 9440": rfc[:len(rfc)-1], "no base64": ":%%%:", "no certificate": ":AAAA:", "an empty sequence": "::",
		"half an escape": url.PathEscape(text) + "%2", "a key": url.PathEscape("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"something behind it": url.PathEscape(text + "tail"), "five": url.PathEscape(strings.Repeat(text, 5)),
		"too long": strings.Repeat("A", card.MaxForwarded+1),
	} {
		if chain, err := card.ParseForwarded(h); err == nil || len(chain) > 0 {
			t.Errorf("%s is taken for %d certificates", name, len(chain))
		}
	}
}

func FuzzParseForwarded(f *testing.F) {
	o := newOffice(f)
	c := o.issue()
	f.Add(":" + base64.StdEncoding.EncodeToString(c.Raw) + ":")
	f.Add(url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))))
	f.Add("::")
	f.Add("%")
	d := newDesk(f)
	f.Fuzz(func(t *testing.T, header string) {
		chain, err := card.ParseForwarded(header)
		if (err == nil) != (len(chain) > 0) {
			t.Fatalf("%d certificates and %v", len(chain), err)
		}
		if err != nil {
			return
		}
		// Whatever a stranger writes, it is of no authority of ours.
		if read, err := d.read(chain...); err == nil {
			t.Errorf("%v is good", read)
		}
	})
}
