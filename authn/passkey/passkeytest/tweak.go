package passkeytest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
)

// COSE algorithms (RFC 9053, RFC 8812) that keys here are made for.
const (
	ES256 int64 = -7
	EdDSA int64 = -8
	ES384 int64 = -35
	RS256 int64 = -257
)

// A Tweak is one answer about to be given. It comes filled in honestly; a test
// changes it into a lie.
type Tweak struct {
	UP, UV, BE, BS           bool   // flags of the authenticator data (W3C WebAuthn L3 section 6.1)
	Origin, RPID             string // where the browser was, and for whom the key thought it was asked
	CrossOrigin              bool   // the page was in a frame of another's
	TopOrigin                string // of whom; "" is not said
	Challenge                string // base64url, as it was asked
	Type                     string // of the client data
	Alg                      int64  // what is signed with; for a new key, what it is
	Count                    uint32
	CredentialID, UserHandle []byte
	Transports               []string
	BreakSignature           bool

	AAGUID      [16]byte            // of a new key
	Attestation Attestation         // of a new key; nil: None
	PublicKey   func([]byte) []byte // rewrites a new key's COSE key

	// ClientData rewrites the client data before it is signed, as no browser
	// would.
	ClientData func([]byte) []byte
	// Extensions are CBOR to put behind the authenticator data, and
	// ExtensionResults what the browser says of extensions.
	Extensions       []byte
	ExtensionResults map[string]any
}

// The flags of authenticator data.
const (
	presentFlag  = 1 << 0
	verifiedFlag = 1 << 2
	eligibleFlag = 1 << 3
	backedUpFlag = 1 << 4
	attestedFlag = 1 << 6
	extendedFlag = 1 << 7
)

// authenticatorData is the part that all answers have.
func (t Tweak) authenticatorData(flags byte) []byte {
	for flag, set := range map[byte]bool{
		presentFlag: t.UP, verifiedFlag: t.UV, eligibleFlag: t.BE, backedUpFlag: t.BS, extendedFlag: len(t.Extensions) > 0,
	} {
		if set {
			flags |= flag
		}
	}
	rp := sha256.Sum256([]byte(t.RPID))
	return binary.BigEndian.AppendUint32(append(rp[:], flags), t.Count)
}

// clientData is what the browser says, with a member that nobody knows, as
// browsers add one to keep servers from comparing texts.
func (t Tweak) clientData() []byte {
	said := map[string]any{
		"type": t.Type, "challenge": t.Challenge, "origin": t.Origin, "crossOrigin": t.CrossOrigin, "unknownMember": 1,
	}
	if t.TopOrigin != "" {
		said["topOrigin"] = t.TopOrigin
	}
	out, err := json.Marshal(said)
	if err != nil {
		panic(err) // strings and a bool always marshal
	}
	if t.ClientData != nil {
		out = t.ClientData(out)
	}
	return out
}

func (t Tweak) results() map[string]any {
	if t.ExtensionResults == nil {
		return map[string]any{}
	}
	return t.ExtensionResults
}
