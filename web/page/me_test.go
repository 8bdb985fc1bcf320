package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/policy"
	"sekisho/policy/charter"
)

func TestMySessionIsExplained(t *testing.T) {
	a := newWorld(t).signedIn("security_manager").get("/me").is(200)
	a.says("田中 一郎", "tanaka", "情報システム課", "職員、情報セキュリティ管理者", "二要素", "パスワード、確認コード", "LGWAN接続系", "10.2.0.7",
		`datetime="2026-04-01T00:05:00Z">今日 09:05 日本時間`, // signed in
		"今日 18:05 日本時間",                                 // the absolute end
		"今日 09:35 日本時間",                                 // the end unless it is used
		"昨日 09:05 日本時間",                                 // the last sign-in
		"昨日 17:05 日本時間",                                 // and its end
		"サインインの失敗はありません", "庁用スマートフォン", "Microsoft Edge（Windows）", "Firefox（Linux）", "自分のIDだけを使い")
	if got := strings.Count(a.body, "/end\""); got != 2 || !strings.Contains(a.body, `action="/me/sessions/s2/end"`) {
		t.Errorf("%d buttons end sessions, want the other one's and that for all others: neither this nor an application's", got)
	}
	a.says("/handover?app=bunsho").keepsSilentOn("app=juki", "app=kansa", `href="/policy"`)
	newWorld(t).signedIn("cio").get("/me").says(`href="/policy"`)
}

// Everything that can be said of a session and its factors is said.
func TestMyPageSaysEverything(t *testing.T) {
	w := newWorld(t).withEverything()
	a := w.get("/me").is(200)
	a.says("フィッシングに強い確認", "パスキー（1台だけのもの）", "住民窓口1番（窓口端末）", "3回", "サインアウトしていません", "ichiro@example.jp",
		"製造番号 A1234567", "この鍵または端末の中だけにあります", "ほかの端末にも同期されます", "職員証", "ICカード",
		"/me/factors/f3/rename", "/me/factors/f5/remove", `href="/policy"`).
		keepsSilentOn("/me/factors/f5/rename", "サインインの失敗はありません")
	w.now.Session.AMR, w.now.Session.ACR = []string{"pwd"}, policy.AAL2
	w.get("/me").says("パスワード、専用端末のサインイン")
	w.now.Session.Terminal, w.now.Session.TerminalClass = "T-9", policy.TerminalLent // enrolled by an administrator
	w.get("/me").says("T-9（貸与端末）")
}

// The doors of an office are shown to those who hold it, and only doors that
// there are.
func TestOfficeDoors(t *testing.T) {
	for post, want := range map[string]bool{"staff": false, "system_administrator": true, "security_manager": true, "auditor": true} {
		w := newWorld(t).signedIn(post)
		for _, path := range []string{"/people", "/terminals", "/tokens"} {
			there := slices.Contains(w.srv.Routes(), "GET "+path)
			// Tokens are the administrators' and auditors' alone (authz.May).
			want := want && (path != "/tokens" || post != "security_manager")
			if got := strings.Contains(w.get("/me").body, `href="`+path+`"`); got != (want && there) {
				t.Errorf("%s sees %s: %v; it is mounted: %v", post, path, got, there)
			}
		}
	}
}

func TestEndOthers(t *testing.T) {
	w := newWorld(t).signedIn()
	third := w.sessions[1]
	third.ID = "s4"
	w.sessions = append(w.sessions, third)
	w.post("/me/sessions/end").leadsTo("/me?done=sessions_ended")
	if !slices.Equal(w.asked, []string{"end s2", "end s4"}) {
		t.Errorf("asked %v, want the others, and no application's", w.asked)
	}
	w.get("/me?done=sessions_ended").says("すべて終了しました")
	w.err = errStore
	w.post("/me/sessions/end").is(500)
	w.err = signin.ErrNone
	w.post("/me/sessions/end").leadsTo("/signin?why=ended")
	w = newWorld(t).signedIn()
	w.sessions = w.sessions[:1]
	w.get("/me").keepsSilentOn(`action="/me/sessions/end"`).says("ほかにサインインはありません")
}

func TestSecondAddress(t *testing.T) {
	w := newWorld(t).signedIn()
	w.second = "ichiro@example.jp"
	w.get("/me/address").is(200).says("tanaka@pref.example", `value="ichiro@example.jp"`)
	for _, bad := range []string{"ichiro", "a@b.example, c@d.example", "Ichiro <a@b.example>", "a@b.example\r\nBcc: c@d.example"} {
		w.post("/me/address", "address", bad).is(422).says("アドレスを確かめて")
	}
	w.post("/me/address", "address", "Tanaka@pref.example").is(422).says("職場のアドレスと同じです")
	if len(w.asked) != 0 {
		t.Fatalf("asked %v", w.asked)
	}
	w.post("/me/address", "address", " i@example.jp ").leadsTo("/me?done=address")
	w.post("/me/address", "address", "").leadsTo("/me?done=address")
	if !slices.Equal(w.asked, []string{"address i@example.jp", "address "}) {
		t.Errorf("asked %q", w.asked)
	}
	w.err = &account.StepUp{Required: policy.AAL2, MaxAge: time.Minute}
	w.post("/me/address", "address", "i@example.jp").leadsTo("/signin?acr=aal2&max_age=60&rd=%2Fme%2Faddress")
}

func TestRenameFactor(t *testing.T) {
	w := newWorld(t).signedIn()
	w.get("/me/factors/f1/rename").is(200).says(`value="庁用スマートフォン"`)
	w.get("/me/factors/f9/rename").is(404)
	w.post("/me/factors/f9/rename", "name", "x").is(404)
	w.post("/me/factors/f1/rename", "name", "　").is(422).says("名前を入力")
	w.post("/me/factors/f1/rename", "name", strings.Repeat("あ", 65)).is(422).says("64文字以内")
	if len(w.asked) != 0 {
		t.Fatalf("asked %v", w.asked)
	}
	for _, refused := range []error{totp.ErrName, passkey.ErrName} {
		w.err = refused
		w.post("/me/factors/f1/rename", "name", "\x01").is(422).says("この名前は使えません")
	}
	w.err, w.asked = nil, nil
	w.post("/me/factors/f1/rename", "name", " 机の電話 ").leadsTo("/me?done=factor_renamed")
	if !slices.Equal(w.asked, []string{"rename f1 机の電話"}) {
		t.Errorf("asked %q", w.asked)
	}
}

func TestHostileNamesAreEscaped(t *testing.T) {
	const hostile = `"><script>alert(1)</script>{{.CSRF}}`
	w := newWorld(t).signedIn("cio")
	w.now.Person.Name, w.now.Person.Section = hostile, hostile
	w.factors[0].Name, w.factors[0].ID = hostile, "../x?y"
	w.now.Session.From = hostile
	w.sessions[1].UserAgent, w.sessions[1].From = hostile, hostile
	w.proposals = []charter.Proposal{proposal("P1", hostile)}
	w.proposals[0].Changes[0].New = hostile
	for _, path := range []string{"/me", "/policy"} {
		w.get(path).is(200).keepsSilentOn("<script>alert", "token-of-abc<").says("&lt;script&gt;")
	}
	w.get("/me").says("/me/factors/..%2Fx%3Fy/remove")
	w.err = signin.ErrRefused
	w.post("/signin", "login", hostile, "password", "x").is(401).keepsSilentOn("<script>alert").says("&lt;script&gt;")
	w.get("/signin?acr=aal2&max_age=0&why=" + url.QueryEscape(hostile)).keepsSilentOn("<script>alert")
}

func TestWithoutASessionMyPagesAskForOne(t *testing.T) {
	for _, path := range []string{"/me", "/me/password", "/me/factors/totp", "/me/factors/passkey", "/me/factors/f1/rename", "/me/factors/f1/remove", "/me/address", "/me/leak", "/policy"} {
		newWorld(t).get(path).leadsTo("/signin?rd=" + url.QueryEscape(path) + "&why=sign_in")
	}
	for _, path := range []string{"/me/password", "/me/factors/totp", "/me/factors/totp/begin", "/me/factors/passkey", "/me/factors/f1/rename", "/me/factors/f1/remove", "/me/address", "/me/leak", "/policy/proposals/P1/approve"} {
		newWorld(t).post(path).leadsTo("/signin?why=sign_in")
	}
}

// A cookie whose session has died since is none.
func TestEndedSession(t *testing.T) {
	w := newWorld(t)
	w.cookie = "dead"
	w.get("/me").leadsTo("/signin?rd=%2Fme&why=sign_in")
	w.get("/signin").is(200)
}

func TestStepUpLeadsBack(t *testing.T) {
	up := &account.StepUp{Required: policy.AAL2, MaxAge: 10 * time.Minute}
	for _, tt := range []struct{ path, back string }{
		{"/me/factors/totp/begin", "/me/factors/totp"},
		{"/me/factors/f1/remove", "/me/factors/f1/remove"},
		{"/me/factors/passkey", "/me/factors/passkey"},
	} {
		w := newWorld(t).signedIn()
		w.err = up
		w.post(tt.path, "id", "k1", "name", "n", "credential", "{}").leadsTo("/signin?acr=aal2&max_age=600&rd=" + url.QueryEscape(tt.back))
	}
	// Fresh enough again, the sign-in page sends straight back.
	w := newWorld(t).signedIn()
	w.get("/signin?acr=aal2&max_age=600&rd=%2Fme%2Ffactors%2Ftotp").leadsTo("/me/factors/totp")
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t).signedIn()
	w.post("/me/password").is(422).says("今のパスワードを入力", "新しいパスワードを入力")
	if len(w.asked) != 0 {
		t.Fatalf("asked %v", w.asked)
	}
	send := func() *answer {
		return w.post("/me/password", "current", "old-typed", "new_password", "new-typed", "again", "new-typed")
	}
	w.err = signin.ErrRefused
	send().is(401).says("今のパスワードが正しくありません", `id="current-wrong-0"`).keepsSilentOn("old-typed", "new-typed")
	w.err = rejected
	send().is(422).says("短すぎます。", `id="new_password-wrong-1"`).keepsSilentOn("old-typed", "new-typed")
	w.err = &signin.Held{RetryAfter: time.Minute}
	send().is(429)
	w.err = signin.ErrNone
	send().leadsTo("/signin?why=ended")
	w.err, w.step = nil, signin.Step{State: authn.SignedIn, Cookie: "new"}
	if a := send().leadsTo("/me?done=password"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
	if last := w.asked[len(w.asked)-1]; last != "change old-typed new-typed" {
		t.Errorf("asked %q", last)
	}
	w.get("/me?done=password").says("パスワードを変更しました")
}

func TestAddFactor(t *testing.T) {
	w := newWorld(t).signedIn()
	w.step = signin.Step{State: authn.SignedIn, Cookie: "new"}
	w.get("/me/factors/totp").is(200).says(`action="/me/factors/totp/begin"`)
	w.post("/me/factors/totp/begin").is(200).says(`action="/me/factors/totp"`, "JBSW Y3DP")
	if a := w.post("/me/factors/totp", "id", "e1", "code", "123456", "name", "n").leadsTo("/me?done=factor_added"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
}

func TestRemoveFactor(t *testing.T) {
	w := newWorld(t).signedIn()
	w.step = signin.Step{State: authn.SignedIn, Cookie: "new"}
	if w.get("/me/factors/f1/remove").is(200).says("庁用スマートフォン"); len(w.asked) != 0 {
		t.Fatalf("a GET asked %v", w.asked)
	}
	w.get("/me/factors/f9/remove").is(404)
	if a := w.post("/me/factors/f1/remove").leadsTo("/me?done=factor_removed"); a.cookieSet() != "new" || w.asked[0] != "remove f1" {
		t.Errorf("cookie %q, asked %v", a.cookieSet(), w.asked)
	}
	w.err = account.ErrLastFactor
	w.post("/me/factors/f1/remove").is(409).says("最後の方法", "第26条の3第1項")
	w.err = account.ErrNotFound
	w.post("/me/factors/f1/remove").is(404)
}

func TestEndSession(t *testing.T) {
	w := newWorld(t).signedIn()
	w.post("/me/sessions/s2/end").leadsTo("/me?done=session_ended")
	if w.asked[0] != "end s2" {
		t.Errorf("asked %v", w.asked)
	}
	w.err = account.ErrNotFound
	w.post("/me/sessions/s2/end").is(404)
	w.err = signin.ErrNone
	w.post("/me/sessions/s2/end").leadsTo("/signin?why=ended")
}

func TestLeak(t *testing.T) {
	w := newWorld(t).signedIn()
	w.post("/me/leak", "what", "").is(422).says("何があったかを入力")
	w.post("/me/leak", "what", strings.Repeat("あ", 2001)).is(422).says("2000文字以内")
	if len(w.asked) != 0 {
		t.Fatalf("asked %v", w.asked)
	}
	// Without another factor everything has ended, and the cookie goes too.
	w.err = signin.ErrNone
	if a := w.post("/me/leak", "what", "偽のサイト").leadsTo("/leak-reported"); a.cookieSet() != "-" {
		t.Errorf("cookie %q, want it cleared", a.cookieSet())
	}
	// With one, the sign-in goes on from there.
	w.err, w.step = nil, signin.Step{State: authn.SecondFactor, Cookie: "new"}
	if a := w.post("/me/leak", "what", "偽のサイト").leadsTo("/leak-reported"); a.cookieSet() != "new" {
		t.Errorf("cookie %q, want the new one", a.cookieSet())
	}
	w.at(authn.SecondFactor).get("/leak-reported").says(`href="/signin/totp"`)
	w = newWorld(t)
	w.get("/leak-reported").says("本人確認を受けてください").keepsSilentOn(`href="/signin/totp"`)
	w.signedIn().err = errStore
	w.post("/me/leak", "what", "偽のサイト").is(500).keepsSilentOn(errStore.Error())
}

func TestApproval(t *testing.T) {
	w := newWorld(t).signedIn("cio")
	w.proposals = []charter.Proposal{proposal("P1", "suzuki"), proposal("P2", "tanaka"), proposal("P3", "suzuki")}
	w.proposals[2].Base = 6 // written against a version that no longer governs
	w.get("/policy").is(200).says("提案し直すよう", "zones[0].idle_end", "30m0s", "15m0s", "/policy/proposals/P1/approve", "自分では承認できません").
		keepsSilentOn("/policy/proposals/P2/approve", "/policy/proposals/P3/approve")
	w.post("/policy/proposals/P1/approve").leadsTo("/policy?done=approved")
	if w.asked[0] != "approve P1" {
		t.Errorf("asked %v", w.asked)
	}
	for err, status := range map[error]int{
		charter.ErrSelfApproval: 403, charter.ErrPost: 403, charter.ErrStale: 409, charter.ErrNoProposal: 404,
	} {
		w.err = err
		w.post("/policy/proposals/P1/approve").is(status)
	}
	w = newWorld(t).signedIn("cio")
	w.now.Session.ACR = policy.AAL1
	if to := w.post("/policy/proposals/P1/approve").Header.Get("Location"); !strings.HasPrefix(to, "/signin?") || len(w.asked) != 0 {
		t.Errorf("one factor approved: %q, asked %v", to, w.asked)
	}
	w = newWorld(t).signedIn("cio")
	w.clock.Advance(w.policy.SignIn.FreshFor + time.Second)
	if to := w.post("/policy/proposals/P1/approve").Header.Get("Location"); !strings.HasPrefix(to, "/signin?") || len(w.asked) != 0 {
		t.Errorf("an old sign-in approved: %q, asked %v", to, w.asked)
	}
	for _, post := range []string{"staff", "auditor", "security_manager", "system_administrator", "csirt"} {
		newWorld(t).signedIn(post).get("/policy").is(403).says("第11条")
	}
}

func TestRulesAreAlwaysAtHand(t *testing.T) {
	newWorld(t).get("/rules").is(200).says("自分のIDだけを使い", "第46条第2項第7号", "https://www.pref.example/rules")
	newWorld(t).at(authn.PasswordChange).get("/rules").is(200)
	newWorld(t).signedIn().get("/rules").is(200).says("田中 一郎")
}

func TestRefusalsTellTheReaderWhatToDo(t *testing.T) {
	w := newWorld(t).signedIn()
	w.nowErr = errStore
	a := w.get("/me").is(500).says("お問い合わせ番号", "あなたの操作に間違いはありません").keepsSilentOn(errStore.Error())
	if got := a.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	w.nowErr = &signin.Away{What: "directory", Err: errStore}
	if a := w.get("/me").is(503).says("ディレクトリ"); a.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}

func TestRefusalsLeadOn(t *testing.T) {
	w := newWorld(t).signedIn()
	w.post("/me/password", "csrf_token", "wrong").is(403).says(`class="button" href="/me/password"`, "画面を開き直す", `href="/me"`, "田中 一郎")
	w.post("/signout", "csrf_token", "wrong").is(403).keepsSilentOn(`class="button" href="/signout"`).says(`class="button" href="/me"`)
	w.get("/nowhere").is(404).says("田中 一郎", `class="button" href="/me"`)
	w.err = errStore
	w.nowErr = errStore
	w.get("/me/password?x=%3Cb%3E").is(500).says(`class="button" href="/me/password?x=%3Cb%3E"`).keepsSilentOn("田中 一郎")
	newWorld(t).get("/nowhere").is(404).says(`class="button" href="/"`)
	newWorld(t).at(authn.SecondFactor).get("/nowhere").is(404).says(`class="button" href="/signin/totp"`)
	// A host that is not ours is told nothing of who is signed in.
	newWorld(t).signedIn().sendTo("elsewhere.example", http.MethodGet, "/", "").is(421).keepsSilentOn("田中 一郎")
}

func TestAssets(t *testing.T) {
	for _, one := range []asset{style, script} {
		a := newWorld(t).get(one.url).is(http.StatusOK)
		if got := a.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control %q", one.url, got)
		}
		if got := a.Header.Get("Content-Type"); got != one.kind || a.body != string(one.text) {
			t.Errorf("%s: Content-Type %q, %d bytes", one.url, got, len(a.body))
		}
	}
	if got := newWorld(t).get("/signin").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("a page may be kept: %q", got)
	}
}

func TestBrowserNames(t *testing.T) {
	g := mustLoad().tongues["en"]
	for agent, want := range map[string]string{
		"": "Unknown browser",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"curl/8.5.0": "curl",
		"Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36": "Chrome on Android",
	} {
		if got := browser(g, agent); got != want {
			t.Errorf("browser(%q) = %q, want %q", agent, got, want)
		}
	}
}

// TestMyPasswordGrowsOld: whose password must be changed soon sees until when, and nobody
// does where passwords live for ever.
func TestMyPasswordGrowsOld(t *testing.T) {
	w := newWorld(t).signedIn()
	w.get("/me").is(200).keepsSilentOn("変更してください。期限")
	w.policy.Password.WarnDays, w.policy.Password.MaxAge = 14, 60*24*time.Hour // chosen a month ago
	w.get("/me").is(200).keepsSilentOn("変更してください。期限")
	w.policy.Password.MaxAge = 41 * 24 * time.Hour
	w.get("/me").is(200).says("変更してください。期限：", "2026年4月11日")
	w.policy.Password.MaxAge, w.policy.Password.FiscalYearEnd = 0, true // it was chosen in March: too old since today
	w.get("/me").is(200).keepsSilentOn("変更してください。期限")
}
