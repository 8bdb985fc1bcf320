package password_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sekisho/authn/password"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// TestClasses: kinds of characters are asked for where the policy asks, the
// refusal names what is missing and how much of it, and no other rule gives way.
func TestClasses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		classes int
		pw      string
		ja, en  string // in the refusal; empty: accepted
		never   string // a kind that is there and so is not named
	}{
		{"not asked for", 0, "gzrnwqpkbvtdxjlm", "", "", ""},
		{"one, and there is one", 1, "gzrnwqpkbvtdxjlm", "", "", ""},
		{"three of one", 3, "gzrnwqpkbvtdxjlm", "大文字、数字、記号（かな、漢字、空白を含む。） のうち、あと2種類以上", "Use 2 more of: upper-case letters, digits, symbols (or kana, kanji, spaces) (3 of the 4 kinds are needed)", "lower-case"},
		{"three of two", 3, "gzrnwq pkbvtd xjlm", "大文字、数字 のうち、あと1種類以上", "Use 1 more of: upper-case letters, digits (3", "symbols"},
		{"three of three", 3, "vulpine-quorum-teacup-47", "", "", ""},
		{"four of three", 4, "vulpine-quorum-teacup-47", "大文字 のうち、あと1種類以上", "Use 1 more of: upper-case letters (4", "digits"},
		{"four of four", 4, "Vulpine-quorum-teacup-47", "", "", ""},
		{"full width is the letter it stands for", 4, "Ｖulpine-quorum-teacup-４７", "", "", ""},
		{"kana and kanji are no letters with a case", 2, "ほうれん草に雷が落ちた午後", "大文字、小文字、数字 のうち、あと1種類以上", "upper-case letters, lower-case letters, digits (2", "symbols"},
		{"and count as a kind", 3, "ほうれん草にKaminariが落ちた", "", "", ""},
		{"Cyrillic has a case", 3, "Пять синих верблюдов", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			with := rules
			with.MinClasses = tt.classes
			err := password.Check(with, tanaka, secret.NewText([]byte(tt.pw)))
			if tt.ja == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var rejected *password.Rejected
			if !errors.As(err, &rejected) || !slices.Equal(rejected.Codes(), []string{password.TooFewClasses}) {
				t.Fatalf("answered %v, want %s alone", err, password.TooFewClasses)
			}
			f := rejected.Failures[0]
			if !strings.Contains(f.Says.JA, tt.ja) || !strings.Contains(f.Says.EN, tt.en) || strings.Contains(f.Says.EN, tt.never) || f.Article != "46-2(3)" {
				t.Errorf("says %+v", f)
			}
		})
	}
	// Four kinds on a common word are still a common word.
	got := codes(t, password.Check(policy.PasswordRules{MinClasses: 4, MinScore: 3}, tanaka, secret.NewText([]byte("P@ssw0rd1234"))))
	if !slices.Contains(got, password.Common) || slices.Contains(got, password.TooFewClasses) {
		t.Errorf("refused for %v, want %s", got, password.Common)
	}
}
