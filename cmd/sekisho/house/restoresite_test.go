package house

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authz/restore"
	"sekisho/cmd/sekisho/say"
	"sekisho/policy/store"
)

// TestTakeLooksAgain: what became of the place between the first look and the exchange
// is seen at the exchange, and nothing is put in its place.
func TestTakeLooksAgain(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 4, 1, 8, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		warrant *restore.Warrant
		happens string // in the place, after it was looked at
		says    string // "": it is taken
	}{
		"an empty store":                 {},
		"one where rules came":           {nil, `INSERT INTO charter_version (number, source, digest, proposed_by, in_force_at) VALUES (1, x'00', 'd', 'system', 1)`, "became another one meanwhile"},
		"one that is used":               {warrant: &restore.Warrant{}},
		"one where somebody restored":    {&restore.Warrant{}, `UPDATE store_epoch SET epoch = epoch + 1`, "became another one meanwhile"},
		"one where a gate has come":      {&restore.Warrant{}, `INSERT INTO key_holder (gateway, name, ring, id, seen_at) VALUES ('g', 'gate-b', 'sealing', 'k', 1775032200000000)`, "gates are running on this store (gate-b)"},
		"one where a gate was long gone": {&restore.Warrant{}, `INSERT INTO key_holder (gateway, name, ring, id, seen_at) VALUES ('g', 'gate-b', 'sealing', 'k', 1775032000000000)`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := store.Config{Driver: "sqlite", Path: filepath.Join(t.TempDir(), "store")}
			in := func(at store.Config, q string) {
				t.Helper()
				db, err := store.Open(t.Context(), at)
				if err != nil {
					t.Fatal(err)
				}
				if q != "" {
					err = db.WithTx(t.Context(), func(tx *store.Tx) error {
						_, err := tx.Exec(t.Context(), q)
						return err
					})
				}
				if err := errors.Join(err, db.Close()); err != nil {
					t.Fatal(err)
				}
			}
			in(place, "")
			r := &Restore{Config: Config{Store: place}, warrant: c.warrant}
			if err := r.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			site, err := newFileSite(r)
			if err != nil {
				t.Fatal(err)
			}
			in(site.at(), "")
			if c.happens != "" {
				in(place, c.happens)
			}
			before, err := os.Stat(place.Path)
			if err != nil {
				t.Fatal(err)
			}
			aside, err := site.take(t.Context(), now)
			after, gone := os.Stat(place.Path)
			if gone != nil {
				t.Fatal(gone)
			}
			taken := !os.SameFile(before, after)
			if c.says == "" && (err != nil || aside == "" || !taken) {
				t.Errorf("it was not taken: %q, %v", aside, err)
			}
			if c.says != "" && (err == nil || aside != "" || taken || !strings.Contains(say.In("en", err), c.says) || say.In("ja", err) == say.In("en", err)) {
				t.Errorf("it was taken (%v, %q), or says %v", taken, aside, err)
			}
		})
	}
}

// TestNobodyWorksOnAStoreSetAside: a gate does not begin on it, and its words say what
// to do.
func TestNobodyWorksOnAStoreSetAside(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 4, 1, 8, 30, 0, 0, time.UTC)
	g, err := groundOn(t, store.Config{Driver: "sqlite", Path: filepath.Join(t.TempDir(), "store")}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if err := g.inUse(t.Context()); err != nil {
		t.Errorf("a store in use: %v", err)
	}
	if err := g.DB.WithTx(t.Context(), func(tx *store.Tx) error { return store.SetAside(t.Context(), tx, now) }); err != nil {
		t.Fatal(err)
	}
	err = g.inUse(t.Context())
	if err == nil || !strings.Contains(say.In("en", err), "at 2026-04-01T08:30:00Z: wait") || !strings.Contains(say.In("ja", err), "退けられました") {
		t.Errorf("it says %v", err)
	}
	r := &Restore{Actor: "oda"}
	if err := r.takeBack(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := g.inUse(t.Context()); err != nil {
		t.Errorf("taken back: %v", err)
	}
}
