package page

import (
	"html/template"
	"net/http"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type livePage struct {
	Rooms    []room
	Lanes    []lane
	Hours    []string // where the marks of the time line stand, evenly
	Now      int      // thousandths of the line
	NowSays  template.HTML
	Findings int
	Remote   []remoteLine
	Shared   []sharedLive
	Articles []policy.Article
}

// A lane is a lease on the time line, in thousandths of it.
type lane struct {
	leaseLine
	From, Width, Done int
	End               leaseForm
	CanEnd            bool
}

// live is who holds what until when: a line of time for who looks, the same in
// words for everybody.
func (h *house) live(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	leases, err := h.Desk.Live(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/live")
	}
	found, err := h.Desk.Findings(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/live")
	}
	now := h.srv.Now()
	p := livePage{Rooms: h.counters(r, step, "live"), NowSays: h.tongue(r).near(now, now), Articles: []policy.Article{"62-6", "65", "75-2"}}
	for _, f := range found {
		if f.ClosedAt.IsZero() {
			p.Findings++
		}
	}
	first, last := now, now
	var shown []desk.Lease
	for _, l := range leases {
		if !l.Live(now) {
			continue
		}
		shown = append(shown, l)
		if l.StartedAt.Before(first) {
			first = l.StartedAt
		}
		if l.EndsAt.After(last) {
			last = l.EndsAt
		}
	}
	line := newTimeline(first, last)
	p.Hours, p.Now = line.marks(), line.at(now)
	for _, l := range shown {
		from, until := line.at(l.StartedAt), line.at(l.EndsAt)
		one := lane{leaseLine: h.leaseLine(r, l), From: from, Width: max(4, until-from), Done: max(0, min(p.Now, until)-from), CanEnd: l.May[desk.Revoke].OK || l.May[desk.End].OK}
		one.End = h.leaseForm(r, l, desk.Revoke)
		if l.May[desk.End].OK {
			one.End = h.leaseForm(r, l, desk.End)
		}
		p.Lanes = append(p.Lanes, one)
	}
	if p.Remote, err = h.remote(r); err != nil {
		return h.turned(w, r, err, "/live")
	}
	if p.Shared, err = h.sharedLive(r); err != nil {
		return h.turned(w, r, err, "/live")
	}
	v := h.view(r, step, p)
	v.Wide, v.Ticks, v.Notice = true, len(p.Lanes)+len(p.Shared) > 0, h.deskDone(r)
	switch r.URL.Query().Get("done") {
	case "shared_end":
		v.Notice = notice{Says: h.tongue(r).say("live.shared_end"), Tone: "good"}
	case "remote_end":
		v.Notice = notice{Says: h.tongue(r).say("live.remote_end"), Tone: "good"}
	}
	return h.show(w, r, http.StatusOK, "live", v)
}

// parts is into how many a time line is divided.
const parts = 4

// A timeline is a stretch of time that begins and ends at even times of day.
type timeline struct {
	from time.Time
	part time.Duration
}

func newTimeline(first, last time.Time) timeline {
	for _, part := range []time.Duration{
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
		48 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour,
	} {
		// In Japan's time, whose midnight is no multiple of a day since year one.
		shift := time.Duration(9) * time.Hour
		t := timeline{first.Add(shift).Truncate(part).Add(-shift), part}
		if !t.from.Add(parts * part).Before(last) {
			return t
		}
	}
	return timeline{first, max(time.Hour, last.Sub(first)/parts)}
}

// at is where an instant lies, in thousandths.
func (t timeline) at(at time.Time) int {
	return int(max(0, min(1000, at.Sub(t.from)/(parts*t.part/1000)))) // a thousand years would not fit when multiplied
}

// marks are what stands at the beginning of each part.
func (t timeline) marks() []string {
	form := "15:04"
	if t.part >= 12*time.Hour {
		form = "1/2 15:04"
	}
	var out []string
	for i := range parts {
		out = append(out, t.from.Add(time.Duration(i)*t.part).In(japan).Format(form))
	}
	return out
}

type findingsPage struct {
	Rooms        []room
	Open, Closed []findingLine
	Articles     []policy.Article
}

type findingLine struct {
	What, Account, Object string
	Privilege             string
	SeenAt, LastAt        template.HTML
	RemovedAt             template.HTML
	Hindrance             string
	ClosedAt              template.HTML
	ClosedBy              string
	Residual              []string
	ID                    string
	TakenAt               template.HTML
	TakenBy, Note         string
	MayTake               bool
	Typed                 string
	Sealed                string
}

// findings is privilege that no lease accounts for.
func (h *house) findings(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	was := h.typedBefore(r, step, "/findings")
	return h.findingsPage(w, r, step, was.of("/findings/", "/take"), was.Form.Get("note"), refused{Status: http.StatusOK})
}

// findingsPage shows them, with what is wrong with a note that was typed.
func (h *house) findingsPage(w http.ResponseWriter, r *web.Request, step signin.Step, id, typed string, said refused) error {
	found, err := h.Desk.Findings(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/findings")
	}
	g, now := h.tongue(r), h.srv.Now()
	at := func(t time.Time) template.HTML {
		if t.IsZero() {
			return ""
		}
		return g.near(t, now)
	}
	p := findingsPage{Rooms: h.counters(r, step, "findings"), Articles: []policy.Article{"62-6", "75-2"}}
	for _, f := range found {
		line := findingLine{
			What: h.findingKind(r, f.Kind), Account: f.Account, Object: f.Object, Privilege: r.Say(f.Privilege.Name),
			SeenAt: at(f.SeenAt), LastAt: at(f.LastAt), RemovedAt: at(f.RemovedAt), Hindrance: f.Hindrance, ClosedAt: at(f.ClosedAt),
			ClosedBy: h.findingCloser(r, f.ClosedBy), Residual: inWords(r, f.Residual),
			ID: f.ID, TakenAt: at(f.TakenAt), TakenBy: nameOf(f.TakenBy), Note: f.Note, MayTake: f.MayTake,
		}
		line.Sealed = strings.Join(f.Sealed, g.say("me.comma"))
		if f.ID == id {
			line.Typed = typed
		}
		if f.ClosedAt.IsZero() {
			p.Open = append(p.Open, line)
		} else {
			p.Closed = append(p.Closed, line)
		}
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, "/findings")
	if len(said.Faults) == 0 && r.URL.Query().Get("done") == "taken" {
		v.Notice = notice{Says: g.say("findings.done_taken"), Tone: "good"}
	}
	return h.show(w, r, said.Status, "findings", v)
}

// findingKind says what was found.
func (h *house) findingKind(r *web.Request, kind string) string {
	g := h.tongue(r)
	switch kind {
	case "membership":
		return g.say("findings.membership")
	case "enabled":
		return g.say("findings.enabled")
	case "leftover":
		return g.say("findings.leftover")
	case "missing":
		return g.say("findings.missing")
	case "undo":
		return g.say("findings.undo")
	}
	return kind
}

// findingCloser says what closed a finding.
func (h *house) findingCloser(r *web.Request, by string) string {
	g := h.tongue(r)
	switch by {
	case "sekisho":
		return g.say("findings.by_sekisho")
	case "lease":
		return g.say("findings.by_lease")
	case "directory":
		return g.say("findings.by_directory")
	}
	return by
}
