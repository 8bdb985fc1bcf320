package test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
	"sekisho/test/inspect"
)

// TestLeasesInTheBrowser is the story of lent privilege in Chromium, told by two
// people with their own passkeys, while ldapsearch watches the directory.
func TestLeasesInTheBrowser(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	browser := newBrowser(t)
	t.Run("asked, approved, used, given back", func(t *testing.T) { lendingStory(t, browser, d) })
	t.Run("an ID that is shown once", func(t *testing.T) { lendingAnID(t, browser, d) })
	t.Run("without approval", func(t *testing.T) { lendingAtOnce(t, browser, d) })
}

// comes opens a window in which somebody signs in with their passkey: once in a
// test, for a passkey whose counter goes back was copied.
func (d lender) comes(t *testing.T, browser context.Context, login string) *tab {
	t.Helper()
	return comes(t, browser, d.URL, d.Person(t, login))
}

func comes(t *testing.T, browser context.Context, url string, p folder.Person) *tab {
	t.Helper()
	b := newTab(t, browser)
	b.pkAuthenticator(false).holds(p)
	b.waitsForClicks()
	b.open(url + "/signin")
	b.sends("/signin/passkey", "h1")
	if evaluate[bool](b, `document.querySelector('form[action="/signin/acknowledge"]') !== null`) {
		b.sends("/signin/acknowledge", ".glance")
	}
	return b
}

// ticks waits until a clock on the page has gone on by itself.
func (b *tab) ticks() {
	b.t.Helper()
	first := b.text(".clock")
	harness.Until(b.t, "the clock to go on", func() bool { return b.text(".clock") != first })
}

func lendingStory(t *testing.T, browser context.Context, d lender) {
	p := d.lent(t, "db-admin")
	asker, approver := d.comes(t, browser, p.Eligible[0]), d.comes(t, browser, p.Approvers[0])
	dn := d.Person(t, p.Eligible[0]).DN

	// Asking: a reason is all there is to type.
	asker.clicksTo(`.doors a[href="/leases"]`, "#may")
	asker.clicksTo(`a[href="/leases/ask?privilege=`+p.ID+`"]`, "#reason")
	if got := evaluate[string](asker, `document.querySelector('#minutes').value`); got == "" || got == "0" {
		t.Errorf("the usual time is not filled in: %q", got)
	}
	asker.says("このあとの流れ", "判断します")
	asker.types("#reason", "索引を作り直す")
	asker.confirms(".note.good")
	asker.says("申請しました", "判断待ち", "判断できる人")
	page := evaluate[string](asker, `location.pathname`)

	// Deciding: my page tells of it; the sign-in has grown old, so a passkey comes
	// first and leads back to the card.
	d.Advance(t, 20*time.Minute)
	approver.open(d.URL + "/me")
	approver.says("判断を待っている申請が1件あります")
	approver.clicksTo(`.waits a[href="/approvals"]`, ".matter")
	approver.says("索引を作り直す", "承認すると", "この人のこれまでの使用", "パスキーで本人確認")
	approver.clicksTo(".decide .acts a.button", pkForm)
	approver.sends("/signin/passkey", ".matter")
	if at := evaluate[string](approver, `location.pathname`); !strings.HasPrefix(at, "/approvals") {
		t.Errorf("the passkey leads to %s", at)
	}
	phone := inspect.Over(t, approver.ctx).Named(t, "an approver's card on a telephone")
	phone.Widen(390)
	phone.Fits()
	phone.Roomy()
	phone.Accessible()
	approver.clicksTo(`.decide button[value="no"]`, "#faults") // a no says why
	approver.clicksTo(`.decide button[value="yes"]`, ".note.good")
	approver.says("承認しました")
	phone.Widen(1280)

	// Using it: the clock runs, the directory has it, the others see it live.
	if d.member(t, p.GroupDN, dn) {
		t.Error("a member before it was started")
	}
	asker.open(d.URL + page)
	asker.says("承認済み")
	asker.clicksTo(`form[action$="/activate"] button`, ".clock")
	asker.ticks()
	if !d.member(t, p.GroupDN, dn) {
		t.Error("active, and the directory does not know")
	}
	asker.open(d.URL + "/me")
	asker.says("使用中")
	approver.open(d.URL + "/live")
	approver.sees(".lane svg")
	approver.says("索引を作り直す", "終わらせる")
	approver.ticks()
	seen := inspect.Over(t, approver.ctx).Named(t, "what lives now")
	seen.Fits()
	seen.Accessible()

	// Over, whatever runs; and the work is written down.
	asker.open(d.URL + "/leases")
	asker.clicksTo(`form[action$="/end"] button`, ".note.good")
	asker.says("返しました", "作業記録を書いてください")
	harness.Until(t, "the directory is clean", func() bool { return !d.member(t, p.GroupDN, dn) })
	asker.types("#report-report", "索引を作り直し、件数を確かめた。")
	asker.clicksTo(`form[action$="/report"] button`, ".note.good")
	approver.open(d.URL + "/approvals")
	approver.says("作業記録の確認")
	approver.clicksTo("#countersign ~ .list a", "#record")
	approver.says("件数を確かめた")
	approver.clicksTo(`form[action$="/countersign"] button`, ".note.good")
	approver.open(d.URL + "/approvals")
	approver.says("待っているものはありません")
}

// lendingAnID: the ID's password is on one page, once, and binds until the end.
func lendingAnID(t *testing.T, browser context.Context, d lender) {
	p := d.lent(t, "server-admin")
	asker, approver := d.comes(t, browser, p.Eligible[1]), d.comes(t, browser, p.Approvers[1])
	asker.withoutScripts()
	asker.open(d.URL + "/leases/ask?privilege=" + p.ID)
	asker.types("#reason", "更新の適用")
	asker.types("#ticket", "何か")
	asker.confirms("#faults")
	asker.types("#ticket", "CHG-0042")
	asker.confirms(".note.good")
	page := evaluate[string](asker, `location.pathname`)
	approver.open(d.URL + "/approvals")
	approver.clicksTo(`.decide button[value="yes"]`, ".note.good")
	asker.open(d.URL + page)
	asker.clicksTo(`form[action$="/activate"] button`, ".slip")
	lent := evaluate[[]string](asker, `[...document.querySelectorAll('.slip .secret')].map((e) => e.textContent.trim())`)
	if len(lent) != 2 || !d.binds(t, lent[0], lent[1]) {
		t.Fatalf("the ID shown does not bind: %d values", len(lent))
	}
	asker.clicksTo(".acts a.button", ".clock")
	if got := asker.text("main"); strings.Contains(got, lent[1]) || !strings.Contains(got, lent[0]) {
		t.Error("the page of the lease shows the password, or not the ID")
	}
	// Ended from afar: the approver's one press, with a reason.
	approver.open(d.URL + "/live")
	approver.do(chromedp.Click(chromedp.CSS(".lane summary")))
	approver.types(".lane details input[name=comment]", "予定の時間を過ぎた")
	approver.clicksTo(".lane details button", ".note.good")
	approver.says("取り消しました")
	harness.Until(t, "the ID binds no more", func() bool { return !d.binds(t, lent[0], lent[1]) })
	asker.open(d.URL + page)
	asker.says("取消し", "予定の時間を過ぎた")
}

// lendingAtOnce: without approval, told to everyone, judged by the CIO.
func lendingAtOnce(t *testing.T, browser context.Context, d lender) {
	p := d.lent(t, "db-admin")
	asker := d.comes(t, browser, p.Eligible[2])
	cio := d.comes(t, browser, d.withPost(t, "cio", p.Eligible[2]))
	asker.open(d.URL + "/leases")
	asker.clicksTo(`a[href="/leases/emergency?privilege=`+p.ID+`"]`, "#reason")
	asker.says("すぐに関係者全員に知らされ", "最高情報統括責任者が")
	asker.types("#reason", "窓口が止まっている")
	asker.confirms(".clock")
	asker.says("緊急（承認なし）")
	if !d.member(t, p.GroupDN, d.Person(t, p.Eligible[2]).DN) {
		t.Error("taken without approval, and the directory does not know")
	}
	cio.open(d.URL + "/me")
	cio.says("判断を待っている緊急使用が1件あります")
	cio.clicksTo(`.waits a[href="/approvals"]`, "#judge")
	cio.clicksTo("#judge ~ .list a", "#comment-judge")
	cio.types("#comment-judge", "やむを得なかったと認める。")
	cio.clicksTo(`form[action$="/judge"] button`, ".note.good")
	cio.says("やむを得なかったと認める")
	asker.clicksTo(`form[action$="/end"] button`, ".note.good")
	asker.says("返しました")
}
