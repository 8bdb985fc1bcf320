package openid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/oidc"
)

const (
	// look is how often ends of sessions are looked for: what was ended is to be
	// ended at applications too while the person is still walking away.
	look = 500 * time.Millisecond
	// within bounds one try.
	within = 5 * time.Second
	// atOnce bounds the tries that go on at the same time; slowly, those among
	// them that do not count on an answer: they have places of their own, so that
	// applications which hang, however many, take none of the others'.
	atOnce, slowly = 128, 16
	// each bounds the tries at one application that is known to answer. One that
	// is not gets a single one, which finds out.
	each = 8
)

// Words finds whom to tell that a session is over, and keeps how it went;
// authn/oidc is one.
type Words interface {
	Queue(ctx context.Context, since *oidc.Since) error
	Claim(ctx context.Context, room func(client string, tries int) int) ([]oidc.Word, error)
	Settle(ctx context.Context, w oidc.Word, failure error) (outcome string, err error)
	Waiting(ctx context.Context) (int, error)
}

// A Herald tells applications that a session is over (OpenID Connect
// Back-Channel Logout 1.0), for as long as it takes.
type Herald struct {
	words   Words
	log     *slog.Logger
	client  *http.Client
	told    *prometheus.CounterVec
	waiting prometheus.Gauge
	since   oidc.Since

	done chan struct{} // a try has ended, and there is room
	busy sync.WaitGroup
	mu   sync.Mutex
	apps map[string]*pace
	fast int // tries that go on now
	slow int
}

// A pace is how one application takes what it is told.
type pace struct {
	busy    int
	answers bool // the last try was answered
	silent  bool // the last try was not
}

// NewHerald makes a Herald. Run sets it to work.
func NewHerald(words Words, log *slog.Logger, registry *prometheus.Registry) *Herald {
	h := &Herald{
		words: words, log: log, done: make(chan struct{}, 1), apps: map[string]*pace{},
		client: &http.Client{
			Timeout: within,
			// A redirect would take the word to somebody that the policy does not name.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		told: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_openid_logouts_total",
			Help: "Tries to tell an application of the end of a session, by outcome (told, retry, given_up).",
		}, []string{"outcome"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sekisho_openid_logouts_waiting",
			Help: "Applications that have not yet been told of the end of a session.",
		}),
	}
	registry.MustRegister(h.told, h.waiting)
	return h
}

// Run tells until ctx ends, and what it has begun to the end. Looking and telling
// do not wait for each other, nor one application for another.
func (h *Herald) Run(ctx context.Context) {
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		h.every(ctx, nil, "looking for sessions that are over", func() error { return h.words.Queue(ctx, &h.since) })
	})
	h.every(ctx, h.done, "telling applications of sign-outs", func() error { return h.round(ctx) })
	h.busy.Wait()
}

func (h *Herald) every(ctx context.Context, also <-chan struct{}, what string, do func() error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-also:
		}
		if err := do(); err != nil && ctx.Err() == nil {
			h.log.Warn(what+" failed; it is tried again", "error", err)
		}
	}
}

// Once looks for what ended, tells whoever is due, and waits until they are told.
func (h *Herald) Once(ctx context.Context) error {
	if err := h.words.Queue(ctx, &h.since); err != nil {
		return err
	}
	err := h.round(ctx)
	h.busy.Wait()
	return err
}

// round begins as many tries as there is room for.
func (h *Herald) round(ctx context.Context) error {
	h.mu.Lock()
	fast, slow := atOnce-slowly-h.fast, slowly-h.slow
	h.mu.Unlock()
	due, err := h.words.Claim(ctx, func(client string, tries int) int {
		h.mu.Lock()
		defer h.mu.Unlock()
		a, left := h.app(client), &fast
		most := 1
		switch {
		case a.silent || tries > 0 && !a.answers:
			left = &slow
		case a.answers:
			most = each
		}
		n := max(0, min(most-a.busy, *left))
		*left -= n
		return n
	})
	for _, w := range due {
		h.begin(ctx, w)
	}
	n, failed := h.words.Waiting(ctx)
	if failed == nil {
		h.waiting.Set(float64(n))
	}
	return errors.Join(err, failed)
}

func (h *Herald) app(client string) *pace {
	a := h.apps[client]
	if a == nil {
		a = &pace{}
		h.apps[client] = a
	}
	return a
}

// begin tells one application, and makes room afterwards.
func (h *Herald) begin(ctx context.Context, w oidc.Word) {
	h.mu.Lock()
	a := h.app(w.Client)
	place := &h.fast
	if a.silent || w.Tried() && !a.answers {
		place = &h.slow
	}
	a.busy++
	*place++
	h.mu.Unlock()
	h.busy.Go(func() {
		failure := h.tell(ctx, w)
		// What was found out is kept, also when we stop meanwhile.
		keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
		defer cancel()
		outcome, err := h.words.Settle(keep, w, failure)
		if err != nil {
			h.log.Warn("keeping how an application took a sign-out failed; it is told again", "client", w.Client, "error", err)
		} else {
			h.told.WithLabelValues(outcome).Inc()
		}
		h.mu.Lock()
		a.busy--
		*place--
		a.silent = errors.Is(failure, oidc.ErrSilent)
		a.answers = !a.silent
		h.mu.Unlock()
		select {
		case h.done <- struct{}{}:
		default:
		}
	})
}

// tell is section 2.5. The error names no token.
func (h *Herald) tell(ctx context.Context, w oidc.Word) error {
	if w.URI == "" {
		return errors.New("the policy names no address any more")
	}
	body := url.Values{"logout_token": {w.Token}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URI, strings.NewReader(body))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := h.client.Do(req)
	if err != nil && ctx.Err() != nil {
		return errors.New("we were stopped meanwhile")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", oidc.ErrSilent, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10)) // what it says does not matter
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("it answered %d", resp.StatusCode)
	}
	return nil
}
