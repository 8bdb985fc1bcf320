package page

import (
	"net/http"
	"net/url"

	"sekisho/authn"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

type passwordPage struct {
	Forced      bool
	Action      string
	Rules       []string
	Articles    []policy.Article
	AutoNew     string
	AutoCurrent string
}

func (h *house) passwordPage(r *web.Request, forced bool) passwordPage {
	p := passwordPage{
		Forced: forced, Action: "/me/password", Rules: h.passwordRules(r),
		AutoNew: "new-password", AutoCurrent: "current-password",
	}
	if forced {
		p.Action = "/signin/password"
		p.Articles = []policy.Article{"46-2(6)", "64-2"}
	}
	if r.Policy().Password.AutofillDiscouraged {
		p.AutoNew, p.AutoCurrent = "off", "off"
	}
	return p
}

// passwordRules says the rules before anything is typed: a rule that is met
// only by failing it is a trap.
func (h *house) passwordRules(r *web.Request) []string {
	g, rules := h.tongue(r), r.Policy().Password
	out := []string{g.say("newpassword.rule_length", "Min", rules.MinLength, "Max", rules.MaxLength)}
	if rules.MinLengthSingle > rules.MinLength && standsAlone(r.Policy()) {
		out = append(out, g.say("newpassword.rule_single", "Min", rules.MinLengthSingle))
	}
	advice := g.say("newpassword.rule_advice")
	if rules.MinClasses > 0 {
		out = append(out, g.say("newpassword.rule_classes", "Count", rules.MinClasses))
		advice = g.say("newpassword.rule_advice_classes")
	}
	out = append(out, g.say("newpassword.rule_common"), g.say("newpassword.rule_own"))
	if rules.History > 0 {
		out = append(out, g.say("newpassword.rule_history", "Count", rules.History))
	}
	return append(out, g.say("newpassword.rule_elsewhere"), advice)
}

// standsAlone reports whether there is a zone where a password is enough.
func standsAlone(p *policy.Policy) bool {
	for _, z := range p.Zones {
		if !z.SignInACR.AtLeast(policy.AAL2) {
			return true
		}
	}
	return false
}

func (h *house) forcedForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.PasswordChange)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "newpassword", h.view(r, step, h.passwordPage(r, true)))
}

func (h *house) forced(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.PasswordChange)
	if done || err != nil {
		return err
	}
	faults := h.twice(r)
	if len(faults) > 0 {
		return h.again(w, r, step, "newpassword", h.passwordPage(r, true), refused{http.StatusUnprocessableEntity, faults, nil})
	}
	next, err := h.Steps.NewPassword(r.Context(), r.Origin, r.Cookie, secret.NewText([]byte(r.PostForm.Get("new_password"))))
	if err == nil {
		web.WriteStep(w, r, next)
		return h.onward(w, r, next)
	}
	if said, ok := h.inPlace(w, r, err, Fault{}); ok {
		return h.again(w, r, step, "newpassword", h.passwordPage(r, true), aboutNew(said))
	}
	return h.stepError(w, r, err)
}

// twice checks what only the form knows: that the new password was typed twice
// alike. Which of two different ones was meant nobody can say, so neither is
// judged.
func (h *house) twice(r *web.Request) []Fault {
	g, pw := h.tongue(r), r.PostForm.Get("new_password")
	switch {
	case pw == "":
		return []Fault{{"new_password", g.say("newpassword.need_new")}}
	case pw != r.PostForm.Get("again"):
		return []Fault{{"again", g.say("newpassword.differ")}}
	}
	return nil
}

// aboutNew puts faults that name a field this form does not have beside the new
// password: the API calls it by another name.
func aboutNew(said refused) refused {
	return said.placed(func(field string) string {
		if field == "current" || field == "again" {
			return field
		}
		return "new_password"
	})
}

func (h *house) passwordForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "newpassword", h.view(r, step, h.passwordPage(r, false)))
}

func (h *house) password(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	current := r.PostForm.Get("current")
	var faults []Fault
	if current == "" {
		faults = append(faults, Fault{"current", g.say("newpassword.need_current")})
	}
	faults = append(faults, h.twice(r)...)
	if len(faults) > 0 {
		return h.again(w, r, step, "newpassword", h.passwordPage(r, false), refused{http.StatusUnprocessableEntity, faults, nil})
	}
	next, err := h.Account.ChangePassword(r.Context(), r.Origin, r.Cookie,
		secret.NewText([]byte(current)), secret.NewText([]byte(r.PostForm.Get("new_password"))))
	if err == nil {
		web.WriteStep(w, r, next)
		return redirect(w, r, "/me", url.Values{"done": {"password"}})
	}
	if said, ok := h.inPlace(w, r, err, Fault{"current", g.say("newpassword.wrong_current")}); ok {
		return h.again(w, r, step, "newpassword", h.passwordPage(r, false), aboutNew(said))
	}
	if done, failed := h.elsewhere(w, r, err, "/me/password"); done {
		return failed
	}
	return err
}
