package ldap_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"sekisho/directory"
	"sekisho/test/slapd"
)

// people is LDIF of n people, p000000 and on.
func people(n int, base string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "dn: uid=p%06d,ou=people,%s\nobjectClass: inetOrgPerson\nobjectClass: shadowAccount\nuid: p%06d\ncn: 関所 %d\nsn: 関所\nmail: p%06d@pref.example\ndepartmentNumber: zaisei\nemployeeType: staff\nuserPassword: password-of-%d\n\n",
			i, base, i, i, i, i)
	}
	return b.String()
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestStreamIsFlat: the memory of a sweep does not grow with the directory.
func TestStreamIsFlat(t *testing.T) {
	const many = 20_000
	s := slapd.Start(t, slapd.Options{LDIF: people(many, "dc=pref,dc=example"), PasswordHash: "{SSHA}"})
	d := open(t, onSlapd(s))
	before, most, n := heap(), uint64(0), 0
	err := d.Stream(t.Context(), func(p directory.Person) error {
		if n++; n%2_000 == 0 {
			most = max(most, heap())
		}
		if p.Section != "zaisei" || p.Account.CreatedAt.IsZero() {
			return fmt.Errorf("half a person: %+v", p)
		}
		return nil
	})
	if err != nil || n != many {
		t.Fatalf("Stream = %v after %d people, want %d", err, n, many)
	}
	if grown := int64(most) - int64(before); grown > 8<<20 {
		t.Errorf("the heap grew by %d KiB over %d people", grown>>10, many)
	}

	// The server dies in the middle.
	n = 0
	err = d.Stream(t.Context(), func(directory.Person) error {
		if n++; n == 1_000 {
			return s.Kill()
		}
		return nil
	})
	if n >= many || !errors.Is(err, directory.ErrAway) && !errors.Is(err, directory.ErrTruncated) {
		t.Errorf("Stream = %v after %d people of a server that was killed", err, n)
	}
}

// TestStreamSizeLimit: a server that gives so many and no more.
func TestStreamSizeLimit(t *testing.T) {
	s := slapd.Start(t, slapd.Options{LDIF: people(300, "dc=pref,dc=example"), PasswordHash: "{SSHA}", SizeLimit: "size.soft=50 size.hard=50 size.prtotal=200"})
	c := onSlapd(s)
	c.PageSize = 40
	n := 0
	err := open(t, c).Stream(t.Context(), func(directory.Person) error { n++; return nil })
	if n >= 300 || !errors.Is(err, directory.ErrTruncated) {
		t.Errorf("Stream = %v after %d people of a limited server", err, n)
	}
}
