package password

import (
	"math"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"

	"sekisho/authn/password/ranks"
)

// The estimate is that of Wheeler's zxcvbn: a password costs a guesser what its
// cheapest division into words, walks, runs, repetitions, dates and unexplained
// characters costs. It is our own because the Go packages of it read their word
// lists whenever a process starts; strength_test.go compares the two, and where
// they differ this one asks for more.

// estimated is how many code points are looked at. A password that is not
// strong within its first hundred characters gains nothing we would credit
// after them.
const estimated = 100

// years that people put into passwords.
const firstYear, lastYear = 1940, 2045

// score estimates the guesses that the password stands, from 0 to 4 (zxcvbn's
// scale, at ten thousand guesses a second: 3 stands 10^6 seconds, 4 stands 10^8).
// The lowest of three readings counts: as typed, normalised, and with look-alikes
// as letters.
func (t text) score(raw []rune, own, blocked [][]rune) int {
	known := map[string]int{}
	longest := 0
	add := func(w string) {
		w = strings.ToLower(w)
		if known[w] == 0 {
			known[w] = len(known) + 1
			longest = max(longest, len(w))
		}
	}
	for _, list := range [][][]rune{own, blocked} {
		for _, w := range list {
			add(plain(w))
		}
	}
	for y := firstYear; y <= lastYear; y++ {
		add(strconv.Itoa(y))
	}
	for _, w := range familiar().ordered {
		add(plain([]rune(w)))
	}

	lowest := 4
	for _, form := range [][]rune{raw, []rune(norm.NFKC.String(string(raw[:min(len(raw), estimated)]))), t.letters} {
		form = form[:min(len(form), estimated)]
		lowest = min(lowest, scoreOf(cheapest(plain(hiragana(form)), known, longest)))
	}
	return lowest
}

// scoreOf turns bits of guesses into the score: half of them on average, at ten
// thousand a second.
func scoreOf(bits float64) int {
	seconds := 0.5 * math.Exp2(bits) / 10_000
	score := 0
	for _, bound := range []float64{1e2, 1e4, 1e6, 1e8} {
		if seconds >= bound {
			score++
		}
	}
	return score
}

// An explanation says what the characters from..to-1 cost in bits when they are
// guessed as one thing.
type explanation struct {
	from, to int
	bits     float64
}

// cheapest is the least that any division of s costs. known holds further words
// in lower case with their rank; longest is the length of the longest.
func cheapest(s string, known map[string]int, longest int) float64 {
	ending := make([][]explanation, len(s)+1)
	for _, find := range []func(string) []explanation{
		func(s string) []explanation { return wordsIn(s, known, longest) }, walksIn, runsIn, repetitionsIn, datesIn,
	} {
		for _, e := range find(s) {
			ending[e.to] = append(ending[e.to], e)
		}
	}
	each := math.Log2(kinds(s))
	bits := make([]float64, len(s)+1)
	for to := 1; to <= len(s); to++ {
		bits[to] = bits[to-1] + each
		for _, e := range ending[to] {
			bits[to] = min(bits[to], bits[e.from]+e.bits)
		}
	}
	return bits[len(s)]
}

// kinds is how many characters there are of the kinds that s has.
func kinds(s string) float64 {
	var lower, upper, digit, symbol float64
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			lower = 26
		case r >= 'A' && r <= 'Z':
			upper = 26
		case r >= '0' && r <= '9':
			digit = 10
		default:
			symbol = 33
		}
	}
	return max(1, lower+upper+digit+symbol)
}

func wordsIn(s string, known map[string]int, longest int) []explanation {
	var found []explanation
	lower := strings.ToLower(s)
	for from := range len(s) {
		listed := true
		for to := from + 1; to <= len(s) && (listed || to-from <= longest); to++ {
			rank := known[lower[from:to]]
			if listed {
				var r int
				if r, listed = ranks.Of(lower[from:to]); r > 0 && (rank == 0 || r < rank) {
					rank = r
				}
			}
			if rank > 0 {
				found = append(found, explanation{from, to, math.Log2(float64(rank)) + capitals(s[from:to])})
			}
		}
	}
	return found
}

// capitals is what the choice of capital letters adds to a word: nothing for
// none, one bit for the usual ways, else the number of ways there are.
func capitals(word string) float64 {
	upper, lower := 0, 0
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		}
	}
	isUpper := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	switch {
	case upper == 0:
		return 0
	case lower == 0, upper == 1 && (isUpper(word[0]) || isUpper(word[len(word)-1])):
		return 1
	}
	ways, choose := 0.0, 1.0
	for i := 0; i <= min(upper, lower); i++ {
		ways += choose
		choose = choose * float64(upper+lower-i) / float64(i+1)
	}
	return math.Log2(ways)
}

// A board is a keyboard with the bits that guessing a walk on it costs: for
// where it starts, and for each turn.
type board struct {
	places      map[rune]key
	start, turn float64
}

// boards are the keyboards of the rules, Dvorak's, and numeric pads with all
// their keys. A pad has few, and people trace shapes on it.
var boards = sync.OnceValue(func() []board {
	lay := func(lines ...string) map[rune]key {
		places := map[rune]key{}
		for row, line := range lines {
			for column, r := range line {
				places[r] = key{row, column}
			}
		}
		return places
	}
	const few, many = 10, 47
	out := []board{
		{lay("=/*", "789-", "456+", "123", "00."), math.Log2(few), 1.1},
		{lay("/*-", "789+", "456", "123", "00."), math.Log2(few), 1.1},
		{lay("1234567890[]", "',.pyfgcrl/=", "aoeuidhtns-", ";qjkxbmwvz"), math.Log2(many), math.Log2(4.6)},
	}
	for _, places := range keys {
		out = append(out, board{places, math.Log2(many), math.Log2(4.6)})
	}
	return out
})

// walksIn finds walks of three keys or more in any direction, with their turns,
// and every part of them. What shift adds is not credited.
func walksIn(s string) []explanation {
	var found []explanation
	r := []rune(strings.ToLower(s))
	for _, b := range boards() {
		for from := range r {
			turns, dir := 0, key{}
			for to := from + 2; to <= len(r); to++ {
				step := stepOf(b.places, r[to-2], r[to-1])
				if step == (key{}) {
					break
				}
				if step != dir {
					turns, dir = turns+1, step
				}
				if to-from > 2 {
					found = append(found, explanation{from, to, b.start + float64(turns)*b.turn})
				}
			}
		}
	}
	return found
}

// runsIn finds abcd, 9876 and the like, of three or more.
func runsIn(s string) []explanation {
	var found []explanation
	for from := 0; from+2 < len(s); {
		to, step := from+1, int(s[from+1])-int(s[from])
		if step == 1 || step == -1 {
			for to < len(s) && int(s[to])-int(s[to-1]) == step && kinds(s[to-1:to]) == kinds(s[to:to+1]) {
				to++
			}
		}
		if to-from < 3 || kinds(s[from:to]) > 26 {
			from++
			continue
		}
		bits := math.Log2(float64(to - from))
		if c := s[from]; c != 'a' && c != '1' {
			bits += math.Log2(kinds(s[from : from+1]))
			if c >= 'A' && c <= 'Z' {
				bits++
			}
		}
		if step < 0 {
			bits++
		}
		found = append(found, explanation{from, to, bits})
		from = to - 1
	}
	return found
}

// repetitionsIn finds one character three times or more, in either case.
func repetitionsIn(s string) []explanation {
	var found []explanation
	lower := strings.ToLower(s)
	for from := 0; from < len(s); {
		to := from + 1
		for to < len(s) && lower[to] == lower[from] {
			to++
		}
		if to-from > 2 {
			found = append(found, explanation{from, to, math.Log2(kinds(s[from:to]) * float64(to-from))})
		}
		from = to
	}
	return found
}

// datesIn takes every stretch that reads as a date for any day of a century.
func datesIn(s string) []explanation {
	var found []explanation
	c := read([]rune(s)).dates()
	for from := 0; from < min(len(c), len(s)); {
		if !c[from] {
			from++
			continue
		}
		to := from
		for to < min(len(c), len(s)) && c[to] {
			to++
		}
		found = append(found, explanation{from, to, math.Log2(31 * 12 * 100)})
		from = to
	}
	return found
}

// plain writes a text in printable ASCII, one byte for each code point, so that
// a kana is not credited with more than a letter. Characters outside ASCII
// become letters, the same ones always, so that repetitions and listed words
// stay visible.
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
