package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A Tx is one transaction, handed to the function given to WithTx and dead when
// that function returns. It is not for several goroutines at once.
//
// The ctx given to its methods carries values only: once a transaction has
// begun, its statements are not interrupted. SQLite answers an interrupt by
// rolling back the whole transaction, and others share it.
type Tx struct {
	w    *writer
	open []*prepared // handed out rows in this transaction
	rows []*sql.Rows // of statements that were not from the cache
	row  []*sql.Row
	over bool
	// broken is the first error after which SQLite itself has, or may have,
	// rolled back the transaction: nothing more may run in it.
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

var errOver = errors.New("the transaction is over")

// Exec runs one statement that returns no rows.
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	st, err := tx.statement(ctx, q)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	var res sql.Result
	if st != nil {
		res, err = st.ExecContext(ctx, args...)
	} else {
		res, err = tx.w.conn.ExecContext(ctx, q, args...)
	}
	return res, tx.note(err)
}

// ExecOne runs one statement that must change exactly one row. None is
// ErrUntouched; more is an error, and the caller's error return undoes it.
func (tx *Tx) ExecOne(ctx context.Context, q string, args ...any) error {
	res, err := tx.Exec(ctx, q, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	switch {
	case err != nil:
		return fmt.Errorf("counting changed rows: %w", err)
	case n == 0:
		return ErrUntouched
	case n > 1:
		return fmt.Errorf("%d rows were changed where one was meant", n)
	}
	return nil
}

// Query reads rows inside the transaction. They end with it at the latest.
func (tx *Tx) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	st, err := tx.statement(ctx, q)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if st == nil {
		rows, err := tx.w.conn.QueryContext(ctx, q, args...)
		if err == nil {
			tx.rows = append(tx.rows, rows)
		}
		return rows, tx.note(err)
	}
	rows, err := st.QueryContext(ctx, args...)
	if err == nil {
		st.rows = rows
		tx.open = append(tx.open, st)
	}
	return rows, tx.note(err)
}

// QueryRow is Query for one row. Errors come out of Scan.
func (tx *Tx) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	ctx = context.WithoutCancel(ctx)
	st, err := tx.statement(ctx, q)
	if err != nil {
		return failedRow(err)
	}
	if st == nil {
		row := tx.w.conn.QueryRowContext(ctx, q, args...)
		tx.row = append(tx.row, row)
		_ = tx.note(row.Err())
		return row
	}
	st.row = st.QueryRowContext(ctx, args...)
	tx.open = append(tx.open, st)
	_ = tx.note(st.row.Err())
	return st.row
}

// failedRow makes a row whose Scan fails with err. database/sql has no
// constructor for one, so a pool that cannot connect lends its own.
func failedRow(err error) *sql.Row {
	pool := sql.OpenDB(unreachable{err})
	defer pool.Close()
	return pool.QueryRow("")
}

type unreachable struct{ err error }

func (u unreachable) Connect(context.Context) (driver.Conn, error) { return nil, u.err }
func (u unreachable) Driver() driver.Driver                        { return nil }

// statement answers the cached statement for q, or nil when it must be run
// without one: its cursor is in use, or the cache is full.
func (tx *Tx) statement(ctx context.Context, q string) (*prepared, error) {
	switch {
	case tx.over:
		return nil, errOver
	case tx.broken != nil:
		return nil, fmt.Errorf("the transaction is broken: %w", tx.broken)
	}
	w := tx.w
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
		return nil, tx.note(err)
	}
	p := &prepared{Stmt: st}
	w.statements[q] = p
	return p, nil
}

// note remembers an error that ended more than its statement.
func (tx *Tx) note(err error) error {
	if err != nil && tx.broken == nil && endsTransaction(err) {
		tx.broken = err
	}
	return err
}

// finish closes what fn left open. Rows held over COMMIT would keep the old
// snapshot alive and make the next BEGIN IMMEDIATE fail.
func (tx *Tx) finish() {
	for _, p := range tx.open {
		if p.rows != nil {
			_ = tx.note(p.rows.Err())
			_ = p.rows.Close()
			p.rows = nil
		}
		if p.row != nil {
			_ = tx.note(p.row.Err())
			_ = p.row.Scan() // closes it; a row scanned before is closed already
			p.row = nil
		}
	}
	for _, r := range tx.rows {
		_ = tx.note(r.Err())
		_ = r.Close()
	}
	for _, r := range tx.row {
		_ = r.Scan()
	}
	tx.over = true
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

// busy says that another process holds the lock.
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}
