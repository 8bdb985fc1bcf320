package policy

import "time"

// A Deviation is a rule the prefecture has decided not to keep, article 80. The
// file names the decision; without it the rule stands.
type Deviation struct {
	ID       string `yaml:"id"`
	Rule     string `yaml:"rule"`
	Reason   Words  `yaml:"reason"`
	Decision string `yaml:"decision"` // the CIO decision's number, article 80-1
	Decided  string `yaml:"decided"`  // its date, 2026-04-01
	Until    string `yaml:"until"`    // the last day it holds, Japan time; empty: until the policy changes
}

// The rules that can be deviated from.
const (
	DeviationSeveralZones       = "several_zones"
	DeviationDedicatedTerminals = "mynumber_dedicated_terminals"
	DeviationMyNumberInternet   = "mynumber_internet_crossing"
	DeviationShortPasswords     = "short_passwords"
	DeviationPasswordExpiry     = "password_expiry"
	DeviationPasswordClasses    = "password_classes"
	DeviationEarlyLockout       = "early_lockout"
)

// A DeviationRule is a rule with what stands against leaving it.
type DeviationRule struct {
	ID      string
	Says    Words // what the rule asks, and what the deviation allows
	Article Article
	Source  string // where the rule comes from when it is no article's
}

// DeviationRules are the only rules a file may deviate from.
func DeviationRules() []DeviationRule {
	return []DeviationRule{
		{DeviationSeveralZones, Words{"一つのゲートウェイは一つの領域だけを扱う。逸脱すると複数の領域を扱える。", "A gateway serves one zone; the deviation lets it serve several."}, "26no2-1", ""},
		{DeviationDedicatedTerminals, Words{"個人番号利用事務系のサインインは多要素とする。逸脱すると、専用端末機のログインが多要素である場合に限りパスワードだけで入れる。", "A sign-in from the mynumber zone takes two factors; the deviation accepts one where the dedicated terminal's own sign-in took them."}, "26no3-1", ""},
		{DeviationMyNumberInternet, Words{"個人番号利用事務系はインターネットと直接つながない。逸脱は公的機関のシステムに限る。", "The mynumber zone is never linked to the Internet directly; the deviation is for systems of public bodies."}, "26no2-3(3)", ""},
		{DeviationShortPasswords, Words{"パスワードは多要素の場合8文字以上、単独の場合15文字以上とする。逸脱すると短くできる。", "Passwords have 8 characters beside a second factor and 15 alone; the deviation allows fewer."}, "46-2(3)", "NIST SP 800-63B-4 3.1.1.2"},
		{DeviationPasswordExpiry, Words{"パスワードの定期変更は求めない。逸脱すると期限を設けられる。", "Passwords do not expire; the deviation sets an age."}, "62-7", "NIST SP 800-63B-4 3.1.1.2"},
		{DeviationPasswordClasses, Words{"パスワードに文字の種類を求めない。逸脱すると、大文字、小文字、数字、記号のうち決めた数の種類を求められる。", "No kinds of characters are asked of a password; the deviation asks for some of upper case, lower case, digits and others."}, "46-2(3)", "NIST SP 800-63B-4 3.1.1.2; OWASP ASVS 6.2.5"},
		{DeviationEarlyLockout, Words{"数回の打ち間違いで認証手段を使えなくしない。逸脱すると、5回より前に使えなくできる。", "A few typing mistakes do not end a factor; the deviation ends it before the fifth."}, "63-7", "OWASP ASVS 6.1.1"},
	}
}

// japan is fixed: the country keeps one time without summer, and a container
// without a time zone database must not read another day.
var japan = time.FixedZone("JST", 9*60*60)

const dateForm = "2006-01-02"

// InForce reports whether the deviation holds at a time: to the end of its last
// day in Japan. A last day that cannot be read has passed.
func (d Deviation) InForce(now time.Time) bool {
	if d.Until == "" {
		return true
	}
	last, err := time.ParseInLocation(dateForm, d.Until, japan)
	return err == nil && now.Before(last.AddDate(0, 0, 1))
}

// Deviates finds the deviation from a rule, if the policy records one.
func (p *Policy) Deviates(rule string) (Deviation, bool) {
	for _, d := range p.Deviations {
		if d.Rule == rule {
			return d, true
		}
	}
	return Deviation{}, false
}
