package harness

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Disk is a small disk of its own, in memory, that can be filled to the brim.
type Disk struct {
	Dir     string
	ballast string
}

// NewDisk mounts a disk of so many bytes on an empty folder until the test ends.
//
// To mount takes rights that not every root has, in a container least of all.
// Where the kernel says so the test is skipped, under SEKISHO_TEST_REQUIRE=1 as
// well: no Debian package would help.
func NewDisk(t testing.TB, dir, size string) *Disk {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = unix.Mount("sekisho-test", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "mode=0700,size="+size)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		t.Skipf("a disk of its own cannot be mounted here (%v): run as root with CAP_SYS_ADMIN", err)
	case err != nil:
		t.Fatal("mounting a small disk:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error("unmounting a small disk:", errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)))
		}
	})
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("who owns %s?", dir)
	}
	if err := errors.Join(os.Chmod(dir, info.Mode().Perm()), os.Chown(dir, int(owner.Uid), int(owner.Gid))); err != nil {
		t.Fatal(err)
	}
	return &Disk{Dir: dir, ballast: filepath.Join(dir, "ballast")}
}

// Room is how many bytes are left.
func (d *Disk) Room(t testing.TB) int64 {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(d.Dir, &fs); err != nil {
		t.Fatal(err)
	}
	return int64(fs.Bavail) * fs.Bsize
}

// Leave fills the disk with something else until about so many bytes are left.
func (d *Disk) Leave(t testing.TB, left int64) {
	t.Helper()
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); d.Room(t) > left; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// Clear takes that away again.
func (d *Disk) Clear(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		t.Fatal(err)
	}
}
