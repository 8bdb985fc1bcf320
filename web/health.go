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

func healthz(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(`{"status":"ok"}` + "\n"))
}

// readyz asks everything at once. The reader hears names, the log the causes:
// an address or a DN in an error is nobody's business.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkWithin)
	defer cancel()
	errs := make([]error, len(s.cfg.Ready))
	var wg sync.WaitGroup
	for i, c := range s.cfg.Ready {
		wg.Go(func() { errs[i] = c.Ask(ctx) })
	}
	wg.Wait()
	answer := struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
		Down   []string          `json:"down"`
	}{"ok", map[string]string{}, []string{}}
	for i, c := range s.cfg.Ready {
		answer.Checks[c.Name] = "ok"
		if errs[i] != nil {
			answer.Status, answer.Checks[c.Name] = "down", "down"
			answer.Down = append(answer.Down, c.Name)
			s.log.Warn("not ready", "dependency", c.Name, "cause", errs[i].Error())
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if len(answer.Down) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}
