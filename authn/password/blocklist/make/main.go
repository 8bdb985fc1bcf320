// Make builds common.fuse from a list of common passwords, one a line.
//
//	go run ./authn/password/blocklist/make LIST authn/password/blocklist/common.fuse
//
// The README beside the filter names the list. The result is the same on every
// run: the filter's seed is fixed and the keys are sorted.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/FastFilter/xorfilter"

	"sekisho/authn/password/blocklist"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: make LIST FILTER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(list, filter string) error {
	in, err := os.Open(list)
	if err != nil {
		return fmt.Errorf("opening the list: %w", err)
	}
	defer in.Close()

	var keys []uint64
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		// Lines that are not text cannot be typed into a form.
		if !utf8.Valid(lines.Bytes()) {
			continue
		}
		folded := blocklist.Fold(lines.Text())
		if utf8.RuneCountInString(folded) >= blocklist.MinLength {
			keys = append(keys, blocklist.Key(folded))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)

	fuse, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return fmt.Errorf("building the filter: %w", err)
	}
	for _, k := range keys {
		if !fuse.Contains(k) {
			return fmt.Errorf("the filter misses a key it was built from")
		}
	}
	var out bytes.Buffer
	if err := fuse.Save(&out); err != nil {
		return fmt.Errorf("packing the filter: %w", err)
	}
	if err := os.WriteFile(filter, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the filter: %w", err)
	}
	fmt.Printf("%d passwords, %d bytes\n", len(keys), out.Len())
	return nil
}
