package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/policy/clock"
	pg "sekisho/test/postgres"
)

// fresh is an empty database of the shared server.
func fresh(t *testing.T) (Config, string, *pg.Server) {
	t.Helper()
	server := pg.Shared(t)
	name, err := server.Database(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Drop(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return Config{Driver: "postgres", URL: server.URL(name), FsyncOff: true, MaxConnections: 6}, name, server
}

// TestOpenPostgresRefuses: what would lose commits, or could not keep a name, is
// found before anything is written.
func TestOpenPostgresRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server string // statement; % is the database
		change func(*Config)
		says   string
	}{
		{"commits that are not waited for", `ALTER DATABASE % SET synchronous_commit = off`, nil, "synchronous_commit off"},
		{"commits that are written here alone", `ALTER DATABASE % SET synchronous_commit = local`, nil, "synchronous_commit local"},
		{"no fsync", `SELECT 1`, func(c *Config) { c.FsyncOff = false }, "fsync off"},
		{"the order of some language", `DROP DATABASE %; CREATE DATABASE % TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'und' OWNER ` + pg.Owner, nil, "collation ICU"},
		{"another encoding", `DROP DATABASE %; CREATE DATABASE % TEMPLATE template0 ENCODING 'EUC_JP' LOCALE 'C' OWNER ` + pg.Owner, nil, "server_encoding EUC_JP"},
		{"no right to make tables", `ALTER DATABASE % OWNER TO postgres`, nil, "permission denied"},
		{"nobody there", `SELECT 1`, func(c *Config) { c.URL = "postgres://sekisho@127.0.0.1:1/x" }, ErrAway.Error()},
		{"no such database", `SELECT 1`, func(c *Config) { c.URL += "x" }, ErrNowhere.Error()},
		{"no such role", `SELECT 1`, func(c *Config) { c.URL = strings.Replace(c.URL, "sekisho@", "nobody@", 1) }, ErrDenied.Error()},
		{"no URL", `SELECT 1`, func(c *Config) { c.URL = "" }, "no URL"},
		{"another database", `SELECT 1`, func(c *Config) { c.URL = "mysql://a@b/c" }, `"mysql"`},
		{"no user", `SELECT 1`, func(c *Config) { c.URL = "postgres://127.0.0.1/x" }, "no user"},
		{"a password in the URL", `SELECT 1`, func(c *Config) { c.URL = strings.Replace(c.URL, "sekisho@", "sekisho:hunter2@", 1) }, "a file of its own"},
		{"another machine in clear", `SELECT 1`, func(c *Config) { c.URL = "postgres://sekisho@192.0.2.1/x?sslmode=disable" }, "must prove its name"},
		{"another machine, perhaps in clear", `SELECT 1`, func(c *Config) { c.URL = "postgres://sekisho@192.0.2.1/x?sslmode=prefer" }, "must prove its name"},
		{"another machine by any certificate", `SELECT 1`, func(c *Config) { c.URL = "postgres://sekisho@192.0.2.1/x?sslmode=require" }, "must prove its name"},
		{"too few connections", `SELECT 1`, func(c *Config) { c.MaxConnections = 3 }, "needs 4"},
		{"a password that others read", `SELECT 1`, func(c *Config) { c.PasswordFile = "/etc/passwd" }, "password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg, name, server := fresh(t)
			for q := range strings.SplitSeq(strings.ReplaceAll(tt.server, "%", name), "; ") {
				if err := server.Admin(t.Context(), "postgres", q); err != nil {
					t.Fatal(err)
				}
			}
			if tt.change != nil {
				tt.change(&cfg)
			}
			db, err := Open(t.Context(), cfg)
			if err == nil {
				_ = db.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("it says %q, want %q in it", err, tt.says)
			}
		})
	}
}

// TestMigratingBesideAGatewayAtWork: a step that locks two tables, and a transaction that
// has them in the other order, do not end the upgrade: the step gives way and is tried again.
func TestMigratingBesideAGatewayAtWork(t *testing.T) {
	t.Parallel()
	pg.Missing(t)
	cfg, name, server := fresh(t)
	one := step(1, "CREATE TABLE a (id BIGINT);\nCREATE TABLE b (id BIGINT)")
	two := step(2, "ALTER TABLE a ADD COLUMN more BIGINT;\nALTER TABLE b ADD COLUMN more BIGINT")
	s, err := serverOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := migratePostgres(t.Context(), s, carried{steps(one), "m"}); err != nil {
		t.Fatal(err)
	}
	// Whoever waits looks for a deadlock once: the migration, and not the gateway.
	if err := server.Admin(t.Context(), "postgres", `ALTER DATABASE `+name+` SET deadlock_timeout = '60s'`); err != nil {
		t.Fatal(err)
	}
	gateway := s.pool(2, map[string]string{"statement_timeout": "0", "lock_timeout": "0"})
	defer gateway.Close()
	tx, err := gateway.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), `SELECT id FROM b`); err != nil {
		t.Fatal(err)
	}
	if err := server.Admin(t.Context(), "postgres", `ALTER DATABASE `+name+` SET deadlock_timeout = '2s'`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- migratePostgres(t.Context(), s, carried{steps(one, two), "m"}) }()
	for waits := false; !waits; {
		err := gateway.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'b'::regclass)`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.ExecContext(t.Context(), `SELECT id FROM a`); err != nil {
		t.Skipf("on a machine as slow as this the gateway gives way: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the upgrade: %v", err)
	}
	if _, err := gateway.ExecContext(t.Context(), `SELECT a.more, b.more FROM a, b`); err != nil {
		t.Errorf("after the upgrade: %v", err)
	}
}

// TestSchemaFloor is F24: gateways are upgraded one after another. One that knows
// a step less goes on beside the one that took it, and may even start anew; one
// step that says that it cannot be lived with, and neither works any more.
func TestSchemaFloor(t *testing.T) {
	one := step(1, `CREATE TABLE clock (id BIGINT PRIMARY KEY, mark_at BIGINT NOT NULL DEFAULT 0)`)
	floor := step(17, `CREATE TABLE schema_floor (id BIGINT PRIMARY KEY, oldest BIGINT NOT NULL)`)
	row := step(18, `INSERT INTO schema_floor (id, oldest) VALUES (1, 17)`)
	mark := step(19, `INSERT INTO clock (id, mark_at) VALUES (1, 0)`)
	adds := step(20, `ALTER TABLE clock ADD COLUMN zone TEXT NOT NULL DEFAULT 'JST'`)
	ends := step(21, `UPDATE schema_floor SET oldest = 21`)
	old := carried{steps(one, floor, row, mark), "m"}
	next := carried{steps(one, floor, row, mark, adds), "m"}
	last := carried{steps(one, floor, row, mark, adds, ends), "m"}

	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			cfg := Config{Path: t.TempDir() + "/a.db"}
			if driver == "postgres" {
				pg.Missing(t)
				cfg, _, _ = fresh(t)
			}
			open := func(from carried) *DB {
				t.Helper()
				db, err := openWith(t.Context(), cfg, from)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				return db
			}
			now := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
			works := func(who string, db *DB) {
				t.Helper()
				now = now.Add(time.Second)
				if got, err := db.Mark(t.Context(), now); err != nil || !got.Equal(now) {
					t.Errorf("%s: Mark = %v, %v", who, got, err)
				}
				if err := db.Ping(t.Context()); err != nil {
					t.Errorf("%s: Ping = %v", who, err)
				}
			}
			before := open(old)
			works("the old one", before)
			after := open(next)
			for range 3 { // beside each other
				works("the new one", after)
				works("the old one beside it", before)
			}
			works("the old one, started anew", open(old))
			if err := after.Close(); err != nil {
				t.Error(err)
			}
			works("the old one, after the new one was rolled back", before)

			works("the newest", open(last))
			if err := before.Ping(t.Context()); !errors.Is(err, ErrNewer) {
				t.Errorf("the old one goes on: %v", err)
			}
			if db, err := openWith(t.Context(), cfg, next); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "knows version 21") {
				t.Errorf("one that cannot live with it was started: %v", err)
				if db != nil {
					_ = db.Close()
				}
			}
		})
	}
}

// TestMigrationIsDoneOnceOnPostgres: eight gateways start on an empty database
// at one moment; steps that cannot be taken twice.
func TestMigrationIsDoneOnceOnPostgres(t *testing.T) {
	cfg, _, _ := fresh(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := Open(context.Background(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(db.Ping(context.Background()), db.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestSchemasAreTheSame: both engines carry the same steps, and these make the
// same tables of the same columns.
func TestSchemasAreTheSame(t *testing.T) {
	_, ofSQLite, err := migrationsOf("sqlite").steps()
	if err != nil {
		t.Fatal(err)
	}
	for _, driver := range []string{"sqlite", "postgres"} {
		names, err := migrations.ReadDir("migrations/" + driver)
		if err != nil || len(names) != len(ofSQLite) {
			t.Fatalf("%d steps, %v", len(names), err)
		}
		for _, n := range names {
			if _, err := migrations.ReadFile("migrations/sqlite/" + n.Name()); err != nil {
				t.Errorf("%s of %s is not SQLite's too: %v", n.Name(), driver, err)
			}
		}
	}
	cfg, _, _ := fresh(t)
	columns := func(cfg Config, q string) map[string]string {
		t.Helper()
		db, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rows, err := db.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		found := map[string]string{}
		for rows.Next() {
			var table, column, kind string
			var must bool
			if err := rows.Scan(&table, &column, &kind, &must); err != nil {
				t.Fatal(err)
			}
			kind = map[string]string{"INTEGER": "BIGINT", "BLOB": "BYTEA"}[strings.ToUpper(kind)] + strings.ToUpper(kind)
			kind = strings.TrimSuffix(strings.TrimSuffix(kind, "INTEGER"), "BLOB")
			found[table+"."+column] = kind
			if !must {
				found[table+"."+column] += " NULL"
			}
		}
		return found
	}
	ours := columns(Config{Path: t.TempDir() + "/a.db"}, `
		SELECT m.name, c.name, c.type, c."notnull" FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE  m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite_%'`)
	theirs := columns(cfg, `
		SELECT table_name, column_name, data_type, (is_nullable = 'NO')::INT FROM information_schema.columns
		WHERE  table_schema = current_schema() AND table_name NOT LIKE 'goose%'`)
	for c, kind := range ours {
		if theirs[c] != kind {
			t.Errorf("%s is %q on SQLite and %q on PostgreSQL", c, kind, theirs[c])
		}
	}
	for c, kind := range theirs {
		if _, there := ours[c]; !there {
			t.Errorf("%s (%s) is on PostgreSQL alone", c, kind)
		}
	}
	if len(ours) < 100 {
		t.Errorf("%d columns: is the test looking at the schema?", len(ours))
	}
}

// TestAhead: how far the clocks are apart is seen over the network.
func TestAhead(t *testing.T) {
	cfg, _, _ := fresh(t)
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, off := range []time.Duration{0, time.Minute, -time.Minute} {
		base := clock.System()
		got, err := db.Ahead(t.Context(), func() time.Time { return base().Add(off) })
		if err != nil || (got+off).Abs() > 500*time.Millisecond {
			t.Errorf("our clock is %v ahead: Ahead = %v, %v", off, got, err)
		}
	}
}

// TestRestart: connections that died in the pool are not what a caller gets.
func TestDeadConnections(t *testing.T) {
	cfg, name, server := fresh(t)
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		if err := server.Admin(t.Context(), "postgres",
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+name+`'`); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error("reading:", err)
		}
		if _, err := db.Mark(t.Context(), time.Time{}); err != nil {
			t.Error("writing:", err)
		}
	}
}

// TestSilentServer: a read that the server leaves without a word ends, though its
// context has no end, and the next one is answered.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	at, _, _ := fresh(t)
	at.ReadWithin = time.Second
	db, err := Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ended := make(chan error, 1)
	go func() {
		var nothing string
		ended <- db.QueryRow(context.Background(), `SELECT pg_sleep(12)::TEXT`).Scan(&nothing)
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrAway) {
			t.Errorf("a server that says nothing: %v, want ErrAway", err)
		}
	case <-time.After(8 * time.Second):
		t.Fatal("a read waits for a server that says nothing")
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error("the next read:", err)
	}
}
