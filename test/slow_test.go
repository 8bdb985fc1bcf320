package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/test/harness"
	"sekisho/test/slapd"
)

// A wire carries bytes between a gate and a server, and whatever the server says
// takes as long to arrive as it is told.
type wire struct {
	listener net.Listener
	to       string
	delay    atomic.Int64 // nanoseconds
	open     atomic.Int64 // connections
	most     atomic.Int64
	cut      chan struct{}
	wg       sync.WaitGroup
}

func stretch(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(harness.FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, to: to, cut: make(chan struct{})}
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(w.cut)
		w.wg.Wait()
	})
	return w
}

func (w *wire) carry(near net.Conn) {
	defer near.Close()
	n := w.open.Add(1)
	defer w.open.Add(-1)
	for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
	}
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer far.Close()
	gone := make(chan struct{})
	w.wg.Go(func() {
		_, _ = io.Copy(far, near)
		close(gone)
		_ = far.Close()
	})
	b := make([]byte, 32<<10)
	for {
		n, err := far.Read(b)
		if err != nil {
			return
		}
		late := time.NewTimer(time.Duration(w.delay.Load()))
		select {
		case <-late.C:
		case <-gone:
			late.Stop()
			return
		case <-w.cut:
			late.Stop()
			return
		}
		if _, err := near.Write(b[:n]); err != nil {
			return
		}
	}
}

// goroutines is how many the gate has, by its own metrics.
func goroutines(t *testing.T, site *harness.Site) int {
	t.Helper()
	resp, err := http.Get("http://" + site.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the metrics do not tell of goroutines")
	return 0
}

// TestSlowDirectory is security.md F7: every word of the directory takes 10 s,
// and two hundred people sign in. Those with passwords are told within the time
// limit of an operation that the directory is away, and never that a password
// is wrong; those with passkeys come in, but for whoever was known to be closed.
func TestSlowDirectory(t *testing.T) {
	t.Parallel()
	const origin, crowd, limit = "https://localhost", 200, 2 * time.Second
	site := harness.NewSite(t, harness.SiteOptions{PublicURL: origin, OpTimeout: limit.String()})
	u, err := url.Parse(site.Slapd.LDAPSURL)
	if err != nil {
		t.Fatal(err)
	}
	w := stretch(t, u.Host)
	site.Variant(t, site.Config, "sekisho.yaml", site.Slapd.LDAPSURL, "ldaps://"+w.listener.Addr().String())
	site.Serve(t)

	keys := map[string]*passkeytest.Key{}
	for i, login := range []string{"tanaka", "suzuki", "yoshida", "kobayashi"} {
		c := site.Behind(fmt.Sprintf("10.2.0.%d", i+1))
		site.Members[login].SignIn(t, c)
		k, a := c.EnrolPasskey(t, origin)
		if a.Status/100 != 2 {
			t.Fatalf("enrolling a passkey: %d %s", a.Status, a.Body)
		}
		keys[login] = k
		c.HTTP.CloseIdleConnections()
	}
	// Kobayashi is closed in the directory, and the gate has seen it.
	kobayashi := site.Members["kobayashi"]
	site.Replace(t, kobayashi.DN, "pwdAccountLockedTime", "000001010000Z")
	if _, a := site.Behind("10.2.0.9").Password(t, kobayashi.Login, kobayashi.Password); a.Status != 401 {
		t.Fatalf("who is closed: %d %s", a.Status, a.Body)
	}
	quiet := goroutines(t, site)

	w.delay.Store(int64(10 * time.Second))
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		answers  = map[string]int{}
		slowest  time.Duration
		passkeys []time.Duration
	)
	for i := range crowd {
		m := site.Members[[]string{"tanaka", "suzuki", "yoshida", "shimizu"}[i%4]]
		c := site.Behind(fmt.Sprintf("10.2.1.%d", i))
		wg.Go(func() {
			began := time.Now()
			_, a := c.Password(t, m.Login, m.Password)
			took := time.Since(began)
			c.HTTP.CloseIdleConnections()
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprintf("%d %s, retry after %t", a.Status, a.Code(), a.Header.Get("Retry-After") != "")]++
			slowest = max(slowest, took)
		})
	}
	for i, login := range []string{"tanaka", "suzuki", "yoshida"} { // a key answers one question after another
		wg.Go(func() {
			for j := range 20 {
				c := site.Behind(fmt.Sprintf("10.2.%d.%d", 2+i, j))
				began := time.Now()
				s, a := c.Passkey(t, keys[login])
				for s.State == "acknowledge" {
					s, a = c.Acknowledge(t, s.Version)
				}
				took := time.Since(began)
				c.HTTP.CloseIdleConnections()
				if s.State != "signed_in" {
					t.Errorf("%s by passkey: %d %s", login, a.Status, a.Body)
					return
				}
				if _, err := time.Parse(time.RFC3339, a.Header.Get("Sekisho-Directory-As-Of")); err != nil {
					t.Errorf("the answer does not state how old its facts are: %v", err)
				}
				mu.Lock()
				passkeys = append(passkeys, took)
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		if s, a := site.Behind("10.2.9.1").Passkey(t, keys["kobayashi"]); a.Status != 401 {
			t.Errorf("who is known to be closed: %d %q", a.Status, s.State)
		}
	})
	wg.Wait()
	for answer := range answers {
		if answer != "503 away, retry after true" {
			t.Errorf("%d passwords were answered %s", answers[answer], answer)
		}
	}
	if slowest > limit+3*time.Second/2 {
		t.Errorf("somebody with a password waited %v; the limit of an operation is %v", slowest, limit)
	}
	slices.Sort(passkeys)
	p99 := passkeys[len(passkeys)*99/100]
	if p99 > time.Second {
		t.Errorf("p99 of a passkey's sign-in is %v", p99)
	}
	// Two pools of eight. Those that timed out together are replaced together, and the
	// wire may see the new one before it has seen the end of the old.
	if most := w.most.Load(); most > 2*16 {
		t.Errorf("%d connections to the directory at once", most)
	}
	t.Logf("passwords: %v, the slowest after %v; passkeys: median %v, p99 %v; at most %d connections",
		answers, slowest.Round(time.Millisecond), passkeys[len(passkeys)/2].Round(time.Millisecond), p99.Round(time.Millisecond), w.most.Load())

	w.delay.Store(0)
	back := func(what string) {
		t.Helper()
		began := time.Now()
		harness.Until(t, what, func() bool {
			c := site.Behind("10.2.8.1")
			defer c.HTTP.CloseIdleConnections()
			s, _ := c.Password(t, "yoshida", site.Members["yoshida"].Password)
			return s.State == "enrol" || s.State == "second_factor"
		})
		t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
	}
	back("the directory in time again: sign-ins")
	harness.Until(t, "nothing to be left behind", func() bool { return goroutines(t, site) <= quiet+16 && w.open.Load() <= 16 })

	// The directory is killed, and comes back.
	if err := site.Slapd.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, a := site.Behind("10.2.8.2").Password(t, "yoshida", site.Members["yoshida"].Password); a.Status != 503 {
		t.Errorf("with the directory killed: %d %s", a.Status, a.Body)
	}
	plain, err := url.Parse(site.Slapd.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(plain.Port())
	if err != nil {
		t.Fatal(err)
	}
	again, err := slapd.Run(site.Slapd.Dir, port, slapd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.Stop(); err != nil {
			t.Error(err)
		}
	})
	back("the directory back: sign-ins")
}
