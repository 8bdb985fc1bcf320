package notice

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	queue "sekisho/authn/notice"
)

// meter holds what is counted.
type meter struct {
	notices *prometheus.CounterVec
	waiting prometheus.Gauge
	oldest  prometheus.Gauge
}

func newMeter(reg prometheus.Registerer) *meter {
	m := &meter{
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sekisho_notices_total",
			Help: "Tries to mail a copy of a notice, by kind and by what became of it: sent; retried, after a failure; undelivered, refused, unaddressed or withheld, for good.",
		}, []string{"kind", "outcome"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sekisho_notices_waiting",
			Help: "Copies of notices that wait to be mailed.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sekisho_notice_oldest_seconds",
			Help: "How long the oldest notice that waits to be mailed has been waiting; 0 when none waits.",
		}),
	}
	reg.MustRegister(m.notices, m.waiting, m.oldest)
	return m
}

// retried is what is counted beside the outcomes that end a copy.
const retried = "retried"

func (m *meter) count(k queue.Kind, outcome string) {
	if !slices.Contains(queue.Kinds(), k) {
		k = "unknown" // a later Sekisho on the same store has queued it
	}
	m.notices.WithLabelValues(string(k), outcome).Inc()
}
