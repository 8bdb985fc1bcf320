package passkey

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"

	"sekisho/directory"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// A credential is the part of a key that decides, and so is sealed. Four of its
// fields stand in the row as well, where the database needs them; each must say
// the same in both places.
type credential struct {
	Person       directory.PersonID `json:"person"`
	CredentialID []byte             `json:"credential_id"`
	Handle       []byte             `json:"handle"` // what the authenticator knows the person by
	PublicKey    []byte             `json:"public_key"`
	AAGUID       []byte             `json:"aaguid"`
	Synced       bool               `json:"synced"`
	Attested     bool               `json:"attested"`
	Count        uint32             `json:"count"`
	AddedAt      int64              `json:"added_at"` // a new key rests before it approves: its age decides, too
}

// A held key is one row, its seal found whole.
type held struct {
	credential
	id, name   string
	lastUsedAt int64
}

const aaguidSize = 16

const columns = `id, person, credential_id, credential, sign_count, name, added_at, last_used_at`

// read takes a row apart and compares what is open with what is sealed.
func (k *Keys) read(scan func(...any) error) (held, error) {
	var h held
	var person string
	var credentialID, sealed []byte
	var count, added int64
	if err := scan(&h.id, &person, &credentialID, &sealed, &count, &h.name, &added, &h.lastUsedAt); err != nil {
		return held{}, err
	}
	plain, err := k.ring.Open(place(h.id), sealed)
	if err != nil {
		return held{}, fmt.Errorf("opening passkey %s: %w", h.id, err)
	}
	if err := json.Unmarshal(plain, &h.credential); err != nil {
		return held{}, fmt.Errorf("reading passkey %s: %w", h.id, err)
	}
	c := h.credential
	if string(c.Person) != person || !bytes.Equal(c.CredentialID, credentialID) || int64(c.Count) != count || c.AddedAt != added {
		return held{}, fmt.Errorf("the row of passkey %s was changed: %w", h.id, secret.ErrSealBroken)
	}
	return h, nil
}

func (k *Keys) seal(id string, c credential) ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing a passkey: %w", err)
	}
	sealed, err := k.ring.Seal(place(id), plain)
	if err != nil {
		return nil, fmt.Errorf("sealing a passkey: %w", err)
	}
	return sealed, nil
}

// place binds a sealed credential to its row.
func place(id string) secret.Place {
	return secret.Place{Table: "passkey", Column: "credential", Row: id}
}

func (h held) key() Key {
	return Key{
		ID: h.id, Name: h.name, AAGUID: model(h.AAGUID), Synced: h.Synced, Attested: h.Attested,
		AddedAt: store.FromMicros(h.AddedAt), LastUsedAt: store.FromMicros(h.lastUsedAt),
	}
}

// model is an AAGUID as people write it: a UUID (RFC 9562 section 4).
func model(aaguid []byte) string {
	if len(aaguid) != aaguidSize {
		aaguid = make([]byte, aaguidSize)
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", aaguid[:4], aaguid[4:6], aaguid[6:8], aaguid[8:10], aaguid[10:])
}

// insert adds a key in the caller's transaction: ErrTwice or ErrFull refuse it.
func (k *Keys) insert(ctx context.Context, tx *store.Tx, id string, c credential, name, transports string, backedUp bool) (Key, error) {
	sealed, err := k.seal(id, c)
	if err != nil {
		return Key{}, err
	}
	err = tx.ExecOne(ctx, `
		INSERT INTO passkey (id, person, credential_id, credential, sign_count, backed_up, transports, name, added_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
		WHERE  (SELECT COUNT(*) FROM passkey WHERE person = $2) < $10
		ON CONFLICT (credential_id) DO NOTHING`,
		id, string(c.Person), c.CredentialID, sealed, int64(c.Count), bit(backedUp), transports, name, c.AddedAt,
		k.pol().Passkey.MaxKeys)
	if errors.Is(err, store.ErrUntouched) {
		var there int
		if err := tx.QueryRow(ctx, `
			SELECT COUNT(*) FROM passkey WHERE credential_id = $1`, c.CredentialID).Scan(&there); err != nil {
			return Key{}, fmt.Errorf("looking for a passkey: %w", err)
		}
		if there > 0 {
			return Key{}, ErrTwice
		}
		return Key{}, ErrFull
	}
	if err != nil {
		return Key{}, fmt.Errorf("adding a passkey: %w", err)
	}
	return held{credential: c, id: id, name: name}.key(), nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// handle is what authenticators know the person by; nil when nobody has made it.
func handle(ctx context.Context, in store.Reader, person directory.PersonID) ([]byte, error) {
	var h []byte
	err := in.QueryRow(ctx, `SELECT handle FROM passkey_user WHERE person = $1`, string(person)).Scan(&h)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a user handle: %w", err)
	}
	return h, nil
}

// giveHandle keeps a handle for a person who has none yet.
func (k *Keys) giveHandle(ctx context.Context, tx *store.Tx, person directory.PersonID, h []byte) error {
	if _, err := tx.Exec(ctx, `
		INSERT INTO passkey_user (person, handle, made_at) VALUES ($1, $2, $3) ON CONFLICT (person) DO NOTHING`,
		string(person), h, store.Micros(k.now())); err != nil {
		return fmt.Errorf("keeping a user handle: %w", err)
	}
	return nil
}

// descriptors name the person's keys to a browser.
func (k *Keys) descriptors(ctx context.Context, person directory.PersonID) ([]protocol.CredentialDescriptor, error) {
	rows, err := k.db.Query(ctx, `
		SELECT   credential_id, transports
		FROM     passkey
		WHERE    person = $1
		ORDER BY added_at, id`, string(person))
	if err != nil {
		return nil, fmt.Errorf("reading passkeys: %w", err)
	}
	defer rows.Close()
	var out []protocol.CredentialDescriptor
	for rows.Next() {
		d := protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType}
		var id []byte
		var transports string
		if err := rows.Scan(&id, &transports); err != nil {
			return nil, fmt.Errorf("reading passkeys: %w", err)
		}
		d.CredentialID = id
		for t := range strings.FieldsSeq(transports) {
			d.Transport = append(d.Transport, protocol.AuthenticatorTransport(t))
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading passkeys: %w", err)
	}
	return out, nil
}
