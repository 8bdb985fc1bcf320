package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type readyAnswer struct {
	Status string
	Checks []struct {
		Name, Since, Detail string
		OK, Degrades        bool
	}
	Down, Degraded []string
}

func ready(t *testing.T, h http.Handler) (int, readyAnswer) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	var a readyAnswer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return w.Code, a
}

// TestReadiness: what is needed takes the gateway out of the balancer, what only
// degrades does not; since says when it began; strangers hear no cause; a
// gateway that is stopping says so before anything else.
func TestReadiness(t *testing.T) {
	at := time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)
	var directory, mail error
	s, log := newServer(t, func(c *Config) {
		c.Now = func() time.Time { return at }
		c.Ready = []Check{
			{Name: "directory", Ask: func(context.Context) error { return directory }},
			{Name: "mail", Ask: func(context.Context) error { return mail }, Degrades: true},
		}
	})
	public, inside := s.ReadyHandler(false), s.ReadyHandler(true)
	for _, step := range []struct {
		name            string
		directory, mail error
		code            int
		status          string
		since           [2]string
	}{
		{"all well", nil, nil, 200, StatusOK, [2]string{"09:00", "09:00"}},
		{"mail is away", nil, errors.New("canary 10.0.0.25"), 200, StatusDegraded, [2]string{"09:00", "09:02"}},
		{"and the directory", errors.New("canary 10.0.0.9"), errors.New("canary again"), 503, StatusDown, [2]string{"09:03", "09:02"}},
		{"still", errors.New("canary"), errors.New("canary"), 503, StatusDown, [2]string{"09:03", "09:02"}},
		{"the directory is back", nil, errors.New("canary"), 200, StatusDegraded, [2]string{"09:05", "09:02"}},
	} {
		at = at.Add(time.Minute)
		directory, mail = step.directory, step.mail
		code, a := ready(t, public)
		if code != step.code || a.Status != step.status || len(a.Checks) != 2 {
			t.Errorf("%s: %d %+v", step.name, code, a)
			continue
		}
		for i, c := range a.Checks {
			if want := "2026-04-01T" + step.since[i] + ":00Z"; c.Since != want {
				t.Errorf("%s: %s since %s, want %s", step.name, c.Name, c.Since, want)
			}
			if c.Detail != "" {
				t.Errorf("%s: a stranger hears %q", step.name, c.Detail)
			}
		}
		_, a = ready(t, inside)
		if step.mail != nil && !strings.Contains(a.Checks[1].Detail, "canary") {
			t.Errorf("%s: the operator hears nothing: %+v", step.name, a)
		}
	}
	if n := strings.Count(log.String(), "a dependency is"); n != 3 {
		t.Errorf("%d lines for three changes:\n%s", n, log)
	}
	s.Drain()
	if code, a := ready(t, public); code != 503 || a.Status != StatusStopping {
		t.Errorf("stopping: %d %+v", code, a)
	}
	if resp := send(s, "GET", "/healthz", ""); resp.StatusCode != 200 || resp.Header.Get("Connection") != "close" {
		t.Errorf("while stopping: %d %v", resp.StatusCode, resp.Header)
	}
}

// TestReadinessIsShared: a crowd at /readyz asks each dependency once.
func TestReadinessIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		wait := make(chan struct{})
		s, _ := newServer(t, func(c *Config) {
			c.Ready = []Check{{Name: "directory", Ask: func(context.Context) error {
				asked.Add(1)
				<-wait
				return nil
			}}}
		})
		var crowd sync.WaitGroup
		for range 21 {
			crowd.Go(func() { s.Examine(t.Context()) })
		}
		synctest.Wait() // one of them asks, the others wait for what it hears
		close(wait)
		crowd.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times for 21 callers", n)
		}
		s.Examine(t.Context())
		if n := asked.Load(); n != 2 {
			t.Errorf("who comes later is told what was heard before: asked %d times", n)
		}
	})
}

// TestAccessLine: a request has a line at debug alone, our own fault at any
// level; the id in it is the answer's and the problem's.
func TestAccessLine(t *testing.T) {
	var log bytes.Buffer
	s, _ := newServer(t, func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.Mount("GET /api/v1/x", func(http.ResponseWriter, *Request) error { return Say(CodeForbidden, testPolicy.Applications[0].Name) })
	resp := send(s, "GET", "/api/v1/x?code=canary", "", "X-Request-Id: from-the-proxy")
	b, _ := io.ReadAll(resp.Body)
	if id := "from-the-proxy"; resp.Header.Get("X-Request-Id") != id || strings.Contains(string(b), id) || !strings.Contains(log.String(), id) {
		t.Errorf("%v %s\n%s", resp.Header, b, &log)
	}
	for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		if strings.Contains(line, `"msg":"request"`) && !strings.Contains(line, `"level":"DEBUG"`) || strings.Contains(line, "canary") {
			t.Errorf("line: %s", line)
		}
	}
	log.Reset()
	s.Mount("GET /api/v1/y", func(http.ResponseWriter, *Request) error { return errors.New("broke") })
	resp = send(s, "GET", "/api/v1/y", "")
	if _, _, body := problem(t, resp); body["request_id"] != resp.Header.Get("X-Request-Id") || body["request_id"] == "" {
		t.Errorf("%v is not told the id that its answer has: %v", body, resp.Header)
	}
	if !strings.Contains(log.String(), `"level":"ERROR"`) || !strings.Contains(log.String(), "broke") || !strings.Contains(log.String(), `"duration_ms":`) {
		t.Errorf("our own fault: %s", &log)
	}
	log.Reset()
	send(s, "GET", "/healthz", "")
	if !strings.Contains(log.String(), `"route":"GET /healthz"`) {
		t.Errorf("a bare handler at debug: %s", &log)
	}
}

// TestTrace: a watcher sees each request by its route and how it ended, and is
// told of a parent by trusted proxies alone.
func TestTrace(t *testing.T) {
	var seen []string
	s, _ := newServer(t, func(c *Config) {
		c.Trace = func(ctx context.Context, route string, parent http.Header) (context.Context, func(int, error)) {
			return ctx, func(status int, _ error) {
				seen = append(seen, route+" "+http.StatusText(status)+" "+parent.Get("Traceparent"))
			}
		}
	})
	s.Mount("GET /x/{id}", func(http.ResponseWriter, *Request) error { return nil })
	send(s, "GET", "/x/tanaka?code=1", "", "Traceparent: 00-a")
	send(s, "GET", "/healthz", "")
	stranger := httptest.NewRequest("GET", "http://localhost:8080/nowhere", nil)
	stranger.RemoteAddr = "203.0.113.9:4000"
	stranger.Header.Set("Traceparent", "00-b")
	s.ServeHTTP(httptest.NewRecorder(), stranger)
	if want := []string{"GET /x/{id} OK 00-a", "GET /healthz OK ", "none Not Found "}; strings.Join(seen, "|") != strings.Join(want, "|") {
		t.Errorf("seen %q, want %q", seen, want)
	}
}
