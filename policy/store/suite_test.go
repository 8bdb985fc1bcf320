package store_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/postgres"
)

// each runs a test of the suite on both engines. at is a place for one store,
// which several handles may open.
func each(t *testing.T, test func(t *testing.T, at store.Config)) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			if driver == "postgres" {
				postgres.Missing(t)
			}
			test(t, storetest.Place(t, driver))
		})
	}
}

// TestStatementErrors: after a statement that failed nothing is kept and nothing
// runs, whatever fn makes of it.
func TestStatementErrors(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := withItems(t, storetest.OpenWith(t, at))
		if err := insert(db, 1); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name string
			fn   func(tx *store.Tx) error
			says string
		}{
			{"kept to itself", func(tx *store.Tx) error { _ = insertIn(tx, 2); _ = insertIn(tx, 1); return nil }, "had failed"},
			{"gone on after", func(tx *store.Tx) error { _ = insertIn(tx, 1); return insertIn(tx, 3) }, "has failed"},
			{"told", func(tx *store.Tx) error { return insertIn(tx, 1) }, ""},
			{"a row that cannot be read", func(tx *store.Tx) error {
				_ = tx.QueryRow(t.Context(), `SELECT nothing FROM item`).Err()
				return nil
			}, "had failed"},
			{"rows left open", func(tx *store.Tx) error {
				rows, err := tx.Query(t.Context(), `SELECT id FROM item`)
				if err != nil || !rows.Next() {
					t.Error(err)
				}
				return insertIn(tx, 4)
			}, "still open"},
		} {
			err := db.WithTx(t.Context(), tt.fn)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: WithTx = %v, want %q", tt.name, err, tt.says)
			}
		}
		wantItems(t, db, 1)
	})
}

// TestSerialisable is write skew: each of two may leave only if the other stays.
// Both look before either leaves; one of them must stay.
func TestSerialisable(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := withItems(t, storetest.OpenWith(t, at))
		errStay := errors.New("the other has left")
		for round := range 20 {
			a, b := 2*round, 2*round+1
			for _, id := range []int{a, b} {
				if err := insert(db, id); err != nil {
					t.Fatal(err)
				}
			}
			leave := func(me, other int) error {
				return db.WithTx(context.Background(), func(tx *store.Tx) error {
					var left int
					if err := tx.QueryRow(t.Context(), `SELECT COUNT(*) FROM item WHERE id = $1 AND spent_at > 0`, other).Scan(&left); err != nil {
						return err
					}
					if left > 0 {
						return errStay
					}
					return tx.ExecOne(t.Context(), `UPDATE item SET spent_at = 1 WHERE id = $1`, me)
				})
			}
			errs := make([]error, 2)
			race(2, func(i int) { errs[i] = leave([]int{a, b}[i], []int{b, a}[i]) })
			var left int
			if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM item WHERE id IN ($1, $2) AND spent_at > 0`, a, b).Scan(&left); err != nil || left != 1 {
				t.Fatalf("%d left (%v), %v", left, errs, err)
			}
		}
	})
}

// TestText: what strangers send is kept so that both engines take it, and is
// found again by what was sent.
func TestText(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := withItems(t, storetest.OpenWith(t, at))
		type login string // as most ids are
		for i, sent := range []login{"関所", "a\x00b", "\xff\xfe", "it's $1 \\x41"} {
			err := db.WithTx(t.Context(), func(tx *store.Tx) error {
				return tx.ExecOne(t.Context(), `INSERT INTO item (id, note) VALUES ($1, $2)`, i, sent)
			})
			if err != nil {
				t.Fatalf("%q: %v", sent, err)
			}
			var id int
			if err := db.QueryRow(t.Context(), `SELECT id FROM item WHERE note = $1`, sent).Scan(&id); err != nil || id != i {
				t.Errorf("%q is found as %d, %v", sent, id, err)
			}
		}
	})
}

// TestKinds: bytes, numbers and yes or no come back as they went in, nothing
// stands for never, and text is in the order of its bytes.
func TestKinds(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		db := storetest.OpenWith(t, at)
		blob := map[string]string{"sqlite": "BLOB", "postgres": "BYTEA"}[at.Driver]
		raw := []byte("\x00\xffA\\x41")
		err := db.WithTx(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(t.Context(), `CREATE TABLE kind (id TEXT NOT NULL PRIMARY KEY, b `+blob+` NOT NULL, n BIGINT NOT NULL, yes BIGINT NOT NULL)`); err != nil {
				return err
			}
			for _, id := range []string{"b", "B", "a", "_", "é"} {
				if err := tx.ExecOne(t.Context(), `INSERT INTO kind (id, b, n, yes) VALUES ($1, $2, $3, $4)`, id, raw, int64(-1)<<62, true); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query(t.Context(), `SELECT id, b, n, yes FROM kind WHERE b = $1 AND yes = $2 ORDER BY id`, raw, true)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var order string
		for rows.Next() {
			var (
				id  string
				b   []byte
				n   int64
				yes bool
			)
			if err := rows.Scan(&id, &b, &n, &yes); err != nil || !bytes.Equal(b, raw) || n != int64(-1)<<62 || !yes {
				t.Errorf("%q %q %d %v, %v", id, b, n, yes, err)
			}
			order += id
		}
		if order != "B_abé" || rows.Err() != nil {
			t.Errorf("in the order %q, %v", order, rows.Err())
		}
	})
}

// TestWithLock: one at a time, in all handles, each seeing what the one before
// has left; appenders neither wait nor begin again.
func TestWithLock(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		handles := []*store.DB{withItems(t, storetest.OpenWith(t, at)), storetest.OpenWith(t, at)}
		if err := insert(handles[0], 1000); err != nil {
			t.Fatal(err)
		}
		var inside atomic.Int64
		race(30, func(i int) {
			if i%3 == 0 {
				if err := insert(handles[i%2], i); err != nil {
					t.Error(err)
				}
				return
			}
			err := handles[i%2].WithLock(context.Background(), "count", func(tx *store.Tx) error {
				if inside.Add(1) != 1 {
					t.Error("two at a time")
				}
				defer inside.Add(-1)
				var n, all int
				if err := tx.QueryRow(context.Background(), `SELECT spent_at FROM item WHERE id = 1000`).Scan(&n); err != nil {
					return err
				}
				if err := tx.QueryRow(context.Background(), `SELECT COUNT(*) FROM item`).Scan(&all); err != nil {
					return err
				}
				return tx.ExecOne(context.Background(), `UPDATE item SET spent_at = $1 WHERE id = 1000`, n+1)
			})
			if err != nil {
				t.Error(err)
			}
		})
		var n int
		if err := handles[0].QueryRow(t.Context(), `SELECT spent_at FROM item WHERE id = 1000`).Scan(&n); err != nil || n != 20 {
			t.Errorf("counted %d, %v, want 20", n, err)
		}
		if got := handles[0].Stats().Retries + handles[1].Stats().Retries; got != 0 {
			t.Errorf("%d transactions began again", got)
		}
		if err := handles[0].WithLock(t.Context(), "", nil); err == nil {
			t.Error("a lock without a name was taken")
		}
	})
}

// TestLook tells a place where a store is from one where none is yet.
func TestLook(t *testing.T) {
	each(t, func(t *testing.T, at store.Config) {
		if at.Driver == "sqlite" {
			if v, err := store.Look(t.Context(), at); err != nil || v.Made || !v.MayMake {
				t.Errorf("before: %+v, %v", v, err)
			}
		}
		storetest.OpenWith(t, at)
		if v, err := store.Look(t.Context(), at); err != nil || !v.Made {
			t.Errorf("after: %+v, %v", v, err)
		}
	})
	at := store.Config{Driver: "sqlite", Path: filepath.Join(t.TempDir(), "none.db")}
	if _, err := store.Look(t.Context(), at); err != nil {
		t.Error(err)
	}
	if v, err := store.Look(t.Context(), at); err != nil || v.Made {
		t.Errorf("looking made a store: %+v, %v", v, err)
	}
}
