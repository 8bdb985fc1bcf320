package totp

import (
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"golang.org/x/text/unicode/norm"
)

// The form of our codes: what every authenticator app speaks (RFC 6238).
const (
	Digits = 6
	Period = 30 * time.Second

	// Skew is how many steps before and after the present one are accepted, at
	// most.
	// One (RFC 6238 section 5.2) lets a code live 90 seconds at most, which is a
	// documented deviation from ASVS 6.5.5.
	Skew = 1

	// SeedSize in bytes: RFC 4226 section 4, R6, recommends 160 bits.
	SeedSize = 20

	// minSeedSize is what the same sentence requires, for seeds made elsewhere.
	minSeedSize = 16
	maxSeedSize = 64
)

// ErrSecret says that a text is no TOTP secret. It does not repeat it.
var ErrSecret = errors.New("not a TOTP secret: base32 of 16 to 64 bytes, without padding")

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// ParseSecret reads a secret as authenticator apps show it: base32 without
// padding, of 16 to 64 bytes. Lower case and spaces between groups are forgiven.
func ParseSecret(s string) ([]byte, error) {
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	seed, err := encoding.DecodeString(s)
	if err != nil || len(seed) < minSeedSize || len(seed) > maxSeedSize {
		return nil, ErrSecret
	}
	// Left-over bits must be zero, or two texts would be one secret.
	if encoding.EncodeToString(seed) != s {
		return nil, ErrSecret
	}
	return seed, nil
}

// FormatSecret is the other way round.
func FormatSecret(seed []byte) string { return encoding.EncodeToString(seed) }

// Normal brings a typed code to six ASCII digits: full-width digits are folded,
// spaces dropped. It is false for anything else.
func Normal(typed string) (string, bool) {
	// A code with spaces is short; more than this is not one.
	if len(typed) > 64 {
		return "", false
	}
	code := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, norm.NFKC.String(typed))
	if len(code) != Digits {
		return "", false
	}
	for _, r := range code {
		if r < '0' || r > '9' {
			return "", false
		}
	}
	return code, true
}

// StepAt is the time step that t lies in (RFC 6238 section 4.2, T0 = 0).
func StepAt(t time.Time) int64 {
	sec, period := t.Unix(), int64(Period/time.Second)
	step := sec / period
	if sec%period < 0 {
		step--
	}
	return step
}

// Code is the code of a step.
func Code(seed []byte, step int64) (string, error) {
	if step < 0 {
		return "", fmt.Errorf("computing a code: the step lies before 1970")
	}
	code, err := hotp.GenerateCodeCustom(FormatSecret(seed), uint64(step), hotp.ValidateOpts{
		Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return "", fmt.Errorf("computing a code: %w", err)
	}
	return code, nil
}

// Match finds the step whose code was typed, among the present one and skew
// on either side. All are computed and compared in constant time whichever matches.
// Should one code belong to two of them, the later is answered: burning it burns
// both.
func Match(seed []byte, code string, now time.Time, skew int) (step int64, ok bool, err error) {
	at := StepAt(now)
	for s := at - int64(skew); s <= at+int64(skew); s++ {
		if s < 0 {
			continue
		}
		want, err := Code(seed, s)
		if err != nil {
			return 0, false, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok, nil
}
