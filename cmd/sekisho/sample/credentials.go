package sample

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy"
)

// A Credential is what a sample person signs in with. The plain text is kept in
// the folder (mode 0600) because dev.json must show it; that is why nobody real
// may be in such a folder.
type Credential struct {
	Login      string `json:"login"`
	Password   string `json:"password"`
	TOTPSecret string `json:"totp_secret,omitempty"` // base32; empty: enrols at first sign-in
}

// A Terminal is a machine of the sample and its key pair.
type Terminal struct {
	ID        string        `json:"id"`
	Zone      policy.ZoneID `json:"zone"`
	Class     string        `json:"class"`
	Name      policy.Words  `json:"name"`
	KeyPEM    string        `json:"key_pem"`    // PKCS#8
	PublicPEM string        `json:"public_pem"` // PKIX
}

// Secrets is all that was left to chance when the folder was made.
type Secrets struct {
	// Seeded says that the people are in the directory and the store. It is set
	// last, so that a dev killed while it was moving them in begins again.
	Seeded      bool         `json:"seeded"`
	Credentials []Credential `json:"credentials"`
	Terminals   []Terminal   `json:"terminals"`
}

// Of is the credential of one person.
func (s *Secrets) Of(login string) Credential {
	for _, c := range s.Credentials {
		if c.Login == login {
			return c
		}
	}
	return Credential{}
}

// Draw makes credentials for everybody.
func Draw() (*Secrets, error) {
	s := &Secrets{}
	for _, p := range People() {
		c := Credential{Login: p.Login, Password: password()}
		if p.State != MustChange {
			c.TOTPSecret = totpSecret()
		}
		s.Credentials = append(s.Credentials, c)
	}
	lent := Terminal{ID: "lent-01", Zone: policy.LGWAN, Class: policy.TerminalLent,
		Name: policy.Words{JA: "貸与端末 1号", EN: "Lent terminal 1"}}
	if err := lent.draw(); err != nil {
		return nil, err
	}
	s.Terminals = []Terminal{lent}
	return s, nil
}

// Load reads the folder's secrets. A folder without them is a new one: nil.
func Load(f folder.Folder) (*Secrets, error) {
	data, err := os.ReadFile(f.People())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the sample's secrets: %w", err)
	}
	s := &Secrets{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading the sample's secrets in %s: %w", f.People(), err)
	}
	return s, nil
}

// Save keeps the secrets in the folder.
func (s *Secrets) Save(f folder.Folder) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keeping the sample's secrets: %w", err)
	}
	return folder.Write(f.People(), append(data, '\n'), 0o600)
}

// draw makes the terminal's key pair, P-256 because its assertions are ES256.
func (t *Terminal) draw() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of terminal %s: %w", t.ID, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("making the key of terminal %s: %w", t.ID, err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("making the key of terminal %s: %w", t.ID, err)
	}
	t.KeyPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	t.PublicPEM = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	return nil
}

// letters are 32 that nobody mistakes for one another, so that each random byte
// gives one without bias.
const letters = "abcdefghijkmnpqrstuvwxyz23456789"

// password is four groups of five, 100 bits: letters, digits and '-', so that
// it needs no quoting in any shell.
func password() string {
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	var out []byte
	for i, b := range raw {
		if i > 0 && i%5 == 0 {
			out = append(out, '-')
		}
		out = append(out, letters[int(b)%len(letters)])
	}
	return string(out)
}

// totpSecret is 160 bits in base32 (RFC 4226, section 4, R6).
func totpSecret() string {
	raw := make([]byte, 20)
	_, _ = rand.Read(raw) // as above
	return base32.StdEncoding.EncodeToString(raw)
}
