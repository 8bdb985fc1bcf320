// Package card reads IC cards: client certificates whose key lies behind a PIN.
//
// That a certificate came at all means that its key has signed: TLS has seen to
// it, here or at a trusted proxy. What the certificate is worth is decided here:
// its authority, the policy it names (which says that the key lies behind a
// PIN), its dates, whether it was revoked, and whom it names. Who that is in the
// directory, and whether they may use anything, is signin's to ask.
//
// What cannot be known refuses: an authority without a fresh revocation list has
// no good cards.
package card

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// A Card is a certificate that was checked.
type Card struct {
	ID        string // SHA-256 of the certificate, hex
	Authority string // id in policy.cards
	Subject   string // who it names, as a login or an address
	Match     string // policy.CardMatchLogin or CardMatchMail
	Serial    string // of the certificate, hex
	NotAfter  time.Time
	name      string // what its owner sees it called
}

// Refused means that a card is not taken. Why is for the trail.
type Refused struct{ Why string }

func (r *Refused) Error() string { return "the card is refused: " + r.Why }

// ErrNone means that the request came with no card.
var ErrNone = errors.New("no card")

// Lists gives the revocation lists of an authority, as they are now. Whether they
// are signed and whom they cover is for the Reader to find out. An error refuses
// every card of the authority.
type Lists interface {
	For(authority string) ([]*x509.RevocationList, error)
}

// Reader checks cards.
type Reader struct {
	db    *store.DB
	lists Lists
	now   clock.Now
	pol   func() *policy.Policy

	signed signatures
}

// New makes a Reader. lists may be nil: then no card is good.
func New(db *store.DB, lists Lists, now clock.Now, pol func() *policy.Policy) *Reader {
	return &Reader{db: db, lists: lists, now: now, pol: pol}
}

// String does not print whom a card names: it goes to logs.
func (c Card) String() string { return fmt.Sprintf("card %.16s of %s", c.ID, c.Authority) }
