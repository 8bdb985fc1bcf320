package folder_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
)

func make1(t *testing.T) folder.Folder {
	t.Helper()
	f, err := folder.Make(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func put(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMakeTakesOnlyWhatIsEmptyOrOurs(t *testing.T) {
	f := make1(t)
	if _, err := folder.Make(string(f)); err != nil {
		t.Errorf("our own folder refused: %v", err)
	}
	theirs := t.TempDir()
	put(t, filepath.Join(theirs, "thesis.txt"))
	if _, err := folder.Make(theirs); !errors.Is(err, folder.ErrNotOurs) {
		t.Errorf("Make in somebody's folder = %v, want ErrNotOurs", err)
	}
}

func TestResetRefusesWhatIsNotOurs(t *testing.T) {
	theirs := t.TempDir()
	thesis := filepath.Join(theirs, "sekisho.db")
	put(t, thesis)
	if err := folder.Reset(theirs); !errors.Is(err, folder.ErrNotOurs) {
		t.Errorf("Reset = %v, want ErrNotOurs", err)
	}
	if _, err := os.Stat(thesis); err != nil {
		t.Error("a refused reset removed a file")
	}
}

func TestResetRemovesWhatDevMadeAndNothingElse(t *testing.T) {
	f := make1(t)
	notes := filepath.Join(string(f), "notes.txt")
	for _, p := range []string{f.Store(), f.SealingKey(), f.DevJSON(), f.Clock(), notes} {
		put(t, p)
	}
	if err := folder.Reset(string(f)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{f.Store(), f.SealingKey(), f.DevJSON(), f.Clock()} {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s survived the reset", p)
		}
	}
	if _, err := os.Stat(notes); err != nil {
		t.Error("the reset removed a file that dev did not make")
	}
	if _, err := folder.Existing(string(f)); err != nil {
		t.Error("after a reset the folder is no longer ours")
	}
}

func TestResetRefusesAFolderInUse(t *testing.T) {
	f := make1(t)
	lock, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	put(t, f.Store())
	if err := folder.Reset(string(f)); !errors.Is(err, folder.ErrInUse) {
		t.Errorf("Reset = %v, want ErrInUse", err)
	}
	if _, err := os.Stat(f.Store()); err != nil {
		t.Error("a refused reset removed the store")
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	f := make1(t)
	lock, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lock(); !errors.Is(err, folder.ErrInUse) {
		t.Errorf("second lock = %v, want ErrInUse", err)
	}
	lock.Release()
	again, err := f.Lock()
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again.Release()
}

func TestAdvanceSurvives(t *testing.T) {
	f := make1(t)
	if by, err := f.Advance(); by != 0 || err != nil {
		t.Errorf("new folder: %v, %v", by, err)
	}
	if err := f.SetAdvance(36 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if by, err := f.Advance(); by != 36*time.Hour || err != nil {
		t.Errorf("Advance = %v, %v, want 36h", by, err)
	}
	for _, bad := range []string{`{"advance_seconds": -5}`, `{`, ``} {
		if err := os.WriteFile(f.Clock(), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Advance(); err == nil {
			t.Errorf("clock.json %q was believed", bad)
		}
	}
}

// TestDevJSONKeys pins the form of dev.json: every key is there, and what is
// not built is null.
func TestDevJSONKeys(t *testing.T) {
	f := make1(t)
	totp := "ABC"
	if err := f.WriteDev(folder.Dev{People: []folder.Person{{Login: "tanaka", TOTPSecret: &totp}}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.DevJSON())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("dev.json: %v, %v; want mode 0600", info.Mode(), err)
	}
	data, err := os.ReadFile(f.DevJSON())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"url", "pid", "control", "trail", "ldap", "radius", "networks", "terminals", "people", "clients", "apps", "privileges"} {
		if _, ok := got[key]; !ok {
			t.Errorf("dev.json has no %q", key)
		}
	}
	for _, key := range []string{"radius", "clients", "privileges"} {
		if string(got[key]) != "null" {
			t.Errorf("%s = %s, want null", key, got[key])
		}
	}
	var people []map[string]json.RawMessage
	if err := json.Unmarshal(got["people"], &people); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"login", "state", "dn", "mail", "password", "totp_secret", "posts", "section", "must_change", "passkey"} {
		if _, ok := people[0][key]; !ok {
			t.Errorf("a person has no %q", key)
		}
	}
	if string(people[0]["passkey"]) != "null" {
		t.Errorf("passkey = %s, want null", people[0]["passkey"])
	}
}

func TestWriteLeavesNoCrumbs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, text := range []string{"old", "new"} {
		if err := folder.Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("file = %q", got)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%d files in the folder, want 1", len(names))
	}
}
