package page

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/lockdown"
	"sekisho/policy"
	"sekisho/web"
)

// LockDown stops a part of everything under attack; authz/lockdown is one. Who may
// do what is its to say.
type LockDown interface {
	Room(ctx context.Context, o signin.Origin, cookie string) (lockdown.Room, error)
	Preview(ctx context.Context, o signin.Origin, cookie string, r lockdown.Order) (lockdown.Picture, error)
	Order(ctx context.Context, o signin.Origin, cookie string, r lockdown.Order) (authz.LockDown, error)
	Ratify(ctx context.Context, o signin.Origin, cookie, id string) (authz.LockDown, error)
	Lift(ctx context.Context, o signin.Origin, cookie, id, reason string) error
}

func (h *house) mountLockDown() {
	m := h.srv.Mount
	m("GET /lockdown", h.lockDowns)
	m("GET /lockdown/order", h.lockForm)
	m("POST /lockdown/preview", h.lockPreview)
	m("GET /lockdown/preview", instead("/lockdown"))
	m("POST /lockdown/order", h.lockOrder)
	m("POST /lockdown/{id}/ratify", h.lockRatify)
	m("GET /lockdown/{id}/ratify", instead("/lockdown"))
	m("POST /lockdown/{id}/lift", h.lockLift)
	m("GET /lockdown/{id}/lift", instead("/lockdown"))
}

// lockArticles are those that a lock-down rests on.
var lockArticles = []policy.Article{"11-4", "54-3", "75-2"}

type lockPage struct {
	Rooms    []room
	InForce  []lockCard
	Past     []lockCard
	Scopes   []scopeLine
	Why      string // the reader orders none
	WhyArts  []policy.Article
	StepUp   string
	Within   string // the CIO ratifies; "" where the reader needs nobody
	Articles []policy.Article
}

// A scopeLine is one thing that can be stopped.
type scopeLine struct{ URL, Name, Says string }

// A lockCard is one lock-down.
type lockCard struct {
	ID, What   string
	Reason, By string
	At, Until  template.HTML
	Left       clockFace
	RatifyBy   template.HTML // it waits for the CIO until then
	Ratified   template.HTML
	RatifiedBy string
	State      tag
	Lifted     template.HTML
	LiftedBy   string
	LiftReason string
	Sealed     bool
	MayLift    bool
	MayRatify  bool
	Typed      string // what was typed as the reason to lift it
}

// lockDowns are those in force, what the reader may do about them, and the last
// ones that are over.
func (h *house) lockDowns(w http.ResponseWriter, r *web.Request) error {
	return h.lockRoom(w, r, "", "", refused{Status: http.StatusOK})
}

// lockRoom shows the room, with what is wrong with a reason that was typed.
func (h *house) lockRoom(w http.ResponseWriter, r *web.Request, id, reason string, said refused) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.LockDown.Room(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/lockdown")
	}
	was := typed{}
	if id == "" {
		was = h.typedBefore(r, step, "/lockdown")
	}
	g := h.tongue(r)
	p := lockPage{Rooms: h.counters(r, step, "lockdown"), StepUp: stepUpLink(all.StepUp, "/lockdown"), Articles: lockArticles}
	for _, l := range all.InForce {
		card := h.lockCard(r, l)
		card.MayLift, card.MayRatify = all.Lift[l.ID], all.Ratify[l.ID]
		switch {
		case l.ID == id:
			card.Typed = reason
		case l.ID == was.of("/lockdown/", "/lift"):
			card.Typed = was.Form.Get("reason")
		}
		p.InForce = append(p.InForce, card)
	}
	for _, l := range all.Past {
		p.Past = append(p.Past, h.lockCard(r, l))
	}
	switch all.Right {
	case lockdown.Own, lockdown.Delegated:
		for _, s := range authz.Scopes() {
			name, says := h.scopeWords(r, s)
			p.Scopes = append(p.Scopes, scopeLine{"/lockdown/order?" + url.Values{"scope": {string(s)}}.Encode(), name, says})
		}
		if all.Right == lockdown.Delegated {
			p.Within = g.lasting(all.Within)
		}
	default:
		if all.Refused != nil {
			p.Why, p.WhyArts = r.Say(all.Refused.Says), all.Refused.Articles
		}
	}
	v := h.view(r, step, p)
	v.Wide, v.Ticks, v.Faults, v.Articles = true, len(p.InForce) > 0, said.Faults, said.Articles
	if len(said.Faults) == 0 {
		v.Notice = h.lockDone(r)
	}
	v.Switch = switchURL(r, "/lockdown")
	return h.show(w, r, said.Status, "lockdown", v)
}

func (h *house) lockDone(r *web.Request) notice {
	g := h.tongue(r)
	switch r.URL.Query().Get("done") {
	case "ordered":
		return notice{Says: g.say("lock.done_ordered"), Tone: "good"}
	case "ratified":
		return notice{Says: g.say("lock.done_ratified"), Tone: "good"}
	case "lifted":
		return notice{Says: g.say("lock.done_lifted"), Tone: "good"}
	}
	return notice{}
}

func (h *house) lockCard(r *web.Request, l authz.LockDown) lockCard {
	g, now := h.tongue(r), h.srv.Now()
	c := lockCard{
		ID: l.ID, What: h.lockWhat(r, l.Scope, l.Target), Reason: l.Reason, By: l.By, At: g.near(l.OrderedAt, now), Until: g.near(l.Until(), now),
		RatifiedBy: l.RatifiedBy, LiftedBy: l.LiftedBy, LiftReason: l.LiftReason, Sealed: l.Sealed,
	}
	if l.Sealed {
		c.LiftReason = ""
	}
	waits := !l.RatifyBy.IsZero() && l.RatifiedAt.IsZero()
	if !l.RatifiedAt.IsZero() {
		c.Ratified = g.near(l.RatifiedAt, now)
	}
	if !l.LiftedAt.IsZero() {
		c.Lifted = g.near(l.LiftedAt, now)
	}
	switch {
	case l.Live(now):
		c.Left, c.State = face(l.Until().Sub(now)), tag{g.say("lock.in_force"), "bad"}
		if waits {
			c.State = tag{g.say("lock.waits"), "warn"}
		}
		if waits && l.RatifyBy.Before(l.EndsAt) {
			c.RatifyBy = g.near(l.RatifyBy, now)
		}
	case !l.LiftedAt.IsZero():
		c.State = tag{g.say("lock.lifted"), "plain"}
	case waits && l.RatifyBy.Before(l.EndsAt):
		c.State = tag{g.say("lock.unratified"), "warn"}
	default:
		c.State = tag{g.say("lock.over"), "plain"}
	}
	return c
}

// scopeWords are what a scope is called, and what it stops.
func (h *house) scopeWords(r *web.Request, s authz.Scope) (name, says string) {
	g := h.tongue(r)
	switch s {
	case authz.LockPerson:
		return g.say("lock.person"), g.say("lock.person_says")
	case authz.LockTerminal:
		return g.say("lock.terminal"), g.say("lock.terminal_says")
	case authz.LockApplication:
		return g.say("lock.application"), g.say("lock.application_says")
	case authz.LockSection:
		return g.say("lock.section"), g.say("lock.section_says")
	case authz.LockCompany:
		return g.say("lock.company"), g.say("lock.company_says")
	case authz.LockRemote:
		return g.say("lock.remote"), g.say("lock.remote_says")
	case authz.LockZone:
		return g.say("lock.zone"), g.say("lock.zone_says")
	case authz.LockAll:
		return g.say("lock.all"), g.say("lock.all_says")
	}
	return string(s), ""
}

// lockWhat is a scope with what it is aimed at.
func (h *house) lockWhat(r *web.Request, s authz.Scope, target string) string {
	name, _ := h.scopeWords(r, s)
	if !s.Aimed() || target == "" {
		return name
	}
	switch s {
	case authz.LockSection:
		target = sectionName(r, target)
	case authz.LockZone:
		target = zoneName(r, policy.ZoneID(target))
	case authz.LockApplication:
		target = lockAppName(r, target)
	case authz.LockTerminal:
		if t, ok := r.Policy().Terminal(target); ok && !t.Name.IsEmpty() {
			target = r.Say(t.Name)
		}
	}
	return name + h.tongue(r).say("me.colon") + target
}

func lockAppName(r *web.Request, id string) string {
	if a, ok := r.Policy().Application(id); ok && !a.Name.IsEmpty() {
		return r.Say(a.Name)
	}
	for _, c := range r.Policy().Clients {
		if c.ID == id && !c.Name.IsEmpty() {
			return r.Say(c.Name)
		}
	}
	return id
}

// lockOrder gives the order that was looked at.
func (h *house) lockOrder(w http.ResponseWriter, r *web.Request) error {
	step, order, done, err := h.lockTyped(w, r)
	if done || err != nil {
		return err
	}
	l, err := h.LockDown.Order(r.Context(), r.Origin, r.Cookie, order)
	if err != nil {
		return h.lockAgain(w, r, step, order, err)
	}
	h.dropTyped(r, step, "/lockdown/order")
	to := url.Values{}
	if l.Live(h.srv.Now()) {
		to.Set("done", "ordered")
	}
	return redirect(w, r, "/lockdown", to)
}

func (h *house) lockRatify(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if _, err := h.LockDown.Ratify(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		return h.turned(w, r, err, "/lockdown")
	}
	return redirect(w, r, "/lockdown", url.Values{"done": {"ratified"}})
}

func (h *house) lockLift(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, why := r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("reason"))
	again := func(said refused) error {
		for i, f := range said.Faults {
			if f.Field == "reason" {
				said.Faults[i].Field = "reason-" + id
			}
		}
		return h.lockRoom(w, r, id, why, said)
	}
	if faults := h.text(r, "reason", why, lockdown.MaxReason, true); len(faults) > 0 {
		return again(refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if err := h.LockDown.Lift(r.Context(), r.Origin, r.Cookie, id, why); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return again(said)
		}
		return h.turned(w, r, err, "/lockdown")
	}
	h.dropTyped(r, step, "/lockdown")
	return redirect(w, r, "/lockdown", url.Values{"done": {"lifted"}})
}
