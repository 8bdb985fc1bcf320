package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func newKey(t testing.TB, make func() (crypto.Signer, error)) crypto.Signer {
	t.Helper()
	key, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func curveKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	return newKey(t, func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) })
}

// certificateOf is a certificate in PEM that key signs for itself.
func certificateOf(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) string {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's own CA"},
		NotBefore: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 4, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(form)
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// keyFile is the least policy with authorities of cards and makers of keys.
func keyFile(cards, roots []string) string {
	literal := func(text string, indent int) string {
		margin := strings.Repeat(" ", indent)
		return "|\n" + margin + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+margin) + "\n"
	}
	text := least
	if len(cards) > 0 {
		text += "cards:\n"
	}
	for i, ca := range cards {
		text += fmt.Sprintf("  - id: c%d\n    name: {ja: 職員証}\n    policy_oids: [2.999.1]\n    subject: email\n    ca: %s", i, literal(ca, 6))
	}
	if len(roots) > 0 {
		text += "passkey:\n  roots:\n"
	}
	for _, root := range roots {
		text += "    - " + literal(root, 6)
	}
	return text
}

func TestAuthorities(t *testing.T) {
	t.Parallel()
	p256, p384 := curveKey(t, elliptic.P256()), curveKey(t, elliptic.P384())
	edwards := newKey(t, func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err })
	large := newKey(t, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	small := newKey(t, func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) })
	good := certificateOf(t, p256, nil)
	leaf := func(c *x509.Certificate) { c.IsCA = false }
	private, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	for _, tt := range []struct {
		name         string
		cards, roots []string
		fields       []string // refused, in the order of the file
	}{
		{"one of each kind of key", []string{good, certificateOf(t, p384, nil), certificateOf(t, edwards, nil), certificateOf(t, large, nil)}, []string{good}, nil},
		{"a name before it, as openssl writes it", []string{"subject=CN = a test's own CA\n" + good}, nil, nil},
		{"an authority that renewed its certificate", []string{good + certificateOf(t, p256, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(2) })}, nil, nil},
		{"one key for two authorities", []string{good, certificateOf(t, p256, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(2) })}, nil, []string{"cards[1].ca"}},
		{"not a CA's", []string{certificateOf(t, p256, leaf)}, []string{certificateOf(t, p256, leaf)}, []string{"cards[0].ca", "passkey.roots[0]"}},
		{"one of two not a CA's", []string{good + certificateOf(t, p384, leaf)}, nil, []string{"cards[0].ca"}},
		{"RSA of 1024 bits", []string{certificateOf(t, small, nil)}, []string{certificateOf(t, small, nil)}, []string{"cards[0].ca", "passkey.roots[0]"}},
		{"P-224", []string{certificateOf(t, curveKey(t, elliptic.P224()), nil)}, nil, []string{"cards[0].ca"}},
		{"a private key", []string{secret}, []string{secret}, []string{"cards[0].ca", "passkey.roots[0]"}},
		{"a private key beside a certificate", []string{good + secret}, nil, []string{"cards[0].ca"}},
		{"a request", []string{strings.ReplaceAll(good, "CERTIFICATE", "CERTIFICATE REQUEST")}, nil, []string{"cards[0].ca"}},
		{"not DER", []string{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}, nil, []string{"cards[0].ca"}},
		{"a block that cannot be read before one that can", []string{"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + good}, nil, []string{"cards[0].ca"}},
		{"text after it", []string{good + "and so on"}, nil, []string{"cards[0].ca"}},
		{"two in one item", nil, []string{good + certificateOf(t, p384, nil)}, []string{"passkey.roots[0]"}},
		{"a maker twice", nil, []string{good, good}, []string{"passkey.roots[1]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, problems := Parse("p", []byte(keyFile(tt.cards, tt.roots)))
			var fields []string
			for _, q := range problems {
				fields = append(fields, q.Field)
				if q.Article != "64-1" {
					t.Errorf("%s: article %q", q.Field, q.Article)
				}
			}
			if !slices.Equal(fields, tt.fields) || (p == nil) != (len(tt.fields) > 0) {
				t.Errorf("refused %v, want %v", problems, tt.fields)
			}
			if said := problems.Text("ja") + problems.Text("en"); strings.Contains(said, strings.Split(secret, "\n")[1]) {
				t.Error("the private key is repeated")
			}
		})
	}
}

func TestDemandsAndCardsBeginAtTheirDefaults(t *testing.T) {
	t.Parallel()
	ca := certificateOf(t, curveKey(t, elliptic.P256()), nil)
	p := mustParse(t, keyFile([]string{ca}, []string{ca})+"  demands: [{aaguids: [5ec1571f-6f1b-4b9a-8d43-1f3a7c2e9b10]}]\n")
	if a := p.Cards[0]; a.Match != CardMatchLogin || a.Zones != nil {
		t.Errorf("cards %+v", a)
	}
	if d := p.Passkey.Demands[0]; d.Attestation || len(d.Posts) > 0 || p.Passkey.MaxKeys != 5 {
		t.Errorf("passkey %+v", p.Passkey)
	}
	for _, s := range []string{"passkey.demands[].attestation", "cards[].match"} {
		if _, ok := settingsByPath[s]; !ok {
			t.Errorf("%s is no setting", s)
		}
	}
}
