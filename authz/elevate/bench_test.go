package elevate_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
	"sekisho/test/slapd"
)

// BenchmarkUndo: memberships whose leases have ended all at once, 100 to a group, are
// taken away in slapd and seen to be gone. Beside it go-ldap alone does what the
// directory is asked for each: find the person, take them out, compare. Four at a time
// on either side; what it writes down is what is ours alone.
func BenchmarkUndo(b *testing.B) {
	if os.Getenv("SEKISHO_BENCH") == "" {
		b.Skip("SEKISHO_BENCH=1 runs it")
	}
	const groups, each, rounds = 4, 100, 7
	var ldif strings.Builder
	for i := range groups * each {
		fmt.Fprintf(&ldif, "dn: uid=q%[1]d,ou=people,%[2]s\nobjectClass: inetOrgPerson\nuid: q%[1]d\ncn: q\nsn: q\nemployeeType: staff\n\n", i, base)
	}
	s := slapd.Start(b, slapd.Options{PasswordHash: "{SSHA}", LDIF: ldif.String()})
	w := &world{TB: b, clock: clock.NewFake(clock.System()()), policy: policy.Standard(), db: storetest.Open(b)}
	var err error
	w.dir, err = ldap.Open(b.Context(), ldap.Config{
		Servers: []string{s.URL}, BindDN: s.ServiceDN, BindPassword: text(s.ServicePassword), BaseDN: s.BaseDN, PoolSize: 8,
	}, w.clock.Now)
	w.must(err)
	b.Cleanup(w.dir.Close)
	w.Book = w.book()
	dial := func(dn, pw string) *goldap.Conn {
		c, err := goldap.DialURL(s.URL)
		w.must(err)
		b.Cleanup(func() { _ = c.Close() })
		w.must(c.Bind(dn, pw))
		return c
	}
	admin, hands := dial(s.AdminDN, s.AdminPassword), []*goldap.Conn{}
	for range 4 {
		hands = append(hands, dial(s.ServiceDN, s.ServicePassword))
	}
	all := make([]member, groups*each)
	for g := range groups {
		dn := fmt.Sprintf("cn=lent%d,ou=groups,%s", g, s.BaseDN)
		add := goldap.NewAddRequest(dn, nil)
		add.Attribute("objectClass", []string{"groupOfNames"})
		add.Attribute("member", []string{"cn=nobody," + s.BaseDN})
		w.must(admin.Add(add))
		for i := range each {
			p, err := w.dir.Find(b.Context(), fmt.Sprintf("q%d", g*each+i))
			w.must(err)
			all[g*each+i] = member{dn, p}
		}
	}
	at := func(n int, do func(hand, i int) error) time.Duration {
		var (
			wg   sync.WaitGroup
			next atomic.Int64
			took = clock.Stopwatch()
		)
		for hand := range 4 {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					if err := do(hand, i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return took()
	}
	for b.Loop() {
		var ratios []float64
		for round := range rounds {
			at(len(all), func(_, i int) error { return w.live(fmt.Sprintf("L%d-%d", round, i), all[i]) })
			w.must(w.tx(func(tx *store.Tx) error {
				for i := range all {
					if err := w.Withdraw(b.Context(), tx, fmt.Sprintf("L%d-%d", round, i)); err != nil {
						return err
					}
				}
				return nil
			}))
			took := clock.Stopwatch()
			w.must(w.Undo(b.Context()))
			ours := took()
			if waiting, err := w.Waiting(b.Context()); err != nil || waiting.Count != 0 {
				b.Fatalf("%d are not undone, %v", waiting.Count, err)
			}
			for g := range groups {
				m := goldap.NewModifyRequest(all[g*each].group, nil)
				for _, one := range all[g*each : (g+1)*each] {
					m.Add("member", []string{one.p.DN})
				}
				w.must(admin.Modify(m)) // fails if one of them is there still
			}
			limit := at(len(all), func(hand, i int) error { return bare(hands[hand], s.BaseDN, all[i]) })
			ratios = append(ratios, limit.Seconds()/ours.Seconds())
			b.Logf("%d undone in %v; go-ldap alone in %v", len(all), ours.Round(time.Millisecond), limit.Round(time.Millisecond))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "ratio")
	}
	b.ReportMetric(0, "ns/op")
}

type member struct {
	group string
	p     directory.Person
}

// live is a membership whose lease is live.
func (w *world) live(lease string, m member) error {
	if err := w.intend(lease, m.p, ofGroup(m.group)); err != nil {
		return err
	}
	if _, err := w.Apply(w.Context(), lease); err != nil {
		return err
	}
	return w.keep(lease, 60)
}

// bare is what the directory has to do for one.
func bare(c *goldap.Conn, baseDN string, m member) error {
	found, err := c.Search(goldap.NewSearchRequest(baseDN, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 1, 0, false,
		"(entryUUID="+string(m.p.ID)+")", []string{"uid", "cn", "sn", "mail", "memberOf"}, nil))
	if err != nil || len(found.Entries) != 1 {
		return errors.Join(err, fmt.Errorf("found %v", found))
	}
	out := goldap.NewModifyRequest(m.group, nil)
	out.Delete("member", []string{m.p.DN})
	if err := c.Modify(out); err != nil {
		return err
	}
	there, err := c.Compare(m.group, "member", m.p.DN)
	if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchAttribute) {
		err = nil
	}
	if there {
		err = errors.New("is there still")
	}
	return err
}
