package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// A world is a store in which acts are done, a trail of them, and a key.
type world struct {
	t      testing.TB
	db     *store.DB
	path   string
	at     store.Config
	clock  *clock.Fake
	trail  *audit.Trail
	key    *audit.Key
	anchor string
	fault  func(stage string) error // what breaks in the store, nil nothing
}

func newWorld(t testing.TB) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sekisho.db")
	return newWorldAt(t, path, storetest.At(t, path))
}

// newWorldAt is newWorld on a store that the test chose.
func newWorldAt(t testing.TB, path string, at store.Config) *world {
	t.Helper()
	dir := filepath.Dir(path)
	w := &world{t: t, path: path, at: at, clock: clock.NewFake(t0), anchor: filepath.Join(dir, "outside", "anchor")}
	if err := os.Mkdir(filepath.Dir(w.anchor), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.key, err = audit.CreateKey(filepath.Join(dir, "trail.key"), "trail.example"); err != nil {
		t.Fatal(err)
	}
	w.open()
	w.exec(`CREATE TABLE act (id TEXT NOT NULL PRIMARY KEY)`)
	return w
}

func (w *world) open() {
	at := w.at
	at.Fault = func(stage string) error {
		if w.fault != nil {
			return w.fault(stage)
		}
		return nil
	}
	w.db = storetest.OpenWith(w.t, at)
	w.trail = audit.New(w.db, w.clock.Now)
}

// exec does what the rows' owner would not: tests play the careless, the broken
// and the malicious with it.
func (w *world) exec(q string, args ...any) {
	w.t.Helper()
	err := w.db.WithTx(w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(w.t.Context(), q, args...)
		return err
	})
	if err != nil {
		w.t.Fatalf("%s: %v", q, err)
	}
}

func (w *world) count(q string, args ...any) (n int64) {
	w.t.Helper()
	if err := w.db.QueryRow(w.t.Context(), q, args...).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", q, err)
	}
	return n
}

// act does one act with its entry.
func (w *world) act(id string) error {
	ctx := w.t.Context()
	return w.db.WithTx(ctx, func(tx *store.Tx) error {
		if err := tx.ExecOne(ctx, `INSERT INTO act (id) VALUES ($1)`, id); err != nil {
			return err
		}
		return w.trail.Append(ctx, tx, audit.Entry{
			Actor: "tanaka", Action: "act.done", Object: id, Outcome: audit.OK, Articles: []policy.Article{"62-1", "62-2"},
		})
	})
}

func (w *world) acts(from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		if err := w.act(fmt.Sprintf("act-%d", i)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) sealer() *audit.Sealer {
	w.t.Helper()
	s, err := audit.NewSealer(w.db, w.clock.Now, w.key, w.anchor)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) seal(s *audit.Sealer) {
	w.t.Helper()
	if err := s.Seal(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// verify exports and verifies the whole trail.
func (w *world) verify(old []byte) (proof.Report, error) {
	w.t.Helper()
	return proof.Verify(bytes.NewReader(w.export()), w.key.PublicKey(), old)
}

func (w *world) export() []byte {
	w.t.Helper()
	var out bytes.Buffer
	if err := audit.Export(w.t.Context(), w.db, &out); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes()
}

// whole fails the test unless the trail proves and has want entries.
func (w *world) whole(want int64) proof.Report {
	w.t.Helper()
	r, err := w.verify(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Entries != want {
		w.t.Fatalf("the trail has %d entries, want %d", r.Entries, want)
	}
	return r
}

// unlocked takes the triggers away, as somebody with the file in hand can.
func (w *world) unlocked() {
	w.t.Helper()
	q, drop := `SELECT name, '' FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'trail_%'`, `DROP TRIGGER `
	if w.at.Driver == "postgres" {
		q = `SELECT tgname, ' ON ' || tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'trail_%'`
	}
	rows, err := w.db.Query(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var n, on string
		if err := rows.Scan(&n, &on); err != nil {
			w.t.Fatal(err)
		}
		names = append(names, n+on)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	if len(names) < 10 {
		w.t.Fatalf("only %d triggers guard the trail", len(names))
	}
	for _, n := range names {
		w.exec(drop + n)
	}
}

// copyStore closes the store, copies its file and leaves it closed.
func (w *world) copyStore(to string) {
	w.t.Helper()
	storetest.OnlySQLite(w.t)
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	copyFile(w.t, w.path, to)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"-wal", "-shm"} {
		if err := os.Remove(to + side); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// objects lists what the exported entries were done to, in order.
func objects(t testing.TB, export []byte) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(string(export)) {
		l, err := proof.ParseLine([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		if l.Checkpoint != nil {
			continue
		}
		_, after, ok := strings.Cut(string(l.Entry), `"object":"`)
		if !ok {
			t.Fatalf("no object in %s", l.Entry)
		}
		object, _, _ := strings.Cut(after, `"`)
		out = append(out, object)
	}
	return out
}
