package api

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web/desk"
)

func (c counter) Reviews(context.Context, signin.Origin, string) (desk.Reviews, error) {
	one := desk.Acting{
		Card: desk.Card{ID: "m1", Kind: "elevation", Lease: "e1", What: policy.Words{JA: "特権", EN: "Privilege"}, By: desk.Who{Login: "sasaki"}, Reason: "調査"},
		Key:  "d1", Post: policy.SecurityManager, Due: t0, Theirs: true,
		Decision: desk.Decision{By: desk.Who{Login: "ogawa"}, Yes: true, At: t0.Add(-time.Hour), Comment: "当番"},
	}
	past := one
	past.Key, past.Theirs, past.Decision.Yes, past.Lease = "d2", false, false, ""
	past.Reviewer, past.ReviewAt, past.Objects, past.Comment = desk.Who{Login: "yamada"}, t0, true, "待てた"
	return desk.Reviews{Owed: []desk.Acting{one}, Past: []desk.Acting{past}}, c.act()
}

func (c counter) Review(_ context.Context, _ signin.Origin, _, decision string, objects bool, comment string) error {
	c.heard.data = fmt.Sprint(decision, " ", objects, " ", comment)
	return c.act()
}

func (c counter) Findings(context.Context, signin.Origin, string) ([]desk.Finding, error) {
	return []desk.Finding{{ID: "f1", Kind: "membership", Account: "mallory", Object: "cn=dba", SeenAt: t0, LastAt: t0, TakenAt: t0, TakenBy: desk.Who{Login: "ueda"}, Note: "確認中"}}, c.act()
}

func (c counter) TakeUp(_ context.Context, _ signin.Origin, _, id, note string) error {
	c.heard.data = id + " " + note
	return c.act()
}

func init() {
	for route, ex := range map[string]example{
		"GET /api/v1/reviews":             {"/api/v1/reviews", "k.live", ""},
		"POST /api/v1/reviews/{id}":       {"/api/v1/reviews/d1", "k.live", `{"objection":true,"comment":"待てた"}`},
		"GET /api/v1/findings":            {"/api/v1/findings", "k.live", ""},
		"POST /api/v1/findings/{id}/take": {"/api/v1/findings/f1/take", "k.live", `{"note":"確認中"}`},
	} {
		examples[route] = ex
	}
}

func TestReviews(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/reviews", "k.live", "")
	items, _ := body["items"].([]any)
	if len(items) != 2 {
		t.Fatalf("%v", body)
	}
	owed, past := items[0].(map[string]any), items[1].(map[string]any)
	if owed["id"] != "d1" || owed["elevation"] != "e1" || owed["decision"] != "approve" || owed["overdue"] != true || owed["mine"] != true || owed["reviewed_by"] != nil {
		t.Errorf("%v", owed)
	}
	if past["decision"] != "deny" || past["objection"] != true || past["reviewed_by"] != "yamada" || past["overdue"] != false || past["mine"] != false {
		t.Errorf("%v", past)
	}
	if resp, _ := call(t, srv, "POST", "/api/v1/reviews/d1", "k.live", `{"comment":"了解"}`); resp.StatusCode != 204 || w.heard.data != "d1 false 了解" {
		t.Errorf("%d, %q", resp.StatusCode, w.heard.data)
	}
	if resp, _ := call(t, srv, "POST", "/api/v1/findings/f1/take", "k.live", `{"note":""}`); resp.StatusCode != 422 {
		t.Errorf("an empty note: %d", resp.StatusCode)
	}
}
