package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sekisho/policy/audit"
	"sekisho/policy/audit/proof"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// restoredCopy is a store whose trail begins with these entries of w's, sealed with its
// key, and goes on with a restore and what came after it.
func (w *world) restoredCopy(after []string, entries ...int) *world {
	w.t.Helper()
	c := *w
	c.path = filepath.Join(w.t.TempDir(), "sekisho.db")
	c.at, c.anchor = storetest.At(w.t, c.path), filepath.Join(filepath.Dir(c.path), "anchor")
	c.open()
	s := c.sealer()
	for _, i := range entries {
		var data []byte
		if err := w.db.QueryRow(w.t.Context(), `SELECT data FROM trail_leaf WHERE idx = $1`, i).Scan(&data); err != nil {
			w.t.Fatal(err)
		}
		c.exec(`INSERT INTO trail_pending (data) VALUES ($1)`, data)
	}
	c.seal(s)
	for _, action := range after {
		e := audit.Entry{Actor: "root", Action: action, Outcome: audit.OK}
		if action == "store.restored" {
			e.Detail = map[string]string{"trail_kept": fmt.Sprint(len(entries)), "trail_lost_to": "12"}
		}
		err := c.db.WithTx(w.t.Context(), func(tx *store.Tx) error { return c.trail.Append(w.t.Context(), tx, e) })
		if err != nil {
			w.t.Fatal(err)
		}
	}
	c.seal(s)
	return &c
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// TestLost: what an export holds and a restored store does not is found by holding every
// entry of it against the store's, and nothing is believed that does not prove.
func TestLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.sealer()
	w.acts(0, 6)
	w.seal(s)
	early := w.exported()
	w.acts(6, 10)
	w.seal(s)
	whole := w.exported()
	restored := []string{"store.restored", "person.restored"}
	other := newWorld(t)
	so := other.sealer()
	other.acts(0, 10)
	other.seal(so)
	lines := strings.SplitAfter(string(whole), "\n")
	changed := slices.Clone(lines)
	at := slices.IndexFunc(changed, func(l string) bool { return strings.HasPrefix(l, `{"index": 8`) })
	changed[at] = strings.Replace(changed[at], "tanaka", "suzuki", 1)

	for _, tt := range []struct {
		name   string
		into   *world
		export []byte
		lost   []int64 // where nothing is wrong
		err    error
		fault  proof.Kind
	}{
		{name: "an hour was lost", into: w.restoredCopy(restored, upTo(6)...), export: whole, lost: []int64{6, 7, 8, 9}},
		{name: "all but the first", into: w.restoredCopy(restored, 0), export: whole, lost: []int64{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{name: "restored twice", into: w.restoredCopy([]string{"store.restored", "act.done", "store.restored"}, upTo(6)...), export: whole, lost: []int64{6, 7, 8, 9}},
		{name: "what waited when the copy was made was sealed in another order", into: w.restoredCopy(restored, 0, 1, 2, 3, 4, 6, 5), export: whole, lost: []int64{7, 8, 9}},
		{name: "and some of that had come later", into: w.restoredCopy(restored, 0, 1, 2, 3, 4, 8), export: whole, lost: []int64{5, 6, 7, 9}},
		{name: "older than the backup", into: w.restoredCopy(restored, upTo(7)...), export: early, err: audit.ErrNothingLost},
		{name: "written after the restore", into: w, export: whole, err: audit.ErrNothingLost},
		{name: "a store that was not restored", into: w.restoredCopy(nil, upTo(6)...), export: whole, err: audit.ErrOtherTrail},
		{name: "a store that went on by itself", into: w.restoredCopy([]string{"act.done", "store.restored"}, upTo(6)...), export: whole, err: audit.ErrOtherTrail},
		{name: "another gate's", into: w.restoredCopy(restored, upTo(6)...), export: other.exported(), fault: proof.KindKey},
		{name: "an entry changed", into: w.restoredCopy(restored, upTo(6)...), export: []byte(strings.Join(changed, "")), fault: proof.KindHash},
		{name: "an entry taken out", into: w.restoredCopy(restored, upTo(6)...), export: []byte(strings.Join(slices.Delete(slices.Clone(lines), at, at+1), "")), fault: proof.KindIndex},
		{name: "cut off", into: w.restoredCopy(restored, upTo(6)...), export: whole[:len(whole)-9], fault: proof.KindCut},
		{name: "a line without end", into: w.restoredCopy(restored, upTo(6)...), export: append(slices.Clone(whole), bytes.Repeat([]byte("x"), 2*proof.MaxLine)...), fault: proof.KindLine},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lost []int64
			gap, err := audit.Lost(t.Context(), tt.into.db, bytes.NewReader(tt.export), w.key.PublicKey(), func(r audit.Record) error {
				if lost = append(lost, r.Index); r.Object != fmt.Sprintf("act-%d", r.Index) {
					t.Errorf("entry %d is of %s", r.Index, r.Object)
				}
				return nil
			})
			var fault *proof.Fault
			switch {
			case tt.err != nil:
				if !errors.Is(err, tt.err) {
					t.Errorf("%v, want %v", err, tt.err)
				}
			case tt.fault != "":
				if !errors.As(err, &fault) || fault.Kind != tt.fault {
					t.Errorf("%v, want a fault of kind %s", err, tt.fault)
				}
			case err != nil:
				t.Error(err)
			default:
				if !slices.Equal(lost, tt.lost) || gap.Size != 10 || gap.LostTo != 12 || gap.Restored.Action != "store.restored" {
					t.Errorf("%v, want %v: %+v", lost, tt.lost, gap)
				}
			}
		})
	}
}
