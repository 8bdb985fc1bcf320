package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/web"
)

const get = "X-Original-Method: GET"

func original(u string) string  { return "X-Original-Url: " + u }
func appCookie(v string) string { return "Cookie: __Host-sekisho-app=" + v }
func forwarded(h string) []string { // the form of Traefik and Caddy
	return []string{"X-Forwarded-Method: GET", "X-Forwarded-Proto: http", "X-Forwarded-Host: " + h, "X-Forwarded-Uri: /a?b=c"}
}

// TestStatesStaleness: while the directory is away, an answer says of when its
// facts are (design rule 4).
func TestStatesStaleness(t *testing.T) {
	w, srv, _ := newWorld(t)
	for _, at := range []time.Time{{}, time.Date(2026, 4, 1, 8, 30, 0, 0, time.UTC)} {
		w.asOf = at
		want := ""
		if !at.IsZero() {
			want = "2026-04-01T08:30:00Z"
		}
		if got := send(srv, "GET", "/auth/check", original("http://juki.localhost:8080/"), get, appCookie("k.juki")).Header.Get(web.AsOfHeader); got != want {
			t.Errorf("read at %v: %q, want %q", at, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	const juki = "http://juki.localhost:8080/a?b=c"
	signin := "http://localhost:8080/signin?rd=" + url.QueryEscape(juki)
	for _, tt := range []struct {
		name     string
		headers  []string
		status   int
		location string
	}{
		{"nobody", []string{original(juki), get}, 401, signin},
		{"a dead cookie", []string{original(juki), get, appCookie("k.dead")}, 401, signin},
		{"signed in", []string{original(juki), get, appCookie("k.juki")}, 200, ""},
		{"another method", []string{original(juki), "X-Original-Method: POST", appCookie("k.juki")}, 200, ""},
		{"too weak", []string{original(juki), get, appCookie("k.weak")}, 401, signin + "&acr=aal2"},
		{"too weak where phishing must be resisted", []string{original("http://kenmei.localhost:8080/"), get, "Cookie: __Host-sekisho=k.gate"}, 401,
			"http://localhost:8080/signin?rd=" + url.QueryEscape("http://kenmei.localhost:8080/") + "&acr=phr"},
		{"another host's cookie", []string{original(juki), get, appCookie("k.bunsho")}, 401, signin},
		{"the gate's cookie in the place of the host's", []string{original(juki), get, appCookie("k.gate")}, 401, signin},
		{"a host's cookie in the place of the gate's", []string{original(juki), get, "Cookie: __Host-sekisho=k.juki"}, 401, signin},
		{"the gate's own cookie beside two of the host's", []string{original(juki), get, "Cookie: __Host-sekisho-app=a; __Host-sekisho-app=b; __Host-sekisho=k.gate"}, 401, signin},
		{"the gate's own cookie", []string{original(juki), get, "Cookie: __Host-sekisho=k.gate"}, 200, ""},
		{"the cookie twice", []string{original(juki), get, appCookie("k.juki"), appCookie("k.juki")}, 401, signin},
		{"not for this post", []string{original("http://kansa.localhost:8080/"), get, appCookie("k.kansa")}, 403, ""},
		{"not for this post, a browser", []string{original("http://kansa.localhost:8080/a?b=c"), get, appCookie("k.kansa"), "Accept: text/html"}, 403,
			"http://localhost:8080" + web.HandoverPath("kansa", "http://kansa.localhost:8080/a?b=c")},
		{"not for this post, a browser that sends", []string{original("http://kansa.localhost:8080/"), "X-Original-Method: POST", appCookie("k.kansa"), "Accept: text/html"}, 403, ""},
		{"unknown host, a browser", []string{original("http://evil.example/"), get, appCookie("k.juki"), "Accept: text/html"}, 403, ""},
		{"a stranger, a browser", []string{original(juki), get, appCookie("k.juki"), "From: 192.0.2.1:1", "Accept: text/html"}, 403, ""},
		{"signed in recently enough", []string{original("http://kyuyo.localhost:8080/list"), get, "Cookie: __Host-sekisho=k.gate"}, 200, ""},
		{"too long ago for this path", []string{original("http://kyuyo.localhost:8080/%70ay/1"), get, "Cookie: __Host-sekisho=k.gate"}, 401,
			"http://localhost:8080/signin?rd=" + url.QueryEscape("http://kyuyo.localhost:8080/%70ay/1") + "&acr=aal2&max_age=595"},
		{"a path that is read in two ways, where paths differ", []string{original("http://kyuyo.localhost:8080/x/..%2fpay"), get, "Cookie: __Host-sekisho=k.gate"}, 403, ""},
		{"from the application's own zone", []string{original(juki), get, appCookie("k.juki"), "X-Forwarded-For: 10.1.2.3"}, 200, ""},
		{"from another zone", []string{original(juki), get, appCookie("k.juki"), "X-Forwarded-For: 10.3.2.1"}, 403, ""},
		{"from another zone, nobody", []string{original(juki), get, "X-Forwarded-For: 10.3.2.1"}, 403, ""},
		{"from outside", []string{original(juki), get, appCookie("k.juki"), "X-Forwarded-For: 203.0.113.9"}, 403, ""},
		{"from outside, nobody", []string{original(juki), get, "X-Forwarded-For: 203.0.113.9"}, 401, signin},
		{"from no network at all", []string{original(juki), get, appCookie("k.juki"), "X-Forwarded-For: 198.51.100.9"}, 403, ""},
		{"unknown host", []string{original("http://evil.example/"), get, appCookie("k.juki")}, 403, ""},
		{"a host that ends like ours", []string{original("http://x.juki.localhost/"), get, appCookie("k.juki")}, 403, ""},
		{"a host that begins like ours", []string{original("http://juki.localhost.evil/"), get, appCookie("k.juki")}, 403, ""},
		{"case, port and last dot", []string{original("https://JUKI.localhost.:9443/"), get, appCookie("k.juki")}, 200, ""},
		{"a stranger", []string{original(juki), get, appCookie("k.juki"), "From: 192.0.2.1:1"}, 403, ""},

		{"no headers", nil, 400, ""},
		{"no method", []string{original(juki), appCookie("k.juki")}, 400, ""},
		{"two methods", []string{original(juki), get, get, appCookie("k.juki")}, 400, ""},
		{"two URLs", []string{original(juki), original("http://bunsho.localhost/"), get, appCookie("k.juki")}, 400, ""},
		{"a path alone", []string{original("/a"), get, appCookie("k.juki")}, 400, ""},
		{"no scheme of ours", []string{original("ftp://juki.localhost/"), get, appCookie("k.juki")}, 400, ""},
		{"user information", []string{original("http://a@juki.localhost/"), get, appCookie("k.juki")}, 400, ""},
		{"backslash", []string{original("http://juki.localhost\\@evil/"), get, appCookie("k.juki")}, 400, ""},
		{"backslash in the path", []string{original("http://juki.localhost/\\x"), get, appCookie("k.juki")}, 400, ""},
		{"half an escape", []string{original("http://juki.localhost/%2"), get, appCookie("k.juki")}, 400, ""},
		{"no escape", []string{original("http://juki.localhost/%zz"), get, appCookie("k.juki")}, 400, ""},
		{"half of an escape is none", []string{original("http://juki.localhost/%z0"), get, appCookie("k.juki")}, 400, ""},
		{"the other half", []string{original("http://juki.localhost/%0z"), get, appCookie("k.juki")}, 400, ""},
		{"NUL", []string{original("http://juki.localhost/%00"), get, appCookie("k.juki")}, 400, ""},
		{"control character", []string{original("http://juki.localhost/\x01"), get, appCookie("k.juki")}, 400, ""},
		{"space", []string{original("http://juki.localhost/a b"), get, appCookie("k.juki")}, 400, ""},
		{"fragment", []string{original("http://juki.localhost/#a"), get, appCookie("k.juki")}, 400, ""},
		{"strange port", []string{original("http://juki.localhost:80x/"), get, appCookie("k.juki")}, 400, ""},
		{"strange method", []string{original(juki), "X-Original-Method: GET /", appCookie("k.juki")}, 400, ""},
		{"unreadable source", []string{original(juki), get, appCookie("k.juki"), "X-Forwarded-For: nobody"}, 400, ""},
		{"both forms, other hosts", []string{original(juki), get, "X-Forwarded-Host: bunsho.localhost", appCookie("k.juki")}, 400, ""},
		{"both forms, other paths", []string{original(juki), get, "X-Forwarded-Uri: /", appCookie("k.juki")}, 400, ""},
		{"both forms, other methods", []string{original(juki), get, "X-Forwarded-Method: POST", appCookie("k.juki")}, 400, ""},
		{"both forms that agree", append(forwarded("juki.localhost"), original(juki), get, appCookie("k.juki")), 200, ""},

		{"Traefik: nobody, a program", forwarded("juki.localhost"), 401, signin},
		{"Traefik: nobody, a browser", append(forwarded("juki.localhost"), "Accept: text/html,*/*"), 303, signin},
		{"Traefik: signed in", append(forwarded("juki.localhost:8080"), appCookie("k.juki")), 200, ""},
		{"Traefik: half a question", forwarded("juki.localhost")[1:], 400, ""},
		{"Traefik: strange scheme", []string{"X-Forwarded-Method: GET", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: juki.localhost", "X-Forwarded-Uri: /", appCookie("k.juki")}, 400, ""},
		{"Traefik: two hosts", append(forwarded("juki.localhost"), "X-Forwarded-Host: bunsho.localhost", appCookie("k.juki")), 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, srv, _ := newWorld(t)
			resp := send(srv, "GET", "/auth/check", tt.headers...)
			if resp.StatusCode != tt.status || resp.Header.Get("Location") != tt.location {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, resp.Header.Get("Location"), tt.status, tt.location)
			}
			if body, _ := io.ReadAll(resp.Body); len(body) > 0 {
				t.Errorf("a body: %s", body)
			}
			for _, name := range headerNames {
				if (resp.Header.Get(name) != "") != (tt.status == 200) {
					t.Errorf("%d with %s: %q", resp.StatusCode, name, resp.Header.Get(name))
				}
			}
		})
	}
}

func TestWhatAnApplicationIsTold(t *testing.T) {
	w, srv, _ := newWorld(t)
	ask := func() http.Header {
		resp := send(srv, "GET", "/auth/check", original("http://juki.localhost/"), get, appCookie("k.juki"))
		if resp.StatusCode != 200 {
			t.Fatal(resp.StatusCode)
		}
		return resp.Header
	}
	want := map[string]string{
		"Remote-User": "tanaka", "Remote-Name": "%E7%94%B0%E4%B8%AD%20%E8%8A%B1%E5%AD%90", "Remote-Email": "tanaka@pref.example",
		"Remote-Groups": "staff,system_operator", "Remote-Acr": "aal2", "X-Sekisho-Assertion": "http://localhost:8080|tanaka|juki|aal2",
	}
	h := ask()
	for name, v := range want {
		if h.Get(name) != v {
			t.Errorf("%s: %q, want %q", name, h.Get(name), v)
		}
	}
	ask()
	if w.signed != 1 {
		t.Errorf("%d signatures for two checks in a moment", w.signed)
	}
	w.now = w.now.Add(assertionEnd * 2 / 3)
	if ask(); w.signed != 2 {
		t.Errorf("%d signatures with a third of its life left", w.signed)
	}
	w.now = w.now.Add(assertionEnd*2/3 - time.Second)
	if ask(); w.signed != 2 {
		t.Errorf("%d signatures with more left", w.signed)
	}
	w.amr = []string{"pwd", "hwk"}
	if ask(); w.signed != 3 {
		t.Errorf("%d signatures after another factor was used", w.signed)
	}
	// What changes is told at once, whatever was worked out before.
	w.person.Groups = []string{"cn=staff,dc=x"}
	if h := ask(); h.Get("Remote-Groups") != "staff" {
		t.Errorf("groups %q", h.Get("Remote-Groups"))
	}
	w.person.Mail = "\r\nX-Evil: 1"
	if h := ask(); h.Get("Remote-Email") != "%0D%0AX-Evil:%201" || h.Get("X-Evil") != "" {
		t.Errorf("mail %q", h.Get("Remote-Email"))
	}
	p := *w.policy
	p.Posts = p.Posts[:1]
	w.policy = &p
	if h := ask(); h.Get("Remote-Groups") != "staff" {
		t.Errorf("groups %q", h.Get("Remote-Groups"))
	}
}

// TestLeases: a lease opens what asks for it, is told while it lives and no longer,
// and what was worked out before it began, or ended, is not told any more.
func TestLeases(t *testing.T) {
	t.Parallel()
	w, srv, g := newWorld(t, policy.Application{
		ID: "console", Host: "console.localhost", Zone: "lgwan", Class: 2, RequiresPrivilege: "db-admin",
	})
	for i, app := range w.policy.Applications {
		if app.ID == "bunsho" {
			w.policy.Applications[i].Paths = []policy.PathRule{{Path: "/shime", RequiresPrivilege: "shime"}}
		}
	}
	var (
		lent  []authz.Lease
		away  error
		until = t0.Add(10 * time.Minute)
	)
	g.Leases = func(_ context.Context, _ clock.Moment, n session.Session, p directory.Person) ([]authz.Lease, error) {
		if n.ID != "k.bunsho" && n.ID != "k.gate" || p.ID != "p1" {
			t.Errorf("asked about %s in %s", p.ID, n.ID)
		}
		return slices.Clone(lent), away
	}
	ask := func(url, cookie string) (int, http.Header) {
		resp := send(srv, "GET", "/auth/check", original(url), get, cookie)
		return resp.StatusCode, resp.Header
	}
	doc := func(path string) (int, string) {
		status, h := ask("http://bunsho.localhost"+path, appCookie("k.bunsho"))
		return status, h.Get("Remote-Groups") + " " + h.Get("X-Sekisho-Assertion")
	}
	console := func() int {
		status, _ := ask("http://console.localhost/", "Cookie: __Host-sekisho=k.gate")
		return status
	}
	const before = "staff,system_operator http://localhost:8080|tanaka|bunsho|aal2"
	if status, told := doc("/"); status != 200 || told != before {
		t.Fatalf("without a lease: %d, %q", status, told)
	}
	if status, _ := doc("/shime/x"); status != 403 {
		t.Errorf("a path that asks for one: %d", status)
	}
	if got := console(); got != 403 {
		t.Errorf("an application that asks for one: %d", got)
	}
	lent = []authz.Lease{{ID: "l1", Privilege: "shime", Until: until, Gives: []policy.Gift{
		{Kind: policy.GiftApplication, Application: "bunsho", Roles: []string{"closer"}}, {Kind: policy.GiftApplication, Application: "juki", Roles: []string{"other"}},
	}}}
	if status, told := doc("/shime/x"); status != 200 || told != "staff,system_operator,shime,shime:closer http://localhost:8080|tanaka|bunsho|aal2|shime@"+until.Format(time.RFC3339) {
		t.Errorf("with a lease: %d, %q", status, told)
	}
	if got := console(); got != 403 {
		t.Errorf("an application that asks for another: %d", got)
	}
	lent = append(lent, authz.Lease{ID: "l2", Privilege: "db-admin", Until: t0.Add(2 * time.Second), Emergency: true})
	if got := console(); got != 200 {
		t.Errorf("an application that asks for it: %d", got)
	}
	// At the instant of its end, with nobody having taken it away.
	w.now = t0.Add(2 * time.Second)
	if got := console(); got != 403 {
		t.Errorf("at its end: %d", got)
	}
	w.now = until
	if status, _ := doc("/shime"); status != 403 {
		t.Errorf("a path, at the lease's end: %d", status)
	}
	if status, told := doc("/"); status != 200 || told != before {
		t.Errorf("at its end it is still told: %d, %q", status, told)
	}
	// Ended elsewhere, before its time.
	w.now = t0
	if status, _ := doc("/shime"); status != 200 {
		t.Errorf("a moment before: %d", status)
	}
	lent = nil
	if status, told := doc("/"); status != 200 || told != before {
		t.Errorf("taken back, it is still told: %d, %q", status, told)
	}
	away = errors.New("the store is away")
	if status, _ := doc("/"); status == 200 {
		t.Error("let in although nobody could say what is lent")
	}
}

func TestNothingIsKeptThatAllows(t *testing.T) {
	w, srv, _ := newWorld(t)
	ask := func(host string) int {
		return send(srv, "GET", "/auth/check", original("http://"+host+"/"), get, appCookie("k.juki")).StatusCode
	}
	if ask("juki.localhost") != 200 {
		t.Fatal("not let in")
	}
	w.away = &signin.Away{What: "directory", Err: fmt.Errorf("x")}
	if got := ask("juki.localhost"); got != 503 {
		t.Errorf("a directory that is away: %d", got)
	}
	w.away = nil
	w.dead["k.juki"] = true
	if got := ask("juki.localhost"); got != 401 {
		t.Errorf("a session that ended: %d", got)
	}
	w.dead["k.juki"] = false
	w.now = t0.Add(2 * time.Hour)
	if got := ask("juki.localhost"); got == 200 {
		t.Error("a session past its end")
	}
	w.now = t0
	w.person.Account.Disabled = true
	if got := ask("juki.localhost"); got != 403 {
		t.Errorf("a person who was disabled: %d", got)
	}
	w.person.Account.Disabled = false
	p := *w.policy
	p.Applications = p.Applications[1:]
	w.policy = &p
	if got := ask("juki.localhost"); got != 403 {
		t.Errorf("an application that is gone: %d", got)
	}
}

func TestDeniedIsToldOnceAMinute(t *testing.T) {
	w, srv, _ := newWorld(t)
	for range 3 {
		send(srv, "GET", "/auth/check", original("http://kansa.localhost/"), get, appCookie("k.kansa"), "X-Forwarded-For: 10.1.2.3")
	}
	if len(w.denied) != 1 || w.denied[0].App.ID != "kansa" || w.denied[0].Reason != "not_yours" || w.denied[0].Source.String() != "10.1.2.3" {
		t.Errorf("%+v", w.denied)
	}
	w.now = w.now.Add(time.Minute)
	send(srv, "GET", "/auth/check", original("http://kansa.localhost/"), get, appCookie("k.kansa"))
	if len(w.denied) != 2 {
		t.Errorf("%d told after a minute", len(w.denied))
	}
}

// TestHandover walks the whole way by redirects, as a browser does.
func TestHandover(t *testing.T) {
	_, srv, g := newWorld(t)
	srv.AppFallback(g.Proxy())
	const host = "Host: juki.localhost:8080"
	step := func(resp *http.Response, want string) string {
		t.Helper()
		if resp.StatusCode != 303 || resp.Header.Get("Location") != want {
			t.Fatalf("%d %q, want %q", resp.StatusCode, resp.Header.Get("Location"), want)
		}
		return strings.TrimPrefix(strings.TrimPrefix(want, "http://localhost:8080"), "http://juki.localhost:8080")
	}
	at := step(send(srv, "GET", "/a?b=c", host), "/.sekisho/start?rd=%2Fa%3Fb%3Dc")
	started, first := beginHandover(t, srv, at, host)
	at = "/handover?app=juki&rd=" + url.QueryEscape("http://juki.localhost:8080/a?b=c")
	// Who comes to the gate first begins at the application's host, too.
	step(send(srv, "GET", at, "Cookie: __Host-sekisho=k.gate"), "http://juki.localhost:8080/.sekisho/start?rd="+url.QueryEscape("/a?b=c"))
	if at += "&state=" + first; started != "http://localhost:8080"+at {
		t.Fatalf("begun at %q, want %q", started, at)
	}
	for _, cookie := range []string{"", "Cookie: __Host-sekisho=k.flow", "Cookie: __Host-sekisho=k.dead", "Cookie: __Host-sekisho=k.juki"} {
		step(send(srv, "GET", at, cookie), "http://localhost:8080/signin?rd="+url.QueryEscape("http://juki.localhost:8080/a?b=c"))
	}
	at = step(send(srv, "GET", at, "Cookie: __Host-sekisho=k.gate"), "http://juki.localhost:8080/.sekisho/callback?code=code-juki&rd=%2Fa%3Fb%3Dc&state="+first)
	for name, cookie := range map[string]string{
		"another browser": "X: none", "a browser that began elsewhere": startedAs(strings.Repeat("B", startLength)), "a browser with two beginnings": startedAs(begun) + "; __Host-sekisho-start=" + begun,
	} {
		if resp := send(srv, "GET", at, host, cookie); resp.StatusCode != 403 || len(resp.Cookies()) > 0 {
			t.Errorf("the code in %s: %d %v", name, resp.StatusCode, resp.Cookies())
		}
	}
	if resp := send(srv, "GET", strings.Split(at, "&state")[0], host, startedAs(begun)); resp.StatusCode != 403 {
		t.Errorf("a code without its state: %d", resp.StatusCode)
	}
	if resp := send(srv, "GET", at, "Host: bunsho.localhost:8080", startedAs(begun)); resp.StatusCode != 401 || len(resp.Cookies()) > 0 {
		t.Errorf("a code at another host: %d", resp.StatusCode)
	}
	resp := send(srv, "GET", at, host, startedAs(begun))
	step(resp, "/a?b=c")
	if c := resp.Header["Set-Cookie"]; len(c) != 2 || c[0] != "__Host-sekisho-app=k.juki; Path=/; HttpOnly; Secure; SameSite=Lax" || !strings.HasPrefix(c[1], "__Host-sekisho-start=; ") {
		t.Errorf("cookies %q", c)
	}
	if resp := send(srv, "GET", at, host, startedAs(begun)); resp.StatusCode != 401 || len(resp.Cookies()) > 0 {
		t.Errorf("a code twice: %d", resp.StatusCode)
	}
	resp = send(srv, "GET", "/a?b=c", host, appCookie("k.juki"))
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(b), `<dd id="login">tanaka</dd>`) || !strings.Contains(string(b), "田中 花子") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if resp := send(srv, "GET", "/", "Host: kansa.localhost:8080", appCookie("k.kansa")); resp.StatusCode != 403 {
		t.Errorf("not for this post: %d", resp.StatusCode)
	}
	if resp := send(srv, "GET", web.HandoverPath("kansa", "http://kansa.localhost:8080/"), "Cookie: __Host-sekisho=k.gate"); resp.StatusCode != 403 {
		t.Errorf("handed over to what is not theirs: %d", resp.StatusCode)
	}
	if resp := send(srv, "POST", "/", host); resp.StatusCode != 401 {
		t.Errorf("a POST of nobody: %d", resp.StatusCode)
	}
}

// begun is the beginning of a handover that the tests' browser remembers.
var begun = strings.Repeat("A", startLength)

func startedAs(begun string) string { return "Cookie: __Host-sekisho-start=" + begun }

// beginHandover begins one as a browser that has begun before, and one as a
// browser that has not: each gets a beginning of its own, and only its hash is
// in the address.
func beginHandover(t *testing.T, srv http.Handler, at, host string) (to, state string) {
	t.Helper()
	fresh := send(srv, "GET", at, host)
	if c := fresh.Cookies(); len(c) != 1 || c[0].Name != "__Host-sekisho-start" || len(c[0].Value) != startLength || !c[0].HttpOnly || !c[0].Secure ||
		strings.Contains(fresh.Header.Get("Location"), c[0].Value) || !strings.HasSuffix(fresh.Header.Get("Location"), "&state="+stateOf(c[0].Value)) {
		t.Fatalf("begun with %v at %q", c, fresh.Header.Get("Location"))
	}
	resp := send(srv, "GET", at, host, startedAs(begun))
	if c := resp.Cookies(); resp.StatusCode != 303 || len(c) != 1 || c[0].Value != begun {
		t.Fatalf("begun again: %d %v", resp.StatusCode, c)
	}
	return resp.Header.Get("Location"), stateOf(begun)
}

func TestHandoverLeadsNowhereElse(t *testing.T) {
	_, srv, _ := newWorld(t)
	for _, rd := range []string{
		"", "/", "//evil.example", "http://evil.example/", "http://juki.localhost:8080@evil.example/", "http://a@juki.localhost:8080/",
		"http://juki.localhost.evil.example:8080/", "http://xjuki.localhost:8080/", "http://juki.localhost:8081/", "https://juki.localhost:8080/",
		"http://juki.localhost.:8080/", "http://juki.localhost:8080//evil.example", "http://juki.localhost:8080\\evil", "javascript:alert(1)",
		"http://bunsho.localhost:8080/", "http://localhost:8080/",
	} {
		resp := send(srv, "GET", web.HandoverPath("juki", rd), "Cookie: __Host-sekisho=k.gate")
		if resp.StatusCode != 400 || resp.Header.Get("Location") != "" {
			t.Errorf("handover to %q: %d %q", rd, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	for _, rd := range []string{"//evil.example", "http://evil.example/", "/\\evil", "/%2f/evil", "/%5cevil", "", "/.sekisho/start", "/.SEKISHO/x", "evil", "/\r\nx"} {
		_, srv, _ := newWorld(t)
		send(srv, "GET", web.HandoverPath("juki", "http://juki.localhost:8080/")+"&state="+stateOf(begun), "Cookie: __Host-sekisho=k.gate")
		resp := send(srv, "GET", "/.sekisho/callback?code=code-juki&state="+stateOf(begun)+"&rd="+url.QueryEscape(rd), "Host: juki.localhost:8080", startedAs(begun))
		if resp.StatusCode != 303 || resp.Header.Get("Location") != "/" {
			t.Errorf("callback to %q: %d %q", rd, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	if resp := send(srv, "GET", "/.sekisho/callback?code=a&code=b", "Host: juki.localhost:8080"); resp.StatusCode != 400 {
		t.Errorf("two codes: %d", resp.StatusCode)
	}
	if resp := send(srv, "GET", web.HandoverPath("none", "http://juki.localhost:8080/")); resp.StatusCode != 400 {
		t.Errorf("no such application: %d", resp.StatusCode)
	}
}

func TestSignOut(t *testing.T) {
	w, srv, _ := newWorld(t)
	const host = "Host: juki.localhost:8080"
	resp := send(srv, "GET", "/.sekisho/signout", host, appCookie("k.juki"))
	b, _ := io.ReadAll(resp.Body)
	if !strings.Contains(string(b), `value="t-k.juki"`) || w.dead["k.juki"] ||
		!strings.HasSuffix(resp.Header.Get("Content-Security-Policy"), "form-action 'self' http://localhost:8080") {
		t.Errorf("%s %v", b, resp.Header)
	}
	if resp := send(srv, "POST", "/.sekisho/signout", host, appCookie("k.juki")); resp.StatusCode != 403 || w.dead["k.juki"] {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
	resp = send(srv, "POST", "/.sekisho/signout", host, appCookie("k.juki"), "X-Csrf-Token: t-k.juki")
	if resp.StatusCode != 303 || !w.dead["k.juki"] || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", resp.StatusCode, resp.Cookies())
	}
}

// TestProxyTellsNothingOfTheClients sends what a client could make up.
func TestProxyTellsNothingOfTheClients(t *testing.T) {
	var got http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Header().Add("Set-Cookie", "__Host-sekisho=planted; Path=/; Secure")
		w.Header().Add("Set-Cookie", "own=1")
	}))
	defer upstream.Close()
	_, srv, g := newWorld(t, policy.Application{ID: "up", Host: "up.localhost", URL: upstream.URL, Zone: "lgwan", Class: 2})
	srv.AppFallback(g.Proxy())
	w := &cookieOf{world: g.Sessions.(*world)}
	g.Sessions = w
	resp := send(srv, "GET", "/", "Host: up.localhost:8080", "Cookie: a=b; __Host-sekisho-app=k.up; __host-sekisho=x",
		"Remote-User: evil", "remote-user: evil", "Remote_User: evil", "REMOTE-GROUPS: cio", "X-Sekisho-Assertion: evil", "X_Sekisho_Assertion: evil",
		"X-Sekisho-Anything: evil", "Connection: Remote-User, X-Sekisho-Assertion", "X-Forwarded-For: 10.1.2.3")
	if resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	if got.Get("Remote-User") != "tanaka" || len(got["Remote-User"]) != 1 || got.Get("X-Sekisho-Assertion") != "http://localhost:8080|tanaka|up|aal2" {
		t.Errorf("told %v", got)
	}
	if strings.Contains(fmt.Sprint(got), "evil") || strings.Contains(fmt.Sprint(got), "cio") || strings.Contains(fmt.Sprint(got), "k.up") {
		t.Errorf("the client's own words got through: %v", got)
	}
	if got.Get("Cookie") != "a=b" || got.Get("X-Forwarded-For") != "10.1.2.3" {
		t.Errorf("cookie %q, source %q", got.Get("Cookie"), got.Get("X-Forwarded-For"))
	}
	if c := resp.Header["Set-Cookie"]; len(c) != 1 || c[0] != "own=1" {
		t.Errorf("planted %v", c)
	}
	upstream.Close()
	if resp := send(srv, "GET", "/", "Host: up.localhost:8080", appCookie("k.up")); resp.StatusCode != 503 {
		t.Errorf("an application that is away: %d", resp.StatusCode)
	}
}

func FuzzAsk(f *testing.F) {
	f.Add("http://juki.localhost/a?b", "GET", "", "")
	f.Add("http://a@juki.localhost:80/", "GET", "juki.localhost", "/")
	f.Add("", "GET", "juki.localhost", "/%2e%2e/")
	f.Add("https://[::1]:80/", "POST", "", "")
	f.Fuzz(func(t *testing.T, u, method, host, uri string) {
		h := http.Header{}
		if u != "" {
			h["X-Original-Url"], h["X-Original-Method"] = []string{u}, []string{method}
		}
		if host != "" {
			h["X-Forwarded-Host"], h["X-Forwarded-Uri"] = []string{host}, []string{uri}
			if u == "" {
				h["X-Forwarded-Method"], h["X-Forwarded-Proto"] = []string{method}, []string{"http"}
			}
		}
		q, err := ask(h)
		if err != nil {
			return
		}
		// What is read as a question, net/url reads as the same one.
		if u == "" {
			u = "http://" + host + uri
		}
		p, err := url.Parse(u)
		if err != nil || p.User != nil || p.Fragment != "" || web.Hostname(p.Host) != q.host || q.host == "" {
			t.Fatalf("%q read as %+v, by net/url as %v, %v", u, q, p, err)
		}
	})
}

// TestFill: what a decision may rest on beside the directory is asked for wherever a
// request comes from, its application's own zone too.
func TestFill(t *testing.T) {
	w, srv, g := newWorld(t, policy.Application{ID: "shimin", Host: "shimin.localhost", Zone: "lgwan", Class: 2, Sections: []string{"zeimu"}})
	w.policy.Sections = []policy.Section{{ID: "jumin"}, {ID: "zeimu"}}
	check := func() int {
		return send(srv, "GET", "/auth/check", original("http://shimin.localhost:8080/"), get, "X-Forwarded-For: 10.1.2.3", "Cookie: __Host-sekisho=k.gate").StatusCode
	}
	if got := check(); got != 403 {
		t.Errorf("of another section: %d", got)
	}
	g.Fill = func(_ context.Context, _ clock.Moment, f authz.Facts) (authz.Facts, error) {
		f.Beside = append(f.Beside, authz.Place{Section: "zeimu"})
		return f, nil
	}
	if got := check(); got != 200 {
		t.Errorf("with a concurrent post there: %d", got)
	}
	g.Fill = func(_ context.Context, _ clock.Moment, f authz.Facts) (authz.Facts, error) {
		return f, errors.New("away")
	}
	if got := check(); got < 500 {
		t.Errorf("where that cannot be said: %d", got)
	}
}
