package page

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/web"
)

// mountApplications puts the administrators' pages of applications on the server.
func (h *house) mountApplications() {
	m := h.srv.Mount
	m("GET /applications", h.appList)
	m("GET /applications/{id}", h.appDetail(false))
	m("POST /applications/{id}/sessions/{session}/end", h.endInside(false))
	m("GET /clients/{id}", h.appDetail(true))
	m("POST /clients/{id}/sessions/{session}/end", h.endInside(true))
	m("GET /dry-run", h.dryRun)
}

type appListPage struct {
	Rooms []room
	Found []appLine
}

// An appLine is an application in a line that says what matters: where, for
// whom, with what, and how many are in it.
type appLine struct {
	Name, ID, URL    string
	Zone, Class      string
	Who, Needs, Asks string
	In               int
}

func (h *house) appList(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.People.Applications(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/applications")
	}
	p := appListPage{Rooms: h.rooms(r, step, "applications")}
	for _, a := range all {
		p.Found = append(p.Found, h.appLine(r, a))
	}
	v := h.view(r, step, p)
	v.Wide = true
	return h.show(w, r, http.StatusOK, "applications", v)
}

func (h *house) appLine(r *web.Request, a people.AppSeen) appLine {
	g, pol, app := h.tongue(r), r.Policy(), a.Application
	line := appLine{
		Name: r.Say(app.Name), ID: app.ID, URL: appPath(a), Zone: r.Say(authz.ZoneName(pol, app.Zone)), Class: className(r, app.Class),
		Who: h.whom(r, app), Needs: demand(g, pol.RequiredACR(app), app.FreshFor), In: a.In,
	}
	switch {
	case a.Own != "" && len(a.Clients[0].RedirectURIs) == 0:
		line.Asks, line.Who, line.Needs = g.say("app.asks_service"), g.say("app.nobody"), "–"
	case a.Own != "":
		line.Asks = g.say("app.asks_openid")
	case len(a.Clients) > 0:
		line.Asks = g.say("app.asks_both")
	default:
		line.Asks = g.say("app.asks_gate")
	}
	return line
}

func appPath(a people.AppSeen) string {
	if a.Own != "" {
		return "/clients/" + url.PathEscape(a.Own)
	}
	return "/applications/" + url.PathEscape(a.Application.ID)
}

func className(r *web.Request, n int) string {
	for _, c := range r.Policy().Classes {
		if c.Class == n {
			return r.Say(c.Name)
		}
	}
	return ""
}

// whom says for whom an application is.
func (h *house) whom(r *web.Request, app policy.Application) string {
	g := h.tongue(r)
	var parts []string
	if len(app.Posts) > 0 {
		parts = append(parts, strings.Join(postNames(r, app.Posts), g.say("me.comma")))
	}
	if len(app.Sections) > 0 {
		var names []string
		for _, id := range app.Sections {
			names = append(names, sectionName(r, id))
		}
		parts = append(parts, strings.Join(names, g.say("me.comma")))
	}
	if len(app.Groups) > 0 {
		var names []string
		for _, dn := range app.Groups {
			names = append(names, groupName(dn))
		}
		parts = append(parts, g.say("app.groups", "Names", strings.Join(names, g.say("me.comma"))))
	}
	if len(parts) == 0 {
		return g.say("app.everybody")
	}
	return strings.Join(parts, g.say("app.and"))
}

// groupName is the part of a DN that people call a group by.
func groupName(dn string) string {
	first, _, _ := strings.Cut(dn, ",")
	if _, name, ok := strings.Cut(first, "="); ok {
		return name
	}
	return dn
}

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

// dryRunPage is the form of a dry run with what it answered.
type dryRunPage struct {
	Rooms                                []room
	Login                                string
	From, Terminal, With, Age            []choice
	Permits                              bool
	Asked                                bool
	Name, Section, State, Tone, Strength string
	Posts                                []string
	Place                                string
	Nobody                               string // why nobody would be signed in there; "" where somebody would
	Found                                []openingLine
	Opens                                int
	Noted                                bool // it stands on the trail that this was looked at
}

// What a supposed sign-in may have been made with, and how long ago.
var (
	dryWith = []struct {
		value   string
		methods []authn.Method
	}{
		{"code", []authn.Method{authn.Password, authn.OTP}}, {"password", []authn.Method{authn.Password}},
		{"passkey", []authn.Method{authn.HardwareKey}}, {"synced", []authn.Method{authn.SyncedKey}}, {"card", []authn.Method{authn.SmartCard}},
	}
	dryAges = []time.Duration{0, 10 * time.Minute, time.Hour, 4 * time.Hour}
)

const fromOutside = "outside"

// dryRun answers who may open what from where, and why not the rest. It is a
// GET: it changes nothing, and what is asked can be asked again.
func (h *house) dryRun(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	q := r.URL.Query()
	p := dryRunPage{Rooms: h.rooms(r, step, "applications"), Login: strings.TrimSpace(q.Get("login")), Permits: q.Get("permits") == "yes", Asked: q.Has("with")}
	t := h.trial(r, &p)
	terminals, err := h.People.TerminalChoices(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/dry-run")
	}
	p.Terminal = []choice{{"", h.tongue(r).say("dry.no_terminal"), t.Terminal == ""}}
	for _, one := range terminals {
		name := r.Say(one.Name)
		if name == "" {
			name = one.ID
		}
		p.Terminal = append(p.Terminal, choice{one.ID, name + h.tongue(r).say("me.dot") + h.terminalClass(r, one.Class), t.Terminal == one.ID})
	}
	said := refused{}
	// What is asked about somebody else is entered on the trail, so a link on
	// another site asks nothing: it shows the form, filled in.
	p.Asked = p.Asked && ownAsking(r)
	if p.Asked {
		tried, err := h.People.TryAccess(r.Context(), r.Origin, r.Cookie, t)
		switch {
		case err == nil:
			h.tried(r, &p, tried)
		case web.ProblemOf(err).Code == web.CodeNotFound:
			said = refused{http.StatusUnprocessableEntity, []Fault{{"login", h.tongue(r).say("dry.nobody")}}, nil}
		default:
			var ok bool
			if said, ok = h.inOffice(w, r, err); !ok {
				return h.turned(w, r, err, "/dry-run")
			}
		}
	}
	if len(said.Faults) > 0 {
		p.Asked = false
		return h.again(w, r, step, "dryrun", p, said)
	}
	v := h.view(r, step, p)
	v.Wide = true
	if p.Asked {
		q.Del("lang")
		v.Switch += "&" + q.Encode()
	}
	return h.show(w, r, http.StatusOK, "dryrun", v)
}

// ownAsking reports whether a form of ours was sent, or an address was typed, as
// far as the browser says (Sec-Fetch-Site).
func ownAsking(r *web.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	return false
}

// trial reads the form. What it does not know is as if it had not been said.
func (h *house) trial(r *web.Request, p *dryRunPage) people.Trial {
	g, q := h.tongue(r), r.URL.Query()
	t := people.Trial{Login: p.Login, Terminal: q.Get("terminal"), Permits: p.Permits, Zone: r.Origin.Zone, Outside: r.Origin.Outside}
	from := q.Get("from")
	for _, z := range r.Policy().Zones {
		if string(z.ID) == from {
			t.Zone, t.Outside = z.ID, false
		}
	}
	if from == fromOutside {
		t.Zone, t.Outside = "", true
	}
	for _, z := range r.Policy().Zones {
		p.From = append(p.From, choice{string(z.ID), zoneName(r, z.ID), t.Zone == z.ID && !t.Outside})
	}
	p.From = append(p.From, choice{fromOutside, g.say("place.outside"), t.Outside})
	t.Methods = dryWith[0].methods
	for _, one := range dryWith {
		if chosen := q.Get("with") == one.value; chosen {
			t.Methods = one.methods
		}
		p.With = append(p.With, choice{one.value, withSays(g, one.value), q.Get("with") == one.value})
	}
	for _, age := range dryAges {
		value, says := age.String(), g.say("dry.just_now")
		if age > 0 {
			says = g.say("dry.ago", "Time", g.lasting(age))
		}
		if q.Get("age") == value {
			t.Age = age
		}
		p.Age = append(p.Age, choice{value, says, q.Get("age") == value})
	}
	return t
}

func withSays(g *tongue, value string) string {
	switch value {
	case "password":
		return g.say("dry.with_password")
	case "code":
		return g.say("dry.with_code")
	case "passkey":
		return g.say("factor.passkey_bound")
	case "synced":
		return g.say("factor.passkey_synced")
	}
	return g.say("factor.card")
}

func (h *house) tried(r *web.Request, p *dryRunPage, t people.Tried) {
	g, f := h.tongue(r), t.Facts
	p.Name, p.Section, p.Posts = t.Person.Name, sectionName(r, t.Person.Section), postNames(r, t.Posts)
	if p.Name == "" {
		p.Name = t.Person.Login
	}
	p.Login = t.Person.Login
	state := h.state(r, t.State)
	p.State, p.Tone, p.Noted = state.Says, state.Tone, !t.Self
	p.Strength, _ = strength(g, f.ACR)
	p.Place = r.Say(authz.ZoneName(r.Policy(), f.From))
	if f.Outside || f.From == "" {
		p.Place = g.say("place.outside")
	}
	if !f.SignedIn {
		p.Nobody = g.say("dry.no_session")
	}
	for _, o := range t.Openings {
		line := h.opening(r, o)
		line.URL, line.Step = "", link{}
		if line.Until != "" {
			p.Opens++
		}
		p.Found = append(p.Found, line)
	}
}
