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

	_ "modernc.org/sqlite" // the driver; only this package imports it

	"sekisho/policy/clock"
)

// A file is a store in SQLite. Whoever waits to write at one moment shares a
// commit, because a commit costs an fsync and the work in it hardly anything.
type file struct {
	path     string
	patience time.Duration
	fault    func(stage string) error
	longest  atomic.Int64 // batchTime, in nanoseconds
	carried  carried
	met      *tally
	opened   os.FileInfo // what path named then

	reads    *sql.DB
	prepared *statements // of the read pool

	writes *sql.DB
	queue  chan *job
	closed chan struct{} // closed by Close: no new work
	idle   chan struct{} // closed by the writer when it has gone home
	once   sync.Once
}

func openSQLite(ctx context.Context, cfg Config, from carried, met *tally) (*file, error) {
	if cfg.Path == "" {
		return nil, errors.New("the store has no path")
	}
	if err := createFile(cfg.Path); err != nil {
		return nil, fmt.Errorf("creating the store: %w", err)
	}
	db := &file{
		path:     cfg.Path,
		patience: cfg.Patience,
		fault:    cfg.Fault,
		carried:  from,
		met:      met,
		queue:    make(chan *job, queueLength),
		closed:   make(chan struct{}),
		idle:     make(chan struct{}),
	}
	db.longest.Store(int64(batchTime))
	var err error
	if db.writes, err = sql.Open("sqlite", dsn(cfg.Path, false)); err != nil {
		return nil, fmt.Errorf("opening %s: %w", cfg.Path, err)
	}
	if db.reads, err = sql.Open("sqlite", dsn(cfg.Path, true)); err != nil {
		_ = db.writes.Close()
		return nil, fmt.Errorf("opening %s: %w", cfg.Path, err)
	}
	if db.opened, err = os.Stat(cfg.Path); err != nil {
		_ = db.closePools()
		return nil, fmt.Errorf("opening %s: %w", cfg.Path, err)
	}
	readers := max(4, 2*runtime.GOMAXPROCS(0))
	db.reads.SetMaxOpenConns(readers)
	db.reads.SetMaxIdleConns(readers)
	db.prepared = newStatements(db.reads)

	if err := migrateSQLite(ctx, cfg.Path, db.writes, from); err != nil {
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

func lookSQLite(cfg Config) (View, error) {
	_, err := os.Stat(cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return View{MayMake: true}, nil // whether it may shows when it is tried
	}
	return View{Made: err == nil}, err
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

func (db *file) query(ctx context.Context, q string, args []any) (*sql.Rows, error) {
	st, err := db.prepared.get(ctx, q)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return db.reads.QueryContext(ctx, q, args...)
	}
	return st.QueryContext(ctx, args...)
}

func (db *file) queryRow(ctx context.Context, q string, args []any) *sql.Row {
	st, err := db.prepared.get(ctx, q)
	if err != nil {
		return failedRow(err)
	}
	if st == nil {
		return db.reads.QueryRowContext(ctx, q, args...)
	}
	return st.QueryRowContext(ctx, args...)
}

// ahead: the file is on this machine, and so is its clock.
func (db *file) ahead(context.Context, clock.Now) (time.Duration, error) { return 0, nil }

// moved: a file goes on being read and written under whatever name it has now.
func (db *file) moved() bool {
	there, err := os.Stat(db.path)
	return err != nil && errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(there, db.opened)
}

func (db *file) fits(ctx context.Context) error {
	return stillFits(ctx, db.reads, db.carried, db.path)
}

func (db *file) close() error {
	var err error
	db.once.Do(func() {
		close(db.closed)
		<-db.idle
		err = db.closePools()
	})
	return err
}

func (db *file) closePools() error {
	return errors.Join(db.reads.Close(), db.writes.Close())
}
