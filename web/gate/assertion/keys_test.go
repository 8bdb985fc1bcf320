package assertion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// publisher is the gate's part: what it answers, and how often it was asked.
type publisher struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  atomic.Int32
	now    time.Time
}

func newPublisher(t *testing.T) (*publisher, *Verifier) {
	t.Helper()
	p := &publisher{now: t0}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		p.mu.Lock()
		answer := p.answer
		p.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	v, err := New(Config{Issuer: issuer, Audience: app, KeysURL: p.URL, Now: p.time})
	if err != nil {
		t.Fatal(err)
	}
	return p, v
}

func (p *publisher) time() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *publisher) advance(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *publisher) set(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *publisher) publish(set []byte) {
	p.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
}

func (p *publisher) fail() {
	p.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
}

// TestKeysAreKept walks through a day of an application: which question reaches
// the gate, and what is gone by when it is away.
func TestKeysAreKept(t *testing.T) {
	p, v := newPublisher(t)
	a, b := newKey(t), newKey(t)
	k1, k2 := jwkOf(t, "k1", a), jwkOf(t, "k2", b)
	by := func(kid string) string {
		key := a
		if kid == "k2" {
			key = b
		}
		now := p.time()
		c := good()
		c["iat"], c["nbf"], c["exp"] = now.Unix(), now.Unix(), now.Add(time.Minute).Unix()
		return sign(t, jwt.SigningMethodES256, key, map[string]any{"kid": kid}, c)
	}
	step := func(name, kid string, want error, asked int32) {
		t.Helper()
		before := p.asked.Load()
		_, err := v.Verify(context.Background(), by(kid))
		if want == nil && err != nil || !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if got := p.asked.Load() - before; got != asked {
			t.Errorf("%s: the gate was asked %d times, want %d", name, got, asked)
		}
	}
	p.fail()
	step("the gate is not there yet", "k1", ErrKeys, 1)
	step("and is not asked again at once", "k1", ErrKeys, 0)
	p.publish(setOf(t, k1))
	p.advance(pauseAfterFailure)
	step("it is there", "k1", nil, 1)
	step("kept", "k1", nil, 0)
	step("a key that nobody has, soon after", "k9", ErrRefused, 0)
	p.advance(pause)
	step("a key that nobody has", "k9", ErrRefused, 1)
	for range 100 {
		step("and again and again", "k9", ErrRefused, 0)
	}
	step("which keeps nobody else out", "k1", nil, 0)
	p.publish(setOf(t, k1, k2))
	step("a new key within the pause", "k2", ErrRefused, 0)
	p.advance(pause)
	step("a new key", "k2", nil, 1)
	p.publish(setOf(t, k2))
	p.advance(fresh - time.Second)
	step("withdrawn a moment ago", "k1", nil, 0)
	p.advance(time.Second)
	step("withdrawn", "k1", ErrRefused, 1)
	p.fail()
	p.advance(fresh)
	step("the gate is away, what is known is good", "k2", nil, 1)
	step("for a second nobody asks", "k2", nil, 0)
	p.advance(kept - fresh - time.Second)
	step("up to an hour", "k2", nil, 1)
	p.advance(time.Second)
	step("and no longer", "k2", ErrKeys, 1)
	p.publish(setOf(t, k2))
	p.advance(pauseAfterFailure)
	step("it is back", "k2", nil, 1)
	p.advance(-time.Hour)
	step("a clock that was set back makes nothing younger", "k2", nil, 0) // within the pause
}

func TestKeysAnswers(t *testing.T) {
	key := newKey(t)
	set := setOf(t, jwkOf(t, "k1", key))
	text := sign(t, jwt.SigningMethodES256, key, nil, good())
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer elsewhere.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"an error":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"not found":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); _, _ = w.Write(set) },
		"sent elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"nothing":        func(http.ResponseWriter, *http.Request) {},
		"a page":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html>") },
		"a key too few":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"without end":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", 8<<20), string(set)) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(set)
		},
		"broken in hiding": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			p, v := newPublisher(t)
			p.set(answer)
			if _, err := v.Verify(context.Background(), text); !errors.Is(err, ErrKeys) {
				t.Errorf("%v", err)
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set(Header, text)
			v.Require(http.NotFoundHandler()).ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("the middleware answers %d", w.Code)
			}
		})
	}
}

// TestOneAsks: a hundred requests at once ask the gate once, and one that goes
// away takes nobody with it.
func TestOneAsks(t *testing.T) {
	p, v := newPublisher(t)
	key := newKey(t)
	text := sign(t, jwt.SigningMethodES256, key, nil, good())
	set := setOf(t, jwkOf(t, "k1", key))
	began, answer := make(chan struct{}), make(chan struct{})
	p.set(func(w http.ResponseWriter, _ *http.Request) {
		close(began) // a second time would panic
		<-answer
		_, _ = w.Write(set)
	})
	gone, leave := context.WithCancel(context.Background())
	var all sync.WaitGroup
	first := make(chan error, 1)
	all.Go(func() { _, err := v.Verify(gone, text); first <- err })
	<-began
	leave()
	for range 100 {
		all.Go(func() {
			if _, err := v.Verify(context.Background(), text); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := v.Verify(gone, text); !errors.Is(err, ErrKeys) {
		t.Errorf("one who does not wait: %v", err)
	}
	close(answer)
	all.Wait()
	if err := <-first; err != nil {
		t.Errorf("the one who asked: %v", err)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the gate was asked %d times", n)
	}
}
