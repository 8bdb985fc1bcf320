package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// ErrNewer says that a later Sekisho has worked on this store. Opening it with
// this one could drop what the later one relies on, so it is refused.
var ErrNewer = errors.New("the store was written by a newer Sekisho")

// newer is the sentence an operator reads.
type newer struct {
	path           string
	stored, newest int64
}

func (n newer) Error() string {
	return fmt.Sprintf("%s has schema version %d, but this sekisho knows only up to version %d: "+
		"start the newer sekisho that wrote it, or restore a backup made before the upgrade", n.path, n.stored, n.newest)
}

func (newer) Is(target error) bool { return target == ErrNewer }

// migrate brings the schema to the newest version this binary carries.
//
// Two processes may start on one file at the same moment. Goose reads the
// version and applies what is missing in separate transactions, so both would
// try the same step; a file lock beside the store lets one of them work and the
// other find it done. The store itself is never locked this way: closing any
// other descriptor of it would drop SQLite's own locks on it.
func migrate(ctx context.Context, path string, db *sql.DB, from fs.FS) error {
	steps, err := goose.NewProvider(goose.DialectSQLite3, db, from,
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the embedded migrations: %w", err)
	}
	sources := steps.ListSources()
	newest := sources[len(sources)-1].Version

	done, err := upToDate(ctx, path, db, newest, len(sources))
	if err != nil || done {
		return err
	}
	unlock, err := lockFile(path + ".migrate")
	if err != nil {
		return fmt.Errorf("waiting for another process to migrate: %w", err)
	}
	defer unlock()
	if done, err = upToDate(ctx, path, db, newest, len(sources)); err != nil || done {
		return err
	}
	if _, err := steps.Up(ctx); err != nil {
		return fmt.Errorf("migrating to schema version %d: %w", newest, err)
	}
	return nil
}

// upToDate compares the stored schema with the newest migration carried.
func upToDate(ctx context.Context, path string, db *sql.DB, newest int64, carried int) (bool, error) {
	var known int
	err := db.QueryRowContext(ctx,
		`SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("reading the schema: %w", err)
	}
	if known == 0 {
		return false, nil
	}
	var stored int64
	var applied int
	err = db.QueryRowContext(ctx, `
		SELECT COALESCE(MAX(version_id), 0), COUNT(DISTINCT version_id)
		FROM   goose_db_version
		WHERE  version_id > 0 AND is_applied`).Scan(&stored, &applied)
	if err != nil {
		return false, fmt.Errorf("reading the schema version: %w", err)
	}
	if stored > newest {
		return false, newer{path, stored, newest}
	}
	return stored == newest && applied == carried, nil
}

// lockFile takes an exclusive lock that ends with the process if need be. The
// file stays: removing it would let two processes hold locks on two files of
// the same name.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
