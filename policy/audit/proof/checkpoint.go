package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint says: these were the first Size entries, and they hash to Root.
// C2SP tlog-checkpoint; when it was signed is not part of it, so that two
// signers of one tree say the same thing.
type Checkpoint struct {
	Origin string // whose trail; also the name of the key
	Size   int64
	Root   tlog.Hash
}

// Text is what is signed: origin, size and root, a line each.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

var (
	errOtherKey  = errors.New("it is signed with another key than the one given")
	errMalformed = errors.New("it is not a checkpoint")
)

// OpenCheckpoint checks a signed note under a note verifier key and reads the
// checkpoint in it. ErrKey for an unusable key.
func OpenCheckpoint(signed []byte, verifierKey string) (Checkpoint, error) {
	key, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Checkpoint{}, ErrKey
	}
	return openCheckpoint(signed, key)
}

// OpenLastSigned reads a checkpoint whose last signature is the key's: its own,
// or the one with which it succeeded another key, whose signature stands before.
func OpenLastSigned(signed []byte, verifierKey string) (Checkpoint, error) {
	key, err := note.NewVerifier(verifierKey)
	if err != nil {
		return Checkpoint{}, ErrKey
	}
	c, err := openCheckpoint(signed, key)
	if err == nil {
		return c, nil
	}
	n, opened := note.Open(signed, note.VerifierList(key))
	if opened != nil || len(n.UnverifiedSigs) != 1 {
		return Checkpoint{}, err
	}
	c, ok := parseCheckpoint(n.Text)
	last := "— " + n.Sigs[0].Name + " " + n.Sigs[0].Base64 + "\n"
	if !ok || c.Origin != key.Name() || !strings.HasSuffix(string(signed), last) {
		return Checkpoint{}, errMalformed
	}
	return c, nil
}

// openCheckpoint checks that exactly these keys signed, in this order.
func openCheckpoint(signed []byte, keys ...note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(keys...))
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &unverified):
		return Checkpoint{}, errOtherKey
	case err != nil:
		return Checkpoint{}, err
	}
	c, ok := parseCheckpoint(n.Text)
	if !ok || c.Origin != keys[0].Name() {
		return Checkpoint{}, errMalformed
	}
	// note.Open reads base64 laxly and skips signatures it does not know. One
	// checkpoint must have one spelling, or a changed byte would go unseen.
	if len(n.Sigs) != len(keys) || !spelledOut(signed, c.Text(), n.Sigs, keys) {
		return Checkpoint{}, errors.New("its signature is not written the one way it can be")
	}
	return c, nil
}

// spelledOut reports whether a note is text and the keys' signatures, byte for
// byte.
func spelledOut(signed []byte, text string, sigs []note.Signature, keys []note.Verifier) bool {
	want := text + "\n"
	for i, sig := range sigs {
		raw, err := base64.StdEncoding.Strict().DecodeString(sig.Base64)
		if err != nil || base64.StdEncoding.EncodeToString(raw) != sig.Base64 || sig.Hash != keys[i].KeyHash() {
			return false
		}
		want += "— " + sig.Name + " " + sig.Base64 + "\n"
	}
	return string(signed) == want
}

func parseCheckpoint(text string) (Checkpoint, bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, false
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, false
	}
	root, ok := decodeHash([]byte(lines[2]))
	if !ok {
		return Checkpoint{}, false
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, true
}

// ValidKey reports whether text is a note verifier key, as Verify takes it.
func ValidKey(text string) bool {
	_, err := note.NewVerifier(text)
	return err == nil
}
