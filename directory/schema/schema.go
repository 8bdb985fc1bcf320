// Package schema says, as data, what a directory server calls things.
//
// A Schema names the attributes and object classes of one kind of server and
// how their values read; the client in directory/ldap has no attribute name of
// its own. It refuses to know connections, filters and packets: it is given the
// values of an entry and answers a directory.Person.
//
// A value that cannot be read is an error and never an absent one: an account
// whose lock does not parse must not pass for an open account, nor one whose
// last use does not parse for a dormant one.
package schema

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekisho/directory"
)

// A Schema describes one kind of directory server.
type Schema struct {
	Name string

	// A person.
	PersonClass   string   // entries of this class are people
	PersonClasses []string // what Create writes as objectClass
	Naming        string   // the attribute of a person's RDN
	ID            string
	Login         string
	Mail          string
	DisplayName   string
	Surname       string
	Section       string
	Company       string
	Kind          string

	// Groups. MemberOf may be empty where the server keeps no back links;
	// groups are then searched by Member.
	MemberOf   string
	GroupClass string
	Member     string

	// EntryDN matches an entry by its own DN inside a filter. The client asks
	// for the people base in the same search as for a person, as a witness that
	// an empty answer was an answer.
	EntryDN string

	// Account state.
	Password      string
	Created       string
	Changed       string   // the password's last change
	LastUsed      []string // whichever is latest
	MustChange    string   // "TRUE" while the password is temporary
	Failures      string
	Locked        string // time of the lock
	Disabled      string // the value of Locked that means "until an administrator"
	ExpiryDay     string // days since 1970-01-01; negative: none
	ExpiryTime    string // generalized time
	OwnPolicy     string // DN of the policy of this one entry
	DefaultPolicy string // RDNs below the base, used when no PolicyDN is set
	PolicyLockout string // TRUE when failures lock
	PolicyMax     string
	PolicyWindow  string // seconds
	PolicyLock    string // seconds
	PolicyMaxAge  string // seconds
	PolicyMinAge  string // seconds
	DatesAlways   bool   // Changed is written whatever the policy says
}

// openLDAP is OpenLDAP 2.5 and later with the overlays ppolicy and memberof,
// and "lastbind on" for pwdLastSuccess. The embedded server keeps the same
// names.
var openLDAP = Schema{
	Name:          "openldap",
	PersonClass:   "inetOrgPerson",
	PersonClasses: []string{"top", "person", "organizationalPerson", "inetOrgPerson", "shadowAccount"},
	Naming:        "uid",
	ID:            "entryUUID",
	Login:         "uid",
	Mail:          "mail",
	DisplayName:   "cn",
	Surname:       "sn",
	Section:       "departmentNumber",
	Company:       "o",
	Kind:          "employeeType",
	MemberOf:      "memberOf",
	GroupClass:    "groupOfNames",
	Member:        "member",
	EntryDN:       "entryDN",
	Password:      "userPassword",
	Created:       "createTimestamp",
	Changed:       "pwdChangedTime",
	LastUsed:      []string{"pwdLastSuccess", "authTimestamp"},
	MustChange:    "pwdReset",
	Failures:      "pwdFailureTime",
	Locked:        "pwdAccountLockedTime",
	Disabled:      "000001010000Z",
	ExpiryDay:     "shadowExpire",
	ExpiryTime:    "pwdEndTime",
	OwnPolicy:     "pwdPolicySubentry",
	DefaultPolicy: "cn=default,ou=policies",
	PolicyLockout: "pwdLockout",
	PolicyMax:     "pwdMaxFailure",
	PolicyWindow:  "pwdFailureCountInterval",
	PolicyLock:    "pwdLockoutDuration",
	PolicyMaxAge:  "pwdMaxAge",
	PolicyMinAge:  "pwdMinAge",
}

// Named returns the description of a kind of server.
func Named(name string) (Schema, bool) {
	s := openLDAP
	switch name {
	case "openldap":
	case "embedded":
		s.Name, s.DatesAlways = "embedded", true
	default:
		return Schema{}, false
	}
	return s, true
}

// Names lists the kinds of server that Named knows.
func Names() []string { return []string{"openldap", "embedded"} }

// An Entry gives the values of one attribute of one entry, matched without
// regard to case.
type Entry func(attribute string) []string

// A Policy is the server's password policy as far as it changes what a state
// means.
type Policy struct {
	Found   bool
	Lockout directory.LockoutPolicy
	MaxAge  time.Duration // 0: passwords do not grow old
}

// Attributes lists what must be asked for to read a Person.
func (s *Schema) Attributes() []string {
	all := []string{
		s.ID, s.Login, s.Mail, s.DisplayName, s.Section, s.Company, s.Kind, s.MemberOf,
		s.Created, s.Changed, s.MustChange, s.Locked, s.ExpiryDay, s.ExpiryTime, s.OwnPolicy,
	}
	return nonEmpty(append(all, s.LastUsed...))
}

// PolicyAttributes lists what must be asked for to read a Policy.
func (s *Schema) PolicyAttributes() []string {
	return nonEmpty([]string{s.PolicyLockout, s.PolicyMax, s.PolicyWindow, s.PolicyLock, s.PolicyMaxAge, s.PolicyMinAge})
}

func nonEmpty(names []string) []string {
	kept := make([]string, 0, len(names))
	for _, n := range names {
		if n != "" {
			kept = append(kept, n)
		}
	}
	return kept
}

// Policy reads a policy entry.
func (s *Schema) Policy(e Entry) (Policy, error) {
	var (
		p   = Policy{Found: true}
		err error
	)
	if p.Lockout.Enabled, err = boolean(e, s.PolicyLockout); err != nil {
		return Policy{}, err
	}
	maxFailures, err := number(e, s.PolicyMax)
	if err != nil {
		return Policy{}, err
	}
	p.Lockout.MaxFailures = int(maxFailures)
	// A policy that locks after no number of failures locks nobody.
	p.Lockout.Enabled = p.Lockout.Enabled && maxFailures > 0
	if p.Lockout.Window, err = seconds(e, s.PolicyWindow); err != nil {
		return Policy{}, err
	}
	if p.Lockout.Duration, err = seconds(e, s.PolicyLock); err != nil {
		return Policy{}, err
	}
	if p.MaxAge, err = seconds(e, s.PolicyMaxAge); err != nil {
		return Policy{}, err
	}
	minAge, err := seconds(e, s.PolicyMinAge)
	if err != nil {
		return Policy{}, err
	}
	// slapo-ppolicy writes pwdChangedTime only where an age can matter.
	p.Lockout.DatesPasswords = s.DatesAlways || p.MaxAge > 0 || minAge > 0
	return p, nil
}

// Person reads an entry as it stands at now, under the policy that governs it.
// Groups are left to the caller where the server keeps no back links.
func (s *Schema) Person(dn string, e Entry, p Policy, now time.Time) (directory.Person, error) {
	id := first(e, s.ID)
	if id == "" {
		return directory.Person{}, fmt.Errorf("reading %s: it has no readable %s", dn, s.ID)
	}
	account, err := s.account(e, p, now)
	if err != nil {
		return directory.Person{}, fmt.Errorf("reading %s: %w", dn, err)
	}
	person := directory.Person{
		ID:      directory.PersonID(strings.ToLower(id)),
		DN:      dn,
		Login:   first(e, s.Login),
		Name:    first(e, s.DisplayName),
		Mail:    first(e, s.Mail),
		Section: first(e, s.Section),
		Company: first(e, s.Company),
		Kind:    kindOf(first(e, s.Kind)),
		Account: account,
	}
	if s.MemberOf != "" {
		person.Groups = append([]string(nil), e(s.MemberOf)...)
	}
	return person, nil
}

// kindOf reads employeeType. A directory that never wrote one keeps staff; a
// word we do not know is passed on, so that no rule for staff applies to it by
// accident.
func kindOf(v string) directory.Kind {
	if v == "" {
		return directory.KindStaff
	}
	return directory.Kind(strings.ToLower(v))
}

func (s *Schema) account(e Entry, p Policy, now time.Time) (directory.Account, error) {
	var (
		a   directory.Account
		err error
	)
	if a.MustChange, err = boolean(e, s.MustChange); err != nil {
		return a, err
	}
	if a.CreatedAt, err = instant(e, s.Created); err != nil {
		return a, err
	}
	if a.PasswordChangedAt, err = instant(e, s.Changed); err != nil {
		return a, err
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
			return a, err
		}
		if used.After(a.LastUsedAt) {
			a.LastUsedAt = used
		}
	}
	if err := s.lock(&a, e, p, now); err != nil {
		return a, err
	}
	return a, s.expiry(&a, e)
}

// lock tells an account that was closed from a password that was guessed at too
// often. Both live in one attribute: draft-behera-ldap-password-policy section
// 5.3.3 gives one value of it the meaning "until an administrator".
func (s *Schema) lock(a *directory.Account, e Entry, p Policy, now time.Time) error {
	v := first(e, s.Locked)
	if v == "" {
		return nil
	}
	if v == s.Disabled {
		a.Disabled = true
		return nil
	}
	at, err := ParseTime(v)
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.Locked, err)
	}
	if p.Lockout.Duration == 0 {
		a.PasswordLocked = true
		return nil
	}
	if until := at.Add(p.Lockout.Duration); now.Before(until) {
		a.PasswordLocked, a.PasswordLockedUntil = true, until
	}
	return nil
}

func (s *Schema) expiry(a *directory.Account, e Entry) error {
	if v := first(e, s.ExpiryDay); v != "" {
		days, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
		if err != nil {
			return fmt.Errorf("reading %s: %w", s.ExpiryDay, err)
		}
		// shadow(5): an account of day 0 has ended, a negative day never comes.
		if days >= 0 {
			a.ExpiresAt = time.Unix(days*86400, 0).UTC()
		}
	}
	end, err := instant(e, s.ExpiryTime)
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
