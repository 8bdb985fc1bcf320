package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
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

	"github.com/golang-jwt/jwt/v5"

	"sekisho/test/harness"
)

// A front is docs/examples/nginx.conf at work before a site and an application
// that remembers what it was sent.
type front struct {
	*harness.Site
	gate *harness.Process
	addr string // where nginx listens
	ca   string // PEM file
	pool *x509.CertPool

	mu   sync.Mutex
	sent []http.Header
}

const (
	gateHost = "sekisho.pref.example"
	appHost  = "app.pref.example"
)

// newFront runs the very file of the documentation, with ports and paths
// exchanged.
func newFront(t *testing.T) *front {
	t.Helper()
	binary := harness.Need(t, "nginx", "nginx-light")
	port := strconv.Itoa(harness.FreePort(t))
	f := &front{addr: "127.0.0.1:" + port}
	f.Site = harness.NewSite(t, harness.SiteOptions{PublicURL: "https://" + gateHost + ":" + port})
	f.gate = f.Serve(t)

	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.sent = append(f.sent, r.Header.Clone())
		f.mu.Unlock()
		w.Header().Set("X-Application", "reached")
		fmt.Fprintf(w, "you are %q\n", r.Header.Get("Remote-User"))
	}))
	t.Cleanup(app.Close)

	ca := newAuthority(t)
	ca.issue(t, f.Dir, "nginx", gateHost, appHost, "other.pref.example", "closed.pref.example")
	f.ca = filepath.Join(f.Dir, "nginx-ca.pem")
	writePEM(t, f.ca, "CERTIFICATE", ca.cert.Raw)
	f.pool = x509.NewCertPool()
	f.pool.AddCert(ca.cert)

	f.run(t, binary, "nginx.conf", [][2]string{
		{"127.0.0.1:8080", f.Listen}, {"127.0.0.1:9000", app.Listener.Addr().String()}, {"listen 443 ssl", "listen " + f.addr + " ssl"},
		{"/etc/nginx/tls/fullchain.pem", f.Dir + "/nginx.pem"}, {"/etc/nginx/tls/key.pem", f.Dir + "/nginx.key"},
	})
	return f
}

// run starts nginx on a file of docs/examples, with ports and paths exchanged.
func (f *front) run(t *testing.T, binary, example string, swaps [][2]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/examples/" + example)
	if err != nil {
		t.Fatal(err)
	}
	conf := string(text)
	for _, swap := range swaps {
		if !strings.Contains(conf, swap[0]) {
			t.Fatalf("docs/examples/%s has no %q", example, swap[0])
		}
		conf = strings.ReplaceAll(conf, swap[0], swap[1])
	}
	var paths strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&paths, "%s_temp_path %s/nginx-%s;\n", name, f.Dir, name)
	}
	main := f.Write(t, "nginx.conf", []byte(fmt.Sprintf(
		"daemon off;\nmaster_process off;\npid %[1]s/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n%[2]s%[3]s}\n", f.Dir, paths.String(), conf)))
	p := harness.Start(t, f.Dir, binary, "-p", f.Dir, "-e", "stderr", "-c", main)
	harness.Until(t, "nginx", func() bool {
		if p.Ended() {
			t.Fatal("nginx ended: ", p.Output())
		}
		c, err := net.Dial("tcp", f.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// visitor is a browser: its jar obeys Secure, hosts and paths, and every name
// leads to nginx. It comes from one of this machine's loopback addresses.
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

// last is what the application was sent last; nil for nothing since asked.
func (f *front) last() http.Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sent) == 0 {
		return nil
	}
	h := f.sent[len(f.sent)-1]
	f.sent = nil
	return h
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
	checkAssertion(t, f, c, h.Get("X-Sekisho-Assertion"))
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

// checkAssertion verifies what the application is told in signed form, with
// nothing but the keys that the gate publishes.
func checkAssertion(t *testing.T, f *front, c *harness.Client, text string) {
	t.Helper()
	a := c.Do(t, "GET", f.PublicURL+"/.well-known/jwks.json", nil)
	var set struct {
		Keys []struct{ Kid, Kty, Crv, Alg, X, Y, D string }
	}
	a.Into(t, &set)
	var claims struct {
		jwt.RegisteredClaims
		ACR string
	}
	_, err := jwt.ParseWithClaims(text, &claims, func(tok *jwt.Token) (any, error) {
		for _, k := range set.Keys {
			if k.Kid == tok.Header["kid"] && k.Crv == "P-256" && k.D == "" {
				x, errX := base64.RawURLEncoding.DecodeString(k.X)
				y, errY := base64.RawURLEncoding.DecodeString(k.Y)
				if err := errors.Join(errX, errY); err != nil {
					return nil, err
				}
				return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
			}
		}
		return nil, fmt.Errorf("no published key is called %v", tok.Header["kid"])
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(f.PublicURL), jwt.WithAudience("app"), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal("verifying the assertion:", err)
	}
	left := time.Until(claims.ExpiresAt.Time)
	if claims.Subject != "tanaka" || claims.ACR != "aal2" || len(claims.Audience) != 1 || left > 5*time.Minute {
		t.Errorf("claims %+v, %v left", claims, left)
	}
}

// injections: what a browser sends under our names never reaches the
// application (security.md section 2, row 13).
func injections(t *testing.T, f *front, c *harness.Client, page string) {
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
			if h != nil || status != 400 {
				t.Errorf("%q: %d, and the application was sent %v", headers, status, h)
			}
			continue // shut out: they have only themselves to blame
		}
		for _, want := range []struct{ name, value string }{{"remote-user", "tanaka"}, {"remote-groups", "staff"}, {"remote-acr", "aal2"}} {
			var got []string
			for name, values := range h {
				if strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name)) == want.name {
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
		if got := h["Cookie"]; !slices.Equal(got, []string{"mine=1"}) {
			t.Errorf("%q: the application's cookies are %q", headers, got)
		}
	}
}

func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var version string
	var status int
	if _, err := fmt.Fscan(conn, &version, &status); err != nil {
		t.Fatal("reading nginx's answer:", err)
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
