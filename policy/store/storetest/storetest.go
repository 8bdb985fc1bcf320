// Package storetest opens stores for tests: real ones, on a file, because an
// in-memory SQLite has no WAL, no second connection and nothing to lose.
package storetest

import (
	"path/filepath"
	"testing"

	"sekisho/policy/store"
)

// Open opens a fresh store that goes away with the test.
func Open(t testing.TB) *store.DB {
	t.Helper()
	return OpenWith(t, store.Config{})
}

// OpenWith is Open with a configuration. An empty Path becomes a file in the
// test's own folder.
func OpenWith(t testing.TB, cfg store.Config) *store.DB {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "sekisho.db")
	}
	db, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal("opening the store:", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error("closing the store:", err)
		}
	})
	return db
}
