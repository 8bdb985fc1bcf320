package schema

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sekisho/directory"
)

// openLDAP is OpenLDAP 2.5 and later with the overlays ppolicy and memberof,
// and "lastbind on" for pwdLastSuccess. The embedded server keeps the same
// names.
func openLDAP() Schema {
	return Schema{
		Name:          "openldap",
		Mark:          Mark{"objectClass", "inetOrgPerson"},
		PersonClasses: []string{"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"},
		Naming:        "uid",
		ID:            "entryUUID",
		Login:         "uid",
		LoginLength:   256, // the upper bound of uid in RFC 4524 section 2 and RFC 1274
		Mail:          "mail",
		DisplayName:   "cn",
		Description:   "description",
		Surname:       "sn",
		Section:       "departmentNumber",
		Company:       "o",
		Number:        "employeeNumber",
		Kind:          "employeeType",
		MemberOf:      "memberOf",
		GroupClass:    "groupOfNames",
		Member:        "member",
		EntryDN:       "entryDN",
		Password:      "userPassword",
		Comparing:     true,
		Dynamic:       "dynamicObject",
		Residuals:     openLDAPResiduals,
		Created:       "createTimestamp",
		Changed:       "pwdChangedTime",
		LastUsed:      []string{"pwdLastSuccess", "authTimestamp"},
		State:         []string{mustChangeMark, lockedAt, shadowDay, endTime},
		Required:      []string{"entryUUID", "createTimestamp"},
		OwnPolicy:     "pwdPolicySubentry",
		DefaultPolicy: "cn=default,ou=policies",
		PolicyValues: []string{
			"pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval", "pwdLockoutDuration", "pwdMaxAge", "pwdMinAge",
		},
		readID:      readUUID,
		idValue:     uuidValue,
		readAccount: openLDAPAccount,
		readPolicy:  openLDAPPolicy,
		acts: acts{
			disable: func(*Schema, Entry) ([]Change, error) { return []Change{replace(lockedAt, closedForGood)}, nil },
			enable:  func(*Schema, Entry) ([]Change, error) { return []Change{replace(lockedAt)}, nil },
			unlock:  func(*Schema, Entry) ([]Change, error) { return []Change{replace(lockedAt)}, nil },
			reset:   openLDAPReset,
			expire:  func(_ *Schema, at time.Time) Change { return replace(shadowDay, Day(at)) },
			lapse:   func(_ *Schema, at time.Time) Change { return replace(endTime, FormatTime(at)) },
			endless: []Change{replace(shadowDay), replace(endTime)},
			mark:    replace(mustChangeMark, "TRUE"),
		},
	}
}

const (
	mustChangeMark = "pwdReset" // TRUE while the password is temporary
	lockedAt       = "pwdAccountLockedTime"
	// closedForGood is the value of lockedAt that means "until an administrator".
	closedForGood = "000001010000Z"
	shadowDay     = "shadowExpire" // days since 1970-01-01; negative: none
	endTime       = "pwdEndTime"
)

// Closed is what an entry bears while it is disabled, where that can be asserted
// inside a modification.
func (s *Schema) Closed() Mark { return Mark{lockedAt, closedForGood} }

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

var errNoID = errors.New("not an ID")

func readUUID(v string) (string, error) {
	if v == "" {
		return "", errNoID
	}
	return strings.ToLower(v), nil
}

func uuidValue(id string) (string, error) {
	if !uuid.MatchString(id) {
		return "", errNoID
	}
	return id, nil
}

// openLDAPReset: the overlay clears a lock together with the password unless
// the same modification deletes it; adding it again then holds, so that an
// account that was disabled stays so.
func openLDAPReset(s *Schema, e Entry, value string, mustChange bool) []Change {
	changes := []Change{replace(s.Password, value), replace(mustChangeMark)}
	if mustChange {
		changes[1] = replace(mustChangeMark, "TRUE")
	}
	if e != nil && s.Closed().On(e) {
		changes = append(changes, Change{Delete, lockedAt, nil}, Change{Add, lockedAt, []string{closedForGood}})
	}
	return changes
}

func openLDAPPolicy(e Entry) (Policy, error) {
	var (
		p   = Policy{Found: true}
		err error
	)
	if p.Lockout.Enabled, err = boolean(e, "pwdLockout"); err != nil {
		return Policy{}, err
	}
	maxFailures, err := number(e, "pwdMaxFailure")
	if err != nil {
		return Policy{}, err
	}
	p.Lockout.MaxFailures = int(maxFailures)
	// A policy that locks after no number of failures locks nobody.
	p.Lockout.Enabled = p.Lockout.Enabled && maxFailures > 0
	var minAge time.Duration
	for name, into := range map[string]*time.Duration{
		"pwdFailureCountInterval": &p.Lockout.Window, "pwdLockoutDuration": &p.Lockout.Duration,
		"pwdMaxAge": &p.MaxAge, "pwdMinAge": &minAge,
	} {
		if *into, err = seconds(e, name); err != nil {
			return Policy{}, err
		}
	}
	// slapo-ppolicy writes pwdChangedTime only where an age can matter.
	p.Lockout.DatesPasswords = p.MaxAge > 0 || minAge > 0
	return p, nil
}

// alwaysDated is a server that writes pwdChangedTime whatever the policy says.
func alwaysDated(e Entry) (Policy, error) {
	p, err := openLDAPPolicy(e)
	p.Lockout.DatesPasswords = err == nil
	return p, err
}

func openLDAPAccount(s *Schema, e Entry, p Policy, now time.Time) (directory.Account, error) {
	var (
		a   directory.Account
		err error
	)
	if a.MustChange, err = boolean(e, mustChangeMark); err != nil {
		return a, err
	}
	if err = s.dated(&a, e, p); err != nil {
		return a, err
	}
	if err := openLDAPLock(&a, e, p, now); err != nil {
		return a, err
	}
	return a, openLDAPExpiry(&a, e)
}

// dated reads what servers that write generalized times have in common.
func (s *Schema) dated(a *directory.Account, e Entry, p Policy) error {
	var err error
	if a.CreatedAt, err = instant(e, s.Created); err != nil {
		return err
	}
	if a.PasswordChangedAt, err = instant(e, s.Changed); err != nil {
		return err
	}
	if p.Lockout.Enabled {
		a.LockoutAfter = p.Lockout.MaxFailures
	}
	if p.MaxAge > 0 && !a.PasswordChangedAt.IsZero() {
		a.PasswordExpiresAt = a.PasswordChangedAt.Add(p.MaxAge)
	}
	for _, name := range s.LastUsed {
		used, err := instant(e, name)
		if err != nil {
			return err
		}
		if used.After(a.LastUsedAt) {
			a.LastUsedAt = used
		}
	}
	return nil
}

// openLDAPLock tells an account that was closed from a password that was guessed
// at too often. Both live in one attribute: draft-behera-ldap-password-policy
// section 5.3.3 gives one value of it the meaning "until an administrator".
func openLDAPLock(a *directory.Account, e Entry, p Policy, now time.Time) error {
	v := first(e, lockedAt)
	if v == "" {
		return nil
	}
	if v == closedForGood {
		a.Disabled = true
		return nil
	}
	at, err := ParseTime(v)
	if err != nil {
		return fmt.Errorf("reading %s: %w", lockedAt, err)
	}
	locked(a, at, p.Lockout.Duration, now)
	return nil
}

// locked is a lock that began at an instant and lasts so long; 0: until cleared.
func locked(a *directory.Account, at time.Time, lasts time.Duration, now time.Time) {
	if lasts == 0 {
		a.PasswordLocked = true
		return
	}
	if until := at.Add(lasts); now.Before(until) {
		a.PasswordLocked, a.PasswordLockedUntil = true, until
	}
}

func openLDAPExpiry(a *directory.Account, e Entry) error {
	if v := first(e, shadowDay); v != "" {
		days, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
		if err != nil {
			return fmt.Errorf("reading %s: %w", shadowDay, err)
		}
		// shadow(5): an account of day 0 has ended, a negative day never comes.
		if days >= 0 {
			a.ExpiresAt = time.Unix(days*86400, 0).UTC()
		}
	}
	end, err := instant(e, endTime)
	if err != nil {
		return err
	}
	if !end.IsZero() && (a.ExpiresAt.IsZero() || end.Before(a.ExpiresAt)) {
		a.ExpiresAt = end
	}
	return nil
}

// Day is an instant as shadowExpire counts it, rounded down: an account never
// lives longer than it was given.
func Day(t time.Time) string {
	return strconv.FormatInt(max(t.Unix(), 0)/86400, 10)
}
