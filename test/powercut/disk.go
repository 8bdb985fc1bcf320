package powercut

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sector is what a disk writes whole.
const sector = 512

// A change of a file's content.
type change struct {
	ended int // which call it was
	at    int64
	data  []byte
	cut   bool // to the length at
}

func (c change) apply(b []byte) []byte {
	end := int(c.at) + len(c.data)
	if c.cut && len(b) > int(c.at) {
		return b[:c.at]
	}
	if len(b) < end {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[c.at:], c.data)
	return b
}

// A content is a file, whatever it is called.
type content struct {
	synced  []byte
	pending []change
	size    int64 // with what is pending
}

func (f *content) change(c change) {
	f.pending = append(f.pending, c)
	if end := c.at + int64(len(c.data)); c.cut || end > f.size {
		f.size = end
	}
}

// A naming is one change of names in a folder; both at once where it is a rename.
type naming struct {
	ended     int
	give      string // name, "" for none
	take      string
	givenWhat *content
}

func (n naming) apply(names map[string]*content) {
	if n.take != "" {
		delete(names, n.take)
	}
	if n.give != "" {
		names[n.give] = n.givenWhat
	}
}

// A Disk is a folder as a process leaves it, call by call.
type Disk struct {
	root  string
	calls []call
	next  int
	names map[string]*content // as the process sees them
	kept  map[string]*content // as they are on the disk for certain
	moved map[string][]naming // not yet, by folder
	spots map[string]int64    // where write goes on, by descriptor
}

// Replay makes ready to follow a record of what happened in root, of which before
// is a copy from before it.
func Replay(record, root, before string) (*Disk, error) {
	d := &Disk{root: root, names: map[string]*content{}, kept: map[string]*content{}, moved: map[string][]naming{}, spots: map[string]int64{}}
	var err error
	if d.calls, err = readRecord(record); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(before, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(before, path)
		if err != nil {
			return err
		}
		f := &content{synced: b, size: int64(len(b))}
		d.names[name], d.kept[name] = f, f
		return nil
	})
	return d, err
}

// Points are the calls at which a power cut is worth trying: just before each sync
// comes back, when most may be lost, and just after. at is the microsecond when that
// call began: what was acknowledged before must be there.
func (d *Disk) Points() (points []int, at func(point int) int64) {
	for i, c := range d.calls {
		if c.name != "fsync" && c.name != "fdatasync" {
			continue
		}
		if _, path, named, err := file(c.args[0]); err == nil && named {
			if _, ours := d.inside(path); ours || path == d.root {
				points = append(points, i, i+1)
			}
		}
	}
	return slices.Compact(points), func(point int) int64 {
		if point == len(d.calls) {
			return 1<<63 - 1
		}
		return d.calls[point].at
	}
}

// inside is the path below root.
func (d *Disk) inside(path string) (name string, ours bool) {
	name, ours = strings.CutPrefix(path, d.root+"/")
	// An index of SQLite's log is written through mmap, and made anew at each start.
	return name, ours && !strings.HasSuffix(name, "-shm")
}

// Follow goes on until so many calls have ended.
func (d *Disk) Follow(point int) error {
	for ; d.next < point; d.next++ {
		if err := d.follow(d.calls[d.next]); err != nil {
			return fmt.Errorf("following %s, call %d: %w", d.calls[d.next].name, d.next, err)
		}
	}
	return nil
}

func (d *Disk) follow(c call) error {
	if c.result < 0 {
		return nil
	}
	switch c.name {
	case "openat", "creat":
		return d.open(c)
	case "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat":
		return d.rename(c)
	}
	fd, path, named, err := file(c.args[0])
	if err != nil || !named {
		return err
	}
	if c.name == "fsync" && (path == d.root || d.folder(path)) {
		d.keep(path, c.began)
		return nil
	}
	name, ours := d.inside(path)
	if !ours {
		return nil
	}
	f := d.names[name]
	if f == nil {
		return fmt.Errorf("%s was never opened", name)
	}
	switch c.name {
	case "lseek":
		d.spots[fd] = c.result
	case "write":
		err = d.write(f, c, d.spots[fd])
		d.spots[fd] += c.result
	case "pwrite64":
		var at int64
		if at, err = strconv.ParseInt(c.args[3], 0, 64); err == nil {
			err = d.write(f, c, at)
		}
	case "ftruncate":
		var size int64
		if size, err = strconv.ParseInt(c.args[1], 0, 64); err == nil {
			f.change(change{ended: d.next, at: size, cut: true})
		}
	case "fsync", "fdatasync":
		f.sync(c.began)
	default:
		err = errors.New("what this does to a file is not known here")
	}
	return err
}

func (d *Disk) folder(path string) bool {
	for name := range d.names {
		if strings.HasPrefix(d.root+"/"+name, path+"/") {
			return true
		}
	}
	return false
}

func (d *Disk) write(f *content, c call, at int64) error {
	data, err := plain(c.args[1])
	if err != nil || int64(len(data)) < c.result {
		return fmt.Errorf("the record has %d bytes of %d: %w", len(data), c.result, err)
	}
	f.change(change{ended: d.next, at: at, data: []byte(data[:c.result])})
	return nil
}

// sync keeps what had been written when it began.
func (f *content) sync(began int) {
	n := 0
	for n < len(f.pending) && f.pending[n].ended < began {
		f.synced = f.pending[n].apply(f.synced)
		n++
	}
	f.pending = slices.Clone(f.pending[n:])
}

// keep keeps what had been named in a folder when its sync began.
func (d *Disk) keep(dir string, began int) {
	n, moved := 0, d.moved[dir]
	for n < len(moved) && moved[n].ended < began {
		moved[n].apply(d.kept)
		n++
	}
	d.moved[dir] = moved[n:]
}

func (d *Disk) name(n naming) {
	n.ended = d.next
	dir := filepath.Dir(filepath.Join(d.root, n.give+n.take))
	if n.give != "" {
		dir = filepath.Dir(filepath.Join(d.root, n.give))
	}
	n.apply(d.names)
	d.moved[dir] = append(d.moved[dir], n)
}

func (d *Disk) open(c call) error {
	flags := "O_CREAT|O_TRUNC" // creat
	if c.name == "openat" {
		flags = c.args[2]
	}
	name, ours := d.inside(c.path)
	if !ours {
		return nil
	}
	d.spots[strconv.FormatInt(c.result, 10)] = 0
	f := d.names[name]
	switch {
	case f == nil && strings.Contains(flags, "O_CREAT"):
		d.name(naming{give: name, givenWhat: &content{}})
	case f == nil:
		return nil // a folder, or only read
	case strings.Contains(flags, "O_TRUNC"):
		f.change(change{ended: d.next, cut: true})
	case strings.Contains(flags, "O_APPEND"):
		d.spots[strconv.FormatInt(c.result, 10)] = f.size
	}
	return nil
}

func (d *Disk) rename(c call) (err error) {
	var from, to string
	const here = `AT_FDCWD<>`
	switch c.name {
	case "rename", "link":
		from, err = beside(here, c.args[0])
		if err == nil {
			to, err = beside(here, c.args[1])
		}
	case "unlink":
		from, err = beside(here, c.args[0])
	case "unlinkat":
		from, err = beside(c.args[0], c.args[1])
	default:
		from, err = beside(c.args[0], c.args[1])
		if err == nil {
			to, err = beside(c.args[2], c.args[3])
		}
	}
	if err != nil {
		return err
	}
	old, ours := d.inside(from)
	if !ours || d.names[old] == nil {
		return nil
	}
	what := d.names[old]
	if strings.HasPrefix(c.name, "unlink") {
		d.name(naming{take: old})
		return nil
	}
	name, ours := d.inside(to)
	if !ours {
		return fmt.Errorf("%s goes out of the folder", old)
	}
	if strings.HasPrefix(c.name, "link") {
		old = ""
	}
	d.name(naming{give: name, take: old, givenWhat: what})
	return nil
}

// What becomes of what was not synced: Worst loses all of it, Best nothing (a
// kill), and Chance decides for each write, and tears some.
const (
	Worst = iota
	Best
	Chance
)

// At writes into the empty folder to what the disk may hold now.
func (d *Disk) At(to string, luck int, rng *rand.Rand) error {
	names := map[string]*content{}
	for name, f := range d.kept {
		names[name] = f
	}
	for _, moved := range d.moved {
		n := map[int]int{Worst: 0, Best: len(moved)}[luck]
		if luck == Chance {
			n = rng.IntN(len(moved) + 1)
		}
		for _, m := range moved[:n] {
			m.apply(names)
		}
	}
	for name, f := range names {
		b := slices.Clone(f.synced)
		for _, c := range f.pending {
			switch {
			case luck == Best, luck == Chance && rng.IntN(2) == 0:
				b = c.apply(b)
			case luck == Chance && !c.cut && rng.IntN(3) == 0:
				b = torn(b, c, rng)
			}
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// torn applies some sectors of a write.
func torn(b []byte, c change, rng *rand.Rand) []byte {
	for from := 0; from < len(c.data); {
		to := min(len(c.data), from+sector-int(c.at+int64(from))%sector)
		if rng.IntN(2) == 0 {
			b = change{at: c.at + int64(from), data: c.data[from:to]}.apply(b)
		}
		from = to
	}
	return b
}
