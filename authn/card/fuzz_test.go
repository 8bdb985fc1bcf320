package card

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode"

	"sekisho/policy"
)

// FuzzNamed feeds what a stranger's certificate can hold to the reader of
// alternative names.
func FuzzNamed(f *testing.F) {
	f.Add([]byte("\x30\x1e\xa0\x1c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x14\x02\x03\xa0\x0e\x0c\x0ctanaka@local"))
	f.Add([]byte("\x30\x0a\x81\x08a@b.test"))
	f.Add([]byte{0x30, 0})
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, san []byte) {
		c := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidAlternative, Value: san}}}
		name, ok := named(c, "principal_name")
		if ok != (name != "") || len(name) > maxSubject || strings.ContainsFunc(name, unicode.IsControl) {
			t.Errorf("%q, %t", name, ok)
		}
		if ok && len(principals(c)) != 1 {
			t.Error("one of several names was chosen")
		}
	})
}

// FuzzCovers feeds a list's scope and a certificate's places to their readers. A
// list that is not understood covers nobody.
func FuzzCovers(f *testing.F) {
	f.Add([]byte("\x30\x0f\xa0\x0d\xa0\x0b\x86\x09http://a/"), []byte("\x30\x11\x30\x0f\xa0\x0d\xa0\x0b\x86\x09http://a/"))
	f.Add([]byte{0x30, 3, 0x81, 1, 0xff}, []byte{0x30, 0})
	f.Add([]byte{0x30, 0}, []byte{})
	f.Fuzz(func(t *testing.T, scope, points []byte) {
		l := &x509.RevocationList{Extensions: []pkix.Extension{{Id: oidScope, Critical: true, Value: scope}}}
		c := &x509.Certificate{Extensions: []pkix.Extension{{Id: oidDistribution, Value: points}}}
		user := covers(l, c)
		c.IsCA = true
		if user && covers(l, c) && len(scope) > 2 && scope[0] == 0x30 && scope[2] != 0xa0 {
			t.Error("a list of a part covers everybody")
		}
		l.Extensions = append(l.Extensions, pkix.Extension{Id: oidDelta, Value: []byte{2, 1, 1}})
		if covers(l, c) {
			t.Error("a delta covers somebody")
		}
	})
}

// FuzzRead brings whatever parses as a certificate to a reader whose policy has
// no such authority.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0x30, 0x82})
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	form := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "tanaka"}, EmailAddresses: []string{"a@b.test"}}
	f.Add(must(x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)))
	p := policy.Standard()
	r := New(nil, nil, time.Now, func() *policy.Policy { return p })
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if _, err := r.Read(t.Context(), []*x509.Certificate{c}, policy.LGWAN); err == nil {
			t.Error("a stranger's certificate is a card")
		}
		for _, by := range policy.CardSubjects() {
			if name, ok := named(c, by); ok && strings.ContainsFunc(name, unicode.IsControl) {
				t.Errorf("%s: %q", by, name)
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
