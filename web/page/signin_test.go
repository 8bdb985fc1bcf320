package page

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/policy"
)

const app = "http://bunsho.localhost:8080/a?b=1"

func TestStepsLeadToTheirPages(t *testing.T) {
	for state, path := range stepPath {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t)
			w.step = signin.Step{State: state, Cookie: "new"}
			a := w.post("/signin", "login", "tanaka", "password", "pw", "rd", "/me/leak").leadsTo(path + "?rd=%2Fme%2Fleak")
			if a.cookieSet() != "new" {
				t.Errorf("cookie %q, want the step's", a.cookieSet())
			}
			// The page a step belongs to shows it, every other one sends there.
			w.at(state)
			w.get(path).is(http.StatusOK)
			for other, elsewhere := range stepPath {
				if other != state {
					w.get(elsewhere).leadsTo(path)
				}
			}
			w.get("/me").leadsTo(path)
		})
	}
}

// TestSignInFormOutside: a browser with a session of inside gets the form outside, with
// the token that goes with its cookie, and is told what becomes of that session.
func TestSignInFormOutside(t *testing.T) {
	w := newWorld(t).signedIn()
	w.nowErr = &signin.NoPassage{Reason: "no_remote", Says: policy.Words{JA: "庁外からの利用には許可が必要です。", EN: "A permit is needed."}}
	page := w.get("/signin").is(http.StatusOK).says("庁外からの利用には許可が必要です。", "サインインし直してください", `name="password"`, `value="`+token(w.cookie)+`"`)
	if page.cookieSet() != "" {
		t.Errorf("the cookie became %q", page.cookieSet())
	}
	w.get("/me").is(http.StatusForbidden)
	w.step = signin.Step{State: authn.SecondFactor, Cookie: "new"}
	w.post("/signin", "login", "tanaka", "password", "pw").leadsTo("/signin/totp")
	w.nowErr = errors.New("the store is away")
	w.get("/signin").is(http.StatusInternalServerError)
}

func TestSigningInLeadsOn(t *testing.T) {
	for _, tt := range []struct{ name, rd, want string }{
		{"nowhere asked for", "", "/me"},
		{"a page of ours", "/me/password", "/me/password"},
		{"an application", app, "/handover?app=bunsho&rd=" + url.QueryEscape(app)},
		{"elsewhere", "https://evil.example/", "/me"},
		{"no scheme", "//evil.example/", "/me"},
		{"a backslash", "/\\evil.example", "/me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t).signedIn()
			done := w.now
			w.now, w.cookie, w.step = signin.Step{}, "", done
			w.step.Cookie = "new"
			w.post("/signin", "login", "tanaka", "password", "pw", "rd", tt.rd).leadsTo(tt.want)
		})
	}
}

func TestFailuresSinceAreShownOnTheWayToAnApplication(t *testing.T) {
	w := newWorld(t).signedIn()
	w.step = w.now
	w.step.Session.Previous.FailuresSince = 2
	a := w.post("/signin/totp", "code", "123456", "rd", app) // signed in already: sent on without an act
	a.leadsTo("/signin/welcome?rd=" + url.QueryEscape(app))
	w.get("/signin/welcome?rd="+url.QueryEscape(app)).is(200).says("2回", `href="/handover?app=bunsho`)
	w.get("/signin/welcome").leadsTo("/me")
	// A session that is there already goes straight through.
	w.get("/signin?rd=" + url.QueryEscape(app)).leadsTo("/handover?app=bunsho&rd=" + url.QueryEscape(app))
}

func TestSigninFormWhenSignedIn(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		acr         policy.ACR
		age         time.Duration
		shown       bool
	}{
		{"nothing asked", "", policy.AAL1, time.Hour, false},
		{"strong enough", "?acr=aal2", policy.AAL2, 0, false},
		{"too weak", "?acr=aal2", policy.AAL1, 0, true},
		{"an assurance nobody knows", "?acr=gold", policy.AAL1, 0, false},
		{"recent enough", "?max_age=600", policy.AAL2, 10 * time.Minute, false},
		{"too old", "?max_age=600", policy.AAL2, 10*time.Minute + time.Second, true},
		{"no number", "?max_age=soon", policy.AAL2, time.Hour, false},
		{"a negative number", "?max_age=-1", policy.AAL2, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t).signedIn()
			w.now.Session.ACR = tt.acr
			w.clock.Advance(tt.age)
			a := w.get("/signin" + tt.query)
			if tt.shown {
				a.is(200).says(`name="password"`)
			} else {
				a.leadsTo("/me")
			}
		})
	}
}

func TestSigninErrorsStayInPlace(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		says   string
		retry  string
	}{
		{"refused", signin.ErrRefused, 401, "サインインできませんでした", ""},
		{"held", &signin.Held{RetryAfter: 90 * time.Second}, 429, "2分待ってから", "90"},
		{"busy", signin.ErrBusy, 503, "間違っているわけではありません", "2"},
		{"away", &signin.Away{What: "directory", Err: errStore}, 503, "ディレクトリ", "5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.err = tt.err
			a := w.post("/signin", "login", "ＴＡＮＡＫＡ", "password", "s3cret-typed", "rd", "/me/leak").is(tt.status)
			a.says(tt.says, "手続きを進められませんでした", `value="ＴＡＮＡＫＡ"`, `name="rd" value="/me/leak"`).keepsSilentOn("s3cret-typed", errStore.Error())
			if got := a.Header.Get("Retry-After"); got != tt.retry {
				t.Errorf("Retry-After %q, want %q", got, tt.retry)
			}
			if a.cookieSet() != "" {
				t.Error("a refused step changed the cookie")
			}
		})
	}
}

func TestSigninAsksForBoth(t *testing.T) {
	w := newWorld(t)
	w.post("/signin", "login", "　", "password", "").is(422).says("ログイン名を入力", "パスワードを入力")
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

// A password goes on exactly as typed: spaces at its ends are part of it (ASVS
// 6.2.8).
func TestPasswordIsNotTouched(t *testing.T) {
	w := newWorld(t)
	w.err = signin.ErrRefused
	w.post("/signin", "login", "tanaka", "password", "  ä パス ").is(401)
	if want := "password tanaka   ä パス "; w.asked[0] != want {
		t.Errorf("asked %q, want %q", w.asked[0], want)
	}
}

func TestUnknownAndWrongLookTheSame(t *testing.T) {
	body := func(login string) string {
		w := newWorld(t)
		w.err = signin.ErrRefused
		a := w.post("/signin", "login", login, "password", "x")
		body := strings.ReplaceAll(strings.ReplaceAll(a.body, login, "NAME"), a.Header.Get("X-Request-Id"), "ID")
		return regexp.MustCompile(`nonce="[^"]*"`).ReplaceAllString(body, "")
	}
	if a, b := body("tanaka"), body("nobody"); a != b {
		t.Errorf("the answers differ:\n%s\n%s", a, b)
	}
}

func TestTOTP(t *testing.T) {
	for _, typed := range []string{"123456", "123 456", " １２３４５６ ", "123-456", "１２３　４５６"} {
		w := newWorld(t).at(authn.SecondFactor)
		w.step = signin.Step{State: authn.SignedIn, Cookie: "new"}
		if a := w.post("/signin/totp", "code", typed).leadsTo("/me"); a.cookieSet() != "new" {
			t.Errorf("cookie %q", a.cookieSet())
		}
		if w.asked[0] != "totp 123456" {
			t.Errorf("typed %q, asked %q", typed, w.asked[0])
		}
	}
	w := newWorld(t).at(authn.SecondFactor)
	w.post("/signin/totp", "code", " ").is(422).says("確認コードを入力")
	w.err = signin.ErrRefused
	w.post("/signin/totp", "code", "654321").is(401).says("正しくないか").keepsSilentOn("654321")
	w.err = &signin.Held{RetryAfter: time.Second}
	w.post("/signin/totp", "code", "654321").is(429)
	w.err = signin.ErrNone
	w.post("/signin/totp", "code", "654321", "rd", "/me").leadsTo("/signin?rd=%2Fme&why=ended")
}

func TestStepsWithoutASignIn(t *testing.T) {
	for _, path := range stepPath {
		newWorld(t).get(path + "?rd=/me").leadsTo("/signin?rd=%2Fme&why=ended")
		newWorld(t).post(path, "rd", "/me").is(http.StatusSeeOther)
	}
}

func TestForcedPassword(t *testing.T) {
	w := newWorld(t).at(authn.PasswordChange)
	w.get("/signin/password").is(200).says(strconv.Itoa(w.policy.Password.MinLength) + "文字以上").keepsSilentOn(`name="current"`)
	w.get("/signin/password").says("記号や大文字を混ぜる必要はありません").keepsSilentOn("4種類のうち")
	w.policy.Password.MinClasses = 3
	w.get("/signin/password").says("4種類のうち、3種類以上").keepsSilentOn("混ぜる必要はありません")
	w.post("/signin/password", "new_password", "", "again", "").is(422).says("新しいパスワードを入力")
	w.post("/signin/password", "new_password", "one two", "again", "one tow").is(422).says("同じではありません").keepsSilentOn("one two", "one tow")
	if len(w.asked) != 0 {
		t.Fatalf("asked %v", w.asked)
	}
	w.err = rejected
	w.post("/signin/password", "new_password", "Reiwa8", "again", "Reiwa8").is(422).
		says("短すぎます。", "年号が大部分を占めています。", "第46条第2項第3号", `id="new_password-wrong-1"`).keepsSilentOn("Reiwa8")
	w.err, w.step = nil, signin.Step{State: authn.Enrol, Cookie: "new"}
	w.post("/signin/password", "new_password", " four words of mine", "again", " four words of mine").leadsTo("/signin/enrol")
	if last := w.asked[len(w.asked)-1]; last != "new password  four words of mine" {
		t.Errorf("asked %q", last)
	}
}

func TestEnrolment(t *testing.T) {
	w := newWorld(t).at(authn.Enrol)
	if w.get("/signin/enrol").is(200); len(w.asked) != 0 {
		t.Fatalf("a GET asked %v", w.asked)
	}
	w.post("/signin/enrol/begin").is(200).
		says("data:image/png;base64,", "JBSW Y3DP EHPK 3PXP", `href="otpauth://totp/`, `name="id" value="e1"`)
	w.get("/signin/enrol/begin?rd=/me").leadsTo("/signin/enrol?rd=%2Fme") // opened again
	w.err = totp.ErrWrong
	w.post("/signin/enrol", "id", "e1", "code", "111111", "name", "<b>私の</b>").is(422).
		says("確認コードが正しくありません", `value="&lt;b&gt;私の&lt;/b&gt;"`, `name="id" value="e1"`).keepsSilentOn("111111", "<b>")
	for _, gone := range []error{account.ErrNotFound, totp.ErrNoEnrolment} {
		w.err = gone
		w.post("/signin/enrol", "id", "e1", "code", "111111", "name", "a").is(409).says("作り直してください")
	}
	w.err = totp.ErrFull
	w.post("/signin/enrol/begin").is(409).says("上限")
	w.err = totp.ErrName
	w.post("/signin/enrol", "id", "e1", "code", "111111", "name", "\x01").is(422).says("この名前は使えません")
	w.err = nil
	w.post("/signin/enrol", "id", "e1", "code", "", "name", strings.Repeat("あ", 65)).is(422).says("確認コードを入力", "64文字以内")
	w.step = signin.Step{State: authn.Acknowledge, Cookie: "new"}
	w.post("/signin/enrol", "id", "e1", "code", "１１１ 111", "name", " 端末 ").leadsTo("/signin/acknowledge")
	if last := w.asked[len(w.asked)-1]; last != "finish e1 111111 端末" {
		t.Errorf("asked %q", last)
	}
}

func TestAcknowledge(t *testing.T) {
	w := newWorld(t).at(authn.Acknowledge)
	w.get("/signin/acknowledge").is(200).says("自分のIDだけを使い", "https://www.pref.example/rules", `name="version" value="2026-04"`)
	w.err = signin.ErrStep // a newer version came into force
	w.post("/signin/acknowledge", "version", "2025-04", "rd", "/me").leadsTo("/signin/acknowledge?rd=%2Fme")
	w.err, w.step = nil, signin.Step{State: authn.SignedIn, Cookie: "new"}
	w.post("/signin/acknowledge", "version", "2026-04").leadsTo("/me")
}

func TestSignOut(t *testing.T) {
	w := newWorld(t).signedIn()
	if a := w.post("/signout").leadsTo("/signin?why=signed_out"); a.cookieSet() != "-" {
		t.Errorf("the cookie was not cleared: %q", a.cookieSet())
	}
	if w.asked[0] != "sign out abc" {
		t.Errorf("asked %v", w.asked)
	}
	// Someone told that they are signed out must be.
	w.err = errStore
	if a := w.post("/signout").is(500).keepsSilentOn(errStore.Error()); a.cookieSet() != "" {
		t.Error("the cookie was cleared though the session lives")
	}
	w.err = session.ErrNone
	w.post("/signin/restart", "rd", "/me/leak").leadsTo("/signin?rd=%2Fme%2Fleak&why=restarted")
}

func TestFormsNeedTheirToken(t *testing.T) {
	w := newWorld(t).signedIn()
	for _, path := range []string{"/signout", "/me/password", "/me/factors/totp", "/me/factors/f1/remove", "/me/sessions/s2/end", "/me/leak", "/policy/proposals/P1/approve", "/signin"} {
		w.post(path, "csrf_token", "stolen").is(403).says("この操作は行われていません")
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestHome(t *testing.T) {
	newWorld(t).get("/").leadsTo("/signin")
	newWorld(t).signedIn().get("/").leadsTo("/me")
}

func TestAutofill(t *testing.T) {
	w := newWorld(t)
	w.policy.Password.AutofillDiscouraged = false
	w.get("/signin").says(`autocomplete="username webauthn"`, `autocomplete="current-password"`)
	w.policy.Password.AutofillDiscouraged = true
	w.get("/signin").says(`autocomplete="username webauthn"`, `autocomplete="off"`).keepsSilentOn("current-password")
	w.at(authn.PasswordChange).get("/signin/password").keepsSilentOn("new-password\"")
}

func TestLanguageSwitch(t *testing.T) {
	w := newWorld(t)
	w.get("/signin?rd=/me/leak&acr=aal2").says(`href="/signin?acr=aal2&amp;lang=en&amp;rd=%2Fme%2Fleak"`, `lang="ja"`)
	a := w.get("/signin?lang=en").says(`lang="en"`, "Sign in")
	if !strings.Contains(strings.Join(a.Header["Set-Cookie"], " "), "__Host-sekisho-lang=en") {
		t.Error("the choice is not kept")
	}
}

// The browser must be allowed to follow the redirect of the form to the
// application, and nowhere else.
func TestFormActionFollowsReturn(t *testing.T) {
	w := newWorld(t)
	w.err = signin.ErrRefused
	csp := w.post("/signin", "login", "a", "password", "b", "rd", app).Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "form-action 'self' http://bunsho.localhost:8080") {
		t.Errorf("CSP %q", csp)
	}
	csp = w.post("/signin", "login", "a", "password", "b", "rd", "http://evil.example/").Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "evil") {
		t.Errorf("CSP %q", csp)
	}
}

// FuzzSigninQuery: whatever a link says, the first page is a page or leads to
// one of ours, and nothing of the link runs.
func FuzzSigninQuery(f *testing.F) {
	for _, seed := range []string{
		"", "rd=/me", "rd=//evil.example", "rd=%2F%5Cevil.example", "lang=en&acr=aal2&max_age=99999999999", "why=<script>alert(1)</script>",
		"rd=http://bunsho.localhost:8080/%22%3E%3Cscript%3E", "lang=ja&lang=en", "rd=%zz", "a;b", "rd=javascript:alert(1)",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	inside, outside := newWorld(f).signedIn(), newWorld(f)
	f.Fuzz(func(t *testing.T, query string, in bool) {
		w := outside
		if in {
			w = inside
		}
		r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/signin", nil)
		r.URL.RawQuery, r.RemoteAddr = query, "127.0.0.1:5555"
		if in {
			r.Header.Set("Cookie", "__Host-sekisho=abc")
		}
		rec := httptest.NewRecorder()
		w.srv.ServeHTTP(rec, r)
		switch rec.Code {
		case http.StatusOK:
			body := strings.Replace(rec.Body.String(), `<script src="`+script.url+`"`, "", 1)
			if strings.Contains(body, "<script") || strings.Contains(body, "javascript:") {
				t.Errorf("%q is on the page:\n%s", query, rec.Body)
			}
		case http.StatusSeeOther:
			if to := rec.Header().Get("Location"); !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, "\\") {
				t.Errorf("%q leads to %q", query, to)
			}
		default:
			t.Errorf("%q is answered %d", query, rec.Code)
		}
	})
}

// Whoever opens the first page at a counter is the next and may sign in; whoever
// was sent there from an application, and anybody at a desk, goes on.
func TestTakingOver(t *testing.T) {
	for _, tt := range []struct {
		class, path string
		leads       string // "" where the page is shown
	}{
		{policy.TerminalCounter, "/signin", ""},
		{policy.TerminalCounter, "/signin?rd=/me", "/me"},
		{policy.TerminalCounter, "/signin?acr=aal1", "/me"},
		{policy.TerminalLent, "/signin", "/me"},
		{policy.TerminalDedicated, "/signin", "/me"},
		{"", "/signin", "/me"},
	} {
		w := newWorld(t).signedIn()
		w.now.Session.Terminal, w.now.Session.TerminalClass = "madoguchi-01", tt.class
		a := w.get(tt.path)
		if tt.leads != "" {
			a.leadsTo(tt.leads)
		} else {
			a.is(200).says("田中 一郎 さんがサインインしています", `form method="post" action="/signin"`)
		}
		if strings.Contains(w.get("/me").body, ">交代する</a>") != (tt.class == policy.TerminalCounter) {
			t.Errorf("my page at a terminal of class %q offers to take over, or does not", tt.class)
		}
	}
}
