package folder

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"sekisho/cmd/sekisho/say"
)

// Dev is dev.json: all that a script, a proxy or a curious person needs to use
// a running dev. Its form is a contract. A part that is not built is null,
// never absent and never empty, so that a reader can tell "none" from "not yet".
type Dev struct {
	URL        string      `json:"url"`
	PID        int         `json:"pid"`
	Control    Control     `json:"control"`
	Trail      Trail       `json:"trail"`
	LDAP       LDAP        `json:"ldap"`
	RADIUS     *RADIUS     `json:"radius"`
	Networks   []Network   `json:"networks"`
	Terminals  []Terminal  `json:"terminals"`
	People     []Person    `json:"people"`
	Clients    []Client    `json:"clients"`
	Apps       []App       `json:"apps"`
	Privileges []Privilege `json:"privileges"`
}

// Control is the listener that moves the clock. Token goes into
// "Authorization: Bearer".
type Control struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Trail holds the note verifier key that trailcheck takes.
type Trail struct {
	PublicKey string `json:"public_key"`
}

// LDAP is the embedded directory.
type LDAP struct {
	URL          string `json:"url"`
	BaseDN       string `json:"base_dn"`
	BindDN       string `json:"bind_dn"`
	BindPassword string `json:"bind_password"`
}

// RADIUS is the network door.
type RADIUS struct {
	Addr   string `json:"addr"`
	Secret string `json:"secret"`
}

// Network is an address range and the zone it lies in.
type Network struct {
	CIDR    string `json:"cidr"`
	Zone    string `json:"zone"`
	Outside bool   `json:"outside"`
}

// Terminal is a known machine and its key.
type Terminal struct {
	ID     string `json:"id"`
	Zone   string `json:"zone"`
	Class  string `json:"class"`
	KeyPEM string `json:"key_pem"`
}

// Person is one of the sample's people, with what it takes to sign in as them.
// TOTPSecret is null for those who have no device yet.
type Person struct {
	Login      string   `json:"login"`
	State      string   `json:"state"`
	DN         string   `json:"dn"`
	Mail       string   `json:"mail"`
	Password   string   `json:"password"`
	TOTPSecret *string  `json:"totp_secret"`
	Posts      []string `json:"posts"`
	Section    string   `json:"section"`
	MustChange bool     `json:"must_change"`
	Passkey    *Passkey `json:"passkey"`
}

// Passkey is a device-bound credential.
type Passkey struct {
	CredentialID string `json:"credential_id"`
	UserHandle   string `json:"user_handle"`
	PrivateKey   string `json:"private_key"`
}

// Client is an OpenID Connect client.
type Client struct {
	ClientID               string   `json:"client_id"`
	ClientSecret           string   `json:"client_secret"`
	AuthMethod             string   `json:"auth_method"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	Zone                   string   `json:"zone"`
}

// App is a sample application behind the gate.
type App struct {
	ID    string `json:"id"`
	URL   string `json:"url"`
	Host  string `json:"host"`
	Zone  string `json:"zone"`
	Class int    `json:"class"`
}

// Privilege is something that can be lent.
type Privilege struct {
	ID         string   `json:"id"`
	GroupDN    string   `json:"group_dn"`
	Eligible   []string `json:"eligible"`
	Approvers  []string `json:"approvers"`
	MaxMinutes int      `json:"max_minutes"`
	Quorum     int      `json:"quorum"`
	Emergency  bool     `json:"emergency"`
	TwoPerson  bool     `json:"two_person"`
}

// WriteDev replaces dev.json. dev does this last, so that a script which waits
// for the file finds everything it names already listening.
func (f Folder) WriteDev(d Dev) error {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("writing dev.json: %w", err)
	}
	return Write(f.DevJSON(), append(data, '\n'), 0o600)
}

// ReadDev reads dev.json as the last dev left it.
func (f Folder) ReadDev() (Dev, error) {
	var d Dev
	data, err := os.ReadFile(f.DevJSON())
	if err != nil {
		return Dev{}, say.Errorf("%[1]s を読めません（%[2]v）。`sekisho dev --data %[3]s` を一度動かしてください。",
			"cannot read %[1]s (%[2]v); run `sekisho dev --data %[3]s` once", f.DevJSON(), err, string(f))
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return Dev{}, fmt.Errorf("reading %s: %w", f.DevJSON(), err)
	}
	return d, nil
}

// Running is the dev at work on this folder, if there is one. The lock decides,
// not the process number in dev.json: after a crash that number may belong to
// somebody else's process.
func (f Folder) Running() (Dev, bool, error) {
	lock, err := f.Lock()
	switch {
	case err == nil:
		lock.Release()
		return Dev{}, false, nil
	case !errors.Is(err, ErrInUse):
		return Dev{}, false, err
	}
	d, err := f.ReadDev()
	if err != nil {
		return Dev{}, false, err
	}
	if unix.Kill(d.PID, 0) != nil {
		// Held, but not by the one who wrote dev.json: a dev that is starting.
		return Dev{}, false, ErrInUse
	}
	return d, true, nil
}
