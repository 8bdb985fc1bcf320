// Package store keeps what must survive: one SQLite file for one machine.
//
// It refuses to know what is kept. It knows no table but the clock's, no
// person, no lease and no article; SQL stands beside the type it loads. It
// imports the driver so that nobody else has to.
//
// What it promises:
//
//   - When WithTx returns nil, what fn wrote is on the disk: WAL with
//     synchronous FULL, read back at Open. NORMAL may lose commits at a power
//     cut, and an acknowledged revocation that is gone after one is a
//     privilege nobody gave.
//   - When WithTx returns an error, nothing of fn is there, with one exception
//     nobody can remove: the answer to COMMIT itself was lost. Retry what is
//     guarded by a key or a WHERE clause.
//   - Transactions run one after another (serialisable). Races are decided
//     here, by a guarded UPDATE, never by read-then-write outside.
//
// What it trusts: the file system to keep what fsync acknowledged, and whoever
// can write the file. The file is not encrypted; secrets in it are sealed by
// policy/secret, and its history is guarded by policy/audit.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the only driver, and this is its only importer
)

var (
	// ErrUntouched is ExecOne's answer when the WHERE clause matched nothing:
	// somebody else was first, or there never was such a row.
	ErrUntouched = errors.New("no row was changed")
	// ErrClosed says that the store was closed before the work could begin.
	ErrClosed = errors.New("the store is closed")
	// ErrBusy says that the work never began: its turn did not come within
	// Config.Patience. Nothing was written.
	ErrBusy = errors.New("the store is busy")
)

// A Config says where the store is. Its zero value is refused: a store that
// nobody placed must not appear in the working directory.
type Config struct {
	// Driver is "sqlite"; empty means the same.
	Driver string
	// Path is the database file. Its folder must exist; the file is made with
	// mode 0600 when it does not. "-wal" and "-shm" files appear beside it.
	Path string
	// Patience is the longest a transaction waits for its turn before ErrBusy.
	// 0 means 15 s. It is also what ends a WithTx called inside a WithTx.
	Patience time.Duration
	// Fault breaks a step in tests: nil in production. It is called with
	// "begin", "commit" (before COMMIT: the batch is rolled back) and
	// "committed" (after it: the work is kept but its callers get the error).
	Fault func(stage string) error
}

// A DB is an open store. It is safe for concurrent use.
type DB struct {
	path     string
	patience time.Duration
	fault    func(stage string) error
	longest  atomic.Int64 // batchTime, in nanoseconds

	reads    *sql.DB
	prepared *statements // of the read pool

	writes *sql.DB
	queue  chan *job
	closed chan struct{} // closed by Close: no new work
	idle   chan struct{} // closed by the writer when it has gone home
	once   sync.Once
}

// Open opens or makes the store, checks that commits will be durable, and
// brings its schema up to date. It refuses with ErrNewer a store that a later
// Sekisho has written.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	return open(ctx, cfg, migrations, "migrations/sqlite")
}

func open(ctx context.Context, cfg Config, from fs.FS, dir string) (*DB, error) {
	if cfg.Driver != "" && cfg.Driver != "sqlite" {
		return nil, fmt.Errorf("the store driver %q is not known: only sqlite is", cfg.Driver)
	}
	if cfg.Path == "" {
		return nil, errors.New("the store has no path")
	}
	steps, err := fs.Sub(from, dir)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded migrations: %w", err)
	}
	if err := createFile(cfg.Path); err != nil {
		return nil, fmt.Errorf("creating the store: %w", err)
	}
	db := &DB{
		path:     cfg.Path,
		patience: cfg.Patience,
		fault:    cfg.Fault,
		queue:    make(chan *job, queueLength),
		closed:   make(chan struct{}),
		idle:     make(chan struct{}),
	}
	db.longest.Store(int64(batchTime))
	if db.patience <= 0 {
		db.patience = defaultPatience
	}
	if db.fault == nil {
		db.fault = func(string) error { return nil }
	}
	if db.writes, err = sql.Open("sqlite", dsn(cfg.Path, false)); err != nil {
		return nil, fmt.Errorf("opening %s: %w", cfg.Path, err)
	}
	if db.reads, err = sql.Open("sqlite", dsn(cfg.Path, true)); err != nil {
		_ = db.writes.Close()
		return nil, fmt.Errorf("opening %s: %w", cfg.Path, err)
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	db.reads.SetMaxOpenConns(readers)
	db.reads.SetMaxIdleConns(readers)
	db.prepared = newStatements(db.reads)

	if err := migrate(ctx, cfg.Path, db.writes, steps); err != nil {
		_ = db.closePools() // what went wrong first is what is told
		return nil, err
	}
	w := &writer{db: db}
	if err := w.connect(ctx); err != nil {
		_ = db.closePools() // what went wrong first is what is told
		return nil, err
	}
	go w.run()
	return db, nil
}

// createFile makes an empty database file that only its owner can read: SQLite
// would make it with the umask's mode, and gives -wal and -shm the mode of the
// file. An existing file is not even opened, because closing it again would
// drop the locks another handle of this process holds on it.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn is the driver's name for the file. Transactions begin IMMEDIATE: one that
// begins by reading and writes later fails as soon as another wrote between.
func dsn(path string, readOnly bool) string {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range []string{
		// Other processes, such as sekisho policy apply, write the same file.
		"busy_timeout(10000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"temp_store(MEMORY)",
	} {
		q.Add("_pragma", p)
	}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Add("_pragma", "wal_autocheckpoint(2000)")     // pages: 8 MB between checkpoints
		q.Add("_pragma", "journal_size_limit(67108864)") // what a burst grew is given back
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
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
	st, err := db.prepared.get(ctx, q)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return db.reads.QueryContext(ctx, q, args...)
	}
	return st.QueryContext(ctx, args...)
}

// QueryRow is Query for one row. Errors come out of Scan.
func (db *DB) QueryRow(ctx context.Context, q string, args ...any) *sql.Row {
	st, err := db.prepared.get(ctx, q)
	if err != nil {
		return failedRow(err)
	}
	if st == nil {
		return db.reads.QueryRowContext(ctx, q, args...)
	}
	return st.QueryRowContext(ctx, args...)
}

// Mark records that the time is at least now, and answers the highest time any
// process has vouched for. Lift a clock.Floor to the answer: a clock that was
// set back must not bring back what has ended. It must not be called inside
// WithTx.
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

// Ping reads one row. It says that the store can be read, not that it can be
// written; Mark says that.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.QueryRow(ctx, `SELECT id FROM clock WHERE id = 1`).Scan(&one); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	return nil
}

// Close lets the work that has begun end, refuses what still waits with
// ErrClosed, and closes the file.
func (db *DB) Close() error {
	var err error
	db.once.Do(func() {
		close(db.closed)
		<-db.idle
		err = db.closePools()
	})
	return err
}

func (db *DB) closePools() error {
	return errors.Join(db.reads.Close(), db.writes.Close())
}
