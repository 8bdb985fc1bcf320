// Package oath reads the files that makers of hardware tokens deliver: the
// serial numbers and seeds of a box of OATH tokens, as CSV or as PSKC (RFC 6030).
//
// A file is taken whole or not at all: of a file with faults nothing is
// answered but all of the faults, each with its line. A fault never repeats what
// stands in the file, because that may be a seed.
//
// It knows neither an inventory nor people, reads no clock and keeps nothing.
// Whether a serial is known already, and who gets the token, is for the caller.
package oath

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sekisho/policy/secret"
)

// The algorithms, as in Seed.Algorithm (RFC 6238 section 1.2).
const (
	SHA1   = "SHA1"
	SHA256 = "SHA256"
	SHA512 = "SHA512"
)

// What a file, and a seed in it, may be at most.
const (
	MaxFile  = 1 << 20 // bytes
	MaxSeeds = 20_000  // tokens in a file
	MaxMaker = 64      // code points

	// MinKey is what RFC 4226 section 4, R6, requires of a shared secret, in
	// bytes; MaxKey is the longest that a hash of ours makes use of.
	MinKey = 16
	MaxKey = 64
)

// A Seed is one token as its maker delivers it. The zero Seed is none.
type Seed struct {
	Serial    string // as Serial spells it
	Maker     string // may be empty
	Algorithm string // SHA1, SHA256 or SHA512
	Digits    int    // 6 or 8
	Period    time.Duration
	Key       secret.Text // raw

	// NotBefore and NotAfter bound the use of the key, both inclusive (RFC 6030
	// section 5, StartDate and ExpiryDate). Zero: no bound.
	NotBefore, NotAfter time.Time
}

var serialForm = regexp.MustCompile(`^[0-9A-Z][0-9A-Z._-]{0,63}$`)

// Serial is the one spelling of a serial number, typed or read: NFKC, capitals,
// no space. It is false for what is no serial: 1 to 64 letters, digits, full
// stops, low lines and hyphens, the first a letter or digit. With two spellings
// one token could be in the inventory twice, and given to two people.
func Serial(typed string) (string, bool) {
	// Four bytes a code point, and a space between any two.
	if len(typed) > 512 || !utf8.ValidString(typed) {
		return "", false
	}
	s := FoldSerial(typed)
	return s, serialForm.MatchString(s)
}

// FoldSerial spells a part of a serial number as Serial spells the whole, for
// searching. It does not say whether anything could be called that.
func FoldSerial(typed string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, norm.NFKC.String(typed)))
}

// Check says what makes a seed unusable, for those that no parser of this
// package has made. It does not show the key.
func (s Seed) Check() error {
	canonical, ok := Serial(s.Serial)
	switch n := len(s.Key.Reveal()); {
	case !ok || canonical != s.Serial:
		return errors.New("the seed has no proper serial number")
	case !properMaker(s.Maker):
		return errors.New("the seed's maker has no proper name")
	case !slices.Contains([]string{SHA1, SHA256, SHA512}, s.Algorithm):
		return errors.New("the seed's algorithm is not SHA1, SHA256 or SHA512")
	case s.Digits != 6 && s.Digits != 8:
		return errors.New("the seed's codes have neither 6 nor 8 digits")
	case s.Period != 30*time.Second && s.Period != 60*time.Second:
		return errors.New("the seed's period is neither 30 s nor 60 s")
	case n < MinKey || n > MaxKey:
		return errors.New("the seed's key has not 16 to 64 bytes")
	}
	return nil
}

// A reading collects the seeds of one file and what is wrong with it.
type reading struct {
	seeds  []Seed
	faults []Fault

	serials map[string]int // line of each serial
	keys    map[string]int // line of each key
}

func newReading() *reading {
	return &reading{serials: map[string]int{}, keys: map[string]int{}}
}

// done is the answer of a parser: seeds or faults, never both.
func (r *reading) done() ([]Seed, error) {
	if len(r.faults) == 0 && len(r.seeds) == 0 {
		r.fault(0, "file", "empty",
			"ファイルにトークンがありません。", "There is no token in the file.")
	}
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int { return a.Line - b.Line })
		return nil, &Faults{List: r.faults}
	}
	return r.seeds, nil
}

// fits refuses a file that is too large before anything else is done with it.
func (r *reading) fits(data []byte) bool {
	if len(data) > MaxFile {
		r.fault(0, "file", "too_large",
			"ファイルが1 MiBを超えています。分けて取り込んでください。",
			"The file is larger than 1 MiB. Divide it.")
		return false
	}
	return true
}

func (r *reading) tooMany(line int) {
	r.fault(line, "file", "too_many",
		"一つのファイルで取り込めるのは20,000本までです。分けて取り込んでください。",
		"A file may hold 20,000 tokens. Divide it.")
}

// add takes a seed as far as it could be read. A serial that comes twice is two
// tokens with one name; a key that comes twice is one token with two names, and
// each of two people would hold the other's codes.
func (r *reading) add(line int, s Seed) {
	if first, twice := r.serials[s.Serial]; twice {
		r.fault(line, "serial", "duplicate",
			"製造番号が"+strconv.Itoa(first)+"行目と重なっています。",
			"The serial number is that of line "+strconv.Itoa(first)+" too.")
	} else if s.Serial != "" {
		r.serials[s.Serial] = line
	}
	key := string(s.Key.Reveal())
	if first, twice := r.keys[key]; twice {
		r.fault(line, "seed", "duplicate",
			"シード（秘密鍵）が"+strconv.Itoa(first)+"行目と同じです。",
			"The seed is that of line "+strconv.Itoa(first)+" too.")
	} else if key != "" {
		r.keys[key] = line
	}
	r.seeds = append(r.seeds, s) // done gives none of them out beside a fault
}

// The fields, as both formats write them. Each answers what it read, or notes a
// fault.

func (r *reading) serialOf(line int, text string) string {
	s, ok := Serial(text)
	switch {
	case strings.TrimSpace(text) == "":
		r.missing(line, "serial", "製造番号", "serial number")
	case !ok:
		r.fault(line, "serial", "invalid",
			"製造番号は、英数字と . _ - からなる64文字以内で、先頭は英数字です。",
			"A serial number has 1 to 64 letters, digits and . _ -, and begins with a letter or digit.")
	}
	if !ok {
		return ""
	}
	return s
}

func properMaker(name string) bool {
	return len(name) <= 4*MaxMaker && utf8.ValidString(name) && utf8.RuneCountInString(name) <= MaxMaker &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
		})
}

func (r *reading) makerOf(line int, text string) string {
	name := strings.TrimSpace(norm.NFC.String(text))
	if !properMaker(name) {
		r.fault(line, "manufacturer", "invalid",
			"メーカー名は、制御文字を含まない64文字以内です。",
			"A manufacturer's name has at most 64 characters, none of them a control character.")
	}
	return name
}

// algorithmOf reads SHA1, SHA-256, HMAC-SHA512 and the like. Empty means SHA-1:
// RFC 6238 section 1.2.
func (r *reading) algorithmOf(line int, text string) string {
	s := strings.ToUpper(strings.TrimSpace(text))
	if s == "" {
		return SHA1
	}
	if rest, ok := strings.CutPrefix(s, "HMAC"); ok {
		s = strings.TrimPrefix(rest, "-")
	}
	if rest, ok := strings.CutPrefix(s, "SHA-"); ok {
		s = "SHA" + rest
	}
	switch s {
	case SHA1, SHA256, SHA512:
		return s
	}
	r.fault(line, "algorithm", "invalid",
		"アルゴリズムは SHA1、SHA256、SHA512 のいずれかです。",
		"The algorithm is SHA1, SHA256 or SHA512.")
	return ""
}

// digitsOf reads the length of a code.
func (r *reading) digitsOf(line int, text string) int {
	switch strings.TrimSpace(text) {
	case "6":
		return 6
	case "8":
		return 8
	}
	r.fault(line, "digits", "invalid", "桁数は6か8です。", "A code has 6 or 8 digits.")
	return 0
}

// periodOf reads a time step, in seconds.
func (r *reading) periodOf(line int, text string) time.Duration {
	switch strings.TrimSpace(text) {
	case "30":
		return 30 * time.Second
	case "60":
		return 60 * time.Second
	}
	r.fault(line, "period", "invalid",
		"コードが変わる間隔は30秒か60秒です。", "A code changes every 30 or 60 seconds.")
	return 0
}

func (r *reading) keyOf(line int, key []byte) secret.Text {
	if len(key) < MinKey || len(key) > MaxKey {
		r.fault(line, "seed", "length",
			"シード（秘密鍵）の長さは16〜64バイトです。", "A seed has 16 to 64 bytes.")
		return secret.Text{}
	}
	return secret.NewText(key)
}

func (r *reading) missing(line int, field, ja, en string) {
	r.fault(line, field, "missing", ja+"がありません。", "The "+en+" is missing.")
}
