package proof_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekisho/policy/audit/proof"
)

// TestSuccessionBelongsToItsPlace: a statement that both keys signed over another
// tree is no statement about this one, though every checkpoint is genuine.
func TestSuccessionBelongsToItsPlace(t *testing.T) {
	old, next := newForger(t), newForger(t)
	es := entries(4)
	for _, tt := range []struct {
		name string
		size int64
		root tlog.Hash
		good bool
	}{
		{"as it is", 4, rootOf(t, es), true},
		{"another size", 3, rootOf(t, es), false},
		{"another past", 4, rootOf(t, es[:3]), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := proof.Succession{Origin: "trail.example", Old: old.public, New: next.public, Size: tt.size, Root: tt.root}
			signed, err := note.Sign(&note.Note{Text: s.Text()}, old.signer, next.signer)
			if err != nil {
				t.Fatal(err)
			}
			all := append(entries(4), fmt.Sprintf(`{"action":%q,"detail":{"statement":%q}}`, proof.Action, base64.StdEncoding.EncodeToString(signed)))
			text := proof.Checkpoint{Origin: "trail.example", Size: 5, Root: rootOf(t, all)}.Text()
			both, err := note.Sign(&note.Note{Text: text}, old.signer, next.signer)
			if err != nil {
				t.Fatal(err)
			}
			lines := append(old.trail(t, es, 0, 4), entryLine(4, all[4]), noteLine(both))
			for _, key := range []string{old.public, next.public} {
				if _, err := proof.Verify(strings.NewReader(strings.Join(lines, "")), key, nil); (err == nil) != tt.good {
					t.Errorf("under %s: %v", key, err)
				}
			}
		})
	}
}
