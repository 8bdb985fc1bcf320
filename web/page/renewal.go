package page

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type renewalsPage struct {
	Rooms    []room
	Lines    []renewalLine
	Reason   string
	Until    string // the day that is proposed
	Key      string // of the form
	Today    string
	Articles []policy.Article
}

type renewalLine struct {
	permitLine
	Chosen bool
	Wrong  string
}

// renewals is what ends with the fiscal year, or soon, to be asked for again in
// one go.
func (h *house) renewals(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, _, err := h.renewalsPage(r, step)
	if err != nil {
		return h.turned(w, r, err, "/permits/renew")
	}
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "renewals", v)
}

func (h *house) renewalsPage(r *web.Request, step signin.Step) (renewalsPage, []desk.Permit, error) {
	list, err := h.Permits.ListPermits(r.Context(), r.Origin, r.Cookie, desk.PermitFilter{Which: desk.WhichRenew, Limit: mostRenewals})
	if err != nil {
		return renewalsPage{}, nil, err
	}
	now := h.srv.Now()
	p := renewalsPage{Rooms: h.gates(r, step, "/permits/renew"), Today: dayOf(now), Key: keptKey(r), Articles: []policy.Article{"63-1", "63-2(1)"}}
	var last time.Time
	for _, one := range list.Permits {
		// What was never used is not proposed: the fewest who need it (article
		// 63-2(1)).
		p.Lines = append(p.Lines, renewalLine{permitLine: h.permitLine(r, one), Chosen: !one.UsedAt.IsZero() || !one.Enforced})
		if one.Until.After(last) {
			last = one.Until
		}
	}
	if !last.IsZero() {
		p.Until = lastDayOf(yearEnd(last))
	}
	return p, list.Permits, nil
}

// mostRenewals is how many are renewed in one go.
const mostRenewals = 100

// yearEnd is the end of the fiscal year that begins at t or goes on then: the
// beginning of the next 1 April in Japan.
func yearEnd(t time.Time) time.Time {
	local := t.In(japan)
	end := time.Date(local.Year(), time.April, 1, 0, 0, 0, 0, japan)
	if !end.After(local) {
		end = time.Date(local.Year()+1, time.April, 1, 0, 0, 0, 0, japan)
	}
	return end
}

// renew asks for each that was ticked. What became of one is nothing to the
// others; those that were not taken stay, with the reason.
func (h *house) renew(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, permits, err := h.renewalsPage(r, step)
	if err != nil {
		return h.turned(w, r, err, "/permits/renew")
	}
	g, ids, reason := h.tongue(r), r.PostForm["id"], strings.TrimSpace(r.PostForm.Get("reason"))
	p.Reason, p.Until = reason, r.PostForm.Get("until")
	faults := h.text(r, "reason", reason, mostReason, false)
	until, err := time.ParseInLocation(time.DateOnly, narrowed(p.Until), japan)
	if err != nil {
		faults = append(faults, Fault{"until", g.say("pask.day_wrong")})
	}
	if len(ids) == 0 {
		faults = append(faults, Fault{"chosen", g.say("renewal.none_chosen")})
	}
	asked := 0
	if len(faults) == 0 {
		var gone []string
		for i, id := range ids { // sent twice, it was asked for by the first
			if i == mostRenewals {
				break
			}
			if slices.ContainsFunc(permits, func(p desk.Permit) bool { return p.ID == id }) {
				continue
			}
			if one, err := h.Permits.Permit(r.Context(), r.Origin, r.Cookie, id); err == nil && one.Renewed != "" {
				asked++
			}
		}
		for i, one := range permits {
			if !slices.Contains(ids, one.ID) {
				continue
			}
			wish := one.Wish
			wish.Kind, wish.Renews, wish.From, wish.Until, wish.Key = one.Kind, one.ID, one.Until, until.AddDate(0, 0, 1), keyOf(r, one.ID)
			if reason != "" {
				wish.Reason = reason
			}
			_, err := h.Permits.AskPermit(r.Context(), r.Origin, r.Cookie, wish)
			if err == nil {
				asked++
				gone = append(gone, one.ID)
				continue
			}
			said, ok := h.inOffice(w, r, err)
			if !ok {
				return h.turned(w, r, err, "/permits/renew")
			}
			p.Lines[i].Wrong = joined(said.Faults)
			faults = append(faults, Fault{"", g.say("renewal.failed", "Name", p.Lines[i].Name, "Why", p.Lines[i].Wrong)})
		}
		if len(faults) == 0 {
			return redirect(w, r, "/permits", url.Values{"done": {"renewed"}, "n": {strconv.Itoa(asked)}})
		}
		p.Lines = slices.DeleteFunc(p.Lines, func(l renewalLine) bool { return slices.Contains(gone, l.ID) })
	}
	for i, l := range p.Lines {
		p.Lines[i].Chosen = slices.Contains(ids, l.ID)
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults = true, faults
	if asked > 0 {
		says, err := g.n("permit.done_renewed", asked)
		if err == nil {
			v.Faults = append([]Fault{{"", says}}, v.Faults...)
		}
	}
	return h.show(w, r, http.StatusUnprocessableEntity, "renewals", v)
}

func joined(faults []Fault) string {
	var out []string
	for _, f := range faults {
		out = append(out, f.Says)
	}
	return strings.Join(out, " ")
}

// A remoteLine is somebody who is inside from outside.
type remoteLine struct {
	ID, Who, Login, Section string
	Door, From              string
	Since, Seen             template.HTML
	Until                   template.HTML
	Permit                  string // its page
	CanEnd, Ending          bool
	StepUp                  string // the sign-in that ending it takes first
}

// remote are those who are inside from outside now; none where nobody could say
// or nothing is known of them.
func (h *house) remote(r *web.Request) ([]remoteLine, error) {
	if h.Permits == nil {
		return nil, nil
	}
	found, err := h.Permits.RemoteSessions(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return nil, err
	}
	g, now := h.tongue(r), h.srv.Now()
	var lines []remoteLine
	for _, s := range found {
		line := remoteLine{
			ID: s.ID, Who: nameOf(s.Person), Login: s.Person.Login, Section: sectionName(r, s.Person.Section), Door: r.Say(s.Door), From: s.From, Since: g.near(s.Since, now),
			CanEnd: s.End.OK && !s.Ending, Ending: s.Ending, StepUp: stepUpLink(s.End.StepUp, "/live"),
		}
		if !s.SeenAt.IsZero() {
			line.Seen = g.near(s.SeenAt, now)
		}
		if !s.Until.IsZero() {
			line.Until = g.end(s.Until, now)
		}
		if s.Permit != "" {
			line.Permit = permitPath(s.Permit)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// endRemote ends one session from outside.
func (h *house) endRemote(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if err := h.Permits.EndRemote(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("reason"))); err != nil {
		return h.turned(w, r, err, "/live")
	}
	return redirect(w, r, "/live", url.Values{"done": {"remote_end"}})
}
