package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/directory/schema"
	"sekisho/policy/clock"
	"sekisho/test/slapd"
)

// many is slapd with so many people, of whom every twentieth was last used long ago.
func many(b *testing.B, n int) *slapd.Server {
	b.Helper()
	var ldif strings.Builder
	now := clock.System()()
	for i := range n {
		used := now.AddDate(0, 0, -i%20)
		if i%20 == 0 {
			used = now.AddDate(0, 0, -200)
		}
		fmt.Fprintf(&ldif, "dn: uid=p%06d,ou=people,dc=pref,dc=example\nobjectClass: inetOrgPerson\nobjectClass: shadowAccount\nuid: p%06[1]d\ncn: 関所 %[1]d\nsn: 関所\n"+
			"mail: p%06[1]d@pref.example\ndepartmentNumber: s%[2]d\nemployeeType: staff\ncreateTimestamp: 20200401000000Z\npwdLastSuccess: %[3]s\n\n", i, i%100, used.UTC().Format("20060102150405Z"))
	}
	return slapd.Start(b, slapd.Options{LDIF: ldif.String()})
}

// bare reads everybody by pages with go-ldap alone, as it comes.
func bare(b *testing.B, s *slapd.Server) (n int) {
	b.Helper()
	c, err := goldap.DialURL(s.URL)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(s.ServiceDN, s.ServicePassword); err != nil {
		b.Fatal(err)
	}
	names, _ := schema.Named("openldap")
	paging := goldap.NewControlPaging(500)
	for {
		answer := c.SearchAsync(b.Context(), goldap.NewSearchRequest("ou=people,"+s.BaseDN, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=inetOrgPerson)", names.Attributes(), []goldap.Control{paging}), 500)
		var cookie []byte
		for answer.Next() {
			if answer.Entry() != nil {
				n++
			}
			if c, ok := goldap.FindControl(answer.Controls(), goldap.ControlTypePaging).(*goldap.ControlPaging); ok {
				cookie = c.Cookie
			}
		}
		if answer.Err() != nil {
			b.Fatal(answer.Err())
		}
		if paging.SetCookie(cookie); len(cookie) == 0 {
			return n
		}
	}
}

// BenchmarkSweep compares a sweep's reading of slapd, with the store asked about whom
// the directory does not show to be in use, with a bare loop over the same pages. The
// design asks for at most 1.25 times the time, and for memory that does not grow with
// the directory.
func BenchmarkSweep(b *testing.B) {
	if os.Getenv("SEKISHO_BENCH") != "1" {
		b.Skip("set SEKISHO_BENCH=1, or run test/run bench")
	}
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := many(b, n)
			w := newWorld(b)
			dir, err := ldap.Open(b.Context(), ldap.Config{
				Servers: []string{s.URL}, Schema: "openldap", BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword), BaseDN: s.BaseDN, OpTimeout: time.Minute, PlaintextAllowed: true,
			}, clock.System())
			w.must(err)
			defer dir.Close()
			now := clock.System()()
			book := w.gateway(dir)
			var ours, theirs []time.Duration
			var most uint64
			for range 5 {
				took := clock.Stopwatch()
				if got := bare(b, s); got != n {
					b.Fatalf("the bare loop read %d", got)
				}
				theirs = append(theirs, took())
				took = clock.Stopwatch()
				idle := 0
				sum, _, err := book.Look(b.Context(), now, nil, func(Entry) error {
					if idle++; idle%100 == 0 {
						var m runtime.MemStats
						runtime.ReadMemStats(&m)
						most = max(most, m.HeapInuse)
					}
					return nil
				})
				ours = append(ours, took())
				if stopped := (*Stopped)(nil); err != nil && !asStopped(err, &stopped) || sum.People != n || idle != n/20 {
					b.Fatalf("%d people (%d dated), %d idle, %v", sum.People, sum.Dated, idle, err)
				}
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			b.ReportMetric(float64(ours[2])/float64(theirs[2]), "times-bare")
			b.ReportMetric(ours[2].Seconds(), "sweep-s")
			b.ReportMetric(theirs[2].Seconds(), "bare-s")
			b.ReportMetric(float64(most)/(1<<20), "heap-MiB")
		})
	}
}

func asStopped(err error, into **Stopped) bool {
	return errors.As(err, into)
}

// generated is a directory of any number of people, of whom none is in memory but the one
// that is told.
type generated struct {
	Directory
	n   int
	now time.Time
}

func (g *generated) Stream(_ context.Context, each func(directory.Person) error) error {
	for i := range g.n {
		used := g.now.AddDate(0, 0, -i%20)
		if i%20 == 0 {
			used = g.now.AddDate(0, 0, -200)
		}
		login := fmt.Sprintf("p%07d", i)
		err := each(directory.Person{
			ID: directory.PersonID("id-" + login), DN: "uid=" + login + ",ou=people," + base, Login: login, Name: "関所 " + login, Section: fmt.Sprintf("s%d", i%100),
			Kind: directory.KindStaff, Account: directory.Account{CreatedAt: g.now.AddDate(-3, 0, 0), LastUsedAt: used},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkSweepMemory is the heap that is live while everybody is read and judged: it
// does not grow with the directory.
func BenchmarkSweepMemory(b *testing.B) {
	if os.Getenv("SEKISHO_BENCH") != "1" {
		b.Skip("set SEKISHO_BENCH=1, or run test/run bench")
	}
	var least uint64
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b)
			book := w.gateway(&generated{w.dir, n, w.clock.Now()})
			var most uint64
			idle, every := 0, n/20/20
			_, _, err := book.Look(b.Context(), w.clock.Now(), nil, func(Entry) error {
				if idle++; idle%every == 0 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
				return nil
			})
			if stopped := (*Stopped)(nil); err != nil && !asStopped(err, &stopped) || idle != n/20 {
				b.Fatalf("%d idle, %v", idle, err)
			}
			if least == 0 {
				least = most
			}
			if most > 2*least {
				b.Errorf("%d MiB of heap at %d entries, %d at the fewest", most>>20, n, least>>20)
			}
			b.ReportMetric(float64(most)/(1<<20), "heap-MiB")
		})
	}
}
