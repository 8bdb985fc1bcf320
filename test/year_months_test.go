package test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"sekisho/test/harness"
)

// spring: leave begins, a file is undone, permits are given, and who was never seen is
// warned.
func (y *year) spring() {
	t := y.t
	// Two permits until the end of the fiscal year and not a day longer.
	suzuki := y.in(t, "suzuki")
	wish := func(more saying) saying {
		w := y.remote(t, saying{"applications": []string{"zaimu"}, "from": y.now(t).In(jst).Format(time.DateOnly), "until": y.day(11, 31)})
		for k, v := range more {
			w[k] = v
		}
		return w
	}
	if a := suzuki.Do(t, "POST", "/api/v1/permits", wish(saying{"until": y.day(12, 1)})); a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), `"too_late"`) {
		t.Errorf("a permit beyond the fiscal year: %d %s", a.Status, a.Body)
	}
	own := suzuki.permit("", wish(nil), http.StatusCreated)
	others := y.in(t, "ito").permit("", wish(saying{"applications": []string{"bunsho"}}), http.StatusCreated)
	cio := y.in(t, "yoshida")
	for _, m := range []permitted{own, others} {
		if m = cio.permit("/"+m.ID+"/approve", saying{"comment": "可"}, http.StatusOK).is(t, "approved"); m.Until == nil || !m.Until.Equal(y.at(12, 1, 0, 0)) {
			t.Errorf("a permit until %v", m.Until)
		}
	}
	y.permits = [2]string{own.ID, others.ID}
	y.comesIn(t, "suzuki")

	y.to(0, 30, 23, 57)
	tanaka := y.in(t, "tanaka")
	y.to(1, 1, 0, 0)
	y.refused("on leave", "tanaka", y.Person(t, "tanaka").Password)
	harness.Until(t, "what was open when leave began to end", func() bool { return !y.inside(tanaka.Client) })
	y.month(1)

	// A file that was wrong, and is undone within its days.
	id := y.proposes("", "number,name,section,change\nK-araki,荒木 光,shichoson,異動\n")
	kobayashi := y.in(t, "kobayashi")
	if a := y.importDo(kobayashi, id, "approve", saying{}); a.Status != http.StatusOK {
		t.Fatalf("approving: %d %s", a.Status, a.Body)
	}
	y.is(kobayashi, id, "done")
	section := func() string { return y.entry("araki").GetAttributeValue("departmentNumber") }
	if got := section(); got != "shichoson" {
		t.Errorf("by the wrong file araki is of %s", got)
	}
	y.to(1, 4, 10, 0)
	kato := y.in(t, "kato")
	a := y.importDo(kato, id, "undo", saying{"reason": "誤った発令"})
	if a.Status != http.StatusOK {
		t.Fatalf("asking for it to be undone: %d %s", a.Status, a.Body)
	}
	var asked struct {
		Undo string `json:"undo_id"`
	}
	a.Into(t, &asked)
	undo := saying{"undo": asked.Undo}
	if a := y.importDo(kato, id, "approve", undo); a.Status != http.StatusForbidden {
		t.Errorf("who asks approves: %d %s", a.Status, a.Body)
	}
	kobayashi = y.in(t, "kobayashi")
	if a := y.importDo(kobayashi, id, "approve", undo); a.Status != http.StatusOK {
		t.Fatalf("approving that it is undone: %d %s", a.Status, a.Body)
	}
	y.is(kobayashi, id, "undone")
	if got := section(); got != "jinji" {
		t.Errorf("undone, araki is of %s", got)
	}

	y.month(2) // 61 days
	harness.Until(t, "who was never seen to be warned", func() bool { return y.mailed("tsuru", willBeClosed, y.first) != "" })
	if y.mailed("tsuru", wasClosed, y.first) != "" {
		t.Error("closed and warned at once")
	}
}

// autumn: the ID that nobody uses is closed, a contract ends at its minute, and who was
// on leave comes back to an ID that has not aged.
func (y *year) autumn() {
	t := y.t
	y.to(3, 1, 6, 0) // 91 days, before the report is made
	harness.Until(t, "who was never seen to be closed", func() bool { return y.mailed("tsuru", wasClosed, y.first) != "" })
	harness.Until(t, "the directory to have them closed", func() bool { return y.entry("tsuru").GetAttributeValue("pwdAccountLockedTime") == "000001010000Z" })
	for n := 3; n <= 5; n++ {
		y.month(n)
	}
	y.to(5, 30, 23, 57)
	keiyaku := y.comes("keiyaku")
	y.to(6, 1, 0, 0)
	if y.inside(keiyaku) {
		t.Error("whose contract has ended is inside")
	}
	y.refused("after the contract", "keiyaku", y.joined["keiyaku"].Password)
	y.month(6)

	// October's recertification: an ID that is used, and that nobody says is needed.
	y.recertify("sode")
	y.to(6, 10, 9, 0)
	harness.Until(t, "a reminder of what is not confirmed", func() bool { return y.mailed("nakamura", toConfirm, y.at(6, 10, 0, 0)) != "" })
	y.to(6, 14, 23, 57)
	harness.Until(t, "the last reminder", func() bool { return y.mailed("nakamura", toConfirm, y.at(6, 14, 0, 0)) != "" })
	sode := y.comes("sode")
	y.to(6, 15, 0, 0)
	harness.Until(t, "what nobody confirmed to end", func() bool { return !y.inside(sode) && y.mailed("sode", "An ID was disabled", y.at(6, 15, 0, 0)) != "" })
	y.refused("not confirmed", "sode", y.joined["sode"].Password)
	if !y.inside(y.comes("araki")) {
		t.Error("who was confirmed is shut out")
	}

	y.to(6, 31, 23, 57)
	y.refused("on the last day of leave", "tanaka", y.Person(t, "tanaka").Password)
	y.to(7, 1, 0, 0)
	var back struct{ State string }
	if y.in(t, "sato").Do(t, "GET", "/api/v1/people/tanaka", nil).Into(t, &back); back.State != "active" {
		t.Errorf("after the last day of leave tanaka is %s", back.State)
	}
	y.month(7)
}

var recertifyRound = regexp.MustCompile(`/recertify/[A-Za-z0-9_-]+`)

var recertifyLine = regexp.MustCompile(`(?s)name="line" type="checkbox" value="([^"]+)".*?<span class="sub">([^<]+)</span>`)

// recertify has each who reviews confirm all that is put before them, but what is of one
// ID.
func (y *year) recertify(but string) {
	y.t.Helper()
	harness.Until(y.t, "the recertification to begin", func() bool { return y.mailed("nakamura", toConfirm, y.at(6, 1, 6, 0)) != "" })
	seen := false
	for _, login := range []string{"nakamura", "yamamoto", "kobayashi", "kato", "yoshida"} {
		if login == "yamamoto" { // by the API, which goes by the same rules
			seen = y.confirmsByProgram(login, but) || seen
			continue
		}
		o := officeIn(y.t, y.Dev, login)
		for _, round := range slices.Compact(slices.Sorted(slices.Values(recertifyRound.FindAllString(o.page("/recertify", http.StatusOK), -1)))) {
			chosen := url.Values{"answer": {"confirm"}}
			for _, line := range recertifyLine.FindAllStringSubmatch(o.page(round, http.StatusOK), -1) {
				if line[2] == but {
					seen = true
					continue
				}
				chosen.Add("line", line[1])
			}
			if !chosen.Has("line") {
				continue
			}
			if a := o.sends(round, chosen); a.Status != http.StatusSeeOther || !strings.Contains(a.Header.Get("Location"), "done=confirm") {
				y.t.Errorf("%s confirms %d lines: %d %s", login, len(chosen["line"]), a.Status, a.Body)
			}
		}
	}
	if !seen {
		y.t.Errorf("%s was put before nobody", but)
	}
}

// winter: of who came back from half a year of leave and did not use the ID since, the
// days of leave do not count.
func (y *year) winter() {
	t := y.t
	y.completes()
	y.month(8)
	unused, action := -1, ""
	for _, e := range sweepIn(t, y.Folder, "--dry-run").Entries {
		if e.Login == "tanaka" {
			unused, action = e.Unused, e.Action
		}
	}
	if unused != 31 || action != "" { // a day of April, and November
		t.Errorf("tanaka is unused for %d days, and %q follows", unused, action)
	}
	if !y.inside(y.in(t, "tanaka").Client) {
		t.Error("who is back from leave is shut out")
	}
	for _, subject := range []string{willBeClosed, wasClosed} {
		if y.mailed("tanaka", subject, y.first) != "" {
			t.Errorf("tanaka was told: %s", subject)
		}
	}
	y.month(9)
	y.month(10)
}

// march: who is appointed anew, and a permit that is renewed, for the next year.
func (y *year) march() {
	t := y.t
	y.month(11)
	y.uuid = y.entry("kaikei").GetAttributeValue("entryUUID")
	id := y.proposes(y.day(12, 1), "number,name,kind,change,starts,ends\nK-kaikei,海江田 年,会計年度任用職員,再任用,"+y.day(12, 1)+","+y.day(23, 31)+"\n")
	if a := y.importDo(y.in(t, "kobayashi"), id, "approve", saying{}); a.Status != http.StatusOK {
		t.Fatalf("approving: %d %s", a.Status, a.Body)
	}
	y.ends("kaikei", y.at(24, 1, 0, 0))
	y.to(11, 10, 9, 0)
	harness.Until(t, "suzuki to hear that the permit ends", func() bool { return y.mailed("suzuki", "A permit ends soon", y.at(11, 1, 0, 0)) != "" })
	next := y.in(t, "suzuki").permit("", y.remote(t, saying{"applications": []string{"zaimu"}, "renews": y.permits[0], "from": y.day(12, 1), "until": y.day(23, 31)}), http.StatusCreated)
	y.in(t, "yoshida").permit("/"+next.ID+"/approve", nil, http.StatusOK).is(t, "approved")
}

// next is 1 April once more.
func (y *year) next() {
	t := y.t
	y.to(11, 31, 23, 55)
	suzuki, ito := y.comesIn(t, "suzuki"), y.comesIn(t, "ito")
	kaikei, owari, araki := y.comes("kaikei"), y.comes("owari"), y.comes("araki")
	hoshu := y.comes("hoshu")
	for who, c := range map[string]*harness.Client{"suzuki": suzuki, "ito": ito, "kaikei": kaikei, "owari": owari, "araki": araki, "hoshu": hoshu} {
		if !y.inside(c) {
			t.Errorf("%s is shut out on 31 March", who)
		}
	}
	y.to(12, 1, 0, 0)
	for who, tt := range map[string]struct {
		c    *harness.Client
		want bool
	}{
		"suzuki, by last year's permit": {suzuki, false}, "ito, by last year's permit": {ito, false}, "who was appointed for the year": {owari, false},
		"whose project's day has passed": {hoshu, false},
		"who is appointed anew":          {kaikei, true}, "staff": {araki, true},
	} {
		if got := y.inside(tt.c); got != tt.want {
			t.Errorf("at midnight %s is inside: %t", who, got)
		}
	}
	y.refused("after the year", "owari", y.joined["owari"].Password)
	y.refused("after the project", "hoshu", y.joined["hoshu"].Password)
	if e := y.entry("kaikei"); e.GetAttributeValue("entryUUID") != y.uuid {
		t.Error("who is appointed anew is another person")
	}
	y.Advance(t, time.Minute) // another step of their devices, the same ones
	if !y.opens(y.comes("kaikei"), "zaimu") {
		t.Error("who is appointed anew does not come in with the same factors")
	}
	y.comesIn(t, "suzuki")
	cio := y.in(t, "yoshida")
	for _, id := range y.permits {
		var m permitted
		cio.Do(t, "GET", "/api/v1/permits/"+id, nil).Into(t, &m)
		m.is(t, "expired")
	}
	if _, s, a := y.away(t, "ito"); a.Status != http.StatusForbidden {
		t.Errorf("without a permit for the new year: %d %q %s", a.Status, s.State, a.Body)
	}
	y.month(12)

	// A year unused, closed since July: two people decide that the ID goes, for ever.
	y.to(12, 2, 9, 0)
	chief := officeIn(t, y.Dev, "kobayashi")
	var card string
	harness.Until(t, "the deletion to be proposed", func() bool {
		card = y.waiting(chief, "(tsuru)")
		return card != ""
	})
	if y.entry("tsuru") == nil {
		t.Fatal("deleted before anybody decided")
	}
	chief.does(card, "answer", "yes", "comment", "採用辞退")
	if y.entry("tsuru") == nil {
		t.Fatal("deleted by one alone")
	}
	officeIn(t, y.Dev, "kato").does(card, "answer", "yes", "comment", "同意")
	harness.Until(t, "the ID to be gone", func() bool { return y.entry("tsuru") == nil })
	out, _, status := harness.Run(t, "sekisho", "people", "import", "--data", y.Folder, "--dry-run", writeFile(t, "again.csv", "number,name,login,section,mail\nK-tsuru2,鶴 次郎,tsuru,jinji,t2@pref.example\n"))
	if status != 1 || !strings.Contains(out, "never given again") {
		t.Errorf("the login is given again: %d %s", status, out)
	}
}

// onTheTrail is that all of it is there, unbroken, in one year's trail.
func (y *year) onTheTrail() {
	t := y.t
	acts, _ := trail(t, y.Dev)
	count, slots := map[string]int{}, map[string]bool{}
	for _, a := range acts {
		count[a.Action]++
		if a.Action == "report.made" {
			slots[a.Detail["slot"]] = true
		}
	}
	for action, want := range map[string]int{
		"person.joined": 9, "person.moved": 2, "person.left": 1, "person.on_leave": 1, "person.renewed": 1, "person.handover_ended": 1, "leave.began": 1,
		"import.done": 3, "import.undone": 1, "sweep.decided": 1,
		"project.registered": 2, "project.bound": 3, "project.completed": 1,
	} {
		if count[action] != want {
			t.Errorf("%s is on the trail %d times, want %d", action, count[action], want)
		}
	}
	for n := range 13 {
		if slot := y.at(n, 1, 7, 0).Format("2006-01-02T15"); !slots[slot] {
			t.Errorf("no report was made at %s", slot)
		}
	}
	for _, action := range []string{"sweep.stopped", "dormancy.warned", "dormancy.disabled", "dormancy.confirmed", "dormancy.deletion_approved", "report.read", "recertify.opened", "recertify.confirmed", "recertify.ended"} {
		if !slices.ContainsFunc(acts, func(a act) bool { return a.Action == action }) {
			t.Errorf("%s is not on the trail", action)
		}
	}
}
