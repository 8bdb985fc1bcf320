package totp

import (
	"context"
	"errors"
	"fmt"

	"sekisho/authn/totp/oath"
	"sekisho/directory"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// brought are the columns that come back from a token's device row when that
// goes; of a token in stock they stay as they are.
const brought = `
	       last_step    = COALESCE((SELECT d.last_step    FROM totp_device d WHERE d.id = otp_token.device), last_step),
	       drift        = COALESCE((SELECT d.drift        FROM totp_device d WHERE d.id = otp_token.device), drift),
	       synced       = COALESCE((SELECT d.synced       FROM totp_device d WHERE d.id = otp_token.device), synced),
	       last_used_at = COALESCE((SELECT d.last_used_at FROM totp_device d WHERE d.id = otp_token.device), last_used_at),
	       device       = ''`

// toStock takes assigned tokens back, before their device rows are deleted:
// after that nobody knows which codes were spent. The caller adds which.
const toStock = `
	UPDATE otp_token
	SET    state = 'stock', person = '', login = '', name = '', assigned_at = 0,` + brought + `
	WHERE  state = 'assigned'`

// Assign gives a token in stock to a person, whose device it is from then on; it
// counts among MaxDevices. ErrNoToken, ErrTokenState or ErrFull refuse it, and
// the caller must not commit then. Of several that assign one token at once, the
// database lets one through.
//
// Codes that were spent with the token before, by whomever, stay spent.
func (t *Tokens) Assign(ctx context.Context, tx *store.Tx, serial string, p directory.Person) error {
	if p.ID == "" {
		return errors.New("assigning a token: to nobody")
	}
	serial, ok := oath.Serial(serial)
	if !ok {
		return ErrNoToken
	}
	now, id := store.Micros(t.now()), secret.Token(16)
	err := tx.ExecOne(ctx, `
		UPDATE otp_token
		SET    state = 'assigned', person = $1, login = $2, name = $3, device = $4, assigned_at = $5
		WHERE  serial = $6 AND state = 'stock' AND (valid_until = 0 OR valid_until >= $5)`,
		string(p.ID), p.Login, p.Name, id, now, serial)
	if errors.Is(err, store.ErrUntouched) {
		return t.refused(ctx, tx, serial)
	}
	if err != nil {
		return fmt.Errorf("assigning token %s: %w", serial, err)
	}
	var sealed []byte
	if err := tx.QueryRow(ctx, `SELECT seed FROM otp_token WHERE serial = $1`, serial).Scan(&sealed); err != nil {
		return fmt.Errorf("assigning token %s: %w", serial, err)
	}
	seed, err := t.ring.Open(tokenPlace(serial), sealed)
	if err != nil {
		return fmt.Errorf("opening the seed of token %s: %w", serial, err)
	}
	if sealed, err = t.ring.Seal(place(id), seed); err != nil {
		return fmt.Errorf("sealing a TOTP seed: %w", err)
	}
	err = tx.ExecOne(ctx, `
		INSERT INTO totp_device (id, person, name, seed, added_at, confirmed_at, kind, serial,
		       algorithm, digits, period, last_step, drift, synced, valid_from, valid_until)
		SELECT $1, $2, serial, $3, $4, $4, 'token', serial,
		       algorithm, digits, period, last_step, drift, synced, valid_from, valid_until
		FROM   otp_token
		WHERE  serial = $5
		AND    (SELECT COUNT(*) FROM totp_device WHERE person = $2 AND confirmed_at > 0) < $6`,
		id, string(p.ID), sealed, now, serial, t.rules().MaxDevices)
	if errors.Is(err, store.ErrUntouched) {
		return ErrFull
	}
	if err != nil {
		return fmt.Errorf("assigning token %s: %w", serial, err)
	}
	return nil
}

// Unassign takes a token from its owner and puts it back in stock: ErrNoToken, or
// ErrTokenState when it is nobody's.
func (t *Tokens) Unassign(ctx context.Context, tx *store.Tx, serial string) error {
	serial, ok := oath.Serial(serial)
	if !ok {
		return ErrNoToken
	}
	err := tx.ExecOne(ctx, toStock+` AND serial = $1`, serial)
	if errors.Is(err, store.ErrUntouched) {
		return t.refused(ctx, tx, serial)
	}
	if err != nil {
		return fmt.Errorf("taking token %s back: %w", serial, err)
	}
	return t.dropDevice(ctx, tx, serial)
}

// Lose ends a token for good, whoever had it: its device is gone, its seed is
// destroyed, and the row keeps who had it last. ErrNoToken, or ErrTokenState when
// it is lost already.
func (t *Tokens) Lose(ctx context.Context, tx *store.Tx, serial string) error {
	serial, ok := oath.Serial(serial)
	if !ok {
		return ErrNoToken
	}
	err := tx.ExecOne(ctx, `
		UPDATE otp_token
		SET    state = 'lost', seed = '',`+brought+`
		WHERE  serial = $1 AND state IN ('stock', 'assigned')`, serial)
	if errors.Is(err, store.ErrUntouched) {
		return t.refused(ctx, tx, serial)
	}
	if err != nil {
		return fmt.Errorf("ending token %s: %w", serial, err)
	}
	return t.dropDevice(ctx, tx, serial)
}

func (t *Tokens) dropDevice(ctx context.Context, tx *store.Tx, serial string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM totp_device WHERE serial = $1`, serial); err != nil {
		return fmt.Errorf("removing the device of token %s: %w", serial, err)
	}
	return nil
}

// refused says why a guard let nothing through.
func (t *Tokens) refused(ctx context.Context, tx *store.Tx, serial string) error {
	if _, err := t.Find(ctx, tx, serial); err != nil {
		return err
	}
	return ErrTokenState
}
