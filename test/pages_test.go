package test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sekisho/test/harness"
	"sekisho/test/inspect"
)

// TestPages looks at the pages of a running gate as its readers do. Every state
// of every page is looked at in web/page; here are the pages as the house really
// fills them.
func TestPages(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	d := harness.StartSample(t)
	t.Run("everybody's", func(t *testing.T) { pagesOfEverybody(t, browser, d) })
	t.Run("one's own", func(t *testing.T) { pagesOfOnesOwn(t, browser, d) })
	t.Run("an administrator's", func(t *testing.T) { pagesOfAnAdministrator(t, browser, d) })
	t.Run("keyboard alone", func(t *testing.T) { pagesByKeyboard(t, browser, d) })
	t.Run("magnified", func(t *testing.T) { pagesMagnified(t, browser, d) })
}

// pagesSeen opens a page at both widths in both languages and inspects it.
func pagesSeen(t *testing.T, b *tab, d *harness.Dev, path, name string) {
	t.Helper()
	for _, lang := range []string{"ja", "en"} {
		to := d.URL + path + "?lang=" + lang
		if at, query, ok := strings.Cut(path, "?"); ok {
			to = d.URL + at + "?lang=" + lang + "&" + query
		}
		for _, width := range []int64{1280, 390} {
			as := "dev-" + name + "-" + lang + map[int64]string{1280: "-1280", 390: "-390"}[width]
			w := inspect.Over(t, b.ctx).Named(t, as)
			w.Go(to, width)
			if got := evaluate[string](b, `document.documentElement.lang`); got != lang {
				t.Errorf("%s is in %q", as, got)
			}
			w.Still()
			w.Fits()
			w.Roomy()
			w.Accessible()
			w.Keep(as)
		}
	}
	b.do(chromedp.EmulateViewport(1280, 800))
}

func pagesOfEverybody(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	for _, p := range []struct{ path, name string }{
		{"/signin", "signin"}, {"/signin?why=ended&rd=%2Fme", "signin-ended"}, {"/rules", "rules"},
		{"/leak-reported", "leaked"}, {"/nowhere", "not-found"}, {"/handover?app=x&rd=y", "malformed"},
	} {
		pagesSeen(t, b, d, p.path, p.name)
	}
}

func pagesOfOnesOwn(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	p := d.Person(t, "kimura")
	b.open(d.URL + "/signin")
	b.types("#login", p.Login)
	b.types("#password", p.Password)
	b.sends("/signin", "#code")
	pagesSeen(t, b, d, "/signin/totp", "second")
	pagesSeen(t, b, d, "/signin/recovery", "recovery")
	b.open(d.URL + "/signin/totp?lang=ja")
	b.types("#code", code(t, d, *p.TOTPSecret))
	b.sends("/signin/totp", `form[action="/signin/acknowledge"]`)
	pagesSeen(t, b, d, "/signin/acknowledge", "acknowledge")
	b.open(d.URL + "/signin/acknowledge?lang=ja")
	b.sends("/signin/acknowledge", ".glance")
	rename := evaluate[string](b, `document.querySelector('a[href$="/rename"]').getAttribute('href')`)
	for _, p := range []struct{ path, name string }{
		{"/me", "me"}, {"/me/password", "password"}, {"/me/factors/passkey", "newkey"}, {"/me/factors/totp", "newapp"},
		{rename, "rename"}, {strings.Replace(rename, "/rename", "/remove", 1), "remove"}, {"/me/address", "address"}, {"/me/leak", "leak"},
	} {
		pagesSeen(t, b, d, p.path, p.name)
	}
	// At a glance: who, how strongly, until when, and when before.
	b.open(d.URL + "/me?lang=ja")
	glance := b.text(".glance")
	for _, want := range []string{p.Login, "二要素", "今日", "日本時間", "前回のサインイン", "LGWAN"} {
		if !strings.Contains(glance, want) {
			t.Errorf("my page does not say %s at a glance: %s", want, glance)
		}
	}
	// The second address is kept, and can be taken away.
	b.open(d.URL + "/me/address?lang=ja")
	b.types("#address", "kimura@example.jp")
	b.sends("/me/address", ".note.good")
	if got := b.text("main"); !strings.Contains(got, "kimura@example.jp") {
		t.Errorf("my page does not show the second address: %s", got)
	}
}

// pagesOfAnAdministrator: whatever pages the house has for an office.
func pagesOfAnAdministrator(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	b.open(d.URL + "/me")
	b.signsIn(d, d.Person(t, "takahashi"), "#office")
	doors := evaluate[[]string](b, `[...document.querySelectorAll('#office ~ .doors a')].map((a) => a.getAttribute('href'))`)
	if len(doors) == 0 {
		t.Error("an administrator's page leads nowhere")
	}
	for _, path := range doors {
		b.open(d.URL + path)
		if got := evaluate[int](b, `performance.getEntriesByType('navigation')[0].responseStatus`); got >= http.StatusBadRequest && got != http.StatusForbidden {
			t.Errorf("%s answers %d", path, got)
		}
		pagesSeen(t, b, d, path, "office-"+strings.Trim(path, "/"))
	}
}

// pagesByKeyboard: through the sign-in with Tab, Enter and what is typed; a
// refusal takes the focus to what is wrong.
func pagesByKeyboard(t *testing.T, browser context.Context, d *harness.Dev) {
	p := d.Person(t, "inoue")
	b := newTab(t, browser)
	b.open(d.URL + "/signin")
	b.tabsTo("#login")
	b.presses(p.Login)
	b.tabsTo("#password")
	b.presses("not-the-password")
	b.leaves(chromedp.KeyEvent(kb.Enter), "#faults")
	if !evaluate[bool](b, `document.activeElement.id === 'faults'`) {
		t.Error("what is wrong does not have the focus")
	}
	b.tabsTo("#password")
	b.presses(p.Password)
	b.leaves(chromedp.KeyEvent(kb.Enter), "#code")
	b.tabsTo(`form[action="/signin/passkey"] button`)
	b.tabsTo("#code")
	b.presses(code(t, d, *p.TOTPSecret))
	b.leaves(chromedp.KeyEvent(kb.Enter), `form[action="/signin/acknowledge"]`)
	b.tabsTo(`form[action="/signin/acknowledge"] button`)
	b.leaves(chromedp.KeyEvent(kb.Enter), ".glance")
	b.tabsTo(`a[href="/me/factors/passkey"]`)
	b.leaves(chromedp.KeyEvent(kb.Enter), `form[action="/me/factors/passkey"]`)
	b.tabsTo("#name")
	b.tabsTo(`a[href="/me"]`)
	b.open(d.URL + "/me")
	b.tabsTo(`a[href="/me/leak"]`)
	b.leaves(chromedp.KeyEvent(kb.Enter), "#what")
}

// pagesMagnified: at twice the size nothing is lost and nothing lies across.
func pagesMagnified(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	b.open(d.URL + "/me")
	b.signsIn(d, d.Person(t, "matsumoto"), ".glance")
	for _, path := range []string{"/me", "/me/password", "/me/leak", "/rules", "/signin?acr=phr&rd=" + url.QueryEscape("/me")} {
		b.open(d.URL + path)
		whole := b.text("body")
		_, err := chromedp.Call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 640, Height: 400, DeviceScaleFactor: 2})
		if err != nil {
			t.Fatal(err)
		}
		w := inspect.Over(t, b.ctx).Named(t, path+" at 200 %")
		w.Fits()
		w.Roomy()
		if got := b.text("body"); strings.Join(strings.Fields(got), "") != strings.Join(strings.Fields(whole), "") {
			t.Errorf("%s at twice the size says\n%s\ninstead of\n%s", path, got, whole)
		}
		b.do(chromedp.EmulateViewport(1280, 800))
	}
}
