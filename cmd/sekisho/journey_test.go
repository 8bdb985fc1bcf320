package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy/clock"
)

// A trial is a running dev and what a script knows of it: dev.json.
type trial struct {
	t    *testing.T
	data string
	d    folder.Dev
	stop func()
}

// start runs dev on a folder, as main does, until the test ends.
func start(t *testing.T, data string) *trial {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var (
		out  readiness
		code int
		done = make(chan struct{})
	)
	out.ready = make(chan struct{})
	go func() {
		defer close(done)
		code = run(ctx, []string{"dev", "--listen", "127.0.0.1:0", "--data", data},
			&terminal{out: &out, err: &out, lang: "en", system: clock.System()})
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-done
		if code != exitDone {
			t.Errorf("dev ended with %d:\n%s", code, out.text())
		}
	})
	t.Cleanup(stop)
	select {
	case <-out.ready:
	case <-done:
		t.Fatalf("dev ended before it was ready:\n%s", out.text())
	case <-time.After(2 * time.Minute):
		t.Fatal("dev is not ready after two minutes")
	}
	f, err := folder.Existing(data)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.ReadDev()
	if err != nil {
		t.Fatal(err)
	}
	return &trial{t: t, data: data, d: d, stop: stop}
}

// readiness is a terminal that notices the ready line.
type readiness struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	once  sync.Once
	ready chan struct{}
}

func (r *readiness) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.Write(p)
	if bytes.Contains(r.buf.Bytes(), []byte("Ready: ")) {
		r.once.Do(func() { close(r.ready) })
	}
	return len(p), nil
}

func (r *readiness) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func (tr *trial) person(login string) folder.Person {
	for _, p := range tr.d.People {
		if p.Login == login {
			return p
		}
	}
	tr.t.Fatalf("dev.json has no %s", login)
	return folder.Person{}
}

// control asks dev's back door.
func (tr *trial) control(method, path, body string) (int, string) {
	tr.t.Helper()
	req, err := http.NewRequest(method, tr.d.Control.URL+path, strings.NewReader(body))
	if err != nil {
		tr.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tr.d.Control.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tr.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tr.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A visitor is a browser: it keeps a cookie per host, sends Secure cookies to
// localhost, and resolves *.localhost to this machine.
type visitor struct {
	tr   *trial
	csrf string
	jars map[string]map[string]string
	date time.Time // of the last answer: Sekisho's clock
}

func (tr *trial) visitor() *visitor {
	return &visitor{tr: tr, jars: map[string]map[string]string{}}
}

// do sends one request and follows nothing.
func (v *visitor) do(method, to string, body any) (*http.Response, []byte) {
	v.tr.t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		v.tr.t.Fatal(err)
	}
	host := u.Host
	u.Host = "127.0.0.1:" + u.Port()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			v.tr.t.Fatal(err)
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, u.String(), payload)
	if err != nil {
		v.tr.t.Fatal(err)
	}
	req.Host = host
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if v.csrf != "" {
		req.Header.Set("X-CSRF-Token", v.csrf)
	}
	for name, value := range v.jars[host] {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		v.tr.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.tr.t.Fatal(err)
	}
	for _, c := range resp.Cookies() {
		if v.jars[host] == nil {
			v.jars[host] = map[string]string{}
		}
		v.jars[host][c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(v.jars[host], c.Name)
		}
	}
	if v.date, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		v.tr.t.Fatal(err)
	}
	return resp, text
}

// browse follows redirects, across hosts, to the page at the end.
func (v *visitor) browse(to string) (int, string) {
	v.tr.t.Helper()
	for range 10 {
		resp, text := v.do("GET", to, nil)
		next, err := resp.Location()
		if err != nil {
			return resp.StatusCode, string(text)
		}
		if strings.HasPrefix(resp.Header.Get("Location"), "/") {
			here, _ := url.Parse(to)
			next.Host = here.Host
		}
		to = next.String()
	}
	v.tr.t.Fatalf("redirects without end, at %s", to)
	return 0, ""
}

// api posts to /api/v1 and keeps the token for the next step.
func (v *visitor) api(method, path string, body any) (int, map[string]any) {
	v.tr.t.Helper()
	resp, text := v.do(method, v.tr.d.URL+"/api/v1"+path, body)
	var got map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &got); err != nil {
			v.tr.t.Fatalf("%s %s: %v in %q", method, path, err, text)
		}
	}
	if token, ok := got["csrf_token"].(string); ok {
		v.csrf = token
	}
	return resp.StatusCode, got
}

// code is what the authenticator app shows at Sekisho's time.
func (v *visitor) code(secret string) string {
	v.tr.t.Helper()
	code, err := totp.GenerateCode(secret, v.date)
	if err != nil {
		v.tr.t.Fatal(err)
	}
	return code
}

// step posts a step of the sign-in and insists on the state it leads to.
func (v *visitor) step(path string, body map[string]any, want string) map[string]any {
	v.tr.t.Helper()
	status, got := v.api("POST", path, body)
	if status != http.StatusOK || got["state"] != want {
		v.tr.t.Fatalf("POST %s = %d %v, want state %s", path, status, got, want)
	}
	return got
}

// signIn takes an active person all the way in.
func (v *visitor) signIn(login string) {
	v.tr.t.Helper()
	p := v.tr.person(login)
	v.step("/signin", map[string]any{"login": login, "password": p.Password}, "second_factor")
	status, got := v.api("POST", "/signin/totp", map[string]any{"code": v.code(*p.TOTPSecret)})
	if status != http.StatusOK {
		v.tr.t.Fatalf("totp = %d %v", status, got)
	}
	if got["state"] == "acknowledge" {
		v.step("/signin/acknowledge", map[string]any{"version": got["version"]}, "signed_in")
	}
}

// TestDev walks through the first five minutes: a person signs in and reaches
// an application, the clock ends the session, and a restart forgets nothing.
func TestDev(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	tr := start(t, data)

	t.Run("dev.json tells where everything is", func(t *testing.T) {
		d := tr.d
		if u, err := url.Parse(d.URL); err != nil || u.Hostname() != "localhost" || u.Port() == "0" {
			t.Errorf("url = %q, want http://localhost with the real port", d.URL)
		}
		if !strings.HasPrefix(d.Control.URL, "http://127.0.0.1:") || d.Control.Token == "" || d.PID == 0 || d.Trail.PublicKey == "" {
			t.Errorf("control %+v, pid %d, trail %+v", d.Control, d.PID, d.Trail)
		}
		if len(d.Apps) != 3 || len(d.Networks) != 4 || len(d.Terminals) != 4 || !strings.Contains(d.Terminals[0].KeyPEM, "PRIVATE KEY") {
			t.Errorf("%d apps, %d networks, %d terminals", len(d.Apps), len(d.Networks), len(d.Terminals))
		}
		if d.RADIUS == nil || len(d.RADIUS.Secret) < 32 || !strings.HasPrefix(d.RADIUS.Addr, "127.0.0.1:") {
			t.Errorf("radius %+v", d.RADIUS)
		}
		if len(d.Privileges) == 0 || d.Privileges[0].ID != "db-admin" || len(d.Privileges[0].Eligible) < 2 || len(d.Privileges[0].Approvers) < 2 ||
			!d.Privileges[0].Emergency || d.Privileges[0].GroupDN == "" || d.Privileges[0].MaxMinutes != 60 || d.Privileges[0].Quorum != 1 {
			t.Errorf("privileges %+v", d.Privileges)
		}
	})

	t.Run("--reset would take away everything that dev made", func(t *testing.T) {
		names, err := os.ReadDir(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if n.Name() != ".sekisho-data" && n.Name() != "lock" && !folder.Made(n.Name()) {
				t.Errorf("%s would stay", n.Name())
			}
		}
	})

	t.Run("a person reaches the applications", func(t *testing.T) {
		v := tr.visitor()
		v.signIn("tanaka")
		for _, app := range tr.d.Apps {
			if app.Zone != "lgwan" {
				continue
			}
			status, page := v.browse(app.URL)
			if status != http.StatusOK || !strings.Contains(page, "tanaka") {
				t.Errorf("%s = %d, and does not show the login", app.ID, status)
			}
		}
	})

	t.Run("a stranger is shown the way in", func(t *testing.T) {
		status, page := tr.visitor().browse(tr.d.Apps[0].URL)
		if status != http.StatusOK || strings.Contains(page, "tanaka") || !strings.Contains(page, "password") {
			t.Errorf("a stranger got %d:\n%s", status, page)
		}
	})

	t.Run("a temporary password is changed and TOTP enrolled first", func(t *testing.T) {
		v, p := tr.visitor(), tr.person("shimizu")
		if !p.MustChange || p.TOTPSecret != nil {
			t.Fatalf("shimizu = %+v, want a temporary password and no device", p)
		}
		v.step("/signin", map[string]any{"login": p.Login, "password": p.Password}, "password_change")
		v.step("/signin/password", map[string]any{"new_password": "hatsuyuki-no-tsumoru-oka-97"}, "enrol")
		status, begun := v.api("POST", "/factors/totp/begin", map[string]any{})
		if status != http.StatusCreated && status != http.StatusOK {
			t.Fatalf("begin = %d %v", status, begun)
		}
		status, got := v.api("POST", "/factors/totp/finish", map[string]any{
			"id": begun["id"], "code": v.code(begun["secret"].(string)), "name": "phone",
		})
		if status/100 != 2 {
			t.Fatalf("finish = %d %v", status, got)
		}
		if status, got = v.api("POST", "/signin/acknowledge", map[string]any{"version": "2026-04"}); status != http.StatusOK {
			t.Fatalf("acknowledge = %d %v", status, got)
		}
		if status, got = v.api("GET", "/session", nil); status != http.StatusOK || got["login"] != "shimizu" {
			t.Errorf("session = %d %v", status, got)
		}
	})

	t.Run("those who may not sign in are refused alike", func(t *testing.T) {
		for _, login := range []string{"saito", "yamaguchi", "mori", "abe"} {
			status, got := tr.visitor().api("POST", "/signin", map[string]any{"login": login, "password": tr.person(login).Password})
			if status != http.StatusUnauthorized || got["code"] != "refused" {
				t.Errorf("%s = %d %v, want 401 refused", login, status, got["code"])
			}
		}
	})

	t.Run("the control clock moves everything and survives", func(t *testing.T) {
		v := tr.visitor()
		v.signIn("sato")
		before := v.date
		if code, said := tr.control("POST", "/clock", `{"advance_seconds": 86400}`); code != http.StatusOK {
			t.Fatalf("clock = %d %s", code, said)
		}
		if status, _ := v.api("GET", "/session", nil); status != http.StatusUnauthorized {
			t.Errorf("a day later the session answers %d, want 401", status)
		}
		if moved := v.date.Sub(before); moved < 24*time.Hour || moved > 25*time.Hour {
			t.Errorf("the Date header moved by %v, want a day", moved)
		}
		tr.stop()
		tr = start(t, data)
		again := tr.visitor()
		again.api("GET", "/session", nil)
		if again.date.Before(before.Add(24 * time.Hour)) {
			t.Errorf("after the restart it is %v, before the move it was %v", again.date, before)
		}
		again.signIn("takahashi")
		if code, list := tr.control("GET", "/mail", ""); code != http.StatusOK || strings.TrimSpace(list) != "[]" {
			t.Errorf("mail = %d %s", code, list)
		}
		if code, text := tr.control("GET", "/metrics", ""); code != http.StatusOK || !strings.Contains(text, "go_goroutines") {
			t.Errorf("metrics = %d", code)
		}
	})
}
