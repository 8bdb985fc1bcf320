package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

type refusalPage struct {
	Title, Detail, Wait, Next string
	Errors                    []string
	Articles                  []policy.Article
	Ways                      []link // where to go from here, the best first
	// SignOut: what helps is another ID of the reader's, so the way out comes first.
	SignOut bool
}

// refusal is how an error looks to a person: what happened, what to do now,
// where to go, the article behind it, and the number to name when asking for
// help.
func (h *house) refusal(w http.ResponseWriter, r *web.Request, p web.Problem) {
	g := h.tongue(r)
	page := refusalPage{Detail: r.Say(p.Detail), Articles: p.Articles}
	page.Title, page.Next = advice(g, p)
	if p.Code == web.CodeForbidden && ownTitle(p) {
		page.Title = r.Say(p.Title)
	}
	if own := r.Say(p.Next.Says); own != "" && p.Code != web.CodeStepUp {
		page.Next = own // this reader's own next step says more than the status does
	}
	if p.Code == web.CodeBroken || p.Code == web.CodeCSRF {
		page.Detail = "" // the heading and the advice have said it
	}
	if p.RetryAfter > 0 {
		page.Wait = g.say("refusal.wait", "Wait", g.lasting(p.RetryAfter))
	}
	for _, e := range p.Errors {
		if detail := r.Say(e.Detail); detail != "" {
			page.Errors = append(page.Errors, e.Field+g.say("me.colon")+detail)
		}
	}
	step := h.reader(r, p)
	page.Ways = h.ways(r, p, step)
	page.SignOut = p.Next.Move == authz.SignInAsOther && step.State == authn.SignedIn
	v := h.view(r, step, page)
	v.Told = true
	if !h.answersGET(r) {
		v.Switch = switchURL(r, "/") // this address answers no GET
	}
	if err := h.show(w, r, p.Status, "refusal", v); err != nil {
		h.srv.Log().ErrorContext(r.Context(), "showing an error page", "request_id", r.ID, "error", err)
		http.Error(w, page.Title, p.Status)
	}
}

// ownTitle reports whether a refusal says more in its heading than its code does.
func ownTitle(p web.Problem) bool {
	return !slices.ContainsFunc(web.Codes(), func(c web.CodeInfo) bool { return c.Code == p.Code && c.Title == p.Title })
}

// reader is who the refused request came from, as far as that can be said
// without asking what may have just failed, or a host that is not ours.
func (h *house) reader(r *web.Request, p web.Problem) signin.Step {
	if p.Status >= http.StatusInternalServerError || p.Code == web.CodeHost {
		return signin.Step{}
	}
	step, err := h.current(r)
	if err != nil {
		return signin.Step{}
	}
	return step
}

// ways are the places that the reader of a refusal may go on to.
func (h *house) ways(r *web.Request, p web.Problem, step signin.Step) []link {
	g := h.tongue(r)
	var ways []link
	switch {
	case p.Next.URL != "" && p.Code == web.CodeForbidden:
		ways = append(ways, link{moveName(g, p.Next.Move), p.Next.URL})
	case p.Code == web.CodeStepUp || p.Code == web.CodeNoSession:
		to := "/signin"
		if acr, ok := p.Extra["required_acr"].(string); ok && acr != "" {
			to += "?" + url.Values{"acr": {acr}}.Encode()
		}
		ways = append(ways, link{g.say("refusal.sign_in"), to})
	case p.Status >= http.StatusInternalServerError && r.Method == http.MethodGet:
		ways = append(ways, link{g.say("refusal.again"), r.URL.RequestURI()})
	case r.Method == http.MethodPost && h.answersGET(r):
		ways = append(ways, link{g.say("refusal.reopen"), r.URL.Path})
	}
	switch path, under := stepPath[step.State]; {
	case under && p.Next.URL == "/signin": // to go on with this ID leads nowhere
	case under:
		ways = append(ways, link{g.say("refusal.go_on"), path})
	case step.State == authn.SignedIn:
		ways = append(ways, link{g.say("step.back"), "/me"})
	default:
		ways = append(ways, link{g.say("step.home"), "/"})
	}
	return ways
}

// moveName is what a link says that takes the next step.
func moveName(g *tongue, m authz.Move) string {
	switch m {
	case authz.AskPermit:
		return g.say("move.ask_permit")
	case authz.SignInOtherwise:
		return g.say("move.own_page")
	case authz.SignInStronger:
		return g.say("move.sign_in_stronger")
	case authz.SignInAgain:
		return g.say("move.sign_in_again")
	case authz.AskAdministrator: // about this ID; there may be another
		return g.say("move.other_id")
	}
	return g.say("refusal.sign_in")
}

// answersGET reports whether the address of a request can be opened: the page
// of a form that was posted can, an act alone cannot.
func (h *house) answersGET(r *web.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	_, path, ok := strings.Cut(r.Pattern, " ")
	return ok && slices.Contains(h.srv.Routes(), "GET "+path)
}

// advice is the heading of a refusal and what to do next.
func advice(g *tongue, p web.Problem) (title, next string) {
	switch p.Code {
	case web.CodeCSRF:
		return g.say("refusal.csrf"), g.say("refusal.csrf_next")
	case web.CodeStepUp:
		return g.say("refusal.step_up"), g.say("refusal.step_up_next")
	}
	switch p.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return g.say("refusal.400"), g.say("refusal.400_next")
	case http.StatusUnauthorized:
		return g.say("refusal.401"), g.say("refusal.401_next")
	case http.StatusForbidden:
		return g.say("refusal.403"), g.say("refusal.403_next")
	case http.StatusNotFound:
		return g.say("refusal.404"), g.say("refusal.404_next")
	case http.StatusMethodNotAllowed:
		return g.say("refusal.405"), g.say("refusal.405_next")
	case http.StatusConflict:
		return g.say("refusal.409"), g.say("refusal.409_next")
	case http.StatusMisdirectedRequest:
		return g.say("refusal.421"), g.say("refusal.421_next")
	case http.StatusUnprocessableEntity:
		return g.say("refusal.422"), g.say("refusal.422_next")
	case http.StatusTooManyRequests:
		return g.say("refusal.429"), g.say("refusal.429_next")
	case http.StatusServiceUnavailable:
		return g.say("refusal.503"), g.say("refusal.503_next")
	}
	return g.say("refusal.500"), g.say("refusal.500_next")
}
