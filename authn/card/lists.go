package card

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"sekisho/policy/clock"
)

const (
	// lookAgain is how often a file is asked whether it has changed.
	lookAgain = time.Second
	// MaxList is the greatest revocation list that is read, in bytes.
	MaxList = 64 << 20
)

// Files are revocation lists kept in files, which somebody else renews. A file
// that has changed is read again; one that cannot be read gives no list, however
// good the one before it was.
type Files struct {
	paths map[string][]string
	now   clock.Now

	mu   sync.Mutex
	held map[string]*file
}

type file struct {
	looked time.Time
	stamp  stamp
	lists  []*x509.RevocationList
	err    error
}

// A stamp tells one state of a file from another.
type stamp struct {
	size int64
	at   time.Time
}

// NewFiles reads the lists of each authority, by its id, from its files: DER, or
// PEM with any number of lists.
func NewFiles(paths map[string][]string, now clock.Now) *Files {
	return &Files{paths: paths, now: now, held: map[string]*file{}}
}

// For is every list of an authority. An error names the file.
func (f *Files) For(authority string) ([]*x509.RevocationList, error) {
	paths := f.paths[authority]
	if len(paths) == 0 {
		return nil, fmt.Errorf("card authority %s has no revocation list", authority)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*x509.RevocationList
	for _, path := range paths {
		lists, err := f.read(path)
		if err != nil {
			return nil, err
		}
		all = append(all, lists...)
	}
	return all, nil
}

func (f *Files) read(path string) ([]*x509.RevocationList, error) {
	now := f.now()
	h := f.held[path]
	if h != nil && now.Sub(h.looked) >= 0 && now.Sub(h.looked) < lookAgain {
		return h.lists, h.err
	}
	info, err := os.Stat(path)
	if err != nil {
		f.held[path] = &file{looked: now, err: fmt.Errorf("revocation list: %w", err)}
		return nil, f.held[path].err
	}
	s := stampOf(info)
	if h != nil && h.err == nil && h.stamp == s {
		h.looked = now
		return h.lists, nil
	}
	h = &file{looked: now, stamp: s}
	h.lists, h.err = parse(path, info)
	f.held[path] = h
	return h.lists, h.err
}

func stampOf(i fs.FileInfo) stamp { return stamp{i.Size(), i.ModTime()} }

func parse(path string, info fs.FileInfo) ([]*x509.RevocationList, error) {
	if !info.Mode().IsRegular() || info.Size() > MaxList {
		return nil, fmt.Errorf("revocation list %s: not a file of at most %d bytes", path, MaxList)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		l, err := x509.ParseRevocationList(data)
		if err != nil {
			return nil, fmt.Errorf("revocation list %s: %w", path, err)
		}
		return []*x509.RevocationList{l}, nil
	}
	var lists []*x509.RevocationList
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("revocation list %s: holds a %s", path, block.Type)
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("revocation list %s: %w", path, err)
		}
		lists = append(lists, l)
	}
	return lists, nil
}
