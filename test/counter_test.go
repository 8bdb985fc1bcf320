package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/authn/terminal/terminaltest"
	"sekisho/cmd/sekisho/folder"
	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// counterTerminal is one of dev's terminals.
func counterTerminal(t *testing.T, d *harness.Dev, id string) folder.Terminal {
	t.Helper()
	i := slices.IndexFunc(d.Terminals, func(m folder.Terminal) bool { return m.ID == id })
	if i < 0 {
		t.Fatalf("dev.json has no terminal %s", id)
	}
	return d.Terminals[i]
}

// counterSays is what a terminal sends with a request: its word, signed, with a
// nonce of this moment.
func counterSays(t *testing.T, d *harness.Dev, m folder.Terminal, change ...func(*terminaltest.Assertion)) string {
	t.Helper()
	c := harness.NewClient(d.URL)
	a := c.Do(t, "GET", "/api/v1/signin/nonce", nil)
	var n struct{ Nonce string }
	if a.Status != http.StatusOK {
		t.Fatalf("asking for a nonce: %d %s", a.Status, a.Body)
	}
	a.Into(t, &n)
	w := terminaltest.True(m.ID, d.URL, n.Nonce, c.Now(t))
	for _, f := range change {
		f(&w)
	}
	text, err := w.Sign(m.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// counterIn signs somebody in by passkey at a terminal.
func counterIn(t *testing.T, d *harness.Dev, m folder.Terminal, from string, p folder.Person) *harness.Client {
	t.Helper()
	c := harness.NewClient(d.URL)
	c.From = from
	answer, err := d.Key(t, p).Get(c.AskPasskey(t))
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Send("POST", "/api/v1/signin/passkey/finish", "application/json", answer, "X-Sekisho-Terminal", counterSays(t, d, m))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%s at %s: %d %s %v", p.Login, m.ID, a.Status, a.Body, err)
	}
	var s harness.Step
	a.Into(t, &s)
	c.CSRF = s.CSRF
	if s.State == "acknowledge" {
		s, a = c.Acknowledge(t, s.Version)
	}
	if s.State != "signed_in" {
		t.Fatalf("%s at %s: %d %s", p.Login, m.ID, a.Status, a.Body)
	}
	return c
}

// TestCounterTakeOver: whoever signs in at a counter ends the session before it
// there and its applications, in under two seconds, and nobody else's.
func TestCounterTakeOver(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	m := counterTerminal(t, d, "counter-01")
	sato, takahashi := d.Person(t, "sato"), d.Person(t, "takahashi")
	counterIn(t, d, m, "10.2.0.5", takahashi) // the rules are read

	before := counterIn(t, d, m, "10.2.0.5", sato)
	desk := keysIn(t, d, sato)
	if body, _ := open(t, before, d, app(d)); !strings.Contains(body, "sato") {
		t.Fatal("the application does not open at the counter")
	}
	var s struct{ Terminal *string }
	before.Do(t, "GET", "/api/v1/session", nil).Into(t, &s)
	if s.Terminal == nil || *s.Terminal != m.ID {
		t.Errorf("the session is told to be at %v", s.Terminal)
	}

	took := clock.Stopwatch()
	after := counterIn(t, d, m, "10.2.0.5", takahashi)
	harness.Until(t, "the session before to end", func() bool {
		return before.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET").Status == 401
	})
	if took := took(); took > 2*time.Second {
		t.Errorf("taking over took %v", took)
	}
	for _, door := range doors {
		if door.open(t, d, before.Fork()) {
			t.Errorf("%s is still open to whoever was there before", door.name)
		}
	}
	if keysWho(t, after).Login != "takahashi" || keysWho(t, desk).Login != "sato" {
		t.Error("the wrong session ended")
	}

	// A counter idles out soon, a desk does not.
	d.Advance(t, 3*time.Minute+time.Second)
	if a := after.Do(t, "GET", "/api/v1/session", nil); a.Status != 401 {
		t.Errorf("unused for three minutes at a counter: %d", a.Status)
	}
	keysWho(t, desk)
}

// TestCounterLies: a terminal's word that is not true refuses the sign-in that
// came with it, whoever signs in.
func TestCounterLies(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	m, other := counterTerminal(t, d, "counter-01"), counterTerminal(t, d, "lent-01")
	tanaka := d.Person(t, "tanaka")
	try := func(word string) harness.Answer {
		t.Helper()
		c := harness.NewClient(d.URL)
		a := c.Do(t, "POST", "/api/v1/signin", map[string]string{"login": tanaka.Login, "password": tanaka.Password}, "X-Sekisho-Terminal", word)
		if a.Status != 200 && len(c.Cookies) > 0 {
			t.Errorf("a refused sign-in set %v", c.Cookies)
		}
		return a
	}
	for name, word := range map[string]string{
		"nonsense": "x.y.z", "empty parts": "..",
		"of another's key":      counterSays(t, d, folder.Terminal{ID: m.ID, KeyPEM: other.KeyPEM}),
		"of an unknown one":     counterSays(t, d, folder.Terminal{ID: "counter-99", KeyPEM: m.KeyPEM}),
		"for another gate":      counterSays(t, d, m, func(w *terminaltest.Assertion) { w.Audience = "https://other.example" }),
		"with no signature":     counterSays(t, d, m, func(w *terminaltest.Assertion) { w.Alg = "none" }),
		"keyed with the public": counterSays(t, d, m, func(w *terminaltest.Assertion) { w.Alg = "HS256" }),
		"that never ends":       counterSays(t, d, m, func(w *terminaltest.Assertion) { w.ExpiresAt = w.IssuedAt.Add(time.Hour) }),
		"of yesterday": counterSays(t, d, m, func(w *terminaltest.Assertion) {
			w.IssuedAt, w.ExpiresAt = w.IssuedAt.Add(-24*time.Hour), w.ExpiresAt.Add(-24*time.Hour)
		}),
		"with a nonce of its own": counterSays(t, d, m, func(w *terminaltest.Assertion) { w.Nonce = "AAAA" }),
	} {
		if a := try(word); a.Status != 401 || a.Code() != "refused" {
			t.Errorf("a word %s: %d %s", name, a.Status, a.Body)
		}
	}
	word := counterSays(t, d, m)
	if a := try(word); a.Status != 200 {
		t.Fatalf("the truth: %d %s", a.Status, a.Body)
	}
	if a := try(word); a.Status != 401 {
		t.Errorf("the truth, said twice: %d %s", a.Status, a.Body)
	}
	if a := try(""); a.Status != 200 {
		t.Errorf("saying nothing: %d %s", a.Status, a.Body)
	}
	old := counterSays(t, d, m)
	d.Advance(t, 61*time.Second)
	if a := try(old); a.Status != 401 {
		t.Errorf("the truth, a minute late: %d %s", a.Status, a.Body)
	}
}

// TestDedicatedTerminal is article 26no3-1: the word of a dedicated terminal of
// the mynumber zone stands in for a second factor, if it names this person, two
// factors, and when. Nothing else does.
func TestDedicatedTerminal(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	dedicated, counter := counterTerminal(t, d, "dedicated-01"), counterTerminal(t, d, "counter-02")
	suzuki := d.Person(t, "suzuki")
	told := func(change ...func(*terminaltest.Assertion)) func(*terminaltest.Assertion) {
		return func(w *terminaltest.Assertion) {
			w.Login, w.Methods, w.AuthAt = suzuki.Login, []string{"pin", "sc"}, w.IssuedAt.Add(-10*time.Minute)
			for _, f := range change {
				f(w)
			}
		}
	}
	state := func(from string, m folder.Terminal, f func(*terminaltest.Assertion)) (string, *harness.Client) {
		t.Helper()
		c := harness.NewClient(d.URL)
		c.From = from
		a := c.Do(t, "POST", "/api/v1/signin", map[string]string{"login": suzuki.Login, "password": suzuki.Password},
			"X-Sekisho-Terminal", counterSays(t, d, m, f))
		var s harness.Step
		if a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		a.Into(t, &s)
		c.CSRF = s.CSRF
		if s.State == "acknowledge" {
			s, _ = c.Acknowledge(t, s.Version)
		}
		return s.State, c
	}
	for name, tt := range map[string]struct {
		from string
		m    folder.Terminal
		f    func(*terminaltest.Assertion)
	}{
		"about somebody else":         {"10.1.0.4", dedicated, told(func(w *terminaltest.Assertion) { w.Login = "tanaka" })},
		"about nobody":                {"10.1.0.4", dedicated, told(func(w *terminaltest.Assertion) { w.Login = "" })},
		"of one factor":               {"10.1.0.4", dedicated, told(func(w *terminaltest.Assertion) { w.Methods = []string{"pwd"} })},
		"of one factor twice":         {"10.1.0.4", dedicated, told(func(w *terminaltest.Assertion) { w.Methods = []string{"pwd", "pin"} })},
		"of factors it does not name": {"10.1.0.4", dedicated, told(func(w *terminaltest.Assertion) { w.Methods = []string{"mfa"} })},
		"of last week":                {"10.1.0.4", dedicated, told(func(w *terminaltest.Assertion) { w.AuthAt = w.IssuedAt.Add(-7 * 24 * time.Hour) })},
		"of a counter":                {"10.1.0.4", counter, told()},
		"from another zone":           {"10.2.0.4", dedicated, told()},
	} {
		if got, _ := state(tt.from, tt.m, tt.f); got != "second_factor" {
			t.Errorf("a word %s leads to %q", name, got)
		}
	}
	got, c := state("10.1.0.4", dedicated, told())
	if got != "signed_in" {
		t.Fatalf("the word of the dedicated terminal leads to %q", got)
	}
	if s := keysWho(t, c); s.ACR != "aal2" || strings.Join(s.AMR, " ") != "pwd mfa" {
		t.Errorf("it signed in %+v", s)
	}
	for _, app := range d.Apps {
		if app.Zone == "mynumber" {
			if body, _ := open(t, c, d, app); !strings.Contains(body, suzuki.Login) {
				t.Error("the application of the mynumber zone does not open")
			}
		}
	}
}
