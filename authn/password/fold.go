package password

import (
	"strings"
	"unicode"

	"sekisho/authn/password/blocklist"
)

// hiragana turns katakana into hiragana so that one spelling in the word list
// serves both. It expects NFKC text, where half-width kana are already wide. A
// rune is answered by one rune: positions stay what they were.
func hiragana(s []rune) []rune {
	out := make([]rune, len(s))
	for i, r := range s {
		if r >= 'ァ' && r <= 'ヶ' {
			r -= 'ァ' - 'ぁ'
		}
		out[i] = r
	}
	return out
}

// leet holds the look-alikes people use for letters. One letter each is enough:
// the filter is asked about the folded form, not about every combination, and a
// password that this misses is still judged by its strength.
var leet = map[rune]rune{
	'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '8': 'b', '9': 'g',
	'@': 'a', '$': 's', '!': 'i', '+': 't', '|': 'l', '(': 'c', '€': 'e', '£': 'l',
}

// unleet replaces look-alikes by their letters, rune by rune.
func unleet(s []rune) []rune {
	out := make([]rune, len(s))
	for i, r := range s {
		if l, ok := leet[r]; ok {
			r = l
		}
		out[i] = r
	}
	return out
}

// stem cuts what people hang on to the end of a word: digits, symbols, spaces.
func stem(s []rune) []rune {
	n := len(s)
	for n > 0 && !unicode.IsLetter(s[n-1]) {
		n--
	}
	return s[:n]
}

// head is stem for the other end.
func head(s []rune) []rune {
	i := 0
	for i < len(s) && !unicode.IsLetter(s[i]) {
		i++
	}
	return s[i:]
}

// pieces splits a name, a mail address's local part or a section's name into
// the words in it.
func pieces(s string) []string {
	return strings.FieldsFunc(blocklist.Fold(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
}
