package terminal

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sekisho/policy"
	"sekisho/policy/store"
)

// fingerprint names a key: two encodings of one key have one.
func fingerprint(key *ecdsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("fingerprinting a terminal's key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// keyOf reads a key and names it. A text without a readable key has none, and
// its terminal cannot speak.
func keyOf(text string) (*ecdsa.PublicKey, string) {
	key, err := policy.Terminal{PublicKey: text}.Key()
	if err != nil {
		return nil, ""
	}
	print, err := fingerprint(key)
	if err != nil {
		return nil, ""
	}
	return key, print
}

// declared is a terminal of the policy.
func declared(t policy.Terminal) (Terminal, *ecdsa.PublicKey) {
	key, print := keyOf(t.PublicKey)
	return Terminal{ID: t.ID, Zone: t.Zone, Class: t.Class, Name: t.Name, Key: print, Declared: true}, key
}

const columns = `id, zone, class, name_ja, name_en, public_key, added_at, added_by`

// scan reads a terminal that an administrator enrolled.
func scan(row interface{ Scan(...any) error }) (Terminal, *ecdsa.PublicKey, error) {
	var (
		t     Terminal
		text  string
		added int64
	)
	if err := row.Scan(&t.ID, &t.Zone, &t.Class, &t.Name.JA, &t.Name.EN, &text, &added, &t.AddedBy); err != nil {
		return Terminal{}, nil, err
	}
	t.AddedAt = store.FromMicros(added)
	var key *ecdsa.PublicKey
	key, t.Key = keyOf(text)
	return t, key, nil
}

// find is a terminal and its key, nil where it has none. The policy's word about
// an id is the whole word: a row of the same id lends it nothing, least of all
// the key that one person alone chose.
func (r *Register) find(ctx context.Context, in store.Reader, id string) (Terminal, *ecdsa.PublicKey, error) {
	if !plainID.MatchString(id) {
		return Terminal{}, nil, ErrNotFound // and no stranger's bytes in a statement
	}
	var (
		t   Terminal
		key *ecdsa.PublicKey
		err error
	)
	if d, ok := r.pol().Terminal(id); ok {
		t, key = declared(d)
	} else if t, key, err = scan(in.QueryRow(ctx, `SELECT `+columns+` FROM terminal WHERE id = $1`, id)); errors.Is(err, sql.ErrNoRows) {
		return Terminal{}, nil, ErrNotFound
	} else if err != nil {
		return Terminal{}, nil, fmt.Errorf("reading terminal %s: %w", id, err)
	}
	gone, err := losses(ctx, in, `WHERE terminal = $1 OR fingerprint = $2`, t.ID, t.Key)
	if err != nil {
		return Terminal{}, nil, err
	}
	t.LostAt = gone.of(t)
	var at int64
	err = in.QueryRow(ctx, `SELECT seen_at FROM terminal_seen WHERE terminal = $1`, id).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Terminal{}, nil, fmt.Errorf("reading when terminal %s spoke: %w", id, err)
	}
	t.SeenAt = store.FromMicros(at)
	return t, key, nil
}

// lost is what was reported lost, and when, by key and by terminal.
type lost struct{ keys, terminals map[string]time.Time }

// of says since when a terminal is lost. Its key decides. One without a key
// stays lost once it was: it comes back with a new key and not without.
func (l lost) of(t Terminal) time.Time {
	if t.Key != "" {
		return l.keys[t.Key]
	}
	return l.terminals[t.ID]
}

func losses(ctx context.Context, in store.Reader, where string, args ...any) (lost, error) {
	l := lost{map[string]time.Time{}, map[string]time.Time{}}
	rows, err := in.Query(ctx, `SELECT terminal, fingerprint, lost_at FROM terminal_lost `+where+` ORDER BY lost_at`, args...)
	if err != nil {
		return l, fmt.Errorf("reading lost terminals: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id, key string
			at      int64
		)
		if err := rows.Scan(&id, &key, &at); err != nil {
			return l, fmt.Errorf("reading lost terminals: %w", err)
		}
		l.terminals[id] = store.FromMicros(at)
		if key != "" {
			l.keys[key] = store.FromMicros(at)
		}
	}
	if err := rows.Err(); err != nil {
		return l, fmt.Errorf("reading lost terminals: %w", err)
	}
	return l, nil
}

// seen notes when a terminal spoke. It is never set back.
func seen(ctx context.Context, tx *store.Tx, id string, at time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO terminal_seen (terminal, seen_at) VALUES ($1, $2)
		ON CONFLICT (terminal) DO UPDATE SET seen_at = excluded.seen_at
		WHERE  terminal_seen.seen_at < excluded.seen_at`, id, store.Micros(at))
	if err != nil {
		return fmt.Errorf("noting that terminal %s spoke: %w", id, err)
	}
	return nil
}
