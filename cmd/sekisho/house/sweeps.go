package house

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authz/lifecycle"
)

// sweepLevels are what is told of the sweeps for unused IDs. They are the store's, and
// the same at every gateway.
type sweepLevels struct {
	last, people, halted prometheus.Gauge
	ids, findings        *prometheus.GaugeVec
}

func newSweepLevels(reg prometheus.Registerer) *sweepLevels {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	several := func(name, help, label string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
		reg.MustRegister(g)
		return g
	}
	return &sweepLevels{
		last:     gauge("sekisho_sweep_last_timestamp_seconds", "When a sweep for unused IDs last came to its end; 0 for never."),
		people:   gauge("sekisho_sweep_people", "IDs of the directory that it read."),
		halted:   gauge("sekisho_sweep_halted", "Sweeps that have stopped and wait for somebody's decision."),
		ids:      several("sekisho_sweep_ids", "What became of the IDs that it was to act on.", "outcome"),
		findings: several("sekisho_lifecycle_findings", "Open findings of the sweeps.", "kind"),
	}
}

// sweepsEvery is how often they are read.
const sweepsEvery = 15 * time.Second

func (h *House) lookAtSweeps(ctx context.Context) {
	l, err := h.Lifecycle.Levels(ctx)
	if err != nil {
		h.complain(ctx, "looking at the sweeps for unused IDs", err)
		return
	}
	if !l.Last.EndedAt.IsZero() {
		h.sweeps.last.Set(float64(l.Last.EndedAt.Unix()))
	}
	h.sweeps.people.Set(float64(l.Last.People))
	h.sweeps.halted.Set(float64(l.Halted))
	for outcome, n := range map[string]int{
		"warned": l.Last.Warned, "disabled": l.Last.Disabled, "proposed": l.Last.Proposed, "passed_over": l.Last.PassedOver, "failed": l.Last.Failed,
	} {
		h.sweeps.ids.WithLabelValues(outcome).Set(float64(n))
	}
	for _, k := range lifecycle.FindingKinds() {
		h.sweeps.findings.WithLabelValues(string(k)).Set(float64(l.Findings[k]))
	}
}
