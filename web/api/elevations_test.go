package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
	"sekisho/web/desk"
)

// counter is where privilege is lent in a world.
type counter struct{ *world }

// lentOut is a lease with something in every place.
func lentOut(id string, state desk.State) desk.Lease {
	who := func(login string) desk.Who { return desk.Who{Login: login} }
	return desk.Lease{
		ID: id, State: state, Privilege: desk.Privilege{ID: "db-admin", TwoPerson: true}, Requester: who("sasaki"), Reason: "調査", Ticket: "INC-1", Minutes: 30,
		RequestedAt: t0, LapsesAt: t0.Add(time.Hour), ApprovedUntil: t0.Add(2 * time.Hour), StartedAt: t0, EndsAt: t0.Add(time.Minute), EndedAt: t0, EndedBy: who("yamada"), EndReason: "不審",
		Decisions: []desk.Decision{{By: who("yamada"), Yes: true, At: t0, Comment: "了解"}, {By: who("ogawa"), At: t0, Acting: true}},
		Emergency: true, Times: 2, Judgement: desk.Judgement{By: who("cio"), At: t0, Comment: "可"}, Witness: who("mori"), WitnessDue: t0, Paused: true, Extending: true,
		Record: desk.Record{Owed: true, Due: t0, Text: "した", WrittenAt: t0, By: who("yamada"), At: t0, Comment: "見た"}, Cleanup: "pending",
		Account: desk.Account{Login: "tmp-1", Password: secret.NewText([]byte("CANARY-lent"))},
		May:     map[desk.Act]desk.Answer{desk.Report: {OK: true}, desk.End: {OK: true}, desk.Judge: {}},
	}
}

func (c counter) Privileges(context.Context, signin.Origin, string) ([]desk.Privilege, error) {
	return []desk.Privilege{
		{ID: "db-admin", Name: policy.Words{JA: "データベース管理", EN: "Databases"}, Gives: []policy.Words{{JA: "群", EN: "A group"}}, Usual: 30 * time.Minute, Longest: time.Hour,
			Approvers: []policy.PostID{policy.CIO}, Quorum: 1, Emergency: true, ShortestTime: 15 * time.Minute, Ticket: "INC-[0-9]+",
			Refused: desk.Answer{Why: policy.Words{JA: "今は使えません。", EN: "Not now."}}, StepUp: &account.StepUp{Required: policy.PHR, MaxAge: time.Minute}},
		{ID: "plain"},
	}, c.act()
}
func (c counter) Ask(_ context.Context, _ signin.Origin, _ string, w desk.Wish) (desk.Lease, error) {
	c.heard.data = fmt.Sprint(w.Privilege, " ", w.Reason, " ", w.Ticket, " ", w.Minutes, " ", w.Emergency, " ", w.Key)
	return desk.Lease{ID: "e1", State: desk.Pending, Privilege: desk.Privilege{ID: w.Privilege}, Minutes: w.Minutes}, c.act()
}
func (c counter) Lease(_ context.Context, _ signin.Origin, _, id string) (desk.Lease, error) {
	return lentOut(id, desk.Active), c.act()
}
func (c counter) Leases(_ context.Context, _ signin.Origin, _ string, f desk.Filter) (desk.List, error) {
	c.heard.data = fmt.Sprintf("%+v", f)
	return desk.List{Leases: []desk.Lease{{ID: "e1", State: desk.Approved}, lentOut("e2", desk.Ended)}, Next: "e2"}, c.act()
}
func (c counter) Do(_ context.Context, _ signin.Origin, _, id string, a desk.Act, s desk.Said) (desk.Lease, error) {
	c.heard.data = fmt.Sprintf("%s %s %+v", a, id, s)
	l := lentOut(id, desk.Active)
	if id == "raised" {
		l.Raised = &signin.Step{State: "signed_in", Cookie: "k.new", CSRF: "t-k.new", Session: &session.Session{ID: "s1"}}
	}
	return l, c.act()
}

// Each of the desk's routes, for the tests that walk them all.
func init() {
	add := func(route string, ex example) {
		if ex.cookie == "" {
			ex.cookie = "k.live"
		}
		examples[route] = ex
	}
	const at = "/api/v1/elevations"
	add("GET /api/v1/privileges", example{target: "/api/v1/privileges"})
	add("GET "+at, example{target: at + "?state=approved&mine=true&to_approve=false&limit=10&after=e9"})
	add("POST "+at, example{target: at, body: `{"privilege":"db-admin","reason":"調査","ticket":"INC-1","minutes":30}`})
	add("POST "+at+"/emergency", example{target: at + "/emergency", body: `{"privilege":"db-admin","reason":"障害","minutes":15}`})
	add("GET "+at+"/{id}", example{target: at + "/e1"})
	for _, a := range desk.Acts() {
		add("POST "+at+"/{id}/"+string(a), example{target: at + "/e1/" + string(a), body: `{"comment":"はい","minutes":5,"report":"した"}`})
	}
}

func TestElevations(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/elevations/e7", "k.live", "")
	want := map[string]any{
		"id": "e7", "state": "active", "privilege": "db-admin", "requester": "sasaki", "reason": "調査", "minutes": 30.0, "requested_at": "2026-04-01T09:00:00Z",
		"approved_until": "2026-04-01T11:00:00Z", "ends_at": "2026-04-01T09:01:00Z", "cleanup": "pending", "report_owed": true, "report_due": "2026-04-01T09:00:00Z",
		"witness_due": "2026-04-01T09:00:00Z", "paused": true, "emergency": true, "times": 2.0, "witness": "mori",
	}
	for name, v := range want {
		if body[name] != v {
			t.Errorf("%s: %v, want %v", name, body[name], v)
		}
	}
	if got := fmt.Sprint(body["decisions"]); got != "[map[acting:false at:2026-04-01T09:00:00Z by:yamada comment:了解 decision:approve] map[acting:true at:2026-04-01T09:00:00Z by:ogawa comment: decision:deny]]" {
		t.Errorf("decisions: %s", got)
	}
	if got := fmt.Sprint(body["account"], body["may"]); got != "map[login:tmp-1 password:CANARY-lent] [end report]" {
		t.Errorf("account and may: %s", got)
	}
	_, body = call(t, srv, "GET", "/api/v1/elevations?state=approved&to_approve=1&limit=7", "k.live", "")
	if w.heard.data != "{State:approved Mine:false ToApprove:true After: Limit:7}" || body["next"] != "e2" || len(body["items"].([]any)) != 2 {
		t.Errorf("asked %s, answered %v", w.heard.data, body)
	}
	// What is not lent, or not yet, is null or absent, never a date of the year one.
	first := body["items"].([]any)[0].(map[string]any)
	if _, there := first["account"]; there || first["ends_at"] != nil || first["cleanup"] != "none" || fmt.Sprint(first["decisions"], first["may"]) != "[] []" {
		t.Errorf("an empty lease: %v", first)
	}
	for query, field := range map[string]string{"state=live": "state", "mine=yes": "mine", "limit=0": "limit", "limit=101": "limit", "who=x": "who", "mine=1&mine=0": "mine"} {
		if resp, body := call(t, srv, "GET", "/api/v1/elevations?"+query, "k.live", ""); resp.StatusCode != 422 || !strings.Contains(fmt.Sprint(body["errors"]), "field:"+field+" ") {
			t.Errorf("%s: %d %v", query, resp.StatusCode, body)
		}
	}
}

func TestAskForPrivilege(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/privileges", "k.live", "", "Accept-Language: en")
	if got := fmt.Sprint(body["items"].([]any)[0]); got != "map[all_posts:false approvers:[cio] available:false emergency:true emergency_minutes:15 gives:[A group] id:db-admin max_age:60 max_minutes:60 name:Databases outlives_session:false quorum:1 required_acr:phr ticket:INC-[0-9]+ two_person:false usual_minutes:30 why:Not now. work_record:false]" {
		t.Errorf("privileges: %s", got)
	}
	resp, body := call(t, srv, "POST", "/api/v1/elevations", "k.live", `{"privilege":"db-admin","reason":"調査","ticket":"INC-1","minutes":45}`, "Idempotency-Key: k-1")
	if resp.StatusCode != 201 || body["state"] != "pending" || w.heard.data != "db-admin 調査 INC-1 45 false k-1" {
		t.Errorf("%d %v, asked %s", resp.StatusCode, body, w.heard.data)
	}
	acts := w.calls
	if resp, again := call(t, srv, "POST", "/api/v1/elevations", "k.live", `{"privilege":"db-admin","reason":"調査","ticket":"INC-1","minutes":45}`, "Idempotency-Key: k-1"); resp.StatusCode != 201 || fmt.Sprint(again) != fmt.Sprint(body) || w.calls != acts {
		t.Errorf("again: %d %v, %d acts more", resp.StatusCode, again, w.calls-acts)
	}
	if resp, body := call(t, srv, "POST", "/api/v1/elevations", "k.live", `{"privilege":"db-admin","reason":"別","minutes":45}`, "Idempotency-Key: k-1"); resp.StatusCode != 409 || body["code"] != "idempotency" {
		t.Errorf("another body: %d %v", resp.StatusCode, body)
	}
	if resp, _ := call(t, srv, "POST", "/api/v1/elevations/emergency", "k.live", `{"privilege":"db-admin","reason":"障害","minutes":10}`); resp.StatusCode != 201 || w.heard.data != "db-admin 障害  10 true " {
		t.Errorf("%d, asked %s", resp.StatusCode, w.heard.data)
	}
	// A password that is shown once is in the answer to what made it, and again
	// only under the key of that request.
	before := w.calls
	for range 2 {
		resp, body := call(t, srv, "POST", "/api/v1/elevations/e1/activate", "k.live", `{}`, "Idempotency-Key: k-9")
		if resp.StatusCode != 200 || !strings.Contains(fmt.Sprint(body["account"]), "CANARY-lent") {
			t.Errorf("%d %v", resp.StatusCode, body)
		}
	}
	if w.calls != before+1 {
		t.Errorf("%d activations", w.calls-before)
	}
	// What is begun comes with another handle, and the token that goes with it.
	resp, body = call(t, srv, "POST", "/api/v1/elevations/raised/activate", "k.live", `{}`, "Idempotency-Key: k-10")
	if c := resp.Cookies(); resp.StatusCode != 200 || len(c) != 1 || c[0].Name != "__Host-sekisho" || c[0].Value != "k.new" || body["csrf_token"] != "t-k.new" || resp.Header.Get("X-CSRF-Token") != "t-k.new" {
		t.Errorf("begun: %d, cookies %v, %v", resp.StatusCode, resp.Cookies(), body)
	}
	if resp, body := call(t, srv, "POST", "/api/v1/elevations/e1/end", "k.live", `{}`); len(resp.Cookies()) != 0 || body["csrf_token"] != nil {
		t.Errorf("given back: cookies %v, %v", resp.Cookies(), body)
	}
	if w.lasts > 5*time.Minute {
		t.Errorf("a lent password is kept for %v", w.lasts)
	}
	for k, v := range w.kept {
		if strings.Contains(k+string(v), "CANARY") {
			t.Errorf("kept in clear: %s %q", k, v)
		}
	}
}

// TestDeeds: what goes along with each act arrives, and no act needs more than
// the contract says.
func TestDeeds(t *testing.T) {
	w, srv := newWorld(t)
	for _, tt := range []struct{ act, body, heard string }{
		{"approve", ``, "approve e1 {Comment: Minutes:0 Report:}"},
		{"approve", `{}`, "approve e1 {Comment: Minutes:0 Report:}"},
		{"deny", `{"comment":"理由が足りない"}`, "deny e1 {Comment:理由が足りない Minutes:0 Report:}"},
		{"extend", `{"minutes":15,"comment":"未完"}`, "extend e1 {Comment:未完 Minutes:15 Report:}"},
		{"report", `{"report":"した"}`, "report e1 {Comment: Minutes:0 Report:した}"},
		{"judge", `{"comment":"可"}`, "judge e1 {Comment:可 Minutes:0 Report:}"},
		{"revoke", ``, "revoke e1 {Comment:" + unsaid + " Minutes:0 Report:}"},
		{"deny", `{}`, "deny e1 {Comment:" + unsaid + " Minutes:0 Report:}"},
		{"extend", `{}`, "extend e1 {Comment: Minutes:0 Report:}"},
	} {
		if resp, body := call(t, srv, "POST", "/api/v1/elevations/e1/"+tt.act, "k.live", tt.body); resp.StatusCode != 200 || w.heard.data != tt.heard {
			t.Errorf("%s %s: %d %v, heard %s", tt.act, tt.body, resp.StatusCode, body, w.heard.data)
		}
	}
	stepUp, long := &account.StepUp{Required: policy.PHR, MaxAge: time.Minute}, strings.Repeat("あ", 5000)
	state := web.Say(web.CodeState, policy.Words{JA: "もう終わっています。", EN: "It is over already."})
	for _, tt := range []struct {
		path, body string
		err        error
		status     int
		code       string
	}{
		{"/e1/approve", ``, stepUp, 403, "step_up"},
		{"/e1/approve", ``, state, 409, "wrong_state"},
		{"/e1/approve", `{"comment":"` + long + `"}`, nil, 422, "invalid"},
		{"/e1/activate", ``, &signin.Away{What: "directory"}, 503, "away"},
		{"/e1/report", `{}`, nil, 422, "invalid"},
		{"/e1/report", `{"report":"` + long + long + `"}`, nil, 422, "invalid"},
		{"/e1/extend", `{"minutes":-1}`, nil, 422, "invalid"},
		{"/e1/extend", `{"minutes":"x"}`, nil, 422, "invalid"},
		{"/e1/fly", ``, nil, 404, "not_found"},
		{"", `{"privilege":"db-admin","reason":"","minutes":1}`, nil, 422, "invalid"},
		{"", `{"privilege":"","reason":"x","minutes":1}`, nil, 422, "invalid"},
		{"", `{"privilege":"db-admin","reason":"x","minutes":0}`, nil, 422, "invalid"},
		{"", `{"privilege":"db-admin","reason":"x"}`, nil, 422, "invalid"},
		{"", `{"privilege":"db-admin","reason":"x","minutes":1,"force":true}`, nil, 422, "invalid"},
		{"", `{"privilege":"nothing","reason":"x","minutes":1}`, web.Say(web.CodeForbidden, policy.Words{}), 403, "forbidden"},
		{"/emergency", `{"privilege":"db-admin","reason":"x","minutes":1}`, stepUp, 403, "step_up"},
	} {
		w.next = tt.err
		if resp, body := call(t, srv, http.MethodPost, "/api/v1/elevations"+tt.path, "k.live", tt.body); resp.StatusCode != tt.status || body["code"] != tt.code {
			t.Errorf("%s %.60s: %d %v", tt.path, tt.body, resp.StatusCode, body)
		}
		w.next = nil
	}
}
