package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/test/harness"
)

// ofASection are the doors that lead to what belongs to a section, by the rules of
// TestDoorsOfTheMoved. The others are everybody's.
var ofASection = []string{"code to token", "userinfo", "introspection", "refresh", "forward-auth", "the application", "the handover"}

// moves has a file of personnel changes be carried out at a midnight in Japan: nothing of
// it a moment before, and all of it once the gate has done its lines.
func (d lender) moves(t *testing.T, at time.Time, lines int, text string, before func()) {
	t.Helper()
	file := writeFile(t, "jinji.csv", text)
	if out, errs, status := harness.Run(t, "sekisho", "people", "import", "--data", d.Folder, "--effective", at.In(jst).Format(time.DateOnly), file); status != 0 {
		t.Fatalf("importing: %d %s%s", status, out, errs)
	}
	before()
	d.Advance(t, at.Sub(d.now(t)))
	officer := d.in(t, "kobayashi")
	harness.Until(t, "the file to be carried out", func() bool {
		var all struct {
			Items []struct{ Done, Failed int }
		}
		officer.Do(t, "GET", "/api/v1/imports", nil).Into(t, &all)
		if len(all.Items) > 0 && all.Items[0].Failed > 0 {
			t.Fatalf("%d lines failed", all.Items[0].Failed)
		}
		return len(all.Items) > 0 && all.Items[0].Done == lines
	})
}

// stand tries every door: those of the old section are open or not, the others are open.
func (d lender) stand(t *testing.T, when string, c *harness.Client, old bool) {
	t.Helper()
	for _, door := range doors {
		want := old || !slices.Contains(ofASection, door.name)
		if got := door.open(t, d.Dev, c.Fork()); got != want {
			t.Errorf("%s %s is open: %t", when, door.name, got)
		}
	}
}

// TestDoorsOfTheMoved: whoever an import moves to another section has, from its minute
// on, what belongs to the new one at every door and nothing that belongs to the old one:
// applications, tokens, permits, what is lent and what may be asked for. Their session
// goes on. A handover keeps the old section's doors open until its end, which holds by
// itself (articles 47-2, 62-3, 63-1; design rule 9).
func TestDoorsOfTheMoved(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	text, _, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
	rules := writeFile(t, "policy.yaml", text)
	change(t, rules, "    host: bunsho.localhost\n", "    host: bunsho.localhost\n    sections: [jinji]\n", "    host: zaimu.localhost\n", "    host: zaimu.localhost\n    sections: [zaisei]\n",
		"  - client_id: sample-web\n", "  - client_id: sample-web\n    sections: [jinji]\n")
	if _, errs, applied := harness.Run(t, "sekisho", "policy", "apply", rules, "--data", d.Folder); status+applied != 0 {
		t.Fatal(errs)
	}
	tanaka := d.in(t, "tanaka")
	zaimu := func(c *harness.Client) bool {
		t.Helper()
		return c.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", "http://zaimu.localhost/", "X-Original-Method", "GET").Status == http.StatusOK
	}
	harness.Until(t, "the rules to govern", func() bool { return !zaimu(tanaka.Client) })

	// Shortly before midnight: what proves who one is must be of a short while ago.
	now := d.now(t).In(jst)
	midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, jst)
	if midnight.Sub(now) < time.Hour {
		midnight = midnight.AddDate(0, 0, 1)
	}
	d.Advance(t, midnight.Add(-8*time.Minute).Sub(now))
	gear := d.remotely(t, "tanaka")
	suzuki, watanabe := d.in(t, "suzuki"), d.in(t, "watanabe")
	tanaka = d.in(t, "tanaka")
	if body, _ := open(t, tanaka.Client, d.Dev, app(d.Dev)); body == "" {
		t.Fatal("the application does not open")
	}
	shime := saying{"privilege": "zaimu-shime", "reason": "月次の締め", "minutes": 30}
	lease := watanabe.does("", shime, http.StatusCreated)
	d.signedIn(t, "kato").does("/"+lease.ID+"/approve", nil, http.StatusOK)
	watanabe.does("/"+lease.ID+"/activate", nil, http.StatusOK).is(t, "active")
	asked := watanabe.does("", saying{"privilege": "db-admin", "reason": "索引", "minutes": 10}, http.StatusCreated)
	lent := func() bool {
		t.Helper()
		a := watanabe.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", "http://zaimu.localhost/", "X-Original-Method", "GET")
		return a.Status == http.StatusOK && strings.Contains(a.Header.Get("Remote-Groups"), "zaimu-shime")
	}

	d.moves(t, midnight, 3, "number,name,section,change\nK-tanaka,田中 美咲,zaisei,異動\nK-suzuki,鈴木 一郎,jinji,異動\nK-watanabe,渡辺 さくら,joho,異動\n", func() {
		d.Advance(t, midnight.Add(-time.Minute).Sub(d.now(t)))
		d.stand(t, "a minute before,", tanaka.Client, true)
		if zaimu(tanaka.Client) || !lent() {
			t.Error("a minute before, the new section is open, or what is lent is gone")
		}
		if a := tanaka.Do(t, "POST", "/api/v1/elevations", shime); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "62-6") {
			t.Errorf("a minute before, what the new section may ask for: %d %s", a.Status, a.Body)
		}
		for _, door := range doors {
			if slices.Contains(ofASection, door.name) && door.open(t, d.Dev, suzuki.Fork()) {
				t.Errorf("a minute before, %s is open to who comes", door.name)
			}
		}
	})
	d.stand(t, "moved,", tanaka.Client, false)
	if !zaimu(tanaka.Client) {
		t.Error("moved, the new section is shut")
	}
	if a := gear.comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, "許可を申請") {
		t.Errorf("moved, by the old section's permit the network door answers %s", a.all)
	}
	gear.out(t)
	if _, s, a := d.away(t, "tanaka"); a.Status != http.StatusForbidden {
		t.Errorf("moved, from outside: %d %q", a.Status, s.State)
	}
	if a := tanaka.Do(t, "POST", "/api/v1/elevations", shime); a.Code() != "step_up" { // no word of eligibility, but of a passkey
		t.Errorf("moved, what the new section may ask for: %d %s", a.Status, a.Body)
	}
	if got := watanabe.sees(lease.ID); got.State == "active" || lent() {
		t.Errorf("moved, what was lent to the section is %s", got.State)
	}
	watanabe.sees(asked.ID).is(t, "cancelled")
	if a := watanabe.Do(t, "POST", "/api/v1/elevations", shime); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "62-6") {
		t.Errorf("moved, what the old section may ask for: %d %s", a.Status, a.Body)
	}
	if body, _ := open(t, suzuki.Client, d.Dev, app(d.Dev)); body == "" {
		t.Fatal("the application does not open to who came")
	}
	d.stand(t, "who came,", suzuki.Client, true)

	// And on, with a handover of a day.
	midnight = midnight.AddDate(0, 0, 1)
	gear = d.remotely(t, "suzuki")
	d.Advance(t, midnight.Add(-5*time.Minute).Sub(d.now(t)))
	suzuki = d.in(t, "suzuki")
	d.moves(t, midnight, 1, "number,name,section,change,handover\nK-suzuki,鈴木 一郎,zaisei,異動,"+midnight.Format(time.DateOnly)+"\n", func() {
		if zaimu(suzuki.Client) {
			t.Error("a minute before, the new section is open to who hands over")
		}
	})
	if body, _ := open(t, suzuki.Client, d.Dev, app(d.Dev)); body == "" {
		t.Error("the application is shut in the handover")
	}
	d.stand(t, "in the handover,", suzuki.Client, true)
	if !zaimu(suzuki.Client) {
		t.Error("in the handover the new section is shut")
	}
	if a := gear.comes(t); a.code != "Access-Accept" {
		t.Errorf("in the handover the network door answers %s", a.all)
	}
	midnight = midnight.AddDate(0, 0, 1)
	d.Advance(t, midnight.Add(-2*time.Minute).Sub(d.now(t)))
	suzuki = d.in(t, "suzuki")
	if body, _ := open(t, suzuki.Client, d.Dev, app(d.Dev)); body == "" {
		t.Error("the application is shut on the last day of the handover")
	}
	d.stand(t, "on its last day,", suzuki.Client, true)
	d.Advance(t, midnight.Sub(d.now(t)))
	d.stand(t, "after the handover,", suzuki.Client, false)
	if !zaimu(suzuki.Client) {
		t.Error("after the handover the new section is shut")
	}
	harness.Until(t, "the permit of the old section to end", func() bool {
		a := gear.comes(t)
		return a.code == "Access-Reject" && strings.Contains(a.message, "許可を申請")
	})
	gear.out(t)
}
