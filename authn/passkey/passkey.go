// Package passkey keeps people's WebAuthn credentials.
package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"sekisho/authn"
	"sekisho/authn/ticket"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// RP is the relying party: who asks for a key.
type RP struct {
	ID, Name string
	Origins  []string // scheme, host, port
}

// Keys are the passkeys of everybody.
type Keys struct{}

// New makes Keys for a relying party.
func New(db *store.DB, tickets *ticket.Tickets, rp RP, now clock.Now, pol func() *policy.Policy) (*Keys, error) {
	return &Keys{}, nil
}

// A Key is one passkey as its owner sees it.
type Key struct {
	ID, Name            string
	AAGUID              string // UUID of its model
	Synced              bool   // its maker may copy it (backup eligible)
	Attested            bool   // a maker in passkey.roots vouched for it
	AddedAt, LastUsedAt time.Time
}

// Method is what using the key proves.
func (k Key) Method() authn.Method {
	if k.Synced {
		return authn.SyncedKey
	}
	return authn.HardwareKey
}

// An Enrolment is a key on its way in.
type Enrolment struct {
	ID        string
	PublicKey json.RawMessage // PublicKeyCredentialCreationOptionsJSON
}

// An Assertion is an answer whose signature was right. It is worth nothing
// until Spend.
type Assertion struct {
	Person directory.PersonID
	Key    Key
}

var (
	// ErrWrong means that an answer is not right; see Why for the trail.
	ErrWrong = errors.New("the passkey's answer is wrong")
	// ErrCloned means that the key's counter went back: there are two of it. The
	// key has ended in the transaction, which must commit.
	ErrCloned = errors.New("the passkey was copied")
	// ErrNoEnrolment means that no enrolment of this person can be finished.
	ErrNoEnrolment = errors.New("no such enrolment")
	// ErrNoKey means that the person has no such key.
	ErrNoKey = errors.New("no such passkey")
	// ErrFull means that the person has as many keys as are allowed.
	ErrFull = errors.New("too many passkeys")
	// ErrName means that a key cannot be called that.
	ErrName = errors.New("a passkey's name has 1 to 64 characters, none of them a control character")
	// ErrTwice means that this key is enrolled already.
	ErrTwice = errors.New("the passkey is enrolled already")
)

// NotAccepted means that a key is right but not good enough for its owner's
// posts or for the zone.
type NotAccepted struct {
	Reason   string // "synced", "model", "attestation"
	Articles []policy.Article
	Says     policy.Words
}

func (n *NotAccepted) Error() string { return "passkey not accepted: " + n.Reason }

// Why names what was wrong with an answer, for the trail alone.
func Why(err error) string { return "" }

// Acceptable is nil, or why a key may not be used by the holder of these posts
// from this zone.
func Acceptable(pol *policy.Policy, posts []policy.PostID, zone policy.ZoneID, k Key) *NotAccepted {
	return nil
}

// List names the person's keys, oldest first.
func (k *Keys) List(ctx context.Context, person directory.PersonID) ([]Key, error) { return nil, nil }

// Count is how many keys the person has, as in sees it.
func (k *Keys) Count(ctx context.Context, in store.Reader, person directory.PersonID) (int, error) {
	return 0, nil
}

// BeginEnrol asks a browser for a new key. whose ties the answer to a cookie.
func (k *Keys) BeginEnrol(ctx context.Context, person directory.Person, posts []policy.PostID, whose string) (Enrolment, error) {
	return Enrolment{}, nil
}

// FinishEnrol binds the key in the caller's transaction.
func (k *Keys) FinishEnrol(ctx context.Context, tx *store.Tx, person directory.Person, posts []policy.PostID, zone policy.ZoneID, whose, id, name string, credential []byte) (Key, error) {
	return Key{}, ErrNoEnrolment
}

// BeginSignIn asks a browser for a key: any, or one of a person's.
func (k *Keys) BeginSignIn(ctx context.Context, whose string, person directory.PersonID) (json.RawMessage, error) {
	return nil, nil
}

// Verify checks a browser's answer. person "": whoever the key belongs to.
func (k *Keys) Verify(ctx context.Context, whose string, person directory.PersonID, credential []byte) (Assertion, error) {
	return Assertion{}, ErrWrong
}

// Spend uses an answer up in the caller's transaction.
func (k *Keys) Spend(ctx context.Context, tx *store.Tx, a Assertion) error { return ErrWrong }

// Rename gives a key another name.
func (k *Keys) Rename(ctx context.Context, tx *store.Tx, person directory.PersonID, id, name string) error {
	return ErrNoKey
}

// Remove takes a key away.
func (k *Keys) Remove(ctx context.Context, tx *store.Tx, person directory.PersonID, id string) error {
	return ErrNoKey
}

// RemoveAll takes all keys of a person away.
func (k *Keys) RemoveAll(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	return nil
}

// Imported is a key made elsewhere, for a sample prefecture.
type Imported struct {
	CredentialID, UserHandle []byte
	PublicKey                []byte // COSE
	Name                     string
	AddedAt                  time.Time
}

// Import adds a device-bound key made elsewhere.
func (k *Keys) Import(ctx context.Context, tx *store.Tx, person directory.PersonID, in Imported) error {
	return nil
}
