// Package card reads IC cards: client certificates whose key lies behind a PIN.
package card

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"sekisho/directory"
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
	Serial    string
	NotAfter  time.Time
}

// Seen is a card that a person has used.
type Seen struct {
	ID, Name            string
	AddedAt, LastUsedAt time.Time
}

// Refused means that a card is not taken.
type Refused struct{ Why string } // for the trail

func (r *Refused) Error() string { return "the card is refused: " + r.Why }

// ErrNone means that the request came with no card.
var ErrNone = errors.New("no card")

// ErrNoCard means that the person has no such card.
var ErrNoCard = errors.New("no such card")

// Lists gives the revocation lists of an authority, as they are now.
type Lists interface {
	For(authority string) ([]*x509.RevocationList, error)
}

// Reader checks cards.
type Reader struct{}

// New makes a Reader.
func New(db *store.DB, lists Lists, now clock.Now, pol func() *policy.Policy) *Reader {
	return &Reader{}
}

// Read checks a certificate chain, leaf first.
func (r *Reader) Read(ctx context.Context, chain []*x509.Certificate, zone policy.ZoneID) (Card, error) {
	return Card{}, ErrNone
}

// Use records in the caller's transaction that a person signed in with a card.
func (r *Reader) Use(ctx context.Context, tx *store.Tx, person directory.PersonID, c Card) error {
	return &Refused{"not built"}
}

// List names the cards a person has used and not removed.
func (r *Reader) List(ctx context.Context, person directory.PersonID) ([]Seen, error) {
	return nil, nil
}

// Remove refuses a card from now on, for good.
func (r *Reader) Remove(ctx context.Context, tx *store.Tx, person directory.PersonID, id string) error {
	return ErrNoCard
}

// ParseForwarded reads the certificate that a trusted proxy passes on: RFC 9440
// or nginx's escaped PEM.
func ParseForwarded(header string) ([]*x509.Certificate, error) { return nil, ErrNone }
