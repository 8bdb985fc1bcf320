package secret

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

// ErrBusy says that as many hashes are waiting as may wait. Answer 503 with a
// Retry-After, never "wrong password".
var ErrBusy = errors.New("too many passwords are being checked at once")

// A Hasher hashes passwords with Argon2id, no more of them at once than there
// are processors. Without that gate eight callers were measured to take 1 GB
// and to finish fewer per second than one at a time.
//
// With a pepper, what is hashed is not the password but its HMAC under a key
// that is not in the database: a stolen table alone cannot be guessed against.
type Hasher struct {
	// Watch sees each hash asked for and hears how that ended, waiting included.
	// nil: nobody watches. It is set before the first use.
	Watch func(ctx context.Context) (ended func(error))

	params Params
	pepper *KeyRing
	gate   chan struct{}
	most   int64        // callers inside and waiting together
	inside atomic.Int64 // of which these are there now
	salt   []byte       // Dummy's
}

// NewHasher makes a Hasher of the given cost. pepper may be nil. At most queue
// callers wait for their turn; one more is answered ErrBusy at once. Parameters
// out of bounds (Params.Check) are an error of each call.
func NewHasher(p Params, pepper *KeyRing, queue int) *Hasher {
	gates := runtime.GOMAXPROCS(0)
	return &Hasher{
		params: p,
		pepper: pepper,
		gate:   make(chan struct{}, gates),
		most:   int64(gates + max(0, queue)),
		salt:   Bytes(saltLength),
	}
}

// Hash makes the PHC string of a password, with a fresh salt.
func (h *Hasher) Hash(ctx context.Context, pw []byte) (string, error) {
	if len(pw) == 0 {
		return "", errors.New("hashing a password: it is empty")
	}
	out := phc{params: h.params, salt: Bytes(saltLength)}
	if h.pepper != nil {
		out.keyID = h.pepper.CurrentID()
	}
	var err error
	if out.tag, err = h.compute(ctx, out.params, out.keyID, out.salt, pw, tagLength); err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return out.String(), nil
}

// Verify says whether pw is the password of the hash, and whether the hash
// should be made anew because it has other costs or another pepper than this
// Hasher's. The errors are ErrBusy, ErrPHC, ErrUnknownKey and ctx's; none of
// them means that the password was wrong.
func (h *Hasher) Verify(ctx context.Context, hash string, pw []byte) (ok, rehash bool, err error) {
	stored, err := parsePHC(hash)
	if err != nil {
		return false, false, fmt.Errorf("checking a password: %w", err)
	}
	tag, err := h.compute(ctx, stored.params, stored.keyID, stored.salt, pw, len(stored.tag))
	if err != nil {
		return false, false, fmt.Errorf("checking a password: %w", err)
	}
	defer clear(tag)
	if subtle.ConstantTimeCompare(tag, stored.tag) != 1 {
		return false, false, nil
	}
	want := ""
	if h.pepper != nil {
		want = h.pepper.CurrentID()
	}
	rehash = stored.params != h.params || stored.keyID != want ||
		len(stored.salt) != saltLength || len(stored.tag) != tagLength
	return true, rehash, nil
}

// Dummy costs what Verify costs and always means no. Whoever types the name of
// nobody waits as long as whoever types a wrong password, in the same queue.
func (h *Hasher) Dummy(ctx context.Context, pw []byte) error {
	keyID := ""
	if h.pepper != nil {
		keyID = h.pepper.CurrentID()
	}
	tag, err := h.compute(ctx, h.params, keyID, h.salt, pw, tagLength)
	if err != nil {
		return fmt.Errorf("checking nobody's password: %w", err)
	}
	clear(tag)
	return nil
}

// Key is 32 bytes of Argon2id over pw and salt with this Hasher's cost, for
// callers who keep the salt themselves. No pepper is mixed in: the result must
// stay the same when keys are rotated. Fingerprint it with KeyRing.MAC before
// storing it.
func (h *Hasher) Key(ctx context.Context, salt, pw []byte) ([]byte, error) {
	if len(salt) < minSalt {
		return nil, fmt.Errorf("deriving a key: the salt must be at least %d bytes", minSalt)
	}
	key, err := h.compute(ctx, h.params, "", salt, pw, tagLength)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return key, nil
}

// Waiting is how many callers wait for their turn at this moment.
func (h *Hasher) Waiting() int { return max(0, int(h.inside.Load())-len(h.gate)) }

// compute is the only place where Argon2 runs.
func (h *Hasher) compute(ctx context.Context, p Params, keyID string, salt, pw []byte, length int) (tag []byte, err error) {
	if h.Watch != nil {
		ended := h.Watch(ctx)
		defer func() { ended(err) }()
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	if keyID != "" {
		if h.pepper == nil {
			return nil, fmt.Errorf("the pepper %q: %w", keyID, ErrUnknownKey)
		}
		peppered, err := h.pepper.MAC(keyID, "password pepper", pw)
		if err != nil {
			return nil, err
		}
		defer clear(peppered)
		pw = peppered
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return argon2.IDKey(pw, salt, p.Time, p.MemoryKiB, p.Threads, uint32(length)), nil
}

// enter waits for the gate. Once through, a hash is not interrupted.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if h.inside.Add(1) > h.most {
		h.inside.Add(-1)
		return nil, ErrBusy
	}
	select {
	case h.gate <- struct{}{}:
		return func() { <-h.gate; h.inside.Add(-1) }, nil
	case <-ctx.Done():
		h.inside.Add(-1)
		return nil, ctx.Err()
	}
}
