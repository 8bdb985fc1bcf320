package proof

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Succession says that one key of a trail ends and the next begins: Old signed
// the tree of Size entries with this Root last, and New signs from there on. Both
// keys sign the statement, so that neither can be said to have begun or ended
// elsewhere: who holds Old alone learns from it whom to believe from then on, who
// holds New alone what the past was when it took over.
//
// It stands in the trail as entry number Size, under Action, in base64 as
// "statement" of its detail; the next line is a checkpoint that both keys signed.
type Succession struct {
	Origin   string
	Old, New string // note verifier keys
	Size     int64
	Root     tlog.Hash
}

// Action is the action of the entry that holds a Succession.
const Action = "trail.key_succeeded"

// The first line is no name of a key, so no checkpoint reads like this.
const successionTitle = "sekisho trail: one key succeeds another, v1"

// Text is what is signed.
func (s Succession) Text() string {
	return strings.Join([]string{successionTitle, s.Origin, s.Old, s.New, strconv.FormatInt(s.Size, 10), s.Root.String(), ""}, "\n")
}

// OpenSuccession checks a signed statement under the two keys that it names and
// reads it. It does not know whether either is to be believed.
func OpenSuccession(signed []byte) (Succession, error) {
	text, _, _ := bytes.Cut(signed, []byte("\n\n"))
	lines := strings.Split(string(text), "\n")
	if len(lines) != 6 || lines[0] != successionTitle {
		return Succession{}, errors.New("it is not a statement of succession")
	}
	s := Succession{Origin: lines[1], Old: lines[2], New: lines[3]}
	var err error
	var ok bool
	if s.Size, err = strconv.ParseInt(lines[4], 10, 64); err != nil || s.Size < 0 {
		return Succession{}, errors.New("it is not a statement of succession")
	}
	if s.Root, ok = decodeHash([]byte(lines[5])); !ok {
		return Succession{}, errors.New("it is not a statement of succession")
	}
	old, oldErr := note.NewVerifier(s.Old)
	next, nextErr := note.NewVerifier(s.New)
	if oldErr != nil || nextErr != nil || s.Old == s.New || old.Name() != s.Origin || next.Name() != s.Origin {
		return Succession{}, errors.New("it does not name two keys of one trail")
	}
	n, err := note.Open(signed, note.VerifierList(old, next))
	if err != nil || n.Text != s.Text() || len(n.Sigs) != 2 || !spelledOut(signed, s.Text(), n.Sigs, []note.Verifier{old, next}) {
		return Succession{}, errors.New("it is not signed by both keys")
	}
	return s, nil
}

// succession reads the statement in an entry; false in an entry without one.
func succession(entry []byte) (Succession, bool, error) {
	if !bytes.Contains(entry, []byte(Action)) {
		return Succession{}, false, nil
	}
	var e struct {
		Action string
		Detail struct{ Statement string }
	}
	if err := json.Unmarshal(entry, &e); err != nil || e.Action != Action {
		return Succession{}, false, nil //nolint:nilerr // an entry of another kind
	}
	signed, err := base64.StdEncoding.Strict().DecodeString(e.Detail.Statement)
	if err != nil {
		return Succession{}, true, errors.New("its statement is not base64")
	}
	s, err := OpenSuccession(signed)
	return s, true, err
}

// ReadSuccession reads the statement in an entry; false in any other entry.
func ReadSuccession(entry []byte) (Succession, bool) {
	s, is, err := succession(entry)
	return s, is && err == nil
}

// firstKey looks through a trail for the key that it began with, the older one
// of its first succession, and goes back to where it was. It answers "" where
// there is none, and false where r cannot go back; nothing depends on it being
// right.
func firstKey(r io.Reader) (found string, looked bool, err error) {
	at, ok := r.(io.Seeker)
	if !ok {
		return "", false, nil
	}
	from, err := at.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", false, nil //nolint:nilerr // a pipe: read once
	}
	in := newLines(r)
	for found == "" {
		line, err := in.ReadSlice('\n')
		if err != nil {
			break // the end, or what Verify will find
		}
		if !bytes.Contains(line, []byte(Action)) {
			continue
		}
		if l, err := ParseLine(line[:len(line)-1]); err == nil && l.Checkpoint == nil {
			if s, is, err := succession(l.Entry); is && err == nil {
				found = s.Old
			}
		}
	}
	if _, err := at.Seek(from, io.SeekStart); err != nil {
		return "", false, fmt.Errorf("going back to the beginning of the trail: %w", err)
	}
	return found, true, nil
}

// begins says who signed first. It is provisional, unless that is the key given,
// until entries lead from it to the given one.
func (v *verifier) begins(key note.Verifier, text string) {
	v.signer, v.signs, v.keys = key, text, []string{text}
	v.believed = text == v.given
}

// A signing is a checkpoint whose key is not known yet: who reads a trail from a
// pipe with a later key in hand meets them before the entry that names theirs.
type signing struct {
	note []byte
	size int64
	line int64
}

// openSigned checks a checkpoint under the key that signs there.
func (v *verifier) openSigned(raw []byte) (Checkpoint, error) {
	switch {
	case v.heir != nil: // both sign, once
		c, err := openCheckpoint(raw, v.signer, v.heir)
		if err == nil {
			v.signer, v.heir, v.signs = v.heir, nil, v.keys[len(v.keys)-1]
		}
		return c, err
	case v.signer != nil:
		return openCheckpoint(raw, v.signer)
	}
	// Nobody has been named yet. It is the given key's, or that of one which an
	// entry further on will name.
	c, err := openCheckpoint(raw, v.key)
	if err == nil {
		v.begins(v.key, v.given)
		return c, v.settle()
	}
	if !errors.Is(err, errOtherKey) {
		return c, err
	}
	text, _, _ := bytes.Cut(raw, []byte("\n\n"))
	c, ok := parseCheckpoint(string(text) + "\n")
	if !ok {
		return c, errMalformed
	}
	v.unsettled = append(v.unsettled, signing{bytes.Clone(raw), c.Size, v.line})
	return c, nil
}

// settle checks what was signed before its key was known.
func (v *verifier) settle() error {
	for _, s := range v.unsettled {
		if _, err := openCheckpoint(s.note, v.signer); err != nil {
			return v.rangeFault(KindCheckpoint, s.size, "line %d: the checkpoint after %d entries is not genuine: %v", s.line, s.size, err)
		}
	}
	v.unsettled = nil
	return nil
}

// succeed takes a succession over. The tree is still the one before its entry.
func (v *verifier) succeed(s Succession) error {
	n := v.tree.n
	wrong := func(why string) error {
		return v.fault(KindCheckpoint, n, "entry %d (line %d) says that another key signs from there on, but %s", n, v.line, why)
	}
	old, err := note.NewVerifier(s.Old)
	if err != nil {
		return wrong("it names no key")
	}
	next, err := note.NewVerifier(s.New)
	if err != nil {
		return wrong("it names no key")
	}
	if v.signer == nil {
		v.begins(old, s.Old)
		if err := v.settle(); err != nil {
			return err
		}
	}
	switch {
	case v.heir != nil:
		return wrong("the key before has not signed yet")
	case v.signs != s.Old:
		return wrong("not by the key that signed until then")
	case s.Size != n || s.Root != v.tree.root():
		return wrong("it was said of another trail")
	}
	v.heir = next
	v.keys = append(v.keys, s.New)
	if s.New == v.given {
		v.believed = true
	}
	return nil
}
