package totp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"sekisho/directory"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// The sides of a QR picture, in pixels.
const (
	MinQR = 160
	MaxQR = 1024
)

// An Enrolment is a seed on its way to a person's app. It is shown once and
// cannot be asked for again.
type Enrolment struct {
	ID     string
	Secret secret.Text // base32 without padding, to be typed
	URI    secret.Text // otpauth://totp/…, to be opened
	EndsAt time.Time

	// QR draws the URI as a PNG of size × size pixels, MinQR to MaxQR. It can
	// be scanned by whoever sees it: never cache it.
	QR func(size int) ([]byte, error)
}

// Begin makes a seed for the person and keeps it, unconfirmed, for the EnrolmentEnd in force.
// The app shows the code under issuer and label. ErrFull when the person can have
// no more devices.
func (d *Devices) Begin(ctx context.Context, person directory.PersonID, label, issuer string) (Enrolment, error) {
	seed := secret.Bytes(SeedSize)
	// The colon divides issuer and account in the label, so neither may hold it.
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: strings.ReplaceAll(issuer, ":", " "), AccountName: strings.ReplaceAll(label, ":", " "),
		Secret: seed, Period: uint(Period / time.Second), Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return Enrolment{}, fmt.Errorf("writing the otpauth URI: %w", err)
	}
	id := secret.Token(16)
	sealed, err := d.ring.Seal(place(id), seed)
	if err != nil {
		return Enrolment{}, fmt.Errorf("sealing a TOTP seed: %w", err)
	}
	now := d.now()
	rules := d.rules()
	ends := now.Add(rules.EnrolmentEnd)
	err = d.db.WithTx(ctx, func(tx *store.Tx) error {
		var devices int
		if err := tx.QueryRow(ctx, `
			SELECT COUNT(*) FROM totp_device WHERE person = $1 AND confirmed_at > 0`, string(person)).Scan(&devices); err != nil {
			return err
		}
		if devices >= rules.MaxDevices {
			return ErrFull
		}
		// What has ended is swept here, whoever left it; Confirm refuses it
		// either way.
		if _, err := tx.Exec(ctx, `
			DELETE FROM totp_device WHERE confirmed_at = 0 AND ends_at <= $1`, store.Micros(now)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			DELETE FROM totp_device
			WHERE  person = $1 AND confirmed_at = 0 AND id NOT IN (
				SELECT   id
				FROM     totp_device
				WHERE    person = $1 AND confirmed_at = 0
				ORDER BY added_at DESC, id DESC
				LIMIT    $2)`, string(person), MaxPending-1); err != nil {
			return err
		}
		return tx.ExecOne(ctx, `
			INSERT INTO totp_device (id, person, seed, added_at, ends_at)
			VALUES ($1, $2, $3, $4, $5)`,
			id, string(person), sealed, store.Micros(now), store.Micros(ends))
	})
	if errors.Is(err, ErrFull) {
		return Enrolment{}, ErrFull
	}
	if err != nil {
		return Enrolment{}, fmt.Errorf("beginning a TOTP enrolment: %w", err)
	}
	return Enrolment{
		ID:     id,
		Secret: secret.NewText([]byte(FormatSecret(seed))),
		URI:    secret.NewText([]byte(key.URL())),
		EndsAt: ends,
		QR:     func(size int) ([]byte, error) { return picture(key, size) },
	}, nil
}

// Confirm turns an enrolment into a device once a code shows that the seed has
// arrived. That code is spent: it cannot sign in as well.
//
// ErrWrong leaves the enrolment standing and has counted the try in tx, so the
// caller must commit then; after EnrolmentTries of them, or its end, or a
// confirmation, it is ErrNoEnrolment. ErrName and ErrFull change nothing.
func (d *Devices) Confirm(ctx context.Context, tx *store.Tx, person directory.PersonID, id, typed, name string) error {
	name, err := properName(name)
	if err != nil {
		return err
	}
	now := d.now()

	// The try is taken before the code is looked at: of parallel guesses no more
	// than EnrolmentTries are ever verified.
	var sealed []byte
	if err := tx.ExecOne(ctx, `
		UPDATE totp_device
		SET    tries = tries + 1
		WHERE  id = $1 AND person = $2 AND confirmed_at = 0 AND ends_at > $3 AND tries < $4`,
		id, string(person), store.Micros(now), EnrolmentTries); err != nil {
		if errors.Is(err, store.ErrUntouched) {
			return ErrNoEnrolment
		}
		return fmt.Errorf("confirming a TOTP enrolment: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT seed FROM totp_device WHERE id = $1`, id).Scan(&sealed); err != nil {
		return fmt.Errorf("confirming a TOTP enrolment: %w", err)
	}
	seed, err := d.ring.Open(place(id), sealed)
	if err != nil {
		return fmt.Errorf("opening the seed of TOTP enrolment %s: %w", id, err)
	}
	code, ok := Normal(typed)
	if !ok {
		return ErrWrong
	}
	step, ok, err := Match(seed, code, now, d.rules().Skew)
	if err != nil {
		return fmt.Errorf("confirming a TOTP enrolment: %w", err)
	}
	if !ok {
		return ErrWrong
	}
	// Guarded again although the row was just held: this line alone makes the
	// enrolment single-use, whatever is changed above.
	err = tx.ExecOne(ctx, `
		UPDATE totp_device
		SET    confirmed_at = $1, last_step = $2, name = $3, ends_at = 0, tries = 0
		WHERE  id = $4 AND person = $5 AND confirmed_at = 0
		AND    (SELECT COUNT(*) FROM totp_device WHERE person = $5 AND confirmed_at > 0) < $6`,
		store.Micros(now), step, name, id, string(person), d.rules().MaxDevices)
	if errors.Is(err, store.ErrUntouched) {
		return ErrFull
	}
	if err != nil {
		return fmt.Errorf("confirming a TOTP enrolment: %w", err)
	}
	return nil
}

// picture draws a key with the white margin that scanners need around a QR code:
// the page behind it may be dark.
func picture(key *otp.Key, size int) ([]byte, error) {
	if size < MinQR || size > MaxQR {
		return nil, fmt.Errorf("drawing a QR code: %d pixels are not between %d and %d", size, MinQR, MaxQR)
	}
	margin := size / 12
	code, err := key.Image(size-2*margin, size-2*margin)
	if err != nil {
		return nil, fmt.Errorf("drawing a QR code: %w", err)
	}
	canvas := image.NewPaletted(image.Rect(0, 0, size, size), color.Palette{color.White, color.Black})
	draw.Draw(canvas, code.Bounds().Add(image.Pt(margin, margin)), code, code.Bounds().Min, draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, canvas); err != nil {
		return nil, fmt.Errorf("drawing a QR code: %w", err)
	}
	return out.Bytes(), nil
}
