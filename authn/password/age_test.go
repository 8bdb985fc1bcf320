package password

import (
	"testing"
	"time"

	"sekisho/policy"
)

// TestWarnedSince: when the owner of a password that grows old is told, also across the
// end of the fiscal year in Japan and where a clock jumps (F15).
func TestWarnedSince(t *testing.T) {
	japan := func(text string) time.Time {
		at, err := time.ParseInLocation("2006-01-02 15:04", text, time.FixedZone("JST", 9*3600))
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	const day = 24 * time.Hour
	aged := policy.PasswordRules{MaxAge: 90 * day, WarnDays: 14}
	year := policy.PasswordRules{FiscalYearEnd: true, WarnDays: 14}
	both := policy.PasswordRules{MaxAge: 365 * day, FiscalYearEnd: true, WarnDays: 14}
	soon := policy.PasswordRules{MaxAge: 90 * day, WarnDays: 2}
	for _, tt := range []struct {
		name          string
		rules         policy.PasswordRules
		changed, now  string
		since, expiry string // "": never
	}{
		{"no age", policy.PasswordRules{WarnDays: 14}, "2020-01-01 00:00", "2026-03-31 00:00", "", ""},
		{"young", aged, "2026-01-01 09:00", "2026-03-18 08:59", "", "2026-04-01 09:00"},
		{"fourteen days before", aged, "2026-01-01 09:00", "2026-03-18 09:00", "2026-03-18 09:00", "2026-04-01 09:00"},
		{"between", aged, "2026-01-01 09:00", "2026-03-29 08:59", "2026-03-18 09:00", "2026-04-01 09:00"},
		{"three days before", aged, "2026-01-01 09:00", "2026-03-29 09:00", "2026-03-29 09:00", "2026-04-01 09:00"},
		{"the last moment", aged, "2026-01-01 09:00", "2026-04-01 08:59", "2026-03-29 09:00", "2026-04-01 09:00"},
		{"too old: the sign-in asks", aged, "2026-01-01 09:00", "2026-04-01 09:00", "", "2026-04-01 09:00"},
		{"a clock that has jumped over both", aged, "2026-01-01 09:00", "2026-09-01 09:00", "", "2026-04-01 09:00"},
		{"the fiscal year ends", year, "2025-04-01 00:00", "2026-03-18 00:00", "2026-03-18 00:00", "2026-04-01 00:00"},
		{"its last day", year, "2026-03-28 10:00", "2026-03-31 23:59", "2026-03-29 00:00", "2026-04-01 00:00"},
		{"the next one begins", year, "2026-03-31 23:59", "2026-04-01 00:00", "", "2026-04-01 00:00"},
		{"chosen in the new one", year, "2026-04-01 00:00", "2026-04-01 00:01", "", "2027-04-01 00:00"},
		{"a year, and the fiscal year before it", both, "2025-10-01 00:00", "2026-03-30 00:00", "2026-03-29 00:00", "2026-04-01 00:00"},
		{"told once where that is two days before", soon, "2026-01-01 09:00", "2026-03-30 08:59", "", "2026-04-01 09:00"},
		{"which is then the last time too", soon, "2026-01-01 09:00", "2026-03-31 08:59", "2026-03-30 09:00", "2026-04-01 09:00"},
	} {
		want := func(text string) time.Time {
			if text == "" {
				return time.Time{}
			}
			return japan(text)
		}
		changed, now := japan(tt.changed), japan(tt.now)
		if got := WarnedSince(tt.rules, changed, now); !got.Equal(want(tt.since)) {
			t.Errorf("%s: warned since %v, want %s", tt.name, got, tt.since)
		}
		expiry := ExpiresAt(tt.rules, changed)
		if !expiry.Equal(want(tt.expiry)) {
			t.Errorf("%s: expires at %v, want %s", tt.name, expiry, tt.expiry)
		}
		if got := Expired(tt.rules, changed, now); got != (!expiry.IsZero() && !now.Before(expiry)) {
			t.Errorf("%s: expired: %t", tt.name, got)
		}
	}
	if got := WarnedSince(aged, time.Time{}, japan("2026-04-01 00:00")); !got.IsZero() || !Expired(aged, time.Time{}, japan("2026-04-01 00:00")) {
		t.Errorf("of a password whose age nobody knows it is said beforehand, since %v", got)
	}
}
