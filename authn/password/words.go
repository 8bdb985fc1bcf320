package password

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"

	"sekisho/authn/password/blocklist"
)

//go:embed words.txt
var wordsText string

// A wordList is words.txt read: every spelling folded, katakana as hiragana.
type wordList struct {
	has     map[string]bool
	ordered []string // likelier first
	longest int      // code points
}

// familiar reads the list at its first use.
var familiar = sync.OnceValue(func() wordList {
	list := wordList{has: map[string]bool{}}
	for line := range strings.Lines(wordsText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, spelling := range strings.Fields(line) {
			list.add(hiragana([]rune(blocklist.Fold(spelling))))
		}
	}
	return list
})

// add takes words that can be told from chance: a kanji, two kana, or three
// letters of the alphabet. A lone kanji is no input for the estimate, which would
// see one letter in it (strength.go).
func (l *wordList) add(w []rune) {
	enough := 3
	switch {
	case unicode.Is(unicode.Han, w[0]):
		enough = 1
	case unicode.Is(unicode.Hiragana, w[0]):
		enough = 2
	}
	if len(w) < enough || l.has[string(w)] {
		return
	}
	l.has[string(w)] = true
	l.longest = max(l.longest, len(w))
	if len(w) > 1 {
		l.ordered = append(l.ordered, string(w))
	}
}
