package totp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"sekisho/authn/totp/oath"
	"sekisho/policy/store"
)

const (
	// ResyncRange is how far from ours a token's clock is looked for, in steps
	// before and after the present one.
	ResyncRange = 100
	// ResyncTries is how many wrong pairs of codes are looked at before
	// ResyncRest must pass.
	ResyncTries = 5
	// ResyncRest is how long after the last wrong pair the count begins anew.
	ResyncRest = time.Hour
)

// ErrResyncHeld says that the token was set wrongly ResyncTries times; it must
// rest for ResyncRest.
var ErrResyncHeld = errors.New("too many wrong codes: the token must rest")

// Resync finds out what a token's clock shows from two codes that it showed one
// after the other, and sets its drift (RFC 6238 section 6). Both codes are spent.
// It serves tokens in stock and assigned ones.
//
// A single code would be guessed too easily in so wide a range: a code of six
// digits is right for one of 201 steps in one of 5,000 tries. Two consecutive
// ones have 200 pairs in the range and so one chance in 5,000,000,000, and
// ResyncTries of them an hour one in a hundred thousand years.
//
// ErrWrong changes nothing but has counted the try in tx, so the caller must
// commit then. ErrResyncHeld, ErrNoToken, ErrTokenState, and ErrReplayed for codes
// that are not both newer than the last one accepted, change nothing that must be
// kept.
func (t *Tokens) Resync(ctx context.Context, tx *store.Tx, serial, first, second string) error {
	serial, ok := oath.Serial(serial)
	if !ok {
		return ErrNoToken
	}
	now := t.now()
	if err := t.reserve(ctx, tx, serial, now); err != nil {
		return err
	}
	var (
		device string
		sealed []byte
		form   Form
		period int64
	)
	err := tx.QueryRow(ctx, `
		SELECT device, seed, algorithm, digits, period FROM otp_token WHERE serial = $1`, serial).
		Scan(&device, &sealed, &form.Algorithm, &form.Digits, &period)
	if err != nil {
		return fmt.Errorf("reading token %s: %w", serial, err)
	}
	form.Period = time.Duration(period) * time.Second
	seed, err := t.ring.Open(tokenPlace(serial), sealed)
	if err != nil {
		return fmt.Errorf("opening the seed of token %s: %w", serial, err)
	}
	step, ok, err := form.pair(seed, first, second, now)
	if err != nil {
		return fmt.Errorf("setting token %s: %w", serial, err)
	}
	if !ok {
		return ErrWrong
	}
	return t.set(ctx, tx, serial, device, step, step+1-form.StepAt(now))
}

// reserve takes a try before the codes are looked at: of parallel guesses no more
// than ResyncTries are ever verified.
func (t *Tokens) reserve(ctx context.Context, tx *store.Tx, serial string, now time.Time) error {
	rested := store.Micros(now.Add(-ResyncRest))
	err := tx.ExecOne(ctx, `
		UPDATE otp_token
		SET    resync_tries = CASE WHEN resync_at <= $1 THEN 1 ELSE resync_tries + 1 END, resync_at = $2
		WHERE  serial = $3 AND state IN ('stock', 'assigned') AND (resync_tries < $4 OR resync_at <= $1)`,
		rested, store.Micros(now), serial, ResyncTries)
	if err == nil {
		return nil
	}
	if !errors.Is(err, store.ErrUntouched) {
		return fmt.Errorf("setting token %s: %w", serial, err)
	}
	found, err := t.Find(ctx, tx, serial)
	if err != nil {
		return err
	}
	if found.State == StateLost {
		return ErrTokenState
	}
	return ErrResyncHeld
}

// pair finds the step of first whose next step is that of second, within
// ResyncRange of the present one. As in Match, all are compared and the latest is
// answered.
func (f Form) pair(seed []byte, first, second string, now time.Time) (step int64, ok bool, err error) {
	first, proper := Normal(first)
	second, also := Normal(second)
	if !proper || !also {
		return 0, false, nil
	}
	at := f.StepAt(now)
	before := "" // the code of the step before; no code is empty
	for s := max(at-ResyncRange, 0); s <= at+ResyncRange; s++ {
		code, err := f.Code(seed, s)
		if err != nil {
			return 0, false, err
		}
		if subtle.ConstantTimeCompare([]byte(before), []byte(first))&subtle.ConstantTimeCompare([]byte(code), []byte(second)) == 1 {
			step, ok = s-1, true
		}
		before = code
	}
	return step, ok, nil
}

// set burns both codes and keeps the drift, in the row that Spend goes by: the
// device's, or the inventory's while there is none. The guard asks that both be
// newer than the last code accepted, and decides between this and a sign-in with
// one of them at the same moment.
func (t *Tokens) set(ctx context.Context, tx *store.Tx, serial, device string, step, drift int64) error {
	var err error
	if device != "" {
		err = tx.ExecOne(ctx, `
			UPDATE totp_device
			SET    last_step = $1, drift = $2, synced = $2
			WHERE  id = $3 AND kind = 'token' AND last_step < $4`, step+1, drift, device, step)
	} else {
		err = tx.ExecOne(ctx, `
			UPDATE otp_token
			SET    last_step = $1, drift = $2, synced = $2
			WHERE  serial = $3 AND device = '' AND last_step < $4`, step+1, drift, serial, step)
	}
	if errors.Is(err, store.ErrUntouched) {
		return ErrReplayed
	}
	if err != nil {
		return fmt.Errorf("setting token %s: %w", serial, err)
	}
	if err := tx.ExecOne(ctx, `UPDATE otp_token SET resync_tries = 0 WHERE serial = $1`, serial); err != nil {
		return fmt.Errorf("setting token %s: %w", serial, err)
	}
	return nil
}
