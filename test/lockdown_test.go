package test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/test/harness"
)

type lockDown struct {
	ID       string
	InForce  bool       `json:"in_force"`
	RatifyBy *time.Time `json:"ratify_by"`
	Sealed   bool       `json:"sealed_key"`
}

func lockOrder(scope, target string, minutes int) map[string]any {
	o := map[string]any{"scope": scope, "reason": "侵入の疑い", "minutes": minutes}
	if target != "" {
		o["target"] = target
	}
	return o
}

func lockAs(t *testing.T, c *harness.Client, o map[string]any) lockDown {
	t.Helper()
	a := c.Do(t, "POST", "/api/v1/lockdown", o)
	var l lockDown
	if a.Into(t, &l); a.Status != http.StatusCreated || !l.InForce {
		t.Fatalf("ordering: %d %s", a.Status, a.Body)
	}
	return l
}

// TestLockDownClosesDoors: a lock-down closes every door to whom it hits within a
// second, keeps them out, and leaves the CIO and the two custodians the way to lift
// it (article 75-2; design rule 9). What it ended stays ended.
func TestLockDownClosesDoors(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	tanaka, yoshida, sasaki := d.Person(t, "tanaka"), d.Person(t, "yoshida"), d.Person(t, "sasaki")
	gear := lender{Dev: d}.remotely(t, tanaka.Login)
	cio := signIn(t, d, yoshida)
	halfway := harness.NewClient(d.URL)
	if s, a := halfway.Password(t, tanaka.Login, tanaka.Password); s.State != "second_factor" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	for _, o := range []map[string]any{
		lockOrder("all", "", 60), lockOrder("section", "soumu", 60), lockOrder("zone", "lgwan", 60), lockOrder("person", "tanaka", 60),
	} {
		scope := o["scope"].(string)
		if a := gear.comes(t); a.code != "Access-Accept" {
			t.Fatalf("%s: the network door is closed before anything happened: %s", scope, a.all)
		}
		nextStep(t, d)
		c := signIn(t, d, tanaka)
		if body, _ := open(t, c, d, app(d)); body == "" {
			t.Fatal("the application does not open")
		}
		for _, door := range doors {
			if !door.open(t, d, c) {
				t.Fatalf("%s: %s is closed to tanaka before anything happened", scope, door.name)
			}
		}
		closed := clock.Stopwatch()
		l := lockAs(t, cio, o)
		harness.Until(t, "the session to be refused", func() bool {
			return c.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET").Status != 200
		})
		if took := closed(); took > time.Second {
			t.Errorf("%s: refused after %v, want within a second", scope, took)
		}
		for _, door := range doors {
			if door.open(t, d, c.Fork()) {
				t.Errorf("%s: %s is open", scope, door.name)
			}
		}
		gear.out(t)
		if a := gear.comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, "緊急停止") {
			t.Errorf("%s: the network door: %s", scope, a.all)
		}
		if s, a := harness.NewClient(d.URL).Password(t, tanaka.Login, tanaka.Password); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "75-2") {
			t.Errorf("%s: signing in: %d %q %s", scope, a.Status, s.State, a.Body)
		}
		if _, a := harness.NewClient(d.URL).Password(t, tanaka.Login, "wrong"); a.Status != http.StatusUnauthorized || a.Code() != "refused" {
			t.Errorf("%s: a wrong password is told of it: %d %s", scope, a.Status, a.Body)
		}
		if scope == "all" {
			nextStep(t, d)
			if s, a := halfway.TOTP(t, harness.Code(t, *tanaka.TOTPSecret, halfway.Now(t))); a.Status == http.StatusOK {
				t.Errorf("the sign-in under way went on: %q", s.State)
			}
			custodian := signIn(t, d, sasaki)
			if a := custodian.Do(t, "GET", "/api/v1/lockdown", nil); a.Status != http.StatusOK {
				t.Errorf("a custodian: %d %s", a.Status, a.Body)
			}
		}
		if a := cio.Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusOK {
			t.Fatalf("%s: the CIO's session: %d", scope, a.Status)
		}
		if a := cio.Do(t, "DELETE", "/api/v1/lockdown/"+l.ID, map[string]string{"reason": "確認が済んだ"}); a.Status != http.StatusNoContent {
			t.Fatalf("lifting: %d %s", a.Status, a.Body)
		}
		if a := c.Fork().Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusUnauthorized {
			t.Errorf("%s: what it ended came back: %d", scope, a.Status)
		}
	}
	// Of who is outside alone: whoever is inside goes on.
	if a := gear.comes(t); a.code != "Access-Accept" {
		t.Fatalf("the network door after the last was lifted: %s", a.all)
	}
	nextStep(t, d)
	inside := signIn(t, d, tanaka)
	l := lockAs(t, cio, lockOrder("remote", "", 60))
	gear.out(t)
	if a := gear.comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, "緊急停止") {
		t.Errorf("the network door, of remote access: %s", a.all)
	}
	if a := inside.Do(t, "GET", "/api/v1/session", nil); a.Status != http.StatusOK {
		t.Errorf("a lock-down of remote access ended a session inside: %d", a.Status)
	}
	if a := cio.Do(t, "DELETE", "/api/v1/lockdown/"+l.ID, map[string]string{"reason": "確認が済んだ"}); a.Status != http.StatusNoContent {
		t.Fatalf("lifting: %d %s", a.Status, a.Body)
	}
	nextStep(t, d)
	signIn(t, d, tanaka) // and so the right passwords that were refused held nobody
}

// TestLockDownOfAnApplication closes that one to everybody, and no other.
func TestLockDownOfAnApplication(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	tanaka := d.Person(t, "tanaka")
	cio, c := signIn(t, d, d.Person(t, "yoshida")), signIn(t, d, tanaka)
	check := func(of int) int {
		return c.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", d.Apps[of].URL, "X-Original-Method", "GET").Status
	}
	var preview struct {
		Sessions int
		Self     bool
	}
	a := cio.Do(t, "POST", "/api/v1/lockdown/preview", lockOrder("section", "jinji", 5))
	if a.Into(t, &preview); a.Status != 200 || preview.Sessions != 1 || preview.Self || !strings.Contains(string(a.Body), `"tanaka"`) {
		t.Errorf("the picture of a section: %d %s", a.Status, a.Body)
	}
	if got := check(0); got != 200 {
		t.Fatalf("looking closed something: %d", got)
	}
	lockAs(t, cio, lockOrder("application", d.Apps[0].ID, 5))
	if first, second := check(0), check(1); first != 403 || second != 200 {
		t.Errorf("the application: %d, want 403; another: %d, want 200", first, second)
	}
	d.Advance(t, 5*time.Minute)
	if got := check(0); got != 200 {
		t.Errorf("at its end, with nobody lifting it: %d", got)
	}
}

// TestLockDownByDelegation: CSIRT's is lifted by itself unless the CIO makes it
// their own in time; nobody else orders, and who ordered does not ratify.
func TestLockDownByDelegation(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	cio, csirt, tanaka := signIn(t, d, d.Person(t, "yoshida")), signIn(t, d, d.Person(t, "sasaki")), signIn(t, d, d.Person(t, "tanaka"))
	for who, c := range map[string]*harness.Client{"staff": tanaka, "a security officer": signIn(t, d, d.Person(t, "kobayashi")), "an auditor": signIn(t, d, d.Person(t, "inoue"))} {
		if a := c.Do(t, "POST", "/api/v1/lockdown", lockOrder("all", "", 60)); a.Status != http.StatusForbidden || a.Code() != "forbidden" {
			t.Errorf("%s orders: %d %s", who, a.Status, a.Body)
		}
	}
	first := lockAs(t, csirt, lockOrder("application", d.Apps[0].ID, 600))
	second := lockAs(t, csirt, lockOrder("application", d.Apps[1].ID, 600))
	if first.RatifyBy == nil {
		t.Fatal("under delegation, and nobody has to ratify it")
	}
	if a := csirt.Do(t, "POST", "/api/v1/lockdown/"+first.ID+"/ratify", map[string]any{}); a.Status != http.StatusForbidden {
		t.Errorf("CSIRT ratifies its own: %d %s", a.Status, a.Body)
	}
	if a := cio.Do(t, "POST", "/api/v1/lockdown/"+first.ID+"/ratify", map[string]any{}); a.Status != http.StatusOK {
		t.Errorf("the CIO ratifies: %d %s", a.Status, a.Body)
	}
	if a := csirt.Do(t, "DELETE", "/api/v1/lockdown/"+first.ID, map[string]string{"reason": "x"}); a.Status != http.StatusForbidden {
		t.Errorf("CSIRT lifts what the CIO ratified: %d %s", a.Status, a.Body)
	}
	d.Advance(t, 2*time.Hour)
	nextStep(t, d)
	c := signIn(t, d, d.Person(t, "yoshida"))
	inForce := map[string]bool{}
	var list struct{ Items []lockDown }
	c.Do(t, "GET", "/api/v1/lockdown", nil).Into(t, &list)
	for _, l := range list.Items {
		inForce[l.ID] = l.InForce
	}
	again := signIn(t, d, d.Person(t, "sasaki"))
	if a := again.Do(t, "POST", "/api/v1/lockdown", lockOrder("application", d.Apps[1].ID, 600)); a.Status/100 != 4 || !strings.Contains(string(a.Body), "without being ratified") {
		t.Errorf("what nobody ratified is ordered again: %d %s", a.Status, a.Body)
	}
	if a := again.Do(t, "POST", "/api/v1/lockdown", lockOrder("person", "yoshida", 60)); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("CSIRT aims at the CIO who delegates: %d %s", a.Status, a.Body)
	}
	if !inForce[first.ID] || inForce[second.ID] {
		t.Errorf("two hours later: ratified %t, not ratified %t", inForce[first.ID], inForce[second.ID])
	}
}

// TestLockDownSealedKey: the key out of the envelope lifts everything from the
// console, loudly, and no other key does.
func TestLockDownSealedKey(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	dir := t.TempDir()
	run := func(want int, args ...string) string {
		t.Helper()
		out, errs, status := harness.Run(t, "sekisho", args...)
		if status != want {
			t.Fatalf("%v: %d, want %d: %s%s", args, status, want, out, errs)
		}
		return out + errs
	}
	key, other := filepath.Join(dir, "key"), filepath.Join(dir, "other")
	public := run(0, "lockdown", "key", "--out", key)
	run(0, "lockdown", "key", "--out", other)
	run(1, "lockdown", "key", "--out", key) // it is there: two envelopes never hold one name
	text := run(0, "policy", "show", "--data", d.Folder)
	_, line, _ := strings.Cut(public, "ed25519:")
	rules := writeFile(t, "policy.yaml", strings.Replace(text, "lockdown:\n", "lockdown:\n  sealed_keys: [\"ed25519:"+strings.TrimSpace(line)+"\"]\n", 1))
	run(0, "policy", "apply", rules, "--data", d.Folder)
	run(1, "lockdown", "lift", "--sealed-key", key, "--data", d.Folder) // nothing to lift

	cio := signIn(t, d, d.Person(t, "yoshida"))
	lockAs(t, cio, lockOrder("all", "", 60))
	tanaka := d.Person(t, "tanaka")
	in := func() int {
		_, a := harness.NewClient(d.URL).Password(t, tanaka.Login, tanaka.Password)
		return a.Status
	}
	run(1, "lockdown", "lift", "--sealed-key", other, "--data", d.Folder)
	run(1, "lockdown", "lift", "--sealed-key", rules, "--data", d.Folder)
	if got := in(); got != http.StatusForbidden {
		t.Fatalf("another key lifted it: %d", got)
	}
	run(0, "lockdown", "lift", "--sealed-key", key, "--data", d.Folder)
	within(t, time.Second, "the doors to open", func() bool { return in() == http.StatusOK })
	var list struct{ Items []lockDown }
	cio.Do(t, "GET", "/api/v1/lockdown", nil).Into(t, &list)
	if len(list.Items) != 1 || list.Items[0].InForce || !list.Items[0].Sealed {
		t.Errorf("%+v", list.Items)
	}
	// Those concerned hear of it by mail: of the order, and of the key.
	mailArrives(t, d, "yamada@pref.example", 1)
	if m := mailArrives(t, d, "yamada@pref.example", 2); !strings.Contains(m.Text, "封印した鍵") {
		t.Errorf("the mail about it: %s", m.Text)
	}
}
