package passkey_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/authn/ticket"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// A target is a store with one key in it, for what strangers send.
type target struct {
	*passkey.Keys
	db  *store.DB
	key *passkeytest.Key
}

func newTarget(f *testing.F) target {
	f.Helper()
	check := func(err error) {
		if err != nil {
			f.Fatal(err)
		}
	}
	ring, err := secret.CreateKeyRing(filepath.Join(f.TempDir(), "keys"))
	check(err)
	db, err := store.Open(f.Context(), storetest.At(f, filepath.Join(f.TempDir(), "sekisho.db")))
	check(err)
	f.Cleanup(func() { db.Close() })
	now := clock.NewFake(time.Date(2026, 4, 1, 9, 0, 10, 0, time.UTC)).Now
	pol := &policy.Policy{Passkey: policy.PasskeyRules{CeremonyEnd: 5 * time.Minute, MaxKeys: 3}}
	pol.Passkey.Demands = []policy.PasskeyDemand{{Attestation: true, Posts: []policy.PostID{policy.CIO}}}
	keys, err := passkey.New(db, ring, ticket.New(ring, now), passkey.RP{ID: rpID, Name: "例県", Origins: []string{origin}}, now,
		func() *policy.Policy { return pol })
	check(err)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	cose, err := passkey.COSE(&private.PublicKey)
	check(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	check(err)
	key, err := passkeytest.FromPKCS8(secret.Bytes(32), secret.Bytes(64), pkcs8, rpID, origin)
	check(err)
	check(db.WithTx(f.Context(), func(tx *store.Tx) error {
		return keys.Import(f.Context(), tx, mira.ID, passkey.Imported{
			CredentialID: key.CredentialID, UserHandle: key.UserHandle, PublicKey: cose, Name: "key",
		})
	}))
	return target{keys, db, key}
}

var errUndo = errors.New("the fuzzer's own")

// finish tries an enrolment and undoes it.
func (g target) finish(ctx context.Context, posts []policy.PostID, id string, answer []byte) (err error) {
	undone := g.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err = g.FinishEnrol(ctx, tx, mira, posts, "", cookie, id, "key", answer)
		return errUndo
	})
	if !errors.Is(undone, errUndo) {
		return undone
	}
	return err
}

// FuzzVerify sends anything to both ends. No stranger has a challenge of this
// run, so nothing is ever right, and nothing breaks.
func FuzzVerify(f *testing.F) {
	g := newTarget(f)
	ask := []byte(`{"challenge":"AAAA","rp":{"id":"` + rpID + `"},"user":{"id":"AAAA"}}`)
	got, err := g.key.Get(ask)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(got)
	for _, by := range []passkeytest.Attestation{passkeytest.None, passkeytest.Self} {
		made, _, err := passkeytest.New(rpID, origin).Create(ask, func(t *passkeytest.Tweak) { t.Attestation = by })
		if err != nil {
			f.Fatal(err)
		}
		f.Add(made)
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, person := range []directory.PersonID{"", mira.ID} {
			if a, err := g.Verify(t.Context(), cookie, person, answer); !errors.Is(err, passkey.ErrWrong) || passkey.Why(err) == "" {
				t.Errorf("Verify for %q = %+v, %v", person, a, err)
			}
		}
		if err := g.finish(t.Context(), nil, "id", answer); passkey.Why(err) == "" {
			t.Errorf("FinishEnrol: %v", err)
		}
	})
}

// FuzzAnswer sends the parts that a key makes, inside an answer that is right
// otherwise. What is accepted must be what the key has signed, for us, by a
// person who was there.
func FuzzAnswer(f *testing.F) {
	g := newTarget(f)
	rp := sha256.Sum256([]byte(rpID))
	f.Add(append(rp[:], 0x05, 0, 0, 0, 0), []byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01})
	f.Add(append(rp[:], 0x85, 0, 0, 0, 0, 0xa0), []byte{})
	f.Add(append(rp[:], 0x45, 0, 0, 0, 0), []byte{0})
	f.Fuzz(func(t *testing.T, data, signature []byte) {
		ask, err := g.BeginSignIn(t.Context(), cookie, "")
		if err != nil {
			t.Fatal(err)
		}
		var parts map[string]any
		whole, err := g.key.Get(ask)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(whole, &parts); err != nil {
			t.Fatal(err)
		}
		response := parts["response"].(map[string]any)
		response["authenticatorData"], response["signature"] = encode(data), encode(signature)
		answer, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		// The fuzzer has no private key, so no signature of its own is right.
		if a, err := g.Verify(t.Context(), cookie, "", answer); !errors.Is(err, passkey.ErrWrong) {
			t.Errorf("Verify = %+v, %v", a, err)
		}
	})
}

// FuzzAttestation sends an attestation object inside an enrolment that is right
// otherwise, to somebody of whom the maker's word is asked. The policy trusts no
// maker, so nothing is right.
func FuzzAttestation(f *testing.F) {
	g := newTarget(f)
	m, err := passkeytest.NewMaker("Keys")
	if err != nil {
		f.Fatal(err)
	}
	begin := func(ctx context.Context) passkey.Enrolment {
		e, err := g.BeginEnrol(ctx, mira, nil, cookie)
		if err != nil {
			panic(err)
		}
		return e
	}
	for _, by := range []passkeytest.Attestation{
		passkeytest.None, passkeytest.Self, m.Packed, statement("tpm", map[string]any{"ver": "2.0", "alg": -7, "x5c": []any{}}),
		statement("android-key", map[string]any{"alg": -7, "sig": []byte{1}, "x5c": []any{[]byte{1}}}), statement("apple", map[string]any{"x5c": []any{}}),
	} {
		made, _, err := passkeytest.New(rpID, origin).Create(begin(f.Context()).PublicKey, func(t *passkeytest.Tweak) { t.Attestation = by })
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object(f, made))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		e := begin(t.Context())
		made, _, err := passkeytest.New(rpID, origin).Create(e.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		var parts map[string]any
		if err := json.Unmarshal(made, &parts); err != nil {
			t.Fatal(err)
		}
		parts["response"].(map[string]any)["attestationObject"] = encode(object)
		answer, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.finish(t.Context(), []policy.PostID{policy.CIO}, e.ID, answer); err == nil {
			t.Error("an enrolment that no maker vouches for")
		}
	})
}

// object is the attestation object of a registration.
func object(f *testing.F, made []byte) []byte {
	f.Helper()
	var parts struct {
		Response struct{ AttestationObject string }
	}
	if err := json.Unmarshal(made, &parts); err != nil {
		f.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts.Response.AttestationObject)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}
