package test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"sekisho/test/harness"
	"sekisho/web/gate/assertion"
)

// proxies are the ones that docs/examples has a file for and Debian a package:
// each is started on that very file, with ports and paths exchanged.
var proxies = []struct {
	name  string
	start func(*testing.T, *front)
}{
	{"nginx", func(t *testing.T, f *front) {
		const upstream = "upstream sekisho     { server 127.0.0.1:8080; keepalive 32; }"
		f.nginx(t, upstream, strings.Replace(upstream, "127.0.0.1:8080", f.Listen, 1))
	}},
	{"Caddy", func(t *testing.T, f *front) {
		caddy := harness.Need(t, "caddy", "caddy")
		conf := example(t, "Caddyfile", [][2]string{
			{"{\n\t# The certificates", "{\n\tadmin off\n\t# The certificates"}, // two on one machine would meet there
			{"https://" + appHost + " {", "https://" + appHost + f.port() + " {"},
			{"https://" + gateHost + " {", f.PublicURL + " {"},
			{"127.0.0.1:8080", f.Listen}, {"127.0.0.1:9000", f.app},
			{"\ttls /etc/caddy/fullchain.pem /etc/caddy/key.pem", "\tbind 127.0.0.1\n\ttls " + f.Dir + "/proxy.pem " + f.Dir + "/proxy.key"},
		})
		file := f.Write(t, "Caddyfile", []byte(conf))
		// It keeps things at home; its home is the test's folder.
		f.await(t, "Caddy", harness.Start(t, f.Dir, "/usr/bin/env", "HOME="+f.Dir, "XDG_CONFIG_HOME="+f.Dir, "XDG_DATA_HOME="+f.Dir,
			caddy, "run", "--config", file, "--adapter", "caddyfile"))
	}},
	{"HAProxy", func(t *testing.T, f *front) {
		haproxy := harness.Need(t, "haproxy", "haproxy")
		both := filepath.Join(f.Dir, "both.pem")
		var pem []byte
		for _, name := range []string{"proxy.pem", "proxy.key"} {
			b, err := os.ReadFile(filepath.Join(f.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			pem = append(pem, b...)
		}
		f.Write(t, "both.pem", pem)
		lua, err := filepath.Abs("../docs/examples/haproxy-sekisho.lua")
		if err != nil {
			t.Fatal(err)
		}
		file := f.Write(t, "haproxy.cfg", []byte(example(t, "haproxy.cfg", [][2]string{
			{"/etc/haproxy/haproxy-sekisho.lua", lua}, {"/etc/haproxy/tls/both.pem", both}, {"bind :443", "bind " + f.addr},
			{"127.0.0.1:8080", f.Listen}, {"127.0.0.1:9000", f.app},
		})))
		f.await(t, "HAProxy", harness.Start(t, f.Dir, haproxy, "-db", "-f", file))
	}},
}

func (f *front) port() string { return f.addr[strings.LastIndex(f.addr, ":"):] }

// TestProxies: each documented proxy lets through whom the gate admits and
// nobody else, whatever a browser writes into its headers and its path, and
// while the gate is killed under load.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, proxy := range proxies {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			f := ground(t, harness.SiteOptions{}, func(s *harness.Site) {
				s.Policy = s.Variant(t, s.Policy, "policy.yaml", "host: app.pref.example,", "host: app.pref.example, paths: [{path: /admin, acr: phr}],")
			})
			proxy.start(t, f)
			c := f.visitor(t, "127.0.0.3")
			page := f.url(appHost, "/documents?of=2026&x=%E3%81%82")
			f.shut(t, c, page)
			f.Members["tanaka"].SignIn(t, c)
			if a := walk(t, c, page); a.Status != 200 || string(a.Body) != "you are \"tanaka\"\n" {
				t.Fatalf("after signing in: %d %s", a.Status, a.Body)
			}
			h := f.last()
			for name, want := range map[string]string{
				"Remote-User": "tanaka", "Remote-Name": url.PathEscape(f.Members["tanaka"].Name), "Remote-Email": "tanaka@pref.example",
				"Remote-Groups": "staff", "Remote-Acr": "aal2", "X-Forwarded-For": "127.0.0.3",
			} {
				if got := h[name]; !slices.Equal(got, []string{want}) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			checkAssertion(t, f, h.Get(assertion.Header))
			if a := c.Do(t, "POST", f.url(appHost, "/documents"), map[string]string{"a": "b"}); a.Status != 200 || f.last() == nil {
				t.Errorf("a POST: %d", a.Status)
			}
			if a := c.Do(t, "GET", f.url(appHost, "/admin"), nil); a.Status != 401 || !strings.Contains(a.Header.Get("Location"), "acr=phr") || f.last() != nil {
				t.Errorf("the stricter place: %d %v", a.Status, a.Header)
			}
			injections(t, f, c, page)
			paths(t, f, c)
			f.asked(t, c)
			f.killed(t, c)
			if a := c.Do(t, "DELETE", "/api/v1/session", nil); a.Status != 204 {
				t.Fatalf("signing out: %d %s", a.Status, a.Body)
			}
			f.shut(t, c, page)
		})
	}
}

// shut: whoever is not signed in is told where that is done, and the application
// is not reached.
func (f *front) shut(t *testing.T, c *harness.Client, page string) {
	t.Helper()
	a := c.Do(t, "GET", page, nil, "Accept", "application/json")
	if a.Status != 401 || !strings.HasPrefix(a.Header.Get("Location"), f.PublicURL+"/signin?rd=") || len(a.Header.Values("Location")) != 1 {
		t.Errorf("a script: %d %q", a.Status, a.Header.Values("Location"))
	}
	a = c.Do(t, "GET", page, nil, "Accept", "text/html,*/*")
	if a.Status/100 != 3 || !strings.HasPrefix(a.Header.Get("Location"), f.PublicURL+"/signin?rd=") || len(a.Header.Values("Location")) != 1 {
		t.Errorf("a browser: %d %q", a.Status, a.Header.Values("Location"))
	}
	if h := f.last(); h != nil {
		t.Errorf("the application was reached: %v", h)
	}
}

// asked: nobody outside gets an answer to the proxy's own question.
func (f *front) asked(t *testing.T, c *harness.Client) {
	t.Helper()
	page := f.url(appHost, "/")
	cookie := cookiesFor(t, c, page)
	for _, at := range []string{"/auth/check", "/auth//check", "/auth/%63heck", "/auth/check/", "/AUTH/check", "/x/../auth/check", "//auth/check", "/sekisho-check"} {
		for _, host := range []string{gateHost, appHost} {
			got, err := f.raw(host, "GET "+at, "X-Original-URL: "+page, "X-Original-Method: GET", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", "Cookie: "+cookie)
			if err != nil {
				t.Fatal(err)
			}
			if got.header.Get("Remote-User") != "" || got.header.Get(assertion.Header) != "" || host == gateHost && got.status/100 != 4 && got.status/100 != 3 {
				t.Errorf("%s%s tells a stranger who is signed in: %d", host, at, got.status)
			}
		}
	}
	f.all()
}

func cookiesFor(t *testing.T, c *harness.Client, page string) string {
	t.Helper()
	var out []string
	for _, k := range c.HTTP.Jar.Cookies(mustParse(t, page)) {
		out = append(out, k.Name+"="+k.Value)
	}
	return strings.Join(out, "; ")
}

type outcome struct {
	status int
	header http.Header
}

// raw sends a request as it is written: a library would tidy it.
func (f *front) raw(host, line string, headers ...string) (outcome, error) {
	conn, err := tls.Dial("tcp", f.addr, &tls.Config{RootCAs: f.pool, ServerName: host})
	if err != nil {
		return outcome{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return outcome{}, err
	}
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s%s\r\nConnection: close\r\n%s\r\n\r\n", line, host, f.port(), strings.Join(headers, "\r\n")); err != nil {
		return outcome{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return outcome{}, err
	}
	defer resp.Body.Close()
	return outcome{resp.StatusCode, resp.Header}, nil
}

// paths: however the way to a stricter place is written, somebody who signed in
// too weakly for it does not reach it, by any reading that an application might
// make of what it is sent (security.md section 2, row 14).
func paths(t *testing.T, f *front, c *harness.Client) {
	t.Helper()
	cookie := cookiesFor(t, c, f.url(appHost, "/"))
	send := func(target string) (outcome, []sent) {
		t.Helper()
		got, err := f.raw(appHost, "GET "+target, "Cookie: "+cookie)
		if err != nil {
			t.Fatalf("%q: %v", target, err)
		}
		return got, f.all()
	}
	for _, target := range []string{"/", "/documents", "/administration", "/a%20b", "/%E4%BA%BA%E4%BA%8B?of=../admin", "/a/admin", "/.well-known/x", "/~x/", "/a+b"} {
		if got, reached := send(target); got.status != 200 || len(reached) != 1 || reached[0].uri != target {
			t.Errorf("%s, which is plain: %d, the application was sent %v", target, got.status, reached)
		}
	}
	for _, target := range []string{
		"/admin", "/admin/", "/admin/x", "/admin?x", "/ADMIN", "/Admin/x", "/%61dmin", "/%41dmin", "/adm%69n", "/admin%2Fx", "/admin%2f", "/%2Fadmin", "/%2fadmin/x",
		"//admin", "//admin/x", "///admin", "/./admin", "/x/../admin", "/x/%2e%2e/admin", "/x/.%2e/admin", "/x/%2E./admin", "/x%2f..%2fadmin", "/x/..%2fadmin",
		"/admin/.", "/admin/..", "/admin/../admin", "/admin/./x", "/admin//x", "/x//../admin", "/x/..//admin",
		"/admin;x=1", "/admin;/x", "/;/admin", "/x;/../admin", "/x/..;/admin", "/admin%3bx", "/.;/admin",
		"/admin\\x", "\\admin", "/\\admin", "/x\\..\\admin", "/x/..\\admin", "/%5cadmin", "/x/..%5cadmin", "/admin%5c..%5cx",
		"/%2561dmin", "/%252fadmin", "/x/%252e%252e/admin", "/%25%36%31dmin",
		"/admin%00", "/admin%00/x", "/x%00/../admin", "/admin%20", "/admin%09", "/admin.", "/admin%2e", "/admin/%2e", "/admin..", "/admin::$DATA", "/admin:$i30:$INDEX_ALLOCATION/x", "/admin%3a%24i30/x",
		"/admin#x", "/x#/../admin", "/admin%23", "/admin%3f", "/x%3f/../../admin",
		"/\u212aelvin/../admin", "/%C0%AFadmin", "/%c0%ae%c0%ae/admin", "/%ef%bc%8fadmin", "/\uff0fadmin", "/a%ff/../admin", "/%u0061dmin", "/%admin", "/%",
		"/admin/*", "/*", "*", "admin", "../admin", "?/../admin", "/?/../admin",
		"http://" + appHost + "/admin", "https://" + appHost + f.port() + "/admin", "http://closed.pref.example/admin", "//closed.pref.example/admin", "http://" + appHost + "/x/../admin",
		"/.sekisho/../admin", "/.sekisho/%2e%2e/admin", "/.sekisho/..%2fadmin", "/.sekisho//../admin", "/.SEKISHO/../admin", "/.sekisho\\..\\admin", "/%2esekisho/../admin", "/.sekisho/start/../../admin",
	} {
		got, reached := send(target)
		for _, r := range reached {
			for _, reading := range readings(r.uri) {
				if reading == "/admin" || strings.HasPrefix(reading, "/admin/") {
					t.Errorf("%q reached the application as %q, which may be read as %q: %d", target, r.uri, reading, got.status)
				}
			}
		}
		if got.header.Get("X-Application") != "" && len(reached) == 0 {
			t.Errorf("%q: an answer of the application, which was not asked", target)
		}
	}
}

// readings are the paths that servers may take a request target for: escapes
// undone once or twice or not, backslashes as slashes, parameters and streams cut
// off, ends cut at what ends a path somewhere, dots and slashes tidied, case
// forgotten.
func readings(target string) []string {
	raw := target
	if i := strings.Index(raw, "://"); i >= 0 {
		raw = raw[i+3:]
		if j := strings.IndexByte(raw, '/'); j >= 0 {
			raw = raw[j:]
		}
	}
	raw, _, _ = strings.Cut(raw, "?")
	var out []string
	add := func(p string) {
		for _, q := range []string{p, strings.ReplaceAll(p, "\\", "/")} {
			parts := strings.Split(q, "/")
			for i, part := range parts {
				parts[i], _, _ = strings.Cut(part, ";")
			}
			cut, _, _ := strings.Cut(q, "\x00")
			stream, _, _ := strings.Cut(q, ":")
			for _, r := range []string{q, strings.Join(parts, "/"), cut, stream, strings.TrimRight(q, " .\t")} {
				out = append(out, strings.ToLower(path.Clean("/"+r)), strings.ToLower(r))
			}
		}
	}
	for range 3 {
		add(raw)
		next, err := url.PathUnescape(raw)
		if err != nil || next == raw {
			break
		}
		raw = next
	}
	return out
}

// killed is fault F12: the gate is killed twice while everybody asks. What
// reaches the application is what the gate admitted, with its signature, and
// those who are signed in are served again when it is back.
func (f *front) killed(t *testing.T, c *harness.Client) {
	t.Helper()
	page := f.url(appHost, "/load")
	cookie := cookiesFor(t, c, page)
	stolen, err := f.raw(appHost, "GET /load", "Cookie: "+cookie)
	if err != nil || stolen.status != 200 {
		t.Fatalf("before the load: %d, %v", stolen.status, err)
	}
	old := f.last().Get(assertion.Header)
	var keys []byte
	if a := c.Do(t, "GET", f.PublicURL+"/.well-known/jwks.json", nil); a.Status == 200 {
		keys = a.Body
	}
	v, err := assertion.New(assertion.Config{Issuer: f.PublicURL, Audience: "app", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}

	var all sync.WaitGroup
	var over atomic.Bool
	var served, turned, away, wrong atomic.Int64
	ask := func(kind string, headers map[string]string) {
		all.Go(func() {
			transport := &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: f.pool},
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, f.addr)
				},
			}
			defer transport.CloseIdleConnections()
			client := &http.Client{Timeout: 30 * time.Second, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			for !over.Load() {
				req, err := http.NewRequest(http.MethodGet, page, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("X-Load", kind)
				for name, value := range headers {
					req.Header.Set(name, value)
				}
				resp, err := client.Do(req)
				if err != nil {
					continue // the connection was cut
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				switch s := resp.StatusCode; {
				case s >= 500:
					away.Add(1)
				case kind == "good" && s == 200:
					served.Add(1)
				case kind != "good" && (s == 401 || s == 400):
					turned.Add(1)
				default:
					wrong.Add(1)
					t.Errorf("%s: %d", kind, s)
				}
			}
		})
	}
	for range 3 {
		ask("good", map[string]string{"Cookie": cookie})
	}
	ask("nobody", map[string]string{"Remote-User": "tanaka", "Remote-Groups": "staff"})
	ask("with a made-up cookie", map[string]string{"Cookie": "__Host-sekisho-app=" + strings.Repeat("A", 60), "Remote_User": "tanaka"})
	ask("with a stolen assertion", map[string]string{assertion.Header: old, "Remote-User": "tanaka", "Connection": "X-Original-URL"})
	more := func(what string, n *atomic.Int64) {
		from := n.Load()
		harness.Until(t, what, func() bool { return n.Load() >= from+6 || wrong.Load() > 0 })
	}
	defer over.Store(true)
	more("the load to be served", &served)
	for range 2 {
		f.gate.Kill()
		more("the gate to be missed", &away)
		f.gate = f.Serve(t)
		more("the load to be served again", &served)
		more("the others to be turned away again", &turned)
	}
	over.Store(true)
	all.Wait()
	good := 0
	for _, r := range f.all() {
		p, err := v.Verify(t.Context(), r.header.Get(assertion.Header))
		if kind := r.header.Get("X-Load"); kind != "good" || err != nil || p.Login != "tanaka" || !slices.Equal(r.header["Remote-User"], []string{"tanaka"}) {
			t.Fatalf("%q reached the application: %v, %v", kind, r.header, err)
		}
		good++
	}
	t.Logf("%d served, %d turned away, %d told that the gate is away, 0 of others at the application of %d", served.Load(), turned.Load(), away.Load(), good)
}

// TestTraefikExample: no Traefik runs in the tests, so its file is read. It is what
// docs/forward-auth.md asks of a proxy, as far as a file can say.
func TestTraefikExample(t *testing.T) {
	t.Parallel()
	var conf struct {
		HTTP struct {
			Routers map[string]struct {
				EntryPoints []string       `yaml:"entryPoints"`
				Rule        string         `yaml:"rule"`
				Priority    int            `yaml:"priority"`
				Middlewares []string       `yaml:"middlewares"`
				Service     string         `yaml:"service"`
				TLS         map[string]any `yaml:"tls"`
			} `yaml:"routers"`
			Middlewares map[string]struct {
				ForwardAuth *struct {
					Address             string   `yaml:"address"`
					TrustForwardHeader  bool     `yaml:"trustForwardHeader"`
					AuthResponseHeaders []string `yaml:"authResponseHeaders"`
				} `yaml:"forwardAuth"`
				Headers *struct {
					CustomRequestHeaders map[string]string `yaml:"customRequestHeaders"`
				} `yaml:"headers"`
				IPAllowList *struct {
					SourceRange []string `yaml:"sourceRange"`
				} `yaml:"ipAllowList"`
			} `yaml:"middlewares"`
			Services map[string]any `yaml:"services"`
		} `yaml:"http"`
		TLS map[string]any `yaml:"tls"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(example(t, "traefik.yaml", nil)), &conf, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	auth, unsaid := conf.HTTP.Middlewares["sekisho"].ForwardAuth, conf.HTTP.Middlewares["unsaid"].Headers
	if auth == nil || unsaid == nil {
		t.Fatal("no forwardAuth, or nothing is taken away")
	}
	if auth.TrustForwardHeader || !strings.HasSuffix(auth.Address, "/auth/check") {
		t.Errorf("%+v", auth)
	}
	told := []string{"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups", "Remote-Acr", assertion.Header}
	if !slices.Equal(auth.AuthResponseHeaders, told) {
		t.Errorf("the application is told %q, want %q", auth.AuthResponseHeaders, told)
	}
	away := map[string]bool{}
	for name, value := range unsaid.CustomRequestHeaders {
		if value != "" {
			t.Errorf("%s is set to %q, not taken away", name, value)
		}
		away[http.CanonicalHeaderKey(name)] = true
	}
	for _, name := range told {
		for _, by := range []string{"-", "_", "."} {
			if spelling := http.CanonicalHeaderKey(strings.ReplaceAll(name, "-", by)); !away[spelling] {
				t.Errorf("a browser's %s reaches the application", spelling)
			}
		}
	}
	for _, name := range []string{"X-Original-Url", "X-Original-Method"} {
		if !away[name] {
			t.Errorf("a browser's %s reaches the gate", name)
		}
	}
	for name, r := range conf.HTTP.Routers {
		want := []string{"unsaid"}
		switch {
		case strings.Contains(r.Rule, "/auth/check"):
			want = []string{"nobody"}
		case r.Service == "application":
			want = []string{"unsaid", "sekisho"}
		}
		if !slices.Equal(r.Middlewares, want) || r.TLS == nil || conf.HTTP.Services[r.Service] == nil || strings.Contains(r.Rule, "&&") != (r.Priority > 0) {
			t.Errorf("%s: %+v, want middlewares %q", name, r, want)
		}
	}
	if len(conf.HTTP.Routers) != 4 || len(conf.HTTP.Middlewares["nobody"].IPAllowList.SourceRange) != 1 {
		t.Errorf("%d routers, %+v", len(conf.HTTP.Routers), conf.HTTP.Middlewares["nobody"])
	}
}
