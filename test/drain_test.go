package test

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sekisho/test/harness"
)

// beside is a second gateway of a site, on the same store.
func beside(t *testing.T, site *harness.Site) *harness.Site {
	t.Helper()
	other := *site
	other.Listen = "127.0.0.1:" + strconv.Itoa(harness.FreePort(t))
	other.Metrics = "127.0.0.1:" + strconv.Itoa(harness.FreePort(t))
	other.Config = site.Variant(t, site.Config, "beside.yaml", site.Listen, other.Listen)
	other.Config = site.Variant(t, other.Config, "beside.yaml", site.Metrics, other.Metrics)
	return &other
}

// TestDrainLosesNothing: a balancer that reads /readyz sees that a gateway is
// about to stop before it does. Under load, with a balancer that tries nothing
// twice, every request is answered, and answered as it would have been.
func TestDrainLosesNothing(t *testing.T) {
	t.Parallel()
	haproxy := harness.Need(t, "haproxy", "haproxy")
	site := harness.NewSite(t, harness.SiteOptions{Settings: "drain_delay: 2s\nlog: {level: error}"})
	first := site.Serve(t)
	second := beside(t, site)
	second.Serve(t)
	at := "127.0.0.1:" + strconv.Itoa(harness.FreePort(t))
	balancer := harness.Start(t, site.Dir, haproxy, "-db", "-f", site.Write(t, "haproxy.cfg", []byte(fmt.Sprintf(`
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  retries 0
frontend in
  bind %s
  default_backend gates
backend gates
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server inter 200ms fall 2 rise 1
  server first %s check
  server second %s check
`, at, site.Listen, second.Listen))))

	tanaka, c := site.Members["tanaka"], site.Behind("10.2.0.7")
	tanaka.SignIn(t, c)
	app := appCookie(t, site, c, "app")
	through := *site
	through.Listen = at
	asker := func() *harness.Client {
		one := through.Behind("10.2.0.7")
		one.Cookies = c.Fork().Cookies
		one.CSRF = c.CSRF
		return one
	}
	harness.Until(t, "the balancer", func() bool {
		if balancer.Ended() {
			t.Fatal("haproxy ended: ", balancer.Output())
		}
		a, err := asker().Try("GET", "/readyz", nil)
		return err == nil && a.Status == 200
	})

	var (
		load     sync.WaitGroup
		stop     atomic.Bool
		answered atomic.Int64
	)
	for range 6 {
		load.Go(func() {
			one := asker()
			check := []string{"X-Original-URL", "https://app.pref.example/", "X-Original-Method", "GET", "Cookie", app}
			for !stop.Load() {
				for _, q := range []struct {
					method, path string
					body         any
					headers      []string
					want         int
				}{
					{"GET", "/api/v1/session", nil, nil, 200},
					{"GET", "/auth/check", nil, check, 200},
					{"POST", "/api/v1/signin/acknowledge", map[string]string{"version": "2026-04"}, nil, 409},
				} {
					a, err := one.Try(q.method, q.path, q.body, q.headers...)
					if err != nil || a.Status != q.want {
						t.Errorf("%s %s: %d %v %s, want %d", q.method, q.path, a.Status, err, a.Body, q.want)
						return
					}
					answered.Add(1)
				}
			}
		})
	}
	more := func(n int64) {
		t.Helper()
		to := answered.Load() + n
		harness.Until(t, "more answers", func() bool { return answered.Load() >= to || t.Failed() })
	}
	more(300)
	first.Signal(t, syscall.SIGTERM)
	harness.Until(t, "/readyz to say that it is stopping", func() bool {
		a, err := site.Behind("10.2.0.7").Try("GET", "/readyz", nil)
		return err == nil && a.Status == 503 && strings.Contains(string(a.Body), `"status":"stopping"`)
	})
	if a, err := site.Behind("10.2.0.7").Try("GET", "/auth/check", nil, "X-Original-URL", "https://app.pref.example/", "X-Original-Method", "GET", "Cookie", app); err != nil || a.Status != 200 {
		t.Errorf("while it is stopping: %d %v", a.Status, err)
	}
	if status := first.Exit(); status != 0 {
		t.Errorf("exit status %d\n%s", status, first.Log())
	}
	more(300)
	stop.Store(true)
	load.Wait()
	t.Logf("%d requests answered", answered.Load())
}

// TestServeTellsSystemd: serve says when it is ready, reloads and stops.
func TestServeTellsSystemd(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	heard := func(want string) {
		t.Helper()
		b := make([]byte, 256)
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, err := conn.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), want) {
			t.Fatalf("systemd heard %q, %v, want %q", b[:n], err, want)
		}
	}
	p := harness.Start(t, site.Dir, "/usr/bin/env", "NOTIFY_SOCKET="+socket, harness.Binary(t, "sekisho"), "serve", "--config", site.Config)
	heard("READY=1")
	if a := site.Client("127.0.0.1").Do(t, "GET", "/readyz", nil); a.Status != 200 {
		t.Errorf("ready, and yet /readyz is %d %s", a.Status, a.Body)
	}
	p.Signal(t, syscall.SIGHUP)
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	p.Signal(t, syscall.SIGTERM)
	heard("STOPPING=1")
	if status := p.Exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}
