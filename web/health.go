package web

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// checkWithin bounds one dependency's answer to /readyz.
const checkWithin = 2 * time.Second

// A Check is something the process depends on, asked by /readyz.
type Check struct {
	Name string // as an operator knows it: "store", "directory"
	Ask  func(ctx context.Context) error
	// Degrades says that without it less is possible, but no other gateway could
	// do better: a balancer should go on sending requests here.
	Degrades bool
}

// What a gateway is.
const (
	StatusOK       = "ok"
	StatusDegraded = "degraded" // something is away that is not needed for most
	StatusDown     = "down"     // something is away that is needed: ask another gateway
	StatusStopping = "stopping" // it answers, and will soon stop to
)

// A Finding is what a check came to.
type Finding struct {
	Name     string
	Err      error // nil: all is well
	Since    time.Time
	Degrades bool
}

// A readiness remembers since when each check has come to what it comes to now.
type readiness struct {
	mu    sync.Mutex
	found []Finding
	last  *examination // the newest begun; callers who come while it runs share it
}

type examination struct {
	done  chan struct{}
	found []Finding
}

func newReadiness(checks []Check, now time.Time) *readiness {
	r := &readiness{found: make([]Finding, len(checks))}
	for i, c := range checks {
		r.found[i] = Finding{Name: c.Name, Degrades: c.Degrades, Since: now}
	}
	return r
}

// Examine asks everything the process depends on, all at once, and logs what
// has changed. Callers at the same moment share one look, so that a crowd at
// /readyz is no crowd at the directory.
func (s *Server) Examine(ctx context.Context) []Finding {
	s.ready.mu.Lock()
	if e := s.ready.last; e != nil {
		select {
		case <-e.done:
		default:
			s.ready.mu.Unlock()
			<-e.done // within checkWithin
			return e.found
		}
	}
	e := &examination{done: make(chan struct{})}
	s.ready.last = e
	s.ready.mu.Unlock()
	defer close(e.done)

	// Others wait for the answer too: it does not end with the first who asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWithin)
	defer cancel()
	errs := make([]error, len(s.cfg.Ready))
	var wg sync.WaitGroup
	for i, c := range s.cfg.Ready {
		wg.Go(func() { errs[i] = c.Ask(ctx) })
	}
	wg.Wait()
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	now := s.cfg.Now()
	for i := range s.ready.found {
		f := &s.ready.found[i]
		was, is := f.Err, errs[i]
		if (was == nil) != (is == nil) {
			f.Since = now
		}
		f.Err = is
		switch {
		case is != nil && was == nil:
			s.log.Warn("a dependency is away", "dependency", f.Name, "error", is)
		case is == nil && was != nil:
			s.log.Warn("a dependency is back", "dependency", f.Name)
		}
		s.meter.dependency(f.Name, is == nil)
	}
	e.found = append(e.found, s.ready.found...)
	return e.found
}

// Drain makes /readyz say that the process is about to stop, so that balancers
// look elsewhere, and asks clients not to keep their connections. Everything is
// still answered.
func (s *Server) Drain() { s.draining.Store(true) }

func healthz(w http.ResponseWriter, _ *http.Request) {
	plainJSON(w.Header())
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

func plainJSON(h http.Header) {
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// ReadyHandler is /readyz. A stranger hears names alone: an address or a DN in
// an error is nobody's business. With detail, for the operators' listener, the
// causes are said.
func (s *Server) ReadyHandler(detail bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		type check struct {
			Name     string `json:"name"`
			OK       bool   `json:"ok"`
			Since    string `json:"since"`
			Degrades bool   `json:"degrades,omitempty"`
			Detail   string `json:"detail,omitempty"`
		}
		answer := struct {
			Status   string   `json:"status"`
			Checks   []check  `json:"checks"`
			Down     []string `json:"down"`
			Degraded []string `json:"degraded"`
		}{StatusOK, []check{}, []string{}, []string{}}
		for _, f := range s.Examine(r.Context()) {
			c := check{Name: f.Name, OK: f.Err == nil, Since: f.Since.UTC().Format(time.RFC3339), Degrades: f.Degrades}
			if detail && f.Err != nil {
				c.Detail = f.Err.Error()
			}
			answer.Checks = append(answer.Checks, c)
			switch {
			case f.Err == nil:
			case f.Degrades:
				answer.Degraded = append(answer.Degraded, f.Name)
			default:
				answer.Down = append(answer.Down, f.Name)
			}
		}
		code := http.StatusOK
		switch {
		case s.draining.Load():
			answer.Status, code = StatusStopping, http.StatusServiceUnavailable
		case len(answer.Down) > 0:
			answer.Status, code = StatusDown, http.StatusServiceUnavailable
		case len(answer.Degraded) > 0:
			answer.Status = StatusDegraded
		}
		plainJSON(w.Header())
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer) // the asker has gone
	})
}
