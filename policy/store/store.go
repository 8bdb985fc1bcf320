// Package store keeps what must survive: a SQLite file for one machine, a
// PostgreSQL database for many gateways. Who uses it cannot tell which.
//
// It refuses to know what is kept. It knows no table but the clock's and the
// schema's own, no person, no lease and no article; SQL stands beside the type
// it loads. It imports the drivers so that nobody else has to.
//
// What it promises, whichever engine it is:
//
//   - When WithTx returns nil, what fn wrote is on the disk. SQLite: WAL with
//     synchronous FULL, read back at Open; NORMAL may lose commits at a power
//     cut, and an acknowledged revocation that is gone after one is a privilege
//     nobody gave. PostgreSQL: synchronous_commit on or stronger and fsync on,
//     read back on every connection that writes.
//   - When WithTx returns an error, nothing of fn is there, with one exception
//     nobody can remove: the answer to COMMIT itself was lost. Retry what is
//     guarded by a key or a WHERE clause.
//   - Transactions are serialisable: what they leave is what they would leave
//     one after another. SQLite runs them one after another. PostgreSQL runs
//     them together (SERIALIZABLE), and runs fn again when it finds that it
//     could not have been so. Races are decided here, by a guarded UPDATE,
//     never by read-then-write outside.
//   - A statement that fails ends its transaction, as PostgreSQL has it. Who
//     expects a row to be there says ON CONFLICT.
//   - Text is UTF-8 without NUL. What strangers send may be neither, and
//     PostgreSQL takes neither: each byte that cannot stay becomes U+FFFD,
//     alike when it is written and when it is looked for. Bytes stay as they are.
//
// What it trusts: the file system, or the database server, to keep what fsync
// acknowledged, and whoever can write the file or sign in to the server.
// Neither is encrypted; secrets in it are sealed by policy/secret, and its
// history is guarded by policy/audit.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sekisho/policy/clock"
)

var (
	// ErrUntouched is ExecOne's answer when the WHERE clause matched nothing:
	// somebody else was first, or there never was such a row.
	ErrUntouched = errors.New("no row was changed")
	// ErrClosed says that the store was closed before the work could begin.
	ErrClosed = errors.New("the store is closed")
	// ErrBusy says that the work did not get its turn within Config.Patience.
	// Nothing was written.
	ErrBusy = errors.New("the store is busy")
	// ErrAway says that the database server could not be reached, or was lost
	// on the way. With ErrUnknown beside it, the answer to COMMIT was.
	ErrAway = errors.New("the database is away")
	// ErrDenied says that the database server does not let us in, ErrNowhere
	// that it has no such database, ErrFull that it takes no more connections.
	// ErrAway is beside each of them.
	ErrDenied  = errors.New("the database server refuses our sign-in")
	ErrNowhere = errors.New("the database server has no such database")
	ErrFull    = errors.New("the database server takes no more connections")
	// ErrUnknown says that nobody knows whether the work was kept: the answer to
	// COMMIT was lost. Do again what is guarded by a key or a WHERE clause; tell
	// nobody that it was done.
	ErrUnknown = errors.New("the answer to the commit was lost")
	// ErrNoSpace says that there was no room on the database's disk. Nothing was
	// kept of the transaction; the next one finds room where there is some.
	ErrNoSpace = errors.New("the disk of the database is full")
	// ErrReplaced says that another store lies in the place of the one that was
	// opened: a backup was put there.
	ErrReplaced = errors.New("another store was put in the place of this one")
)

// A Config says where the store is. Its zero value is refused: a store that
// nobody placed must not appear in the working directory.
type Config struct {
	// Driver is "sqlite" or "postgres"; empty means the first.
	Driver string

	// Path is SQLite's file. Its folder must exist; the file is made with
	// mode 0600 when it does not. "-wal" and "-shm" files appear beside it.
	Path string

	// URL is where PostgreSQL is: postgres://user@host:port/database, several
	// hosts by commas, of which the one that takes writes is used. A password in
	// it is refused. sslmode and other parameters of libpq may follow; without
	// sslmode a host other than this machine must prove its name (verify-full).
	URL string
	// PasswordFile holds the password, read at each connection, so that it can
	// be changed while Sekisho runs. Empty: the server asks for none.
	PasswordFile string
	// CAFile holds the authority of the server's certificate, PEM.
	CAFile string
	// PlaintextAllowed takes a server on another machine that does not prove
	// its name. Passwords do not go over in clear (SCRAM), all else may.
	PlaintextAllowed bool
	// MaxConnections bounds what this process opens; 0 means 20, fewer than 4
	// is refused. Two in three are for transactions, the rest for reading.
	MaxConnections int
	// FsyncOff takes a server that would lose commits at a power cut. Tests
	// alone set it.
	FsyncOff bool

	// ReadWithin is the longest that a read waits for a word of PostgreSQL, whatever
	// its ctx says; 0 means 20 s.
	ReadWithin time.Duration

	// Patience is the longest a transaction waits for its turn before ErrBusy.
	// 0 means 15 s. It is also what ends a WithTx called inside a WithTx.
	Patience time.Duration
	// Fault breaks a step in tests: nil in production. It is called with
	// "begin", "commit" (before COMMIT: the work is rolled back) and
	// "committed" (after it: the work is kept but its callers get the error).
	Fault func(stage string) error
	// Watch sees each WithTx begin and hears how it ended. nil: nobody watches.
	Watch func(ctx context.Context) (ended func(error))
}

// Stats is what a store has met since it was opened.
type Stats struct {
	// Retries counts transactions, or their beginnings, that were tried again
	// because another was in the way.
	Retries int64
	// Failures counts transactions that the database itself did not begin or
	// did not keep; what their functions refused is not among them.
	Failures int64
}

// A tally is Stats while they grow.
type tally struct{ retries, failures atomic.Int64 }

const defaultPatience = 15 * time.Second

// withDefaults fills in what an engine need not ask for.
func (c Config) withDefaults() Config {
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	if c.ReadWithin <= 0 {
		c.ReadWithin = readWithin
	}
	if c.Fault == nil {
		c.Fault = func(string) error { return nil }
	}
	return c
}

// An engine is one kind of database. Both pass the suite of this package.
type engine interface {
	// run is WithTx; a lock that is not empty admits one transaction at a time.
	run(ctx context.Context, lock string, fn func(tx *Tx) error) error
	query(ctx context.Context, q string, args []any) (*sql.Rows, error)
	queryRow(ctx context.Context, q string, args []any) *sql.Row
	// ahead is how far the database's clock is ahead of ours.
	ahead(ctx context.Context, now clock.Now) (time.Duration, error)
	// snapshot is DB.Snapshot, and describe what Tables puts in order.
	snapshot(ctx context.Context, fn func(s *Snapshot) error) error
	describe(ctx context.Context, from Reader) (tables []Table, refers map[string][]string, err error)
	// fits says whether this binary still knows the stored schema.
	fits(ctx context.Context) error
	// moved says that what was opened no longer lies in its place.
	moved() bool
	close() error
}

// A DB is an open store. It is safe for concurrent use.
type DB struct {
	engine engine
	watch  func(ctx context.Context) (ended func(error))
	met    *tally
}

// Stats are the store's, of this process.
func (db *DB) Stats() Stats { return Stats{db.met.retries.Load(), db.met.failures.Load()} }

// Open opens or makes the store, checks that commits will be durable, and
// brings its schema up to date. It refuses with ErrNewer a store that a later
// Sekisho has written, unless that one says that we may go on.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	return openWith(ctx, cfg, migrationsOf(cfg.Driver))
}

func openWith(ctx context.Context, cfg Config, from carried) (*DB, error) {
	cfg = cfg.withDefaults()
	var (
		e   engine
		met tally
		err error
	)
	switch cfg.Driver {
	case "", "sqlite":
		e, err = openSQLite(ctx, cfg, from, &met)
	case "postgres":
		e, err = openPostgres(ctx, cfg, from, &met)
	default:
		err = fmt.Errorf("the store driver %q is not known: sqlite and postgres are", cfg.Driver)
	}
	if err != nil {
		return nil, err
	}
	return &DB{e, cfg.Watch, &met}, nil
}

// Place names where the store is, for messages: never a password, which is not there.
func (c Config) Place() string {
	if c.Driver == "postgres" {
		return placeOf(c.URL)
	}
	return c.Path
}

// A View is what can be seen of a store's place before anything is made there.
type View struct {
	Made        bool // a store is there
	MayMake     bool // if not: tables may be made
	Connections int  // how many the server lets us open, all gateways together; 0: as many as we like
}

// Look looks at the place of a store and changes nothing. ErrDenied, ErrNowhere,
// ErrFull, ErrAway and *Unsuited say what stands in the way.
func Look(ctx context.Context, cfg Config) (View, error) {
	if cfg.Driver == "postgres" {
		return lookPostgres(ctx, cfg.withDefaults())
	}
	return lookSQLite(cfg)
}

// WithTx runs fn in one serialisable transaction and returns when what fn wrote
// is on the disk. If fn fails or panics, nothing of it is kept and its own error
// comes back; if the commit fails, nothing is kept and that error comes back
// (with ErrUnknown, nobody knows).
//
// fn may run more than once, each time as if it had never run before: it sets
// what it answers instead of adding to it, and touches nothing but tx. What it
// leaves outside (a counter, a line of a log, a slice that grows) is there twice.
//
// A ctx that ends while fn has not begun withdraws the call. From then on it is
// not looked at: the outcome is what happened. fn runs on the caller's
// goroutine. It must not call WithTx or Mark, which on SQLite waits for itself
// until ErrBusy; it may read through DB, which shows it what is committed. It
// must call nothing slow and nothing outside the database: on SQLite everybody
// waits, on PostgreSQL whoever wants the same rows.
func (db *DB) WithTx(ctx context.Context, fn func(tx *Tx) error) error {
	return db.run(ctx, "", fn)
}

// WithLock is WithTx for work that one at a time does, in all processes: fn runs
// when nobody else runs under the same name, and sees what they have committed.
//
// It is not compared with the transactions of WithTx, so neither makes the
// other wait or begin again. On PostgreSQL it is READ COMMITTED: fn may decide
// only by rows that nobody changes without the lock, and by rows that appear and
// are deleted here alone.
func (db *DB) WithLock(ctx context.Context, name string, fn func(tx *Tx) error) error {
	if name == "" {
		return errors.New("a lock without a name")
	}
	return db.run(ctx, name, fn)
}

func (db *DB) run(ctx context.Context, lock string, fn func(tx *Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.watch != nil {
		ended := db.watch(ctx)
		defer func() { ended(err) }()
	}
	return spaceless(db.engine.run(ctx, lock, fn))
}

// spaceless marks an error that says that a disk is full.
func spaceless(err error) error {
	if err == nil || errors.Is(err, ErrNoSpace) || !fullFile(err) && code(err) != diskFull {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoSpace, err)
}

// A Reader answers questions: a DB with what is committed, a Tx with what its
// own transaction sees.
type Reader interface {
	Query(ctx context.Context, q string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, q string, args ...any) *sql.Row
}

// Query reads outside any transaction, on a pool of its own: it sees what is
// committed, waits for no writer, and ends with ctx. Close the rows.
func (db *DB) Query(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	values, err := plain(args)
	if err != nil {
		return nil, err
	}
	return db.engine.query(ctx, q, values)
}

// QueryRow is Query for one row. Errors come out of Scan.
func (db *DB) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	values, err := plain(args)
	if err != nil {
		return failedRow(err)
	}
	return db.engine.queryRow(ctx, q, values)
}

// Mark records that the time is at least now, and answers the highest time any
// process has vouched for. Lift a clock.Floor to the answer: a clock that was
// set back must not bring back what has ended. The zero time vouches for
// nothing and only asks. It must not be called inside WithTx.
func (db *DB) Mark(ctx context.Context, now time.Time) (time.Time, error) {
	var mark int64
	err := db.WithTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, `
			UPDATE clock SET mark_at = $1 WHERE id = 1 AND mark_at < $1`, Micros(now)); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT mark_at FROM clock WHERE id = 1`).Scan(&mark)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("marking the time: %w", err)
	}
	return FromMicros(mark), nil
}

// Ahead is how far the database's own clock is ahead of now, negative when it
// is behind, as well as can be told over the network. A file has no clock: 0.
func (db *DB) Ahead(ctx context.Context, now clock.Now) (time.Duration, error) {
	d, err := db.engine.ahead(ctx, now)
	if err != nil {
		return 0, fmt.Errorf("reading the database's clock: %w", err)
	}
	return d, nil
}

// Ping reads one row. It says that the store can be read and that no later
// Sekisho has made it one that this one does not know (ErrNewer), not that it can
// be written; Mark says that.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.QueryRow(ctx, `SELECT id FROM clock WHERE id = 1`).Scan(&one); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	return db.engine.fits(ctx)
}

// Close lets the work that has begun end, refuses what still waits with
// ErrClosed, and closes the store.
func (db *DB) Close() error { return db.engine.close() }
