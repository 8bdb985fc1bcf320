package page

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/policy"
	"sekisho/web"
)

type lockFormPage struct {
	Rooms    []room
	Scope    string
	Title    string
	Says     string
	Aimed    bool
	Label    string // of the target
	Hint     string
	Choices  []choice // there are only these; none: it is typed
	Target   string
	Reason   string
	Minutes  string
	Most     int
	Articles []policy.Article
}

// lockForm asks at what, why and for how long. The sign-in that it takes comes
// first, so that nothing that was typed is lost on the way to it.
func (h *house) lockForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	q := r.URL.Query()
	back := "/lockdown/order?" + url.Values{"scope": {q.Get("scope")}, "target": {q.Get("target")}, "minutes": {q.Get("minutes")}}.Encode()
	if was := h.typedBefore(r, step, "/lockdown/order"); was.Form.Get("scope") == q.Get("scope") {
		q["reason"] = was.Form["reason"]
	}
	p, err := h.lockFormPage(r, step, q)
	if err != nil {
		return h.turned(w, r, err, back)
	}
	v := h.view(r, step, p)
	v.Switch = switchScope(r, p.Scope)
	return h.show(w, r, http.StatusOK, "lockorder", v)
}

// switchScope keeps the scope in the other language: without it there is no form.
func switchScope(r *web.Request, scope string) string {
	return switchURL(r, "/lockdown/order") + "&" + url.Values{"scope": {scope}}.Encode()
}

// usualLock is how long a lock-down lasts where nothing is typed, in minutes.
const usualLock = 60

func (h *house) lockFormPage(r *web.Request, step signin.Step, typed url.Values) (lockFormPage, error) {
	s := authz.Scope(typed.Get("scope"))
	if !slices.Contains(authz.Scopes(), s) {
		return lockFormPage{}, web.ErrNoPage
	}
	all, err := h.LockDown.Room(r.Context(), r.Origin, r.Cookie)
	switch {
	case err != nil:
		return lockFormPage{}, err
	case all.Refused != nil:
		return lockFormPage{}, all.Refused
	case all.StepUp != nil:
		return lockFormPage{}, all.StepUp
	}
	p := lockFormPage{
		Rooms: h.counters(r, step, "lockdown"), Scope: string(s), Aimed: s.Aimed(), Target: strings.TrimSpace(typed.Get("target")),
		Reason: strings.TrimSpace(typed.Get("reason")), Minutes: typed.Get("minutes"), Most: minutes(all.Longest), Articles: lockArticles,
	}
	name, says := h.scopeWords(r, s)
	p.Title, p.Says = h.tongue(r).say("lock.order")+h.tongue(r).say("me.colon")+name, says
	if p.Minutes == "" {
		p.Minutes = strconv.Itoa(min(usualLock, p.Most))
	}
	h.lockTargets(r, s, &p)
	return p, nil
}

// lockTargets says what a scope can be aimed at.
func (h *house) lockTargets(r *web.Request, s authz.Scope, p *lockFormPage) {
	g, rules := h.tongue(r), r.Policy()
	add := func(id, name string) { p.Choices = append(p.Choices, choice{id, name, id == p.Target}) }
	switch s {
	case authz.LockPerson:
		p.Label, p.Hint = g.say("lock.target_person"), g.say("lock.target_person_hint")
	case authz.LockCompany:
		p.Label, p.Hint = g.say("lock.target_company"), g.say("lock.target_company_hint")
	case authz.LockTerminal:
		p.Label, p.Hint = g.say("lock.target_terminal"), g.say("lock.target_terminal_hint")
	case authz.LockSection:
		p.Label = g.say("lock.target_section")
		for _, one := range rules.Sections {
			add(one.ID, sectionName(r, one.ID))
		}
	case authz.LockZone:
		p.Label = g.say("lock.target_zone")
		for _, one := range rules.Zones {
			add(string(one.ID), zoneName(r, one.ID))
		}
	case authz.LockApplication:
		p.Label = g.say("lock.target_application")
		for _, one := range rules.Applications {
			add(one.ID, lockAppName(r, one.ID))
		}
		for _, one := range rules.Clients {
			if one.Application == "" {
				add(one.ID, lockAppName(r, one.ID))
			}
		}
	}
}

// lockTyped reads an order from the form. Minutes that are no number are 0, which
// the service refuses.
func (h *house) lockTyped(w http.ResponseWriter, r *web.Request) (signin.Step, lockdown.Order, bool, error) {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return step, lockdown.Order{}, done, err
	}
	typed := r.PostForm
	n, err := strconv.Atoi(narrowed(typed.Get("minutes")))
	if err != nil {
		n = 0
	}
	return step, lockdown.Order{
		Scope: authz.Scope(typed.Get("scope")), Target: typed.Get("target"), Reason: typed.Get("reason"), Minutes: n, ID: typed.Get("id"),
	}, false, nil
}

// lockAgain shows the form with what is wrong with an order. A sign-in that has
// grown old meanwhile leads back to it.
func (h *house) lockAgain(w http.ResponseWriter, r *web.Request, step signin.Step, o lockdown.Order, err error) error {
	back := lockChange(o)
	said, ok := h.inOffice(w, r, err)
	if !ok {
		return h.turned(w, r, err, back)
	}
	p, err := h.lockFormPage(r, step, r.PostForm)
	if err != nil {
		return h.turned(w, r, err, back)
	}
	for i, f := range said.Faults {
		if f.Field != "target" && f.Field != "reason" && f.Field != "minutes" || f.Field == "target" && !p.Aimed {
			said.Faults[i].Field = ""
		}
	}
	v := h.view(r, step, p)
	v.Faults, v.Articles, v.Switch = said.Faults, said.Articles, switchScope(r, p.Scope)
	return h.show(w, r, said.Status, "lockorder", v)
}

func lockChange(o lockdown.Order) string {
	q := url.Values{"scope": {string(o.Scope)}, "minutes": {strconv.Itoa(o.Minutes)}}
	if o.Target != "" {
		q.Set("target", o.Target)
	}
	return "/lockdown/order?" + q.Encode()
}
