package test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// A privilegedAnswer is what GET /session says of a privileged session.
type privilegedAnswer struct {
	ExpiresAt     time.Time `json:"expires_at"`
	IdleExpiresAt time.Time `json:"idle_expires_at"`
}

func (b borrower) privileged(want int) *privilegedAnswer {
	b.t.Helper()
	a := b.Do(b.t, "GET", "/api/v1/session", nil)
	if a.Status != want {
		b.t.Fatalf("the session of %s: %d, want %d: %s", b.login, a.Status, want, a.Body)
	}
	var n struct{ Privileged *privilegedAnswer }
	if want == http.StatusOK {
		a.Into(b.t, &n)
	}
	return n.Privileged
}

// TestPrivilegedSessionAtTheDoors: what is lent is good under a handle of its own
// (security.md section 2, row 16) and in a privileged session of fifteen minutes: at
// forward-auth, in an application's host and in tokens. When it idles out all of them
// are shut, what the directory was told stays, and a sign-in in the same browser opens
// them again.
func TestPrivilegedSessionAtTheDoors(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	p := d.lent(t, "db-admin")
	b := d.signedIn(t, p.Eligible[0])
	dn := d.Person(t, b.login).DN
	var zaimu folder.App
	for _, a := range d.Apps {
		if a.ID == "zaimu" {
			zaimu = a
		}
	}
	at := func(cookie string) harness.Answer {
		c := harness.NewClient(d.URL)
		return c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", strings.TrimSuffix(zaimu.URL, "/")+"/kanri/x", "X-Original-Method", "GET", "Cookie", cookie)
	}
	gate := func() string { return "__Host-sekisho=" + b.Cookies["__Host-sekisho"] }
	host := hostCookie(t, b.Client, zaimu)
	web := sampleWeb(t, d.Dev)
	verifier := oauth2.GenerateVerifier()
	code := web.back(t, web.ask(t, b.Client, verifier, url.Values{"prompt": {"none"}, "scope": {"openid profile offline_access"}})).Get("code")
	tok := given(t, web.redeem(t, code, verifier, nil))
	told := func() bool {
		t.Helper()
		tok = given(t, web.refresh(t, tok.RefreshToken))
		list, _ := claimsOf(t, tok.IDToken)["privileges"].([]any)
		return len(list) > 0
	}
	open := func(when string) {
		t.Helper()
		for name, cookie := range map[string]string{"the gate": gate(), "the application's host": host} {
			if a := at(cookie); a.Status != http.StatusOK || !slices.Contains(strings.Split(a.Header.Get("Remote-Groups"), ","), "db-admin") {
				t.Errorf("%s by %s's cookie: %d, told %q", when, name, a.Status, a.Header.Get("Remote-Groups"))
			}
		}
		if !told() {
			t.Errorf("%s a token does not tell of it", when)
		}
	}
	if b.privileged(http.StatusOK) != nil || at(gate()).Status != http.StatusForbidden {
		t.Error("privileged before anything was lent")
	}

	old := borrower{t, b.Fork(), b.login}
	e := b.does("/emergency", saying{"privilege": "db-admin", "reason": "障害", "minutes": 30}, http.StatusCreated).is(t, "active")
	if b.Cookies["__Host-sekisho"] == old.Cookies["__Host-sekisho"] || b.CSRF != old.CSRF {
		t.Error("the handle is the one of before, or the token of the session's forms is not")
	}
	old.privileged(http.StatusUnauthorized)
	if a := at("__Host-sekisho=" + old.Cookies["__Host-sekisho"]); a.Status != http.StatusUnauthorized {
		t.Errorf("the old handle at an application: %d", a.Status)
	}
	one := b.privileged(http.StatusOK)
	if one == nil || one.IdleExpiresAt.IsZero() || one.ExpiresAt.Before(one.IdleExpiresAt) {
		t.Fatalf("the privileged session: %+v", one)
	}
	if a := at(host); a.Status != http.StatusUnauthorized || a.Header.Get("Location") == "" {
		t.Errorf("the cookie that the host had before: %d to %q", a.Status, a.Header.Get("Location"))
	}
	host = hostCookie(t, b.Client, zaimu)
	open("lent,")

	// Work in the application is use; eight times two minutes are no idleness.
	for range 8 {
		d.Advance(t, 2*time.Minute)
		at(host)
	}
	open("after sixteen minutes of work,")
	b.does("/"+e.ID+"/end", nil, http.StatusOK).is(t, "ended")
	if one := b.privileged(http.StatusOK); one != nil {
		t.Errorf("given back, and privileged still: %+v", one)
	}
	for name, cookie := range map[string]string{"the gate": gate(), "the application's host": host} {
		if a := at(cookie); a.Status != http.StatusForbidden {
			t.Errorf("given back, by %s's cookie: %d, told %q", name, a.Status, a.Header.Get("Remote-Groups"))
		}
	}
	if told() {
		t.Error("given back, and a token tells of it still")
	}
	b.does("/"+e.ID+"/report", saying{"report": "直した。"}, http.StatusOK) // by the same handle

	e = b.does("/emergency", saying{"privilege": "db-admin", "reason": "再発", "minutes": 30}, http.StatusCreated).is(t, "active")
	host = hostCookie(t, b.Client, zaimu)
	d.Advance(t, 15*time.Minute)
	for name, cookie := range map[string]string{"the gate": gate(), "the application's host": host} {
		a := at(cookie)
		if to := a.Header.Get("Location"); a.Status != http.StatusUnauthorized || !strings.Contains(to, "acr=aal2") || !strings.Contains(to, "max_age=895") {
			t.Errorf("idled out, by %s's cookie: %d to %q", name, a.Status, to)
		}
	}
	if b.privileged(http.StatusOK) != nil || told() {
		t.Error("idled out, and privileged still")
	}
	if got := b.sees(e.ID).is(t, "active"); !got.Shut || !d.member(t, p.GroupDN, dn) {
		t.Errorf("the lease: shut %t, in the directory %t", got.Shut, d.member(t, p.GroupDN, dn))
	}
	if s, a := b.Passkey(t, d.Key(t, d.Person(t, b.login))); s.State != "signed_in" {
		t.Fatalf("signing in again: %d %s", a.Status, a.Body)
	}
	if b.privileged(http.StatusOK) == nil || b.sees(e.ID).Shut {
		t.Error("signed in again, and not privileged")
	}
	host = hostCookie(t, b.Client, zaimu)
	open("signed in again,")

	// Elsewhere: the other browser has it, and this one is left with its session.
	other := d.signedIn(t, b.login)
	cio := d.signedIn(t, d.withPost(t, "cio", b.login))
	cio.does("/"+e.ID+"/judge", saying{"comment": "やむを得ない"}, http.StatusOK)
	second := d.lent(t, "server-admin")
	l := other.does("", saying{"privilege": second.ID, "reason": "更新", "minutes": 10, "ticket": "CHG-0043"}, http.StatusCreated)
	d.signedIn(t, second.Approvers[0]).does("/"+l.ID+"/approve", nil, http.StatusOK)
	other.does("/"+l.ID+"/activate", nil, http.StatusOK).is(t, "active")
	if other.privileged(http.StatusOK) == nil || b.privileged(http.StatusOK) != nil {
		t.Error("two privileged sessions, or none")
	}
	if a := at(gate()); a.Status != http.StatusForbidden {
		t.Errorf("in the browser before: %d", a.Status)
	}
	if a := at("__Host-sekisho=" + other.Cookies["__Host-sekisho"]); a.Status != http.StatusOK {
		t.Errorf("in the other browser: %d", a.Status)
	}
	other.does("/"+e.ID+"/end", nil, http.StatusOK)
	other.does("/"+l.ID+"/end", nil, http.StatusOK)
	harness.Until(t, "the group to be left", func() bool { return !d.member(t, p.GroupDN, dn) })
}

// hostCookie carries the session of a client to an application's host.
func hostCookie(t *testing.T, c *harness.Client, app folder.App) string {
	t.Helper()
	at := harness.NewClient(c.URL)
	begun := at.Do(t, "GET", "/.sekisho/start?rd=/", nil, "Host", app.Host)
	given := c.Do(t, "GET", strings.TrimPrefix(begun.Header.Get("Location"), c.URL), nil)
	_, query, ok := strings.Cut(given.Header.Get("Location"), "/.sekisho/callback?")
	if !ok {
		t.Fatalf("the handover to %s leads to %q: %d %s", app.ID, given.Header.Get("Location"), given.Status, given.Body)
	}
	if a := at.Do(t, "GET", "/.sekisho/callback?"+query, nil, "Host", app.Host); a.Status != http.StatusSeeOther || at.Cookies["__Host-sekisho-app"] == "" {
		t.Fatalf("the callback of %s: %d %s", app.ID, a.Status, a.Body)
	}
	return "__Host-sekisho-app=" + at.Cookies["__Host-sekisho-app"]
}

// claimsOf are what a token says, whoever signed it.
func claimsOf(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	c := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestActivationAnswerLost: whoever never hears that something was lent to them holds a
// handle that is dead. They sign in anew in that browser, and have what was lent; who
// took the handle before has nothing by it (security.md section 2, row 16).
func TestActivationAnswerLost(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	p := d.lent(t, "db-admin")
	dn := d.Person(t, p.Eligible[0]).DN
	b := d.signedIn(t, p.Eligible[0])
	cio := d.signedIn(t, d.withPost(t, "cio", b.login)) // and has read the rules
	deaf, thief := borrower{t, b.Fork(), b.login}, borrower{t, b.Fork(), cio.login}
	e := b.does("/emergency", saying{"privilege": "db-admin", "reason": "障害", "minutes": 30}, http.StatusCreated).is(t, "active")
	deaf.privileged(http.StatusUnauthorized)

	if s, a := thief.Passkey(t, d.Key(t, d.Person(t, thief.login))); s.State != "signed_in" {
		t.Fatalf("the thief by a key of their own: %d %s", a.Status, a.Body)
	}
	if thief.privileged(http.StatusOK) != nil {
		t.Error("privileged by a handle that was taken before")
	}
	if s, a := deaf.Passkey(t, d.Key(t, d.Person(t, b.login))); s.State != "signed_in" {
		t.Fatalf("signing in anew: %d %s", a.Status, a.Body)
	}
	if deaf.privileged(http.StatusOK) == nil || deaf.sees(e.ID).is(t, "active").Shut || !d.member(t, p.GroupDN, dn) {
		t.Error("what was lent is good for nothing in the browser that it was lent to")
	}
	b.privileged(http.StatusUnauthorized) // the handle that was in the answer
	deaf.does("/"+e.ID+"/end", nil, http.StatusOK).is(t, "ended")
}
