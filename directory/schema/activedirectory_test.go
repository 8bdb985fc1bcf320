package schema_test

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/directory/schema"
)

func ad(t testing.TB) schema.Schema {
	t.Helper()
	s, ok := schema.Named("active_directory")
	if !ok {
		t.Fatal("Active Directory is not known")
	}
	return s
}

// guid and its text are an example of [MS-DTYP] section 2.3.4.
const (
	guid     = "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
	guidText = "00112233-4455-6677-8899-aabbccddeeff"
)

func TestGUID(t *testing.T) {
	s := ad(t)
	p, err := s.Person("cn=x", entryOf(map[string]string{"objectGUID": guid, "userAccountControl": "512", "pwdLastSet": "1"}), schema.Policy{}, now)
	if err != nil || p.ID != guidText {
		t.Errorf("Person = %q, %v", p.ID, err)
	}
	for _, id := range []directory.PersonID{guidText, directory.PersonID(strings.ToUpper(guidText))} {
		if v, err := s.IDValue(id); err != nil || v != guid {
			t.Errorf("IDValue(%s) = %x, %v", id, v, err)
		}
	}
	for _, id := range []directory.PersonID{"", "*", "0112233-4455-6677-8899-aabbccddeeff", guidText + "0", "00112233-4455-6677-8899-aabbccddeefg", "{" + guidText + "}"} {
		if v, err := s.IDValue(id); err == nil {
			t.Errorf("IDValue(%s) = %x", id, v)
		}
	}
	for _, v := range []string{"", guid[1:], guid + "x", guidText} {
		if p, err := s.Person("cn=x", entryOf(map[string]string{"objectGUID": v, "userAccountControl": "512", "pwdLastSet": "1"}), schema.Policy{}, now); err == nil {
			t.Errorf("an ID of %q is %q", v, p.ID)
		}
	}
}

// metaData is replPropertyMetaData with the time of one attribute among others.
func metaData(attribute uint32, at time.Time) string {
	b := binary.LittleEndian.AppendUint64(nil, 1)
	b = binary.LittleEndian.AppendUint64(b, 2)
	for _, one := range []struct {
		id uint32
		at time.Time
	}{{0x9005a, at.Add(-time.Hour)}, {attribute, at}} {
		b = binary.LittleEndian.AppendUint32(b, one.id)
		b = binary.LittleEndian.AppendUint32(b, 3)
		b = binary.LittleEndian.AppendUint64(b, uint64(one.at.Unix()+11644473600))
		b = append(b, make([]byte, 32)...)
	}
	return string(b)
}

func TestActiveDirectoryAccount(t *testing.T) {
	s := ad(t)
	ft := schema.FileTime
	minute := schema.Policy{Found: true, MaxAge: time.Hour, UsedLag: 14 * 24 * time.Hour, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 7, Duration: time.Minute}}
	forever := minute
	forever.Lockout.Duration = 0
	secret := schema.Hidden()
	since := now.Add(-30 * time.Minute)
	open := func(change ...func(*directory.Account)) directory.Account {
		a := directory.Account{PasswordChangedAt: since, PasswordExpiresAt: since.Add(time.Hour), LastUsedLag: 14 * 24 * time.Hour, LockoutAfter: 7}
		for _, c := range change {
			c(&a)
		}
		return a
	}
	for _, tt := range []struct {
		name   string
		values map[string]string
		policy schema.Policy
		want   directory.Account
		bad    bool
	}{
		{"open", nil, minute, open(), false},
		{"disabled, among other bits", map[string]string{"userAccountControl": "66050"}, minute, open(func(a *directory.Account) { a.Disabled, a.PasswordExpiresAt = true, time.Time{} }), false},
		{"never expires", map[string]string{"userAccountControl": "66048"}, minute, open(func(a *directory.Account) { a.PasswordExpiresAt = time.Time{} }), false},
		{"control not shown", map[string]string{"userAccountControl": ""}, minute, directory.Account{}, true},
		{"control that does not parse", map[string]string{"userAccountControl": "0x200"}, minute, directory.Account{}, true},
		{"age not shown", map[string]string{"pwdLastSet": ""}, minute, directory.Account{}, true},
		{"an end", map[string]string{"accountExpires": ft(now)}, minute, open(func(a *directory.Account) { a.ExpiresAt = now }), false},
		{"0 is no end", map[string]string{"accountExpires": "0"}, minute, open(), false},
		{"the greatest number is no end", map[string]string{"accountExpires": "9223372036854775807"}, minute, open(), false},
		{"an end before the beginning", map[string]string{"accountExpires": "-1"}, minute, directory.Account{}, true},
		{"an end that does not parse", map[string]string{"accountExpires": "never"}, minute, directory.Account{}, true},
		{"created", map[string]string{"whenCreated": "20260401090000.0Z"}, minute, open(func(a *directory.Account) { a.CreatedAt = now }), false},
		{"used here lately", map[string]string{"lastLogon": ft(now), "lastLogonTimestamp": ft(since)}, minute, open(func(a *directory.Account) { a.LastUsedAt = now }), false},
		{"used elsewhere lately", map[string]string{"lastLogon": "0", "lastLogonTimestamp": ft(since)}, minute, open(func(a *directory.Account) { a.LastUsedAt = since }), false},
		{"a temporary password has the age of its mark", map[string]string{"pwdLastSet": "0", "replPropertyMetaData": metaData(0x90060, since)}, minute, open(func(a *directory.Account) { a.MustChange, a.PasswordExpiresAt = true, time.Time{} }), false},
		{"a temporary password of unknown age", map[string]string{"pwdLastSet": "0"}, minute, open(func(a *directory.Account) {
			a.MustChange, a.PasswordChangedAt, a.PasswordExpiresAt = true, time.Time{}, time.Time{}
		}), false},
		{"whose mark was never written", map[string]string{"pwdLastSet": "0", "replPropertyMetaData": metaData(0x9005b, since)}, minute, open(func(a *directory.Account) {
			a.MustChange, a.PasswordChangedAt, a.PasswordExpiresAt = true, time.Time{}, time.Time{}
		}), false},
		{"of metadata that is cut short", map[string]string{"pwdLastSet": "0", "replPropertyMetaData": metaData(0x90060, since)[:100]}, minute, directory.Account{}, true},
		{"of metadata of another version", map[string]string{"pwdLastSet": "0", "replPropertyMetaData": "\x02" + metaData(0x90060, since)[1:]}, minute, directory.Account{}, true},
		{"the server's own expiry", map[string]string{"msDS-UserPasswordExpiryTimeComputed": ft(now)}, minute, open(func(a *directory.Account) { a.PasswordExpiresAt = now }), false},
		{"the server's own never", map[string]string{"msDS-UserPasswordExpiryTimeComputed": "9223372036854775807"}, minute, open(func(a *directory.Account) { a.PasswordExpiresAt = time.Time{} }), false},
		{"locked for a time", map[string]string{"lockoutTime": ft(now.Add(-30 * time.Second)), "msDS-User-Account-Control-Computed": "16"}, minute, open(func(a *directory.Account) {
			a.PasswordLocked, a.PasswordLockedUntil = true, now.Add(30*time.Second)
		}), false},
		{"locked until an administrator", map[string]string{"lockoutTime": ft(now.Add(-300 * time.Hour)), "msDS-User-Account-Control-Computed": "16"}, forever, open(func(a *directory.Account) { a.PasswordLocked = true }), false},
		{"a lock that has ended", map[string]string{"lockoutTime": ft(now.Add(-time.Minute)), "msDS-User-Account-Control-Computed": "0"}, minute, open(), false},
		{"the server's word alone", map[string]string{"msDS-User-Account-Control-Computed": "16"}, minute, open(func(a *directory.Account) { a.PasswordLocked = true }), false},
		{"the time alone", map[string]string{"lockoutTime": ft(now)}, minute, open(func(a *directory.Account) {
			a.PasswordLocked, a.PasswordLockedUntil = true, now.Add(time.Minute)
		}), false},
		{"unlocked", map[string]string{"lockoutTime": "0"}, minute, open(), false},
		{"under a policy we may not read", nil, secret, directory.Account{PasswordChangedAt: since, LockoutAfter: 1}, false},
		{"expired, says the server, and not when", map[string]string{"msDS-User-Account-Control-Computed": "8388608"}, secret, directory.Account{PasswordChangedAt: since, PasswordExpiresAt: since, LockoutAfter: 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values := map[string]string{"objectGUID": guid, "userAccountControl": "512", "pwdLastSet": ft(since)}
			for k, v := range tt.values {
				values[k] = v
			}
			p, err := s.Person("cn=x", entryOf(values), tt.policy, now)
			if (err != nil) != tt.bad || err == nil && p.Account != tt.want {
				t.Errorf("Person = %+v, %v, want %+v", p.Account, err, tt.want)
			}
		})
	}
}

func TestActiveDirectoryPerson(t *testing.T) {
	s := ad(t)
	for _, tt := range []struct {
		name      string
		values    map[string]string
		protected bool
		called    string
	}{
		{"a display name", map[string]string{"displayName": "関所 太郎", "cn": "taro"}, false, "関所 太郎"},
		{"no display name", map[string]string{"cn": "taro"}, false, "taro"},
		{"guarded by AdminSDHolder", map[string]string{"adminCount": "1"}, true, ""},
		{"no longer guarded", map[string]string{"adminCount": "0"}, false, ""},
		{"built in", map[string]string{"isCriticalSystemObject": "TRUE"}, true, ""},
	} {
		values := map[string]string{"objectGUID": guid, "userAccountControl": "512", "pwdLastSet": "1"}
		for k, v := range tt.values {
			values[k] = v
		}
		if p, err := s.Person("cn=x", entryOf(values), schema.Policy{}, now); err != nil || p.Protected != tt.protected || p.Name != tt.called {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		}
	}
}

func TestActiveDirectoryPolicy(t *testing.T) {
	s := ad(t)
	const forever = "-9223372036854775808"
	fortnight := 14 * 24 * time.Hour
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   schema.Policy
		bad    bool
	}{
		{"a domain", map[string]string{"lockoutThreshold": "10", "lockOutObservationWindow": "-18000000000", "lockoutDuration": "-600000000", "maxPwdAge": "-36288000000000"},
			schema.Policy{Found: true, MaxAge: 42 * 24 * time.Hour, UsedLag: fortnight, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 10, Window: 30 * time.Minute, Duration: time.Minute, DatesPasswords: true}}, false},
		{"that locks nobody", map[string]string{"lockoutThreshold": "0", "lockoutDuration": "-600000000"},
			schema.Policy{Found: true, UsedLag: fortnight, Lockout: directory.LockoutPolicy{Duration: time.Minute, DatesPasswords: true}}, false},
		{"locks until an administrator, and passwords never age", map[string]string{"lockoutThreshold": "5", "lockoutDuration": forever, "maxPwdAge": forever},
			schema.Policy{Found: true, UsedLag: fortnight, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 5, DatesPasswords: true}}, false},
		{"the same, written as 0", map[string]string{"lockoutThreshold": "5", "lockoutDuration": "0", "maxPwdAge": "0"},
			schema.Policy{Found: true, UsedLag: fortnight, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 5, DatesPasswords: true}}, false},
		{"a fine-grained one", map[string]string{"msDS-LockoutThreshold": "3", "msDS-LockoutObservationWindow": "-600000000", "msDS-LockoutDuration": "-1200000000", "msDS-MaximumPasswordAge": "-864000000000"},
			schema.Policy{Found: true, MaxAge: 24 * time.Hour, UsedLag: fortnight, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 3, Window: time.Minute, Duration: 2 * time.Minute, DatesPasswords: true}}, false},
		{"uses written down more often", map[string]string{"lockoutThreshold": "0", "msDS-LogonTimeSyncInterval": "1"},
			schema.Policy{Found: true, UsedLag: 24 * time.Hour, Lockout: directory.LockoutPolicy{DatesPasswords: true}}, false},
		{"uses never written down", map[string]string{"lockoutThreshold": "0", "msDS-LogonTimeSyncInterval": "0"},
			schema.Policy{Found: true, UsedLag: -1, Lockout: directory.LockoutPolicy{DatesPasswords: true}}, false},
		{"one that is there and shows nothing", nil, schema.Hidden(), false},
		{"a length that is positive", map[string]string{"lockoutThreshold": "5", "lockoutDuration": "600"}, schema.Policy{}, true},
		{"no number", map[string]string{"lockoutThreshold": "many"}, schema.Policy{}, true},
	} {
		got, err := s.Policy(entryOf(tt.values))
		if (err != nil) != tt.bad || err == nil && got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// TestActiveDirectoryChanges: a bit changes and no other; a lock and a closure
// are two things.
func TestActiveDirectoryChanges(t *testing.T) {
	s := ad(t)
	control := func(was, is string) []schema.Change {
		return []schema.Change{{Op: schema.Delete, Attribute: "userAccountControl", Values: []string{was}}, {Op: schema.Add, Attribute: "userAccountControl", Values: []string{is}}}
	}
	lock := []schema.Change{{Attribute: "lockoutTime", Values: []string{"0"}}}
	for _, tt := range []struct {
		name   string
		do     func(schema.Entry) ([]schema.Change, error)
		values map[string]string
		want   []schema.Change
		bad    bool
	}{
		{"close, keeping the rest", s.Disable, map[string]string{"userAccountControl": "590336"}, control("590336", "590338"), false},
		{"close what is closed", s.Disable, map[string]string{"userAccountControl": "514"}, nil, false},
		{"open, keeping the rest", s.Enable, map[string]string{"userAccountControl": "66050"}, control("66050", "66048"), false},
		{"open and unlock", s.Enable, map[string]string{"userAccountControl": "514", "lockoutTime": "5"}, append(control("514", "512"), lock...), false},
		{"open what is open", s.Enable, map[string]string{"userAccountControl": "512", "lockoutTime": "0"}, nil, false},
		{"unlock", s.Unlock, map[string]string{"userAccountControl": "512", "lockoutTime": "5"}, lock, false},
		{"unlock what is not locked", s.Unlock, map[string]string{"userAccountControl": "512"}, nil, false},
		{"close what is not shown", s.Disable, nil, nil, true},
	} {
		got, err := tt.do(entryOf(tt.values))
		if (err != nil) != tt.bad || !slices.EqualFunc(got, tt.want, func(a, b schema.Change) bool {
			return a.Op == b.Op && a.Attribute == b.Attribute && slices.Equal(a.Values, b.Values)
		}) {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// TestQuoted: the example of [MS-ADTS] section 3.1.1.3.1.5.1 is the password
// "new" in quotation marks.
func TestQuoted(t *testing.T) {
	s := ad(t)
	for password, want := range map[string]string{
		"new": "22006e00650077002200", "": "22002200", "関所": "2200a295406222 00", "𠮷": "220042d8b7df2200",
	} {
		if got, err := s.PasswordValue(password); err != nil || hex.EncodeToString([]byte(got)) != strings.ReplaceAll(want, " ", "") {
			t.Errorf("PasswordValue(%q) = %x, %v, want %s", password, got, err, want)
		}
	}
	if got, err := s.PasswordValue("\xff"); err == nil {
		t.Errorf("PasswordValue of what is no text = %x", got)
	}
}

// TestFileTime: what is written is read, and nothing lasts longer than it was
// given.
func TestFileTime(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC):   "116444736000000000",
		time.Date(2026, 4, 1, 9, 0, 0, 199, time.UTC): "134195076000000001",
		time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC):   "1", // 0 would be never
	} {
		if got := schema.FileTime(at); got != want {
			t.Errorf("FileTime(%v) = %s, want %s", at, got, want)
		}
	}
}

// FuzzMetaData: what a server sends is read or refused.
func FuzzMetaData(f *testing.F) {
	f.Add(metaData(0x90060, now))
	f.Add("")
	f.Add("\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00")
	s := ad(f)
	f.Fuzz(func(t *testing.T, v string) {
		values := map[string]string{"objectGUID": guid, "userAccountControl": "512", "pwdLastSet": "0", "replPropertyMetaData": v}
		if p, err := s.Person("cn=x", entryOf(values), schema.Policy{}, now); err == nil && !p.Account.MustChange {
			t.Error("a temporary password is none")
		}
	})
}
