// Package sheet reads the text files that a spreadsheet or an older system of an
// office writes.
//
// It knows how characters are written down and nothing of columns: what a line
// means is its reader's.
package sheet

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// ErrText means that a file is no text in any encoding that Text reads.
var ErrText = errors.New("not text in UTF-8, UTF-16 or Shift_JIS")

// Text is a file's text. Excel writes "CSV UTF-8" with a byte order mark, "CSV" in
// Windows' Shift_JIS (CP932, WHATWG Encoding section 12.3) and "Unicode text" in
// UTF-16 with a mark; everything else writes UTF-8. What is valid UTF-8 is taken for
// it: a Japanese text in Shift_JIS is not. No mark is in the answer.
//
// Errors: ErrText, also for what has NUL in it or a byte that stands for nothing.
func Text(data []byte) (string, error) {
	var from encoding.Encoding
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		from = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
	case utf8.Valid(data):
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
	default:
		from = japanese.ShiftJIS
	}
	if from != nil {
		var err error
		if data, err = from.NewDecoder().Bytes(data); err != nil || bytes.ContainsRune(data, utf8.RuneError) {
			return "", ErrText
		}
	}
	if bytes.IndexByte(data, 0) >= 0 {
		return "", ErrText
	}
	return string(data), nil
}
