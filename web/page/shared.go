package page

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/shared"
	"sekisho/policy"
	"sekisho/web"
)

// Shared is who has which shared ID; authz/shared is one.
type Shared interface {
	List(ctx context.Context, o signin.Origin, cookie string) ([]shared.Shown, error)
	Past(ctx context.Context, o signin.Origin, cookie string, most int) ([]shared.Checkout, error)
	CheckOut(ctx context.Context, o signin.Origin, cookie, id, reason string, minutes int) (shared.Given, error)
	CheckIn(ctx context.Context, o signin.Origin, cookie, id string) (shared.Checkout, error)
	Live(ctx context.Context, o signin.Origin, cookie string) ([]shared.Seen, error)
	End(ctx context.Context, o signin.Origin, cookie, checkout, reason string) (shared.Checkout, error)
	Any(who approval.Holder) bool
}

func (h *house) mountShared() {
	m := h.srv.Mount
	m("GET /shared", h.sharedIDs)
	m("POST /shared/{id}/checkout", h.checkOut)
	m("GET /shared/{id}/checkout", instead("/shared"))
	m("POST /shared/{id}/checkin", h.checkIn)
	m("GET /shared/{id}/checkin", instead("/shared"))
	m("POST /live/shared/{id}/end", h.endShared)
	m("GET /live/shared/{id}/end", instead("/live"))
}

// shares reports whether a shared ID is for the reader. It chooses a door, and the
// page asks again.
func (h *house) shares(r *web.Request, step signin.Step) bool {
	return h.Shared != nil && h.Shared.Any(approval.Holder{Person: step.Person, Posts: r.Policy().PostsOf(step.Person.Groups)})
}

type sharedPage struct {
	Rooms    []room
	IDs      []sharedLine
	Past     []pastShared
	Articles []policy.Article
}

// A sharedLine is a shared ID as it is offered, or had.
type sharedLine struct {
	ID, Name, Account string
	Several           int // how many may have it at once; 0: one
	Mine              bool
	Until             template.HTML
	Left              clockFace
	Held              []heldBy
	Why               string // it cannot be checked out now
	WhyArticles       []policy.Article
	StepUp            string // where to sign in anew first
	Most              int
	Minutes, Reason   string
	Residual          []string
}

type heldBy struct {
	Who   string
	Until template.HTML
}

type pastShared struct {
	Name, Reason, Why string
	From, Until       template.HTML
	State             tag
}

// pastShares is how many of the reader's own former uses are shown.
const pastShares = 10

// sharedIDs is what the reader has and may have: one form each, filled in but for the
// reason.
func (h *house) sharedIDs(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	was := h.typedBefore(r, step, "/shared")
	return h.sharedPage(w, r, step, was.of("/shared/", "/checkout"), was.Form, refused{Status: http.StatusOK})
}

// sharedPage shows them, with what was typed about one and what is wrong with it.
func (h *house) sharedPage(w http.ResponseWriter, r *web.Request, step signin.Step, id string, typed url.Values, said refused) error {
	all, err := h.Shared.List(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/shared")
	}
	past, err := h.Shared.Past(r.Context(), r.Origin, r.Cookie, pastShares)
	if err != nil {
		return h.turned(w, r, err, "/shared")
	}
	p := sharedPage{Rooms: h.counters(r, step, "shared"), Articles: []policy.Article{"46-1", "65"}}
	ticks, asked := false, false
	for _, one := range all {
		line := h.sharedLine(r, one)
		if one.ID == id {
			line.Reason, line.Minutes = typed.Get("reason"), typed.Get("minutes")
			asked = !line.Mine && line.Why == "" && line.StepUp == ""
		}
		ticks = ticks || line.Mine
		p.IDs = append(p.IDs, line)
	}
	if !asked {
		said = said.above() // there is no field to say it at
	}
	for _, c := range past {
		p.Past = append(p.Past, h.pastShared(r, c))
	}
	v := h.view(r, step, p)
	v.Wide, v.Ticks, v.Faults, v.Articles, v.Switch = true, ticks, said.Faults, said.Articles, switchURL(r, "/shared")
	if len(said.Faults) == 0 && r.URL.Query().Get("done") == "checkin" {
		v.Notice = notice{Says: h.tongue(r).say("shared.done_back"), Tone: "good"}
	}
	return h.show(w, r, said.Status, "shared", v)
}

func (h *house) sharedLine(r *web.Request, one shared.Shown) sharedLine {
	g, now := h.tongue(r), h.srv.Now()
	line := sharedLine{
		ID: one.ID, Name: r.Say(one.Name), Most: minutes(one.Longest), Minutes: strconv.Itoa(minutes(one.Usual)), StepUp: stepUpLink(one.StepUp, "/shared"),
		Residual: inWords(r, one.Residual),
	}
	if one.Holders > 1 {
		line.Several = one.Holders
	}
	for _, c := range one.Held {
		if c.ID == one.Mine.ID {
			line.Mine, line.Account, line.Until, line.Left = true, c.Account, g.near(c.EndsAt, now), face(c.EndsAt.Sub(now))
			continue
		}
		line.Held = append(line.Held, heldBy{refName(c.By), g.near(c.EndsAt, now)})
	}
	if one.Refused != nil && !line.Mine {
		line.Why, line.WhyArticles = r.Say(one.Refused.Says), one.Refused.Articles
	}
	return line
}

func (h *house) pastShared(r *web.Request, c shared.Checkout) pastShared {
	g, now := h.tongue(r), h.srv.Now()
	line := pastShared{Name: c.Shared, Reason: c.Reason, From: g.near(c.AskedAt, now), State: tag{g.say("shared.returned"), "plain"}}
	if s, ok := r.Policy().SharedID(c.Shared); ok {
		line.Name = r.Say(s.Name)
	}
	end := c.EndedAt
	switch c.State(now) {
	case shared.Revoked:
		line.State = tag{g.say("shared.revoked"), "bad"}
		switch {
		case c.EndReason == shared.WithAnother:
			line.Why = g.say("shared.with_another")
		case c.EndedBy.ID != "": // somebody's words; else ours, which the trail has
			line.Why = c.EndReason
		}
	case shared.Expired:
		line.State, end = tag{g.say("shared.expired"), "plain"}, c.EndsAt
	}
	line.Until = g.near(end, now)
	return line
}

// checkOut shows the ID with its password, which is nowhere else.
func (h *house) checkOut(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, g := r.PathValue("id"), h.tongue(r)
	field := func(name string) string { return name + "-" + id }
	n, err := strconv.Atoi(narrowed(r.PostForm.Get("minutes")))
	if err != nil || n < 1 {
		return h.sharedPage(w, r, step, id, r.PostForm, refused{http.StatusUnprocessableEntity, []Fault{{field("minutes"), g.say("lease.minutes_wrong")}}, nil})
	}
	given, err := h.Shared.CheckOut(r.Context(), r.Origin, r.Cookie, id, strings.TrimSpace(r.PostForm.Get("reason")), n)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.sharedPage(w, r, step, id, r.PostForm, said.placed(field))
		}
		return h.turned(w, r, err, "/shared")
	}
	h.dropTyped(r, step, "/shared")
	now, name := h.srv.Now(), id
	if s, ok := r.Policy().SharedID(id); ok {
		name = r.Say(s.Name)
	}
	w.Header().Set("Cache-Control", "no-store")
	v := h.view(r, step, secretPage{
		Rooms: h.counters(r, step, ""), Back: "/shared", Name: name, Login: given.Account, Password: string(given.Password.Reveal()),
		Until: g.near(given.EndsAt, now), Left: face(given.EndsAt.Sub(now)),
	})
	v.Ticks, v.Switch = true, switchURL(r, "/shared")
	return h.show(w, r, http.StatusOK, "leasesecret", v)
}

func (h *house) checkIn(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if _, err := h.Shared.CheckIn(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.sharedPage(w, r, step, "", nil, said)
		}
		return h.turned(w, r, err, "/shared")
	}
	return redirect(w, r, "/shared", url.Values{"done": {"checkin"}})
}

// A sharedLive is a shared ID that somebody has, for those who look.
type sharedLive struct {
	ID, Name, Account, Who, Login, Section, Reason string
	At, Until                                      template.HTML
	Left                                           clockFace
	CanEnd                                         bool
	StepUp                                         string
}

func (h *house) sharedLive(r *web.Request) ([]sharedLive, error) {
	if h.Shared == nil {
		return nil, nil
	}
	all, err := h.Shared.Live(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return nil, err
	}
	g, now := h.tongue(r), h.srv.Now()
	var out []sharedLive
	for _, c := range all {
		line := sharedLive{
			ID: c.ID, Name: r.Say(c.Name), Account: c.Account, Who: refName(c.By), Login: c.By.Login, Section: sectionName(r, c.By.Section), Reason: c.Reason,
			At: g.near(c.AskedAt, now), Until: g.near(c.EndsAt, now), Left: face(c.EndsAt.Sub(now)), CanEnd: c.MayEnd, StepUp: stepUpLink(c.StepUp, "/live"),
		}
		if line.Name == "" {
			line.Name = c.Shared
		}
		out = append(out, line)
	}
	return out, nil
}

// endShared ends somebody else's use.
func (h *house) endShared(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if _, err := h.Shared.End(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("reason"))); err != nil {
		return h.turned(w, r, err, "/live")
	}
	return redirect(w, r, "/live", url.Values{"done": {"shared_end"}})
}
