package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

func step(n int, up string) map[string]*fstest.MapFile {
	return map[string]*fstest.MapFile{
		fmt.Sprintf("m/%04d_step.sql", n): {Data: []byte("-- +goose Up\n" + up + ";\n-- +goose Down\nSELECT 1;\n")},
	}
}

func steps(all ...map[string]*fstest.MapFile) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, s := range all {
		for name, f := range s {
			fsys[name] = f
		}
	}
	return fsys
}

func TestNewerStoreIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sekisho.db")
	one := step(1, `CREATE TABLE schema_floor (id BIGINT PRIMARY KEY, oldest BIGINT); INSERT INTO schema_floor VALUES (1, 1)`)
	two := step(2, `UPDATE schema_floor SET oldest = 2`)
	openWith := func(fsys fstest.MapFS) error {
		db, err := openWith(t.Context(), Config{Path: path}, carried{fsys, "m"})
		if err != nil {
			return err
		}
		return db.Close()
	}
	if err := openWith(steps(one)); err != nil {
		t.Fatal("fresh:", err)
	}
	if err := openWith(steps(one, two)); err != nil {
		t.Fatal("upgrade:", err)
	}
	err := openWith(steps(one))
	if !errors.Is(err, ErrNewer) {
		t.Fatalf("the older binary opened a newer store: %v", err)
	}
	want := path + " has schema version 2, which a sekisho that knows version 2 can work on, but this one knows only up to version 1: " +
		"start the newer sekisho that wrote it, or restore a backup made before the upgrade"
	if err.Error() != want {
		t.Errorf("it says\n%s\nwant\n%s", err, want)
	}
	if err := openWith(steps(one, two)); err != nil {
		t.Error("the newer binary again:", err)
	}
	// A binary built without a migration that an earlier one had carried.
	if err := openWith(steps(one, two, step(4, `SELECT 1`))); err != nil {
		t.Fatal(err)
	}
	if err := openWith(steps(one, two, step(3, `SELECT 1`), step(4, `SELECT 1`))); err == nil {
		t.Error("a migration that came late was passed over in silence")
	}
}

// TestMigrationIsDoneOnce: eight starts on one fresh file; steps that cannot be
// taken twice.
func TestMigrationIsDoneOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sekisho.db")
	fsys := steps(
		step(1, `CREATE TABLE clock (id BIGINT PRIMARY KEY)`),
		step(2, `INSERT INTO clock (id) VALUES (1)`),
		step(3, `CREATE TABLE other (id BIGINT PRIMARY KEY)`))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := openWith(context.Background(), Config{Path: path}, carried{fsys, "m"})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(db.Ping(context.Background()), db.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestMigrationsGoUpAndDown runs what is really embedded, there and back, and
// looks for leftovers.
func TestMigrationsGoUpAndDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	from, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	goes, err := goose.NewProvider(goose.DialectSQLite3, pool, from, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := goes.DownTo(t.Context(), 0); err != nil {
		t.Fatal("down:", err)
	}
	var left int
	if err := pool.QueryRowContext(t.Context(), `
		SELECT COUNT(*) FROM sqlite_master
		WHERE  name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite_%'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("going down left %d things behind, %v", left, err)
	}
	if _, err := goes.Up(t.Context()); err != nil {
		t.Error("up again:", err)
	}
}

func TestAssertDurable(t *testing.T) {
	for _, tt := range []struct{ name, pragma, says string }{
		{"as Open sets it", "", ""},
		{"synchronous NORMAL", "PRAGMA synchronous = NORMAL", "synchronous 1 where 2 is needed: a power cut could undo"},
		{"synchronous OFF", "PRAGMA synchronous = OFF", "synchronous 0 where 2 is needed"},
		{"a rollback journal", "PRAGMA journal_mode = DELETE", "journal_mode delete where wal is needed"},
		{"no foreign keys", "PRAGMA foreign_keys = 0", "foreign_keys 0 where 1 is needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			pool, err := sql.Open("sqlite", dsn(path, false))
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			conn, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if tt.pragma != "" {
				if _, err := conn.ExecContext(t.Context(), tt.pragma); err != nil {
					t.Fatal(err)
				}
			}
			err = assertDurable(t.Context(), conn, path)
			switch {
			case tt.says == "" && err != nil:
				t.Error("refused:", err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("it says %v, want %q", err, tt.says)
			}
		})
	}
}

// TestBusyTimeout: both pools wait for other processes.
func TestBusyTimeout(t *testing.T) {
	db, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, pool := range map[string]*sql.DB{"reads": db.engine.(*file).reads, "writes": db.engine.(*file).writes} {
		var ms int
		if err := pool.QueryRowContext(t.Context(), `PRAGMA busy_timeout`).Scan(&ms); err != nil || ms < 5000 {
			t.Errorf("%s wait %d ms, %v, want at least 5000", name, ms, err)
		}
	}
}

// TestCacheIsBounded: query texts made from data do not fill the memory, and
// what does not fit still runs.
func TestCacheIsBounded(t *testing.T) {
	db, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range maxStatements + 20 {
		q := fmt.Sprintf("SELECT %d", i)
		var got int
		if err := db.QueryRow(t.Context(), q).Scan(&got); err != nil || got != i {
			t.Fatalf("%s = %d, %v", q, got, err)
		}
		if err := db.WithTx(t.Context(), func(tx *Tx) error {
			return tx.QueryRow(t.Context(), q).Scan(&got)
		}); err != nil || got != i {
			t.Fatalf("%s in a transaction = %d, %v", q, got, err)
		}
	}
	if n := len(db.engine.(*file).prepared.byQ); n > maxStatements {
		t.Errorf("%d statements of the read pool are kept", n)
	}
}
