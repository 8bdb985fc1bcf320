// Package cardtest is an office that issues IC cards to tests, good ones and
// bad ones, and says which it has revoked.
package cardtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/policy"
)

// PIN is the policy of the office's cards: their key lies behind a PIN.
const PIN = "2.999.1.1"

// An Office is an authority with its key.
type Office struct {
	Cert *x509.Certificate

	t   testing.TB
	at  time.Time
	key crypto.Signer
}

// serial is of the whole process, so that no two certificates of a test have
// the same one by accident.
var serial atomic.Int64

// NewOffice is an authority that is at work at a time.
func NewOffice(t testing.TB, at time.Time) *Office {
	t.Helper()
	return newOffice(t, at, nil, Key(t), nil)
}

// Branch is an authority below this one, but for what change says. It may give
// out cards under the same policy.
func (o *Office) Branch(change ...func(*x509.Certificate)) *Office {
	o.t.Helper()
	return newOffice(o.t, o.at, o, Key(o.t), change)
}

// BranchWith is a Branch with a key of one's choice.
func (o *Office) BranchWith(key crypto.Signer) *Office {
	o.t.Helper()
	return newOffice(o.t, o.at, o, key, nil)
}

// RenewedBelow is this branch with the same key and another certificate of who
// stands above it.
func (o *Office) RenewedBelow(above *Office) *Office {
	o.t.Helper()
	return newOffice(o.t, o.at, above, o.key, nil)
}

// As is the office signing under another certificate's name.
func (o *Office) As(cert *x509.Certificate) *Office {
	return &Office{Cert: cert, t: o.t, at: o.at, key: o.key}
}

// Renewed is the same authority with the same key and another certificate.
func (o *Office) Renewed(change ...func(*x509.Certificate)) *Office {
	o.t.Helper()
	return newOffice(o.t, o.at, nil, o.key, change)
}

func newOffice(t testing.TB, at time.Time, above *Office, key crypto.Signer, change []func(*x509.Certificate)) *Office {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "Card Office"},
		NotBefore: at.AddDate(-1, 0, 0), NotAfter: at.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	o := &Office{t: t, at: at, key: key}
	if above != nil {
		form.Subject.CommonName, form.Policies = "Branch Office", []x509.OID{OID(t, PIN)}
	}
	for _, c := range change {
		c(form)
	}
	if above == nil {
		above = &Office{Cert: form, t: t, key: key}
	}
	o.Cert = above.sign(form, key.Public())
	return o
}

// Key is a P-256 key.
func Key(t testing.TB) crypto.Signer {
	t.Helper()
	return KeyOn(t, elliptic.P256())
}

// KeyOn is a key on a curve.
func KeyOn(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// OID reads an object identifier.
func OID(t testing.TB, text string) x509.OID {
	t.Helper()
	oid, err := x509.ParseOID(text)
	if err != nil {
		t.Fatal(err)
	}
	return oid
}

func (o *Office) sign(form *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	o.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, form, o.Cert, public, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// Issue makes a card for a login, but for what change says. Nobody has its key.
func (o *Office) Issue(login string, change ...func(*x509.Certificate)) *x509.Certificate {
	o.t.Helper()
	return o.IssueTo(Key(o.t).Public(), login, change...)
}

// IssueTo makes a card with the public half of a key.
func (o *Office) IssueTo(public crypto.PublicKey, login string, change ...func(*x509.Certificate)) *x509.Certificate {
	o.t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: login, SerialNumber: "S-" + login},
		NotBefore: o.at.AddDate(0, -1, 0), NotAfter: o.at.AddDate(1, 0, 0), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Policies: []x509.OID{OID(o.t, PIN)}, EmailAddresses: []string{login + "@pref.example"},
	}
	for _, c := range change {
		c(form)
	}
	return o.sign(form, public)
}

// Publish makes the office's revocation list, good for a week, but for what change
// says.
func (o *Office) Publish(revoked []*x509.Certificate, change ...func(*x509.RevocationList)) *x509.RevocationList {
	o.t.Helper()
	form := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: o.at.Add(-time.Hour), NextUpdate: o.at.Add(7 * 24 * time.Hour)}
	for _, c := range revoked {
		form.RevokedCertificateEntries = append(form.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: o.at.Add(-time.Hour)})
	}
	for _, c := range change {
		c(form)
	}
	der, err := x509.CreateRevocationList(rand.Reader, form, o.Cert, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return l
}

// Authority is what policy.yaml says of the office: its cards name a login in
// their common name.
func (o *Office) Authority(id string) policy.CardAuthority {
	return policy.CardAuthority{
		ID: id, Name: policy.Words{JA: "職員証", EN: "Staff card"}, CA: PEM(o.Cert), PolicyOIDs: []string{PIN},
		Subject: "common_name", Match: policy.CardMatchLogin,
	}
}

// PEM writes certificates one after another.
func PEM(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

// ListPEM writes revocation lists one after another.
func ListPEM(lists ...*x509.RevocationList) []byte {
	var b []byte
	for _, l := range lists {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.Raw})...)
	}
	return b
}

// Principals replaces a card's alternative names by user principal names, each
// in a string of the given ASN.1 type ("utf8", "ia5").
func Principals(t testing.TB, kind string, names ...string) func(*x509.Certificate) {
	t.Helper()
	var all []byte
	for _, n := range names {
		text, err := asn1.MarshalWithParams(n, kind)
		if err != nil {
			t.Fatal(err)
		}
		oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Tagged(t, 0, append(oid, Tagged(t, 0, text)...))...)
	}
	return func(c *x509.Certificate) {
		c.EmailAddresses = nil
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: Sequence(t, all)})
	}
}

// Parted makes a revocation list one for a part of the certificates: those that
// point at an address, where there is one, and what else flags say, as DER of
// the fields of an IssuingDistributionPoint.
func Parted(t testing.TB, address string, flags ...byte) func(*x509.RevocationList) {
	t.Helper()
	var fields []byte
	if address != "" {
		uri, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(address)})
		if err != nil {
			t.Fatal(err)
		}
		fields = Tagged(t, 0, Tagged(t, 0, uri))
	}
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: Sequence(t, append(fields, flags...))})
	}
}

// Tagged wraps DER in a constructed, context-specific tag.
func Tagged(t testing.TB, tag int, der []byte) []byte {
	t.Helper()
	out, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: der})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Sequence wraps DER in a SEQUENCE.
func Sequence(t testing.TB, der []byte) []byte {
	t.Helper()
	out, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: der})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
