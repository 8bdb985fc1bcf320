// Package ticket makes values that are good once, for a short while, for one
// purpose and one holder: the challenge of a passkey, the nonce of a terminal.
//
// A ticket is proved by its MAC, so giving one out writes nothing and costs a
// stranger's request no row. That it is used once is decided by the database,
// in the transaction of the act it belongs to. The package does not know what a
// ticket is for, nor who asks.
package ticket

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// ErrInvalid means that a value is no ticket for this purpose and holder, that
// it is too old, or that it was used before. Which of them is nobody's business
// but the trail's: see Why.
var ErrInvalid = errors.New("not a ticket that is good now")

// The reasons, for the trail.
var (
	errForged = fmt.Errorf("%w: unknown", ErrInvalid)
	errOld    = fmt.Errorf("%w: too old", ErrInvalid)
	errUsed   = fmt.Errorf("%w: used before", ErrInvalid)
)

// Why names the reason behind an ErrInvalid: "unknown", "old" or "used".
func Why(err error) string {
	switch {
	case errors.Is(err, errOld):
		return "old"
	case errors.Is(err, errUsed):
		return "used"
	}
	return "unknown"
}

// Layout: length of the key's id, the id, the end in microseconds (8 bytes), 16
// random bytes, the MAC (32 bytes).
const (
	endBytes    = 8
	randomBytes = 16 // security.md asks for 64 bits of a challenge
	macBytes    = 32
)

// Tickets gives tickets out and takes them back.
type Tickets struct {
	ring *secret.KeyRing
	now  clock.Now
}

// New keys tickets with ring.
func New(ring *secret.KeyRing, now clock.Now) *Tickets { return &Tickets{ring, now} }

// Issue makes a ticket that is good for ttl. purpose is a constant of the
// caller's; whose ties the ticket to a holder, such as a cookie, "" for nobody.
func (t *Tickets) Issue(purpose, whose string, ttl time.Duration) []byte {
	id := t.ring.CurrentID()
	value := append([]byte{byte(len(id))}, id...)
	value = binary.BigEndian.AppendUint64(value, uint64(t.now().Add(ttl).UnixMicro()))
	value = append(value, secret.Bytes(randomBytes)...)
	mac, err := t.mac(id, purpose, whose, value)
	if err != nil {
		panic("the key ring has no current key: " + err.Error())
	}
	return append(value, mac...)
}

func (t *Tickets) mac(keyID, purpose, whose string, head []byte) ([]byte, error) {
	return t.ring.MAC(keyID, "ticket/"+purpose, []byte(whose), head)
}

// Check reports whether a value is a ticket for this purpose and holder that is
// not too old. It does not say whether it was used: only Spend can.
func (t *Tickets) Check(purpose, whose string, value []byte) error {
	_, err := t.end(purpose, whose, value)
	return err
}

func (t *Tickets) end(purpose, whose string, value []byte) (time.Time, error) {
	if len(value) < 1 {
		return time.Time{}, errForged
	}
	head := 1 + int(value[0]) + endBytes + randomBytes
	if len(value) != head+macBytes {
		return time.Time{}, errForged
	}
	mac, err := t.mac(string(value[1:1+int(value[0])]), purpose, whose, value[:head])
	if err != nil || !hmac.Equal(mac, value[head:]) {
		return time.Time{}, errForged
	}
	at := 1 + int(value[0])
	ends := time.UnixMicro(int64(binary.BigEndian.Uint64(value[at : at+endBytes]))).UTC()
	if !t.now().Before(ends) {
		return time.Time{}, errOld
	}
	return ends, nil
}

// Spend uses a ticket up in the caller's transaction. ErrInvalid means that it
// is not good, or was used before: of several at once the database lets one
// through.
func (t *Tickets) Spend(ctx context.Context, tx *store.Tx, purpose, whose string, value []byte) error {
	ends, err := t.end(purpose, whose, value)
	if err != nil {
		return err
	}
	// The MAC stands for the ticket: it is different for each.
	return Once(ctx, tx, value[len(value)-macBytes:], t.now(), ends)
}

// Once lets one of all who name the same thing through, in the caller's
// transaction, until ends; from then on the thing must be refused for its age.
// The others get ErrInvalid.
func Once(ctx context.Context, tx *store.Tx, thing []byte, now, ends time.Time) error {
	if _, err := tx.Exec(ctx, `DELETE FROM spent_ticket WHERE ends_at <= $1`, store.Micros(now)); err != nil {
		return fmt.Errorf("sweeping spent tickets: %w", err)
	}
	err := tx.ExecOne(ctx, `
		INSERT INTO spent_ticket (mac, ends_at) VALUES ($1, $2) ON CONFLICT (mac) DO NOTHING`,
		bytes.Clone(thing), store.Micros(ends))
	if errors.Is(err, store.ErrUntouched) {
		return errUsed
	}
	if err != nil {
		return fmt.Errorf("spending a ticket: %w", err)
	}
	return nil
}
