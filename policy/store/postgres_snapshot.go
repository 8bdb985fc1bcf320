package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
)

// snapshot reads all of it from one moment of the database. Nobody waits for it;
// only what was deleted meanwhile cannot be tidied while it lasts. It has a
// connection of its own: a large table may take longer to begin than other reads
// are given.
func (db *postgres) snapshot(ctx context.Context, fn func(s *Snapshot) error) error {
	pool := db.server.pool(1, map[string]string{"default_transaction_read_only": "on"})
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return lost(fmt.Errorf("opening a snapshot: %w", err))
	}
	defer conn.Close() //nolint:errcheck // back to the pool
	defer func() {
		if _, err := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // not to be used again
		}
	}()
	for _, q := range []string{
		`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`,
		// Whole tables are read, as fast as the other side takes them.
		`SET LOCAL statement_timeout = 0`, `SET LOCAL idle_in_transaction_session_timeout = '10min'`, `SET LOCAL enable_seqscan = on`,
	} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return lost(fmt.Errorf("opening a snapshot: %w", err))
		}
	}
	return lost(fn(&Snapshot{conn}))
}

// describe lists the tables of the schema that the store is in, and which refer to
// which.
func (db *postgres) describe(ctx context.Context, from Reader) (tables []Table, refers map[string][]string, err error) {
	const inSchema = ` JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema() WHERE `
	names, err := pairs(ctx, from, `SELECT c.relname::TEXT, '' FROM pg_class c`+inSchema+`c.relkind = 'r' ORDER BY 1`)
	if err != nil {
		return nil, nil, err
	}
	refers = map[string][]string{}
	for _, n := range names {
		name := n[0]
		if slices.Contains(notCopied, name) {
			continue
		}
		columns, err := pairs(ctx, from, `
			SELECT a.attname::TEXT, format_type(a.atttypid, a.atttypmod)
			FROM   pg_attribute a JOIN pg_class c ON c.oid = a.attrelid`+inSchema+`c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped
			ORDER  BY a.attnum`, name)
		if err != nil {
			return nil, nil, err
		}
		t, err := tableOf(name, columns)
		if err != nil {
			return nil, nil, err
		}
		tables = append(tables, t)
		to, err := pairs(ctx, from, `
			SELECT r.relname::TEXT, ''
			FROM   pg_constraint k JOIN pg_class r ON r.oid = k.confrelid JOIN pg_class c ON c.oid = k.conrelid`+inSchema+`k.contype = 'f' AND c.relname = $1`, name)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range to {
			refers[name] = append(refers[name], r[0])
		}
	}
	return tables, refers, nil
}
