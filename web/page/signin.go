package page

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

type signinPage struct {
	Banner       string
	Login        string
	AutoPassword string
	Card         bool // IC cards sign people in from here
}

// signinForm shows the first page, unless the reader is signed in as strongly
// and as recently as whoever sent them here asks.
func (h *house) signinForm(w http.ResponseWriter, r *web.Request) error {
	step, err := h.current(r)
	why := notice{Says: h.why(r)}
	if no := (*signin.NoPassage)(nil); errors.As(err, &no) && step.CSRF != "" {
		// The session of inside opens nothing here. Whoever has a permit signs in anew.
		why, err = notice{Says: h.tongue(r).say("notice.outside", "Why", r.Say(no.Says)), Tone: "warn"}, nil
	}
	if err != nil {
		return err
	}
	if step.State == authn.SignedIn && step.Session != nil {
		stronger := r.StepUp() != "" && !step.Session.ACR.AtLeast(r.StepUp())
		older := tooOld(r.URL.Query().Get("max_age"), h.srv.Now().Sub(step.Session.AuthAt))
		// Who opens this page at a counter is the next: only whoever was sent
		// here comes back to where they were.
		_, sent := r.Return()
		switch {
		case atCounter(step) && !sent && r.StepUp() == "":
			why = notice{Says: h.tongue(r).say("notice.take_over", "Name", cmp.Or(step.Person.Name, step.Person.Login))}
		case stronger:
			why = notice{Says: h.tongue(r).say("notice.stronger"), Tone: "warn"}
		case older:
			why = notice{Says: h.tongue(r).say("notice.fresh"), Tone: "warn"}
		default:
			return h.onward(w, r, step)
		}
	}
	if err := h.welcomes(r); err != nil {
		return err // before anybody types a password here
	}
	// An application may say whom it means; it is only typed in (OpenID Connect
	// Core section 3.1.2.1, login_hint).
	login := r.URL.Query().Get("login_hint")
	if len(login) > maxLoginHint {
		login = ""
	}
	return h.first(w, r, step, login, why, refused{Status: http.StatusOK})
}

// welcomes refuses who comes from where nobody could come in.
func (h *house) welcomes(r *web.Request) error {
	if h.Welcome != nil {
		return h.Welcome(r.Context(), r.Origin)
	}
	if _, served := r.Policy().Zone(r.Origin.Zone); !served {
		return &signin.WrongZone{Zone: r.Origin.Zone}
	}
	return nil
}

// maxLoginHint is as long as the input that it fills.
const maxLoginHint = 256

// first shows the first page, with what was wrong, if anything.
func (h *house) first(w http.ResponseWriter, r *web.Request, step signin.Step, login string, why notice, said refused) error {
	v := h.view(r, step, h.signinPage(r, login))
	v.ACR = string(r.StepUp())
	v.Notice, v.Faults, v.Articles = why, said.Faults, said.Articles
	h.asking(w, r, v, "/signin")
	if v.Ask != nil {
		v.Ask.First = true
		// One that was refused a moment ago is not offered again by itself.
		v.Ask.Offer = r.URL.Path != "/signin/passkey"
	}
	if r.URL.Path != "/signin" {
		v.Switch = switchURL(r, "/signin")
	}
	return h.show(w, r, said.Status, "signin", v)
}

// tooOld reads max_age, whole seconds, as OpenID Connect Core section 3.1.2.1
// has it. What is no such number asks for nothing.
func tooOld(maxAge string, age time.Duration) bool {
	secs, err := strconv.ParseInt(maxAge, 10, 32)
	return err == nil && secs >= 0 && age > time.Duration(secs)*time.Second
}

func (h *house) signinPage(r *web.Request, login string) signinPage {
	p := signinPage{
		Banner: r.Say(r.Policy().Banner), Login: login,
		AutoPassword: "current-password", Card: r.Policy().CardsIn(r.Origin.Zone),
	}
	if r.Policy().Password.AutofillDiscouraged {
		p.AutoPassword = "off" // article 46-2(7) is about passwords; a name is none
	}
	return p
}

func (h *house) signin(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	login, pw := r.PostForm.Get("login"), r.PostForm.Get("password")
	var faults []Fault
	if strings.TrimSpace(login) == "" {
		faults = append(faults, Fault{"login", g.say("signin.need_login")})
	}
	if pw == "" {
		faults = append(faults, Fault{"password", g.say("signin.need_password")})
	}
	said := refused{Status: http.StatusUnprocessableEntity, Faults: faults}
	if len(faults) == 0 {
		step, err := h.Steps.Password(r.Context(), r.Origin, r.Cookie, login, secret.NewText([]byte(pw)))
		if err == nil {
			web.WriteStep(w, r, step)
			return h.onward(w, r, step)
		}
		var ok bool
		if said, ok = h.inPlace(w, r, err, Fault{"", g.say("signin.refused")}); !ok {
			return err
		}
	}
	before, err := h.current(r)
	if err != nil {
		before = signin.Step{CSRF: r.PostForm.Get("csrf_token")} // it was right a moment ago
	}
	return h.first(w, r, before, login, notice{}, said)
}

// refused is an error made ready to be shown above the form.
type refused struct {
	Status   int
	Faults   []Fault
	Articles []policy.Article
}

// placed puts each fault that names a field beside the one that the page has for it;
// "" is above the form.
func (said refused) placed(beside func(field string) string) refused {
	for i, f := range said.Faults {
		if f.Field != "" {
			said.Faults[i].Field = beside(f.Field)
		}
	}
	return said
}

// above puts every fault above the form: its fields are not there to be mended.
func (said refused) above() refused {
	return said.placed(func(string) string { return "" })
}

// inPlace makes an error that the reader can do something about on this page
// into its faults; false: it belongs on the error page. wrong is what is said
// of a wrong password or code, which the form knows how to word.
func (h *house) inPlace(w http.ResponseWriter, r *web.Request, err error, wrong Fault) (refused, bool) {
	g := h.tongue(r)
	p := web.ProblemOf(err)
	said := refused{Status: p.Status, Articles: p.Articles}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	switch p.Code {
	case web.CodeRefused:
		said.Faults = []Fault{wrong}
	case web.CodeHeld:
		said.Faults = []Fault{{"", g.say("signin.held", "Wait", g.lasting(p.RetryAfter))}}
		said.Articles = append(said.Articles, "63-7")
	case web.CodeBusy, web.CodeAway:
		said.Faults = []Fault{{"", g.say("signin.unavailable", "Detail", r.Say(p.Detail))}}
	case web.CodeInvalid:
		for _, e := range p.Errors {
			said.Faults = append(said.Faults, Fault{e.Field, r.Say(e.Detail)})
		}
	default:
		return refused{}, false
	}
	return said, len(said.Faults) > 0
}

// again shows a form once more with what is wrong with it.
func (h *house) again(w http.ResponseWriter, r *web.Request, step signin.Step, name string, page any, said refused) error {
	v := h.view(r, step, page)
	v.Faults, v.Articles = said.Faults, said.Articles
	return h.show(w, r, said.Status, name, v)
}

// stepError sends the browser to where the sign-in really is, or passes the
// error on.
func (h *house) stepError(w http.ResponseWriter, r *web.Request, err error) error {
	if done, failed := h.elsewhere(w, r, err, r.URL.Path); done {
		return failed
	}
	return err
}

type acknowledgePage struct {
	Version, Text, URL string
	Articles           []policy.Article
}

func (h *house) acknowledgeForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.Acknowledge)
	if done || err != nil {
		return err
	}
	a := r.Policy().Acknowledgement
	return h.show(w, r, http.StatusOK, "acknowledge", h.view(r, step, acknowledgePage{
		Version: a.Version, Text: r.Say(a.Text), URL: guideline(r.Policy()),
		Articles: []policy.Article{"39", "40", "41"},
	}))
}

// guideline is where the prefecture keeps its text.
func guideline(p *policy.Policy) string {
	if p.Acknowledgement.URL != "" {
		return p.Acknowledgement.URL
	}
	return p.Prefecture.GuidelineURL
}

func (h *house) acknowledge(w http.ResponseWriter, r *web.Request) error {
	next, err := h.Steps.Acknowledge(r.Context(), r.Origin, r.Cookie, r.PostForm.Get("version"))
	if err == nil {
		web.WriteStep(w, r, next)
		return h.onward(w, r, next)
	}
	if errors.Is(err, signin.ErrStep) {
		// Still at this step: a newer version came into force while they read.
		step, err := h.current(r)
		if err != nil {
			return err
		}
		if step.State == authn.Acknowledge {
			return redirect(w, r, "/signin/acknowledge", keep(r))
		}
	}
	return h.stepError(w, r, err)
}

type lastPage struct {
	Previous any
	Onward   string
}

// welcome shows the last sign-in and the failures since, on the way to an
// application.
func (h *house) welcome(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	to, ok := r.Return()
	if !ok || step.Session == nil {
		return redirect(w, r, "/me", nil)
	}
	return h.show(w, r, http.StatusOK, "welcome", h.view(r, step, lastPage{step.Session.Previous, to}))
}

type terminalPage struct{ Articles []policy.Article }

func (h *house) terminalForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.TerminalCheck)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "terminal", h.view(r, step, terminalPage{[]policy.Article{"63-4", "63-6"}}))
}

func (h *house) terminal(w http.ResponseWriter, r *web.Request) error {
	next, err := h.Terminal.ConfirmTerminal(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.stepError(w, r, err)
	}
	web.WriteStep(w, r, next)
	return h.onward(w, r, next)
}
