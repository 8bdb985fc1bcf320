package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
)

// Made is what an attestation is about.
type Made struct {
	AuthData, ClientDataHash []byte
	Key                      *Key
}

func (m Made) signed() []byte {
	return append(m.AuthData[:len(m.AuthData):len(m.AuthData)], m.ClientDataHash...)
}

// An Attestation says who made a key, as a format and its statement (W3C
// WebAuthn L3 section 8).
type Attestation func(Made) (format string, statement map[string]any, err error)

// None says nothing.
func None(Made) (string, map[string]any, error) { return "none", map[string]any{}, nil }

// Self has the key vouch for itself.
func Self(m Made) (string, map[string]any, error) {
	sig, err := sign(m.Key.Signer, m.Key.Alg, m.signed())
	return "packed", map[string]any{"alg": m.Key.Alg, "sig": sig}, err
}

// A Maker is a company that makes authenticators and has a certification
// authority: a root, one below it, and certificates for its models.
type Maker struct {
	Root string // PEM, to be put into passkey.roots

	authority *x509.Certificate // below the root
	private   *ecdsa.PrivateKey
}

// oidAAGUID is FIDO's name for the AAGUID in a certificate.
var oidAAGUID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

// Certificates here are good from the beginning of the century to its end, so
// that they are under any clock a test may set.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2099, 12, 31, 0, 0, 0, 0, time.UTC)
)

// NewMaker founds a company.
func NewMaker(name string) (*Maker, error) {
	authority := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: new(big.Int).SetBytes(random(8)), Subject: pkix.Name{CommonName: name, Organization: []string{name}},
			NotBefore: notBefore, NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root, err := issue(authority(name+" Root"), nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, err
	}
	m := &Maker{Root: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))}
	if m.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	m.authority, err = issue(authority(name), root, &m.private.PublicKey, rootKey)
	return m, err
}

// Packed vouches for keys by a certificate for the model that the key is of.
func (m *Maker) Packed(made Made) (string, map[string]any, error) {
	return m.PackedAs(made.Key.AAGUID, notBefore, notAfter)(made)
}

// PackedAs vouches by a certificate for this model, which is good for so long.
func (m *Maker) PackedAs(model [16]byte, from, until time.Time) Attestation {
	return func(made Made) (string, map[string]any, error) {
		named, err := asn1.Marshal(model[:])
		if err != nil {
			return "", nil, err
		}
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", nil, err
		}
		leaf, err := issue(&x509.Certificate{
			SerialNumber: new(big.Int).SetBytes(random(8)), NotBefore: from, NotAfter: until, BasicConstraintsValid: true,
			Subject: pkix.Name{
				Country: []string{"JP"}, Organization: m.authority.Subject.Organization,
				OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "Model",
			},
			ExtraExtensions: []pkix.Extension{{Id: oidAAGUID, Value: named}},
		}, m.authority, &private.PublicKey, m.private)
		if err != nil {
			return "", nil, err
		}
		sig, err := sign(private, ES256, made.signed())
		return "packed", map[string]any{"alg": ES256, "sig": sig, "x5c": [][]byte{leaf.Raw, m.authority.Raw}}, err
	}
}

func issue(c, by *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, public, signer)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// sign signs as an authenticator does (W3C WebAuthn L3 section 6.5.5).
func sign(signer crypto.Signer, alg int64, data []byte) ([]byte, error) {
	switch key := signer.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, data), nil
	case *rsa.PrivateKey:
		hash := sha256.Sum256(data)
		return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
	case *ecdsa.PrivateKey:
		hash := sha256.Sum256(data)
		if alg == ES384 {
			hash := sha512.Sum384(data)
			return ecdsa.SignASN1(rand.Reader, key, hash[:])
		}
		return ecdsa.SignASN1(rand.Reader, key, hash[:])
	}
	return nil, fmt.Errorf("signing: a %T does not sign here", signer)
}

// cose is a public key as authenticators write it (RFC 9053 section 7).
func cose(public crypto.PublicKey, alg int64) ([]byte, error) {
	switch key := public.(type) {
	case ed25519.PublicKey:
		return webauthncbor.Marshal(map[int]any{1: 1, 3: alg, -1: 6, -2: []byte(key)})
	case *rsa.PublicKey:
		return webauthncbor.Marshal(map[int]any{1: 3, 3: alg, -1: key.N.Bytes(), -2: big.NewInt(int64(key.E)).Bytes()})
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return nil, err
		}
		curve, half := 1, len(point)/2
		if key.Curve == elliptic.P384() {
			curve = 2
		}
		return webauthncbor.Marshal(map[int]any{1: 2, 3: alg, -1: curve, -2: point[1 : 1+half], -3: point[1+half:]})
	}
	return nil, fmt.Errorf("writing a COSE key: a %T has none here", public)
}
