package house

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/cmd/sekisho/say"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/postgres"
)

// TestCheckStore asks a real server, one that wants a password and has TLS, and
// finds what would keep a gate from starting.
func TestCheckStore(t *testing.T) {
	t.Parallel()
	server := postgres.Start(t, postgres.Options{Scram: true, TLS: true})
	name, err := server.Database(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, err := os.ReadFile(server.CAFile)
	if err != nil {
		t.Skip("the server's certificate can be read by root alone")
	}
	right := store.Config{
		Driver: "postgres", URL: server.URL(name), PasswordFile: write("p", postgres.Password+"\n", 0o600),
		CAFile: write("ca.pem", string(ca), 0o644), MaxConnections: 8,
	}
	admin := func(q string) func() {
		return func() {
			if err := server.Admin(context.Background(), "postgres", strings.ReplaceAll(q, "%", name)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*store.Config)
		server func()
		undo   func()
		want   string // the one fault begins with it; "" none
		says   string
	}{
		{"sound", nil, nil, nil, "", ""},
		{"a wrong password", func(c *store.Config) { c.PasswordFile = write("p", "hunter2\n", 0o600) }, nil, nil, "store.password_file:", "pg_hba.conf"},
		{"a password that others read", func(c *store.Config) { c.PasswordFile = write("p", "hunter2\n", 0o644) }, nil, nil, "store.password_file:", "chmod 600"},
		{"no password", func(c *store.Config) { c.PasswordFile = "" }, nil, nil, "store.password_file:", "pg_hba.conf"},
		{"nobody there", func(c *store.Config) { c.URL = "postgres://sekisho@127.0.0.1:1/x" }, nil, nil, "store.url:", "cannot be reached"},
		{"no such database", func(c *store.Config) { c.URL = server.URL("nowhere") }, nil, nil, "store.url:", "no such database"},
		{"an authority nobody knows", func(c *store.Config) { c.CAFile = write("ca.pem", "rubbish", 0o644) }, nil, nil, "store.url:", ""},
		{"commits that are not waited for", nil, admin(`ALTER DATABASE % SET synchronous_commit = off`), admin(`ALTER DATABASE % RESET synchronous_commit`), "store.url:", "synchronous_commit off"},
		{"no table may be made", nil, admin(`ALTER DATABASE % OWNER TO postgres`), admin(`ALTER DATABASE % OWNER TO sekisho`), "store.url:", "OWNER TO"},
		{"too few connections", nil, admin(`ALTER ROLE sekisho CONNECTION LIMIT 5`), admin(`ALTER ROLE sekisho CONNECTION LIMIT -1`), "store.max_connections:", "takes 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := right
			if tt.change != nil {
				tt.change(&cfg)
			}
			if tt.server != nil {
				tt.server()
				defer tt.undo()
			}
			made, found := checkStore(t.Context(), cfg)
			if tt.want == "" {
				if made || len(found) != 0 {
					t.Errorf("made %v, found %v", made, found)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("found %v", found)
			}
			en, ja := say.In("en", found[0]), say.In("ja", found[0])
			if !strings.HasPrefix(en, tt.want) || !strings.Contains(en, tt.says) || strings.Contains(en+ja, "hunter") {
				t.Errorf("found %q, want one that begins with %q and says %q", en, tt.want, tt.says)
			}
			if ja == en || !strings.Contains(ja, "。") {
				t.Errorf("in Japanese: %q", ja)
			}
		})
	}
}

func groundOn(t *testing.T, at store.Config, base clock.Now) (*Ground, error) {
	dir := t.TempDir()
	g, err := OpenGround(t.Context(), Config{
		Store: at, Origin: "gate.example", MayBeEmpty: true,
		SealingKey: filepath.Join(dir, "sealing"), SessionKey: filepath.Join(dir, "session"), TrailKey: filepath.Join(dir, "trail"),
	}, base)
	if err == nil {
		t.Cleanup(g.Close)
	}
	return g, err
}

func empty(t *testing.T) store.Config {
	t.Helper()
	server := postgres.Shared(t)
	name, err := server.Database(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Drop(context.Background(), name) })
	return store.Config{Driver: "postgres", URL: server.URL(name), FsyncOff: true, MaxConnections: 6}
}

// TestKeysAreTheStores: of gates that start at once on an empty database, each
// with a folder of its own for keys, one starts. The others say that the keys
// must be copied, and so does one that starts later.
func TestKeysAreTheStores(t *testing.T) {
	t.Parallel()
	at := empty(t)
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = groundOn(t, at, clock.System()) })
	}
	wg.Wait()
	opened := 0
	for _, err := range errs {
		switch {
		case err == nil:
			opened++
		case !strings.Contains(say.In("en", err), "key") || !strings.Contains(say.In("ja", err), "鍵"):
			t.Errorf("it says %q", say.In("en", err))
		}
	}
	if opened != 1 {
		t.Errorf("%d gates started, each with keys of its own: %v", opened, errs)
	}
	if _, err := groundOn(t, at, clock.System()); err == nil || !strings.Contains(say.In("en", err), "is missing although the store") {
		t.Errorf("later: %v", err)
	}
}

// TestClockApart is design rule 2: a gate whose clock is not the database's is
// not ready, and does not take the others with it.
func TestClockApart(t *testing.T) {
	t.Parallel()
	at := empty(t)
	now := clock.System()
	g, err := groundOn(t, at, func() time.Time { return now().Add(time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	err = g.inTime(t.Context())
	if err == nil || !strings.Contains(say.In("en", err), "apart") || !strings.Contains(say.In("ja", err), "時計") {
		t.Errorf("an hour ahead: %v", err)
	}
	if mark, err := g.DB.Mark(t.Context(), time.Time{}); err != nil || mark.After(now().Add(time.Minute)) {
		t.Errorf("the store's clock is at %v, %v", mark, err)
	}
	g.base = now
	if err := g.inTime(t.Context()); err != nil {
		t.Errorf("in time: %v", err)
	}
	one, err := groundOn(t, storetest.Place(t, "sqlite"), func() time.Time { return now().Add(time.Hour) })
	if err != nil || one.inTime(t.Context()) != nil {
		t.Errorf("a file has no clock of its own: %v", err)
	}
}
