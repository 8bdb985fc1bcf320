package terminal

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"sekisho/policy"
	"sekisho/policy/store"
)

// Invalid refuses a field of a terminal that somebody wants to enrol or remove.
// Where the id or the key is taken it is also an ErrExists, and where the key is
// dead an ErrLost.
type Invalid struct {
	Field string // id, zone, class, name or public_key
	Rule  string // required, malformed, unknown, two_persons, private, taken, lost or declared
	Says  policy.Words
	also  error
}

func (i *Invalid) Error() string { return "a terminal's " + i.Field + " is refused: " + i.Rule }

func (i *Invalid) Unwrap() error { return i.also }

func invalid(field, rule, ja, en string) *Invalid {
	return &Invalid{Field: field, Rule: rule, Says: policy.Words{JA: ja, EN: en}}
}

const (
	maxName = 64   // characters
	maxKey  = 4096 // bytes; a P-256 key in PEM has 178
)

// plainID is an id as the policy takes it.
var plainID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// Enrol adds a terminal of class counter or lent, by t.AddedBy: its ID, Zone,
// Class and Name, and the key it signs with, "" for a machine that cannot speak
// for itself. *Invalid refuses a field.
func (r *Register) Enrol(ctx context.Context, tx *store.Tx, t Terminal, publicKeyPEM string) error {
	pol := r.pol()
	if bad := refuse(pol, &t); bad != nil {
		return bad
	}
	key, bad := readKey(publicKeyPEM)
	if bad != nil {
		return bad
	}
	t.Key = ""
	text := ""
	if key != nil {
		var err error
		if t.Key, err = fingerprint(key); err != nil {
			return err
		}
		if text, err = written(key); err != nil {
			return err
		}
	}
	if bad := collides(pol, t); bad != nil {
		return bad
	}
	if err := r.dead(ctx, tx, t); err != nil {
		return err
	}
	err := tx.ExecOne(ctx, `
		INSERT INTO terminal (id, zone, class, name_ja, name_en, public_key, fingerprint, added_at, added_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		t.ID, string(t.Zone), t.Class, t.Name.JA, t.Name.EN, text, t.Key, store.Micros(r.now()), t.AddedBy)
	if errors.Is(err, store.ErrUntouched) {
		byID, err := taken(ctx, tx, t.ID)
		if err != nil {
			return fmt.Errorf("enrolling terminal %s: %w", t.ID, err)
		}
		return exists(byID)
	}
	if err != nil {
		return fmt.Errorf("enrolling terminal %s: %w", t.ID, err)
	}
	return nil
}

// refuse looks at what needs no key and no store, and brings the name into the
// form in which it is kept.
func refuse(pol *policy.Policy, t *Terminal) *Invalid {
	if !plainID.MatchString(t.ID) {
		return invalid("id", "malformed",
			"idは英小文字で始まり、英小文字・数字・_・- だけの63文字までとしてください。",
			"An id begins with a-z and has only a-z, 0-9, _ and -, at most 63.")
	}
	if _, served := pol.Zone(t.Zone); !served {
		return invalid("zone", "unknown",
			"この領域は、このゲートウェイでは扱っていません。",
			"This gateway does not serve that zone.")
	}
	switch {
	case t.Class == policy.TerminalDedicated:
		// Article 26no3-1: its word stands in for a factor, and nobody makes
		// themselves powerful alone.
		return invalid("class", "two_persons",
			"専用端末機は、方針に書いて二人で承認します。ここでは窓口用と貸与用だけを登録できます。",
			"A dedicated terminal is declared in the policy, which takes two persons. Only counter and lent ones are enrolled here.")
	case !slices.Contains(policy.TerminalClasses(), t.Class):
		return invalid("class", "unknown",
			"端末機の種類を、窓口用か貸与用から選んでください。",
			"Choose the kind of terminal: counter or lent.")
	}
	var proper bool
	if t.Name.JA, proper = properName(t.Name.JA); !proper {
		return badName()
	}
	if t.Name.EN, proper = properName(t.Name.EN); !proper {
		return badName()
	}
	if t.Name.JA == "" {
		return invalid("name", "required",
			"端末機の名前を日本語で入力してください。",
			"Give the terminal a name in Japanese.")
	}
	return nil
}

func badName() *Invalid {
	return invalid("name", "malformed",
		"この名前は使えません。64文字までのふつうの文字で付けてください。",
		"This name cannot be used. Give one of at most 64 ordinary characters.")
}

// properName is a name as kept: NFC, without the spaces around it, and without
// characters that could make one line of a list look like another.
func properName(name string) (string, bool) {
	if len(name) > 4*maxName || !utf8.ValidString(name) {
		return "", false
	}
	name = strings.TrimSpace(norm.NFC.String(name))
	disturbs := strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
	})
	return name, !disturbs && utf8.RuneCountInString(name) <= maxName
}

// readKey reads the key that somebody pasted; nil for none. What it refuses is
// never repeated: people paste private keys where public ones belong.
func readKey(text string) (*ecdsa.PublicKey, *Invalid) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if strings.Contains(text, "PRIVATE KEY") {
		return nil, invalid("public_key", "private",
			"これは秘密鍵です。端末機の外に出してはいけません。鍵を作り直し、公開鍵を入力してください。",
			"This is a private key, which must not leave its terminal. Make a new pair and enter the public key.")
	}
	var key *ecdsa.PublicKey
	if len(text) <= maxKey {
		key, _ = keyOf(text)
	}
	if key == nil {
		return nil, invalid("public_key", "malformed",
			"P-256の公開鍵をPEM（PUBLIC KEY）で入力してください。",
			"Enter a P-256 public key as PEM (PUBLIC KEY).")
	}
	return key, nil
}

// written is a key as kept, whatever stood around it when it was pasted.
func written(key *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("writing a terminal's key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// collides refuses the id and the key of a terminal that the policy declares.
func collides(pol *policy.Policy, t Terminal) *Invalid {
	for _, d := range pol.Terminals {
		if d.ID == t.ID {
			return exists(true)
		}
		if _, print := keyOf(d.PublicKey); t.Key != "" && print == t.Key {
			return exists(false)
		}
	}
	return nil
}

// dead refuses what was reported lost: a key on any terminal, and an id that
// would come back without a new key.
func (r *Register) dead(ctx context.Context, tx *store.Tx, t Terminal) error {
	gone, err := losses(ctx, tx, `WHERE terminal = $1 OR fingerprint = $2`, t.ID, t.Key)
	if err != nil || gone.of(t).IsZero() {
		return err
	}
	bad := invalid("public_key", "lost",
		"紛失の届出があった端末機です。新しい鍵を作り、その公開鍵で登録してください。",
		"This terminal or key was reported lost. Make a new key and enrol the terminal with it.")
	bad.also = ErrLost
	return bad
}

// exists refuses an id, or else a key, that is there already.
func exists(byID bool) *Invalid {
	bad := invalid("public_key", "taken",
		"この鍵は、ほかの端末機で登録されています。端末機ごとに鍵を作ってください。",
		"Another terminal is enrolled with this key. Each terminal has a key of its own.")
	if byID {
		bad = invalid("id", "taken",
			"このidの端末機は登録されています。",
			"A terminal of this id is enrolled already.")
	}
	bad.also = ErrExists
	return bad
}
