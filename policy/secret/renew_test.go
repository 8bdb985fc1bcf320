package secret_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"sekisho/policy/secret"
)

// TestRenew follows a ring through a rotation while it is in use.
func TestRenew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	ring, err := secret.CreateKeyRing(path)
	if err != nil {
		t.Fatal(err)
	}
	first, place := ring.CurrentID(), secret.Place{Table: "t", Column: "c", Row: "r"}
	sealed, err := ring.Seal(place, []byte("kingfisher"))
	if err != nil {
		t.Fatal(err)
	}
	var second, print string
	if _, err := secret.AddKey(path, func(id, fingerprint string) error { second, print = id, fingerprint; return nil }); err != nil {
		t.Fatal(err)
	}
	if changed, err := ring.Renew(path); !changed || err != nil || ring.CurrentID() != first {
		t.Fatalf("Renew = %v, %v; %s is current, want still %s", changed, err, ring.CurrentID(), first)
	}
	if changed, err := ring.Renew(path); changed || err != nil {
		t.Errorf("Renew again = %v, %v", changed, err)
	}
	if !slices.Equal(ring.IDs(), []string{first, second}) || ring.Fingerprint(second) != print || print == ring.Fingerprint(first) {
		t.Errorf("%v on the ring", ring.IDs())
	}
	if err := ring.Use("nobody"); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("using a key that is not there: %v", err)
	}
	if err := ring.Use(second); err != nil {
		t.Fatal(err)
	}
	anew, err := ring.Reseal(place, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(sealed, secret.SealedPrefix(first)) || !bytes.HasPrefix(anew, secret.SealedPrefix(second)) {
		t.Error("a sealed value does not begin as SealedPrefix says")
	}
	if _, err := ring.Reseal(secret.Place{Table: "t", Column: "c", Row: "other"}, sealed); !errors.Is(err, secret.ErrSealBroken) {
		t.Errorf("Reseal at another place: %v", err)
	}

	ring.Forget(second) // the current one: stays
	ring.Forget(first)
	if plain, err := ring.Open(place, anew); err != nil || string(plain) != "kingfisher" {
		t.Errorf("Open = %q, %v", plain, err)
	}
	if _, err := ring.Open(place, sealed); !errors.Is(err, secret.ErrUnknownKey) {
		t.Errorf("under a forgotten key: %v", err)
	}
	if changed, err := ring.Renew(path); changed || err != nil || len(ring.IDs()) != 1 {
		t.Errorf("the file brought a forgotten key back: %v, %v", changed, err)
	}
	if err := secret.RemoveKeys(path, first); err != nil {
		t.Fatal(err)
	}
	if err := secret.RemoveKeys(path, second); err == nil {
		t.Error("the last key was removed")
	}
	if again, err := secret.LoadKeyRing(path); err != nil || !slices.Equal(again.IDs(), []string{second}) {
		t.Errorf("the file holds %v, %v", again, err)
	}
	if _, err := secret.AddKey(path, func(string, string) error { return errors.New("no") }); err == nil {
		t.Error("a key that nobody would know was added")
	}
	other, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "other"))
	if err != nil {
		t.Fatal(err)
	}
	if other.Fingerprint(other.CurrentID()) == ring.Fingerprint(second) {
		t.Error("two keys have one fingerprint")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(ring.Fingerprint(second))) {
		t.Error("the fingerprint is part of the key's file")
	}
	// Another key under the same id.
	line := append([]byte(second+" "), bytes.Repeat([]byte("A"), 43)...)
	if err := os.WriteFile(path, append(line, '=', '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Renew(path); err == nil {
		t.Error("another key was taken for the one in use")
	}
}

// TestRootLeavesTheRingToItsOwner: `sudo sekisho keys rotate` must not lock the
// gate's own account out.
func TestRootLeavesTheRingToItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can take a file away")
	}
	path := filepath.Join(t.TempDir(), "ring")
	if _, err := secret.CreateKeyRing(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := secret.AddKey(path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != 65534 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s belongs to %d, mode %v", name, owner.Uid, info.Mode())
		}
	}
}
