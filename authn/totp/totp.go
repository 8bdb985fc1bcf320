// Package totp keeps the authenticator apps and the hardware tokens of people,
// and the inventory of tokens: time-based one-time passwords, RFC 6238.
//
// It does not slow guessing down (lockout does, and reserves the try before this
// package is asked), it does not know which factor a sign-in needs, and it writes
// no trail: the caller does, in the transaction it hands in.
//
// What it promises:
//
//   - A code is accepted once, on one machine or on fifty: its time step is
//     burnt by a guarded UPDATE, and a step older than the last accepted one is
//     never accepted again (RFC 6238 section 5.2). A clock set back makes codes
//     wrong until it has caught up; it does not make old ones right.
//   - A seed is readable only while it is being enrolled. At rest it is sealed
//     to its row; moved to another row it does not open.
//   - An enrolment is used once, however many requests carry it.
//   - A token is one person's at a time, and one that was lost is nobody's ever
//     again. What was spent while somebody had it stays spent for the next.
//   - A token's clock is followed, step by step and not far; the window of codes
//     that are accepted moves with it and never widens.
package totp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// What holds where the policy has no number of its own.
const (
	// EnrolmentEnd is how long a seed may be confirmed after it was shown.
	EnrolmentEnd = 10 * time.Minute
	// MaxDevices is how many devices one person can have, tokens among them.
	MaxDevices = 10
)

const (
	// EnrolmentTries is how many wrong codes end an enrolment.
	EnrolmentTries = 5
	// MaxPending is how many enrolments of one person stand at once; a further
	// one takes the place of the oldest.
	MaxPending = 3
	// MaxName is the longest name of a device, in code points.
	MaxName = 64
)

var (
	// ErrWrong says that the code belongs to no device of the person.
	ErrWrong = errors.New("the code is wrong")
	// ErrReplayed says that the code was right and has been used. Whoever is
	// refused must not learn the difference; the trail should.
	ErrReplayed = errors.New("the code has been used")
	// ErrNoEnrolment says that no enrolment of this person with this id can be
	// confirmed: there was none, it ended, or it has been confirmed.
	ErrNoEnrolment = errors.New("no such enrolment")
	// ErrNoDevice says that the person has no such device.
	ErrNoDevice = errors.New("no such device")
	// ErrFull says that the person has as many devices as are allowed.
	ErrFull = errors.New("too many devices")
	// ErrName says that a device cannot be called that.
	ErrName = errors.New("a device's name has 1 to 64 characters, none of them a control character")
)

// The kinds of a device.
const (
	KindApp   = "totp"
	KindToken = "token"
)

// Devices are the TOTP devices of everybody, apps and tokens.
type Devices struct {
	db    *store.DB
	ring  *secret.KeyRing
	now   clock.Now
	rules func() policy.TOTPRules
}

// New makes Devices under the numbers of this package.
func New(db *store.DB, ring *secret.KeyRing, now clock.Now) *Devices {
	return NewUnder(db, ring, now, func() policy.TOTPRules { return policy.TOTPRules{Skew: Skew} })
}

// NewUnder makes Devices that obey the policy in force: rules is asked at every
// use. A zero EnrolmentEnd or MaxDevices means this package's; Skew is taken as
// it is, and never above this package's.
func NewUnder(db *store.DB, ring *secret.KeyRing, now clock.Now, rules func() policy.TOTPRules) *Devices {
	return &Devices{db: db, ring: ring, now: now, rules: bounded(rules)}
}

// bounded puts this package's numbers where the policy has none.
func bounded(rules func() policy.TOTPRules) func() policy.TOTPRules {
	return func() policy.TOTPRules {
		r := rules()
		r.Skew = min(max(r.Skew, 0), Skew)
		if r.EnrolmentEnd <= 0 {
			r.EnrolmentEnd = EnrolmentEnd
		}
		if r.MaxDevices <= 0 {
			r.MaxDevices = MaxDevices
		}
		return r
	}
}

// A Device is one that has been confirmed, or assigned.
type Device struct {
	ID, Name            string
	Kind                string    // KindApp or KindToken
	Serial              string    // of a token
	AddedAt, LastUsedAt time.Time // zero LastUsedAt: not used since it was added
}

// List names the person's devices, oldest first.
func (d *Devices) List(ctx context.Context, person directory.PersonID) ([]Device, error) {
	rows, err := d.db.Query(ctx, `
		SELECT   id, name, kind, serial, confirmed_at, last_used_at
		FROM     totp_device
		WHERE    person = $1 AND confirmed_at > 0
		ORDER BY confirmed_at, id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("listing TOTP devices: %w", err)
	}
	defer rows.Close()
	var devices []Device
	for rows.Next() {
		var one Device
		var added, used int64
		if err := rows.Scan(&one.ID, &one.Name, &one.Kind, &one.Serial, &added, &used); err != nil {
			return nil, fmt.Errorf("listing TOTP devices: %w", err)
		}
		one.AddedAt, one.LastUsedAt = store.FromMicros(added), store.FromMicros(used)
		devices = append(devices, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing TOTP devices: %w", err)
	}
	return devices, nil
}

// Count is how many devices the person has, as tx sees it.
func (d *Devices) Count(ctx context.Context, tx *store.Tx, person directory.PersonID) (int, error) {
	var n int
	err := tx.QueryRow(ctx, `
		SELECT COUNT(*) FROM totp_device WHERE person = $1 AND confirmed_at > 0`, string(person)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting TOTP devices: %w", err)
	}
	return n, nil
}

// Spend accepts a code of any of the person's devices, once, and answers which.
// ErrWrong or ErrReplayed refuse it. The code is spent when tx commits.
func (d *Devices) Spend(ctx context.Context, tx *store.Tx, person directory.PersonID, typed string) (string, error) {
	code, ok := Normal(typed)
	if !ok {
		return "", ErrWrong
	}
	now, skew := d.now(), d.rules().Skew
	held, err := d.held(ctx, tx, person, now)
	if err != nil {
		return "", err
	}
	// Every device is asked, so that the time does not tell which one matched.
	var matches []match
	for _, h := range held {
		step, ok, err := h.form.Match(h.seed, code, now, h.drift, skew)
		if err != nil {
			return "", fmt.Errorf("checking a code: %w", err)
		}
		if ok {
			matches = append(matches, match{id: h.id, step: step, drift: h.follow(step - h.form.StepAt(now))})
		}
	}
	if len(matches) == 0 {
		return "", ErrWrong
	}
	// One seed can stand in two rows (imported, say). Its code is burnt in both
	// and is worth nothing if either has seen it, or it could be used twice.
	for _, m := range matches {
		if err := spend(ctx, tx, m, now); err != nil {
			return "", err
		}
	}
	return matches[0].id, nil
}

type match struct {
	id    string
	step  int64
	drift int64 // to be kept from now on
}

// spend burns a time step. The guard is in the WHERE clause because two requests
// carrying the same code can race, and only the database sees both.
func spend(ctx context.Context, tx *store.Tx, m match, now time.Time) error {
	err := tx.ExecOne(ctx, `
		UPDATE totp_device
		SET    last_step = $1, last_used_at = $2, drift = $3
		WHERE  id = $4 AND confirmed_at > 0 AND last_step < $1`, m.step, store.Micros(now), m.drift, m.id)
	if errors.Is(err, store.ErrUntouched) {
		return ErrReplayed
	}
	if err != nil {
		return fmt.Errorf("spending a code: %w", err)
	}
	return nil
}

// A heldDevice is one whose codes are good now, with its seed open.
type heldDevice struct {
	id, kind      string
	seed          []byte
	form          Form
	drift, synced int64
}

// MaxFollow is how far the codes of sign-ins move a token's drift from where two
// codes last set it, in steps. It is ten minutes of 30-second steps, what quartz
// of 20 ppm loses in a year; one that is worse should be seen by an administrator
// (Tokens.Resync).
const MaxFollow = 20

// follow is the drift to keep once a code was accepted that seen steps ahead of
// our clock. Hardware clocks run away, and a token that is used follows its own
// (RFC 6238 section 6), one step for a code at most and MaxFollow in all: codes
// typed slowly must not lead the window astray. An app has the phone's clock,
// which is set from outside.
func (h heldDevice) follow(seen int64) int64 {
	if h.kind != KindToken {
		return h.drift
	}
	next := h.drift + min(max(seen-h.drift, -1), 1)
	return min(max(next, h.synced-MaxFollow), h.synced+MaxFollow)
}

// held opens the seeds of the person's devices. A token outside the dates its
// maker gave it is none (RFC 6030 section 5).
func (d *Devices) held(ctx context.Context, tx *store.Tx, person directory.PersonID, now time.Time) ([]heldDevice, error) {
	rows, err := tx.Query(ctx, `
		SELECT   id, kind, seed, algorithm, digits, period, drift, synced
		FROM     totp_device
		WHERE    person = $1 AND confirmed_at > 0
		AND      valid_from <= $2 AND (valid_until = 0 OR valid_until >= $2)
		ORDER BY confirmed_at, id`, string(person), store.Micros(now))
	if err != nil {
		return nil, fmt.Errorf("reading TOTP devices: %w", err)
	}
	defer rows.Close()
	var held []heldDevice
	for rows.Next() {
		var h heldDevice
		var sealed []byte
		var period int64
		if err := rows.Scan(&h.id, &h.kind, &sealed, &h.form.Algorithm, &h.form.Digits, &period, &h.drift, &h.synced); err != nil {
			return nil, fmt.Errorf("reading TOTP devices: %w", err)
		}
		h.form.Period = time.Duration(period) * time.Second
		if h.seed, err = d.ring.Open(place(h.id), sealed); err != nil {
			return nil, fmt.Errorf("opening the seed of TOTP device %s: %w", h.id, err)
		}
		held = append(held, h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading TOTP devices: %w", err)
	}
	return held, nil
}

// Remove takes a device away: ErrNoDevice unless the person has it, and the
// caller must not commit then. Its seed is gone with the row.
//
// A token goes back to stock. That says only that nobody has it on record: its
// former owner may still hold it in the hand, and whoever assigns it next gives
// it over in person and so sees that it is there.
func (d *Devices) Remove(ctx context.Context, tx *store.Tx, person directory.PersonID, id string) error {
	if _, err := tx.Exec(ctx, toStock+` AND device = $1 AND person = $2`, id, string(person)); err != nil {
		return fmt.Errorf("putting a token back: %w", err)
	}
	err := tx.ExecOne(ctx, `
		DELETE FROM totp_device
		WHERE  id = $1 AND person = $2 AND confirmed_at > 0`, id, string(person))
	if errors.Is(err, store.ErrUntouched) {
		return ErrNoDevice
	}
	if err != nil {
		return fmt.Errorf("removing TOTP device %s: %w", id, err)
	}
	return nil
}

// RemoveAll takes all devices and enrolments of a person away, for those who
// leave or start over. Their tokens go back to stock, as with Remove.
func (d *Devices) RemoveAll(ctx context.Context, tx *store.Tx, person directory.PersonID) error {
	if _, err := tx.Exec(ctx, toStock+` AND person = $1`, string(person)); err != nil {
		return fmt.Errorf("putting tokens back: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM totp_device WHERE person = $1`, string(person)); err != nil {
		return fmt.Errorf("removing TOTP devices: %w", err)
	}
	return nil
}

// Import adds a confirmed device with a seed made elsewhere: ErrSecret, ErrName
// or ErrFull refuse it.
func (d *Devices) Import(ctx context.Context, tx *store.Tx, person directory.PersonID, secretBase32, name string) error {
	seed, err := ParseSecret(secretBase32)
	if err != nil {
		return err
	}
	if name, err = properName(name); err != nil {
		return err
	}
	id := secret.Token(16)
	sealed, err := d.ring.Seal(place(id), seed)
	if err != nil {
		return fmt.Errorf("sealing a TOTP seed: %w", err)
	}
	now := store.Micros(d.now())
	err = tx.ExecOne(ctx, `
		INSERT INTO totp_device (id, person, name, seed, added_at, confirmed_at)
		SELECT $1, $2, $3, $4, $5, $5
		WHERE  (SELECT COUNT(*) FROM totp_device WHERE person = $2 AND confirmed_at > 0) < $6`,
		id, string(person), name, sealed, now, d.rules().MaxDevices)
	if errors.Is(err, store.ErrUntouched) {
		return ErrFull
	}
	if err != nil {
		return fmt.Errorf("importing a TOTP device: %w", err)
	}
	return nil
}

// place binds a sealed seed to its row.
func place(id string) secret.Place {
	return secret.Place{Table: "totp_device", Column: "seed", Row: id}
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
