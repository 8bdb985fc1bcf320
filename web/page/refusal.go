package page

import (
	"net/http"
	"net/url"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
)

type refusalPage struct {
	Title, Detail, Wait, Next string
	Errors                    []string
	Articles                  []policy.Article
	SignIn                    string // where signing in, or in again, would help
}

// refusal is how an error looks to a person: what is missing, what to do next,
// the article behind it, and the number to name when asking for help.
func (h *house) refusal(w http.ResponseWriter, r *web.Request, p web.Problem) {
	g := h.tongue(r)
	page := refusalPage{Detail: r.Say(p.Detail), Articles: p.Articles}
	page.Title, page.Next = advice(g, p)
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
	if p.Code == web.CodeNoSession || p.Code == web.CodeStepUp {
		page.SignIn = "/signin"
		if acr, ok := p.Extra["required_acr"].(string); ok && acr != "" {
			page.SignIn += "?" + url.Values{"acr": {acr}}.Encode()
		}
	}
	v := h.view(r, signin.Step{}, page)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		v.Switch = switchURL(r, "/") // this address answers no GET
	}
	if err := h.show(w, r, p.Status, "refusal", v); err != nil {
		h.srv.Log().Error("showing an error page", "request_id", r.ID, "cause", err)
		http.Error(w, page.Title, p.Status)
	}
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
