package custody

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

var (
	// ErrNeeded says that something still stands under a key that was to go.
	ErrNeeded = errors.New("something still stands under the key")
	// ErrNotReplaced says that a key is not one that can go: it is in use, or
	// was never.
	ErrNotReplaced = errors.New("the key has not been replaced")
	// ErrUnknown says that the book has no such key.
	ErrUnknown = errors.New("there is no such key")
)

// Lacking says that somebody's ring is not that of the store: it does not hold
// the key in use, or holds another one under its id.
type Lacking struct {
	Ring  Ring
	Key   string // id
	Other bool   // another key stands under that id
}

func (l *Lacking) Error() string {
	if l.Other {
		return fmt.Sprintf("the %s ring holds another key %s than the one this store is used with", l.Ring, l.Key)
	}
	return fmt.Sprintf("the %s ring lacks key %s, which this store is used with", l.Ring, l.Key)
}

// A Book is kept in the store.
type Book struct {
	db       *store.DB
	trail    *audit.Trail
	now      clock.Now
	register Register
}

// New opens the book of a store.
func New(db *store.DB, trail *audit.Trail, now clock.Now, r Register) *Book {
	return &Book{db: db, trail: trail, now: now, register: r}
}

// Keys reads the book, ring by ring, in the order in which keys were made.
func Keys(ctx context.Context, in store.Reader) ([]Key, error) {
	rows, err := in.Query(ctx, `SELECT ring, id, fingerprint, made_at, used_at, replaced_at, dropped_at FROM key_book`)
	if err != nil {
		return nil, fmt.Errorf("reading the book of keys: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		var (
			k                             Key
			made, used, replaced, dropped int64
		)
		if err := rows.Scan(&k.Ring, &k.ID, &k.Fingerprint, &made, &used, &replaced, &dropped); err != nil {
			return nil, fmt.Errorf("reading the book of keys: %w", err)
		}
		k.MadeAt, k.UsedAt = store.FromMicros(made), store.FromMicros(used)
		k.ReplacedAt, k.DroppedAt = store.FromMicros(replaced), store.FromMicros(dropped)
		keys = append(keys, k)
	}
	inOrder(keys)
	return keys, rows.Err()
}

func of(ring Ring, keys []Key) []Key {
	return slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.Ring != ring })
}

// InUse is the key of a ring in use; false in a store that has none yet.
func InUse(ring Ring, keys []Key) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Ring == ring && k.State() == Current })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// Begin compares what somebody holds with the book, at the start. In a book that
// is empty what they hold is entered, the newest of each ring in use: of several
// that begin an empty store at once one is first, with all its rings, and the
// others are told *Lacking.
func (b *Book) Begin(ctx context.Context, held map[Ring][]Held) error {
	err := b.db.WithTx(ctx, func(tx *store.Tx) error {
		all, err := Keys(ctx, tx)
		if err != nil {
			return err
		}
		for _, ring := range slices.Sorted(maps.Keys(held)) {
			if len(all) == 0 {
				err = b.enterAll(ctx, tx, ring, held[ring])
			} else {
				err = b.compare(ctx, tx, ring, of(ring, all), held[ring])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	var lacking *Lacking
	if err != nil && !errors.As(err, &lacking) {
		return fmt.Errorf("comparing the keys with the store: %w", err)
	}
	return err
}

// enterAll enters the keys of an empty book: what was there before the book is
// no rotation, and not on the trail.
func (b *Book) enterAll(ctx context.Context, tx *store.Tx, ring Ring, held []Held) error {
	now := b.now()
	for i, h := range held {
		k := Key{Ring: ring, ID: h.ID, Fingerprint: h.Fingerprint, UsedAt: now, ReplacedAt: now}
		// Microseconds apart, so that they stay in their order.
		k.MadeAt = now.Add(time.Duration(i-len(held)) * time.Microsecond)
		if i == len(held)-1 {
			k.ReplacedAt = time.Time{}
		}
		if err := insert(ctx, tx, k); err != nil {
			return err
		}
	}
	return nil
}

// compare refuses a ring that is not the store's: one that lacks the key in use,
// or an older one under which something stands that cannot be done without.
func (b *Book) compare(ctx context.Context, tx *store.Tx, ring Ring, keys []Key, held []Held) error {
	for _, k := range keys {
		i := slices.IndexFunc(held, func(h Held) bool { return h.ID == k.ID })
		switch {
		case i >= 0 && held[i].Fingerprint != k.Fingerprint:
			return &Lacking{Ring: ring, Key: k.ID, Other: true}
		case i >= 0:
		case k.State() == Current:
			return &Lacking{Ring: ring, Key: k.ID}
		case k.State() == Retiring && ring == Sealing:
			ties, err := b.register.Ties(ctx, tx, k, b.now())
			if err != nil {
				return err
			}
			if slices.ContainsFunc(ties, func(t Tie) bool { return t.Count > 0 }) {
				return &Lacking{Ring: ring, Key: k.ID}
			}
		}
	}
	return nil
}

func insert(ctx context.Context, tx *store.Tx, k Key) error {
	return tx.ExecOne(ctx, `INSERT INTO key_book (ring, id, fingerprint, made_at, used_at, replaced_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		string(k.Ring), k.ID, k.Fingerprint, store.Micros(k.MadeAt), store.Micros(k.UsedAt), store.Micros(k.ReplacedAt))
}

func (b *Book) enter(ctx context.Context, tx *store.Tx, by, action string, ring Ring, id string, detail map[string]string) error {
	return b.trail.Append(ctx, tx, audit.Entry{
		Actor: by, Action: action, Object: string(ring) + "/" + id, Outcome: "ok", Articles: []policy.Article{"64-1"}, Detail: detail,
	})
}

// Meet enters keys that the book does not know as next, in the name of by.
func (b *Book) Meet(ctx context.Context, by string, ring Ring, held ...Held) error {
	err := b.db.WithTx(ctx, func(tx *store.Tx) error {
		all, err := Keys(ctx, tx)
		if err != nil {
			return err
		}
		keys, now := of(ring, all), b.now()
		for i, h := range held {
			if slices.ContainsFunc(keys, func(k Key) bool { return k.ID == h.ID }) {
				continue
			}
			if err := insert(ctx, tx, Key{Ring: ring, ID: h.ID, Fingerprint: h.Fingerprint, MadeAt: now.Add(time.Duration(i) * time.Microsecond)}); err != nil {
				return err
			}
			if err := b.enter(ctx, tx, by, "key.created", ring, h.ID, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("entering a %s key: %w", ring, err)
	}
	return nil
}

// Announce says what a gateway holds now, in the place of what it said before.
func (b *Book) Announce(ctx context.Context, gateway, name string, held map[Ring][]string) error {
	err := b.db.WithTx(ctx, func(tx *store.Tx) error {
		now := b.now()
		if _, err := tx.Exec(ctx, `DELETE FROM key_holder WHERE gateway = $1 OR seen_at < $2`, gateway, store.Micros(now.Add(-time.Hour))); err != nil {
			return err
		}
		for ring, ids := range held {
			for _, id := range ids {
				if _, err := tx.Exec(ctx, `INSERT INTO key_holder (gateway, name, ring, id, seen_at) VALUES ($1, $2, $3, $4, $5)`,
					gateway, name, string(ring), id, store.Micros(now)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("announcing the keys of this gateway: %w", err)
	}
	return nil
}

// Leave says that a gateway stops: nobody waits for it.
func (b *Book) Leave(ctx context.Context, gateway string) error {
	return b.db.WithTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM key_holder WHERE gateway = $1`, gateway)
		return err
	})
}

// Holders are the gateways that live, and what they hold.
func (b *Book) Holders(ctx context.Context) ([]Holder, error) { return holders(ctx, b.db, b.now()) }

// Living are the gateways that live in a store that the caller reads.
func Living(ctx context.Context, in store.Reader, now time.Time) ([]Holder, error) {
	return holders(ctx, in, now)
}

func holders(ctx context.Context, in store.Reader, now time.Time) ([]Holder, error) {
	rows, err := in.Query(ctx, `SELECT gateway, name, ring, id, seen_at FROM key_holder ORDER BY name, gateway, ring, id`)
	if err != nil {
		return nil, fmt.Errorf("reading who holds which key: %w", err)
	}
	defer rows.Close()
	var all []Holder
	for rows.Next() {
		var h Holder
		var seen int64
		if err := rows.Scan(&h.Gateway, &h.Name, &h.Ring, &h.ID, &seen); err != nil {
			return nil, fmt.Errorf("reading who holds which key: %w", err)
		}
		if h.SeenAt = store.FromMicros(seen); h.live(now) {
			all = append(all, h)
		}
	}
	return all, rows.Err()
}

// With is what belongs to taking a key into use: a transaction of its own kind,
// and what is done in it.
type With struct {
	Tx  func(ctx context.Context, fn func(*store.Tx) error) error
	Act func(ctx context.Context, tx *store.Tx, to Key) error
}

// Promote takes the newest key of a ring that every live gateway holds into use,
// if there is one. mine are the keys of whoever asks. with, unless nil, is done in
// the same transaction. waiting names who lacks a newer one still.
func (b *Book) Promote(ctx context.Context, ring Ring, mine []string, with *With) (id string, waiting []string, err error) {
	ask := func(in store.Reader) (string, []Key, error) {
		all, err := Keys(ctx, in)
		if err != nil {
			return "", nil, err
		}
		who, err := holders(ctx, in, b.now())
		if err != nil {
			return "", nil, err
		}
		keys := of(ring, all)
		id, waiting = Promotable(keys, who, mine, b.now())
		return id, keys, nil
	}
	// Asked outside first: an idle gateway writes nothing.
	if id, _, err = ask(b.db); err != nil || id == "" {
		return "", waiting, err
	}
	in := b.db.WithTx
	if with != nil {
		in = with.Tx
	}
	err = in(ctx, func(tx *store.Tx) error {
		var keys []Key
		if id, keys, err = ask(tx); err != nil || id == "" {
			return err
		}
		now := store.Micros(b.now())
		from, _ := InUse(ring, keys)
		to := keys[slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })]
		for _, k := range keys {
			if k.ID == id || k.State() != Current && k.State() != Next {
				continue
			}
			if k.State() == Next && k.MadeAt.After(to.MadeAt) {
				continue
			}
			if err := tx.ExecOne(ctx, `UPDATE key_book SET replaced_at = $1 WHERE ring = $2 AND id = $3 AND replaced_at = 0`, now, string(ring), k.ID); err != nil {
				return err
			}
		}
		if err := tx.ExecOne(ctx, `UPDATE key_book SET used_at = $1 WHERE ring = $2 AND id = $3 AND used_at = 0`, now, string(ring), id); err != nil {
			return err
		}
		if with != nil {
			if err := with.Act(ctx, tx, to); err != nil {
				return err
			}
		}
		return b.enter(ctx, tx, "system", "key.in_use", ring, id, map[string]string{"before": from.ID})
	})
	if errors.Is(err, store.ErrUntouched) {
		return "", nil, nil // another gateway was first
	}
	if err != nil {
		return "", nil, fmt.Errorf("taking a %s key into use: %w", ring, err)
	}
	return id, waiting, nil
}

// Drop lets a replaced key go: from then on no gateway holds it. ErrNeeded while
// something stands under it. Asked and decided in one transaction.
func (b *Book) Drop(ctx context.Context, by string, ring Ring, id string) error {
	return b.drop(ctx, by, ring, id, "key.dropped", func(ctx context.Context, tx *store.Tx, k Key) error {
		ties, err := b.register.Ties(ctx, tx, k, b.now())
		if err != nil {
			return err
		}
		if at, ok := DropAt(k, ties, b.register.uncounted(ring)); !ok || b.now().Before(at) {
			return ErrNeeded
		}
		return nil
	})
}

// Distrust lets a replaced key go with all that stands under it. It is for a
// ring of fingerprints that may be lost, whose owners sign in again.
func (b *Book) Distrust(ctx context.Context, by string, ring Ring, id string) error {
	return b.drop(ctx, by, ring, id, "key.distrusted", func(context.Context, *store.Tx, Key) error {
		if ring != Session {
			return ErrNeeded
		}
		return nil
	})
}

func (b *Book) drop(ctx context.Context, by string, ring Ring, id, action string, may func(context.Context, *store.Tx, Key) error) error {
	err := b.db.WithTx(ctx, func(tx *store.Tx) error {
		all, err := Keys(ctx, tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(k Key) bool { return k.Ring == ring && k.ID == id })
		switch {
		case i < 0:
			return ErrUnknown
		case all[i].State() != Retiring:
			return ErrNotReplaced
		}
		if err := may(ctx, tx, all[i]); err != nil {
			return err
		}
		if err := tx.ExecOne(ctx, `UPDATE key_book SET dropped_at = $1 WHERE ring = $2 AND id = $3 AND dropped_at = 0`,
			store.Micros(b.now()), string(ring), id); err != nil {
			return err
		}
		return b.enter(ctx, tx, by, action, ring, id, nil)
	})
	if err != nil {
		return fmt.Errorf("dropping %s key %s: %w", ring, id, err)
	}
	return nil
}

// An Account is a key with what is known of it.
type Account struct {
	Key
	Ties   []Tie
	DropAt time.Time // zero: no time can be told
	Held   []string  // names of the live gateways that hold it
}

// Accounts are all keys of the book with what stands under each.
func (b *Book) Accounts(ctx context.Context) ([]Account, error) {
	keys, err := Keys(ctx, b.db)
	if err != nil {
		return nil, err
	}
	who, err := b.Holders(ctx)
	if err != nil {
		return nil, err
	}
	var out []Account
	for _, k := range keys {
		a := Account{Key: k}
		if k.State() != Retired {
			if a.Ties, err = b.register.Ties(ctx, b.db, k, b.now()); err != nil {
				return nil, err
			}
			a.DropAt, _ = DropAt(k, a.Ties, b.register.uncounted(k.Ring))
		}
		for _, h := range who {
			if h.Ring == k.Ring && h.ID == k.ID {
				a.Held = append(a.Held, h.Name)
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// DropEnded lets all replaced keys of a ring go whose time has come.
func (b *Book) DropEnded(ctx context.Context, ring Ring) error {
	all, err := Keys(ctx, b.db)
	if err != nil {
		return err
	}
	for _, k := range of(ring, all) {
		if k.State() != Retiring || b.now().Before(k.ReplacedAt.Add(b.register.uncounted(ring))) {
			continue
		}
		ties, err := b.register.Ties(ctx, b.db, k, b.now())
		if err != nil {
			return err
		}
		if at, ok := DropAt(k, ties, b.register.uncounted(ring)); !ok || b.now().Before(at) {
			continue
		}
		if err := b.Drop(ctx, "system", ring, k.ID); err != nil && !errors.Is(err, ErrNeeded) && !errors.Is(err, ErrNotReplaced) {
			return err
		}
	}
	return nil
}

// Follow makes a ring in memory what the book says: it uses the key in use and
// forgets those that were dropped. *Lacking when it does not hold the one in use.
func Follow(ring Ring, keys []Key, held *secret.KeyRing) error {
	for _, k := range of(ring, keys) {
		if k.State() != Current || held.CurrentID() == k.ID {
			continue
		}
		if held.Use(k.ID) != nil {
			return &Lacking{Ring: ring, Key: k.ID}
		}
	}
	for _, k := range of(ring, keys) {
		if k.State() == Retired {
			held.Forget(k.ID)
		}
	}
	return nil
}

// HeldOf is what a ring in memory holds.
func HeldOf(ring *secret.KeyRing) []Held {
	var out []Held
	for _, id := range ring.IDs() {
		out = append(out, Held{ID: id, Fingerprint: ring.Fingerprint(id)})
	}
	return out
}
