package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"math/big"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// parameters are the kinds of keys we take, what we like best first. RS256 is
// what Windows Hello makes on older TPMs.
var parameters = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// Bounds of an RSA modulus in bits: below is too weak (security.md section 4),
// above costs us more than it gives.
const (
	minRSA = 2048
	maxRSA = 4096
)

// checkAlgorithm refuses a public key of another kind than we ask for. What the
// key calls itself and what it is have to agree.
func checkAlgorithm(cose []byte) error {
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return wrong(whyAlgorithm)
	}
	good := false
	switch key := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		good = webauthncose.COSEAlgorithmIdentifier(key.Algorithm) == webauthncose.AlgES256
	case webauthncose.OKPPublicKeyData:
		good = webauthncose.COSEAlgorithmIdentifier(key.Algorithm) == webauthncose.AlgEdDSA
	case webauthncose.RSAPublicKeyData:
		bits := new(big.Int).SetBytes(key.Modulus).BitLen()
		good = webauthncose.COSEAlgorithmIdentifier(key.Algorithm) == webauthncose.AlgRS256 && bits >= minRSA && bits <= maxRSA
	}
	if !good {
		return wrong(whyAlgorithm)
	}
	return nil
}

// COSE is a P-256 public key as authenticators write it (RFC 9053 section 7.1.1).
func COSE(pub *ecdsa.PublicKey) ([]byte, error) {
	if pub == nil || pub.Curve != elliptic.P256() {
		return nil, errors.New("writing a COSE key: want a P-256 key")
	}
	point, err := pub.Bytes() // 4, X, Y; refuses a point that is not on the curve
	if err != nil {
		return nil, err
	}
	return webauthncbor.Marshal(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)},
		Curve:         int64(webauthncose.P256),
		XCoord:        point[1:33], YCoord: point[33:],
	})
}
