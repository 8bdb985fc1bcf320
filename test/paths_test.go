package test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/policy"
	"sekisho/test/harness"
)

// readers are servers that answer with what they make of a path: "strict" where
// they take it for /admin or something below, and the path as they read it.
var readers = []struct {
	name  string
	start func(*testing.T, *front)
	// undoes is whether the path is told with its escapes undone.
	undoes bool
}{
	{"nginx", func(t *testing.T, f *front) {
		f.serve(t, harness.Need(t, "nginx", "nginx-light"), fmt.Sprintf(`
keepalive_requests 10000000;
server {
	listen %s;
	default_type text/plain;
	location = /admin { return 200 "strict\n$uri"; }
	location /admin/ { return 200 "strict\n$uri"; }
	location / { return 200 "loose\n$uri"; }
}
`, f.addr))
	}, true},
	{"Caddy", func(t *testing.T, f *front) {
		caddy := harness.Need(t, "caddy", "caddy")
		file := f.Write(t, "Caddyfile", []byte(fmt.Sprintf(`
{
	admin off
	auto_https off
}
http://%s {
	@strict path /admin /admin/*
	handle @strict {
		respond "strict
{http.request.uri.path}"
	}
	handle {
		respond "loose
{http.request.uri.path}"
	}
}
`, f.addr)))
		f.await(t, "Caddy", harness.Start(t, f.Dir, "/usr/bin/env", "HOME="+f.Dir, "XDG_CONFIG_HOME="+f.Dir, "XDG_DATA_HOME="+f.Dir,
			caddy, "run", "--config", file, "--adapter", "caddyfile"))
	}, true},
	{"HAProxy", func(t *testing.T, f *front) {
		haproxy := harness.Need(t, "haproxy", "haproxy")
		file := f.Write(t, "haproxy.cfg", []byte(fmt.Sprintf(`
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend paths
    bind %s
    acl strict path,url_dec -m str /admin
    acl strict path,url_dec -m beg /admin/
    http-request return status 200 content-type text/plain lf-string strict\n%%[path] if strict
    http-request return status 200 content-type text/plain lf-string loose\n%%[path]
`, f.addr)))
		f.await(t, "HAProxy", harness.Start(t, f.Dir, haproxy, "-db", "-f", file))
	}, false},
}

// pieces are what generated paths are made of.
var pieces = []string{
	"/", "/", "/", "/", "//", "admin", "admin", "admin", "ADMIN", "%61dmin", "adm%69n", "%41dmin", "ad", "min", "a", "x", "administration",
	".", "..", "%2e", "%2E", "%2e%2e", ".%2e", "...", "/../", "/./", "/x/..", "/x/../", "/x/%2e%2e/", "%2f", "%2F", "%5c", "\\", ";", ";x=1", "%3b", "..;",
	"%00", "%09", "%0a", "%20", "%23", "#", "%25", "%252f", "%252e", "%3f", "?", "?/../admin", "%", "%4", "%zz", "%u0061", "+", "~", ":", "::$DATA", "$", "@", "!", "*", "'", "\"", "<", "|", "^", "`", "{",
	"%E4%BA%BA", "人", "\u212a", "%C0%AF", "%c0%ae", "%ff", "\xff", "\x7f", "\x01", "%EF%BC%8F", "/admin", "/admin/", "http://h/", "&", "=", ",",
}

// TestPathsAsServersReadThem: whatever a real server takes for the stricter place
// is asked about as strictly by us or refused, and a path that we find plain is
// the one that the server reads (security.md section 2, row 14).
func TestPathsAsServersReadThem(t *testing.T) {
	t.Parallel()
	rules := policy.Standard()
	app := policy.Application{ID: "a", Zone: policy.LGWAN, Class: 2, Paths: []policy.PathRule{{Path: "/admin", ACR: policy.PHR}}}
	count := 6000
	if soak() {
		count = 300_000
	}
	seed := rand.Uint64()
	for _, server := range readers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			f := &front{Site: &harness.Site{Dir: t.TempDir()}, addr: "127.0.0.1:" + strconv.Itoa(harness.FreePort(t))}
			server.start(t, f)
			r := rand.New(rand.NewPCG(seed, 1))
			var conn *reading
			seen := struct{ strict, loose, plain, refused int }{}
			for range count {
				target := "/"
				for range 1 + r.IntN(6) {
					target += pieces[r.IntN(len(pieces))]
				}
				if conn == nil {
					conn = f.dial(t)
				}
				status, strict, read, again := conn.ask(t, target)
				if !again {
					conn.Close()
					conn = nil
				}
				acr, _, ok := rules.Asks(app, target)
				path, plain := policy.PlainPath(target)
				if plain != ok {
					t.Fatalf("%q: plain %t, asked %t", target, plain, ok)
				}
				if status != http.StatusOK {
					seen.refused++
					continue
				}
				if strict {
					seen.strict++
				} else {
					seen.loose++
				}
				if strict && ok && acr != policy.PHR {
					t.Errorf("seed %d: %q is the stricter place for %s, and we ask for %s only", seed, target, server.name, acr)
				}
				if plain {
					seen.plain++
					if !server.undoes {
						if undone, err := url.PathUnescape(read); err == nil {
							read = undone
						}
					}
					if read != path {
						t.Errorf("seed %d: %q is %q for us and %q for %s", seed, target, path, read, server.name)
					}
				}
			}
			if conn != nil {
				conn.Close()
			}
			if seen.strict < count/100 || seen.loose < count/10 || seen.plain < count/50 {
				t.Errorf("too little was seen of %d: %+v", count, seen)
			}
			t.Logf("of %d: %+v", count, seen)
		})
	}
}

// A reading is a kept connection to a server.
type reading struct {
	net.Conn
	in *bufio.Reader
}

func (f *front) dial(t *testing.T) *reading {
	t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	return &reading{conn, bufio.NewReader(conn)}
}

// ask sends a target as it is written; again says whether the connection lives on.
func (c *reading) ask(t *testing.T, target string) (status int, strict bool, read string, again bool) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: "+c.RemoteAddr().String()+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("%q: %v", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%q: %v", target, err)
	}
	what, read, _ := strings.Cut(string(body), "\n")
	return resp.StatusCode, what == "strict", read, !resp.Close
}
