package page

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn"
	"sekisho/authn/account"
	"sekisho/authn/card"
	"sekisho/authn/passkey"
	"sekisho/authn/signin"
	"sekisho/authn/totp"
	"sekisho/policy"
)

// ask is the question for a passkey on a page; nil for none.
func ask(t *testing.T, a *answer) map[string]string {
	t.Helper()
	for _, f := range parse(t, a.body).all("form") {
		if f.attr["data-passkey"] == "" {
			continue
		}
		asked := map[string]string{"action": f.attr["action"]}
		for name, value := range f.attr {
			asked[name] = value
		}
		for _, in := range f.all("input") {
			asked["input "+in.attr["name"]] = in.attr["value"]
		}
		return asked
	}
	return nil
}

func TestSigninOffersPasskeys(t *testing.T) {
	w := newWorld(t)
	w.ceremony.Cookie, w.ceremony.CSRF = "fresh", token("fresh")
	a := w.get("/signin?rd=%2Fme%2Fleak&acr=aal2").is(200)
	if a.cookieSet() != "fresh" {
		t.Errorf("cookie %q, want the one that the answer must come with", a.cookieSet())
	}
	q := ask(t, a)
	for name, want := range map[string]string{
		"action": "/signin/passkey", "data-passkey": "get", "data-ask": string(w.ceremony.PublicKey),
		"data-fresh": "/signin?acr=aal2&rd=%2Fme%2Fleak&why=stale", "input csrf_token": token("fresh"),
		"input rd": "/me/leak", "input acr": "aal2", "input credential": "",
	} {
		if q[name] != want {
			t.Errorf("%s is %q, want %q", name, q[name], want)
		}
	}
	if _, offered := q["data-offer"]; !offered {
		t.Error("no passkey is offered where the name is typed")
	}
	a.says(`action="/signin"`).keepsSilentOn("/signin/card", token("abc"))

	// A cookie that lives keeps its value, and its token goes into every form.
	w = newWorld(t).signedIn()
	w.now.Session.ACR = policy.AAL1
	if a := w.get("/signin?acr=aal2"); a.cookieSet() != "" || ask(t, a)["input csrf_token"] != token("abc") {
		t.Errorf("cookie %q, token %q", a.cookieSet(), ask(t, a)["input csrf_token"])
	}
}

// Whatever keeps a question from being asked, a password still opens the door.
func TestSigninWithoutAPasskeyQuestion(t *testing.T) {
	for _, err := range []error{errStore, &signin.Held{RetryAfter: time.Minute}, &signin.Away{What: "store", Err: errStore}} {
		w := newWorld(t)
		w.askErr = err
		if a := w.get("/signin").is(200).says(`action="/signin"`).keepsSilentOn("<script", errStore.Error()); ask(t, a) != nil {
			t.Errorf("%v: a question is on the page", err)
		}
	}
}

func TestPasskey(t *testing.T) {
	w := newWorld(t)
	w.cookie = "pre"
	w.step = signin.Step{State: authn.SignedIn, Cookie: "new"}
	if a := w.post("/signin/passkey", "credential", `{"id":"x"}`, "rd", "/me/leak").leadsTo("/me/leak"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
	if !slices.Equal(w.asked, []string{`passkey pre {"id":"x"}`}) {
		t.Errorf("asked %v", w.asked)
	}
	w.get("/signin/passkey?rd=/me").leadsTo("/signin?rd=%2Fme") // opened again
	// As a second factor, and onward to whatever is next.
	w = newWorld(t).at(authn.SecondFactor, "passkey")
	w.step = signin.Step{State: authn.PasswordChange, Cookie: "new"}
	w.post("/signin/passkey", "credential", "{}", "rd", "/me").leadsTo("/signin/password?rd=%2Fme")
}

func TestPasskeyRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		status int
		says   string
	}{
		{"wrong", signin.ErrRefused, 401, "続くときはほかの方法で"},
		{"not good enough here", errors.Join(signin.ErrRefused, synced), 401, "ほかの機器にも写される"},
		{"held", &signin.Held{RetryAfter: 90 * time.Second}, 429, "2分待ってから"},
		{"busy", signin.ErrBusy, 503, "間違っているわけではありません"},
		{"away", &signin.Away{What: "directory", Err: errStore}, 503, "ディレクトリ"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, at := range []struct {
				world *world
				form  string
			}{
				{newWorld(t), `action="/signin"`},
				{newWorld(t).at(authn.SecondFactor, "passkey", "totp"), `action="/signin/totp"`},
			} {
				w := at.world
				w.err = tt.err
				a := w.post("/signin/passkey", "credential", `{"id":"c2VjcmV0"}`, "rd", "/me/leak").is(tt.status).
					says(tt.says, at.form, `name="rd" value="/me/leak"`).keepsSilentOn("c2VjcmV0", errStore.Error())
				q := ask(t, a)
				if q["action"] != "/signin/passkey" || q["input credential"] != "" {
					t.Errorf("the page asks %v, want a new question", q)
				}
				if _, offered := q["data-offer"]; offered {
					t.Error("what was just refused is offered again by itself")
				}
			}
		})
	}
	w := newWorld(t)
	w.err = errors.Join(signin.ErrRefused, synced)
	w.post("/signin/passkey", "credential", "{}").says("第26条の3第1項")
	w.err = signin.ErrNone
	w.at(authn.SecondFactor, "passkey").post("/signin/passkey", "credential", "{}", "rd", "/me").leadsTo("/signin?rd=%2Fme&why=ended")
	w = newWorld(t)
	w.err = errStore
	w.post("/signin/passkey", "credential", "{}").is(500).keepsSilentOn(errStore.Error())
	// Without scripts the button sends an empty answer: that is no try.
	w = newWorld(t)
	w.post("/signin/passkey").is(422).says("JavaScriptが必要です")
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestCard(t *testing.T) {
	w := newWorld(t)
	w.get("/signin").keepsSilentOn("/signin/card")
	w.policy.Cards = []policy.CardAuthority{{ID: "jpki", Zones: []policy.ZoneID{policy.MyNumber}}}
	w.get("/signin").keepsSilentOn("/signin/card") // not in this zone
	w.policy.Cards[0].Zones = []policy.ZoneID{policy.LGWAN}
	w.get("/signin").says(`action="/signin/card"`)
	w.err = errors.Join(signin.ErrRefused, card.ErrNone)
	w.post("/signin/card").is(401).says("読み取れませんでした", "カードを差して")
	w.err = errors.Join(signin.ErrRefused, &card.Refused{Why: "revoked"})
	w.post("/signin/card").is(401).says("このICカードではサインインできませんでした").keepsSilentOn("revoked")
	w.err = &signin.Held{RetryAfter: time.Minute}
	w.post("/signin/card").is(429)
	w.err = errStore
	w.post("/signin/card").is(500)
	w.err, w.step = nil, signin.Step{State: authn.SignedIn, Cookie: "new"}
	if a := w.post("/signin/card", "rd", "/me/leak").leadsTo("/me/leak"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
	w = newWorld(t).at(authn.SecondFactor, "card", "totp")
	w.err = errors.Join(signin.ErrRefused, card.ErrNone)
	w.post("/signin/card").is(401).says(`action="/signin/totp"`)
}

// Each way is offered where it may be used, and nowhere else.
func TestSecondFactorsAreChoices(t *testing.T) {
	for _, tt := range []struct {
		methods             []string
		passkey, card, code bool
	}{
		{[]string{"totp"}, false, false, true},
		{[]string{"passkey"}, true, false, false},
		{[]string{"card"}, false, true, false},
		{[]string{"passkey", "card", "totp"}, true, true, true},
		{[]string{"recovery"}, false, false, false},
	} {
		t.Run(strings.Join(tt.methods, "+"), func(t *testing.T) {
			a := newWorld(t).at(authn.SecondFactor, tt.methods...).get("/signin/totp?rd=/me").is(200)
			if got := ask(t, a) != nil; got != tt.passkey {
				t.Errorf("passkey: %v", got)
			}
			if got := strings.Contains(a.body, `action="/signin/card"`); got != tt.card {
				t.Errorf("card: %v", got)
			}
			if got := strings.Contains(a.body, `action="/signin/totp"`); got != tt.code {
				t.Errorf("code: %v", got)
			}
			if got := strings.Contains(a.body, "どれか一つ"); got != (len(tt.methods) > 1) {
				t.Errorf("a choice is spoken of: %v", got)
			}
			a.says(`href="/signin/recovery?rd=%2Fme"`)
		})
	}
}

func TestRecovery(t *testing.T) {
	w := newWorld(t).at(authn.SecondFactor)
	w.get("/signin/recovery?rd=/me").is(200).says("窓口で本人と確かめて", `href="/signin/totp?rd=%2Fme"`)
	w.post("/signin/recovery", "recovery_code", "　").is(422).says("回復コードを入力してください")
	if len(w.asked) != 0 {
		t.Fatalf("asked %v", w.asked)
	}
	w.err = signin.ErrRefused
	w.post("/signin/recovery", "recovery_code", "K7QW-typed").is(401).says("この回復コードは使えません").keepsSilentOn("K7QW-typed")
	w.err = &signin.Held{RetryAfter: time.Minute}
	w.post("/signin/recovery", "recovery_code", "x").is(429)
	w.err = signin.ErrNone
	w.post("/signin/recovery", "recovery_code", "x", "rd", "/me").leadsTo("/signin?rd=%2Fme&why=ended")
	w.err, w.step = nil, signin.Step{State: authn.Enrol, Cookie: "new"}
	if a := w.post("/signin/recovery", "recovery_code", " K7QW ", "rd", "/me").leadsTo("/signin/enrol?rd=%2Fme&why=recovered"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
	if last := w.asked[len(w.asked)-1]; last != "recovery K7QW" {
		t.Errorf("asked %q", last)
	}
	w.at(authn.Enrol).get("/signin/enrol?why=recovered").says("今までの方法はすべて使えなくなります")
	newWorld(t).get("/signin/recovery").leadsTo("/signin?why=ended")
}

func TestEnrolPasskey(t *testing.T) {
	w := newWorld(t).at(authn.Enrol)
	a := w.get("/signin/enrol?rd=/me").is(200).says("おすすめ", `action="/signin/enrol/begin"`)
	q := ask(t, a)
	for name, want := range map[string]string{
		"action": "/signin/enrol/passkey", "data-passkey": "create", "input id": "k1", "input rd": "/me",
		"input name": "この端末のパスキー", "data-fresh": "/signin/enrol?rd=%2Fme&why=stale",
	} {
		if q[name] != want {
			t.Errorf("%s is %q, want %q", name, q[name], want)
		}
	}
	if len(w.asked) != 0 {
		t.Fatalf("a GET asked %v", w.asked)
	}
	w.step = signin.Step{State: authn.Acknowledge, Cookie: "new"}
	if a := w.post("/signin/enrol/passkey", "id", "k1", "name", " 鍵 ", "credential", "{}", "rd", "/me").leadsTo("/signin/acknowledge?rd=%2Fme"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
	if !slices.Equal(w.asked, []string{"finish key k1 鍵 {}"}) {
		t.Errorf("asked %q", w.asked)
	}
	w.get("/signin/enrol/passkey").leadsTo("/signin/enrol")
	// Where an app is no choice, none is offered; where no question can be had,
	// the app still is.
	newWorld(t).at(authn.Enrol, "passkey").get("/signin/enrol").is(200).keepsSilentOn("/signin/enrol/begin", "どちらか一つ")
	w = newWorld(t).at(authn.Enrol)
	w.askErr = errStore
	if a := w.get("/signin/enrol").is(200).says(`action="/signin/enrol/begin"`).keepsSilentOn(errStore.Error()); ask(t, a) != nil {
		t.Error("a question is on the page")
	}
	w.at(authn.Enrol, "passkey").get("/signin/enrol").is(500)
}

func TestNewPasskeyRefusals(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		says   string
	}{
		{synced, 422, "ほかの機器にも写される"},
		{passkey.ErrWrong, 422, "パスキーを登録できませんでした"},
		{signin.ErrRefused, 401, "パスキーを登録できませんでした"},
		{passkey.ErrTwice, 409, "もう登録されています"},
		{passkey.ErrFull, 409, "上限"},
		{passkey.ErrNoEnrolment, 409, "受け付け時間が過ぎました"},
		{passkey.ErrName, 422, "この名前は使えません"},
		{signin.ErrBusy, 503, "間違っているわけではありません"},
	} {
		t.Run(tt.err.Error(), func(t *testing.T) {
			w := newWorld(t).at(authn.Enrol)
			w.err = tt.err
			a := w.post("/signin/enrol/passkey", "id", "k0", "name", "<b>私の鍵</b>", "credential", `{"id":"c2VjcmV0"}`).is(tt.status).
				says(tt.says, `action="/signin/enrol/begin"`).keepsSilentOn("c2VjcmV0", "<b>")
			if q := ask(t, a); q["input id"] != "k1" || q["input name"] != "<b>私の鍵</b>" {
				t.Errorf("asks %v, want a new question under the name that was typed", q)
			}
			w = newWorld(t).signedIn()
			w.err = tt.err
			a = w.post("/me/factors/passkey", "id", "k0", "name", "鍵", "credential", "{}").is(tt.status).says(tt.says)
			if q := ask(t, a); q["action"] != "/me/factors/passkey" {
				t.Errorf("asks %v", q)
			}
		})
	}
	w := newWorld(t).signedIn()
	w.post("/me/factors/passkey", "id", "k1", "name", "", "credential", "").is(422).says("名前を入力", "JavaScriptが必要です")
	w.post("/me/factors/passkey", "id", "k1", "name", strings.Repeat("あ", 65), "credential", "{}").is(422).says("64文字以内")
	if len(w.asked) != 0 {
		t.Errorf("asked %v", w.asked)
	}
	w.err = errStore
	w.post("/me/factors/passkey", "id", "k1", "name", "鍵", "credential", "{}").is(500).keepsSilentOn(errStore.Error())
}

func TestAddPasskey(t *testing.T) {
	w := newWorld(t).signedIn()
	if q := ask(t, w.get("/me/factors/passkey").is(200)); q["action"] != "/me/factors/passkey" {
		t.Errorf("asks %v", q)
	}
	w.step = signin.Step{State: authn.SignedIn, Cookie: "new"}
	if a := w.post("/me/factors/passkey", "id", "k1", "name", "鍵", "credential", "{}").leadsTo("/me?done=passkey_added"); a.cookieSet() != "new" {
		t.Errorf("cookie %q", a.cookieSet())
	}
	// Not fresh enough: before anything is made, not after.
	w.askErr = &account.StepUp{Required: policy.AAL2, MaxAge: 10 * time.Minute}
	w.get("/me/factors/passkey").leadsTo("/signin?acr=aal2&max_age=600&rd=%2Fme%2Ffactors%2Fpasskey")
	w.askErr = passkey.ErrFull
	if a := w.get("/me/factors/passkey").is(409).says("上限"); ask(t, a) != nil {
		t.Error("asks for one more")
	}
}

func TestKeyNames(t *testing.T) {
	g := mustLoad().tongues["en"]
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36": "Windows",
		"Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36":    "Android",
		"curl/8.5.0": "",
	} {
		if got := system(agent); got != want {
			t.Errorf("system(%q) = %q, want %q", agent, got, want)
		}
	}
	if got := g.say("passkey.name_on", "System", "Windows"); got != "Passkey on Windows" {
		t.Errorf("a key is called %q", got)
	}
}

// An error of one way to enrol is shown with the others still there.
func TestEnrolErrorsKeepTheChoice(t *testing.T) {
	w := newWorld(t).at(authn.Enrol)
	w.err = totp.ErrFull
	if a := w.post("/signin/enrol/begin").is(409).says("上限"); ask(t, a)["data-passkey"] != "create" {
		t.Error("the passkey is no longer offered")
	}
}
