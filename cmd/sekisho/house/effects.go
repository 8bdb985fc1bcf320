package house

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sekisho/authn/notice"
	"sekisho/authz/elevate"
	"sekisho/authz/sealed"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// watchers hear of privilege that no lease accounts for.
type watchers struct {
	h      *House
	people atomic.Pointer[[]directory.PersonID]
}

// watching are the posts that hear of it.
var watching = []policy.PostID{policy.CSIRT, policy.SecurityOfficer}

// look asks the directory who they are. While it is away, those who were hear.
func (w *watchers) look(ctx context.Context) {
	seen := map[directory.PersonID]bool{}
	var people []directory.PersonID
	rules := w.h.inForce()
	for _, id := range watching {
		post, ok := rules.Post(id)
		if !ok || post.Group == "" {
			continue
		}
		holders, err := w.h.Directory.Holders(ctx, post.Group)
		if err != nil {
			w.h.complain(ctx, "asking who hears of findings", err)
			return
		}
		for _, p := range holders {
			if !seen[p.ID] {
				seen[p.ID] = true
				people = append(people, p.ID)
			}
		}
	}
	w.people.Store(&people)
}

// tell is elevate's Tell: it queues a notice for each of them.
func (w *watchers) tell(ctx context.Context, tx *store.Tx, f elevate.Finding) error {
	people, rules := w.people.Load(), w.h.inForce()
	if people == nil {
		return nil
	}
	for _, z := range rules.Zones {
		if !notice.Mails(rules, z.ID) {
			continue
		}
		removed := ""
		if !f.RemovedAt.IsZero() {
			removed = "yes"
		}
		account := f.Login
		if account == "" {
			account = f.Subject
		}
		// That an emergency ID is meant is told where the register knows its name.
		known, err := w.h.Sealed.Known(ctx, tx, f.Login, f.Subject)
		if err != nil {
			return err
		}
		for _, id := range *people {
			err := w.h.Notices.Add(ctx, tx, notice.Notice{Person: id, Kind: notice.PrivilegeFound, Zone: z.ID, Detail: map[string]string{
				"finding": string(f.Kind), "account": account, "object": f.Place, "privilege": f.Privilege, "removed": removed,
				"sealed": strings.Join(known, ", "),
			}})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// effectLevels are what is told of effects outside. They are the store's, and the
// same at every gateway.
type effectLevels struct {
	waiting, oldest, findings, untaken, compared prometheus.Gauge

	reviews, reviewsOverdue, envelopesOpen, envelopesOverdue prometheus.Gauge
}

func newEffectLevels(reg prometheus.Registerer) *effectLevels {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	return &effectLevels{
		gauge("sekisho_elevation_undo_waiting", "Effects of leases that are to be undone in the directory and are not yet, of all gateways."),
		gauge("sekisho_elevation_undo_oldest_seconds", "For how long the oldest of them should have been gone; 0 for none."),
		gauge("sekisho_elevation_findings", "Open findings: privilege in the directory that no lease accounts for, or the other way round."),
		gauge("sekisho_elevation_findings_untaken", "Open findings that nobody has taken up."),
		gauge("sekisho_elevation_compared_timestamp_seconds", "When the directory was last compared with the leases as a whole; 0 for never."),
		gauge("sekisho_approval_reviews_waiting", "Acting decisions that a holder of the post has not looked at yet."),
		gauge("sekisho_approval_reviews_overdue", "Those of them whose date has passed."),
		gauge("sekisho_emergency_ids_open", "Emergency IDs of the register whose envelope is open."),
		gauge("sekisho_emergency_ids_overdue", "Emergency IDs of the register of which something is owed past its date."),
	}
}

// effectsEvery is how often they are read.
const effectsEvery = 10 * time.Second

func (h *House) lookAtEffects(ctx context.Context) {
	waiting, err := h.Effects.Waiting(ctx)
	if err == nil {
		h.effects.waiting.Set(float64(waiting.Count))
		oldest := 0.0
		if !waiting.Oldest.IsZero() {
			oldest = max(0, h.Clock.Now().Sub(waiting.Oldest).Seconds())
		}
		h.effects.oldest.Set(oldest)
	}
	open, untaken, other := h.Effects.OpenFindings(ctx)
	if other == nil {
		h.effects.findings.Set(float64(open))
		h.effects.untaken.Set(float64(untaken))
	}
	at, last := h.Effects.Compared(ctx)
	if last == nil && !at.IsZero() {
		h.effects.compared.Set(float64(at.Unix()))
	}
	owed, overdue, unread := h.Approvals.ReviewsOwed(ctx)
	if unread == nil {
		h.effects.reviews.Set(float64(owed))
		h.effects.reviewsOverdue.Set(float64(overdue))
	}
	register, lost := sealed.All(ctx, h.DB)
	if lost == nil {
		open, overdue := sealed.Tally(register, h.Charter.Current().SealedIDs, h.Clock.Now())
		h.effects.envelopesOpen.Set(float64(open))
		h.effects.envelopesOverdue.Set(float64(overdue))
	}
	for _, err := range []error{err, other, last, unread, lost} {
		h.complain(ctx, "looking at the effects of leases", err)
	}
}
