package schema

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"sekisho/directory"
)

// ds389 is 389 Directory Server with its memberOf plug-in and, for the time of
// the last use, its account policy plug-in.
//
// Its own password policy lies in cn=config, which a service account often may
// not read; then it is to be stated in the configuration. passwordMustChange and
// passwordTrackUpdateTime should be on.
func ds389() Schema {
	s := openLDAP()
	s.Name = "389ds"
	s.ID = "nsUniqueId"
	s.EntryDN = "entrydn"
	s.Guard = GuardReading
	s.EmptyGroup = true // its groupOfNames may have no member
	s.Dynamic = ""      // it has no dynamic entries, RFC 2589
	s.Residuals = ds389Residuals
	s.Comparing = false // it always hashes, and compares with what it hashed
	s.Changed = "pwdUpdateTime"
	s.LastUsed = []string{"lastLoginTime"}
	s.State = []string{accountLock, unlockTime, passwordEnd, shadowDay}
	s.Required = []string{"nsUniqueId", "createTimestamp"}
	s.DefaultPolicy, s.PolicyPlace = "cn=config", PolicyByItself
	s.PolicyValues = []string{
		"passwordLockout", "passwordMaxFailure", "passwordResetFailureCount", "passwordLockoutDuration", "passwordUnlock",
		"passwordExp", "passwordMaxAge", "passwordTrackUpdateTime",
	}
	s.readID, s.idValue = readUniqueID, uniqueIDValue
	s.readAccount, s.readPolicy = ds389Account, ds389Policy
	s.acts = acts{
		disable: func(*Schema, Entry) ([]Change, error) { return []Change{replace(accountLock, "TRUE")}, nil },
		enable: func(*Schema, Entry) ([]Change, error) {
			return []Change{replace(accountLock), replace(unlockTime), replace(retries, "0")}, nil
		},
		unlock: func(*Schema, Entry) ([]Change, error) {
			return []Change{replace(unlockTime), replace(retries, "0")}, nil
		},
		reset: func(s *Schema, _ Entry, value string, _ bool) []Change { return []Change{replace(s.Password, value)} },
		// The server writes the mark itself, after the modification that set the
		// password and whatever that said of it.
		after: func(_ *Schema, mustChange bool) []Change {
			if mustChange {
				return []Change{replace(passwordEnd, FormatTime(time.Unix(0, 0)))}
			}
			return []Change{replace(passwordEnd)}
		},
		expire:  func(_ *Schema, at time.Time) Change { return replace(shadowDay, Day(at)) },
		endless: []Change{replace(shadowDay)},
		mark:    replace(passwordEnd, FormatTime(time.Unix(0, 0))),
	}
	return s
}

const (
	accountLock = "nsAccountLock" // TRUE: closed, by itself or by a role
	unlockTime  = "accountUnlockTime"
	retries     = "passwordRetryCount"
	passwordEnd = "passwordExpirationTime"
)

var uniqueID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{8}){3}$`)

func readUniqueID(v string) (string, error) {
	if !uniqueID.MatchString(v) {
		return "", errNoID
	}
	return strings.ToLower(v), nil
}

func uniqueIDValue(id string) (string, error) { return readUniqueID(id) }

func ds389Account(s *Schema, e Entry, p Policy, now time.Time) (directory.Account, error) {
	var a directory.Account
	if err := s.dated(&a, e, p); err != nil {
		return a, err
	}
	var err error
	if a.Disabled, err = boolean(e, accountLock); err != nil {
		return a, err
	}
	// The first second of 1970 marks a password that must be changed, the next
	// one that was set and has not been used; neither is a date.
	until, err := instant(e, passwordEnd)
	switch {
	case err != nil:
		return a, err
	case until.IsZero():
	case until.Unix() == 0:
		a.MustChange, a.PasswordExpiresAt = true, time.Time{}
	case until.Unix() > 1:
		a.PasswordExpiresAt = until
	}
	at, err := instant(e, unlockTime)
	switch {
	case err != nil:
		return a, err
	case at.IsZero():
	case at.Unix() == 0: // until an administrator
		a.PasswordLocked = true
	case now.Before(at):
		a.PasswordLocked, a.PasswordLockedUntil = true, at
	}
	return a, openLDAPExpiry(&a, e)
}

func ds389Policy(e Entry) (Policy, error) {
	if first(e, "passwordLockout") == "" {
		return Hidden(), nil
	}
	var (
		p   = Policy{Found: true}
		on  = map[string]bool{}
		err error
	)
	for _, name := range []string{"passwordLockout", "passwordUnlock", "passwordExp", "passwordTrackUpdateTime"} {
		if on[name], err = onOff(e, name); err != nil {
			return Policy{}, err
		}
	}
	most, err := number(e, "passwordMaxFailure")
	if err != nil {
		return Policy{}, err
	}
	p.Lockout.MaxFailures, p.Lockout.Enabled = int(most), on["passwordLockout"] && most > 0
	p.Lockout.DatesPasswords = on["passwordTrackUpdateTime"]
	for name, into := range map[string]*time.Duration{
		"passwordResetFailureCount": &p.Lockout.Window, "passwordLockoutDuration": &p.Lockout.Duration, "passwordMaxAge": &p.MaxAge,
	} {
		if *into, err = seconds(e, name); err != nil {
			return Policy{}, err
		}
	}
	if !on["passwordUnlock"] {
		p.Lockout.Duration = 0 // until an administrator
	}
	if !on["passwordExp"] {
		p.MaxAge = 0
	}
	return p, nil
}

func onOff(e Entry, name string) (bool, error) {
	switch v := strings.ToLower(first(e, name)); v {
	case "", "off", "0", "false":
		return false, nil
	case "on", "1", "true":
		return true, nil
	default:
		return false, fmt.Errorf("reading %s: %q is neither on nor off", name, v)
	}
}
