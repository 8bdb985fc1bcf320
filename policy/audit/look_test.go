package audit_test

import (
	"errors"
	"testing"

	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
)

// TestLook: an entry is found by its number with the first checkpoint that covers it,
// and what is not sealed is not there.
func TestLook(t *testing.T) {
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 3)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.acts(3, 5)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.acts(5, 6)
	for index, covers := range map[int64]int64{0: 3, 2: 3, 3: 5, 4: 5} {
		got, err := w.trail.Look(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		c, err := proof.OpenCheckpoint([]byte(got.Checkpoint), w.key.PublicKey())
		if err != nil || c.Size != covers || got.Covers != covers || got.SignedAt.IsZero() {
			t.Errorf("entry %d: covered by %+v (%d), %v", index, c, got.Covers, err)
		}
		if !got.Fits || !got.Readable || got.Index != index || got.Action != "act.done" || got.Last != 4 {
			t.Errorf("entry %d: %+v", index, got)
		}
	}
	for _, index := range []int64{-1, 5, 1 << 40} {
		if _, err := w.trail.Look(t.Context(), index); !errors.Is(err, audit.ErrNoEntry) {
			t.Errorf("entry %d: %v", index, err)
		}
	}
}

// TestLookAtWhatWasChanged: whoever looks at an entry that somebody has changed in the
// store is told, and still sees what lies there.
func TestLookAtWhatWasChanged(t *testing.T) {
	for name, data := range map[string]string{"another entry": `{"time":"2026-03-01T09:00:00.000000Z","actor":"suzuki","action":"act.done","object":"","outcome":"ok","reason":"","articles":[],"from":"","request_id":""}`, "no entry": "<b>"} {
		w := newWorld(t)
		w.acts(0, 2)
		if err := w.sealer().Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.unlocked()
		w.exec(`UPDATE trail_leaf SET data = $1 WHERE idx = 1`, []byte(data))
		got, err := w.trail.Look(t.Context(), 1)
		if err != nil || got.Fits || got.Readable != (name == "another entry") || string(got.Data) != data {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := w.trail.Look(t.Context(), 0); err != nil || !got.Fits {
			t.Errorf("its neighbour: %+v, %v", got, err)
		}
		// A search shows it as what it is, and the others beside it.
		all, err := w.trail.Search(t.Context(), audit.Filter{})
		if err != nil || len(all) != 2 || all[0].Broken != (name == "no entry") || all[1].Broken || all[1].Action != "act.done" {
			t.Errorf("%s: a search finds %+v, %v", name, all, err)
		}
	}
}
