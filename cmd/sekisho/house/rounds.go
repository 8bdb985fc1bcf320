package house

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authz/recertify"
)

// roundLevels are what is told of recertifications. They are the store's, and the same at
// every gateway.
type roundLevels struct{ rounds, lines *prometheus.GaugeVec }

func newRoundLevels(reg prometheus.Registerer) *roundLevels {
	several := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"state"})
		reg.MustRegister(g)
		return g
	}
	return &roundLevels{
		rounds: several("sekisho_recertification_rounds", "Rounds of recertification that go on, by state."),
		lines:  several("sekisho_recertification_lines", "Lines of them, by state; what is still to be ended, of all rounds."),
	}
}

func (h *House) lookAtRounds(ctx context.Context) {
	l, err := h.Recertify.Levels(ctx)
	if err != nil {
		h.complain(ctx, "looking at recertifications", err)
		return
	}
	for state, n := range map[string]int{"open": l.Open, "overdue": l.Overdue, "halted": l.Halted} {
		h.rounds.rounds.WithLabelValues(state).Set(float64(n))
	}
	for _, state := range recertify.LineStates() {
		h.rounds.lines.WithLabelValues(string(state)).Set(float64(l.Lines[state]))
	}
}
