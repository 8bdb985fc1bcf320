package passkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
)

// maxAnswer is the most a browser's answer may weigh. The largest are
// attestations of TPMs with their chains, below 12 KiB.
const maxAnswer = 32 << 10

// The purposes that tie a challenge to its ceremony.
const (
	forEnrolment = "passkey.enrol"
	forSignIn    = "passkey.sign_in"
)

// wellFormed refuses what is no answer before the library looks at it.
func wellFormed(answer []byte) error {
	if len(answer) > maxAnswer || !utf8.Valid(answer) {
		return wrong(whyMalformed)
	}
	return nil
}

// A said is what the browser says of a ceremony (W3C WebAuthn L3 section 5.8.1).
// The key signs a hash of it, and no page can write it.
type said struct {
	challenge []byte
	origin    string
	crossed   bool // asked for inside another page
}

// readSaid takes the browser's words apart. Names are taken as they are spelt; the
// library takes them in any case, and it has to find the same.
func readSaid(clientData []byte, want protocol.CeremonyType) (said, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(clientData, &fields); err != nil {
		return said{}, wrong(whyMalformed)
	}
	var s said
	var kind, challenge string
	for name, to := range map[string]any{"type": &kind, "challenge": &challenge, "origin": &s.origin, "crossOrigin": &s.crossed} {
		raw, there := fields[name]
		if !there && name == "crossOrigin" {
			continue // browsers before Level 3 leave a false one out
		}
		if json.Unmarshal(raw, to) != nil {
			return said{}, wrong(whyMalformed)
		}
	}
	if kind != string(want) {
		return said{}, wrong(whyWrongType)
	}
	var err error
	if s.challenge, err = base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil {
		return said{}, wrong(whyMalformed)
	}
	if _, there := fields["topOrigin"]; there {
		s.crossed = true // said of frames alone
	}
	return s, nil
}

// checkPlace refuses an answer that was not given at our own address: an exact
// list, no frame in anybody's page.
func (k *Keys) checkPlace(s said) error {
	switch {
	case !slices.Contains(k.rp.Origins, s.origin):
		return wrong(whyWrongOrigin)
	case s.crossed:
		return wrong(whyCrossOrigin)
	}
	return nil
}

// checkAuthenticator refuses what the key says of the moment it was used. The
// library looks at UV only where the session it is handed asks for it, and at UP
// only outside of conditional mediation; here nothing is asked.
func (k *Keys) checkAuthenticator(d protocol.AuthenticatorData) error {
	switch {
	case !bytes.Equal(d.RPIDHash, k.rpHash[:]):
		return wrong(whyWrongRP)
	case !d.Flags.HasUserPresent():
		return wrong(whyNoPresence)
	case !d.Flags.HasUserVerified():
		return wrong(whyNoVerification)
	case d.Flags.HasBackupState() && !d.Flags.HasBackupEligible():
		return wrong(whyBackupFlags) // W3C WebAuthn L3 section 6.1.3
	}
	return nil
}

// checkChallenge refuses a challenge that is not ours, not for this, not for this
// holder, or too old.
func (k *Keys) checkChallenge(is error, purpose, whose string, challenge []byte) error {
	if err := k.tickets.Check(purpose, whose, challenge); err != nil {
		return notGood(is, err)
	}
	return nil
}

// enrolmentID names an enrolment by its challenge, without being it.
func enrolmentID(challenge []byte) string {
	sum := sha256.Sum256(challenge)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
