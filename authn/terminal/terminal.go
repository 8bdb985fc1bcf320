// Package terminal keeps the register of enrolled terminals and reads what they
// say.
//
// A terminal speaks by signing a JWT over a nonce of ours: who sits at it, how
// it signed them in, and when. That word can stand in for a second factor
// (article 26no3-1), so the machines whose word does are made by the policy,
// which takes two persons; an administrator alone enrols counter and lent ones.
//
//	declared by the policy --\
//	                          > enrolled --Lose--> lost (its key, for good)
//	enrolled by one person --/      ^                |
//	                                \---another key--/
//
// The package does not know where the person at a terminal really is, what a
// session is, or who may enrol a machine. Whoever calls Lose or Remove ends what
// goes on there and writes the trail, in the same transaction.
package terminal

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"sekisho/authn/ticket"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Terminal is an enrolled machine.
type Terminal struct {
	ID       string
	Zone     policy.ZoneID
	Class    string // policy.TerminalClasses
	Name     policy.Words
	Key      string    // SHA-256 of its public key (SPKI, RFC 5280), in hexadecimal; "" where it cannot speak for itself
	Declared bool      // by the policy; else by an administrator
	AddedAt  time.Time // zero where the policy declares it
	AddedBy  string    // a login; "" where the policy declares it
	LostAt   time.Time // zero: not lost
	SeenAt   time.Time // when it last spoke; zero: never
}

// An Assertion is a terminal's word about who sits at it. It is worth nothing
// until Spend.
type Assertion struct {
	Terminal Terminal
	Login    string    // whom the terminal signed in, as it wrote it; "" for nobody
	Methods  []string  // how (RFC 8176)
	AuthAt   time.Time // when; zero where it does not say
	nonce    []byte
}

// Refused means that a terminal's word is not taken. Why is for the trail and
// for nobody else: a stranger would learn from it which terminals there are.
//
//	malformed         no assertion at all, too long, or without a claim it needs
//	algorithm         signed in another way than ES256
//	header            of another type, or with an extension that must be understood
//	unknown_terminal  not on the register
//	no_key            a terminal that cannot speak for itself
//	signature         not by the terminal's key
//	lost              by the key of a terminal reported lost
//	audience          meant for another gate, or for several
//	early, expired    not yet or no longer good
//	lifetime          good for too long
//	login, methods    what no login, and no list of methods, can be
//	auth_time         a sign-in in the future
//	nonce_unknown     not a nonce of ours
//	nonce_old         a nonce given out too long ago
//	nonce_used        a nonce that was used before
//	changed           the register changed since the assertion was read
type Refused struct{ Why string }

func (r *Refused) Error() string { return "the terminal's assertion is refused: " + r.Why }

var (
	// ErrNotFound means that there is no such terminal.
	ErrNotFound = errors.New("no such terminal")
	// ErrExists means that the id or the key is taken.
	ErrExists = errors.New("the terminal is enrolled already")
	// ErrLost means that the terminal, or the key, was reported lost before.
	ErrLost = errors.New("the terminal is lost")
)

// Register is all terminals.
type Register struct {
	db       *store.DB
	tickets  *ticket.Tickets
	audience string
	now      clock.Now
	pol      func() *policy.Policy
}

// New makes the register. audience is the gate's public URL, which every
// assertion must name.
func New(db *store.DB, tickets *ticket.Tickets, audience string, now clock.Now, pol func() *policy.Policy) *Register {
	return &Register{db, tickets, strings.TrimRight(audience, "/"), now, pol}
}

// purpose keeps nonces of terminals apart from all other tickets.
const purpose = "terminal"

// nonceEnd is how long a terminal has to sign a nonce and a browser to bring it:
// both are machines on our own network.
const nonceEnd = time.Minute

// Nonce is a value for a terminal to sign, and when it stops being good. Giving
// one out writes nothing.
func (r *Register) Nonce() (value string, ends time.Time) {
	ends = r.now().Add(nonceEnd)
	return base64.RawURLEncoding.EncodeToString(r.tickets.Issue(purpose, "", nonceEnd)), ends
}
