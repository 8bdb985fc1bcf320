package page

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz/report"
	"sekisho/policy"
	"sekisho/web"
)

// Reports are what is known, by section and kind; authz/report is where they are made.
type Reports interface {
	For(ctx context.Context, o signin.Origin, cookie string, w report.Wish) (report.Document, error)
	// KeptFor are those that were made by themselves, KeptOne is one of them.
	KeptFor(ctx context.Context, o signin.Origin, cookie string) ([]report.Kept, error)
	KeptOne(ctx context.Context, o signin.Origin, cookie, id, format string) (report.Kept, report.Document, error)
}

func (h *house) mountReports() {
	h.srv.Mount("GET /reports", h.reports)
	h.srv.Mount("GET /reports/{name}", h.report)
	h.srv.Mount("GET /reports/{name}/file", h.reportFile)
	h.srv.Mount("GET /kept-reports/{id}", h.keptReport)
	h.srv.Mount("GET /kept-reports/{id}/file", h.keptFile)
}

// readable are the reports whose doors the reader is shown. Each door asks again.
func readable(p *policy.Policy, posts []policy.PostID, section string) []report.Name {
	return slices.DeleteFunc(report.Names(), func(n report.Name) bool {
		_, no := report.MayRead(p, n, posts, section)
		return no != nil
	})
}

func (h *house) readable(r *web.Request, step signin.Step) []report.Name {
	if h.Reports == nil {
		return nil
	}
	return readable(r.Policy(), r.Policy().PostsOf(step.Person.Groups), step.Person.Section)
}

type reportsPage struct {
	Rooms []room
	Lines []reportLine
	Kept  []keptLine
}

// A keptLine is a report that was made by itself.
type keptLine struct {
	Path, Name, When, Section string
	Made, Ends                template.HTML
	Entries                   int
}

type reportLine struct {
	Path, Name, Says string
	Articles         []policy.Article
}

// reports are those that the reader may read.
func (h *house) reports(w http.ResponseWriter, r *web.Request) error {
	step, done, err := h.at(w, r, authn.SignedIn)
	if done || err != nil {
		return err
	}
	p := reportsPage{Rooms: h.counters(r, step, "reports")}
	for _, name := range h.readable(r, step) {
		p.Lines = append(p.Lines, reportLine{"/reports/" + string(name), r.Say(report.Titles[name]), h.reportSays(r, name), report.ArticlesOf(name)})
	}
	if len(p.Lines) == 0 {
		_, no := report.MayRead(r.Policy(), report.OfPrivilege, r.Policy().PostsOf(step.Person.Groups), step.Person.Section)
		return no
	}
	kept, err := h.Reports.KeptFor(r.Context(), r.Origin, r.Cookie)
	if err != nil {
		return h.turned(w, r, err, "/reports")
	}
	g, now := h.tongue(r), h.srv.Now()
	for _, k := range kept {
		line := keptLine{Path: "/kept-reports/" + url.PathEscape(k.ID), Name: r.Say(report.Titles[k.Name]), Made: g.near(k.MadeAt, now), Ends: g.near(k.EndsAt, now), Entries: k.Entries}
		if !k.Period.IsZero() {
			line.When = k.Period.String()
		}
		if s, ok := r.Policy().Section(k.Section); ok {
			line.Section = r.Say(s.Name)
		}
		p.Kept = append(p.Kept, line)
	}
	return h.show(w, r, http.StatusOK, "reports", h.view(r, step, p))
}

// reportSays is what a report answers.
func (h *house) reportSays(r *web.Request, name report.Name) string {
	g := h.tongue(r)
	switch name {
	case report.OfDormant:
		return g.say("reports.says_dormant")
	case report.OfPrivilege:
		return g.say("reports.says_privilege")
	case report.OfRemote:
		return g.say("reports.says_remote")
	case report.OfReconcile:
		return g.say("reports.says_reconcile")
	}
	return g.say("reports.says_evidence")
}

// known is a report that there is.
func known(name string) error {
	if !slices.Contains(report.Names(), report.Name(name)) {
		return web.ErrNoPage
	}
	return nil
}
