package test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"sekisho/cmd/sekisho/folder"
	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// A counterTab is the browser of a counter. Its terminal speaks for itself: as
// an extension of the browser would, the test adds the terminal's word, with a
// nonce of that moment, to each form that signs somebody in.
type counterTab struct {
	*tab
	d *harness.Dev
	m folder.Terminal
}

func newCounterTab(t *testing.T, browser context.Context, d *harness.Dev, m folder.Terminal) counterTab {
	t.Helper()
	b := counterTab{newTab(t, browser), d, m}
	b.pkComesFrom("10.2.0.5")
	_, err := chromedp.Call(b.ctx, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: d.URL + "/signin*", RequestStage: fetch.RequestStageRequest}}})
	if err != nil {
		t.Fatal(err)
	}
	b.waitsForClicks()
	err = chromedp.Listen(b.ctx, func(ev any) {
		if paused, ok := ev.(*fetch.EventRequestPaused); ok {
			go b.speak(paused) // a listener must not wait for the browser
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// waitsForClicks: the virtual authenticator would take what a page offers beside
// the name at once, where people choose.
func (b *tab) waitsForClicks() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
		Source: `PublicKeyCredential.isConditionalMediationAvailable = async () => false`})
	if err != nil {
		b.t.Fatal(err)
	}
}

// speak sends a request on, with the terminal's word if it is a form.
func (b counterTab) speak(paused *fetch.EventRequestPaused) {
	with := fetch.ContinueRequestParams{RequestID: paused.RequestID}
	if paused.Request.Method == "POST" {
		for name, value := range paused.Request.Headers {
			if text, ok := value.(string); ok {
				with.Headers = append(with.Headers, &fetch.HeaderEntry{Name: name, Value: text})
			}
		}
		with.Headers = append(with.Headers, &fetch.HeaderEntry{Name: "X-Sekisho-Terminal", Value: counterSays(b.t, b.d, b.m)})
	}
	if _, err := chromedp.Call(b.ctx, fetch.ContinueRequest, with); err != nil && b.ctx.Err() == nil {
		b.t.Errorf("sending a form on: %v", err)
	}
}

// holds puts the passkey of one of dev's people, and no other, into the browser's
// authenticator.
func (a pkAuthenticator) holds(p folder.Person) {
	b := a.b
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.ClearCredentials, webauthn.ClearCredentialsParams{AuthenticatorID: a.id}); err != nil {
		b.t.Fatal(err)
	}
	standard := func(urlSafe string) string { // the protocol takes no other alphabet
		raw, err := base64.RawURLEncoding.DecodeString(urlSafe)
		if err != nil {
			b.t.Fatal("dev.json:", err)
		}
		return base64.StdEncoding.EncodeToString(raw)
	}
	var add addCredential
	add.AuthenticatorID = a.id
	add.Credential.ID, add.Credential.UserHandle = standard(p.Passkey.CredentialID), standard(p.Passkey.UserHandle)
	add.Credential.PrivateKey, add.Credential.Resident, add.Credential.RP, add.Credential.Count = p.Passkey.PrivateKey, true, "localhost", 1
	if _, err := chromedp.Call(b.ctx, cdp.Command[addCredential, cdp.Empty]{Method: webauthn.CommandAddCredential}, add); err != nil {
		b.t.Fatal(err)
	}
}

// addCredential is webauthn.AddCredentialParams without a member that Chromium
// refuses from authenticators that do not have it, whatever its value.
type addCredential struct {
	AuthenticatorID webauthn.AuthenticatorID `json:"authenticatorId"`
	Credential      struct {
		ID         string `json:"credentialId"`
		Resident   bool   `json:"isResidentCredential"`
		RP         string `json:"rpId"`
		PrivateKey string `json:"privateKey"`
		UserHandle string `json:"userHandle"`
		Count      int    `json:"signCount"`
	} `json:"credential"`
}

// TestCounterInTheBrowser: two people at one counter, each with a passkey. The
// second takes over with two clicks and in under two seconds; nothing of the
// first is open afterwards; and who walks away is signed out soon.
func TestCounterInTheBrowser(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	d := harness.StartSample(t)
	m := counterTerminal(t, d, "counter-01")
	first, second := d.Person(t, "sato"), d.Person(t, "takahashi")
	counterIn(t, d, m, "10.2.0.5", second) // the rules are read

	b := newCounterTab(t, browser, d, m)
	key := b.pkAuthenticator(false)
	key.holds(first)
	b.open(d.URL + "/signin")
	b.sends("/signin/passkey", `form[action="/signin/acknowledge"]`)
	b.sends("/signin/acknowledge", ".glance")
	if got := b.text(".glance"); !strings.Contains(got, first.Login) || !strings.Contains(got, "窓口端末") {
		t.Errorf("my page at the counter says %s", got)
	}
	b.open(app(d).URL)
	if got := b.text("body"); !strings.Contains(got, first.Login) {
		t.Fatalf("the application at the counter says %s", got)
	}

	// The next sits down.
	b.open(d.URL + "/me")
	before, name := b.session(), strings.TrimSpace(evaluate[string](b.tab, `document.querySelector('.person').firstChild.data`))
	key.holds(second)
	took := clock.Stopwatch()
	b.leaves(chromedp.Click(chromedp.CSS(`.self a[href="/signin"]`)), pkForm)
	if says := b.text(".note"); !strings.Contains(says, name) {
		t.Errorf("whoever is the next is told %s", says)
	}
	b.sends("/signin/passkey", ".glance")
	if took := took(); took > 2*time.Second {
		t.Errorf("taking over took %v, from the first click to the second person's page", took)
	} else {
		t.Logf("taken over in %v", took)
	}
	if got := b.text(".glance .person"); !strings.Contains(got, second.Login) {
		t.Errorf("after taking over, my page is of %s", got)
	}
	for _, door := range doors {
		if door.open(t, d, before.Fork()) {
			t.Errorf("%s is still open to whoever was there before", door.name)
		}
	}
	// The application's own cookie of the first is dead: it opens for the second.
	b.open(app(d).URL)
	if got := b.text("body"); strings.Contains(got, first.Login) || !strings.Contains(got, second.Login) {
		t.Errorf("the application shows %s", got)
	}

	// Whoever walks away: three minutes later everything asks to sign in.
	d.Advance(t, 3*time.Minute+time.Second)
	b.open(app(d).URL)
	b.sees("#login")
	b.open(d.URL + "/me")
	b.sees("#login")
}

// session is what the browser's cookie opens, for a client of its own.
func (b counterTab) session() *harness.Client {
	b.t.Helper()
	c := harness.NewClient(b.d.URL)
	c.From = "10.2.0.5"
	got, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{b.d.URL}})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, k := range got.Cookies {
		c.Cookies[k.Name] = k.Value
	}
	return c
}
