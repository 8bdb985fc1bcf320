package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/project"
	"sekisho/policy"
	"sekisho/web"
)

// Projects are those that IDs are bound to; authz/project keeps them.
type Projects interface {
	List(ctx context.Context, o signin.Origin, cookie string, q project.Query) ([]project.Shown, string, error)
	Show(ctx context.Context, o signin.Origin, cookie, id string) (project.Shown, error)
	Register(ctx context.Context, o signin.Origin, cookie string, n project.New) (project.Project, error)
	Bind(ctx context.Context, o signin.Origin, cookie, id, login string, role project.Role, reason string) (project.Outcome, error)
	Release(ctx context.Context, o signin.Origin, cookie, id, login, reason string) (project.Outcome, error)
	Reschedule(ctx context.Context, o signin.Origin, cookie, id string, until time.Time, reason string) (project.Outcome, error)
	Complete(ctx context.Context, o signin.Origin, cookie, id, reason string) (project.Result, error)
}

// projectQuery are what the list is narrowed by.
var projectQuery = []string{"q", "section", "state", "limit", "after"}

// mostProjects is how many one answer has at most.
const mostProjects = 200

func (v *service) projectOperations() []operation {
	if v.Projects == nil {
		return nil
	}
	const at = "/api/v1/projects"
	return []operation{
		{method: "GET", path: at, says: "Projects of the sections that the reader sees, without their IDs.", handle: v.projects,
			status: 200, answer: list[projectItem]{}, query: projectQuery, numbers: []string{"limit"}, codes: toRead},
		{method: "POST", path: at, says: "Registers a project. from and until are days in Japan; until is the last one.", handle: v.registerProject,
			body: projectWish{}, status: 201, answer: projectItem{}, once: true, codes: []string{web.CodeForbidden, web.CodeStepUp}},
		{method: "GET", path: at + "/{id}", says: "One project, with the IDs that are and were bound to it.", handle: v.projectOne,
			status: 200, answer: projectAnswer{}, codes: append([]string{web.CodeNotFound}, toRead...)},
		{method: "POST", path: at + "/{id}/members", says: "Binds an ID to a project. Where that widens what the ID may, it waits for a second person: matter.", handle: v.bindID,
			body: bindWish{}, status: 200, answer: projectActed{}, once: true, codes: toAct},
		{method: "POST", path: at + "/{id}/release", says: "Releases an ID. From its last project it waits for a second person: matter.", handle: v.releaseID,
			body: releaseWish{}, status: 200, answer: projectActed{}, once: true, codes: toAct},
		{method: "POST", path: at + "/{id}/reschedule", says: "Moves the last day: an earlier one holds at once, a later one waits for a second person: matter.", handle: v.reschedule,
			body: rescheduleWish{}, status: 200, answer: projectActed{}, once: true, codes: toAct},
		{method: "POST", path: at + "/{id}/complete", says: "Completes a project; the IDs that are for it alone end at once. It cannot be taken back.", handle: v.completeProject,
			body: reasonGiven{}, status: 200, answer: projectCompleted{}, once: true, codes: toAct},
	}
}

type projectItem struct {
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	Section      string             `json:"section"`
	Environment  policy.Environment `json:"environment"` // production or development
	State        project.State      `json:"state"`       // running, over or completed
	Contract     *string            `json:"contract"`
	Company      *string            `json:"company"`
	From         string             `json:"from"`     // its first day in Japan
	LastDay      string             `json:"last_day"` // in Japan
	Until        *time.Time         `json:"until"`    // the instant at which that is over
	CompletedAt  *time.Time         `json:"completed_at"`
	CompletedBy  *string            `json:"completed_by"`
	Reason       *string            `json:"reason"` // why it was completed
	RegisteredAt *time.Time         `json:"registered_at"`
	RegisteredBy string             `json:"registered_by"`
	Responsible  []string           `json:"responsible"` // logins
	IDs          int                `json:"ids"`
	Closed       int                `json:"closed"` // of these, at the project's end
	Held         int                `json:"held"`
	Pending      int                `json:"pending"`
	MayAct       bool               `json:"may_act"`
	Waiting      []waitItem         `json:"waiting"` // for a second person
}

type waitItem struct {
	Matter    string     `json:"matter"`
	What      string     `json:"what"`  // extend, bind or release
	Login     *string    `json:"login"` // of bind and release
	Until     *time.Time `json:"until"` // of extend
	Requester string     `json:"requester"`
	Reason    string     `json:"reason"`
	AskedAt   *time.Time `json:"asked_at"`
	LapsesAt  *time.Time `json:"lapses_at"`
}

type memberItem struct {
	Login      string       `json:"login"`
	Name       string       `json:"name"`
	Role       project.Role `json:"role"` // responsible or worker
	BoundAt    *time.Time   `json:"bound_at"`
	BoundBy    string       `json:"bound_by"`
	ReleasedAt *time.Time   `json:"released_at"`
	LastUsedAt *time.Time   `json:"last_used_at"` // null: never, or not known
	Closed     *string      `json:"closed"`       // closed, pending, or held: and why; null: nothing was done about it
}

type projectAnswer struct {
	Project projectItem  `json:"project"`
	Members []memberItem `json:"members"`
}

func (v *service) projectOf(one project.Shown) projectItem {
	out := projectItem{
		ID: one.ID, Name: one.Name, Section: one.Section, Environment: one.Environment.Effective(), State: one.State(v.srv.Now()), Contract: orNull(one.Contract), Company: orNull(one.Company),
		From: policy.DayInJapan(one.From), LastDay: one.LastDay(), Until: stamp(one.Until), CompletedAt: stamp(one.CompletedAt), CompletedBy: orNull(one.CompletedBy.Login), Reason: orNull(one.Reason),
		RegisteredAt: stamp(one.RegisteredAt), RegisteredBy: one.RegisteredBy.Login, Responsible: []string{}, IDs: one.Counts.Responsible + one.Counts.Workers,
		Closed: one.Counts.Closed, Held: one.Counts.Held, Pending: one.Counts.Pending, MayAct: one.MayAct, Waiting: []waitItem{},
	}
	for _, who := range one.Responsible {
		out.Responsible = append(out.Responsible, who.Login)
	}
	for _, w := range one.Waiting {
		out.Waiting = append(out.Waiting, waitItem{w.Matter, w.What, orNull(w.Person.Login), stamp(w.Until), w.Requester.Login, w.Reason, stamp(w.AskedAt), stamp(w.LapsesAt)})
	}
	return out
}

func (v *service) projects(w http.ResponseWriter, r *web.Request) error {
	q, err := projectsWanted(r.URL.Query())
	if err != nil {
		return err
	}
	found, next, err := v.Projects.List(r.Context(), r.Origin, r.Cookie, q)
	if err != nil {
		return err
	}
	items := make([]projectItem, 0, len(found))
	for _, one := range found {
		items = append(items, v.projectOf(one))
	}
	return write(w, http.StatusOK, list[projectItem]{items, orNull(next)})
}

func projectsWanted(query url.Values) (project.Query, error) {
	in := filtersOf(query, projectQuery, longestFilter)
	q := project.Query{Text: in.Get("q"), Section: in.Get("section"), State: project.State(in.Get("state")), After: in.Get("after"), Limit: in.limit(mostProjects)}
	if q.State != "" && !slices.Contains(project.States(), q.State) {
		in.refuse("state", "unknown", "この状態はありません。", "There is no such state.")
	}
	return q, in.err()
}

func (v *service) projectOne(w http.ResponseWriter, r *web.Request) error {
	one, err := v.Projects.Show(r.Context(), r.Origin, r.Cookie, r.PathValue("id"))
	if err != nil {
		return err
	}
	out := projectAnswer{v.projectOf(one), make([]memberItem, 0, len(one.Members))}
	for _, m := range one.Members {
		out.Members = append(out.Members, memberItem{
			m.Person.Login, m.Person.Name, m.Role, stamp(m.BoundAt), m.BoundBy, stamp(m.UnboundAt), stamp(one.LastUse[m.Person.ID]), orNull(m.Closed),
		})
	}
	return write(w, http.StatusOK, out)
}

// projectWish is a project that is to be registered; without from, it begins today.
type projectWish struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Section     string `json:"section"`
	Environment string `json:"environment"`
	Contract    string `json:"contract,omitempty"`
	Company     string `json:"company,omitempty"`
	From        string `json:"from,omitempty"`
	Until       string `json:"until"`
}

// day reads a day of Japan, as the instant at which it begins.
func day(field, text string) (time.Time, error) {
	at, ok := policy.JapanDay(text)
	if !ok {
		return at, web.Invalid(web.FieldError{Field: field, Rule: "day", Detail: policy.Words{
			JA: "日付を、2026-04-01のように指定してください。", EN: "Give a date such as 2026-04-01."}})
	}
	return at, nil
}

// lastDay reads the last day of something, as the instant at which it is over.
func lastDay(field, text string) (time.Time, error) {
	at, err := day(field, text)
	return policy.AfterDays(at, 0), err
}

func (v *service) registerProject(w http.ResponseWriter, r *web.Request) error {
	var in projectWish
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	n := project.New{ID: in.ID, Name: in.Name, Section: in.Section, Environment: policy.Environment(in.Environment), Contract: in.Contract, Company: in.Company}
	var err error
	if in.From != "" {
		if n.From, err = day("from", in.From); err != nil {
			return err
		}
	}
	if in.Until != "" { // without one, the room says that there must be
		if n.Until, err = lastDay("until", in.Until); err != nil {
			return err
		}
	}
	return v.creating(w, r, func() (any, *signin.Step, error) {
		made, err := v.Projects.Register(r.Context(), r.Origin, r.Cookie, n)
		if err != nil {
			return nil, nil, err
		}
		return v.projectOf(project.Shown{Project: made, MayAct: true}), nil, nil
	})
}

type bindWish struct {
	Login  string       `json:"login"`
	Role   project.Role `json:"role"` // responsible or worker
	Reason string       `json:"reason"`
}

type releaseWish struct {
	Login  string `json:"login"`
	Reason string `json:"reason"`
}

type rescheduleWish struct {
	Until  string `json:"until"` // the last day in Japan
	Reason string `json:"reason"`
}

type reasonGiven struct {
	Reason string `json:"reason"`
}

// A projectActed is what became of an act: it is done where matter is null.
type projectActed struct {
	Matter   *string    `json:"matter"` // waits for a second person
	LapsesAt *time.Time `json:"lapses_at"`
}

func (v *service) acted(w http.ResponseWriter, r *web.Request, act func() (project.Outcome, error)) error {
	return v.answering(w, r, http.StatusOK, func() (any, *signin.Step, error) {
		out, err := act()
		return projectActed{orNull(out.Matter), stamp(out.LapsesAt)}, nil, err
	})
}

func (v *service) bindID(w http.ResponseWriter, r *web.Request) error {
	var in bindWish
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("login", in.Login, maxText); err != nil {
		return err
	}
	return v.acted(w, r, func() (project.Outcome, error) {
		return v.Projects.Bind(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Login, in.Role, in.Reason)
	})
}

func (v *service) releaseID(w http.ResponseWriter, r *web.Request) error {
	var in releaseWish
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	if err := required("login", in.Login, maxText); err != nil {
		return err
	}
	return v.acted(w, r, func() (project.Outcome, error) {
		return v.Projects.Release(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Login, in.Reason)
	})
}

func (v *service) reschedule(w http.ResponseWriter, r *web.Request) error {
	var in rescheduleWish
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	until, err := lastDay("until", in.Until)
	if err != nil {
		return err
	}
	return v.acted(w, r, func() (project.Outcome, error) {
		return v.Projects.Reschedule(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), until, in.Reason)
	})
}

// A projectCompleted says whose ID ended, whose goes on in another project, and whose
// could not be closed; the project's end refuses these at every door all the same.
type projectCompleted struct {
	Closed  []string   `json:"closed"` // logins
	Kept    []string   `json:"kept"`
	Held    []heldItem `json:"held"`
	Pending int        `json:"pending"` // that are closed by and by; they are refused already
}

type heldItem struct {
	Login string `json:"login"`
	Why   string `json:"why"`
}

func (v *service) completeProject(w http.ResponseWriter, r *web.Request) error {
	var in reasonGiven
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	return v.answering(w, r, http.StatusOK, func() (any, *signin.Step, error) {
		res, err := v.Projects.Complete(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Reason)
		out := projectCompleted{[]string{}, []string{}, []heldItem{}, res.Pending}
		for _, who := range res.Closed {
			out.Closed = append(out.Closed, who.Login)
		}
		for _, who := range res.Kept {
			out.Kept = append(out.Kept, who.Login)
		}
		for _, one := range res.Held {
			out.Held = append(out.Held, heldItem{one.Person.Login, one.Why})
		}
		return out, nil, err
	})
}
