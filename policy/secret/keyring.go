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
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
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
// fingerprinted. One of them, the current one, is used for what is new; the
// others still open what was sealed under them. Read from a file, the newest is
// the current one until Use says otherwise. It is safe for concurrent use, and
// keys may come and go meanwhile: see Renew, Use and Forget.
type KeyRing struct {
	state atomic.Pointer[ringState]
	alter sync.Mutex // held while a new state is made of the one before
	epoch atomic.Int64
}

// A ringState is a ring at one moment. It is never changed.
type ringState struct {
	keys    map[string]ringKey
	order   []string // as in the file
	current string
	gone    map[string]bool // forgotten: they do not come back with the file
}

// A ringKey is what is kept of one key. The key itself is not: each use works
// with a key derived for it (HKDF, RFC 5869), so no two uses can be played
// against each other.
type ringKey struct {
	wrap  cipher.AEAD // wraps the key of each sealed value
	macs  *macs
	print string // see Fingerprint
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

// AddKey puts a fresh key at the end of the ring in path. known is called with
// its id and fingerprint before it is on the disk; an error of it adds nothing.
// Every gateway must have the key before the first one seals with it: in the
// ring that is returned, as in any that is read from the file, it is current.
func AddKey(path string, known ...func(id, fingerprint string) error) (*KeyRing, error) {
	err := rewriteRing(path, "adding a key", func(old []byte) ([]byte, error) {
		line := newKeyLine()
		defer clear(line)
		fresh, err := parseKeyRing(path, line)
		if err != nil {
			return nil, err
		}
		for _, tell := range known {
			if err := tell(fresh.current, fresh.keys[fresh.current].print); err != nil {
				return nil, err
			}
		}
		return bytes.Join([][]byte{bytes.TrimRight(old, "\n"), line}, []byte("\n")), nil
	})
	if err != nil {
		return nil, err
	}
	return LoadKeyRing(path)
}

// CopyWithKey writes a copy of the ring in path with one fresh key more into a
// new file, for rings that cannot be written where they lie.
func CopyWithKey(path, out string, known func(id, fingerprint string) error) error {
	old, err := readGuarded(path, syscall.O_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("reading the key ring: %w", err)
	}
	defer clear(old)
	line := newKeyLine()
	defer clear(line)
	text := bytes.Join([][]byte{bytes.TrimRight(old, "\n"), line}, []byte("\n"))
	defer clear(text)
	if _, err := parseKeyRing(path, text); err != nil {
		return err
	}
	fresh, err := parseKeyRing(out, line)
	if err != nil {
		return err
	}
	if err := writeNew(out, text); err != nil {
		return fmt.Errorf("writing the copy: %w", err)
	}
	return known(fresh.current, fresh.keys[fresh.current].print)
}

// ErrReadOnly says that a key file, or its folder, cannot be written to.
var ErrReadOnly = errors.New("the key file cannot be written")

// readOnly tells that from other faults.
func readOnly(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// RemoveKeys takes keys out of the ring in path, for those that nothing needs
// any more. The last key of a ring stays.
func RemoveKeys(path string, ids ...string) error {
	return rewriteRing(path, "removing keys", func(old []byte) ([]byte, error) {
		var kept []byte
		for line := range bytes.Lines(old) {
			id, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
			if !slices.Contains(ids, string(id)) {
				kept = append(kept, line...)
			}
		}
		if _, err := parseKeyRing(path, kept); err != nil {
			return nil, err
		}
		return kept, nil
	})
}

// rewriteRing is Rewrite for a ring: what was there must have been one.
func rewriteRing(path, what string, change func(old []byte) ([]byte, error)) error {
	return Rewrite(path, what, func(old []byte) ([]byte, error) {
		if _, err := parseKeyRing(path, old); err != nil {
			return nil, err
		}
		return change(old)
	})
}

// Rewrite makes a new text of a key file, one writer at a time, and leaves the
// file to its owner. ErrReadOnly where that cannot be.
func Rewrite(path, what string, change func(old []byte) ([]byte, error)) error {
	unlock, err := lockBeside(path)
	if err != nil {
		return fmt.Errorf("%s: %w", what, readOnly(err))
	}
	defer unlock()
	old, err := readGuarded(path, syscall.O_NOFOLLOW)
	if err != nil {
		return fmt.Errorf("%s: reading the key file: %w", what, err)
	}
	defer clear(old)
	text, err := change(old)
	if err != nil {
		return err
	}
	defer clear(text)
	if err := Replace(path, text); err != nil {
		return fmt.Errorf("%s: %w", what, readOnly(err))
	}
	return nil
}

// LoadKeyRing reads a ring. It refuses a symbolic link and a file that anybody
// but its owner may touch.
func LoadKeyRing(path string) (*KeyRing, error) {
	b, err := readGuarded(path, syscall.O_NOFOLLOW)
	if err != nil {
		return nil, fmt.Errorf("reading the key ring: %w", err)
	}
	defer clear(b)
	state, err := parseKeyRing(path, b)
	if err != nil {
		return nil, err
	}
	k := &KeyRing{}
	k.state.Store(state)
	return k, nil
}

// Renew takes over the keys that were added to the file meanwhile and reports
// whether there were any. None becomes the current one by that, and none is
// lost: keys leave by Forget alone. An error leaves everything as it was.
func (k *KeyRing) Renew(path string) (changed bool, err error) {
	b, err := readGuarded(path, syscall.O_NOFOLLOW)
	if err != nil {
		return false, fmt.Errorf("reading the key ring: %w", err)
	}
	defer clear(b)
	file, err := parseKeyRing(path, b)
	if err != nil {
		return false, err
	}
	k.alter.Lock()
	defer k.alter.Unlock()
	next := k.state.Load().clone()
	for _, id := range file.order {
		switch held, ok := next.keys[id]; {
		case next.gone[id]:
		case !ok:
			next.keys[id], next.order, changed = file.keys[id], append(next.order, id), true
		case held.print != file.keys[id].print:
			return false, fmt.Errorf("reading the key ring: %s: key %s is another than the one in use", path, id)
		}
	}
	if changed {
		k.state.Store(next)
	}
	return changed, nil
}

// Use makes a key the current one.
func (k *KeyRing) Use(id string) error {
	k.alter.Lock()
	defer k.alter.Unlock()
	next := k.state.Load().clone()
	if _, ok := next.keys[id]; !ok {
		return fmt.Errorf("using key %q: %w", id, ErrUnknownKey)
	}
	next.current = id
	k.state.Store(next)
	return nil
}

// Forget drops a key from memory, whatever the file still holds. The current one
// stays.
func (k *KeyRing) Forget(id string) {
	k.alter.Lock()
	defer k.alter.Unlock()
	next := k.state.Load().clone()
	if id == next.current {
		return
	}
	delete(next.keys, id)
	next.order = slices.DeleteFunc(next.order, func(held string) bool { return held == id })
	next.gone[id] = true
	k.state.Store(next)
}

// IDs are the keys on the ring, newest last.
func (k *KeyRing) IDs() []string { return slices.Clone(k.state.Load().order) }

// Fingerprint tells a key from another of the same id and says nothing of the
// key; "" for one that is not on the ring.
func (k *KeyRing) Fingerprint(id string) string { return k.state.Load().keys[id].print }

func (s *ringState) clone() *ringState {
	return &ringState{keys: maps.Clone(s.keys), order: slices.Clone(s.order), current: s.current, gone: maps.Clone(s.gone)}
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
func parseKeyRing(path string, text []byte) (*ringState, error) {
	ring := &ringState{keys: map[string]ringKey{}, gone: map[string]bool{}}
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
		ring.order = append(ring.order, ring.current)
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
	print, err := hkdf.Expand(sha256.New, prk, "sekisho fingerprint v1", 16)
	if err != nil {
		return ringKey{}, fmt.Errorf("fingerprinting the key: %w", err)
	}
	return ringKey{wrap: wrap, macs: &macs{prk: prk}, print: hex.EncodeToString(print)}, nil
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

// SetEpoch makes MAC another function for each epoch: what was fingerprinted in
// one is unknown in the next, with the same keys. Seals are not touched. Zero is
// the first.
func (k *KeyRing) SetEpoch(epoch int64) { k.epoch.Store(epoch) }

// CurrentID is the id of the key that seals what is new.
func (k *KeyRing) CurrentID() string { return k.state.Load().current }

// WriteNew writes a secret file that did not exist, mode 0600, whole or not at
// all.
func WriteNew(path string, text []byte) error {
	if err := writeNew(path, text); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
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

// Replace writes a new text in the place of a secret file, whole or not at all.
// The file keeps its owner: an operator who works as root must not take it away
// from the gate's account.
func Replace(path string, text []byte) error {
	tmp, err := writeBeside(path, text)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := handOver(tmp, path); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFolder(path)
}

// handOver gives what root made to the owner of another file.
func handOver(made, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Chown(made, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// lockBeside takes a lock that ends with the process if need be. The lock file
// stays: removing it would let two processes hold locks on two files.
func lockBeside(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := handOver(f.Name(), path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s.lock: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
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
