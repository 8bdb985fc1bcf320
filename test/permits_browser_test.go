package test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sekisho/policy"
	"sekisho/test/harness"
	"sekisho/test/inspect"
)

// fromAbroad is an address of the sample's outside network, inside one of its own.
const (
	fromAbroad = "203.0.113.9"
	fromInside = "10.2.0.9"
)

// TestPermitsInTheBrowser is the story of remote access in Chromium: refused at the
// door with the way to ask, asked inside, approved by the CIO with a passkey, let in
// after the terminal check, and out within a second of its end.
func TestPermitsInTheBrowser(t *testing.T) {
	t.Parallel()
	d := lender{Dev: harness.StartSample(t)}
	browser := newBrowser(t)
	login := d.onlyStaff(t)

	// From outside, whoever has proved who they are hears what is missing and what to do.
	out := newTab(t, browser)
	out.pkComesFrom(fromAbroad)
	d.proves(t, out, login)
	out.arrives("main h1")
	out.says("許可が必要です", "リモートアクセスの許可", "許可の申請")
	seen := inspect.Over(t, out.ctx).Named(t, "refused at the door from outside")
	seen.Fits()
	seen.Accessible()

	// Inside, the form is short and filled in as far as can be; without JavaScript.
	in := newTab(t, browser)
	in.pkComesFrom(fromInside)
	d.proves(t, in, login)
	in.arrives(".glance, form[action='/signin/acknowledge']")
	if evaluate[bool](in, `document.querySelector('form[action="/signin/acknowledge"]') !== null`) {
		in.sends("/signin/acknowledge", ".glance")
	}
	in.withoutScripts()
	in.open(d.URL + "/permits/new?kind=remote_access&application=bunsho")
	in.says("このあとの流れ", "CIOが判断します")
	if got := evaluate[string](in, `[...document.querySelectorAll('input[name=stated-applications]:checked')].map((e) => e.value).join(' ')`); got != "bunsho" {
		t.Errorf("the application that was refused is not filled in: %q", got)
	}
	in.types("#reason", "在宅で決裁を行うため")
	in.types("#stated-terminal", d.lentTerminal(t))
	in.types("#stated-hours", "8時から")
	in.confirms("#faults") // said at its field, and nothing is lost
	in.says("時間：", "08:30-17:15")
	if got := evaluate[string](in, `document.querySelector('#reason').value`); got != "在宅で決裁を行うため" {
		t.Errorf("what was typed is lost: %q", got)
	}
	// The story is told on whatever day and at whatever hour it runs.
	evaluate[int](in, `[...document.querySelectorAll('input[name=stated-days]')].map((e) => e.checked = false).length`)
	in.types("#stated-hours", "")
	in.confirms(".note.good")
	in.says("申請しました", "判断待ち", "在宅で決裁を行うため")
	page := evaluate[string](in, `location.pathname`)

	// The CIO sees who, what, why, from where, until when; a passkey, and yes.
	cio := d.comes(t, browser, d.withPost(t, "cio", login))
	d.Advance(t, 20*time.Minute)
	cio.open(d.URL + "/me")
	cio.clicksTo(`.waits a[href="/approvals"]`, ".matter")
	cio.says("許可の申請", "リモートアクセス", "在宅で決裁を行うため", "庁外のどこからでも", "文書管理", "承認すると", "パスキーで本人確認")
	cio.clicksTo(".decide .acts a.button", pkForm)
	cio.sends("/signin/passkey", ".matter")
	cio.clicksTo(`.decide button[value="yes"]`, ".note.good")
	in.open(d.URL + page)
	in.says("有効", "一度も使われていません")

	// From outside again: in, but only after the word about the terminal.
	d.proves(t, out, login)
	out.arrives(`form[action="/signin/terminal-check"]`)
	out.says("端末")
	out.open(d.URL + "/me")
	if at := evaluate[string](out, `location.pathname`); at != "/signin/terminal-check" {
		t.Errorf("before the terminal is confirmed my page leads to %s", at)
	}
	out.sends("/signin/terminal-check", ".glance")
	out.says("庁舎の外")
	out.open(d.App(t, "bunsho"))
	out.says(login)

	// Live now, and out within a second of its end.
	cio.open(d.URL + "/live")
	cio.says("庁外から入っている人", fromAbroad, login)
	cio.open(d.URL + "/registers/remote_access")
	cio.says("在宅で決裁を行うため", "庁外のどこからでも")
	cio.do(chromedp.Click(chromedp.CSS(".rows details summary")))
	cio.types(".rows details input[name=comment]", "異動のため")
	cio.clicksTo(".rows details button", ".note.good")
	ended := time.Now()
	cio.says("取り消しました")
	out.open(d.URL + "/me")
	if took := time.Since(ended); evaluate[string](out, `location.pathname`) != "/signin" {
		t.Errorf("%v after the permit was revoked my page is open: %s", took, out.text("main"))
	}
	in.open(d.URL + page)
	in.says("取消し", "異動のため")

	severalPermits(t, browser, d, login, in, cio)
}

// severalPermits: a register that was kept on paper is taken in, decided with one
// press, and renewed in one go.
func severalPermits(t *testing.T, browser context.Context, d lender, login string, in, cio *tab) {
	keeper := d.comes(t, browser, d.withPost(t, "system_administrator", login))
	other := d.withPost(t, "security_manager", login)
	today := harness.NewClient(d.URL).Now(t)
	until := today.AddDate(0, 0, 20)
	if last := policy.FiscalYearEnd(today).Add(-time.Second); last.Before(until) {
		until = last
	}
	file := "person,reason,from,until,terminal,applications\n"
	for _, who := range []string{login, other} {
		file += who + ",出張先での決裁," + policy.DayInJapan(today) + "," + policy.DayInJapan(until) + "," + d.lentTerminal(t) + ",bunsho zaimu\n"
	}
	keeper.open(d.URL + "/registers/remote_access")
	keeper.clicksTo(`a[href="/registers/remote_access/import"]`, "#data")
	keeper.says("person,reason,from,until,terminal,applications")
	pastes := func(text string) {
		t.Helper()
		raw, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		evaluate[string](keeper, `document.querySelector('#data').value = `+string(raw))
	}
	pastes(file + "nobody,出張," + policy.DayInJapan(today) + ",2020-01-01,x,kyuyo\n")
	keeper.confirms("#faults")
	keeper.says("4行目", "この名前の人は見つかりません")
	pastes(file)
	keeper.confirms(".note.good")
	keeper.says("2件を取り込みました")

	cio.open(d.URL + "/approvals")
	for _, id := range evaluate[[]string](cio, `[...document.querySelectorAll('input[form=all]')].map((e) => e.id)`) {
		cio.do(chromedp.Click(chromedp.CSS("#" + id)))
	}
	cio.clicksTo(`#all button[value="yes"]`, ".note.good")
	cio.says("2件を承認しました", "待っているものはありません")

	in.open(d.URL + "/me")
	in.says("許可がもうすぐ終わります")
	in.open(d.URL + "/permits/renew")
	in.says("出張先での決裁", "一度も使われていません")
	in.do(chromedp.Click(chromedp.CSS(`input[name="id"]`))) // it was never used, so nobody proposes it
	in.confirms(".note.good")
	in.says("1件の更新を申請しました", "申請中")
	in.open(d.URL + "/permits/renew")
	in.says("更新するものはありません")
}

// proves signs somebody in as far as two factors go.
func (d lender) proves(t *testing.T, b *tab, login string) {
	t.Helper()
	p := d.Person(t, login)
	b.open(d.URL + "/signin")
	b.types("#login", p.Login)
	b.types("#password", p.Password)
	b.sends("/signin", "#code")
	b.types("#code", code(t, d.Dev, *p.TOTPSecret))
	b.sends("/signin/totp", "main")
}

// onlyStaff is somebody who decides nothing and administers nothing.
func (d lender) onlyStaff(t *testing.T) string {
	t.Helper()
	for _, p := range d.People {
		if p.State == "active" && p.TOTPSecret != nil && !slices.ContainsFunc(p.Posts, func(post string) bool { return post != "staff" }) {
			return p.Login
		}
	}
	t.Fatal("nobody is staff alone")
	return ""
}

func (d lender) lentTerminal(t *testing.T) string {
	t.Helper()
	for _, one := range d.Terminals {
		if one.Class == "lent" {
			return one.ID
		}
	}
	t.Fatal("no terminal is lent")
	return ""
}

// App is where an application is.
func (d lender) App(t *testing.T, id string) string {
	t.Helper()
	for _, a := range d.Apps {
		if a.ID == id {
			return a.URL
		}
	}
	t.Fatalf("there is no application %s", id)
	return ""
}
