// Package control is dev's back door, and dev's alone: it moves Sekisho's clock
// forward, shows the mail that would have been sent, and serves the metrics.
//
// Whoever may move the clock may outlive every time limit there is, so the door
// listens on loopback, asks for a token that only DATA/dev.json holds, and is
// built by `dev` and by nothing else. It knows neither people nor sessions.
package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"sekisho/policy/clock"
)

// Farthest is how far ahead of the machine the clock may be moved in all: eleven
// years, enough to see the longest retention (ten years) come to its end.
const Farthest = 11 * 366 * 24 * time.Hour

// A Door is the control listener's handler.
type Door struct {
	Token   string
	Clock   *clock.Offset
	Keep    func(advance time.Duration) error // persists the advance; it must survive a restart before it is answered
	Mail    *Outbox
	Metrics http.Handler

	moving sync.Mutex
}

// Handler serves POST /clock, GET /mail and GET /metrics, each only with the
// bearer token.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /clock", d.clock)
	mux.HandleFunc("GET /mail", d.mail)
	mux.Handle("GET /metrics", d.Metrics)
	return d.guard(mux)
}

// guard compares digests, so that neither the time taken nor an early end tells
// how much of a guess was right or how long the token is.
func (d *Door) guard(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(d.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		if !ok || d.Token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="sekisho dev control"`)
			refuse(w, http.StatusUnauthorized, "The bearer token in dev.json opens this door.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (d *Door) clock(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		AdvanceSeconds *int64 `json:"advance_seconds"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ask); err != nil || ask.AdvanceSeconds == nil {
		refuse(w, http.StatusBadRequest, `The body is {"advance_seconds": N}.`)
		return
	}
	d.moving.Lock()
	defer d.moving.Unlock()
	left := Farthest - d.Clock.By()
	if *ask.AdvanceSeconds < 0 || *ask.AdvanceSeconds > int64(left/time.Second) {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("advance_seconds is between 0 and %d: time does not run backwards here.", int64(left/time.Second)))
		return
	}
	step := time.Duration(*ask.AdvanceSeconds) * time.Second
	// Kept first: a clock that moved and was forgotten by a crash would run
	// backwards at the next start.
	if err := d.Keep(d.Clock.By() + step); err != nil {
		refuse(w, http.StatusInternalServerError, "The advance could not be kept, so the clock was not moved: "+err.Error())
		return
	}
	d.Clock.Add(step)
	answer(w, http.StatusOK, map[string]any{
		"advance_seconds": int64(d.Clock.By() / time.Second),
		"now":             d.Clock.Now().UTC().Format(time.RFC3339),
	})
}

func (d *Door) mail(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, d.Mail.All())
}

func refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, map[string]any{"title": http.StatusText(code), "status": code, "detail": why})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the reader has gone; there is nobody to tell
}
