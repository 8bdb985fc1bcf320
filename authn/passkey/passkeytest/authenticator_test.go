package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"testing"
)

const creation = `{"challenge":"AAAA","rp":{"id":"gate.example"},"user":{"id":"AQID"}}`

// TestOptions: what the server asks is read bare and inside of publicKey.
func TestOptions(t *testing.T) {
	t.Parallel()
	a := New("gate.example", "https://gate.example")
	for name, options := range map[string]string{"bare": creation, "inside": `{"publicKey":` + creation + `,"mediation":""}`} {
		_, key, err := a.Create([]byte(options))
		if err != nil || string(key.UserHandle) != "\x01\x02\x03" {
			t.Errorf("%s: %+v, %v", name, key, err)
			continue
		}
		answer, err := key.Get([]byte(options))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got struct {
			Response struct{ ClientDataJSON, AuthenticatorData, Signature string }
		}
		if err := json.Unmarshal(answer, &got); err != nil {
			t.Fatal(err)
		}
		decode := func(s string) []byte {
			b, err := base64.RawURLEncoding.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		hash := sha256.Sum256(decode(got.Response.ClientDataJSON))
		signed := sha256.Sum256(append(decode(got.Response.AuthenticatorData), hash[:]...))
		if !ecdsa.VerifyASN1(&key.Private.PublicKey, signed[:], decode(got.Response.Signature)) {
			t.Errorf("%s: the signature is not the key's", name)
		}
		if key.Count != 1 {
			t.Errorf("%s: the key has counted %d", name, key.Count)
		}
	}
	for name, options := range map[string]string{
		"nothing": "", "no object": "[]", "another relying party": `{"challenge":"AAAA","rp":{"id":"evil.example"},"user":{"id":"AQID"}}`,
	} {
		if _, _, err := a.Create([]byte(options)); err == nil {
			t.Errorf("%s: a key", name)
		}
	}
}

func TestFromPKCS8(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		curve elliptic.Curve
		good  bool
	}{"P-256": {elliptic.P256(), true}, "P-384": {elliptic.P384(), false}} {
		private, err := ecdsa.GenerateKey(tt.curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FromPKCS8([]byte("id"), []byte("user"), pkcs8, "gate.example", "https://gate.example"); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := FromPKCS8(nil, nil, []byte("no key"), "", ""); err == nil {
		t.Error("a key from nothing")
	}
}
