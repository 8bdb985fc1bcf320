package desk

import (
	"testing"

	"sekisho/authz/personnel"
	"sekisho/web"
)

// TestDecidingIsBound: a word on an import is never one on its undoing, whatever was asked
// for meanwhile; and a word on one request for that is none on the next.
func TestDecidingIsBound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, waits, undo, want string }{
		{"the import", "", "", "import-1"},
		{"a stale click on it, its undoing being asked for by now", "u2", "", "import-1"},
		{"its undoing", "u2", "u2", "u2"},
		{"a stale click on a request before", "u2", "u1", ""},
		{"on one that was denied", "", "u1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := deciding(personnel.Import{ID: "import-1", UndoMatter: tt.waits}, tt.undo)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Fatalf("it is about %q, %v; want %q", got, err, tt.want)
			}
			if err != nil && web.ProblemOf(err).Code != web.CodeState {
				t.Errorf("refused as %v", err)
			}
		})
	}
}
