package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authz/sealed"
)

// safe is the register of emergency IDs in a world.
type safe struct{ *world }

func envelope(id string) sealed.Shown {
	by := sealed.Ref{ID: "1", Login: "sato"}
	d := sealed.Deed{At: t0, By: by, Note: "x"}
	return sealed.Shown{
		Envelope: sealed.Envelope{
			ID: id, System: "firewall", Account: "admin", Place: "金庫", Registered: d, Sealed: d, Placed: d, Confirmed: d, Tested: d,
			Openings: []sealed.Opening{{At: t0, By: by, Writer: by, Reason: "障害"}}, ReportDue: t0,
		},
		Debts: []sealed.Owed{{What: sealed.OwesReport, Due: t0}}, TestDue: t0, RotationDue: t0,
		May:     map[sealed.Act]*sealed.Refusal{sealed.Report: nil, sealed.Open: {Reason: "open"}},
		History: []sealed.Event{{At: t0, Act: sealed.Open, By: by, Note: "障害", Opener: &by, Opened: t0}, {At: t0, Act: sealed.Register, By: by}},
	}
}

func (w safe) List(context.Context, signin.Origin, string) (sealed.Listed, error) {
	return sealed.Listed{Envelopes: []sealed.Shown{envelope("s1")}, Withdrawn: []sealed.Shown{{}}}, w.act()
}

func (w safe) Get(_ context.Context, _ signin.Origin, _, id string) (sealed.Shown, *account.StepUp, error) {
	return envelope(id), nil, w.act()
}

func (w safe) Register(_ context.Context, _ signin.Origin, _ string, n sealed.Draft) (sealed.Shown, error) {
	w.heard.data = fmt.Sprintf("%+v", n)
	return envelope("s1"), w.act()
}

func (w safe) Do(_ context.Context, _ signin.Origin, _, id string, a sealed.Act, t sealed.Typed) (sealed.Shown, error) {
	w.heard.data = strings.TrimSpace(fmt.Sprint(a, " ", id, " ", t.Note, " ", t.Place, " ", t.Failed, " ", t.Opener, " ", !t.At.IsZero()))
	return envelope(id), w.act()
}

func init() {
	const at = "/api/v1/sealed-ids"
	examples["GET "+at] = example{at, "k.live", ""}
	examples["POST "+at] = example{at, "k.live", `{"system":"firewall","account":"admin","place":"金庫"}`}
	examples["GET "+at+"/{id}"] = example{at + "/s1", "k.live", ""}
	for _, a := range sealed.Acts() {
		examples["POST "+at+"/{id}/"+string(a)] = example{at + "/s1/" + string(a), "k.live", `{"note":"x","place":"y"}`}
	}
}

func TestSealedIDs(t *testing.T) {
	w, srv := newWorld(t)
	_, body := call(t, srv, "GET", "/api/v1/sealed-ids/s1", "k.live", "")
	if fmt.Sprint(body["may"]) != "[report]" || body["open"] != true || body["opened_by"] != "sato" || len(body["history"].([]any)) != 2 {
		t.Errorf("%v", body)
	}
	for in, want := range map[string]string{
		`{"note":"障害","opened_by":"ueda","opened_at":"2026-03-01T09:00:00Z"}`: "open s1 障害  false ueda true",
		`{"note":"障害"}`: "open s1 障害  false  false",
	} {
		if resp, _ := call(t, srv, "POST", "/api/v1/sealed-ids/s1/open", "k.live", in); resp.StatusCode != 200 || w.heard.data != want {
			t.Errorf("%s: %d, did %q", in, resp.StatusCode, w.heard.data)
		}
	}
	for code, err := range map[int]error{
		403: &sealed.Refusal{Reason: "no_post"}, 409: &sealed.Refusal{Reason: "open", Conflict: true}, 422: &sealed.Refusal{Reason: "required", Field: "note"}, 404: sealed.ErrNotFound,
	} {
		w.next = fmt.Errorf("entering: %w", err)
		if resp, _ := call(t, srv, "POST", "/api/v1/sealed-ids/s1/test", "k.live", `{"note":"x"}`); resp.StatusCode != code {
			t.Errorf("%v is answered %d", err, resp.StatusCode)
		}
	}
}
