package secret_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sekisho/policy/secret"
)

// TestMACsAtOnce: HMACs are reused, so nothing of one sum may reach another, of
// whatever purpose, and more purposes than are kept still have keys of their own. One
// part alone has the same sum either way.
func TestMACsAtOnce(t *testing.T) {
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	const purposes, values = 100, 20
	alone := func(p, v int) {
		name, part := fmt.Sprint("purpose ", p), strings.Repeat(fmt.Sprint("value ", v), v+1)
		one, err := ring.MACOf("", name, part)
		if err != nil {
			t.Error(err)
		}
		if mac, err := ring.MAC("", name, []byte(part)); err != nil || !bytes.Equal(mac, one[:]) {
			t.Errorf("purpose %d, value %d: %x alone, %x, %v as one of parts", p, v, one, mac, err)
		}
	}
	sum := func(p, v int) []byte {
		mac, err := ring.MAC("", fmt.Sprint("purpose ", p), []byte(fmt.Sprint("value ", v)), []byte("of all"))
		if err != nil {
			t.Error(err)
		}
		return mac
	}
	want := map[string]bool{}
	var sums [purposes][values][]byte
	for p := range purposes {
		for v := range values {
			sums[p][v] = sum(p, v)
			want[string(sums[p][v])] = true
		}
	}
	if len(want) != purposes*values {
		t.Fatalf("%d different sums of %d", len(want), purposes*values)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range purposes * values {
				p, v := (i*7+worker)%purposes, (i/purposes+worker)%values
				alone(p, v)
				if got := sum(p, v); !bytes.Equal(got, sums[p][v]) {
					t.Errorf("purpose %d, value %d: another sum under load", p, v)
					return
				}
			}
		})
	}
	wg.Wait()
}
