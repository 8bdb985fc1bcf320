package terminal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekisho/policy"
	"sekisho/policy/secret"
)

// fixedPair is one of the keys of the fuzz test. The engine hands inputs from
// one process to another, so what is valid in one must be valid in all.
func fixedPair(t testing.TB, n byte) (pair, *ecdsa.PublicKey) {
	t.Helper()
	scalar := make([]byte, 32)
	scalar[31] = n
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	}, &key.PublicKey
}

// FuzzRead: nothing that a stranger sends makes Read panic or err, and what it
// takes was signed by the terminal it names. The signature is checked here
// without the library that Read uses.
func FuzzRead(f *testing.F) {
	w := newWorld(f)
	path := filepath.Join(f.TempDir(), "ring")
	if err := os.WriteFile(path, []byte("fuzz "+base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	var err error
	if w.ring, err = secret.LoadKeyRing(path); err != nil {
		f.Fatal(err)
	}
	juki, jukiKey := fixedPair(f, 7)
	counter, counterKey := fixedPair(f, 11)
	w.declare(policy.Terminal{ID: "juki-1", Zone: policy.MyNumber, Class: policy.TerminalDedicated, PublicKey: juki.public},
		policy.Terminal{ID: "lent-1", Zone: policy.LGWAN, Class: policy.TerminalLent})
	w.restart()
	if err := w.enrol(counter2(), counter.public); err != nil {
		f.Fatal(err)
	}
	keys := map[string]*ecdsa.PublicKey{"juki-1": jukiKey, "counter-2": counterKey}

	for _, seed := range []string{
		w.sign(w.words("juki-1"), juki), w.sign(w.words("counter-2"), counter),
		w.sign(w.words("counter-2"), juki), w.sign(w.words("lent-1"), juki),
	} {
		f.Add(seed)
		parts := strings.Split(seed, ".")
		f.Add(parts[0] + "." + parts[1] + ".")
		f.Add(parts[1] + "." + parts[0] + "." + parts[2])
		f.Add(seed[:len(seed)-1])
		f.Add(seed + ".")
	}
	for _, alg := range []string{"none", "HS256", "ES384", "ES256-DER"} {
		a := w.words("juki-1")
		a.Alg = alg
		f.Add(w.sign(a, juki))
	}
	for _, claims := range []map[string]any{
		{"aud": []string{gate, gate}}, {"aud": nil}, {"exp": json.RawMessage("9e300")}, {"iat": json.RawMessage("-1e19")},
		{"auth_time": json.RawMessage("1e-300")}, {"amr": []string{}}, {"nonce": "AA"}, {"iss": "juki-1\x00"},
	} {
		a := w.words("juki-1")
		a.Claims = claims
		f.Add(w.sign(a, juki))
	}
	f.Add("")
	f.Add("..")
	f.Add("bnVsbA.bnVsbA.")

	f.Fuzz(func(t *testing.T, header string) {
		a, err := w.Read(context.Background(), header)
		if err != nil {
			if got := why(err); strings.HasPrefix(got, "error: ") {
				t.Fatalf("a stranger's bytes are our trouble: %s", got)
			}
			return
		}
		parts := strings.Split(header, ".")
		if len(parts) != 3 {
			t.Fatalf("%d parts were taken", len(parts))
		}
		var head struct{ Alg string }
		var said struct{ Iss, Sub, Nonce string }
		for i, into := range []any{&head, &said} {
			text, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil {
				t.Fatalf("part %d: %v", i, err)
			}
			if err := json.Unmarshal(text, into); err != nil {
				t.Fatalf("part %d: %v", i, err)
			}
		}
		key := keys[said.Iss]
		if key == nil || a.Terminal.ID != said.Iss || a.Login != said.Sub || head.Alg != "ES256" {
			t.Fatalf("%s of %q was taken as %+v", head.Alg, said.Iss, a)
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || len(signature) != 64 {
			t.Fatalf("a signature of %d bytes was taken (%v)", len(signature), err)
		}
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Fatal("an assertion was taken that the terminal did not sign")
		}
		nonce, err := base64.RawURLEncoding.DecodeString(said.Nonce)
		if err != nil || w.tickets.Check("terminal", "", nonce) != nil {
			t.Fatalf("a nonce was taken that is none of ours (%v)", err)
		}
	})
}
