// Package secret holds what must not be seen: typed passwords, keys, and the
// means to seal, to fingerprint and to hash.
//
// It refuses to know whose secret it is and what it opens. It stores nothing,
// logs nothing and reads no clock. Where a value belongs is told to it as a
// Place, and it sees to it that the value opens nowhere else.
package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
)

// shown is what every way of printing a secret prints.
const shown = "[secret]"

// A Text is a secret typed by a person or read from a file. Reveal is the only
// way in, so one search finds every reader. The zero value is an empty secret.
//
// The bytes hide behind a func, not in a field: fmt cannot call String on an
// unexported field of an outer struct and would print a byte slice raw.
type Text struct{ read func() []byte }

// NewText keeps a copy of b, so that the caller may wipe its own.
func NewText(b []byte) Text {
	if len(b) == 0 {
		return Text{}
	}
	kept := bytes.Clone(b)
	return Text{read: func() []byte { return kept }}
}

// Reveal is the secret itself. The slice is shared: do not change it.
func (t Text) Reveal() []byte {
	if t.read == nil {
		return nil
	}
	return t.read()
}

// IsEmpty says that there is no secret, without showing one.
func (t Text) IsEmpty() bool { return len(t.Reveal()) == 0 }

// String hides the secret, as do all methods below.
func (Text) String() string { return shown }

// GoString hides the secret from %#v.
func (Text) GoString() string { return shown }

// Format hides the secret from every verb: String alone would not stop %d.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, shown) }

// LogValue hides the secret from slog.
func (Text) LogValue() slog.Value { return slog.StringValue(shown) }

// MarshalText hides the secret from JSON, XML and whatever else asks first.
func (Text) MarshalText() ([]byte, error) { return []byte(shown), nil }

// MarshalYAML hides the secret from YAML encoders that do not ask MarshalText.
func (Text) MarshalYAML() (any, error) { return shown, nil }

// UnmarshalText takes a secret out of a request or a file. What MarshalText
// wrote is refused: a printed secret that was read back would be a password
// everybody knows.
func (t *Text) UnmarshalText(b []byte) error {
	if string(b) == shown {
		return errors.New("this is a hidden secret, not the secret itself")
	}
	*t = NewText(b)
	return nil
}

// Bytes are n bytes of crypto/rand.
func Bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: the program ends instead, Go 1.24
	return b
}

// Token is nBytes of crypto/rand in base64url without padding.
func Token(nBytes int) string {
	return base64.RawURLEncoding.EncodeToString(Bytes(nBytes))
}

// maxFile bounds a secret read from a file, in bytes.
const maxFile = 64 << 10

// ReadFile reads a secret from a file of its own and cuts one newline off its
// end. It refuses a file that group or others may read: whoever reads it later
// could not be told from us.
func ReadFile(path string) (Text, error) {
	b, err := readGuarded(path, 0)
	if err != nil {
		return Text{}, fmt.Errorf("reading the secret: %w", err)
	}
	defer clear(b)
	line, _ := bytes.CutSuffix(b, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return Text{}, fmt.Errorf("reading the secret: %s is empty", path)
	}
	return NewText(line), nil
}

// readGuarded reads a regular file that only its owner may touch. The mode is
// taken from the open file, so that no other can be put in its place between
// looking and reading.
func readGuarded(path string, flags int) ([]byte, error) {
	// NONBLOCK: a FIFO in the place of the file must not stop the start.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|flags, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s is a symbolic link: name the file itself", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0 && !lent(info):
		return nil, openToOthers{path, info.Mode().Perm()}
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	b := make([]byte, maxFile+1)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return b[:n], nil
}

// lent reports whether a file is root's, 0440, group root: what systemd makes of
// a credential for a service that is not root's. The group bits are then the
// mask of an access list that names the service alone; the group itself is root.
func lent(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == 0 && owner.Gid == 0 && info.Mode().Perm() == 0o440
}

// ErrExposed says that a secret's file may be touched by more than its owner.
var ErrExposed = errors.New("the file is open to others")

type openToOthers struct {
	path string
	mode fs.FileMode
}

func (e openToOthers) Error() string {
	return fmt.Sprintf("%s has mode %04o, so group or others can touch it: run chmod 600 %s, "+
		"and replace the secret if they may have read it", e.path, e.mode, e.path)
}

func (openToOthers) Is(target error) bool { return target == ErrExposed }
