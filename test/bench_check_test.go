package test

import (
	"bufio"
	"bytes"
	"context"
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

func newCheckpoint(b *testing.B, apps, stored int) *checkpoint {
	b.Helper()
	dir := b.TempDir()
	now := clock.System()
	ring, err := secret.CreateKeyRing(filepath.Join(dir, "ring"))
	if err != nil {
		b.Fatal(err)
	}
	rules, problems := policy.Parse("policy.yaml", rulesFor(apps))
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
	gate.Mount(c.srv, gate.Services{Sessions: c.sessions, People: watch, SignIn: nobody{}, Keys: keys})
	c.fill(b, stored, now())
	return c
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
	c := newCheckpoint(b, 100, 100)
	living(b, c.sessions.Run)
	if err := c.sessions.Poll(b.Context()); err != nil {
		b.Fatal(err)
	}
	c.compare(b, nil)
}

// BenchmarkAuthCheckUncached: every check reads its session from the store, as
// a gateway does that cannot hear of revocations, against a bare handler that
// reads one row by its primary key. Target: ratio ≥ 0.85.
func BenchmarkAuthCheckUncached(b *testing.B) {
	onlyAsked(b)
	c := newCheckpoint(b, 100, 100) // without Run and Poll the cache is off
	c.compare(b, func(r *http.Request) error {
		_, id, _ := strings.Cut(r.Header.Get("Cookie"), "; row=")
		var login string
		return c.db.QueryRow(r.Context(), `SELECT login FROM session WHERE id = $1`, id).Scan(&login)
	})
}

// BenchmarkAuthCheckMany: many sessions stored and hot and many applications,
// against 100 of each. Target: at most 1.10 times the time, a ratio ≥ 0.91.
func BenchmarkAuthCheckMany(b *testing.B) {
	onlyAsked(b)
	stored := 100_000
	if os.Getenv("SEKISHO_SOAK") == "1" {
		stored = 1_000_000
	}
	filled := func(apps, stored int) *checkpoint {
		c := newCheckpoint(b, apps, stored)
		living(b, c.sessions.Run)
		if err := c.sessions.Poll(b.Context()); err != nil {
			b.Fatal(err)
		}
		return c
	}
	full, empty := filled(1000, stored), filled(100, 100)
	side := func(c *checkpoint, hot int) func() int {
		g := newGenerator(b, listen(b, c.srv.HTTPServer()), c.requests(10_000, hot)) // as much to send on both sides
		return func() int { return g.run(b, turn) }
	}
	many, few := side(full, 10_000), side(empty, 100)
	for range 10 {
		many() // every hot session is read from the store once
	}
	alternate(b, rounds, many, few)
}
