package passkey

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
)

var (
	// FIDO's name for a certificate's AAGUID, id-fido-gen-ce-aaguid (W3C WebAuthn
	// L3 section 8.2.1).
	oidAAGUID         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// maxChain is how many certificates a maker may send.
const maxChain = 8

// formats are the statements we let the library read: none, and those that
// authenticators with user verification make today. A U2F token's signs neither
// the flags nor the model, and the service behind SafetyNet has closed.
var formats = []protocol.AttestationFormat{
	protocol.AttestationFormatNone, protocol.AttestationFormatPacked, protocol.AttestationFormatTPM,
	protocol.AttestationFormatApple, protocol.AttestationFormatAndroidKey,
}

// vouched reports whether one of the roots (PEM) stands behind a statement that
// the library has found to be rightly signed. That is all the library knows: who
// signed is ours to judge. A statement without a certificate, none or signed by
// the key itself, has nobody behind it.
//
// now is Sekisho's; the library has compared the certificates' dates with the
// machine's clock as well.
func vouched(statement protocol.AttestationObject, roots []string, now time.Time) bool {
	chain, ok := certificates(statement.AttStatement)
	if !ok || !namesModel(chain[0], statement.AuthData.AttData.AAGUID) {
		return false
	}
	leaf := *chain[0]
	// A TPM's certificate has no subject but this name, critical and of a kind
	// that crypto/x509 does not read (TPM 2.0 EK profile; L3 section 8.3.1). The
	// library has read it.
	if statement.Format == string(protocol.AttestationFormatTPM) {
		leaf.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(leaf.UnhandledCriticalExtensions), oidSubjectAltName.Equal)
	}
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // there is none for attestation
	}
	for _, pem := range roots {
		o.Roots.AppendCertsFromPEM([]byte(pem))
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := leaf.Verify(o)
	return err == nil
}

// certificates are the statement's own, that of the attestation key first.
func certificates(statement map[string]any) ([]*x509.Certificate, bool) {
	raw, ok := statement["x5c"].([]any)
	if !ok || len(raw) == 0 || len(raw) > maxChain {
		return nil, false
	}
	var chain []*x509.Certificate
	for _, r := range raw {
		der, ok := r.([]byte)
		if !ok {
			return nil, false
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, false
		}
		chain = append(chain, c)
	}
	return chain, true
}

// bearable refuses a statement whose certificates nobody makes: one RSA key of
// 30 KiB would hold up the store, in whose transaction it is verified, for a
// second.
func bearable(statement protocol.AttestationObject) bool {
	if _, there := statement.AttStatement["x5c"]; !there {
		return true
	}
	chain, ok := certificates(statement.AttStatement)
	return ok && !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
		key, is := c.PublicKey.(*rsa.PublicKey)
		return is && key.N.BitLen() > maxRSA
	})
}

// namesModel reports whether a certificate that names a model names this one. A
// maker's certificate for one model does not vouch for another.
func namesModel(c *x509.Certificate, aaguid []byte) bool {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidAAGUID) {
			continue
		}
		var named []byte
		if rest, err := asn1.Unmarshal(e.Value, &named); err != nil || len(rest) > 0 || !bytes.Equal(named, aaguid) {
			return false
		}
	}
	return true
}
