package audit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/postgres"
)

var errChanged = errors.New("changed my mind")

// TestRacingWriters: fifty at once, ten of whom change their mind after the
// entry is written, while two sealers, one of them as another process would,
// seal what commits. No number is skipped; acts and entries are the same.
//
// On PostgreSQL entries are committed in another order than they were written,
// and neither who writes nor who seals makes the other begin again.
func TestRacingWriters(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			if driver == "postgres" {
				postgres.Missing(t)
			}
			racingWriters(t, newWorldAt(t, filepath.Join(t.TempDir(), "sekisho.db"), storetest.Place(t, driver)))
		})
	}
}

func racingWriters(t *testing.T, w *world) {
	second := &world{t: t, path: w.path, at: w.at, clock: w.clock, key: w.key, anchor: w.anchor}
	second.open()

	ctx, end := context.WithCancel(t.Context())
	var sealers, writers sync.WaitGroup
	for _, s := range []*audit.Sealer{w.sealer(), second.sealer()} {
		sealers.Go(func() {
			for ctx.Err() == nil {
				if err := s.Seal(ctx); err != nil && ctx.Err() == nil {
					t.Error("sealing:", err)
					return
				}
			}
		})
	}
	const each = 10
	for i := range 50 {
		use := w
		if i%2 == 1 {
			use = second
		}
		writers.Go(func() {
			for k := range each {
				id := fmt.Sprintf("act-%d-%d", i, k)
				err := use.db.WithTx(ctx, func(tx *store.Tx) error {
					if err := tx.ExecOne(ctx, `INSERT INTO act (id) VALUES ($1)`, id); err != nil {
						return err
					}
					if err := use.trail.Append(ctx, tx, audit.Entry{Actor: "tanaka", Action: "act.done", Object: id}); err != nil {
						return err
					}
					if i < 10 {
						return errChanged
					}
					return nil
				})
				if i < 10 != errors.Is(err, errChanged) || i >= 10 && err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	writers.Wait()
	end()
	sealers.Wait()
	w.seal(w.sealer())
	w.whole(40 * each)
	w.actsAre(objects(t, w.export()))
	// The acts have primary keys beside each other; the trail adds nothing to that.
	t.Logf("begun again: %d and %d of %d", w.db.Stats().Retries, second.db.Stats().Retries, 50*each)
}

// actsAre fails unless the act table holds exactly these, each once.
func (w *world) actsAre(entries []string) {
	w.t.Helper()
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e] {
			w.t.Errorf("%s is on the trail twice", e)
		}
		seen[e] = true
		if w.count(`SELECT COUNT(*) FROM act WHERE id = $1`, e) != 1 {
			w.t.Errorf("%s is on the trail but was not done", e)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM act`); n != int64(len(seen)) {
		w.t.Errorf("%d acts, %d entries", n, len(seen))
	}
}

// crashVar makes the test binary into a process that acts and seals until it is
// killed; its value is the folder.
const crashVar = "SEKISHO_AUDIT_CRASH"

// crashStore names the store that such a process works on.
const crashStore = "SEKISHO_AUDIT_CRASH_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashVar); dir != "" {
		if err := actUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func actUntilKilled(dir string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, storetest.Named(os.Getenv(crashStore)))
	if err != nil {
		return err
	}
	key, err := audit.LoadKey(filepath.Join(dir, "trail.key"))
	if err != nil {
		return err
	}
	s, err := audit.NewSealer(db, clock.System(), key, filepath.Join(dir, "outside", "anchor"))
	if err != nil {
		return err
	}
	go func() {
		for {
			if err := s.Seal(ctx); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}()
	trail := audit.New(db, clock.System())
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		err := db.WithTx(ctx, func(tx *store.Tx) error {
			if err := tx.ExecOne(ctx, `INSERT INTO act (id) VALUES ($1)`, id); err != nil {
				return err
			}
			return trail.Append(ctx, tx, audit.Entry{Actor: "system", Action: "act.done", Object: id})
		})
		if err != nil {
			return err
		}
		fmt.Println(id) // acknowledged: from here on it must never be lost
	}
}

// TestKilledWhileSealing kills -9 a process that acts and seals as fast as it
// can, at a random moment, again and again on one store. Whatever was
// acknowledged is on the trail, and the anchor still fits.
func TestKilledWhileSealing(t *testing.T) {
	w := newWorld(t)
	w.sealer()
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(w.path)
	var acknowledged []string
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashVar+"="+dir, crashStore+"="+storetest.Name(w.at))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, kill := bufio.NewScanner(out), 5+rand.IntN(60)
		for n := 0; lines.Scan(); n++ {
			acknowledged = append(acknowledged, lines.Text())
			if n == kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: %v: %s", round, err, &stderr)
		}
		w.open()
		w.seal(w.sealer())
		entries := objects(t, w.export())
		w.whole(int64(len(entries)))
		w.actsAre(entries)
		on := map[string]bool{}
		for _, e := range entries {
			on[e] = true
		}
		for _, a := range acknowledged {
			if !on[a] {
				t.Errorf("round %d: %s was acknowledged and is not on the trail", round, a)
			}
		}
		if err := w.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(len(acknowledged), "acts acknowledged over", 8, "kills")
}

// BenchmarkAuditedCommit is design.md section 5: commits with their entry, with
// a sealer at work, as a share of the same commits without; 16 clients, fsync
// on. The two sides take turns, so that the machine's moods hit both.
func BenchmarkAuditedCommit(b *testing.B) {
	path := func() string { return filepath.Join(b.TempDir(), "sekisho.db") }
	b.Run("sqlite", func(b *testing.B) {
		auditedCommit(b, newWorldAt(b, path(), storetest.Place(b, "sqlite")))
	})
	b.Run("postgres", func(b *testing.B) {
		server := postgres.Start(b, postgres.Options{}) // with fsync
		name, err := server.Database(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		auditedCommit(b, newWorldAt(b, path(), store.Config{Driver: "postgres", URL: server.URL(name), MaxConnections: 30}))
	})
}

func auditedCommit(b *testing.B, w *world) {
	const clients = 16
	w.exec(`CREATE TABLE plain (id TEXT NOT NULL PRIMARY KEY)`)
	w.clock.Advance(time.Hour)
	s := w.sealer()
	ctx, end := context.WithCancel(b.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); s.Run(ctx) }()
	defer func() { end(); <-ran }()

	serial := 0
	round := func(table string, n int, audited bool) time.Duration {
		var wg sync.WaitGroup
		from := serial
		serial += n
		began := time.Now()
		for c := range clients {
			wg.Go(func() {
				for i := from + c; i < from+n; i += clients {
					id := strconv.Itoa(i)
					err := w.db.WithTx(ctx, func(tx *store.Tx) error {
						if err := tx.ExecOne(ctx, `INSERT INTO `+table+` (id) VALUES ($1)`, id); err != nil || !audited {
							return err
						}
						return w.trail.Append(ctx, tx, audit.Entry{
							Actor: "tanaka", Action: "session.started", Object: id, From: "10.1.0.5", RequestID: id, Zone: "lgwan",
						})
					})
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	// Half a second and more, so that the anchor follows no oftener than in use.
	const slice = 10_000
	var bare, audited time.Duration
	commits := 0
	for b.Loop() {
		bare += round("plain", slice, false)
		audited += round("act", slice, true)
		// What the sealer still owes belongs to the audited side.
		began := time.Now()
		if err := s.Seal(ctx); err != nil {
			b.Fatal(err)
		}
		audited += time.Since(began)
		commits += slice
	}
	b.ReportMetric(float64(commits)/bare.Seconds(), "bare/s")
	b.ReportMetric(float64(commits)/audited.Seconds(), "audited/s")
	b.ReportMetric(bare.Seconds()/audited.Seconds(), "ratio")
}
