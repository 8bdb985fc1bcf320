package store_test

import (
	"errors"
	"strings"
	"testing"

	"sekisho/policy/store"
)

func TestBrief(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, says, want string }{
		{"short", "届きません", "届きません"},
		{"as long as it may be", strings.Repeat("字", 300), strings.Repeat("字", 300)},
		{"longer", strings.Repeat("字", 301), strings.Repeat("字", 300) + "…"},
		{"no text", "a\xffb", "a\uFFFDb"},
	} {
		if got := store.Brief(errors.New(tt.says)); got != tt.want {
			t.Errorf("%s: Brief = %q, want %q", tt.name, got, tt.want)
		}
	}
}
