package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

type bench struct {
	db    *store.DB
	ring  *secret.KeyRing
	clock *clock.Fake
}

func newBench(t *testing.T) bench {
	t.Helper()
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	return bench{storetest.Open(t), ring, clock.NewFake(t0)}
}

func (b bench) open(t *testing.T) *Keys {
	t.Helper()
	k, err := Open(context.Background(), b.db, b.ring, audit.New(b.db, b.clock.Now), b.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func assertion(end time.Time) Assertion {
	return Assertion{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: "https://gate.example", Subject: "tanaka", Audience: jwt.ClaimStrings{"juki"}, ExpiresAt: jwt.NewNumericDate(end),
		},
		ACR: policy.AAL2,
	}
}

func TestAssertAndVerify(t *testing.T) {
	b := newBench(t)
	k := b.open(t)
	signed, err := k.Assert(assertion(t0.Add(5 * time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(signed, "https://gate.example", "juki")
	if err != nil || got.Subject != "tanaka" || got.ACR != policy.AAL2 || got.ID == "" {
		t.Errorf("Verify = %+v, %v", got, err)
	}
	if _, err := b.open(t).Verify(signed, "https://gate.example", "juki"); err != nil {
		t.Error("after a restart:", err)
	}
	if _, err := k.Verify(signed, "https://gate.example", "bunsho"); !errors.Is(err, ErrNotOurs) {
		t.Error("another audience:", err)
	}
	if _, err := k.Verify(signed, "https://evil.example", "juki"); !errors.Is(err, ErrNotOurs) {
		t.Error("another issuer:", err)
	}
	b.clock.Advance(5*time.Minute + Leeway)
	if _, err := k.Verify(signed, "https://gate.example", "juki"); !errors.Is(err, ErrNotOurs) {
		t.Error("after its end:", err)
	}
}

func TestAssertRefuses(t *testing.T) {
	k := newBench(t).open(t)
	for name, change := range map[string]func(*Assertion){
		"no issuer":       func(a *Assertion) { a.Issuer = "" },
		"no subject":      func(a *Assertion) { a.Subject = "" },
		"no audience":     func(a *Assertion) { a.Audience = nil },
		"two audiences":   func(a *Assertion) { a.Audience = jwt.ClaimStrings{"a", "b"} },
		"no end":          func(a *Assertion) { a.ExpiresAt = nil },
		"an end too late": func(a *Assertion) { a.ExpiresAt = jwt.NewNumericDate(t0.Add(5*time.Minute + time.Second)) },
		"an end gone by":  func(a *Assertion) { a.ExpiresAt = jwt.NewNumericDate(t0) },
	} {
		t.Run(name, func(t *testing.T) {
			a := assertion(t0.Add(time.Minute))
			change(&a)
			if signed, err := k.Assert(a); err == nil {
				t.Errorf("signed %s", signed)
			}
		})
	}
}

// TestVerifyRefusesForgeries tries the confusions of RFC 8725 section 2
// (security.md section 2, row 21).
func TestVerifyRefusesForgeries(t *testing.T) {
	b := newBench(t)
	k := b.open(t)
	mine := k.private[k.kid()]
	point, err := mine.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func() (string, error){
		"alg none": func() (string, error) {
			return sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, k.kid(), assertionType)
		},
		"HS256 with the public key": func() (string, error) {
			return sign(jwt.SigningMethodHS256, point, k.kid(), assertionType)
		},
		"a key of one's own":    func() (string, error) { return sign(jwt.SigningMethodES256, other, k.kid(), assertionType) },
		"an unknown key id":     func() (string, error) { return sign(jwt.SigningMethodES256, mine, "../../etc/passwd", assertionType) },
		"another type of token": func() (string, error) { return sign(jwt.SigningMethodES256, mine, k.kid(), "at+jwt") },
		"no type":               func() (string, error) { return sign(jwt.SigningMethodES256, mine, k.kid(), "") },
	} {
		t.Run(name, func(t *testing.T) {
			signed, err := forge()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Verify(signed, "https://gate.example", "juki"); !errors.Is(err, ErrNotOurs) {
				t.Errorf("Verify = %v, want ErrNotOurs", err)
			}
		})
	}
	if good, err := sign(jwt.SigningMethodES256, mine, k.kid(), assertionType); err != nil {
		t.Fatal(err)
	} else if _, err := k.Verify(good, "https://gate.example", "juki"); err != nil {
		t.Error("the same, not forged:", err)
	}
}

func sign(m jwt.SigningMethod, key any, kid, typ string) (string, error) {
	tok := jwt.NewWithClaims(m, assertion(t0.Add(time.Minute)))
	tok.Header["kid"], tok.Header["typ"] = kid, typ
	return tok.SignedString(key)
}

// TestJWKS verifies a token with nothing but what is published.
func TestJWKS(t *testing.T) {
	k := newBench(t).open(t)
	set, err := k.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Keys []map[string]string }
	if err := json.Unmarshal(set, &doc); err != nil || len(doc.Keys) != 1 {
		t.Fatalf("JWKS = %s, %v", set, err)
	}
	j := doc.Keys[0]
	if j["d"] != "" {
		t.Error("the private half is published")
	}
	point := []byte{4}
	for _, name := range []string{"x", "y"} {
		b, err := base64.RawURLEncoding.DecodeString(j[name])
		if err != nil || len(b) != 32 {
			t.Fatalf("%s = %q", name, j[name])
		}
		point = append(point, b...)
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := k.Assert(assertion(t0.Add(time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = jwt.Parse(signed, func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != j["kid"] {
			t.Error("the token names another key than the set")
		}
		return pub, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithTimeFunc(func() time.Time { return t0 }))
	if err != nil {
		t.Error(err)
	}
}

// kid is the id of the key that signs now.
func (k *Keys) kid() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[current(k.keys, k.now())].ID
}
