package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// algorithm is of the keys that are made; a row says which its own key is for.
const algorithm = "ES256"

// Open reads the signing keys, making the first one in an empty store. Of
// several gateways that start at once, all come to use the same key.
func Open(ctx context.Context, db *store.DB, ring *secret.KeyRing, trail *audit.Trail, now clock.Now) (*Keys, error) {
	k := &Keys{db: db, ring: ring, trail: trail, now: now, life: DefaultLife, private: map[string]*ecdsa.PrivateKey{}}
	if err := k.makeFirst(ctx); err != nil {
		return nil, err
	}
	return k, k.Refresh(ctx)
}

// Lengthen keeps retiring keys for tokens that live as long as d, where that is
// longer than what they are kept for. Every gateway of a store must say the same.
func (k *Keys) Lengthen(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.life.Longest = max(k.life.Longest, d)
}

// Life is what these keys live by.
func (k *Keys) Life() Life {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.life
}

// Run follows the store and turns to the next key when its time comes, until ctx
// ends. What fails is tried again.
func (k *Keys) Run(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := errors.Join(k.Refresh(ctx), k.Turn(ctx))
		if err != nil && ctx.Err() == nil && !failing {
			slog.Warn("signing keys cannot be followed; it is tried again", "error", err)
		}
		failing = err != nil
	}
}

// List reads which keys there are, in the order of their use.
func List(ctx context.Context, in store.Reader) ([]Key, error) {
	rows, err := in.Query(ctx, `SELECT kid, alg, created_at, used_from, begun_at, ends_at FROM signing_key`)
	if err != nil {
		return nil, fmt.Errorf("reading signing keys: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		var (
			key                     Key
			made, from, begun, ends int64
		)
		if err := rows.Scan(&key.ID, &key.Alg, &made, &from, &begun, &ends); err != nil {
			return nil, fmt.Errorf("reading signing keys: %w", err)
		}
		if from == 0 { // written by a Sekisho that used a key from its making on
			from = made
		}
		key.Made, key.From = store.FromMicros(made), store.FromMicros(from)
		if begun > 0 {
			key.Begun = store.FromMicros(begun)
		}
		if ends > 0 {
			key.Ends = store.FromMicros(ends)
		}
		keys = append(keys, key)
	}
	inOrder(keys)
	return keys, rows.Err()
}

// Refresh takes over what the store says now.
func (k *Keys) Refresh(ctx context.Context) error {
	keys, err := List(ctx, k.db)
	if err != nil {
		return err
	}
	k.mu.RLock()
	private := make(map[string]*ecdsa.PrivateKey, len(keys))
	for _, key := range keys {
		private[key.ID] = k.private[key.ID]
	}
	k.mu.RUnlock()
	for kid, held := range private {
		if held != nil {
			continue
		}
		if private[kid], err = k.open(ctx, kid); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.private = keys, private
	return nil
}

func (k *Keys) open(ctx context.Context, kid string) (*ecdsa.PrivateKey, error) {
	var sealed []byte
	if err := k.db.QueryRow(ctx, `SELECT sealed FROM signing_key WHERE kid = $1`, kid).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("reading signing key %s: %w", kid, err)
	}
	der, err := k.ring.Open(place(kid), sealed)
	if err != nil {
		return nil, fmt.Errorf("opening signing key %s: %w", kid, err)
	}
	defer clear(der)
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading signing key %s: %w", kid, err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("signing key %s is not a P-256 key", kid)
	}
	return ec, nil
}

func place(kid string) secret.Place {
	return secret.Place{Table: "signing_key", Column: "sealed", Row: kid}
}

// makeFirst makes the key of an empty store.
func (k *Keys) makeFirst(ctx context.Context) error {
	err := k.db.WithTx(ctx, func(tx *store.Tx) error {
		keys, err := List(ctx, tx)
		if err != nil || len(keys) > 0 {
			return err
		}
		_, err = k.add(ctx, tx, "system", k.now(), map[string]string{})
		return err
	})
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}
	return nil
}

// add makes a key in the caller's transaction, with its entry.
func (k *Keys) add(ctx context.Context, tx *store.Tx, by string, from time.Time, detail map[string]string) (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, err
	}
	defer clear(der)
	now := k.now()
	key := Key{ID: secret.Token(9), Alg: algorithm, Made: now, From: from}
	sealed, err := k.ring.Seal(place(key.ID), der)
	if err != nil {
		return Key{}, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO signing_key (kid, alg, sealed, created_at, used_from) VALUES ($1, $2, $3, $4, $5)`,
		key.ID, key.Alg, sealed, store.Micros(now), store.Micros(from)); err != nil {
		return Key{}, err
	}
	detail["used_from"] = from.UTC().Format(time.RFC3339)
	return key, k.trail.Append(ctx, tx, entry(by, "key.created", key.ID, detail))
}

func entry(by, action, kid string, detail map[string]string) audit.Entry {
	return audit.Entry{
		Actor: by, Action: action, Object: "signing/" + kid, Outcome: "ok", Articles: []policy.Article{"64-1"}, Detail: detail,
	}
}

// Turn does what the time asks for: makes the next key, tells the trail that one
// began, removes those whose last token has ended. Each is decided anew inside
// the transaction, so that of several gateways one does it.
func (k *Keys) Turn(ctx context.Context) error {
	k.mu.RLock()
	due := k.due(k.keys, k.now())
	k.mu.RUnlock()
	if !due {
		return nil
	}
	err := k.db.WithTx(ctx, func(tx *store.Tx) error {
		keys, err := List(ctx, tx)
		if err != nil {
			return err
		}
		return k.turn(ctx, tx, keys, k.now())
	})
	if err != nil {
		return fmt.Errorf("turning to the next signing key: %w", err)
	}
	return k.Refresh(ctx)
}

func (k *Keys) due(keys []Key, now time.Time) bool {
	if _, due := k.life.Due(keys, now); due {
		return true
	}
	c := current(keys, now)
	for i, key := range keys {
		if k.life.State(keys, i, now) == Retired || i == c && key.Begun.IsZero() {
			return true
		}
	}
	return false
}

func (k *Keys) turn(ctx context.Context, tx *store.Tx, keys []Key, now time.Time) error {
	life := k.Life()
	if c := current(keys, now); c >= 0 && keys[c].Begun.IsZero() {
		err := tx.ExecOne(ctx, `UPDATE signing_key SET begun_at = $1 WHERE kid = $2 AND begun_at = 0`, store.Micros(now), keys[c].ID)
		if err == nil {
			err = k.trail.Append(ctx, tx, entry("system", "key.in_use", keys[c].ID, nil))
		}
		if err != nil && !errors.Is(err, store.ErrUntouched) {
			return err
		}
	}
	for i, key := range keys {
		if life.State(keys, i, now) != Retired {
			continue
		}
		err := tx.ExecOne(ctx, `DELETE FROM signing_key WHERE kid = $1`, key.ID)
		if err == nil {
			err = k.trail.Append(ctx, tx, entry("system", "key.dropped", key.ID, nil))
		}
		if err != nil && !errors.Is(err, store.ErrUntouched) {
			return err
		}
	}
	if from, due := life.Due(keys, now); due {
		_, err := k.add(ctx, tx, "system", from, map[string]string{})
		return err
	}
	return nil
}

// An Urgency is how a key is replaced before its time.
type Urgency int

const (
	// Planned publishes the new key for as long as any other before it signs.
	Planned Urgency = iota
	// Urgent lets it sign as soon as every gateway knows it. An application that
	// read the keys before refuses its tokens until it reads them again.
	Urgent
	// Distrusted is Urgent, and nothing that the keys before signed is good any
	// more.
	Distrusted
)

// ErrPending says that a new key is published already and begins by itself.
var ErrPending = errors.New("the next key is already published")

// Rotate makes a new key in the name of by. Planned, it is ErrPending where the
// next key is there already.
func (k *Keys) Rotate(ctx context.Context, by string, how Urgency) (Key, error) {
	var made Key
	err := k.db.WithTx(ctx, func(tx *store.Tx) error {
		keys, err := List(ctx, tx)
		if err != nil {
			return err
		}
		now := k.now()
		from, detail := now.Add(k.Life().Published), map[string]string{}
		for _, key := range keys {
			switch {
			case how == Planned && key.From.After(now):
				return ErrPending
			case how == Distrusted:
				if _, err := tx.Exec(ctx, `UPDATE signing_key SET ends_at = $1 WHERE kid = $2 AND ends_at = 0`, store.Micros(now), key.ID); err != nil {
					return err
				}
				if err := k.trail.Append(ctx, tx, entry(by, "key.distrusted", key.ID, nil)); err != nil {
					return err
				}
			case how == Urgent && key.From.After(now):
				// What waited for its day is overtaken: it would take over
				// from the new key later.
				if _, err := tx.Exec(ctx, `DELETE FROM signing_key WHERE kid = $1`, key.ID); err != nil {
					return err
				}
				if err := k.trail.Append(ctx, tx, entry(by, "key.dropped", key.ID, map[string]string{"why": "overtaken"})); err != nil {
					return err
				}
			}
		}
		switch how {
		case Urgent:
			from = now.Add(settle)
		case Distrusted:
			from = now
		}
		if how != Planned {
			detail["urgent"] = "true"
		}
		made, err = k.add(ctx, tx, by, from, detail)
		return err
	})
	if err != nil {
		return Key{}, fmt.Errorf("making a signing key: %w", err)
	}
	return made, k.Refresh(ctx)
}

// DistrustAgain ends a key that was distrusted before a restore brought it back, in the
// caller's transaction. false: it is not here, or has ended. Turn makes the next where no
// other signs.
func DistrustAgain(ctx context.Context, tx *store.Tx, kid string, now time.Time) (bool, error) {
	err := tx.ExecOne(ctx, `UPDATE signing_key SET ends_at = $1 WHERE kid = $2 AND ends_at = 0`, store.Micros(now), kid)
	if errors.Is(err, store.ErrUntouched) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("distrusting a signing key again: %w", err)
	}
	return true, nil
}
