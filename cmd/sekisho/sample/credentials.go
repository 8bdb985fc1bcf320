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
	"slices"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// A Credential is what a sample person signs in with. The plain text is kept in
// the folder (mode 0600) because dev.json must show it; that is why nobody real
// may be in such a folder.
type Credential struct {
	Login      string   `json:"login"`
	Password   string   `json:"password"`
	TOTPSecret string   `json:"totp_secret,omitempty"` // base32; empty: enrols at first sign-in
	Passkey    *Passkey `json:"passkey,omitempty"`     // of those with a post
}

// A Passkey is a key made for a script that plays an authenticator.
type Passkey struct {
	CredentialID []byte `json:"credential_id"`
	UserHandle   []byte `json:"user_handle"`
	PrivateKey   []byte `json:"private_key"` // PKCS#8, P-256
}

// Public is the public half.
func (p *Passkey) Public() (*ecdsa.PublicKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(p.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("reading a passkey of the sample: %w", err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("reading a passkey of the sample: not an elliptic curve key")
	}
	return &private.PublicKey, nil
}

func newPasskey() (*Passkey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a passkey: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("making a passkey: %w", err)
	}
	return &Passkey{CredentialID: secret.Bytes(32), UserHandle: secret.Bytes(64), PrivateKey: private}, nil
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

// A Client is an application of the sample that speaks OpenID Connect, and what
// it proves itself with.
type Client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// SampleWeb is the client that dev.json lists.
const SampleWeb = "sample-web"

// Secrets is all that was left to chance when the folder was made.
type Secrets struct {
	// Seeded says that the people are in the directory and the store. It is set
	// last, so that a dev killed while it was moving them in begins again.
	Seeded      bool         `json:"seeded"`
	Credentials []Credential `json:"credentials"`
	Terminals   []Terminal   `json:"terminals"`
	Clients     []Client     `json:"clients"`
	// RADIUS is what dev's network gear shares with it.
	RADIUS string `json:"radius"`
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
	s := &Secrets{RADIUS: GearSecret(), Clients: []Client{{ID: SampleWeb, Secret: secret.Token(32)}}}
	for _, p := range People() {
		c := Credential{Login: p.Login, Password: password()}
		if p.State != MustChange {
			c.TOTPSecret = totpSecret()
		}
		if p.State == Active && slices.ContainsFunc(p.Posts, beyond) {
			key, err := newPasskey()
			if err != nil {
				return nil, err
			}
			c.Passkey = key
		}
		s.Credentials = append(s.Credentials, c)
	}
	for _, t := range []Terminal{
		{ID: "lent-01", Zone: policy.LGWAN, Class: policy.TerminalLent, Name: policy.Words{JA: "貸与端末 1号", EN: "Lent terminal 1"}},
		{ID: "counter-01", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "税務窓口 1番", EN: "Tax counter 1"}},
		{ID: "counter-02", Zone: policy.MyNumber, Class: policy.TerminalCounter, Name: policy.Words{JA: "国保窓口 1番", EN: "Health insurance counter 1"}},
		{ID: "dedicated-01", Zone: policy.MyNumber, Class: policy.TerminalDedicated, Name: policy.Words{JA: "住基専用端末 1号", EN: "Resident register terminal 1"}},
	} {
		if err := t.draw(); err != nil {
			return nil, err
		}
		s.Terminals = append(s.Terminals, t)
	}
	return s, nil
}

// beyond reports whether a post is more than being one of the staff or of a
// contractor's people.
func beyond(id policy.PostID) bool { return id != policy.Staff && id != policy.Contractor }

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
