package page

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// Imports are files of personnel changes; desk.Desk has them. Who may see one is asked
// there at every call.
type Imports interface {
	Imports(ctx context.Context, o signin.Origin, cookie string) ([]desk.Import, error)
	Import(ctx context.Context, o signin.Origin, cookie, id string, act personnel.Act, after, most int) (desk.Import, []personnel.Standing, error)
	MayBringImport(ctx context.Context, o signin.Origin, cookie string) error
	BringImport(ctx context.Context, o signin.Origin, cookie string, f personnel.File, effective time.Time) (desk.Import, error)
	ProposeImport(ctx context.Context, o signin.Origin, cookie, id string) (desk.Import, error)
	DiscardImport(ctx context.Context, o signin.Origin, cookie, id string) error
	UndoImport(ctx context.Context, o signin.Origin, cookie, id, reason string) (desk.Import, error)
	Returns(ctx context.Context, o signin.Origin, cookie, id string, after, most int) (desk.Import, []personnel.Return, error)
	GiveBack(ctx context.Context, o signin.Origin, cookie, id string, things []personnel.Ticked, back bool) error
}

// mostImportLines is how many lines of an import are shown at once.
const mostImportLines = 100

func (h *house) mountImports() {
	m := h.srv.Mount
	m("GET /imports", h.imports)
	m("GET /imports/{id}", h.importOne)
	m("GET /imports/new", h.importBringForm)
	h.srv.MountFiles("POST /imports/new", mostImport, h.bringImport)
	m("POST /imports/{id}/propose", h.proposeImport)
	m("POST /imports/{id}/discard", h.discardImport)
	m("POST /imports/{id}/undo", h.undoImport)
	for _, act := range []string{"propose", "discard", "undo"} {
		m("GET /imports/{id}/"+act, h.importInstead)
	}
	m("GET /imports/{id}/returns", h.importReturns)
	m("POST /imports/{id}/returns", h.tickReturns)
	m("GET /imports/{id}/returns.csv", h.importReturnsSheet)
}

type importsPage struct {
	All      []importLine
	Articles []policy.Article
}

type importLine struct {
	ID, File, By string
	Day          template.HTML
	State        tag
	Counts       []importAct
	Done, Lines  int
	Failed       int
}

type importAct struct {
	Says string
	N    int
	URL  string
	Here bool
}

func importPath(id string) string { return "/imports/" + url.PathEscape(id) }

func (h *house) importLine(r *web.Request, i desk.Import) importLine {
	line := importLine{
		ID: i.ID, File: i.File, By: i.By, Day: h.tongue(r).when(i.Effective), State: tag{r.Say(i.State.Words()), "plain"}, Done: i.Done, Lines: i.Lines, Failed: i.Failed,
	}
	switch i.Import.State {
	case personnel.Draft, personnel.Proposed:
		line.State.Tone = "warn"
	case personnel.Done:
		line.State.Tone = "good"
	}
	for _, a := range personnel.Acts() {
		if n := i.Counts[a]; n > 0 {
			line.Counts = append(line.Counts, importAct{r.Say(a.Words()), n, importPath(i.ID) + "?act=" + string(a), r.URL.Query().Get("act") == string(a)})
		}
	}
	return line
}

func (h *house) imports(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	all, err := h.Imports.Imports(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/imports")
	}
	p := importsPage{Articles: []policy.Article{"62-3", "62-4"}}
	for _, i := range all {
		p.All = append(p.All, h.importLine(r, i))
	}
	v := h.view(r, step, p)
	v.Wide = true
	if r.URL.Query().Get("done") == "discard" {
		v.Notice = notice{Says: h.tongue(r).say("imports.done_discard"), Tone: "good"}
	}
	return h.show(w, r, http.StatusOK, "imports", v)
}

type changesPage struct {
	importLine
	Digest     string
	ProposedAt template.HTML
	Next       template.HTML // when the next line is due; "" for none
	Vacant     []string
	Projects   []string // how many are bound to each, and released
	Found      []changeLine
	More       string // the rest of the lines
	Draft      bool   // the reader brought it, and may propose it
	Decide     string // where it, or its undoing, is decided; "" where nothing waits
	UndoUntil  template.HTML
	UndoBy     string
	Reason     string
	Joined     bool   // some have joined, and want temporary passwords
	Returns    string // the list of what is given back; "" where nobody leaves
	All        string
	Here       bool // all acts are shown
	Articles   []policy.Article
}

type changeLine struct {
	Login, Name, Act, Where string
	Says                    []string
	Warnings                []string
	State                   tag
	Error                   string
}

func (h *house) importOne(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	was := h.typedBefore(r, step, importPath(r.PathValue("id")))
	return h.changesPage(w, r, step, was.Form.Get("reason"), refused{Status: http.StatusOK})
}

func (h *house) importInstead(w http.ResponseWriter, r *web.Request) error {
	return redirect(w, r, importPath(r.PathValue("id")), nil)
}

func (h *house) changesPage(w http.ResponseWriter, r *web.Request, step signin.Step, typed string, said refused) error {
	id, q := r.PathValue("id"), r.URL.Query()
	act := personnel.Act(q.Get("act"))
	after, _ := strconv.Atoi(q.Get("after")) // what is no number is the beginning
	i, lines, err := h.Imports.Import(r.Context(), r.Origin, r.Cookie, id, act, max(0, after), mostImportLines)
	if err != nil {
		return h.turned(w, r, err, importPath(id))
	}
	g, now := h.tongue(r), h.srv.Now()
	p := changesPage{
		importLine: h.importLine(r, i), Digest: i.Digest, ProposedAt: g.near(i.ProposedAt, now), UndoBy: i.UndoBy, Reason: typed, All: importPath(id), Here: act == "",
		Articles: []policy.Article{"62-3", "62-4"},
	}
	p.Draft = i.Import.State == personnel.Draft && i.Mine
	if !i.Next.IsZero() && i.Import.State != personnel.Proposed {
		p.Next = g.near(i.Next, now)
	}
	if !i.UndoUntil.IsZero() && i.UndoBy == "" {
		p.UndoUntil = g.near(i.UndoUntil, now)
	}
	switch {
	case i.Import.State == personnel.Proposed:
		p.Decide = "/approvals/" + url.PathEscape(i.ID)
	case i.UndoBy != "" && (i.Import.State == personnel.Approved || i.Import.State == personnel.Done):
		p.Decide = "/approvals/" + url.PathEscape(i.UndoMatter)
	}
	p.Joined = i.Counts[personnel.Joins] > 0 && (i.Import.State == personnel.Approved || i.Import.State == personnel.Done) &&
		authz.May(r.Policy(), authz.TemporaryPassword, r.Policy().PostsOf(step.Person.Groups), nil, false).OK()
	if i.Counts[personnel.Leaves] > 0 && i.Import.State != personnel.Draft {
		p.Returns = importPath(id) + "/returns"
	}
	for _, v := range i.Vacant {
		where := g.say("imports.everywhere")
		if v.Section != "" {
			where = h.sectionName(r, v.Section)
		}
		p.Vacant = append(p.Vacant, postNames(r, []policy.PostID{v.Post})[0]+" "+where)
	}
	for _, n := range i.Projects {
		p.Projects = append(p.Projects, g.say("imports.project_count", "Project", r.Say(n.Words()), "Bound", strconv.Itoa(n.Bound), "Released", strconv.Itoa(n.Released)))
	}
	for _, l := range lines {
		p.Found = append(p.Found, h.changeLine(r, l))
	}
	if len(lines) == mostImportLines {
		next := url.Values{"after": {strconv.Itoa(lines[len(lines)-1].N)}}
		if act != "" {
			next.Set("act", string(act))
		}
		p.More = importPath(id) + "?" + next.Encode()
	}
	v := h.view(r, step, p)
	v.Wide, v.Faults, v.Articles, v.Switch = true, said.Faults, said.Articles, switchURL(r, importPath(id))
	if done := map[string]string{"undo": g.say("imports.done_undo"), "propose": g.say("imports.done_propose")}[q.Get("done")]; done != "" && len(said.Faults) == 0 {
		v.Notice = notice{Says: done, Tone: "good"}
	}
	return h.show(w, r, said.Status, "import", v)
}

func (h *house) sectionName(r *web.Request, id string) string {
	if s, ok := r.Policy().Section(id); ok && !s.Name.IsEmpty() {
		return r.Say(s.Name)
	}
	return id
}

func (h *house) changeLine(r *web.Request, l personnel.Standing) changeLine {
	g := h.tongue(r)
	line := changeLine{Login: l.Login, Name: l.Name, Act: r.Say(l.Act.Words()), Where: h.sectionName(r, l.After.Section), Error: r.Say(l.Problem())}
	if l.Before.Section != "" && l.Before.Section != l.After.Section {
		line.Where = h.sectionName(r, l.Before.Section) + " → " + line.Where
	}
	say := func(words string) { line.Says = append(line.Says, words) }
	comma := g.say("me.comma")
	if len(l.Gained) > 0 {
		say(g.say("imports.gains", "Posts", strings.Join(postNames(r, l.Gained), comma)))
	}
	if len(l.Lost) > 0 {
		say(g.say("imports.loses", "Posts", strings.Join(postNames(r, l.Lost), comma)))
	}
	if !l.After.Expires.IsZero() && !l.After.Expires.Equal(l.Before.Expires) {
		say(g.say("imports.until", "Day", g.lastDay(l.After.Expires)))
	}
	if l.SaysConcurrent {
		var names []string
		for _, id := range l.Concurrent {
			names = append(names, h.sectionName(r, id))
		}
		if len(names) == 0 {
			names = append(names, "–")
		}
		say(g.say("imports.beside", "Sections", strings.Join(names, comma)))
	}
	if !l.Handover.IsZero() {
		say(g.say("imports.handover", "Section", h.sectionName(r, l.Before.Section), "Day", g.lastDay(l.Handover)))
	}
	if !l.LeaveFrom.IsZero() {
		say(g.say("imports.leave", "Day", g.day(l.LeaveFrom)))
	}
	for _, p := range l.Projects {
		if p.New {
			say(g.say("imports.project_new", "Project", r.Say(p.Words())))
		} else {
			say(g.say("imports.project", "Project", r.Say(p.Words())))
		}
	}
	for _, p := range l.Released {
		say(g.say("imports.project_released", "Project", r.Say(p.Words())))
	}
	for _, held := range l.Holdings {
		say(h.alsoEnds(r, held))
	}
	for _, warning := range l.Warnings {
		line.Warnings = append(line.Warnings, r.Say(warning.Words()))
	}
	switch l.Step {
	case "done":
		line.State = tag{g.say("imports.line_done"), "good"}
	case "failed":
		line.State = tag{g.say("imports.line_failed"), "bad"}
	case "dropped":
		line.State = tag{g.say("imports.line_dropped"), "plain"}
	default:
		line.State = tag{g.say("imports.line_waits"), "plain"}
	}
	return line
}

// alsoEnds says what somebody has, or has asked for, that a change ends.
func (h *house) alsoEnds(r *web.Request, held personnel.Holding) string {
	g, name, p := h.tongue(r), held.Subject, r.Policy()
	if one, ok := p.Privilege(held.Subject); ok && strings.HasPrefix(held.Kind, "lease") {
		name = r.Say(one.Name)
	}
	if one, ok := p.Permit(held.Subject); ok && strings.HasPrefix(held.Kind, "permit") {
		name = r.Say(one.Name)
	}
	switch held.Kind {
	case "lease":
		return g.say("imports.ends_lease", "What", name)
	case "permit":
		return g.say("imports.ends_permit", "What", name)
	}
	return g.say("imports.ends_request", "What", name)
}

// undoImport asks a second person for an import to be undone.
func (h *house) undoImport(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	id, reason := r.PathValue("id"), strings.TrimSpace(r.PostForm.Get("reason"))
	if faults := h.text(r, "reason", reason, mostReason, true); len(faults) > 0 {
		return h.changesPage(w, r, step, reason, refused{http.StatusUnprocessableEntity, faults, nil})
	}
	if _, err := h.Imports.UndoImport(r.Context(), r.Origin, r.Cookie, id, reason); err != nil {
		if said, ok := h.inOffice(w, r, err); ok {
			return h.changesPage(w, r, step, reason, said)
		}
		return h.turned(w, r, err, importPath(id))
	}
	h.dropTyped(r, step, importPath(id))
	return redirect(w, r, importPath(id), url.Values{"done": {"undo"}})
}
