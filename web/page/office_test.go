package page

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
)

// denied is what the service says to somebody whose posts do not include an act.
func (o *officeWorld) denied(act authz.Act) error {
	posts := o.policy.PostsOf(o.now.Person.Groups)
	return &people.Denied{Permission: authz.May(o.policy, act, posts, nil, false)}
}

// TestOfficePages holds those pages to it that differ from others in their words
// alone, and lists that are empty.
func TestOfficePages(t *testing.T) {
	keys := untranslated(t)
	for _, lang := range languages {
		o := inOffice(newWorld(t))
		o.lang = lang
		for _, bare := range []bool{false, true} {
			if bare {
				o.found, o.office.terminals, o.office.tokens = nil, nil, nil
			}
			for _, path := range append(officePages, "/people?after=z", "/tokens?after=z", "/tokens?q=z") {
				if a := o.get(path); a.StatusCode == http.StatusOK {
					check(t, lang, parse(t, a.body))
					if m := keys.FindString(strip(a.body)); m != "" {
						t.Errorf("an untranslated key is on %s: %s", path, m)
					}
				} else if !bare || a.StatusCode != http.StatusNotFound {
					t.Errorf("%s is answered %d", path, a.StatusCode)
				}
			}
		}
	}
}

// officePages are all pages that show something, officeForms all that do
// something, with what makes them do it.
var officePages = []string{
	"/people", "/people/suzuki", "/people/suzuki/suspend", "/people/suzuki/restore", "/people/suzuki/leave", "/people/suzuki/end-leave", "/people/suzuki/unlock",
	"/people/suzuki/temporary-password", "/people/suzuki/recovery-code", "/people/suzuki/factors/f2/remove",
	"/terminals", "/terminals/enrol", "/terminals/madoguchi-03/lost", "/terminals/madoguchi-03/remove",
	"/tokens", "/tokens/import", "/tokens/A0001", "/tokens/A0001/assign", "/tokens/A0002/unassign", "/tokens/A0002/resync", "/tokens/A0002/lost",
}

var officeForms = []struct {
	path   string
	fields []string
	did    string // what the service is asked for
	leads  string // where the answer leads; "" for a slip
}{
	{"/people/suzuki/suspend", []string{"reason", " 不正の疑い ", "until", "2026-04-03"}, "suspend suzuki 不正の疑い 2026-04-03T15:00:00Z", "/people/suzuki?done=suspended"},
	{"/people/suzuki/restore", []string{"reason", "戻ったため"}, "restore suzuki 戻ったため", "/people/suzuki?done=restored"},
	{"/people/suzuki/leave", []string{"reason", " 育休 ", "from", "2026-04-03", "until", "2027-03-31"}, "leave suzuki 育休 2026-04-03 2027-03-31", "/people/suzuki?done=leave_recorded"},
	{"/people/suzuki/end-leave", []string{"reason", "復職"}, "end leave suzuki 復職", "/people/suzuki?done=leave_ended"},
	{"/people/suzuki/unlock", nil, "unlock suzuki", "/people/suzuki?done=unlocked"},
	{"/people/suzuki/temporary-password", nil, "temporary suzuki", ""},
	{"/people/suzuki/recovery-code", nil, "recovery suzuki", ""},
	{"/people/suzuki/factors/f2/remove", nil, "drop suzuki f2", "/people/suzuki?done=factor_removed"},
	{"/terminals/enrol", []string{"id", "m-1", "name", "窓口", "name_en", "Counter", "class", "counter", "zone", "lgwan", "public_key", " PEM\n"}, "enrol m-1 counter lgwan 窓口 Counter PEM", "/terminals?done=terminal_enrolled"},
	{"/terminals/madoguchi-03/lost", nil, "lose terminal madoguchi-03", "/terminals?done=terminal_lost"},
	{"/terminals/madoguchi-03/remove", nil, "remove terminal madoguchi-03", "/terminals?done=terminal_removed"},
	{"/tokens/import", []string{"format", "pskc", "data", " <xml/> ", "key", " k "}, "import pskc  <xml/>   k", "/tokens?added=0&done=imported&known=0"},
	{"/tokens/A0001/assign", []string{"login", " suzuki "}, "assign A0001 suzuki", "/tokens/A0001?done=assigned"},
	{"/tokens/A0002/unassign", nil, "unassign A0002", "/tokens/A0002?done=unassigned"},
	{"/tokens/A0002/resync", []string{"first", "１２３ 456", "second", "654321"}, "resync A0002 123456 654321", "/tokens/A0002?done=resynced"},
	{"/tokens/A0002/lost", nil, "lose token A0002", "/tokens/A0002?done=token_lost"},
}

func TestOfficeActs(t *testing.T) {
	for _, f := range officeForms {
		t.Run(f.path, func(t *testing.T) {
			o := inOffice(newWorld(t))
			a := o.post(f.path, f.fields...)
			if f.leads == "" {
				a.is(http.StatusOK)
			} else {
				a.leadsTo(f.leads)
				// Whatever was done is said where the redirect leads.
				o.get(f.leads).is(http.StatusOK).says(`<div class="note good" role="status">`)
			}
			if !slices.Contains(o.did, f.did) {
				t.Errorf("did %q, want %q", o.did, f.did)
			}
		})
	}
}

// No door of the office opens without a session, without the token that goes
// with the cookie, or when the service says no; nothing is done then.
func TestOfficeIsShut(t *testing.T) {
	doing := func(o *officeWorld) bool {
		return slices.ContainsFunc(o.did, func(s string) bool { return !strings.HasPrefix(s, "find ") && !strings.HasPrefix(s, "tokens ") })
	}
	for _, path := range officePages {
		o := inOffice(newWorld(t))
		o.now = signin.Step{}
		o.get(path).leadsTo("/signin?rd=" + url.QueryEscape(path) + "&why=sign_in")
	}
	for _, f := range officeForms {
		t.Run(f.path, func(t *testing.T) {
			o := inOffice(newWorld(t))
			o.post(f.path, append(f.fields, "csrf_token", "stolen")...).is(http.StatusForbidden)
			o.now = signin.Step{}
			o.post(f.path, f.fields...).is(http.StatusSeeOther)
			if doing(o) {
				t.Errorf("did %v", o.did)
			}
			o = inOffice(newWorld(t))
			o.lookErr, o.actErr = session.ErrNone, session.ErrNone
			o.post(f.path, f.fields...).leadsTo("/signin?why=ended")
		})
	}
}

// Somebody without a post gets the refusal with its words and article, and
// nothing of what the page would have shown.
func TestOfficeRefuses(t *testing.T) {
	for _, lang := range languages {
		for _, path := range officePages {
			o := inOffice(newWorld(t), "staff")
			o.lang = lang
			refusal := o.denied(authz.ViewPeople)
			o.lookErr, o.actErr = refusal, refusal
			a := o.get(path).is(http.StatusForbidden).keepsSilentOn("suzuki@", `aria-label="管理"`, "SHA256", "在庫", `action="/people`)
			if lang == "ja" {
				a.says("あなたの役割では行えません", "条")
			} else {
				a.says("Your post does not include this", "Article ")
			}
		}
		for _, f := range officeForms {
			o := inOffice(newWorld(t), "staff")
			o.lang = lang
			refusal := o.denied(authz.Suspend)
			o.lookErr, o.actErr = refusal, refusal
			o.post(f.path, f.fields...).is(http.StatusForbidden).keepsSilentOn("suzuki@", "SHA256", slipSecret)
		}
	}
}

// An act that needs a stronger or a newer proof leads to it before anything is
// typed, and again if it has grown old meanwhile.
func TestOfficeAsksForProof(t *testing.T) {
	for _, path := range officePages {
		acts := !slices.Contains([]string{"/people", "/people/suzuki", "/terminals", "/tokens", "/tokens/A0001"}, path)
		want := "/signin?acr=phr&max_age=600&rd=" + url.QueryEscape(path)
		for _, weaken := range []func(o *officeWorld){
			func(o *officeWorld) { o.now.Session.ACR = policy.AAL2 },
			func(o *officeWorld) { o.now.Session = nil },
			func(o *officeWorld) { o.clock.Advance(10*time.Minute + time.Second) },
		} {
			o := inOffice(newWorld(t))
			if weaken(o); acts {
				o.get(path).leadsTo(want)
			} else {
				o.get(path).is(http.StatusOK)
			}
		}
		o := inOffice(newWorld(t))
		o.clock.Advance(10 * time.Minute)
		o.get(path).is(http.StatusOK)
		o.lookErr = &account.StepUp{Required: policy.AAL2, MaxAge: time.Hour}
		if path != "/terminals/enrol" && path != "/tokens/import" {
			o.get(path).leadsTo("/signin?acr=aal2&max_age=3600&rd=" + url.QueryEscape(path))
		}
	}
	for _, f := range officeForms {
		o := inOffice(newWorld(t))
		o.actErr = &account.StepUp{Required: policy.PHR, MaxAge: 10 * time.Minute}
		o.post(f.path, f.fields...).leadsTo("/signin?acr=phr&max_age=600&rd=" + url.QueryEscape(f.path))
	}
}

// What the policy lets nobody do alone is offered as a proposal, with why and by
// which article; what it does not let this reader do cannot be pressed.
func TestOfficeShowsWhatIsRefused(t *testing.T) {
	o := inOffice(newWorld(t))
	o.subject.Posts = []policy.PostID{policy.SecurityOfficer}
	o.subject = o.seenBy(o.subject, policy.SystemAdministrator)
	a := o.get("/people/suzuki").is(http.StatusOK).
		says("第16条第1項", "もう一人の管理者", `href="/people/suzuki/suspend"`, `href="/people/suzuki/temporary-password"`, `href="/people/suzuki/recovery-code"`, "/factors/f2/remove")
	for _, why := range []string{"もう一人の管理者", "第16条第1項"} {
		if n := strings.Count(a.body, why); n != 3 {
			t.Errorf("%s stands %d times, want it beside the two acts and the factors", why, n)
		}
	}
	for _, path := range []string{"temporary-password", "recovery-code", "factors/f2/remove"} {
		o.get("/people/suzuki/"+path).is(http.StatusOK).says("はじめは提案となり", "もう一人の管理者")
		o.actErr = &people.Waiting{Matter: "m1", Proposed: true, Articles: []policy.Article{"16-1", "62-7"}}
		o.post("/people/suzuki/"+path).is(http.StatusConflict).says("一人では行えないため、提案しました", "第16条第1項")
		o.actErr = nil
	}

	// Whoever audits sees everything and is offered nothing.
	o = inOffice(newWorld(t), "auditor")
	o.subject = o.seenBy(o.subject, policy.Auditor)
	o.get("/people/suzuki").is(http.StatusOK).says("閲覧だけ", "第16条第2項", "suzuki@pref.example").keepsSilentOn(`href="/people/suzuki/`)
	o.get("/terminals").is(http.StatusOK).keepsSilentOn("/terminals/enrol", "/lost", "/remove")
	o.get("/tokens").is(http.StatusOK).keepsSilentOn("/tokens/import")
	o.get("/tokens/A0002").is(http.StatusOK).says("閲覧だけ").keepsSilentOn(`href="/tokens/A0002/`)
	for _, path := range []string{"/terminals/enrol", "/terminals/madoguchi-03/lost", "/tokens/import", "/tokens/A0002/lost", "/people/suzuki/suspend"} {
		o.get(path).is(http.StatusForbidden)
	}

	// One who approves may not look into the tokens, and is not led there.
	inOffice(newWorld(t), "security_manager").get("/people").says(`href="/terminals"`).keepsSilentOn(`href="/tokens"`)
}

// Where a token may not go to somebody, the form stays, with who was named.
func TestTokenForSomebodyPowerful(t *testing.T) {
	o := inOffice(newWorld(t))
	o.actErr = &people.Denied{Permission: authz.May(o.policy, authz.AssignToken, []policy.PostID{policy.SystemAdministrator}, []policy.PostID{policy.CIO}, false)}
	o.post("/tokens/A0001/assign", "login", "yamada").is(http.StatusForbidden).
		says("もう一人の管理者", "第16条第1項", `value="yamada"`, `id="login-wrong-0"`, `action="/tokens/A0001/assign"`)
}

// What an act would not change is said instead of offered.
func TestOfficeShowsWhatIsIdle(t *testing.T) {
	o := inOffice(newWorld(t))
	o.get("/people/suzuki").says(`href="/people/suzuki/suspend"`, `href="/people/suzuki/unlock"`, "利用停止になっていません").keepsSilentOn(`href="/people/suzuki/restore"`)
	o.subject = o.suspended()
	o.get("/people/suzuki").
		says(`href="/people/suzuki/restore"`, "すでに利用停止になっています", "締め出されていません", "先に使える状態に", "不正利用の疑い\n&lt;b&gt;", "2026年4月4日", "解くまで").
		keepsSilentOn(`href="/people/suzuki/suspend"`, `href="/people/suzuki/unlock"`, `href="/people/suzuki/temporary-password"`, `href="/people/suzuki/recovery-code"`)
	o.get("/tokens/A0001").says(`href="/tokens/A0001/assign"`, "「在庫」").keepsSilentOn(`href="/tokens/A0001/resync"`)
	o.get("/tokens/A0003").keepsSilentOn(`href="/tokens/A0003/`)
	o.get("/tokens/A0001/unassign").is(http.StatusConflict)
	o.get("/terminals").says(`href="/terminals/madoguchi-03/remove"`, `href="/terminals/juki-01/lost"`).keepsSilentOn("/terminals/juki-01/remove", "/terminals/kashi-7/lost")
	o.get("/terminals/juki-01/remove").is(http.StatusConflict)
	o.get("/terminals/kashi-7/lost").is(http.StatusConflict)
}

// Before anything else the page says why somebody cannot sign in, and what ends
// that; and what to do next after something was done.
func TestOfficeSaysWhatIsWrong(t *testing.T) {
	o := inOffice(newWorld(t))
	o.get("/people/suzuki").says("失敗の上限に達しました：確認コード", "失敗による締め出し中", `<a class="lone" href="/people/suzuki/unlock">`, "渡した回復コードがまだ使われていません").keepsSilentOn("妨げるものはありません")
	for name, tt := range map[string]struct {
		change func(d *people.Detail)
		says   []string
	}{
		"nothing":  {func(*people.Detail) {}, []string{"妨げるものはありません"}},
		"disabled": {func(d *people.Detail) { d.Person.Account.Disabled, d.State = true, people.Disabled }, []string{"ディレクトリの管理者に依頼"}},
		"expired":  {func(d *people.Detail) { d.Person.Account.ExpiresAt, d.State = t0, people.Expired }, []string{"契約の期限が過ぎています"}},
		"on leave": {func(d *people.Detail) {
			d.State, d.Closed = people.OnLeave, []standing.Record{{Kind: standing.OnLeave, Since: t0}}
		}, []string{"早く戻るとき"}},
		"dormant": {func(d *people.Detail) {
			d.State, d.Closed = people.Dormant, []standing.Record{{Kind: standing.Dormant, Since: t0}}
		}, []string{"長い間使われなかった", `<a class="lone" href="/people/suzuki/restore">`}},
		"temporary":    {func(d *people.Detail) { d.Person.Account.MustChange = true }, []string{"最初に使うときに新しいパスワードに変更"}},
		"no factor":    {func(d *people.Detail) { d.Factors = nil }, []string{"次のサインインで二つ目の認証要素を登録"}},
		"locked there": {func(d *people.Detail) { d.Person.Account.PasswordLocked = true }, []string{"失敗による締め出し中", "パスキーとICカードは"}},
	} {
		d := o.suzuki()
		d.Attempts, d.Recovery, d.Person.Account = nil, time.Time{}, directory.Account{}
		tt.change(&d)
		o.subject = d
		a := o.get("/people/suzuki").is(http.StatusOK).says(tt.says...)
		if fine := strings.Contains(a.body, "妨げるものはありません"); fine != (name == "nothing") {
			t.Errorf("%s: the page says that nothing is in the way: %v", name, fine)
		}
	}

	// The way back is offered where the act can be done.
	o.subject = o.suspended()
	o.get("/people/suzuki?done=suspended").says(`<p><a class="lone" href="/people/suzuki/restore">`)
	o = inOffice(newWorld(t), "auditor")
	o.subject = o.seenBy(o.suspended(), policy.Auditor)
	o.get("/people/suzuki?done=suspended").keepsSilentOn(`href="/people/suzuki/restore"`)

	// What was done before, by whom and why, is there to be read.
	o.get("/people/suzuki").says("管理者が行ったこと", "認証要素を外した")
}

// A slip's secret stands once in the answer that makes it and nowhere else: no
// address, no header, no log, no other page.
func TestSlipIsShownOnce(t *testing.T) {
	for _, path := range []string{"/people/suzuki/temporary-password", "/people/suzuki/recovery-code"} {
		for _, lang := range languages {
			o := inOffice(newWorld(t))
			o.lang = lang
			a := o.post(path).is(http.StatusOK)
			if n := strings.Count(a.body, slipSecret); n != 1 {
				t.Errorf("the secret is on the slip %d times", n)
			}
			if got := a.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q", got)
			}
			for name, values := range a.Header {
				if strings.Contains(strings.Join(values, " "), slipSecret) {
					t.Errorf("the secret is in %s", name)
				}
			}
			// Both languages are on the paper: whoever prints it may read another.
			a.says("有効期限：", "Good until: ", "佐々木 健（sasaki）", "佐々木 健 (sasaki)", "情報システム課", "Information Systems Division", "鈴木 一郎",
				`lang="ja"`, `lang="en"`, "2026年4月2日（木）09:05 日本時間", "Thu 2 April 2026, 09:05 JST", "http://localhost:8080")
			for _, again := range []string{path, "/people/suzuki", "/me"} {
				o.get(again).is(http.StatusOK).keepsSilentOn(slipSecret)
			}
			if strings.Contains(o.log.String(), slipSecret) || !strings.Contains(o.log.String(), path[strings.LastIndex(path, "/"):]) {
				t.Errorf("the log: %s", o.log.String())
			}
		}
	}
	o := inOffice(newWorld(t))
	o.actErr = people.ErrShared
	o.post("/people/suzuki/temporary-password").is(http.StatusConflict).says("共用ID", "/shared", "46条").keepsSilentOn(slipSecret)
	o.actErr = people.ErrUnusable
	o.post("/people/suzuki/temporary-password").is(http.StatusConflict).says("このIDは今は使えない").keepsSilentOn(slipSecret)
}

var formName = regexp.MustCompile(`name="form" value="([^"]+)"`)

// form is the name that a page gave to its form.
func (o *officeWorld) form(a *answer) string {
	o.t.Helper()
	m := formName.FindStringSubmatch(a.body)
	if m == nil {
		o.t.Fatalf("the form has no name: %s", a.body)
	}
	return m[1]
}

// TestSlipIsMadeOnce: the page of a slip that is loaded again makes no other, which would
// void the one on paper; it says so, and leads on. A form that failed may be sent again.
func TestSlipIsMadeOnce(t *testing.T) {
	for path, did := range map[string]string{"/people/suzuki/temporary-password": "temporary suzuki", "/people/suzuki/recovery-code": "recovery suzuki"} {
		o := inOffice(newWorld(t))
		form := o.form(o.get(path).is(http.StatusOK))
		o.actErr = errStore
		o.post(path, "form", form).is(500)
		o.actErr = nil
		o.post(path, "form", form).is(http.StatusOK).says(slipSecret)
		before := len(o.did)
		again := o.post(path, "form", form).is(http.StatusConflict).says("もう表示しました", "下のボタン").keepsSilentOn(slipSecret, form)
		if slices.Contains(o.did[before:], did) {
			t.Errorf("%s was done again", path)
		}
		o.post(path, "form", o.form(again)).is(http.StatusOK).says(slipSecret)
		if o.last() != did {
			t.Errorf("a new form did %q", o.last())
		}
	}
}

func TestOfficeNamesAreEscaped(t *testing.T) {
	o := inOffice(newWorld(t))
	o.slip.Name = evilName
	answers := []*answer{o.post("/people/suzuki/temporary-password")}
	for _, path := range officePages {
		answers = append(answers, o.get(path))
	}
	seen := 0
	for _, a := range answers {
		a.keepsSilentOn("<img")
		seen += strings.Count(a.body, "&lt;img src=x onerror=alert(1)&gt;")
	}
	if seen < 8 {
		t.Errorf("the name is shown %d times: the test no longer sees it", seen)
	}
	// Ids and logins make paths, whatever is in them.
	o.get("/people/suzuki").says(`href="/people/suzuki/factors/f%2F1/remove"`)
	o.get("/people/suzuki/factors/f%2F1/remove").is(http.StatusOK).says(`action="/people/suzuki/factors/f%2F1/remove"`)
	o.post("/people/suzuki/factors/f%2F1/remove").leadsTo("/people/suzuki?done=factor_removed")
	if o.last() != "drop suzuki f/1" {
		t.Errorf("did %q", o.last())
	}
}

func TestOfficeUnknown(t *testing.T) {
	o := inOffice(newWorld(t))
	for _, path := range []string{
		"/people/nobody", "/people/nobody/suspend", "/people/suzuki/factors/none/remove", "/people/suzuki/promote", "/people/suzuki/factors",
		"/terminals/none/lost", "/terminals/none/remove", "/terminals/none", "/tokens/none", "/tokens/none/assign", "/tokens/A0001/burn", "/office",
	} {
		o.get(path).is(http.StatusNotFound)
	}
	for _, path := range []string{"/people/nobody/suspend", "/people/nobody/unlock", "/tokens/none/lost", "/terminals/none/lost"} {
		o.actErr = people.ErrNotFound
		o.post(path, "reason", "a").is(http.StatusNotFound)
	}
	// Without the service there is no office.
	w := newWorld(t).signedIn("system_administrator")
	w.remount(nil, io.Discard)
	for _, path := range officePages {
		w.get(path).is(http.StatusNotFound)
	}
}
