package house

import (
	"context"
	"sync"
	"time"

	"sekisho/authz/lifecycle"
)

// remindEvery is how often it is looked whether something is overdue about an
// emergency ID.
const remindEvery = 15 * time.Minute

// Run does what goes on by itself: sealing the trail, following the rules and
// the revocations, watching the clock, finishing what a crash left. It returns
// when ctx ends and all of it has stopped.
func (h *House) Run(ctx context.Context) {
	h.askCeiling(ctx)
	h.lookAtFiles(ctx, h.cfg)
	var wg sync.WaitGroup
	for _, work := range []func(context.Context){
		h.Seal.Run, h.Charter.Run, h.keys.run, h.keys.reseal, h.Tokens.Run, h.Sessions.Run, h.Watch.Run, h.Account.Run, h.Mail.Run, h.Herald.Run,
		h.Effects.Run, h.Leases.Run, h.SharedIDs.Run, h.Permits.Run, h.Statutes.Run, h.Lifecycle.Run, (&lifecycle.Ageing{Book: h.Lifecycle}).Run, h.Recertify.Run, h.Scheduled.Run, h.Personnel.Run, h.Projects.Run, func(ctx context.Context) { h.Approvals.Run(ctx, h.complain) },
		func(ctx context.Context) { h.Restores.Run(ctx, h.complain) },
		h.keepTime, h.enterDenials, h.shared.run,
		func(ctx context.Context) {
			if h.Remote != nil {
				h.Remote.run(ctx, h)
			}
		},
		func(ctx context.Context) {
			h.watchers.look(ctx)
			every(ctx, 5*time.Minute, func() { h.watchers.look(ctx) })
		},
		func(ctx context.Context) {
			h.lookAtEffects(ctx)
			every(ctx, effectsEvery, func() { h.lookAtEffects(ctx) })
		},
		func(ctx context.Context) {
			h.lookAtSweeps(ctx)
			every(ctx, sweepsEvery, func() { h.lookAtSweeps(ctx) })
		},
		func(ctx context.Context) {
			h.lookAtRounds(ctx)
			every(ctx, sweepsEvery, func() { h.lookAtRounds(ctx) })
		},
		func(ctx context.Context) {
			h.lookAtProjects(ctx)
			every(ctx, sweepsEvery, func() { h.lookAtProjects(ctx) })
		},
		func(ctx context.Context) { every(ctx, 15*time.Second, func() { h.askCeiling(ctx) }) },
		func(ctx context.Context) {
			h.Web.Examine(ctx)
			every(ctx, examineEvery, func() { h.Web.Examine(ctx) })
		},
		func(ctx context.Context) {
			h.countStored(ctx)
			every(ctx, countEvery, func() { h.countStored(ctx) })
		},
		func(ctx context.Context) {
			every(ctx, 5*time.Second, func() { h.complain(ctx, "telling of a sealed key", h.LockDown.TellSealed(ctx)) })
		},
		func(ctx context.Context) {
			every(ctx, 5*time.Second, func() { h.complain(ctx, "telling of suspended rights", h.People.TellRights(ctx)) })
		},
		func(ctx context.Context) {
			every(ctx, remindEvery, func() { h.complain(ctx, "telling of emergency IDs", h.Sealed.Remind(ctx)) })
		},
		func(ctx context.Context) { every(ctx, lookEvery, func() { h.lookAtFiles(ctx, h.cfg) }) },
		func(ctx context.Context) {
			every(ctx, 30*time.Second, func() { h.complain(ctx, "finishing password changes", h.Signin.Recover(ctx)) })
		},
		func(ctx context.Context) {
			every(ctx, time.Hour, func() {
				h.complain(ctx, "tidying attempts", h.Signin.Tidy(ctx))
				h.complain(ctx, "tidying OpenID Connect's rows", h.OpenID.Tidy(ctx))
			})
		},
	} {
		wg.Go(func() { work(ctx) })
	}
	wg.Wait()
}

// complain logs what failed in the background and will be tried again.
func (h *House) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		h.lookout.failures.WithLabelValues(what).Inc()
		h.log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}
