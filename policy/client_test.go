package policy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
)

func TestSecretIs(t *testing.T) {
	salt := []byte("0123456789abcdef")
	old, next := HashSecret("old", salt), HashSecret("next", salt)
	for _, tt := range []struct {
		name   string
		hashes []string
		secret string
		want   bool
	}{
		{"right", []string{old}, "old", true},
		{"wrong", []string{old}, "odl", false},
		{"empty", []string{old}, "", false},
		{"empty, and so hashed", []string{HashSecret("", salt)}, "", false},
		{"the second of two", []string{old, next}, "next", true},
		{"none registered", nil, "old", false},
		{"the hash itself", []string{old}, old, false},
		{"a hash that is none", []string{"$sha256$"}, "old", false},
		{"salted differently", []string{HashSecret("old", []byte("fedcba9876543210"))}, "old", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Client{SecretHashes: tt.hashes}).SecretIs(tt.secret); got != tt.want {
				t.Errorf("SecretIs(%q) = %v", tt.secret, got)
			}
		})
	}
}

func TestClientApplication(t *testing.T) {
	p := mustParse(t, string(example(t)))
	for id, want := range map[string]string{"kyuyo-web": "kyuyo", "renkei": "renkei"} {
		c, ok := p.Client(id)
		app, known := p.ClientApplication(c)
		if !ok || !known || app.ID != want || app.Zone != LGWAN {
			t.Errorf("%s serves %+v, %v, %v", id, app, ok, known)
		}
	}
	for _, id := range []string{"", "KYUYO-WEB", "kyuyo"} {
		if c, ok := p.Client(id); ok {
			t.Errorf("Client(%q) = %+v", id, c)
		}
	}
	if _, ok := p.ClientApplication(Client{ID: "a", Application: "gone"}); ok {
		t.Error("a client serves an application that is gone")
	}
	if _, ok := p.ClientApplication(Client{}); ok {
		t.Error("the zero client serves somebody")
	}
}

const (
	// The keys of RFC 7517, appendix A.1, and RFC 8037, appendix A.2.
	ecJWK  = `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1"}`
	okpJWK = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"2"}`
	rsaN   = `0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw`
	rsaJWK = `{"kty":"RSA","n":"` + rsaN + `","e":"AQAB","alg":"RS256","kid":"3"}`
)

func TestKeysOfClients(t *testing.T) {
	keys, err := Client{JWKS: `{"keys":[` + ecJWK + "," + okpJWK + "," + rsaJWK + `]}`}.Keys()
	if err != nil || len(keys) != 3 {
		t.Fatal(keys, err)
	}
	if _, ok := keys[0].Key.(*ecdsa.PublicKey); !ok || keys[0].Alg != "ES256" {
		t.Errorf("%+v", keys[0])
	}
	if _, ok := keys[1].Key.(ed25519.PublicKey); !ok || keys[1].Alg != "EdDSA" {
		t.Errorf("%+v", keys[1])
	}
	if _, ok := keys[2].Key.(*rsa.PublicKey); !ok || keys[2].Alg != "RS256" {
		t.Errorf("%+v", keys[2])
	}
	for name, jwk := range map[string]string{
		"a secret key":         `{"kty":"oct","k":"AAAA","kid":"1"}`,
		"a short RSA key":      `{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"1"}`,
		"an even exponent":     strings.Replace(rsaJWK, `"AQAB"`, `"Ag"`, 1),
		"a point off the line": strings.Replace(ecJWK, `"x":"MKBC`, `"x":"AAAA`, 1),
		"another curve":        strings.Replace(ecJWK, "P-256", "secp256k1", 1),
		"HS256":                strings.Replace(rsaJWK, "RS256", "HS256", 1),
		"none":                 strings.Replace(rsaJWK, "RS256", "none", 1),
		"an EC key for RS256":  strings.Replace(ecJWK, `"kid"`, `"alg":"RS256","kid"`, 1),
		"no kid":               strings.Replace(ecJWK, `"kid":"1"`, `"use":"sig"`, 1),
		"two of one kid":       ecJWK + "," + ecJWK,
		"nothing":              ``,
	} {
		if keys, err := (Client{JWKS: `{"keys":[` + jwk + `]}`}).Keys(); err == nil {
			t.Errorf("%s: %+v", name, keys)
		}
	}
	if _, err := (Client{JWKS: `{"keys":[` + strings.Replace(ecJWK, `"kid"`, `"d":"AAAA","kid"`, 1) + `]}`}).Keys(); !errors.Is(err, errPrivateKey) {
		t.Error("a private key:", err)
	}
}

func FuzzJWKS(f *testing.F) {
	for _, s := range []string{ecJWK, okpJWK, rsaJWK, `{}`, `{"kty":"EC"}`} {
		f.Add(`{"keys":[` + s + `]}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := Client{JWKS: text}.Keys()
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
		for _, k := range keys {
			if !contains(ClientAlgorithms(), k.Alg) || !StrongKey(k.Key) || k.ID == "" {
				t.Errorf("%+v", k)
			}
		}
	})
}
