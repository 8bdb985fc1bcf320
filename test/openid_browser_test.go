package test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/oauth2"

	"sekisho/test/harness"
)

// TestBrowserOpenID goes from an application through the sign-in's forms back to
// it in a real browser, which holds each form to where its page lets it lead.
func TestBrowserOpenID(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	d := harness.StartSample(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + ln.Addr().String()
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><html lang="ja"><title>見本</title><p id="landed">%s %s %v %v</p>`, r.Method, r.URL.Path, r.FormValue("code") != "", r.FormValue("iss") == d.URL)
	})}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close() })
	addClients(t, d, fmt.Sprintf(`
  - {client_id: browser, name: {ja: 見本の画面, en: Sample page}, zone: lgwan, class: 3, auth_method: none, redirect_uris: ["%[1]s/callback"], post_logout_redirect_uris: ["%[1]s/goodbye"], scopes: [profile, email], consent: true}
`, at))
	a := newRP(t, d, "browser", "", at+"/callback", oauth2.AuthStyleInParams)
	b := newTab(t, browser)
	landed := func(want string) {
		t.Helper()
		if got := b.text("#landed"); got != want {
			t.Errorf("at the application: %q, want %q", got, want)
		}
	}

	b.open(a.asking(oauth2.GenerateVerifier(), "the-state", "the-nonce", url.Values{"login_hint": {"tanaka"}}))
	if got := evaluate[string](b, `document.querySelector('#login').value`); got != "tanaka" {
		t.Errorf("the login is %q", got)
	}
	b.signsIn(d, d.Person(t, "tanaka"), `form[action="/oauth2/consent"]`)
	b.look("consent", "ja")
	b.leaves(chromedp.Click(chromedp.CSS(`button[value="agree"]`)), "#landed")
	landed("GET /callback true true")

	// It was agreed to, so the next time nothing is shown; the form sends itself.
	b.open(a.asking(oauth2.GenerateVerifier(), "the-state", "the-nonce", url.Values{"response_mode": {"form_post"}}))
	b.sees("#landed")
	landed("POST /callback true true")

	b.open(d.URL + "/oauth2/logout?" + url.Values{"client_id": {"browser"}, "post_logout_redirect_uri": {at + "/goodbye"}}.Encode())
	b.look("openid-signout", "ja")
	b.leaves(chromedp.Click(chromedp.CSS(`button[value="agree"]`)), "#landed")
	landed("GET /goodbye false false")
}
