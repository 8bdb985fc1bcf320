package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// Imports are files of personnel changes; desk.Desk has them.
type Imports interface {
	Imports(ctx context.Context, o signin.Origin, cookie string) ([]desk.Import, error)
	Import(ctx context.Context, o signin.Origin, cookie, id string, act personnel.Act, after, most int) (desk.Import, []personnel.Standing, error)
	DecideImport(ctx context.Context, o signin.Origin, cookie, id, undo string, yes bool, comment string) (desk.Import, error)
	UndoImport(ctx context.Context, o signin.Origin, cookie, id, reason string) (desk.Import, error)
	Returns(ctx context.Context, o signin.Origin, cookie, id string, after, most int) (desk.Import, []personnel.Return, error)
}

func (v *service) importOperations() []operation {
	if v.Imports == nil {
		return nil
	}
	one := append([]string{web.CodeNotFound}, toRead...)
	return []operation{
		{method: "GET", path: "/api/v1/imports", says: "The latest files of personnel changes, for the posts that the policy names.", handle: v.imports,
			status: 200, answer: list[importItem]{}, codes: toRead},
		{method: "GET", path: "/api/v1/imports/{id}", says: "One of them, and how far it has come. That somebody looked is on the trail.", handle: v.importOne,
			status: 200, answer: importItem{}, codes: one},
		{method: "GET", path: "/api/v1/imports/{id}/lines", says: "What it does about each person.", handle: v.importLines,
			status: 200, answer: list[importLine]{}, query: []string{"act", "after", "limit"}, numbers: []string{"after", "limit"}, codes: one},
		{method: "GET", path: "/api/v1/imports/{id}/returns", says: "What those who leave give back, as far as Sekisho knows.", handle: v.importReturns,
			status: 200, answer: list[returnItem]{}, codes: one},
		{method: "POST", path: "/api/v1/imports/{id}/approve", says: "Approves an import as its second person; or its undoing, where undo is the undo_id of the request that was read.", handle: v.decideImport(true),
			body: importComment{}, status: 200, answer: importItem{}, codes: toAct},
		{method: "POST", path: "/api/v1/imports/{id}/deny", says: "Denies an import, or with undo its undoing, as its second person.", handle: v.decideImport(false),
			body: importComment{}, status: 200, answer: importItem{}, codes: toAct},
		{method: "POST", path: "/api/v1/imports/{id}/undo", says: "Asks a second person for an import to be undone.", handle: v.undoImport,
			body: importReason{}, status: 200, answer: importItem{}, codes: toAct},
	}
}

type actCount struct {
	Act   string `json:"act"`
	Count int    `json:"count"`
}

type boundCount struct {
	Project  string `json:"project"`
	Bound    int    `json:"bound"`
	Released int    `json:"released"`
}

type tiedItem struct {
	Project     string             `json:"project"`
	Name        string             `json:"name"`
	Environment policy.Environment `json:"environment"`
	Until       *time.Time         `json:"until"`
	Bound       bool               `json:"bound"` // by this line
}

func tiedOf(all []personnel.Tied) []tiedItem {
	out := []tiedItem{}
	for _, t := range all {
		out = append(out, tiedItem{t.ID, t.Name, t.Environment, stamp(t.Until), t.New})
	}
	return out
}

type vacancyItem struct {
	Post    policy.PostID `json:"post"`
	Section *string       `json:"section"` // null: in the whole prefecture
}

type importItem struct {
	ID          string        `json:"id"`
	State       string        `json:"state"` // draft, proposed, approved, done, undoing, undone or dropped
	File        string        `json:"file"`
	SHA256      string        `json:"sha256"`
	Requester   string        `json:"requester"`
	ProposedAt  *time.Time    `json:"proposed_at"`
	EffectiveAt *time.Time    `json:"effective_at"`
	ApprovedAt  *time.Time    `json:"approved_at"`
	EndedAt     *time.Time    `json:"ended_at"`
	UndoUntil   *time.Time    `json:"undo_until"`
	UndoAsked   *string       `json:"undo_asked_by"` // its undoing waits for a second person
	UndoID      *string       `json:"undo_id"`       // the request for that
	Counts      []actCount    `json:"counts"`
	Unchanged   int           `json:"unchanged"`
	Vacant      []vacancyItem `json:"vacant"` // posts that nobody will hold
	Projects    []boundCount  `json:"projects"`
	Lines       int           `json:"lines"`
	Done        int           `json:"done"`
	Failed      int           `json:"failed"`
	NextAt      *time.Time    `json:"next_at"` // when the next line is due
}

func importOf(i desk.Import) importItem {
	out := importItem{
		ID: i.ID, State: string(i.State), File: i.File, SHA256: i.Digest, Requester: i.By, ProposedAt: stamp(i.ProposedAt), EffectiveAt: stamp(i.Effective),
		ApprovedAt: stamp(i.ApprovedAt), EndedAt: stamp(i.EndedAt), UndoUntil: stamp(i.UndoUntil), UndoAsked: orNull(i.UndoBy), UndoID: orNull(i.UndoMatter), Counts: []actCount{},
		Unchanged: i.Unchanged, Vacant: []vacancyItem{}, Projects: []boundCount{}, Lines: i.Lines, Done: i.Done, Failed: i.Failed, NextAt: stamp(i.Next),
	}
	for _, a := range personnel.Acts() {
		if n := i.Counts[a]; n > 0 {
			out.Counts = append(out.Counts, actCount{string(a), n})
		}
	}
	for _, n := range i.Projects {
		out.Projects = append(out.Projects, boundCount{n.ID, n.Bound, n.Released})
	}
	for _, at := range i.Vacant {
		out.Vacant = append(out.Vacant, vacancyItem{at.Post, orNull(at.Section)})
	}
	return out
}

type importLine struct {
	N        int             `json:"n"`
	Line     int             `json:"line"` // of the file; 0: they are not in it
	Act      string          `json:"act"`
	Login    string          `json:"login"`
	Name     string          `json:"name"`
	Before   *string         `json:"section_before"`
	Section  string          `json:"section"`
	Gained   []policy.PostID `json:"gained"`
	Lost     []policy.PostID `json:"lost"`
	Due      *time.Time      `json:"due_at"`
	Ends     *time.Time      `json:"ends_at"`
	Handover *time.Time      `json:"handover_until"`
	Projects []tiedItem      `json:"projects"`
	Released []tiedItem      `json:"released"`    // projects that the ID has no more
	Turns    *string         `json:"environment"` // that the ID is of from then on; null: as it was
	Warnings []string        `json:"warnings"`
	State    string          `json:"state"` // waiting, intended, done, failed or dropped
	Error    *string         `json:"error"`
}

func (v *service) imports(w http.ResponseWriter, r *web.Request) error {
	all, err := v.Imports.Imports(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return err
	}
	var items []importItem
	for _, i := range all {
		items = append(items, importOf(i))
	}
	return write(w, http.StatusOK, listOf(items))
}

func (v *service) importOne(w http.ResponseWriter, r *web.Request) error {
	i, _, err := v.Imports.Import(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), "", 0, 1)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, importOf(i))
}

// mostImportLines is how many lines one answer has at most.
const mostImportLines = 500

func (v *service) importLines(w http.ResponseWriter, r *web.Request) error {
	q := r.URL.Query()
	number := func(name string, usual int) int {
		n, err := strconv.Atoi(q.Get(name))
		if err != nil || n < 0 {
			return usual
		}
		return n
	}
	most := max(1, min(number("limit", 100), mostImportLines))
	_, lines, err := v.Imports.Import(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), personnel.Act(q.Get("act")), number("after", 0), most)
	if err != nil {
		return err
	}
	var items []importLine
	for _, l := range lines {
		one := importLine{
			N: l.N, Line: l.Line, Act: string(l.Act), Login: l.Login, Name: l.Name, Before: orNull(l.Before.Section), Section: l.After.Section,
			Gained: append([]policy.PostID{}, l.Gained...), Lost: append([]policy.PostID{}, l.Lost...), Due: stamp(l.Due), Ends: stamp(l.After.Expires), Handover: stamp(l.Handover),
			Projects: tiedOf(l.Projects), Released: tiedOf(l.Released), Turns: orNull(string(l.Turns)), Warnings: []string{}, State: l.Step, Error: orNull(l.Error),
		}
		for _, warning := range l.Warnings {
			one.Warnings = append(one.Warnings, string(warning))
		}
		items = append(items, one)
	}
	out := listOf(items)
	if len(items) == most {
		next := strconv.Itoa(items[most-1].N)
		out.Next = &next
	}
	return write(w, http.StatusOK, out)
}

type returnItem struct {
	Login   string      `json:"login"`
	Name    string      `json:"name"`
	Section string      `json:"section"`
	Due     *time.Time  `json:"due_at"`
	Things  []thingItem `json:"things"`
}

type thingItem struct {
	Kind string     `json:"kind"` // terminal, token, card or passkey
	ID   string     `json:"id"`
	Back *time.Time `json:"returned_at"`
	By   *string    `json:"returned_to"` // the login of who wrote it down
}

func (v *service) importReturns(w http.ResponseWriter, r *web.Request) error {
	_, all, err := v.Imports.Returns(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), 0, personnel.MostLines)
	if err != nil {
		return err
	}
	var items []returnItem
	for _, one := range all {
		item := returnItem{Login: one.Login, Name: one.Name, Section: one.Section, Due: stamp(one.Due), Things: []thingItem{}}
		for _, t := range one.Things {
			item.Things = append(item.Things, thingItem{t.Kind, t.ID, stamp(t.Back), orNull(t.By)})
		}
		items = append(items, item)
	}
	return write(w, http.StatusOK, listOf(items))
}

type importComment struct {
	Comment string `json:"comment,omitempty"` // needed where it is denied
	Undo    string `json:"undo,omitempty"`    // the request for undoing that is decided; without it, the import is
}

func (v *service) decideImport(yes bool) web.Handler {
	return func(w http.ResponseWriter, r *web.Request) error {
		var in importComment
		if err := r.DecodeJSON(&in); err != nil {
			return err
		}
		i, err := v.Imports.DecideImport(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Undo, yes, in.Comment)
		if err != nil {
			return err
		}
		return write(w, http.StatusOK, importOf(i))
	}
}

type importReason struct {
	Reason string `json:"reason"`
}

func (v *service) undoImport(w http.ResponseWriter, r *web.Request) error {
	var in importReason
	if err := r.DecodeJSON(&in); err != nil {
		return err
	}
	i, err := v.Imports.UndoImport(r.Context(), r.Origin, r.Cookie, r.PathValue("id"), in.Reason)
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, importOf(i))
}
