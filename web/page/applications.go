package page

import (
	"net/http"
	"net/url"
	"strings"

	"sekisho/authn"
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
