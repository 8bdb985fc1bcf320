package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"sekisho/policy/clock"
)

// Codes of PostgreSQL, appendix A of its manual.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
	featureNotSupported  = "0A000"

	invalidAuthorization  = "28000"
	invalidPassword       = "28P01" //nolint:gosec // the code of an error
	insufficientPrivilege = "42501"
	noSuchDatabase        = "3D000"
	tooManyConnections    = "53300"
	diskFull              = "53100"
)

// lockKey is the number that stands for a lock, $1, of this store: another may
// be in another schema of the same database.
const lockKey = `hashtextextended(current_schema() || '.' || $1, 0)`

// firstPause and longestPause bound how long a transaction that could not be
// serialised waits before it begins again; half of it is chance.
const (
	firstPause   = 2 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// run works on a connection of its own, beside others. It begins again when
// PostgreSQL finds that the outcome could not have come about one after another,
// or that two wait for each other, and when a connection was lost before COMMIT:
// nothing has been kept then. All of it ends with Config.Patience.
func (db *postgres) run(ctx context.Context, lock string, fn func(tx *Tx) error) error {
	if !db.enter() {
		return ErrClosed
	}
	defer db.working.Done()
	patience := time.NewTimer(db.patience)
	defer patience.Stop()
	select {
	case db.turns <- struct{}{}:
	case <-db.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return fmt.Errorf("%w: no connection was free within %v; a transaction inside a transaction looks like this", ErrBusy, db.patience)
	}
	defer func() { <-db.turns }()

	elapsed := clock.Stopwatch() // how long others have waited, not what time it is
	for try := 0; ; try++ {
		a := &attempt{db: db}
		err := a.run(ctx, lock, fn)
		if !a.again {
			if a.broken {
				db.met.failures.Add(1)
			}
			return err
		}
		db.met.retries.Add(1)
		if elapsed() > db.patience {
			db.met.failures.Add(1)
			return fmt.Errorf("%w: others were faster for %v: %w", ErrBusy, db.patience, err)
		}
		pause := min(firstPause<<min(try, 10), longestPause)
		select {
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // chance, not a secret
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err) // nothing was kept
		}
	}
}

// enter counts the caller among those that close waits for.
func (db *postgres) enter() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	select {
	case <-db.closed:
		return false
	default:
		db.working.Add(1)
		return true
	}
}

// An attempt is one try at a transaction.
type attempt struct {
	db    *postgres
	ctx   context.Context // of this attempt; no caller ends it
	conn  *sql.Conn
	again bool // nothing was kept, and trying once more may help
	// broken: the database did not begin or did not keep it.
	broken bool
}

func (a *attempt) run(ctx context.Context, lock string, fn func(tx *Tx) error) error {
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestTx)
	defer cancel()
	a.ctx = whole
	if err := a.begin(lock); err != nil {
		a.broken = true
		return err
	}
	defer a.conn.Close() //nolint:errcheck // it goes back to the pool
	tx := &Tx{on: a}
	over := false
	defer func() {
		if !over { // fn panicked, or ended its goroutine
			_ = tx.finish()
			a.rollback()
		}
	}()
	err := fn(tx)
	failed := tx.finish()
	over = true
	if err != nil || failed != nil {
		a.rollback()
		return a.judge(err, failed)
	}
	err = a.commit()
	a.broken = err != nil
	return err
}

// begin takes a connection and begins. One that died in the pool is thrown
// away, and the next one tried: after the server has started anew all are dead.
func (a *attempt) begin(lock string) error {
	if err := a.db.fault("begin"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	first := `BEGIN ISOLATION LEVEL SERIALIZABLE`
	if lock != "" {
		first = `BEGIN ISOLATION LEVEL READ COMMITTED`
	}
	for try := 0; ; try++ {
		conn, err := a.db.writes.Conn(a.ctx)
		if err != nil {
			return lost(fmt.Errorf("connecting to %s: %w", a.db.place, err))
		}
		a.conn = conn
		if _, err = a.simple(first); err == nil {
			break
		}
		a.discard()
		if try >= cap(a.db.turns) || !died(err) {
			return lost(fmt.Errorf("beginning a transaction: %w", err))
		}
	}
	if lock == "" {
		return nil
	}
	if _, err := a.conn.ExecContext(a.ctx, `SELECT pg_advisory_xact_lock(`+lockKey+`)`, lock); err != nil {
		err = a.judge(nil, err)
		a.discard()
		return fmt.Errorf("waiting for the lock %q: %w", lock, err)
	}
	return nil
}

// judge says what a transaction that was rolled back came to: what fn answered,
// or what made it fail.
func (a *attempt) judge(err, failed error) error {
	if failed == nil {
		return err
	}
	switch {
	case code(failed) == serializationFailure, code(failed) == deadlockDetected, staleplan(failed), died(failed):
		a.again = true
		return lost(fmt.Errorf("the transaction could not go on: %w", failed))
	case code(failed) == lockNotAvailable:
		return fmt.Errorf("%w: somebody held a lock for too long: %w", ErrBusy, failed)
	case err != nil:
		return lost(err)
	}
	return lost(fmt.Errorf("a statement had failed: %w", failed))
}

// commit makes the work durable, or says that it is not or may not be.
func (a *attempt) commit() error {
	if err := a.db.fault("commit"); err != nil {
		a.rollback()
		return fmt.Errorf("committing: %w", err)
	}
	tag, err := a.simple(`COMMIT`)
	switch {
	case err == nil && tag != "COMMIT":
		// What PostgreSQL answers when a statement had failed.
		return fmt.Errorf("committing: the server answered %s", tag)
	case err != nil && refused(err):
		a.again = code(err) == serializationFailure || code(err) == deadlockDetected
		return fmt.Errorf("committing: %w", err)
	case err != nil:
		// The server may have written the commit and died before it said so.
		a.discard()
		return fmt.Errorf("committing: %w: %w: %w", ErrUnknown, ErrAway, err)
	}
	if err := a.db.fault("committed"); err != nil {
		return fmt.Errorf("committing: %w: %w", ErrUnknown, err)
	}
	return nil
}

// rollback leaves the connection outside any transaction, or throws it away.
func (a *attempt) rollback() {
	if _, err := a.simple(`ROLLBACK`); err != nil {
		a.discard()
	}
}

// simple runs a command without parameters: one round trip, nothing prepared.
// database/sql would not show what COMMIT answered.
func (a *attempt) simple(command string) (tag string, err error) {
	err = a.conn.Raw(func(c any) error {
		done, err := c.(*stdlib.Conn).Conn().PgConn().Exec(a.ctx, command).ReadAll()
		if len(done) > 0 {
			tag = done[len(done)-1].CommandTag.String()
		}
		return err
	})
	return tag, err
}

// discard closes the connection instead of giving it back.
func (a *attempt) discard() {
	_ = a.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = a.conn.Close()
}

func (a *attempt) exec(_ context.Context, q string, args []any) (sql.Result, error) {
	return a.conn.ExecContext(a.ctx, q, args...)
}

func (a *attempt) query(_ context.Context, q string, args []any) (*sql.Rows, error) {
	return a.conn.QueryContext(a.ctx, q, args...)
}

func (a *attempt) queryRow(_ context.Context, q string, args []any) *sql.Row {
	return a.conn.QueryRowContext(a.ctx, q, args...)
}

// code is the server's own code for an error, "" where the error is not its.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// staleplan: another gateway has changed the schema since the statement was
// prepared. Prepared anew, it runs.
func staleplan(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == featureNotSupported && e.Routine == "RevalidateCachedQuery"
}

// refused says that the server answered the command with an error and goes on:
// the transaction is rolled back for certain. After a FATAL one it is not known.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && !fatal(e)
}

func fatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized == "FATAL" || e.SeverityUnlocalized == "PANIC"
}

// died says that a connection that had been good is gone. A server that could
// not be connected to in the first place is something else.
func died(err error) bool {
	var (
		connecting *pgconn.ConnectError
		e          *pgconn.PgError
		timeout    net.Error
	)
	switch {
	case errors.As(err, &connecting):
		return false
	case errors.As(err, &e):
		return fatal(e)
	case errors.As(err, &timeout):
		return !timeout.Timeout()
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// lost marks an error that says that the server is away, and why it lets nobody in.
func lost(err error) error {
	var (
		connecting *pgconn.ConnectError
		network    net.Error
	)
	if err == nil || errors.Is(err, ErrAway) {
		return err
	}
	if errors.As(err, &connecting) {
		switch code(err) {
		case invalidPassword, invalidAuthorization, insufficientPrivilege:
			return fmt.Errorf("%w: %w: %w", ErrAway, ErrDenied, err)
		case noSuchDatabase:
			return fmt.Errorf("%w: %w: %w", ErrAway, ErrNowhere, err)
		case tooManyConnections:
			return fmt.Errorf("%w: %w: %w", ErrAway, ErrFull, err)
		}
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	if died(err) || errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}
