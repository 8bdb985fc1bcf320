package password

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	zxcvbn "github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/frequency"
	"github.com/ccojocar/zxcvbn-go/matching"
)

// TestStrengthAgainstZxcvbn: on made-up passwords of many kinds, from a seed,
// the estimate is hardly ever above that of zxcvbn-go (whose dates swallow the
// character behind them), and not far below it: it knows dates that zxcvbn-go
// misses, and the parts of walks.
func TestStrengthAgainstZxcvbn(t *testing.T) {
	const seed, tries = 20260401, 4_000
	rng := rand.New(rand.NewPCG(seed, 1))
	higher, lower, sum := 0, 0, [5][5]int{}
	words, known := []string{"sakura", "reiken"}, map[string]int{"sakura": 1, "reiken": 2}
	for y := firstYear; y <= lastYear; y++ {
		words = append(words, strconv.Itoa(y))
		known[strconv.Itoa(y)] = len(words)
	}
	for range tries {
		pw := madeUp(rng)
		theirs := zxcvbn.PasswordStrength(pw, words, matching.FilterL33tMatcher)
		bits := cheapest(pw, known, 6)
		ours := scoreOf(bits)
		sum[theirs.Score][ours]++
		switch {
		case ours > theirs.Score:
			if higher++; higher <= 20 {
				t.Logf("%q: %d (%.1f bits), zxcvbn-go says %d (%.1f bits)", pw, ours, bits, theirs.Score, theirs.Entropy)
			}
		case ours < theirs.Score-1:
			if lower++; lower <= 20 {
				t.Logf("%q: %d (%.1f bits), zxcvbn-go says %d (%.1f bits)", pw, ours, bits, theirs.Score, theirs.Entropy)
			}
		}
	}
	t.Log("theirs down, ours across:", sum)
	if higher > tries/100 {
		t.Errorf("seed %d: %d of %d judged stronger than zxcvbn-go does", seed, higher, tries)
	}
	if lower > tries/20 {
		t.Errorf("seed %d: %d of %d were judged weaker by two steps or more", seed, lower, tries)
	}
}

func madeUp(rng *rand.Rand) string {
	word := func() string {
		names := []string{"English", "MaleNames", "FemaleNames", "Surname", "Passwords"}
		l := frequency.Lists[names[rng.IntN(len(names))]].List
		w := l[min(len(l)-1, int(rng.ExpFloat64()*float64(len(l))/8))]
		switch rng.IntN(4) {
		case 0:
			return strings.ToUpper(w[:1]) + w[1:]
		case 1:
			return strings.ToUpper(w)
		}
		return w
	}
	characters := func(from string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = from[rng.IntN(len(from))]
		}
		return string(b)
	}
	slice := func(of string) string {
		n := 3 + rng.IntN(5)
		i := rng.IntN(len(of) - n)
		return of[i : i+n]
	}
	parts := []func() string{
		word, word, word,
		func() string { return characters("0123456789", 1+rng.IntN(4)) },
		func() string { return characters("abcdefghijklmnopqrstuvwxyz", 1+rng.IntN(6)) },
		func() string { return characters("ABCDEFGHJKLMabcdefghjkm23456789!#$%-", 1+rng.IntN(8)) },
		func() string { return slice("qwertyuiopasdfghjklzxcvbnm") },
		func() string { return slice("1qaz2wsx3edc4rfv") },
		func() string { return slice("abcdefghijklmnopqrstuvwxyz") },
		func() string { return slice("9876543210") },
		func() string { return strings.Repeat(characters("abcxyz019!", 1), 3+rng.IntN(5)) },
		func() string { return []string{"1987", "19870412", "12/4/1987", "4-12-87", "2011"}[rng.IntN(5)] },
		func() string { return []string{"sakura", "reiken", "Sakura"}[rng.IntN(3)] },
		func() string { return characters("-_ .!", 1) },
	}
	var b strings.Builder
	for range 1 + rng.IntN(4) {
		b.WriteString(parts[rng.IntN(len(parts))]())
	}
	return b.String()
}
