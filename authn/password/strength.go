package password

import (
	"strconv"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/matching"

	"golang.org/x/text/unicode/norm"
)

// estimated is how many code points the estimator is shown. Its cost grows
// faster than the length; a password that is not strong within its first hundred
// characters gains nothing we would credit after them.
const estimated = 100

// years that people put into passwords; the estimator's own stop at 2019.
const firstYear, lastYear = 1940, 2045

// score estimates the guesses that the password stands, from 0 to 4 (zxcvbn's
// scale, at ten thousand guesses a second: 3 stands 10^6 seconds, 4 stands 10^8).
// The lowest of three readings counts: as typed, normalised, and with look-alikes as
// letters. The estimator's own table of look-alikes is left out because its
// combinations can be driven to half a second of work by one password.
func (t text) score(raw []rune, own, blocked [][]rune) int {
	inputs := make([]string, 0, len(own)+len(blocked)+len(familiar().ordered)+lastYear-firstYear+1)
	for _, list := range [][][]rune{own, blocked} {
		for _, w := range list {
			inputs = append(inputs, plain(w))
		}
	}
	for y := firstYear; y <= lastYear; y++ {
		inputs = append(inputs, strconv.Itoa(y))
	}
	for _, w := range familiar().ordered {
		inputs = append(inputs, plain([]rune(w)))
	}

	lowest := 4
	for _, form := range [][]rune{raw, []rune(norm.NFKC.String(string(raw[:min(len(raw), estimated)]))), t.letters} {
		form = form[:min(len(form), estimated)]
		got := zxcvbn.PasswordStrength(plain(hiragana(form)), inputs, matching.FilterL33tMatcher)
		lowest = min(lowest, got.Score)
	}
	return lowest
}

// plain writes a text in printable ASCII, one byte for each code point: the
// estimator counts bytes in one place and code points in another, and credits a
// kana with far more than a letter. Characters outside ASCII become letters, the
// same ones always, so that repetitions and listed words stay visible.
func plain(s []rune) string {
	out := make([]byte, len(s))
	for i, r := range s {
		switch {
		case r >= ' ' && r <= '~':
			out[i] = byte(r)
		default:
			// Knuth's multiplicative hash: neighbours in Unicode must not
			// become neighbours in the alphabet.
			out[i] = 'a' + byte((uint32(r)*2654435761>>16)%26)
		}
	}
	return string(out)
}
