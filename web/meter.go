package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// meter holds what is counted. No label takes a value that a stranger chooses,
// so the number of series is bounded by what is mounted.
type meter struct {
	requests *prometheus.HistogramVec
	refusals *prometheus.CounterVec
	signins  *prometheus.CounterVec
	checks   *prometheus.CounterVec
}

func newMeter(reg *prometheus.Registry) *meter {
	m := &meter{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sekisho_http_request_duration_seconds",
			Help:    "Time to answer, by route and class of status.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10},
		}, []string{"route", "status"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_http_refusals_total",
			Help: "Requests answered with an error, by its code.",
		}, []string{"code"}),
		signins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_signin_steps_total",
			Help: "Sign-in steps, by outcome: the state reached, or the code of the refusal.",
		}, []string{"outcome"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_gate_checks_total",
			Help: "Questions of proxies and of dev's own, by outcome.",
		}, []string{"outcome"}),
	}
	reg.MustRegister(m.requests, m.refusals, m.signins, m.checks)
	return m
}

func (m *meter) request(route string, status int, code string, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())
	if code != "" {
		m.refusals.WithLabelValues(code).Inc()
	}
}

// CountSignIn counts one step of a sign-in: the state it reached or, with an
// error, the code of its refusal. Pages and API count through the same door.
func (s *Server) CountSignIn(state string, err error) {
	if err != nil {
		state = ProblemOf(err).Code
	}
	s.meter.signins.WithLabelValues(state).Inc()
}

// CheckCounter counts the answers of /auth/check of one outcome. It is looked
// up once, not on the path of each request.
func (s *Server) CheckCounter(outcome string) prometheus.Counter {
	return s.meter.checks.WithLabelValues(outcome)
}

// MetricsHandler is /metrics, for a listener of its own: what it tells is for
// operators alone.
func (s *Server) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{})
}
