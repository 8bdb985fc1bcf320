package embedded

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// compactAt is the size of a journal after which a snapshot takes its place.
const compactAt = 16 << 20

// A change is what one write did: entries as they are now, keys of those gone.
// It is physical, so that reading it twice is reading it once.
type change struct {
	Put []storedEntry `json:"put,omitempty"`
	Del []string      `json:"del,omitempty"`
	// Synced is how much of the journal was synced when this was written.
	Synced *int64 `json:"synced,omitempty"`
}

type storedEntry struct {
	DN         string            `json:"dn"`
	Attributes []storedAttribute `json:"attrs"`
}

type storedAttribute struct {
	Name   string   `json:"name"`
	Values [][]byte `json:"values"`
}

func store(e *entry) storedEntry {
	s := storedEntry{DN: e.dn, Attributes: make([]storedAttribute, len(e.attributes))}
	for i, a := range e.attributes {
		values := make([][]byte, len(a.values))
		for j, v := range a.values {
			values[j] = []byte(v)
		}
		s.Attributes[i] = storedAttribute{a.name, values}
	}
	return s
}

func (s storedEntry) entry() (*entry, error) {
	n, err := parseName(s.DN)
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", s.DN, err)
	}
	e := &entry{name: n, attributes: make([]attribute, len(s.Attributes))}
	for i, a := range s.Attributes {
		values := make([]string, len(a.Values))
		for j, v := range a.Values {
			values[j] = string(v)
		}
		e.attributes[i] = attribute{a.Name, attributeKey(a.Name), values}
	}
	return e, nil
}

// A journal keeps changes under a folder:
//
//	snapshot      one line: the generation; then one line per entry
//	journal-N     one line per change since snapshot N
//	acknowledged  one line: how much of which journal has been acknowledged
//	lock          held while a server runs
//
// Each line begins with the CRC-32 of the rest. A write is acknowledged after
// its line was synced. Of the lines since the last sync a power cut may take any,
// and leave later ones; none of them was acknowledged, and the first bad one is cut
// off with all that follows. A bad line before is damage, which a later one tells by
// saying how far was synced, or acknowledged does, and stops the server from starting.
//
// acknowledged is written after the sync that it tells of and is not synced itself: a
// power cut may leave an older word there, or none that can be read, but none that
// says too much.
//
// Snapshot N+1 takes effect by rename, which is atomic; journal-N is removed
// after it. Whatever instant the process dies at, the snapshot names the one
// journal that belongs to it.
type journal struct {
	dir        string
	lock       *os.File
	file       *os.File
	word       *os.File // acknowledged
	generation uint64
	size       int64
	synced     int64 // how much of it is on the disk for certain
	broken     error // after a failed write nothing more is acknowledged
}

func openJournal(dir string, load func(change) error) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory's folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the directory's folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: another server uses it: %w", dir, err), lock.Close())
	}
	j := &journal{dir: dir, lock: lock}
	if err := j.read(load); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

func (j *journal) read(load func(change) error) error {
	snapshot, err := os.ReadFile(filepath.Join(j.dir, "snapshot"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the snapshot: %w", err)
	}
	header := err == nil
	good, err := lines(snapshot, func(line []byte) error {
		if header {
			header = false
			return json.Unmarshal(line, &j.generation)
		}
		var c change
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		return load(c)
	})
	if err != nil || header || good != len(snapshot) {
		return fmt.Errorf("reading the snapshot in %s: damaged at byte %d: %w", j.dir, good, errors.Join(err, io.ErrUnexpectedEOF))
	}
	path := j.path(j.generation)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the journal: %w", err)
	}
	good, err = lines(data, func(line []byte) error {
		var c change
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		return load(c)
	})
	if err != nil {
		return fmt.Errorf("reading %s at byte %d: %w", path, good, err)
	}
	if wasSynced(data[good:], int64(good)) {
		return fmt.Errorf("reading %s: damaged at byte %d, before its last line", path, good)
	}
	told, err := j.openWord()
	if err != nil {
		return err
	}
	if told > int64(good) {
		return fmt.Errorf("reading %s: damaged at byte %d of %d that were acknowledged", path, good, told)
	}
	if err := j.openAt(path, int64(good)); err != nil {
		return err
	}
	return j.sweep()
}

// A word is what stands in acknowledged. It has one width, so that it is written over
// in one write.
type word struct {
	Generation string `json:"generation"`
	Size       string `json:"size"`
}

const wordForm = "%020d"

// openWord opens acknowledged, and answers how much of this generation's journal it
// says was acknowledged; 0 where it says nothing that can be read.
func (j *journal) openWord() (size int64, err error) {
	if j.word, err = os.OpenFile(filepath.Join(j.dir, "acknowledged"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return 0, fmt.Errorf("opening what was acknowledged: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(j.word, 4096))
	if err != nil {
		return 0, fmt.Errorf("reading what was acknowledged: %w", err)
	}
	_, err = lines(text, func(line []byte) error {
		var w word
		if err := json.Unmarshal(line, &w); err != nil {
			return err
		}
		if w.Generation != fmt.Sprintf(wordForm, j.generation) {
			return nil
		}
		size, err = strconv.ParseInt(w.Size, 10, 64)
		return err
	})
	return size, err
}

// tell writes down that all of the journal was acknowledged. That it could not is no
// reason not to: it is only a witness against damage.
func (j *journal) tell() {
	if line, err := encode(word{fmt.Sprintf(wordForm, j.generation), fmt.Sprintf(wordForm, j.size)}); err == nil {
		_, _ = j.word.WriteAt(line, 0)
	}
}

// wasSynced says whether a line behind a bad one at a place says that this place had
// been synced.
func wasSynced(rest []byte, at int64) bool {
	for line := range bytes.Lines(rest) {
		var c change
		good, err := lines(line, func(text []byte) error { return json.Unmarshal(text, &c) })
		if err == nil && good == len(line) && (c.Synced == nil || *c.Synced > at) {
			return true
		}
	}
	return false
}

// sweep removes what a process left that died while it compacted.
func (j *journal) sweep() error {
	names, err := filepath.Glob(filepath.Join(j.dir, "journal-*"))
	if err != nil {
		return fmt.Errorf("looking for old journals: %w", err)
	}
	for _, name := range append(names, filepath.Join(j.dir, "snapshot.new")) {
		if name == j.path(j.generation) {
			continue
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing what compacting left: %w", err)
		}
	}
	return nil
}

// openAt opens the journal for appending after its last whole line.
func (j *journal) openAt(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	j.file, j.size, j.synced = f, size, size
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("cutting off a torn line: %w", err)
	}
	if _, err := f.Seek(size, io.SeekStart); err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("opening the journal: %w", err)
	}
	return syncDir(j.dir)
}

// lines calls each for every whole line whose checksum holds and answers how
// far it came. An error of each is damage; a line that does not hold ends it.
func lines(data []byte, each func([]byte) error) (good int, err error) {
	for good < len(data) {
		end := bytes.IndexByte(data[good:], '\n')
		if end < 9 {
			return good, nil
		}
		line := data[good : good+end]
		if fmt.Sprintf("%08x ", crc32.ChecksumIEEE(line[9:])) != string(line[:9]) {
			return good, nil
		}
		if err := each(line[9:]); err != nil {
			return good, err
		}
		good += end + 1
	}
	return good, nil
}

func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x ", crc32.ChecksumIEEE(body))
	return append(append(line, body...), '\n'), nil
}

// append writes one change. With durable set it returns when the change would
// survive the machine losing power.
func (j *journal) append(c change, durable bool) error {
	if j.broken != nil {
		return j.broken
	}
	c.Synced = &j.synced
	line, err := encode(c)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if _, err = j.file.Write(line); err == nil && durable {
		err = j.file.Sync()
	}
	if err != nil {
		// What reached the disk is unknown now. Only reading it again tells.
		j.broken = fmt.Errorf("writing the journal: %w", err)
		return j.broken
	}
	j.size += int64(len(line))
	if durable {
		j.synced = j.size
		j.tell()
	}
	return nil
}

// compact puts a snapshot in the place of the journal.
func (j *journal) compact(all func(yield func(*entry) bool)) error {
	next := j.generation + 1
	path := filepath.Join(j.dir, "snapshot.new")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	err = writeSnapshot(f, next, all)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	old := j.file
	if err := os.Rename(path, filepath.Join(j.dir, "snapshot")); err != nil {
		return fmt.Errorf("writing a snapshot: %w", err)
	}
	// From here on the old journal counts for nothing.
	if err := j.openAt(j.path(next), 0); err != nil {
		j.broken = err
		return err
	}
	previous := j.generation
	j.generation = next
	_ = old.Close()
	if err := os.Remove(j.path(previous)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the old journal: %w", err)
	}
	return nil
}

func writeSnapshot(f *os.File, generation uint64, all func(yield func(*entry) bool)) error {
	w := bufio.NewWriter(f)
	line, err := encode(generation)
	if err != nil {
		return err
	}
	_, err = w.Write(line)
	for e := range all {
		if err != nil {
			return err
		}
		if line, err = encode(change{Put: []storedEntry{store(e)}}); err == nil {
			_, err = w.Write(line)
		}
	}
	return errors.Join(err, w.Flush())
}

func (j *journal) path(generation uint64) string {
	return filepath.Join(j.dir, fmt.Sprintf("journal-%d", generation))
}

func (j *journal) close() error {
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Sync(), j.file.Close())
	}
	if j.word != nil {
		errs = append(errs, j.word.Close())
	}
	return errors.Join(append(errs, j.lock.Close())...)
}

// syncDir makes a name in a folder as durable as the file it names.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing a folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
