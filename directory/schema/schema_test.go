package schema_test

import (
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/directory/schema"
)

var now = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

func entryOf(values map[string]string) schema.Entry {
	return func(name string) []string {
		if v, ok := values[name]; ok {
			return []string{v}
		}
		return nil
	}
}

func TestAccount(t *testing.T) {
	minute := schema.Policy{Lockout: directory.LockoutPolicy{Duration: time.Minute}, MaxAge: time.Hour}
	forever := schema.Policy{}
	locks := schema.Policy{Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 7}}
	lockedAt := now.Add(-30 * time.Second)
	for _, tt := range []struct {
		name   string
		values map[string]string
		policy schema.Policy
		want   directory.Account
		bad    bool
	}{
		{"nothing said", nil, minute, directory.Account{}, false},
		{"disabled", map[string]string{"pwdAccountLockedTime": "000001010000Z"}, minute, directory.Account{Disabled: true}, false},
		{"locked for a time", map[string]string{"pwdAccountLockedTime": "20260401085930Z"}, minute, directory.Account{PasswordLocked: true, PasswordLockedUntil: lockedAt.Add(time.Minute)}, false},
		{"locked for ever", map[string]string{"pwdAccountLockedTime": "20200401085930Z"}, forever, directory.Account{PasswordLocked: true}, false},
		{"a lock that has ended", map[string]string{"pwdAccountLockedTime": "20260401085900Z"}, minute, directory.Account{}, false},
		{"a lock that does not parse", map[string]string{"pwdAccountLockedTime": "yesterday"}, minute, directory.Account{}, true},
		{"to be changed", map[string]string{"pwdReset": "TRUE"}, minute, directory.Account{MustChange: true}, false},
		{"not to be changed", map[string]string{"pwdReset": "FALSE"}, minute, directory.Account{}, false},
		{"perhaps to be changed", map[string]string{"pwdReset": "maybe"}, minute, directory.Account{}, true},
		{"growing old", map[string]string{"pwdChangedTime": "20260401083000Z"}, minute, directory.Account{PasswordChangedAt: now.Add(-30 * time.Minute), PasswordExpiresAt: now.Add(30 * time.Minute)}, false},
		{"not growing old", map[string]string{"pwdChangedTime": "20260401083000Z"}, forever, directory.Account{PasswordChangedAt: now.Add(-30 * time.Minute)}, false},
		{"used, the later of two", map[string]string{"pwdLastSuccess": "20260401080000.500000Z", "authTimestamp": "20260401090000Z"}, minute, directory.Account{LastUsedAt: now}, false},
		{"used, the other later", map[string]string{"pwdLastSuccess": "20260401090000Z", "authTimestamp": "20250401090000Z"}, minute, directory.Account{LastUsedAt: now}, false},
		{"used when nobody can read", map[string]string{"pwdLastSuccess": "long ago"}, minute, directory.Account{}, true},
		{"ended on day 0", map[string]string{"shadowExpire": "0"}, minute, directory.Account{ExpiresAt: time.Unix(0, 0).UTC()}, false},
		{"no end", map[string]string{"shadowExpire": "-1"}, minute, directory.Account{}, false},
		{"an end", map[string]string{"shadowExpire": "20544"}, minute, directory.Account{ExpiresAt: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}, false},
		{"the sooner of two ends", map[string]string{"shadowExpire": "20545", "pwdEndTime": "20260401100000Z"}, minute, directory.Account{ExpiresAt: now.Add(time.Hour)}, false},
		{"an end that does not parse", map[string]string{"shadowExpire": "soon"}, minute, directory.Account{}, true},
		{"created", map[string]string{"createTimestamp": "20260401090000Z"}, minute, directory.Account{CreatedAt: now}, false},
		{"locks after as many as its own policy says", map[string]string{}, locks, directory.Account{LockoutAfter: 7}, false},
		{"counts where nothing locks", map[string]string{}, schema.Policy{Lockout: directory.LockoutPolicy{MaxFailures: 7}}, directory.Account{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values := map[string]string{"entryUUID": "ABCD"}
			for k, v := range tt.values {
				values[k] = v
			}
			s, _ := schema.Named("openldap")
			p, err := s.Person("uid=x", entryOf(values), tt.policy, now)
			if (err != nil) != tt.bad || err == nil && (p.Account != tt.want || p.ID != "abcd" || p.Kind != directory.KindStaff) {
				t.Errorf("Person = %+v, %v, want %+v", p.Account, err, tt.want)
			}
		})
	}
	s, _ := schema.Named("embedded")
	if _, err := s.Person("uid=x", entryOf(nil), forever, now); err == nil {
		t.Error("a person without an ID")
	}
	if _, ok := schema.Named("x500"); ok {
		t.Error("an unknown schema is known")
	}
}

func TestPolicy(t *testing.T) {
	s, _ := schema.Named("openldap")
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   directory.LockoutPolicy
		bad    bool
	}{
		{"locks", map[string]string{"pwdLockout": "TRUE", "pwdMaxFailure": "20", "pwdFailureCountInterval": "60", "pwdLockoutDuration": "300"}, directory.LockoutPolicy{Enabled: true, MaxFailures: 20, Window: time.Minute, Duration: 5 * time.Minute}, false},
		{"says it locks, after no number", map[string]string{"pwdLockout": "TRUE"}, directory.LockoutPolicy{}, false},
		{"counts and does not lock", map[string]string{"pwdMaxFailure": "20"}, directory.LockoutPolicy{MaxFailures: 20}, false},
		{"dates passwords for their greatest age", map[string]string{"pwdMaxAge": "60"}, directory.LockoutPolicy{DatesPasswords: true}, false},
		{"dates passwords for their least age", map[string]string{"pwdMinAge": "1"}, directory.LockoutPolicy{DatesPasswords: true}, false},
		{"no number", map[string]string{"pwdMaxFailure": "many"}, directory.LockoutPolicy{}, true},
		{"less than none", map[string]string{"pwdLockoutDuration": "-1"}, directory.LockoutPolicy{}, true},
	} {
		p, err := s.Policy(entryOf(tt.values))
		if (err != nil) != tt.bad || err == nil && p.Lockout != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, p.Lockout, err, tt.want)
		}
	}
}

func TestParseTime(t *testing.T) {
	at := time.Date(2026, 4, 1, 9, 30, 15, 0, time.UTC)
	for v, want := range map[string]time.Time{
		"20260401093015Z": at, "20260401093015.5Z": at.Add(time.Second / 2), "20260401093015,5Z": at.Add(time.Second / 2),
		"20260401093015.843108Z": at.Add(843108 * time.Microsecond), "20260401183015+0900": at, "20260401183015+09": at,
		"20260401060015-0330": at, "202604010930Z": at.Add(-15 * time.Second), "2026040109.5Z": at.Add(-15 * time.Second),
		"": {}, "2026": {}, "20260401093015": {}, "20260401093015.Z": {}, "20261301093015Z": {}, "20260401093015+2500": {},
		"20260401093015ZZ": {}, "20260401093015.5": {}, "soon": {}, "20260401093015+0960": {}, "20260401093015 Z": {},
	} {
		got, err := schema.ParseTime(v)
		if !got.Equal(want) || (err != nil) != want.IsZero() {
			t.Errorf("ParseTime(%q) = %v, %v, want %v", v, got, err, want)
		}
	}
}

// FuzzParseTime: what is read can be written and read again.
func FuzzParseTime(f *testing.F) {
	for _, v := range []string{"20260401093015Z", "2026040109.5+0900", "000001010000Z", "99991231235959.999999Z"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		at, err := schema.ParseTime(v)
		if err != nil || at.Year() < 1 || at.Year() > 9999 {
			return
		}
		again, err := schema.ParseTime(schema.FormatTimeMicro(at))
		if err != nil || !again.Equal(at) {
			t.Errorf("%q is %v, then %v, %v", v, at, again, err)
		}
	})
}

func TestDayNeverLengthens(t *testing.T) {
	for at, want := range map[time.Time]string{
		now: "20544", time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC): "20544", time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC): "0",
	} {
		if got := schema.Day(at); got != want {
			t.Errorf("Day(%v) = %s, want %s", at, got, want)
		}
	}
}
