// Package blocklist answers whether a string is among the common passwords.
//
// It knows no rules and no people, and it does not hold the passwords: only a
// binary fuse filter over truncated hashes of them (common.fuse, made by the
// program in make; README.md says from what). A filter never misses what was
// put in, and takes about one in 65,000 other strings for a member: that false
// refusal costs a person one more try and is the price of 1.1 MB instead of 5.
package blocklist

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/FastFilter/xorfilter"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MinLength is the shortest entry kept, in code points after folding. Whole
// passwords below it are refused for their length; stems of longer ones are
// worth finding from here on, shorter stems are left to the strength estimate.
const MinLength = 8

//go:embed common.fuse
var packed []byte

// load unpacks the filter at its first use, so that a process that changes no
// password does not pay for it.
var load = sync.OnceValues(func() (*xorfilter.BinaryFuse[uint16], error) {
	f, err := xorfilter.LoadBinaryFuse[uint16](bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpacking the filter of common passwords: %w", err)
	}
	return f, nil
})

// Fold brings spellings of one password that a guesser would try together to
// one form: NFKC (so that full-width and half-width letters are the same), then
// case-folded, then NFKC again because folding can undo it (Unicode Standard
// section 3.13, "toNFKC_Casefold"). It is for comparing with lists only; what a
// person typed is what the directory is given.
func Fold(s string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(s)))
}

// Key is the filter's key of an already folded string: the first 64 bits of its
// SHA-256. A cryptographic hash, so that nobody can compute innocent-looking
// strings that collide with one another.
func Key(folded string) uint64 {
	sum := sha256.Sum256([]byte(folded))
	return binary.BigEndian.Uint64(sum[:8])
}

// Contains reports whether the folded string is among the common passwords.
// Strings shorter than MinLength never are. An error means that the embedded
// filter is damaged; the caller must refuse then.
func Contains(folded []rune) (bool, error) {
	if len(folded) < MinLength {
		return false, nil
	}
	f, err := load()
	if err != nil {
		return false, err
	}
	return f.Contains(Key(string(folded))), nil
}
