package store

import (
	"context"
	"fmt"
	"slices"
)

// snapshot reads all of it from one moment of the file. Writers go on meanwhile;
// only the write-ahead log cannot be tidied while it lasts.
func (db *file) snapshot(ctx context.Context, fn func(s *Snapshot) error) error {
	conn, err := db.reads.Conn(ctx)
	if err != nil {
		return fmt.Errorf("opening a snapshot: %w", err)
	}
	defer func() { _ = conn.Close() }() // back to the pool
	if _, err := conn.ExecContext(ctx, `BEGIN DEFERRED`); err != nil {
		return fmt.Errorf("opening a snapshot: %w", err)
	}
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`) }() // nothing was written
	return fn(&Snapshot{conn})
}

// describe lists the file's tables, and which refer to which.
func (db *file) describe(ctx context.Context, from Reader) (tables []Table, refers map[string][]string, err error) {
	names, err := pairs(ctx, from, `
		SELECT name, '' FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	if err != nil {
		return nil, nil, err
	}
	refers = map[string][]string{}
	for _, n := range names {
		name := n[0]
		if slices.Contains(notCopied, name) {
			continue
		}
		columns, err := pairs(ctx, from, `SELECT name, type FROM pragma_table_info($1) ORDER BY cid`, name)
		if err != nil {
			return nil, nil, err
		}
		t, err := tableOf(name, columns)
		if err != nil {
			return nil, nil, err
		}
		tables = append(tables, t)
		to, err := pairs(ctx, from, `SELECT "table", '' FROM pragma_foreign_key_list($1)`, name)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range to {
			refers[name] = append(refers[name], r[0])
		}
	}
	return tables, refers, nil
}
