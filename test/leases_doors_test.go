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

// TestLeaseAtTheDoors: what is lent opens what asks for it and is told to
// applications with its end and mark, while it lives and not an instant longer: by
// the clock, by its borrower, and by a lock-down (security.md section 2, rows 18 to
// 20; section 3, I2).
func TestLeaseAtTheDoors(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	p := d.lent(t, "db-admin")
	b := d.signedIn(t, p.Eligible[0])
	var zaimu folder.App
	for _, a := range d.Apps {
		if a.ID == "zaimu" {
			zaimu = a
		}
	}
	check := func(path string) harness.Answer {
		return b.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", strings.TrimSuffix(zaimu.URL, "/")+path, "X-Original-Method", "GET")
	}
	// told is what forward-auth and OpenID Connect say of it.
	told := func() (groups bool, assertion, id map[string]any) {
		t.Helper()
		a := check("/")
		if a.Status != http.StatusOK {
			t.Fatalf("the application: %d", a.Status)
		}
		claims := func(signed string) map[string]any {
			c := jwt.MapClaims{}
			if _, _, err := jwt.NewParser().ParseUnverified(signed, c); err != nil {
				t.Fatal(err)
			}
			list, _ := c["privileges"].([]any)
			if len(list) == 0 {
				return nil
			}
			l := list[0].(map[string]any)
			end, err := time.Parse(time.RFC3339, l["ends_at"].(string))
			if exp, _ := c.GetExpirationTime(); err != nil || exp.After(end) {
				t.Errorf("a token until %v tells of a lease until %v: %v", exp, end, err)
			}
			return l
		}
		web := sampleWeb(t, d.Dev)
		verifier := oauth2.GenerateVerifier()
		code := web.back(t, web.ask(t, b.Client, verifier, url.Values{"prompt": {"none"}, "scope": {"openid profile"}})).Get("code")
		got := web.redeem(t, code, verifier, nil)
		if got.Status != http.StatusOK {
			t.Fatalf("tokens: %d %s", got.Status, got.Body)
		}
		return slices.Contains(strings.Split(a.Header.Get("Remote-Groups"), ","), "db-admin"),
			claims(a.Header.Get("X-Sekisho-Assertion")), claims(given(t, got).IDToken)
	}
	shut := func(when string) {
		t.Helper()
		if got := check("/kanri/x").Status; got != http.StatusForbidden {
			t.Errorf("%s the administration answers %d", when, got)
		}
		if groups, assertion, id := told(); groups || assertion != nil || id != nil {
			t.Errorf("%s it is told: %t, %v, %v", when, groups, assertion, id)
		}
	}
	shut("before")
	borrow := func() elevation {
		t.Helper()
		e := b.does("/emergency", saying{"privilege": "db-admin", "reason": "障害", "minutes": 10}, http.StatusCreated).is(t, "active")
		if got := check("/kanri/x").Status; got != http.StatusOK {
			t.Fatalf("lent, and the administration answers %d", got)
		}
		groups, assertion, id := told()
		if !groups || assertion["id"] != e.ID || assertion["emergency"] != true || id["id"] != e.ID || id["privilege"] != "db-admin" || id["emergency"] != true {
			t.Errorf("told: %t, %v, %v", groups, assertion, id)
		}
		return e
	}
	e := borrow()
	b.does("/"+e.ID+"/end", saying{}, http.StatusOK)
	shut("given back,")

	e = borrow()
	if d.Advance(t, 10*time.Minute); check("/kanri/x").Status != http.StatusForbidden {
		t.Errorf("at its end the administration is open")
	}
	shut("after its end")

	e = borrow()
	cio := d.signedIn(t, "yoshida")
	l := lockAs(t, cio.Client, lockOrder("person", b.login, 30))
	if got := check("/kanri/x").Status; got == http.StatusOK {
		t.Errorf("locked down, the administration answers %d", got)
	}
	if got := cio.sees(e.ID); got.State != "revoked" {
		t.Errorf("locked down, the lease is %s", got.State)
	}
	harness.Until(t, "the group to be left", func() bool { return !d.member(t, p.GroupDN, d.Person(t, b.login).DN) })
	if a := cio.Do(t, "DELETE", "/api/v1/lockdown/"+l.ID, map[string]string{"reason": "済"}); a.Status != http.StatusNoContent {
		t.Fatalf("lifting: %d %s", a.Status, a.Body)
	}
}
