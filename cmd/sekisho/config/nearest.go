package config

import "slices"

// nearest is the name that was probably meant: the one fewest keystrokes away,
// if that is about a third of what was typed or less. "" when none is near.
func nearest(typed string, names []string) string {
	best, at := "", 1+(len(typed)+2)/3
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(typed, n); d < at {
			best, at = n, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes; the names are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
