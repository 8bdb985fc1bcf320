package page

import (
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/web"
)

// pictureSize is the enrolment picture's side in pixels.
const pictureSize = 240

// enrolPage serves two ways to the same thing: the enrol step of a sign-in, and
// a further authenticator app of someone signed in.
type enrolPage struct {
	Signing bool
	App     bool // an app is one of the choices
	Begin   string
	Finish  string
	ID      string
	Name    string
	Picture template.URL // data: PNG; "" when it is not shown again
	Link    template.URL // otpauth:
	Secret  string       // in groups of four
}

func enrolling() enrolPage {
	return enrolPage{Signing: true, Begin: "/signin/enrol/begin", Finish: "/signin/enrol"}
}

func adding() enrolPage {
	return enrolPage{App: true, Begin: "/me/factors/totp/begin", Finish: "/me/factors/totp"}
}

func (p enrolPage) state() signin.State {
	if p.Signing {
		return authn.Enrol
	}
	return authn.SignedIn
}

// enrolForm offers what may be enrolled: a passkey, made on this very page, and
// an app. It begins nothing that is stored: a GET changes nothing, and a link
// preview must not leave half an enrolment behind.
func (h *house) enrolForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.Enrol)
	if done || err != nil {
		return err
	}
	return h.choices(w, r, step, "", refused{Status: http.StatusOK})
}

// choices shows the enrol step, with what was wrong, if anything.
func (h *house) choices(w http.ResponseWriter, r *web.Request, step signin.Step, name string, said refused) error {
	p := enrolling()
	p.App = slices.Contains(step.Methods, "totp")
	v := h.view(r, step, p)
	v.Switch = switchURL(r, "/signin/enrol")
	v.Faults, v.Articles = said.Faults, said.Articles
	if len(v.Faults) == 0 {
		v.Notice = notice{Says: h.why(r), Tone: "warn"}
	}
	if slices.Contains(step.Methods, "passkey") {
		if err := h.making(r, v, enrolledKey, name); err != nil {
			if !p.App {
				return h.stepError(w, r, err)
			}
			h.unasked(r, err)
		}
	}
	return h.show(w, r, said.Status, "enrolstart", v)
}

func (h *house) enrolBegin(w http.ResponseWriter, r *web.Request) error {
	return h.bindBegin(w, r, enrolling())
}
func (h *house) enrolFinish(w http.ResponseWriter, r *web.Request) error {
	return h.bindFinish(w, r, enrolling())
}
func (h *house) addBegin(w http.ResponseWriter, r *web.Request) error {
	return h.bindBegin(w, r, adding())
}
func (h *house) addFinish(w http.ResponseWriter, r *web.Request) error {
	return h.bindFinish(w, r, adding())
}

func (h *house) addForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "enrolstart", h.view(r, step, adding()))
}

// startAgain shows the page that an enrolment begins on, with what was wrong.
func (h *house) startAgain(w http.ResponseWriter, r *web.Request, step signin.Step, p enrolPage, said refused) error {
	if p.Signing {
		return h.choices(w, r, step, "", said)
	}
	return h.again(w, r, step, "enrolstart", p, said)
}

// bindBegin shows the secret, in the answer to the POST itself: it is given out
// once and is nowhere to be read again.
func (h *house) bindBegin(w http.ResponseWriter, r *web.Request, p enrolPage) error {
	step, done, err := h.at(w, r, p.state())
	if done || err != nil {
		return err
	}
	begun, err := h.Factors.BeginTOTP(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.bindError(w, r, step, p, "enrolstart", err)
	}
	png, err := begun.QR(pictureSize)
	if err != nil {
		return fmt.Errorf("drawing the enrolment picture: %w", err)
	}
	p.ID, p.Name = begun.ID, h.tongue(r).say("enrol.name_default")
	// Both addresses are made by the service from bytes of its own.
	p.Picture = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(png))
	p.Link = template.URL(begun.URI.Reveal())
	p.Secret = fours(string(begun.Secret.Reveal()))
	v := h.view(r, step, p)
	v.Switch = switchURL(r, p.Finish)
	return h.show(w, r, http.StatusOK, "enrol", v)
}

// fours groups a secret so that it can be typed off the screen.
func fours(s string) string {
	var groups []string
	for len(s) > 4 {
		groups, s = append(groups, s[:4]), s[4:]
	}
	return strings.Join(append(groups, s), " ")
}

func (h *house) bindFinish(w http.ResponseWriter, r *web.Request, p enrolPage) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, p.state())
	if done || err != nil {
		return err
	}
	p.ID, p.Name = r.PostForm.Get("id"), strings.TrimSpace(r.PostForm.Get("name"))
	code := digits(r.PostForm.Get("code"))
	var faults []Fault
	if code == "" {
		faults = append(faults, Fault{"code", g.say("second.need_code")})
	}
	faults = append(faults, nameFaults(g, p.Name)...)
	if len(faults) > 0 {
		return h.again(w, r, step, "enrol", p, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	next, err := h.Factors.FinishTOTP(r.Context(), r.Origin, r.Cookie, p.ID, code, p.Name)
	if err == nil {
		web.WriteStep(w, r, next)
		if p.Signing {
			return h.onward(w, r, next)
		}
		return redirect(w, r, "/me", url.Values{"done": {"factor_added"}})
	}
	if errors.Is(err, totp.ErrWrong) || errors.Is(err, totp.ErrReplayed) || errors.Is(err, signin.ErrRefused) {
		return h.again(w, r, step, "enrol", p, refused{http.StatusUnprocessableEntity, []Fault{{"code", g.say("enrol.wrong_code")}}, nil})
	}
	return h.bindError(w, r, step, p, "enrol", err)
}

// bindError shows what went wrong with an enrolment on the page it went wrong
// on. One that has run out is begun anew.
func (h *house) bindError(w http.ResponseWriter, r *web.Request, step signin.Step, p enrolPage, name string, err error) error {
	g := h.tongue(r)
	switch {
	case errors.Is(err, totp.ErrName):
		return h.again(w, r, step, name, p, refused{http.StatusUnprocessableEntity, []Fault{{"name", g.say("enrol.name_refused")}}, nil})
	case errors.Is(err, totp.ErrFull):
		return h.startAgain(w, r, step, p, refused{http.StatusConflict, []Fault{{"", g.say("enrol.full")}}, nil})
	case errors.Is(err, totp.ErrNoEnrolment), web.ProblemOf(err).Code == web.CodeNotFound:
		return h.startAgain(w, r, step, p, refused{http.StatusConflict, []Fault{{"", g.say("enrol.gone")}}, nil})
	}
	if said, ok := h.inPlace(w, r, err, Fault{"code", g.say("enrol.wrong_code")}); ok {
		if name == "enrolstart" {
			return h.startAgain(w, r, step, p, said)
		}
		return h.again(w, r, step, name, p, said)
	}
	if done, failed := h.elsewhere(w, r, err, p.Finish); done {
		return failed
	}
	return err
}
