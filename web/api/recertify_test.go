package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/recertify"
	"sekisho/directory"
	"sekisho/policy"
)

var _ Recertify = (*recertify.Book)(nil)

// table is a recertification in a world.
type table struct{ *world }

func inRound() recertify.Shown {
	return recertify.Shown{
		Round: recertify.Round{ID: "r1", Campaign: "ids", Name: policy.Words{JA: "IDの棚卸し", EN: "Review of IDs"}, Kind: policy.RecertifyIDs, State: recertify.Open, BeganAt: t0},
		Ends:  t0.AddDate(0, 0, 14), Mine: 2, Parts: []recertify.Part{{Section: "joho", States: map[recertify.LineState]int{recertify.Waits: 3, recertify.Ended: 1}, Mine: 2, May: true}},
	}
}

func onTable() recertify.Line {
	return recertify.Line{
		ID: "l1", Round: "r1", Person: recertify.Ref{ID: "p2", Login: "suzuki", Name: "鈴木", Section: "joho"}, Kind: directory.KindStaff, Object: "cn=dba", About: []string{"db-admin"},
		LastUse: t0.AddDate(0, 0, -40), State: recertify.Waits,
	}
}

func (w table) Rounds(context.Context, signin.Origin, string) ([]recertify.Shown, error) {
	over := inRound()
	over.ID, over.State, over.EndedAt, over.Parts = "r0", recertify.Done, t0, nil
	return []recertify.Shown{inRound(), over}, w.act()
}

func (w table) Sheet(_ context.Context, _ signin.Origin, _, round string, q recertify.Query) (recertify.Sheet, error) {
	w.heard.data = fmt.Sprintf("%s %+v", round, q)
	own := onTable()
	own.ID, own.State, own.Reason, own.DecidedBy, own.DecidedAt = "l2", recertify.Held, "sealed", recertify.Ref{Login: "yamada"}, t0
	return recertify.Sheet{Shown: inRound(), Next: "l2", Lines: []recertify.Seen{
		{Line: onTable(), UsedSince: t0}, {Line: own, No: &recertify.Refusal{Reason: "decided", Is: recertify.Conflict, Says: policy.Words{JA: "もう決まっています。", EN: "It is decided already."}}},
	}}, w.act()
}

func (w table) Decide(_ context.Context, _ signin.Origin, _, round string, lines []string, end bool, comment string) (recertify.Result, error) {
	w.heard.data = fmt.Sprint(round, " ", lines, " ", end, " ", comment)
	return recertify.Result{Ended: 1, Owed: 2, Asked: 3, Not: []recertify.NotDone{{Line: onTable(), Why: &recertify.Refusal{Reason: "decided", Is: recertify.Conflict, Says: policy.Words{JA: "もう決まっています。", EN: "It is decided already."}}}}}, w.act()
}

const recertifications = "/api/v1/recertifications"

func init() {
	examples["GET "+recertifications] = example{recertifications, "k.live", ""}
	examples["GET "+recertifications+"/{id}"] = example{recertifications + "/r1?all=true&limit=2", "k.live", ""}
	examples["POST "+recertifications+"/{id}/decide"] = example{recertifications + "/r1/decide", "k.live", `{"lines":["l1"],"answer":"end","reason":"退職"}`}
}

// first is a member of the first item of a list.
func first(body map[string]any, i int) map[string]any {
	items, _ := body["items"].([]any)
	if i >= len(items) {
		return nil
	}
	one, _ := items[i].(map[string]any)
	return one
}

func TestRecertifications(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", recertifications, "k.live", "", "Accept-Language: en")
	open, over := first(body, 0), first(body, 1)
	if open["name"] != "Review of IDs" || open["state"] != "open" || open["open"] != true || open["mine"] != 2.0 || open["ends_at"] != "2026-04-15T09:00:00Z" || open["ended_at"] != nil ||
		fmt.Sprint(open["sections"]) != "[map[lines:4 mine:2 section:joho states:map[ended:1 open:3]]]" {
		t.Errorf("%v", open)
	}
	if over["open"] != false || over["ends_at"] != nil || over["ended_at"] == nil {
		t.Errorf("%v", over)
	}

	_, body = call(t, srv, "GET", recertifications+"/r1", "k.live", "")
	line, held := first(body, 0), first(body, 1)
	if body["next"] != "l2" || line["login"] != "suzuki" || line["may_decide"] != true || line["why"] != nil || line["what"] != "cn=dba" || fmt.Sprint(line["about"]) != "[db-admin]" || line["last_used_at"] == nil || line["used_since"] != "2026-04-01T09:00:00Z" {
		t.Errorf("%v", line)
	}
	if held["may_decide"] != false || held["why"] == nil || held["reason"] != "sealed" || held["decided_by"] != "yamada" {
		t.Errorf("%v", held)
	}
	for query, want := range map[string]string{
		"":                               "r1 {Section: State:open Mine:true After: Limit:50}",
		"?state=confirmed":               "r1 {Section: State:confirmed Mine:true After: Limit:50}",
		"?all=true":                      "r1 {Section: State: Mine:false After: Limit:50}",
		"?all=1&section=joho&state=held": "r1 {Section:joho State:held Mine:false After: Limit:50}",
		"?after=l9&limit=200":            "r1 {Section: State:open Mine:true After:l9 Limit:200}",
	} {
		if resp, _ := call(t, srv, "GET", recertifications+"/r1"+query, "k.live", ""); resp.StatusCode != 200 || w.heard.data != want {
			t.Errorf("%q: %d, asked for %s", query, resp.StatusCode, w.heard.data)
		}
	}
	for query, field := range map[string]string{"?state=gone": "state", "?limit=201": "limit", "?al=true": "al", "?all=x": "all"} {
		resp, body := call(t, srv, "GET", recertifications+"/r1"+query, "k.live", "")
		if resp.StatusCode != 422 || body["errors"].([]any)[0].(map[string]any)["field"] != field {
			t.Errorf("%s: %d %v", query, resp.StatusCode, body)
		}
	}
}

// TestRecertificationIsDecided: what was done and what was not, done once however often
// it is sent, and each refusal in the API's own words.
func TestRecertificationIsDecided(t *testing.T) {
	w, srv := newWorld(t)
	const path = recertifications + "/r1/decide"
	resp, body := call(t, srv, "POST", path, "k.live", `{"lines":["l1","l2"],"answer":"end","reason":"退職"}`, "Idempotency-Key: k")
	if resp.StatusCode != 200 || body["ended"] != 1.0 || body["owed"] != 2.0 || body["asked"] != 3.0 || body["confirmed"] != 0.0 || w.heard.data != "r1 [l1 l2] true 退職" ||
		!strings.Contains(fmt.Sprint(body["not"]), "login:suzuki rule:decided") {
		t.Errorf("%d %v, heard %q", resp.StatusCode, body, w.heard.data)
	}
	before := w.calls
	if resp, again := call(t, srv, "POST", path, "k.live", `{"lines":["l1","l2"],"answer":"end","reason":"退職"}`, "Idempotency-Key: k"); resp.StatusCode != 200 || fmt.Sprint(again) != fmt.Sprint(body) || w.calls != before {
		t.Errorf("sent twice: %d %v, done %d times more", resp.StatusCode, again, w.calls-before)
	}
	if resp, _ := call(t, srv, "POST", path, "k.live", `{"lines":["l1"],"answer":"confirm"}`, "Idempotency-Key: k"); resp.StatusCode != 409 {
		t.Errorf("another request under the same key: %d", resp.StatusCode)
	}
	if resp, _ := call(t, srv, "POST", path, "k.live", `{"lines":["l1"],"answer":"confirm"}`); resp.StatusCode != 200 || w.heard.data != "r1 [l1] false " {
		t.Errorf("confirming: %d, heard %q", resp.StatusCode, w.heard.data)
	}
	before = w.calls
	if resp, _ := call(t, srv, "POST", path, "k.live", `{"lines":["l1"],"answer":"confirm"}`, "X-CSRF-Token: x"); resp.StatusCode != 403 || w.calls != before {
		t.Errorf("without its token: %d", resp.StatusCode)
	}
	if resp, _ := call(t, srv, "POST", path, "", `{"lines":["l1"],"answer":"confirm"}`); resp.StatusCode != 401 || w.calls != before {
		t.Errorf("nobody: %d", resp.StatusCode)
	}
	field := func(body map[string]any) any {
		all, _ := body["errors"].([]any)
		if len(all) == 0 {
			return nil
		}
		return all[0].(map[string]any)["field"]
	}
	if resp, body := call(t, srv, "POST", path, "k.live", `{"lines":["l1"]}`); resp.StatusCode != 422 || field(body) != "answer" || w.calls != before {
		t.Errorf("no answer: %d %v", resp.StatusCode, body)
	}
	for _, tt := range []struct {
		err   error
		code  int
		field any
	}{
		{&recertify.Refusal{Reason: "lines", Is: recertify.Invalid, Field: "line"}, 422, "lines"}, {&recertify.Refusal{Reason: "required", Is: recertify.Invalid, Field: "comment"}, 422, "reason"},
		{&recertify.Refusal{Reason: "over", Is: recertify.Conflict}, 409, nil}, {&recertify.Refusal{Reason: "own", Is: recertify.Forbidden}, 403, nil},
		{recertify.ErrNotFound, 404, nil}, {&account.StepUp{Required: policy.PHR, MaxAge: time.Minute}, 403, nil},
	} {
		w.next = fmt.Errorf("deciding: %w", tt.err)
		if resp, body := call(t, srv, "POST", path, "k.live", `{"lines":["l1"],"answer":"end","reason":"x"}`); resp.StatusCode != tt.code || field(body) != tt.field {
			t.Errorf("%v is answered %d %v, want %d", tt.err, resp.StatusCode, body, tt.code)
		}
	}
}
