// Package recovery keeps the codes that are given in person to somebody who
// has lost a factor.
//
// A code opens the way to a new factor and nothing else. Only its HMAC is kept.
// A person has one at a time; a new one ends the old. It knows neither who may
// give a code out, nor what is told to whom.
package recovery

import (
	"context"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// codeBytes is the randomness of a code: 128 bits (security.md section 4; NIST
// SP 800-63B-4 section 4.2.1.2 asks for 64).
const codeBytes = 16

// ErrWrong means that the code is not the person's, too old, or used.
var ErrWrong = errors.New("the recovery code is wrong")

// Codes are everybody's.
type Codes struct {
	db    *store.DB
	ring  *secret.KeyRing
	now   clock.Now
	rules func() policy.RecoveryRules
}

// New keeps codes in db, their MACs keyed by ring.
func New(db *store.DB, ring *secret.KeyRing, now clock.Now, rules func() policy.RecoveryRules) *Codes {
	return &Codes{db, ring, now, rules}
}

// Crockford's alphabet has no letters that look like one another.
var alphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Issue makes a code for a person in the caller's transaction; an older one is
// dead. by is the login of whoever gives it out, byTwo whether a second person
// has approved it.
func (c *Codes) Issue(ctx context.Context, tx *store.Tx, person directory.PersonID, by string, byTwo bool) (secret.Text, time.Time, error) {
	code := alphabet.EncodeToString(secret.Bytes(codeBytes))
	keyID := c.ring.CurrentID()
	mac, err := c.mac(keyID, person, code)
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	now := c.now()
	ends := now.Add(c.rules().CodeEnd)
	_, err = tx.Exec(ctx, `
		INSERT INTO recovery_code (person_id, key_id, mac, issued_by, issued_at, ends_at, by_two)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (person_id) DO UPDATE
		SET    key_id = excluded.key_id, mac = excluded.mac, issued_by = excluded.issued_by,
		       issued_at = excluded.issued_at, ends_at = excluded.ends_at, by_two = excluded.by_two`,
		string(person), keyID, mac, by, store.Micros(now), store.Micros(ends), byTwo)
	if err != nil {
		return secret.Text{}, time.Time{}, fmt.Errorf("making a recovery code: %w", err)
	}
	return secret.NewText([]byte(grouped(code))), ends, nil
}

// Spend uses a person's code up in the caller's transaction; byTwo takes only one
// that two persons gave. ErrWrong refuses;
// of several that carry the right code at once, the database lets one through.
func (c *Codes) Spend(ctx context.Context, tx *store.Tx, person directory.PersonID, typed string, byTwo bool) error {
	code, ok := plain(typed)
	if !ok {
		return ErrWrong
	}
	var keyID string
	// One that is too old may stand under a key that is gone.
	err := tx.QueryRow(ctx, `SELECT key_id FROM recovery_code WHERE person_id = $1 AND ends_at > $2`,
		string(person), store.Micros(c.now())).Scan(&keyID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrWrong
	}
	if err != nil {
		return fmt.Errorf("reading a recovery code: %w", err)
	}
	mac, err := c.mac(keyID, person, code)
	if err != nil {
		return err
	}
	err = tx.ExecOne(ctx, `
		DELETE FROM recovery_code WHERE person_id = $1 AND mac = $2 AND ends_at > $3 AND by_two >= $4`,
		string(person), mac, store.Micros(c.now()), byTwo)
	if errors.Is(err, store.ErrUntouched) {
		return ErrWrong
	}
	if err != nil {
		return fmt.Errorf("spending a recovery code: %w", err)
	}
	return nil
}

// ByTwo reports whether two persons gave the person's code.
func (c *Codes) ByTwo(ctx context.Context, person directory.PersonID) (bool, error) {
	var n int
	if err := c.db.QueryRow(ctx, `SELECT COUNT(*) FROM recovery_code WHERE person_id = $1 AND by_two = 1`, string(person)).Scan(&n); err != nil {
		return false, fmt.Errorf("reading a recovery code: %w", err)
	}
	return n > 0, nil
}

// Drop ends a person's code, if there is one.
func (c *Codes) Drop(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM recovery_code WHERE person_id = $1`, string(person)); err != nil {
		return fmt.Errorf("ending a recovery code: %w", err)
	}
	return nil
}

// Open reports until when the person's code is good; zero for none.
func (c *Codes) Open(ctx context.Context, person directory.PersonID) (time.Time, error) {
	var ends int64
	err := c.db.QueryRow(ctx, `
		SELECT ends_at FROM recovery_code WHERE person_id = $1 AND ends_at > $2`,
		string(person), store.Micros(c.now())).Scan(&ends)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a recovery code: %w", err)
	}
	return store.FromMicros(ends), nil
}

func (c *Codes) mac(keyID string, person directory.PersonID, code string) ([]byte, error) {
	mac, err := c.ring.MAC(keyID, "recovery", []byte(person), []byte(code))
	if err != nil {
		return nil, fmt.Errorf("recognising a recovery code: %w", err)
	}
	return mac, nil
}

// grouped is a code as it is printed: groups of five with hyphens between.
func grouped(code string) string {
	var groups []string
	for len(code) > 5 {
		groups, code = append(groups, code[:5]), code[5:]
	}
	return strings.Join(append(groups, code), "-")
}

// plain brings a typed code back to its letters. What people confuse is taken
// as what it can only be (O as 0, I and L as 1).
func plain(typed string) (string, bool) {
	if len(typed) > 200 {
		return "", false
	}
	code := strings.Map(func(r rune) rune {
		switch r {
		case '-', ' ', '‐', '−', 'ー':
			return -1
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return r
	}, strings.ToUpper(norm.NFKC.String(typed)))
	raw, err := alphabet.DecodeString(code)
	return code, err == nil && len(raw) == codeBytes
}
