package passkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"sekisho/authn/passkey"
	"sekisho/authn/passkey/passkeytest"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestChangedRows: whoever can write the database cannot make a key another's,
// another key, or younger (ASVS 6.7.1).
func TestChangedRows(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"given to another": `UPDATE passkey SET person = '6f1c0d9e-kato' WHERE id = $1`,
		"counter set back": `UPDATE passkey SET sign_count = 0 WHERE id = $1`,
		"made older":       `UPDATE passkey SET added_at = 0 WHERE id = $1`,
		"another's public key": `UPDATE passkey SET credential =
			(SELECT credential FROM passkey WHERE name = 'thief') WHERE id = $1`,
		"another row's name": `UPDATE passkey SET id = 'other' WHERE id = $1`,
		"no seal":            `UPDATE passkey SET credential = '{}' WHERE id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.enrolled(kato, "thief")
			kept, key := b.enrolled(mira, "key")
			if err := b.signIn(key); err != nil {
				t.Fatal(err)
			}
			answer := b.answer(key)
			verified, err := b.verify(answer)
			if err != nil {
				t.Fatal(err)
			}
			b.sql(change, kept.ID)
			if _, err := b.verify(answer); !errors.Is(err, secret.ErrSealBroken) {
				t.Errorf("Verify = %v, want a broken seal", err)
			}
			// Who has it now is told as well, not shown a key less.
			owner := mira
			if name == "given to another" {
				owner = kato
			}
			if _, err := b.List(t.Context(), owner.ID); !errors.Is(err, secret.ErrSealBroken) {
				t.Errorf("List = %v, want a broken seal", err)
			}
			if err := b.spend(verified); err == nil {
				t.Error("what was verified before is spent after")
			}
		})
	}
	t.Run("another credential id", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		_, thief := b.enrolled(kato, "thief")
		kept, _ := b.enrolled(mira, "key")
		// The thief's key answers for the row of the other.
		b.sql(`DELETE FROM passkey WHERE name = 'thief'`)
		b.sql(`UPDATE passkey SET credential_id = $1 WHERE id = $2`, thief.CredentialID, kept.ID)
		if _, err := b.verify(b.answer(thief)); !errors.Is(err, secret.ErrSealBroken) {
			t.Errorf("Verify = %v, want a broken seal", err)
		}
	})
}

// TestPublicKeyIsSealed: what is in the file does not say what keys there are.
func TestPublicKeyIsSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, key := b.enrolled(mira, "key")
	point, err := key.Private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var seen []byte
	storetest.OnlySQLite(t)
	for _, file := range []string{b.path, b.path + "-wal"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, data...)
	}
	if !bytes.Contains(seen, key.CredentialID) {
		t.Fatal("the credential id is not in the file: this test sees nothing")
	}
	if bytes.Contains(seen, point[1:33]) || bytes.Contains(seen, point[33:]) {
		t.Error("the public key is in the file in clear")
	}
}

// sample is a key as a sample prefecture hands it out.
func sample(t *testing.T) (passkey.Imported, *passkeytest.Key) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cose, err := passkey.COSE(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	in := passkey.Imported{CredentialID: secret.Bytes(32), UserHandle: secret.Bytes(64), PublicKey: cose, Name: "sample"}
	key, err := passkeytest.FromPKCS8(in.CredentialID, in.UserHandle, pkcs8, rpID, origin)
	if err != nil {
		t.Fatal(err)
	}
	return in, key
}

func TestImport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	in, key := sample(t)
	in.AddedAt = b.clock.Now().Add(-48 * time.Hour)
	add := func(in passkey.Imported) error {
		return b.tx(func(tx *store.Tx) error { return b.Import(t.Context(), tx, mira.ID, in) })
	}
	if err := add(in); err != nil {
		t.Fatal(err)
	}
	// It is of no maker, stays where it is, and counts nothing.
	for range 3 {
		if err := b.signIn(key); err != nil {
			t.Error(err)
		}
	}
	keys, err := b.List(t.Context(), mira.ID)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if k := keys[0]; k.Synced || k.Attested || !k.AddedAt.Equal(in.AddedAt) || k.AAGUID != "00000000-0000-0000-0000-000000000000" {
		t.Errorf("the key is %+v", k)
	}
	// A further key goes under the same handle.
	var ask struct{ User struct{ ID string } }
	if err := json.Unmarshal(b.begin(mira).PublicKey, &ask); err != nil || ask.User.ID != encode(in.UserHandle) {
		t.Errorf("the handle of a further key is another (%v)", err)
	}

	other, _ := sample(t)
	for name, tt := range map[string]struct {
		change func(*passkey.Imported)
		want   error
	}{
		"twice":              {func(i *passkey.Imported) { i.CredentialID = in.CredentialID }, passkey.ErrTwice},
		"no name":            {func(i *passkey.Imported) { i.Name = "" }, passkey.ErrName},
		"no credential id":   {func(i *passkey.Imported) { i.CredentialID = nil }, passkey.ErrWrong},
		"a long one":         {func(i *passkey.Imported) { i.CredentialID = make([]byte, 1024) }, passkey.ErrWrong},
		"no handle":          {func(i *passkey.Imported) { i.UserHandle = nil }, passkey.ErrWrong},
		"a long handle":      {func(i *passkey.Imported) { i.UserHandle = make([]byte, 65) }, passkey.ErrWrong},
		"no public key":      {func(i *passkey.Imported) { i.PublicKey = nil }, passkey.ErrWrong},
		"half a public key":  {func(i *passkey.Imported) { i.PublicKey = i.PublicKey[:40] }, passkey.ErrWrong},
		"a point off curve":  {func(i *passkey.Imported) { i.PublicKey[60] ^= 1 }, passkey.ErrWrong},
		"more than a key":    {func(i *passkey.Imported) { i.PublicKey = append(i.PublicKey, 0) }, passkey.ErrWrong},
		"what is good again": {func(i *passkey.Imported) {}, nil},
	} {
		i := other
		i.PublicKey = slices.Clone(other.PublicKey)
		tt.change(&i)
		want(t, name, add(i), tt.want)
	}
	last, _ := sample(t)
	if err := add(last); err != nil {
		t.Fatal(err)
	}
	one, _ := sample(t)
	want(t, "one too many", add(one), passkey.ErrFull)
}

// TestPublicKeys: what a key calls itself, what it is, and what we ask for agree.
func TestPublicKeys(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.pol.Passkey.MaxKeys = 20
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x, y := point[1:33], point[33:]
	modulus := func(bits int) []byte {
		n := make([]byte, (bits+7)/8)
		n[0], n[len(n)-1] = 1<<((bits-1)%8), 1
		return n
	}
	e := []byte{1, 0, 1}
	for name, tt := range map[string]struct {
		key  map[int]any // RFC 9053 section 7
		good bool
	}{
		"ES256":                  {map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: y}, true},
		"ES256 without a curve":  {map[int]any{1: 2, 3: -7, -2: x, -3: y}, false},
		"ES256 on another curve": {map[int]any{1: 2, 3: -7, -1: 2, -2: x, -3: y}, false},
		"ES512":                  {map[int]any{1: 2, 3: -36, -1: 3, -2: make([]byte, 66), -3: make([]byte, 66)}, false},
		"EdDSA":                  {map[int]any{1: 1, 3: -8, -1: 6, -2: x}, true},
		"Ed25519 by its name":    {map[int]any{1: 1, 3: -19, -1: 6, -2: x}, false},
		"EdDSA of X25519":        {map[int]any{1: 1, 3: -8, -1: 4, -2: x}, false},
		"EdDSA, short":           {map[int]any{1: 1, 3: -8, -1: 6, -2: x[1:]}, false},
		"RS256 of 2047":          {map[int]any{1: 3, 3: -257, -1: modulus(2047), -2: e}, false},
		"RS256 of 2048":          {map[int]any{1: 3, 3: -257, -1: modulus(2048), -2: e}, true},
		"RS256 of 4096":          {map[int]any{1: 3, 3: -257, -1: modulus(4096), -2: e}, true},
		"RS256 of 4097":          {map[int]any{1: 3, 3: -257, -1: modulus(4097), -2: e}, false},
		"PS256":                  {map[int]any{1: 3, 3: -37, -1: modulus(2048), -2: e}, false},
		"RS1":                    {map[int]any{1: 3, 3: -65535, -1: modulus(2048), -2: e}, false},
		"a secret":               {map[int]any{1: 4, 3: 5, -1: x}, false},
		"nothing":                {map[int]any{}, false},
	} {
		in, _ := sample(t)
		if in.PublicKey, err = webauthncbor.Marshal(tt.key); err != nil {
			t.Fatal(err)
		}
		err := b.tx(func(tx *store.Tx) error { return b.Import(t.Context(), tx, mira.ID, in) })
		if tt.good && err != nil || !tt.good && passkey.Why(err) != "wrong_algorithm" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCOSE(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*ecdsa.PublicKey{"none": nil, "P-384": &p384.PublicKey} {
		if out, err := passkey.COSE(key); err == nil {
			t.Errorf("%s: %x", name, out)
		}
	}
}
