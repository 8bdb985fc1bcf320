package password

import (
	"slices"
	"unicode"

	"sekisho/policy"
)

// remainder is how many code points must be left when everything predictable of
// one kind is taken away. Eight characters behind somebody's name are a
// password; "!1" behind it is not.
const remainder = 8

// leftover is the same for everything predictable of all kinds together, which
// a guesser has to combine.
const leftover = 6

// A cover marks the positions of a text that something predictable explains.
type cover []bool

func (c cover) mark(from, to int) {
	for i := from; i < to; i++ {
		c[i] = true
	}
}

func (c cover) count() int {
	n := 0
	for _, covered := range c {
		if covered {
			n++
		}
	}
	return n
}

func (c cover) add(other cover) {
	for i, covered := range other {
		if covered {
			c[i] = true
		}
	}
}

// keepRuns drops marked stretches shorter than n: three neighbouring keys are
// chance ("expert"), four are a habit.
func (c cover) keepRuns(n int) cover {
	for i := 0; i < len(c); {
		if !c[i] {
			i++
			continue
		}
		j := i
		for j < len(c) && c[j] {
			j++
		}
		if j-i < n {
			for k := i; k < j; k++ {
				c[k] = false
			}
		}
		i = j
	}
	return c
}

// dominates is the rule for one kind: too little is left beside it, or it is
// more than half.
func (c cover) dominates() bool {
	n := c.count()
	return n > 0 && (len(c)-n < remainder || 2*n > len(c))
}

// predictable lists the codes of the patterns that make up the password. A kind
// is named when it dominates by itself; when only all of them together leave too
// little, each that took part is named, so that the person knows what to drop.
func (t text) predictable(own, blocked [][]rune) []string {
	kinds := []struct {
		code string
		cover
	}{
		{OwnWord, t.holding(own)},
		{BlockedWord, t.holding(blocked)},
		{Keyboard, t.walks()},
		{Sequence, t.sequences()},
		{Repetition, t.repetitions()},
		{Date, t.dates()},
	}
	all := make(cover, len(t.folded))
	for _, k := range kinds {
		all.add(k.cover)
	}
	together := len(all)-all.count() < leftover

	var codes []string
	for _, k := range kinds {
		if k.dominates() || together && k.count() > 0 {
			codes = append(codes, k.code)
		}
	}
	if t.fewWords(all) {
		codes = append(codes, CommonWord)
	}
	return codes
}

// holding marks where the text holds one of the words, in either reading.
func (t text) holding(words [][]rune) cover {
	c := make(cover, len(t.kana))
	for _, form := range [][]rune{t.kana, t.letters} {
		for _, w := range words {
			for i := 0; i+len(w) <= len(form); i++ {
				if slices.Equal(form[i:i+len(w)], w) {
					c.mark(i, i+len(w))
				}
			}
		}
	}
	return c
}

// own are the words about the person. A login or the local part of an address
// counts whole and in pieces.
func (words Context) own() [][]rune {
	local := words.Mail
	if i := slices.Index([]rune(local), '@'); i >= 0 {
		local = string([]rune(local)[:i])
	}
	return significant([]string{words.Login, words.Name, local, words.Section})
}

func blockedWords(rules policy.PasswordRules, words Context) [][]rune {
	return significant(slices.Concat(words.Prefecture, rules.BlockWords))
}

// significant folds words and their pieces and keeps those long enough to mean
// something: three letters, or two characters where one is a kanji or a kana.
func significant(from []string) [][]rune {
	var out [][]rune
	keep := func(w []rune) {
		w = hiragana(w)
		enough := 3
		for _, r := range w {
			if unicode.In(r, unicode.Han, unicode.Hiragana) {
				enough = 2
			}
		}
		if len(w) >= enough && !slices.ContainsFunc(out, func(o []rune) bool { return slices.Equal(o, w) }) {
			out = append(out, w)
		}
	}
	for _, s := range from {
		parts := pieces(s)
		var whole []rune
		for _, p := range parts {
			whole = append(whole, []rune(p)...)
			keep([]rune(p))
			keep(stem([]rune(p))) // tanaka02 → tanaka
		}
		keep(whole)
	}
	return out
}

// fewWords reports whether every letter of the text belongs to at most two words
// of the list, or to what filler already explains. Digits and symbols count for
// nothing here: sakura-2468! is sakura. A word may be written with look-alikes.
func (t text) fewWords(filler cover) bool {
	n, ok := t.segment(filler)
	return ok && n >= 1 && n <= 2
}

// segment finds the smallest number of listed words that, with filler and
// non-letters, make up the whole text; false if they cannot.
func (t text) segment(filler cover) (int, bool) {
	const never = 1 << 20
	list := familiar()
	best := make([]int, len(t.kana)+1)
	for i := range best {
		best[i] = never
	}
	best[0] = 0
	for i, r := range t.kana {
		if best[i] == never {
			continue
		}
		if filler[i] || !unicode.IsLetter(r) {
			best[i+1] = min(best[i+1], best[i])
		}
		for n := 1; n <= list.longest && i+n <= len(t.kana); n++ {
			if list.has[string(t.kana[i:i+n])] || list.has[string(t.letters[i:i+n])] {
				best[i+n] = min(best[i+n], best[i]+1)
			}
		}
	}
	return best[len(t.kana)], best[len(t.kana)] != never
}
