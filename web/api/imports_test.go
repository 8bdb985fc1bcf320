package api

import (
	"context"
	"fmt"
	"testing"

	"sekisho/authn/signin"
	"sekisho/authz/personnel"
	"sekisho/policy"
	"sekisho/web/desk"
)

// cabinet is the files of personnel changes in a world.
type cabinet struct{ *world }

// The real desk fits.
var _ Imports = (*desk.Desk)(nil)

func filed(id string) desk.Import {
	return desk.Import{
		Import: personnel.Import{ID: id, File: "f.csv", Digest: "00", By: "oda", ProposedAt: t0, Effective: t0, State: personnel.Done, ApprovedAt: t0, EndedAt: t0, UndoBy: "kato",
			Summary: personnel.Summary{Counts: map[personnel.Act]int{personnel.Joins: 2}, Vacant: []personnel.Vacancy{{Post: policy.CIO, Section: "joho"}, {Post: policy.CSIRT}}}},
		Progress: personnel.Progress{Lines: 2, Done: 1, Failed: 1, Next: t0}, UndoUntil: t0,
	}
}

func (w cabinet) Imports(context.Context, signin.Origin, string) ([]desk.Import, error) {
	return []desk.Import{filed("i1"), {}}, w.act()
}

func (w cabinet) Import(_ context.Context, _ signin.Origin, _, id string, act personnel.Act, after, most int) (desk.Import, []personnel.Standing, error) {
	w.heard.data = fmt.Sprint(id, " ", act, " ", after, " ", most)
	return filed(id), []personnel.Standing{{N: 7, Step: "failed", Error: "x", Change: personnel.Change{
		Act: personnel.Moves, Login: "tanaka", Before: personnel.Record{Section: "jinji"}, Gained: []policy.PostID{policy.CIO}, Lost: []policy.PostID{policy.Staff}, Warnings: []personnel.Warning{personnel.Powerful},
		Handover: t0, Due: t0, After: personnel.Record{Section: "joho", Expires: t0},
	}}}, w.act()
}

func (w cabinet) DecideImport(_ context.Context, _ signin.Origin, _, id, undo string, yes bool, comment string) (desk.Import, error) {
	w.heard.data = fmt.Sprint(id, undo, " ", yes, " ", comment)
	return filed(id), w.act()
}

func (w cabinet) UndoImport(_ context.Context, _ signin.Origin, _, id, reason string) (desk.Import, error) {
	w.heard.data = id + " " + reason
	return filed(id), w.act()
}

func (w cabinet) Returns(context.Context, signin.Origin, string, string, int, int) (desk.Import, []personnel.Return, error) {
	return filed("i1"), []personnel.Return{{Login: "tanaka", Name: "田中", Section: "jinji", Due: t0, Things: []personnel.Thing{{Kind: "card", ID: "S-1"}, {Kind: "token", ID: "T", Back: t0, By: "kato"}}}, {}}, w.act()
}

func init() {
	const at = "/api/v1/imports"
	examples["GET "+at] = example{at, "k.live", ""}
	examples["GET "+at+"/{id}"] = example{at + "/i1", "k.live", ""}
	examples["GET "+at+"/{id}/lines"] = example{at + "/i1/lines?act=moves&after=3&limit=1", "k.live", ""}
	examples["GET "+at+"/{id}/returns"] = example{at + "/i1/returns", "k.live", ""}
	examples["POST "+at+"/{id}/approve"] = example{at + "/i1/approve", "k.live", `{"comment":"x"}`}
	examples["POST "+at+"/{id}/deny"] = example{at + "/i1/deny", "k.live", `{"comment":"x"}`}
	examples["POST "+at+"/{id}/undo"] = example{at + "/i1/undo", "k.live", `{"reason":"x"}`}
}

func TestImports(t *testing.T) {
	w, srv := newWorld(t)
	for _, tt := range []struct{ method, path, body, heard string }{
		{"GET", "/i1", "", "i1  0 1"},
		{"GET", "/i1/lines?act=moves&after=3&limit=9999", "", "i1 moves 3 500"},
		{"GET", "/i1/lines?after=x&limit=-1", "", "i1  0 100"},
		{"POST", "/i1/approve", `{}`, "i1 true "},
		{"POST", "/i1/deny", `{"comment":"違う"}`, "i1 false 違う"},
		{"POST", "/i1/approve", `{"undo":"/u9"}`, "i1/u9 true "},
		{"POST", "/i1/undo", `{"reason":"取違え"}`, "i1 取違え"},
	} {
		res, body := call(t, srv, tt.method, "/api/v1/imports"+tt.path, "k.live", tt.body)
		if res.StatusCode != 200 || w.heard.data != tt.heard {
			t.Errorf("%s %s: %d %v, the desk heard %q, want %q", tt.method, tt.path, res.StatusCode, body, w.heard.data, tt.heard)
		}
	}
	_, body := call(t, srv, "GET", "/api/v1/imports/i1/lines?limit=1", "k.live", "")
	if body["next"] != "7" {
		t.Errorf("the rest is after %v", body["next"])
	}
}
