package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxNameLength is the longest name, in bytes, that is looked up at all.
const MaxNameLength = 1024

// Canonical is the one spelling of a typed name: NFKC, case folded, all space
// removed, and with it the characters of no width that would let one name be
// typed in a thousand ways. Full-width, half-width, capitals and stray blanks
// lead to one name, and so to one counter of failures; Authelia CVE-2025-24806
// is what happens otherwise. It is idempotent.
func Canonical(typed string) string {
	// Folding can undo normal form and normal form can undo folding (ﬁ, ß, ϓ),
	// so both run until nothing moves. Three rounds settle every string the
	// fuzz test has met; the bound keeps a stranger from choosing the number.
	s := typed
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.Map(unspaced, s))))
		if next == s {
			return s
		}
		s = next
	}
	return s
}

// unspaced drops what a reader cannot see: white space, format characters such
// as the zero width joiner, and variation selectors. Control characters other
// than white space stay, so that Wellformed can refuse them.
func unspaced(r rune) rune {
	switch {
	case unicode.IsSpace(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		return -1
	}
	return r
}

// Wellformed says whether a canonical name may be sent to a directory: valid
// UTF-8, no control character (above all no NUL, at which a server written in C
// may stop reading), and not longer than MaxNameLength.
func Wellformed(name string) bool {
	return name != "" && len(name) <= MaxNameLength && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, unicode.IsControl) && !strings.ContainsRune(name, utf8.RuneError)
}
