// Package powercut rebuilds what a disk would hold had the power failed at some
// moment of a process's life.
//
// The process runs under strace, which writes down each change it makes to files
// and each sync. Replay applies them to a copy of the folder from before, and At
// answers what the folder may look like after a power cut at a point: what was
// synced is there, of what was written since anything may be missing, whole or in
// part, and a name that was given since may not be there yet.
//
// A file system of the kernel keeps more than this (ext4 commits names in order,
// and with the file's data). What survives here survives there.
//
// It knows files and system calls, and nothing of what is in them. Files written
// through mmap are not seen: SQLite's -shm is one, and is made anew at each start.
package powercut

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Strace is how a program is run so that Read understands the record: strace and
// its arguments, before the program's own. strace is its grandchild, so the process
// that is started is the program itself.
func Strace(record string) []string {
	return []string{
		"-D", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-ttt", "-e", "signal=none", "-e",
		"trace=openat,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile," +
			"fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat",
		"-o", record,
	}
}

// A call is a system call that came to an end.
type call struct {
	name   string
	args   []string
	result int64
	path   string // what the result names, for openat
	began  int    // how many calls had ended when it began
	at     int64  // when it began, microseconds since 1970
}

// readRecord reads the calls of a record in the order in which they ended.
func readRecord(path string) ([]call, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type open struct {
		text  string
		began int
		at    int64
	}
	var (
		calls []call
		half  = map[string]open{} // by thread
		r     = bufio.NewReaderSize(f, 1<<20)
	)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return calls, nil // a last line without its end was never a whole call
		}
		if err != nil {
			return nil, err
		}
		thread, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		stamp, text, ok := strings.Cut(strings.TrimLeft(rest, " "), " ")
		at, err := strconv.ParseInt(strings.Replace(stamp, ".", "", 1), 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("line %d of the record: %.80q", n, line)
		}
		began := open{began: len(calls), at: at}
		switch {
		case strings.HasPrefix(text, "+++"), strings.HasPrefix(text, "---"):
			continue
		case strings.HasSuffix(text, " <unfinished ...>"):
			began.text = strings.TrimSuffix(text, " <unfinished ...>")
			half[thread] = began
			continue
		case strings.HasPrefix(text, "<... "):
			_, tail, ok := strings.Cut(text, " resumed>")
			if !ok {
				return nil, fmt.Errorf("line %d of the record: %.80q", n, line)
			}
			began = half[thread]
			delete(half, thread)
			text = began.text + tail
		}
		c, err := parseCall(text)
		if err != nil {
			return nil, fmt.Errorf("line %d of the record: %w", n, err)
		}
		c.began, c.at = began.began, began.at
		calls = append(calls, c)
	}
}

// parseCall reads "name(arg, arg) = result<path>".
func parseCall(text string) (c call, err error) {
	name, rest, ok := strings.Cut(text, "(")
	end := strings.LastIndex(rest, " = ")
	if !ok || end < 0 {
		return c, fmt.Errorf("%.80q is no call", text)
	}
	c.name = name
	args := strings.TrimSuffix(strings.TrimRight(rest[:end], " "), ")")
	for args != "" {
		var arg string
		arg, args, _ = strings.Cut(args, ", ") // strings are in hexadecimal, and hold no comma
		c.args = append(c.args, arg)
	}
	result := rest[end+len(" = "):]
	if result == "?" || strings.HasPrefix(result, "? ") {
		c.result = -1 // it never came back
		return c, nil
	}
	number, _, _ := strings.Cut(result, " ")
	number, c.path, _ = strings.Cut(number, "<")
	if c.result, err = strconv.ParseInt(number, 0, 64); err != nil {
		return c, fmt.Errorf("%.80q is no result", result)
	}
	if c.path, ok = strings.CutSuffix(c.path, ">"); ok {
		c.path, err = plain(c.path)
	}
	return c, err
}

// plain reads a string in hexadecimal, with its quotes or without.
func plain(arg string) (string, error) {
	arg = strings.TrimSuffix(strings.TrimPrefix(arg, `"`), `"`)
	out := make([]byte, 0, len(arg)/4)
	for len(arg) > 0 {
		if len(arg) < 4 || arg[:2] != `\x` {
			return "", fmt.Errorf("%.80q is not in hexadecimal", arg)
		}
		b, err := strconv.ParseUint(arg[2:4], 16, 8)
		if err != nil {
			return "", err
		}
		out, arg = append(out, byte(b)), arg[4:]
	}
	return string(out), nil
}

// file is the path behind "7<path>", and false where the file has no name any more.
func file(arg string) (fd, path string, named bool, err error) {
	fd, path, ok := strings.Cut(arg, "<")
	if !ok {
		return "", "", false, nil
	}
	if strings.HasSuffix(path, "(deleted)") {
		return fd, "", false, nil
	}
	path, err = plain(strings.TrimSuffix(path, ">"))
	return fd, path, err == nil, err
}

// beside is the path that an argument gives, seen from a folder's "AT_FDCWD<path>".
func beside(dir, arg string) (string, error) {
	path, err := plain(arg)
	if err != nil || filepath.IsAbs(path) {
		return path, err
	}
	_, at, _, err := file(dir)
	return filepath.Join(at, path), err
}
