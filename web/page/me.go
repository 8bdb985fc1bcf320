package page

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"sekisho/authn"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

type mePage struct {
	Previous          session.Previous
	Name, Login       string
	Section           string
	Posts             []string
	Strength          string
	StrengthExplained string
	Zone, From        string
	Outside           bool
	StartedAt         time.Time
	ExpiresAt         time.Time
	IdleExpiresAt     time.Time
	PasswordChangedAt *time.Time
	Apps              []appLink
	Factors           []factorLine
	Sessions          []sessionLine
	AckText, AckURL   string
	MayApprove        bool
}

type appLink struct{ Name, URL string }

type factorLine struct {
	ID, Kind, Name      string
	AddedAt, LastUsedAt time.Time
}

type sessionLine struct {
	ID, Browser, Zone, From string
	SeenAt                  time.Time
	Current                 bool
}

func (h *house) me(w http.ResponseWriter, r *web.Request) error {
	g := h.tongue(r)
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	factors, err := h.Factors.Factors(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.stepError(w, r, err)
	}
	sessions, current, err := h.Account.Sessions(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.stepError(w, r, err)
	}
	p, posts := h.mine(r, step)
	for _, f := range factors {
		line := factorLine{ID: f.ID, Kind: f.Kind, Name: f.Name, AddedAt: f.AddedAt, LastUsedAt: f.LastUsedAt}
		if f.Kind == "totp" {
			line.Kind = g.say("me.totp")
		}
		p.Factors = append(p.Factors, line)
	}
	for _, s := range sessions {
		if s.Parent != "" {
			continue // an application's, which ends with its parent
		}
		p.Sessions = append(p.Sessions, sessionLine{
			ID: s.ID, Browser: browser(g, s.UserAgent), Zone: zoneName(r, s.Zone), From: s.From,
			SeenAt: s.SeenAt, Current: s.ID == current,
		})
	}
	p.MayApprove = h.Charter != nil && mayApprove(posts)
	v := h.view(r, step, p)
	v.Wide = true
	v.Notice = h.done(r)
	return h.show(w, r, http.StatusOK, "me", v)
}

// mine is what a session and its person say of themselves.
func (h *house) mine(r *web.Request, step signin.Step) (mePage, []policy.PostID) {
	g, pol := h.tongue(r), r.Policy()
	s := session.Session{}
	if step.Session != nil {
		s = *step.Session
	}
	posts := pol.PostsOf(step.Person.Groups)
	p := mePage{
		Previous: s.Previous, Name: step.Person.Name, Login: step.Person.Login,
		Section: sectionName(r, step.Person.Section),
		Zone:    zoneName(r, s.Zone), From: s.From, Outside: s.Outside,
		StartedAt: s.StartedAt, ExpiresAt: s.ExpiresAt, IdleExpiresAt: s.IdleExpiresAt,
		AckText: r.Say(pol.Acknowledgement.Text), AckURL: guideline(pol),
		Apps: h.apps(r, step, posts),
	}
	p.Strength, p.StrengthExplained = strength(g, s.ACR)
	for _, id := range posts {
		name := string(id)
		if post, ok := pol.Post(id); ok && !post.Name.IsEmpty() {
			name = r.Say(post.Name)
		}
		p.Posts = append(p.Posts, name)
	}
	if at := step.Person.Account.PasswordChangedAt; !at.IsZero() {
		p.PasswordChangedAt = &at
	}
	return p, posts
}

// strength says an assurance in plain words.
func strength(g *tongue, a policy.ACR) (short, explained string) {
	switch a {
	case policy.AAL1:
		return g.say("me.aal1"), g.say("me.aal1_explained")
	case policy.AAL2:
		return g.say("me.aal2"), g.say("me.aal2_explained")
	case policy.PHR:
		return g.say("me.phr"), g.say("me.phr_explained")
	}
	return string(a), ""
}

// apps are the applications that open to the reader now, or would after a
// stronger sign-in. It is a list of doors and no decision: each door asks again.
func (h *house) apps(r *web.Request, step signin.Step, posts []policy.PostID) []appLink {
	if step.Session == nil {
		return nil
	}
	var links []appLink
	for _, a := range r.Policy().Applications {
		v := authz.Decide(r.Policy(), authz.Facts{
			SignedIn: true, Person: step.Person, Posts: posts, ACR: step.Session.ACR,
			SessionEnds: step.Session.ExpiresAt, Application: a, Now: h.srv.Now(),
		})
		if v.Reason != authz.Allowed && v.Reason != authz.TooWeak {
			continue
		}
		to := web.HandoverPath(a.ID, web.AppOrigin(h.srv.PublicURL(), a)+"/")
		links = append(links, appLink{Name: r.Say(a.Name), URL: to})
	}
	return links
}

func zoneName(r *web.Request, id policy.ZoneID) string {
	if z, ok := r.Policy().Zone(id); ok && !z.Name.IsEmpty() {
		return r.Say(z.Name)
	}
	return string(id)
}

func sectionName(r *web.Request, id string) string {
	if s, ok := r.Policy().Section(id); ok && !s.Name.IsEmpty() {
		return r.Say(s.Name)
	}
	return id
}

// browser names a browser and its system well enough for its owner to know it
// again. It is what the browser says of itself, so it proves nothing.
func browser(g *tongue, agent string) string {
	name := first(agent, [][2]string{
		{"Edg/", "Microsoft Edge"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Chromium/", "Chromium"},
		{"Safari/", "Safari"}, {"curl/", "curl"},
	})
	system := first(agent, [][2]string{
		{"Windows", "Windows"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"},
		{"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	switch {
	case name == "":
		return g.say("browser.unknown")
	case system == "":
		return name
	}
	return g.say("browser.on", "Browser", name, "System", system)
}

func first(s string, marks [][2]string) string {
	for _, m := range marks {
		if strings.Contains(s, m[0]) {
			return m[1]
		}
	}
	return ""
}

// done says what the redirect that led here has done.
func (h *house) done(r *web.Request) notice {
	g := h.tongue(r)
	switch r.URL.Query().Get("done") {
	case "password":
		return notice{g.say("notice.password_changed"), "good"}
	case "factor_added":
		return notice{g.say("notice.factor_added"), "good"}
	case "factor_removed":
		return notice{g.say("notice.factor_removed"), "good"}
	case "session_ended":
		return notice{g.say("notice.session_ended"), "good"}
	case "approved":
		return notice{g.say("notice.approved"), "good"}
	}
	return notice{}
}

func (h *house) endSession(w http.ResponseWriter, r *web.Request) error {
	if err := h.Account.EndSession(r.Context(), r.Origin, r.Cookie, r.PathValue("id")); err != nil {
		if done, failed := h.elsewhere(w, r, err, "/me"); done {
			return failed
		}
		return err
	}
	return redirect(w, r, "/me", url.Values{"done": {"session_ended"}})
}

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
