package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/policy"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func TestReadCredentials(t *testing.T) {
	basic := func(s string) []string { return []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(s))} }
	unsigned := "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"web"}`)) + ".e30"
	for _, tt := range []struct {
		name   string
		header []string
		form   url.Values
		want   string // method, id, secret
		code   string
	}{
		{"basic", basic("web:s"), nil, "client_secret_basic web s", ""},
		{"basic, encoded", basic("we%3Ab:s%3A+%2B"), nil, "client_secret_basic we:b s: +", ""},
		{"basic, and the same client_id", basic("web:s"), url.Values{"client_id": {"web"}}, "client_secret_basic web s", ""},
		{"basic, and another client_id", basic("web:s"), url.Values{"client_id": {"other"}}, "", "invalid_request"},
		{"basic and post", basic("web:s"), url.Values{"client_secret": {"s"}}, "", "invalid_request"},
		{"basic and an assertion", basic("web:s"), url.Values{"client_assertion": {unsigned}}, "", "invalid_request"},
		{"two headers", append(basic("web:s"), basic("web:s")...), nil, "", "invalid_request"},
		{"bearer", []string{"Bearer x"}, nil, "", "invalid_client"},
		{"basic without a colon", basic("web"), nil, "", "invalid_client"},
		{"basic that is no base64", []string{"Basic ??"}, nil, "", "invalid_client"},
		{"basic with a broken escape", basic("web:%zz"), nil, "", "invalid_client"},
		{"basic for nobody", basic(":s"), nil, "", "invalid_client"},
		{"post", nil, url.Values{"client_id": {"web"}, "client_secret": {"s"}}, "client_secret_post web s", ""},
		{"post twice", nil, url.Values{"client_id": {"web"}, "client_secret": {"s", "t"}}, "", "invalid_request"},
		{"an empty secret is one", nil, url.Values{"client_id": {"web"}, "client_secret": {""}}, "client_secret_post web ", ""},
		{"none", nil, url.Values{"client_id": {"web"}}, "none web ", ""},
		{"nothing", nil, nil, "", "invalid_client"},
		{"an assertion", nil, url.Values{"client_assertion": {unsigned}, "client_assertion_type": {assertionType}}, "private_key_jwt web ", ""},
		{"an assertion of another type", nil, url.Values{"client_assertion": {unsigned}, "client_assertion_type": {"saml"}}, "", "invalid_request"},
		{"an assertion and a secret", nil, url.Values{"client_assertion": {unsigned}, "client_assertion_type": {assertionType}, "client_secret": {"s"}}, "", "invalid_request"},
		{"an assertion of another", nil, url.Values{"client_id": {"other"}, "client_assertion": {unsigned}, "client_assertion_type": {assertionType}}, "", "invalid_client"},
		{"an assertion that is none", nil, url.Values{"client_assertion": {"x"}, "client_assertion_type": {assertionType}}, "", "invalid_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, e := ReadCredentials(tt.header, tt.form)
			if tt.code != "" {
				if e == nil || e.Code != tt.code {
					t.Fatalf("%+v, %v, want %s", c, e, tt.code)
				}
				return
			}
			if e != nil {
				t.Fatal(e)
			}
			if got := c.Method + " " + c.ID + " " + c.secret; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if shown := fmt.Sprintf("%v %+v %#v", c, c, c); c.secret == "s: +" && strings.Contains(shown, c.secret) {
				t.Errorf("a secret is printed: %s", shown)
			}
		})
	}
}

func TestVerifyAssertion(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := []policy.ClientKey{{ID: "ec", Alg: "ES256", Key: &ec.PublicKey}, {ID: "ed", Alg: "EdDSA", Key: public}, {ID: "rs", Alg: "PS256", Key: &rs.PublicKey}}
	sign := func(m jwt.SigningMethod, key any, kid string) string {
		tok := jwt.NewWithClaims(m, jwt.RegisteredClaims{
			Issuer: "web", Subject: "web", Audience: jwt.ClaimStrings{"https://gate.example"}, ID: "1", ExpiresAt: jwt.NewNumericDate(t0.Add(time.Minute)),
		})
		if kid != "" {
			tok.Header["kid"] = kid
		}
		signed, err := tok.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	for _, tt := range []struct {
		name      string
		assertion string
		keys      []policy.ClientKey
		ok        bool
	}{
		{"ES256", sign(jwt.SigningMethodES256, ec, "ec"), keys, true},
		{"EdDSA", sign(jwt.SigningMethodEdDSA, private, "ed"), keys, true},
		{"PS256", sign(jwt.SigningMethodPS256, rs, "rs"), keys, true},
		{"no kid, one key", sign(jwt.SigningMethodES256, ec, ""), keys[:1], true},
		{"no kid, several keys", sign(jwt.SigningMethodES256, ec, ""), keys, false},
		{"RS256 by a key for PS256", sign(jwt.SigningMethodRS256, rs, "rs"), keys, false},
		{"another kid", sign(jwt.SigningMethodES256, ec, "ed"), keys, false},
		{"HS256 with the public key", sign(jwt.SigningMethodHS256, []byte(public), "ed"), keys, false},
		{"none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ec"), keys, false},
		{"no key", sign(jwt.SigningMethodES256, ec, "ec"), nil, false},
	} {
		_, err := verifyAssertion(tt.assertion, "web", []string{"https://gate.example"}, tt.keys, t0)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, errAssertion) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// FuzzTokenForm reads whatever comes as the form of an endpoint.
func FuzzTokenForm(f *testing.F) {
	f.Add("Basic d2ViOnM=", "grant_type=authorization_code&code=x")
	f.Add("", "client_id=web&client_secret=s")
	f.Add("", "client_assertion=e30.e30.e30&client_assertion_type="+url.QueryEscape(assertionType))
	f.Fuzz(func(t *testing.T, header, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		var headers []string
		if header != "" {
			headers = []string{header}
		}
		c, e := ReadCredentials(headers, form)
		if e == nil && (c.Method == "" || c.ID == "" && c.Method != policy.AuthPost) {
			t.Errorf("%+v of %q %q", c, header, text)
		}
	})
}

// FuzzClientAssertion verifies whatever comes as a client's assertion.
func FuzzClientAssertion(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{Issuer: "web", Subject: "web", Audience: jwt.ClaimStrings{"a"}, ID: "1", ExpiresAt: jwt.NewNumericDate(t0)})
	good, err := tok.SignedString(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("e30.e30.")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	keys := []policy.ClientKey{{ID: "k", Alg: "ES256", Key: &other.PublicKey}}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := verifyAssertion(text, "web", []string{"a"}, keys, t0); err == nil {
			t.Errorf("%q was signed by nobody", text)
		}
		unverifiedSubject(text)
	})
}
