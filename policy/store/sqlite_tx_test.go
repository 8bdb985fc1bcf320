package store_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var errRefused = errors.New("refused")

// sqliteStore opens a store of the engine that these tests are about.
func sqliteStore(t testing.TB, cfg store.Config) *store.DB {
	t.Helper()
	cfg.Driver = "sqlite"
	return storetest.OpenWith(t, cfg)
}

// inOneBatch runs the functions as neighbours of one commit: the first holds
// the counter until all others have queued behind it.
func inOneBatch(t *testing.T, db *store.DB, fns ...func(tx *store.Tx) error) []error {
	db.TakeYourTime()
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	entered, leave := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		errs[0] = db.WithTx(t.Context(), func(tx *store.Tx) error {
			close(entered)
			<-leave
			return fns[0](tx)
		})
	})
	<-entered
	for i, fn := range fns[1:] {
		wg.Go(func() { errs[i+1] = db.WithTx(t.Context(), fn) })
		db.AwaitQueued(i + 1)
	}
	close(leave)
	wg.Wait()
	return errs
}

func TestNeighboursAreIsolated(t *testing.T) {
	var commits int
	db := withItems(t, sqliteStore(t, store.Config{Fault: func(stage string) error {
		if stage == "committed" {
			commits++
		}
		return nil
	}}))
	before := commits
	errs := inOneBatch(t, db,
		func(tx *store.Tx) error { return insertIn(tx, 1) },
		func(tx *store.Tx) error { return errors.Join(insertIn(tx, 2), errRefused) },
		func(tx *store.Tx) error { return insertIn(tx, 3) },
		func(tx *store.Tx) error { return insertIn(tx, 1) },          // sees its neighbour's row
		func(tx *store.Tx) error { _ = insertIn(tx, 3); return nil }, // keeps its failure to itself
		func(tx *store.Tx) error { return insertIn(tx, 4) },
	)
	for i, fails := range []bool{false, true, false, true, true, false} {
		if (errs[i] != nil) != fails {
			t.Errorf("neighbour %d: %v", i, errs[i])
		}
	}
	if !errors.Is(errs[1], errRefused) {
		t.Errorf("the failing neighbour got %v, want its own error", errs[1])
	}
	wantItems(t, db, 1, 3, 4)
	if commits-before != 1 {
		t.Errorf("%d commits, want one for all", commits-before)
	}
}

// TestBrokenSteps breaks each step in turn: callers and file agree, but for the
// one case in which they cannot, a commit whose answer was lost.
func TestBrokenSteps(t *testing.T) {
	for _, tt := range []struct {
		stage string
		kept  []int
	}{
		{"begin", nil},
		{"commit", nil},
		{"committed", []int{1, 3}},
	} {
		t.Run(tt.stage, func(t *testing.T) {
			var broken string
			db := withItems(t, sqliteStore(t, store.Config{Fault: func(stage string) error {
				if stage == broken {
					return errRefused
				}
				return nil
			}}))
			errOwn := errors.New("own")
			var errs []error
			if tt.stage == "begin" {
				broken = tt.stage
				errs = []error{insert(db, 1), insert(db, 3)}
			} else {
				errs = inOneBatch(t, db,
					func(tx *store.Tx) error { broken = tt.stage; return insertIn(tx, 1) },
					func(tx *store.Tx) error { return errors.Join(insertIn(tx, 2), errOwn) },
					func(tx *store.Tx) error { return insertIn(tx, 3) })
				if !errors.Is(errs[1], errOwn) {
					t.Errorf("who failed by itself got %v", errs[1])
				}
			}
			for i, err := range errs {
				if !errors.Is(err, errRefused) {
					t.Errorf("caller %d was told %v, want the break", i, err)
				}
			}
			wantItems(t, db, tt.kept...)
			broken = ""
			if err := insert(db, 9); err != nil {
				t.Error("after the break:", err)
			}
			wantItems(t, db, append(tt.kept, 9)...)
		})
	}
}

func TestPanicComesHome(t *testing.T) {
	db := withItems(t, sqliteStore(t, store.Config{}))
	for _, neighbours := range []bool{false, true} {
		func() {
			defer func() {
				if got := recover(); got != "out of ink" {
					t.Errorf("recovered %v, want the panic's own value", got)
				}
			}()
			boom := func(tx *store.Tx) error {
				_ = insertIn(tx, 1)
				panic("out of ink")
			}
			if !neighbours {
				_ = db.WithTx(t.Context(), boom)
			} else {
				held, leave := make(chan struct{}), make(chan struct{})
				go func() {
					_ = db.WithTx(t.Context(), func(tx *store.Tx) error {
						close(held)
						<-leave
						return insertIn(tx, 2)
					})
				}()
				<-held
				go func() { db.AwaitQueued(1); close(leave) }()
				_ = db.WithTx(t.Context(), boom)
			}
			t.Error("the panic was swallowed")
		}()
	}
	// A failing test ends its goroutine inside fn: the counter must not stay
	// taken, and nothing may be kept.
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = db.WithTx(t.Context(), func(tx *store.Tx) error {
			_ = insertIn(tx, 3)
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	wantItems(t, db, 2)
}

func TestContext(t *testing.T) {
	db := withItems(t, sqliteStore(t, store.Config{}))
	t.Run("ended before", func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		end()
		err := db.WithTx(ctx, func(*store.Tx) error { t.Error("it ran"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ended while waiting", func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		if err := db.WithTx(t.Context(), func(tx *store.Tx) error {
			got := make(chan error)
			go func() {
				got <- db.WithTx(ctx, func(*store.Tx) error { t.Error("it ran"); return nil })
			}()
			db.AwaitQueued(1)
			end()
			if err := <-got; !errors.Is(err, context.Canceled) { // answered though the counter is taken
				t.Errorf("got %v", err)
			}
			return insertIn(tx, 1)
		}); err != nil {
			t.Error(err)
		}
		wantItems(t, db, 1)
	})
	t.Run("ended inside", func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		err := db.WithTx(ctx, func(tx *store.Tx) error {
			end()
			if err := tx.ExecOne(ctx, `INSERT INTO item (id, note) VALUES (2, 'x')`); err != nil {
				return err
			}
			var n int
			return tx.QueryRow(ctx, `SELECT COUNT(*) FROM item`).Scan(&n)
		})
		if err != nil {
			t.Errorf("got %v: what has begun is not interrupted", err)
		}
		wantItems(t, db, 1, 2)
	})
}

// TestNestedEnds: a transaction inside a transaction is a mistake that must
// show itself instead of stopping the house.
func TestNestedEnds(t *testing.T) {
	db := withItems(t, sqliteStore(t, store.Config{Patience: 20 * time.Millisecond}))
	err := db.WithTx(t.Context(), func(tx *store.Tx) error {
		if err := insertIn(tx, 1); err != nil {
			return err
		}
		wantItems(t, db) // reading is fine, and shows what is committed
		return insert(db, 2)
	})
	if !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), "inside a transaction") {
		t.Errorf("got %v, want ErrBusy that says why", err)
	}
	wantItems(t, db)
	if err := insert(db, 3); err != nil {
		t.Error("afterwards:", err)
	}
}

// TestRowsLeftOpen: cursors that fn forgot at its end neither block the commit
// nor the next transaction.
func TestRowsLeftOpen(t *testing.T) {
	db := withItems(t, sqliteStore(t, store.Config{}))
	for id := range 4 {
		if err := insert(db, id); err != nil {
			t.Fatal(err)
		}
	}
	const all, one = `SELECT id FROM item WHERE id >= $1 ORDER BY id`, `SELECT id FROM item WHERE id = $1`
	for round := range 3 {
		err := db.WithTx(t.Context(), func(tx *store.Tx) error {
			first, second := tx.QueryRow(t.Context(), one, 1), tx.QueryRow(t.Context(), one, 2)
			_ = tx.QueryRow(t.Context(), one, 3) // never scanned
			var a, b int
			if err := errors.Join(second.Scan(&b), first.Scan(&a)); err != nil || a != 1 || b != 2 {
				t.Errorf("round %d: two rows at once are %d and %d, %v", round, a, b, err)
			}
			if err := insertIn(tx, -1-round); err != nil {
				return err
			}
			rows, err := tx.Query(t.Context(), all, 0)
			if err == nil {
				rows.Next()
			}
			return err
		})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	wantItems(t, db, -3, -2, -1, 0, 1, 2, 3)
}

func TestTxIsOverAfterwards(t *testing.T) {
	db := withItems(t, sqliteStore(t, store.Config{}))
	var kept *store.Tx
	if err := db.WithTx(t.Context(), func(tx *store.Tx) error { kept = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := insertIn(kept, 1); err == nil {
		t.Error("a transaction wrote after its end")
	}
	var n int
	if err := kept.QueryRow(t.Context(), `SELECT 1`).Scan(&n); err == nil || !strings.Contains(err.Error(), "over") {
		t.Errorf("reading after the end: %v", err)
	}
	wantItems(t, db)
}

// TestFullDisk: when SQLite gives up the whole transaction, everybody in it is
// told, even who would not hear it, and nothing is written outside one. When
// there is room again the store resumes by itself.
func TestFullDisk(t *testing.T) {
	db := withItems(t, sqliteStore(t, store.Config{}))
	pages := func(tx *store.Tx, n int) error {
		var got int
		return tx.QueryRow(t.Context(), `PRAGMA max_page_count = `+map[int]string{1: "1", 0: "1000000"}[n]).Scan(&got)
	}
	big := strings.Repeat("x", 1<<20)
	fill := func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO item (id, note) VALUES (100, $1)`, big)
		return err
	}
	errs := inOneBatch(t, db,
		func(tx *store.Tx) error { return insertIn(tx, 1) },
		func(tx *store.Tx) error {
			if err := pages(tx, 1); err != nil {
				return err
			}
			if err := fill(tx); err == nil {
				t.Error("the disk was not full")
			}
			if err := insertIn(tx, 2); err == nil {
				t.Error("a statement ran after the transaction was gone")
			}
			return nil // as if nothing had been
		},
	)
	for i, err := range errs {
		if !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("neighbour %d was told %v, want that the disk is full", i, err)
		}
	}
	wantItems(t, db)
	if err := db.WithTx(t.Context(), func(tx *store.Tx) error { return pages(tx, 0) }); err != nil {
		t.Fatal("making room:", err)
	}
	if err := db.WithTx(t.Context(), fill); err != nil {
		t.Error("with room again:", err)
	}
	wantItems(t, db, 100)
}

// TestOtherHandleHoldsTheLock: who waits for another process can still leave,
// and who stays is served when the lock is free.
func TestOtherHandleHoldsTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sekisho.db")
	began := make(chan struct{}, 8)
	a := withItems(t, sqliteStore(t, store.Config{Path: path}))
	b := sqliteStore(t, store.Config{Path: path, Fault: func(stage string) error {
		if stage == "begin" {
			began <- struct{}{}
		}
		return nil
	}})
	ctx, end := context.WithCancel(t.Context())
	left, stayed := make(chan error, 1), make(chan error, 1)
	if err := a.WithTx(t.Context(), func(tx *store.Tx) error {
		go func() {
			left <- b.WithTx(ctx, func(tx *store.Tx) error { return insertIn(tx, 1) })
		}()
		<-began
		go func() { stayed <- insert(b, 2) }()
		b.AwaitQueued(1)
		end()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
		return insertIn(tx, 3)
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-stayed; err != nil {
		t.Error("who stayed:", err)
	}
	wantItems(t, a, 2, 3)
}

// TestTwoHandlesTakeTurns: a command works on the file beside a server.
func TestTwoHandlesTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sekisho.db")
	a := withItems(t, sqliteStore(t, store.Config{Path: path}))
	b := sqliteStore(t, store.Config{Path: path})
	race(40, func(i int) {
		db := []*store.DB{a, b}[i%2]
		if err := insert(db, i); err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	})
	if got := len(items(t, a)); got != 40 {
		t.Errorf("%d rows, want 40", got)
	}
}

func TestClose(t *testing.T) {
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "sekisho.db")})
	if err != nil {
		t.Fatal(err)
	}
	withItems(t, db)
	held, leave := make(chan struct{}), make(chan struct{})
	working := make(chan error, 1)
	go func() {
		working <- db.WithTx(context.Background(), func(tx *store.Tx) error {
			close(held)
			<-leave
			return insertIn(tx, 1)
		})
	}()
	<-held
	shut := make(chan error, 2)
	go func() { shut <- db.Close() }()
	db.AwaitClosing()
	if err := insert(db, 2); !errors.Is(err, store.ErrClosed) {
		t.Errorf("work after Close began: %v, want ErrClosed", err)
	}
	close(leave)
	if err := <-working; err != nil {
		t.Errorf("work that had begun: %v, want it finished", err)
	}
	if err := <-shut; err != nil {
		t.Error("Close:", err)
	}
	if err := db.Close(); err != nil {
		t.Error("Close again:", err)
	}
	if err := db.Ping(t.Context()); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("a closed store answers %v", err)
	}
}
