package directory_test

import (
	"strings"
	"testing"
	"time"

	"sekisho/directory"
)

func TestCanonical(t *testing.T) {
	for typed, want := range map[string]string{
		"taro": "taro", "TARO": "taro", "ＴＡＲＯ": "taro", " ta ro ": "taro", "\u3000taro\t\r\n": "taro",
		"ta\u200bro": "taro", "\ufefftaro": "taro", "ta\u00adro": "taro", "taro\ufe0f": "taro",
		"ﾀﾛｳ": "タロウ", "ｶﾞ": "ガ", "カ\u3099": "ガ", "㍿": "株式会社", "Straße": "strasse", "ﬁ": "fi", "Taro@Pref.Example": "taro@pref.example",
		"K": "k", // the Kelvin sign
		"":  "", " ": "",
		"a\x00b": "a\x00b",
	} {
		if got := directory.Canonical(typed); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", typed, got, want)
		}
	}
}

func TestWellformed(t *testing.T) {
	for name, want := range map[string]bool{
		"taro": true, "関所": true, "a*()\\": true, "": false, "\x00": false, "a\x00": false, "a\x1fb": false, "a\u0085": false,
		"\xff": false, "a\ufffd": false, strings.Repeat("x", directory.MaxNameLength): true, strings.Repeat("x", directory.MaxNameLength+1): false,
	} {
		if got := directory.Wellformed(name); got != want {
			t.Errorf("Wellformed(%.20q) = %v", name, got)
		}
	}
}

// FuzzCanonical: one spelling has one spelling, and what a reader cannot see or
// tell apart does not change it.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"taro", "ＴＡＲＯ", "ﬁ", "ϓ", "ß", "İ", "\u0345", "ᾳ", "ΐ", "a b", "\xff", "ｶﾞ", "\u1e9e", "ǰ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := directory.Canonical(s)
		if again := directory.Canonical(c); again != c {
			t.Errorf("Canonical(%q) = %q, whose own is %q", s, c, again)
		}
		if spaced := directory.Canonical(" " + s + "\u3000\u200b"); directory.Wellformed(c) && spaced != c {
			t.Errorf("Canonical of %q with space around is %q, want %q", s, spaced, c)
		}
	})
}

func TestUsable(t *testing.T) {
	end := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		a    directory.Account
		now  time.Time
		want bool
	}{
		{"open", directory.Account{}, end, true},
		{"disabled", directory.Account{Disabled: true}, end, false},
		{"before its end", directory.Account{ExpiresAt: end}, end.Add(-1), true},
		{"at its end", directory.Account{ExpiresAt: end}, end, false},
		{"ended in 1970", directory.Account{ExpiresAt: time.Unix(0, 0)}, end, false},
		{"a locked, old, temporary password", directory.Account{PasswordLocked: true, MustChange: true, PasswordExpiresAt: end}, end, true},
	} {
		if got := tt.a.Usable(tt.now); got != tt.want {
			t.Errorf("%s: Usable = %v", tt.name, got)
		}
	}
}

func TestOutcomeZeroIsWrong(t *testing.T) {
	var o directory.Outcome
	if o != directory.OutcomeWrong || o.String() != "wrong" || directory.OutcomeRight.String() != "right" || directory.Outcome(99).String() != "unknown" {
		t.Errorf("zero outcome is %v", o)
	}
}
