package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// TestTamperedStore plays somebody with the database in hand and every trigger
// dropped, but without the key. What is left must not prove, and what the store
// can see for itself stops the sealer from signing on top of it.
func TestTamperedStore(t *testing.T) {
	blob := map[string]string{"sqlite": "BLOB", "postgres": "BYTEA"}[storetest.Engine()]
	forged := []byte(`{"time":"2026-03-01T09:00:00Z","actor":"nobody","action":"x","object":"y","outcome":"ok"}`)
	leaf := tlog.RecordHash(forged)
	for _, tt := range []struct {
		name   string
		sqls   []string
		args   []any
		kind   proof.Kind
		index  int64
		reopen bool // NewSealer may still be content: only data was changed
	}{
		{"data", []string{`UPDATE trail_leaf SET data = $1 WHERE idx = 4`}, []any{forged}, proof.KindHash, 4, true},
		{"data and hash", []string{`UPDATE trail_leaf SET data = $1, hash = $2 WHERE idx = 4`}, []any{forged, leaf[:]}, proof.KindTree, -1, true},
		{"data and hash of the last", []string{`UPDATE trail_leaf SET data = $1, hash = $2 WHERE idx = 8`}, []any{forged, leaf[:]}, proof.KindTree, -1, false},
		{"a leaf deleted", []string{`DELETE FROM trail_article`, `DELETE FROM trail_leaf WHERE idx = 4`}, nil, proof.KindIndex, 4, true},
		{"the last leaf deleted", []string{`DELETE FROM trail_article`, `DELETE FROM trail_leaf WHERE idx = 8`}, nil, proof.KindPlace, 8, false},
		{"a leaf added", []string{`INSERT INTO trail_leaf SELECT 9, hash, data, at, actor, action, outcome, case_id FROM trail_leaf WHERE idx = 8`}, nil, "", 0, false},
		{"a node", []string{`UPDATE trail_node SET hash = $1`}, []any{make([]byte, 32)}, "", 0, false},
		{"a node taken off the end", []string{`UPDATE trail_node SET hash = substr(hash, 1, length(hash) - 32) WHERE position = 1`}, nil, "", 0, false},
		{"the last node changed", []string{`UPDATE trail_node SET hash = CAST(substr(hash, 1, length(hash) - 32) || $1 AS ` + blob + `) WHERE position = 1`}, []any{make([]byte, 32)}, "", 0, false},
		{"nodes moved", []string{`UPDATE trail_node SET position = 2 WHERE position = 1`}, nil, "", 0, false},
		{"the nodes deleted", []string{`DELETE FROM trail_node`}, nil, "", 0, false},
		{"the last checkpoint deleted", []string{`DELETE FROM trail_checkpoint WHERE size = 9`}, nil, "", 0, false},
		{"every checkpoint deleted", []string{`DELETE FROM trail_checkpoint`}, nil, "", 0, false},
		{"the last checkpoint moved", []string{`UPDATE trail_checkpoint SET note = (SELECT note FROM trail_checkpoint WHERE size = 3) WHERE size = 9`}, nil, proof.KindPlace, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.sealer()
			w.acts(0, 3)
			w.seal(s)
			w.acts(3, 9)
			w.seal(s)
			w.unlocked()
			for _, q := range tt.sqls {
				args := tt.args
				if !strings.Contains(q, "$1") {
					args = nil
				}
				w.exec(q, args...)
			}
			if tt.kind != "" {
				_, err := w.verify(nil)
				var fault *proof.Fault
				if !errors.As(err, &fault) || fault.Kind != tt.kind || fault.Index != tt.index {
					t.Errorf("verify = %v, want %s at %d", err, tt.kind, tt.index)
				}
			}
			w.acts(20, 21)
			_, err := audit.NewSealer(w.db, w.clock.Now, w.key, w.anchor)
			if (err == nil) != tt.reopen {
				t.Errorf("NewSealer = %v", err)
			}
			if !tt.reopen {
				if err := s.Seal(t.Context()); err == nil {
					t.Error("the running sealer signed on top of it")
				}
			}
		})
	}
}

// TestRollback: security.md F20. An old copy of the database is sound in
// itself; the anchor and any checkpoint kept elsewhere give it away.
func TestRollback(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 7)
	w.seal(s)
	old := filepath.Join(t.TempDir(), "old.db")
	w.copyStore(old)
	w.open()
	s = w.sealer()
	w.acts(7, 12)
	w.seal(s)
	kept := w.whole(12).Checkpoint
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}

	copyFile(t, old, w.path)
	w.open()
	var back *audit.RolledBack
	_, err := audit.NewSealer(w.db, w.clock.Now, w.key, w.anchor)
	if !errors.As(err, &back) || back.Stored != 7 || back.Anchored != 12 {
		t.Fatalf("NewSealer on the old copy: %v", err)
	}
	if !strings.Contains(err.Error(), " 7 ") || !strings.Contains(err.Error(), " 12:") {
		t.Errorf("%q does not name both sizes", err)
	}
	// Without the anchor the store opens; the kept checkpoint still tells.
	if _, err := audit.NewSealer(w.db, w.clock.Now, w.key, ""); err != nil {
		t.Fatal(err)
	}
	var fault *proof.Fault
	if _, err := w.verify(kept); !errors.As(err, &fault) || fault.Kind != proof.KindRollback || fault.Index != 7 {
		t.Errorf("verify with the kept checkpoint: %v", err)
	}
}

// TestRollbackUnderARunningSealer: the anchor moves ahead of the store while a
// sealer holds it open; it signs nothing more.
func TestRollbackUnderARunningSealer(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 4)
	w.seal(s)
	ahead := sealedElsewhere(t, w)
	if err := os.WriteFile(w.anchor, ahead, 0o600); err != nil {
		t.Fatal(err)
	}
	w.acts(4, 5)
	var back *audit.RolledBack
	if err := s.Seal(t.Context()); !errors.As(err, &back) || back.Stored != 4 || back.Anchored != 6 {
		t.Errorf("Seal = %v", err)
	}
	if n := w.count(`SELECT COUNT(*) FROM trail_leaf`); n != 4 {
		t.Errorf("%d sealed, want 4", n)
	}
}

// sealedElsewhere seals six acts in another store with w's key and answers the
// newest checkpoint.
func sealedElsewhere(t *testing.T, w *world) []byte {
	t.Helper()
	other := newWorld(t)
	other.key = w.key
	other.anchor = filepath.Join(t.TempDir(), "anchor")
	s := other.sealer()
	other.acts(0, 6)
	other.seal(s)
	return other.whole(6).Checkpoint
}

// TestFork: two copies of one store go on separately with the same key. Each
// export proves by itself; together they do not, and neither accepts the
// other's anchor.
func TestFork(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 5)
	w.seal(s)
	prefix := w.whole(5).Checkpoint
	copied := filepath.Join(t.TempDir(), "copy.db")
	w.copyStore(copied)

	w.open()
	s = w.sealer()
	w.acts(100, 103)
	w.seal(s)
	here := w.whole(8).Checkpoint

	twin := &world{t: t, path: copied, at: store.Config{Driver: "sqlite", Path: copied}, clock: w.clock, key: w.key, anchor: filepath.Join(t.TempDir(), "anchor")}
	twin.open()
	if err := os.WriteFile(twin.anchor, prefix, 0o600); err != nil {
		t.Fatal(err)
	}
	s = twin.sealer()
	twin.acts(200, 204)
	twin.seal(s)
	twin.whole(9)

	if _, err := twin.verify(prefix); err != nil {
		t.Error("the common prefix:", err)
	}
	var fault *proof.Fault
	if _, err := twin.verify(here); !errors.As(err, &fault) || fault.Kind != proof.KindFork || fault.To != 8 {
		t.Errorf("the twin's export with our checkpoint: %v", err)
	}
	if _, err := audit.NewSealer(twin.db, w.clock.Now, w.key, w.anchor); !errors.Is(err, audit.ErrForked) {
		t.Errorf("the twin with our anchor: %v", err)
	}
	// Equal in size, different in content.
	twin.acts(204, 205)
	w.acts(103, 105)
	twin.seal(s)
	w.seal(w.sealer())
	if _, err := audit.NewSealer(twin.db, w.clock.Now, w.key, w.anchor); !errors.Is(err, audit.ErrForked) {
		t.Errorf("the twin of equal size with our anchor: %v", err)
	}
}

// TestAnchorBehind: a crash between the commit and the file is nothing unusual.
func TestAnchorBehind(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	var earlier [][]byte
	for i := range 12 {
		kept, err := os.ReadFile(w.anchor)
		if err != nil {
			t.Fatal(err)
		}
		earlier = append(earlier, kept)
		w.acts(i, i+1)
		w.seal(s)
	}
	for size, kept := range earlier {
		if err := os.WriteFile(w.anchor, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		w.sealer()
		now, err := os.ReadFile(w.anchor)
		if err != nil || !strings.HasPrefix(string(now), "trail.example\n12\n") {
			t.Errorf("anchor of %d: became %q, %v", size, now, err)
		}
	}
	w.whole(12)
}

// TestAnchorBehindBatches proves prefixes whose hashes lie in many runs of
// nodes, of batches of every kind of size.
func TestAnchorBehindBatches(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	var (
		kept  [][]byte
		total int
	)
	for _, n := range []int{1, 1, 2, 5, 119, 121, 1, 240, 3, 500, 64, 1} {
		w.exec(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ` + fmt.Sprint(n) + `)
			INSERT INTO trail_pending (data) SELECT ` + map[string]string{"sqlite": "CAST", "postgres": "convert_to"}[storetest.Engine()] + `('{"time":"2026-03-01T09:00:00.000000Z","actor":"a","action":"b.c","object":"' || i || '","outcome":"ok","reason":"","articles":[],"from":"","request_id":""}'` +
			map[string]string{"sqlite": " AS BLOB)", "postgres": ", 'UTF8')"}[storetest.Engine()] + ` FROM n`)
		w.seal(s)
		total += n
		note, err := os.ReadFile(w.anchor)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, note)
	}
	w.whole(int64(total))
	// As many inner nodes as a tree of that size has, without a gap.
	if n, end := w.count(`SELECT SUM(length(hash)) / 32 FROM trail_node`), w.count(`SELECT MAX(position + length(hash) / 32) FROM trail_node`); n != tlog.StoredHashCount(int64(total))-int64(total) || end != n {
		t.Errorf("%d nodes are stored, up to %d", n, end)
	}
	for i, note := range kept {
		if err := os.WriteFile(w.anchor, note, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.NewSealer(w.db, w.clock.Now, w.key, w.anchor); err != nil {
			t.Errorf("the anchor of batch %d: %v", i, err)
		}
	}
}

// TestAnchorGone: the trail itself says that its anchor had to be made anew.
func TestAnchorGone(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 2)
	w.seal(s)
	if err := os.Remove(w.anchor); err != nil {
		t.Fatal(err)
	}
	s = w.sealer()
	w.seal(s)
	w.whole(3)
	found, err := w.trail.Search(t.Context(), audit.Filter{Action: "trail.anchored_anew"})
	if err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	if err := os.WriteFile(w.anchor, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.NewSealer(w.db, w.clock.Now, w.key, w.anchor); err == nil {
		t.Error("NewSealer took rubbish for an anchor")
	}
}

// TestPendingByAnotherHand: what Append did not write is not signed.
func TestPendingByAnotherHand(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	for i, data := range []string{"", "rubbish", `{"time":"yesterday"}`, "{\"time\":\"2026-03-01T09:00:00Z\"}\n{}"} {
		w.exec(`INSERT INTO trail_pending (data) VALUES ($1)`, []byte(data))
		if err := s.Seal(t.Context()); err == nil {
			t.Errorf("row %d, %q: signed", i, data)
		}
		w.exec(`DELETE FROM trail_pending`)
	}
	w.acts(0, 1)
	w.seal(s)
	w.whole(1)
}

// TestPendingTakenAway: what somebody deletes between reading and sealing is
// noticed, and nothing is sealed by halves.
func TestPendingTakenAway(t *testing.T) {
	storetest.OnlySQLite(t) // the thief is written in its words
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 3)
	w.exec(`CREATE TRIGGER thief AFTER INSERT ON trail_leaf WHEN NEW.idx = 1 BEGIN DELETE FROM trail_pending WHERE seq = 2; END`)
	if err := s.Seal(t.Context()); err == nil || w.count(`SELECT COUNT(*) FROM trail_leaf`) != 0 || w.count(`SELECT COUNT(*) FROM trail_pending`) != 3 {
		t.Errorf("Seal = %v", err)
	}
	w.exec(`DROP TRIGGER thief`)
	w.seal(s)
	w.whole(3)
}

// TestMutatedExport: F19 on a trail as the store exports it. The full set of
// mutations is in the proof package; these are the ones a text editor can do.
func TestMutatedExport(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	for i := range 6 {
		w.acts(4*i, 4*i+4)
		w.seal(s)
	}
	export := w.export()
	for i := range export {
		changed := append([]byte{}, export...)
		changed[i] ^= 0x01
		if _, err := proof.Verify(strings.NewReader(string(changed)), w.key.PublicKey(), nil); err == nil {
			t.Fatalf("byte %d flipped from %q to %q: undetected", i, export[i], changed[i])
		}
	}
	lines := strings.SplitAfter(string(export), "\n")
	next := 0
	for i, l := range lines {
		if !strings.HasPrefix(l, `{"index"`) {
			continue
		}
		less := strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "")
		_, err := proof.Verify(strings.NewReader(less), w.key.PublicKey(), nil)
		var fault *proof.Fault
		if !errors.As(err, &fault) || fault.Index != int64(next) || !strings.Contains(err.Error(), fmt.Sprintf("entry %d ", next)) {
			t.Errorf("entry %d deleted: %v", next, err)
		}
		next++
	}
}
