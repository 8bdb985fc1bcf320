package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"filippo.io/age"

	"sekisho/policy/secret"
)

// Recipients reads the public keys that backups are encrypted to (age1…, one
// each).
func Recipients(keys []string) ([]age.Recipient, error) {
	if len(keys) == 0 {
		return nil, errors.New("there are none")
	}
	out, err := age.ParseRecipients(strings.NewReader(strings.Join(keys, "\n")))
	if err != nil {
		return nil, errors.New("one of them is no age recipient (age1…)") // the cause could quote a secret key
	}
	return out, nil
}

// Own is the recipient whose identity lies in a file, which is made when it is
// not there: for a gate that keeps its own backups, such as one to try things on.
func Own(path string) (recipient string, err error) {
	ids, err := Identities(path)
	if errors.Is(err, fs.ErrNotExist) {
		made, err := age.GenerateX25519Identity()
		if err != nil {
			return "", fmt.Errorf("making the identity: %w", err)
		}
		return made.Recipient().String(), secret.WriteNew(path, []byte(made.String()+"\n"))
	}
	if err != nil {
		return "", err
	}
	id, ok := ids[0].(*age.X25519Identity)
	if !ok {
		return "", fmt.Errorf("reading the identity: %s holds none of ours", path)
	}
	return id.Recipient().String(), nil
}

// Identities reads what opens a backup: an identity file of age, which must be
// its owner's alone.
func Identities(path string) ([]age.Identity, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the identity: %w", err)
	}
	ids, err := age.ParseIdentities(strings.NewReader(string(text.Reveal())))
	if err != nil { // the cause could quote what stands there
		return nil, fmt.Errorf("reading the identity: %s holds no age identity (AGE-SECRET-KEY-1…)", path)
	}
	return ids, nil
}
