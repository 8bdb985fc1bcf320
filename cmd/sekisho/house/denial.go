package house

import (
	"context"

	"sekisho/authn/session"
	"sekisho/authz"
	"sekisho/policy"
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

// opened is a Denial that let through: the gate's own cookie opened an
// application.
func (d denials) opened(n session.Session, app policy.Application) {
	d.hear(gate.Denial{Session: n, App: app, Reason: string(authz.Allowed), Article: []policy.Article{"62-1", "62-2"}})
}

// enterDenials writes refusals on the trail until ctx ends.
func (h *House) enterDenials(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for { // what was heard before the stop is entered too
				select {
				case n := <-h.denied:
					h.enter(context.WithoutCancel(ctx), n)
				default:
					return
				}
			}
		case n := <-h.denied:
			h.enter(ctx, n)
		}
	}
}

func (h *House) enter(ctx context.Context, n gate.Denial) {
	e := audit.Entry{
		Actor: n.Session.Login, Action: "application.check", Object: n.App.ID,
		Outcome: "refused", Reason: n.Reason, Articles: n.Article,
		From: n.Source.String(), Zone: string(n.Session.Zone),
	}
	if n.Reason == string(authz.Allowed) {
		e.Action, e.Outcome, e.Reason, e.From = "application.opened", "ok", "", n.Session.From
	}
	h.complain(ctx, "entering a check on the trail", h.note(ctx, e))
}
