package ldap_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/directory"
	"sekisho/directory/ldap"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/test/slapd"
)

// BenchmarkFindAndBind compares our find and bind with go-ldap's own search and
// bind on one connection each, on the same server in the same run. The design
// asks a sign-in for at least 0.85 of the bare rate with {ARGON2} at 19 MiB.
func BenchmarkFindAndBind(b *testing.B) {
	for _, hash := range []string{"{ARGON2}", "{SSHA}"} {
		s := slapd.Start(b, slapd.Options{PasswordHash: hash, Argon2MemoryKiB: 19456, LDIF: people(1000, "dc=pref,dc=example")})
		c := onSlapd(s)
		c.Servers = []string{s.URL}
		d, err := ldap.Open(b.Context(), c, clock.System())
		if err != nil {
			b.Fatal(err)
		}
		group := goldap.NewAddRequest("cn=all,ou=groups,"+s.BaseDN, nil)
		group.Attribute("objectClass", []string{"groupOfNames"})
		admin := dialBare(b, s.URL, s.AdminDN, s.AdminPassword)
		var members []string
		for i := range 1000 {
			members = append(members, fmt.Sprintf("uid=p%06d,ou=people,%s", i, s.BaseDN))
		}
		group.Attribute("member", members)
		if err := admin.Add(group); err != nil {
			b.Fatal(err)
		}
		// The seed came by slapadd, which stores what it is given: hash it now.
		for i := range 16 {
			p, err := d.Find(b.Context(), login(i))
			if err != nil {
				b.Fatal(err)
			}
			if err := d.ResetPassword(b.Context(), p, text("the-password"), false); err != nil {
				b.Fatal(err)
			}
		}
		for _, at := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/%d at once", hash, at), func(b *testing.B) {
				bare := newBare(b, s, 8)
				var ours, theirs time.Duration
				now := clock.System()
				// Rounds alternate, so that neither side has the quieter machine.
				for b.Loop() {
					began := now()
					concurrently(at, func(i int) error { return bare.signIn(s, login(i%16)) }, b)
					theirs += now().Sub(began)
					began = now()
					concurrently(at, func(i int) error {
						p, err := d.Find(b.Context(), login(i%16))
						if err != nil {
							return err
						}
						if got, err := d.Authenticate(b.Context(), p, text("the-password")); err != nil || got != directory.OutcomeRight {
							return fmt.Errorf("Authenticate = %v, %w", got, err)
						}
						return nil
					}, b)
					ours += now().Sub(began)
				}
				n := float64(b.N * at)
				b.ReportMetric(float64(theirs)/float64(ours), "ratio")
				b.ReportMetric(n/ours.Seconds(), "ours/s")
				b.ReportMetric(n/theirs.Seconds(), "bare/s")
			})
		}
		d.Close()
	}
}

func login(i int) string { return fmt.Sprintf("p%06d", i) }

func concurrently(n int, do func(int) error, b *testing.B) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := do(i); err != nil {
				b.Error(err)
			}
		}()
	}
	wg.Wait()
}

func dialBare(b *testing.B, url, dn, password string) *goldap.Conn {
	b.Helper()
	c, err := goldap.DialURL(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	if dn != "" {
		if err := c.Bind(dn, password); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// bare is the least one can do with go-ldap: n connections to search on and n
// to bind on.
type bare struct{ search, bind chan *goldap.Conn }

func newBare(b *testing.B, s *slapd.Server, n int) *bare {
	w := &bare{make(chan *goldap.Conn, n), make(chan *goldap.Conn, n)}
	for range n {
		w.search <- dialBare(b, s.URL, s.ServiceDN, s.ServicePassword)
		w.bind <- dialBare(b, s.URL, "", "")
	}
	return w
}

func (w *bare) signIn(s *slapd.Server, login string) error {
	c := <-w.search
	r, err := c.Search(goldap.NewSearchRequest("ou=people,"+s.BaseDN, goldap.ScopeWholeSubtree, 0, 2, 0, false,
		"(uid="+goldap.EscapeFilter(login)+")", []string{"entryUUID", "uid", "cn", "mail", "memberOf"}, nil))
	w.search <- c
	if err != nil || len(r.Entries) != 1 {
		return fmt.Errorf("searching: %d entries, %w", len(r.Entries), err)
	}
	c = <-w.bind
	defer func() { w.bind <- c }()
	return c.Bind(r.Entries[0].DN, string(secret.NewText([]byte("the-password")).Reveal()))
}
