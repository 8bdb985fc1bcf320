package test

import (
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"testing"
)

var (
	hidden  = regexp.MustCompile(`<input type="hidden" name="([a-z_]+)" value="([^"]*)"`)
	nonces  = regexp.MustCompile(`nonce="[^"]*"|'nonce-[^']*'`)
	lengths = regexp.MustCompile(`(?m)^Content-Length: .*\n`)
)

// seedOf is what chance is made from; SEKISHO_SEED repeats a run.
func seedOf(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("SEKISHO_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal("SEKISHO_SEED:", err)
		}
		seed = n
	}
	t.Logf("SEKISHO_SEED=%d", seed)
	return seed
}
