package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"sekisho/policy"
)

// A class is a kind of characters that older ordinances ask for.
type class struct {
	name policy.Words
	has  func(rune) bool
}

// classes are the four kinds. Every character is of one and only one: whatever is
// neither a cased letter nor a digit, kana and kanji too, is of the last, for
// whoever writes 県 has more to be guessed than whoever hangs a "!" on the end.
var classes = []class{
	{policy.Words{JA: "大文字", EN: "upper-case letters"}, func(r rune) bool { return unicode.IsUpper(r) || unicode.IsTitle(r) }},
	{policy.Words{JA: "小文字", EN: "lower-case letters"}, unicode.IsLower},
	{policy.Words{JA: "数字", EN: "digits"}, unicode.IsDigit},
	{policy.Words{JA: "記号（かな、漢字、空白を含む。）", EN: "symbols (or kana, kanji, spaces)"}, other},
}

func other(r rune) bool {
	return !unicode.IsUpper(r) && !unicode.IsTitle(r) && !unicode.IsLower(r) && !unicode.IsDigit(r)
}

// lacking are the kinds that a password, after NFKC, has no character of: a
// full-width letter is a letter.
func lacking(normal []rune) []class {
	var missing []class
	for _, c := range classes {
		if !slices.ContainsFunc(normal, c.has) {
			missing = append(missing, c)
		}
	}
	return missing
}

// tooFewClasses says which kinds are missing and how many more it takes. That
// tells what the password has none of, and no character of it.
func tooFewClasses(rules policy.PasswordRules, missing []class) Failure {
	more := rules.MinClasses - (len(classes) - len(missing))
	var ja, en []string
	for _, c := range missing {
		ja, en = append(ja, c.name.JA), append(en, c.name.EN)
	}
	return Failure{Code: TooFewClasses, Article: "46-2(3)", Says: policy.Words{
		JA: fmt.Sprintf("文字の種類が足りません。%s のうち、あと%d種類以上を使ってください（%d種類のうち%d種類以上が必要です。）。", strings.Join(ja, "、"), more, len(classes), rules.MinClasses),
		EN: fmt.Sprintf("Too few kinds of characters. Use %d more of: %s (%d of the %d kinds are needed).", more, strings.Join(en, ", "), rules.MinClasses, len(classes)),
	}}
}
