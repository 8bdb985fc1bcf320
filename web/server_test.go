package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/password"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/charter"
	"sekisho/policy/store"
)

// guard knows one live cookie, "k.live", whose token is "t-k.live".
type guard struct{ err error }

func (g guard) Current(_ context.Context, _ signin.Origin, cookie string) (signin.Step, error) {
	if g.err != nil {
		return signin.Step{}, g.err
	}
	if cookie == "k.live" {
		return signin.Step{}, nil
	}
	return signin.Step{}, signin.ErrNone
}
func (guard) CheckCSRF(cookie, token string) bool {
	return token == "t-"+cookie && (cookie == "k.live" || cookie == "k.flow")
}

var t0 = time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)

func newServer(t *testing.T, change func(*Config)) (*Server, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	cfg := Config{
		PublicURL: mustURL("http://localhost:8080"), ExtraHosts: []string{"127.0.0.1"}, TrustedProxies: prefixes(t, "127.0.0.1/32"),
		LoopbackZone: "lgwan", Now: func() time.Time { return t0 }, Policy: func() *policy.Policy { return testPolicy },
		Guard: guard{}, Log: slog.New(slog.NewJSONHandler(log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	return New(cfg), log
}

// send sends one request from loopback; headers are "Name: value".
func send(s http.Handler, method, target, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://localhost:8080"+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func problem(t *testing.T, resp *http.Response) (status int, code string, body map[string]any) {
	t.Helper()
	b, _ := io.ReadAll(resp.Body)
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%d %q: %s", resp.StatusCode, ct, b)
	}
	if err := json.Unmarshal(b, &body); err != nil {
		t.Fatal(err)
	}
	code, _ = body["code"].(string)
	return resp.StatusCode, code, body
}

const (
	asJSON = "Content-Type: application/json"
	asForm = "Content-Type: application/x-www-form-urlencoded"
	live   = "Cookie: __Host-sekisho=k.live"
)

func TestRefusedBeforeAnyHandler(t *testing.T) {
	reached := false
	s, _ := newServer(t, nil)
	touch := func(w http.ResponseWriter, _ *Request) error { reached = true; w.WriteHeader(204); return nil }
	s.Mount("POST /api/v1/thing", touch)
	s.Mount("POST /thing", touch)
	s.Mount("GET /thing", touch)
	for _, tt := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int // 204: the handler was reached
		code                       string
	}{
		{"no cookie", "POST", "/api/v1/thing", "{}", []string{asJSON}, 204, ""},
		{"live cookie, no token", "POST", "/api/v1/thing", "{}", []string{asJSON, live}, 403, "csrf"},
		{"live cookie, wrong token", "POST", "/api/v1/thing", "{}", []string{asJSON, live, "X-CSRF-Token: x"}, 403, "csrf"},
		{"live cookie, token", "POST", "/api/v1/thing", "{}", []string{asJSON, live, "X-CSRF-Token: t-k.live"}, 204, ""},
		{"token in a query", "POST", "/api/v1/thing?csrf_token=t-k.live", "{}", []string{asJSON, live}, 403, "csrf"},
		{"a dead cookie counts as none", "POST", "/api/v1/thing", "{}", []string{asJSON, "Cookie: __Host-sekisho=k.dead"}, 204, ""},
		{"form without token", "POST", "/thing", "a=b", []string{asForm, live}, 403, "csrf"},
		{"form token in the query", "POST", "/thing?csrf_token=t-k.live", "a=b", []string{asForm, live}, 403, "csrf"},
		{"form with token", "POST", "/thing", "csrf_token=t-k.live", []string{asForm, live}, 204, ""},
		{"another site", "POST", "/thing", "a=b", []string{asForm, "Sec-Fetch-Site: cross-site"}, 403, "csrf"},
		{"a neighbouring site", "POST", "/thing", "a=b", []string{asForm, "Sec-Fetch-Site: same-site"}, 403, "csrf"},
		{"another site, with the token", "POST", "/thing", "csrf_token=t-k.live", []string{asForm, live, "Sec-Fetch-Site: cross-site"}, 403, "csrf"},
		{"another origin", "POST", "/thing", "a=b", []string{asForm, "Origin: http://evil.example"}, 403, "csrf"},
		{"own origin, host without port", "POST", "/thing", "a=b", []string{asForm, "Origin: http://localhost:8080", "Host: localhost"}, 204, ""},
		{"text/plain dressed as JSON", "POST", "/api/v1/thing", "{}", []string{"Content-Type: text/plain"}, 415, "media_type"},
		{"form to the API", "POST", "/api/v1/thing", "a=b", []string{asForm}, 415, "media_type"},
		{"JSON to a page", "POST", "/thing", "{}", []string{asJSON}, 415, "media_type"},
		{"multipart", "POST", "/thing", "x", []string{"Content-Type: multipart/form-data; boundary=x"}, 415, "media_type"},
		{"no type", "POST", "/api/v1/thing", "{}", nil, 415, "media_type"},
		{"two types", "POST", "/api/v1/thing", "{}", []string{asJSON, asJSON}, 415, "media_type"},
		{"another charset", "POST", "/api/v1/thing", "{}", []string{"Content-Type: application/json; charset=utf-16"}, 415, "media_type"},
		{"too large a form", "POST", "/thing", "a=" + strings.Repeat("b", 70<<10), []string{asForm}, 413, "too_large"},
		{"method", "PUT", "/api/v1/thing", "{}", []string{asJSON}, 405, "method_not_allowed"},
		{"no such path", "GET", "/api/v1/nothing", "", nil, 404, "not_found"},
		{"no such path, page", "GET", "/nothing", "", nil, 404, "not_found"},
		{"doubled slash", "GET", "//thing", "", nil, 404, "not_found"},
		{"dots", "GET", "/a/../thing", "", nil, 404, "not_found"},
		{"another host", "GET", "/thing", "", []string{"Host: evil.example"}, 421, "unknown_host"},
		{"no host", "GET", "/thing", "", []string{"Host: @"}, 421, "unknown_host"},
		{"loopback name in dev", "GET", "/thing", "", []string{"Host: 127.0.0.1:8080"}, 204, ""},
		{"an application's host has no pages", "GET", "/thing", "", []string{"Host: juki.localhost:8080"}, 404, "not_found"},
		{"forwarded host of a trusted proxy", "GET", "/thing", "", []string{"Host: inner", "X-Forwarded-Host: localhost"}, 204, ""},
		{"two forwarded hosts", "GET", "/thing", "", []string{"X-Forwarded-Host: localhost, evil"}, 400, "malformed"},
		{"unreadable source", "GET", "/thing", "", []string{"X-Forwarded-For: unknown"}, 400, "malformed"},
		{"HEAD", "HEAD", "/thing", "", nil, 204, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reached = false
			resp := send(s, tt.method, tt.target, tt.body, tt.headers...)
			if reached != (tt.status == 204) {
				t.Errorf("handler reached: %v", reached)
			}
			if tt.status == 204 {
				if resp.StatusCode != 204 {
					t.Errorf("status %d", resp.StatusCode)
				}
				return
			}
			if status, code, _ := problem(t, resp); status != tt.status || code != tt.code {
				t.Errorf("%d %s, want %d %s", status, code, tt.status, tt.code)
			}
		})
	}
}

func TestAGuardThatCannotAnswerRefuses(t *testing.T) {
	s, _ := newServer(t, func(c *Config) { c.Guard = guard{err: &signin.Away{What: "store", Err: errors.New("x")}} })
	s.Mount("POST /api/v1/thing", func(http.ResponseWriter, *Request) error { t.Error("reached"); return nil })
	resp := send(s, "POST", "/api/v1/thing", "{}", asJSON, live)
	if status, code, body := problem(t, resp); status != 503 || code != "away" || fmt.Sprint(body["away"]) != "[store]" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", status, code, body)
	}
}

func TestHeadersAndCookies(t *testing.T) {
	s, _ := newServer(t, func(c *Config) { c.PublicURL = mustURL("https://localhost:8080") })
	s.Mount("GET /page", func(w http.ResponseWriter, r *Request) error {
		WriteStep(w, r, signin.Step{Cookie: "k.new", DeviceCookie: "k.dev"})
		fmt.Fprint(w, r.Nonce)
		return nil
	})
	resp := send(s, "GET", "/page?rd=https%3A%2F%2Fjuki.localhost%3A8080%2Fa", "")
	nonce, _ := io.ReadAll(resp.Body)
	csp := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'nonce-" + string(nonce) + "'", "object-src 'none'", "base-uri 'none'",
		"frame-ancestors 'none'", "form-action 'self' https://juki.localhost:8080"} {
		if !strings.Contains(csp, want) {
			t.Errorf("no %q in %q", want, csp)
		}
	}
	for name, want := range map[string]string{
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	want := []string{
		"__Host-sekisho=k.new; Path=/; HttpOnly; Secure; SameSite=Lax",
		"__Host-sekisho-device=k.dev; Path=/; Max-Age=15552000; HttpOnly; Secure; SameSite=Lax",
	}
	if got := resp.Header["Set-Cookie"]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("cookies %q", got)
	}
	again := send(s, "GET", "/page?rd=https%3A%2F%2Fevil.example", "")
	if b, _ := io.ReadAll(again.Body); string(b) == string(nonce) {
		t.Error("the nonce came twice")
	}
	if csp := again.Header.Get("Content-Security-Policy"); strings.Contains(csp, "evil") || !strings.HasSuffix(csp, "form-action 'self'") {
		t.Errorf("a stranger in form-action: %q", csp)
	}
	plain, _ := newServer(t, nil)
	if resp := send(plain, "GET", "/x", ""); resp.Header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS over http")
	}
}

func TestRequest(t *testing.T) {
	s, _ := newServer(t, func(c *Config) {
		p := *testPolicy
		p.Networks = []policy.Network{{Prefix: prefixes(t, "10.1.0.0/16")[0], Zone: "mynumber"}}
		c.Policy = func() *policy.Policy { return &p }
	})
	var got *Request
	s.Mount("GET /x", func(_ http.ResponseWriter, r *Request) error { got = r; return nil })
	for _, tt := range []struct {
		name    string
		headers []string
		check   func() bool
	}{
		{"loopback without a named source", nil, func() bool { return got.Origin.Zone == "lgwan" && !got.Origin.Outside }},
		{"a named source", []string{"X-Forwarded-For: 10.1.2.3"}, func() bool { return got.Origin.Zone == "mynumber" && !got.Origin.Outside }},
		{"named loopback is in no network", []string{"X-Forwarded-For: 127.0.0.1"}, func() bool { return got.Origin.Outside }},
		{"an unknown network is outside", []string{"X-Forwarded-For: 198.51.100.1"}, func() bool { return got.Origin.Outside }},
		{"cookie", []string{live}, func() bool { return got.Cookie == "k.live" }},
		{"cookie among others", []string{"Cookie: a=b; __Host-sekisho=k.live; __Host-sekisho-device=k.d"},
			func() bool { return got.Cookie == "k.live" && got.Origin.Device == "k.d" }},
		{"a cookie twice is none", []string{"Cookie: __Host-sekisho=k.live; __Host-sekisho=k.other"}, func() bool { return got.Cookie == "" }},
		{"in two headers too", []string{live, "Cookie: __Host-sekisho=k.other"}, func() bool { return got.Cookie == "" }},
		{"an application's cookie is not the gate's", []string{"Cookie: __Host-sekisho-app=k.live"}, func() bool { return got.Cookie == "" }},
		{"strange bytes", []string{"Cookie: __Host-sekisho=k\"live"}, func() bool { return got.Cookie == "" }},
		{"too long", []string{"Cookie: __Host-sekisho=" + strings.Repeat("a", 2000)}, func() bool { return got.Cookie == "" }},
		{"Japanese by default", nil, func() bool { return got.Lang == "ja" }},
		{"English", []string{"Accept-Language: en-GB,en;q=0.8,ja;q=0.5"}, func() bool { return got.Lang == "en" }},
		{"q decides", []string{"Accept-Language: en;q=0.1,ja;q=0.9"}, func() bool { return got.Lang == "ja" }},
		{"neither", []string{"Accept-Language: fr"}, func() bool { return got.Lang == "ja" }},
		{"cookie before browser", []string{"Accept-Language: ja", "Cookie: __Host-sekisho-lang=en"}, func() bool { return got.Lang == "en" }},
		{"request id of a proxy", []string{"X-Request-Id: abcdefgh-1"}, func() bool { return got.ID == "abcdefgh-1" && got.Origin.RequestID == got.ID }},
		{"a forged line is not taken over", []string{"X-Request-Id: abc defgh\"}"}, func() bool { return len(got.ID) == 24 }},
	} {
		got = nil
		if send(s, "GET", "/x", "", tt.headers...); got == nil || !tt.check() {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestPanicTellsTheLogOnly(t *testing.T) {
	s, log := newServer(t, nil)
	s.Mount("GET /api/v1/x", func(http.ResponseWriter, *Request) error { panic("canary-cause") })
	resp := send(s, "GET", "/api/v1/x?code=canary-query", "", "Cookie: __Host-sekisho=canary-cookie", "X-CSRF-Token: canary-token")
	status, code, body := problem(t, resp)
	if status != 500 || code != "broken" || strings.Contains(fmt.Sprint(body), "canary") {
		t.Errorf("%d %v", status, body)
	}
	line := log.String()
	if !strings.Contains(line, "canary-cause") || !strings.Contains(line, resp.Header.Get("X-Request-Id")) {
		t.Errorf("log: %s", line)
	}
	for _, secret := range []string{"canary-query", "canary-cookie", "canary-token"} {
		if strings.Contains(line, secret) {
			t.Errorf("%s in the log: %s", secret, line)
		}
	}
}

func TestProblemOf(t *testing.T) {
	rejected := &password.Rejected{Failures: []password.Failure{
		{Code: "too_short", Says: policy.Words{JA: "短い", EN: "short"}, Article: "64-3"}, {Code: "common", Article: "64-3"}}}
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{signin.ErrRefused, 401, "refused"},
		{fmt.Errorf("x: %w", signin.ErrNone), 401, "no_session"},
		{session.ErrNone, 401, "no_session"},
		{signin.ErrStep, 409, "wrong_step"},
		{&signin.Held{RetryAfter: 1500 * time.Millisecond}, 429, "held"},
		{&signin.Held{Spent: true}, 429, "held"},
		{&signin.Away{What: "directory", Err: errors.New("dial ldap://secret")}, 503, "away"},
		{fmt.Errorf("committing: %w", store.ErrNoSpace), 503, "away"},
		{audit.ErrNoRoom, 503, "away"},
		{audit.ErrNoSeal, 503, "away"},
		{directory.ErrAway, 503, "away"},
		{directory.ErrTruncated, 503, "away"},
		{signin.ErrBusy, 503, "busy"},
		{store.ErrBusy, 503, "busy"},
		{store.ErrClosed, 503, "away"},
		{store.ErrAway, 503, "away"},
		{store.ErrUnknown, 503, "away"},
		{charter.ErrSelfApproval, 403, "forbidden"},
		{charter.ErrPost, 403, "forbidden"},
		{context.DeadlineExceeded, 503, "busy"},
		{rejected, 422, "invalid"},
		{&directory.Refused{Reason: directory.ReasonWrongCurrent}, 401, "refused"},
		{&directory.Refused{Reason: directory.ReasonHistory, Detail: "secret"}, 422, "invalid"},
		{&account.StepUp{Required: policy.AAL2, MaxAge: 10 * time.Minute}, 403, "step_up"},
		{account.ErrNotFound, 404, "not_found"},
		{account.ErrLastFactor, 409, "last_factor"},
		{errors.New("secret"), 500, "broken"},
	} {
		p := ProblemOf(tt.err)
		if p.Status != tt.status || p.Code != tt.code || p.Title.JA == "" || p.Title.EN == "" || p.Detail.JA == "" || p.Detail.EN == "" {
			t.Errorf("ProblemOf(%v) = %+v", tt.err, p)
		}
		for _, a := range p.Articles {
			if !policy.ValidArticle(a) {
				t.Errorf("ProblemOf(%v) names article %s, which does not exist", tt.err, a)
			}
		}
		if strings.Contains(fmt.Sprint(p), "secret") {
			t.Errorf("ProblemOf(%v) tells too much: %v", tt.err, p)
		}
		if (tt.status == 429 || tt.status == 503) && p.RetryAfter <= 0 {
			t.Errorf("ProblemOf(%v) says no time to come back", tt.err)
		}
	}
	p := ProblemOf(Field("new", rejected))
	if len(p.Errors) != 2 || p.Errors[0].Field != "new" || len(p.Articles) != 1 {
		t.Errorf("all failures at once: %+v", p)
	}
	if p := ProblemOf(&account.StepUp{Required: policy.AAL2, MaxAge: 10 * time.Minute}); p.Extra["required_acr"] != "aal2" || p.Extra["max_age"] != int64(600) {
		t.Errorf("step up: %v", p.Extra)
	}
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.Code] || c.Status < 400 || c.Title.JA == "" || c.Detail.EN == "" {
			t.Errorf("code %+v", c)
		}
		seen[c.Code] = true
	}
}

func TestErrorPage(t *testing.T) {
	s, _ := newServer(t, nil)
	s.ErrorPage(func(w http.ResponseWriter, r *Request, p Problem) {
		w.WriteHeader(p.Status)
		fmt.Fprint(w, r.Say(p.Title))
	})
	held := func(http.ResponseWriter, *Request) error { return &signin.Held{RetryAfter: 1500 * time.Millisecond} }
	s.Mount("GET /x", held)
	s.Mount("GET /api/v1/x", held)
	resp := send(s, "GET", "/x", "", "Accept-Language: en")
	if b, _ := io.ReadAll(resp.Body); string(b) != "Please wait" || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("%d %s %v", resp.StatusCode, b, resp.Header)
	}
	if status, _, body := problem(t, send(s, "GET", "/api/v1/x", "")); status != 429 || body["title"] != "しばらくお待ちください" {
		t.Errorf("%d %v", status, body)
	}
}

func TestHealth(t *testing.T) {
	bad := errors.New("dial tcp 10.0.0.1: canary")
	var slow error
	s, log := newServer(t, func(c *Config) {
		c.Ready = []Check{
			{Name: "store", Ask: func(context.Context) error { return nil }},
			{Name: "directory", Ask: func(context.Context) error { return bad }},
			{Name: "redis", Ask: func(context.Context) error { return slow }, Degrades: true},
		}
	})
	if resp := send(s, "GET", "/healthz", "", "Host: 10.0.0.9"); resp.StatusCode != 200 {
		t.Errorf("healthz %d", resp.StatusCode)
	}
	resp := send(s, "GET", "/readyz", "")
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 503 || !strings.Contains(string(b), `"down":["directory"]`) || strings.Contains(string(b), "canary") {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if !strings.Contains(log.String(), "canary") {
		t.Error("the log does not say why")
	}
	bad = nil
	if resp := send(s, "GET", "/readyz", ""); resp.StatusCode != 200 {
		t.Errorf("readyz %d", resp.StatusCode)
	}
	slow = errors.New("dial tcp 10.0.0.2: other canary")
	resp = send(s, "GET", "/readyz", "")
	b, _ = io.ReadAll(resp.Body)
	if text := string(b); resp.StatusCode != 200 || !strings.Contains(text, `"status":"degraded"`) ||
		!strings.Contains(text, `"degraded":["redis"]`) || !strings.Contains(text, `"down":[]`) || strings.Contains(text, "canary") {
		t.Errorf("without what the gate does without: %d %s", resp.StatusCode, b)
	}
	if resp := send(s, "POST", "/readyz", ""); resp.StatusCode != 405 {
		t.Errorf("POST /readyz %d", resp.StatusCode)
	}
	s.CountSignIn("password", "", signin.ErrRefused)
	w := httptest.NewRecorder()
	s.MetricsHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), `sekisho_signin_steps_total{method="password",outcome="refused"} 1`) {
		t.Error("the refusal is not counted")
	}
	if resp := send(s, "GET", "/metrics", ""); resp.StatusCode != 404 {
		t.Error("metrics on the public listener")
	}
}

func TestMountRefusesWhatCouldGoWrong(t *testing.T) {
	for name, f := range map[string]func(){
		"no method":           func() { s, _ := newServer(t, nil); s.Mount("/x", nil) },
		"outside of our part": func() { s, _ := newServer(t, nil); s.MountApp("GET /x", nil) },
		"an empty Config":     func() { New(Config{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error(name, "was taken")
				}
			}()
			f()
		}()
	}
}

// TestOverAConnection sends real requests: HEAD has no body, an endless header
// and a body without end are cut off, and no time limit is missing.
func TestOverAConnection(t *testing.T) {
	s, _ := newServer(t, nil)
	s.Mount("GET /page", func(w http.ResponseWriter, _ *Request) error { fmt.Fprint(w, "words"); return nil })
	s.Mount("POST /api/v1/thing", func(_ http.ResponseWriter, r *Request) error { return r.DecodeJSON(&struct{}{}) })
	h := s.HTTPServer()
	if h.ReadHeaderTimeout == 0 || h.ReadTimeout == 0 || h.WriteTimeout == 0 || h.IdleTimeout == 0 || h.MaxHeaderBytes == 0 {
		t.Error("a limit is missing")
	}
	ts := httptest.NewUnstartedServer(s)
	ts.Config = h
	ts.Start()
	defer ts.Close()
	do := func(method, path string, body io.Reader, headers ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, ts.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	resp := do("HEAD", "/page", nil)
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || len(b) != 0 {
		t.Errorf("HEAD: %d %q", resp.StatusCode, b)
	}
	if resp := do("GET", "/page", nil, "X-Long", strings.Repeat("a", 64<<10)); resp.StatusCode != 431 {
		t.Errorf("a header of 64 KiB: %d", resp.StatusCode)
	}
	endless := io.MultiReader(strings.NewReader(`{"a":"`), strings.NewReader(strings.Repeat("a", 1<<20)))
	if status, code, _ := problem(t, do("POST", "/api/v1/thing", endless, "Content-Type", "application/json")); status != 413 || code != "too_large" {
		t.Errorf("a body of 1 MiB: %d %s", status, code)
	}
}

// TestNoPassageLeadsToTheForm: whoever is refused for want of a permit is led to where
// one is asked for, once that is mounted.
func TestNoPassageLeadsToTheForm(t *testing.T) {
	t.Parallel()
	for _, mounted := range []bool{false, true} {
		s, _ := newServer(t, nil)
		s.Mount("GET /api/v1/x", func(http.ResponseWriter, *Request) error {
			return &signin.NoPassage{Reason: "no_remote", Says: policy.Words{JA: "許可が必要です。", EN: "It takes a permit."}, Articles: []policy.Article{"63-1"}, Ask: "remote_access"}
		})
		want := ""
		if mounted {
			s.Mount("GET "+PermitPath, func(http.ResponseWriter, *Request) error { return nil })
			want = PermitPath + "?kind=remote_access"
		}
		for lang, says := range map[string]string{"ja": "「許可の申請」の画面（/permits）", "en": "“Permits” (/permits)"} {
			_, code, body := problem(t, send(s, "GET", "/api/v1/x", "", "Accept-Language: "+lang))
			next, _ := body["next"].(map[string]any)
			url, _ := next["url"].(string)
			detail, _ := next["detail"].(string)
			if code != CodeForbidden || next["step"] != "ask_permit" || url != want || !strings.Contains(detail, says) {
				t.Errorf("%s, mounted %t: %v", lang, mounted, body)
			}
		}
	}
}
