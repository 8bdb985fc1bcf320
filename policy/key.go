package policy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
)

// parsePublicKey reads a P-256 key in PEM. What it refuses is never repeated in
// the error: people paste private keys where public ones belong.
func parsePublicKey(text string) (*ecdsa.PublicKey, error) {
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, errPrivateKey
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("reading a terminal's key: not one PUBLIC KEY block in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("reading a terminal's key: not a PKIX public key")
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("reading a terminal's key: not a P-256 key")
	}
	return key, nil
}

var errPrivateKey = errors.New("this is a private key, which belongs to its owner alone")
