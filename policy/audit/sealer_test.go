package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/policy/audit"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

func TestSealedTrailProves(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.whole(0) // the empty trail ends with a checkpoint too
	w.acts(0, 3)
	w.seal(s)
	w.seal(s) // nothing waits: nothing is signed
	if n := w.count(`SELECT COUNT(*) FROM trail_checkpoint`); n != 2 {
		t.Errorf("%d checkpoints, want those of size 0 and 3", n)
	}
	w.clock.Advance(time.Hour)
	w.acts(3, 3+audit.BatchSize+2)
	w.seal(s)
	r := w.whole(3 + audit.BatchSize + 2)
	if !r.First.Equal(t0) || !r.Last.Equal(t0.Add(time.Hour)) || r.Checkpoints != 4 {
		t.Errorf("reported %+v", r)
	}
	for i, o := range objects(t, w.export()) {
		if want := fmt.Sprintf("act-%d", i); o != want {
			t.Fatalf("entry %d is of %s, want %s", i, o, want)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM trail_pending`); n != 0 {
		t.Errorf("%d rows wait after sealing", n)
	}
	kept, err := os.ReadFile(w.anchor)
	if err != nil || !bytes.Equal(kept, r.Checkpoint) {
		t.Errorf("the anchor holds %q (%v), want the newest checkpoint %q", kept, err, r.Checkpoint)
	}
	if _, err := audit.Verify(t.Context(), w.db, w.key.PublicKey(), kept); err != nil {
		t.Error("Verify:", err)
	}
}

// TestRunSealsWithinASecond uses the real clock: the promise is in seconds.
func TestRunSealsWithinASecond(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); s.Run(ctx) }()
	w.acts(0, 5)
	s.Poke()
	began := time.Now()
	w.whole(5) // Export waits for the seal
	if took := time.Since(began); took > time.Second {
		t.Errorf("sealed after %v", took)
	}
	w.acts(5, 6)
	end() // seals once more before it returns
	<-ran
	if n := w.count(`SELECT COUNT(*) FROM trail_pending`); n != 0 {
		t.Errorf("%d entries were left unsealed at the end", n)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
	if lag, failures := s.Lag(); lag != 0 || failures != 0 {
		t.Errorf("Lag = %v, %d failures after the seal", lag, failures)
	}
}

// TestRequestOf: an entry carries the id of the request it was made in, unless
// it names another itself.
func TestRequestOf(t *testing.T) {
	w := newWorld(t)
	ctx := audit.WithRequest(t.Context(), "number-one")
	err := w.db.WithTx(ctx, func(tx *store.Tx) error {
		return errors.Join(
			w.trail.Append(ctx, tx, audit.Entry{Actor: "a", Action: "first"}),
			w.trail.Append(ctx, tx, audit.Entry{Actor: "a", Action: "second", RequestID: "number-two"}),
			w.trail.Append(t.Context(), tx, audit.Entry{Actor: "a", Action: "third"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.seal(w.sealer())
	got, err := w.trail.Search(t.Context(), audit.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, r := range got {
		ids[r.Entry.Action] = r.Entry.RequestID
	}
	if ids["first"] != "number-one" || ids["second"] != "number-two" || ids["third"] != "" {
		t.Errorf("the ids are %v", ids)
	}
}

// TestActAndEntryAreAllOrNothing breaks each step in turn. Whatever broke, acts
// and entries agree; one retry later there is exactly one of each.
func TestActAndEntryAreAllOrNothing(t *testing.T) {
	broken := errors.New("broken on purpose")
	for _, point := range []string{"act", "trail", "begin", "commit", "committed"} {
		t.Run(point, func(t *testing.T) {
			w := newWorld(t)
			s := w.sealer()
			mend := func() {}
			switch point {
			case "act":
				mend = storetest.Refuse(t, w.db, "INSERT", "act", "")
			case "trail":
				mend = storetest.Refuse(t, w.db, "INSERT", "trail_pending", "")
			default:
				w.fault = func(stage string) error {
					if stage == point {
						return broken
					}
					return nil
				}
			}
			if err := w.act("a"); err == nil {
				t.Fatal("the act succeeded on a broken store")
			}
			w.fault = nil
			acts, entries := w.count(`SELECT COUNT(*) FROM act`), w.count(`SELECT COUNT(*) FROM trail_pending`)
			if acts != entries {
				t.Errorf("after the break: %d acts, %d entries", acts, entries)
			}
			if landed := point == "committed"; landed != (acts == 1) {
				t.Errorf("after the break: %d acts", acts)
			}
			mend()
			// The act's own key makes the retry after a lost answer harmless.
			if err := w.act("a"); err != nil && acts == 0 {
				t.Fatal("retry:", err)
			}
			w.seal(s)
			if n := w.count(`SELECT COUNT(*) FROM act`); n != 1 {
				t.Errorf("after the retry: %d acts", n)
			}
			w.whole(1)
		})
	}
}

// TestSealingIsAllOrNothing breaks each step of sealing. Nothing half sealed is
// left, nothing is lost, and sealing goes on afterwards without a gap.
func TestSealingIsAllOrNothing(t *testing.T) {
	broken := errors.New("broken on purpose")
	for _, point := range []string{
		"trail_leaf", "trail_article", "trail_node", "trail_checkpoint", "trail_pending",
		"sign", "begin", "commit", "committed", "anchor",
	} {
		t.Run(point, func(t *testing.T) {
			w := newWorld(t)
			s := w.sealer()
			w.acts(0, 5)
			w.seal(s)
			w.acts(5, 12)
			away := filepath.Dir(w.anchor) + ".away"
			use := s
			mend := func() {}
			switch point {
			case "sign":
				key := w.key
				w.key = key.Silenced()
				use = w.sealer()
				w.key = key
			case "begin", "commit", "committed":
				w.fault = func(stage string) error {
					if stage == point {
						return broken
					}
					return nil
				}
			case "anchor":
				if err := os.Rename(filepath.Dir(w.anchor), away); err != nil {
					t.Fatal(err)
				}
			case "trail_pending":
				mend = storetest.Refuse(t, w.db, "DELETE", "trail_pending", "")
			default:
				mend = storetest.Refuse(t, w.db, "INSERT", point, "")
			}
			if err := use.Seal(t.Context()); err == nil {
				t.Fatal("Seal succeeded though it was broken")
			}
			w.fault = nil
			leaves, waiting := w.count(`SELECT COUNT(*) FROM trail_leaf`), w.count(`SELECT COUNT(*) FROM trail_pending`)
			landed := point == "committed" || point == "anchor"
			if landed && (leaves != 12 || waiting != 0) || !landed && (leaves != 5 || waiting != 7) {
				t.Errorf("after the break: %d sealed, %d waiting", leaves, waiting)
			}
			mend()
			if point == "anchor" {
				if err := os.Rename(away, filepath.Dir(w.anchor)); err != nil {
					t.Fatal(err)
				}
			}
			w.acts(12, 13)
			w.seal(s)
			r := w.whole(13)
			if kept, err := os.ReadFile(w.anchor); err != nil || !bytes.Equal(kept, r.Checkpoint) {
				t.Errorf("the anchor was not caught up: %q, %v", kept, err)
			}
		})
	}
}

// TestSignerAway: security.md F21. While nothing can be signed, acts go on being
// recorded, Err says so, and afterwards there is no gap.
func TestSignerAway(t *testing.T) {
	w := newWorld(t)
	w.seal(w.sealer())
	key := w.key
	w.key = key.Silenced()
	s := w.sealer()
	ctx, end := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); s.Run(ctx) }()
	w.acts(0, 20)
	deadline := time.After(10 * time.Second)
	for s.Err() == nil {
		s.Poke()
		select {
		case <-deadline:
			t.Fatal("the trouble was not told")
		case <-time.After(time.Millisecond):
		}
	}
	if !errors.Is(s.Err(), audit.ErrSilent) {
		t.Errorf("Err = %v", s.Err())
	}
	w.clock.Advance(time.Minute)
	if lag, failures := s.Lag(); lag < time.Minute || failures == 0 {
		t.Errorf("Lag = %v, %d failures, want a minute and some", lag, failures)
	}
	end()
	<-ran
	w.key = key
	w.seal(w.sealer())
	w.whole(20)
}

func TestAnotherKey(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 2)
	w.seal(s)
	w.acts(2, 3)
	other, err := audit.CreateKey(filepath.Join(t.TempDir(), "other.key"), "trail.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.NewSealer(w.db, w.clock.Now, other, ""); !errors.Is(err, audit.ErrOtherKey) {
		t.Errorf("NewSealer with another key: %v", err)
	}
	if _, err := audit.NewSealer(w.db, w.clock.Now, other, w.anchor); err == nil {
		t.Error("NewSealer took another key's anchor")
	}
	if _, err := audit.NewSealer(w.db, w.clock.Now, nil, ""); err == nil {
		t.Error("NewSealer took no key")
	}
	if n := w.count(`SELECT COUNT(*) FROM trail_leaf`); n != 2 {
		t.Errorf("%d entries sealed, want the 2 from before", n)
	}
}

// TestExportNeedsASealer: without one Export says so instead of leaving out
// what is not sealed.
func TestExportNeedsASealer(t *testing.T) {
	w := newWorld(t)
	if err := audit.Export(t.Context(), w.db, &bytes.Buffer{}); !errors.Is(err, audit.ErrUnsealed) {
		t.Errorf("Export before any checkpoint: %v", err)
	}
	w.sealer()
	w.acts(0, 1)
	ctx, end := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer end()
	var out bytes.Buffer
	if err := audit.Export(ctx, w.db, &out); !errors.Is(err, context.DeadlineExceeded) || out.Len() > 0 {
		t.Errorf("Export with an unsealed entry: %v, %d bytes", err, out.Len())
	}
}

// TestExportForm is the contract, to the letter.
func TestExportForm(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 1)
	w.seal(s)
	lines := strings.SplitAfter(strings.TrimSuffix(string(w.export()), "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	const entry = `{"time":"2026-03-01T09:00:00.000000Z","actor":"tanaka","action":"act.done","object":"act-0","outcome":"ok","reason":"","articles":["62-1","62-2"],"from":"","request_id":""}`
	leaf := sha256.Sum256([]byte("\x00" + entry))
	if want := `{"index": 0, "hash": "` + base64.StdEncoding.EncodeToString(leaf[:]) + `", "entry": ` + entry + "}\n"; lines[1] != want {
		t.Errorf("entry line\n%swant\n%s", lines[1], want)
	}
	if !strings.HasPrefix(lines[2], `{"checkpoint": "trail.example\n1\n`) || !strings.Contains(lines[2], `\n\n— trail.example `) || !strings.HasSuffix(lines[2], `\n"}`) {
		t.Errorf("checkpoint line %s", lines[2])
	}
}

// TestSealedRowsAreRefusedChange tries every way SQL has.
func TestSealedRowsAreRefusedChange(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 4)
	w.seal(s)
	w.acts(4, 5)
	refused := []string{
		`UPDATE trail_leaf SET data = hash WHERE idx = 1`,
		`UPDATE trail_leaf SET actor = 'nobody'`,
		`DELETE FROM trail_leaf WHERE idx = 3`,
		`DELETE FROM trail_leaf`,
		`INSERT INTO trail_leaf SELECT 9, hash, data, at, actor, action, outcome, case_id FROM trail_leaf WHERE idx = 3`,
		`UPDATE trail_node SET hash = (SELECT hash FROM trail_leaf WHERE idx = 1)`,
		`DELETE FROM trail_node`,
		`INSERT INTO trail_node SELECT 2, hash FROM trail_leaf WHERE idx = 1`,
		`INSERT INTO trail_node SELECT 4, hash FROM trail_leaf WHERE idx = 1`,
		`UPDATE trail_checkpoint SET note = ''`,
		`DELETE FROM trail_checkpoint`,
		`UPDATE trail_article SET article = '1'`,
		`DELETE FROM trail_article`,
		`UPDATE trail_pending SET data = (SELECT hash FROM trail_leaf WHERE idx = 1)`,
	}
	// What else each engine has.
	refused = append(refused, map[string][]string{
		"sqlite": {
			`INSERT OR REPLACE INTO trail_leaf SELECT * FROM trail_leaf WHERE idx = 3`,
			`INSERT OR REPLACE INTO trail_node SELECT position, zeroblob(32) FROM trail_node`,
			`INSERT OR REPLACE INTO trail_checkpoint SELECT size, '', 0 FROM trail_checkpoint`,
		},
		"postgres": {
			`TRUNCATE trail_leaf CASCADE`, `TRUNCATE trail_article`, `TRUNCATE trail_node`, `TRUNCATE trail_checkpoint`, `TRUNCATE trail_pending`,
			`INSERT INTO trail_leaf SELECT * FROM trail_leaf WHERE idx = 3 ON CONFLICT (idx) DO UPDATE SET actor = 'nobody'`,
		},
	}[storetest.Engine()]...)
	for _, q := range refused {
		err := w.db.WithTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), q)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "trail") {
			t.Errorf("%s: %v", q, err)
		}
	}
	w.seal(s)
	w.whole(5)
}
