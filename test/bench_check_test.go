package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/token"
	"sekisho/authz"
	"sekisho/authz/grant"
	"sekisho/authz/lockdown"
	"sekisho/authz/permit"
	"sekisho/cmd/sekisho/house"
	"sekisho/directory"
	"sekisho/policy"
	trails "sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/web"
	"sekisho/web/gate"
)

// registry is a directory that answers at once: how fast the directory is read
// in the background of a check is measured with the sign-ins.
type registry struct{}

func (registry) ByID(_ context.Context, id directory.PersonID) (directory.Person, error) {
	return directory.Person{
		ID: id, Login: "login-" + string(id), Name: "例 花子", Mail: string(id) + "@pref.example", Section: "soumu",
		Groups: []string{"cn=staff,ou=groups,dc=pref,dc=example"},
	}, nil
}

// nobody guards no other door than the gate's.
type nobody struct{}

func (nobody) Current(context.Context, signin.Origin, string) (signin.Step, error) {
	return signin.Step{}, signin.ErrNone
}
func (nobody) SignOut(context.Context, signin.Origin, string) error { return signin.ErrNone }
func (nobody) CheckCSRF(string, string) bool                        { return false }

// A checkpoint is the part of the house that answers /auth/check, on a real
// store with real sessions.
type checkpoint struct {
	db       *store.DB
	sessions *session.Sessions
	srv      *web.Server
	cookies  []string // of an application's host, i belonging to app i%apps
	ids      []string
	apps     int
}

// lends is what is lent to those who ask, in each benchmark of checks.
const lends = `privileges:
  - id: db-admin
    name: {ja: データベース管理, en: Database administration}
    gives: [{kind: group, group: "cn=db-admins,ou=groups,dc=pref,dc=example"}]
    eligible: {sections: [soumu]}
    approvers: {posts: [cio], where: anywhere}
`

// newCheckpoint has so many applications, sessions and leases that live.
func newCheckpoint(b *testing.B, apps, stored, lent int) *checkpoint {
	b.Helper()
	dir := b.TempDir()
	now := clock.System()
	ring, err := secret.CreateKeyRing(filepath.Join(dir, "ring"))
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Replace(string(rulesFor(apps)), "posts:\n", "  - {id: internet, name: {ja: インターネット接続系, en: Internet zone}, sign_in_acr: aal1}\nposts:\n", 1)
	text = strings.Replace(text, "networks:\n", "networks:\n  - {cidr: 10.3.0.0/16, zone: internet}\n  - {cidr: 203.0.113.0/24, zone: internet, outside: true}\n", 1)
	rules, problems := policy.Parse("policy.yaml", []byte(text+lends))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	current := func() *policy.Policy { return rules }
	c := &checkpoint{apps: apps}
	if c.db, err = store.Open(b.Context(), store.Config{Path: filepath.Join(dir, "sekisho.db")}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.db.Close() })
	trail := trails.New(c.db, now)
	watch := standing.NewWatch(c.db, registry{}, now)
	c.sessions = session.New(c.db, ring, trail, watch, current, now)
	orders := lockdown.New(c.db, current, now, c.sessions.InStepAt)
	book := grant.New(grant.House{DB: c.db, Trail: trail, Policy: current, Now: now})
	permits := permit.New(permit.House{DB: c.db, Trail: trail, Policy: current, Now: now})
	watch.Heed(c.sessions.InStepAt, c.sessions.Ring)
	c.sessions.Obey(orders.Bar, orders.Spared)
	c.sessions.Require(permits.Bar, "63-1", "26no2-2")
	c.sessions.PollWith(watch, orders, book, permits)
	keys, err := token.Open(b.Context(), c.db, ring, trail, now)
	if err != nil {
		b.Fatal(err)
	}
	public, err := url.Parse("https://sekisho.example")
	if err != nil {
		b.Fatal(err)
	}
	c.srv = web.New(web.Config{
		PublicURL: public, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Now: clock.NewFloor(now).Now, Policy: current, Guard: nobody{},
	})
	gate.Mount(c.srv, gate.Services{
		Sessions: c.sessions, People: watch, SignIn: nobody{}, Keys: keys, LockDowns: orders.InForceAt, Leases: house.Lent(book, c.sessions), Used: permits.Used,
		Fill: func(ctx context.Context, _ clock.Moment, f authz.Facts) (authz.Facts, error) {
			err := permits.Fill(ctx, &f)
			return f, err
		},
	})
	c.fill(b, stored, now())
	c.lend(b, lent, now())
	return c
}

// lend stores leases that live, one for each of the first sessions, and three
// lock-downs that are about others.
func (c *checkpoint) lend(b *testing.B, n int, now time.Time) {
	b.Helper()
	ctx, ends := b.Context(), store.Micros(now.Add(8*time.Hour))
	for from := 0; from < n; from += 500 {
		err := c.db.WithTx(ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+500, n); i++ {
				who := "person-" + strconv.Itoa(i/4)
				body, err := json.Marshal(map[string]any{
					"by": map[string]string{"id": who, "login": "login-" + who, "name": "例 花子", "section": "soumu"}, "reason": "索引を作り直す",
					"gives": []policy.Gift{{Kind: policy.GiftGroup, Group: "cn=db-admins,ou=groups,dc=pref,dc=example"}},
				})
				if err != nil {
					return err
				}
				_, err = tx.Exec(ctx, `
					INSERT INTO lease (id, privilege, person_id, state, version, asked_at, ends_at, due_at, matter, extension, incident, session_id, owes, changed_at, body)
					VALUES ($1, 'db-admin', $2, 'active', 1, $3, $4, $4, '', '', '', $5, 0, $3, $6)`,
					fmt.Sprintf("lease-%d", i), who, store.Micros(now), ends, fmt.Sprintf("parent-%d", i), string(body))
				if err != nil {
					return err
				}
				if i%4 != 0 { // a person has one at a time, and four sessions
					continue
				}
				_, err = tx.Exec(ctx, `
					INSERT INTO privileged_session (id, session_id, person_id, login, started_at, expires_at, seen_at, ended_at, changed_at)
					VALUES ($1, $2, $3, $4, $5, $6, $5, 0, $5)`,
					fmt.Sprintf("privileged-%d", i), fmt.Sprintf("parent-%d", i), who, "login-"+who, store.Micros(now), ends)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	err := c.db.WithTx(ctx, func(tx *store.Tx) error {
		for i := range 3 {
			id := fmt.Sprintf("other-%d", i)
			_, err := tx.Exec(ctx, `
				INSERT INTO lockdown (id, scope, target, person_id, reason, ordered_by, ordered_at, ends_at, ratify_by)
				VALUES ($1, 'person', $1, $1, '侵入の疑い', 'cio', $2, $3, 0)`, id, store.Micros(now), ends)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// fill stores sessions of applications, each with its parent at the gate, as a
// day of work would leave them.
func (c *checkpoint) fill(b *testing.B, n int, now time.Time) {
	b.Helper()
	ctx := b.Context()
	for from := 0; from < n; from += 500 {
		err := c.db.WithTx(ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+500, n); i++ {
				person := "person-" + strconv.Itoa(i/4)
				parent := fmt.Sprintf("parent-%d", i)
				for _, kind := range []string{"", "app" + strconv.Itoa(i%c.apps)} {
					cookie, keyID, mac, err := c.sessions.New(session.KindSession)
					if err != nil {
						return err
					}
					id, of := parent, ""
					if kind != "" {
						id, of = "child-"+strconv.Itoa(i), parent
						c.cookies, c.ids = append(c.cookies, cookie), append(c.ids, id)
					}
					_, err = tx.Exec(ctx, `
						INSERT INTO session (id, handle_key, handle_mac, person_id, login, name, zone, outside, acr, amr, source,
						       user_agent, app, parent, started_at, auth_at, expires_at, idle_expires_at, seen_at,
						       previous_at, previous_from, previous_out_at, failures_since, changed_at)
						VALUES ($1, $2, $3, $4, $5, '例 花子', 'lgwan', 0, 'aal2', 'pwd otp', '10.2.0.9',
						       'Mozilla/5.0', $6, $7, $8, $8, $9, $9, $8, 0, '', 0, 0, 0)`,
						id, keyID, mac, person, "login-"+person, kind, of, store.Micros(now), store.Micros(now.Add(8*time.Hour)))
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// requests are n of what nginx sends for browsers of the first hot sessions.
func (c *checkpoint) requests(n, hot int) [][]byte {
	out := make([][]byte, n)
	for k := range out {
		i := k % hot
		out[k] = question(c.cookies[i], "app"+strconv.Itoa(i%c.apps)+".example", c.ids[i])
	}
	return out
}

func question(cookie, host, id string) []byte {
	return []byte("GET /auth/check HTTP/1.1\r\nHost: sekisho.example\r\n" +
		"X-Original-URL: https://" + host + "/work/list?page=2\r\nX-Original-Method: GET\r\n" +
		"X-Forwarded-For: 10.2.0.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: " + host + "\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: ja,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Referer: https://" + host + "/work/list\r\nCookie: theme=light; __Host-sekisho-app=" + cookie + "; row=" + id + "\r\n\r\n")
}

// listen serves h on loopback until the benchmark ends.
func listen(b *testing.B, srv *http.Server) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	b.Cleanup(func() { _ = srv.Close(); <-done })
	return ln.Addr().String()
}

// connections is how many keep-alive connections ask at once, as a proxy's
// workers do.
const connections = 16

// A generator sends prepared requests over kept connections as fast as they are
// answered. It parses of an answer only what tells its end, so that the server
// has most of the machine.
type generator struct {
	conns   []net.Conn
	readers []*bufio.Reader
	asks    [][]byte
	next    []int
	took    [][]time.Duration
}

func newGenerator(b *testing.B, addr string, asks [][]byte) *generator {
	b.Helper()
	g := &generator{asks: asks}
	for i := range connections {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		g.conns, g.readers = append(g.conns, c), append(g.readers, bufio.NewReaderSize(c, 8<<10))
		g.next, g.took = append(g.next, i*len(asks)/connections), append(g.took, make([]time.Duration, 0, 1<<16))
	}
	return g
}

// run asks for so long and answers how often; every answer must be 200 and carry
// an identity.
func (g *generator) run(b *testing.B, lasting time.Duration) int {
	var wg sync.WaitGroup
	elapsed := since()
	for i := range g.conns {
		g.took[i] = g.took[i][:0]
		wg.Go(func() {
			for elapsed() < lasting {
				began := elapsed()
				if _, err := g.conns[i].Write(g.asks[g.next[i]]); err != nil {
					b.Error(err)
					return
				}
				if g.next[i]++; g.next[i] == len(g.asks) {
					g.next[i] = 0
				}
				if err := answered(g.readers[i]); err != nil {
					b.Error(err)
					return
				}
				g.took[i] = append(g.took[i], elapsed()-began)
			}
		})
	}
	wg.Wait()
	n := 0
	for _, t := range g.took {
		n += len(t)
	}
	return n
}

func (g *generator) p99() time.Duration {
	all := slices.Concat(g.took...)
	slices.Sort(all)
	return all[len(all)*99/100]
}

// answered reads one answer without a body.
func answered(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", line)
	}
	identity := false
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		identity = identity || bytes.HasPrefix(line, []byte("Remote-User: "))
		if len(line) == 2 {
			break
		}
	}
	if !identity {
		return errors.New("a 200 without an identity")
	}
	return nil
}

// sameHeaders is what a check answers, learnt from one.
func sameHeaders(b *testing.B, addr string, ask []byte) http.Header {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(ask); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
		b.Fatalf("a check answers %s %s, %v", resp.Status, body, err)
	}
	h := resp.Header
	for _, name := range []string{"Date", "Content-Length"} { // net/http's own
		h.Del(name)
	}
	return h
}

// compare measures checks against a handler; first comes before that handler's
// headers and may be nil.
func (c *checkpoint) compare(b *testing.B, first func(*http.Request) error) {
	asks := c.requests(100, 100)
	ours := listen(b, c.srv.HTTPServer())
	headers := sameHeaders(b, ours, asks[0])
	bare := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first != nil {
			if err := first(r); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
		}
		h := w.Header()
		for name, values := range headers {
			h[name] = values
		}
		w.WriteHeader(http.StatusOK)
	})}
	theirs := listen(b, bare)
	us, them := newGenerator(b, ours, asks), newGenerator(b, theirs, asks)
	var slow [2][]time.Duration
	alternate(b, rounds,
		func() int { n := us.run(b, turn); slow[0] = append(slow[0], us.p99()); return n },
		func() int { n := them.run(b, turn); slow[1] = append(slow[1], them.p99()); return n })
	for _, s := range slow {
		slices.Sort(s)
	}
	mine, limit := slow[0][len(slow[0])/2], slow[1][len(slow[1])/2]
	b.ReportMetric(float64(mine.Microseconds()), "ours_p99_us")
	b.ReportMetric(float64(limit.Microseconds()), "limit_p99_us")
	b.ReportMetric(float64(mine)/float64(limit), "p99_ratio")
}

// BenchmarkAuthCheck: a session in memory, against a bare handler that gets the
// same request and sends the same headers. Target: ratio ≥ 0.80, p99_ratio ≤ 2.
func BenchmarkAuthCheck(b *testing.B) {
	onlyAsked(b)
	c := newCheckpoint(b, 100, 100, 100)
	living(b, c.sessions.Run)
	if err := c.sessions.Poll(b.Context()); err != nil {
		b.Fatal(err)
	}
	c.compare(b, nil)
}

// BenchmarkAuthCheckUncached: a gateway whose own polls do not come, so that memory is
// not to be gone by, against a bare handler that reads one row by its primary key.
// Target: ratio ≥ 0.85. Who asks polls for all; where that fails too, every check reads
// session, person, leases and lock-downs for itself.
func BenchmarkAuthCheckUncached(b *testing.B) {
	for _, tt := range []struct {
		name string
		more []session.Follower
	}{{"polled-by-who-asks", nil}, {"polls-fail", []session.Follower{failing{}}}} {
		b.Run(tt.name, func(b *testing.B) {
			onlyAsked(b)
			c := newCheckpoint(b, 100, 100, 100)
			c.sessions.PollWith(tt.more...)
			c.compare(b, func(r *http.Request) error {
				_, id, _ := strings.Cut(r.Header.Get("Cookie"), "; row=")
				var login string
				return c.db.QueryRow(r.Context(), `SELECT login FROM session WHERE id = $1`, id).Scan(&login)
			})
		})
	}
}

// failing has every poll fail.
type failing struct{}

func (failing) Follow(context.Context, time.Time) error { return errors.New("not read") }

// BenchmarkAuthCheckMany: many sessions stored, 10,000 of them hot and each with a
// lease that lives, and 10,000 applications, against 100 of each. Target: at most 1.10 times the time, a ratio ≥ 0.91.
func BenchmarkAuthCheckMany(b *testing.B) {
	onlyAsked(b)
	stored := 100_000
	if os.Getenv("SEKISHO_SOAK") == "1" {
		stored = 1_000_000
	}
	filled := func(apps, stored, lent int) *checkpoint {
		c := newCheckpoint(b, apps, stored, lent)
		living(b, c.sessions.Run)
		if err := c.sessions.Poll(b.Context()); err != nil {
			b.Fatal(err)
		}
		return c
	}
	full, empty := filled(10_000, stored, 10_000), filled(100, 100, 100)
	side := func(c *checkpoint, hot int) func() int {
		g := newGenerator(b, listen(b, c.srv.HTTPServer()), c.requests(10_000, hot)) // as much to send on both sides
		return func() int { return g.run(b, turn) }
	}
	many, few := side(full, 10_000), side(empty, 100)
	// Every hot session is read from the store once, and told of once, before.
	for n := 0; n < 2*10_000 && !b.Failed(); few() { // or its connections idle out
		n += many()
	}
	alternate(b, rounds, many, few)
}
