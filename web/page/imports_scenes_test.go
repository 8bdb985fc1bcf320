package page

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// The real desk fits.
var _ Imports = (*desk.Desk)(nil)

// A cabinet is the files of personnel changes as a test tells it to be.
type cabinet struct {
	all     []desk.Import
	lines   []personnel.Standing
	returns []personnel.Return
	lookErr error
	actErr  error
	did     []string
}

func (c *cabinet) Imports(context.Context, signin.Origin, string) ([]desk.Import, error) {
	return c.all, c.lookErr
}

func (c *cabinet) Import(_ context.Context, _ signin.Origin, _, id string, act personnel.Act, after, most int) (desk.Import, []personnel.Standing, error) {
	c.did = append(c.did, fmt.Sprint("look ", id, " ", act, " ", after, " ", most))
	if c.lookErr != nil || len(c.all) == 0 {
		return desk.Import{}, nil, c.lookErr
	}
	return c.all[0], c.lines, nil
}

func (c *cabinet) UndoImport(_ context.Context, _ signin.Origin, _, id, reason string) (desk.Import, error) {
	c.did = append(c.did, "undo "+id+" "+reason)
	return desk.Import{}, c.actErr
}

func (c *cabinet) Returns(context.Context, signin.Origin, string, string, int, int) (desk.Import, []personnel.Return, error) {
	if c.lookErr != nil || len(c.all) == 0 {
		return desk.Import{}, nil, c.lookErr
	}
	return c.all[0], c.returns, nil
}

func (c *cabinet) GiveBack(_ context.Context, _ signin.Origin, _, id string, things []personnel.Ticked, back bool) error {
	c.did = append(c.did, fmt.Sprint("back ", id, " ", things, " ", back))
	return c.actErr
}

func (c *cabinet) MayBringImport(context.Context, signin.Origin, string) error { return c.lookErr }

func (c *cabinet) BringImport(_ context.Context, _ signin.Origin, _ string, f personnel.File, effective time.Time) (desk.Import, error) {
	data, err := io.ReadAll(f.From)
	if err != nil {
		return desk.Import{}, err
	}
	c.did = append(c.did, fmt.Sprintf("bring %s %s %q %s", f.Name, f.Digest[:4], data, effective.Format(time.RFC3339)))
	return desk.Import{Import: personnel.Import{ID: "import-1"}}, c.actErr
}

func (c *cabinet) ProposeImport(_ context.Context, _ signin.Origin, _, id string) (desk.Import, error) {
	c.did = append(c.did, "propose "+id)
	return desk.Import{}, c.actErr
}

func (c *cabinet) DiscardImport(_ context.Context, _ signin.Origin, _, id string) error {
	c.did = append(c.did, "discard "+id)
	return c.actErr
}

// zeimu is a project that a file binds to.
var zeimu = personnel.Tied{ID: "zei-r8", Name: "税務システム刷新 <b>", Environment: policy.Development, Until: t0.AddDate(0, 8, 0), New: true}

// filed is an import of every sort of line.
func filed(state personnel.State) *cabinet {
	i := desk.Import{Import: personnel.Import{
		ID: "import-1", File: `異動 <b>.csv`, Digest: strings.Repeat("0f", 32), By: "oda", ProposedAt: t0, Effective: t0.AddDate(0, 0, 3), State: state,
		Summary: personnel.Summary{Counts: map[personnel.Act]int{personnel.Joins: 1, personnel.Moves: 1, personnel.Leaves: 1}, Vacant: []personnel.Vacancy{{Post: policy.CIO}, {Post: policy.SecurityManager, Section: "joho"}},
			Projects: []personnel.ProjectCount{{Tied: zeimu, Bound: 2, Released: 1}}},
	}, Progress: personnel.Progress{Lines: 3, Done: 1, Failed: 1, Next: t0.AddDate(0, 0, 3)}}
	line := func(n int, act personnel.Act, step, problem string, change func(*personnel.Change)) personnel.Standing {
		s := personnel.Standing{N: n, Step: step, Error: problem, Change: personnel.Change{Act: act, Login: fmt.Sprint("who", n), Name: "山田 <i>", Person: "p", Before: personnel.Record{Section: "jinji"}, After: personnel.Record{Section: "jinji"}}}
		change(&s.Change)
		return s
	}
	return &cabinet{all: []desk.Import{i}, lines: []personnel.Standing{
		line(1, personnel.Joins, "done", "", func(c *personnel.Change) {
			c.Before, c.Gained, c.After.Expires, c.Warnings = personnel.Record{}, []policy.PostID{policy.Staff, policy.CIO}, t0.AddDate(1, 0, 0), []personnel.Warning{personnel.Powerful}
		}),
		line(2, personnel.Moves, "waiting", "", func(c *personnel.Change) {
			c.After.Section, c.Handover, c.SaysConcurrent, c.Concurrent, c.LeaveFrom = "zaisei", t0.AddDate(0, 0, 9), true, []string{"joho"}, t0
			c.Lost, c.Holdings = []policy.PostID{policy.SystemOperator}, []personnel.Holding{{Kind: "lease", Subject: "db-admin", ID: "l"}, {Kind: "permit", Subject: "remote_access", ID: "p"}, {Kind: "lease_request", Subject: "gone", ID: "r"}}
		}),
		line(3, personnel.Leaves, "failed", "the login is somebody else's by now", func(c *personnel.Change) { c.SaysConcurrent = true }),
		line(4, personnel.Changes, "dropped", "", func(*personnel.Change) {}),
		line(5, personnel.Renewed, "waiting", "", func(c *personnel.Change) {
			juki := zeimu
			juki.ID, juki.Name, juki.New = "juki", "住基システム改修", false
			c.Projects, c.SaysProjects, c.Turns, c.After.Expires = []personnel.Tied{zeimu, juki}, true, policy.Development, zeimu.Until
			c.Warnings = []personnel.Warning{personnel.Turns, personnel.ProjectEnds}
		}),
		line(6, personnel.Renewed, "waiting", "", func(c *personnel.Change) {
			c.Released, c.SaysProjects, c.Turns, c.Warnings = []personnel.Tied{zeimu}, true, policy.Production, []personnel.Warning{personnel.Turns, personnel.Released}
		}),
	}, returns: []personnel.Return{
		{N: 3, Login: "who3", Name: "=山田", Section: "jinji", Due: t0.Add(15 * time.Hour), Things: []personnel.Thing{{Kind: "card", ID: "S-1"}, {Kind: "token", ID: "T-2", Back: t0, By: "kato"}}},
		{N: 5, Login: "who5", Name: "森", Due: t0},
	}}
}

// drafted is one that the reader has brought and not proposed.
func drafted() *cabinet {
	c := filed(personnel.Draft)
	c.all[0].Mine, c.all[0].Progress = true, personnel.Progress{Lines: 3}
	return c
}

// faulty is what is wrong with a file of two lines.
var faulty = personnel.Faults{
	{Line: 2, Field: "section", Rule: "unknown", Says: policy.Words{JA: "「<b>課」という部局・室課は方針にありません。", EN: "The policy has no section “<b>課”."}},
	{Line: 3, Field: "file", Rule: "csv", Says: policy.Words{JA: "CSVとして読めません。", EN: "This is not CSV."}},
}

func atCabinet(w *world, c *cabinet) *world {
	*w.imports = *c
	return asApprover(w)
}

func init() {
	scenes = append(scenes, []scene{
		{"imports", 200, func(w *world) *answer { return atCabinet(w, filed(personnel.Done)).get("/imports") }},
		{"imports-none", 200, func(w *world) *answer { return atCabinet(w, &cabinet{}).get("/imports") }},
		{"import", 200, func(w *world) *answer { return atCabinet(w, filed(personnel.Proposed)).get("/imports/import-1") }},
		{"import-done", 200, func(w *world) *answer {
			c := filed(personnel.Done)
			c.all[0].UndoUntil = t0.AddDate(0, 0, 7)
			return atCabinet(w, c).get("/imports/import-1?act=leaves")
		}},
		{"import-draft", 200, func(w *world) *answer { return atCabinet(w, drafted()).get("/imports/import-1") }},
		{"import-draft-of-another", 200, func(w *world) *answer {
			c := drafted()
			c.all[0].Mine = false
			return atCabinet(w, c).get("/imports/import-1")
		}},
		{"import-draft-gone", 409, func(w *world) *answer {
			c := drafted()
			c.actErr = &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: policy.Words{JA: "もう下書きではありません。", EN: "Not a draft any more."}, Articles: []policy.Article{"62-3"}}}
			return atCabinet(w, c).post("/imports/import-1/propose")
		}},
		{"import-new", 200, func(w *world) *answer { return atCabinet(w, &cabinet{}).get("/imports/new") }},
		{"import-new-empty", 422, func(w *world) *answer {
			return atCabinet(w, &cabinet{}).bring("/imports/new", "", "effective", "2026-04-31")
		}},
		{"import-new-faulty", 422, func(w *world) *answer {
			return atCabinet(w, &cabinet{actErr: faulty}).bring("/imports/new", "number,name\n", "effective", "2026-04-01")
		}},
		{"import-new-nothing", 409, func(w *world) *answer {
			c := &cabinet{actErr: &web.Refusal{Problem: web.Problem{Code: web.CodeState, Detail: policy.Words{JA: "変えるものはありません。", EN: "Nothing to change."}}}}
			return atCabinet(w, c).post("/imports/new", "data", "number,name\n1,山田")
		}},
		{"import-returns", 200, func(w *world) *answer { return atCabinet(w, filed(personnel.Done)).get("/imports/import-1/returns") }},
		{"import-returns-none", 422, func(w *world) *answer {
			c := filed(personnel.Done)
			c.returns = nil
			return atCabinet(w, c).post("/imports/import-1/returns")
		}},
		{"import-undo-asked", 200, func(w *world) *answer {
			c := filed(personnel.Done)
			c.all[0].UndoBy, c.all[0].UndoMatter, c.lines = "kato", "m9", nil
			return atCabinet(w, c).get("/imports/import-1?done=undo")
		}},
		{"import-undo-empty", 422, func(w *world) *answer {
			c := filed(personnel.Done)
			c.all[0].UndoUntil = t0.AddDate(0, 0, 7)
			return atCabinet(w, c).post("/imports/import-1/undo", "reason", " ")
		}},
		{"imports-forbidden", 403, func(w *world) *answer {
			c := filed(personnel.Done)
			c.lookErr = &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Detail: policy.Words{JA: "見られません。", EN: "Not yours to see."}, Articles: []policy.Article{"47-3"}}}
			return atCabinet(w, c).get("/imports")
		}},
	}...)
}

// TestImportsSayHowFar: the list says how far each file has come and what went wrong.
func TestImportsSayHowFar(t *testing.T) {
	t.Parallel()
	atCabinet(newWorld(t), filed(personnel.Done)).get("/imports").is(200).says("3件のうち1件を反映", "1件は反映できません")
}

// TestImportSaysWhatEnds: what a move takes with it is named as its owner knows it.
func TestImportSaysWhatEnds(t *testing.T) {
	t.Parallel()
	w := atCabinet(newWorld(t), filed(personnel.Proposed))
	w.policy.Privileges = []policy.Privilege{{ID: "db-admin", Name: policy.Words{JA: "データベース管理", EN: "Database administration"}}}
	w.policy.Permits = []policy.PermitKind{{ID: "remote_access", Name: policy.Words{JA: "リモートアクセス", EN: "Remote access"}}}
	w.get("/imports/import-1").is(200).says("終わる特権：データベース管理", "終わる許可：リモートアクセス", "取り下げられる申請：gone").keepsSilentOn("db-admin", "remote_access")
	w.get("/imports/import-1").is(200).says("案件に加わる：税務システム刷新", "案件：住基システム改修", "案件から外れる：税務システム刷新", "加わるID 2、外れるID 1", "開いているセッション", "広がる変更")
	w.lang = "en"
	w.get("/imports/import-1").is(200).says("Bound to the project 税務システム刷新", "Released from the project 税務システム刷新", "2 bound, 1 released", "sessions, leases and permits end", "this widens")
	w.get("/imports/import-1").is(200).says("Ends the privilege Database administration", "Ends the permit Remote access", "Cancels the request gone")
}

// TestImportPages: what is asked for reaches the desk, and the sheet runs nothing.
func TestImportPages(t *testing.T) {
	t.Parallel()
	w := atCabinet(newWorld(t), filed(personnel.Done))
	w.get("/imports/import-1?act=leaves&after=100").is(200)
	a := w.post("/imports/import-1/undo", "reason", "取違え").is(http.StatusSeeOther)
	if to := a.Header.Get("Location"); to != "/imports/import-1?done=undo" {
		t.Errorf("it leads to %s", to)
	}
	if did := strings.Join(w.imports.did, "; "); did != "look import-1 leaves 100 100; undo import-1 取違え" {
		t.Errorf("the desk heard %s", did)
	}
	sheet := w.get("/imports/import-1/returns.csv").is(200)
	if !strings.HasPrefix(sheet.body, "\ufeff") || strings.Contains(sheet.body, "\r\n=") || !strings.Contains(sheet.body, "S-1") || !strings.Contains(sheet.body, "who5") || !strings.Contains(sheet.body, "kato") {
		t.Errorf("the sheet is %q", sheet.body)
	}
}

// TestImportIsBrought: a file reaches the desk with its name, its digest and its day, under
// no folder of the sender's; each line that is wrong is named in the reader's language, and
// what was typed stays.
func TestImportIsBrought(t *testing.T) {
	t.Parallel()
	heard := func(w *world, want ...string) {
		t.Helper()
		if got := strings.Join(w.imports.did, "; "); got != strings.Join(want, "; ") {
			t.Errorf("the desk heard %s", got)
		}
	}
	w := atCabinet(newWorld(t), &cabinet{})
	w.get("/imports/new").is(200).says("書かれなかった案件からは外れます", "欄が空のときと、列がないときは、いまのままです")
	if to := w.bring("/imports/new", "number,name\n1,山田\n", "effective", "2026-04-01").is(http.StatusSeeOther).Header.Get("Location"); to != "/imports/import-1" {
		t.Errorf("it leads to %s", to)
	}
	w.post("/imports/new", "data", "x").is(http.StatusSeeOther)
	heard(w, `bring a.csv 3325 "number,name\n1,山田\n" 2026-03-31T15:00:00Z`, `bring 貼り付けた内容 2d71 "x" 0001-01-01T00:00:00Z`)
	for lang, want := range map[string][]string{
		"ja": {"2か所に誤り", "2行目", ">所属<", "「&lt;b&gt;課」という部局・室課は方針にありません。", "3行目", ">ファイル<", `value="2026-04-01"`},
		"en": {"2 faults", "Line 2", ">section<", "The policy has no section “&lt;b&gt;課”.", "Line 3", ">file<", `value="2026-04-01"`},
	} {
		w := atCabinet(newWorld(t), &cabinet{actErr: faulty})
		w.lang = lang
		body := w.post("/imports/new", "data", "職員番号,<氏名>", "effective", "2026-04-01").is(http.StatusUnprocessableEntity).body
		for _, part := range append(want, "職員番号,&lt;氏名&gt;</textarea>") {
			if !strings.Contains(body, part) {
				t.Errorf("%s: the page lacks %s:\n%s", lang, part, body)
			}
		}
	}
	w = atCabinet(newWorld(t), &cabinet{})
	w.bring("/imports/new", "a", "data", "b").is(http.StatusUnprocessableEntity)
	w.post("/imports/new", "data", " ").is(http.StatusUnprocessableEntity)
	w.post("/imports/new", "data", "a", "effective", "明日").is(http.StatusUnprocessableEntity)
	w.bring("/imports/new", strings.Repeat("a", mostImport+1)).is(http.StatusRequestEntityTooLarge)
	heard(w)
	w.post("/imports/import-1/propose").is(http.StatusSeeOther)
	w.post("/imports/import-1/discard").is(http.StatusSeeOther)
	w.post("/imports/import-1/returns", "back", "3 card S 1").is(http.StatusSeeOther)
	w.post("/imports/import-1/returns", "undo", "3 token T-2").is(http.StatusSeeOther)
	w.post("/imports/import-1/returns", "back", "x").is(http.StatusBadRequest)
	heard(w, "propose import-1", "discard import-1", "back import-1 [{3 card S 1}] true", "back import-1 [{3 token T-2}] false")
	// Who may not see personnel changes brings none, and is told who may.
	forbidden := &cabinet{lookErr: &web.Refusal{Problem: web.Problem{Code: web.CodeForbidden, Articles: []policy.Article{"47-3"}}}}
	atCabinet(newWorld(t), forbidden).get("/imports/new").is(http.StatusForbidden)
}
