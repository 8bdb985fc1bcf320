package page

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/recertify"
	"sekisho/directory"
	"sekisho/policy"
)

// The real book fits.
var _ Recertify = (*recertify.Book)(nil)

// A roundtable is a recertification as a test tells it to be.
type roundtable struct {
	rounds  []recertify.Shown
	sheet   recertify.Sheet
	result  recertify.Result
	lookErr error
	actErr  error
	did     []string
}

func (t *roundtable) Rounds(context.Context, signin.Origin, string) ([]recertify.Shown, error) {
	return t.rounds, t.lookErr
}

func (t *roundtable) Sheet(_ context.Context, _ signin.Origin, _, round string, q recertify.Query) (recertify.Sheet, error) {
	t.did = append(t.did, fmt.Sprintf("sheet %s %s/%s/%t/%s", round, q.Section, q.State, q.Mine, q.After))
	return t.sheet, t.lookErr
}

func (t *roundtable) Decide(_ context.Context, _ signin.Origin, _, round string, lines []string, end bool, comment string) (recertify.Result, error) {
	t.did = append(t.did, fmt.Sprint(round, " ", strings.Join(lines, ","), " ", end, " ", comment))
	return t.result, t.actErr
}

func (t *roundtable) Each(_ context.Context, _ signin.Origin, _, _ string, each func(recertify.Round, recertify.Line) error) error {
	for _, l := range t.sheet.Lines {
		if err := each(t.sheet.Round, l.Line); err != nil {
			return err
		}
	}
	return t.lookErr
}

func (t *roundtable) Waiting(context.Context, signin.Origin, string) (int, error) {
	n := 0
	for _, r := range t.rounds {
		n += r.Mine
	}
	return n, t.lookErr
}

func (t *roundtable) May(approval.Holder) bool { return len(t.rounds) > 0 }

func inRound(kind string, state recertify.State) recertify.Shown {
	return recertify.Shown{
		Round: recertify.Round{ID: "r1", Campaign: "ids", Name: policy.Words{JA: "IDの棚卸し <b>", EN: "Review of IDs <b>"}, Kind: kind, State: state, BeganAt: t0.AddDate(0, 0, -3), Deadline: t0.AddDate(0, 0, 11), EndedAt: t0.Add(-time.Hour)},
		Ends:  t0.AddDate(0, 0, 11), Mine: 2,
		Parts: []recertify.Part{{Section: "joho", States: map[recertify.LineState]int{recertify.Waits: 3, recertify.Confirmed: 20, recertify.Ended: 1, recertify.Held: 1}, Mine: 2, May: true}, {Section: "", States: map[recertify.LineState]int{recertify.Waits: 1}}},
	}
}

func seat(id, login, name string, state recertify.LineState) recertify.Seen {
	l := recertify.Line{ID: id, Round: "r1", Person: recertify.Ref{ID: directory.PersonID("p-" + login), Login: login, Name: name, Section: "joho"}, Kind: directory.KindStaff, LastUse: t0.AddDate(0, 0, -40), State: state}
	if state == recertify.Waits {
		return recertify.Seen{Line: l}
	}
	return recertify.Seen{Line: l, No: &recertify.Refusal{Reason: "decided", Is: recertify.Conflict, Says: policy.Words{JA: "もう決まっています。", EN: "It is decided already."}}}
}

// atTable is a security manager with a round of a kind.
func atTable(w *world, kind string) *world {
	atDesk(w, "security_manager")
	shown := inRound(kind, recertify.Open)
	halted, closed := inRound(policy.RecertifyPermits, recertify.Halted), inRound(policy.RecertifyEligibility, recertify.Done)
	halted.ID, halted.Name, closed.ID, closed.Name = "r2", policy.Words{JA: "庁外の棚卸し", EN: "Remote access"}, "r3", policy.Words{JA: "特権の棚卸し", EN: "Privilege"}
	w.round.rounds = []recertify.Shown{shown, halted, closed}
	own := seat("l2", "sasaki", "佐々木 健", recertify.Waits)
	own.No = &recertify.Refusal{Reason: "own", Is: recertify.Forbidden, Says: policy.Words{JA: "自分のものは、自分では確認できません。", EN: "Nobody confirms what is their own."}}
	company := seat("l3", "gyosha1", "=cmd|x", recertify.Waits)
	first := seat("l1", "tanaka", "田中 <b> 太郎", recertify.Waits)
	first.UsedSince = t0.AddDate(0, 0, -1)
	company.Kind, company.Company, company.LastUse = directory.KindContractor, "例システム <i>", time.Time{}
	decided := seat("l4", "mori", "森", recertify.Confirmed)
	decided.DecidedBy, decided.DecidedAt, decided.Comment = sasakiRef, t0, "継続"
	held := seat("l5", "kinkyu", "緊急", recertify.Held)
	held.Reason = "sealed"
	moved := seat("l6", "ido", "異動", recertify.Void)
	moved.Reason = recertify.Moved
	second := seat("l7", "haken", "派遣", recertify.ToEnd)
	second.No.Says = policy.Words{JA: "山本さんが終わらせると決め、二人目の確認を待っています。", EN: "Yamamoto would end this, and a second person is asked."}
	second.DecidedBy, second.DecidedAt, second.Comment = sasakiRef, t0, "廃止"
	switch kind {
	case policy.RecertifyIDs:
		company.Projects, company.Until = []string{"税務システム刷新 <b>"}, t0.AddDate(0, 6, 0)
	case policy.RecertifyEligibility:
		first.Object, first.About = "cn=dba,ou=groups", []string{"db-admin"}
		company.Object, company.About = recertify.RuleObject+"db-admin", []string{"db-admin"}
	case policy.RecertifyPermits:
		first.Object, first.Line.Why, first.Until = "p1", "在宅勤務のため", t0.AddDate(0, 3, 0)
	}
	w.round.sheet = recertify.Sheet{Shown: shown, Lines: []recertify.Seen{first, own, company, decided, held, moved, second}, Alone: 12, Next: "l6"}
	return w
}

func init() {
	for _, name := range []string{"round-permits", "round-some", "round-wrong"} {
		alike[name] = true
	}
	scenes = append(scenes, []scene{
		{"recertify", 200, func(w *world) *answer { return atTable(w, policy.RecertifyIDs).get("/recertify") }},
		{"recertify-none", 200, func(w *world) *answer {
			atTable(w, policy.RecertifyIDs).round.rounds = nil
			return w.get("/recertify")
		}},
		{"round", 200, func(w *world) *answer {
			return atTable(w, policy.RecertifyIDs).get("/recertify/r1?done=confirm&n=3")
		}},
		{"round-eligibility", 200, func(w *world) *answer {
			return atTable(w, policy.RecertifyEligibility).get("/recertify/r1?show=all&section=joho&after=l1")
		}},
		{"round-permits", 200, func(w *world) *answer { return atTable(w, policy.RecertifyPermits).get("/recertify/r1") }},
		{"round-stale", 200, func(w *world) *answer {
			atTable(w, policy.RecertifyIDs).round.sheet.StepUp = freshly
			return w.get("/recertify/r1")
		}},
		{"round-wrong", 422, func(w *world) *answer {
			atTable(w, policy.RecertifyIDs).round.actErr = &recertify.Refusal{Reason: "required", Is: recertify.Invalid, Field: "comment", Says: policy.Words{JA: "終わらせる理由を書いてください。", EN: "Please say why it ends."}}
			return w.post("/recertify/r1", "answer", "end", "line", "l1", "comment", "")
		}},
		{"round-some", 409, func(w *world) *answer {
			atTable(w, policy.RecertifyIDs).round.result = recertify.Result{Confirmed: 1, Not: []recertify.NotDone{{Line: seat("l4", "mori", "森", recertify.Confirmed).Line, Why: &recertify.Refusal{Is: recertify.Conflict, Says: policy.Words{JA: "もう決まっています。", EN: "It is decided already."}, Articles: []policy.Article{"62-6"}}}}}
			return w.post("/recertify/r1", "answer", "confirm", "line", "l4")
		}},
	}...)
}

func TestRecertifyPages(t *testing.T) {
	w := atTable(newWorld(t), policy.RecertifyIDs)
	w.get("/recertify").is(200).says(`href="/recertify" aria-current="true"`, "IDの棚卸し &lt;b&gt;", "あなたの確認を待っているものが2件", `href="/recertify/r1"`, "決定待ち", `href="/recertify/r2"`, `section=joho`)
	w.get("/me").is(200).says(`href="/recertify"`, "棚卸し：確認するものが")
	w.get("/recertify/r1").is(200).says("田中 &lt;b&gt; 太郎", `id="l-l1" name="line"`, `id="l-l3"`, "自分のものは、自分では確認できません", "例システム &lt;i&gt;", "封印した緊急用のID", "新しい室課が次の回に", "一度も使われていません", "継続", "after=l6", "（始まった後）").
		keepsSilentOn(`id="l-l2"`, `id="l-l4"`)
	if got := w.round.did[len(w.round.did)-1]; got != "sheet r1 /open/true/" {
		t.Errorf("it asked for %s", got)
	}
	w.get("/recertify/r1?show=all&section=joho&after=l1").is(200).says(`action="/recertify/r1?section=joho&amp;show=all"`)
	if got := w.round.did[len(w.round.did)-1]; got != "sheet r1 joho//false/l1" {
		t.Errorf("it asked for %s", got)
	}
	w.round.did, w.round.result = nil, recertify.Result{Confirmed: 2}
	a := w.post("/recertify/r1?section=joho", "answer", "confirm", "line", "l3").is(http.StatusSeeOther)
	if to := a.Header.Get("Location"); to != "/recertify/r1?done=confirm&n=2&section=joho" {
		t.Errorf("led to %s", to)
	}
	w.round.result = recertify.Result{Ended: 1, Owed: 1}
	w.post("/recertify/r1", "answer", "end", "line", "l1", "comment", " 退職 ").is(http.StatusSeeOther)
	w.round.result = recertify.Result{Asked: 30}
	if to := w.post("/recertify/r1", "answer", "end", "line", "l1", "comment", "廃止").is(http.StatusSeeOther).Header.Get("Location"); to != "/recertify/r1?done=asked&n=30" {
		t.Errorf("led to %s", to)
	}
	w.get("/recertify/r1?done=asked&n=30").is(200).says("30件は、情報セキュリティ責任者又はCIOが認めると終わります")
	w.round.result = recertify.Result{Asked: 3, Ended: 1}
	if to := w.post("/recertify/r1", "answer", "end", "line", "l1", "comment", "廃止").is(http.StatusSeeOther).Header.Get("Location"); to != "/recertify/r1?done=asked_some&n=4" {
		t.Errorf("led to %s", to)
	}
	w.get("/recertify/r1?done=asked_some&n=4").is(200).says("一部は、情報セキュリティ責任者又はCIOが認めると")
	w.get("/recertify/r1?show=held").is(200).says(`value="held" selected`, "二人目の確認待ち", "一人で終わらせられるのはあと12件")
	if got := w.round.did[len(w.round.did)-1]; got != "sheet r1 /held/false/" {
		t.Errorf("it asked for %s", got)
	}
	w.round.result = recertify.Result{Ended: 1, Not: []recertify.NotDone{{Line: seat("l6", "ido", "異動", recertify.Void).Line, Why: &recertify.Refusal{Reason: "moved", Is: recertify.Conflict, Says: policy.Words{JA: "何も終わらせていません。", EN: "Nothing was ended."}}}}}
	w.post("/recertify/r1", "answer", "end", "line", "l1", "line", "l6", "comment", "退職").is(http.StatusConflict).says("1件は決めました", "異動：何も終わらせていません。")
	w.round.result = recertify.Result{Ended: 1}
	w.post("/recertify/r1", "line", "l1").is(422).says("終わらせる」かを選んでください", `id="l-l1" name="line" type="checkbox" value="l1" checked`)
	if got := strings.Join(w.round.did, "; "); !strings.Contains(got, "r1 l3 false ") || !strings.Contains(got, "r1 l1 true 退職") {
		t.Errorf("did %s", got)
	}
	w.round.actErr = &recertify.Refusal{Reason: "lines", Is: recertify.Invalid, Field: "line", Says: policy.Words{JA: "確認するものを選んでください。", EN: "Choose some."}}
	w.post("/recertify/r1", "answer", "confirm").is(422).says(`href="#lines"`, "確認するものを選んでください")
	w.round.actErr = freshly
	if to := w.post("/recertify/r1", "answer", "confirm", "line", "l1").is(http.StatusSeeOther).Header.Get("Location"); !strings.HasPrefix(to, "/signin?") {
		t.Errorf("an old sign-in is led to %s", to)
	}
	w.round.actErr = nil
	file := w.get("/recertify/r1/file").is(200).says("\ufeffsection,login,name", "joho,gyosha1,'=cmd|x,contractor")
	if got := file.Header.Get("Content-Disposition"); !strings.Contains(got, ".csv") {
		t.Errorf("a file called %s", got)
	}
	w.round.sheet.StepUp = freshly
	w.get("/recertify/r1").is(200).says("/signin?").keepsSilentOn(`name="answer"`)
	w.round.lookErr = &recertify.Refusal{Reason: "no_post", Is: recertify.Forbidden, Says: policy.Words{JA: "棚卸しは、管理者が見ます。", EN: "For managers."}}
	w.get("/recertify").is(403).says("棚卸しは、管理者が見ます。")
	w.round.lookErr = recertify.ErrNotFound
	w.get("/recertify/none").is(404)
	w.round.lookErr = errStore
	w.get("/recertify").is(500).keepsSilentOn(errStore.Error())
}

// TestRoundSaysTheProject: beside the last use stands what an ID is for, and until when.
func TestRoundSaysTheProject(t *testing.T) {
	t.Parallel()
	w := atTable(newWorld(t), policy.RecertifyIDs)
	w.get("/recertify/r1").is(200).says("案件：税務システム刷新 &lt;b&gt;（")
	w.lang = "en"
	w.get("/recertify/r1").is(200).says("For 税務システム刷新 &lt;b&gt;, until ")
}
