package test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// TestBrowser goes through the pages as people do, in one real browser against
// `sekisho dev`.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	d := harness.StartDev(t, "")
	t.Run("to an application", func(t *testing.T) { browseApplication(t, browser, d) })
	t.Run("my page", func(t *testing.T) { browseMyPage(t, browser, d) })
	t.Run("first sign-in", func(t *testing.T) { browseFirst(t, browser, d) })
	t.Run("keyboard alone", func(t *testing.T) { browseKeyboard(t, browser, d) })
	t.Run("without scripts", func(t *testing.T) { browseWithoutScripts(t, browser, d) })
	t.Run("approving", func(t *testing.T) { browseApproval(t, browser, d) })
	t.Run("refusals", func(t *testing.T) { browseRefusals(t, browser, d) })
}

// code is what a person's telephone shows, at a step that was not used before.
func code(t *testing.T, d *harness.Dev, secret string) string {
	t.Helper()
	nextStep(t, d)
	return harness.Code(t, secret, harness.NewClient(d.URL).Now(t))
}

// signsIn fills the forms until the page that was wanted is there.
func (b *tab) signsIn(d *harness.Dev, p folder.Person, then string) {
	b.t.Helper()
	b.types("#login", p.Login)
	b.types("#password", p.Password)
	b.sends("/signin", "#code")
	b.types("#code", code(b.t, d, *p.TOTPSecret))
	b.sends("/signin/totp", "h1")
	if evaluate[bool](b, `document.querySelector('form[action="/signin/acknowledge"]') !== null`) {
		b.sends("/signin/acknowledge", "h1")
	}
	b.sees(then)
}

func hostOf(t *testing.T, b *tab) string {
	t.Helper()
	u, err := url.Parse(evaluate[string](b, `location.href`))
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname()
}

// browseApplication: to an application, to the gate, back to the application.
func browseApplication(t *testing.T, browser context.Context, d *harness.Dev) {
	tanaka, at := d.Person(t, "tanaka"), d.Apps[0]
	b := newTab(t, browser)
	b.open(at.URL + "?of=2026")
	b.sees("#password")
	if host := hostOf(t, b); host != "localhost" {
		t.Fatalf("the application led to %s", host)
	}
	b.look("signin", "ja")

	b.types("#login", tanaka.Login)
	b.types("#password", "not-the-password")
	b.sends("/signin", "#faults")
	if !evaluate[bool](b, `document.activeElement.id === 'faults'`) {
		t.Error("what is wrong does not have the focus")
	}
	if !strings.HasPrefix(evaluate[string](b, `document.title`), "エラー") {
		t.Error("the title does not say that something is wrong")
	}
	if got := evaluate[string](b, `document.querySelector('#login').value + '|' + document.querySelector('#password').value`); got != "tanaka|" {
		t.Errorf("after a refusal the fields hold %q", got)
	}
	b.look("signin-refused", "ja")

	b.types("#password", tanaka.Password)
	b.sends("/signin", "#code")
	b.look("totp", "ja")
	b.types("#code", "123456")
	b.sends("/signin/totp", "#faults")
	b.look("totp-wrong", "ja")
	// As a Japanese keyboard writes it.
	wide := strings.Map(func(c rune) rune { return c - '0' + '０' }, code(t, d, *tanaka.TOTPSecret))
	b.types("#code", wide)
	b.sends("/signin/totp", `form[action="/signin/acknowledge"]`)
	b.look("acknowledge", "ja")
	b.sends("/signin/acknowledge", "h1")
	// Somebody failed before: that is shown before anything opens.
	if got := b.text("main"); !strings.Contains(got, "2") {
		t.Errorf("two failures are not shown: %s", got)
	}
	b.look("welcome", "ja")
	b.leaves(chromedp.Click(chromedp.CSS("main a.button")), "dd#login")
	if host, got := hostOf(t, b), b.text("dd#login"); host != at.Host || got != "tanaka" {
		t.Errorf("at %s, which was told of %q", host, got)
	}
	if got := evaluate[string](b, `location.search`); got != "?of=2026" {
		t.Errorf("back at the application with the query %q", got)
	}
	b.look("application", "ja")
	b.open(at.URL + ".sekisho/signout")
	b.look("application-signout", "ja")
	b.leaves(chromedp.Click(chromedp.CSS("form button")), "h1")
	if host := hostOf(t, b); host != "localhost" {
		t.Errorf("signing out of the application led to %s", host)
	}
}

// browseMyPage: what is shown of oneself, in both languages, and a new password.
func browseMyPage(t *testing.T, browser context.Context, d *harness.Dev) {
	suzuki := d.Person(t, "suzuki")
	b := newTab(t, browser)
	b.open(d.URL + "/me")
	b.signsIn(d, suzuki, "#factors")
	b.look("me", "ja")
	b.leaves(chromedp.Click(chromedp.CSS("a.tongue")), "#factors")
	if got := b.text("h1"); strings.ContainsFunc(got, func(c rune) bool { return c > 0x2fff }) {
		t.Errorf("in English my page is called %q", got)
	}
	b.look("me", "en")

	b.leaves(chromedp.Click(chromedp.CSS(`a[href="/me/password"]`)), "#new_password")
	b.look("password", "en")
	b.types("#current", suzuki.Password)
	b.types("#new_password", "suzuki")
	b.types("#again", "suzuki")
	b.sends("/me/password", "#faults")
	if n := evaluate[int](b, `document.querySelectorAll('#faults li').length`); n < 2 {
		t.Errorf("a short password made of the login has %d faults", n)
	}
	if n := evaluate[int](b, `document.querySelectorAll('input[type=password][value]:not([value=""])').length`); n != 0 {
		t.Error("a password is written into the page")
	}
	b.look("password-refused", "en")
	fresh := "nureta-Tsukue-91-hikidashi"
	b.types("#current", suzuki.Password)
	b.types("#new_password", fresh)
	b.types("#again", fresh)
	b.sends("/me/password", ".note")
	b.look("me-changed", "en")

	for _, p := range []struct{ path, name string }{{"/me/factors/totp", "totp-add"}, {"/me/leak", "leak"}, {"/rules", "rules"}} {
		b.open(d.URL + p.path)
		b.look(p.name, "en")
	}
	b.open(d.URL + "/me/factors/totp")
	b.sends("/me/factors/totp/begin", "img.qr")
	if n := evaluate[int](b, `document.querySelector('img.qr').naturalWidth`); n < 100 {
		t.Errorf("the picture is %d wide", n)
	}
	b.look("totp-picture", "en")
	b.open(d.URL + "/me")
	b.leaves(chromedp.Click(chromedp.CSS(`a[href$="/remove"]`)), "form[action$='/remove']")
	b.look("totp-remove", "en")

	b.open(d.URL + "/me")
	b.sends("/signout", "#login")
	b.look("signed-out", "en")
	if b.open(d.URL + "/me"); evaluate[string](b, `location.pathname`) != "/signin" {
		t.Error("my page is open after signing out")
	}
	b.types("#login", suzuki.Login)
	b.types("#password", suzuki.Password)
	b.sends("/signin", "#faults")
	suzuki.Password = fresh
	b.types("#password", fresh)
	b.sends("/signin", "#code")
	b.look("totp", "en")
}

// browseFirst: a temporary password is changed and a device enrolled before
// anything opens.
func browseFirst(t *testing.T, browser context.Context, d *harness.Dev) {
	p := d.InState(t, "must_change")
	b := newTab(t, browser)
	b.open(d.Apps[0].URL)
	b.types("#login", p.Login)
	b.types("#password", p.Password)
	b.sends("/signin", "#new_password")
	b.look("forced", "ja")
	b.open(d.URL + "/signin/password?lang=en")
	b.look("forced", "en")
	b.open(d.Apps[0].URL + "?lang=ja")
	b.open(d.URL + "/signin/password?lang=ja&rd=" + url.QueryEscape(d.Apps[0].URL))
	for _, bad := range []struct{ first, second string }{{p.Password, p.Password}, {"pass", "pass"}, {"nureta-Tsukue-91", "kawaita-Isu-19"}} {
		b.types("#new_password", bad.first)
		b.types("#again", bad.second)
		b.sends("/signin/password", "#faults")
	}
	b.look("forced-refused", "ja")
	b.types("#new_password", "kawaita-Isu-19-mado")
	b.types("#again", "kawaita-Isu-19-mado")
	b.sends("/signin/password", `form[action="/signin/enrol/begin"]`)
	b.look("enrol-start", "ja")
	b.open(d.URL + "/signin/enrol?lang=en")
	b.look("enrol-start", "en")
	b.open(d.URL + "/signin/enrol?lang=ja&rd=" + url.QueryEscape(d.Apps[0].URL))
	b.sends("/signin/enrol/begin", ".secret")
	secret := strings.Join(strings.Fields(b.text(".secret")), "")
	b.look("enrol", "ja")
	b.types("#code", "000000")
	b.types("#name", "庁用スマートフォン")
	b.sends("/signin/enrol", "#faults")
	b.look("enrol-wrong", "ja")
	b.types("#code", code(t, d, secret))
	b.types("#name", "庁用スマートフォン")
	b.sends("/signin/enrol", `form[action="/signin/acknowledge"]`)
	b.open(d.URL + "/signin/acknowledge?lang=en&rd=" + url.QueryEscape(d.Apps[0].URL))
	b.look("acknowledge", "en")
	b.sends("/signin/acknowledge", "dd#login")
	if got := b.text("dd#login"); got != p.Login {
		t.Errorf("the application was told of %q", got)
	}
}

// browseKeyboard: nothing needs a mouse, and the focus can be seen.
func browseKeyboard(t *testing.T, browser context.Context, d *harness.Dev) {
	p := d.Person(t, "sato")
	b := newTab(t, browser)
	b.open(d.URL + "/signin")
	b.tabsTo("a.skip")
	b.presses(kb.Enter)
	b.tabsTo("#login")
	b.presses(p.Login)
	b.tabsTo("#password")
	b.presses(p.Password)
	b.leaves(chromedp.KeyEvent(kb.Enter), "#code")
	b.tabsTo("#code")
	b.presses(code(t, d, *p.TOTPSecret))
	b.leaves(chromedp.KeyEvent(kb.Enter), `form[action="/signin/acknowledge"]`)
	b.tabsTo(`form[action="/signin/acknowledge"] button`)
	b.leaves(chromedp.KeyEvent(kb.Enter), "#factors")
	b.tabsTo(`form[action="/signout"] button`)
	b.leaves(chromedp.KeyEvent(kb.Enter), "#login")
}

// browseWithoutScripts: every page is plain HTML.
func browseWithoutScripts(t *testing.T, browser context.Context, d *harness.Dev) {
	p := d.Person(t, "ito")
	b := newTab(t, browser)
	b.withoutScripts()
	b.open(d.Apps[1].URL)
	b.signsIn(d, p, "dd#login")
	if got := b.text("dd#login"); got != p.Login {
		t.Errorf("the application was told of %q", got)
	}
	b.open(d.URL + "/me/factors/totp")
	b.sends("/me/factors/totp/begin", "img.qr")
	b.open(d.URL + "/me/leak")
	b.types("#what", "紙に書いたものをなくしました。")
	b.sends("/me/leak", "h1")
	b.look("leaked", "ja")
}

// browseApproval: a proposal on the page of who may approve it.
func browseApproval(t *testing.T, browser context.Context, d *harness.Dev) {
	out, errs, status := harness.Run(t, "sekisho", "policy", "show", "--data", d.Folder)
	if status != 0 {
		t.Fatal(errs)
	}
	next := strings.Replace(out, "    class: 3\n", "    class: 3\n    posts: [staff, system_administrator, system_operator, security_manager]\n", 1)
	next = strings.Replace(next, "  source_failures: 1000", "  source_failures: 2000", 1)
	file := writeFile(t, "next.yaml", next)
	if _, errs, status = harness.Run(t, "sekisho", "policy", "apply", file, "--data", d.Folder, "--propose"); status != 0 {
		t.Fatal(errs)
	}
	b := newTab(t, browser)
	b.open(d.URL + "/policy")
	b.signsIn(d, d.Person(t, "yoshida"), "table.changes")
	b.look("policy", "ja")
	b.open(d.URL + "/policy?lang=en")
	b.look("policy", "en")
	b.leaves(chromedp.Click(chromedp.CSS(`form[action^="/policy/proposals/"] button`)), ".note")
	b.look("policy-approved", "en")
}

// browseRefusals: what is shut says why and what to do.
func browseRefusals(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	for _, p := range []struct{ path, name string }{{"/nowhere", "not-found"}, {"/handover?app=x&rd=y", "malformed"}} {
		for _, lang := range []string{"ja", "en"} {
			sign := "?"
			if strings.Contains(p.path, "?") {
				sign = "&"
			}
			b.open(d.URL + p.path + sign + "lang=" + lang)
			b.look(p.name, lang)
		}
	}
	// Five failures, and the door is held for anybody of that name.
	b.open(d.URL + "/signin?lang=ja")
	for range 6 {
		b.types("#login", "nobody-of-this-name")
		b.types("#password", "not-a-password")
		b.sends("/signin", "#faults")
	}
	if got := b.text("#faults"); !strings.Contains(got, "秒") && !strings.Contains(got, "分") {
		t.Errorf("held without saying for how long: %s", got)
	}
	b.look("held", "ja")
	b.open(d.URL + "/signin?lang=en")
	b.look("signin", "en")
	// An application that is for others only, after the approval above.
	b.open(d.Apps[0].URL)
	b.signsIn(d, d.Person(t, "hayashi"), "h1")
	b.look("forbidden", "en")
}
