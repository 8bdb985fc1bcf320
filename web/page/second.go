package page

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy/secret"
	"sekisho/web"
)

// secondPage offers the ways in which the reader may prove who they are a
// second time, as equals.
type secondPage struct {
	Card, Code bool
	Several    bool // there is something to choose
	Stuck      bool // none of what they have serves here
}

func (h *house) secondForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SecondFactor)
	if done || err != nil {
		return err
	}
	return h.second(w, r, step, refused{Status: http.StatusOK})
}

// second shows the page of the second factor, with what was wrong, if anything.
func (h *house) second(w http.ResponseWriter, r *web.Request, step signin.Step, said refused) error {
	p := secondPage{Card: slices.Contains(step.Methods, "card"), Code: slices.Contains(step.Methods, "totp")}
	v := h.view(r, step, nil)
	v.Faults, v.Articles = said.Faults, said.Articles
	if len(v.Faults) == 0 {
		v.Notice = notice{Says: h.why(r)}
	}
	if slices.Contains(step.Methods, "passkey") {
		h.asking(w, r, v, stepPath[authn.SecondFactor])
	}
	ways := 0
	for _, there := range []bool{v.Ask != nil, p.Card, p.Code} {
		if there {
			ways++
		}
	}
	p.Several, p.Stuck = ways > 1, ways == 0
	v.Page = p
	return h.show(w, r, said.Status, "second", v)
}

func (h *house) totp(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SecondFactor)
	if done || err != nil {
		return err
	}
	code := digits(r.PostForm.Get("code"))
	if code == "" {
		return h.second(w, r, step, refused{http.StatusUnprocessableEntity, []Fault{{"code", g.say("second.need_code")}}, nil})
	}
	next, err := h.Steps.TOTP(r.Context(), r.Origin, r.Cookie, code)
	if err == nil {
		web.WriteStep(w, r, next)
		return h.onward(w, r, next)
	}
	if said, ok := h.inPlace(w, r, err, Fault{"code", g.say("second.refused")}); ok {
		return h.second(w, r, step, said)
	}
	return h.stepError(w, r, err)
}

// digits brings a code to the form that services know: people type spaces, and
// Japanese keyboards full-width digits.
func digits(typed string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= '０' && c <= '９':
			return c - '０' + '0'
		case c == ' ' || c == '\u3000' || c == '-':
			return -1
		}
		return c
	}, strings.TrimSpace(typed))
}

func (h *house) recoveryForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SecondFactor)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "recovery", h.view(r, step, nil))
}

// recovery takes the code that was given in person for what was lost. A code
// that was refused is not sent back.
func (h *house) recovery(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SecondFactor)
	if done || err != nil {
		return err
	}
	code := strings.TrimSpace(r.PostForm.Get("recovery_code"))
	if code == "" {
		return h.again(w, r, step, "recovery", nil, refused{http.StatusUnprocessableEntity, []Fault{{"recovery_code", g.say("recovery.need_code")}}, nil})
	}
	next, err := h.Steps.RecoveryCode(r.Context(), r.Origin, r.Cookie, secret.NewText([]byte(code)))
	if err == nil {
		web.WriteStep(w, r, next)
		if next.State != authn.Enrol {
			return h.onward(w, r, next)
		}
		to := keep(r)
		to.Set("why", "recovered")
		return redirect(w, r, stepPath[authn.Enrol], to)
	}
	if said, ok := h.inPlace(w, r, err, Fault{"recovery_code", g.say("recovery.refused")}); ok {
		return h.again(w, r, step, "recovery", nil, said)
	}
	return h.stepError(w, r, err)
}

// why is the sentence that tells how the reader came to a page of the sign-in.
func (h *house) why(r *web.Request) string {
	g := h.tongue(r)
	switch r.URL.Query().Get("why") {
	case "signed_out":
		return g.say("notice.signed_out")
	case "ended":
		return g.say("notice.ended")
	case "restarted":
		return g.say("notice.restarted")
	case "sign_in":
		return g.say("notice.sign_in")
	case "stale":
		return g.say("notice.stale")
	case "recovered":
		return g.say("notice.recovered")
	}
	return ""
}

// restart gives up a sign-in under way.
func (h *house) restart(w http.ResponseWriter, r *web.Request) error {
	if err := h.over(r, r.Cookie); err != nil {
		return err
	}
	web.GiveUp(w, r)
	to := keep(r)
	to.Set("why", "restarted")
	return redirect(w, r, "/signin", to)
}

func (h *house) signout(w http.ResponseWriter, r *web.Request) error {
	if err := h.leave(w, r); err != nil {
		return err
	}
	return redirect(w, r, "/signin", url.Values{"why": {"signed_out"}})
}

// leave ends what the browser has, a sign-in under way and the session before it. Only when that is certain does the
// browser forget the cookie: someone told that they are signed out must be.
func (h *house) leave(w http.ResponseWriter, r *web.Request) error {
	if err := errors.Join(h.over(r, r.Cookie), h.over(r, r.Former)); err != nil {
		return err
	}
	web.ClearSession(w, r)
	return nil
}

// over ends what a cookie stands for.
func (h *house) over(r *web.Request, cookie string) error {
	if cookie == "" {
		return nil
	}
	if err := h.Presence.SignOut(r.Context(), r.Origin, cookie); err != nil && !none(err) {
		return err
	}
	return nil
}
