package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Snapshot is the store at one moment, whatever is committed meanwhile. It
// lives as long as the function it was handed to.
type Snapshot struct{ conn *sql.Conn }

// Snapshot shows fn the store at one moment. Writers go on meanwhile.
func (db *DB) Snapshot(ctx context.Context, fn func(s *Snapshot) error) error {
	return db.engine.snapshot(ctx, fn)
}

// Schema is the version of the stored schema.
func (db *DB) Schema(ctx context.Context) (version int64, err error) {
	err = db.QueryRow(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	return version, nil
}

// Tables are those whose rows a copy carries, in an order in which they can be
// inserted.
func (db *DB) Tables(ctx context.Context) ([]Table, error) {
	tables, refers, err := db.engine.describe(ctx, db)
	if err != nil {
		return nil, err
	}
	return inOrder(tables, refers)
}

// Query reads rows as they were at that moment. Close them.
func (s *Snapshot) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	return s.conn.QueryContext(ctx, q, args...)
}

// QueryRow is Query for one row.
func (s *Snapshot) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	return s.conn.QueryRowContext(ctx, q, args...)
}

// The kinds of columns that both engines have.
const (
	Integer = "integer"
	Text    = "text"
	Blob    = "blob"
)

// A Column is one of a table that a copy carries.
type Column struct{ Name, Kind string }

// A Table is what a copy must know of one.
type Table struct {
	Name    string
	Columns []Column
	Order   string // the column by which rows must be inserted, "" for any
}

// numbered are columns that the database fills by itself, and counts anew in a
// copy.
var numbered = map[string]string{"trail_pending": "seq"}

// ordered are the tables whose rows are taken in one order only.
var ordered = map[string]string{
	"trail_pending": "seq", "trail_leaf": "idx", "trail_node": "position", "trail_checkpoint": "size", "charter_version": "number",
}

// notCopied is the schema's own: a copy has its own.
var notCopied = []string{"goose_db_version", "schema_floor"}

// inOrder puts tables behind those that they refer to.
func inOrder(tables []Table, refersTo map[string][]string) ([]Table, error) {
	slices.SortFunc(tables, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	var out []Table
	placed := map[string]bool{}
	for len(out) < len(tables) {
		before := len(out)
		for _, t := range tables {
			if placed[t.Name] || slices.ContainsFunc(refersTo[t.Name], func(to string) bool { return to != t.Name && !placed[to] }) {
				continue
			}
			placed[t.Name], out = true, append(out, t)
		}
		if len(out) == before {
			return nil, errors.New("tables refer to each other in a ring")
		}
	}
	return out, nil
}

// tableOf is a table with such columns and declared types.
func tableOf(name string, columns [][2]string) (Table, error) {
	t := Table{Name: name, Order: ordered[name]}
	for _, c := range columns {
		if numbered[name] == c[0] {
			continue
		}
		kind, err := kindOf(c[1])
		if err != nil {
			return t, fmt.Errorf("%s.%s: %w", name, c[0], err)
		}
		t.Columns = append(t.Columns, Column{c[0], kind})
	}
	return t, nil
}

// pairs reads pairs of texts.
func pairs(ctx context.Context, from Reader, q string, args ...any) ([][2]string, error) {
	rows, err := from.Query(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	defer rows.Close()
	var out [][2]string
	for rows.Next() {
		var p [2]string
		if err := rows.Scan(&p[0], &p[1]); err != nil {
			return nil, fmt.Errorf("reading the schema: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// kindOf reads the type that a migration declared.
func kindOf(declared string) (string, error) {
	switch strings.ToUpper(declared) {
	case "BIGINT", "INTEGER":
		return Integer, nil
	case "TEXT":
		return Text, nil
	case "BLOB", "BYTEA":
		return Blob, nil
	}
	return "", fmt.Errorf("columns of type %s are not copied", declared)
}
