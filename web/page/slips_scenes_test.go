package page

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authz/people"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// handing is an administrator with people who have not begun, and papers for some.
func handing(w *world) *officeWorld {
	o := inOffice(w)
	line := func(login string, ends time.Time) people.Line {
		l := people.Line{Temporary: !ends.IsZero(), TemporaryEnds: ends}
		l.Login, l.Name, l.State, l.Section = login, "例 <i> "+login, people.Active, "jinji"
		return l
	}
	o.found = []people.Line{line("abe", t0.Add(time.Hour)), line("baba", t0), line("chiba", time.Time{})}
	o.handful = people.Handful{
		Given: []people.Slip{
			{Login: "abe", Name: "阿部 <b>", Section: "jinji", Secret: secret.NewText([]byte("kamg-7fxw-2mqp-h9rt")), EndsAt: t0.Add(24 * time.Hour)},
			{Login: "baba", Name: "馬場", Section: "jinji", Secret: secret.NewText([]byte("zzmg-7fxw-2mqp-h9rt")), EndsAt: t0.Add(24 * time.Hour)},
		},
		Passed: []people.Passed{{Login: "none", Err: people.ErrNotFound}, {Login: "chiba", Err: people.ErrLater}, {Login: "cho", Err: &people.Waiting{Proposed: true}}, {Login: "batch", Err: people.ErrUnusable}},
	}
	return o
}

func init() {
	scenes = append(scenes, []scene{
		{"slips", 200, func(w *world) *answer { return handing(w).get("/slips?section=jinji") }},
		{"slips-wrong", 422, func(w *world) *answer {
			handing(w).actErr = &people.Invalid{Field: "logins", Rule: "required", Says: policy.Words{JA: "仮パスワードを渡す人を選ぶか、ログイン名を入力してください。", EN: "Choose people, or enter their logins."}}
			return w.post("/slips", "logins", "")
		}},
		{"slips-shown", 409, func(w *world) *answer {
			handing(w)
			w.post("/slips", "login", "abe", "form", "f1")
			return w.post("/slips", "login", "abe", "form", "f1")
		}},
		{"slips-made", 200, func(w *world) *answer { return handing(w).post("/slips", "login", "abe") }},
	}...)
}

func TestSlips(t *testing.T) {
	o := handing(newWorld(t))
	o.get("/slips").is(200).says(`value="abe"`, "例 &lt;i&gt; abe", "期限切れ", "ありません（一度も使われていないID）", `href="/slips" aria-current="true"`)
	if !strings.HasPrefix(o.last(), "find ") || !strings.Contains(o.last(), "true") {
		t.Errorf("did %q", o.last())
	}
	a := o.post("/slips", "login", "abe", "logins", "baba\r\nchiba、cho none").is(200).says(
		"kamg-7fxw-2mqp-h9rt", "zzmg-7fxw-2mqp-h9rt", `id="slip-abe"`, "発行しなかった人：4人", "このログイン名の人はいません", "時間が足りませんでした", "もう一人の管理者")
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("papers may be kept: %q", a.Header.Get("Cache-Control"))
	}
	if o.last() != "slips [abe baba chiba cho none]" {
		t.Errorf("did %q", o.last())
	}
	// A sheet that is loaded again makes no others: those in hand would open nothing.
	o.get("/slips").says(`name="form" value="`)
	o.actErr = errStore
	o.post("/slips", "login", "abe", "form", "f1").is(500)
	o.actErr = nil
	o.post("/slips", "login", "abe", "form", "f1").is(200).says("kamg-7fxw-2mqp-h9rt")
	did := len(o.did)
	o.post("/slips", "login", "abe", "form", "f1").is(http.StatusConflict).says("もう表示しました", `value="abe" checked`).keepsSilentOn("kamg-7fxw", `value="f1"`)
	if slices.ContainsFunc(o.did[did:], func(s string) bool { return strings.HasPrefix(s, "slips ") }) {
		t.Error("it was done again")
	}
	o.post("/slips", "login", "abe", "form", "f2").is(200)
	o.actErr = freshly
	o.post("/slips", "login", "abe").is(http.StatusSeeOther).keepsSilentOn("kamg-7fxw")
	o.actErr = errStore
	o.post("/slips", "login", "abe").is(500).keepsSilentOn("kamg-7fxw", errStore.Error())
}
