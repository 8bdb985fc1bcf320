package house

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authz/project"
)

// projectLevels are what is told of projects. They are the store's, and the same at every
// gateway.
type projectLevels struct {
	projects, ids *prometheus.GaugeVec
	oldest        prometheus.Gauge
}

func newProjectLevels(reg prometheus.Registerer) *projectLevels {
	l := &projectLevels{
		projects: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sekisho_projects", Help: "Projects that IDs are bound to, by state."}, []string{"state"}),
		ids:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sekisho_project_ids", Help: "IDs of projects that are over and are not closed, by state; accounts whose end the directory is still to be told."}, []string{"state"}),
		oldest:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "sekisho_project_end_oldest_seconds", Help: "For how long the oldest of those ends has waited; 0 for none."}),
	}
	reg.MustRegister(l.projects, l.ids, l.oldest)
	return l
}

func (h *House) lookAtProjects(ctx context.Context) {
	l, err := h.Projects.Levels(ctx)
	if err != nil {
		h.complain(ctx, "looking at projects", err)
		return
	}
	for _, state := range project.States() {
		h.projects.projects.WithLabelValues(string(state)).Set(float64(l.Projects[state]))
	}
	for state, n := range map[string]int{"held": l.Held, "pending": l.Pending, "end_waiting": l.Ends} {
		h.projects.ids.WithLabelValues(state).Set(float64(n))
	}
	h.projects.oldest.Set(0)
	if l.Ends > 0 {
		h.projects.oldest.Set(max(0, h.Clock.Now().Sub(l.Since).Seconds()))
	}
}
