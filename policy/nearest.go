package policy

// Nearest is the choice with the fewest letters to change, insert, delete or
// swap, or "" where every choice is more than half a word away: an unrelated
// word helps nobody.
func Nearest(typed string, choices []string) string {
	const most, longest = 2000, 64 // what a hostile file can make us compare
	if len(choices) > most {
		choices = choices[:most]
	}
	word := []rune(typed)
	if len(word) == 0 || len(word) > longest {
		return ""
	}
	best, found := len(word)/2+1, ""
	for _, c := range choices {
		choice := []rune(c)
		if len(choice) > longest || len(choice)-len(word) > best || len(word)-len(choice) > best {
			continue
		}
		if d := distance(word, choice); d < best || (d == best && found == "") {
			best, found = d, c
		}
	}
	return found
}

// distance is the optimal string alignment distance of two short words.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
