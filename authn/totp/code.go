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

	"sekisho/authn/totp/oath"
)

// The form of an app's codes: what every authenticator app speaks (RFC 6238).
const (
	Digits = 6
	Period = 30 * time.Second

	// Skew is how many steps before and after the present one are accepted, at
	// most. One (RFC 6238 section 5.2) lets a code of an app live 90 seconds at
	// most, which is a documented deviation from ASVS 6.5.5.
	Skew = 1

	// SeedSize in bytes: RFC 4226 section 4, R6, recommends 160 bits.
	SeedSize = 20

	// minSeedSize is what the same sentence requires, for seeds made elsewhere.
	minSeedSize = oath.MinKey
	maxSeedSize = oath.MaxKey
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

// Normal brings a typed code to ASCII digits, six as apps show them or eight as
// some tokens do: full-width digits are folded, spaces dropped. It is false for
// anything else.
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
	if len(code) != 6 && len(code) != 8 {
		return "", false
	}
	for _, r := range code {
		if r < '0' || r > '9' {
			return "", false
		}
	}
	return code, true
}

// A Form is how a device makes its codes. The zero Form makes none.
type Form struct {
	Algorithm string        // oath.SHA1, oath.SHA256 or oath.SHA512
	Digits    int           // 6 or 8
	Period    time.Duration // whole seconds
}

// app is the form of every authenticator app, and of the seeds made here.
var app = Form{Algorithm: oath.SHA1, Digits: Digits, Period: Period}

// StepAt is the time step that t lies in (RFC 6238 section 4.2, T0 = 0). A Form
// without a period has no steps, only -1, which has no code.
func (f Form) StepAt(t time.Time) int64 {
	sec, period := t.Unix(), int64(f.Period/time.Second)
	if period <= 0 {
		return -1
	}
	step := sec / period
	if sec%period < 0 {
		step--
	}
	return step
}

// Code is the code of a step.
func (f Form) Code(seed []byte, step int64) (string, error) {
	if step < 0 {
		return "", fmt.Errorf("computing a code: the step lies before 1970")
	}
	opts := hotp.ValidateOpts{Digits: otp.Digits(f.Digits)}
	switch f.Algorithm {
	case oath.SHA1:
		opts.Algorithm = otp.AlgorithmSHA1
	case oath.SHA256:
		opts.Algorithm = otp.AlgorithmSHA256
	case oath.SHA512:
		opts.Algorithm = otp.AlgorithmSHA512
	default:
		return "", fmt.Errorf("computing a code: the algorithm %q is not known", f.Algorithm)
	}
	if f.Digits != 6 && f.Digits != 8 {
		return "", fmt.Errorf("computing a code: it cannot have %d digits", f.Digits)
	}
	code, err := hotp.GenerateCodeCustom(FormatSecret(seed), uint64(step), opts)
	if err != nil {
		return "", fmt.Errorf("computing a code: %w", err)
	}
	return code, nil
}

// Match finds the step whose code was typed, among the present one of a clock
// that is drift steps ahead of ours, and skew on either side. All are computed
// and compared in constant time whichever matches. Should one code belong to two
// of them, the later is answered: burning it burns both.
func (f Form) Match(seed []byte, code string, now time.Time, drift int64, skew int) (step int64, ok bool, err error) {
	at := f.StepAt(now) + drift
	for s := at - int64(skew); s <= at+int64(skew); s++ {
		if s < 0 {
			continue
		}
		want, err := f.Code(seed, s)
		if err != nil {
			return 0, false, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok, nil
}

// StepAt is an app's.
func StepAt(t time.Time) int64 { return app.StepAt(t) }

// Code is an app's.
func Code(seed []byte, step int64) (string, error) { return app.Code(seed, step) }

// Match is an app's; the clocks of phones are set from outside and do not drift.
func Match(seed []byte, code string, now time.Time, skew int) (step int64, ok bool, err error) {
	return app.Match(seed, code, now, 0, skew)
}
