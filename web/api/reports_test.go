package api

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sekisho/authn/signin"
	"sekisho/authz/lifecycle"
	"sekisho/authz/report"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/web"
)

// shelf is the reports in a world.
type shelf struct{ *world }

// A keptDoc is a report that was made by itself; its entries are numbered as its caller asks.
type keptDoc struct{ report.Document }

func (keptDoc) Answer(after string, most int) any {
	return report.KeptAnswer{Kept: monthly.Head(), Items: []map[string]string{{"login": "tanaka", "after": after, "most": fmt.Sprint(most)}}}
}

// Has is true of the numbers that there are.
func (keptDoc) Has(after string) bool { return after != "gone" }

var monthly = report.Kept{ID: "k1", Schedule: "monthly", Name: report.OfDormant, MadeAt: t0, EndsAt: t0.AddDate(0, 0, 90), Entries: 1}

func (w shelf) For(_ context.Context, _ signin.Origin, _ string, wish report.Wish) (report.Document, error) {
	docs := map[report.Name]report.Document{
		report.OfPrivilege: report.Privilege{}, report.OfRemote: report.Remote{}, report.OfReconcile: report.Reconcile{}, report.OfEvidence: report.Evidence{},
		report.OfDormant: report.Dormant{
			Sweep:   lifecycle.Summary{AsOf: t0, Answer: lifecycle.Answer{People: 10}},
			Entries: []lifecycle.Entry{{Login: "tanaka", Kind: directory.KindStaff, Class: policy.DormancyStaff, LastUse: t0, Stage: lifecycle.Warned}, {Login: "suzuki", CreatedAt: t0}},
		},
	}
	w.heard.data = fmt.Sprint(wish)
	return docs[wish.Name], w.act()
}

func (w shelf) KeptFor(context.Context, signin.Origin, string) ([]report.Kept, error) {
	weekly := monthly
	weekly.Name, weekly.Section, weekly.Period = report.OfPrivilege, "joho", report.Period{From: t0.AddDate(0, 0, -7), To: t0}
	return []report.Kept{monthly, weekly}, w.act()
}

func (w shelf) KeptOne(_ context.Context, _ signin.Origin, _, id, format string) (report.Kept, report.Document, error) {
	if w.heard.data = id + " " + format; id != monthly.ID {
		return report.Kept{}, nil, report.ErrNotKept
	}
	return monthly, keptDoc{}, w.act()
}

func init() {
	for _, name := range report.Names() {
		at := "/api/v1/reports/" + string(name)
		examples["GET "+at] = example{at + "?limit=1", "k.live", ""}
	}
	examples["GET /api/v1/kept-reports"] = example{"/api/v1/kept-reports", "k.live", ""}
	examples["GET /api/v1/kept-reports/{id}"] = example{"/api/v1/kept-reports/k1", "k.live", ""}
}

func TestReports(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/reports/dormant?from=2026-03-01&limit=1", "k.live", "")
	if items := body["items"].([]any); len(items) != 1 || body["next"] != "tanaka" || w.heard.data != "{dormant 2026-03-01  json}" {
		t.Errorf("%v, asked for %q", body, w.heard.data)
	}
	for path, field := range map[string]string{"?limit=0": "limit", "?section=joho": "section", "?after=gone": "after"} {
		resp, body := call(t, srv, "GET", "/api/v1/reports/dormant"+path, "k.live", "")
		if errs, _ := body["errors"].([]any); resp.StatusCode != 422 || len(errs) != 1 || errs[0].(map[string]any)["field"] != field {
			t.Errorf("%s: %d %v", path, resp.StatusCode, body)
		}
	}
}

// TestKeptReports: programs read what was made on its day, and which there are.
func TestKeptReports(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/kept-reports", "k.live", "")
	items := body["items"].([]any)
	for i, want := range []string{"dormant  <nil>", "privilege joho " + t0.AddDate(0, 0, -7).Format(time.RFC3339)} {
		one := items[i].(map[string]any)
		if got := fmt.Sprint(one["report"], " ", one["section"], " ", one["from"]); got != want || one["entries"] != 1.0 || one["ends_at"] != t0.AddDate(0, 0, 90).Format(time.RFC3339) {
			t.Errorf("%v", one)
		}
	}
	_, body = call(t, srv, "GET", "/api/v1/kept-reports/k1?after=7&limit=3", "k.live", "")
	if got := fmt.Sprint(body["items"]); got != "[map[after:7 login:tanaka most:3]]" || body["kept"].(map[string]any)["id"] != "k1" || w.heard.data != "k1 json" {
		t.Errorf("%v, asked for %q", body, w.heard.data)
	}
	if resp, body := call(t, srv, "GET", "/api/v1/kept-reports/gone", "k.live", ""); resp.StatusCode != 404 || body["code"] != web.CodeNotFound || body["detail"] == nil {
		t.Errorf("%d %v", resp.StatusCode, body)
	}
}
