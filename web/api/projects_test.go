package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/project"
	"sekisho/directory"
	"sekisho/policy"
)

var _ Projects = (*project.Book)(nil)

// bureau is projects in a world.
type bureau struct{ *world }

func inHand() project.Shown {
	until, _ := policy.JapanDay("2027-04-01")
	who := project.Ref{ID: "p2", Login: "gyosha1", Name: "請負"}
	return project.Shown{
		Project: project.Project{
			ID: "zaimu-r9", Name: "財務会計", Section: "joho", Environment: policy.Development, Company: "例システム", From: t0, Until: until, RegisteredBy: project.Ref{Login: "sasaki"}, RegisteredAt: t0,
		},
		Responsible: []project.Ref{who}, Counts: project.Counts{Responsible: 1, Workers: 2, Held: 1}, MayAct: true, LastUse: map[directory.PersonID]time.Time{"p2": t0},
		Waiting: []project.Wait{{Matter: "m1", What: project.Bind, Person: who, Requester: project.Ref{Login: "sasaki"}, Reason: "増員", AskedAt: t0, LapsesAt: t0}},
		Members: []project.Member{
			{Person: who, Role: project.Responsible, BoundAt: t0, BoundBy: "sasaki"},
			{Person: project.Ref{ID: "p3", Login: "gyosha2"}, Role: project.Worker, BoundAt: t0, BoundBy: "sasaki", UnboundAt: t0, Closed: "held:sealed"},
		},
	}
}

func (w bureau) List(_ context.Context, _ signin.Origin, cookie string, q project.Query) ([]project.Shown, string, error) {
	if cookie == "" {
		return nil, "", signin.ErrNone
	}
	w.heard.data = fmt.Sprintf("%+v", q)
	over := inHand()
	over.ID, over.CompletedAt, over.CompletedBy, over.Reason, over.Members, over.Waiting, over.Responsible = "zeimu-r8", t0, project.Ref{Login: "sasaki"}, "検収", nil, nil, nil
	return []project.Shown{inHand(), over}, "zeimu-r8", w.act()
}

func (w bureau) Show(_ context.Context, _ signin.Origin, cookie, id string) (project.Shown, error) {
	if cookie == "" {
		return project.Shown{}, signin.ErrNone
	}
	if id != "zaimu-r9" {
		return project.Shown{}, project.ErrNotFound
	}
	return inHand(), w.act()
}

func (w bureau) Register(_ context.Context, _ signin.Origin, _ string, n project.New) (project.Project, error) {
	w.heard.data = fmt.Sprint(n.ID, "|", n.Name, "|", n.Section, "|", n.Environment, "|", n.Contract, "|", n.Company, "|", n.From.Format(time.RFC3339), "|", n.Until.Format(time.RFC3339))
	return inHand().Project, w.act()
}

func (w bureau) did(act ...any) (project.Outcome, error) {
	w.heard.data = strings.TrimSpace(fmt.Sprintln(act...))
	if act[0] == "release" {
		return project.Outcome{Matter: "m1", LapsesAt: t0}, w.act()
	}
	return project.Outcome{}, w.act()
}

func (w bureau) Bind(_ context.Context, _ signin.Origin, _, id, login string, role project.Role, reason string) (project.Outcome, error) {
	return w.did("bind", id, login, role, reason)
}

func (w bureau) Release(_ context.Context, _ signin.Origin, _, id, login, reason string) (project.Outcome, error) {
	return w.did("release", id, login, reason)
}

func (w bureau) Reschedule(_ context.Context, _ signin.Origin, _, id string, until time.Time, reason string) (project.Outcome, error) {
	return w.did("reschedule", id, until.Format(time.RFC3339), reason)
}

func (w bureau) Complete(_ context.Context, _ signin.Origin, _, id, reason string) (project.Result, error) {
	_, err := w.did("complete", id, reason)
	return project.Result{Closed: []project.Ref{{Login: "gyosha1"}}, Held: []project.HeldID{{Person: project.Ref{Login: "kinkyu"}, Why: "sealed"}}, Pending: 3}, err
}

const projectsAt = "/api/v1/projects"

func init() {
	examples["GET "+projectsAt] = example{projectsAt + "?state=running&limit=2", "k.live", ""}
	examples["POST "+projectsAt] = example{projectsAt, "k.live", goodProject}
	examples["GET "+projectsAt+"/{id}"] = example{projectsAt + "/zaimu-r9", "k.live", ""}
	examples["POST "+projectsAt+"/{id}/members"] = example{projectsAt + "/zaimu-r9/members", "k.live", `{"login":"gyosha9","role":"worker","reason":"増員"}`}
	examples["POST "+projectsAt+"/{id}/release"] = example{projectsAt + "/zaimu-r9/release", "k.live", `{"login":"gyosha1","reason":"交代"}`}
	examples["POST "+projectsAt+"/{id}/reschedule"] = example{projectsAt + "/zaimu-r9/reschedule", "k.live", `{"until":"2027-03-31","reason":"延長"}`}
	examples["POST "+projectsAt+"/{id}/complete"] = example{projectsAt + "/zaimu-r9/complete", "k.live", `{"reason":"検収"}`}
}

const goodProject = `{"id":"zaimu-r9","name":"財務会計","section":"joho","environment":"development","company":"例システム","until":"2027-03-31"}`

func TestProjects(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", projectsAt, "k.live", "")
	running, over := first(body, 0), first(body, 1)
	if body["next"] != "zeimu-r8" || running["state"] != "running" || running["environment"] != "development" || running["last_day"] != "2027-03-31" || running["until"] != "2027-03-31T15:00:00Z" || running["from"] != "2026-04-01" ||
		running["ids"] != 3.0 || running["held"] != 1.0 || running["may_act"] != true || running["contract"] != nil || fmt.Sprint(running["responsible"]) != "[gyosha1]" || !strings.Contains(fmt.Sprint(running["waiting"]), "matter:m1") {
		t.Errorf("%v", running)
	}
	if over["state"] != "completed" || over["completed_by"] != "sasaki" || over["reason"] != "検収" || fmt.Sprint(over["waiting"], over["responsible"]) != "[] []" {
		t.Errorf("%v", over)
	}
	_, body = call(t, srv, "GET", projectsAt+"/zaimu-r9", "k.live", "")
	all := fmt.Sprint(body["members"])
	if !strings.Contains(all, "login:gyosha1 name:請負 released_at:<nil> role:responsible") || !strings.Contains(all, "closed:held:sealed last_used_at:<nil> login:gyosha2") {
		t.Errorf("%v", body)
	}
	if resp, _ := call(t, srv, "GET", projectsAt+"/none", "k.live", ""); resp.StatusCode != 404 {
		t.Errorf("none: %d", resp.StatusCode)
	}
	call(t, srv, "GET", projectsAt+"?q=zai&section=joho&state=over&after=a&limit=7", "k.live", "")
	if w.heard.data != "{State:over Section:joho Text:zai After:a Limit:7}" {
		t.Errorf("asked for %s", w.heard.data)
	}
	for query, field := range map[string]string{"?state=gone": "state", "?limit=201": "limit", "?al=true": "al"} {
		if resp, body := call(t, srv, "GET", projectsAt+query, "k.live", ""); resp.StatusCode != 422 || body["errors"].([]any)[0].(map[string]any)["field"] != field {
			t.Errorf("%s: %d %v", query, resp.StatusCode, body)
		}
	}
}

// TestProjectsAreActedOn: what is asked for arrives as it was said, once however often it
// is sent, and what waits for a second person says so.
func TestProjectsAreActedOn(t *testing.T) {
	w, srv := newWorld(t)
	resp, body := call(t, srv, "POST", projectsAt, "k.live", goodProject, "Idempotency-Key: k")
	if resp.StatusCode != 201 || body["id"] != "zaimu-r9" || w.heard.data != "zaimu-r9|財務会計|joho|development||例システム|0001-01-01T00:00:00Z|2027-03-31T15:00:00Z" {
		t.Errorf("%d %v, heard %q", resp.StatusCode, body, w.heard.data)
	}
	before := w.calls
	if resp, _ := call(t, srv, "POST", projectsAt, "k.live", goodProject, "Idempotency-Key: k"); resp.StatusCode != 201 || w.calls != before {
		t.Errorf("sent twice: %d, done %d times more", resp.StatusCode, w.calls-before)
	}
	if resp, _ := call(t, srv, "POST", projectsAt, "k.live", strings.Replace(goodProject, "joho", "zaisei", 1), "Idempotency-Key: k"); resp.StatusCode != 409 {
		t.Errorf("another under the same key: %d", resp.StatusCode)
	}
	for _, tt := range []struct{ act, body, heard, answer string }{
		{"members", `{"login":"gyosha9","role":"worker","reason":"増員"}`, "bind zaimu-r9 gyosha9 worker 増員", "map[lapses_at:<nil> matter:<nil>]"},
		{"release", `{"login":"gyosha1","reason":"交代"}`, "release zaimu-r9 gyosha1 交代", "map[lapses_at:2026-04-01T09:00:00Z matter:m1]"},
		{"reschedule", `{"until":"2027-03-31","reason":"延長"}`, "reschedule zaimu-r9 2027-03-31T15:00:00Z 延長", "map[lapses_at:<nil> matter:<nil>]"},
		{"complete", `{"reason":"検収"}`, "complete zaimu-r9 検収", "map[closed:[gyosha1] held:[map[login:kinkyu why:sealed]] kept:[] pending:3]"},
	} {
		path := projectsAt + "/zaimu-r9/" + tt.act
		if resp, body := call(t, srv, "POST", path, "k.live", tt.body, "Idempotency-Key: "+tt.act); resp.StatusCode != 200 || w.heard.data != tt.heard || fmt.Sprint(body) != tt.answer {
			t.Errorf("%s: %d %v, heard %q", tt.act, resp.StatusCode, body, w.heard.data)
		}
		before := w.calls
		if resp, _ := call(t, srv, "POST", path, "k.live", tt.body, "Idempotency-Key: "+tt.act); resp.StatusCode != 200 || w.calls != before {
			t.Errorf("%s sent twice: %d, done %d times more", tt.act, resp.StatusCode, w.calls-before)
		}
		if resp, _ := call(t, srv, "POST", path, "k.live", tt.body, "X-CSRF-Token: x"); resp.StatusCode != 403 || w.calls != before {
			t.Errorf("%s without its token: %d", tt.act, resp.StatusCode)
		}
		if resp, _ := call(t, srv, "POST", path, "", tt.body); resp.StatusCode != 401 || w.calls != before {
			t.Errorf("%s by nobody: %d", tt.act, resp.StatusCode)
		}
	}
}

// TestProjectsAreRefused: each no in the API's own words.
func TestProjectsAreRefused(t *testing.T) {
	w, srv := newWorld(t)
	says := policy.Words{JA: "いいえ。", EN: "No."}
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{&project.Refusal{Reason: "taken", Is: project.Invalid, Field: "id", Says: says}, 422, "invalid"},
		{&project.Refusal{Reason: "is_over", Is: project.Conflict, Says: says}, 409, "wrong_state"},
		{&project.Refusal{Reason: "not_theirs", Is: project.Forbidden, Says: says}, 403, "forbidden"},
		{&account.StepUp{Required: policy.AAL2, MaxAge: time.Minute}, 403, "step_up"},
		{project.ErrNotFound, 404, "not_found"},
		{errors.New("a broken disk"), 500, "broken"},
	} {
		w.next = tt.err
		resp, body := call(t, srv, "POST", projectsAt+"/zaimu-r9/complete", "k.live", `{"reason":"検収"}`)
		if resp.StatusCode != tt.status || body["code"] != tt.code || strings.Contains(fmt.Sprint(body), "broken disk") {
			t.Errorf("%v: %d %v", tt.err, resp.StatusCode, body)
		}
	}
	before := w.calls
	for path, body := range map[string]string{
		"": `{"id":"a","name":"b","section":"joho","environment":"development","until":"31.3.2027"}`, "/zaimu-r9/reschedule": `{"until":"","reason":"x"}`, "/zaimu-r9/members": `{"role":"worker","reason":"x"}`, "/zaimu-r9/release": `{"reason":"x"}`,
	} {
		if resp, got := call(t, srv, "POST", projectsAt+path, "k.live", body); resp.StatusCode != 422 || w.calls != before {
			t.Errorf("%s %s: %d %v", path, body, resp.StatusCode, got)
		}
	}
}
