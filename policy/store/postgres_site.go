package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A Site is a schema of a database on PostgreSQL, in which a store is built beside
// the one that the database has, and takes its place when it stands.
type Site struct {
	Store  Config // of the store that is being built
	cfg    Config
	schema string
}

// NewSite makes one. name is of small letters, digits and low lines.
func NewSite(ctx context.Context, cfg Config, name string) (*Site, error) {
	u, err := url.Parse(cfg.URL)
	if cfg.Driver != "postgres" || err != nil {
		return nil, errors.New("a site is made in a database on PostgreSQL alone")
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	s := &Site{cfg: cfg, Store: cfg, schema: name}
	s.Store.URL = u.String()
	return s, s.exec(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `CREATE SCHEMA `+quoted(name))
		return err
	})
}

// Leave removes what was built, unless it has taken its place.
func (s *Site) Leave(ctx context.Context) error {
	if s.schema == "" {
		return nil
	}
	return s.exec(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DROP SCHEMA IF EXISTS `+quoted(s.schema)+` CASCADE`)
		return err
	})
}

// Take puts what was built in the place of the store that is there, which goes
// aside under another name, in one transaction. fit may look at that one first, and
// refuse. kept is false where no store was there.
func (s *Site) Take(ctx context.Context, aside string, fit func(old Reader) error) (kept bool, err error) {
	err = s.exec(ctx, func(tx *sql.Tx) error {
		// As a gateway does that makes its tables: nobody makes some meanwhile.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(`+lockKey+`)`, migrating); err != nil {
			return err
		}
		var place string
		if err := tx.QueryRowContext(ctx, `SELECT current_schema()::TEXT, to_regclass('goose_db_version') IS NOT NULL`).Scan(&place, &kept); err != nil {
			return err
		}
		if kept {
			if err := fit(inTx{tx}); err != nil {
				return err
			}
		}
		for _, q := range []string{
			`ALTER SCHEMA ` + quoted(place) + ` RENAME TO ` + quoted(aside),
			`ALTER SCHEMA ` + quoted(s.schema) + ` RENAME TO ` + quoted(place),
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		if kept {
			return nil
		}
		// Nothing was there: the empty schema need not stay. It is not ours to say
		// what becomes of something else that lies in it.
		if _, err := tx.ExecContext(ctx, `SAVEPOINT tidy`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DROP SCHEMA `+quoted(aside)); err != nil {
			_, err = tx.ExecContext(ctx, `ROLLBACK TO tidy`)
			return err
		}
		return nil
	})
	if err == nil {
		s.schema = ""
	}
	return kept, err
}

type inTx struct{ tx *sql.Tx }

func (t inTx) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, q, args...)
}

func (t inTx) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, q, args...)
}

// exec runs fn in a transaction on a connection of its own.
func (s *Site) exec(ctx context.Context, fn func(tx *sql.Tx) error) error {
	at, err := serverOf(s.cfg)
	if err != nil {
		return err
	}
	db := at.pool(1, nil)
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return lost(fmt.Errorf("connecting to %s: %w", at.place, err))
	}
	if err := fn(tx); err != nil {
		return errors.Join(lost(fmt.Errorf("building beside the store of %s: %w", at.place, err)), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return lost(fmt.Errorf("building beside the store of %s: %w", at.place, err))
	}
	return nil
}

func quoted(name string) string { return pgx.Identifier{strings.ToLower(name)}.Sanitize() }
