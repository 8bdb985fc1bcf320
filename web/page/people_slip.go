package page

import (
	"context"
	"html/template"
	"net/http"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

// A slipPage is a secret on its way to a person, on paper. It is the answer to
// the POST that made it and is nowhere to be read again.
type slipPage struct {
	Back        string
	Login       string
	Secret      string
	Sides       []slipSide
	LoginLabel  []said
	SecretLabel []said
	Kind        string // of secret, in the reader's language
}

// said is a word in one language.
type said struct{ Lang, Says string }

// A slipSide is what the paper says in one language. The paper carries both:
// whoever prints it does not know what its reader reads.
type slipSide struct {
	Lang   string
	For    string
	Until  string
	Ends   template.HTML
	Steps  []string
	By     string
	Issued template.HTML
}

// givePassword gives somebody a temporary password, article 64-2.
func (h *house) givePassword(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.giveSlip(w, r, step, givingPassword, h.People.TemporaryPassword, h.passwordPaper)
}

// giveSlip makes a slip, once for each form: a page that is loaded again would make
// another, and the one that was printed would open nothing.
func (h *house) giveSlip(w http.ResponseWriter, r *web.Request, step signin.Step, a act,
	give func(ctx context.Context, o signin.Origin, cookie, login string) (people.Slip, error), says func(g *tongue, url string) (title string, steps []string),
) error {
	form := slipsKey(step, r.PostForm.Get("form"))
	if h.shown(r, form) {
		return h.actAgain(w, r, step, a, refused{http.StatusConflict, []Fault{{"", h.tongue(r).say("slip.shown")}}, []policy.Article{"64-2"}})
	}
	slip, err := give(r.Context(), r.Origin, r.Cookie, r.PathValue("login"))
	if err != nil {
		return h.actError(w, r, step, a, err)
	}
	h.noteShown(r, form)
	return h.slip(w, r, step, slip, says)
}

// passwordPaper is what the paper of a temporary password is called and says.
func (h *house) passwordPaper(g *tongue, url string) (title string, steps []string) {
	return g.say("slip.password"), []string{
		g.say("slip.password_use", "URL", url), g.say("slip.password_letters"), g.say("slip.password_change"),
		g.say("slip.password_second"), g.say("slip.password_shred")}
}

// giveCode gives somebody who has lost a factor a code for the way to a new one.
func (h *house) giveCode(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.giveSlip(w, r, step, givingCode, h.People.RecoveryCode, func(g *tongue, url string) (string, []string) {
		return g.say("slip.code"), []string{
			g.say("slip.code_use", "URL", url), g.say("slip.code_letters"), g.say("slip.code_only"),
			g.say("slip.code_once"), g.say("slip.code_shred")}
	})
}

// slip shows the paper. says are its title and its steps in a language.
func (h *house) slip(w http.ResponseWriter, r *web.Request, step signin.Step, s people.Slip, says func(g *tongue, url string) (title string, steps []string)) error {
	p := h.paper(r, step, s, says)
	v := h.view(r, step, p)
	// Nothing here can be shown a second time, in whatever language.
	v.Switch = switchURL(r, p.Back)
	return h.show(w, r, http.StatusOK, "slip", v)
}

// paper is one slip, in both languages.
func (h *house) paper(r *web.Request, step signin.Step, s people.Slip, says func(g *tongue, url string) (title string, steps []string)) slipPage {
	p := slipPage{
		Back: personPath(s.Login), Login: s.Login, Secret: string(s.Secret.Reveal()),
	}
	pol := r.Policy()
	var section policy.Words
	if found, ok := pol.Section(s.Section); ok {
		section = found.Name
	}
	for _, lang := range languages {
		g := h.pages.tongues[lang]
		title, steps := says(g, h.srv.PublicURL().String())
		p.SecretLabel = append(p.SecretLabel, said{lang, title})
		p.LoginLabel = append(p.LoginLabel, said{lang, g.say("signin.login")})
		p.Sides = append(p.Sides, slipSide{
			Lang: lang, For: g.say("slip.for", "Name", s.Name, "Section", section.In(lang), "Org", pol.Prefecture.Name.In(lang)),
			Until: g.say("slip.until"), Ends: g.when(s.EndsAt), Steps: steps,
			By: g.say("slip.by", "Name", step.Person.Name, "Login", step.Person.Login), Issued: g.when(h.srv.Now()),
		})
	}
	p.Kind, _ = says(h.tongue(r), "")
	return p
}
