package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Tx is one transaction, handed to the function given to WithTx and dead when
// that function returns. It is not for several goroutines at once.
//
// The ctx given to its methods carries values only: once a transaction has
// begun, its statements are not interrupted. SQLite answers an interrupt by
// rolling back the whole transaction, and others share it.
//
// After a statement that failed nothing more runs, and WithTx answers its error
// if fn does not: PostgreSQL has given the transaction up by then, and what is
// right on one engine must be right on both. Rows are read to their end or
// closed before the next statement, for the same reason.
type Tx struct {
	on   counter
	rows *sql.Rows // the last rows handed out
	over bool
	// failed is the first error of a statement.
	failed error
}

// A counter is an engine's side of a transaction.
type counter interface {
	exec(ctx context.Context, q string, args []any) (sql.Result, error)
	query(ctx context.Context, q string, args []any) (*sql.Rows, error)
	queryRow(ctx context.Context, q string, args []any) *sql.Row
}

var (
	errOver = errors.New("the transaction is over")
	errOpen = errors.New("rows of this transaction are still open: read them to the end, or close them, before the next statement")
)

// ready says whether one more statement may run.
func (tx *Tx) ready() error {
	switch {
	case tx.over:
		return errOver
	case tx.failed != nil:
		return fmt.Errorf("the transaction has failed: %w", tx.failed)
	}
	if tx.rows == nil {
		return nil
	}
	// Columns fails on closed rows, which is the only way database/sql has of
	// telling.
	if _, err := tx.rows.Columns(); err == nil {
		tx.failed = errOpen
		return errOpen
	}
	err := tx.rows.Err()
	tx.rows = nil
	return tx.note(err)
}

// note remembers the error that ended the transaction.
func (tx *Tx) note(err error) error {
	if err != nil && tx.failed == nil {
		tx.failed = err
	}
	return err
}

// Exec runs one statement that returns no rows.
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (sql.Result, error) {
	if err := tx.ready(); err != nil {
		return nil, err
	}
	values, err := plain(args)
	if err != nil {
		return nil, tx.note(err)
	}
	res, err := tx.on.exec(ctx, q, values)
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
	if err := tx.ready(); err != nil {
		return nil, err
	}
	values, err := plain(args)
	if err != nil {
		return nil, tx.note(err)
	}
	rows, err := tx.on.query(ctx, q, values)
	if err != nil {
		return nil, tx.note(err)
	}
	tx.rows = rows
	return rows, nil
}

// QueryRow is Query for one row. Errors come out of Scan.
func (tx *Tx) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	if err := tx.ready(); err != nil {
		return failedRow(err)
	}
	values, err := plain(args)
	if err != nil {
		return failedRow(tx.note(err))
	}
	row := tx.on.queryRow(ctx, q, values)
	_ = tx.note(row.Err())
	return row
}

// finish ends the transaction for fn, and answers the error of a statement that
// fn may have kept to itself.
func (tx *Tx) finish() error {
	tx.over = true
	if tx.rows != nil {
		_ = tx.note(tx.rows.Err())
		_ = tx.rows.Close()
		tx.rows = nil
	}
	return tx.failed
}

// plain turns arguments into what both drivers take for the same: numbers,
// text, bytes. Yes and no are 1 and 0, as the tables have them.
func plain(args []any) ([]any, error) {
	values := make([]any, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return nil, fmt.Errorf("parameter $%d: %w", i+1, err)
		}
		switch v := v.(type) {
		case bool:
			n := int64(0)
			if v {
				n = 1
			}
			values[i] = n
		case string:
			values[i] = text(v)
		default:
			values[i] = v
		}
	}
	return values, nil
}

// text is s as both engines keep it.
func text(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	const kept = string(utf8.RuneError)
	return strings.ReplaceAll(strings.ToValidUTF8(s, kept), "\x00", kept)
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
