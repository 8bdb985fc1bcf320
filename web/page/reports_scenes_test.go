package page

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/report"
	"sekisho/policy"
)

// The real reader fits.
var _ Reports = (*report.Reader)(nil)

// A shelf is the reports as a test tells them to be.
type shelf struct {
	rep   report.Report
	err   error
	kept  []report.Kept
	asked []report.Wish
}

func (s *shelf) For(_ context.Context, _ signin.Origin, _ string, w report.Wish) (report.Document, error) {
	s.asked = append(s.asked, w)
	s.rep.Name = w.Name
	return paper{s.rep}, s.err
}

func (s *shelf) KeptFor(context.Context, signin.Origin, string) ([]report.Kept, error) {
	return s.kept, s.err
}

func (s *shelf) KeptOne(_ context.Context, _ signin.Origin, _, id, _ string) (report.Kept, report.Document, error) {
	for _, k := range s.kept {
		if k.ID == id {
			return k, paper{s.rep}, nil
		}
	}
	return report.Kept{}, nil, report.ErrNotKept
}

// paper is a report in sheets alone.
type paper struct{ rep report.Report }

func (paper) Has(string) bool { return false }

func (p paper) Answer(string, int) any      { return nil }
func (p paper) Report(string) report.Report { return p.rep }

// atShelf is an auditor with a report that has one of every cell.
func atShelf(w *world) *world {
	w.signedIn("auditor")
	says := func(ja, en string) policy.Words { return policy.Words{JA: ja, EN: en} }
	column := func(key, ja, en string) report.Column { return report.Column{Key: key, Says: says(ja, en)} }
	figures := report.Sheet{ID: "sections", Name: says("室課別", "By section"), Bar: 1, Columns: []report.Column{column("section", "室課", "section"), column("hours", "時間", "hours"), column("asked", "申請", "asked for")}, Rows: [][]any{
		{report.Coded{Says: "情報システム課", Code: "joho"}, 3.5, report.Figure{N: 2, Of: report.Filter{"section": "joho"}}},
		{report.Coded{Says: "所属が不明", Code: ""}, 0.0, report.Figure{N: 0, Of: report.Filter{"section": ""}}},
	}}
	holders := report.Sheet{ID: "holders", Name: says("だれが何をいつまで", "Who holds what until when"), Bar: -1, From: 1, Until: 2, Columns: []report.Column{column("login", "借りている人", "borrower"), column("started_at", "始まり", "began"), column("ends_at", "終わり", "ends")}, Rows: [][]any{
		{"田中 <b>", t0.Add(-time.Hour), t0.Add(time.Hour)},
	}}
	entries := report.Sheet{ID: "entries", Name: says("貸出し一覧", "Uses"), Bar: -1, Columns: []report.Column{column("lease", "申請", "request"), column("section", "室課", "section"), column("state", "状態", "state"), column("reason", "理由", "reason"), column("asked_at", "申請した日時", "asked for")}}
	for i := range 120 {
		state := report.Coded{Says: "貸出中", Code: "active"}
		if i%3 == 0 {
			state = report.Coded{Says: "却下", Code: "denied"}
		}
		entries.Rows = append(entries.Rows, []any{report.Ref{Says: "l" + strings.Repeat("x", i%3), To: report.ToLease, ID: "l1"}, report.Coded{Says: "情報システム課", Code: "joho"}, state, "=1+1 <i>", t0})
	}
	w.shelf.rep = report.Report{
		Title: says("特権の貸出し", "Privilege that was lent"), AsOf: t0, Period: report.Period{From: t0.AddDate(0, 0, -30), To: t0}, Articles: []policy.Article{"62-6"},
		Notes: []policy.Words{says("時間は期間内の長さです。", "Hours are those within the period.")}, Sheets: []report.Sheet{figures, holders, {ID: "standing", Name: says("借りずに", "standing"), Bar: -1}, entries},
	}
	w.shelf.kept = []report.Kept{{ID: "k1", Schedule: "monthly", Name: report.OfPrivilege, Period: w.shelf.rep.Period, MadeAt: t0, EndsAt: t0.AddDate(0, 0, 90), Entries: 120}}
	return w
}

// withColumns has a report whose list has so many columns, of words that do not break.
func withColumns(w *world, n int) *world {
	list := report.Sheet{ID: "entries", Name: policy.Words{JA: "一覧", EN: "List"}, Bar: -1}
	row := make([]any, n)
	for i := range row {
		list.Columns = append(list.Columns, report.Column{Key: fmt.Sprint("c", i), Says: policy.Words{JA: "最後に見た日時", EN: "last seen there"}})
		row[i] = "cn=server-admins,ou=groups,dc=pref,dc=example"
	}
	list.Rows = [][]any{row, row}
	w.shelf.rep.Sheets = []report.Sheet{list}
	return w
}

func init() {
	for _, name := range []string{"report-narrow", "report-none", "report-kept", "reports-own"} {
		alike[name] = true
	}
	scenes = append(scenes, []scene{
		{"reports", 200, func(w *world) *answer { return atShelf(w).get("/reports") }},
		{"reports-own", 200, func(w *world) *answer {
			atShelf(w).signedIn("security_manager").shelf.kept = nil
			return w.get("/reports")
		}},
		{"reports-forbidden", 403, func(w *world) *answer { return w.signedIn().get("/reports") }},
		{"report", 200, func(w *world) *answer { return atShelf(w).get("/reports/privilege") }},
		{"report-narrow", 200, func(w *world) *answer {
			return atShelf(w).get("/reports/privilege?section=joho&state=denied&from=2026-03-01")
		}},
		{"report-none", 200, func(w *world) *answer { return atShelf(w).get("/reports/privilege?state=gone") }},
		{"report-nothing", 200, func(w *world) *answer {
			atShelf(w).shelf.err = report.ErrNothingYet
			return w.get("/reports/dormant")
		}},
		{"report-wrong", 422, func(w *world) *answer {
			_, err := report.ParsePeriod("x", "", t0)
			atShelf(w).shelf.err = err
			return w.get("/reports/privilege?from=x")
		}},
		{"report-broad", 200, func(w *world) *answer { return withColumns(atShelf(w), 14).get("/reports/reconcile") }},
		{"report-kept", 200, func(w *world) *answer { return atShelf(w).get("/kept-reports/k1") }},
	}...)
}

// TestReportLeads: each figure leads to its entries, each entry to its page, and the
// filters and pages of the list keep what was asked for.
func TestReportLeads(t *testing.T) {
	w := atShelf(newWorld(t))
	a := w.get("/reports/privilege?from=2026-03-01&to=2026-03-31").is(200)
	for _, want := range []string{
		`href="/reports/privilege?from=2026-03-01&amp;section=joho&amp;to=2026-03-31#entries"`, `href="/leases/l1"`,
		`href="/reports/privilege/file?format=csv&amp;from=2026-03-01&amp;to=2026-03-31"`, `after=50&amp;from=2026-03-01`, `<rect class="rest"`, "120件",
		`value="2026-03-01"`, `value="denied"`,
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, "section=~") || strings.Contains(a.body, "standing") {
		t.Error("a figure of nothing leads somewhere, or an empty table is shown")
	}
	if got := w.shelf.asked[0]; got != (report.Wish{Name: report.OfPrivilege, From: "2026-03-01", To: "2026-03-31", Format: "page"}) {
		t.Errorf("asked %+v", got)
	}
	narrow := w.get("/reports/privilege?state=denied").is(200).body
	if !strings.Contains(narrow, "40件") || strings.Contains(narrow, "active</td>") || !strings.Contains(narrow, `value="denied" selected`) || strings.Contains(narrow, "after=50") {
		t.Errorf("narrowed:\n%s", narrow)
	}
	if last := w.get("/reports/privilege?after=100").is(200).body; strings.Contains(last, "after=150") || strings.Count(last, `href="/leases/l1"`) != 20 {
		t.Error("the last page is not the rest")
	}
}

// TestBroadReports: a list of more columns than a window has room for is shown as cards,
// each value with its name beside it; others stay tables.
func TestBroadReports(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]bool{8: false, 9: true} {
		body := withColumns(atShelf(newWorld(t)), n).get("/reports/reconcile").is(200).body
		if got := strings.Contains(body, `class="rows report broad"`); got != want {
			t.Errorf("%d columns: broad %t", n, got)
		}
		if got := strings.Count(body, `data-label="最後に見た日時"`); got != 2*n {
			t.Errorf("%d columns: %d values of two rows have a name", n, got)
		}
	}
}

// TestEvidenceLeads: an article leads to its entries in the report that is read, also in
// one that is kept, and an entry of the trail to where it can be read, for who may.
func TestEvidenceLeads(t *testing.T) {
	w := atShelf(newWorld(t))
	entries := &w.shelf.rep.Sheets[3]
	entries.Columns = []report.Column{{Key: "article", Says: policy.Words{JA: "条", EN: "article"}}, {Key: "index", Says: policy.Words{JA: "番号", EN: "number"}}}
	entries.Rows = [][]any{{report.Ref{Says: "第62条", To: report.ToArticle, ID: "62"}, report.Ref{Says: "7", To: report.ToEntry, ID: "7"}}}
	const trail = `href="/trail/7"`
	for _, path := range []string{"/reports/evidence", "/kept-reports/k1"} {
		w.signedIn("auditor")
		body := w.get(path).is(200).body
		for _, want := range []string{`href="` + path + `?article=62#entries"`, trail} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s", path, want)
			}
		}
		w.signedIn("cio")
		if body := w.get(path).is(200).body; strings.Contains(body, `href="/trail`) || !strings.Contains(body, `>7`) {
			t.Errorf("%s leads the CIO to where they are refused", path)
		}
	}
}

// TestFiguresLeadToTheTrail: a figure that counts entries leads to the search that finds
// them, for who may search; one of a week leads to the report of that week, but from a
// report that is kept as it was; one of another list leads there, narrowed.
func TestFiguresLeadToTheTrail(t *testing.T) {
	w := atShelf(newWorld(t))
	in := report.Period{From: time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC), To: t0}
	figures := &w.shelf.rep.Sheets[0]
	figures.Columns = append(figures.Columns, report.Column{Key: "n"}, report.Column{Key: "uses"}, report.Column{Key: "sessions"})
	figures.Rows = [][]any{{
		report.Coded{Says: "課", Code: "joho"}, 1.0, report.Figure{}, report.Sought{N: 12, In: in, Action: "sign_in.password", Article: "62-1", Outcome: "refused"},
		report.Lead{Figure: report.Figure{N: 34, Of: report.Filter{"held": "yes"}}, In: in}, report.Lead{Figure: report.Figure{N: 56, Of: report.Filter{"section": "joho"}}, Sheet: "sessions"},
	}}
	visits := report.Sheet{ID: "sessions", Lists: true, Bar: -1, Name: policy.Words{JA: "接続"}, Columns: []report.Column{{Key: "login"}, {Key: "section"}}, Rows: [][]any{
		{"here", report.Coded{Says: "課", Code: "joho"}}, {"elsewhere", report.Coded{Says: "他課", Code: "jinji"}},
	}}
	w.shelf.rep.Sheets = slices.Insert(w.shelf.rep.Sheets, 1, visits)
	const (
		trail = `href="/trail?action=sign_in.password&amp;article=62-1&amp;from=2026-03-02&amp;outcome=refused&amp;to=2026-04-01T00%3A05%3A00Z"`
		week  = `href="/reports/privilege?from=2026-03-02&amp;held=yes&amp;to=2026-04-01T00%3A05%3A00Z#entries"`
	)
	w.get("/reports/privilege?from=2026-03-01").is(200).says(trail, week, `href="/reports/privilege?from=2026-03-01&amp;section=joho#sessions"`, ">here<", ">elsewhere<")
	w.get("/reports/privilege?section=joho").is(200).says(">here<").keepsSilentOn(">elsewhere<")
	w.get("/reports/privilege?state=denied").is(200).says(">elsewhere<") // it has no such column
	w.get("/kept-reports/k1").is(200).says(trail, `href="/kept-reports/k1?section=joho#sessions"`, ">34").keepsSilentOn("held=yes")
	// A moment that a link names is a day in the form, which asks for it again.
	w.get("/reports/privilege?from=2026-03-01T15%3A00%3A00Z").is(200).says(`name="from" type="date" value="2026-03-02"`)
	w.signedIn("cio")
	w.get("/reports/privilege").is(200).says(week, ">12").keepsSilentOn(`href="/trail`)
}

func TestReportFiles(t *testing.T) {
	w := atShelf(newWorld(t))
	for format, begin := range map[string]string{"csv": "\ufefflease,section", "xlsx": "PK", "html": "<!DOCTYPE html>"} {
		for path, name := range map[string]string{"/reports/privilege/file?state=denied&format=": "privilege-narrowed-20260401.", "/kept-reports/k1/file?format=": "privilege-20260401."} {
			a := w.get(path + format).is(200)
			if !strings.HasPrefix(a.body, begin) || a.Header.Get("Content-Disposition") != `attachment; filename="`+name+format+`"` {
				t.Errorf("%s%s: %q, %.40q", path, format, a.Header.Get("Content-Disposition"), a.body)
			}
		}
	}
	if n := strings.Count(w.get("/reports/privilege/file?state=denied&format=csv").body, "\r\n"); n != 41 {
		t.Errorf("the file has %d lines", n)
	}
	w.get("/reports/privilege/file?state=denied&format=html").says("状態＝却下")
	w.get("/reports/privilege/file?format=html").keepsSilentOn("全部ではありません")
	for path, status := range map[string]int{
		"/reports/privilege/file?format=pdf": 404, "/reports/salaries": 404, "/reports/salaries/file?format=csv": 404, "/kept-reports/gone": 404, "/kept-reports/gone/file?format=csv": 404,
	} {
		w.get(path).is(status)
	}
	w.shelf.err = errors.New("broken")
	w.get("/reports/privilege/file?format=csv").is(500)
}
