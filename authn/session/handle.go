package session

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"sekisho/policy/secret"
)

// A Kind tells what a cookie stands for. It is the first letter of the handle,
// and part of what its HMAC covers, so that one can never pass for another.
type Kind byte

const (
	KindSession Kind = 's'
	KindFlow    Kind = 'f' // a sign-in under way
	KindBrowser Kind = 'b' // a browser that has signed somebody in
	KindCode    Kind = 'h' // a handover to an application's host
)

// handleBytes is the randomness of a handle: 256 bits (security.md section 4;
// NIST SP 800-63B-4 asks for 64).
const handleBytes = 32

// Handles makes and recognises the opaque values that cookies carry.
type Handles struct{ ring *secret.KeyRing }

// NewHandles keys handles with ring.
func NewHandles(ring *secret.KeyRing) Handles { return Handles{ring} }

// New makes a handle of the given kind: the value for the cookie, and the MAC
// that stands for it wherever it is stored.
func (h Handles) New(k Kind) (cookie, keyID, mac string, err error) {
	keyID = h.ring.CurrentID()
	cookie = keyID + "." + string(k) + secret.Token(handleBytes)
	mac, ok := h.MAC(k, cookie)
	if !ok {
		return "", "", "", secret.ErrUnknownKey
	}
	return cookie, keyID, mac, nil
}

// MAC is what a cookie of the given kind is stored under. It is false for
// anything that is not of that kind and shape, or whose key is gone.
func (h Handles) MAC(k Kind, cookie string) (string, bool) {
	keyID, handle, ok := strings.Cut(cookie, ".")
	const length = 1 + (handleBytes*8+5)/6
	if !ok || keyID == "" || len(handle) != length || handle[0] != byte(k) || len(keyID) > 64 {
		return "", false
	}
	sum, err := h.ring.MAC(keyID, "handle", []byte(handle))
	if err != nil {
		return "", false
	}
	var text [2 * sha256.Size]byte // on the stack: every request comes by here
	return string(hex.AppendEncode(text[:0], sum)), true
}

// KindOf tells what a cookie claims to be, 0 for nothing known.
func KindOf(cookie string) Kind {
	_, handle, ok := strings.Cut(cookie, ".")
	if !ok || handle == "" {
		return 0
	}
	switch k := Kind(handle[0]); k {
	case KindSession, KindFlow, KindBrowser, KindCode:
		return k
	}
	return 0
}

// CSRF is the token that a mutation must carry beside the cookie. It is derived
// from the cookie, so it changes when the handle does and needs no storage.
func (h Handles) CSRF(cookie string) string {
	keyID, handle, ok := strings.Cut(cookie, ".")
	if !ok {
		return ""
	}
	sum, err := h.ring.MAC(keyID, "csrf", []byte(handle))
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// Tag stands for a value that must be recognised again but not read, such as a
// name that leads to nobody. It is keyed, so it cannot be guessed at offline.
func (h Handles) Tag(purpose, value string) []byte {
	sum, err := h.ring.MAC("", "tag/"+purpose, []byte(value))
	if err != nil {
		panic("the key ring has no current key: " + err.Error())
	}
	return sum
}
