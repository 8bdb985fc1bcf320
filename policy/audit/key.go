package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"sekisho/policy/secret"
)

// A Key signs checkpoints. It is what the key's file holds: one key, or several
// while one succeeds another, of which the Sealer uses the one whose turn it is.
// The private halves stay inside the note.Signers, which give them to nobody;
// printing a Key prints the public half of the one in use.
type Key struct {
	mu   sync.RWMutex
	held []signer // as in the file, newest last
	used int
}

type signer struct {
	note.Signer
	public string
}

// CreateKey makes an Ed25519 key and writes it to path, mode 0600, as the one
// line that note.NewSigner reads. origin names whose trail it is (such as
// "sekisho.pref.example/lgwan"), without spaces or plus signs; it is part of
// the key and of every checkpoint. An existing file is never replaced: the
// trail signed with it could not go on.
func CreateKey(path, origin string) (*Key, error) {
	private, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, fmt.Errorf("making the trail's key: %w", err)
	}
	k, err := readKey(private) // refuses an unfit origin before anything is on the disk
	if err != nil {
		return nil, fmt.Errorf("making the trail's key for %q: %w", origin, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the trail's key: %w", err)
	}
	if err := finish(f, private+"\n"); err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("writing the trail's key: %w", err)
	}
	return &Key{held: []signer{k}}, nil
}

// LoadKey reads a file that CreateKey wrote. It refuses a file that others than
// its owner can read.
func LoadKey(path string) (*Key, error) {
	held, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	return &Key{held: held, used: len(held) - 1}, nil
}

func readKeys(path string) ([]signer, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the trail's key: %w", err)
	}
	held, err := parseKeys(string(text.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("reading the trail's key %s: %w", path, err)
	}
	return held, nil
}

func parseKeys(text string) ([]signer, error) {
	var held []signer
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		k, err := readKey(line)
		if err != nil {
			return nil, err
		}
		if len(held) > 0 && k.Name() != held[0].Name() {
			return nil, errors.New("its keys are of different trails")
		}
		held = append(held, k)
	}
	if len(held) == 0 {
		return nil, errNotKey
	}
	return held, nil
}

// AddKey puts a fresh key of the same trail at the end of the file. known is
// told of it before it is on the disk; an error of it adds nothing.
func AddKey(path string, known func(id, public string) error) error {
	return secret.Rewrite(path, "adding a key", func(old []byte) ([]byte, error) { return withKey(old, known) })
}

// CopyWithKey writes a copy of the file with one fresh key more into a new one.
func CopyWithKey(path, out string, known func(id, public string) error) error {
	text, err := secret.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the trail's key: %w", err)
	}
	more, err := withKey(text.Reveal(), known)
	if err != nil {
		return err
	}
	defer clear(more)
	return secret.WriteNew(out, more)
}

func withKey(old []byte, known func(id, public string) error) ([]byte, error) {
	held, err := parseKeys(string(old))
	if err != nil {
		return nil, err
	}
	private, _, err := note.GenerateKey(rand.Reader, held[0].Name())
	if err != nil {
		return nil, err
	}
	k, err := readKey(private)
	if err != nil {
		return nil, err
	}
	if err := known(k.id(), k.public); err != nil {
		return nil, err
	}
	return append(append(bytes.TrimRight(old, "\n"), '\n'), private+"\n"...), nil
}

// RemoveKeys takes keys that sign no more out of the file.
func RemoveKeys(path string, ids ...string) error {
	return secret.Rewrite(path, "removing a key", func(old []byte) ([]byte, error) {
		var kept []byte
		for line := range bytes.Lines(old) {
			if k, err := readKey(string(bytes.TrimSpace(line))); err != nil || !slices.Contains(ids, k.id()) {
				kept = append(kept, line...)
			}
		}
		_, err := parseKeys(string(kept))
		return kept, err
	})
}

// Renew takes over keys that were added to the file, and reports whether any was.
func (k *Key) Renew(path string) (changed bool, err error) {
	file, err := readKeys(path)
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range file {
		if f.Name() != k.held[0].Name() {
			return false, fmt.Errorf("%s holds the key of another trail", path)
		}
		if !slices.ContainsFunc(k.held, func(h signer) bool { return h.public == f.public }) {
			k.held, changed = append(k.held, f), true
		}
	}
	return changed, nil
}

// Held are the ids of the keys and their public halves, newest last.
func (k *Key) Held() (ids, public []string) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, h := range k.held {
		ids, public = append(ids, h.id()), append(public, h.public)
	}
	return ids, public
}

func (k *Key) all() []signer {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.held)
}

// use makes the key of a public half the one that signs.
func (k *Key) use(public string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.IndexFunc(k.held, func(h signer) bool { return h.public == public }); i >= 0 {
		k.used = i
	}
}

func (k *Key) inUse() signer {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.held[k.used]
}

var errNotKey = errors.New("it is not a signing key as sekisho writes it")

func readKey(private string) (signer, error) {
	k, err := note.NewSigner(private)
	if err != nil {
		return signer{}, errNotKey // the cause could quote the key
	}
	// NewSigner took it, so there are five parts, PRIVATE+KEY+name+hash+key, and
	// the last, which may hold a plus itself, is the algorithm and the seed.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(private, "+", 5)[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return signer{}, errNotKey
	}
	public, err := note.NewEd25519VerifierKey(k.Name(), ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey))
	if err != nil {
		return signer{}, errNotKey
	}
	return signer{k, public}, nil
}

// PublicKey is the note verifier key: what trailcheck's --key takes, and all
// that anybody needs to check the trail.
func (k *Key) PublicKey() string { return k.inUse().public }

// ID is the key's in a signed note: the first bytes of the hash of name and key.
func (k *Key) ID() string { return k.inUse().id() }

func (s signer) id() string { return strings.SplitN(s.public, "+", 3)[1] }

// String is the public key.
func (k *Key) String() string { return k.PublicKey() }

// Origin is the name in the key and in the first line of every checkpoint.
func (k *Key) Origin() string { return k.inUse().Name() }

// finish writes text to f, makes it durable and closes f; then its name too.
func finish(f *os.File, text string) error {
	_, err := f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.Name()))
}

// syncDir makes a new name in a folder survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
