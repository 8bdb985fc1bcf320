package terminaltest_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/authn/terminal/terminaltest"
)

const gate = "https://gate.example"

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func newKey(t *testing.T) (private, public string) {
	t.Helper()
	private, public, err := terminaltest.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// read is what a library that is not ours makes of an assertion.
func read(text string, key any, methods ...string) (*jwt.Token, jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods(methods), jwt.WithAudience(gate), jwt.WithIssuer("juki-1"), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(func() time.Time { return t0 }))
	return token, claims, err
}

func parsePublic(t *testing.T, text string) *ecdsa.PublicKey {
	t.Helper()
	key, err := jwt.ParseECPublicKeyFromPEM([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestTrue: an honest assertion is a JWT to a library we did not write.
func TestTrue(t *testing.T) {
	t.Parallel()
	private, public := newKey(t)
	a := terminaltest.True("juki-1", gate, "n-1", t0)
	a.Login, a.Methods, a.AuthAt = "tanaka", []string{"pwd", "fpt"}, t0.Add(-time.Hour)
	text, err := a.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	token, claims, err := read(text, parsePublic(t, public), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if token.Header["typ"] != "JWT" || len(token.Header) != 2 {
		t.Errorf("header = %v", token.Header)
	}
	got, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"amr":["pwd","fpt"],"aud":"https://gate.example","auth_time":1772352000,"exp":1772355630,"iat":1772355600,"iss":"juki-1","nonce":"n-1","sub":"tanaka"}`
	if string(got) != want {
		t.Errorf("claims = %s\nwant     %s", got, want)
	}
	_, other := newKey(t)
	if _, _, err := read(text, parsePublic(t, other), "ES256"); err == nil {
		t.Error("the signature is good under any key")
	}
}

// TestLies: each lie is well made, or a test that sees it refused proves nothing.
func TestLies(t *testing.T) {
	t.Parallel()
	private, public := newKey(t)
	for _, tt := range []struct {
		alg string
		key any
	}{
		{"none", jwt.UnsafeAllowNoneSignatureType},
		{"HS256", []byte(public)},
		{"ES384", parsePublic(t, public)}, // this library does not look at the curve
	} {
		a := terminaltest.True("juki-1", gate, "n-1", t0)
		a.Alg = tt.alg
		text, err := a.Sign(private)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(text, tt.key, tt.alg); err != nil {
			t.Errorf("%s is not a good lie: %v", tt.alg, err)
		}
	}
	for _, alg := range []string{"RS256", "es256"} {
		a := terminaltest.True("juki-1", gate, "n-1", t0)
		a.Alg = alg
		text, err := a.Sign(private)
		if err != nil {
			t.Fatal(err)
		}
		if token, _, _ := read(text, nil, alg); token.Header["alg"] != alg {
			t.Errorf("the header of %s says %v", alg, token.Header["alg"])
		}
	}
	a := terminaltest.True("juki-1", gate, "n-1", t0)
	a.Alg = "ES256-DER"
	text, err := a.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(text, parsePublic(t, public), "ES256"); err == nil {
		t.Error("a signature in ASN.1 passes for one of two numbers")
	}
}

func TestHeaderAndClaims(t *testing.T) {
	t.Parallel()
	private, public := newKey(t)
	a := terminaltest.True("juki-1", gate, "n-1", t0)
	a.Header = map[string]any{"kid": "../../dev/null", "typ": nil}
	a.Claims = map[string]any{"aud": []string{gate, "https://evil.example"}, "nonce": nil, "exp": json.RawMessage("1772355630.5")}
	text, err := a.Sign(private)
	if err != nil {
		t.Fatal(err)
	}
	token, claims, err := read(text, parsePublic(t, public), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if _, typed := token.Header["typ"]; typed || token.Header["kid"] != "../../dev/null" {
		t.Errorf("header = %v", token.Header)
	}
	audience, err := claims.GetAudience()
	if _, said := claims["nonce"]; err != nil || said || !slices.Equal(audience, jwt.ClaimStrings{gate, "https://evil.example"}) || claims["exp"] != 1772355630.5 {
		t.Errorf("claims = %v", claims)
	}
}

// TestKeys: what dev.json gives out signs, in either of the forms tools write,
// and nothing else does.
func TestKeys(t *testing.T) {
	t.Parallel()
	private, public := newKey(t)
	block, _ := pem.Decode([]byte(private))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(parsed.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	text, err := terminaltest.True("juki-1", gate, "n-1", t0).Sign(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})))
	if err != nil {
		t.Fatal("SEC 1:", err)
	}
	if _, _, err := read(text, parsePublic(t, public), "ES256"); err != nil {
		t.Error("SEC 1:", err)
	}
	for name, key := range map[string]string{
		"nothing":      "",
		"no PEM":       "hello",
		"a public key": public,
		"a torn key":   strings.Replace(private, "M", "", 1),
	} {
		if text, err := (terminaltest.Assertion{}).Sign(key); err == nil {
			t.Errorf("%s signs: %s", name, text)
		}
	}
}
