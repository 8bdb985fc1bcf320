// Package ranks knows how soon a guesser tries a word.
//
// It holds English words, names and common passwords in the order of their
// frequency (ranks.txt; README.md says from where) and is searched as it lies in
// the binary: nothing is read or built when a process starts, and most processes
// never judge a password. It knows no rules and no people.
package ranks

import (
	_ "embed"
	"strconv"
	"strings"
)

// Sorted lines of a word in lower case, a tab, and its rank.
//
//go:embed ranks.txt
var text string

// Of is the place of a lower-case word in its list, from 1, or 0 when it is in
// none. more says that some longer word begins with it, so that a search for
// the words at one place of a text can stop where there is none.
func Of(word string) (rank int, more bool) {
	from, to := 0, len(text) // both at the beginning of a line
	for from < to {
		start := strings.LastIndexByte(text[from:from+(to-from)/2], '\n') + 1 + from
		end := start + strings.IndexByte(text[start:], '\n')
		w, n, _ := strings.Cut(text[start:end], "\t")
		switch strings.Compare(word, w) {
		case -1:
			to = start
		case 1:
			from = end + 1
		default:
			rank, _ = strconv.Atoi(n) // the program in make wrote it
			return rank, strings.HasPrefix(text[end+1:], word)
		}
	}
	return 0, strings.HasPrefix(text[from:], word)
}
