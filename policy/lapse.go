package policy

import (
	"slices"
	"time"
)

// The least that holds of passwords and of the limit of failures where nobody
// has decided otherwise.
const (
	leastLength       = 8  // beside a second factor, NIST SP 800-63B-4 section 3.1.1.2
	leastLengthSingle = 15 // alone
	leastHardLimit    = 5  // failures
)

// Lapsed are the rules on passwords and failures that the file deviates from by
// decisions that are over. It is asked at each use: a decision ends with its last
// day whether or not anybody changes the policy (article 80-1). The order is that
// of the file.
func (p *Policy) Lapsed(now time.Time) []string {
	var over []string
	for _, d := range p.Deviations {
		switch d.Rule {
		case DeviationShortPasswords, DeviationPasswordExpiry, DeviationPasswordClasses, DeviationEarlyLockout:
			if !p.DeviatesAt(d.Rule, now) && !slices.Contains(over, d.Rule) {
				over = append(over, d.Rule)
			}
		}
	}
	return over
}

// Keeping is p as it is obeyed where these rules hold after all, which Lapsed has
// named: what the file says beyond them is the nearest that they allow. It is p
// itself where there are none.
func (p *Policy) Keeping(rules []string) *Policy {
	if len(rules) == 0 {
		return p
	}
	kept := *p
	for _, rule := range rules {
		switch r, l := &kept.Password, &kept.Lockout; rule {
		case DeviationShortPasswords:
			r.MinLength, r.MinLengthSingle = max(r.MinLength, leastLength), max(r.MinLengthSingle, leastLengthSingle)
		case DeviationPasswordExpiry:
			r.MaxAge, r.FiscalYearEnd = 0, false
		case DeviationPasswordClasses:
			r.MinClasses = 0
		case DeviationEarlyLockout:
			l.HardLimit = max(l.HardLimit, leastHardLimit)
		}
	}
	return &kept
}
