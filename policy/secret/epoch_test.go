package secret

import (
	"bytes"
	"path/filepath"
	"testing"
)

// TestEpochs: what was fingerprinted in one epoch is unknown in the next, with
// the same key; the first is what a ring without an epoch gives, and it comes
// back as it was.
func TestEpochs(t *testing.T) {
	t.Parallel()
	ring, err := CreateKeyRing(filepath.Join(t.TempDir(), "session.key"))
	if err != nil {
		t.Fatal(err)
	}
	mac := func() []byte {
		sum, err := ring.MAC("", "handle", []byte("cookie"))
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	first := mac()
	seen := [][]byte{first}
	for _, epoch := range []int64{1, 2, 12} {
		ring.SetEpoch(epoch)
		now := mac()
		for _, old := range seen {
			if bytes.Equal(now, old) {
				t.Errorf("epoch %d is not a new one", epoch)
			}
		}
		if !bytes.Equal(now, mac()) {
			t.Errorf("epoch %d is not one", epoch)
		}
		seen = append(seen, now)
	}
	ring.SetEpoch(0)
	if !bytes.Equal(mac(), first) {
		t.Error("the first epoch is another than no epoch")
	}
}
