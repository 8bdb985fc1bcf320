package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childStore); path != "" {
		os.Exit(commitForEver(path))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("sekisho/test/postgres.(*Server).start.func1"))
}

// withItems gives the store a table to work on.
func withItems(t testing.TB, db *store.DB) *store.DB {
	t.Helper()
	err := db.WithTx(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.Background(),
			`CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, note TEXT NOT NULL, spent_at BIGINT NOT NULL DEFAULT 0)`)
		return err
	})
	if err != nil {
		t.Fatal("creating the table:", err)
	}
	return db
}

func insert(db *store.DB, id int) error {
	return db.WithTx(context.Background(), func(tx *store.Tx) error {
		return insertIn(tx, id)
	})
}

func insertIn(tx *store.Tx, id int) error {
	return tx.ExecOne(context.Background(), `INSERT INTO item (id, note) VALUES ($1, $2)`, id, "x")
}

func items(t testing.TB, db *store.DB) []int {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT id FROM item ORDER BY id`)
	if err != nil {
		t.Fatal("reading items:", err)
	}
	defer rows.Close()
	var ids []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal("reading items:", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal("reading items:", err)
	}
	return ids
}

func wantItems(t testing.TB, db *store.DB, want ...int) {
	t.Helper()
	if got := items(t, db); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the store holds %v, want %v", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  store.Config
		says string
	}{
		{"no path", store.Config{}, "no path"},
		{"another driver", store.Config{Driver: "oracle", Path: filepath.Join(t.TempDir(), "a.db")}, `"oracle" is not known`},
		{"no folder", store.Config{Path: filepath.Join(t.TempDir(), "none", "a.db")}, "creating the store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, err := store.Open(t.Context(), tt.cfg)
			if err == nil {
				_ = db.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it says %q, want %q in it", err, tt.says)
			}
		})
	}
	t.Run("not a database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("not SQLite at all. ", 200)), 0o600); err != nil {
			t.Fatal(err)
		}
		if db, err := store.Open(t.Context(), store.Config{Path: path}); err == nil {
			_ = db.Close()
			t.Error("it opened")
		}
	})
}

// TestFileIsPrivate: the -wal file holds the newest rows, so it counts too. The
// name is one that a careless connection string would cut at the question mark.
func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "関所 50%?mode=memory#1.db")
	db := withItems(t, storetest.OpenWith(t, store.Config{Driver: "sqlite", Path: path}))
	wantItems(t, db)
	for _, suffix := range []string{"", "-wal", "-shm", ".migrate"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Error(err)
			continue
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o, want 0600", info.Name(), info.Mode().Perm())
		}
	}
}

func TestMark(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := storetest.OpenWith(t, at)
		nine := time.Date(2026, 4, 1, 9, 0, 0, 123456000, time.UTC)
		for _, tt := range []struct {
			name      string
			now, want time.Time
		}{
			{"the first mark", nine, nine},
			{"a clock set back", nine.Add(-time.Hour), nine},
			{"the next minute", nine.Add(time.Minute), nine.Add(time.Minute)},
			{"no time at all", time.Time{}, nine.Add(time.Minute)},
		} {
			got, err := db.Mark(t.Context(), tt.now)
			if err != nil || !got.Equal(tt.want) {
				t.Errorf("%s: Mark = %v, %v, want %v", tt.name, got, err, tt.want)
			}
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error("Ping:", err)
		}
	})
}

func TestMicros(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   time.Time
		want int64
	}{
		{"never", time.Time{}, 0},
		{"a microsecond", time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC), 1767225600000001},
		{"Tokyo", time.Date(2026, 1, 1, 9, 0, 0, 0, time.FixedZone("JST", 9*3600)), 1767225600000000},
	} {
		if got := store.Micros(tt.at); got != tt.want {
			t.Errorf("%s: Micros = %d, want %d", tt.name, got, tt.want)
		}
		back := store.FromMicros(tt.want)
		if !back.Equal(tt.at) || back.Location() != time.UTC {
			t.Errorf("%s: FromMicros = %v, want %v in UTC", tt.name, back, tt.at)
		}
	}
	if got := store.Micros(time.Unix(5, 1999)); got != 5000001 {
		t.Errorf("a part of a microsecond: %d, want it cut off", got)
	}
}

func TestExecOne(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := withItems(t, storetest.OpenWith(t, at))
		for id := range 3 {
			if err := insert(db, id); err != nil {
				t.Fatal(err)
			}
		}
		update := func(where string) error {
			return db.WithTx(t.Context(), func(tx *store.Tx) error {
				return tx.ExecOne(t.Context(), `UPDATE item SET note = 'changed' WHERE `+where)
			})
		}
		if err := update("id = 1"); err != nil {
			t.Error("one row:", err)
		}
		if err := update("id = 9"); !errors.Is(err, store.ErrUntouched) {
			t.Errorf("no row: %v, want ErrUntouched", err)
		}
		if err := update("id >= 0"); err == nil || errors.Is(err, store.ErrUntouched) {
			t.Errorf("three rows: %v, want an error of its own", err)
		}
		var changed int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM item WHERE note = 'changed'`).Scan(&changed); err != nil || changed != 1 {
			t.Errorf("%d rows changed, %v, want the one", changed, err)
		}
	})
}

// TestReadsAreReads: nobody writes past the queue.
func TestReadsAreReads(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := withItems(t, storetest.OpenWith(t, at))
		var id int
		err := db.QueryRow(t.Context(), `INSERT INTO item (id, note) VALUES (1, 'x') RETURNING id`).Scan(&id)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "-", ""), "readonly") {
			t.Errorf("writing through QueryRow: %v, want a refusal", err)
		}
		if err := db.QueryRow(t.Context(), `SELECT id FROM nowhere`).Scan(&id); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("a broken query says %v", err)
		}
		wantItems(t, db)
	})
}

// TestFiftyWriters: fifty race for numbers from one head row, ten give up after
// taking theirs. There is no gap and nobody shares a number.
func TestFiftyWriters(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := withItems(t, storetest.OpenWith(t, at))
		errGivenUp := errors.New("given up")
		if err := db.WithTx(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), `CREATE TABLE head (next BIGINT NOT NULL)`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `INSERT INTO head VALUES (0)`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		race(50, func(i int) {
			err := db.WithTx(context.Background(), func(tx *store.Tx) error {
				var n int
				if err := tx.QueryRow(context.Background(), `UPDATE head SET next = next + 1 RETURNING next`).Scan(&n); err != nil {
					return err
				}
				if err := insertIn(tx, n); err != nil {
					return err
				}
				if i%5 == 0 {
					return errGivenUp
				}
				return nil
			})
			if (i%5 == 0) != errors.Is(err, errGivenUp) || (i%5 != 0) != (err == nil) {
				t.Errorf("writer %d: %v", i, err)
			}
		})
		got := items(t, db)
		if len(got) != 40 || got[0] != 1 || got[39] != 40 {
			t.Errorf("the numbers are %v, want 1 to 40", got)
		}
	})
}

// TestGuardedUpdate: twenty spend one row, two handles of the same file among
// them. One wins.
func TestGuardedUpdate(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		handles := []*store.DB{withItems(t, storetest.OpenWith(t, at)), storetest.OpenWith(t, at)}
		for round := range 10 {
			if err := insert(handles[0], round); err != nil {
				t.Fatal(err)
			}
			var won, lost atomic.Int64
			race(20, func(i int) {
				err := handles[i%2].WithTx(context.Background(), func(tx *store.Tx) error {
					return tx.ExecOne(context.Background(),
						`UPDATE item SET spent_at = $1 WHERE id = $2 AND spent_at = 0`, i+1, round)
				})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, store.ErrUntouched):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
			if won.Load() != 1 || lost.Load() != 19 {
				t.Fatalf("round %d: %d won and %d lost, want 1 and 19", round, won.Load(), lost.Load())
			}
		}
	})
}

// race runs f(0) to f(n-1), released at one moment.
func race(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func BenchmarkWithTx(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			db := withItems(b, storetest.Open(b))
			var id atomic.Int64
			b.SetParallelism((clients + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			if clients == 1 {
				for b.Loop() {
					if err := insert(db, int(id.Add(1))); err != nil {
						b.Fatal(err)
					}
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := insert(db, int(id.Add(1))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

func BenchmarkQueryRow(b *testing.B) {
	db := withItems(b, storetest.Open(b))
	if err := insert(db, 1); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var note string
		if err := db.QueryRow(b.Context(), `SELECT note FROM item WHERE id = $1`, 1).Scan(&note); err != nil {
			b.Fatal(err)
		}
	}
}
