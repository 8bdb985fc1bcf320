package page

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authz/permit"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// TestAskForPermits: what is typed is what is asked for, a fault asks nothing and
// loses nothing.
func TestAskForPermits(t *testing.T) {
	day := func(s string) time.Time {
		at, err := time.ParseInLocation(time.DateOnly, s, japan)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, tt := range []struct {
		name   string
		fields url.Values
		want   desk.PermitWish
		says   []string // nil: it is asked for
	}{
		{"remote access", url.Values{
			"kind": {"remote_access"}, "reason": {" 在宅 "}, "stated-terminal": {"lent-12"}, "stated-applications": {"bunsho", "zaimu"}, "stated-days": {"mon", "fri"},
			"stated-hours": {"０８：３０〜１７：１５、18:00-19:00"}, "stated-networks": {"198.51.100.0/24, 203.0.113.7"}, "from": {"2026-04-02"}, "until": {"2027-03-31"},
		}, desk.PermitWish{
			Kind: "remote_access", Reason: "在宅", From: day("2026-04-02"), Until: day("2027-04-01"), Stated: map[string][]string{
				"terminal": {"lent-12"}, "applications": {"bunsho", "zaimu"}, "days": {"mon", "fri"}, "hours": {"08:30-17:15", "18:00-19:00"}, "networks": {"198.51.100.0/24", "203.0.113.7"},
			}}, nil},
		{"for a contractor", url.Values{
			"kind": {"remote_access"}, "reason": {"保守"}, "stated-terminal": {"lent-12"}, "stated-applications": {"bunsho"}, "person": {"y-maint"}, "stated-company": {"例システム"},
			"stated-contract_end": {"2026-09-30"}, "from": {"2026-04-01"}, "until": {"2026-09-30"},
		}, desk.PermitWish{
			Kind: "remote_access", Person: "y-maint", Reason: "保守", From: day("2026-04-01"), Until: day("2026-10-01"), Stated: map[string][]string{
				"terminal": {"lent-12"}, "applications": {"bunsho"}, "company": {"例システム"}, "contract_end": {"2026-09-30"},
			}}, nil},
		{"a crossing", url.Values{
			"kind": {"zone_crossing"}, "reason": {"連携"}, "stated-application": {"juki"}, "stated-from_zone": {"lgwan"}, "stated-path": {"/api"}, "stated-protocol": {"https"}, "from": {"2026-04-01"}, "until": {"2027-03-31"},
		}, desk.PermitWish{
			Kind: "zone_crossing", Reason: "連携", From: day("2026-04-01"), Until: day("2027-04-01"), Stated: map[string][]string{"application": {"juki"}, "from_zone": {"lgwan"}, "path": {"/api"}, "protocol": {"https"}},
		}, nil},
		{"nothing", url.Values{"kind": {"remote_access"}}, desk.PermitWish{}, []string{
			`id="reason-wrong-0"`, `id="stated-terminal-wrong-0"`, `id="stated-applications-wrong-0"`, `id="until-wrong-0"`,
		}},
		{"no days", url.Values{
			"kind": {"dispose"}, "reason": {"期限 <i>"}, "stated-asset": {"調査票 <i>"}, "stated-class": {"2"}, "stated-on": {"明日"}, "from": {"2026-4"}, "until": {"x"},
		}, desk.PermitWish{}, []string{
			`id="stated-on-wrong-0"`, `id="from-wrong-0"`, `id="until-wrong-0"`, "期限 &lt;i&gt;", `value="調査票 &lt;i&gt;"`, `<option value="2" selected>`, `value="明日"`, `value="x"`,
		}},
		{"the end first", url.Values{"kind": {"dispose"}, "reason": {"期限"}, "stated-asset": {"調査票"}, "stated-class": {"2"}, "from": {"2026-06-02"}, "until": {"2026-06-01"}}, desk.PermitWish{}, []string{`id="until-wrong-0"`}},
		{"too long", url.Values{"kind": {"dispose"}, "reason": {strings.Repeat("あ", 501)}, "stated-asset": {"調査票"}, "stated-class": {"2"}, "from": {"2026-05-01"}, "until": {"2026-06-01"}}, desk.PermitWish{}, []string{"500文字以内"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := atTollbooth(newWorld(t))
			tt.fields.Set("csrf_token", token(w.cookie))
			a := w.send(http.MethodPost, "/permits/new", tt.fields)
			if tt.says != nil {
				a.is(http.StatusUnprocessableEntity).says(tt.says...)
				if len(w.permits.did) > 0 {
					t.Errorf("did %q", w.permits.did)
				}
				return
			}
			a.leadsTo("/permits/p4?done=asked")
			for i := range w.permits.asked { // whether it is the same twice is TestAPermitFormSentTwice
				w.permits.asked[i].Key = ""
			}
			if len(w.permits.asked) != 1 || !same(w.permits.asked[0], tt.want) {
				t.Errorf("asked for %+v, want %+v", w.permits.asked, tt.want)
			}
		})
	}
}

func same(a, b desk.PermitWish) bool {
	times := a.From.Equal(b.From) && a.Until.Equal(b.Until)
	a.From, a.Until, b.From, b.Until = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return times && reflect.DeepEqual(a, b)
}

// TestPermitFormIsFilledIn: a refusal's link and a permit that is renewed say what
// is wanted already, and the way through a sign-in loses none of it.
func TestPermitFormIsFilledIn(t *testing.T) {
	w := atTollbooth(newWorld(t))
	w.get("/permits/new?kind=remote_access&application=bunsho").is(200).says(
		`value="bunsho" checked`, `value="mon" checked`, `value="08:00-20:00"`, `value="2027-03-31"`, `value="2026-04-01"`, "最高情報統括責任者",
	).keepsSilentOn(`value="zaimu" checked`, `value="sat" checked`)
	w.get("/permits/new?kind=zone_crossing&application=juki").is(200).says(
		`<option value="juki" selected>`, `<option value="lgwan" selected>`, `<option value="https" selected>`, "インターネットに直接つながっていない",
	).keepsSilentOn("公的機関が構築し運用する")
	// What is renewed goes on where it ends, to the end of the next year.
	w.get("/permits/new?renew=p1").is(200).says(
		`name="renew" value="p1"`, `value="bunsho" checked`, `value="08:30-12:00, 13:00-17:15"`, `value="198.51.100.0/24"`, `value="2027-04-01"`, `value="2028-03-31"`, "在宅勤務のため &lt;b&gt;",
	)
	w.permits.form.StepUp = &account.StepUp{Required: policy.AAL2}
	w.get("/permits/new?kind=remote_access&application=bunsho").leadsTo("/signin?" + url.Values{"acr": {"aal2"}, "rd": {"/permits/new?kind=remote_access&application=bunsho"}}.Encode())
	w.now.State, w.cookie = "", ""
	w.get("/permits/new?kind=remote_access&application=bunsho").leadsTo("/signin?" + url.Values{"why": {"sign_in"}, "rd": {"/permits/new?kind=remote_access&application=bunsho"}}.Encode())
}

func TestPermitActs(t *testing.T) {
	for _, tt := range []struct {
		act    string
		fields []string
		did    string
		to     string
	}{
		{"end", nil, "end p1", "/permits/p1?done=end"}, {"cancel", nil, "cancel p1", "/permits/p1?done=cancel"}, {"review", nil, "review p1", "/permits/p1?done=review"},
		{"revoke", []string{"comment", "異動"}, "revoke p1   異動", "/permits/p1?done=revoke"}, {"revoke", nil, "", ""},
		{"revoke", []string{"comment", "異動", "back", "/registers/remote_access"}, "revoke p1   異動", "/registers/remote_access?done=revoke"},
		{"revoke", []string{"comment", "異動", "back", "https://elsewhere.example/"}, "revoke p1   異動", "/permits/p1?done=revoke"},
		{"revoke", []string{"comment", "異動", "back", "/registers/..\\x"}, "revoke p1   異動", "/permits/p1?done=revoke"},
		{"done", []string{"at", "2026-03-30", "by", "田中", "comment", "裁断"}, "done p1 2026-03-30 田中 裁断", "/permits/p1?done=done"},
		{"done", []string{"at", "昨日", "by", "田中", "comment", "裁断"}, "", ""}, {"done", []string{"at", "2026-03-30", "by", "", "comment", "裁断"}, "", ""},
	} {
		w := atTollbooth(newWorld(t))
		a := w.post("/permits/p1/"+tt.act, tt.fields...)
		if tt.did == "" {
			a.is(http.StatusUnprocessableEntity)
		} else {
			a.leadsTo(tt.to)
		}
		if got := strings.Join(w.permits.did, ";"); got != tt.did {
			t.Errorf("%s %q: did %q, want %q", tt.act, tt.fields, got, tt.did)
		}
	}
	w := atTollbooth(newWorld(t))
	w.get("/permits/p1/end").leadsTo("/permits/p1")
	w.permits.actErr = freshly
	w.post("/permits/p1/revoke", "comment", "x").leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/permits/p1"}}.Encode())
}

// TestRenewals: what was used is proposed, each is asked for with what it said, and
// what was not taken stays with its reason.
func TestRenewals(t *testing.T) {
	w := atTollbooth(newWorld(t))
	w.get("/permits/renew").is(200).says(`value="p1" checked`, `value="2028-03-31"`).keepsSilentOn(`value="p2" checked`, `value="p3"`)
	w.send(http.MethodPost, "/permits/renew", url.Values{"csrf_token": {token(w.cookie)}, "id": {"p1", "p2", "p3"}, "until": {"2028-03-31"}, "reason": {"継続"}}).leadsTo("/permits?done=renewed&n=2")
	if len(w.permits.asked) != 2 {
		t.Fatalf("asked for %+v", w.permits.asked)
	}
	for i, id := range []string{"p1", "p2"} {
		wish := w.permits.asked[i]
		if wish.Renews != id || wish.Reason != "継続" || !reflect.DeepEqual(wish.Stated["applications"], []string{"bunsho"}) || lastDayOf(wish.Until) != "2028-03-31" || !wish.From.Equal(w.permits.permits[i].Until) {
			t.Errorf("asked for %+v", wish)
		}
	}
	w = atTollbooth(newWorld(t))
	w.permits.actErr = web.Invalid(web.FieldError{Field: "until", Rule: "too_late", Detail: policy.Words{JA: "遅すぎます。", EN: "Too late."}})
	w.post("/permits/renew", "id", "p1", "until", "2029-03-31").is(422).says(`value="p1" checked`, "遅すぎます。", `value="2029-03-31"`)
}

func TestDecideTogether(t *testing.T) {
	for _, tt := range []struct {
		fields url.Values
		did    string
		to     string
	}{
		{url.Values{"id": {"m10", "m11"}, "answer": {"yes"}, "comment": {"了解"}}, "decide [m10 m11] true 了解 []", "/approvals?done=approved_all&n=2"},
		{url.Values{"id": {"m10"}, "answer": {"no"}, "comment": {"不足"}}, "decide [m10] false 不足 []", "/approvals?done=denied_all&n=1"},
		{url.Values{"id": {"m10"}, "answer": {"no"}}, "", ""}, {url.Values{"answer": {"yes"}}, "", ""}, {url.Values{"id": {"m10"}}, "", ""},
	} {
		w := withRequests(newWorld(t))
		tt.fields.Set("csrf_token", token(w.cookie))
		a := w.send(http.MethodPost, "/approvals", tt.fields)
		if tt.did == "" {
			a.is(http.StatusUnprocessableEntity)
		} else {
			a.leadsTo(tt.to)
		}
		if got := strings.Join(w.permits.did, ";"); got != tt.did {
			t.Errorf("%v: did %q, want %q", tt.fields, got, tt.did)
		}
	}
	// What confirms something, and what is about something else, is decided by itself.
	w := withRequests(newWorld(t))
	w.get("/approvals").is(200).says(`id="all-m10"`, `id="all-m11"`, `value="public_body"`).keepsSilentOn(`id="all-m12"`, `id="all-m1"`)
	w.send(http.MethodPost, "/approvals/m12", url.Values{"csrf_token": {token(w.cookie)}, "answer": {"yes"}, "confirm": {"reason", "limited", "public_body"}}).is(http.StatusSeeOther)
	w.post("/approvals/m1", "answer", "yes").is(http.StatusSeeOther)
	if got := fmt.Sprint(w.permits.did, w.desk.did); got != "[decide [m12] true  [reason limited public_body]] [decide m1 true]" {
		t.Errorf("did %s", got)
	}
	// What could not be decided stays, with the reason; the others are decided.
	w = withRequests(newWorld(t))
	w.permits.became = []desk.Decided{{ID: "m10"}, {ID: "m11", Err: web.Say(web.CodeState, policy.Words{JA: "すでに却下されています。", EN: "Denied already."})}}
	w.send(http.MethodPost, "/approvals", url.Values{"csrf_token": {token(w.cookie)}, "id": {"m10", "m11"}, "answer": {"yes"}}).is(422).
		says("すでに却下されています。", `value="m11" form="all" checked`).keepsSilentOn(`value="m10" form="all" checked`)
	// A sign-in that grew old in between: what was decided is told, line by line.
	w = withRequests(newWorld(t))
	w.permits.became = []desk.Decided{{ID: "m10", Name: remoteKind.Name, For: sasaki}, {ID: "m11", Name: crossingKind.Name, For: yamada, Err: freshly}}
	two := url.Values{"csrf_token": {token(w.cookie)}, "id": {"m10", "m11"}, "answer": {"no"}, "comment": {"不要"}}
	w.send(http.MethodPost, "/approvals", two).is(422).says("却下しました", "佐々木", "まだ決まっていません", "より新しい本人確認が必要", "1件が決まっていません。", `value="m11" form="all" checked`)
	// A session that ended in between: the same, and the way to sign in.
	w.permits.became[1].Err, w.desk.lookErr = session.ErrNone, session.ErrNone
	w.send(http.MethodPost, "/approvals", two).is(422).says("却下しました", "まだ決まっていません", `href="/signin?rd=%2Fapprovals"`).keepsSilentOn(`form="all"`)
	// An old sign-in is mended first, once for all.
	w = withRequests(newWorld(t))
	w.permits.actErr = freshly
	w.send(http.MethodPost, "/approvals", url.Values{"csrf_token": {token(w.cookie)}, "id": {"m10", "m11"}, "answer": {"yes"}}).
		leadsTo("/signin?" + url.Values{"acr": {"phr"}, "max_age": {"600"}, "rd": {"/approvals"}}.Encode())
}

func TestRegisters(t *testing.T) {
	w := keepsRegisters(newWorld(t))
	page := w.get("/registers/remote_access?which=soon&q=%E4%BD%90&section=joho&application=bunsho&after=c1").is(200)
	page.says("198.51.100.0/24", "庁外のどこからでも", "未使用", "例システム株式会社", `action="/permits/r1/revoke"`, `name="back" value="/registers/remote_access"`)
	want := desk.PermitFilter{Kind: "remote_access", Which: desk.WhichSoon, Words: "佐", Section: "joho", Application: "bunsho", After: "c1", Limit: pageRows}
	if w.permits.filtered != want {
		t.Errorf("listed %+v, want %+v", w.permits.filtered, want)
	}
	file := w.get("/registers/remote_access/file?which=unused&section=joho").is(200)
	if got := file.Header.Get("Content-Type") + file.Header.Get("Content-Disposition") + file.body; got != "text/csv; charset=utf-8"+`attachment; filename="remote_access-2026-04-01.csv"`+"id,person\r\np1,sasaki\r\n" {
		t.Errorf("the file is %s", got)
	}
	if w.permits.filtered.Which != desk.WhichUnused || w.permits.filtered.Section != "joho" {
		t.Errorf("the file is of %+v", w.permits.filtered)
	}
	w.permits.taken.Added = 2
	w.post("/registers/dispose/import", "data", "a,b\n1,2\n").leadsTo("/registers/dispose?done=imported&n=2")
	// A file of an older Excel is read, whichever way it comes in.
	w.bring("/registers/dispose/import", "person,reason\r\nsasaki,\x8aT\x8c\xc0\r\n").leadsTo("/registers/dispose?done=imported&n=2")
	if got := w.permits.did[len(w.permits.did)-1]; got != fmt.Sprint("import dispose ", len("person,reason\r\nsasaki,概限\r\n")) {
		t.Errorf("did %q", got)
	}
	before := len(w.permits.did)
	w.bring("/registers/dispose/import", "a,b\n1,2\n", "data", "a,b\n3,4\n").is(422).says("どちらか一方", `id="file-wrong-0"`)
	w.bring("/registers/dispose/import", "\x89PNG\r\n\x1a\n\x00").is(422).says("文字を読めません", `id="file-wrong-0"`)
	w.bring("/registers/dispose/import", "\r\n").is(422).says("CSVファイルを選んで")
	w.bring("/registers/dispose/import", strings.Repeat("a", web.MostFile+1)).is(413).says("1024 KiB")
	if len(w.permits.did) != before {
		t.Errorf("did %q", w.permits.did[before:])
	}
	w.permits.taken.Added, w.permits.taken.Known = 1, 1
	w.get(w.bring("/registers/dispose/import", "a,b\n1,2\n").Header.Get("Location")).is(200).says("1件を取り込みました。", "前に取り込んだ1件は、そのままです。")
	w.get("/registers/none").is(404)
	// Who reads nothing of others reads no file of it either.
	w = atTollbooth(newWorld(t))
	for _, path := range []string{"/registers", "/registers/remote_access", "/registers/remote_access/file", "/registers/remote_access/import"} {
		w.get(path).is(403)
	}
	w.post("/registers/remote_access/import", "data", "x").is(403)
	if len(w.permits.did) > 0 {
		t.Errorf("did %q", w.permits.did)
	}
	// A sign-in too weak for what a file brings is mended before it is pasted.
	w = keepsRegisters(newWorld(t))
	w.now.Session.AuthAt = t0.Add(-time.Hour)
	if to := w.get("/registers/dispose/import").is(http.StatusSeeOther).Header.Get("Location"); !strings.HasPrefix(to, "/signin?") || !strings.Contains(to, url.QueryEscape("/registers/dispose/import")) {
		t.Errorf("leads to %s", to)
	}
}

// TestEndRemote: one session from outside is ended where the reader may, with a reason, and
// not twice.
func TestEndRemote(t *testing.T) {
	w := withLive(keepsRegisters(newWorld(t)))
	line := func(id string, change func(*desk.RemoteSession)) desk.RemoteSession {
		s := desk.RemoteSession{ID: id, Person: sasaki, Since: t0, From: "198.51.100.7", Door: policy.Words{JA: "VPN装置1", EN: "VPN 1"}, End: desk.Answer{OK: true}}
		change(&s)
		return s
	}
	w.permits.remote = []desk.RemoteSession{
		line("s1", func(*desk.RemoteSession) {}),
		line("s2", func(s *desk.RemoteSession) { s.End = desk.Answer{} }),
		line("s3", func(s *desk.RemoteSession) { s.Ending = true }),
		line("s4", func(s *desk.RemoteSession) {
			s.End.StepUp = &account.StepUp{Required: policy.PHR, MaxAge: 10 * time.Minute}
		}),
	}
	w.get("/live").is(200).
		says(`action="/live/remote/s1/end"`, "機器の返事を待っています", `href="/signin?acr=phr&amp;max_age=600&amp;rd=%2Flive"`).
		keepsSilentOn(`action="/live/remote/s2/end"`, `action="/live/remote/s3/end"`, `action="/live/remote/s4/end"`)
	w.post("/live/remote/s1/end", "reason", " 端末の紛失 ").leadsTo("/live?done=remote_end")
	if got := w.permits.did; len(got) != 1 || got[0] != "end remote s1 端末の紛失" {
		t.Errorf("did %q", got)
	}
	w.permits.actErr = freshly
	if to := w.post("/live/remote/s1/end", "reason", "x").is(http.StatusSeeOther).Header.Get("Location"); !strings.HasPrefix(to, "/signin?") {
		t.Errorf("an old sign-in is led to %s", to)
	}
	w.permits.actErr = permit.ErrNotFound
	w.post("/live/remote/none/end", "reason", "x").is(404)
}

var hiddenKey = regexp.MustCompile(`name="key" value="([^"]+)"`)

// TestAPermitFormSentTwice: a form says who it is, and a second click of the same form
// says the same; what is asked for otherwise is another request.
func TestAPermitFormSentTwice(t *testing.T) {
	w := atTollbooth(newWorld(t))
	form := func(path string) string {
		t.Helper()
		m := hiddenKey.FindStringSubmatch(w.get(path).is(200).body)
		if m == nil {
			t.Fatalf("the form at %s has no key", path)
		}
		return m[1]
	}
	ask := func(key, reason string) string {
		t.Helper()
		w.post("/permits/new", "kind", "dispose", "key", key, "reason", reason, "stated-asset", "調査票", "stated-class", "2", "from", "2026-05-01", "until", "2026-06-01").is(303)
		return w.permits.asked[len(w.permits.asked)-1].Key
	}
	path := "/permits/new?kind=dispose"
	one, two := form(path), form(path)
	first := ask(one, "期限")
	if first == "" || ask(one, "期限") != first {
		t.Error("the same form is two requests")
	}
	for name, key := range map[string]string{"another form": ask(two, "期限"), "another reason": ask(one, "別の理由")} {
		if key == "" || key == first {
			t.Errorf("%s is the same request", name)
		}
	}
	if got := ask("", "期限"); got != "" {
		t.Errorf("a form without a key has %q", got)
	}
	// A form that comes back with a fault keeps its key.
	if got := hiddenKey.FindStringSubmatch(w.post("/permits/new", "kind", "dispose", "key", one, "reason", "").is(422).body); got == nil || got[1] != one {
		t.Errorf("the form comes back as %q", got)
	}
	// Renewals of one form are told apart by what they renew.
	key := form("/permits/renew")
	w.permits.asked = nil
	for range 2 {
		w.send(http.MethodPost, "/permits/renew", url.Values{"csrf_token": {token(w.cookie)}, "key": {key}, "id": {"p1", "p2"}, "until": {"2028-03-31"}})
	}
	keys := map[string]int{}
	for _, one := range w.permits.asked {
		keys[one.Key]++
	}
	if len(keys) != len(w.permits.asked)/2 || len(keys) == 0 || keys[""] > 0 {
		t.Errorf("renewals have the keys %v", keys)
	}
}

func TestYearEnd(t *testing.T) {
	for in, want := range map[string]string{"2026-04-01T00:00:00+09:00": "2027-04-01", "2026-12-31T23:00:00+09:00": "2027-04-01", "2027-03-31T23:59:59+09:00": "2027-04-01", "2027-04-01T00:00:00+09:00": "2028-04-01"} {
		at, err := time.Parse(time.RFC3339, in)
		if err != nil {
			t.Fatal(err)
		}
		if got := dayOf(yearEnd(at)); got != want {
			t.Errorf("the fiscal year of %s ends before %s, want %s", in, got, want)
		}
	}
}
