package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/signin"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/web/desk"
)

// The real book fits.
var _ Projects = (*project.Book)(nil)

// A bureau is projects as a test tells them to be.
type bureau struct {
	shown    []project.Shown
	own      []project.Project
	sections []string
	outcome  project.Outcome
	lookErr  error
	actErr   error
	did      []string
}

func (b *bureau) note(what ...any) { b.did = append(b.did, fmt.Sprintln(what...)) }

func (b *bureau) last() string { return strings.TrimSpace(b.did[len(b.did)-1]) }

func (b *bureau) List(_ context.Context, _ signin.Origin, _ string, q project.Query) ([]project.Shown, string, error) {
	b.note("list", q.Text, q.Section, q.State, q.After, q.Limit)
	next := ""
	if len(b.shown) > 1 {
		next = b.shown[len(b.shown)-1].ID
	}
	return b.shown, next, b.lookErr
}

func (b *bureau) Show(_ context.Context, _ signin.Origin, _, id string) (project.Shown, error) {
	for _, one := range b.shown {
		if one.ID == id {
			return one, b.lookErr
		}
	}
	return project.Shown{}, project.ErrNotFound
}

func (b *bureau) Register(_ context.Context, _ signin.Origin, _ string, n project.New) (project.Project, error) {
	b.note("register", n.ID, n.Name, n.Section, n.Environment, n.Contract, n.Company, policy.DayInJapan(n.From), policy.DayInJapan(n.Until))
	return project.Project{ID: n.ID}, b.actErr
}

func (b *bureau) Bind(_ context.Context, _ signin.Origin, _, id, login string, role project.Role, reason string) (project.Outcome, error) {
	b.note("bind", id, login, role, reason)
	return b.outcome, b.actErr
}

func (b *bureau) Release(_ context.Context, _ signin.Origin, _, id, login, reason string) (project.Outcome, error) {
	b.note("release", id, login, reason)
	return b.outcome, b.actErr
}

func (b *bureau) Reschedule(_ context.Context, _ signin.Origin, _, id string, until time.Time, reason string) (project.Outcome, error) {
	b.note("reschedule", id, policy.DayInJapan(until), reason)
	return b.outcome, b.actErr
}

func (b *bureau) Complete(_ context.Context, _ signin.Origin, _, id, reason string) (project.Result, error) {
	b.note("complete", id, reason)
	return project.Result{}, b.actErr
}

func (b *bureau) May(approval.Holder) bool { return b.shown != nil }

func (b *bureau) Sections(context.Context, signin.Origin, string) ([]string, error) {
	return b.sections, b.lookErr
}

func (b *bureau) Elsewhere(context.Context, signin.Origin, string, string) (map[directory.PersonID]project.Project, error) {
	return map[directory.PersonID]project.Project{"p-both": inHand("hoshu-r8").Project, "p-hidden": {}}, b.lookErr
}

func (b *bureau) Of(_ context.Context, _ directory.PersonID) ([]project.Project, error) {
	return b.own, b.lookErr
}

func worker(login, name string, role project.Role, closed string) project.Member {
	return project.Member{
		Project: "zaimu-r9", Person: project.Ref{ID: directory.PersonID("p-" + login), Login: login, Name: name, Section: "joho"}, Role: role, BoundAt: t0.AddDate(0, -2, 0), BoundBy: "sasaki", Closed: closed,
	}
}

// inHand is a project that runs.
func inHand(id string) project.Shown {
	until, _ := policy.JapanDay("2026-04-11")
	p := project.Project{
		ID: id, Name: "財務会計 <b> 再構築", Section: "joho", Environment: policy.Development, Contract: "令和8年度 第12号", Company: "例システム <i>", From: t0.AddDate(0, -2, 0), Until: until,
		RegisteredBy: sasakiRef, RegisteredAt: t0.AddDate(0, -2, 0),
	}
	if id == "hoshu-r8" {
		p.Name, p.Environment, p.Company = "財務会計の保守", policy.Production, ""
		p.Until, _ = policy.JapanDay("2027-04-01")
	}
	released := worker("kato", "加藤", project.Worker, "")
	released.UnboundAt = t0.AddDate(0, 0, -3)
	members := []project.Member{worker("gyosha1", "請負 <b> 一郎", project.Responsible, ""), worker("both", "両方 二郎", project.Worker, ""), worker("gyosha3", "=cmd|x", project.Worker, ""), worker("hidden", "別課", project.Worker, ""), released}
	return project.Shown{
		Project: p, Now: t0, Members: members, Responsible: []project.Ref{members[0].Person}, Counts: project.Counts{Responsible: 1, Workers: 3}, MayAct: true,
		LastUse: map[directory.PersonID]time.Time{"p-gyosha1": t0.AddDate(0, 0, -1)},
	}
}

// atBureau is an administrator with projects in every state.
func atBureau(w *world) *world {
	asOffice(w)
	over, completed := inHand("mado-r7"), inHand("zeimu-r7")
	over.Name, over.Until = "窓口の試行", t0.AddDate(0, 0, -10)
	completed.Name, completed.CompletedAt, completed.CompletedBy, completed.Reason = "税務の更新", t0.Add(-time.Hour), sasakiRef, "検収済み <b>"
	completed.Members = []project.Member{
		worker("gyosha1", "請負 一郎", project.Responsible, project.Closed), worker("sealed1", "緊急", project.Worker, "held:sealed"),
		worker("odd1", "不明", project.Worker, "held:who-knows"), worker("late1", "遅延", project.Worker, project.Pending), worker("both", "両方 二郎", project.Worker, ""),
	}
	running := inHand("zaimu-r9")
	until, _ := policy.JapanDay("2026-07-01")
	ask := project.Wait{Matter: "m9", What: project.Extend, Until: until, Requester: sasakiRef, Reason: "受入試験の延長 <b>", AskedAt: t0.Add(-time.Hour)}
	bind, release := ask, ask
	bind.What, bind.Person = project.Bind, worker("gyosha4", "後から <b>", project.Worker, "").Person
	release.What, release.Person = project.Release, running.Members[0].Person
	running.Waiting = []project.Wait{ask, bind, release}
	w.project.shown, w.project.sections = []project.Shown{running, inHand("hoshu-r8"), over, completed}, []string{"joho"}
	return w
}

func init() {
	for _, name := range []string{"project-wrong", "project-new-taken"} {
		alike[name] = true
	}
	scenes = append(scenes, []scene{
		{"projects", 200, func(w *world) *answer { return atBureau(w).get("/projects") }},
		{"projects-none", 200, func(w *world) *answer {
			atBureau(w).project.shown = []project.Shown{}
			return w.get("/projects?state=over")
		}},
		{"project-new", 200, func(w *world) *answer { return atBureau(w).get("/projects/new") }},
		{"project-new-empty", 422, func(w *world) *answer { return atBureau(w).post("/projects/new", "until", "明日") }},
		{"project-new-taken", 422, func(w *world) *answer {
			atBureau(w).project.actErr = &project.Refusal{Reason: "taken", Is: project.Invalid, Field: "id", Says: policy.Words{JA: "この番号の案件は、すでにあります。", EN: "There is a project of this id already."}}
			return w.post("/projects/new", goodProject...)
		}},
		{"project", 200, func(w *world) *answer { return atBureau(w).get("/projects/zaimu-r9?done=asked") }},
		{"project-registered", 200, func(w *world) *answer {
			atBureau(w).project.shown[1].Members, w.project.shown[1].Responsible = nil, nil
			return w.get("/projects/hoshu-r8?done=registered")
		}},
		{"project-completed", 200, func(w *world) *answer { return atBureau(w).get("/projects/zeimu-r7?done=completed") }},
		{"project-read", 200, func(w *world) *answer {
			atBureau(w).project.shown[0].MayAct = false
			return w.get("/projects/zaimu-r9")
		}},
		{"project-wrong", 422, func(w *world) *answer { return atBureau(w).post("/projects/zaimu-r9/bind") }},
		{"project-complete", 200, func(w *world) *answer { return atBureau(w).get("/projects/zaimu-r9/complete") }},
		{"project-complete-empty", 422, func(w *world) *answer { return atBureau(w).post("/projects/zaimu-r9/complete", "reason", " ") }},
		{"project-release", 200, func(w *world) *answer { return atBureau(w).get("/projects/zaimu-r9/release/gyosha1") }},
		{"signin-project-over", 403, func(w *world) *answer {
			w.at(authn.SecondFactor).err = projectOver
			return w.post("/signin/totp", "code", "123456")
		}},
		{"approvals-project", 200, func(w *world) *answer { return toDecide(w).get("/approvals") }},
		{"me-project", 200, func(w *world) *answer {
			atBureau(w).project.own = []project.Project{inHand("zaimu-r9").Project}
			return w.get("/me")
		}},
		{"person-project", 200, func(w *world) *answer {
			atBureau(w).project.own = []project.Project{w.project.shown[3].Project, w.project.shown[2].Project, w.project.shown[1].Project, w.project.shown[0].Project}
			return w.get("/people/suzuki")
		}},
	}...)
}

// projectOver is how a sign-in with an ID ends whose projects are over.
var projectOver = func() error {
	v := authz.Enter(policy.Standard(), authz.Facts{SignedIn: true, Person: directory.Person{ID: "p1", Kind: directory.KindContractor}, Ties: []authz.Tie{{}}, Now: t0})
	return &signin.NoPassage{Reason: string(v.Reason), Says: v.Says, Articles: v.Articles}
}()

// TestProjectIsOverAtTheDoor: whoever signs in with an ID whose projects are over reads
// why, whom to tell, and where to sign in with another.
func TestProjectIsOverAtTheDoor(t *testing.T) {
	w := newWorld(t)
	w.at(authn.SecondFactor).err = projectOver
	w.post("/signin/totp", "code", "123456").is(403).says("<h1>このIDの案件は終わりました</h1>", "その案件は終わっています", "案件を担当する情報システム管理者に伝えてください", `<a class="button" href="/signin">別のIDでサインインする</a>`, "第67条第2項第1号").keepsSilentOn("サインインを続ける")
	w.lang = "en"
	w.post("/signin/totp", "code", "123456").is(403).says("<h1>The project of this ID is over</h1>", "tell the system administrator who answers for it")
}

// toDecide is somebody before whom the end of a project lies.
func toDecide(w *world) *world {
	asApprover(w)
	m := matter("m1")
	m.Kind, m.Lease, m.Ticket, m.Lasts, m.Uses, m.Project = string(project.Widening), "", "", 0, nil, "zaimu-r9"
	m.What, m.Reason, m.Articles = policy.Words{JA: "案件の終わりの延長", EN: "A project goes on for longer"}, "受入試験が9月まで延びたため", []policy.Article{"67-1", "67-2(1)", "68-2"}
	m.Yes = []policy.Words{{JA: "案件は 2026-09-30 まで続き、この案件のIDもその日まで使えます（IDに別の終わりがあれば、早いほうまで）。", EN: "The project goes on until 2026-09-30, and so do the IDs that are bound to it, unless they have an earlier end of their own."}}
	m.Facts = []desk.Fact{
		{Label: policy.Words{JA: "案件", EN: "Project"}, Value: "財務会計 <b> 再構築 (zaimu-r9)"}, {Label: policy.Words{JA: "会社", EN: "Company"}, Value: "例システム"},
		{Label: policy.Words{JA: "今の終わりの日", EN: "Last day now"}, Value: "2026-04-10"}, {Label: policy.Words{JA: "この案件のID", EN: "Those IDs"}, Value: "gyosha1, gyosha2"},
	}
	w.desk.waiting = desk.Waiting{Decide: []desk.Card{m}}
	return w
}

// TestProjectToApprove: who decides about a project is led to it.
func TestProjectToApprove(t *testing.T) {
	toDecide(newWorld(t)).get("/approvals").is(200).says(`href="/projects/zaimu-r9"`, `<p class="kind">案件</p>`)
}

var goodProject = []string{"id", "zaimu-r9", "name", "財務会計 再構築", "section", "joho", "environment", "development", "contract", "第12号", "company", "例システム", "from", "2026-04-01", "until", "2027-03-31"}

func TestProjectPages(t *testing.T) {
	w := atBureau(newWorld(t))
	w.get("/projects").is(200).says(`href="/projects" aria-current="true"`, "財務会計 &lt;b&gt; 再構築", "開発・テスト", "運用・保守", "進行中", "期間終了", "完了", "2026年4月10日まで", "あと9日", "請負 &lt;b&gt; 一郎", "4件", "after=zeimu-r7", `href="/projects/new"`)
	w.get("/projects?section=joho&state=running&q=zai&after=a").is(200)
	if got := w.project.last(); got != "list zai joho running a 50" {
		t.Errorf("it asked for %s", got)
	}
	w.get("/me").is(200).says(`href="/projects"`)
	w.project.sections = nil
	w.get("/projects").is(200).keepsSilentOn(`href="/projects/new"`)
	w.get("/projects/new").is(403).says("室課の情報システム管理者です")
	w.project.sections = []string{"joho"}
	w.get("/projects/zaimu-r9").is(200).says("令和8年度 第12号", "例システム &lt;i&gt;", "2026年6月30日まで延ばす", "後から &lt;b&gt;さんを", `href="/approvals/m9"`, "4件", "外したID：1件", "加藤",
		`href="/projects/zaimu-r9/release/gyosha1"`, `href="/projects/zaimu-r9/complete"`, "一度も使われていません")
	w.get("/projects/zeimu-r7").is(200).says("検収済み &lt;b&gt;", "終了", "閉じられない", "封印した緊急用のID", "情報システム管理者が確かめてください", "閉じている", "ほかの案件で続いた", "IDが2件あります").
		keepsSilentOn("/complete", "/release/", `action="/projects/zeimu-r7`)
	w.project.shown[0].MayAct = false
	w.get("/projects/zaimu-r9").is(200).keepsSilentOn("/complete", "/release/", "<textarea")
	w.get("/projects/zaimu-r9/complete").is(404)
	w.get("/projects/zaimu-r9/release/gyosha1").is(404)
	w.get("/projects/none").is(404)
	w.project.lookErr = &project.Refusal{Reason: "no_post", Is: project.Forbidden, Says: policy.Words{JA: "案件は、管理者が見ます。", EN: "For administrators."}}
	w.get("/projects").is(403).says("案件は、管理者が見ます。")
	w.project.lookErr = errStore
	w.get("/projects").is(500).keepsSilentOn(errStore.Error())
}

func TestProjectActs(t *testing.T) {
	w := atBureau(newWorld(t))
	w.post("/projects/new", goodProject...).leadsTo("/projects/zaimu-r9?done=registered")
	if got, want := w.project.last(), "register zaimu-r9 財務会計 再構築 joho development 第12号 例システム 2026-04-01 2027-04-01"; got != want {
		t.Errorf("did %s, want %s", got, want)
	}
	w.post("/projects/new", "id", "zaimu-r9", "name", "名前", "until", "x").is(422).says("選んでください", "2026-04-01のように", `value="zaimu-r9"`, `value="名前"`, `href="#environment"`)
	w.post("/projects/zaimu-r9/bind", "login", " gyosha9 ", "role", "responsible", "reason", "増員").leadsTo("/projects/zaimu-r9?done=bound")
	if got := w.project.last(); got != "bind zaimu-r9 gyosha9 responsible 増員" {
		t.Errorf("did %s", got)
	}
	w.post("/projects/zaimu-r9/reschedule", "until", "2026-04-05", "reason", "早まった").leadsTo("/projects/zaimu-r9?done=rescheduled")
	if got := w.project.last(); got != "reschedule zaimu-r9 2026-04-06 早まった" {
		t.Errorf("did %s", got)
	}
	w.get("/projects/zaimu-r9/complete").is(200).says("次の2件のIDは、いま終わります", "請負 &lt;b&gt; 一郎", "ほかの案件で使い続けるID：2件", "続く案件：財務会計の保守", "続く案件：ほかの室課の案件", "取り消せません")
	w.post("/projects/zaimu-r9/complete", "reason", "検収済み").leadsTo("/projects/zaimu-r9?done=completed")
	w.post("/projects/zaimu-r9/release/gyosha1", "reason", "交代").leadsTo("/projects/zaimu-r9?done=released")
	if got := w.project.last(); got != "release zaimu-r9 gyosha1 交代" {
		t.Errorf("did %s", got)
	}
	w.project.outcome = project.Outcome{Matter: "m1"}
	for _, path := range []string{"bind", "reschedule", "release/gyosha1"} {
		w.post("/projects/zaimu-r9/"+path, "login", "gyosha9", "until", "2026-07-01", "reason", "延長").leadsTo("/projects/zaimu-r9?done=asked")
	}
	w.get("/projects/zaimu-r9?done=asked").is(200).says("承認を待ちます")
	did := len(w.project.did)
	w.post("/projects/zaimu-r9/bind", "login", "", "role", "responsible", "reason", "増員").is(422).says("ログイン名を入力してください", `value="増員"`, `value="responsible" selected`)
	w.post("/projects/zaimu-r9/reschedule", "until", "x", "reason", "").is(422).says(`href="#reschedule-reason"`, `href="#until"`)
	w.post("/projects/zaimu-r9/release/gyosha1", "reason", "").is(422).says(`href="#reason"`)
	w.post("/projects/zaimu-r9/complete", "reason", strings.Repeat("あ", mostReason+1)).is(422).says(`href="#reason"`, "あああ")
	if len(w.project.did) != did {
		t.Errorf("what was not complete was asked for: %v", w.project.did[did:])
	}
	w.get("/projects/zaimu-r9/bind").leadsTo("/projects/zaimu-r9")

	w.project.actErr = &project.Refusal{Reason: "powerful", Is: project.Invalid, Field: "login", Says: policy.Words{JA: "決める職の人のIDです。", EN: "It decides."}}
	w.post("/projects/zaimu-r9/bind", "login", "cio", "reason", "x").is(422).says(`href="#login"`, "決める職の人のIDです", `value="cio"`)
	w.post("/projects/zaimu-r9/release/gyosha1", "reason", "x").is(422).says("決める職の人のIDです").keepsSilentOn(`href="#login"`)
	w.project.actErr = &project.Refusal{Reason: "required", Is: project.Invalid, Field: "reason", Says: policy.Words{JA: "理由を。", EN: "A reason."}}
	w.post("/projects/zaimu-r9/bind", "login", "cio", "reason", "x").is(422).says(`href="#bind-reason"`)
	w.project.actErr = &project.Refusal{Reason: "is_over", Is: project.Conflict, Says: policy.Words{JA: "この案件は、もう終わっています。", EN: "It is over."}}
	w.post("/projects/zaimu-r9/complete", "reason", "検収").is(409).says("もう終わっています", "検収")
	w.project.shown[0].CompletedAt = t0 // by somebody else, meanwhile
	w.post("/projects/zaimu-r9/complete", "reason", "検収").is(409).says("もう終わっています")
	w.post("/projects/zaimu-r9/bind", "login", "a", "reason", "x").is(409).says("もう終わっています")
	w.project.actErr = &project.Refusal{Reason: "own", Is: project.Forbidden, Says: policy.Words{JA: "自分のIDは、ほかの管理者が扱います。", EN: "Not your own."}}
	w.post("/projects/zaimu-r9/bind", "login", "sasaki", "reason", "x").is(403).says("自分のIDは")
}

// TestRegisteredTwice: a button that is pressed twice registers once, and says that it
// did; what another, or the same person on another day, registered is refused.
func TestRegisteredTwice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*project.Shown)
		ok     bool
	}{
		{"pressed twice", func(*project.Shown) {}, true},
		{"somebody else's", func(s *project.Shown) { s.RegisteredBy.ID = "p9" }, false},
		{"of another name", func(s *project.Shown) { s.Name = "別の案件" }, false},
		{"of another environment", func(s *project.Shown) { s.Environment = policy.Production }, false},
		{"with another end", func(s *project.Shown) { s.Until = s.Until.AddDate(0, 0, 1) }, false},
		{"a while ago", func(s *project.Shown) { s.RegisteredAt = t0.Add(-time.Minute) }, false},
	} {
		w := atBureau(newWorld(t))
		one := inHand("zaimu-r9")
		one.Name, one.RegisteredAt, one.RegisteredBy = "財務会計 再構築", t0, project.Ref{ID: "p1"}
		one.Until, _ = policy.JapanDay("2027-04-01")
		tt.change(&one)
		w.project.shown[0] = one
		w.project.actErr = &project.Refusal{Reason: "taken", Is: project.Invalid, Field: "id", Says: policy.Words{JA: "この番号の案件は、すでにあります。", EN: "There is one."}}
		if a := w.post("/projects/new", goodProject...); a.StatusCode == http.StatusSeeOther != tt.ok {
			t.Errorf("%s: %d", tt.name, a.StatusCode)
		}
	}
}

// TestProjectFile: a cell that a spreadsheet would run is none.
func TestProjectFile(t *testing.T) {
	w := atBureau(newWorld(t))
	file := w.get("/projects/zaimu-r9/file").is(200).says("\ufeffproject,environment,until,login,name", "zaimu-r9,development,2026-04-10T15:00:00Z,gyosha3,'=cmd|x,worker", ",active")
	if got := file.Header.Get("Content-Disposition"); !strings.Contains(got, ".csv") {
		t.Errorf("a file called %s", got)
	}
	w.get("/projects/none/file").is(404)
}

// TestOldSignInAtProjects: what can end IDs takes a sign-in of now, before anything is
// typed, and what was typed in between is there again.
func TestOldSignInAtProjects(t *testing.T) {
	w := atBureau(newWorld(t))
	w.clock.Advance(11 * time.Minute)
	for _, path := range []string{"/projects/new", "/projects/zaimu-r9/complete", "/projects/zaimu-r9/release/gyosha1"} {
		to := w.get(path).is(http.StatusSeeOther).Header.Get("Location")
		if !strings.HasPrefix(to, "/signin?") || !strings.Contains(to, url.Values{"rd": {path}}.Encode()) {
			t.Errorf("%s leads to %s", path, to)
		}
	}
	w.get("/projects/zaimu-r9").is(200)
}

// TestOwnProjects: whose ID is for a project reads so, and until when.
func TestOwnProjects(t *testing.T) {
	w := newWorld(t).signedIn()
	w.get("/me").is(200).keepsSilentOn("案件")
	w.project.own = []project.Project{inHand("zaimu-r9").Project}
	w.get("/me").is(200).says("このIDは、案件「財務会計 &lt;b&gt; 再構築」（開発・テスト）のためのIDです。2026年4月10日まで使えます。（あと9日）").keepsSilentOn(`href="/projects`)
	w.project.own = []project.Project{inHand("hoshu-r8").Project}
	w.get("/me").is(200).says("2027年3月31日まで使えます。").keepsSilentOn("あと")
	w.project.lookErr = errStore
	w.get("/me").is(500)

	w = atBureau(newWorld(t))
	w.project.own = []project.Project{w.project.shown[3].Project, w.project.shown[0].Project}
	w.get("/people/suzuki").is(200).says(`<a href="/projects/zaimu-r9">財務会計 &lt;b&gt; 再構築</a>`, "環境は開発・テスト、進行中（2026年4月10日）", "環境は開発・テスト、完了（2026年4月1日）")
}

// TestLastDay: the days are those of Japan's calendar, on both sides of its midnight.
func TestLastDay(t *testing.T) {
	w := atBureau(newWorld(t))
	for _, tt := range []struct {
		now  string
		says string
	}{
		{"2026-04-09T14:59:59Z", "あと1日"}, // the 9th in Japan
		{"2026-04-09T15:00:00Z", "今日まで"},
		{"2026-04-10T14:59:59Z", "今日まで"},
		{"2026-04-10T15:00:00Z", "期間終了"},
	} {
		at, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(at.Sub(w.clock.Now()))
		w.get("/projects/zaimu-r9").is(200).says(tt.says)
	}
}
