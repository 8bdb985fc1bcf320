package page

import (
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/project"
	"sekisho/authz/recertify"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type approvalsPage struct {
	Rooms       []room
	Cards       []matterCard
	Outcomes    []outcomeLine // of several that were just decided
	Gone        bool          // there is no session any more
	Several     bool          // more than one can be decided at once
	Comment     string        // on them
	Witness     []leaseLine
	Countersign []leaseLine
	Judge       []leaseLine
	Articles    []policy.Article
}

// A matterCard says in five seconds who asks for what, why and until when, how
// they used it before, and what a yes does.
type matterCard struct {
	ID, Lease      string
	What, Kind     string
	By, Login      string
	Section, For   string
	Reason, Ticket string
	Lasts          string
	AskedAt        template.HTML
	LapsesAt       template.HTML
	Yes            []string
	Uses           []useLine
	Facts          []factLine
	Decisions      []decisionLine
	Missing        int
	As             string
	Acting         bool
	Why            string // why the reader cannot decide it
	Articles       []policy.Article
	StepUp         string
	Comment        string
	Permit         string // the page of what is asked for
	Import         string // the page of the personnel changes it is about
	Project        string // the page of the project it is about
	Term           string // from when until when
	Confirms       []choice
	Together       bool // it may be decided with others
	Chosen         bool
}

// An outcomeLine is what became of one of several requests.
type outcomeLine struct{ What, For, Became, Wrong string }

type factLine struct{ Label, Value string }

// approvals is the queue: what waits for the reader, the oldest first.
func (h *house) approvals(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.approvalsPage(r, step)
	if err != nil {
		return h.turned(w, r, err, "/approvals")
	}
	p.again(h.typedBefore(r, step, "/approvals"))
	v := h.view(r, step, p)
	v.Wide, v.Notice = true, h.deskDone(r)
	return h.show(w, r, http.StatusOK, "approvals", v)
}

func (h *house) approvalsPage(r *web.Request, step signin.Step) (approvalsPage, error) {
	waiting, err := h.Desk.Waiting(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return approvalsPage{}, err
	}
	p := approvalsPage{Rooms: h.counters(r, step, "approvals"), Articles: []policy.Article{"16-1", "62-7"}}
	together := 0
	for _, c := range waiting.Decide {
		p.Cards = append(p.Cards, h.matterCard(r, c, "/approvals"))
		if p.Cards[len(p.Cards)-1].Together {
			together++
		}
	}
	if p.Several = together > 1; !p.Several {
		for i := range p.Cards {
			p.Cards[i].Together = false
		}
	}
	for _, l := range waiting.Witness {
		p.Witness = append(p.Witness, h.leaseLine(r, l))
	}
	for _, l := range waiting.Countersign {
		p.Countersign = append(p.Countersign, h.leaseLine(r, l))
	}
	for _, l := range waiting.Judge {
		p.Judge = append(p.Judge, h.leaseLine(r, l))
	}
	return p, nil
}

// again puts a word on several that was typed before a sign-in where it was typed; of
// one that is left, on that.
func (p *approvalsPage) again(was typed) {
	p.Comment = was.Form.Get("comment")
	for i, c := range p.Cards {
		chosen := slices.Contains(was.Form["id"], c.ID)
		p.Cards[i].Chosen = chosen
		if chosen && !p.Several {
			p.Cards[i].Comment = p.Comment
		}
	}
}

// decideAll takes one word on several permits that were asked for. Each is decided
// by itself: what could not be stays, with the reason.
func (h *house) decideAll(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	g, ids, answer, comment := h.tongue(r), r.PostForm["id"], r.PostForm.Get("answer"), strings.TrimSpace(r.PostForm.Get("comment"))
	faults := h.text(r, "comment-all", comment, mostReason, answer == "no")
	if answer != "yes" && answer != "no" {
		faults = append(faults, Fault{"", g.say("approvals.need_answer")})
	}
	if len(ids) == 0 {
		faults = append(faults, Fault{"", g.say("approvals.none_chosen")})
	}
	var outcomes []outcomeLine
	if len(faults) == 0 {
		became, err := h.Permits.DecideAll(r.Context(), r.Origin, r.Cookie, ids, answer == "yes", comment, nil)
		if err != nil {
			said, ok := h.inOffice(w, r, err)
			if !ok {
				return h.turned(w, r, err, stillOpen(r, became))
			}
			faults = said.Faults
		}
		var left []string
		did, notice := g.say("approvals.outcome_yes"), "approved_all"
		if answer == "no" {
			did, notice = g.say("approvals.outcome_no"), "denied_all"
		}
		for _, one := range became {
			line := outcomeLine{What: cmp.Or(r.Say(one.Name), one.ID), For: nameOf(one.For), Became: did}
			if one.Err != nil {
				left = append(left, one.ID)
				line.Became, line.Wrong = g.say("approvals.outcome_left"), r.Say(web.ProblemOf(one.Err).Detail)
			}
			outcomes = append(outcomes, line)
		}
		if err == nil && len(left) == 0 {
			h.dropTyped(r, step, "/approvals")
			return redirect(w, r, "/approvals", url.Values{"done": {notice}, "n": {strconv.Itoa(len(became))}})
		}
		if len(left) > 0 {
			says, err := g.n("approvals.left", len(left))
			if err != nil {
				return err
			}
			faults = append(faults, Fault{"", says})
		}
		ids = left
	}
	p, err := h.approvalsPage(r, step)
	switch {
	case err != nil && len(outcomes) == 0:
		return h.turned(w, r, err, "/approvals")
	case none(err): // the session ended in between: what it decided is told all the same
		step, p = signin.Step{}, approvalsPage{Gone: true}
	case err != nil:
		return err
	}
	p.Outcomes, p.Comment = outcomes, r.PostForm.Get("comment")
	for i, c := range p.Cards {
		p.Cards[i].Chosen = slices.Contains(ids, c.ID)
	}
	if !p.Several {
		for i := range faults {
			faults[i].Field = ""
		}
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults = true, faults
	return h.show(w, r, http.StatusUnprocessableEntity, "approvals", v)
}

// stillOpen leaves in a form that a sign-in interrupts what is not decided yet, and is
// where the reader hears of how many are.
func stillOpen(r *web.Request, became []desk.Decided) string {
	n := 0
	for _, one := range became {
		if one.Err == nil {
			n++
			r.PostForm["id"] = slices.DeleteFunc(r.PostForm["id"], func(id string) bool { return id == one.ID })
		}
	}
	if n == 0 {
		return "/approvals"
	}
	return "/approvals?" + url.Values{"done": {"part"}, "n": {strconv.Itoa(n)}}.Encode()
}

type approvalPage struct {
	Rooms []room
	Card  matterCard
}

// approval is one card by itself, where a mail or a refusal leads.
func (h *house) approval(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.approvalPage(r, step)
	if err != nil {
		return h.turned(w, r, err, approvalPath(r.PathValue("id")))
	}
	p.Card.Comment = h.typedBefore(r, step, approvalPath(p.Card.ID)).Form.Get("comment")
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "approval", v)
}

func (h *house) approvalPage(r *web.Request, step signin.Step) (approvalPage, error) {
	c, err := h.Desk.Card(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return approvalPage{}, err
	}
	return approvalPage{h.counters(r, step, "approvals"), h.matterCard(r, c, approvalPath(c.ID))}, nil
}

func approvalPath(id string) string { return "/approvals/" + url.PathEscape(id) }

// decide takes the reader's yes or no. A sign-in that is not fresh enough leads
// through a passkey and back to the card.
func (h *house) decide(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, comment := r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("comment"))
	again := func(said refused) error {
		p, err := h.approvalPage(r, step)
		if err != nil {
			return h.turned(w, r, err, approvalPath(id))
		}
		p.Card.Comment = r.PostForm.Get("comment")
		if p.Card.Why != "" || p.Card.StepUp != "" {
			said = said.above()
		}
		v := h.view(r, step, p)
		v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
		return h.show(w, r, said.Status, "approval", v)
	}
	g, answer := h.tongue(r), r.PostForm.Get("answer")
	faults := h.text(r, "comment-"+id, comment, mostReason, answer == "no")
	if answer != "yes" && answer != "no" {
		faults = append(faults, Fault{"", g.say("approvals.need_answer")})
	}
	if len(faults) > 0 {
		return again(refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if err := h.decideOne(r, id, answer == "yes", comment); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return again(said.placed(func(field string) string {
				if field == "confirmations" {
					return "confirm-" + id
				}
				return "comment-" + id
			}))
		}
		return h.turned(w, r, err, approvalPath(id))
	}
	h.dropTyped(r, step, approvalPath(id))
	did := desk.Deny
	if answer == "yes" {
		did = desk.Approve
	}
	return redirect(w, r, "/approvals", url.Values{"done": {string(did)}})
}

// decideOne gives the reader's word on one matter: where it is a permit, with what
// they have confirmed.
func (h *house) decideOne(r *web.Request, id string, yes bool, comment string) error {
	if h.Permits != nil {
		c, err := h.Desk.Card(r.Context(), r.Origin, r.Cookie, id)
		if err != nil {
			return err
		}
		if c.Permit != "" {
			became, err := h.Permits.DecideAll(r.Context(), r.Origin, r.Cookie, []string{id}, yes, comment, r.PostForm["confirm"])
			if err == nil && len(became) == 1 {
				err = became[0].Err
			}
			return err
		}
	}
	return h.Desk.Decide(r.Context(), r.Origin, r.Cookie, id, yes, comment)
}

func (h *house) matterCard(r *web.Request, c desk.Card, back string) matterCard {
	g, now := h.tongue(r), h.srv.Now()
	m := matterCard{
		ID: c.ID, Lease: c.Lease, What: r.Say(c.What), Kind: h.matterKind(r, c.Kind), By: nameOf(c.By), Login: c.By.Login,
		Section: sectionName(r, c.By.Section), For: nameOf(c.For), Reason: c.Reason, Ticket: c.Ticket, AskedAt: g.near(c.AskedAt, now),
		Yes: inWords(r, c.Yes), Uses: h.useLines(r, c.Uses), Decisions: h.decisionLines(r, c.Decisions), Missing: c.Missing,
		Acting: c.Acting, Why: r.Say(c.Refused.Why), Articles: c.Articles, StepUp: stepUpLink(c.StepUp, back),
	}
	if c.Permit != "" {
		m.Permit, m.Kind, m.Term = permitPath(c.Permit), g.say("approvals.kind_permit"), r.Say(c.Term)
		for _, one := range c.Confirms {
			says := r.Say(one.Says)
			if one.Instead != "" {
				says = g.say("approvals.instead", "Says", says)
			}
			m.Confirms = append(m.Confirms, choice{one.ID, says, slices.Contains(r.PostForm["confirm"], one.ID)})
		}
		m.Together = h.Permits != nil && len(c.Confirms) == 0 && c.StepUp == nil && c.Refused.Why.IsEmpty()
	}
	if c.Import != "" {
		m.Import = "/imports/" + url.PathEscape(c.Import)
	}
	if c.Project != "" && h.Projects != nil {
		m.Project = projectPath(c.Project)
	}
	for _, f := range c.Facts {
		value := f.Value
		if says := r.Say(f.Says); says != "" {
			value = says
		}
		m.Facts = append(m.Facts, factLine{r.Say(f.Label), value})
	}
	if len(c.Refused.Articles) > 0 {
		m.Articles = c.Refused.Articles
	}
	if names := postNames(r, []policy.PostID{c.As}); c.As != "" {
		m.As = names[0]
	}
	if c.Lasts > 0 {
		m.Lasts = g.lasting(c.Lasts)
	}
	if !c.LapsesAt.IsZero() {
		m.LapsesAt = g.near(c.LapsesAt, now)
	}
	return m
}

// matterKind says what sort of matter it is.
func (h *house) matterKind(r *web.Request, kind string) string {
	g := h.tongue(r)
	switch kind {
	case "elevation":
		return g.say("approvals.kind_elevation")
	case "extension":
		return g.say("approvals.kind_extension")
	case "credential":
		return g.say("approvals.kind_credential")
	case "policy_change":
		return g.say("approvals.kind_policy")
	case "restoration":
		return g.say("approvals.kind_restore")
	case "personnel", "personnel_undo":
		return g.say("approvals.kind_personnel")
	case string(project.Widening):
		return g.say("approvals.kind_project")
	case string(recertify.GoOn), string(recertify.EndMany):
		return g.say("recertify.title")
	case "sweep", "deletion":
		return g.say("approvals.kind_unused")
	}
	return kind
}
