package dispatch

import (
	"bytes"
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

// A Key signs policies and nothing else. Printing one prints the public half.
//
// While it is being replaced it is two: AddKey adds the next one, and both sign
// until RemoveOld, so that who trusts either believes what is sent.
type Key struct {
	signers []note.Signer // newest last
	public  []string
}

var errNotKey = errors.New("it is not a key for signing policies as sekisho writes it")

// CreateKey makes an Ed25519 key in a new file, mode 0600. It never replaces
// one: those who trust it would believe the new one no more.
func CreateKey(path, origin string) (*Key, error) {
	private, _, err := note.GenerateKey(rand.Reader, origin+keySuffix)
	if err != nil {
		return nil, fmt.Errorf("making the key that signs policies: %w", err)
	}
	k, err := readKeys(private)
	if err != nil {
		return nil, fmt.Errorf("making the key that signs policies for %q: %w", origin, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the key that signs policies: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the key that signs policies: %w", err)
	}
	_, err = f.WriteString(private + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("writing the key that signs policies: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("writing the key that signs policies: %w", err)
	}
	return k, errors.Join(dir.Sync(), dir.Close())
}

// LoadKey reads a key that CreateKey wrote. It refuses a file that others than
// its owner can read.
func LoadKey(path string) (*Key, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key that signs policies: %w", err)
	}
	k, err := readKeys(string(text.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("reading the key that signs policies, %s: %w", path, err)
	}
	return k, nil
}

// AddKey puts a fresh key of the same gateway at the end of the file. known is told
// of it before it is on the disk; an error of it adds nothing.
func AddKey(path string, known func(id string) error) error {
	return secret.Rewrite(path, "adding a key that signs policies", func(old []byte) ([]byte, error) {
		held, err := readKeys(string(old))
		if err != nil {
			return nil, err
		}
		private, _, err := note.GenerateKey(rand.Reader, held.signers[0].Name())
		if err != nil {
			return nil, fmt.Errorf("making the key that signs policies: %w", err)
		}
		fresh, err := readKeys(private)
		if err != nil {
			return nil, err
		}
		if err := known(fresh.IDs()[0]); err != nil {
			return nil, err
		}
		return append(append(bytes.TrimRight(old, "\n"), '\n'), private+"\n"...), nil
	})
}

// RemoveOld takes all keys but the newest out of the file. known is told of each
// before.
func RemoveOld(path string, known func(id string) error) error {
	return secret.Rewrite(path, "removing keys that signed policies", func(old []byte) ([]byte, error) {
		held, err := readKeys(string(old))
		if err != nil {
			return nil, err
		}
		ids := held.IDs()
		for _, id := range ids[:len(ids)-1] {
			if err := known(id); err != nil {
				return nil, err
			}
		}
		lines := bytes.Fields(old)
		return append(bytes.Clone(lines[len(lines)-1]), '\n'), nil
	})
}

// readKeys reads keys of one gateway, a line each.
func readKeys(text string) (*Key, error) {
	k := &Key{}
	for _, private := range strings.Fields(text) {
		signer, public, err := readKey(private)
		if err != nil || len(k.signers) > 0 && signer.Name() != k.signers[0].Name() {
			return nil, errNotKey
		}
		k.signers, k.public = append(k.signers, signer), append(k.public, public)
	}
	if len(k.signers) == 0 {
		return nil, errNotKey
	}
	return k, nil
}

func readKey(private string) (note.Signer, string, error) {
	signer, err := note.NewSigner(private)
	if err != nil || !strings.HasSuffix(signer.Name(), keySuffix) {
		return nil, "", errNotKey // the cause could quote the key
	}
	// NewSigner took it, so there are five parts, and the last is the algorithm
	// and the seed.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(private, "+", 5)[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, "", errNotKey
	}
	pair := ed25519.NewKeyFromSeed(raw[1:])
	public, err := note.NewEd25519VerifierKey(signer.Name(), pair.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", errNotKey
	}
	return signer, public, nil
}

// PublicKey is what another gateway names in policy.trusted: the newest.
func (k *Key) PublicKey() string { return k.public[len(k.public)-1] }

// IDs are those of the keys in a signature, newest last.
func (k *Key) IDs() (ids []string) {
	for _, public := range k.public {
		ids = append(ids, strings.SplitN(public, "+", 3)[1])
	}
	return ids
}

// String is the public key.
func (k *Key) String() string { return k.PublicKey() }

// Origin is the gateway whose policies the key signs.
func (k *Key) Origin() string { return strings.TrimSuffix(k.signers[0].Name(), keySuffix) }

// ReadTrusted reads a file of public keys, one a line; lines that begin with #
// say something to people.
func ReadTrusted(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a trusted key: %w", err)
	}
	var keys []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil || !strings.HasSuffix(v.Name(), keySuffix) {
			return nil, fmt.Errorf("reading a trusted key: %s holds a line that is no public key for policies (NAME%s+HASH+BASE64)", path, keySuffix)
		}
		keys = append(keys, line)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("reading a trusted key: %s holds none", path)
	}
	return keys, nil
}
