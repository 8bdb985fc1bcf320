package test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/crypto/argon2"

	"sekisho/cmd/sekisho/house"
	"sekisho/directory/ldap"
	"sekisho/policy/secret"
	"sekisho/test/slapd"
)

const (
	benchPassword = "tsubame-noboru-kasumi-7"
	// benchPeople is many, so that nobody waits for another sign-in of their own.
	benchPeople = 2000
	benchBase   = "dc=pref,dc=example"
	// benchPool is how many connections each side may have for searches, and
	// again for binds.
	benchPool = 16
)

func benchLogin(i int) string { return fmt.Sprintf("p%06d", i%benchPeople) }

// stored is benchPassword as slapd keeps it. Everybody has the same: verifying
// it costs the same each time.
func stored(scheme string) string {
	salt := []byte("a salt of ours..")
	b64 := base64.StdEncoding
	if scheme == "{SSHA}" {
		sum := sha1.Sum(append([]byte(benchPassword), salt...))
		return scheme + b64.EncodeToString(append(sum[:], salt...))
	}
	key := argon2.IDKey([]byte(benchPassword), salt, 2, 19456, 1, 32)
	raw := base64.RawStdEncoding
	return scheme + "$argon2id$v=19$m=19456,t=2,p=1$" + raw.EncodeToString(salt) + "$" + raw.EncodeToString(key)
}

func benchSlapd(b *testing.B, scheme string, lastBind bool) *slapd.Server {
	b.Helper()
	hash := stored(scheme)
	var ldif strings.Builder
	group := goldap.NewAddRequest("cn=staff,ou=groups,"+benchBase, nil)
	group.Attribute("objectClass", []string{"groupOfNames"})
	var members []string
	for i := range benchPeople {
		dn := "uid=" + benchLogin(i) + ",ou=people," + benchBase
		members = append(members, dn)
		fmt.Fprintf(&ldif, "dn: %s\nobjectClass: inetOrgPerson\nobjectClass: shadowAccount\nuid: %s\ncn: 関所 %d\nsn: 関所\n"+
			"mail: %[2]s@pref.example\ndepartmentNumber: soumu\nemployeeType: staff\nuserPassword: %[4]s\n\n", dn, benchLogin(i), i, hash)
	}
	s := slapd.Start(b, slapd.Options{PasswordHash: scheme, Argon2MemoryKiB: 19456, LDIF: ldif.String(), NoLastBind: !lastBind})
	group.Attribute("member", members)
	admin := dialed(b, s.URL)
	if err := admin.Bind(s.AdminDN, s.AdminPassword); err != nil {
		b.Fatal(err)
	}
	if err := admin.Add(group); err != nil { // while it runs, so that memberOf is kept
		b.Fatal(err)
	}
	return s
}

func dialed(b *testing.B, url string) *goldap.Conn {
	b.Helper()
	c, err := goldap.DialURL(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// A bareDirectory is the least one can do with go-ldap: search for the person
// on one connection, bind as them on another.
type bareDirectory struct{ search, bind chan *goldap.Conn }

func newBareDirectory(b *testing.B, s *slapd.Server) *bareDirectory {
	d := &bareDirectory{make(chan *goldap.Conn, benchPool), make(chan *goldap.Conn, benchPool)}
	for range benchPool {
		c := dialed(b, s.URL)
		if err := c.Bind(s.ServiceDN, s.ServicePassword); err != nil {
			b.Fatal(err)
		}
		d.search <- c
		d.bind <- dialed(b, s.URL)
	}
	return d
}

func (d *bareDirectory) signIn(login string) error {
	c := <-d.search
	r, err := c.Search(goldap.NewSearchRequest("ou=people,"+benchBase, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 2, 0, false,
		"(uid="+goldap.EscapeFilter(login)+")", []string{"entryUUID", "uid", "cn", "mail", "memberOf"}, nil))
	d.search <- c
	if err != nil || len(r.Entries) != 1 {
		return fmt.Errorf("searching %s: %w", login, err)
	}
	c = <-d.bind
	defer func() { d.bind <- c }()
	return c.Bind(r.Entries[0].DN, benchPassword)
}

// inTurn lets so many at once do n things.
func inTurn(b *testing.B, at, n int, do func(worker, i int) error) int {
	var wg sync.WaitGroup
	var next atomic.Int64
	for w := range at {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || b.Failed() {
					return
				}
				if err := do(w, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return n
}

// BenchmarkSignIn is a whole sign-in by password: POST /api/v1/signin over kept
// connections to a house on slapd, with the session and its trail entry
// committed and a sealer at work, against a bare search and bind on the same
// server with as many connections. Targets: {ARGON2} ≥ 0.85; {SSHA} ≥ 0.15. A
// right password must never be answered as wrong; what is answered 503 is
// counted as busy and not as done.
func BenchmarkSignIn(b *testing.B) {
	onlyAsked(b)
	for _, c := range []struct {
		name, scheme string
		lastBind     bool
		at, n        int
		rounds       int
	}{
		{"ARGON2-at-32", "{ARGON2}", true, 32, 96, 9},
		{"SSHA-at-32", "{SSHA}", true, 32, 1000, 15},
		{"SSHA-at-256", "{SSHA}", true, 256, 1000, 15},
		{"SSHA-plain-at-32", "{SSHA}", false, 32, 1000, 15},
		{"SSHA-plain-at-256", "{SSHA}", false, 256, 1000, 15},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := benchSlapd(b, c.scheme, c.lastBind)
			h := benchHouse(b, func(cfg *house.Config) {
				cfg.Directory = ldap.Config{
					Servers: []string{s.URL}, BindDN: s.ServiceDN, BindPassword: secret.NewText([]byte(s.ServicePassword)),
					BaseDN: benchBase, PoolSize: benchPool,
				}
			})
			living(b, h.Run)
			addr := listen(b, h.Web.HTTPServer())
			bare := newBareDirectory(b, s)
			doors := make([]*keptConn, c.at)
			for i := range doors {
				doors[i] = openDoor(b, addr)
			}
			var from, refused, busy atomic.Int64
			alternate(b, c.rounds, func() int {
				start := int(from.Add(int64(c.n)))
				done := atomic.Int64{}
				inTurn(b, c.at, c.n, func(w, i int) error {
					status, err := doors[w].signIn(benchLogin(start + i))
					switch {
					case err != nil:
						return err
					case status == http.StatusOK:
						done.Add(1)
					case status == http.StatusServiceUnavailable:
						busy.Add(1)
					default:
						refused.Add(1)
						return fmt.Errorf("a right password was answered %d", status)
					}
					return nil
				})
				return int(done.Load())
			}, func() int {
				start := int(from.Load())
				return inTurn(b, c.at, c.n, func(_, i int) error { return bare.signIn(benchLogin(start + i)) })
			})
			b.ReportMetric(float64(busy.Load()), "busy")
			b.ReportMetric(float64(refused.Load()), "refused")
			var sessions int
			if err := h.DB.QueryRow(context.Background(), `SELECT COUNT(*) FROM session`).Scan(&sessions); err != nil {
				b.Fatal(err)
			}
			if want := (c.rounds+1)*c.n - int(busy.Load()); sessions != want {
				b.Errorf("%d sessions were stored for %d that were answered", sessions, want)
			}
		})
	}
}

// A keptConn is one kept connection to the gate.
type keptConn struct {
	net.Conn
	r *bufio.Reader
}

func openDoor(b *testing.B, addr string) *keptConn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return &keptConn{c, bufio.NewReader(c)}
}

// signIn answers the status; a 200 must say that somebody is signed in.
func (d *keptConn) signIn(login string) (int, error) {
	body := `{"login":"` + login + `","password":"` + benchPassword + `"}`
	_, err := fmt.Fprintf(d, "POST /api/v1/signin HTTP/1.1\r\nHost: sekisho.example\r\nX-Forwarded-For: 10.2.0.9\r\n"+
		"User-Agent: Mozilla/5.0\r\nAccept: application/json\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(d.r, nil)
	if err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err == nil {
		err = resp.Body.Close()
	}
	if err == nil && resp.StatusCode == http.StatusOK && !strings.Contains(string(answer), `"signed_in"`) {
		err = fmt.Errorf("signing %s in came to %s", login, answer)
	}
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return resp.StatusCode, err
}
