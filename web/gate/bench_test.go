package gate

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"sekisho/authn/session"
	"sekisho/policy/clock"
)

// cookieOf lets a cookie stand for a session of the application "up".
type cookieOf struct{ *world }

func (c *cookieOf) LoadAt(ctx context.Context, at clock.Moment, cookie string) (session.Loaded, error) {
	if cookie != "k.up" {
		return c.world.LoadAt(ctx, at, cookie)
	}
	u, err := c.world.LoadAt(ctx, at, "k.juki")
	u.Session.ID, u.Session.App = "k.up", "up"
	return u, err
}

// BenchmarkCheck is the gate's own part of a check of a session in memory.
func BenchmarkCheck(b *testing.B) {
	_, srv, _ := newWorld(b)
	r := httptest.NewRequest("GET", "http://localhost:8080/auth/check", nil)
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("X-Original-URL", "http://juki.localhost:8080/a?b=c")
	r.Header.Set("X-Original-Method", "GET")
	r.Header.Set("X-Forwarded-For", "10.1.2.3")
	r.Header.Set("Cookie", "a=b; __Host-sekisho-app=k.juki")
	w := &nothing{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		if srv.ServeHTTP(w, r); w.status != 200 {
			b.Fatal(w.status)
		}
	}
}

type nothing struct {
	h      http.Header
	status int
}

func (n *nothing) Header() http.Header         { return n.h }
func (n *nothing) Write(p []byte) (int, error) { return len(p), nil }
func (n *nothing) WriteHeader(status int)      { n.status = status }
