package store

import (
	"context"
	"database/sql"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A turn is a transaction's time on the writer's connection.
type turn struct {
	w    *writer
	open []*prepared // handed out rows in this transaction
	rows []*sql.Rows // of statements that were not from the cache
	row  []*sql.Row
	// broken is the first error after which SQLite itself has, or may have,
	// rolled back the whole batch: nothing more may run in it.
	broken error
}

// A prepared statement of the writer's connection. Unlike the read pool's it
// has one cursor only, so it must not be used again while its rows are open.
type prepared struct {
	*sql.Stmt
	rows *sql.Rows // the last rows it gave
	row  *sql.Row  // the last single row it gave, in this transaction
}

// idle says whether the cursor is free. Columns fails on closed rows, which is
// the only way database/sql has of telling. A *sql.Row does not tell at all,
// so it counts as open until the transaction ends.
func (p *prepared) idle() bool {
	if p.row != nil {
		return false
	}
	if p.rows == nil {
		return true
	}
	if _, err := p.rows.Columns(); err == nil {
		return false
	}
	p.rows = nil
	return true
}

func (t *turn) exec(ctx context.Context, q string, args []any) (sql.Result, error) {
	st, err := t.statement(ctx, q)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	var res sql.Result
	if st != nil {
		res, err = st.ExecContext(ctx, args...)
	} else {
		res, err = t.w.conn.ExecContext(ctx, q, args...)
	}
	return res, t.note(err)
}

func (t *turn) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	st, err := t.statement(ctx, q)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if st == nil {
		rows, err := t.w.conn.QueryContext(ctx, q, args...)
		if err == nil {
			t.rows = append(t.rows, rows)
		}
		return rows, t.note(err)
	}
	rows, err := st.QueryContext(ctx, args...)
	if err == nil {
		st.rows = rows
		t.open = append(t.open, st)
	}
	return rows, t.note(err)
}

func (t *turn) queryRow(ctx context.Context, q string, args []any) *sql.Row {
	ctx = context.WithoutCancel(ctx)
	st, err := t.statement(ctx, q)
	if err != nil {
		return failedRow(err)
	}
	if st == nil {
		row := t.w.conn.QueryRowContext(ctx, q, args...)
		t.row = append(t.row, row)
		_ = t.note(row.Err())
		return row
	}
	st.row = st.QueryRowContext(ctx, args...)
	t.open = append(t.open, st)
	_ = t.note(st.row.Err())
	return st.row
}

// statement answers the cached statement for q, or nil when it must be run
// without one: its cursor is in use, or the cache is full.
func (t *turn) statement(ctx context.Context, q string) (*prepared, error) {
	w := t.w
	if p := w.statements[q]; p != nil {
		if p.idle() {
			return p, nil
		}
		return nil, nil
	}
	if len(w.statements) >= maxStatements {
		return nil, nil
	}
	st, err := w.conn.PrepareContext(context.WithoutCancel(ctx), positional(q))
	if err != nil {
		return nil, t.note(err)
	}
	p := &prepared{Stmt: st}
	w.statements[q] = p
	return p, nil
}

// note remembers an error that ended more than its statement.
func (t *turn) note(err error) error {
	if err != nil && t.broken == nil && endsTransaction(err) {
		t.broken = err
	}
	return err
}

// finish closes what fn left open. Rows held over COMMIT would keep the old
// snapshot alive and make the next BEGIN IMMEDIATE fail.
func (t *turn) finish() {
	for _, p := range t.open {
		if p.rows != nil {
			_ = t.note(p.rows.Err())
			_ = p.rows.Close()
			p.rows = nil
		}
		if p.row != nil {
			_ = t.note(p.row.Err())
			_ = p.row.Scan() // closes it; a row scanned before is closed already
			p.row = nil
		}
	}
	for _, r := range t.rows {
		_ = t.note(r.Err())
		_ = r.Close()
	}
	for _, r := range t.row {
		_ = r.Scan()
	}
}

// endsTransaction tells an error of one statement from one after which SQLite
// has, or may have, rolled the transaction back (sqlite.org, "Response To
// Errors Within A Transaction"). A statement run after such a rollback would
// commit by itself, outside any transaction.
func endsTransaction(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return errors.Is(err, sql.ErrConnDone)
	}
	switch e.Code() & 0xff { // the primary code; the rest says more exactly why
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH,
		sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_AUTH:
		return false
	}
	return true
}

// fullFile says that there was no room for the file, for its log or for the log's
// index.
func fullFile(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE)
}

// busy says that another process holds the lock.
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}
