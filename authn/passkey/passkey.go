// Package passkey keeps people's WebAuthn credentials (W3C Web Authentication
// Level 3).
//
// It does not know which factor a sign-in needs, nor what a session is, and it
// writes no trail: the caller does, in the transaction it hands in. A library
// runs the ceremonies; what security.md section 2 row 9 names is checked here
// again, in plain sight, so that no setting of the library decides it.
//
// What it promises:
//
//   - A challenge is good once, for one ceremony and one holder, for as long as
//     the policy says. It is a ticket: asking for one stores nothing.
//   - Every answer was made by a person who was there and gave the key their PIN
//     or finger, at our own address and in no frame of anybody else's.
//   - A key belongs to the person, and is the kind of key, that it was enrolled
//     as. That is sealed to its row: a row changed by hand opens nothing (ASVS
//     6.7.1). What a seal cannot notice is a whole old row put back; the trail
//     tells that.
//   - A key that stays on one device and whose counter does not grow ends.
package passkey

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/text/unicode/norm"

	"sekisho/authn"
	"sekisho/authn/ticket"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// MaxName is the longest name of a key, in code points.
const MaxName = 64

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

// RP is the relying party: who asks for a key.
type RP struct {
	ID, Name string
	Origins  []string // scheme, host, port; a browser names no default port
}

// Keys are the passkeys of everybody. They are safe for concurrent use.
type Keys struct {
	db      *store.DB
	ring    *secret.KeyRing
	tickets *ticket.Tickets
	rp      RP
	rpHash  [sha256.Size]byte
	library *webauthn.WebAuthn
	now     clock.Now
	pol     func() *policy.Policy
}

// New makes Keys for a relying party. It refuses one that no browser would make
// a key for.
func New(db *store.DB, ring *secret.KeyRing, tickets *ticket.Tickets, rp RP, now clock.Now, pol func() *policy.Policy) (*Keys, error) {
	if rp.Name == "" {
		return nil, errors.New("the relying party has no name")
	}
	if err := protocol.ValidateRPID(rp.ID); err != nil {
		return nil, fmt.Errorf("%q cannot be a relying party: %w", rp.ID, err)
	}
	origins := make([]string, 0, len(rp.Origins))
	for _, o := range rp.Origins {
		origin, err := serialized(o, rp.ID)
		if err != nil {
			return nil, err
		}
		origins = append(origins, origin)
	}
	rp.Origins = origins
	library, err := webauthn.New(&webauthn.Config{
		RPID: rp.ID, RPDisplayName: rp.Name, RPOrigins: rp.Origins,
		// We ask for no extension and read none. Some clients answer one all the
		// same, which W3C WebAuthn L3 section 7.2 wants borne.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing WebAuthn: %w", err)
	}
	return &Keys{
		db: db, ring: ring, tickets: tickets, rp: rp, rpHash: sha256.Sum256([]byte(rp.ID)), library: library, now: now, pol: pol,
	}, nil
}

// serialized is an origin as browsers spell it (HTML, "serialization of an
// origin"). It must lie in the relying party, and be one that browsers trust
// with keys: https, or http to the machine itself.
func serialized(origin, rpID string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%q is not an origin: want a scheme, a host and perhaps a port", origin)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if host != rpID && !strings.HasSuffix(host, "."+rpID) {
		return "", fmt.Errorf("the origin %q is not of the relying party %q", origin, rpID)
	}
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return "", fmt.Errorf("browsers give %q no passkeys: it is not https", origin)
	}
	if port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// A Key is one passkey as its owner sees it.
type Key struct {
	ID, Name            string
	AAGUID              string // UUID of its model, by its own word unless Attested
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
// until Spend; its zero value is worth nothing for ever.
type Assertion struct {
	Person directory.PersonID
	Key    Key

	whose     string
	challenge []byte
	count     uint32
	backedUp  bool
}

// List names the person's keys, oldest first. A row that is not as it was sealed
// is an error, not a key less: somebody has changed it.
func (k *Keys) List(ctx context.Context, person directory.PersonID) ([]Key, error) {
	rows, err := k.db.Query(ctx, `
		SELECT   `+columns+`
		FROM     passkey
		WHERE    person = $1
		ORDER BY added_at, id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("listing passkeys: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		h, err := k.read(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("listing passkeys: %w", err)
		}
		keys = append(keys, h.key())
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing passkeys: %w", err)
	}
	return keys, nil
}

// Count is how many keys the person has, as in sees it.
func (k *Keys) Count(ctx context.Context, in store.Reader, person directory.PersonID) (int, error) {
	var n int
	if err := in.QueryRow(ctx, `SELECT COUNT(*) FROM passkey WHERE person = $1`, string(person)).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting passkeys: %w", err)
	}
	return n, nil
}

// Rename gives a key another name: ErrNoKey unless the person has it.
func (k *Keys) Rename(ctx context.Context, tx *store.Tx, person directory.PersonID, id, name string) error {
	name, err := properName(name)
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		UPDATE passkey SET name = $1 WHERE id = $2 AND person = $3`, name, id, string(person))
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoKey
	}
	if err != nil {
		return fmt.Errorf("renaming passkey %s: %w", id, err)
	}
	return nil
}

// Remove takes a key away: ErrNoKey unless the person has it.
func (k *Keys) Remove(ctx context.Context, tx *store.Tx, person directory.PersonID, id string) error {
	err := tx.ExecOne(ctx, `DELETE FROM passkey WHERE id = $1 AND person = $2`, id, string(person))
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoKey
	}
	if err != nil {
		return fmt.Errorf("removing passkey %s: %w", id, err)
	}
	return nil
}

// RemoveAll takes all keys of a person away, for those who leave or start over.
// What authenticators know the person by goes too, and with it every enrolment
// that was begun.
func (k *Keys) RemoveAll(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	for _, q := range []string{
		`DELETE FROM passkey WHERE person = $1`,
		`DELETE FROM passkey_user WHERE person = $1`,
	} {
		if _, err := tx.Exec(ctx, q, string(person)); err != nil {
			return fmt.Errorf("removing passkeys: %w", err)
		}
	}
	return nil
}

// properName is the name as kept: NFC, without the spaces around it.
func properName(name string) (string, error) {
	if len(name) > 4*MaxName || !utf8.ValidString(name) {
		return "", ErrName
	}
	name = strings.TrimSpace(norm.NFC.String(name))
	n := utf8.RuneCountInString(name)
	if n < 1 || n > MaxName || strings.ContainsFunc(name, unsightly) {
		return "", ErrName
	}
	return name, nil
}

// unsightly are characters that could make one line of a list look like another:
// controls, and the marks that turn the direction of writing.
func unsightly(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}
