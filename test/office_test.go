package test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// officeSession is an administrator in front of the pages. Only what stands on a
// page goes into the next request.
type officeSession struct {
	t *testing.T
	d *harness.Dev
	c *harness.Client
}

// officeIn signs somebody in by passkey.
func officeIn(t *testing.T, d *harness.Dev, login string) officeSession {
	t.Helper()
	c := keysIn(t, d, d.Person(t, login))
	c.CSRF = ""
	return officeSession{t, d, c}
}

// page is what a page says, with its entities read.
func (o officeSession) page(path string, status int) string {
	o.t.Helper()
	a := o.c.Do(o.t, "GET", path, nil, "Accept", "text/html")
	if a.Status != status {
		o.t.Fatalf("GET %s: %d, want %d: %s\n%s", path, a.Status, status, a.Header.Get("Location"), a.Body)
	}
	return html.UnescapeString(string(a.Body))
}

var officeToken = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// form sends the form of a page, with the token that stands in it.
func (o officeSession) form(path string, pairs ...string) harness.Answer {
	o.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return o.sends(path, form)
}

// sends is form for fields that stand in it more than once.
func (o officeSession) sends(path string, form url.Values) harness.Answer {
	o.t.Helper()
	found := officeToken.FindStringSubmatch(string(o.c.Do(o.t, "GET", "/me", nil).Body))
	if found == nil {
		o.t.Fatal("my page has no form")
	}
	form.Set("csrf_token", found[1])
	return o.c.Form(o.t, path, form)
}

// does sends a form whose act must be done, and reads what is said of it.
func (o officeSession) does(path string, pairs ...string) string {
	o.t.Helper()
	a := o.form(path, pairs...)
	if a.Status != http.StatusSeeOther || !strings.Contains(a.Header.Get("Location"), "done=") {
		o.t.Fatalf("POST %s: %d to %q\n%s", path, a.Status, a.Header.Get("Location"), a.Body)
	}
	return o.page(a.Header.Get("Location"), http.StatusOK)
}

var officeSecret = regexp.MustCompile(`(?s)<article class="slip".*?<p class="secret" translate="no">([^<]+)</p>`)

// slip is the secret that an act shows.
func (o officeSession) slip(path string) string {
	o.t.Helper()
	a := o.form(path)
	found := officeSecret.FindStringSubmatch(string(a.Body))
	if a.Status != http.StatusOK || found == nil || a.Header.Get("Cache-Control") != "no-store" {
		o.t.Fatalf("POST %s: %d, Cache-Control %q\n%s", path, a.Status, a.Header.Get("Cache-Control"), a.Body)
	}
	if strings.Contains(o.page(strings.TrimSuffix(path, "/"+path[strings.LastIndex(path, "/")+1:]), http.StatusOK), found[1]) {
		o.t.Error("the secret is on the person's page, too")
	}
	return found[1]
}

// TestOffice is an administrator's day at the pages of a running gate.
func TestOffice(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	// Each takes people of its own: one clock and one store serve them all.
	t.Run("finding", func(t *testing.T) { officeFinding(t, d) })
	t.Run("suspension", func(t *testing.T) { officeSuspension(t, d) })
	t.Run("temporary password", func(t *testing.T) { officeTemporary(t, d) })
	t.Run("recovery code", func(t *testing.T) { officeRecovery(t, d) })
	t.Run("unlocking", func(t *testing.T) { officeUnlocking(t, d) })
	t.Run("two persons", func(t *testing.T) { officeTwoPersons(t, d) })
	t.Run("staff", func(t *testing.T) { officeStaff(t, d) })
	t.Run("auditor", func(t *testing.T) { officeAuditor(t, d) })
	t.Run("terminals", func(t *testing.T) { officeTerminals(t, d) })
	t.Run("tokens", func(t *testing.T) { officeTokens(t, d) })
	_, text := trail(t, d)
	for _, secret := range officeSecrets {
		if strings.Contains(text, secret) || strings.Contains(d.Output(), secret) {
			t.Errorf("%q is on the trail or in the log", secret)
		}
	}
	if len(officeSecrets) < 3 {
		t.Errorf("only %d secrets were handed over", len(officeSecrets))
	}
}

// officeSecrets are those that TestOffice's parts, one after the other, saw.
var officeSecrets []string

// officeFinding: two factors suffice to look; to act, they must have been proved
// a short while ago, which is asked before anything is typed.
func officeFinding(t *testing.T, d *harness.Dev) {
	takahashi := d.Person(t, "takahashi")
	o := officeSession{t, d, signIn(t, d, takahashi)}
	o.c.CSRF = ""
	if got := o.page("/people?q=tana", http.StatusOK); !strings.Contains(got, `href="/people/tanaka"`) || strings.Contains(got, `href="/people/suzuki"`) {
		t.Errorf("looking for tana:\n%s", got)
	}
	if got := o.page("/people?q=nobody-here", http.StatusOK); !strings.Contains(got, "Nobody was found for “nobody-here”") {
		t.Errorf("looking for nobody:\n%s", got)
	}
	o.page("/people/tanaka/suspend", http.StatusOK)
	d.Advance(t, 11*time.Minute) // the proof grows old
	o.page("/people/tanaka", http.StatusOK)
	for what, a := range map[string]harness.Answer{
		"its page": o.c.Do(t, "GET", "/people/tanaka/suspend", nil), "its form": o.form("/people/tanaka/suspend", "reason", "a"),
	} {
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || a.Status != http.StatusSeeOther || to.Path != "/signin" || to.Query().Get("max_age") != "600" || to.Query().Get("rd") != "/people/tanaka/suspend" {
			t.Errorf("%s after eleven minutes: %d to %q", what, a.Status, a.Header.Get("Location"))
		}
	}
	keysWho(t, o.c) // whose answer carries the token for what follows
	if step, a := o.c.Passkey(t, d.Key(t, takahashi)); step.State != "signed_in" {
		t.Fatalf("stepping up: %d %s", a.Status, a.Body)
	}
	o.c.CSRF = ""
	o.page("/people/tanaka/suspend", http.StatusOK)
}

// officeSuspension closes every door within a second, and opens them again.
func officeSuspension(t *testing.T, d *harness.Dev) {
	tanaka := d.Person(t, "tanaka")
	nextStep(t, d)
	c := signIn(t, d, tanaka)
	if body, _ := open(t, c, d, app(d)); body == "" {
		t.Fatal("the application does not open")
	}
	for _, door := range doors {
		if !door.open(t, d, c) {
			t.Fatalf("%s is closed before anything happened", door.name)
		}
	}
	nextStep(t, d)
	c = signIn(t, d, tanaka) // a door may have been used up
	o := officeIn(t, d, "sato")
	if a := o.form("/people/tanaka/suspend", "reason", " "); a.Status != http.StatusUnprocessableEntity || !strings.Contains(string(a.Body), "Enter the reason.") {
		t.Errorf("without a reason: %d", a.Status)
	}
	if !doors[0].open(t, d, c.Fork()) {
		t.Fatal("a refused suspension suspends")
	}
	closed := clock.Stopwatch()
	said := o.does("/people/tanaka/suspend", "reason", "Signs of <misuse>")
	harness.Until(t, "the session to be refused", func() bool {
		return c.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET").Status != http.StatusOK
	})
	if took := closed(); took > time.Second {
		t.Errorf("refused after %v, want within a second", took)
	}
	for _, door := range doors {
		if door.open(t, d, c.Fork()) {
			t.Errorf("%s is open", door.name)
		}
	}
	for _, want := range []string{"The ID is suspended.", "Signs of <misuse>", "Until it is lifted", "sato", "0 sign-ins"} {
		if !strings.Contains(said, want) {
			t.Errorf("the page does not say %q:\n%s", want, said)
		}
	}
	if _, a := harness.NewClient(d.URL).Password(t, tanaka.Login, tanaka.Password); a.Status != http.StatusUnauthorized {
		t.Errorf("the suspended sign in: %d", a.Status)
	}
	o.does("/people/tanaka/restore", "reason", "It was a mistake")
	nextStep(t, d)
	if !doors[0].open(t, d, signIn(t, d, tanaka)) {
		t.Error("the restored do not get in")
	}
	if a := o.form("/people/tanaka/restore"); a.Status != http.StatusConflict {
		t.Errorf("restored twice: %d", a.Status)
	}
}

// officeTemporary: the old password dies, the new one is changed at its first
// use, and a second factor is asked for all the same.
func officeTemporary(t *testing.T, d *harness.Dev) {
	p := d.Person(t, "tanaka")
	nextStep(t, d)
	before := signIn(t, d, p)
	pw := officeIn(t, d, "sato").slip("/people/tanaka/temporary-password")
	officeSecrets = append(officeSecrets, pw)
	if doors[0].open(t, d, before) {
		t.Error("the session from before lives")
	}
	if _, a := harness.NewClient(d.URL).Password(t, p.Login, p.Password); a.Status != http.StatusUnauthorized {
		t.Errorf("the old password: %d", a.Status)
	}
	c := harness.NewClient(d.URL)
	s, a := c.Password(t, p.Login, pw)
	seen := map[string]bool{}
	for range 6 {
		seen[s.State] = true
		for _, door := range doors {
			if s.State != "signed_in" && door.open(t, d, c.Fork()) {
				t.Errorf("%s is open at %s", door.name, s.State)
			}
		}
		switch s.State {
		case "second_factor":
			nextStep(t, d)
			s, a = c.TOTP(t, harness.Code(t, *p.TOTPSecret, c.Now(t)))
		case "password_change":
			a = c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": "Hikidashi-no-Oku-29-enpitsu"})
			s = harness.Step{}
			a.Into(t, &s)
		case "acknowledge":
			s, a = c.Acknowledge(t, s.Version)
		}
	}
	if s.State != "signed_in" || !seen["second_factor"] || !seen["password_change"] {
		t.Errorf("came to %q by %v: %d %s", s.State, seen, a.Status, a.Body)
	}
	if _, a := harness.NewClient(d.URL).Password(t, p.Login, pw); a.Status != http.StatusUnauthorized {
		t.Errorf("the temporary password again: %d", a.Status)
	}
}

// officeRecovery: the code leads to a new factor and nowhere else, once.
func officeRecovery(t *testing.T, d *harness.Dev) {
	p := d.Person(t, "suzuki")
	nextStep(t, d)
	before := signIn(t, d, p)
	o := officeIn(t, d, "sato")
	dead := o.slip("/people/suzuki/recovery-code")
	code := o.slip("/people/suzuki/recovery-code")
	officeSecrets = append(officeSecrets, dead, code)
	if !strings.Contains(o.page("/people/suzuki", http.StatusOK), "One has been given out.") {
		t.Error("the person's page does not say that a code is open")
	}
	if doors[0].open(t, d, before) {
		t.Error("the session from before lives")
	}
	c := harness.NewClient(d.URL)
	if s, a := c.Password(t, p.Login, p.Password); s.State != "second_factor" {
		t.Fatalf("the password: %d %s", a.Status, a.Body)
	}
	use := func(code string) harness.Answer {
		return c.Do(t, "POST", "/api/v1/signin/recovery", map[string]string{"code": code})
	}
	if a := use(dead); a.Status != http.StatusUnauthorized {
		t.Errorf("the code before this one: %d %s", a.Status, a.Body)
	}
	var s harness.Step
	a := use(strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	if a.Into(t, &s); s.State != "enrol" {
		t.Fatalf("the code: %d %s", a.Status, a.Body)
	}
	for _, door := range doors {
		if door.name != "POST /factors/totp/begin" && door.open(t, d, c.Fork()) {
			t.Errorf("%s is open to the code alone", door.name)
		}
	}
	var begun struct{ ID, Secret string }
	c.Do(t, "POST", "/api/v1/factors/totp/begin", nil).Into(t, &begun)
	a = c.Do(t, "POST", "/api/v1/factors/totp/finish", map[string]string{
		"id": begun.ID, "name": "new", "code": harness.Code(t, begun.Secret, c.Now(t))})
	if s = (harness.Step{}); a.Status != http.StatusOK && a.Status != http.StatusCreated {
		t.Fatalf("the new factor: %d %s", a.Status, a.Body)
	}
	a.Into(t, &s)
	if s.State == "acknowledge" {
		s, _ = c.Acknowledge(t, s.Version)
	}
	if s.State != "signed_in" || !doors[0].open(t, d, c) {
		t.Errorf("with the new factor: %q", s.State)
	}
	again := harness.NewClient(d.URL)
	again.Password(t, p.Login, p.Password)
	nextStep(t, d)
	if _, a := again.TOTP(t, harness.Code(t, *p.TOTPSecret, again.Now(t))); a.Status != http.StatusUnauthorized {
		t.Errorf("the lost factor: %d", a.Status)
	}
	if a := again.Do(t, "POST", "/api/v1/signin/recovery", map[string]string{"code": code}); a.Status != http.StatusUnauthorized {
		t.Errorf("the code again: %d", a.Status)
	}
	if s, a := again.TOTP(t, harness.Code(t, begun.Secret, again.Now(t))); s.State != "signed_in" {
		t.Errorf("the new factor: %d %s", a.Status, a.Body)
	}
}

// officeUnlocking: too many failures hold even the right password, until they
// are forgotten.
func officeUnlocking(t *testing.T, d *harness.Dev) {
	p := d.Person(t, "hayashi")
	for range 8 {
		if _, a := harness.NewClient(d.URL).Password(t, p.Login, "not-the-password"); a.Status == http.StatusTooManyRequests {
			break
		}
	}
	if _, a := harness.NewClient(d.URL).Password(t, p.Login, p.Password); a.Status != http.StatusTooManyRequests {
		t.Fatalf("the right password while held: %d", a.Status)
	}
	o := officeIn(t, d, "sato")
	if got := o.page("/people/hayashi", http.StatusOK); !strings.Contains(got, "Locked out until") || !strings.Contains(got, `href="/people/hayashi/unlock"`) {
		t.Errorf("the page does not show the lock:\n%s", got)
	}
	if got := o.does("/people/hayashi/unlock"); strings.Contains(got, "Locked out until") || !strings.Contains(got, "Nothing is locked.") {
		t.Errorf("after it was lifted:\n%s", got)
	}
	if s, a := harness.NewClient(d.URL).Password(t, p.Login, p.Password); s.State != "second_factor" {
		t.Errorf("the right password afterwards: %d %s", a.Status, a.Body)
	}
}

// officeTwoPersons: what people who approve or administer prove themselves with
// is not one administrator's to change (article 16): it is proposed, and nothing
// of it is done. Nobody acts on themselves; the page says so before anything is
// pressed.
func officeTwoPersons(t *testing.T, d *harness.Dev) {
	o := officeIn(t, d, "sato")
	for _, login := range []string{"kobayashi", "yoshida", "nakamura", "takahashi"} {
		page := o.page("/people/"+login, http.StatusOK)
		if !strings.Contains(page, "Article 16(1)") || !strings.Contains(page, "second administrator or approver") {
			t.Errorf("%s's page does not say that it takes two:\n%s", login, page)
		}
		for _, act := range []string{"temporary-password", "recovery-code"} {
			at := "/people/" + login + "/" + act
			if a := o.c.Do(t, "GET", at, nil); a.Status != http.StatusOK || !strings.Contains(string(a.Body), "waits for another administrator or approver") {
				t.Errorf("the page of %s for %s: %d\n%s", act, login, a.Status, a.Body)
			}
			a := o.form(at)
			if body := string(a.Body); a.Status != http.StatusConflict || !strings.Contains(body, "Article 16(1)") || !strings.Contains(body, "it was proposed") || strings.Contains(body, `class="slip"`) {
				t.Errorf("the form of %s for %s: %d\n%s", act, login, a.Status, body)
			}
		}
	}
	if page := o.page("/people/sato", http.StatusOK); !strings.Contains(page, `disabled aria-describedby="why-temporary_password"`) {
		t.Errorf("one's own page offers a temporary password:\n%s", page)
	}
	for _, act := range []string{"temporary-password", "recovery-code"} {
		if a := o.form("/people/sato/" + act); a.Status != http.StatusForbidden || !strings.Contains(string(a.Body), "Article 16(1)") {
			t.Errorf("%s for oneself: %d\n%s", act, a.Status, a.Body)
		}
	}
	if a := o.form("/people/sato/suspend", "reason", "a"); a.Status != http.StatusForbidden {
		t.Errorf("suspending oneself: %d", a.Status)
	}
	for _, login := range []string{"kobayashi", "sato"} {
		keysIn(t, d, d.Person(t, login)) // nothing has happened to them
	}
	// To stop somebody powerful takes one: it only narrows.
	o.does("/people/kato/suspend", "reason", "a lost key", "until", o.c.Now(t).AddDate(0, 0, 3).Format(time.DateOnly))
	if s, a := harness.NewClient(d.URL).Passkey(t, d.Key(t, d.Person(t, "kato"))); a.Status != http.StatusUnauthorized {
		t.Errorf("the suspended officer: %d %q", a.Status, s.State)
	}
	// By the end of that day it is over, whatever else happens.
	d.Advance(t, 5*24*time.Hour)
	keysIn(t, d, d.Person(t, "kato"))
}

// officeActs are all acts there are, by form.
var officeActs = []struct {
	path  string
	pairs []string
}{
	{"/people/ito/suspend", []string{"reason", "a"}}, {"/people/ito/restore", nil}, {"/people/ito/leave", []string{"reason", "a"}}, {"/people/ito/end-leave", []string{"reason", "a"}}, {"/people/ito/unlock", nil},
	{"/people/ito/temporary-password", nil}, {"/people/ito/recovery-code", nil}, {"/people/ito/factors/any/remove", nil},
	{"/terminals/enrol", []string{"id", "audited-1", "name", "x", "class", "counter", "zone", "lgwan"}}, {"/terminals/audited-1/lost", nil}, {"/terminals/audited-1/remove", nil},
	{"/tokens/import", []string{"format", "csv", "data", "serial,seed_hex\nAUDITED-1,3132333435363738393031323334353637383930\n"}},
	{"/tokens/AUDITED-1/assign", []string{"login", "ito"}}, {"/tokens/AUDITED-1/unassign", nil}, {"/tokens/AUDITED-1/resync", []string{"first", "111111", "second", "222222"}}, {"/tokens/AUDITED-1/lost", nil},
}

// officeStaff: who holds no post sees and does nothing, and is not told whether
// anybody exists.
func officeStaff(t *testing.T, d *harness.Dev) {
	nextStep(t, d)
	o := officeSession{t, d, signIn(t, d, d.Person(t, "hayashi"))}
	o.c.CSRF = ""
	for _, path := range []string{"/people", "/people/ito", "/people/nobody-here", "/people/ito/suspend", "/terminals", "/terminals/enrol", "/tokens", "/tokens/import", "/tokens/AUDITED-1"} {
		if got := o.page(path, http.StatusForbidden); !strings.Contains(got, "Your post does not include this.") || strings.Contains(got, "ito@pref.example") {
			t.Errorf("%s says\n%s", path, got)
		}
	}
	for _, act := range officeActs {
		if a := o.form(act.path, act.pairs...); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d", act.path, a.Status)
		}
	}
}

// officeAuditor: an auditor reads everything and changes nothing.
func officeAuditor(t *testing.T, d *harness.Dev) {
	o := officeIn(t, d, "inoue")
	for path, want := range map[string]string{"/people?q=ito": `href="/people/ito"`, "/people/ito": "ito@pref.example", "/terminals": "Terminals", "/tokens": "Tokens"} {
		if got := o.page(path, http.StatusOK); !strings.Contains(got, want) {
			t.Errorf("%s does not say %q:\n%s", path, want, got)
		}
	}
	if got := o.page("/people/ito", http.StatusOK); !strings.Contains(got, "Article 16(2)") || strings.Contains(got, `href="/people/ito/`) {
		t.Errorf("the page offers an auditor something:\n%s", got)
	}
	for _, act := range officeActs {
		if a := o.form(act.path, act.pairs...); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d", act.path, a.Status)
		}
	}
	keysIn(t, d, d.Person(t, "ito"))
	if got := o.page("/terminals", http.StatusOK); strings.Contains(got, "audited-1") {
		t.Error("an auditor has enrolled a terminal")
	}
	if got := o.page("/tokens", http.StatusOK); strings.Contains(got, "AUDITED-1") {
		t.Error("an auditor has imported a token")
	}
}
