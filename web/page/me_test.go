package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/charter"
)

func TestMySessionIsExplained(t *testing.T) {
	a := newWorld(t).signedIn("security_manager").get("/me").is(200)
	a.says("田中 一郎", "tanaka", "情報システム課", "職員、情報セキュリティ管理者", "二要素", "LGWAN接続系", "10.2.0.7",
		"2026年4月1日（水）09:05 日本時間",  // signed in
		"2026年4月1日（水）18:05 日本時間",  // the absolute end
		"2026年3月31日（火）09:05 日本時間", // the last sign-in
		"庁用スマートフォン", "Microsoft Edge（Windows）", "Firefox（Linux）", "自分のIDだけを使い")
	if got := strings.Count(a.body, "/end\""); got != 1 {
		t.Errorf("%d sessions can be ended, want the other one alone: neither this nor an application's", got)
	}
	a.says("/handover?app=bunsho", "/handover?app=juki").keepsSilentOn("app=kansa", `href="/policy"`)
	newWorld(t).signedIn("cio").get("/me").says(`href="/policy"`)
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
	for _, path := range []string{"/me", "/me/password", "/me/factors/totp", "/me/factors/f1/remove", "/me/leak", "/policy"} {
		newWorld(t).get(path).leadsTo("/signin?rd=" + url.QueryEscape(path) + "&why=sign_in")
	}
	for _, path := range []string{"/me/password", "/me/factors/totp", "/me/factors/totp/begin", "/me/factors/f1/remove", "/me/leak", "/policy/proposals/P1/approve"} {
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
	} {
		w := newWorld(t).signedIn()
		w.err = up
		w.post(tt.path).leadsTo("/signin?acr=aal2&max_age=600&rd=" + url.QueryEscape(tt.back))
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
	if w.asked[0] != "approve tanaka P1" {
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

func TestStyle(t *testing.T) {
	a := newWorld(t).get(styleURL).is(http.StatusOK).says("Digital")
	if got := a.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
		t.Errorf("Cache-Control %q", got)
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
