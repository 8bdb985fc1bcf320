package card

import (
	"crypto/x509"
	"math/big"
	"testing"
)

// TestSignaturesForget: a list that was replaced is not held on to, nor is what
// is known of more issuers than there can be.
func TestSignaturesForget(t *testing.T) {
	t.Parallel()
	var s signatures
	old, new := []*x509.RevocationList{{}, {}}, []*x509.RevocationList{{}}
	issuer := func(n int64) *x509.Certificate { return &x509.Certificate{Raw: big.NewInt(n).Bytes()} }
	for _, l := range old {
		if s.by("staff", old, l, issuer(1)) {
			t.Error("an empty list is signed")
		}
	}
	if n := len(s.of["staff"].answer); n != 2 {
		t.Errorf("%d answers of two", n)
	}
	s.by("staff", new, new[0], issuer(1))
	if n := len(s.of["staff"].answer); n != 1 {
		t.Errorf("%d answers after the list was replaced", n)
	}
	for n := range int64(2 * maxSignatures) {
		s.by("staff", new, new[0], issuer(n+1))
	}
	if n := len(s.of["staff"].answer); n > maxSignatures {
		t.Errorf("%d answers are held", n)
	}
}
