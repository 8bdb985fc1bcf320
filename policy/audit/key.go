package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"sekisho/policy/secret"
)

// A Key signs checkpoints. The private half stays inside the note.Signer, which
// gives it to nobody; printing a Key prints the public half.
type Key struct {
	signer note.Signer
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
	return k, nil
}

// LoadKey reads a key that CreateKey wrote. It refuses a file that others than
// its owner can read.
func LoadKey(path string) (*Key, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the trail's key: %w", err)
	}
	k, err := readKey(string(text.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("reading the trail's key %s: %w", path, err)
	}
	return k, nil
}

var errNotKey = errors.New("it is not a signing key as sekisho writes it")

func readKey(private string) (*Key, error) {
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, errNotKey // the cause could quote the key
	}
	// NewSigner took it, so there are five parts, PRIVATE+KEY+name+hash+key, and
	// the last, which may hold a plus itself, is the algorithm and the seed.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(private, "+", 5)[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, errNotKey
	}
	public, err := note.NewEd25519VerifierKey(signer.Name(), ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey))
	if err != nil {
		return nil, errNotKey
	}
	return &Key{signer: signer, public: public}, nil
}

// PublicKey is the note verifier key: what trailcheck's --key takes, and all
// that anybody needs to check the trail.
func (k *Key) PublicKey() string { return k.public }

// String is the public key.
func (k *Key) String() string { return k.public }

// Origin is the name in the key and in the first line of every checkpoint.
func (k *Key) Origin() string { return k.signer.Name() }

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
