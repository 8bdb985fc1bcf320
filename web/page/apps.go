package page

import (
	"html/template"
	"net/http"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

// appsPage is what opens to its reader now, what would after one more step and
// which, and what is for others. It decides nothing: each door asks again.
type appsPage struct {
	Zone, From, Strength string
	Outside              bool
	Open, Step, Others   []openingLine
	Apart                []openingLine // of the other environment
}

// An openingLine is one application as somebody meets it.
type openingLine struct {
	ID, Name, Zone string
	URL            string        // where it opens; "" where it is opened by itself
	Until          template.HTML // of what opens
	Why, Next      string        // of what does not
	Step           link          // where the next step is taken; zero where it is taken elsewhere
	Articles       []policy.Article
	Paths          []pathLine
}

// A pathLine is a part of an application that asks for more than the rest.
type pathLine struct{ Path, Says string }

// facts are what the gate goes by when it decides about the reader.
func (h *house) facts(r *web.Request, step signin.Step) (authz.Facts, error) {
	f := authz.Facts{From: r.Origin.Zone, Outside: r.Origin.Outside, Source: r.Origin.Source, Now: h.srv.Now()}
	if n := step.Session; n != nil {
		f.SignedIn, f.Person, f.Posts = true, step.Person, r.Policy().PostsOf(step.Person.Groups)
		f.ACR, f.AMR, f.AuthAt, f.SessionEnds = n.ACR, n.AMR, n.AuthAt, n.ExpiresAt
		f.Terminal, f.Checked = n.Terminal, n.Outside
		if h.More != nil {
			if err := h.More(r.Context(), &f, *n); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// doorOf is where an application is opened.
func (h *house) doorOf(a policy.Application) string {
	return web.HandoverPath(a.ID, web.AppOrigin(h.srv.PublicURL(), a)+"/")
}

func (h *house) applications(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	g := h.tongue(r)
	p := appsPage{Zone: r.Say(authz.ZoneName(r.Policy(), r.Origin.Zone)), From: r.Origin.Source.String(), Outside: r.Origin.Outside}
	if step.Session != nil {
		p.Strength, _ = strength(g, step.Session.ACR)
	}
	facts, err := h.facts(r, step)
	if err != nil {
		return err
	}
	for _, o := range authz.Survey(r.Policy(), facts) {
		switch line := h.opening(r, o); {
		case o.Verdict.Allowed(h.srv.Now()):
			p.Open = append(p.Open, line)
		case o.Verdict.Reason == authz.NotYours:
			p.Others = append(p.Others, line)
		case o.Verdict.Reason == authz.WrongEnvironment:
			p.Apart = append(p.Apart, line)
		default:
			p.Step = append(p.Step, line)
		}
	}
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "apps", v)
}

// opening says what a verdict means to the reader of a page.
func (h *house) opening(r *web.Request, o authz.Opening) openingLine {
	g, pol, now, v := h.tongue(r), r.Policy(), h.srv.Now(), o.Verdict
	line := openingLine{
		ID: o.Application.ID, Name: r.Say(o.Application.Name), Zone: r.Say(authz.ZoneName(pol, o.Application.Zone)), Articles: v.Articles,
	}
	if line.Name == "" {
		line.Name = line.ID
	}
	if o.Client.ID == "" {
		line.URL = h.doorOf(o.Application)
	}
	if v.Allowed(now) {
		line.Until = g.near(v.Until, now)
	} else {
		line.Why, line.Next = r.Say(v.Says), r.Say(v.Next(pol, o.Application).Says)
		// Through the door itself a sign-in comes back to the application.
		to := h.srv.NextURL(o.Application, v, "/me/applications")
		if v.StepUp != "" && line.URL != "" {
			to = line.URL
		}
		if to != "" {
			line.Step = link{moveName(g, v.Next(pol, o.Application).Move), to}
		}
	}
	for _, path := range o.Paths {
		if says := h.pathSays(r, o, path); says != "" {
			line.Paths = append(line.Paths, pathLine{path.Rule.Path, says})
		}
	}
	return line
}

// pathSays is what a stricter path asks beyond what opens its application; ""
// for nothing.
func (h *house) pathSays(r *web.Request, o authz.Opening, path authz.PathOpening) string {
	now := h.srv.Now()
	if !o.Verdict.Allowed(now) || path.Verdict.Allowed(now) {
		return ""
	}
	if acr, fresh, ok := r.Policy().Asks(o.Application, path.Rule.Path); ok && path.Verdict.StepUp != "" {
		return demand(h.tongue(r), acr, fresh)
	}
	return r.Say(path.Verdict.Says)
}

// demand says what must be proved, and how lately, in plain words.
func demand(g *tongue, acr policy.ACR, fresh time.Duration) string {
	says := ""
	switch acr {
	case policy.AAL1:
		says = g.say("rule.aal1")
	case policy.AAL2:
		says = g.say("rule.aal2")
	case policy.PHR:
		says = g.say("rule.phr")
	default:
		says = string(acr)
	}
	if fresh > 0 {
		says += g.say("rule.fresh", "Within", g.lasting(fresh))
	}
	return says
}
