package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"sekisho/policy/clock"
)

const (
	// queueLength is how many transactions may wait before callers wait to
	// queue; either way they wait no longer than Config.Patience.
	queueLength = 256
	// A batch ends after this many transactions or this much time, whichever is
	// first: the first in it waits for the last.
	batchJobs = 128
	batchTime = 5 * time.Millisecond

	// Each try at BEGIN waits out the busy_timeout of 10 s.
	busyTries = 2
)

// A job is one call of WithTx. Its caller sleeps until called to the counter,
// does its own work there, steps back, and is told how the batch ended.
type job struct {
	state  atomic.Int32  // waiting, called or gone: whoever changes it first
	call   chan *Tx      // the writer: your turn. nil: there is no turn, see answer
	done   chan struct{} // the caller: I have finished, err says how
	answer chan error    // the writer: how it ended

	err error // fn's own outcome; read by the writer after done
}

const (
	waiting int32 = iota
	called
	gone
)

var errAbandoned = errors.New("the transaction's function did not return")

// run queues for the writer and does its work when it is called.
//
// Transactions that wait at the same moment share one COMMIT, each in a
// savepoint of its own. A failing neighbour leaves yours intact; a failing
// COMMIT fails all of them. They run one after another, so a lock adds nothing.
func (db *file) run(ctx context.Context, _ string, fn func(tx *Tx) error) error {
	j := &job{call: make(chan *Tx, 1), done: make(chan struct{}, 1), answer: make(chan error, 1)}
	patience := time.NewTimer(db.patience)
	defer patience.Stop()

	select {
	case <-db.closed:
		return ErrClosed
	default:
	}
	select {
	case db.queue <- j:
	case <-db.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return fmt.Errorf("%w: no place in the queue within %v", ErrBusy, db.patience)
	}
	var tx *Tx
	select {
	case tx = <-j.call:
	case <-db.idle: // queued after the writer had looked for the last time
		if j.state.CompareAndSwap(waiting, gone) {
			return ErrClosed
		}
		tx = <-j.call
	case <-ctx.Done():
		if j.state.CompareAndSwap(waiting, gone) {
			return ctx.Err()
		}
		tx = <-j.call
	case <-patience.C:
		if j.state.CompareAndSwap(waiting, gone) {
			return fmt.Errorf("%w: no turn within %v; a transaction inside a transaction looks like this", ErrBusy, db.patience)
		}
		tx = <-j.call
	}
	if tx == nil {
		return <-j.answer
	}
	return j.run(tx, fn)
}

// run does the caller's part. When fn panics, or ends the goroutine as a failing
// test does, the work is rolled back first and the panic then goes on its way.
func (j *job) run(tx *Tx, fn func(tx *Tx) error) (err error) {
	j.err = errAbandoned
	defer func() {
		j.done <- struct{}{}
		err = <-j.answer
	}()
	j.err = fn(tx)
	return nil
}

// A writer is the one goroutine that writes. Only the caller whose turn it is
// uses its connection beside it, never both at once.
type writer struct {
	db         *file
	conn       *sql.Conn
	statements map[string]*prepared
}

// connect takes a fresh connection and checks that it will keep its promises.
func (w *writer) connect(ctx context.Context) error {
	conn, err := w.db.writes.Conn(ctx)
	if err != nil {
		return fmt.Errorf("opening %s: %w", w.db.path, err)
	}
	if err := assertDurable(ctx, conn, w.db.path); err != nil {
		_ = conn.Close()
		return err
	}
	w.conn, w.statements = conn, map[string]*prepared{}
	return nil
}

func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	for _, p := range w.statements {
		_ = p.Close()
	}
	_ = w.conn.Close()
	w.conn, w.statements = nil, nil
}

// assertDurable reads back what the DSN asked for. A file system without shared
// memory quietly keeps another journal mode, and a misspelt pragma is no error.
func assertDurable(ctx context.Context, conn *sql.Conn, path string) error {
	for _, p := range []struct{ pragma, want, means string }{
		{"journal_mode", "wal", "readers and the writer would block each other"},
		{"synchronous", "2", "a power cut could undo commits that were already acknowledged"},
		{"foreign_keys", "1", "rows could point at nothing"},
	} {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+p.pragma).Scan(&got); err != nil {
			return fmt.Errorf("reading %s of %s: %w", p.pragma, path, err)
		}
		if got != p.want {
			return fmt.Errorf("%s has %s %s where %s is needed: %s", path, p.pragma, got, p.want, p.means)
		}
	}
	return nil
}

func (w *writer) run() {
	defer close(w.db.idle)
	defer w.disconnect()
	for {
		select {
		case <-w.db.closed:
			w.sendAway(ErrClosed)
			return
		case j := <-w.db.queue:
			w.batch(j)
		}
	}
}

// sendAway refuses everybody who waits.
func (w *writer) sendAway(err error) {
	for {
		select {
		case j := <-w.db.queue:
			j.refuse(err)
		default:
			return
		}
	}
}

// begins takes the job away from a caller who might be leaving.
func (j *job) begins() bool { return j.state.CompareAndSwap(waiting, called) }

func (j *job) refuse(err error) {
	if j.begins() {
		j.answer <- err
		j.call <- nil
	}
}

// batch runs first and whoever waits behind it, commits once, and answers.
// Nobody is answered before, not even those who failed: what they saw, and
// failed on, may be work of the same batch that the commit then loses.
func (w *writer) batch(first *job) {
	if first.state.Load() == gone {
		return
	}
	// The first caller is called only now: while another process holds the
	// lock, it may still give up waiting.
	if err := w.begin(); err != nil {
		w.db.met.failures.Add(1)
		first.refuse(err)
		return
	}
	if !first.begins() {
		w.rollback()
		return
	}
	elapsed := clock.Stopwatch() // how long others have waited, not what time it is
	ran := []*job{first}
	keep, err := w.firstTurn(first)
	for keep && err == nil {
		j := w.next(len(ran), elapsed)
		if j == nil {
			break
		}
		if j.begins() {
			ran = append(ran, j)
			err = w.turn(j)
		}
	}
	if keep && err == nil {
		err = w.commit()
	}
	if err != nil {
		w.db.met.failures.Add(int64(len(ran)))
	}
	for _, j := range ran {
		if err != nil {
			j.answer <- errors.Join(j.err, err)
		} else {
			j.answer <- j.err // as fn returned it
		}
	}
}

// next is the next job of the batch, nil when the batch should end.
func (w *writer) next(ran int, elapsed func() time.Duration) *job {
	if ran >= batchJobs || elapsed() >= time.Duration(w.db.longest.Load()) {
		return nil
	}
	select {
	case j := <-w.db.queue:
		return j
	default:
	}
	// Those answered a moment ago may be about to ask again; letting them run
	// first makes batches of them instead of a commit for each.
	runtime.Gosched()
	select {
	case j := <-w.db.queue:
		return j
	default:
		return nil
	}
}

// firstTurn lets the batch's first caller work. It needs no savepoint: if it
// fails, undoing all is undoing it, and there is nothing left to commit.
func (w *writer) firstTurn(j *job) (keep bool, err error) {
	broken := w.work(j)
	if j.err == nil && broken == nil {
		return true, nil
	}
	w.rollback()
	return false, broken
}

// turn lets one caller work in a savepoint, and undoes what it did if it
// failed. The error is one that ended the whole transaction.
func (w *writer) turn(j *job) error {
	if err := w.exec(`SAVEPOINT turn`); err != nil {
		w.rollback()
		j.call <- nil
		return fmt.Errorf("beginning a savepoint: %w", err)
	}
	if err := w.work(j); err != nil {
		w.rollback()
		return err
	}
	if j.err != nil {
		if err := w.exec(`ROLLBACK TO turn`); err != nil {
			w.rollback()
			return fmt.Errorf("undoing a transaction: %w", err)
		}
	}
	if err := w.exec(`RELEASE turn`); err != nil {
		w.rollback()
		return fmt.Errorf("ending a savepoint: %w", err)
	}
	return nil
}

// work hands the connection to the caller and takes it back. The error says
// that SQLite has given up the transaction, whatever fn made of that.
func (w *writer) work(j *job) error {
	t := &turn{w: w}
	tx := &Tx{on: t}
	j.call <- tx
	<-j.done
	failed := tx.finish()
	t.finish()
	if t.broken != nil {
		return fmt.Errorf("the transaction was rolled back: %w", t.broken)
	}
	if j.err == nil && failed != nil {
		j.err = fmt.Errorf("a statement had failed: %w", failed)
	}
	return nil
}

// begin takes the write lock, which another process may hold for a while.
func (w *writer) begin() error {
	if err := w.db.fault("begin"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if w.conn == nil {
		if err := w.connect(context.Background()); err != nil {
			return err
		}
	}
	err := w.exec(`BEGIN IMMEDIATE`)
	for try := 0; err != nil && busy(err) && try < busyTries; try++ {
		w.db.met.retries.Add(1)
		err = w.exec(`BEGIN IMMEDIATE`)
	}
	if err == nil {
		return nil
	}
	if busy(err) {
		return fmt.Errorf("%w: another process holds the write lock: %w", ErrBusy, err)
	}
	// Whatever state the connection is in, the next batch gets a new one.
	w.disconnect()
	return fmt.Errorf("beginning a transaction: %w", err)
}

// commit makes the batch durable, or undoes it.
func (w *writer) commit() error {
	err := w.db.fault("commit")
	if err == nil {
		err = w.exec(`COMMIT`)
	}
	if err != nil {
		w.rollback()
		return fmt.Errorf("committing: %w", err)
	}
	if err := w.db.fault("committed"); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil
}

// rollback leaves the connection outside any transaction. Where SQLite has
// rolled back by itself there is none to leave, which it calls an error; so the
// check is that a connection that cannot begin again is thrown away.
func (w *writer) rollback() {
	_ = w.exec(`ROLLBACK`)
}

func (w *writer) exec(q string) error {
	p := w.statements[q]
	if p == nil {
		st, err := w.conn.PrepareContext(context.Background(), q)
		if err != nil {
			return err
		}
		p = &prepared{Stmt: st}
		w.statements[q] = p
	}
	_, err := p.ExecContext(context.Background())
	return err
}
