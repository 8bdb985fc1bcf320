package openid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/oidc"
)

// line is a queue that gives each client what there is room for, as the
// provider's does.
type line struct {
	mu      sync.Mutex
	clients []string
	due     map[string][]oidc.Word
	most    map[string]int // given to a client at once
	settled map[string]error
	changed chan struct{}
}

func newLine() *line {
	return &line{due: map[string][]oidc.Word{}, most: map[string]int{}, settled: map[string]error{}, changed: make(chan struct{}, 1<<16)}
}

func (l *line) add(client, uri string, n int) {
	l.clients = append(l.clients, client)
	for i := range n {
		l.due[client] = append(l.due[client], oidc.Word{ID: fmt.Sprint(client, "-", i), Client: client, URI: uri, Token: "t"})
	}
}

func (l *line) Queue(context.Context, *oidc.Since) error { return nil }
func (l *line) Claim(_ context.Context, room func(string, int) int) ([]oidc.Word, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []oidc.Word
	for _, c := range l.clients {
		if len(l.due[c]) == 0 {
			continue
		}
		n := min(room(c, 0), len(l.due[c]))
		l.most[c] = max(l.most[c], n)
		out = append(out, l.due[c][:n]...)
		l.due[c] = l.due[c][n:]
	}
	return out, nil
}
func (l *line) Settle(_ context.Context, w oidc.Word, failure error) (string, error) {
	l.mu.Lock()
	l.settled[w.ID] = failure
	l.mu.Unlock()
	l.changed <- struct{}{}
	return "told", nil
}
func (l *line) Waiting(context.Context) (int, error) { return 0, nil }

func (l *line) told(client string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, err := range l.settled {
		if err == nil && len(id) > len(client) && id[:len(client)+1] == client+"-" {
			n++
		}
	}
	return n
}

// TestHangingApplications: applications that never answer, one with words enough
// to fill every place, and more of them than there are places for those known to
// hang, delay no other: fifty are told all they have to be told while every one
// of the others still hangs.
func TestHangingApplications(t *testing.T) {
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hang.Close()
	defer close(release)
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer quick.Close()

	l := newLine()
	l.add("stuck", hang.URL, 500) // the oldest, and the most
	for i := range 40 {
		l.add(fmt.Sprintf("hangs%02d", i), hang.URL, 3)
	}
	for i := range 50 {
		l.add(fmt.Sprintf("quick%02d", i), quick.URL, 3)
	}
	h := NewHerald(l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	h.client.Timeout = 0 // they hang until the test is over
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	for told := 0; told < 150; told++ {
		select {
		case <-l.changed:
		case <-t.Context().Done():
			t.Fatalf("%d of 150 words were told", told)
		}
	}
	for i := range 50 {
		if n := l.told(fmt.Sprintf("quick%02d", i)); n != 3 {
			t.Errorf("application %d was told %d of 3", i, n)
		}
	}
	l.mu.Lock()
	if l.most["stuck"] != 1 {
		t.Errorf("an application of which nothing is known got %d tries at once", l.most["stuck"])
	}
	for id, err := range l.settled {
		if err != nil {
			t.Errorf("%s was settled with %v while it hung", id, err)
		}
	}
	l.mu.Unlock()
	stop()
	running.Wait()
}

// TestPaces: one that is silent gets a single try at a time, from places of its
// own; one that answers gets several; one that answers again is trusted again.
func TestPaces(t *testing.T) {
	l := newLine()
	h := NewHerald(l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	room := func(client string, tries int) (n int) {
		h.words = probe{l, func(ask func(string, int) int) { n = ask(client, tries) }}
		_ = h.round(t.Context())
		h.words = l
		return n
	}
	for _, tt := range []struct {
		name  string
		app   pace
		tries int
		fast  int
		slow  int
		want  int
	}{
		{"unknown", pace{}, 0, 0, 0, 1},
		{"unknown, tried before a restart", pace{}, 3, 0, 0, 1},
		{"answers", pace{answers: true}, 0, 0, 0, each},
		{"answers, and is being told", pace{answers: true, busy: each - 1}, 0, 0, 0, 1},
		{"answers, one word was refused before", pace{answers: true}, 3, 0, 0, each},
		{"silent", pace{silent: true}, 0, 0, 0, 1},
		{"silent, and being tried", pace{silent: true, busy: 1}, 0, 0, 0, 0},
		{"silent, with no place among the silent", pace{silent: true}, 0, 0, slowly, 0},
		{"unknown, and every silent place taken", pace{}, 0, 0, slowly, 1},
		{"answers, while all other places are taken", pace{answers: true}, 0, atOnce - slowly - 2, 0, 2},
	} {
		h.apps["x"], h.fast, h.slow = &tt.app, tt.fast, tt.slow
		if got := room("x", tt.tries); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	h.apps, h.fast, h.slow = map[string]*pace{}, 0, 0
	away := httptest.NewServer(http.NotFoundHandler())
	here := away.URL
	away.Close()
	l.add("a", here, 1)
	if err := h.Once(t.Context()); err != nil || !errors.Is(l.settled["a-0"], oidc.ErrSilent) || !h.apps["a"].silent || h.fast != 0 {
		t.Errorf("%v, %v, %+v", err, l.settled, h.apps["a"])
	}
	l.due["a"] = []oidc.Word{{ID: "a-1", Client: "a", URI: ""}}
	if err := h.Once(t.Context()); err != nil || h.apps["a"].silent || h.slow != 0 {
		t.Errorf("%v, %+v", err, h.apps["a"])
	}
}

// probe is a queue that only asks how much room there is.
type probe struct {
	*line
	ask func(func(string, int) int)
}

func (p probe) Claim(_ context.Context, room func(string, int) int) ([]oidc.Word, error) {
	p.ask(room)
	return nil, nil
}
