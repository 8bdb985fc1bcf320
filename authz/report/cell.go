// Package report makes what is known into what is read on paper and in a sheet: by
// section and kind, with every figure's entries behind it.
//
// It holds no rule and reads no directory: what it shows was found by others. A text
// that somebody typed stays a text wherever it is opened.
package report

import "strings"

// Plain is a text as a cell of a CSV file may hold it: programs for sheets take a cell
// that begins with one of these signs for a formula, and would carry it out. An
// apostrophe before it keeps it a text.
func Plain(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
