package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are the cost of one Argon2id hash (RFC 9106): memory in KiB, passes
// over it, and lanes.
type Params struct {
	MemoryKiB, Time uint32
	Threads         uint8
}

// DefaultParams is 64 MiB, two passes, one lane: above the floor of OWASP ASVS
// 5.0 (46 MiB, one pass), about 60 ms on one core.
var DefaultParams = Params{MemoryKiB: 64 << 10, Time: 2, Threads: 1}

// Bounds within which a hash is computed at all. They are there because the
// parameters of a stored hash are read from the hash: whoever could write one
// row must not be able to make us fill the memory.
const (
	maxMemoryKiB = 256 << 10
	maxTime      = 16
	maxThreads   = 16

	saltLength = 16
	tagLength  = 32
	minSalt    = 8
	maxSalt    = 64
	minTag     = 16
	maxTag     = 64
	maxPHC     = 512
)

// Check says whether a hash may cost this much: 8 KiB a lane to 256 MiB, 1 to
// 16 passes, 1 to 16 lanes.
func (p Params) Check() error {
	switch {
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("argon2id lanes must be 1 to %d, not %d", maxThreads, p.Threads)
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("argon2id passes must be 1 to %d, not %d", maxTime, p.Time)
	case p.MemoryKiB < 8*uint32(p.Threads) || p.MemoryKiB > maxMemoryKiB:
		return fmt.Errorf("argon2id memory must be %d to %d KiB, not %d", 8*uint32(p.Threads), maxMemoryKiB, p.MemoryKiB)
	}
	return nil
}

// ErrPHC says that a stored hash is not one we can check: another scheme, a
// broken string, or costs out of bounds.
var ErrPHC = errors.New("not a usable argon2id hash")

// A phc is a hash in the PHC string format:
//
//	$argon2id$v=19$m=65536,t=2,p=1,keyid=BASE64$SALT$TAG
//
// keyid is the id of the pepper's key, left out when there is no pepper.
type phc struct {
	params    Params
	keyID     string
	salt, tag []byte
}

var b64 = base64.RawStdEncoding.Strict()

func (h phc) String() string {
	s := fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d", argon2.Version, h.params.MemoryKiB, h.params.Time, h.params.Threads)
	if h.keyID != "" {
		s += ",keyid=" + b64.EncodeToString([]byte(h.keyID))
	}
	return s + "$" + b64.EncodeToString(h.salt) + "$" + b64.EncodeToString(h.tag)
}

// parsePHC takes exactly what String writes: one spelling, parameters in their
// order, numbers without leading zeros.
func parsePHC(s string) (phc, error) {
	if len(s) > maxPHC {
		return phc{}, fmt.Errorf("%w: longer than %d bytes", ErrPHC, maxPHC)
	}
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, fmt.Errorf("%w: want $argon2id$v=%d$…", ErrPHC, argon2.Version)
	}
	var h phc
	list := strings.Split(f[3], ",")
	if len(list) != 3 && len(list) != 4 {
		return phc{}, fmt.Errorf("%w: want m, t, p and at most a keyid", ErrPHC)
	}
	var n [3]uint32
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(list[i], name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != digits {
			return phc{}, fmt.Errorf("%w: bad parameter %s", ErrPHC, name)
		}
		n[i] = uint32(v)
	}
	if n[2] > maxThreads {
		return phc{}, fmt.Errorf("%w: too many lanes", ErrPHC)
	}
	h.params = Params{MemoryKiB: n[0], Time: n[1], Threads: uint8(n[2])}
	if err := h.params.Check(); err != nil {
		return phc{}, fmt.Errorf("%w: %w", ErrPHC, err)
	}
	if len(list) == 4 {
		id, ok := strings.CutPrefix(list[3], "keyid=")
		raw, err := b64.DecodeString(id)
		if !ok || err != nil || !keyID.Match(raw) {
			return phc{}, fmt.Errorf("%w: bad keyid", ErrPHC)
		}
		h.keyID = string(raw)
	}
	var err error
	if h.salt, err = decodeSized(f[4], minSalt, maxSalt); err != nil {
		return phc{}, fmt.Errorf("%w: bad salt", ErrPHC)
	}
	if h.tag, err = decodeSized(f[5], minTag, maxTag); err != nil {
		return phc{}, fmt.Errorf("%w: bad tag", ErrPHC)
	}
	return h, nil
}

func decodeSized(s string, least, most int) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") { // which the decoder would skip
		return nil, errors.New("line break")
	}
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil, err
	}
	if len(b) < least || len(b) > most {
		return nil, fmt.Errorf("%d bytes", len(b))
	}
	return b, nil
}
