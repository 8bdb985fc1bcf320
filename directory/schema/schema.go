// Package schema says, as data, what a directory server calls things.
//
// A Schema names the attributes of one kind of server, how their values read,
// and which of the few known ways it takes to change an entry; the client in
// directory/ldap has no attribute name of its own. What is more than a name is
// a small pure function over values. The package refuses to know connections,
// filters and packets: it is given the values of an entry and answers a
// directory.Person, or the changes that bring a state about.
//
// A value that cannot be read is an error and never an absent one: an account
// whose lock does not parse must not pass for an open account, nor one whose
// last use does not parse for a dormant one.
package schema

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/directory"
)

// A Schema describes one kind of directory server.
type Schema struct {
	Name string

	// A person.
	Mark          Mark     // entries that bear it are people
	PersonClasses []string // what Create writes as objectClass
	Naming        string   // the attribute of a person's RDN
	ID            string
	Login         string
	LoginLength   int    // the longest login, in bytes
	LoginForbids  string // characters that no login has
	Principal     string // login@domain, where people sign in by that; "" where they do not
	Mail          string
	DisplayName   string
	CommonName    string // stands in for an absent DisplayName; "" for nothing
	Surname       string
	Section       string
	Company       string
	Number        string // what all IDs of one human being share
	Kind          string
	Protected     []Mark // what an entry bears that the server guards itself
	Note          string // what tells an ID that is lent apart; "" where none are, see Lending
	Description   string // where Note is kept

	// Groups. MemberOf may be empty where the server keeps no back links;
	// groups are then searched by Member. Where Token is set, one entry's own
	// answer names all its groups, nested ones and the primary one too, by what
	// GroupID holds.
	MemberOf   string
	GroupClass string
	Member     string
	EmptyGroup bool // a group may have no member
	Token      string
	GroupID    string
	// MemberRange is how many members the server tells at once; 0: all.
	MemberRange int

	// EntryDN matches an entry by its own DN inside a filter. The client asks
	// for the people base in the same search as for a person, as a witness that
	// an empty answer was an answer.
	EntryDN string

	// How the server is spoken to.
	NeedsTLS bool     // it takes no password in clear, not even on loopback
	Controls []string // object identifiers of controls that each search carries
	Guard    Guard
	// Passwords: the attribute, how its value is written, and how one is changed
	// by its owner.
	Password  string
	Write     func(password string) (string, error) // nil: as it is
	ChangeBy  ChangeBy
	Comparing bool // a cleartext value can be found out by comparing
	// BindCodes tells the verdicts on a bind apart by the code in the server's
	// diagnostic message; nil where the password policy control does.
	BindCodes map[string]directory.Outcome
	// Dynamic is the object class of entries that the server ends by itself
	// (RFC 2589), where it says that it can; "" where it is never asked to.
	Dynamic string
	// Residuals are what taking a privilege back in this directory leaves open.
	Residuals []Residual
	// FormerOpens is how long after a change the server lets the password before
	// it in as well.
	FormerOpens time.Duration

	// Account state.
	Created  string
	Changed  string   // the password's last change
	LastUsed []string // whichever is latest
	State    []string // what else an account is read from
	// Required are attributes that every person shows to whoever may read them:
	// what `config check` looks for.
	Required []string
	// Written are attributes the service account must be able to write, and Rights
	// is where the server says which those are; "" where it does not.
	Written []string
	Rights  string

	// The password policy.
	OwnPolicy string // DN of the policy of this one entry
	// DefaultPolicy is used when no PolicyDN is set; PolicyPlace says what it is.
	DefaultPolicy string
	PolicyPlace   PolicyPlace
	PolicyValues  []string
	// PolicyContainer holds the policies of single people, below the domain; ""
	// where there is no such place.
	PolicyContainer string

	readID      func(value string) (string, error)
	idValue     func(id string) (string, error)
	readAccount func(s *Schema, e Entry, p Policy, now time.Time) (directory.Account, error)
	readPolicy  func(e Entry) (Policy, error)
	acts        acts
}

// A Mark is an attribute that holds a value.
type Mark struct{ Attribute, Value string }

// On reports whether an entry bears the mark.
func (m Mark) On(e Entry) bool {
	return slices.ContainsFunc(e(m.Attribute), func(v string) bool { return strings.EqualFold(v, m.Value) })
}

// Guard is how a write is kept from reaching somebody else, to whom the DN was
// given since the person was read.
type Guard int

// The guards.
const (
	// GuardAssertion: the write asserts the ID, RFC 4528.
	GuardAssertion Guard = iota
	// GuardID: the write is addressed by the ID and not by the DN.
	GuardID
	// GuardReading: the entry is read just before. Between the two somebody could
	// take its place.
	GuardReading
)

// ChangeBy is how an owner changes a password.
type ChangeBy int

// The ways.
const (
	ChangeByOperation ChangeBy = iota // RFC 3062
	ChangeByValues                    // the old value deleted and the new one added
)

// PolicyPlace is where the default policy lies.
type PolicyPlace int

// The places.
const (
	PolicyBelowBase PolicyPlace = iota
	PolicyByItself              // a DN of its own
	PolicyOfDomain              // the head of the domain: the components dc of the base
)

// Op is what a Change does to an attribute.
type Op int

// The operations of RFC 4511 section 4.6.
const (
	Replace Op = iota
	Add
	Delete
)

// A Change is one part of a modification. All parts of one happen together.
type Change struct {
	Op        Op
	Attribute string
	Values    []string
}

func replace(attribute string, values ...string) Change { return Change{Replace, attribute, values} }

// acts are the changes that bring a state about. Each is given the entry's
// values as they were read for it; where Guard is GuardAssertion nothing was.
type acts struct {
	disable, enable, unlock func(s *Schema, e Entry) ([]Change, error)
	reset                   func(s *Schema, e Entry, value string, mustChange bool) []Change
	// after follows a reset whose server keeps the mark to itself.
	after  func(s *Schema, mustChange bool) []Change
	expire func(s *Schema, at time.Time) Change
	// lapse ends an ID that is lent, to the second; nil where the server enforces
	// no such end.
	lapse func(s *Schema, at time.Time) Change
	// endless takes away every end there is; nil where none is.
	endless []Change
	// mark is what makes a password of a new entry temporary.
	mark Change
	// open is what a new entry is created as, and what opens it when it has its
	// password; nil where an entry is complete when it is added.
	born, open []Change
}

var kinds = map[string]func() Schema{
	"openldap":         openLDAP,
	"active_directory": activeDirectory,
	"389ds":            ds389,
	"embedded": func() Schema {
		s := openLDAP()
		s.Name, s.readPolicy = "embedded", alwaysDated
		return s
	},
}

// Named returns the description of a kind of server.
func Named(name string) (Schema, bool) {
	kind, ok := kinds[name]
	if !ok {
		return Schema{}, false
	}
	return kind(), true
}

// Names lists the kinds of server that Named knows.
func Names() []string { return []string{"openldap", "active_directory", "389ds", "embedded"} }

// An Entry gives the values of one attribute of one entry, matched without
// regard to case. Binary values come as they are.
type Entry func(attribute string) []string

// A Policy is the server's password policy as far as it changes what a state
// means.
type Policy struct {
	Found   bool
	Lockout directory.LockoutPolicy
	MaxAge  time.Duration // 0: passwords do not grow old
	// UsedLag is how far behind the server's record of last uses may be.
	UsedLag time.Duration
	// Hidden: the policy is there and we may not read it. Lockout then says the
	// least that it could.
	Hidden bool
}

// Hidden is what is known of a policy that may not be read: it could lock after
// a single failure.
func Hidden() Policy {
	return Policy{Found: true, Hidden: true, Lockout: directory.LockoutPolicy{Enabled: true, MaxFailures: 1}}
}

// Aliases are the attributes by which a person is found, besides the login.
func (s *Schema) Aliases() []string { return nonEmpty([]string{s.Principal, s.Mail}) }

// Texts are the attributes that a search for people looks in.
func (s *Schema) Texts() []string {
	return nonEmpty([]string{s.Login, s.DisplayName, s.CommonName, s.Mail})
}

// Attributes lists what must be asked for to read a Person.
func (s *Schema) Attributes() []string {
	all := []string{
		s.ID, s.Login, s.Principal, s.Mail, s.DisplayName, s.CommonName, s.Section, s.Company, s.Number, s.Kind,
		s.MemberOf, s.Created, s.Changed, s.OwnPolicy, s.Note,
	}
	for _, m := range s.Protected {
		all = append(all, m.Attribute)
	}
	return nonEmpty(append(append(all, s.LastUsed...), s.State...))
}

func nonEmpty(names []string) []string {
	kept := make([]string, 0, len(names))
	for _, n := range names {
		if n != "" && !slices.Contains(kept, n) {
			kept = append(kept, n)
		}
	}
	return kept
}

// IDValue is an ID as the server compares it; an error for what can be none.
func (s *Schema) IDValue(id directory.PersonID) (string, error) { return s.idValue(string(id)) }

// Policy reads a policy entry.
func (s *Schema) Policy(e Entry) (Policy, error) { return s.readPolicy(e) }

// Person reads an entry as it stands at now, under the policy that governs it.
// Groups are left to the caller where the server keeps no back links.
func (s *Schema) Person(dn string, e Entry, p Policy, now time.Time) (directory.Person, error) {
	id, err := s.readID(first(e, s.ID))
	if err != nil {
		return directory.Person{}, fmt.Errorf("reading %s: it has no readable %s", dn, s.ID)
	}
	account, err := s.readAccount(s, e, p, now)
	if err != nil {
		return directory.Person{}, fmt.Errorf("reading %s: %w", dn, err)
	}
	person := directory.Person{
		ID:        directory.PersonID(id),
		DN:        dn,
		Login:     first(e, s.Login),
		Name:      first(e, s.DisplayName),
		Mail:      first(e, s.Mail),
		Section:   first(e, s.Section),
		Company:   first(e, s.Company),
		Number:    first(e, s.Number),
		Kind:      kindOf(first(e, s.Kind)),
		Account:   account,
		Note:      first(e, s.Note),
		Protected: slices.ContainsFunc(s.Protected, func(m Mark) bool { return m.On(e) }),
	}
	if person.Name == "" {
		person.Name = first(e, s.CommonName)
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

// Disable closes an account until Enable.
func (s *Schema) Disable(e Entry) ([]Change, error) { return s.acts.disable(s, e) }

// IsDisabled reports whether an entry that was read is a closed account. One
// that cannot be read is.
func (s *Schema) IsDisabled(e Entry) bool {
	a, err := s.readAccount(s, e, Policy{}, time.Time{})
	return err != nil || a.Disabled
}

// Enable opens an account again and ends a lock.
func (s *Schema) Enable(e Entry) ([]Change, error) { return s.acts.enable(s, e) }

// Unlock ends a lock and opens nothing that is closed.
func (s *Schema) Unlock(e Entry) ([]Change, error) { return s.acts.unlock(s, e) }

// Reset sets a password, marks it as temporary or lasting, and ends a lock. What
// is closed stays so.
func (s *Schema) Reset(e Entry, value string, mustChange bool) []Change {
	return s.acts.reset(s, e, value, mustChange)
}

// AfterReset is what a second modification does; nil for nothing.
func (s *Schema) AfterReset(mustChange bool) []Change {
	if s.acts.after == nil {
		return nil
	}
	return s.acts.after(s, mustChange)
}

// Expire is the value that ends an account at an instant, or a little before.
func (s *Schema) Expire(at time.Time) Change { return s.acts.expire(s, at) }

// End ends an account at an instant: to the second where the server keeps such an end,
// and otherwise a little before. A zero time is no end.
func (s *Schema) End(at time.Time) []Change {
	if at.IsZero() {
		return s.acts.endless
	}
	last := s.acts.lapse
	if last == nil {
		last = s.acts.expire
	}
	end := last(s, at)
	changes := []Change{end}
	for _, c := range s.acts.endless { // of two ends the earlier one counts
		if c.Attribute != end.Attribute {
			changes = append(changes, c)
		}
	}
	return changes
}

// Lending is the schema for the part of the directory where IDs are lent: what
// they are for is read and written, and their end is to the second, where the
// server itself keeps to it.
func (s *Schema) Lending() Schema {
	l := *s
	l.Note = s.Description
	l.acts.expire = s.acts.lapse
	return l
}

// Expires reports whether the server lets nobody in after the end of an ID.
func (s *Schema) Expires() bool { return s.acts.expire != nil }

// Temporary marks the password of a new entry.
func (s *Schema) Temporary() Change { return s.acts.mark }

// Born is what a new entry has until it has its password, and Open what opens
// it then. Both are nil where an entry is added complete.
func (s *Schema) Born() []Change { return s.acts.born }

// Open is described at Born.
func (s *Schema) Open() []Change { return s.acts.open }

// PasswordValue is a password as the server wants it written.
func (s *Schema) PasswordValue(password string) (string, error) {
	if s.Write == nil {
		return password, nil
	}
	return s.Write(password)
}
