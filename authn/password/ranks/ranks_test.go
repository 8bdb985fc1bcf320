package ranks

import (
	"strconv"
	"strings"
	"testing"
)

// TestOf: every word is found with its rank, and nothing beside them.
func TestOf(t *testing.T) {
	words, before := 0, ""
	for line := range strings.Lines(text) {
		w, n, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		want, err := strconv.Atoi(n)
		if !ok || err != nil || want < 1 || w <= before || w != strings.ToLower(w) {
			t.Fatalf("line %q after %q", line, before)
		}
		if before != "" {
			if _, more := Of(before); more != strings.HasPrefix(w, before) {
				t.Errorf("Of(%q) more = %t before %q", before, more, w)
			}
		}
		if got, _ := Of(w); got != want {
			t.Errorf("Of(%q) = %d, want %d", w, got, want)
		}
		if got, _ := Of(w + "\x00"); got != 0 {
			t.Errorf("Of(%q) = %d, want none", w+"\x00", got)
		}
		words, before = words+1, w
	}
	if words < 80_000 {
		t.Errorf("%d words", words)
	}
	for _, w := range []string{"~~~~", "zzzzzzzz\x7f", "Password"} {
		if got, more := Of(w); got != 0 || more {
			t.Errorf("Of(%q) = %d, %t", w, got, more)
		}
	}
	if _, more := Of("passwor"); !more {
		t.Error("nothing begins with passwor")
	}
}
