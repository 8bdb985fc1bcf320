package page

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn"
	"sekisho/authn/card"
	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/web"
)

// A question is what a page asks the reader's browser for: a passkey, or to
// make one. The script of the page asks it and sends the form that it stands in.
type question struct {
	Kind   string // "get" or "create"
	Action string // where the answer goes
	Ask    string // options, as JSON
	First  bool   // at the first step, beside the password
	Offer  bool   // offer it where the name is typed, too
	Fresh  string // where the same page is, with a question that is not too old
	ID     string // of an enrolment
	Name   string // default for a new key's
}

// asking begins a page that asks for a passkey. Where none can be asked for,
// the page is the same without it: there are other ways to sign in.
func (h *house) asking(w http.ResponseWriter, r *web.Request, v *view, path string) {
	c, err := h.Steps.BeginPasskey(r.Context(), r.Origin, r.Cookie, "")
	if err != nil {
		h.unasked(r, err)
		return
	}
	web.WriteStep(w, r, signin.Step{Cookie: c.Cookie})
	v.CSRF = c.CSRF
	v.Ask = &question{Kind: "get", Action: "/signin/passkey", Ask: string(c.PublicKey), Fresh: fresh(r, path)}
}

// unasked logs why a page stands without its question, where that is a fault of
// ours.
func (h *house) unasked(r *web.Request, err error) {
	if web.ProblemOf(err).Status >= http.StatusInternalServerError {
		h.srv.Log().Warn("asking for a passkey", "request_id", r.ID, "error", err)
	}
}

// fresh is the address of a page that asks anew, keeping what the query said.
func fresh(r *web.Request, path string) string {
	q := keep(r)
	if acr := r.StepUp(); acr != "" {
		q.Set("acr", string(acr))
	}
	if age := r.URL.Query().Get("max_age"); age != "" {
		q.Set("max_age", age)
	}
	q.Set("why", "stale")
	return path + "?" + q.Encode()
}

// passkey takes a passkey's answer, at the first step or at the second.
func (h *house) passkey(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	answer := r.PostForm.Get("credential")
	if answer == "" {
		return h.askAgain(w, r, refused{http.StatusUnprocessableEntity, []Fault{{"", g.say("passkey.need_script")}}, nil})
	}
	next, err := h.Steps.Passkey(r.Context(), r.Origin, r.Cookie, []byte(answer))
	if err == nil {
		web.WriteStep(w, r, next)
		return h.onward(w, r, next)
	}
	if said, ok := h.keyRefused(w, r, err, g.say("passkey.refused")); ok {
		return h.askAgain(w, r, said)
	}
	return h.stepError(w, r, err)
}

// keyRefused is inPlace for a passkey. Whoever holds a key that is not good
// enough here is told why: they have proved that it is theirs.
func (h *house) keyRefused(w http.ResponseWriter, r *web.Request, err error, wrong string) (refused, bool) {
	var no *passkey.NotAccepted
	if errors.As(err, &no) {
		return refused{web.ProblemOf(err).Status, []Fault{{"", r.Say(no.Says)}}, no.Articles}, true
	}
	return h.inPlace(w, r, err, Fault{"", wrong})
}

// card takes the IC card that the browser showed when it connected.
func (h *house) card(w http.ResponseWriter, r *web.Request) error {
	next, err := h.Steps.Card(r.Context(), r.Origin, r.Cookie)
	if err == nil {
		web.WriteStep(w, r, next)
		return h.onward(w, r, next)
	}
	g := h.tongue(r)
	wrong := g.say("card.refused")
	if errors.Is(err, card.ErrNone) {
		wrong = g.say("card.none")
	}
	if said, ok := h.inPlace(w, r, err, Fault{"", wrong}); ok {
		return h.askAgain(w, r, said)
	}
	return h.stepError(w, r, err)
}

// askAgain shows the page of the step that the sign-in is at, with what was
// wrong with a passkey or a card.
func (h *house) askAgain(w http.ResponseWriter, r *web.Request, said refused) error {
	step, err := h.current(r)
	if err != nil {
		return err
	}
	if step.State == authn.SecondFactor {
		return h.second(w, r, step, said)
	}
	return h.first(w, r, step, "", notice{}, said)
}

// newKey is one page on which a passkey is made: as part of the enrol step, or
// by someone signed in.
type newKey struct {
	Signing bool
	Form    string // where the page is
	Action  string
}

var (
	enrolledKey = newKey{Signing: true, Form: "/signin/enrol", Action: "/signin/enrol/passkey"}
	addedKey    = newKey{Form: "/me/factors/passkey", Action: "/me/factors/passkey"}
)

func (k newKey) state() signin.State {
	if k.Signing {
		return authn.Enrol
	}
	return authn.SignedIn
}

// making puts the question for a new passkey on a page.
func (h *house) making(r *web.Request, v *view, k newKey, name string) error {
	begun, err := h.Factors.BeginPasskey(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	if name == "" {
		name = h.keyName(r)
	}
	v.Ask = &question{Kind: "create", Action: k.Action, Ask: string(begun.PublicKey), Fresh: fresh(r, k.Form), ID: begun.ID, Name: name}
	return nil
}

// keyName is a name by which its owner will know the key again: most are made
// on the device in front of them.
func (h *house) keyName(r *web.Request) string {
	g := h.tongue(r)
	if on := system(r.UserAgent()); on != "" {
		return g.say("passkey.name_on", "System", on)
	}
	return g.say("passkey.name_default")
}

func (h *house) addPasskeyForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	v := h.view(r, step, nil)
	v.Notice = notice{Says: h.why(r)}
	if err := h.making(r, v, addedKey, ""); err != nil {
		return h.keyError(w, r, step, addedKey, "", err)
	}
	return h.show(w, r, http.StatusOK, "newkey", v)
}

func (h *house) enrolPasskey(w http.ResponseWriter, r *web.Request) error {
	return h.bindKey(w, r, enrolledKey)
}

func (h *house) addPasskey(w http.ResponseWriter, r *web.Request) error {
	return h.bindKey(w, r, addedKey)
}

// bindKey takes the passkey that a browser has made.
func (h *house) bindKey(w http.ResponseWriter, r *web.Request, k newKey) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, k.state())
	if done || err != nil {
		return err
	}
	name, answer := strings.TrimSpace(r.PostForm.Get("name")), r.PostForm.Get("credential")
	faults := nameFaults(g, name)
	if answer == "" {
		faults = append(faults, Fault{"", g.say("passkey.need_script")})
	}
	if len(faults) > 0 {
		return h.makeAgain(w, r, step, k, name, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	next, err := h.Factors.FinishPasskey(r.Context(), r.Origin, r.Cookie, r.PostForm.Get("id"), name, []byte(answer))
	if err != nil {
		return h.keyError(w, r, step, k, name, err)
	}
	web.WriteStep(w, r, next)
	if k.Signing {
		return h.onward(w, r, next)
	}
	return redirect(w, r, "/me", url.Values{"done": {"passkey_added"}})
}

// keyError shows what went wrong with a new passkey on the page it went wrong
// on, which asks anew.
func (h *house) keyError(w http.ResponseWriter, r *web.Request, step signin.Step, k newKey, name string, err error) error {
	g := h.tongue(r)
	conflict := func(says string) error {
		return h.makeAgain(w, r, step, k, name, refused{http.StatusConflict, []Fault{{"", says}}, nil})
	}
	switch {
	case errors.Is(err, passkey.ErrName):
		return h.makeAgain(w, r, step, k, name, refused{http.StatusUnprocessableEntity, []Fault{{"name", g.say("enrol.name_refused")}}, nil})
	case errors.Is(err, passkey.ErrFull):
		return conflict(g.say("passkey.full"))
	case errors.Is(err, passkey.ErrTwice):
		return conflict(g.say("passkey.exists"))
	case errors.Is(err, passkey.ErrNoEnrolment):
		return conflict(g.say("passkey.stale"))
	case errors.Is(err, passkey.ErrWrong):
		return h.makeAgain(w, r, step, k, name, refused{http.StatusUnprocessableEntity, []Fault{{"", g.say("passkey.not_made")}}, nil})
	}
	if said, ok := h.keyRefused(w, r, err, g.say("passkey.not_made")); ok {
		return h.makeAgain(w, r, step, k, name, said)
	}
	if done, failed := h.elsewhere(w, r, err, k.Form); done {
		return failed
	}
	return err
}

// makeAgain shows the page of a new passkey with what is wrong. Where no further
// question can be asked, it stands without one.
func (h *house) makeAgain(w http.ResponseWriter, r *web.Request, step signin.Step, k newKey, name string, said refused) error {
	if k.Signing {
		return h.choices(w, r, step, name, said)
	}
	v := h.view(r, step, nil)
	v.Faults, v.Articles = said.Faults, said.Articles
	if err := h.making(r, v, k, name); err != nil {
		h.unasked(r, err)
	}
	return h.show(w, r, said.Status, "newkey", v)
}
