package page

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// An entry of a permit that the page shows with its label.
type entry struct{ Label, Says string }

// A usedDay is a day on which a permit was used.
type usedDay struct{ Day, Hours, From string }

type permitPage struct {
	Rooms []room
	permitLine
	By          string // who asked, where it is somebody else
	AskedAt     template.HTML
	LapsesAt    template.HTML
	Facts       []entry
	Uses        []usedDay
	Decisions   []decisionLine
	Asked       string
	EndedAt     template.HTML
	EndedBy     string
	EndReason   string
	DoneBy      string
	DoneHow     string
	DoneAt      template.HTML
	Acts        []leaseForm
	Refused     []refusedAct
	Articles    []policy.Article
	Register    string
	ReadsOthers bool
}

// permit shows one permit: what was asked for, what became of it, and what its
// reader may do.
func (h *house) permit(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	one, err := h.Permits.Permit(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p := h.permitPage(r, step, one)
	h.typedBefore(r, step, permitPath(one.ID)).fill(p.Acts)
	v := h.view(r, step, p)
	v.Wide, v.Notice = true, h.permitDone(r)
	return h.show(w, r, http.StatusOK, "permit", v)
}

func (h *house) permitInstead(w http.ResponseWriter, r *web.Request) error {
	return redirect(w, r, permitPath(r.PathValue("id")), nil)
}

func (h *house) permitPage(r *web.Request, step signin.Step, one desk.Permit) permitPage {
	g, now := h.tongue(r), h.srv.Now()
	p := permitPage{
		Rooms: h.gates(r, step, ""), permitLine: h.permitLine(r, one), AskedAt: g.near(one.AskedAt, now), Decisions: h.decisionLines(r, one.Decisions),
		Asked: namesOf(g, one.Asked), EndReason: one.EndReason, EndedBy: nameOf(one.EndedBy), DoneBy: nameOf(one.DoneBy), DoneHow: one.DoneHow,
		Articles: permitArticles(one.Kind), ReadsOthers: h.lookers(r, step), Register: "/registers/" + url.PathEscape(one.Kind),
	}
	if one.By.Login != one.Person.Login {
		p.By = nameOf(one.By)
	}
	if one.State == desk.Pending && !one.LapsesAt.IsZero() {
		p.LapsesAt = g.near(one.LapsesAt, now)
	}
	if !one.EndedAt.IsZero() {
		p.EndedAt = g.near(one.EndedAt, now)
	}
	if !one.DoneAt.IsZero() {
		p.DoneAt = g.near(one.DoneAt, now)
	}
	for _, f := range one.Facts {
		p.Facts = append(p.Facts, entry{r.Say(f.Label), r.Say(f.Value)})
	}
	for _, u := range one.Uses {
		first, last := u.First.In(japan).Format("15:04"), u.Last.In(japan).Format("15:04")
		if last != first {
			first += "–" + last
		}
		p.Uses = append(p.Uses, usedDay{g.day(u.Last), first, u.From})
	}
	p.Acts, p.Refused = offered(r, desk.PermitActs(), one.May, func(a desk.PermitAct) leaseForm { return h.permitForming(r, one, a) })
	return p
}

// permitArticles are those that a kind of permit serves, where this package knows it.
func permitArticles(kind string) []policy.Article {
	switch kind {
	case desk.RemoteAccess:
		return []policy.Article{"63-1", "63-2(1)", "63-6"}
	case desk.ZoneCrossing:
		return []policy.Article{"26no2-2", "26no2-3", "26no4-1"}
	}
	return nil
}

// permitForming is what an act is called, what follows from it and what it asks.
func (h *house) permitForming(r *web.Request, p desk.Permit, a desk.PermitAct) leaseForm {
	g := h.tongue(r)
	f := leaseForm{Action: permitPath(p.ID) + "/" + string(a), ID: string(a), StepUp: stepUpLink(p.May[a].StepUp, permitPath(p.ID))}
	comment := func(label, hint string, must bool) { f.Asks, f.Label, f.Hint, f.Must = "comment", label, hint, must }
	switch a {
	case desk.PermitRenew:
		f.Name, f.Brief, f.Link, f.StepUp = g.say("permit.renew"), g.say("permit.renew_brief"), renewPath(p.ID), ""
	case desk.PermitDone:
		f.Name, f.Brief = g.say("permit.record"), g.say("permit.record_brief")
		comment(g.say("permit.record_label"), g.say("permit.record_hint"), true)
		f.AsksDone, f.Today = true, dayOf(h.srv.Now())
		f.DoneAt = f.Today
	case desk.PermitReview:
		f.Name, f.Brief = g.say("permit.review"), g.say("permit.review_brief")
		comment(g.say("lease.comment"), "", false)
	case desk.PermitEnd:
		f.Name, f.Brief, f.Danger = g.say("permit.end"), g.say("permit.end_brief"), true
	case desk.PermitCancel:
		f.Name, f.Brief, f.Danger = g.say("lease.cancel"), g.say("lease.cancel_brief"), true
	case desk.PermitRevoke:
		f.Name, f.Brief, f.Danger = g.say("permit.revoke"), g.say("permit.revoke_brief"), true
		comment(g.say("lease.revoke_label"), "", true)
	}
	return f
}

// permitAct does one act on a permit, from its page or from a list.
func (h *house) permitAct(a desk.PermitAct) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		id, in := r.PathValue("id"), formReader{h: h, r: r}
		field := func(name string) string { return name + "-" + string(a) }
		wants := desk.PermitSaid{Comment: in.get("comment"), By: in.get("by")}
		in.faults = h.text(r, field("comment"), wants.Comment, mostReason, slices.Contains([]desk.PermitAct{desk.PermitRevoke, desk.PermitDone}, a))
		if a == desk.PermitDone {
			in.faults = append(in.faults, h.text(r, field("by"), wants.By, mostName, true)...)
			if wants.At, err = time.ParseInLocation(time.DateOnly, narrowed(in.get("at")), japan); err != nil {
				in.wrong(field("at"), h.tongue(r).say("pask.day_wrong"))
			}
		}
		said := refused{Status: http.StatusUnprocessableEntity, Faults: in.faults}
		if len(said.Faults) == 0 {
			_, err := h.Permits.DoPermit(r.Context(), r.Origin, r.Cookie, id, a, wants)
			if err == nil {
				h.dropTyped(r, step, permitPath(id))
				return redirect(w, r, backFrom(r, permitPath(id)), url.Values{"done": {string(a)}})
			}
			var ok bool
			if said, ok = h.inOffice(w, r, err); !ok {
				return h.turned(w, r, err, permitPath(id))
			}
			said = said.placed(field)
		}
		one, err := h.Permits.Permit(r.Context(), r.Origin, r.Cookie, id)
		if err != nil {
			return h.turned(w, r, err, permitPath(id))
		}
		p := h.permitPage(r, step, one)
		shown := false
		for i, f := range p.Acts {
			if f.ID == string(a) {
				p.Acts[i].Typed, p.Acts[i].DoneBy, shown = r.PostForm.Get("comment"), r.PostForm.Get("by"), true
				if f.AsksDone {
					p.Acts[i].DoneAt = r.PostForm.Get("at")
				}
			}
		}
		if !shown {
			said = said.above()
		}
		v := h.view(r, step, p)
		v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
		return h.show(w, r, said.Status, "permit", v)
	}
}

// backFrom is the list that an act was done from, or else.
func backFrom(r *web.Request, or string) string {
	back := r.PostForm.Get("back")
	if back == "/live" || strings.HasPrefix(back, "/registers/") && !strings.ContainsAny(back, "?#\\") {
		return back
	}
	return or
}
