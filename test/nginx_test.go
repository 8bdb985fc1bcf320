package test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sekisho/test/harness"
	"sekisho/web/gate/assertion"
)

// A front is a proxy of docs/examples at work before a site and an application
// that remembers what it was sent.
type front struct {
	*harness.Site
	gate  *harness.Process
	other *harness.Site // the second gate, nil for one alone
	twin  *harness.Process
	app   string // where the application listens
	addr  string // where the proxy listens
	ca    string // PEM file
	pool  *x509.CertPool

	mu   sync.Mutex
	sent []sent
}

// sent is a request as it reached the application.
type sent struct {
	uri    string
	header http.Header
}

const (
	gateHost = "sekisho.pref.example"
	appHost  = "app.pref.example"
)

// newFront runs the very file of the documentation, with ports and paths
// exchanged.
func newFront(t *testing.T) *front {
	t.Helper()
	return frontOf(t, false, harness.SiteOptions{})
}

// frontOf is newFront with one gate or two.
func frontOf(t *testing.T, two bool, o harness.SiteOptions) *front {
	t.Helper()
	harness.Need(t, "nginx", "nginx-light")
	f := ground(t, o, nil)
	upstream := "upstream sekisho     { server 127.0.0.1:8080; keepalive 32; }"
	gates := strings.Replace(upstream, "127.0.0.1:8080", f.Listen, 1)
	if two {
		f.other = f.Beside(t)
		f.twin = f.other.Serve(t)
		text, err := os.ReadFile("../docs/examples/nginx-two-gateways.conf")
		if err != nil {
			t.Fatal(err)
		}
		gates = strings.NewReplacer("127.0.0.1:8080", f.Listen, "127.0.0.2:8080", f.other.Listen).Replace(string(text))
	}
	f.nginx(t, upstream, gates)
	return f
}

// ground is a site, its gate and the application, before which no proxy stands
// yet. before, if not nil, sees the site before the gate starts.
func ground(t *testing.T, o harness.SiteOptions, before func(*harness.Site)) *front {
	t.Helper()
	port := strconv.Itoa(harness.FreePort(t))
	f := &front{addr: "127.0.0.1:" + port}
	o.PublicURL = "https://" + gateHost + ":" + port
	f.Site = harness.NewSite(t, o)
	if before != nil {
		before(f.Site)
	}
	f.gate = f.Serve(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.sent = append(f.sent, sent{r.RequestURI, r.Header.Clone()})
		f.mu.Unlock()
		w.Header().Set("X-Application", "reached")
		fmt.Fprintf(w, "you are %q\n", r.Header.Get("Remote-User"))
	}))
	t.Cleanup(app.Close)
	f.app = app.Listener.Addr().String()
	ca := newAuthority(t)
	ca.issue(t, f.Dir, "proxy", gateHost, appHost, "other.pref.example", "closed.pref.example")
	f.ca = filepath.Join(f.Dir, "proxy-ca.pem")
	writePEM(t, f.ca, "CERTIFICATE", ca.cert.Raw)
	f.pool = x509.NewCertPool()
	f.pool.AddCert(ca.cert)
	return f
}

// nginx puts nginx before the application; gates stands for the line upstream.
func (f *front) nginx(t *testing.T, upstream, gates string) {
	t.Helper()
	f.run(t, harness.Need(t, "nginx", "nginx-light"), "nginx.conf", [][2]string{
		{upstream, gates}, {"127.0.0.1:9000", f.app}, {"listen 443 ssl", "listen " + f.addr + " ssl"},
		{"/etc/nginx/tls/fullchain.pem", f.Dir + "/proxy.pem"}, {"/etc/nginx/tls/key.pem", f.Dir + "/proxy.key"},
	})
}

// example is a file of docs/examples with ports and paths exchanged.
func example(t *testing.T, name string, swaps [][2]string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, swap := range swaps {
		if !strings.Contains(text, swap[0]) {
			t.Fatalf("docs/examples/%s has no %q", name, swap[0])
		}
		text = strings.ReplaceAll(text, swap[0], swap[1])
	}
	return text
}

// run starts nginx on a file of docs/examples, with ports and paths exchanged.
func (f *front) run(t *testing.T, binary, name string, swaps [][2]string) {
	t.Helper()
	f.serve(t, binary, example(t, name, swaps))
}

// serve starts nginx on what stands inside http.
func (f *front) serve(t *testing.T, binary, conf string) {
	t.Helper()
	var paths strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&paths, "%s_temp_path %s/nginx-%s;\n", name, f.Dir, name)
	}
	main := f.Write(t, "nginx.conf", []byte(fmt.Sprintf(
		"daemon off;\nmaster_process off;\npid %[1]s/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n%[2]s%[3]s}\n", f.Dir, paths.String(), conf)))
	f.await(t, "nginx", harness.Start(t, f.Dir, binary, "-p", f.Dir, "-e", "stderr", "-c", main))
}

// await waits until a proxy listens.
func (f *front) await(t *testing.T, name string, p *harness.Process) {
	t.Helper()
	harness.Until(t, name, func() bool {
		if p.Ended() {
			t.Fatal(name, " ended: ", p.Output())
		}
		c, err := net.Dial("tcp", f.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// visitor is a browser: its jar obeys Secure, hosts and paths, and every name
// leads to the proxy. It comes from one of this machine's loopback addresses.
func (f *front) visitor(t *testing.T, from string) *harness.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := harness.NewClient(f.PublicURL)
	c.HTTP.Jar = jar
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c.HTTP.Transport = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: f.pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial.DialContext(ctx, network, f.addr)
		},
	}
	return c
}

func (f *front) url(host, path string) string {
	_, port, _ := net.SplitHostPort(f.addr)
	return "https://" + host + ":" + port + path
}

// last is the header of what the application was sent last; nil for nothing
// since it was asked for.
func (f *front) last() http.Header {
	if all := f.all(); len(all) > 0 {
		return all[len(all)-1].header
	}
	return nil
}

// all is what the application was sent since it was asked for.
func (f *front) all() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.sent
	f.sent = nil
	return all
}

// walk follows redirects as a browser does.
func walk(t *testing.T, c *harness.Client, to string) harness.Answer {
	t.Helper()
	for range 8 {
		a := c.Do(t, "GET", to, nil, "Accept", "text/html")
		if a.Status/100 != 3 {
			return a
		}
		at, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		next, err := at.Parse(a.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		to = next.String()
	}
	t.Fatal("redirects without end at ", to)
	return harness.Answer{}
}

// TestNginx: 401, sign in, 200 with headers, end, 401, through the documented
// configuration, by redirects and cookies alone.
func TestNginx(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	c := f.visitor(t, "127.0.0.3")
	c.From = "10.2.0.9" // a lie, which nginx replaces
	tanaka := f.Members["tanaka"]
	page := f.url(appHost, "/documents?of=2026&x=%E3%81%82")

	refused := func(t *testing.T, c *harness.Client) {
		t.Helper()
		a := c.Do(t, "GET", page, nil)
		if a.Status != 401 || !strings.HasPrefix(a.Header.Get("Location"), f.PublicURL+"/signin?rd=") || len(a.Header.Values("Location")) != 1 {
			t.Errorf("a script: %d %q", a.Status, a.Header.Values("Location"))
		}
		a = c.Do(t, "GET", page, nil, "Accept", "text/html,*/*")
		if a.Status != 302 || !strings.HasPrefix(a.Header.Get("Location"), f.PublicURL+"/signin?rd=") || len(a.Header.Values("Location")) != 1 {
			t.Errorf("a browser: %d %q", a.Status, a.Header.Values("Location"))
		}
		if h := f.last(); h != nil {
			t.Errorf("the application was reached: %v", h)
		}
	}
	refused(t, c)
	tanaka.SignIn(t, c)
	// The gate's own cookie opens nothing but the gate: the handover is needed.
	refused(t, c)
	a := walk(t, c, page)
	if a.Status != 200 || string(a.Body) != "you are \"tanaka\"\n" {
		t.Fatalf("after signing in: %d %s", a.Status, a.Body)
	}
	h := f.last()
	for name, want := range map[string]string{
		"Remote-User": "tanaka", "Remote-Name": url.PathEscape(tanaka.Name), "Remote-Email": "tanaka@pref.example",
		"Remote-Groups": "staff", "Remote-Acr": "aal2", "X-Forwarded-For": "127.0.0.3",
	} {
		if got := h[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(strings.Join(h["Cookie"], ";"), "sekisho") {
		t.Errorf("the application was sent our cookie: %q", h["Cookie"])
	}
	checkAssertion(t, f, h.Get("X-Sekisho-Assertion"))
	if from := sessionFrom(t, c); from != "127.0.0.3" {
		t.Errorf("the session is from %q", from)
	}

	t.Run("injection", func(t *testing.T) { injections(t, f, c, page) })
	t.Run("another name", func(t *testing.T) {
		// tanaka may open "other". Its name, said to this application's server,
		// must not let a request with that cookie pass here.
		direct := f.Client("127.0.0.1")
		for _, k := range c.HTTP.Jar.Cookies(mustParse(t, f.PublicURL)) {
			direct.Cookies[k.Name] = k.Value
		}
		cookie := appCookie(t, f.Site, direct, "other")
		for _, host := range []string{"other.pref.example", "unknown.example"} {
			a := f.visitor(t, "127.0.0.3").Do(t, "GET", f.url(appHost, "/"), nil, "Host", host, "Cookie", cookie)
			if a.Status == 200 {
				t.Errorf("Host %s opened the application", host)
			}
		}
		a := f.visitor(t, "127.0.0.3").Do(t, "GET", f.url(appHost, "/"), nil, "Cookie", cookie)
		if a.Status != 401 || f.last() != nil {
			t.Errorf("another application's cookie: %d", a.Status)
		}
	})
	t.Run("the check from outside", func(t *testing.T) {
		stolen := ""
		for _, k := range c.HTTP.Jar.Cookies(mustParse(t, page)) {
			stolen += k.Name + "=" + k.Value
		}
		for _, path := range []string{"/auth/check", "/auth//check", "/auth/%63heck", "/auth/check/", "/x/../auth/check", "/sekisho-check"} {
			for _, host := range []string{gateHost, appHost} {
				// With the application's cookie, as a thief who has it would send it.
				a := f.visitor(t, "127.0.0.3").Do(t, "GET", f.url(host, path), nil, "X-Original-URL", page, "X-Original-Method", "GET", "Cookie", stolen)
				if a.Header.Get("Remote-User") != "" || a.Header.Get("X-Sekisho-Assertion") != "" || host == gateHost && a.Status/100 != 4 {
					t.Errorf("%s%s tells a stranger who is signed in: %d", host, path, a.Status)
				}
			}
		}
		f.last()
	})
	t.Run("a refusal leads to why", func(t *testing.T) {
		stolen := ""
		for _, k := range c.HTTP.Jar.Cookies(mustParse(t, page)) {
			stolen += k.Name + "=" + k.Value
		}
		away := f.visitor(t, "127.200.7.7") // of no network of ours
		if a := away.Do(t, "GET", page, nil, "Cookie", stolen); a.Status != 403 || a.Header.Get("Location") != "" {
			t.Errorf("a script: %d %q", a.Status, a.Header.Get("Location"))
		}
		a := away.Do(t, "GET", page, nil, "Cookie", stolen, "Accept", "text/html,*/*")
		if a.Status != 302 || !strings.HasPrefix(a.Header.Get("Location"), f.PublicURL+"/handover?") {
			t.Fatalf("a browser: %d %q", a.Status, a.Header.Get("Location"))
		}
		gate := ""
		for _, k := range c.HTTP.Jar.Cookies(mustParse(t, f.PublicURL)) {
			gate += k.Name + "=" + k.Value + "; "
		}
		a = away.Do(t, "GET", a.Header.Get("Location"), nil, "Cookie", gate, "Accept", "text/html,*/*", "Accept-Language", "ja")
		if a.Status != 403 || !strings.Contains(string(a.Body), `href="/permits/new?application=app&amp;kind=remote_access"`) || !strings.Contains(string(a.Body), "「許可の申請」の画面（/permits）") {
			t.Errorf("why: %d %s", a.Status, a.Body)
		}
		if f.last() != nil {
			t.Error("the application was reached")
		}
	})
	t.Run("end", func(t *testing.T) {
		if a := c.Do(t, "DELETE", "/api/v1/session", nil); a.Status != 204 {
			t.Fatalf("signing out: %d %s", a.Status, a.Body)
		}
		refused(t, c)
	})
	t.Run("without the gate", func(t *testing.T) {
		tanaka.SignIn(t, c)
		if a := walk(t, c, page); a.Status != 200 {
			t.Fatalf("signed in again: %d", a.Status)
		}
		f.last()
		f.gate.Stop(t)
		if a := c.Do(t, "GET", page, nil); a.Status < 500 || f.last() != nil {
			t.Errorf("with the gate gone: %d", a.Status)
		}
	})
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// checkAssertion verifies what the application is told in signed form, as an
// application would: with the keys that the gate publishes.
func checkAssertion(t *testing.T, f *front, text string) {
	t.Helper()
	v, err := assertion.New(assertion.Config{Issuer: f.PublicURL, Audience: "app", Client: f.visitor(t, "127.0.0.3").HTTP})
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Verify(t.Context(), text)
	if err != nil {
		t.Fatal("verifying the assertion:", err)
	}
	left := time.Until(p.Expires)
	if p.Login != "tanaka" || p.Name != f.Members["tanaka"].Name || p.ACR != "aal2" || !slices.Equal(p.Groups, []string{"staff"}) || left > 5*time.Minute {
		t.Errorf("%+v, %v left", p, left)
	}
	elsewhere, err := assertion.New(assertion.Config{Issuer: f.PublicURL, Audience: "other", Client: f.visitor(t, "127.0.0.3").HTTP})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Verify(t.Context(), text); !errors.Is(err, assertion.ErrRefused) {
		t.Errorf("another application takes it: %v", err)
	}
}

// injections: what a browser sends under our names never reaches the
// application (security.md section 2, row 13).
func injections(t *testing.T, f *front, c *harness.Client, page string) {
	passed := 0
	for _, headers := range [][]string{
		{"Remote-User: yoshida"},
		{"remote-user: yoshida"},
		{"REMOTE_USER: yoshida"},
		{"Remote_User: yoshida"},
		{"remote.user: yoshida"},
		{"Remote-User: yoshida", "Remote-User: kobayashi"},
		{"Remote-User : yoshida"},
		{"Connection: Remote-User"},
		{"Connection: close, Remote-User, X-Sekisho-Assertion"},
		{"Connection: Remote-User", "Remote-User: yoshida"},
		{"Remote-Groups: cio", "Remote-Acr: phr", "Remote-Name: x", "Remote-Email: x@x"},
		{"Remote_Groups: cio", "Remote_Acr: phr"},
		{"REMOTE.GROUPS: cio", "Remote-Groups_: cio"},
		{"Remote-User:", "Remote-User: yoshida"},
		{"Remote-User: tanaka\r\n yoshida"},
		{"Remote-Acr:\tphr"},
		{"Connection: Cookie"},
		{"Connection: X-Original-URL, X-Original-Method"},
		{"Connection: X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Method, X-Forwarded-For"},
		{"Connection: remote-groups, REMOTE-ACR, remote_user", "Keep-Alive: timeout=5"},
		{"Connection: Upgrade, Remote-User", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="},
		{"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"},
		{"Connection: Upgrade", "Upgrade: h2c"},
		{"Proxy-Connection: Remote-User"},
		{"TE: trailers", "Trailer: Remote-User"},
		{"X-Sekisho-As-Of: 2000-01-01T00:00:00Z"},
		{"X.Sekisho.Assertion: x.y.z"},
		{"X-Original-Method: OPTIONS"},
		{"X_Original_URL: https://closed.pref.example/", "X_Original_Method: GET"},
		{"X-Sekisho-Assertion: x.y.z"},
		{"X_Sekisho_Assertion: x.y.z"},
		{"X-Original-URL: https://closed.pref.example/"},
		{"X-Forwarded-Host: closed.pref.example", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https"},
		{"X-Forwarded-For: 10.9.9.9"},
	} {
		conn, err := tls.Dial("tcp", f.addr, &tls.Config{RootCAs: f.pool, ServerName: appHost})
		if err != nil {
			t.Fatal(err)
		}
		u := mustParse(t, page)
		var cookies []string
		for _, k := range c.HTTP.Jar.Cookies(u) {
			cookies = append(cookies, k.Name+"="+k.Value)
		}
		// By hand: a client library would put the headers in order.
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s; mine=1\r\n%s\r\n\r\n", u.RequestURI(), u.Host, strings.Join(cookies, "; "), strings.Join(headers, "\r\n"))
		status := readStatus(t, conn)
		conn.Close()
		h := f.last()
		if status != 200 {
			if h != nil || status != 400 && status != 401 {
				t.Errorf("%q: %d, and the application was sent %v", headers, status, h)
			}
			continue // shut out: they have only themselves to blame
		}
		passed++
		for _, want := range []struct{ name, value string }{{"remote-user", "tanaka"}, {"remote-groups", "staff"}, {"remote-acr", "aal2"}} {
			var got []string
			for name, values := range h {
				if spelt(name) == want.name {
					got = append(got, values...)
				}
			}
			if !slices.Equal(got, []string{want.value}) {
				t.Errorf("%q: the application was told %s %q", headers, want.name, got)
			}
		}
		for name, values := range h {
			for _, v := range values {
				if strings.Contains(v, "yoshida") || v == "x.y.z" || v == "10.9.9.9" {
					t.Errorf("%q reached the application in %s", headers, name)
				}
			}
		}
		if got := h["Upgrade"]; len(got) > 0 && !slices.Equal(got, []string{"websocket"}) || len(h["Http2-Settings"]) > 0 {
			t.Errorf("%q: the application was asked to change to %q %q", headers, got, h["Http2-Settings"])
		}
		if got := h["Cookie"]; !slices.Equal(got, []string{"mine=1"}) {
			t.Errorf("%q: the application's cookies are %q", headers, got)
		}
	}
	if passed < 20 {
		t.Errorf("only %d of them passed at all", passed)
	}
}

// spelt is a header's name as CGI and its heirs read it.
func spelt(name string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
}

func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var version string
	var status int
	if _, err := fmt.Fscan(conn, &version, &status); err != nil {
		t.Fatal("reading the proxy's answer:", err)
	}
	return status
}

// TestNginxWithCurl is the same by hand, as an operator would try it.
func TestNginxWithCurl(t *testing.T) {
	t.Parallel()
	binary := harness.Need(t, "curl", "curl")
	f := newFront(t)
	suzuki := f.Members["suzuki"]
	suzuki.SignIn(t, f.visitor(t, "127.0.0.3")) // so that there is a device
	jar := filepath.Join(f.Dir, "curl.jar")
	_, port, _ := net.SplitHostPort(f.addr)
	curl := func(args ...string) string {
		t.Helper()
		args = append([]string{"-sS", "--cacert", f.ca, "--noproxy", "*", "-b", jar, "-c", jar,
			"--resolve", gateHost + ":" + port + ":127.0.0.1", "--resolve", appHost + ":" + port + ":127.0.0.1"}, args...)
		out, err := exec.Command(binary, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	status := func(args ...string) string {
		t.Helper()
		return curl(append([]string{"-o", os.DevNull, "-w", "%{http_code}"}, args...)...)
	}
	csrf := ""
	step := func(path string, body map[string]string, want string) {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		out := curl("-H", "Content-Type: application/json", "-H", "X-CSRF-Token: "+csrf, "-d", string(b), f.PublicURL+"/api/v1"+path)
		var s harness.Step
		if err := json.Unmarshal([]byte(out), &s); err != nil || s.State != want {
			t.Fatalf("%s answers %s", path, out)
		}
		csrf = s.CSRF
	}
	page := f.url(appHost, "/")

	if got := status(page); got != "401" {
		t.Errorf("before signing in: %s", got)
	}
	step("/signin", map[string]string{"login": "suzuki", "password": suzuki.Password}, "second_factor")
	step("/signin/totp", map[string]string{"code": suzuki.Code(t, f.Client("127.0.0.1"))}, "signed_in")
	if got := curl("-L", "-H", "Accept: text/html", page); got != "you are \"suzuki\"\n" {
		t.Errorf("signed in: %s", got)
	}
	if got := status(page); got != "200" {
		t.Errorf("with the application's cookie: %s", got)
	}
	if got := status("-X", "DELETE", "-H", "X-CSRF-Token: "+csrf, f.PublicURL+"/api/v1/session"); got != "204" {
		t.Errorf("signing out: %s", got)
	}
	if got := status(page); got != "401" {
		t.Errorf("after signing out: %s", got)
	}
}
