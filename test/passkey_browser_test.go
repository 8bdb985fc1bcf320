package test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sekisho/test/harness"
)

const (
	pkForm  = `form[action="/signin/passkey"]`
	pkMyNum = "10.1.0.9" // an address of the mynumber zone in dev
)

// TestPasskeysInTheBrowser signs people in with the passkeys of a real browser,
// whose authenticator is Chromium's virtual one.
func TestPasskeysInTheBrowser(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	d := harness.StartSample(t)
	t.Run("a first visitor", func(t *testing.T) { pkFirstVisitor(t, browser, d) })
	t.Run("a further passkey", func(t *testing.T) { pkFurther(t, browser, d) })
	t.Run("synced, in the mynumber zone", func(t *testing.T) { pkSyncedZone(t, browser, d) })
	t.Run("synced, of an administrator", func(t *testing.T) { pkSyncedPost(t, browser, d) })
	t.Run("as a second factor", func(t *testing.T) { pkSecond(t, browser, d) })
	t.Run("without support", func(t *testing.T) { pkUnsupported(t, browser, d) })
	t.Run("without scripts", func(t *testing.T) { pkWithoutScripts(t, browser, d) })
}

// A pkAuthenticator is one that Chromium pretends to have.
type pkAuthenticator struct {
	b  *tab
	id webauthn.AuthenticatorID
}

func (b *tab) pkAuthenticator(synced bool) pkAuthenticator {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	a, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Ctap2version: webauthn.Ctap2versionCtap21,
			Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
			HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
			DefaultBackupEligibility: synced, DefaultBackupState: synced,
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	return pkAuthenticator{b, a.AuthenticatorID}
}

// knows says whether the authenticator's owner proves to be there.
func (a pkAuthenticator) knows(owner bool) {
	a.b.t.Helper()
	_, err := chromedp.Call(a.b.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a.id, IsUserVerified: owner})
	if err != nil {
		a.b.t.Fatal(err)
	}
}

// leaves signs out while the owner is away: a page that offers passkeys would
// else have one at once.
func (a pkAuthenticator) leaves() {
	a.b.t.Helper()
	a.knows(false)
	a.b.sends("/signout", "#login")
}

// keys is how many passkeys the authenticator holds.
func (a pkAuthenticator) keys() int {
	a.b.t.Helper()
	got, err := chromedp.Call(a.b.ctx, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: a.id})
	if err != nil {
		a.b.t.Fatal(err)
	}
	return len(got.Credentials)
}

// pkComesFrom makes the tab's requests come from an address, as through a proxy.
func (b *tab) pkComesFrom(address string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, network.Enable, network.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	_, err := chromedp.Call(b.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-Forwarded-For": address}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// pkTold waits for what a form says beside its button, which must have the
// focus, and gives the button back.
func (b *tab) pkTold(form string) string {
	b.t.Helper()
	says := b.text(form + " .told")
	if !evaluate[bool](b, `document.activeElement.matches('.told')`) {
		b.t.Error("what went wrong does not have the focus")
	}
	if evaluate[bool](b, `document.querySelector(`+quote(form)+`).querySelector('button').hasAttribute('aria-busy')`) {
		b.t.Error("the button stays busy")
	}
	return says
}

func (b *tab) clicks(selector string) { b.t.Helper(); b.do(chromedp.Click(chromedp.CSS(selector))) }

// pkFirstVisitor: from the enrol step to one's own page in three screens; then
// in again by the passkey alone.
func pkFirstVisitor(t *testing.T, browser context.Context, d *harness.Dev) {
	p := d.InState(t, "must_change")
	b := newTab(t, browser)
	key := b.pkAuthenticator(false)
	b.open(d.URL + "/signin")
	b.types("#login", p.Login)
	b.types("#password", p.Password)
	b.sends("/signin", "#new_password")
	b.types("#new_password", "kawaita-Isu-19-mado")
	b.types("#again", "kawaita-Isu-19-mado")
	b.sends("/signin/password", `form[action="/signin/enrol/passkey"]`) // screen one

	// Not its owner: no passkey, and the page says so and can be used again.
	key.knows(false)
	b.clicks(`form[action="/signin/enrol/passkey"] button`)
	if says := b.pkTold(`form[action="/signin/enrol/passkey"]`); !strings.Contains(says, "作り終えていません") {
		t.Errorf("an unverified owner is told %q", says)
	}
	if n := key.keys(); n != 0 {
		t.Errorf("%d passkeys were made for nobody", n)
	}
	key.knows(true)
	b.sends("/signin/enrol/passkey", `form[action="/signin/acknowledge"]`) // screen two
	b.sends("/signin/acknowledge", ".glance")                              // screen three
	if got := b.text(".glance"); !strings.Contains(got, "フィッシングに強い確認") || !strings.Contains(got, "パスキー") {
		t.Errorf("my page says %s", got)
	}
	if n := key.keys(); n != 1 {
		t.Errorf("the authenticator holds %d passkeys", n)
	}

	// By the keyboard alone, with nothing typed. The question that waits behind
	// the name is given up for the button's.
	key.leaves()
	b.tabsTo(pkForm + " button")
	b.presses(kb.Enter)
	if says := b.pkTold(pkForm); !strings.Contains(says, "確認が終わりませんでした") {
		t.Errorf("an unverified owner is told %q", says)
	}
	if got := evaluate[string](b, `location.pathname`); got != "/signin" {
		t.Fatalf("without its owner the passkey leads to %s", got)
	}
	key.knows(true)
	b.tabsTo(pkForm + " button")
	b.leaves(chromedp.KeyEvent(kb.Enter), ".glance")
	if got := b.text(".glance .person"); !strings.Contains(got, p.Login) {
		t.Errorf("signed in as %s", got)
	}

	// A passkey that was removed opens nothing. The last one cannot be, so an app
	// comes first.
	b.open(d.URL + "/me/factors/totp")
	b.sends("/me/factors/totp/begin", ".secret")
	secret := strings.Join(strings.Fields(b.text(".secret")), "")
	b.types("#code", code(t, d, secret))
	b.sends("/me/factors/totp", ".note.good")
	b.leaves(chromedp.Click(chromedp.CSS(`a[href$="/remove"]`)), `form[action$="/remove"]`)
	b.leaves(chromedp.Click(chromedp.CSS(`form[action$="/remove"] button`)), ".note.good")
	key.leaves()
	key.knows(true)
	b.sends("/signin/passkey", "#faults")
	key.knows(false)
	if says := b.text("#faults"); !strings.Contains(says, "登録を外したパスキー") {
		t.Errorf("a removed passkey is answered %s", says)
	}
}

// pkFurther: a synced passkey of somebody without a post, at a desk of the lgwan
// zone; and the same authenticator a second time.
func pkFurther(t *testing.T, browser context.Context, d *harness.Dev) {
	p := d.Person(t, "tanaka")
	b := newTab(t, browser)
	key := b.pkAuthenticator(true)
	b.open(d.URL + "/me/factors/passkey")
	b.signsIn(d, p, `form[action="/me/factors/passkey"]`)
	b.types("#name", "庁用タブレット")
	b.sends("/me/factors/passkey", ".note.good")
	if got := b.text("main"); !strings.Contains(got, "庁用タブレット") || !strings.Contains(got, "ほかの端末にも同期されます") {
		t.Errorf("my page says %s", got)
	}
	b.open(d.URL + "/me/factors/passkey")
	b.clicks(`form[action="/me/factors/passkey"] button`)
	if says := b.pkTold(`form[action="/me/factors/passkey"]`); !strings.Contains(says, "もう登録されています") {
		t.Errorf("a second time the same key is told %q", says)
	}
	b.open(d.URL + "/me")
	b.leaves(chromedp.Click(chromedp.CSS(`a[href$="/rename"]`)), "#name")
	b.types("#name", "窓口のタブレット")
	b.leaves(chromedp.Click(chromedp.CSS("main form button")), ".note.good")
	if got := b.text("main"); !strings.Contains(got, "窓口のタブレット") {
		t.Errorf("after renaming, my page says %s", got)
	}
	// Offered where the name is typed, and taken: the virtual authenticator takes
	// what it is offered, without a button.
	b.sends("/signout", ".glance")
	if got := b.text(".glance"); !strings.Contains(got, "同期されるもの") {
		t.Errorf("my page says %s", got)
	}
	// The same key, from the zone where nothing synced opens.
	key.leaves()
	b.pkComesFrom(pkMyNum)
	b.open(d.URL + "/signin")
	key.knows(true)
	b.sends("/signin/passkey", "#faults")
	key.knows(false)
	if says := b.text("#faults"); !strings.Contains(says, "個人番号利用事務系") || !strings.Contains(says, "第26条の3第1項") {
		t.Errorf("a synced key in the mynumber zone is answered %s", says)
	}
	if n := key.keys(); n != 1 {
		t.Errorf("the authenticator holds %d passkeys", n)
	}
}

func pkSyncedZone(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	b.pkAuthenticator(true)
	b.pkComesFrom(pkMyNum)
	b.open(d.URL + "/me/factors/passkey")
	b.signsIn(d, d.Person(t, "suzuki"), `form[action="/me/factors/passkey"]`)
	b.sends("/me/factors/passkey", "#faults")
	if says := b.text("#faults"); !strings.Contains(says, "個人番号利用事務系") {
		t.Errorf("a synced key in the mynumber zone is answered %s", says)
	}
	b.open(d.URL + "/me")
	if n := evaluate[int](b, `document.querySelectorAll('a[href$="/rename"]').length`); n != 1 {
		t.Errorf("after the refusal there are %d factors, want the app alone", n)
	}
}

func pkSyncedPost(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	b.pkAuthenticator(true)
	b.open(d.URL + "/me/factors/passkey?lang=en")
	b.signsIn(d, d.Person(t, "sato"), `form[action="/me/factors/passkey"]`)
	b.sends("/me/factors/passkey", "#faults")
	if says := b.text("#faults"); !strings.Contains(says, "never leaves its device") {
		t.Errorf("a synced key of an administrator is answered %s", says)
	}
}

// pkSecond: a passkey after a password, one of equal choices.
func pkSecond(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	key := b.pkAuthenticator(false)
	p := d.Person(t, "ito")
	b.open(d.URL + "/me/factors/passkey")
	b.signsIn(d, p, `form[action="/me/factors/passkey"]`)
	b.sends("/me/factors/passkey", ".note.good")
	key.leaves()
	b.types("#login", p.Login)
	b.types("#password", p.Password)
	b.sends("/signin", "#way-passkey")
	if got := evaluate[string](b, `[...document.querySelectorAll('.way h2')].map((h) => h.id).join(' ')`); got != "way-passkey way-code" {
		t.Errorf("the choices are %s", got)
	}
	key.knows(true)
	b.sends("/signin/passkey", ".glance")
	if got := b.text(".glance"); !strings.Contains(got, "フィッシングに強い確認") {
		t.Errorf("my page says %s", got)
	}
}

// pkUnsupported: a browser that knows no passkeys says so, and what else works.
func pkUnsupported(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	b.open(d.URL + "/signin")
	evaluate[bool](b, `delete PublicKeyCredential.parseRequestOptionsFromJSON`)
	b.clicks(pkForm + " button")
	if says := b.pkTold(pkForm); !strings.Contains(says, "パスキーを使えません") || !strings.Contains(says, "ほかの方法") {
		t.Errorf("told %q", says)
	}
	if !evaluate[bool](b, `document.querySelector('#login').value === '' && !document.querySelector('#login').disabled`) {
		t.Error("the name cannot be typed any more")
	}
}

func pkWithoutScripts(t *testing.T, browser context.Context, d *harness.Dev) {
	b := newTab(t, browser)
	b.withoutScripts()
	b.open(d.URL + "/signin")
	if got := b.text(pkForm); !strings.Contains(got, "JavaScript") {
		t.Errorf("without scripts the form says %s", got)
	}
	b.sends("/signin/passkey", "#faults")
	if got := b.text("#faults"); !strings.Contains(got, "ほかの方法") {
		t.Errorf("without scripts the button is answered %s", got)
	}
	b.signsIn(d, d.Person(t, "watanabe"), ".glance")
}
