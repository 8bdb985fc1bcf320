// Package directory is the vocabulary of people as a directory keeps them.
//
// The directory owns people, passwords and groups; Sekisho only asks and
// obeys. This package holds what is said between the two: who a person is,
// what state their account is in, what a bind answered, and which errors a
// caller must tell apart. It refuses to know how a directory is reached
// (directory/ldap), what its attributes are called (directory/schema), or what
// follows from an answer (authn, authz): it decides nothing and opens nothing.
//
// The one rule that shapes the errors: an answer that is empty or cut short is
// never taken for "nobody". ErrNotFound means that the directory searched, said
// that it had finished, and had no such entry. Everything else that ends
// without an answer is ErrAway or ErrTruncated.
package directory

import (
	"errors"
	"time"

	"sekisho/policy/secret"
)

// PersonID names a person for ever: the entryUUID of RFC 4530, or what the
// directory has in its stead (objectGUID, nsUniqueId). It survives a rename and
// a move, and the directory never gives it again.
type PersonID string

// Kind is what sort of ID an entry is.
type Kind string

// The kinds, as stored in employeeType.
const (
	KindStaff      Kind = "staff"      // 職員, also 会計年度任用職員
	KindContractor Kind = "contractor" // 事業者
	KindService    Kind = "service"    // a program; no person signs in with it
	KindShared     Kind = "shared"     // 共用ID, article 46
	KindLent       Kind = "lent"       // 特権用ID, made for one lease; nobody's own
)

// Person is one entry as it stood when it was read.
type Person struct {
	ID      PersonID
	DN      string
	Login   string // uid, as the directory spells it
	Name    string
	Mail    string
	Section string // departmentNumber: the section's ID in the policy
	Company string // o: whom a contractor works for
	Number  string // employeeNumber: one for all IDs of one human being
	Kind    Kind
	// Groups are DNs of the groups this person is a member of; where the
	// directory nests groups (Active Directory), of those too that contain them.
	Groups  []string
	Account Account
	// Protected: the directory guards this entry itself, because it is powerful
	// there (adminCount, AdminSDHolder). Our delegated rights do not reach it, and
	// nobody should want them to.
	Protected bool
	// Note is what stands in the description of an ID that is lent: whose lease it
	// was made for. It is read of those IDs alone.
	Note string
}

// SameHuman reports whether two entries are IDs of one human being, as far as the
// directory tells: the same entry, the same number, or, where one of them has no
// number, the same mail address. An entry without an ID is taken for everybody.
func (p Person) SameHuman(o Person) bool {
	apart, told := p.compared(o)
	return told && !apart
}

// Apart reports whether the directory shows two entries to be IDs of two human
// beings: by their numbers or, where one of them has none, by their mail addresses.
// Separation of duties asks for this: somebody with a second ID is no second
// person (article 16), and of whom nothing is known that could be compared, it is
// not known that they are one.
func (p Person) Apart(o Person) bool {
	apart, told := p.compared(o)
	return told && apart
}

// compared tells whether two entries are apart; told is false where they have
// nothing that could be compared.
func (p Person) compared(o Person) (apart, told bool) {
	if p.ID == "" || o.ID == "" || p.ID == o.ID {
		return false, true
	}
	for _, by := range [][2]string{{p.Number, o.Number}, {p.Mail, o.Mail}} {
		if a, b := Canonical(by[0]), Canonical(by[1]); a != "" && b != "" {
			return a != b, true
		}
	}
	return false, false
}

// Account is the state of a person's account. Times are UTC; a zero time means
// "none", and a zero LastUsedAt means that the ID has never been used.
type Account struct {
	Disabled            bool      // closed by an administrator until opened again
	ExpiresAt           time.Time // the account ends at this instant
	MustChange          bool      // the password is temporary
	PasswordLocked      bool      // the directory holds the password, not the person
	PasswordLockedUntil time.Time // zero while locked: until an administrator clears it
	PasswordExpiresAt   time.Time
	PasswordChangedAt   time.Time
	CreatedAt           time.Time
	// LockoutAfter is how many wrong passwords in a row lock this account in
	// the directory; 0 for no such number.
	LockoutAfter int
	LastUsedAt   time.Time
	// LastUsedLag is how much later than LastUsedAt the ID may have been used:
	// some directories write it down now and then. Negative: no bound is known.
	LastUsedLag time.Duration
}

// Usable says whether the account is open at this instant. It speaks of the
// account only: a locked or expired password leaves it usable, because another
// factor may still open the door.
func (a Account) Usable(now time.Time) bool {
	return !a.Disabled && (a.ExpiresAt.IsZero() || now.Before(a.ExpiresAt))
}

// MaySignIn says whether somebody may sign in, or go on, with this ID at this instant: it
// is somebody's own, and open. Of a shared one nobody could say who uses it (article
// 46-1): it is checked out by name, and opens no door here.
func (p Person) MaySignIn(at time.Time) bool {
	return p.ID != "" && p.Kind != KindShared && p.Account.Usable(at)
}

// NewPerson is what Create needs. Login, Name and Kind must be given; a zero
// ExpiresAt means no end.
type NewPerson struct {
	Login    string
	Name     string
	Surname  string // sn; Name when empty
	Mail     string
	Section  string
	Company  string
	Number   string // see Person.Number
	Kind     Kind
	Password secret.Text // empty: an account that no password opens yet
	// MustChange marks the password as temporary from the first instant.
	MustChange bool
	ExpiresAt  time.Time
	Note       string // see Person.Note; kept where IDs are lent alone
}

// An Amendment is what is to be of a person from now on; nil leaves it as it is, and
// what is empty is taken away. It says what is to be and not what is to happen: done
// twice, it is done once.
type Amendment struct {
	Name, Mail, Section, Company, Number *string
	Kind                                 *Kind
	// ExpiresAt ends the account, to the second where the directory can say so, and
	// otherwise a little before; a zero time is no end.
	ExpiresAt *time.Time
	Disabled  *bool // what Disable and Enable bring about
}

// LockoutPolicy is the directory's own rule against guessing
// (draft-behera-ldap-password-policy, section 5.2.11 and following). Sekisho
// must hold before it does, or a stranger could lock the person out of
// everything else that uses the directory.
type LockoutPolicy struct {
	Enabled     bool
	MaxFailures int           // 0: no limit
	Window      time.Duration // failures older than this are forgotten; 0: never
	Duration    time.Duration // how long a lock lasts; 0: until cleared
	// DatesPasswords: the directory writes down when a password was changed.
	// Where it does not, a temporary password has no age and so no end.
	DatesPasswords bool
}

// Outcome is what a bind said about a password. The zero value is a refusal.
type Outcome int

// The outcomes. They are for us alone: a stranger hears one answer for all but
// OutcomeRight and OutcomeMustChange.
const (
	OutcomeWrong      Outcome = iota // not the password, or no password can open this
	OutcomeRight                     // the password, and nothing stands against it
	OutcomeMustChange                // the password, to be changed before anything else
	OutcomeExpired                   // too old a password; an administrator, or a change where the directory allows it, renews it
	OutcomeLocked                    // the directory did not look: too many failures
	OutcomeDisabled                  // the account is closed
	OutcomeBarred                    // the password, but not at this hour, from here, or in this way
)

func (o Outcome) String() string {
	switch o {
	case OutcomeWrong:
		return "wrong"
	case OutcomeRight:
		return "right"
	case OutcomeMustChange:
		return "must change"
	case OutcomeExpired:
		return "expired"
	case OutcomeLocked:
		return "locked"
	case OutcomeDisabled:
		return "disabled"
	case OutcomeBarred:
		return "barred"
	default:
		return "unknown"
	}
}

// What a caller must tell apart.
var (
	// ErrNotFound: the directory searched to the end and has no such entry.
	ErrNotFound = errors.New("no such entry in the directory")
	// ErrAway: unreachable, too slow, too busy, or refusing us.
	ErrAway = errors.New("the directory is away")
	// ErrTruncated: an answer that stopped before its end.
	ErrTruncated = errors.New("the directory's answer was cut short")
	// ErrAmbiguous: more than one entry answers to what should name one.
	ErrAmbiguous = errors.New("more than one entry answers to this name")
	// ErrExists: the login is taken.
	ErrExists = errors.New("the login exists already")
	// ErrMalformed: a name or DN that cannot be one. No question was asked.
	ErrMalformed = errors.New("malformed name")
	// ErrDenied: the directory knows us and does not let us do this.
	ErrDenied = errors.New("the directory does not permit this")
	// ErrProtected: the directory guards the entry itself, because it is powerful
	// there. Sekisho neither lends it nor changes it.
	ErrProtected = errors.New("the directory protects this entry")
)

// Reason says why a directory refused a password change.
type Reason string

// The reasons (draft-behera-ldap-password-policy, section 6.2).
const (
	ReasonWrongCurrent Reason = "wrong_current" // the current password is not that
	ReasonHistory      Reason = "history"       // used before
	ReasonTooShort     Reason = "too_short"
	ReasonTooYoung     Reason = "too_young" // changed too recently
	ReasonQuality      Reason = "quality"
	ReasonNotAllowed   Reason = "not_allowed" // this account may not change its own password
	ReasonLocked       Reason = "locked"
	ReasonRules        Reason = "rules" // against a rule on length, make-up, age or history; the server does not say which
	ReasonUnknown      Reason = "unknown"
)

// Refused is a password change that the directory's own rules did not let
// through. Detail is the server's word, for the log and not for a page.
type Refused struct {
	Reason Reason
	Detail string
}

func (r *Refused) Error() string {
	s := "the directory refused the password change: " + string(r.Reason)
	if r.Detail != "" {
		s += " (" + r.Detail + ")"
	}
	return s
}
