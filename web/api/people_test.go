package api

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authn/totp/oath"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/policy"
)

// TestRefusalsOfOffice: each error of what administrators do, and what it is in
// HTTP.
func TestRefusalsOfOffice(t *testing.T) {
	w, srv := newWorld(t)
	alone := authz.May(policy.Standard(), authz.RecoveryCode, []policy.PostID{policy.SystemAdministrator}, []policy.PostID{policy.CIO}, false)
	words := policy.Words{JA: "だめ", EN: "No good"}
	for _, tt := range []struct {
		method, path, body string
		err                error
		status             int
		code, says         string
	}{
		{"GET", "/api/v1/people", "", &people.Denied{Permission: alone}, 403, "forbidden", "second administrator"},
		{"GET", "/api/v1/people", "", &account.StepUp{Required: policy.AAL2, MaxAge: time.Hour}, 403, "step_up", ""},
		{"GET", "/api/v1/people", "", &people.Invalid{Field: "q", Rule: "unusable", Says: words}, 422, "invalid", ""},
		{"GET", "/api/v1/people/nobody", "", people.ErrNotFound, 404, "not_found", ""},
		{"POST", "/api/v1/people/suzuki/suspend", `{"reason":"x"}`, &account.StepUp{Required: policy.PHR, MaxAge: time.Minute}, 403, "step_up", ""},
		{"POST", "/api/v1/people/suzuki/suspend", `{"reason":""}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/people/suzuki/suspend", `{}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/people/suzuki/suspend", `{"reason":"x","until":"tomorrow"}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/people/suzuki/restore", "", people.ErrNothingToLift, 409, "wrong_state", "neither suspended"},
		{"POST", "/api/v1/people/suzuki/restore", "", people.ErrDeleting, 409, "wrong_state", "cannot be taken back"},
		{"POST", "/api/v1/people/suzuki/leave", `{"from":"2026-04-01"}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/people/suzuki/leave", `{"reason":"x"}`, people.ErrLeaveApart, 409, "wrong_state", "ends before the new one"},
		{"POST", "/api/v1/people/suzuki/leave", `{"reason":"x","from":"x"}`, &people.Invalid{Field: "from", Rule: "not_a_day", Says: words}, 422, "invalid", ""},
		{"POST", "/api/v1/people/suzuki/end-leave", `{}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/people/suzuki/end-leave", `{"reason":"x"}`, people.ErrNoLeave, 409, "wrong_state", "No leave is recorded"},
		{"POST", "/api/v1/people/suzuki/unlock", "", people.ErrState, 409, "wrong_state", ""},
		{"POST", "/api/v1/people/suzuki/temporary-password", "", people.ErrUnusable, 409, "wrong_state", "cannot be used now"},
		{"POST", "/api/v1/people/suzuki/recovery-code", "", people.ErrNoFactor, 409, "wrong_state", "No second factor"},
		{"POST", "/api/v1/people/cio/recovery-code", "", &people.Denied{Permission: alone}, 403, "forbidden", "second administrator"},
		{"DELETE", "/api/v1/people/suzuki/factors/f9", "", people.ErrNotFound, 404, "not_found", ""},
		{"POST", "/api/v1/terminals", `{"id":"c1","zone":"lgwan","class":"dedicated","name":{"ja":"x"}}`, &terminal.Invalid{Field: "class", Rule: "two_persons", Says: words}, 422, "invalid", ""},
		{"POST", "/api/v1/terminals", `{"id":"c1"}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/terminals/c9/lost", "", fmt.Errorf("%w: %w", people.ErrNotFound, terminal.ErrNotFound), 404, "not_found", ""},
		{"POST", "/api/v1/terminals/c1/lost", "", fmt.Errorf("%w: %w", people.ErrState, terminal.ErrLost), 409, "wrong_state", "reported lost"},
		{"DELETE", "/api/v1/terminals/d1", "", &terminal.Invalid{Field: "id", Rule: "declared", Says: words}, 422, "invalid", ""},
		{"POST", "/api/v1/tokens/import", `{"format":"csv","data":"x"}`, &people.Invalid{Field: "format", Rule: "unknown", Says: words}, 422, "invalid", ""},
		{"POST", "/api/v1/tokens/import", `{"format":"csv","data":""}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/tokens/T1/assign", `{"login":"suzuki"}`, fmt.Errorf("%w: %w", people.ErrState, totp.ErrTokenState), 409, "wrong_state", "not in stock"},
		{"POST", "/api/v1/tokens/T1/assign", `{"login":"suzuki"}`, totp.ErrFull, 409, "wrong_state", "as many as"},
		{"POST", "/api/v1/tokens/T1/assign", `{"login":""}`, nil, 422, "invalid", ""},
		{"POST", "/api/v1/tokens/T9/lost", "", fmt.Errorf("%w: %w", people.ErrNotFound, totp.ErrNoToken), 404, "not_found", ""},
		{"POST", "/api/v1/tokens/*/lost", "", nil, 404, "not_found", ""},
		{"POST", "/api/v1/tokens/T1/resync", `{"first":"1","second":"2"}`, totp.ErrWrong, 422, "invalid", ""},
		{"POST", "/api/v1/tokens/T1/resync", `{"first":"1","second":"2"}`, totp.ErrReplayed, 422, "invalid", ""},
		{"POST", "/api/v1/tokens/T1/resync", `{"first":"1","second":"2"}`, totp.ErrResyncHeld, 429, "held", ""},
		{"POST", "/api/v1/tokens/T1/resync", `{"first":"1","second":""}`, nil, 422, "invalid", ""},
	} {
		w.next = tt.err
		before := w.calls
		resp, body := call(t, srv, tt.method, tt.path, "k.live", tt.body, "Accept-Language: en")
		if resp.StatusCode != tt.status || body["code"] != tt.code || !strings.Contains(fmt.Sprint(body["detail"]), tt.says) || w.calls != before {
			t.Errorf("%s %s %v: %d %v", tt.method, tt.path, tt.err, resp.StatusCode, body)
		}
		if tt.code == "forbidden" && fmt.Sprint(body["articles"]) != "[64-1 64-3 16-1 62-7]" {
			t.Errorf("%s %s: articles %v", tt.method, tt.path, body["articles"])
		}
		w.next = nil
	}
}

// TestFieldsOfOffice: which field a refusal is about, in the API's own names.
func TestFieldsOfOffice(t *testing.T) {
	w, srv := newWorld(t)
	faults := &oath.Faults{} // of which a hundred are listed
	for i := range 105 {
		faults.List = append(faults.List, oath.Fault{Line: i + 1, Field: "seed", Rule: "length", Detail: policy.Words{JA: "短い", EN: "Too short."}})
	}
	for _, tt := range []struct {
		path, body string
		err        error
		want       string
	}{
		{"/api/v1/tokens/T1/resync", `{"first":"1","second":"2"}`, totp.ErrWrong, "field:second rule:wrong"},
		{"/api/v1/terminals", `{"id":"c1","zone":"x","class":"counter","name":{"ja":"x"}}`, &terminal.Invalid{Field: "public_key", Rule: "private"}, "field:public_key rule:private"},
		{"/api/v1/people/suzuki/suspend", `{"reason":"x","until":"2020-01-01T00:00:00Z"}`, &people.Invalid{Field: "until", Rule: "past"}, "field:until rule:past"},
		{"/api/v1/people/suzuki/suspend", `{"reason":"x","until":"tomorrow"}`, nil, "field:until rule:type"},
		{"/api/v1/tokens/import", `{"format":"pskc","data":"x","key":"y"}`, &oath.Faults{List: []oath.Fault{{Field: "key", Rule: "wrong", Detail: policy.Words{EN: "Wrong."}}}}, "field:key rule:wrong"},
		{"/api/v1/tokens/import", `{"format":"csv","data":"x"}`, faults, "detail:line 3: seed: Too short. field:data rule:length"},
		{"/api/v1/tokens/import", `{"format":"csv","data":"x"}`, faults, "detail:There are 5 more. field:data rule:more"},
	} {
		w.next = tt.err
		_, body := call(t, srv, "POST", tt.path, "k.live", tt.body, "Accept-Language: en")
		if !strings.Contains(fmt.Sprint(body["errors"]), tt.want) {
			t.Errorf("%s %v: %v, want %s", tt.path, tt.err, body["errors"], tt.want)
		}
		w.next = nil
	}
}

func TestPeople(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/people?q=%E9%88%B4+x&after=sato&limit=7", "k.live", "")
	if w.heard.query != "鈴 x" || w.heard.after != "sato" || w.heard.limit != 7 || body["next"] != "suzuki" {
		t.Errorf("heard %+v, answered %v", w.heard, body)
	}
	call(t, srv, "GET", "/api/v1/people", "k.live", "")
	if w.heard.query != "" || w.heard.limit != perPage {
		t.Errorf("heard %+v", w.heard)
	}
	for query, field := range map[string]string{
		"limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "query=a": "query", "q=a&q=b": "q", "q=" + strings.Repeat("x", 600): "q",
	} {
		for _, path := range []string{"/api/v1/people?", "/api/v1/tokens?"} {
			resp, body := call(t, srv, "GET", path+query, "k.live", "")
			if resp.StatusCode != 422 || !strings.Contains(fmt.Sprint(body["errors"]), "field:"+field+" ") {
				t.Errorf("%s%.20s: %d %v", path, query, resp.StatusCode, body)
			}
		}
	}
	_, body = call(t, srv, "GET", "/api/v1/people/suzuki", "k.live", "")
	if body["login"] != "suzuki" || body["id"] != "p2" || body["state"] != "suspended" || body["sessions"] != 2.0 || body["recovery_ends_at"] != nil {
		t.Errorf("%v", body)
	}
	for field, want := range map[string]string{
		"may":    "[suspend]", // and not what the reader's posts leave out
		"closed": "[map[by:tanaka kind:suspended reason:調査 since:2026-04-01T09:00:00Z until:<nil>]]",
		"attempts": "[map[failures:5 held_until:2026-04-01T09:00:00Z kind:password spent:false]" +
			" map[failures:0 held_until:<nil> kind:code spent:false]]",
		"factors": "[map[added_at:2026-04-01T09:00:00Z id:f2 kind:token last_used_at:<nil> name: serial:T1 synced:false]]",
	} {
		if got := fmt.Sprint(body[field]); got != want {
			t.Errorf("%s: %s, want %s", field, got, want)
		}
	}
}

func TestSuspend(t *testing.T) {
	w, srv := newWorld(t)
	resp, body := call(t, srv, "POST", "/api/v1/people/suzuki/suspend", "k.live", `{"reason":"調査","until":"2026-04-02T00:00:00+09:00"}`)
	if resp.StatusCode != 200 || body["login"] != "suzuki" || body["state"] != "suspended" {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
	if w.heard.login != "suzuki" || w.heard.reason != "調査" || !w.heard.until.Equal(time.Date(2026, 4, 1, 15, 0, 0, 0, time.UTC)) {
		t.Errorf("heard %+v", w.heard)
	}
	call(t, srv, "POST", "/api/v1/people/suzuki/suspend", "k.live", `{"reason":"x"}`)
	if !w.heard.until.IsZero() {
		t.Errorf("without an end: %v", w.heard.until)
	}
	call(t, srv, "POST", "/api/v1/people/suzuki/restore", "k.live", `{"reason":"戻った"}`)
	if w.heard.reason != "戻った" {
		t.Errorf("heard %+v", w.heard)
	}
	call(t, srv, "POST", "/api/v1/people/suzuki/leave", "k.live", `{"from":"2026-04-01","until":"2027-03-31","reason":"育休"}`)
	if w.heard.reason != "育休" || w.heard.data != "2026-04-01 2027-03-31" {
		t.Errorf("heard %+v", w.heard)
	}
	call(t, srv, "POST", "/api/v1/people/suzuki/end-leave", "k.live", `{"reason":"復職"}`)
	if w.heard.reason != "復職" {
		t.Errorf("heard %+v", w.heard)
	}
}

// TestSlips: a credential is answered when it is made, to the one who made it,
// and again only to the same request of the same session.
func TestSlips(t *testing.T) {
	w, srv := newWorld(t)
	for path, want := range map[string]string{
		"/api/v1/people/suzuki/temporary-password": "map[ends_at:2026-04-01T10:00:00Z login:suzuki password:CANARY-word]",
		"/api/v1/people/suzuki/recovery-code":      "map[code:CANARY-code ends_at:2026-04-01T10:00:00Z login:suzuki]",
	} {
		const key = "Idempotency-Key: 1"
		resp, body := call(t, srv, "POST", path, "k.live", "{}", key)
		if resp.StatusCode != 201 || fmt.Sprint(body) != want || !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
			t.Errorf("%s: %d %v %v", path, resp.StatusCode, body, resp.Header)
		}
		made := w.calls
		if resp, again := call(t, srv, "POST", path, "k.live", "{}", key); resp.StatusCode != 201 || fmt.Sprint(again) != want || w.calls != made {
			t.Errorf("%s again: %d %v, %d acts", path, resp.StatusCode, again, w.calls-made)
		}
		if _, other := call(t, srv, "POST", path, "k.new", "{}", key); w.calls != made+1 {
			t.Errorf("%s from another session: %v", path, other)
		}
	}
	for place, sealed := range w.kept {
		if strings.Contains(string(sealed), "CANARY") {
			t.Errorf("%s is kept in clear", place)
		}
	}
}

func TestTerminals(t *testing.T) {
	w, srv := newWorld(t)
	resp, body := call(t, srv, "POST", "/api/v1/terminals", "k.live", `{"id":"c1","zone":"lgwan","class":"counter","name":{"ja":"窓口","en":"Counter"},"public_key":"PEM"}`)
	if resp.StatusCode != 201 || body["id"] != "c1" || body["name"] != "窓口一" || body["who"] != "suzuki" || body["lost_at"] != nil {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
	want := terminal.Terminal{ID: "c1", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: "窓口", EN: "Counter"}}
	if w.heard.terminal != want || w.heard.key != "PEM" {
		t.Errorf("heard %+v", w.heard)
	}
	if _, body := call(t, srv, "GET", "/api/v1/terminals", "k.live", "", "Accept-Language: en"); !strings.Contains(fmt.Sprint(body), "name:Counter 1") {
		t.Errorf("in English: %v", body)
	}
}

func TestTokenFile(t *testing.T) {
	w, srv := newWorld(t)
	const file = "serial,seed\nT1,00\n"
	for name, data := range map[string]string{
		"text": file, "base64": base64.StdEncoding.EncodeToString([]byte(file)),
	} {
		body := fmt.Sprintf(`{"format":"csv","data":%q,"key":"k"}`, data)
		resp, answer := call(t, srv, "POST", "/api/v1/tokens/import", "k.live", body)
		if resp.StatusCode != 201 || fmt.Sprint(answer) != "map[added:2 known:[]]" || w.heard.data != file || w.heard.reason != "csv" || w.heard.key != "k" {
			t.Errorf("as %s: %d %v, heard %+v", name, resp.StatusCode, answer, w.heard)
		}
	}
	resp, answer := call(t, srv, "POST", "/api/v1/tokens/t%201/assign", "k.live", `{"login":"suzuki"}`)
	if resp.StatusCode != 200 || answer["serial"] != "T1" || answer["period"] != 30.0 || answer["login"] != nil || w.heard.data != "T1" {
		t.Errorf("a serial as people type it: %d %v", resp.StatusCode, answer)
	}
}
