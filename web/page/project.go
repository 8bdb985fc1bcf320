package page

import (
	"bytes"
	"encoding/csv"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/project"
	"sekisho/authz/recertify"
	"sekisho/authz/report"
	"sekisho/policy"
	"sekisho/web"
)

type projectPage struct {
	Rooms []room
	projectLine
	Path         string
	Contract     string
	From         string
	Registered   template.HTML
	RegisteredBy string
	By, Why      string // who completed it, and why
	Members      []memberLine
	Former       []memberLine
	Held         int
	Waits        []projectWait
	May          bool
	Bind         bindForm
	NewUntil     string
	NewReason    string
	Today        string
	Articles     []policy.Article
}

// A bindForm is what was typed about an ID that is to be bound.
type bindForm struct {
	Login, Reason string
	Roles         []option
}

// A memberLine is one ID of a project.
type memberLine struct {
	Login, Name, Role string
	Used              string
	State             tag
	Why               string // it is not closed, and what to do
	Since             string
	Stays             string // the project that goes on, where this one is completed
}

// A projectWait is what waits for a second person.
type projectWait struct {
	Says, By, Reason string
	At               template.HTML
	URL              string
}

// project is one project: what it is, its IDs, what waits, and what may be done.
func (h *house) project(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	path := projectPath(r.PathValue("id"))
	was := h.typedBefore(r, step, path)
	return h.projectPage(w, r, step, strings.TrimPrefix(was.At, path+"/"), was.Form, refused{Status: http.StatusOK})
}

// projectInstead leads from the address of an act to the page that it is on.
func (h *house) projectInstead(w http.ResponseWriter, r *web.Request) error {
	return redirect(w, r, projectPath(r.PathValue("id")), nil)
}

// projectPage shows a project with what was typed for an act, and what is wrong with it.
func (h *house) projectPage(w http.ResponseWriter, r *web.Request, step signin.Step, act string, typed url.Values, said refused) error {
	path := projectPath(r.PathValue("id"))
	one, err := h.Projects.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return h.turned(w, r, err, path)
	}
	g, now := h.tongue(r), h.srv.Now()
	p := projectPage{
		Rooms: h.rooms(r, step, "projects"), projectLine: h.projectLine(r, one), Path: path, Contract: one.Contract, From: g.day(one.From),
		Registered: g.near(one.RegisteredAt, now), RegisteredBy: refName(one.RegisteredBy), By: refName(one.CompletedBy), Why: one.Reason,
		Today: dayOf(now), Articles: []policy.Article{"67-1", "67-2(1)", "68-2"},
	}
	p.May = one.MayAct && p.Running
	for _, m := range one.Members {
		line := h.memberLine(r, one, m)
		if !m.Bound() {
			p.Former = append(p.Former, line)
			continue
		}
		if line.Why != "" {
			p.Held++
		}
		p.Members = append(p.Members, line)
	}
	for _, wait := range one.Waiting {
		p.Waits = append(p.Waits, h.projectWait(r, wait))
	}
	role := string(project.Worker)
	if act == "bind" {
		p.Bind.Login, p.Bind.Reason = typed.Get("login"), typed.Get("reason")
		if typed.Get("role") != "" {
			role = typed.Get("role")
		}
	}
	for _, one := range []project.Role{project.Worker, project.Responsible} {
		p.Bind.Roles = append(p.Bind.Roles, option{string(one), h.roleName(r, one), string(one) == role})
	}
	p.NewUntil = dayOf(one.Until.Add(-time.Second))
	if act == "reschedule" {
		p.NewUntil, p.NewReason = typed.Get("until"), typed.Get("reason")
	}
	if !p.May {
		said = said.above() // there is no field to say it at
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, path)
	if len(said.Faults) == 0 {
		v.Notice = h.projectDone(r)
	}
	return h.show(w, r, said.Status, "project", v)
}

func (h *house) memberLine(r *web.Request, of project.Shown, m project.Member) memberLine {
	g, running := h.tongue(r), of.State(h.srv.Now()) == project.Running
	line := memberLine{
		Login: m.Person.Login, Name: refName(m.Person), Role: h.roleName(r, m.Role), Used: g.say("permit.never"), Since: g.day(m.BoundAt),
		State: tag{g.say("project.good"), "good"},
	}
	if at := of.LastUse[m.Person.ID]; !at.IsZero() {
		line.Used = g.day(at)
	}
	why, held := strings.CutPrefix(m.Closed, "held:")
	switch {
	case !m.Bound():
		line.State, line.Since = tag{g.say("project.released"), "plain"}, g.day(m.UnboundAt)
	case held:
		line.State, line.Why = tag{g.say("project.held"), "bad"}, r.Say(recertify.HoldWords(why))
		if line.Why == "" {
			line.Why = g.say("project.held_says")
		}
	case m.Closed == project.Closed:
		line.State = tag{g.say("project.closed"), "plain"}
	case m.Closed == project.Pending:
		line.State = tag{g.say("project.closing"), "warn"}
	case !running:
		line.State = tag{g.say("project.elsewhere"), "plain"}
	}
	return line
}

// projectWait says what a second person is asked for.
func (h *house) projectWait(r *web.Request, wait project.Wait) projectWait {
	g := h.tongue(r)
	out := projectWait{By: refName(wait.Requester), Reason: wait.Reason, At: g.near(wait.AskedAt, h.srv.Now()), URL: "/approvals/" + url.PathEscape(wait.Matter)}
	who := refName(wait.Person)
	switch wait.What {
	case project.Extend:
		out.Says = g.say("project.waits_extend", "Day", g.lastDay(wait.Until))
	case project.Release:
		out.Says = g.say("project.waits_release", "Who", who)
	default:
		out.Says = g.say("project.waits_bind", "Who", who)
	}
	return out
}

// projectDone says what the redirect that led here has done.
func (h *house) projectDone(r *web.Request) notice {
	g := h.tongue(r)
	good := func(says string) notice { return notice{Says: says, Tone: "good"} }
	switch r.URL.Query().Get("done") {
	case "registered":
		return good(g.say("project.done_registered"))
	case "bound":
		return good(g.say("project.done_bound"))
	case "released":
		return good(g.say("project.done_released"))
	case "rescheduled":
		return good(g.say("project.done_rescheduled"))
	case "completed":
		return good(g.say("project.done_completed"))
	case "asked":
		return notice{Says: g.say("project.done_asked"), Tone: "warn"}
	}
	return notice{}
}

// bindID binds an ID, or asks a second person for it where that would widen what it may.
func (h *house) bindID(w http.ResponseWriter, r *web.Request) error {
	return h.onProject(w, r, "bind", "bound", func(id, reason string) ([]Fault, project.Outcome, error) {
		login := strings.TrimSpace(r.PostForm.Get("login"))
		faults := h.text(r, "bind-reason", reason, mostReason, true)
		if login == "" {
			faults = append([]Fault{{"login", h.tongue(r).say("project.need_login")}}, faults...)
		}
		if len(faults) > 0 {
			return faults, project.Outcome{}, nil
		}
		out, err := h.Projects.Bind(r.Context(), r.Origin, r.Cookie, id, login, project.Role(r.PostForm.Get("role")), reason)
		return nil, out, err
	})
}

// reschedule moves the end: nearer at once, farther by a second person.
func (h *house) reschedule(w http.ResponseWriter, r *web.Request) error {
	return h.onProject(w, r, "reschedule", "rescheduled", func(id, reason string) ([]Fault, project.Outcome, error) {
		until, ok := dayOver(r.PostForm.Get("until"))
		var faults []Fault
		if !ok {
			faults = append(faults, Fault{"until", h.tongue(r).say("pask.day_wrong")})
		}
		if faults = append(faults, h.text(r, "reschedule-reason", reason, mostReason, true)...); len(faults) > 0 {
			return faults, project.Outcome{}, nil
		}
		out, err := h.Projects.Reschedule(r.Context(), r.Origin, r.Cookie, id, until, reason)
		return nil, out, err
	})
}

// onProject does what one of the forms of a project's page asks for.
func (h *house) onProject(w http.ResponseWriter, r *web.Request, act, did string, do func(id, reason string) ([]Fault, project.Outcome, error)) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, path := r.PathValue("id"), projectPath(r.PathValue("id"))
	faults, out, err := do(id, strings.TrimSpace(r.PostForm.Get("reason")))
	if len(faults) > 0 {
		return h.projectPage(w, r, step, act, r.PostForm, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.projectPage(w, r, step, act, r.PostForm, said.placed(func(field string) string {
				if field == "reason" {
					return act + "-reason"
				}
				return field
			}))
		}
		return h.turned(w, r, err, path)
	}
	h.dropTyped(r, step, path)
	if out.Waits() {
		did = "asked"
	}
	return redirect(w, r, path, url.Values{"done": {did}})
}

// releaseForm says what follows before an ID is taken from a project.
func (h *house) releaseForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p, err := h.releasePage(r, step)
	if err == nil {
		err = h.proven(r, step)
	}
	if err != nil {
		return h.turned(w, r, err, r.URL.EscapedPath())
	}
	p.Reason = h.typedBefore(r, step, r.URL.EscapedPath()).Form.Get("reason")
	return h.show(w, r, http.StatusOK, "personact", h.view(r, step, p))
}

func (h *house) releasePage(r *web.Request, step signin.Step) (actPage, error) {
	one, m, err := h.memberOf(r)
	if err != nil {
		return actPage{}, err
	}
	g := h.tongue(r)
	return actPage{
		Rooms: h.rooms(r, step, "projects"), Title: g.say("project.release"), Subject: g.say("act.person", "Name", m.Person.Name, "Login", m.Person.Login, "Section", sectionName(r, m.Person.Section)),
		What: g.say("project.release_of", "Name", one.Name), Then: []string{g.say("project.release_then"), g.say("project.release_last"), g.say("project.release_other"), g.say("act.then_record")},
		Articles: []policy.Article{"67-2(1)", "68-2"}, Action: r.URL.EscapedPath(), Back: projectPath(one.ID), Button: g.say("project.release"), AsksReason: true, NeedsReason: true, Hint: g.say("project.release_reason"),
	}, nil
}

// memberOf is the ID of a project that an address names. What cannot be released any more
// has no page: a form that can only fail is a trap.
func (h *house) memberOf(r *web.Request) (project.Shown, project.Member, error) {
	one, err := h.Projects.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return one, project.Member{}, err
	}
	if one.MayAct && one.State(h.srv.Now()) == project.Running {
		for _, m := range one.Members {
			if m.Bound() && m.Person.Login == r.PathValue("login") {
				return one, m, nil
			}
		}
	}
	return one, project.Member{}, project.ErrNotFound
}

func (h *house) release(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	reason, back := strings.TrimSpace(r.PostForm.Get("reason")), r.URL.EscapedPath()
	said := refused{http.StatusUnprocessableEntity, h.text(r, "reason", reason, mostReason, true), nil}
	if len(said.Faults) == 0 {
		out, err := h.Projects.Release(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), r.PathValue("login"), reason)
		if err == nil {
			h.dropTyped(r, step, back)
			did := "released"
			if out.Waits() {
				did = "asked"
			}
			return redirect(w, r, projectPath(r.PathValue("id")), url.Values{"done": {did}})
		}
		var ok bool
		if said, ok = h.inOffice(w, r, err); !ok {
			return h.turned(w, r, err, back)
		}
		said = said.placed(func(field string) string {
			if field == "login" { // the address says whose it is
				return ""
			}
			return field
		})
	}
	p, err := h.releasePage(r, step)
	if err != nil {
		return h.turned(w, r, err, back)
	}
	p.Reason = r.PostForm.Get("reason")
	return h.again(w, r, step, "personact", p, said)
}

// projectFile is the IDs of a project as a file.
func (h *house) projectFile(w http.ResponseWriter, r *web.Request) error {
	_, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	one, err := h.Projects.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return h.turned(w, r, err, projectPath(r.PathValue("id")))
	}
	b := bytes.NewBufferString("\ufeff") // Excel takes it for UTF-8 by this
	out := csv.NewWriter(b)
	write := func(cells ...string) {
		for i, c := range cells {
			cells[i] = report.Plain(c)
		}
		_ = out.Write(cells) // an error stays with the writer, which is asked at the end
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	write("project", "environment", "until", "login", "name", "role", "bound_at", "bound_by", "released_at", "last_use", "state")
	for _, m := range one.Members {
		state := m.Closed
		if state == "" && m.Bound() && one.State(h.srv.Now()) == project.Running {
			state = "active"
		}
		write(one.ID, string(one.Environment.Effective()), at(one.Until), m.Person.Login, m.Person.Name, string(m.Role), at(m.BoundAt), m.BoundBy, at(m.UnboundAt), at(one.LastUse[m.Person.ID]), state)
	}
	if out.Flush(); out.Error() != nil {
		return out.Error()
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="project-`+dayOf(h.srv.Now())+`.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // if the reader has gone, there is nobody left to tell
	return nil
}
