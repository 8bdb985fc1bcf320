package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"
)

// migrating is the lock under which one gateway migrates while others wait.
const migrating = "sekisho.migrate"

// migratePostgres brings the schema to the newest version this binary carries.
// The lock is the session's, not a transaction's: each step is a transaction of
// its own. It ends with the connection if need be.
func migratePostgres(ctx context.Context, s *server, from carried) error {
	// One connection holds the lock and goose uses the other. A step may take
	// long, and so may waiting for it.
	db := s.pool(2, map[string]string{"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"})
	defer db.Close()
	done, err := postgresDone(ctx, s.place, db, from)
	if err != nil || done {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return lost(fmt.Errorf("connecting to %s: %w", s.place, err))
	}
	defer conn.Close() //nolint:errcheck // the pool is closed with it, and the lock with that
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(`+lockKey+`)`, migrating); err != nil {
		return lost(fmt.Errorf("waiting for another process to migrate: %w", err))
	}
	if done, err = postgresDone(ctx, s.place, db, from); err != nil || done {
		return err
	}
	// A step that locks several tables may meet a gateway at work that has them in another
	// order, and be the one that PostgreSQL turns back: nothing of the step has been kept.
	for try := 1; ; try++ {
		err := from.up(ctx, goose.DialectPostgres, db)
		if code(err) != deadlockDetected || try == mostDeadlocks {
			return lost(err)
		}
	}
}

// mostDeadlocks is how often in a row a migration gives way to gateways at work, each time
// after a second (deadlock_timeout).
const mostDeadlocks = 20

func postgresDone(ctx context.Context, place string, db *sql.DB, from carried) (bool, error) {
	known, err := knownPostgres(ctx, place, db)
	if err != nil || !known {
		return false, err
	}
	done, err := from.upToDate(ctx, db, place)
	return done, lost(err)
}

func knownPostgres(ctx context.Context, place string, db *sql.DB) (bool, error) {
	var known bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&known); err != nil {
		return false, lost(fmt.Errorf("reading the schema of %s: %w", place, err))
	}
	return known, nil
}

func lookPostgres(ctx context.Context, cfg Config) (View, error) {
	s, err := serverOf(cfg)
	if err != nil {
		return View{}, err
	}
	db := s.pool(1, nil)
	defer db.Close()
	made, err := knownPostgres(ctx, s.place, db)
	if err != nil {
		return View{}, err
	}
	v := View{Made: made}
	// -1 is no limit for a role or a database.
	err = db.QueryRowContext(ctx, `
		SELECT COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false),
		       LEAST(current_setting('max_connections')::INT - current_setting('superuser_reserved_connections')::INT,
		             NULLIF(r.rolconnlimit, -1), NULLIF(d.datconnlimit, -1))
		FROM   pg_roles r, pg_database d
		WHERE  r.rolname = current_user AND d.datname = current_database()`).Scan(&v.MayMake, &v.Connections)
	if err != nil {
		return View{}, lost(fmt.Errorf("asking %s what it lets us do: %w", s.place, err))
	}
	return v, nil
}
