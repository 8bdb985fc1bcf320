package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Certificates reads a text of one or more certificates in PEM. Anything else
// in a block is an error, and so is a block that cannot be read: what a person
// approved must be what counts. The error repeats nothing of the text, because
// people paste private keys where certificates belong.
func Certificates(text string) ([]*x509.Certificate, error) {
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, errPrivateKey
	}
	var out []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("reading certificates: a block is no CERTIFICATE")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading certificates: number %d is not X.509", len(out)+1)
		}
		out = append(out, cert)
	}
	// The decoder steps over a block it cannot read.
	if len(out) == 0 || strings.Count(text, "-----BEGIN") != len(out) || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("reading certificates: not CERTIFICATE blocks in PEM alone")
	}
	return out, nil
}

// Authority reads the certificates of an authority that issues others, each
// with a key that StrongKey takes.
func Authority(text string) ([]*x509.Certificate, error) {
	certs, err := Certificates(text)
	if err != nil {
		return nil, err
	}
	for i, cert := range certs {
		switch {
		case !cert.BasicConstraintsValid || !cert.IsCA:
			return nil, fmt.Errorf("reading an authority: certificate %d is not a CA's", i+1)
		case !StrongKey(cert.PublicKey):
			return nil, fmt.Errorf("reading an authority: certificate %d has %w", i+1, errWeakKey)
		}
	}
	return certs, nil
}

// StrongKey reports whether a public key is RSA of 2048 bits or more, ECDSA on
// a NIST curve of 256 bits or more, or Ed25519: 112 bits of strength at least
// (NIST SP 800-57 part 1, section 5.6.1).
func StrongKey(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return true
	}
	return false
}

var errWeakKey = errors.New("a key that is too weak or of no kind we take")
