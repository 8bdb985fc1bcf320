package test

import (
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/test/harness"
)

// TestSharedIDs is a shared ID at a gate: two people, one at a time, a password that
// binds until its end, and a name on the trail. Nobody signs in here with it.
func TestSharedIDs(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	tanaka := signIn(t, d, d.Person(t, "tanaka"))
	sato := signIn(t, d, d.Person(t, "sato"))
	const path = "/api/v1/shared-ids/hoso/"
	binds := func(password string) bool {
		t.Helper()
		c, err := goldap.DialURL(d.LDAP.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Bind("uid=hoso,ou=admins,"+d.LDAP.BaseDN, password) == nil
	}
	var given struct{ Login, Password string }
	wish := map[string]any{"reason": "昼の放送", "minutes": 30}
	a := tanaka.Do(t, "POST", path+"checkout", wish, "Idempotency-Key", "k1")
	if a.Status != 201 {
		t.Fatalf("checking out: %d %s", a.Status, a.Body)
	}
	a.Into(t, &given)
	if given.Login != "hoso" || !binds(given.Password) {
		t.Fatalf("what was given does not bind: login %q", given.Login)
	}
	if again := tanaka.Do(t, "POST", path+"checkout", wish, "Idempotency-Key", "k1"); again.Status != 201 || string(again.Body) != string(a.Body) {
		t.Errorf("asked again with the same key: %d %s", again.Status, again.Body)
	}
	if a := sato.Do(t, "POST", path+"checkout", wish); a.Status != 409 || !strings.Contains(string(a.Body), "46-1") {
		t.Errorf("somebody else meanwhile: %d %s", a.Status, a.Body)
	}
	// A person is who signs in: with a shared ID every way in is shut, as to anybody unknown.
	if s, a := harness.NewClient(d.URL).Password(t, given.Login, given.Password); a.Status != 401 || a.Code() != "refused" {
		t.Errorf("signing in with a shared ID: %d %q %s", a.Status, s.State, a.Body)
	}
	if s, a := harness.NewClient(d.URL).Password(t, "uid=hoso,ou=admins,"+d.LDAP.BaseDN, given.Password); a.Status != 401 {
		t.Errorf("signing in with its DN: %d %q", a.Status, s.State)
	}
	if got := radclient(t, d.RADIUS.Addr, d.RADIUS.Secret, pap(given.Login, given.Password)); got.code != "Access-Reject" {
		t.Errorf("the network door answers a shared ID %s", got.code)
	}
	if a := tanaka.Do(t, "POST", path+"checkin", nil); a.Status != 200 {
		t.Errorf("giving it back: %d %s", a.Status, a.Body)
	}
	harness.Until(t, "the password to be good for nothing", func() bool { return !binds(given.Password) })
	var next struct{ Login, Password string }
	harness.Until(t, "sato to have it", func() bool {
		a := sato.Do(t, "POST", path+"checkout", wish)
		if a.Status == 201 {
			a.Into(t, &next)
		}
		return a.Status == 201
	})
	if !binds(next.Password) {
		t.Error("the next password does not bind")
	}
	d.Advance(t, 30*time.Minute)
	harness.Until(t, "its end", func() bool { return !binds(next.Password) })
}
