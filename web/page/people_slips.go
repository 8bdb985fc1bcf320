package page

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

func (h *house) mountSlips() {
	m := h.srv.Mount
	m("GET /slips", h.slipsForm)
	m("POST /slips", h.giveSlips)
}

type slipsPage struct {
	Rooms []room
	search
	Sections []option
	Waiting  []waitingLine
	Typed    string
	Form     string // names this form: it makes papers once
	Most     int
	More     bool
	Read     int
}

// A waitingLine is somebody who has not begun: with a temporary password that they
// have not used, or without any use yet.
type waitingLine struct {
	Login, Name, Section string
	Until                template.HTML // of the temporary password; "" for none
	Void                 bool
	Chosen               bool
}

// slipsForm is who has not begun yet, each to be given a temporary password.
func (h *house) slipsForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if err := h.proven(r, step); err != nil {
		return h.turned(w, r, err, "/slips")
	}
	return h.slipsPage(w, r, step, refused{Status: http.StatusOK})
}

func (h *house) slipsPage(w http.ResponseWriter, r *web.Request, step signin.Step, said refused) error {
	s, after := searching(r, "/slips", "section")
	list, err := h.People.List(r.Context(), r.Origin, r.Cookie, people.Filter{Words: s.Query, Section: s.Narrowed.Get("section"), Unbegun: true}, after, people.MostSlips)
	if err != nil {
		return h.turned(w, r, err, "/slips")
	}
	p := slipsPage{
		Rooms: h.rooms(r, step, "slips"), Most: people.MostSlips, Read: list.Read, Typed: r.PostForm.Get("logins"), Form: secret.Token(12),
		Sections: h.peoplePage(r, s).Sections,
	}
	if list.Next != "" {
		s.Next, p.More = s.at(list.Next), len(list.People) < people.MostSlips
	}
	p.search = s
	now := h.srv.Now()
	for _, one := range list.People {
		line := waitingLine{Login: one.Login, Name: one.Name, Section: sectionName(r, one.Section), Chosen: slices.Contains(r.PostForm["login"], one.Login)}
		if one.Temporary && !one.TemporaryEnds.IsZero() {
			line.Until, line.Void = h.tongue(r).near(one.TemporaryEnds, now), !now.Before(one.TemporaryEnds)
		}
		p.Waiting = append(p.Waiting, line)
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles = true, said.Faults, said.Articles
	if s.Narrow() {
		v.Switch += "&" + s.asked().Encode()
	}
	return h.show(w, r, said.Status, "slips", v)
}

type slipSheet struct {
	Papers []slipPage
	Passed []passedLine
}

type passedLine struct {
	Login, Why string
	Link       string
}

// giveSlips shows a paper for each, which are nowhere to be read again.
func (h *house) giveSlips(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	form := slipsKey(step, r.PostForm.Get("form"))
	if h.shown(r, form) {
		return h.slipsPage(w, r, step, refused{http.StatusConflict, []Fault{{"logins", h.tongue(r).say("slips.shown")}}, []policy.Article{"64-2"}})
	}
	logins := append(r.PostForm["login"], strings.FieldsFunc(r.PostForm.Get("logins"), func(c rune) bool { return strings.ContainsRune("\r\n\t ,、　", c) })...)
	made, err := h.People.TemporaryPasswords(r.Context(), r.Origin, r.Cookie, logins)
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.slipsPage(w, r, step, said)
		}
		return h.turned(w, r, err, "/slips")
	}
	var p slipSheet
	for _, s := range made.Given {
		p.Papers = append(p.Papers, h.paper(r, step, s, h.passwordPaper))
	}
	for _, one := range made.Passed {
		p.Passed = append(p.Passed, passedLine{one.Login, h.whyPassed(r, one.Err), personPath(one.Login)})
	}
	if len(p.Papers) > 0 {
		h.noteShown(r, form)
	}
	w.Header().Set("Cache-Control", "no-store")
	v := h.view(r, step, p)
	v.Switch = switchURL(r, "/slips")
	return h.show(w, r, http.StatusOK, "slipsheet", v)
}

// shownFor is how long a form that has made papers is known by its name.
const shownFor = 24 * time.Hour

// slipsKey names a form that somebody was given; "" where it has no name.
func slipsKey(step signin.Step, form string) string {
	if form == "" {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", step.Person.ID, form))
	return "slips:" + hex.EncodeToString(sum[:])
}

// shown reports whether a form has made papers before: a page that is loaded again would
// make others, and those that were printed would open nothing.
func (h *house) shown(r *web.Request, form string) bool {
	if h.Drafts == nil || form == "" {
		return false
	}
	_, ok, err := h.Drafts.Get(r.Context(), form)
	if err != nil {
		h.srv.Log().Warn("whether a form was sent before could not be read", "request_id", r.ID, "error", err)
	}
	return ok && err == nil
}

func (h *house) noteShown(r *web.Request, form string) {
	if h.Drafts == nil || form == "" {
		return
	}
	if err := h.Drafts.Put(r.Context(), form, []byte{1}, shownFor); err != nil {
		h.srv.Log().Warn("that a form was sent could not be kept", "request_id", r.ID, "error", err)
	}
}

// whyPassed says why somebody was given nothing.
func (h *house) whyPassed(r *web.Request, err error) string {
	var waits *people.Waiting
	switch {
	case errors.Is(err, people.ErrLater):
		return h.tongue(r).say("slips.later")
	case errors.Is(err, people.ErrNotFound):
		return h.tongue(r).say("slips.unknown")
	case errors.As(err, &waits):
		return r.Say(waits.Says())
	}
	return r.Say(web.ProblemOf(err).Detail)
}
