package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"sekisho/policy/backup"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/postgres"
)

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sqlite(t testing.TB) *store.DB {
	t.Helper()
	return storetest.OpenWith(t, store.Config{Driver: "sqlite"})
}

func exec(t testing.TB, db *store.DB, q string, args ...any) {
	t.Helper()
	err := db.WithTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), q, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// filled is a store with a row of each kind of value, and their extremes.
func filled(t testing.TB) *store.DB {
	t.Helper()
	return fill(t, sqlite(t))
}

func fill(t testing.TB, db *store.DB) *store.DB {
	t.Helper()
	for i, data := range [][]byte{{}, {0}, []byte("plain"), {0xff, '\n', '"'}} {
		exec(t, db, `INSERT INTO spent_ticket (mac, ends_at) VALUES ($1, $2)`, data, []int64{0, -1 << 63, 1<<63 - 1, 42}[i])
	}
	exec(t, db, `INSERT INTO kept_answer (place, sealed, ends_at) VALUES ('long', $1, 8)`, bytes.Repeat([]byte{0xff, '\n', '"'}, 200_000))
	exec(t, db, `INSERT INTO notice_address (person_id, address, changed_at) VALUES ($1, $2, 7)`, "甲乙", "\"a\\b\"\n<&>")
	return db
}

func written(t testing.TB, db *store.DB, to ...age.Recipient) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := backup.Write(t.Context(), &file, to, db, backup.Header{Origin: "gate.example"}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func load(ctx context.Context, file []byte, db *store.DB, with ...age.Identity) (backup.Counts, error) {
	a, err := backup.Open(bytes.NewReader(file), with...)
	if err != nil {
		return backup.Counts{}, err
	}
	return backup.Load(ctx, a, db)
}

// lines is what a store holds, as its backup tells it.
type lines struct{ strings.Builder }

func (l *lines) Table(name string, columns []string) error {
	l.WriteString(name + strings.Join(columns, ","))
	return nil
}

func (l *lines) Row(values []any) error {
	for _, v := range values {
		switch v := v.(type) {
		case []byte:
			l.WriteString(" b" + string(v))
		case string:
			l.WriteString(" s" + v)
		case int64:
			l.WriteString(" i" + string(rune('0'+v%10)))
		}
	}
	return nil
}

func content(t testing.TB, file []byte, with age.Identity) string {
	t.Helper()
	a, err := backup.Open(bytes.NewReader(file), with)
	if err != nil {
		t.Fatal(err)
	}
	var l lines
	if _, err := a.Read(t.Context(), &l); err != nil {
		t.Fatal(err)
	}
	return l.String()
}

// TestThereAndBack: what is copied comes back value by value, for each of those
// who may read it.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	db, one, two := filled(t), identity(t), identity(t)
	file := written(t, db, one.Recipient(), two.Recipient())
	if bytes.Contains(file, []byte("plain")) {
		t.Error("it is not encrypted")
	}
	fresh := sqlite(t)
	n, err := load(t.Context(), file, fresh, two)
	if err != nil {
		t.Fatal(err)
	}
	if n.Rows < 7 || n.Tables < 30 {
		t.Errorf("%+v", n)
	}
	if content(t, file, one) != content(t, written(t, fresh, one.Recipient()), one) {
		t.Error("the copy of the copy is another")
	}
}

// TestBetweenEngines: a copy of a store on either engine goes into one on either,
// and is the same there.
func TestBetweenEngines(t *testing.T) {
	t.Parallel()
	postgres.Missing(t)
	for _, from := range []string{"sqlite", "postgres"} {
		for _, to := range []string{"sqlite", "postgres"} {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				one := identity(t)
				file := written(t, fill(t, storetest.OpenWith(t, store.Config{Driver: from})), one.Recipient())
				fresh := storetest.OpenWith(t, store.Config{Driver: to})
				if n, err := load(t.Context(), file, fresh, one); err != nil || n.Rows < 7 || n.Tables < 30 {
					t.Fatalf("%+v: %v", n, err)
				}
				if a, b := sorted(content(t, file, one)), sorted(content(t, written(t, fresh, one.Recipient()), one)); a != b {
					t.Error("the copy of the copy is another")
				}
			})
		}
	}
}

// sorted is a content whose rows are in no order of their own.
func sorted(content string) string {
	parts := strings.Split(content, " ")
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// TestOneMoment: what is committed while the copy is made is not in it, and
// whoever commits does not wait for it.
func TestOneMoment(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if engine == "postgres" {
				postgres.Missing(t)
			}
			db := fill(t, storetest.OpenWith(t, store.Config{Driver: engine}))
			err := db.Snapshot(t.Context(), func(s *store.Snapshot) error {
				var before, after int
				count := `SELECT COUNT(*) FROM spent_ticket`
				if err := s.QueryRow(t.Context(), count).Scan(&before); err != nil {
					return err
				}
				exec(t, db, `INSERT INTO spent_ticket (mac, ends_at) VALUES ($1, 1)`, []byte("later"))
				if err := s.QueryRow(t.Context(), count).Scan(&after); err != nil {
					return err
				}
				if before != after {
					t.Errorf("%d, then %d", before, after)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRefusals: a file that is not whole, not ours or not of this schema is
// refused, each in its own way.
func TestRefusals(t *testing.T) {
	t.Parallel()
	db, one := filled(t), identity(t)
	file := written(t, db, one.Recipient())
	flipped := func(at int) []byte {
		b := bytes.Clone(file)
		b[at] ^= 1
		return b
	}
	for _, c := range []struct {
		name string
		file []byte
		with age.Identity
		want error
	}{
		{"another identity", file, identity(t), backup.ErrNotForUs},
		{"nothing", nil, one, backup.ErrDamaged},
		{"no backup", []byte("policy.yaml\n"), one, backup.ErrDamaged},
		{"cut in the middle", file[:len(file)/2], one, backup.ErrDamaged},
		{"cut by a byte", file[:len(file)-1], one, backup.ErrDamaged},
		{"more behind it", append(bytes.Clone(file), 'x'), one, backup.ErrDamaged},
		{"a bit at its end", flipped(len(file) - 1), one, backup.ErrDamaged},
		{"a bit in the middle", flipped(len(file) / 2), one, backup.ErrDamaged},
	} {
		if _, err := load(t.Context(), c.file, sqlite(t), c.with); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	other := filled(t)
	exec(t, other, `CREATE TABLE later (id TEXT)`)
	if _, err := load(t.Context(), written(t, other, one.Recipient()), sqlite(t), one); !errors.Is(err, backup.ErrForm) {
		t.Errorf("a table that is not ours: %v", err)
	}
	exec(t, other, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	if _, err := load(t.Context(), written(t, other, one.Recipient()), sqlite(t), one); !errors.Is(err, backup.ErrForm) {
		t.Errorf("another schema: %v", err)
	}
	if _, err := backup.Write(t.Context(), io.Discard, nil, db, backup.Header{}); err == nil {
		t.Error("it was written for nobody")
	}
	for _, keys := range [][]string{nil, {"age1nobody"}, {one.String()}} {
		if _, err := backup.Recipients(keys); err == nil || strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("recipients: %v", err)
		}
	}
}

// TestWholeOrNot: a backup that fails leaves the one before.
func TestWholeOrNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "b.age")
	if _, err := backup.WriteFile(path, func(w io.Writer) error { _, err := w.Write([]byte("first")); return err }); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no")
	_, err := backup.WriteFile(path, func(w io.Writer) error { _, _ = w.Write([]byte("half")); return failed })
	if !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "first" {
		t.Errorf("%q %v", text, err)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}
