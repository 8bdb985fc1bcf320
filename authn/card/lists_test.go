package card_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authn/card"
	"sekisho/authn/card/cardtest"
	"sekisho/policy"
	"sekisho/policy/clock"
)

// A shelf is one revocation list's file.
type shelf struct {
	*card.Files
	clock *clock.Fake
	path  string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{clock: clock.NewFake(t0), path: filepath.Join(t.TempDir(), "staff.crl")}
	s.Files = card.NewFiles(map[string][]string{"staff": {s.path}, "empty": {}}, s.clock.Now)
	return s
}

func (s *shelf) write(t *testing.T, b []byte) {
	t.Helper()
	if err := os.WriteFile(s.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// revoked counts who is on the lists, -1 for an error.
func (s *shelf) revoked(t *testing.T) int {
	t.Helper()
	lists, err := s.For("staff")
	if err != nil {
		if len(lists) > 0 || !strings.Contains(err.Error(), s.path) {
			t.Errorf("%d lists, and the error does not name the file: %v", len(lists), err)
		}
		return -1
	}
	n := 0
	for _, l := range lists {
		n += len(l.RevokedCertificateEntries)
	}
	return n
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	s, o := newShelf(t), cardtest.NewOffice(t, t0)
	for _, id := range []string{"nobody", "empty", ""} {
		if l, err := s.For(id); err == nil {
			t.Errorf("authority %q has %d lists", id, len(l))
		}
	}
	if n := s.revoked(t); n != -1 {
		t.Errorf("no file: %d", n)
	}
	one, two := o.Publish([]*x509.Certificate{o.Issue("a")}), o.Publish([]*x509.Certificate{o.Issue("a"), o.Issue("b")})
	s.write(t, one.Raw)
	if n := s.revoked(t); n != -1 {
		t.Errorf("it was looked at twice in a second: %d", n)
	}
	s.clock.Advance(time.Second)
	if n := s.revoked(t); n != 1 {
		t.Errorf("DER: %d", n)
	}
	s.write(t, cardtest.ListPEM(two, one))
	s.clock.Advance(time.Second - 1)
	if n := s.revoked(t); n != 1 {
		t.Errorf("it was looked at again within a second: %d", n)
	}
	s.clock.Advance(1)
	if n := s.revoked(t); n != 3 {
		t.Errorf("PEM of two: %d", n)
	}
	// A clock that is set back must not make what is known good for ever.
	s.write(t, two.Raw)
	s.clock.Advance(-time.Hour)
	if n := s.revoked(t); n != 2 {
		t.Errorf("with the clock set back: %d", n)
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Second)
	if n := s.revoked(t); n != -1 {
		t.Errorf("a list that has gone is remembered: %d", n)
	}
}

// TestAnUnchangedFileIsReadOnce: the same lists come out, so that what is known
// of them holds.
func TestAnUnchangedFileIsReadOnce(t *testing.T) {
	t.Parallel()
	s, o := newShelf(t), cardtest.NewOffice(t, t0)
	s.write(t, o.Publish(nil).Raw)
	first, err := s.For("staff")
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Hour)
	if again, err := s.For("staff"); err != nil || again[0] != first[0] {
		t.Errorf("read again: %v", err)
	}
}

// TestAFilePutInItsPlace: as long as the one before, with its date, and another.
func TestAFilePutInItsPlace(t *testing.T) {
	t.Parallel()
	s, o := newShelf(t), cardtest.NewOffice(t, t0)
	a, b := o.Issue("a"), o.Issue("b")
	of := func(c *x509.Certificate) []byte {
		for { // ECDSA signatures differ in length
			if der := o.Publish([]*x509.Certificate{c}).Raw; len(der) == len(o.Publish([]*x509.Certificate{a}).Raw) {
				return der
			}
		}
	}
	first := of(a)
	s.write(t, first)
	stamp := time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(s.path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if lists, err := s.For("staff"); err != nil || lists[0].RevokedCertificateEntries[0].SerialNumber.Cmp(a.SerialNumber) != 0 {
		t.Fatal(err)
	}
	second := of(b)
	for len(second) != len(first) {
		second = of(b)
	}
	next := s.path + ".new"
	if err := os.WriteFile(next, second, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(next, stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, s.path); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Second)
	if lists, err := s.For("staff"); err != nil || lists[0].RevokedCertificateEntries[0].SerialNumber.Cmp(b.SerialNumber) != 0 {
		t.Errorf("the old list stays: %v", err)
	}
}

func TestFilesThatAreNoLists(t *testing.T) {
	t.Parallel()
	o := cardtest.NewOffice(t, t0)
	one := cardtest.ListPEM(o.Publish(nil))
	key := []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	for name, b := range map[string][]byte{
		"nonsense": []byte("nonsense"), "empty": {}, "a certificate": []byte(cardtest.PEM(o.Cert)), "a list and a key": append(bytes.Clone(one), key...),
		"half a list": one[:len(one)/2], "a list and half of one": append(bytes.Clone(one), one[:len(one)/2]...),
		"a list with a letter too many": bytes.Replace(one, []byte("CRL-----\nM"), []byte("CRL-----\n!M"), 1), "DER with something behind it": append(bytes.Clone(o.Publish(nil).Raw), 0),
		"two lists, the first spoilt": append(bytes.Replace(one, []byte("CRL-----\nM"), []byte("CRL-----\n!M"), 1), one...),
	} {
		s := newShelf(t)
		s.write(t, b)
		if n := s.revoked(t); n != -1 {
			t.Errorf("%s is taken for a list", name)
		}
		s.clock.Advance(time.Second)
		if n := s.revoked(t); n != -1 {
			t.Errorf("%s is taken for a list, the second time", name)
		}
		s.write(t, one)
		s.clock.Advance(time.Second)
		if n := s.revoked(t); n != 0 {
			t.Errorf("%s, and then a list: %d", name, n)
		}
	}
	s := newShelf(t)
	if err := os.Mkdir(s.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if n := s.revoked(t); n != -1 {
		t.Error("a folder is taken for a list")
	}
	large := newShelf(t)
	f, err := os.Create(large.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(card.MaxList + 1); err != nil {
		t.Fatal(err)
	}
	if n := large.revoked(t); n != -1 {
		t.Error("a file without end is read")
	}
}

// TestOneOfTwoFilesGone: what the other says is not everything.
func TestOneOfTwoFilesGone(t *testing.T) {
	t.Parallel()
	o, dir, c := cardtest.NewOffice(t, t0), t.TempDir(), clock.NewFake(t0)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{a, b} {
		if err := os.WriteFile(path, o.Publish(nil).Raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := card.NewFiles(map[string][]string{"staff": {a, b}}, c.Now)
	if lists, err := f.For("staff"); err != nil || len(lists) != 2 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Second)
	if lists, err := f.For("staff"); err == nil || len(lists) > 0 || !strings.Contains(err.Error(), b) {
		t.Errorf("%d lists, %v", len(lists), err)
	}
}

// TestCardsWithFiles: reader and files together.
func TestCardsWithFiles(t *testing.T) {
	t.Parallel()
	d, s := newDesk(t), newShelf(t)
	d.policy.Cards[0].ID = "staff"
	d.Reader = card.New(d.db, s.Files, d.clock.Now, func() *policy.Policy { return d.policy })
	c := d.Issue("tanaka")
	if _, why := d.read(t, c); why != "no_revocation_list" {
		t.Errorf("without the file: %q", why)
	}
	s.write(t, d.Publish(nil).Raw)
	s.clock.Advance(time.Second)
	if _, why := d.read(t, c); why != "" {
		t.Errorf("with it: %q", why)
	}
	s.write(t, d.Publish([]*x509.Certificate{c}).Raw)
	s.clock.Advance(time.Second)
	if _, why := d.read(t, c); why != "revoked" {
		t.Errorf("with the next: %q", why)
	}
}
