package card

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
	state  fs.FileInfo // when it was read
	lists  []*x509.RevocationList
	err    error
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
	if err == nil && h != nil && h.err == nil && same(h.state, info) {
		h.looked = now
		return h.lists, nil
	}
	h = &file{looked: now, state: info, err: err}
	if err == nil {
		// Looked at before it is read: what is written meanwhile is seen next time.
		h.lists, h.err = parse(path, info)
	}
	if h.err != nil {
		h.err = fmt.Errorf("revocation list %s: %w", path, h.err)
	}
	f.held[path] = h
	return h.lists, h.err
}

// same reports whether a file is as it was. A new one put in its place is
// another, even if it is as long and keeps an old date.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func parse(path string, info fs.FileInfo) ([]*x509.RevocationList, error) {
	if !info.Mode().IsRegular() || info.Size() > MaxList {
		return nil, fmt.Errorf("not a file of at most %d bytes", MaxList)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseLists(data)
}

// ParseLists reads one revocation list in DER, or any number in PEM.
func ParseLists(data []byte) ([]*x509.RevocationList, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		l, err := x509.ParseRevocationList(data)
		if err != nil {
			return nil, err
		}
		if len(l.Raw) != len(data) {
			return nil, errors.New("something stands behind the list")
		}
		return []*x509.RevocationList{l}, nil
	}
	var lists []*x509.RevocationList
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("it holds a %q", block.Type)
		}
		l, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	// The decoder steps over a block it cannot read, and a list that is left out
	// is one that revokes nobody.
	if bytes.Count(data, []byte("-----BEGIN")) != len(lists) {
		return nil, errors.New("a PEM block cannot be read")
	}
	return lists, nil
}
