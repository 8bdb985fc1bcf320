// Package terminaltest speaks as a terminal does, truly or not: it makes the
// assertions that tests carry in X-Sekisho-Terminal.
//
// It writes JWTs by hand (RFC 7515, 7518, 7519), so that a fault of the library
// that reads them is not made twice, and so that it can tell every lie. It knows
// nothing of the register.
package terminaltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"time"
)

// An Assertion is what a terminal says. What is empty or zero is left out of the
// claims. True makes an honest one; Header, Claims and Alg make lies of it.
type Assertion struct {
	Terminal            string    // iss
	Audience            string    // aud, the gate's URL
	Login               string    // sub
	Methods             []string  // amr, RFC 8176
	AuthAt              time.Time // auth_time
	Nonce               string
	IssuedAt, ExpiresAt time.Time

	// Alg is the signature: "" for ES256; ES384 for one that the P-256 key makes and
	// that is right in all but the curve; ES256-DER for an ES256 whose signature is
	// ASN.1 instead of two numbers; HS256
	// keyed with the terminal's public key in PEM; RS256 by a key made on the spot;
	// none for no signature at all. Anything else is written into the header and
	// signed as ES256.
	Alg string
	// Header and Claims are written over what the fields above say. A nil value
	// takes a member away; a json.RawMessage stands as it is.
	Header, Claims map[string]any
}

// True is an honest assertion made at a time, good for half a minute, about
// nobody: Login, Methods and AuthAt are the caller's.
func True(terminal, audience, nonce string, at time.Time) Assertion {
	return Assertion{Terminal: terminal, Audience: audience, Nonce: nonce, IssuedAt: at, ExpiresAt: at.Add(30 * time.Second)}
}

// NewKey makes a terminal's pair: the private key (PKCS #8) and the public key
// (SPKI), both in PEM.
func NewKey() (private, public string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("making a terminal's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", fmt.Errorf("making a terminal's key: %w", err)
	}
	public, err = publicPEM(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), public, err
}

func publicPEM(key *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("writing a terminal's public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// Sign makes the header's value with a terminal's private key, P-256 in PEM as
// PKCS #8 or SEC 1.
func (a Assertion) Sign(keyPEM string) (string, error) {
	key, err := readKey(keyPEM)
	if err != nil {
		return "", err
	}
	alg, sign := a.signer(key)
	header, err := segment(map[string]any{"alg": alg, "typ": "JWT"}, a.Header)
	if err != nil {
		return "", err
	}
	claims, err := segment(a.claims(), a.Claims)
	if err != nil {
		return "", err
	}
	text := header + "." + claims
	signature, err := sign([]byte(text))
	if err != nil {
		return "", fmt.Errorf("signing an assertion with %s: %w", alg, err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func readKey(text string) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("reading a terminal's key: no PEM")
	}
	if block.Type == "EC PRIVATE KEY" {
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a terminal's key: %w", err)
		}
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a terminal's key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading a terminal's key: %T is no elliptic key", parsed)
	}
	return key, nil
}

func (a Assertion) claims() map[string]any {
	c := map[string]any{}
	for name, text := range map[string]string{"iss": a.Terminal, "aud": a.Audience, "sub": a.Login, "nonce": a.Nonce} {
		if text != "" {
			c[name] = text
		}
	}
	for name, at := range map[string]time.Time{"auth_time": a.AuthAt, "iat": a.IssuedAt, "exp": a.ExpiresAt} {
		if !at.IsZero() {
			c[name] = at.Unix()
		}
	}
	if a.Methods != nil {
		c["amr"] = a.Methods
	}
	return c
}

// segment is one part of a JWT: members with others written over them.
func segment(members, over map[string]any) (string, error) {
	maps.Copy(members, over)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(members)
	if err != nil {
		return "", fmt.Errorf("writing an assertion: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// signer is the algorithm's name for the header, and how it signs.
func (a Assertion) signer(key *ecdsa.PrivateKey) (alg string, sign func([]byte) ([]byte, error)) {
	switch a.Alg {
	case "none":
		return "none", func([]byte) ([]byte, error) { return nil, nil }
	case "HS256":
		return "HS256", func(text []byte) ([]byte, error) {
			public, err := publicPEM(key)
			if err != nil {
				return nil, err
			}
			mac := hmac.New(sha256.New, []byte(public))
			mac.Write(text)
			return mac.Sum(nil), nil
		}
	case "RS256":
		return "RS256", func(text []byte) ([]byte, error) {
			other, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(text)
			return rsa.SignPKCS1v15(rand.Reader, other, crypto.SHA256, sum[:])
		}
	case "ES384":
		return "ES384", func(text []byte) ([]byte, error) {
			sum := sha512.Sum384(text)
			return numbers(key, sum[:], 48)
		}
	case "ES256-DER":
		return "ES256", func(text []byte) ([]byte, error) {
			sum := sha256.Sum256(text)
			return ecdsa.SignASN1(rand.Reader, key, sum[:])
		}
	case "":
		alg = "ES256"
	default:
		alg = a.Alg
	}
	return alg, func(text []byte) ([]byte, error) {
		sum := sha256.Sum256(text)
		return numbers(key, sum[:], 32)
	}
}

// numbers is a signature as RFC 7518 section 3.4 writes it: R and S, each in half
// of the bytes that the algorithm has for it.
func numbers(key *ecdsa.PrivateKey, digest []byte, half int) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	if r.BitLen() > 8*half || s.BitLen() > 8*half {
		return nil, fmt.Errorf("a key of %s is too large", key.Curve.Params().Name)
	}
	out := make([]byte, 2*half)
	r.FillBytes(out[:half])
	s.FillBytes(out[half:])
	return out, nil
}
