// Package report makes what is known into what is read on paper and in a sheet: by
// section and kind, with every figure's entries behind it.
//
// It holds no rule and reads no directory: what it shows was found by others. A text
// that somebody typed stays a text wherever it is opened.
package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain is a text as a cell of a CSV file may hold it: programs for sheets take a cell
// that begins with one of these signs for a formula, and would carry it out; some look
// past blanks and marks that nobody sees. An apostrophe before it keeps it a text.
func Plain(s string) string {
	seen := strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) })
	first, _ := utf8.DecodeRuneInString(seen)
	if s != "" && (strings.ContainsRune("\t\r\n", rune(s[0])) || seen != "" && strings.ContainsRune("=+-@＝＋－＠", first)) {
		return "'" + s
	}
	return s
}
