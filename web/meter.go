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
	up       *prometheus.GaugeVec
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
			Help: "Sign-in steps, by what was offered and by outcome: the state reached, or the code of the refusal.",
		}, []string{"method", "outcome"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_gate_checks_total",
			Help: "Questions of proxies and of dev's own, by outcome.",
		}, []string{"outcome"}),
	}
	// A counter that appears with its first value shows no increase: a spray on a gate
	// where nobody had failed yet would raise no alarm.
	for _, method := range []string{"password", "totp", "passkey", "card", "recovery_code"} {
		for _, code := range []string{CodeRefused, CodeHeld} {
			m.signins.WithLabelValues(method, code)
		}
	}
	m.up = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sekisho_dependency_up",
		Help: "Whether a dependency of /readyz answers (1) or not (0).",
	}, []string{"dependency"})
	reg.MustRegister(m.requests, m.refusals, m.signins, m.checks, m.up)
	return m
}

func (m *meter) request(route string, status int, code string, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())
	if code != "" {
		m.refusals.WithLabelValues(code).Inc()
	}
}

func (m *meter) dependency(name string, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	m.up.WithLabelValues(name).Set(v)
}

// CountSignIn counts one step of a sign-in: what was offered, and the state it
// reached or, with an error, the code of its refusal.
func (s *Server) CountSignIn(method, state string, err error) {
	if err != nil {
		state = ProblemOf(err).Code
	}
	s.meter.signins.WithLabelValues(method, state).Inc()
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
