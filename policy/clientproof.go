package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
)

// What the policy says of a client's proofs that it has a key (RFC 9449).
const (
	DPoPNone     = "none"     // not looked at; its tokens are bearer tokens
	DPoPAllowed  = "allowed"  // a proof binds what it comes with
	DPoPRequired = "required" // no tokens without
)

// DPoPChoices are all of them.
func DPoPChoices() []string { return []string{DPoPNone, DPoPAllowed, DPoPRequired} }

// ProofKey reads the public key that a proof carries, for the algorithm it is
// signed with. A key that has a private half is refused: whoever sends it has lost
// it.
func ProofKey(jwk map[string]any, alg string) (ClientKey, error) {
	for _, private := range privateMembers {
		if jwk[private] != nil {
			return ClientKey{}, errPrivateKey
		}
	}
	own := maps.Clone(jwk)
	own["kid"], own["alg"] = "proof", alg // a proof's own kid names nothing here
	if said, there := jwk["alg"].(string); there && said != alg {
		return ClientKey{}, errors.New("its algorithm does not fit")
	}
	return parseJWK(own)
}

// Thumbprint is RFC 7638 with SHA-256, of the key itself and not of how somebody
// wrote it down: one key has one.
func Thumbprint(key crypto.PublicKey) (string, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	var members map[string]string // encoding/json writes them in the order that is asked for
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil || len(point) != 65 {
			return "", errors.New("no thumbprint of this kind of key")
		}
		members = map[string]string{"crv": "P-256", "kty": "EC", "x": b64(point[1:33]), "y": b64(point[33:])}
	case ed25519.PublicKey:
		members = map[string]string{"crv": "Ed25519", "kty": "OKP", "x": b64(k)}
	case *rsa.PublicKey:
		members = map[string]string{"e": b64(big.NewInt(int64(k.E)).Bytes()), "kty": "RSA", "n": b64(k.N.Bytes())}
	default:
		return "", errors.New("no thumbprint of this kind of key")
	}
	text, err := json.Marshal(members)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return b64(sum[:]), nil
}
