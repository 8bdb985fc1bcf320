package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql migrations/postgres/*.sql
var migrations embed.FS

// carried are the migrations of one engine that this binary carries.
type carried struct {
	files fs.FS
	dir   string
}

func migrationsOf(driver string) carried {
	if driver == "postgres" {
		return carried{migrations, "migrations/postgres"}
	}
	return carried{migrations, "migrations/sqlite"}
}

// ErrNewer says that a later Sekisho has worked on this store, and that it must
// not be worked on by this one: it could drop what the later one relies on.
var ErrNewer = errors.New("the store was written by a newer Sekisho")

// newer is the sentence an operator reads.
type newer struct {
	place                  string
	stored, newest, oldest int64
}

func (n newer) Error() string {
	return fmt.Sprintf("%s has schema version %d, which a sekisho that knows version %d can work on, but this one knows only up to version %d: "+
		"start the newer sekisho that wrote it, or restore a backup made before the upgrade", n.place, n.stored, n.oldest, n.newest)
}

func (newer) Is(target error) bool { return target == ErrNewer }

// steps reads the migrations.
func (c carried) steps() (fs.FS, []int64, error) {
	files, err := fs.Sub(c.files, c.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return nil, nil, fmt.Errorf("reading the embedded migrations: there are none (%w)", err)
	}
	var versions []int64
	for _, name := range names {
		v, err := goose.NumericComponent(name)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the embedded migrations: %w", err)
		}
		versions = append(versions, v)
	}
	slices.Sort(versions)
	return files, versions, nil
}

// up brings the schema to the newest version carried. It runs alone.
func (c carried) up(ctx context.Context, dialect goose.Dialect, db *sql.DB) error {
	files, versions, err := c.steps()
	if err != nil {
		return err
	}
	steps, err := goose.NewProvider(dialect, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("reading the embedded migrations: %w", err)
	}
	if _, err := steps.Up(ctx); err != nil {
		return fmt.Errorf("migrating to schema version %d: %w", versions[len(versions)-1], err)
	}
	return nil
}

// A schema is what stands in the store.
type schema struct {
	stored int64 // the newest migration applied
	ours   int   // how many of those that we carry are applied
}

// upToDate compares the stored schema with the migrations carried. True: there
// is nothing to do, because all of ours are applied and those that a newer
// Sekisho has added leave ours working.
func (c carried) upToDate(ctx context.Context, db *sql.DB, place string) (bool, error) {
	_, versions, err := c.steps()
	if err != nil {
		return false, err
	}
	newest := versions[len(versions)-1]
	var s schema
	err = db.QueryRowContext(ctx, `
		SELECT COALESCE(MAX(version_id), 0), COUNT(DISTINCT CASE WHEN version_id <= $1 THEN version_id END)
		FROM   goose_db_version
		WHERE  version_id > 0 AND is_applied`, newest).Scan(&s.stored, &s.ours)
	if err != nil {
		return false, fmt.Errorf("reading the schema version: %w", err)
	}
	if s.stored <= newest {
		return s.stored == newest && s.ours == len(versions), nil
	}
	if s.ours != len(versions) {
		return false, fmt.Errorf("%s has schema version %d, but lacks a migration that this sekisho carries: it was made by another build", place, s.stored)
	}
	// A later migration says how old a Sekisho may go on working beside it.
	oldest := s.stored
	if err := db.QueryRowContext(ctx, `SELECT oldest FROM schema_floor WHERE id = 1`).Scan(&oldest); err != nil {
		return false, fmt.Errorf("%w (%w)", newer{place, s.stored, newest, oldest}, err)
	}
	if oldest > newest {
		return false, newer{place, s.stored, newest, oldest}
	}
	return true, nil
}

// stillFits is asked while working: a newer Sekisho may have migrated meanwhile.
func stillFits(ctx context.Context, db *sql.DB, c carried, place string) error {
	_, err := c.upToDate(ctx, db, place)
	return err
}
