package page

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web/desk"
)

func TestTimeline(t *testing.T) {
	at := func(hour, minute int) time.Time { return time.Date(2026, 4, 1, hour-9, minute, 0, 0, time.UTC) } // Japan's
	for _, tt := range []struct {
		first, last time.Time
		marks       string
		middle      int // where 9:30 lies
	}{
		{at(9, 5), at(9, 40), "[09:00 09:15 09:30 09:45]", 500},
		{at(9, 5), at(10, 5), "[09:00 09:30 10:00 10:30]", 250},
		{at(9, 0), at(13, 0), "[09:00 10:00 11:00 12:00]", 125},
		{at(8, 59), at(13, 0), "[08:00 10:00 12:00 14:00]", 187},
		{at(9, 30), at(9, 30), "[09:30 09:45 10:00 10:15]", 0},
		{at(0, 30), at(0, 30).AddDate(0, 0, 3), "[4/1 00:00 4/2 00:00 4/3 00:00 4/4 00:00]", 98},
	} {
		line := newTimeline(tt.first, tt.last)
		if got := fmt.Sprint(line.marks()); got != tt.marks || line.at(at(9, 30)) != tt.middle {
			t.Errorf("from %v to %v: %s, 9:30 at %d; want %s, %d", tt.first, tt.last, got, line.at(at(9, 30)), tt.marks, tt.middle)
		}
		if from, to := line.at(tt.first), line.at(tt.last); from < 0 || to > 1000 || line.at(tt.first.AddDate(-1, 0, 0)) != 0 || line.at(tt.last.AddDate(9, 0, 0)) != 1000 {
			t.Errorf("from %v to %v lies at %d to %d", tt.first, tt.last, from, to)
		}
	}
}

func TestClockFace(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0:00:00", -time.Hour: "0:00:00", 59*time.Second + 999*time.Millisecond: "0:00:59", time.Hour + 5*time.Minute + 9*time.Second: "1:05:09", 100 * time.Hour: "100:00:00"} {
		if got := face(d); got.Says != want || got.Seconds != int(max(0, d)/time.Second) {
			t.Errorf("face(%v) = %+v, want %s", d, got, want)
		}
	}
}

// TestAskForms: what is typed is what is asked for, and a fault asks nothing.
func TestAskForms(t *testing.T) {
	for _, tt := range []struct {
		path   string
		fields []string
		did    string
		says   string
	}{
		{"/leases/ask", []string{"privilege", "db-admin", "minutes", "４５", "reason", " 調査 "}, "ask db-admin 45 調査  false", ""},
		{"/leases/ask", []string{"privilege", "core", "minutes", "60", "reason", "変更", "ticket", " CHG-1 "}, "ask core 60 変更 CHG-1 false", ""},
		{"/leases/ask", []string{"privilege", "core", "minutes", "60", "reason", "変更"}, "", `id="ticket-wrong-0"`},
		{"/leases/ask", []string{"privilege", "db-admin", "minutes", "61", "reason", "x"}, "", "1から60まで"},
		{"/leases/ask", []string{"privilege", "db-admin", "minutes", "x", "reason", ""}, "", `id="reason-wrong-0"`},
		{"/leases/ask", []string{"privilege", "db-admin", "minutes", "5", "reason", strings.Repeat("あ", 501)}, "", "500文字以内"},
		{"/leases/emergency", []string{"privilege", "db-admin", "minutes", "15", "reason", "障害"}, "ask db-admin 15 障害  true", ""},
		{"/leases/emergency", []string{"privilege", "db-admin", "minutes", "16", "reason", "障害"}, "", "1から15まで"},
	} {
		w := atDesk(newWorld(t))
		a := w.post(tt.path, tt.fields...)
		if tt.says == "" {
			a.leadsTo("/leases/l1?done=asked")
		} else {
			a.is(http.StatusUnprocessableEntity).says(tt.says)
		}
		if got := strings.Join(w.desk.did, ";"); got != tt.did {
			t.Errorf("%s %q: did %q, want %q", tt.path, tt.fields, got, tt.did)
		}
	}
	w := atDesk(newWorld(t))
	w.post("/leases/ask", "privilege", "nothing", "minutes", "5", "reason", "x").is(404)
	// A sign-in that does not do is mended before anything is typed.
	old := dba
	old.StepUp = &account.StepUp{Required: policy.PHR, MaxAge: 10 * time.Minute}
	w.desk.lent = []desk.Privilege{old}
	w.get("/leases/ask?privilege=db-admin").leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/leases/ask?privilege=db-admin"}}.Encode())
}

// TestLeaseActs: each form does what it says, and what it needs is asked for.
func TestLeaseActs(t *testing.T) {
	for _, tt := range []struct {
		act    string
		fields []string
		did    string
	}{
		{"activate", nil, "activate l1 0"}, {"end", nil, "end l1 0"}, {"cancel", nil, "cancel l1 0"}, {"witness", nil, "witness l1 0"},
		{"extend", []string{"minutes", "15", "comment", "未完"}, "extend l1 15 未完"}, {"extend", []string{"minutes", "0", "comment", "未完"}, ""},
		{"revoke", []string{"comment", "不審"}, "revoke l1 0 不審"}, {"revoke", nil, ""}, {"deny", nil, ""}, {"approve", nil, "approve l1 0"},
		{"report", []string{"report", "した"}, "report l1 0  した"}, {"report", []string{"report", " "}, ""}, {"report", []string{"report", strings.Repeat("あ", 4001)}, ""},
		{"judge", []string{"comment", "可"}, "judge l1 0 可"}, {"judge", nil, ""}, {"countersign", nil, "countersign l1 0"},
	} {
		w := atDesk(newWorld(t))
		a := w.post("/leases/l1/"+tt.act, tt.fields...)
		if tt.did != "" {
			a.leadsTo("/leases/l1?done=" + tt.act)
		} else {
			a.is(http.StatusUnprocessableEntity)
		}
		if got := strings.Join(w.desk.did, ";"); got != tt.did {
			t.Errorf("%s %q: did %q, want %q", tt.act, tt.fields, got, tt.did)
		}
	}
	w := atDesk(newWorld(t))
	w.get("/leases/l1/end").leadsTo("/leases/l1")
	w.desk.actErr = freshly
	w.post("/leases/l1/revoke", "comment", "x").leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/leases/l1"}}.Encode())
	// A password is on the page that made it, which nobody keeps, and nowhere else.
	w = atDesk(newWorld(t))
	w.desk.answer = lent(borrowed("l3", desk.Active), "kamg-7fxw")
	a := w.post("/leases/l3/activate").is(200).says("kamg-7fxw", "tmp-sasaki-7")
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the page with the password: Cache-Control %q", got)
	}
	w.get("/leases/l3").is(200).keepsSilentOn("kamg-7fxw")
	// What is begun comes with another handle; the token of the page goes with it.
	for _, pw := range []string{"", "kamg-7fxw"} {
		w = atDesk(newWorld(t))
		w.desk.answer = borrowed("l3", desk.Active)
		if pw != "" {
			w.desk.answer = lent(w.desk.answer, pw)
		}
		w.desk.answer.Raised = &signin.Step{Cookie: "s.new", CSRF: "t-s.new"}
		a := w.post("/leases/l3/activate")
		if c := a.Header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-sekisho=s.new;") {
			t.Errorf("begun, the browser is given %q", c)
		}
		if pw != "" {
			a.is(200).says("t-s.new")
		}
	}
	// Where the privileged session is over, the way on is a sign-in.
	w = atDesk(newWorld(t))
	for i := range w.desk.leases {
		w.desk.leases[i].Shut, w.desk.leases[i].Resume = true, freshly
	}
	w.get("/leases/l1").is(200).says("特権のセッションは、操作がないまま時間がたったため終わりました", "/signin?acr=phr&amp;max_age=600&amp;rd=%2Fleases%2Fl1")
}

func TestDecideForms(t *testing.T) {
	for _, tt := range []struct {
		fields []string
		did    string
	}{
		{[]string{"answer", "yes"}, "decide m1 true"}, {[]string{"answer", "yes", "comment", "了解"}, "decide m1 true 了解"},
		{[]string{"answer", "no", "comment", "足りない"}, "decide m1 false 足りない"}, {[]string{"answer", "no"}, ""}, {[]string{"comment", "了解"}, ""},
		{[]string{"answer", "maybe", "comment", "了解"}, ""},
	} {
		w := asApprover(newWorld(t))
		if a := w.post("/approvals/m1", tt.fields...); tt.did == "" {
			a.is(http.StatusUnprocessableEntity)
		} else {
			a.is(http.StatusSeeOther)
		}
		if got := strings.Join(w.desk.did, ";"); got != tt.did {
			t.Errorf("%q: did %q, want %q", tt.fields, got, tt.did)
		}
	}
	w := asApprover(newWorld(t))
	w.desk.actErr = freshly
	w.post("/approvals/m1", "answer", "yes").leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/approvals/m1"}}.Encode())
	// Who may not, or has not signed in so, is offered no button.
	w = asApprover(newWorld(t))
	w.get("/approvals/m2").says("パスキーで本人確認").keepsSilentOn(`name="answer"`)
	w.get("/approvals/m3").says("自分の申請は判断できません").keepsSilentOn(`name="answer"`)
	w.get("/approvals/m1").says(`name="answer" value="yes"`, `name="answer" value="no"`)
}

// TestLiveIsNotOlderThanItsEnd: what is over is not shown as live, whatever its row
// still says.
func TestLiveIsNotOlderThanItsEnd(t *testing.T) {
	w := withLive(newWorld(t))
	a := w.get("/live").is(200).says("4件が使われています")
	if strings.Contains(a.body, "/leases/v5") {
		t.Error("a lease whose end has come is live")
	}
	w.clock.Advance(5 * time.Minute)
	w.get("/live").says("3件が使われています").keepsSilentOn("/leases/v3")
}

// TestActWithoutASession: who acts on a lease with a handle that is worth nothing any
// more is led back to it: their first try may have begun it, and its answer been lost.
func TestActWithoutASession(t *testing.T) {
	w := newWorld(t)
	w.post("/leases/l1/activate").leadsTo("/signin?rd=%2Fleases%2Fl1%2Factivate&why=sign_in")
	atDesk(w)
	w.get("/leases/l1/activate").leadsTo("/leases/l1")
}
