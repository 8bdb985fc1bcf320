package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekisho/test/harness"
	"sekisho/test/slapd"
)

// TestServeDoors: what serve opens is its listener and that of its metrics.
// Nothing of dev's control is there, and only a trusted proxy may ask about
// others.
func TestServeDoors(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	if out, errs, status := harness.Run(t, "sekisho", "config", "check", "--config", site.Config); status != 0 {
		t.Fatalf("config check of a sound site: %d\n%s%s", status, out, errs)
	}
	p := site.Serve(t)
	tanaka := site.Members["tanaka"]

	t.Run("one ready line", func(t *testing.T) {
		if want := fmt.Sprintf("ready at %s (%s)\n", site.PublicURL, site.Listen); p.Output() != want {
			t.Errorf("standard output is %q, want %q", p.Output(), want)
		}
	})
	t.Run("two listeners", func(t *testing.T) {
		want := []string{site.Listen, site.Metrics}
		got := listeners(t, p.PID())
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("serve listens on %v, want %v", got, want)
		}
	})
	t.Run("no control", func(t *testing.T) {
		metrics := harness.NewClient("http://" + site.Metrics)
		for _, c := range []*harness.Client{site.Client("127.0.0.1"), metrics} {
			for _, r := range []struct{ method, path string }{{"POST", "/clock"}, {"GET", "/clock"}, {"GET", "/mail"}, {"POST", "/control/clock"}} {
				if a := c.Do(t, r.method, r.path, nil, "Authorization", "Bearer x"); a.Status != 404 {
					t.Errorf("%s %s%s: %d", r.method, c.URL, r.path, a.Status)
				}
			}
		}
		entries, err := filepath.Glob(filepath.Join(site.Dir, "**", "dev.json"))
		if err != nil || len(entries) > 0 {
			t.Errorf("serve wrote %v, %v", entries, err)
		}
	})
	t.Run("metrics apart", func(t *testing.T) {
		if a := site.Client("127.0.0.1").Do(t, "GET", "/metrics", nil); a.Status != 404 {
			t.Errorf("/metrics at the gate: %d", a.Status)
		}
		metrics := harness.NewClient("http://" + site.Metrics)
		if a := metrics.Do(t, "GET", "/metrics", nil); a.Status != 200 || !strings.Contains(string(a.Body), "process_open_fds") {
			t.Errorf("/metrics on its own listener: %d", a.Status)
		}
		for _, path := range []string{"/", "/signin", "/api/v1/session", "/auth/check", "/healthz"} {
			if a := metrics.Do(t, "GET", path, nil); a.Status != 404 {
				t.Errorf("%s at the metrics' listener: %d", path, a.Status)
			}
		}
	})
	t.Run("ready", func(t *testing.T) {
		if a := harness.NewClient("http://"+site.Metrics).Do(t, "GET", "/readyz", nil); a.Status != 200 || !strings.Contains(string(a.Body), `"name":"store"`) {
			t.Errorf("/readyz for operators: %d %s", a.Status, a.Body)
		}
		if a := site.Client("127.0.0.1").Do(t, "GET", "/readyz", nil); a.Status != 200 {
			t.Errorf("/readyz: %d %s", a.Status, a.Body)
		}
	})

	// security.md section 2, row 12.
	stranger := site.Client("127.0.0.2")
	stranger.From = "10.2.0.9"
	tanaka.SignIn(t, stranger)
	t.Run("an untrusted X-Forwarded-For", func(t *testing.T) {
		if from := sessionFrom(t, stranger); from != "127.0.0.2" {
			t.Errorf("the session is from %q, want the peer's own address", from)
		}
	})
	t.Run("a trusted X-Forwarded-For", func(t *testing.T) {
		c := site.Behind("10.2.0.9")
		c.Cookies = stranger.Fork().Cookies
		if a := c.Do(t, "GET", "/api/v1/session", nil); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		c = site.Behind("198.51.100.7, 10.2.0.9")
		site.Members["suzuki"].SignIn(t, c)
		if from := sessionFrom(t, c); from != "10.2.0.9" {
			t.Errorf("the session is from %q, want the rightmost address that is no proxy", from)
		}
	})
	t.Run("an untrusted question", func(t *testing.T) {
		cookie := appCookie(t, site, stranger, "app")
		ask := []string{"X-Original-URL", "https://app.pref.example/", "X-Original-Method", "GET", "Cookie", cookie}
		if a := site.Behind("10.2.0.9").Do(t, "GET", "/auth/check", nil, ask...); a.Status != 200 {
			t.Fatalf("/auth/check from the proxy: %d", a.Status)
		}
		a := stranger.Do(t, "GET", "/auth/check", nil, ask...)
		if a.Status != 403 || len(a.Body) > 0 || a.Header.Get("Remote-User") != "" {
			t.Errorf("/auth/check from elsewhere: %d %v %s", a.Status, a.Header, a.Body)
		}
	})
}

// sessionFrom is the address that the gate has noted for this session.
func sessionFrom(t *testing.T, c *harness.Client) string {
	t.Helper()
	var list struct {
		Items []struct {
			From    string
			Current bool
		}
	}
	c.Do(t, "GET", "/api/v1/sessions", nil).Into(t, &list)
	for _, s := range list.Items {
		if s.Current {
			return s.From
		}
	}
	t.Fatal("GET /sessions names no current one")
	return ""
}

// appCookie hands a session over to an application's host, by the redirects
// that a browser would follow, and returns that host's cookie.
func appCookie(t *testing.T, site *harness.Site, c *harness.Client, app string) string {
	t.Helper()
	host := app + ".pref.example"
	at := site.Client("127.0.0.1")
	a := at.Do(t, "GET", "/.sekisho/start?rd=/", nil, "Host", host)
	begun, ok := strings.CutPrefix(a.Header.Get("Location"), site.PublicURL)
	if a.Status != 303 || !ok {
		t.Fatalf("the start at %s: %d, to %s", app, a.Status, a.Header.Get("Location"))
	}
	a = c.Do(t, "GET", begun, nil)
	if a.Status != 303 {
		t.Fatalf("the handover to %s: %d %s", app, a.Status, a.Body)
	}
	_, query, ok := strings.Cut(a.Header.Get("Location"), "/.sekisho/callback?")
	if !ok {
		t.Fatalf("the handover to %s leads to %s", app, a.Header.Get("Location"))
	}
	a = at.Do(t, "GET", "/.sekisho/callback?"+query, nil, "Host", host)
	if a.Status != 303 || at.Cookies["__Host-sekisho-app"] == "" {
		t.Fatalf("the callback of %s: %d %s", app, a.Status, a.Body)
	}
	return "__Host-sekisho-app=" + at.Cookies["__Host-sekisho-app"]
}

// listeners are the TCP addresses a process listens on, from the kernel.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	inodes := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:[") {
			inodes[strings.Trim(to, "socket:[]")] = true
		}
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !inodes[f[9]] {
				continue
			}
			addr, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			if addr == "0100007F" {
				addr = "127.0.0.1"
			}
			found = append(found, fmt.Sprintf("%s:%d", addr, n))
		}
	}
	slices.Sort(found)
	return found
}

// A pending request has reached its handler, which waits for the body.
type pending struct {
	conn io.ReadWriter
	body string
}

// begin sends a sign-in without its body and waits until the gate asks for it.
func begin(t *testing.T, conn net.Conn, host, login, password string) pending {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"login": %q, "password": %q}`, login, password)
	fmt.Fprintf(conn, "POST /api/v1/signin HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		host, len(body))
	line, err := bufio.NewReaderSize(conn, 16).ReadString('\n')
	if err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("the gate does not ask for the body: %q, %v", line, err)
	}
	return pending{conn, body}
}

// finish sends the body and reads the answer's status.
func (p pending) finish(t *testing.T) int {
	t.Helper()
	if _, err := io.WriteString(p.conn, p.body); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(p.conn)
	for {
		if b, err := r.Peek(1); err != nil || b[0] == 'H' {
			break // the rest of "100 Continue" is over
		}
		_, _ = r.ReadByte() // what was peeked at
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal("the request in flight was dropped:", err)
	}
	return resp.StatusCode
}

// TestServeStops: SIGTERM lets what is in flight finish, then the process ends
// well.
func TestServeStops(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{})
	p := site.Serve(t)
	conn, err := net.Dial("tcp", site.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tanaka := site.Members["tanaka"]
	inFlight := begin(t, conn, "sekisho.pref.example", tanaka.Login, tanaka.Password)

	p.Signal(t, syscall.SIGTERM)
	harness.Until(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", site.Listen)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if p.Ended() {
		t.Fatal("serve ended before the request in flight was answered")
	}
	if status := inFlight.finish(t); status != 200 {
		t.Errorf("the request in flight was answered %d", status)
	}
	if status := p.Exit(); status != 0 {
		t.Errorf("exit status %d\n%s", status, p.Log())
	}
	// What it did is on a trail that is whole.
	out, errs, status := harness.Run(t, "sekisho", "audit", "verify", "--config", site.Config)
	if status != 0 {
		t.Errorf("audit verify: %d\n%s%s", status, out, errs)
	}
}

// TestServeReloads: SIGHUP brings the new certificate and log level, drops
// nothing, and a file with a fault changes nothing.
func TestServeReloads(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{
		Settings: "tls: {certificate: tls.pem, key: tls.key}\nlog: {level: info}",
	})
	first := newAuthority(t).issue(t, site.Dir, "tls", "sekisho.pref.example")
	p := site.Serve(t)
	dial := func() *tls.Conn {
		c, err := tls.Dial("tcp", site.Listen, &tls.Config{InsecureSkipVerify: true}) // which certificate it is, is the question
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	serial := func() string { return dial().ConnectionState().PeerCertificates[0].SerialNumber.String() }
	if serial() != first {
		t.Fatal("another certificate is shown than was given")
	}
	inFlight := begin(t, dial(), "sekisho.pref.example", "nobody", "not-a-password")

	second := newAuthority(t).issue(t, site.Dir, "tls", "sekisho.pref.example")
	p.Signal(t, syscall.SIGHUP)
	harness.Until(t, "the new certificate", func() bool { return serial() == second })
	if status := inFlight.finish(t); status != 401 {
		t.Errorf("the request in flight was answered %d", status)
	}

	site.Config = site.Variant(t, site.Config, "sekisho.yaml", "log: {level: info}", "lgo: {level: debug}")
	newAuthority(t).issue(t, site.Dir, "tls", "sekisho.pref.example")
	p.Signal(t, syscall.SIGHUP)
	harness.Until(t, "the refusal of a file with a fault", func() bool { return strings.Contains(p.Log(), "reload refused") })
	if serial() != second {
		t.Error("a file with a fault changed the certificate")
	}
	if strings.Count(p.Output(), "\n") != 1 {
		t.Errorf("standard output has more than the ready line: %q", p.Output())
	}
}

// TestServeRefusesConfig: a misspelt key stops the start, with its line and the
// key that was probably meant.
func TestServeRefusesConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "sekisho.yaml")
	if err := os.WriteFile(path, []byte("listen: 127.0.0.1:0\npublic_url: https://sekisho.pref.example\ntrusted_proxy: [127.0.0.1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve"}, {"config", "check"}} {
		out, errs, status := harness.Run(t, "sekisho", append(args, "--config", path)...)
		if status != 1 || !strings.Contains(out+errs, path+":3") || !strings.Contains(out+errs, "trusted_proxies") {
			t.Errorf("%v: status %d\n%s%s", args, status, out, errs)
		}
		if strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: standard error is not one line: %q", args, errs)
		}
	}
	if _, errs, status := harness.Run(t, "sekisho", "serve"); status != 2 || !strings.Contains(errs, "--config") {
		t.Errorf("serve without --config: %d %s", status, errs)
	}
}

// TestConfigCheckFinds each thing that would fail, or go wrong later, in one
// line that says what to do.
func TestConfigCheckFinds(t *testing.T) {
	t.Parallel()
	site := harness.NewSite(t, harness.SiteOptions{Slapd: slapd.Options{MaxFailures: 60}})
	site.Serve(t).Stop(t) // makes the store and the keys

	check := func(t *testing.T, config string, wants ...string) {
		t.Helper()
		out, errs, status := harness.Run(t, "sekisho", "config", "check", "--config", config)
		if status != 1 || strings.Count(errs, "\n") != 1 {
			t.Errorf("status %d, standard error %q", status, errs)
		}
		lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
		if len(lines) != 1 {
			t.Errorf("%d lines for one fault:\n%s", len(lines), out)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%q does not say %q", out, want)
			}
		}
	}
	t.Run("nothing", func(t *testing.T) {
		if out, errs, status := harness.Run(t, "sekisho", "config", "check", "--config", site.Config); status != 0 {
			t.Errorf("%d\n%s%s", status, out, errs)
		}
	})
	t.Run("directory away", func(t *testing.T) {
		check(t, site.Variant(t, site.Config, "away.yaml", site.Slapd.LDAPSURL, "ldaps://127.0.0.1:1"), "directory.servers", "127.0.0.1:1", "check address")
	})
	t.Run("wrong bind password", func(t *testing.T) {
		site.Write(t, "wrong.password", []byte("not-the-password\n"))
		check(t, site.Variant(t, site.Config, "bind.yaml", "ldap.password", "wrong.password"), "directory.bind_dn", "check bind_dn and the password")
	})
	t.Run("unknown certificate", func(t *testing.T) {
		newAuthority(t).issue(t, site.Dir, "stranger", "localhost")
		check(t, site.Variant(t, site.Config, "ca.yaml", site.Slapd.CAFile, "stranger.pem"), "directory.servers", "certificate")
	})
	t.Run("a key that others can read", func(t *testing.T) {
		key := filepath.Join(site.Dir, "keys", "sealing.key")
		if err := os.Chmod(key, 0o644); err != nil {
			t.Fatal(err)
		}
		check(t, site.Config, key, "chmod 600")
		if _, errs, status := harness.Run(t, "sekisho", "serve", "--config", site.Config); status != 1 || !strings.Contains(errs, "chmod 600") {
			t.Errorf("serve with that key: %d %s", status, errs)
		}
		if err := os.Chmod(key, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a bind password that others can read", func(t *testing.T) {
		if err := os.Chmod(site.Write(t, "open.password", []byte(site.Slapd.ServicePassword)), 0o644); err != nil {
			t.Fatal(err)
		}
		check(t, site.Variant(t, site.Config, "open.yaml", "ldap.password", "open.password"), "open.password", "chmod 600")
	})
	t.Run("a policy fault", func(t *testing.T) {
		site.Variant(t, site.Policy, "faulty.yaml", "zone: lgwan, class: 2, posts: [cio]", "zone: lgwan, class: 7, posts: [cio]")
		fresh := site.Variant(t, site.Config, "fresh.yaml", "bootstrap: policy.yaml", "bootstrap: faulty.yaml")
		fresh = site.Variant(t, fresh, "fresh.yaml", "data/sekisho.db", "data/fresh.db")
		check(t, fresh, "faulty.yaml:", "applications[2].class")
	})
	t.Run("a port in use", func(t *testing.T) {
		ln, err := net.Listen("tcp", site.Listen)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		check(t, site.Config, "listen", site.Listen)
	})
	t.Run("ages that are not kept", func(t *testing.T) {
		dn := "cn=default,ou=policies," + site.Slapd.BaseDN
		site.Replace(t, dn, "pwdMinAge", "0")
		check(t, site.Config, "directory.policy_dn", "set pwdMinAge to 1")
		site.Replace(t, dn, "pwdMinAge", "1")
	})
	t.Run("a threshold at ours", func(t *testing.T) {
		dn := "cn=default,ou=policies," + site.Slapd.BaseDN
		for _, max := range []string{"3", "50"} {
			site.Replace(t, dn, "pwdMaxFailure", max)
			check(t, site.Config, max+" failures", "pwdMaxFailure to 51")
		}
		site.Replace(t, dn, "pwdMaxFailure", "51")
		if out, errs, status := harness.Run(t, "sekisho", "config", "check", "--config", site.Config); status != 0 {
			t.Errorf("a threshold above ours: %d\n%s%s", status, out, errs)
		}
	})
}
