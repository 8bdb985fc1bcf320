package passkey_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/policy"
	"sekisho/policy/secret"
)

func maker(t *testing.T, name string) *passkeytest.Maker {
	t.Helper()
	m, err := passkeytest.NewMaker(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAttestation: a demand for the maker's word takes the word of a maker that
// the policy trusts, and nobody else's.
func TestAttestation(t *testing.T) {
	t.Parallel()
	trusted, other := maker(t, "Trusted Keys"), maker(t, "Other Keys")
	// What was good for a year had ended when the clock of the tests starts.
	year := func(y int) (time.Time, time.Time) {
		return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	elsewhere := [16]byte{1, 2, 3}
	from, until := year(2026)
	for name, tt := range map[string]struct {
		by     passkeytest.Attestation
		at     time.Duration // from the bench's clock
		reason string        // "": accepted
	}{
		"a trusted maker":                {by: trusted.Packed},
		"another maker":                  {by: other.Packed, reason: "attestation"},
		"the key itself":                 {by: passkeytest.Self, reason: "attestation"},
		"nobody":                         {by: passkeytest.None, reason: "attestation"},
		"a certificate of this year":     {by: trusted.PackedAs(passkeytest.Model, from, until)},
		"the same, by a clock of before": {by: trusted.PackedAs(passkeytest.Model, from, until), at: -365 * 24 * time.Hour, reason: "attestation"},
		"a chain without its middle":     {by: shortened(trusted.Packed), reason: "attestation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.clock.Advance(tt.at)
			b.pol.Passkey.Roots = []string{maker(t, "Unrelated").Root, trusted.Root}
			b.pol.Passkey.Demands = []policy.PasskeyDemand{{Attestation: true, AAGUIDs: []string{passkeytest.ModelID}}}
			e := b.begin(mira)
			answer, key := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.Attestation = tt.by })
			kept, err := b.finish(mira, e.ID, "key", answer)
			var no *passkey.NotAccepted
			if tt.reason != "" {
				if !errors.As(err, &no) || no.Reason != tt.reason {
					t.Errorf("FinishEnrol: %v, want %q", err, tt.reason)
				}
				return
			}
			if err != nil || !kept.Attested {
				t.Fatalf("FinishEnrol = %+v, %v", kept, err)
			}
			// It stays attested, and is so when it is used.
			if keys, err := b.List(t.Context(), mira.ID); err != nil || !keys[0].Attested {
				t.Errorf("listed: %+v, %v", keys, err)
			}
			a, err := b.verify(b.answer(key))
			if err != nil || passkey.Acceptable(b.pol, nil, "", a.Key) != nil {
				t.Errorf("used: %+v, %v", a.Key, err)
			}
		})
	}
	t.Run("for another model", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.pol.Passkey.Roots, b.pol.Passkey.Demands = []string{trusted.Root}, []policy.PasskeyDemand{{Attestation: true}}
		e := b.begin(mira)
		answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.Attestation = trusted.PackedAs(elsewhere, from, until) })
		_, err := b.finish(mira, e.ID, "key", answer)
		refused(t, "a certificate of another model", err, passkey.ErrWrong, "wrong_attestation")
	})
	t.Run("of another model", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.pol.Passkey.Roots = []string{trusted.Root}
		b.pol.Passkey.Demands = []policy.PasskeyDemand{{Attestation: true, AAGUIDs: []string{passkeytest.ModelID}}}
		e := b.begin(mira)
		answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.AAGUID, t.Attestation = elsewhere, trusted.Packed })
		_, err := b.finish(mira, e.ID, "key", answer)
		if no := (*passkey.NotAccepted)(nil); !errors.As(err, &no) || no.Reason != "model" {
			t.Errorf("FinishEnrol: %v", err)
		}
	})
	t.Run("a broken signature", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.pol.Passkey.Roots, b.pol.Passkey.Demands = []string{trusted.Root}, []policy.PasskeyDemand{{Attestation: true}}
		e := b.begin(mira)
		answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.Attestation, t.BreakSignature = trusted.Packed, true })
		_, err := b.finish(mira, e.ID, "key", answer)
		refused(t, "a broken signature", err, passkey.ErrWrong, "wrong_attestation")
	})
	t.Run("no roots", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.pol.Passkey.Roots, b.pol.Passkey.Demands = []string{"not PEM"}, []policy.PasskeyDemand{{Attestation: true}}
		e := b.begin(mira)
		answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.Attestation = trusted.Packed })
		_, err := b.finish(mira, e.ID, "key", answer)
		if no := (*passkey.NotAccepted)(nil); !errors.As(err, &no) || no.Reason != "attestation" {
			t.Errorf("FinishEnrol: %v", err)
		}
	})
	t.Run("nobody asked", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.pol.Passkey.Roots = []string{trusted.Root}
		kept, key := b.enrolled(mira, "key", func(t *passkeytest.Tweak) { t.Attestation = trusted.Packed })
		if kept.Attested {
			t.Error("attested although nobody asked")
		}
		// A demand made later finds it wanting.
		b.pol.Passkey.Demands = []policy.PasskeyDemand{{Attestation: true}}
		a, err := b.verify(b.answer(key))
		if err != nil || passkey.Acceptable(b.pol, nil, "", a.Key) == nil {
			t.Errorf("used: %+v, %v", a.Key, err)
		}
	})
}

// shortened leaves a statement only its first certificate.
func shortened(by passkeytest.Attestation) passkeytest.Attestation {
	return func(m passkeytest.Made) (string, map[string]any, error) {
		format, statement, err := by(m)
		if err == nil {
			statement["x5c"] = statement["x5c"].([][]byte)[:1]
		}
		return format, statement, err
	}
}

// TestHeavyCertificate: a statement must not hold up the store by the work it
// makes.
func TestHeavyCertificate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// A modulus of 4104 bits that nobody knows the primes of: it is only read.
	large := &rsa.PublicKey{N: new(big.Int).SetBytes(append([]byte{0x80}, secret.Bytes(512)...)), E: 65537}
	large.N.SetBit(large.N, 0, 1)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: b.clock.Now().Add(50 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, large, private)
	if err != nil {
		t.Fatal(err)
	}
	e := b.begin(mira)
	good := maker(t, "Keys")
	for name, chain := range map[string]func([][]byte) [][]byte{
		"a large key":           func(c [][]byte) [][]byte { return append(c, der) },
		"too many certificates": func(c [][]byte) [][]byte { return append(c, c[1], c[1], c[1], c[1], c[1], c[1], c[1]) },
	} {
		answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) {
			t.Attestation = func(m passkeytest.Made) (string, map[string]any, error) {
				format, statement, err := good.Packed(m)
				if err == nil {
					statement["x5c"] = chain(statement["x5c"].([][]byte))
				}
				return format, statement, err
			}
		})
		_, err = b.finish(mira, e.ID, "key", answer)
		refused(t, name, err, passkey.ErrWrong, "wrong_attestation")
	}
}

// TestTPM: the certificates of TPMs name their maker in a critical extension that
// crypto/x509 does not know. It is borne in their own format and in no other.
func TestTPM(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TPM Root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: b.clock.Now(), NotAfter: b.clock.Now().Add(time.Hour),
	}
	names, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true}}) // one directory name
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(c *x509.Certificate, extensions ...pkix.Extension) []byte {
		c.ExtraExtensions = extensions
		der, err := x509.CreateCertificate(rand.Reader, c, root, &private.PublicKey, private)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	san := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: names}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	elsewhere := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}, Value: append([]byte{4, 16}, make([]byte, 16)...)}
	here := elsewhere
	here.Value = append([]byte{4, 16}, passkeytest.Model[:]...)
	more := here
	more.Value = append(more.Value[:len(more.Value):len(more.Value)], 0)
	roots := []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate(root)}))}
	for name, tt := range map[string]struct {
		format string
		leaf   []byte
		want   bool
	}{
		"a TPM's":                      {"tpm", certificate(leaf, san), true},
		"in another format":            {"packed", certificate(leaf, san), false},
		"with what nobody knows":       {"tpm", certificate(leaf, san, unknown), false},
		"of another kind, in its form": {"packed", certificate(leaf), true},
		"for this model":               {"tpm", certificate(leaf, san, here), true},
		"for another":                  {"tpm", certificate(leaf, san, elsewhere), false},
		"for this and something else":  {"tpm", certificate(leaf, san, more), false},
	} {
		got := passkey.Vouched(protocol.AttestationObject{
			Format: tt.format, AttStatement: map[string]any{"x5c": []any{tt.leaf}},
			AuthData: protocol.AuthenticatorData{AttData: protocol.AttestedCredentialData{AAGUID: passkeytest.Model[:]}},
		}, roots, b.clock.Now())
		if got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestU2F: a token's statement is rightly signed and yet says nothing of what we
// ask for.
func TestU2F(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: b.clock.Now().Add(50 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	token := func(m passkeytest.Made) (string, map[string]any, error) {
		point, err := m.Key.Private.PublicKey.Bytes()
		if err != nil {
			return "", nil, err
		}
		signed := sha256.Sum256(slices.Concat([]byte{0}, m.AuthData[:32], m.ClientDataHash, m.Key.CredentialID, point))
		sig, err := ecdsa.SignASN1(rand.Reader, private, signed[:])
		return "fido-u2f", map[string]any{"sig": sig, "x5c": [][]byte{der}}, err
	}
	e := b.begin(mira)
	answer, _ := create(t, passkeytest.New(rpID, origin), e, func(t *passkeytest.Tweak) { t.AAGUID, t.Attestation = [16]byte{}, token })
	_, err = b.finish(mira, e.ID, "key", answer)
	refused(t, "a U2F token", err, passkey.ErrWrong, "wrong_attestation")
}
