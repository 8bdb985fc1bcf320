// Package folder is the data folder that `sekisho dev` makes and keeps: where
// each file lies, who may hold the folder, how far its clock was moved, and
// dev.json, which tells scripts where everything is.
//
// It knows files and nothing else: neither what is in the store, nor who the
// people are. `serve` has no such folder.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"sekisho/cmd/sekisho/say"
)

// marker is the file that makes a folder ours. --reset deletes nothing from a
// folder without it: a mistyped --data must not cost anyone their files.
const marker = ".sekisho-data"

const markerText = "This folder was made by `sekisho dev`. `sekisho dev --reset` empties it.\n" +
	"このフォルダは sekisho dev が作りました。sekisho dev --reset で空になります。\n"

// made are patterns for everything dev ever puts into its folder, beside the
// marker and the lock. --reset removes what they match and nothing else, so a
// file somebody laid beside them survives.
var made = []string{
	"dev.json", "clock.json", "people.json", "keys", "directory",
	"trail.checkpoint", "trail.checkpoint.*", "sekisho.db", "sekisho.db-*", "sekisho.db.*",
	".dev.json.*", ".clock.json.*", ".people.json.*", ".trail.checkpoint.*", // half-written by a process that was killed
}

// ErrInUse means another dev holds the folder.
var ErrInUse = errors.New("folder in use")

// ErrNotOurs means the folder is not one that dev made.
var ErrNotOurs = errors.New("not a sekisho data folder")

// A Folder is the path of DATA.
type Folder string

// The files of the folder. Those that hold secrets are made with mode 0600, and
// the folder itself with 0700.
func (f Folder) Store() string      { return f.at("sekisho.db") }
func (f Folder) SealingKey() string { return f.at("keys", "sealing.key") }
func (f Folder) TrailKey() string   { return f.at("keys", "trail.key") }
func (f Folder) ExportKey() string  { return f.at("keys", "export.key") }
func (f Folder) BackupKey() string  { return f.at("keys", "backup.identity") }
func (f Folder) SessionKey() string { return f.at("keys", "session.key") }
func (f Folder) Directory() string  { return f.at("directory") }
func (f Folder) BindPassword() string {
	return f.at("keys", "ldap.password")
}
func (f Folder) TerminalKey(id string) string { return f.at("keys", "terminal-"+id+".pem") }

// Anchor is the newest signed checkpoint of the trail, outside the database, so
// that a database rolled back to yesterday is noticed.
func (f Folder) Anchor() string  { return f.at("trail.checkpoint") }
func (f Folder) People() string  { return f.at("people.json") }
func (f Folder) Clock() string   { return f.at("clock.json") }
func (f Folder) DevJSON() string { return f.at("dev.json") }

func (f Folder) at(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

// Existing is the folder at path, if dev made it.
func Existing(path string) (Folder, error) {
	f := Folder(path)
	if _, err := os.Stat(f.at(marker)); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotOurs, say.Errorf(
			"%[1]s は sekisho dev が作ったデータフォルダではありません。名前を確かめるか、`sekisho dev --data %[1]s` で作ってください。",
			"%[1]s is not a data folder of sekisho; check the name, or make one with `sekisho dev --data %[1]s`", path))
	}
	return f, nil
}

// Make returns the folder at path, creating it when there is none. A folder
// that has files in it and no marker belongs to somebody else.
func Make(path string) (Folder, error) {
	f := Folder(path)
	if _, err := os.Stat(f.at(marker)); err == nil {
		return f, f.rooms()
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", say.Errorf("%[1]s を作れません（%[2]v）。書き込める場所を --data で指定してください。",
			"cannot make %[1]s (%[2]v); name a place you may write to with --data", path, err)
	}
	names, err := os.ReadDir(path)
	if err != nil {
		return "", say.Errorf("%[1]s を読めません（%[2]v）。持ち主を確かめてください。", "cannot read %[1]s (%[2]v); check its owner", path, err)
	}
	if len(names) > 0 {
		return "", notOurs(path)
	}
	if err := Write(f.at(marker), []byte(markerText), 0o600); err != nil {
		return "", say.Errorf("%[1]s に書き込めません（%[2]v）。持ち主を確かめてください。", "cannot write in %[1]s (%[2]v); check its owner", path, err)
	}
	return f, f.rooms()
}

// rooms makes the folders inside. They are made at every start: a dev killed
// between the marker and them must not leave a folder that never works.
func (f Folder) rooms() error {
	for _, d := range []string{f.at("keys"), f.Directory()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("making %s: %w", d, err)
		}
	}
	return nil
}

func notOurs(path string) error {
	return fmt.Errorf("%w: %w", ErrNotOurs, say.Errorf(
		"%[1]s には sekisho のものでないファイルがあります。何も消さずに止めました。空のフォルダを --data で指定してください。",
		"%[1]s holds files that are not sekisho's, so nothing was touched; name an empty folder with --data", path))
}

// Reset removes what dev made in the folder and leaves the rest. A folder that
// is not there is as empty as a reset one.
func Reset(path string) error {
	f := Folder(path)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(f.at(marker)); err != nil {
		if names, readErr := os.ReadDir(path); readErr == nil && len(names) == 0 {
			return nil
		}
		return notOurs(path)
	}
	lock, err := f.Lock()
	if err != nil {
		return err
	}
	defer lock.Release()
	names, err := os.ReadDir(path)
	if err != nil {
		return say.Errorf("%[1]s を読めません（%[2]v）。持ち主を確かめてください。", "cannot read %[1]s (%[2]v); check its owner", path, err)
	}
	for _, n := range names {
		if !Made(n.Name()) {
			continue
		}
		if err := os.RemoveAll(f.at(n.Name())); err != nil {
			return say.Errorf("%[1]s を消せません（%[2]v）。持ち主を確かめてください。", "cannot remove %[1]s (%[2]v); check its owner", f.at(n.Name()), err)
		}
	}
	return f.rooms()
}

// A Lock is the folder held by one process. The kernel lets go of it when the
// process dies, however it dies, so there is no stale lock to clean up.
type Lock struct{ file *os.File }

// Lock takes the folder, or returns ErrInUse at once.
func (f Folder) Lock() (*Lock, error) {
	file, err := os.OpenFile(f.at("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, say.Errorf("%[1]s に書き込めません（%[2]v）。持ち主を確かめてください。", "cannot write in %[1]s (%[2]v); check its owner", string(f), err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%w: %w", ErrInUse, say.Errorf(
			"%[1]s は動いている sekisho dev が使っています。それを止めるか、別のフォルダを --data で指定してください。",
			"%[1]s is in use by a running sekisho dev; stop that one, or name another folder with --data", string(f)))
	}
	return &Lock{file: file}, nil
}

// Release lets go of the folder.
func (l *Lock) Release() {
	if l != nil && l.file != nil {
		_ = l.file.Close()
	}
}

// Write puts a file in place whole or not at all: a reader sees the old text or
// the new one. The directory is synced too, or a power cut could undo the
// rename after we have answered.
func Write(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) // does nothing once renamed
	for _, step := range []func() error{
		func() error { return tmp.Chmod(mode) },
		func() error { _, err := tmp.Write(data); return err },
		tmp.Sync,
		tmp.Close,
		func() error { return os.Rename(tmp.Name(), path) },
	} {
		if err := step(); err != nil {
			_ = tmp.Close()
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}

// Made reports whether Reset would remove a name in the folder.
func Made(name string) bool {
	return slices.ContainsFunc(made, func(pattern string) bool {
		ok, err := filepath.Match(pattern, name)
		return ok && err == nil
	})
}
