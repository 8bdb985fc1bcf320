package page

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

type reviewsPage struct {
	Rooms    []room
	Cards    []actingCard
	Past     []actingCard
	Looks    bool // the reader sees what others do
	Articles []policy.Article
}

// An actingCard is a decision that was made in a holder's place, with the matter.
type actingCard struct {
	matterCard
	Key        string
	Decided    string // yes or no
	Yes        bool
	Who        string
	WhoLogin   string
	How        string
	At, Due    template.HTML
	Overdue    bool
	Said       string
	Reviewed   template.HTML
	Reviewer   string
	ReviewSays string
	State      tag
	Prove      string
	Typed      string
}

// reviews are the acting decisions that wait for the reader, and what became of the
// last ones.
func (h *house) reviews(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	was := h.typedBefore(r, step, "/reviews")
	return h.reviewsPage(w, r, step, was.of("/reviews/", ""), was.Form.Get("comment"), refused{Status: http.StatusOK})
}

func (h *house) reviewsPage(w http.ResponseWriter, r *web.Request, step signin.Step, key, typed string, said refused) error {
	all, err := h.Desk.Reviews(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/reviews")
	}
	p := reviewsPage{Rooms: h.counters(r, step, "reviews"), Looks: h.lookers(r, step), Articles: []policy.Article{"12-2", "13-1", "16-1"}}
	for _, a := range all.Owed {
		c := h.actingCard(r, a)
		if c.Key == key {
			c.Typed = typed
		}
		p.Cards = append(p.Cards, c)
	}
	for _, a := range all.Past {
		p.Past = append(p.Past, h.actingCard(r, a))
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, "/reviews")
	g := h.tongue(r)
	switch {
	case len(said.Faults) > 0:
	case r.URL.Query().Get("done") == "seen":
		v.Notice = notice{Says: g.say("reviews.done_seen"), Tone: "good"}
	case r.URL.Query().Get("done") == "objection":
		v.Notice = notice{Says: g.say("reviews.done_objection"), Tone: "good"}
	}
	return h.show(w, r, said.Status, "reviews", v)
}

func (h *house) actingCard(r *web.Request, a desk.Acting) actingCard {
	g, now := h.tongue(r), h.srv.Now()
	c := actingCard{
		matterCard: h.matterCard(r, a.Card, "/reviews"), Key: a.Key, Yes: a.Decision.Yes, Decided: g.say("lease.said_no"),
		Who: nameOf(a.Decision.By), WhoLogin: a.Decision.By.Login, At: g.near(a.Decision.At, now), Due: g.near(a.Due, now), Said: a.Decision.Comment,
		Reviewer: nameOf(a.Reviewer), ReviewSays: a.Comment, Prove: stepUpLink(a.NeedsSign, "/reviews"),
	}
	if a.Decision.Yes {
		c.Decided = g.say("lease.said_yes")
	}
	post := g.say("reviews.no_post")
	if a.Post != "" {
		post = postNames(r, []policy.PostID{a.Post})[0]
	}
	switch {
	case a.Sealed:
		c.How = g.say("reviews.sealed")
	case a.Duty:
		c.How = g.say("reviews.duty", "Post", post)
	default:
		c.How = g.say("reviews.acting", "Post", post)
	}
	switch {
	case !a.ReviewAt.IsZero():
		c.Reviewed, c.State = g.near(a.ReviewAt, now), tag{g.say("reviews.seen"), "plain"}
		if a.Objects {
			c.State = tag{g.say("reviews.objected"), "bad"}
		}
	case !now.Before(a.Due):
		c.Overdue, c.State = true, tag{g.say("reviews.overdue"), "bad"}
	default:
		c.State = tag{g.say("reviews.waits"), "warn"}
	}
	return c
}

// review takes the reader's look at an acting decision.
func (h *house) review(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	key, comment, answer := r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("comment")), r.PostForm.Get("answer")
	again := func(said refused) error {
		return h.reviewsPage(w, r, step, key, comment, said.placed(func(string) string { return "comment-" + key }))
	}
	g := h.tongue(r)
	faults := h.text(r, "comment", comment, mostReason, answer == "objection")
	if answer != "seen" && answer != "objection" {
		faults = append(faults, Fault{"", g.say("reviews.need_answer")})
	}
	if len(faults) > 0 {
		return again(refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if err := h.Desk.Review(r.Context(), r.Origin, r.Cookie, key, answer == "objection", comment); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return again(said)
		}
		return h.turned(w, r, err, "/reviews")
	}
	h.dropTyped(r, step, "/reviews")
	return redirect(w, r, "/reviews", url.Values{"done": {answer}})
}

// takeUp writes down that the reader looks into a finding.
func (h *house) takeUp(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, note := r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("note"))
	again := func(said refused) error {
		return h.findingsPage(w, r, step, id, note, said.placed(func(string) string { return "note-" + id }))
	}
	if faults := h.text(r, "note", note, mostReason, true); len(faults) > 0 {
		return again(refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if err := h.Desk.TakeUp(r.Context(), r.Origin, r.Cookie, id, note); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return again(said)
		}
		return h.turned(w, r, err, "/findings")
	}
	h.dropTyped(r, step, "/findings")
	return redirect(w, r, "/findings", url.Values{"done": {"taken"}})
}
