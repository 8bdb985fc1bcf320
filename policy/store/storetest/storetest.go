// Package storetest opens stores for tests: real ones. SQLite is on a file,
// because an in-memory one has no WAL, no second connection and nothing to lose;
// PostgreSQL is a server that this process starts, or that the run has started.
//
// SEKISHO_TEST_STORE=postgres puts every test's store on PostgreSQL.
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sekisho/policy/store"
	"sekisho/test/postgres"
)

// Engine names the kind of database that tests use unless they say which.
func Engine() string {
	if os.Getenv("SEKISHO_TEST_STORE") == "postgres" {
		return "postgres"
	}
	return "sqlite"
}

// Open opens a fresh store that goes away with the test.
func Open(t testing.TB) *store.DB {
	t.Helper()
	return OpenWith(t, store.Config{})
}

// OpenWith is Open with a configuration. Where it names no place, the store is a
// fresh one, of Config.Driver or else of Engine. A Path without a Driver is a
// name for a place, as in At.
func OpenWith(t testing.TB, cfg store.Config) *store.DB {
	t.Helper()
	at := cfg
	switch {
	case cfg.URL != "" || cfg.Path != "" && cfg.Driver != "":
	case cfg.Path != "":
		at = At(t, cfg.Path)
	case cfg.Driver != "":
		at = Place(t, cfg.Driver)
	default:
		at = Place(t, Engine())
	}
	cfg.Driver, cfg.Path, cfg.URL, cfg.FsyncOff = at.Driver, at.Path, at.URL, at.FsyncOff
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = at.MaxConnections
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

var named struct {
	sync.Mutex
	places map[string]store.Config
}

// At is the place that a test calls path: that file, or a database that is made
// at the first call and found again at the next ones, as the file would be.
func At(t testing.TB, path string) store.Config {
	t.Helper()
	if Engine() == "sqlite" {
		return store.Config{Driver: "sqlite", Path: path}
	}
	named.Lock()
	defer named.Unlock()
	if at, there := named.places[path]; there {
		return at
	}
	if named.places == nil {
		named.places = map[string]store.Config{}
	}
	at := Place(t, Engine())
	named.places[path] = at
	return at
}

// Name spells a place for another process, and Named reads it there.
func Name(at store.Config) string { return at.Path + at.URL }

// Named is the place that Name has spelt.
func Named(name string) store.Config {
	if strings.HasPrefix(name, "postgres:") {
		return onPostgres(name)
	}
	return store.Config{Driver: "sqlite", Path: name}
}

// onPostgres has few connections: many tests share the server.
func onPostgres(url string) store.Config {
	return store.Config{Driver: "postgres", URL: url, FsyncOff: true, MaxConnections: 12}
}

// template is the database that fresh ones are copied from.
const template = "sekisho_template"

// Place is where a fresh store of a kind may be opened, once or by several
// handles. It goes away with the test.
func Place(t testing.TB, driver string) store.Config {
	t.Helper()
	if driver != "postgres" {
		return store.Config{Driver: "sqlite", Path: filepath.Join(t.TempDir(), "sekisho.db")}
	}
	server := postgres.Shared(t)
	at := func(database string) store.Config { return onPostgres(server.URL(database)) }
	if err := server.Template(t.Context(), template, func(database string) error {
		db, err := store.Open(t.Context(), at(database))
		if err != nil {
			return err
		}
		return db.Close()
	}); err != nil {
		t.Fatal("making the template:", err)
	}
	database, err := server.Database(t.Context(), template)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Drop(context.Background(), database); err != nil {
			t.Error(err)
		}
	})
	return at(database)
}
