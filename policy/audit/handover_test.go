package audit

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What root writes into another account's folder belongs to that account.
func TestRootLeavesTheAnchorToTheFoldersOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		f, err := os.Create(filepath.Join(t.TempDir(), "anchor"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := handOver(f); err != nil {
			t.Error(err)
		}
		return
	}
	const uid, gid = 65534, 65534
	dir := t.TempDir()
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "anchor")
	if err := (anchor{path: path}).write(head{note: []byte("note")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".lock"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != uid || s.Gid != gid {
			t.Errorf("%s belongs to %d:%d", name, s.Uid, s.Gid)
		}
	}
}
