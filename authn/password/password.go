// Package password judges new passwords and remembers old ones.
//
// It does not know whether a password is right: only the directory says that.
// It does not know who may change whose password either, nor does it change
// one. It is told the rules in force and the person's own words, and answers
// everything that is wrong at once; it is given a password that was accepted,
// and later recognises it.
//
// By default no rule asks for kinds of characters and none makes passwords expire
// by itself (NIST SP 800-63B-4 section 3.1.1.2, ASVS 6.2.5 and 6.2.10): length,
// lists and an estimate of the guesses needed do the work that guideline
// article 46-2(3) asks for, "long enough, and hard to imagine". A prefecture may
// decide otherwise (profile jp-legacy); kinds are then asked for beside all that,
// never instead of it. Spaces and every printable character of Unicode are
// welcome, and nothing is cut off.
package password

import (
	"crypto/subtle"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sekisho/authn/password/blocklist"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// Defaults stand in for numbers that the rules leave at zero.
const (
	DefaultMinLength       = 12  // beside a second factor
	DefaultMinLengthSingle = 15  // alone: NIST SP 800-63B-4 section 3.1.1.2
	DefaultMaxLength       = 128 // bounds what hashing and judging cost
)

// analysed is how many code points the patterns are looked for in. It is above
// any allowed length; beyond it a password is refused as too long anyway and
// must not cost more than one that is not.
const analysed = 256

// absurd is the size in bytes from which a password is not even normalised.
const absurd = 16 << 10

// A Context holds the words a guesser who knows the person tries first.
type Context struct {
	Login, Name, Mail, Section string

	// Prefecture holds the organisation's words from the policy.
	Prefecture []string

	// Current is the password being replaced, where it is known. The new one
	// must differ from it.
	Current secret.Text

	// SingleFactor says that the password stands alone, which asks for more
	// length.
	SingleFactor bool
}

// Check judges a new password under the rules. It answers nil, or a *Rejected
// holding every failure, or another error if it could not judge; a password it
// could not judge must not be set.
//
// Lengths are counted in code points after NFKC. Check decides and changes
// nothing: the directory is given exactly what was typed (ASVS 6.2.8).
func Check(rules policy.PasswordRules, words Context, pw secret.Text) error {
	raw := string(pw.Reveal())
	var found []Failure
	add := func(code string) { found = append(found, failure(code, rules, words)) }

	if len(raw) > absurd {
		add(TooLong)
		return &Rejected{Failures: found}
	}
	if !utf8.ValidString(raw) {
		add(NotText)
		return &Rejected{Failures: found}
	}

	normal := []rune(norm.NFKC.String(raw))
	if len(normal) < minLength(rules, words) {
		add(TooShort)
	}
	if len(normal) > maxLength(rules) {
		add(TooLong)
	}
	if missing := lacking(normal); len(classes)-len(missing) < rules.MinClasses {
		found = append(found, tooFewClasses(rules, missing))
	}
	if strings.ContainsFunc(raw, unicode.IsControl) {
		add(ControlCharacter)
	}
	if len(normal) == 0 {
		return &Rejected{Failures: found}
	}
	if same(words.Current, normal) {
		add(Unchanged)
	}

	t := read(normal)
	common, err := t.common()
	if err != nil {
		return fmt.Errorf("judging a password: %w", err)
	}
	if common {
		add(Common)
	}
	own, blocked := words.own(), blockedWords(rules, words)
	for _, code := range t.predictable(own, blocked) {
		add(code)
	}
	if t.score([]rune(raw), own, blocked) < rules.MinScore {
		add(Weak)
	}
	if len(found) > 0 {
		return &Rejected{Failures: found}
	}
	return nil
}

func minLength(rules policy.PasswordRules, words Context) int {
	if words.SingleFactor {
		return orDefault(rules.MinLengthSingle, DefaultMinLengthSingle)
	}
	return orDefault(rules.MinLength, DefaultMinLength)
}

func maxLength(rules policy.PasswordRules) int {
	return orDefault(rules.MaxLength, DefaultMaxLength)
}

func orDefault(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

func same(current secret.Text, normal []rune) bool {
	old := current.Reveal()
	if len(old) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(norm.NFKC.Bytes(old), []byte(string(normal))) == 1
}

// A text is a password in the forms that the rules look at. All three have the
// same length and so the same positions.
type text struct {
	folded  []rune // NFKC and case-folded
	kana    []rune // the same, katakana as hiragana
	letters []rune // the same, look-alike digits and symbols as letters
}

func read(normal []rune) text {
	if len(normal) > analysed {
		normal = normal[:analysed]
	}
	folded := []rune(blocklist.Fold(string(normal)))
	if len(folded) > 2*analysed {
		folded = folded[:2*analysed]
	}
	kana := hiragana(folded)
	return text{folded: folded, kana: kana, letters: unleet(kana)}
}

// common asks the list of common passwords about the whole password (NIST SP
// 800-63B-4 section 3.1.1.2) and about the word it is built on: the same with
// what was hung on its ends cut off, and with look-alikes read as letters. What
// was cut off must be no longer than the word, or the word is not what makes
// the password.
func (t text) common() (bool, error) {
	forms := [][]rune{t.folded, t.letters}
	for _, f := range [][]rune{stem(t.folded), head(t.folded), head(stem(t.folded)), unleet(stem(t.folded)), unleet(head(stem(t.folded)))} {
		if 2*len(f) >= len(t.folded) {
			forms = append(forms, f)
		}
	}
	for _, f := range forms {
		yes, err := blocklist.Contains(f)
		if yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}
