package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"sekisho/policy/secret"
)

func newRing(t *testing.T) (ring *secret.KeyRing, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	ring, err := secret.CreateKeyRing(path)
	if err != nil {
		t.Fatal(err)
	}
	return ring, path
}

func TestKeyRingFile(t *testing.T) {
	ring, path := newRing(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v, %v, want mode 0600", info, err)
	}
	again, err := secret.LoadKeyRing(path)
	if err != nil || again.CurrentID() != ring.CurrentID() {
		t.Errorf("loaded again: %v", err)
	}
	if _, err := secret.CreateKeyRing(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("creating over a ring: %v, want os.ErrExist", err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.LoadKeyRing(link); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a symbolic link: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.LoadKeyRing(path); !errors.Is(err, secret.ErrExposed) {
		t.Errorf("mode 0640: %v, want ErrExposed", err)
	}
	if _, err := secret.AddKey(path); !errors.Is(err, secret.ErrExposed) {
		t.Errorf("adding to mode 0640: %v, want ErrExposed", err)
	}
	left, err := filepath.Glob(path + "*.new")
	if err != nil || len(left) != 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

// TestCreateRace: of ten first starts one makes the ring.
func TestCreateRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	var made atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := secret.CreateKeyRing(path); err == nil {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d rings were made, want one", made.Load())
	}
}

func TestBrokenKeyRings(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	for _, tt := range []struct{ name, text, says string }{
		{"empty", "", "no key"},
		{"comments only", "# a ring\n\n", "no key"},
		{"no key", "abc\n", ":1:"},
		{"bad id", "ABC " + key, ":1:"},
		{"id too long", "abcdefghi " + key, ":1:"},
		{"short key", "abc " + base64.StdEncoding.EncodeToString(make([]byte, 31)), "32 bytes"},
		{"long key", "abc " + base64.StdEncoding.EncodeToString(make([]byte, 33)), "32 bytes"},
		{"not base64", "abc " + strings.Repeat("!", 44), "32 bytes"},
		{"an id twice", "# x\na " + key + "\na " + key, ":3: the id is used twice"},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := secret.LoadKeyRing(path)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
		if err != nil && strings.Contains(err.Error(), key[:8]) {
			t.Errorf("%s: the error shows the key", tt.name)
		}
	}
}

// TestRotation: a new key seals, the old one still opens and fingerprints.
func TestRotation(t *testing.T) {
	old, path := newRing(t)
	at := secret.Place{Table: "totp_device", Column: "seed", Row: "1"}
	sealed, err := old.Seal(at, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	mac, err := old.MAC("", "session", []byte("id"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := secret.AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if ring.CurrentID() == old.CurrentID() {
		t.Fatal("the new key is not the current one")
	}
	if plain, err := ring.Open(at, sealed); err != nil || string(plain) != "seed" {
		t.Errorf("sealed under the old key: %q, %v", plain, err)
	}
	if id, err := secret.SealedUnder(sealed); err != nil || id != old.CurrentID() {
		t.Errorf("SealedUnder = %q, %v, want %q", id, err, old.CurrentID())
	}
	if again, err := ring.MAC(old.CurrentID(), "session", []byte("id")); err != nil || !bytes.Equal(again, mac) {
		t.Errorf("the old key's MAC differs: %v", err)
	}
	if now, err := ring.MAC("", "session", []byte("id")); err != nil || bytes.Equal(now, mac) {
		t.Errorf("two keys, one MAC: %v", err)
	}
	fresh, err := ring.Seal(at, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Open(at, fresh); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("a gateway without the new key: %v, want ErrUnknownKey", err)
	}
	if _, err := ring.MAC("nobody", "session"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("an unknown key: %v, want ErrUnknownKey", err)
	}
}

// TestSeal changes everything a thief with write access to the table could.
func TestSeal(t *testing.T) {
	_, path := newRing(t)
	ring, err := secret.AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := newRing(t)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringN(1, 12, -1)
		at := secret.Place{Table: name.Draw(t, "table"), Column: name.Draw(t, "column"), Row: name.Draw(t, "row")}
		plain := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "plain")
		sealed, err := ring.Seal(at, plain)
		if err != nil {
			t.Fatal(err)
		}
		if len(plain) > 8 && bytes.Contains(sealed, plain) {
			t.Fatal("the value stands there in the clear")
		}
		if got, err := ring.Open(at, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened: %x, %v", got, err)
		}
		twice, _ := ring.Seal(at, plain)
		if bytes.Equal(twice, sealed) {
			t.Fatal("sealing twice gave one value")
		}

		other := secret.Place{Table: name.Draw(t, "table2"), Column: name.Draw(t, "column2"), Row: name.Draw(t, "row2")}
		for _, p := range []secret.Place{
			{Table: other.Table, Column: at.Column, Row: at.Row},
			{Table: at.Table, Column: other.Column, Row: at.Row},
			{Table: at.Table, Column: at.Column, Row: other.Row},
			{Table: at.Table + at.Column[:1], Column: at.Column[1:], Row: at.Row}, // the same letters, cut elsewhere
		} {
			if p == at {
				continue
			}
			if got, err := ring.Open(p, sealed); err == nil {
				t.Fatalf("moved from %+v to %+v it opened: %x", at, p, got)
			}
		}
		if _, err := stranger.Open(at, sealed); !errors.Is(err, secret.ErrUnknownKey) {
			t.Fatalf("another ring: %v", err)
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
			if got, err := ring.Open(at, bad); err == nil {
				t.Fatalf("with byte %d changed it opened: %x", i, got)
			} else if !errors.Is(err, secret.ErrSealBroken) && !errors.Is(err, secret.ErrUnknownKey) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
		cut := rapid.IntRange(0, len(sealed)-1).Draw(t, "cut")
		for _, bad := range [][]byte{sealed[:cut], append(bytes.Clone(sealed), 0)} {
			if _, err := ring.Open(at, bad); err == nil {
				t.Fatalf("%d bytes of %d opened", len(bad), len(sealed))
			}
		}
	})
}

func TestSealNeedsAPlace(t *testing.T) {
	ring, _ := newRing(t)
	for _, at := range []secret.Place{{}, {Table: "t", Column: "c"}, {Table: "t", Row: "r"}, {Column: "c", Row: "r"}} {
		if _, err := ring.Seal(at, []byte("x")); err == nil {
			t.Errorf("sealed at %+v", at)
		}
	}
}

// TestLayout holds version 1 still: values sealed by an earlier binary must open.
func TestLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	text := "a1b2c3d4 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := secret.LoadKeyRing(path)
	if err != nil {
		t.Fatal(err)
	}
	at := secret.Place{Table: "totp_device", Column: "seed", Row: "42"}
	sealed, err := hex.DecodeString(strings.Join(strings.Fields(goldenSealed), ""))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open(at, sealed); err != nil || string(got) != "twenty bytes of seed" {
		made, _ := ring.Seal(at, []byte("twenty bytes of seed"))
		t.Errorf("opened %q, %v; sealed today it would be\n%x", got, err, made)
	}
	mac, err := ring.MAC("", "session", []byte("ab"), []byte("c"))
	if err != nil || hex.EncodeToString(mac) != goldenMAC {
		t.Errorf("MAC = %x, %v, want %s", mac, err, goldenMAC)
	}
	for name, parts := range map[string][][]byte{
		"cut elsewhere": {[]byte("a"), []byte("bc")},
		"joined":        {[]byte("abc")},
		"one more":      {[]byte("ab"), []byte("c"), nil},
	} {
		if other, err := ring.MAC("", "session", parts...); err != nil || bytes.Equal(other, mac) {
			t.Errorf("%s: the same MAC, %v", name, err)
		}
	}
	if other, err := ring.MAC("", "csrf", []byte("ab"), []byte("c")); err != nil || bytes.Equal(other, mac) {
		t.Errorf("another purpose, the same MAC, %v", err)
	}
}

// FuzzOpen: no bytes from the database stop the house.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keys")
	ring, err := secret.CreateKeyRing(path)
	if err != nil {
		f.Fatal(err)
	}
	at := secret.Place{Table: "t", Column: "c", Row: "r"}
	good, err := ring.Seal(at, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{1, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if got, err := ring.Open(at, sealed); err == nil && !bytes.Equal(sealed, good) {
			t.Errorf("forged: %x opened as %x", sealed, got)
		}
	})
}
