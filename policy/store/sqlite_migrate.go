package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/pressly/goose/v3"
)

// migrateSQLite brings the schema to the newest version this binary carries.
//
// Two processes may start on one file at the same moment. Goose reads the
// version and applies what is missing in separate transactions, so both would
// try the same step; a file lock beside the store lets one of them work and the
// other find it done. The store itself is never locked this way: closing any
// other descriptor of it would drop SQLite's own locks on it.
func migrateSQLite(ctx context.Context, path string, db *sql.DB, from carried) error {
	done, err := sqliteDone(ctx, path, db, from)
	if err != nil || done {
		return err
	}
	unlock, err := lockFile(path + ".migrate")
	if err != nil {
		return fmt.Errorf("waiting for another process to migrate: %w", err)
	}
	defer unlock()
	if done, err = sqliteDone(ctx, path, db, from); err != nil || done {
		return err
	}
	return from.up(ctx, goose.DialectSQLite3, db)
}

func sqliteDone(ctx context.Context, path string, db *sql.DB, from carried) (bool, error) {
	var known int
	err := db.QueryRowContext(ctx,
		`SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("reading the schema: %w", err)
	}
	if known == 0 {
		return false, nil
	}
	return from.upToDate(ctx, db, path)
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
