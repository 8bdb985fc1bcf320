package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

var (
	// ErrUnknownKey says that the key a value names is not on the ring: the
	// wrong ring, or a key retired before everything under it was sealed anew.
	ErrUnknownKey = errors.New("the key is not on the ring")
	// ErrSealBroken says that a sealed value was changed, moved from its place,
	// or never was one. Which of them cannot be told.
	ErrSealBroken = errors.New("the seal is broken")
)

const keyLength = 32

// keyID is short so that it fits the keyid parameter of a PHC string, which
// holds at most 8 bytes.
var keyID = regexp.MustCompile(`^[a-z0-9]{1,8}$`)

const ringHeader = "# Sekisho key ring: one key a line, newest last. Guard it like the store it\n" +
	"# opens, keep its backup elsewhere: without it every sealed secret is lost.\n"

// A KeyRing holds the keys by which secrets at rest are sealed and values are
// fingerprinted. The newest key is used for what is new; older ones still open
// what was sealed under them. It is safe for concurrent use.
type KeyRing struct {
	keys    map[string]ringKey
	current string
}

// A ringKey is what is kept of one key. The key itself is not: each use works
// with a key derived for it (HKDF, RFC 5869), so no two uses can be played
// against each other.
type ringKey struct {
	wrap cipher.AEAD // wraps the key of each sealed value
	macs *macs
}

// CreateKeyRing makes a ring of one fresh key in a new file with mode 0600. It
// never replaces a file: that would lose what was sealed under its keys.
func CreateKeyRing(path string) (*KeyRing, error) {
	line := newKeyLine()
	defer clear(line)
	text := append([]byte(ringHeader), line...)
	defer clear(text)
	if err := writeNew(path, text); err != nil {
		return nil, fmt.Errorf("creating the key ring: %w", err)
	}
	return LoadKeyRing(path)
}

// AddKey puts a fresh key at the end of the ring in path, from where it becomes
// the current one of whoever loads the ring next. Every gateway must have it
// before the first one seals with it.
func AddKey(path string) (*KeyRing, error) {
	old, err := readGuarded(path, syscall.O_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("reading the key ring: %w", err)
	}
	defer clear(old)
	if _, err := parseKeyRing(path, old); err != nil {
		return nil, err
	}
	line := newKeyLine()
	defer clear(line)
	text := bytes.Join([][]byte{bytes.TrimRight(old, "\n"), line}, []byte("\n"))
	defer clear(text)
	if err := replace(path, text); err != nil {
		return nil, fmt.Errorf("adding a key: %w", err)
	}
	return LoadKeyRing(path)
}

// LoadKeyRing reads a ring. It refuses a symbolic link and a file that anybody
// but its owner may touch.
func LoadKeyRing(path string) (*KeyRing, error) {
	b, err := readGuarded(path, syscall.O_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("reading the key ring: %w", err)
	}
	defer clear(b)
	return parseKeyRing(path, b)
}

func newKeyLine() []byte {
	key := Bytes(keyLength)
	defer clear(key)
	line := hex.AppendEncode(nil, Bytes(4))
	line = append(line, ' ')
	line = base64.StdEncoding.AppendEncode(line, key)
	return append(line, '\n')
}

// parseKeyRing names lines, never what stands in them.
func parseKeyRing(path string, text []byte) (*KeyRing, error) {
	ring := &KeyRing{keys: map[string]ringKey{}}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		id, encoded, found := bytes.Cut(line, []byte(" "))
		if !found || !keyID.Match(id) {
			return nil, fmt.Errorf("reading the key ring: %s:%d: want an id of 1 to 8 of a-z and 0-9, a space, and the key", path, n)
		}
		if _, twice := ring.keys[string(id)]; twice {
			return nil, fmt.Errorf("reading the key ring: %s:%d: the id is used twice", path, n)
		}
		key := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
		size, err := base64.StdEncoding.Strict().Decode(key, encoded)
		if err != nil || size != keyLength {
			return nil, fmt.Errorf("reading the key ring: %s:%d: the key must be %d bytes in base64", path, n, keyLength)
		}
		derived, err := derive(key[:size])
		clear(key)
		if err != nil {
			return nil, fmt.Errorf("reading the key ring: %s:%d: %w", path, n, err)
		}
		ring.current = string(id)
		ring.keys[ring.current] = derived
	}
	if ring.current == "" {
		return nil, fmt.Errorf("reading the key ring: %s holds no key", path)
	}
	return ring, nil
}

func derive(key []byte) (ringKey, error) {
	prk, err := hkdf.Extract(sha256.New, key, nil)
	if err != nil {
		return ringKey{}, fmt.Errorf("deriving from the key: %w", err)
	}
	kek, err := hkdf.Expand(sha256.New, prk, "sekisho seal v1", keyLength)
	if err != nil {
		return ringKey{}, fmt.Errorf("deriving the sealing key: %w", err)
	}
	defer clear(kek)
	wrap, err := newAEAD(kek)
	if err != nil {
		return ringKey{}, err
	}
	return ringKey{wrap: wrap, macs: &macs{prk: prk}}, nil
}

// newAEAD is AES-256-GCM with a random 96-bit nonce in front of what it seals.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing AES: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("preparing GCM: %w", err)
	}
	return aead, nil
}

// CurrentID is the id of the key that seals what is new.
func (k *KeyRing) CurrentID() string { return k.current }

// MAC is the HMAC-SHA-256 of parts under a key derived for purpose from the key
// named, "" meaning the current one. Parts are prefixed with their lengths:
// ("ab", "c") and ("a", "bc") differ. ErrUnknownKey when the key is not there.
func (k *KeyRing) MAC(keyID, purpose string, parts ...[]byte) ([]byte, error) {
	if keyID == "" {
		keyID = k.current
	}
	key, ok := k.keys[keyID]
	if !ok {
		return nil, fmt.Errorf("fingerprinting for %s with key %q: %w", purpose, keyID, ErrUnknownKey)
	}
	return key.macs.sum(purpose, parts)
}

// writeNew writes a file that did not exist, whole or not at all: the text is
// on the disk under another name before it is linked to its own, and a link
// does not replace.
func writeNew(path string, text []byte) error {
	tmp, err := writeBeside(path, text)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	return syncFolder(path)
}

// replace writes a new text in the place of the old, whole or not at all.
func replace(path string, text []byte) error {
	tmp, err := writeBeside(path, text)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(path)
}

func writeBeside(path string, text []byte) (tmp string, err error) {
	tmp = path + "." + hex.EncodeToString(Bytes(6)) + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(tmp)
		return "", err
	}
	return tmp, nil
}

// syncFolder makes the name durable, not only what it names.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
