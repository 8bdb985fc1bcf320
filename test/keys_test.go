package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/passkey/passkeytest"
	"sekisho/authn/standing"
	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// keysSession is what GET /session says of a sign-in.
type keysSession struct {
	Login, ACR string
	AMR        []string
	Previous   struct {
		FailuresSince int `json:"failures_since"`
	}
}

func keysWho(t *testing.T, c *harness.Client) keysSession {
	t.Helper()
	var s keysSession
	a := c.Do(t, "GET", "/api/v1/session", nil)
	if a.Status != http.StatusOK {
		t.Fatalf("GET /session: %d %s", a.Status, a.Body)
	}
	a.Into(t, &s)
	return s
}

// keysIn signs somebody in by passkey alone, through the rules if they come.
func keysIn(t *testing.T, d *harness.Dev, p folder.Person) *harness.Client {
	t.Helper()
	c := harness.NewClient(d.URL)
	s, a := c.Passkey(t, d.Key(t, p))
	if s.State == "acknowledge" {
		s, a = c.Acknowledge(t, s.Version)
	}
	if s.State != "signed_in" {
		t.Fatalf("signing %s in by passkey: %d %s", p.Login, a.Status, a.Body)
	}
	return c
}

// TestKeysOfTheSample: everyone with a post beyond staff and contractor has a
// passkey in dev.json, which signs them in alone, strongly.
func TestKeysOfTheSample(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	for _, p := range d.People {
		beyond := false
		for _, post := range p.Posts {
			beyond = beyond || post != "staff" && post != "contractor"
		}
		if beyond != (p.Passkey != nil) {
			t.Errorf("%s holds %v; passkey: %t", p.Login, p.Posts, p.Passkey != nil)
		}
		if p.Passkey == nil {
			continue
		}
		s := keysWho(t, keysIn(t, d, p))
		if s.Login != p.Login || s.ACR != "phr" || strings.Join(s.AMR, " ") != "hwk mfa" {
			t.Errorf("%s: %+v", p.Login, s)
		}
	}
}

// TestKeysLies is row 9: whatever a browser or a key claims, the gate checks by
// itself. Each lie is refused, gives no cookie, and leaves the key as it was.
func TestKeysLies(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	sato := d.Person(t, "sato")
	for name, lie := range map[string]func(*passkeytest.Tweak){
		"nobody was there (UP=0)":          func(w *passkeytest.Tweak) { w.UP = false },
		"no PIN, no finger (UV=0)":         func(w *passkeytest.Tweak) { w.UV = false },
		"another origin":                   func(w *passkeytest.Tweak) { w.Origin = "https://sekisho.evil.example" },
		"a port beside ours":               func(w *passkeytest.Tweak) { w.Origin = "http://localhost:1" },
		"another party":                    func(w *passkeytest.Tweak) { w.RPID = "evil.example" },
		"in somebody's frame":              func(w *passkeytest.Tweak) { w.CrossOrigin = true },
		"an enrolment's answer":            func(w *passkeytest.Tweak) { w.Type = "webauthn.create" },
		"a challenge of its own":           func(w *passkeytest.Tweak) { w.Challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
		"a signature that is none":         func(w *passkeytest.Tweak) { w.BreakSignature = true },
		"copied all of a sudden (BE=1)":    func(w *passkeytest.Tweak) { w.BE, w.BS = true, true },
		"copied, yet not to be copied":     func(w *passkeytest.Tweak) { w.BS = true },
		"a key nobody enrolled":            func(w *passkeytest.Tweak) { w.CredentialID = []byte("somebody else's credential id") },
		"somebody else's handle":           func(w *passkeytest.Tweak) { w.UserHandle = make([]byte, 64) },
		"the handle left out, at one step": func(w *passkeytest.Tweak) { w.UserHandle = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := harness.NewClient(d.URL)
			k := d.Key(t, sato)
			s, a := c.Passkey(t, k, lie)
			if a.Status != http.StatusUnauthorized || a.Code() != "refused" {
				t.Errorf("%d %s (state %q)", a.Status, a.Body, s.State)
			}
			if c.Do(t, "GET", "/api/v1/session", nil).Status != http.StatusUnauthorized {
				t.Error("and a session came of it")
			}
		})
	}
	if s := keysWho(t, keysIn(t, d, sato)); s.Login != "sato" {
		t.Errorf("the truth afterwards: %+v", s)
	}
}

// TestKeysChallenges: a challenge is good once, where it was asked, for what it
// was asked.
func TestKeysChallenges(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	sato := d.Person(t, "sato")
	k := d.Key(t, sato)
	c := harness.NewClient(d.URL)
	answer, err := k.Get(c.AskPasskey(t))
	if err != nil {
		t.Fatal(err)
	}
	finish := func(c *harness.Client) int {
		return c.Do(t, "POST", "/api/v1/signin/passkey/finish", json.RawMessage(answer)).Status
	}
	other := harness.NewClient(d.URL)
	other.AskPasskey(t)
	if got := finish(other); got != 401 {
		t.Errorf("in another browser: %d", got)
	}
	if got := finish(harness.NewClient(d.URL)); got != 401 {
		t.Errorf("without a cookie: %d", got)
	}
	if got := finish(c.Fork()); got != 200 {
		t.Fatalf("where it was asked: %d", got)
	}
	if got := finish(c.Fork()); got != 401 {
		t.Errorf("again: %d", got)
	}
	late := harness.NewClient(d.URL)
	if answer, err = k.Get(late.AskPasskey(t)); err != nil {
		t.Fatal(err)
	}
	d.Advance(t, 5*time.Minute)
	if got := finish(late); got != 401 {
		t.Errorf("five minutes later: %d", got)
	}
	// The challenge of an enrolment opens nothing.
	in := keysIn(t, d, sato)
	a := in.Do(t, "POST", "/api/v1/factors/passkey/begin", map[string]string{})
	var begun struct {
		PublicKey struct{ Challenge string } `json:"publicKey"`
	}
	a.Into(t, &begun)
	if s, a := harness.NewClient(d.URL).Passkey(t, k, func(w *passkeytest.Tweak) { w.Challenge = begun.PublicKey.Challenge }); a.Status != 401 {
		t.Errorf("an enrolment's challenge: %d %q", a.Status, s.State)
	}
}

// TestKeysEnrolOnce is row 10 for passkeys: of twenty that carry one enrolment
// at once, one enrols.
func TestKeysEnrolOnce(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	c := signIn(t, d, d.Person(t, "tanaka"))
	_, with := c.MakePasskey(t, d.URL)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a, err := c.Fork().Try("POST", "/api/v1/factors/passkey/finish", with); err == nil && a.Status/100 == 2 {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d enrolments of one", won.Load())
	}
	// What was enrolled is called by the enrolment's id.
	in := harness.NewClient(d.URL)
	nextStep(t, d)
	in.SignIn(t, "tanaka", d.Person(t, "tanaka").Password, *d.Person(t, "tanaka").TOTPSecret, in.Now(t))
	if a := in.Do(t, "DELETE", "/api/v1/factors/"+with.ID, nil); a.Status != http.StatusNoContent {
		t.Errorf("removing it: %d %s", a.Status, a.Body)
	}
	acts, _ := trail(t, d)
	if n := done(acts, "tanaka", "factor.added", "ok"); n != 1 {
		t.Errorf("%d on the trail", n)
	}
}

// TestKeysBesideALockedPassword is row 7: a stranger's wrong passwords never
// keep the owner's passkey out, and the passkey neither clears nor counts.
func TestKeysBesideALockedPassword(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	sato := d.Person(t, "sato")
	stranger := harness.NewClient(d.URL)
	stranger.From = "203.0.113.9"
	for range 12 {
		if _, a := stranger.Password(t, "sato", "not this one"); a.Status != 401 && a.Status != 429 {
			t.Fatalf("a wrong password: %d", a.Status)
		}
	}
	s := keysWho(t, keysIn(t, d, sato))
	if s.Previous.FailuresSince < 5 {
		t.Errorf("the owner is told of %d failures", s.Previous.FailuresSince)
	}
	if _, a := stranger.Password(t, "sato", "not this one"); a.Status != 429 {
		t.Errorf("after the passkey the stranger is answered %d, want to be held still", a.Status)
	}
	for range 8 {
		if _, a := harness.NewClient(d.URL).Passkey(t, d.Key(t, sato), func(w *passkeytest.Tweak) { w.BreakSignature = true }); a.Status != 401 {
			t.Errorf("a wrong answer: %d", a.Status)
		}
	}
	keysIn(t, d, sato)
	d.Advance(t, 2*time.Hour)
	if _, a := harness.NewClient(d.URL).Password(t, "sato", sato.Password); a.Status != 200 {
		t.Errorf("wrong passkeys count against the password: %d %s", a.Status, a.Body)
	}
}

// TestKeysMalformed is row 11 for the new doors: what cannot be read is refused,
// never answered with a session and never with a fault of ours.
func TestKeysMalformed(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	k := d.Key(t, d.Person(t, "sato"))
	for _, path := range []string{"/api/v1/signin/passkey/finish", "/api/v1/signin/card", "/api/v1/signin/recovery"} {
		for name, body := range map[string]string{
			"nothing": "", "no JSON": "{", "a list": "[]", "a number": "7", "null": "null", "an empty object": "{}",
			"deep": strings.Repeat(`{"response":`, 200) + "1" + strings.Repeat("}", 200),
			"NULs": "{\"id\":\"\x00\"}", "not UTF-8": "{\"id\":\"\xff\"}", "twice": `{"id":"a","id":"b"}`,
			"long": `{"id":"` + strings.Repeat("A", 40_000) + `"}`,
		} {
			c := harness.NewClient(d.URL)
			c.AskPasskey(t)
			a, err := c.Send("POST", path, "application/json", []byte(body))
			if err != nil || a.Status < 400 || a.Status >= 500 {
				t.Errorf("%s with %s: %d %s %v", path, name, a.Status, a.Body, err)
			}
		}
	}
	// A right answer with one byte changed anywhere signs nobody in.
	c := harness.NewClient(d.URL)
	answer, err := k.Get(c.AskPasskey(t))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(answer); at += 7 {
		changed := append([]byte{}, answer...)
		changed[at] ^= 1
		a, err := c.Fork().Send("POST", "/api/v1/signin/passkey/finish", "application/json", changed)
		if err != nil || a.Status >= 500 {
			t.Fatalf("byte %d: %d %v", at, a.Status, err)
		}
		if a.Status == http.StatusOK {
			// Some bytes carry nothing (an id beside the raw one, an extension's
			// name): then it is this key's own answer, and spent.
			var before, after struct {
				RawID    string
				Response struct{ ClientDataJSON, AuthenticatorData, Signature string }
			}
			_ = json.Unmarshal(answer, &before)
			_ = json.Unmarshal(changed, &after)
			if before != after {
				t.Errorf("byte %d changed what was signed, and it signed in", at)
			}
			return
		}
	}
}

// TestKeysDoorsStayClosed: whoever may use nothing is not let in by a passkey
// (design rule 9; security.md section 2, row 6).
func TestKeysDoorsStayClosed(t *testing.T) {
	t.Parallel()
	for name, shut := range map[string]func(t *testing.T, d *harness.Dev, p folder.Person){
		"disabled": func(t *testing.T, d *harness.Dev, p folder.Person) {
			directoryDo(t, d, func(c *goldap.Conn) error {
				m := goldap.NewModifyRequest(p.DN, nil)
				m.Replace("pwdAccountLockedTime", []string{"000001010000Z"})
				return c.Modify(m)
			})
		},
		"expired": func(t *testing.T, d *harness.Dev, p folder.Person) {
			directoryDo(t, d, func(c *goldap.Conn) error {
				m := goldap.NewModifyRequest(p.DN, nil)
				m.Replace("shadowExpire", []string{"1"})
				return c.Modify(m)
			})
		},
		"deleted": func(t *testing.T, d *harness.Dev, p folder.Person) {
			directoryDo(t, d, func(c *goldap.Conn) error { return c.Del(goldap.NewDelRequest(p.DN, nil)) })
		},
		"suspended": func(t *testing.T, d *harness.Dev, p folder.Person) { elsewhere(t, d)(p.Login, standing.Suspended) },
		"dormant":   func(t *testing.T, d *harness.Dev, p folder.Person) { elsewhere(t, d)(p.Login, standing.Dormant) },
		"on leave":  func(t *testing.T, d *harness.Dev, p folder.Person) { elsewhere(t, d)(p.Login, standing.OnLeave) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := harness.StartSample(t)
			sato := d.Person(t, "sato")
			c := keysIn(t, d, sato)
			answer, err := d.Key(t, sato).Get(c.Fork().AskPasskey(t))
			if err != nil {
				t.Fatal(err)
			}
			shut(t, d, sato)
			a := c.Fork().Do(t, "POST", "/api/v1/signin/passkey/finish", json.RawMessage(answer))
			if a.Status != 401 {
				t.Errorf("asked before, answered after: %d %s", a.Status, a.Body)
			}
			if s, a := harness.NewClient(d.URL).Passkey(t, d.Key(t, sato)); a.Status != 401 || a.Code() != "refused" {
				t.Errorf("a new sign-in: %d %q", a.Status, s.State)
			}
		})
	}
}

// TestKeysCopied: a key that its maker copies is refused where the rules refuse
// it, and says why.
func TestKeysCopied(t *testing.T) {
	t.Parallel()
	copied := func(w *passkeytest.Tweak) { w.BE, w.BS = true, true }
	d := harness.StartSample(t)
	refused := func(who string, a harness.Answer) {
		t.Helper()
		if a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), "synced") {
			t.Errorf("%s: %d %s", who, a.Status, a.Body)
		}
	}
	_, a := signIn(t, d, d.Person(t, "sato")).EnrolPasskey(t, d.URL, copied)
	refused("an administrator", a)
	_, a = signIn(t, d, d.Person(t, "kobayashi")).EnrolPasskey(t, d.URL, copied)
	refused("a security officer", a)

	suzuki := d.Person(t, "suzuki")
	inside := harness.NewClient(d.URL)
	inside.From = "10.1.0.7"
	inside.SignIn(t, suzuki.Login, suzuki.Password, *suzuki.TOTPSecret, inside.Now(t))
	_, a = inside.EnrolPasskey(t, d.URL, copied)
	refused("in the mynumber zone", a)

	tanaka := signIn(t, d, d.Person(t, "tanaka"))
	k, a := tanaka.EnrolPasskey(t, d.URL, copied)
	if a.Status != http.StatusCreated {
		t.Fatalf("staff in the LGWAN zone: %d %s", a.Status, a.Body)
	}
	c := harness.NewClient(d.URL)
	if s, a := c.Passkey(t, k, copied); s.State != "signed_in" {
		t.Fatalf("used there: %d %s", a.Status, a.Body)
	}
	if s := keysWho(t, c); strings.Join(s.AMR, " ") != "swk mfa" {
		t.Errorf("it is told as %v", s.AMR)
	}
	for _, app := range d.Apps {
		a := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", app.URL, "X-Original-Method", "GET")
		if want := map[bool]int{true: 403, false: 200}[app.Zone == "mynumber"]; a.Status != want {
			t.Errorf("%s in %s: %d, want %d", app.ID, app.Zone, a.Status, want)
		}
	}
	c = harness.NewClient(d.URL)
	c.From = "10.1.0.8"
	if s, a := c.Passkey(t, k, copied); a.Status != 401 || !strings.Contains(string(a.Body), "26no3-1") {
		t.Errorf("used in the mynumber zone: %d %q %s", a.Status, s.State, a.Body)
	}
}
