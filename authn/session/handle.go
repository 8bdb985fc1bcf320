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

	// The handles of OpenID Connect, which no cookie carries.
	KindAuthorization Kind = 'a' // an authorization code
	KindRefresh       Kind = 'r' // a refresh token
	KindRequest       Kind = 'q' // a pushed authorization request

	// KindRemote is a session through network gear, which repeats it to us.
	KindRemote Kind = 'v'
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

// tailChars is the end of a session's handle that says which session it is of, in
// characters of 6 bits. What comes before it, 162 bits, is random at each turn.
const tailChars = 16

// newOf makes a handle of a session, as New does. All handles of one session end
// alike, by a keyed hash that nobody else can make, so that the token of its forms
// goes on where Rotate replaces the handle: another tab that was open meanwhile is
// not refused.
func (h Handles) newOf(session string) (cookie, keyID, mac string, err error) {
	keyID = h.ring.CurrentID()
	sum, err := h.ring.MAC(keyID, "tail", []byte(session))
	if err != nil {
		return "", "", "", err
	}
	tail := base64.RawURLEncoding.EncodeToString(sum)[:tailChars]
	whole := secret.Token(handleBytes)
	cookie = keyID + "." + string(KindSession) + whole[:len(whole)-tailChars] + tail
	mac, ok := h.MAC(KindSession, cookie)
	if !ok {
		return "", "", "", secret.ErrUnknownKey
	}
	return cookie, keyID, mac, nil
}

// MAC is what a cookie of the given kind is stored under. It is false for
// anything that is not of that kind and shape, or whose key is gone.
func (h Handles) MAC(k Kind, cookie string) (string, bool) {
	text, ok := h.mac(k, cookie)
	if !ok {
		return "", false
	}
	return string(text[:]), true
}

// mac is MAC on the stack: every request comes by here.
func (h Handles) mac(k Kind, cookie string) (text [2 * sha256.Size]byte, ok bool) {
	keyID, handle, ok := strings.Cut(cookie, ".")
	const length = 1 + (handleBytes*8+5)/6
	if !ok || keyID == "" || len(handle) != length || handle[0] != byte(k) || len(keyID) > 64 {
		return text, false
	}
	sum, err := h.ring.MACOf(keyID, "handle", handle)
	if err != nil {
		return text, false
	}
	hex.Encode(text[:], sum[:])
	return text, true
}

// KeyOf is the id of the key that a cookie says it was made under.
func KeyOf(cookie string) string {
	id, _, _ := strings.Cut(cookie, ".")
	return id
}

// Newest reports whether a cookie was made under the key that is in use now.
func (h Handles) Newest(cookie string) bool { return KeyOf(cookie) == h.ring.CurrentID() }

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
// from the cookie and needs no storage: of a sign-in under way from all of it, so it
// changes with each step; of a session from what its handles have in common.
func (h Handles) CSRF(cookie string) string {
	keyID, handle, ok := strings.Cut(cookie, ".")
	if !ok {
		return ""
	}
	if len(handle) > tailChars && Kind(handle[0]) == KindSession {
		handle = string(KindSession) + handle[len(handle)-tailChars:]
	}
	return h.csrf(keyID, handle)
}

// csrfOfAll is the token derived from all of a cookie's handle.
func (h Handles) csrfOfAll(cookie string) string {
	keyID, handle, ok := strings.Cut(cookie, ".")
	if !ok {
		return ""
	}
	return h.csrf(keyID, handle)
}

func (h Handles) csrf(keyID, handle string) string {
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
