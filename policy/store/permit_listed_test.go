package store

import (
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

// TestPermitsAreListedByTheUpgrade: permits that were there before are found by what
// lists go by; one in whose reason somebody has typed NUL does not stop the upgrade.
func TestPermitsAreListedByTheUpgrade(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Path: filepath.Join(t.TempDir(), "a.db")}
			if driver == "postgres" {
				cfg, _, _ = fresh(t)
			}
			now := migrationsOf(driver)
			files, _, err := now.steps()
			if err != nil {
				t.Fatal(err)
			}
			before := fstest.MapFS{}
			names, err := fs.Glob(files, "*.sql")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if v, err := goose.NumericComponent(name); err != nil || v >= 84 {
					continue
				}
				text, err := fs.ReadFile(files, name)
				if err != nil {
					t.Fatal(err)
				}
				before["m/"+name] = &fstest.MapFile{Data: text}
			}
			db, err := openWith(t.Context(), cfg, carried{before, "m"})
			if err != nil {
				t.Fatal(err)
			}
			for id, reason := range map[string]string{"plain": `在宅 ABC`, "nul": `a\u0000b`, "spelt": `\\u0000`} {
				err := db.WithTx(t.Context(), func(tx *Tx) error {
					return tx.ExecOne(t.Context(), `
						INSERT INTO permit (id, kind, person_id, requester_id, application, terminal, enforced, state, version, asked_at, starts_at, ends_at, due_at, matter, changed_at, body)
						VALUES ($1, 'remote_access', 'p', 'r', '', 't', 1, 'approved', 1, 1, 1, 9, 0, 'm', 5, $2)`, id,
						`{"person":{"section":"jinji","name":"Tanaka"},"requester":{},"reason":"`+reason+`","stated":{"applications":["a","b"]},"lapses_at":3,"decided_at":4,"reviewed_at":6,"done":{}}`)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if db, err = openWith(t.Context(), cfg, now); err != nil {
				t.Fatal("the upgrade:", err)
			}
			defer db.Close()
			type row struct {
				section, applications   string
				lapses, decided, looked int64
				done                    int64
			}
			for _, id := range []string{"plain", "nul", "spelt"} {
				var got row
				var found bool
				err := db.QueryRow(t.Context(), `
					SELECT section, applications, lapses_at, decided_at, looked_at, done_at, words LIKE '%tanaka%' FROM permit WHERE id = $1`, id).
					Scan(&got.section, &got.applications, &got.lapses, &got.decided, &got.looked, &got.done, &found)
				if want := (row{"jinji", " a b  ", 3, 4, 6, 5}); err != nil || got != want || !found {
					t.Errorf("%s: %+v, found by a name: %t, %v; want %+v", id, got, found, err, want)
				}
			}
		})
	}
}
