package page

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/password"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/policy"
	"sekisho/web"
)

// mePage is what a person sees of themselves: first, at a glance, who is signed
// in, how strongly, until when, and when before.
type mePage struct {
	Name, Login, Section string
	Posts                []string
	Strength             string
	StrengthExplained    string
	Proved               []string // what it was proved with
	Weak                 bool     // one factor
	Until, Idle          template.HTML
	Last                 template.HTML // "" when there was none before
	LastOut              template.HTML // "" when it was not signed out
	LastFrom             string
	Failures             int
	Zone, From           string
	Outside              bool
	Terminal             string // where the session began at one that spoke for itself
	Since                template.HTML

	PasswordChangedAt *time.Time
	PasswordUntil     template.HTML // when it is too old; "": not soon
	Apps              []link
	Factors           []factorLine
	HasPasskey        bool
	Sessions          []sessionLine
	Others            bool // there are sessions beside this one
	Mail, Second      string
	AckText, AckURL   string
	Office            []link // the pages of their posts
	Waits             []waitLine
	Projects          []ownProject // what the ID is for
}

type link struct{ Name, URL string }

type factorLine struct {
	ID, Kind, Name, Detail string
	Named                  bool // its owner may call it something else
	AddedAt                time.Time
	Used                   template.HTML // "" for never
}

type sessionLine struct {
	ID, Browser, Zone, From, Terminal string
	Seen                              template.HTML
	Current                           bool
}

func (h *house) me(w http.ResponseWriter, r *web.Request) error {
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
	p := h.mine(r, step)
	if p.Second, err = h.Account.Second(r.Context(), r.Origin, r.Cookie); err != nil {
		return h.stepError(w, r, err)
	}
	g := h.tongue(r)
	for _, f := range factors {
		line := h.factorLine(r, f)
		p.HasPasskey = p.HasPasskey || f.Kind == "passkey"
		p.Factors = append(p.Factors, line)
	}
	for _, s := range own(sessions) {
		p.Sessions = append(p.Sessions, sessionLine{
			ID: s.ID, Browser: browser(g, s.UserAgent), Zone: zoneName(r, s.Zone), From: s.From,
			Terminal: h.terminalName(r, s), Seen: g.near(s.SeenAt, h.srv.Now()), Current: s.ID == current,
		})
		p.Others = p.Others || s.ID != current
	}
	if p.Projects, err = h.projectsOf(r, step.Person.ID); err != nil {
		return err
	}
	p.Waits = h.waits(r)
	v := h.view(r, step, p)
	v.Wide = true
	v.Ticks = slices.ContainsFunc(p.Waits, func(l waitLine) bool { return l.Left.Runs() })
	v.Notice = h.done(r)
	return h.show(w, r, http.StatusOK, "me", v)
}

// own are the sessions of the gate itself: an application's ends with its
// parent.
func own(sessions []session.Session) []session.Session {
	return slices.DeleteFunc(slices.Clone(sessions), func(s session.Session) bool { return s.Parent != "" })
}

// mine is what a session and its person say of themselves.
func (h *house) mine(r *web.Request, step signin.Step) mePage {
	g, pol, now := h.tongue(r), r.Policy(), h.srv.Now()
	s := session.Session{}
	if step.Session != nil {
		s = *step.Session
	}
	posts := pol.PostsOf(step.Person.Groups)
	p := mePage{
		Name: step.Person.Name, Login: step.Person.Login, Section: sectionName(r, step.Person.Section),
		Weak: !s.ACR.AtLeast(policy.AAL2), Proved: proved(g, s), Until: g.near(s.ExpiresAt, now), Idle: g.near(s.IdleExpiresAt, now),
		LastFrom: s.Previous.From, Failures: s.Previous.FailuresSince,
		Zone: zoneName(r, s.Zone), From: s.From, Outside: s.Outside, Terminal: h.terminalName(r, s), Since: g.near(s.StartedAt, now),
		Mail: step.Person.Mail, AckText: r.Say(pol.Acknowledgement.Text), AckURL: guideline(pol),
		Apps: h.apps(r, step), Office: h.office(r, step, posts),
	}
	p.Strength, p.StrengthExplained = strength(g, s.ACR)
	if at := s.Previous.At; !at.IsZero() {
		p.Last = g.near(at, now)
	}
	if at := s.Previous.OutAt; !at.IsZero() {
		p.LastOut = g.near(at, now)
	}
	for _, id := range posts {
		name := string(id)
		if post, ok := pol.Post(id); ok && !post.Name.IsEmpty() {
			name = r.Say(post.Name)
		}
		p.Posts = append(p.Posts, name)
	}
	if at := step.Person.Account.PasswordChangedAt; !at.IsZero() {
		p.PasswordChangedAt = &at
		if rules := pol.Password; !password.WarnedSince(rules, at, now).IsZero() {
			p.PasswordUntil = g.end(password.ExpiresAt(rules, at), now)
		}
	}
	return p
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

// proved names what a session was signed in with.
func proved(g *tongue, s session.Session) []string {
	var out []string
	for _, m := range s.AMR {
		switch authn.Method(m) {
		case authn.Password:
			out = append(out, g.say("me.password"))
		case authn.OTP:
			out = append(out, g.say("second.code"))
		case authn.HardwareKey:
			out = append(out, g.say("factor.passkey_bound"))
		case authn.SyncedKey:
			out = append(out, g.say("factor.passkey_synced"))
		case authn.SmartCard:
			out = append(out, g.say("factor.card"))
		}
	}
	// A dedicated terminal's own sign-in may have stood in for the second factor
	// (article 26no3-1); it is no value of RFC 8176 and so not listed there.
	if len(out) == 1 && s.ACR == policy.AAL2 && s.Terminal != "" {
		out = append(out, g.say("me.by_terminal"))
	}
	return out
}

// terminalName is the enrolled terminal that a session began at: what the
// policy calls it, or its id, and what kind it is.
func (h *house) terminalName(r *web.Request, s session.Session) string {
	if s.Terminal == "" {
		return ""
	}
	g, name := h.tongue(r), s.Terminal
	if t, ok := r.Policy().Terminal(s.Terminal); ok && !t.Name.IsEmpty() {
		name = r.Say(t.Name)
	}
	switch s.TerminalClass {
	case policy.TerminalCounter:
		return g.say("terminal.counter", "Name", name)
	case policy.TerminalDedicated:
		return g.say("terminal.dedicated", "Name", name)
	case policy.TerminalLent:
		return g.say("terminal.lent_named", "Name", name)
	}
	return name
}

// apps are the applications that open to the reader now, or would after a
// stronger sign-in. It is a list of doors and no decision: each door asks again.
func (h *house) apps(r *web.Request, step signin.Step) []link {
	if step.Session == nil {
		return nil
	}
	facts, err := h.facts(r, step)
	if err != nil {
		return nil // the page of applications says what is away
	}
	var links []link
	for _, o := range authz.Survey(r.Policy(), facts) {
		a, v := o.Application, o.Verdict
		if o.Client.ID != "" || !v.Allowed(h.srv.Now()) && v.StepUp == "" {
			continue
		}
		links = append(links, link{Name: r.Say(a.Name), URL: h.doorOf(a)})
	}
	return links
}

// office are the pages that some posts have beside everybody's, where they are
// mounted. It is a list of doors, too.
func (h *house) office(r *web.Request, step signin.Step, posts []policy.PostID) []link {
	g := h.tongue(r)
	var links []link
	routes := h.srv.Routes()
	add := func(path, name string) {
		if slices.Contains(routes, "GET "+path) {
			links = append(links, link{name, path})
		}
	}
	add("/leases", g.say("leases.title"))
	if h.shares(r, step) {
		add("/shared", g.say("shared.title"))
	}
	add("/permits", g.say("permits.title"))
	if h.Desk != nil && looks(r.Policy(), posts) {
		add("/approvals", g.say("approvals.title"))
		add("/reviews", g.say("reviews.title"))
		add("/live", g.say("live.title"))
	}
	if looks(r.Policy(), posts) {
		add("/registers", g.say("register.title"))
	}
	if guards(posts) {
		add("/lockdown", g.say("lock.title"))
	}
	if len(readable(r.Policy(), posts, "")) > 0 {
		add("/reports", g.say("reports.title"))
	}
	if searches(r, step) {
		add("/trail", g.say("trail.title"))
	}
	if keeps(r.Policy(), posts) {
		add("/sealed", g.say("sealed.title"))
	}
	if h.Imports != nil && r.Policy().Personnel.MayView(posts) {
		add("/imports", g.say("imports.title"))
	}
	if h.projecting(r, step) {
		add("/projects", g.say("projects.title"))
	}
	if mayApprove(posts) {
		add("/policy", g.say("me.office_policy"))
	}
	for _, one := range []struct {
		act        authz.Act
		path, says string
	}{
		{authz.ViewPeople, "/people", g.say("me.office_people")},
		{authz.ViewTerminals, "/terminals", g.say("me.office_terminals")},
		{authz.ViewTokens, "/tokens", g.say("me.office_tokens")},
		{authz.ViewApplications, "/applications", g.say("me.office_applications")},
		{authz.TryAccess, "/dry-run", g.say("dry.title")},
	} {
		if authz.May(r.Policy(), one.act, posts, nil, false).OK() {
			add(one.path, one.says)
		}
	}
	return links
}

// factorLine is one factor as its owner, or an administrator, sees it.
func (h *house) factorLine(r *web.Request, f account.Factor) factorLine {
	g := h.tongue(r)
	line := factorLine{ID: f.ID, Kind: factorKind(g, f), Name: f.Name, Named: f.Kind != "card", AddedAt: f.AddedAt}
	if !f.LastUsedAt.IsZero() {
		line.Used = g.near(f.LastUsedAt, h.srv.Now())
	}
	switch {
	case f.Kind == "passkey" && f.Synced:
		line.Detail = g.say("factor.synced")
	case f.Kind == "passkey":
		line.Detail = g.say("factor.bound")
	case f.Serial != "":
		line.Detail = g.say("factor.serial", "Serial", f.Serial)
	}
	return line
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

// done says what the redirect that led here has done.
func (h *house) done(r *web.Request) notice {
	g := h.tongue(r)
	says := ""
	switch r.URL.Query().Get("done") {
	case "password":
		says = g.say("notice.password_changed")
	case "factor_added":
		says = g.say("notice.factor_added")
	case "passkey_added":
		says = g.say("notice.passkey_added")
	case "factor_renamed":
		says = g.say("notice.factor_renamed")
	case "factor_removed":
		says = g.say("notice.factor_removed")
	case "session_ended":
		says = g.say("notice.session_ended")
	case "sessions_ended":
		says = g.say("notice.sessions_ended")
	case "address":
		says = g.say("notice.address")
	case "approved":
		says = g.say("notice.approved")
	}
	return notice{Says: says, Tone: "good"}
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

// endOthers ends every session of the reader but this one. Should one fail, the
// error is shown and those before it have ended: asking again does the rest.
func (h *house) endOthers(w http.ResponseWriter, r *web.Request) error {
	sessions, current, err := h.Account.Sessions(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.stepError(w, r, err)
	}
	for _, s := range own(sessions) {
		if s.ID == current {
			continue
		}
		if err := h.Account.EndSession(r.Context(), r.Origin, r.Cookie, s.ID); err != nil {
			return h.stepError(w, r, err)
		}
	}
	return redirect(w, r, "/me", url.Values{"done": {"sessions_ended"}})
}
