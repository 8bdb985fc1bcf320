package page

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

// An appPage says an application's rules in words, and who is in it.
type appPage struct {
	Rooms    []room
	ID, Name string
	Rules    []ruleLine
	Paths    []pathLine
	Places   []placeLine
	Clients  []clientCard
	Path     string // of this page
	Query    string
	Inside   []insideLine
	More     bool
	Why      string // nobody's session can be ended by this reader
	Articles []policy.Article
}

type ruleLine struct{ Term, Says, Explain string }

// A placeLine is a network, and whether an application opens from it.
type placeLine struct {
	From, Says, Tone string
	Articles         []policy.Article
}

type clientCard struct {
	ID, Name string
	Rules    []ruleLine
}

type insideLine struct {
	ID, Login, Name, Through string
	Since, Seen              template.HTML
	Zone, From, Terminal     string
}

func (h *house) appDetail(own bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		step, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		query := strings.TrimSpace(r.URL.Query().Get("q"))
		d, err := h.People.Application(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), own, query)
		if err != nil {
			return h.turned(w, r, err, r.URL.EscapedPath())
		}
		p := h.appPage(r, step, d)
		p.Path, p.Query = r.URL.EscapedPath(), query
		v := h.view(r, step, p)
		v.Wide, v.Notice = true, h.officeDone(r)
		if query != "" {
			v.Switch += "&" + url.Values{"q": {query}}.Encode()
		}
		return h.show(w, r, http.StatusOK, "application", v)
	}
}

func (h *house) appPage(r *web.Request, step signin.Step, d people.AppDetail) appPage {
	g, now := h.tongue(r), h.srv.Now()
	p := appPage{
		Rooms: h.rooms(r, step, "applications"), ID: d.Application.ID, Name: r.Say(d.Application.Name), More: d.More, Articles: d.MayEnd.Articles,
	}
	served := d.Own == "" || len(d.Clients[0].RedirectURIs) > 0
	p.Rules = h.appRules(r, d.AppSeen, served)
	if served {
		for _, rule := range d.Application.Paths {
			if acr, fresh, ok := r.Policy().Asks(d.Application, rule.Path); ok {
				p.Paths = append(p.Paths, pathLine{rule.Path, demand(g, acr, fresh)})
			}
		}
		p.Places = h.places(r, d.Application)
	}
	for _, c := range d.Clients {
		p.Clients = append(p.Clients, h.clientCard(r, c))
	}
	for _, in := range d.Inside {
		line := insideLine{
			ID: in.ID, Login: in.Login, Name: in.Name, Since: g.near(in.Since, now), Seen: g.near(in.Gate.SeenAt, now),
			Zone: zoneName(r, in.Gate.Zone), From: in.Gate.From, Terminal: h.terminalName(r, in.Gate), Through: g.say("app.through_gate"),
		}
		if in.Client != "" {
			line.Through = g.say("app.through_client", "Client", in.Client)
		}
		p.Inside = append(p.Inside, line)
	}
	if !d.MayEnd.OK() {
		p.Why = r.Say(d.MayEnd.Says)
	}
	return p
}

func (h *house) appRules(r *web.Request, a people.AppSeen, served bool) []ruleLine {
	g, pol, app := h.tongue(r), r.Policy(), a.Application
	rules := []ruleLine{
		{g.say("app.zone_alone"), r.Say(authz.ZoneName(pol, app.Zone)), ""},
		{g.say("app.class"), className(r, app.Class), ""},
		{g.say("app.environment"), environmentSays(g, app.Environment), ""},
	}
	if !served {
		return rules
	}
	rules = append(rules,
		ruleLine{g.say("app.who"), h.whom(r, app), ""},
		ruleLine{g.say("app.needs"), demand(g, pol.RequiredACR(app), app.FreshFor), ""})
	if z, ok := pol.Zone(app.Zone); ok {
		rules = append(rules, ruleLine{g.say("app.ends"), g.say("app.ends_says", "Idle", g.lasting(z.IdleEnd), "End", g.lasting(z.AbsoluteEnd)), g.say("app.ends_counter", "Idle", g.lasting(z.CounterIdleEnd))})
	}
	if app.Host != "" {
		rules = append(rules, ruleLine{g.say("app.host"), app.Host, ""})
	}
	return rules
}

// environmentSays is what a system is for, and to which IDs it opens (article 68-2).
func environmentSays(g *tongue, e policy.Environment) string {
	switch e.Effective() {
	case policy.Development:
		return g.say("app.environment_development")
	case policy.EitherEnvironment:
		return g.say("app.environment_either")
	}
	return g.say("app.environment_production")
}

// places are the networks there are, each with what the zones' rules say.
func (h *house) places(r *web.Request, app policy.Application) []placeLine {
	g, pol := h.tongue(r), r.Policy()
	var out []placeLine
	for _, id := range policy.ZoneIDs() {
		line := placeLine{From: r.Say(authz.ZoneName(pol, id))}
		switch way := pol.ZoneMatrix.Between(id, app.Zone); {
		case id == app.Zone:
			line.Says, line.Articles = g.say("place.same"), nil
		case way.Rule == policy.CrossingPermit:
			line.Says, line.Tone, line.Articles = g.say("place.permit"), "warn", []policy.Article{way.Article}
		default:
			line.Says, line.Tone, line.Articles = g.say("place.never"), "bad", []policy.Article{way.Article}
		}
		out = append(out, line)
	}
	outside := placeLine{From: g.say("place.outside"), Says: g.say("place.remote"), Tone: "warn", Articles: []policy.Article{"63-1"}}
	if app.Zone == policy.MyNumber {
		outside.Says, outside.Tone, outside.Articles = g.say("place.never"), "bad", []policy.Article{"26no2-1"}
	}
	return append(out, outside)
}

// clientCard says how a program asks for people, for who has never heard of
// OpenID Connect.
func (h *house) clientCard(r *web.Request, c policy.Client) clientCard {
	g := h.tongue(r)
	card := clientCard{ID: c.ID, Name: r.Say(c.Name)}
	add := func(term, says, explain string) { card.Rules = append(card.Rules, ruleLine{term, says, explain}) }
	switch c.AuthMethod {
	case policy.AuthPrivateKey:
		add(g.say("client.proves"), g.say("client.key"), "")
	case policy.AuthNone:
		add(g.say("client.proves"), g.say("client.public"), "")
	default:
		add(g.say("client.proves"), g.say("client.secret"), "")
	}
	if len(c.RedirectURIs) > 0 {
		told := []string{g.say("client.told_who")}
		for _, s := range c.Scopes {
			switch s {
			case policy.ScopeProfile:
				told = append(told, g.say("client.told_profile"))
			case policy.ScopeEmail:
				told = append(told, g.say("client.told_email"))
			}
		}
		add(g.say("client.told"), strings.Join(told, g.say("me.comma")), "")
		if c.Consent {
			add(g.say("client.consent"), g.say("client.consent_asked"), "")
		} else {
			add(g.say("client.consent"), g.say("client.consent_decided"), "")
		}
		if c.Refresh {
			add(g.say("client.refresh"), g.say("client.refresh_yes"), "")
		} else {
			add(g.say("client.refresh"), g.say("client.refresh_no"), "")
		}
		if c.BackchannelLogoutURI != "" {
			add(g.say("client.logout"), g.say("client.logout_yes"), hostOf(c.BackchannelLogoutURI))
		} else {
			add(g.say("client.logout"), g.say("client.logout_no"), "")
		}
		var hosts []string
		for _, uri := range c.RedirectURIs {
			hosts = append(hosts, hostOf(uri))
		}
		add(g.say("client.back"), strings.Join(hosts, g.say("me.comma")), "")
	}
	if c.MaxAge > 0 {
		add(g.say("client.max_age"), g.say("client.within", "Time", g.lasting(c.MaxAge)), "")
	}
	switch c.DPoP {
	case policy.DPoPRequired:
		add(g.say("client.dpop"), g.say("client.dpop_required"), "")
	case policy.DPoPAllowed:
		add(g.say("client.dpop"), g.say("client.dpop_allowed"), "")
	}
	if c.RequirePAR {
		add(g.say("client.par"), g.say("client.par_yes"), "")
	}
	if owner := c.Service.Owner; owner != "" {
		add(g.say("client.owner"), owner, g.say("client.owner_says"))
	}
	return card
}

func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	return u.Host
}

func (h *house) endInside(own bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		_, done, err := h.at(w, r, authn.SignedIn)
		if done || err != nil {
			return err
		}
		back, _, _ := strings.Cut(r.URL.EscapedPath(), "/sessions/")
		if err := h.People.EndInside(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), own, r.PathValue("session")); err != nil {
			return h.turned(w, r, err, back)
		}
		return redirect(w, r, back, url.Values{"done": {"inside_ended"}})
	}
}
