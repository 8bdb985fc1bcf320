package page

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"sekisho/authn"
	"sekisho/policy"
	"sekisho/web"
)

// maxReport bounds a report, in characters.
const maxReport = 2000

type leakPage struct {
	What     string
	Articles []policy.Article
}

func (h *house) leakForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "leak", h.view(r, step, leakPage{Articles: leakArticles}))
}

var leakArticles = []policy.Article{"43-1", "46-2(4)"}

func (h *house) leak(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	what := strings.TrimSpace(r.PostForm.Get("what"))
	fault := ""
	switch {
	case what == "":
		fault = g.say("leak.need_what")
	case utf8.RuneCountInString(what) > maxReport:
		fault = g.say("leak.too_long")
	}
	if fault != "" {
		return h.again(w, r, step, "leak", leakPage{what, leakArticles}, refused{http.StatusUnprocessableEntity, []Fault{{"what", fault}}, nil})
	}
	next, err := h.Account.ReportLeak(r.Context(), r.Origin, r.Cookie, what)
	switch {
	case none(err):
		// The session was alive a line ago: it has ended by the report, and no
		// other factor leads on from here.
		web.ClearSession(w, r)
	case err != nil:
		if done, failed := h.elsewhere(w, r, err, "/me/leak"); done {
			return failed
		}
		return err
	case next.Cookie == "":
		web.ClearSession(w, r)
	default:
		web.WriteStep(w, r, next)
	}
	return redirect(w, r, "/leak-reported", nil)
}

type leakedPage struct {
	Continue string // where a new password can be set now; "" for in person
	Articles []policy.Article
}

func (h *house) leaked(w http.ResponseWriter, r *web.Request) error {
	step, err := h.current(r)
	if err != nil {
		return err
	}
	return h.show(w, r, http.StatusOK, "leaked", h.view(r, step, leakedPage{stepPath[step.State], leakArticles}))
}
