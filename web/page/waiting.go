package page

import (
	"html/template"

	"sekisho/web"
	"sekisho/web/desk"
)

// A waitLine is one thing that waits for the reader, or that they hold, as my
// page tells of it at a glance.
type waitLine struct {
	URL, Says string
	Sub       template.HTML
	Tone      string
	Left      clockFace
}

// waits is what waits for the reader. My page is shown even where that cannot be
// read, and says so: what it is for must not hang on it.
func (h *house) waits(r *web.Request) []waitLine {
	if h.Desk == nil {
		return nil
	}
	g, now := h.tongue(r), h.srv.Now()
	all, err := h.Desk.Waiting(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		h.srv.Log().WarnContext(r.Context(), "reading what waits for somebody", "request_id", r.ID, "error", err)
		return []waitLine{{URL: "/me", Says: g.say("waiting.unknown"), Tone: "warn"}}
	}
	var lines []waitLine
	name := func(l desk.Lease) string { return r.Say(l.Privilege.Name) }
	for _, l := range all.Own {
		if l.Live(now) {
			lines = append(lines, waitLine{URL: leasePath(l.ID), Says: g.say("waiting.live", "Name", name(l)), Sub: g.near(l.EndsAt, now), Tone: "live", Left: face(l.EndsAt.Sub(now))})
		}
	}
	for _, l := range all.Own {
		if l.State == desk.Approved {
			line := waitLine{URL: leasePath(l.ID), Says: g.say("waiting.start", "Name", name(l)), Tone: "good"}
			if !l.ApprovedUntil.IsZero() {
				line.Sub = g.near(l.ApprovedUntil, now)
			}
			lines = append(lines, line)
		}
	}
	for _, l := range all.Owed {
		line := waitLine{URL: leasePath(l.ID) + "#do-report", Says: g.say("waiting.owed", "Name", name(l)), Tone: "warn"}
		if due := l.Record.Due; !due.IsZero() {
			line.Sub = g.near(due, now)
			if !now.Before(due) {
				line.Tone = "bad"
			}
		}
		lines = append(lines, line)
	}
	count := func(says string, err error, n int) {
		if n > 0 && err == nil {
			lines = append(lines, waitLine{URL: "/approvals", Says: says})
		}
	}
	says, err := g.n("waiting.decide", len(all.Decide))
	count(says, err, len(all.Decide))
	says, err = g.n("waiting.witness", len(all.Witness))
	count(says, err, len(all.Witness))
	says, err = g.n("waiting.judge", len(all.Judge))
	count(says, err, len(all.Judge))
	says, err = g.n("waiting.countersign", len(all.Countersign))
	count(says, err, len(all.Countersign))
	if n := all.Review; n > 0 {
		if says, err := g.n("waiting.review", n); err == nil {
			lines = append(lines, waitLine{URL: "/reviews", Says: says})
		}
	}
	return append(append(lines, h.toRecertify(r)...), h.ending(r)...)
}

// toRecertify is how many lines of recertifications are put before the reader.
func (h *house) toRecertify(r *web.Request) []waitLine {
	if h.Recertify == nil {
		return nil
	}
	g := h.tongue(r)
	n, err := h.Recertify.Waiting(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		h.srv.Log().WarnContext(r.Context(), "reading what is to be recertified", "request_id", r.ID, "error", err)
		return []waitLine{{URL: "/me", Says: g.say("waiting.unknown"), Tone: "warn"}}
	}
	if n == 0 {
		return nil
	}
	says, err := g.n("waiting.recertify", n)
	if err != nil {
		return nil
	}
	return []waitLine{{URL: "/recertify", Says: says}}
}

// ending are the reader's own permits that end soon.
func (h *house) ending(r *web.Request) []waitLine {
	if h.Permits == nil {
		return nil
	}
	g, now := h.tongue(r), h.srv.Now()
	list, err := h.Permits.ListPermits(r.Context(), r.Origin, r.Cookie, desk.PermitFilter{Which: desk.WhichMine, Limit: pastPermits})
	if err != nil {
		h.srv.Log().WarnContext(r.Context(), "reading what ends soon", "request_id", r.ID, "error", err)
		return []waitLine{{URL: "/me", Says: g.say("waiting.unknown"), Tone: "warn"}}
	}
	var lines []waitLine
	for _, p := range list.Permits {
		if p.Soon && p.Live(now) && p.Renewed == "" {
			lines = append(lines, waitLine{URL: permitPath(p.ID), Says: g.say("waiting.permit_ends", "Name", r.Say(p.Name)), Sub: g.end(p.Until, now), Tone: "warn"})
		}
		if p.OwesIt {
			lines = append(lines, waitLine{URL: permitPath(p.ID) + "#do-done", Says: g.say("waiting.permit_done", "Name", r.Say(p.Name)), Tone: "warn"})
		}
	}
	return lines
}
