package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/permit"
	"sekisho/policy"
)

var _ Permits = (*permit.Book)(nil)

// register is where permits are kept in a world.
type register struct{ *world }

func permitted(id string) permit.Permit {
	return permit.Permit{
		ID: id, Kind: "remote_access", Person: permit.Ref{Login: "tanaka"}, Requester: permit.Ref{Login: "nakamura"}, Reason: "在宅勤務",
		Stated: permit.Stated{"terminal": {"kashi-1"}, "applications": {"bunsho", "zaimu"}, "hours": {"08:30-17:15"}},
		From:   t0, Until: t0.Add(time.Hour), AskedAt: t0, Confirmed: []string{"reason"}, EndedAt: t0, EndedBy: permit.Ref{Login: "cio"}, EndReason: "不審",
		UsedAt: t0, Done: permit.Done{At: t0, By: "田中", What: "消去", Wrote: t0},
	}
}

func (g register) Signed(_ context.Context, _ signin.Origin, cookie string) (permit.By, error) {
	if cookie != "k.live" {
		return permit.By{}, signin.ErrNone
	}
	return permit.By{}, nil
}

func (g register) Ask(_ context.Context, _ permit.By, w permit.Wish) (permit.Permit, error) {
	g.heard.data = fmt.Sprint(w.Kind, "|", w.Person, "|", w.Reason, "|", w.From, "|", w.Until, "|", w.Stated, "|", w.Renews, "|", w.Key)
	return permitted("p1"), g.act()
}

func (g register) Get(_ context.Context, _ permit.By, id string) (permit.Permit, error) {
	return permitted(id), g.act()
}

func (g register) List(_ context.Context, _ permit.By, f permit.Filter) ([]permit.Permit, string, error) {
	g.heard.data = fmt.Sprintf("%s %s %t %t %s %d", f.Kind, f.State, f.Mine, f.ToApprove, f.After, f.Limit)
	return []permit.Permit{permitted("p1"), {ID: "p2"}}, "p2", g.act()
}

func (g register) Decide(_ context.Context, _ permit.By, id string, yes bool, comment string, confirmed []string) (permit.Permit, error) {
	g.heard.data = fmt.Sprint("decide ", id, " ", yes, " ", comment, " ", confirmed)
	return permitted(id), g.act()
}

func (g register) did(act, id, comment string) (permit.Permit, error) {
	g.heard.data = act + " " + id + " " + comment
	return permitted(id), g.act()
}

func (g register) Cancel(_ context.Context, _ permit.By, id, comment string) (permit.Permit, error) {
	return g.did("cancel", id, comment)
}

func (g register) End(_ context.Context, _ permit.By, id, comment string) (permit.Permit, error) {
	return g.did("end", id, comment)
}

func (g register) Revoke(_ context.Context, _ permit.By, id, comment string) (permit.Permit, error) {
	return g.did("revoke", id, comment)
}

func (g register) Decisions(context.Context, permit.Permit) ([]approval.Decision, error) {
	return []approval.Decision{{By: permit.Ref{Login: "yoshida"}, Yes: true, At: t0, Comment: "可"}}, nil
}

func (g register) Confirmations(permit.Permit) []approval.Confirmation {
	return []approval.Confirmation{{ID: "reason", Article: "26no2-3(1)", Says: policy.Words{JA: "理由", EN: "reason"}}}
}

// Each route of permits, for the tests that walk them all.
func init() {
	const at = "/api/v1/permits"
	add := func(route, target, body string) {
		examples[route] = example{target: target, cookie: "k.live", body: body}
	}
	add("GET "+at, at+"?state=approved&mine=true&kind=remote_access&limit=10", "")
	add("POST "+at, at, `{"kind":"take_out","reason":"出張","until":"2026-04-30"}`)
	add("GET "+at+"/{id}", at+"/p1", "")
	for _, a := range permitActs {
		add("POST "+at+"/{id}/"+a.name, at+"/p1/"+a.name, `{"comment":"はい"}`)
	}
	examples["POST /api/v1/signin/terminal-check"] = example{target: "/api/v1/signin/terminal-check", cookie: "k.flow", body: `{"confirmed":true}`}
}

func TestPermits(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/permits/p7", "k.live", "")
	for name, v := range map[string]any{
		"id": "p7", "kind": "remote_access", "person": "tanaka", "requester": "nakamura", "reason": "在宅勤務", "terminal": "kashi-1", "from": "2026-04-01T09:00:00Z",
		"until": "2026-04-01T10:00:00Z", "ended_by": "cio", "end_reason": "不審", "last_used_at": "2026-04-01T09:00:00Z",
	} {
		if body[name] != v {
			t.Errorf("%s: %v, want %v", name, body[name], v)
		}
	}
	if got := fmt.Sprint(body["applications"], body["hours"], body["decisions"], body["done"]); got != "[bunsho zaimu] [map[from:08:30 until:17:15]] [map[acting:false at:2026-04-01T09:00:00Z by:yoshida comment:可 decision:approve]] map[at:2026-04-01T09:00:00Z by:田中 what:消去]" {
		t.Errorf("got %s", got)
	}
	const wish = `{"kind":"remote_access","person":"tanaka","terminal":"kashi-1","networks":["198.51.100.0/24"],"applications":["bunsho"],"from":"2026-04-01T00:00:00Z","until":"2026-09-30","days":["mon"],"hours":{"from":"08:30","until":"17:15"},"reason":"在宅"}`
	resp, _ := call(t, srv, "POST", "/api/v1/permits", "k.live", wish, "Idempotency-Key: k-1")
	const want = "remote_access|tanaka|在宅|2026-04-01T00:00:00Z|2026-09-30|map[applications:[bunsho] days:[mon] hours:[08:30-17:15] networks:[198.51.100.0/24] terminal:[kashi-1]]||k-1"
	if resp.StatusCode != 201 || w.heard.data != want {
		t.Errorf("%d, asked %s", resp.StatusCode, w.heard.data)
	}
	acts := w.calls
	if resp, _ := call(t, srv, "POST", "/api/v1/permits", "k.live", wish, "Idempotency-Key: k-1"); resp.StatusCode != 201 || w.calls != acts {
		t.Errorf("again: %d, %d acts more", resp.StatusCode, w.calls-acts)
	}
	if resp, body := call(t, srv, "POST", "/api/v1/permits", "k.live", strings.Replace(wish, "在宅", "別", 1), "Idempotency-Key: k-1"); resp.StatusCode != 409 || body["code"] != "idempotency" {
		t.Errorf("another body: %d %v", resp.StatusCode, body)
	}
	for _, tt := range []struct{ body, field, rule string }{
		{`{}`, "kind", "required"},
		{`{"kind":"remote_access","terminal":{"id":"x"}}`, "terminal", "type"},
		{`{"kind":"remote_access","hours":{"from":"08:30"}}`, "hours", "type"},
		{`{"kind":["a","b"]}`, "kind", "type"},
	} {
		resp, body := call(t, srv, "POST", "/api/v1/permits", "k.live", tt.body)
		if resp.StatusCode != 422 || !strings.Contains(fmt.Sprint(body["errors"]), "field:"+tt.field+" rule:"+tt.rule) {
			t.Errorf("%s: %d %v", tt.body, resp.StatusCode, body["errors"])
		}
	}
	// What the rules refuse names each field and its rule.
	w.next = &permit.Invalid{Faults: []permit.Fault{{Field: "until", Rule: "too_late"}, {Field: "terminal", Rule: "lost"}}, Articles: []policy.Article{"63-1"}}
	resp, body = call(t, srv, "POST", "/api/v1/permits", "k.live", wish)
	if got := fmt.Sprint(body["errors"], body["articles"]); resp.StatusCode != 422 || !strings.Contains(got, "field:until rule:too_late") || !strings.Contains(got, "field:terminal rule:lost") || !strings.Contains(got, "63-1") {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	for _, tt := range []struct{ act, body, want string }{
		{"approve", `{"comment":"可","confirmations":["reason"]}`, "decide p1 true 可 [reason]"},
		{"deny", `{}`, "decide p1 false " + unsaid + " []"},
		{"cancel", ``, "cancel p1 "},
		{"end", `{"comment":"済"}`, "end p1 済"},
		{"revoke", ``, "revoke p1 " + unsaid},
	} {
		if resp, _ := call(t, srv, "POST", "/api/v1/permits/p1/"+tt.act, "k.live", tt.body); resp.StatusCode != 200 || w.heard.data != tt.want {
			t.Errorf("%s: %d, did %s", tt.act, resp.StatusCode, w.heard.data)
		}
	}
	for query, field := range map[string]string{"state=live": "state", "mine=yes": "mine", "limit=0": "limit", "who=x": "who"} {
		if resp, body := call(t, srv, "GET", "/api/v1/permits?"+query, "k.live", ""); resp.StatusCode != 422 || !strings.Contains(fmt.Sprint(body["errors"]), "field:"+field+" ") {
			t.Errorf("%s: %d %v", query, resp.StatusCode, body)
		}
	}
	for err, status := range map[error]int{
		&permit.Refused{Reason: permit.WrongState}: 409, &permit.Refused{Reason: permit.NotTheirs}: 403, permit.ErrNotFound: 404,
	} {
		w.next = err
		if resp, _ := call(t, srv, "POST", "/api/v1/permits/p1/end", "k.live", `{}`); resp.StatusCode != status {
			t.Errorf("%v: %d, want %d", err, resp.StatusCode, status)
		}
	}
	if routes := srv.Routes(); !slices.Contains(routes, "POST /api/v1/permits/{id}/revoke") {
		t.Errorf("routes: %v", routes)
	}
}

// TestNoPassage: who has proved who they are, and has no permit from where they are,
// is refused with the articles and what to ask for.
func TestNoPassage(t *testing.T) {
	w, srv := newWorld(t)
	w.next = &signin.NoPassage{Reason: "no_remote", Says: policy.Words{EN: "It takes a permit."}, Articles: []policy.Article{"63-1"}, Ask: "remote_access"}
	resp, body := call(t, srv, "POST", "/api/v1/signin/totp", "k.flow", `{"code":"123456"}`, "Accept-Language: en")
	if resp.StatusCode != 403 || body["code"] != "forbidden" || body["detail"] != "It takes a permit." || !strings.Contains(fmt.Sprint(body["articles"], body["next"]), "63-1") || !strings.Contains(fmt.Sprint(body["next"]), "ask_permit") {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
	if resp, body := call(t, srv, "POST", "/api/v1/signin/terminal-check", "k.flow", `{"confirmed":false}`); resp.StatusCode != 422 || !strings.Contains(fmt.Sprint(body["errors"]), "field:confirmed") {
		t.Errorf("not confirmed: %d %v", resp.StatusCode, body)
	}
}
