package house

import (
	"context"

	"sekisho/policy/audit"
	"sekisho/web/gate"
)

// mostDenials may wait to be entered on the trail. The gate has merged them by
// person, application, reason and minute already.
const mostDenials = 1000

// denials carries refusals from the gate, whose answer waits for nothing, to
// the trail.
type denials chan gate.Denial

// hear never blocks. Beyond mostDenials a refusal is still a refusal, but no
// longer an entry of its own.
func (d denials) hear(n gate.Denial) {
	select {
	case d <- n:
	default:
	}
}

// enterDenials writes refusals on the trail until ctx ends.
func (h *House) enterDenials(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-h.denied:
			h.complain(ctx, "entering a refusal on the trail", h.note(ctx, audit.Entry{
				Actor: n.Session.Login, Action: "application.check", Object: n.App.ID,
				Outcome: "refused", Reason: n.Reason, Articles: n.Article,
				From: n.Source.String(), Zone: string(n.Session.Zone),
			}))
		}
	}
}
