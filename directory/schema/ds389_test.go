package schema_test

import (
	"testing"
	"time"

	"sekisho/directory"
	"sekisho/directory/schema"
)

const uniqueID = "3d3f2281-1dd211b2-80b5d4b3-2b3e0000"

func TestDS389Account(t *testing.T) {
	s, _ := schema.Named("389ds")
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   directory.Account
		bad    bool
	}{
		{"open", nil, directory.Account{}, false},
		{"closed", map[string]string{"nsAccountLock": "true"}, directory.Account{Disabled: true}, false},
		{"perhaps closed", map[string]string{"nsAccountLock": "maybe"}, directory.Account{}, true},
		{"to be changed", map[string]string{"passwordExpirationTime": "19700101000000Z"}, directory.Account{MustChange: true}, false},
		{"set and not yet used", map[string]string{"passwordExpirationTime": "19700101000001Z"}, directory.Account{}, false},
		{"growing old", map[string]string{"passwordExpirationTime": "20260501090000Z", "pwdUpdateTime": "20260401090000Z"}, directory.Account{PasswordChangedAt: now, PasswordExpiresAt: now.Add(30 * 24 * time.Hour)}, false},
		{"an age that does not parse", map[string]string{"passwordExpirationTime": "soon"}, directory.Account{}, true},
		{"locked for a time", map[string]string{"accountUnlockTime": "20260401090100Z"}, directory.Account{PasswordLocked: true, PasswordLockedUntil: now.Add(time.Minute)}, false},
		{"locked until an administrator", map[string]string{"accountUnlockTime": "19700101000000Z"}, directory.Account{PasswordLocked: true}, false},
		{"a lock that has ended", map[string]string{"accountUnlockTime": "20260401090000Z"}, directory.Account{}, false},
		{"a lock that does not parse", map[string]string{"accountUnlockTime": "soon"}, directory.Account{}, true},
		{"used", map[string]string{"lastLoginTime": "20260401090000Z"}, directory.Account{LastUsedAt: now}, false},
		{"ended", map[string]string{"shadowExpire": "0"}, directory.Account{ExpiresAt: time.Unix(0, 0).UTC()}, false},
	} {
		values := map[string]string{"nsUniqueId": uniqueID}
		for k, v := range tt.values {
			values[k] = v
		}
		p, err := s.Person("uid=x", entryOf(values), schema.Policy{}, now)
		if (err != nil) != tt.bad || err == nil && (p.Account != tt.want || p.ID != uniqueID) {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, p.Account, err, tt.want)
		}
	}
	for id, ok := range map[directory.PersonID]bool{uniqueID: true, "3D3F2281-1DD211B2-80B5D4B3-2B3E0000": true, guidText: false, "": false, uniqueID + "0": false} {
		if v, err := s.IDValue(id); (err == nil) != ok || ok && v != uniqueID {
			t.Errorf("IDValue(%s) = %q, %v", id, v, err)
		}
	}
}

func TestDS389Policy(t *testing.T) {
	s, _ := schema.Named("389ds")
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   schema.Policy
		bad    bool
	}{
		{"locks for a time", map[string]string{"passwordLockout": "on", "passwordMaxFailure": "7", "passwordResetFailureCount": "600", "passwordUnlock": "on", "passwordLockoutDuration": "3600", "passwordTrackUpdateTime": "on"},
			schema.Policy{Found: true, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 7, Window: 10 * time.Minute, Duration: time.Hour, DatesPasswords: true}}, false},
		{"locks until an administrator", map[string]string{"passwordLockout": "on", "passwordMaxFailure": "7", "passwordUnlock": "off", "passwordLockoutDuration": "3600"},
			schema.Policy{Found: true, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 7}}, false},
		{"locks nobody, and has an age it does not use", map[string]string{"passwordLockout": "off", "passwordMaxFailure": "3", "passwordExp": "off", "passwordMaxAge": "100"},
			schema.Policy{Found: true, Lockout: directory.LockoutPolicy{MaxFailures: 3}}, false},
		{"passwords age", map[string]string{"passwordLockout": "off", "passwordExp": "on", "passwordMaxAge": "100"}, schema.Policy{Found: true, MaxAge: 100 * time.Second}, false},
		{"there, and not shown", nil, schema.Hidden(), false},
		{"neither on nor off", map[string]string{"passwordLockout": "perhaps"}, schema.Policy{}, true},
		{"no number", map[string]string{"passwordLockout": "on", "passwordMaxFailure": "many"}, schema.Policy{}, true},
	} {
		got, err := s.Policy(entryOf(tt.values))
		if (err != nil) != tt.bad || err == nil && got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// TestDS389Reset: the mark that a password is temporary is the server's to
// write, so it is seen to afterwards.
func TestDS389Reset(t *testing.T) {
	s, _ := schema.Named("389ds")
	if c := s.Reset(entryOf(nil), "word", true); len(c) != 1 || c[0].Attribute != "userPassword" {
		t.Errorf("Reset = %+v", c)
	}
	if c := s.AfterReset(true); len(c) != 1 || c[0].Attribute != "passwordExpirationTime" || c[0].Values[0] != "19700101000000Z" {
		t.Errorf("after a temporary one: %+v", c)
	}
	if c := s.AfterReset(false); len(c) != 1 || len(c[0].Values) != 0 {
		t.Errorf("after a lasting one: %+v", c)
	}
}
