package page

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/web"
)

// Projects are those that IDs are bound to; authz/project keeps them. Who may see one, and
// do what about it, is asked there at every call.
type Projects interface {
	List(ctx context.Context, o signin.Origin, cookie string, q project.Query) ([]project.Shown, string, error)
	Show(ctx context.Context, o signin.Origin, cookie, id string) (project.Shown, error)
	Register(ctx context.Context, o signin.Origin, cookie string, n project.New) (project.Project, error)
	Bind(ctx context.Context, o signin.Origin, cookie, id, login string, role project.Role, reason string) (project.Outcome, error)
	Release(ctx context.Context, o signin.Origin, cookie, id, login, reason string) (project.Outcome, error)
	Reschedule(ctx context.Context, o signin.Origin, cookie, id string, until time.Time, reason string) (project.Outcome, error)
	Complete(ctx context.Context, o signin.Origin, cookie, id, reason string) (project.Result, error)
	// May reports whether there is anything for somebody to see.
	May(who approval.Holder) bool
	// Of are the projects that an ID is bound to, those that are over too.
	Of(ctx context.Context, who directory.PersonID) ([]project.Project, error)
	// Elsewhere are those bound to a project whose IDs another one keeps when it ends; the
	// zero Project for one that is not the reader's to see.
	Elsewhere(ctx context.Context, o signin.Origin, cookie, id string) (map[directory.PersonID]project.Project, error)
	// Sections are those in which the reader may register one.
	Sections(ctx context.Context, o signin.Origin, cookie string) ([]string, error)
}

func (h *house) mountProjects() {
	m := h.srv.Mount
	m("GET /projects", h.projects)
	m("GET /projects/new", h.registerForm)
	m("POST /projects/new", h.registerProject)
	m("GET /projects/{id}", h.project)
	m("GET /projects/{id}/file", h.projectFile)
	m("POST /projects/{id}/bind", h.bindID)
	m("POST /projects/{id}/reschedule", h.reschedule)
	for _, act := range []string{"bind", "reschedule"} {
		m("GET /projects/{id}/"+act, h.projectInstead)
	}
	m("GET /projects/{id}/complete", h.completeForm)
	m("POST /projects/{id}/complete", h.complete)
	m("GET /projects/{id}/release/{login}", h.releaseForm)
	m("POST /projects/{id}/release/{login}", h.release)
}

// projecting reports whether the reader has a use for these pages. It chooses a door, and
// the page asks again.
func (h *house) projecting(r *web.Request, step signin.Step) bool {
	return h.Projects != nil && h.Projects.May(approval.Holder{Person: step.Person, Posts: r.Policy().PostsOf(step.Person.Groups)})
}

func projectPath(id string) string { return "/projects/" + url.PathEscape(id) }

type projectsPage struct {
	Rooms []room
	search
	Sections, States []option
	Found            []projectLine
	May              bool // register one
	Articles         []policy.Article
}

// A projectLine is one project in a row, or at the head of its page.
type projectLine struct {
	ID, Name, Section, Company string
	Environment, State         tag
	Until                      template.HTML
	Left                       string // in how many days; "" for what is not near
	Soon                       bool   // those responsible were told of it
	Running                    bool
	Responsible                []string
	IDs                        int
}

// projects are those of the sections that the reader sees.
func (h *house) projects(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	s, after := searching(r, "/projects", "section", "state")
	found, next, err := h.Projects.List(r.Context(), r.Origin, r.Cookie, project.Query{
		Text: s.Query, Section: s.Narrowed.Get("section"), State: project.State(s.Narrowed.Get("state")), After: after, Limit: pageRows,
	})
	if err != nil {
		return h.turned(w, r, err, "/projects")
	}
	acts, err := h.Projects.Sections(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/projects")
	}
	p := projectsPage{
		Rooms: h.rooms(r, step, "projects"), search: s, May: len(acts) > 0,
		Articles: []policy.Article{"67-1", "67-2(1)", "68-2"},
	}
	choose := func(name, value, says string) option { return option{value, says, s.Narrowed.Get(name) == value} }
	for _, one := range r.Policy().Sections {
		p.Sections = append(p.Sections, choose("section", one.ID, r.Say(one.Name)))
	}
	for _, one := range project.States() {
		p.States = append(p.States, choose("state", string(one), h.projectState(r, one).Says))
	}
	for _, one := range found {
		p.Found = append(p.Found, h.projectLine(r, one))
	}
	if next != "" {
		p.Next = s.at(next)
	}
	return h.showList(w, r, step, s, "projects", p)
}

func (h *house) projectLine(r *web.Request, one project.Shown) projectLine {
	g, now := h.tongue(r), h.srv.Now()
	state := one.State(now)
	line := projectLine{
		ID: one.ID, Name: one.Name, Section: sectionName(r, one.Section), Company: one.Company, Environment: h.environment(r, one.Environment),
		State: h.projectState(r, state), Until: g.end(one.Until, now), Running: state == project.Running, IDs: one.Counts.Responsible + one.Counts.Workers,
	}
	if state == project.Completed {
		line.Until = g.near(one.CompletedAt, now)
	}
	if line.Running {
		line.Left, line.Soon = h.daysLeft(r, one.Until)
	}
	for _, who := range one.Responsible {
		line.Responsible = append(line.Responsible, refName(who))
	}
	return line
}

// daysLeft counts the days of Japan's calendar down to the last one; soon: it is so near
// that people were told.
func (h *house) daysLeft(r *web.Request, until time.Time) (says string, soon bool) {
	g := h.tongue(r)
	today, _ := policy.JapanDay(policy.DayInJapan(h.srv.Now()))
	last, _ := policy.JapanDay(policy.DayInJapan(until.Add(-time.Microsecond)))
	n := int(last.Sub(today) / (24 * time.Hour))
	if n <= 0 {
		return g.say("projects.last_day"), true
	}
	says, err := g.n("projects.days_left", n)
	if err != nil {
		return "", false
	}
	return says, n <= r.Policy().Projects.WarnDays
}

func (h *house) projectState(r *web.Request, s project.State) tag {
	g := h.tongue(r)
	switch s {
	case project.Running:
		return tag{g.say("projects.running"), "good"}
	case project.Completed:
		return tag{g.say("projects.completed"), "plain"}
	}
	return tag{g.say("projects.over"), "plain"}
}

// environment is a word that reads the same to those who cannot tell colours.
func (h *house) environment(r *web.Request, of policy.Environment) tag {
	if of.Effective() == policy.Development {
		return tag{h.tongue(r).say("projects.development"), "plain"}
	}
	return tag{h.tongue(r).say("projects.production"), "plain"}
}

func (h *house) roleName(r *web.Request, role project.Role) string {
	if role == project.Responsible {
		return h.tongue(r).say("projects.responsible")
	}
	return h.tongue(r).say("projects.worker")
}

type projectNewPage struct {
	Rooms                  []room
	Typed                  projectForm
	Sections, Environments []option
	Today                  string
	Articles               []policy.Article
}

// A projectForm is what was typed about a new project.
type projectForm struct{ ID, Name, Section, Environment, Contract, Company, From, Until string }

func projectFormOf(form url.Values) projectForm {
	at := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return projectForm{at("id"), at("name"), at("section"), at("environment"), at("contract"), at("company"), at("from"), at("until")}
}

// registerForm shows the form. Who may register nothing is told before they type.
func (h *house) registerForm(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	if err := h.proven(r, step); err != nil {
		return h.turned(w, r, err, "/projects/new")
	}
	typed := projectFormOf(h.typedBefore(r, step, "/projects/new").Form)
	if typed == (projectForm{}) {
		typed.Section, typed.From = step.Person.Section, dayOf(h.srv.Now())
	}
	return h.projectNew(w, r, step, typed, refused{Status: http.StatusOK})
}

func (h *house) projectNew(w http.ResponseWriter, r *web.Request, step signin.Step, typed projectForm, said refused) error {
	acts, err := h.Projects.Sections(r.Context(), r.Origin, r.Cookie)
	if err == nil && len(acts) == 0 {
		err = &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Articles: []policy.Article{"67-1"}, Detail: policy.Words{
			JA: "案件を登録するのは、室課の情報システム管理者です。", EN: "Projects are registered by the system administrator of a section."}}}
	}
	if err != nil {
		return h.turned(w, r, err, "/projects/new")
	}
	p := projectNewPage{Rooms: h.rooms(r, step, "projects"), Typed: typed, Today: dayOf(h.srv.Now()), Articles: []policy.Article{"67-1", "67-2(1)", "68-2"}}
	for _, id := range acts {
		p.Sections = append(p.Sections, option{id, sectionName(r, id), id == typed.Section})
	}
	for _, one := range policy.IDEnvironments() {
		p.Environments = append(p.Environments, option{string(one), h.environment(r, one).Says, string(one) == typed.Environment})
	}
	return h.again(w, r, step, "projectnew", p, said)
}

// registerProject registers what was typed; what is wrong with it is said all at once.
func (h *house) registerProject(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	typed := projectFormOf(r.PostForm)
	n, faults := h.newProject(r, typed)
	if len(faults) > 0 {
		return h.projectNew(w, r, step, typed, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	_, err = h.Projects.Register(r.Context(), r.Origin, r.Cookie, n)
	if err != nil && !h.registeredTwice(r, step, n, err) {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.projectNew(w, r, step, typed, said)
		}
		return h.turned(w, r, err, "/projects/new")
	}
	h.dropTyped(r, step, "/projects/new")
	return redirect(w, r, projectPath(n.ID), url.Values{"done": {"registered"}})
}

// registeredTwice reports whether a form that is refused, for there is such a project, is
// the one that registered it: a button that was pressed twice, or whose answer was lost.
func (h *house) registeredTwice(r *web.Request, step signin.Step, n project.New, err error) bool {
	if no := (*project.Refusal)(nil); !errors.As(err, &no) || no.Reason != "taken" {
		return false
	}
	one, err := h.Projects.Show(r.Context(), r.Origin, r.Cookie, n.ID)
	return err == nil && one.RegisteredBy.ID == step.Person.ID && h.srv.Now().Sub(one.RegisteredAt) < time.Minute &&
		one.Name == n.Name && one.Section == n.Section && one.Environment == n.Environment && one.Until.Equal(n.Until)
}

// newProject reads the form. What a project may be is the room's to say; that something
// is missing, or is no day, is said here, so that all of it is said at once.
func (h *house) newProject(r *web.Request, typed projectForm) (project.New, []Fault) {
	g := h.tongue(r)
	var faults []Fault
	for _, one := range []struct{ field, value, says string }{
		{"name", typed.Name, g.say("projects.need_name")}, {"id", typed.ID, g.say("projects.need_id")}, {"section", typed.Section, g.say("projects.need_section")},
		{"environment", typed.Environment, g.say("projects.need_environment")}, {"until", typed.Until, g.say("projects.need_until")},
	} {
		if one.value == "" {
			faults = append(faults, Fault{one.field, one.says})
		}
	}
	n := project.New{
		ID: typed.ID, Name: typed.Name, Section: typed.Section, Contract: typed.Contract, Company: typed.Company, Environment: policy.Environment(typed.Environment),
	}
	var ok bool
	if typed.From != "" {
		if n.From, ok = policy.JapanDay(typed.From); !ok {
			faults = append(faults, Fault{"from", g.say("pask.day_wrong")})
		}
	}
	if typed.Until != "" {
		if n.Until, ok = dayOver(typed.Until); !ok {
			faults = append(faults, Fault{"until", g.say("pask.day_wrong")})
		}
	}
	return n, faults
}

// dayOver is the instant at which a day of Japan is over.
func dayOver(typed string) (time.Time, bool) {
	first, ok := policy.JapanDay(strings.TrimSpace(typed))
	return first.In(japan).AddDate(0, 0, 1).UTC(), ok
}
