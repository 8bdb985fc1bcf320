// Package terminal keeps the register of enrolled terminals and reads what they
// say.
package terminal

import (
	"context"
	"errors"
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
	Key      string // fingerprint of its public key; "" where it cannot speak for itself
	Declared bool   // by the policy; else by an administrator
	AddedAt  time.Time
	AddedBy  string
	LostAt   time.Time // zero: not lost
	SeenAt   time.Time // when it last spoke; zero: never
}

// An Assertion is a terminal's word about who sits at it. It is worth nothing
// until Spend.
type Assertion struct {
	Terminal Terminal
	Login    string    // whom the terminal signed in; "" for nobody
	Methods  []string  // how (RFC 8176)
	AuthAt   time.Time // when
	nonce    string
}

// StandsIn reports whether the word of a dedicated terminal replaces a second
// factor of this person (article 26no3-1).
func (a Assertion) StandsIn(login string, zone policy.Zone, now time.Time) bool { return false }

// Refused means that a terminal's word is not taken.
type Refused struct{ Why string } // for the trail

func (r *Refused) Error() string { return "the terminal's assertion is refused: " + r.Why }

var (
	// ErrNotFound means that there is no such terminal.
	ErrNotFound = errors.New("no such terminal")
	// ErrExists means that the id or the key is taken.
	ErrExists = errors.New("the terminal is enrolled already")
	// ErrLost means that the terminal was reported lost before.
	ErrLost = errors.New("the terminal is lost")
)

// Register is all terminals.
type Register struct{}

// New makes the register. audience is the gate's public URL.
func New(db *store.DB, tickets *ticket.Tickets, audience string, now clock.Now, pol func() *policy.Policy) *Register {
	return &Register{}
}

// Nonce is a value for a terminal to sign.
func (r *Register) Nonce() (value string, ends time.Time) { return "", time.Time{} }

// Read checks an assertion.
func (r *Register) Read(ctx context.Context, header string) (Assertion, error) {
	return Assertion{}, &Refused{"not built"}
}

// Spend uses the assertion's nonce up in the caller's transaction.
func (r *Register) Spend(ctx context.Context, tx *store.Tx, a Assertion) error {
	return &Refused{"not built"}
}

// List is every terminal, by id.
func (r *Register) List(ctx context.Context) ([]Terminal, error) { return nil, nil }

// Enrol adds a terminal of class counter or lent.
func (r *Register) Enrol(ctx context.Context, tx *store.Tx, t Terminal, publicKeyPEM string) error {
	return nil
}

// Lose records that a terminal is lost: its key is dead for good.
func (r *Register) Lose(ctx context.Context, tx *store.Tx, id, by string) error { return nil }

// Remove takes a terminal that an administrator enrolled off the register.
func (r *Register) Remove(ctx context.Context, tx *store.Tx, id string) error { return nil }
