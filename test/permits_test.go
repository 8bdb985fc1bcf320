package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/policy/clock"
	"sekisho/test/harness"
)

// A permitted is what the API says of a permit.
type permitted struct {
	ID, Kind, State, Person, Requester string
	Until                              *time.Time
	LastUsedAt                         *time.Time `json:"last_used_at"`
	Confirmed                          []string
	Confirmations                      []struct{ ID, Article string }
	Decisions                          []struct{ By, Decision string }
}

// remote is a wish for remote access with nothing wrong in it.
func (d lender) remote(t testing.TB, more saying) saying {
	t.Helper()
	w := saying{
		"kind": "remote_access", "terminal": d.terminal(t), "applications": []string{"bunsho", "zaimu", "sample-web"}, "reason": "在宅勤務",
		"from": d.now(t).Format(time.RFC3339), "until": d.now(t).Add(72 * time.Hour).Format(time.RFC3339),
	}
	for k, v := range more {
		if w[k] = v; v == nil {
			delete(w, k)
		}
	}
	return w
}

func (d lender) now(t testing.TB) time.Time { return harness.NewClient(d.URL).Now(t) }

func (d lender) terminal(t testing.TB) string {
	t.Helper()
	for _, one := range d.Terminals {
		if one.Class == "lent" {
			return one.ID
		}
	}
	t.Fatal("dev has no lent terminal")
	return ""
}

// in is somebody signed in inside, with the passkey that they have or with a code.
func (d lender) in(t *testing.T, login string) borrower {
	t.Helper()
	p := d.Person(t, login)
	if p.Passkey != nil {
		return borrower{t, keysIn(t, d.Dev, p), login}
	}
	nextStep(t, d.Dev)
	return borrower{t, signIn(t, d.Dev, p), login}
}

// permit asks for something of permits, and reads the permit that is answered.
func (b borrower) permit(path string, body any, status int) permitted {
	b.t.Helper()
	a := b.Do(b.t, "POST", "/api/v1/permits"+path, body)
	if a.Status != status {
		b.t.Fatalf("%s at %s: %d, want %d: %s", b.login, path, a.Status, status, a.Body)
	}
	var m permitted
	if status < http.StatusMultipleChoices {
		a.Into(b.t, &m)
	}
	return m
}

func (m permitted) is(t *testing.T, state string) permitted {
	t.Helper()
	if m.State != state {
		t.Fatalf("the permit is %s, want %s: %+v", m.State, state, m)
	}
	return m
}

// away is somebody outside, who begins to sign in.
func (d lender) away(t testing.TB, login string) (c *harness.Client, s harness.Step, a harness.Answer) {
	t.Helper()
	nextStep(t, d.Dev)
	p := d.Person(t, login)
	c = harness.NewClient(d.URL)
	c.From = outside(t, d.Dev)
	if s, a = c.Password(t, p.Login, p.Password); s.State != "second_factor" {
		t.Fatalf("from outside, a right password is answered %d %s", a.Status, a.Body)
	}
	s, a = c.TOTP(t, harness.Code(t, *p.TOTPSecret, c.Now(t)))
	return c, s, a
}

// comesIn signs somebody in from outside, by the permit that they have.
func (d lender) comesIn(t testing.TB, login string) *harness.Client {
	t.Helper()
	c, s, a := d.away(t, login)
	if s.State == "acknowledge" {
		s, a = c.Acknowledge(t, s.Version)
	}
	if s.State != "terminal_check" {
		t.Fatalf("from outside %s comes to %q: %d %s", login, s.State, a.Status, a.Body)
	}
	if a := c.Do(t, "POST", "/api/v1/signin/terminal-check", saying{"confirmed": false}); a.Status != 422 {
		t.Errorf("not confirmed: %d %s", a.Status, a.Body)
	}
	if a = c.Do(t, "POST", "/api/v1/signin/terminal-check", saying{"confirmed": true}); a.Status != 200 || !strings.Contains(string(a.Body), "signed_in") {
		t.Fatalf("confirmed: %d %s", a.Status, a.Body)
	}
	return c
}

// TestPermits is the story of permits through the API, with the clock of control.
func TestPermits(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T, lender)
	}{
		{"from outside", permitRemote}, {"what is stated", permitStated}, {"a crossing", permitCrossing}, {"a contractor", permitContractor},
		{"a private terminal", permitPrivate}, {"a sign-in given up", permitGivenUp}, {"a lost terminal", permitLost}, {"who decides, and who sees", permitOthers},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(t, d) })
	}
}

func permitRemote(t *testing.T, d lender) {
	refused := func(when string) {
		t.Helper()
		c, s, a := d.away(t, "suzuki")
		var p struct {
			Code     string
			Articles []string
			Next     struct{ Step string }
		}
		if a.Into(t, &p); a.Status != 403 || p.Code != "forbidden" || !slices.Contains(p.Articles, "63-1") || p.Next.Step != "ask_permit" {
			t.Fatalf("%s: %d %q %s", when, a.Status, s.State, a.Body)
		}
		if c.Do(t, "GET", "/api/v1/session", nil).Status == 200 {
			t.Errorf("%s there is a session", when)
		}
	}
	refused("without a permit")
	suzuki, cio := d.in(t, "suzuki"), d.in(t, "yoshida")
	m := suzuki.permit("", d.remote(t, nil), 201).is(t, "pending")
	refused("before it is decided")
	// A session of inside opens nothing outside, and a wrong code says nothing of it.
	lost := suzuki.Fork()
	if lost.From = outside(t, d.Dev); lost.Do(t, "GET", "/api/v1/session", nil).Status != 403 {
		t.Error("a session of inside is good outside")
	}
	p := d.Person(t, "suzuki")
	c := harness.NewClient(d.URL)
	c.From = outside(t, d.Dev)
	c.Password(t, p.Login, p.Password)
	if _, a := c.TOTP(t, "000000"); a.Status != 401 {
		t.Errorf("a wrong code: %d %s", a.Status, a.Body)
	}
	if a := suzuki.Do(t, "POST", "/api/v1/permits/"+m.ID+"/approve", nil); a.Status != 403 {
		t.Errorf("approving one's own: %d %s", a.Status, a.Body)
	}
	cio.permit("/"+m.ID+"/approve", saying{"comment": "可"}, 200).is(t, "approved")

	away := d.comesIn(t, "suzuki")
	var s struct {
		At    time.Time `json:"signed_in_at"`
		Idle  time.Time `json:"idle_expires_at"`
		End   time.Time `json:"expires_at"`
		Posts []string
	}
	if away.Do(t, "GET", "/api/v1/session", nil).Into(t, &s); s.Idle.Sub(away.Now(t)) > 15*time.Minute || s.End.Sub(s.At) > 8*time.Hour {
		t.Errorf("remote time-outs: %+v", s)
	}
	if lost.Do(t, "GET", "/api/v1/session", nil).Status != 401 {
		t.Error("with a permit, a session of inside is good outside: the terminal was not looked at")
	}
	check := func(c *harness.Client, app string) int {
		t.Helper()
		return c.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", "http://"+app+".localhost/", "X-Original-Method", "GET").Status
	}
	if got := [3]int{check(away, "bunsho"), check(away, "zaimu"), check(away, "juki")}; got != [3]int{200, 200, 403} {
		t.Errorf("by the permit, the applications answer %v", got)
	}
	// Revoked, and out within a second.
	if a := suzuki.Do(t, "POST", "/api/v1/permits/"+m.ID+"/revoke", nil); a.Status != 403 {
		t.Errorf("revoking one's own: %d", a.Status)
	}
	since := clock.Stopwatch()
	cio.permit("/"+m.ID+"/revoke", nil, 200).is(t, "revoked")
	harness.Until(t, "the session to end", func() bool { return away.Fork().Do(t, "GET", "/api/v1/session", nil).Status == 401 })
	if took := since(); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := check(away, "bunsho"); got == 200 {
		t.Error("revoked, the application is open")
	}
	refused("after it was revoked")
	// Given back; asked again under its key it is one; and over at its end.
	a := suzuki.Do(t, "POST", "/api/v1/permits", d.remote(t, nil), "Idempotency-Key", "permit-1")
	var first, again permitted
	a.Into(t, &first)
	cio = d.in(t, "yoshida")
	cio.permit("/"+first.ID+"/approve", nil, 200)
	away = d.comesIn(t, "suzuki")
	suzuki = d.in(t, "suzuki")
	suzuki.permit("/"+first.ID+"/end", nil, 200).is(t, "ended")
	if away.Do(t, "GET", "/api/v1/session", nil).Status == 200 {
		t.Error("given back, the session goes on")
	}
	refused("after it was given back")
	wish := d.remote(t, saying{"until": d.now(t).Add(time.Hour).Format(time.RFC3339)})
	suzuki = d.in(t, "suzuki")
	suzuki.Do(t, "POST", "/api/v1/permits", wish, "Idempotency-Key", "permit-2").Into(t, &first)
	suzuki.Do(t, "POST", "/api/v1/permits", wish, "Idempotency-Key", "permit-2").Into(t, &again)
	if first.ID == "" || first.ID != again.ID {
		t.Errorf("asked twice: %q and %q", first.ID, again.ID)
	}
	cio.permit("/"+first.ID+"/approve", nil, 200)
	away = d.comesIn(t, "suzuki")
	away.Do(t, "GET", "/api/v1/session", nil).Into(t, &s)
	if s.End.After(*first.Until) {
		t.Errorf("the session ends at %v, its permit at %v", s.End, first.Until)
	}
	d.Advance(t, first.Until.Sub(d.now(t))+time.Second)
	if away.Do(t, "GET", "/api/v1/session", nil).Status != 401 || check(away, "bunsho") == 200 {
		t.Error("after its end the session goes on")
	}
	refused("after its end")
	cio = d.in(t, "yoshida")
	var seen permitted
	cio.Do(t, "GET", "/api/v1/permits/"+first.ID, nil).Into(t, &seen)
	if seen.is(t, "expired").LastUsedAt == nil {
		t.Errorf("it was used: %+v", seen)
	}
}

func permitStated(t *testing.T, d lender) {
	tanaka := d.in(t, "tanaka")
	for _, tt := range []struct {
		name        string
		change      saying
		field, rule string
	}{
		{"no reason", saying{"reason": nil}, "reason", "required"},
		{"no terminal", saying{"terminal": ""}, "terminal", "required"},
		{"no application", saying{"applications": []string{}}, "applications", "required"},
		{"no such application", saying{"applications": []string{"bunsho", "nothing"}}, "applications", "unknown"},
		{"no beginning", saying{"from": nil}, "from", "required"},
		{"no end", saying{"until": nil}, "until", "required"},
		{"an end that is no time", saying{"until": "soon"}, "until", "time"},
		{"an end before the beginning", saying{"until": d.now(t).Add(-time.Hour).Format(time.RFC3339)}, "until", "past"},
		{"beyond the fiscal year", saying{"until": "2031-04-01"}, "until", "too_late"},
		{"a network that is none", saying{"networks": []string{"everywhere"}}, "networks", "network"},
		{"a day that is none", saying{"days": []string{"someday"}}, "days", "day"},
		{"hours that are none", saying{"hours": "25:00-26:00"}, "hours", "hours"},
		{"nobody", saying{"person": "nobody-at-all"}, "person", "unknown"},
		{"a field that it has not", saying{"colour": "red"}, "colour", "unknown"},
		{"no such kind", saying{"kind": "flying"}, "kind", "unknown"},
		{"a contractor's field", saying{"company": "例"}, "company", "of_contractors"},
	} {
		a := tanaka.Do(t, "POST", "/api/v1/permits", d.remote(t, tt.change))
		var p struct {
			Errors []struct{ Field, Rule, Detail string }
		}
		if a.Into(t, &p); a.Status != 422 || len(p.Errors) != 1 || p.Errors[0].Field != tt.field || p.Errors[0].Rule != tt.rule || p.Errors[0].Detail == "" {
			t.Errorf("%s: %d %s", tt.name, a.Status, a.Body)
		}
	}
	// Networks, days and hours are kept to.
	cio := d.in(t, "yoshida")
	m := tanaka.permit("", d.remote(t, saying{"networks": []string{"198.51.100.0/24"}, "days": []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, "hours": saying{"from": "00:00", "until": "24:00"}}), 201)
	cio.permit("/"+m.ID+"/approve", nil, 200)
	if _, _, a := d.away(t, "tanaka"); a.Status != 403 {
		t.Errorf("from another network than the permit's: %d %s", a.Status, a.Body)
	}
	tanaka.permit("/"+m.ID+"/end", nil, 200)
	m = tanaka.permit("", d.remote(t, nil), 201)
	tanaka.permit("/"+m.ID+"/cancel", nil, 200).is(t, "cancelled")
	if a := tanaka.Do(t, "POST", "/api/v1/permits/"+m.ID+"/end", nil); a.Status != 409 {
		t.Errorf("ending what was taken back: %d %s", a.Status, a.Body)
	}
	m = tanaka.permit("", d.remote(t, nil), 201)
	cio.permit("/"+m.ID+"/deny", saying{"comment": "不要"}, 200).is(t, "denied")
}

func permitCrossing(t *testing.T, d lender) {
	crosser := d.in(t, "tanaka")
	check := func(path string) int {
		t.Helper()
		return crosser.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", "http://juki.localhost"+path, "X-Original-Method", "GET").Status
	}
	if got := check("/kensu/1"); got != 403 {
		t.Fatalf("without a permit the crossing is answered %d", got)
	}
	wish := saying{"kind": "zone_crossing", "application": "juki", "from_zone": "lgwan", "path": "/kensu", "protocol": "https", "until": d.now(t).Add(48 * time.Hour).Format(time.RFC3339), "reason": "件数の連携"}
	if a := d.in(t, "nakamura").Do(t, "POST", "/api/v1/permits", wish); a.Status != 403 {
		t.Errorf("asked by who is no system administrator: %d %s", a.Status, a.Body)
	}
	sato, cio := d.in(t, "sato"), d.in(t, "yoshida")
	for field, v := range map[string]any{"from_zone": "internet", "path": "/a/../b", "protocol": "gopher", "application": "nothing"} {
		bad := saying{}
		for k, was := range wish {
			bad[k] = was
		}
		bad[field] = v
		if a := sato.Do(t, "POST", "/api/v1/permits", bad); a.Status != 422 || !strings.Contains(string(a.Body), `"field":"`+field+`"`) {
			t.Errorf("%s %v: %d %s", field, v, a.Status, a.Body)
		}
	}
	m := sato.permit("", wish, 201).is(t, "pending")
	if len(m.Confirmations) != 4 {
		t.Errorf("to be confirmed: %+v", m.Confirmations)
	}
	for _, said := range [][]string{nil, {"reason"}, {"reason", "limited"}, {"reason", "limited", "no_internet", "moon"}} {
		a := cio.Do(t, "POST", "/api/v1/permits/"+m.ID+"/approve", saying{"confirmations": said})
		if a.Status != 422 || !strings.Contains(string(a.Body), `"field":"confirmations"`) {
			t.Errorf("confirmed %v: %d %s", said, a.Status, a.Body)
		}
	}
	done := cio.permit("/"+m.ID+"/approve", saying{"confirmations": []string{"26no2-3(1)", "26no2-3(2)", "26no2-3(3)"}}, 200).is(t, "approved")
	if !slices.Equal(done.Confirmed, []string{"reason", "limited", "no_internet"}) {
		t.Errorf("confirmed: %v", done.Confirmed)
	}
	if got := [3]int{check("/kensu/1"), check("/kensu"), check("/kensuX")}; got != [3]int{200, 200, 403} {
		t.Errorf("by the permit, the paths answer %v", got)
	}
	cio.permit("/"+m.ID+"/revoke", nil, 200)
	if got := check("/kensu/1"); got != 403 {
		t.Errorf("after its end the crossing is answered %d", got)
	}
	// The exception of public bodies.
	m = sato.permit("", wish, 201)
	if done := cio.permit("/"+m.ID+"/approve", saying{"confirmations": []string{"reason", "limited", "public_body"}}, 200); !slices.Contains(done.Confirmed, "public_body") {
		t.Errorf("confirmed: %v", done.Confirmed)
	}
	cio.permit("/"+m.ID+"/revoke", nil, 200)
}

func permitContractor(t *testing.T, d lender) {
	if a := d.in(t, "hayashi").Do(t, "POST", "/api/v1/permits", d.remote(t, nil)); a.Status != 403 || !strings.Contains(string(a.Body), "79-3(13)") {
		t.Errorf("a contractor asks: %d %s", a.Status, a.Body)
	}
	yamamoto := d.in(t, "yamamoto")
	a := yamamoto.Do(t, "POST", "/api/v1/permits", d.remote(t, saying{"person": "hayashi"}))
	if a.Status != 422 || !strings.Contains(string(a.Body), `"field":"contract_end"`) {
		t.Errorf("without the contract's end: %d %s", a.Status, a.Body)
	}
	day := func(n int) string { return d.now(t).AddDate(0, 0, n).Format("2006-01-02") }
	a = yamamoto.Do(t, "POST", "/api/v1/permits", d.remote(t, saying{"person": "hayashi", "contract_end": day(1), "until": day(5)}))
	if a.Status != 422 || !strings.Contains(string(a.Body), `"rule":"contract_end"`) {
		t.Errorf("beyond the contract: %d %s", a.Status, a.Body)
	}
	m := yamamoto.permit("", d.remote(t, saying{"person": "hayashi", "contract_end": day(10), "subcontractor": "例下請"}), 201)
	if m.Person != "hayashi" || m.Requester != "yamamoto" {
		t.Errorf("%+v", m)
	}
	yamamoto.permit("/"+m.ID+"/cancel", nil, 200)
}

// permitPrivate has somebody use their own terminal: every door waits for the permit that
// lets them (article 38-4), and shuts when it is given back.
func permitPrivate(t *testing.T, d lender) {
	tanaka, cio, manager := d.in(t, "tanaka"), d.in(t, "yoshida"), d.in(t, "nakamura")
	tomorrow := d.now(t).Add(24 * time.Hour)
	own := tanaka.permit("", saying{
		"kind": "private_terminal", "terminal": "tanaka-note", "measures": "暗号化", "reason": "在宅",
		"from": tomorrow.Format(time.RFC3339), "until": tomorrow.Add(96 * time.Hour).Format(time.RFC3339),
	}, 201)
	manager.permit("/"+own.ID+"/approve", nil, 200).is(t, "approved")
	m := tanaka.permit("", d.remote(t, saying{"terminal": "tanaka-note"}), 201)
	cio.permit("/"+m.ID+"/approve", nil, 200).is(t, "approved")
	_, _, a := d.away(t, "tanaka")
	var p struct {
		Articles []string
		Next     struct{ Step string }
	}
	if a.Into(t, &p); a.Status != 403 || !slices.Contains(p.Articles, "38-4") || p.Next.Step != "ask_permit" || !strings.Contains(string(a.Body), "kind=private_terminal") {
		t.Errorf("before its permit begins: %d %s", a.Status, a.Body)
	}
	if a := d.byGear(t, "tanaka").comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, "private") {
		t.Errorf("by the gear, before its permit begins: %s", a.all)
	}
	d.Advance(t, 25*time.Hour)
	away := d.comesIn(t, "tanaka")
	check := func() int {
		return away.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", "http://bunsho.localhost/", "X-Original-Method", "GET").Status
	}
	if got := check(); got != 200 {
		t.Errorf("with both permits the application answers %d", got)
	}
	web := sampleWeb(t, d.Dev)
	tok := web.tokens(t, away.Fork(), nil).RefreshToken
	refreshed := func() bool {
		got := web.refresh(t, tok)
		if got.Status == http.StatusOK {
			tok = given(t, got).RefreshToken
		}
		return got.Status == http.StatusOK
	}
	if !refreshed() {
		t.Error("with both permits a refresh is refused")
	}
	if a := d.byGear(t, "tanaka").comes(t); a.code != "Access-Accept" {
		t.Errorf("by the gear, with both permits: %s", a.all)
	}
	d.in(t, "tanaka").permit("/"+own.ID+"/end", nil, 200).is(t, "ended")
	harness.Until(t, "the session to end", func() bool { return away.Fork().Do(t, "GET", "/api/v1/session", nil).Status == 401 })
	if got := check(); got == 200 || refreshed() {
		t.Errorf("given back, the application answers %d, or a refresh is let through", got)
	}
	if a := d.byGear(t, "tanaka").comes(t); a.code != "Access-Reject" {
		t.Errorf("by the gear, given back: %s", a.all)
	}
}

// permitGivenUp has somebody begin to sign in outside, in the browser that is signed in
// inside, and come back: they have what they had. Where they go on, it is over.
func permitGivenUp(t *testing.T, d lender) {
	m := d.in(t, "tanaka").permit("", d.remote(t, nil), 201)
	d.in(t, "yoshida").permit("/"+m.ID+"/approve", nil, 200)
	tanaka := d.in(t, "tanaka")
	p, inside := d.Person(t, "tanaka"), tanaka.From
	handle := tanaka.Cookies["__Host-sekisho"]
	session := func() int { return tanaka.Do(t, "GET", "/api/v1/session", nil).Status }
	begin := func() {
		t.Helper()
		nextStep(t, d.Dev)
		tanaka.From = outside(t, d.Dev)
		if s, a := tanaka.Password(t, p.Login, p.Password); s.State != "second_factor" || tanaka.Cookies["__Host-sekisho"] == handle {
			t.Fatalf("outside: %d %s", a.Status, a.Body)
		}
		if session() == 200 {
			t.Error("half-way, there is a session outside")
		}
	}
	begin()
	tanaka.From = inside
	if got := session(); got != 200 || tanaka.Cookies["__Host-sekisho"] != handle {
		t.Errorf("back inside: %d", got)
	}
	// Given up there, it is the same. A sign-out ends both.
	form := func(path string) {
		t.Helper()
		a, err := tanaka.Send("POST", path, "application/x-www-form-urlencoded", []byte("csrf_token="+tanaka.CSRF))
		if err != nil || a.Status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s, %v", path, a.Status, a.Body, err)
		}
	}
	begin()
	form("/signin/restart")
	if tanaka.From = inside; session() != 200 || tanaka.Cookies["__Host-sekisho"] != handle {
		t.Error("started again outside, the browser has lost what it had inside")
	}
	begin()
	form("/signout")
	gone := tanaka.Fork()
	if gone.From, gone.Cookies["__Host-sekisho"] = inside, handle; gone.Do(t, "GET", "/api/v1/session", nil).Status != 401 || len(tanaka.Cookies["__Host-sekisho"]+tanaka.Cookies["__Host-sekisho-former"]) > 0 {
		t.Error("signed out half-way, the session of inside goes on")
	}
	tanaka = d.in(t, "tanaka")
	handle = tanaka.Cookies["__Host-sekisho"]
	begin()
	if s, a := tanaka.TOTP(t, harness.Code(t, *p.TOTPSecret, tanaka.Now(t))); s.State != "terminal_check" {
		t.Fatalf("going on: %d %s", a.Status, a.Body)
	}
	if a := tanaka.Do(t, "POST", "/api/v1/signin/terminal-check", saying{"confirmed": true}); a.Status != 200 {
		t.Fatalf("confirmed: %d %s", a.Status, a.Body)
	}
	if former := tanaka.Cookies["__Host-sekisho-former"]; former != "" {
		t.Errorf("signed in, the browser keeps %q", former)
	}
	old := tanaka.Fork()
	old.From, old.Cookies["__Host-sekisho"] = inside, handle
	if got := old.Do(t, "GET", "/api/v1/session", nil).Status; got != 401 {
		t.Errorf("signed in outside, the handle of inside answers %d", got)
	}
}

func permitLost(t *testing.T, d lender) {
	ito, cio, sato := d.in(t, "ito"), d.in(t, "yoshida"), d.in(t, "sato")
	if a := sato.Do(t, "POST", "/api/v1/terminals", saying{"id": "kashi-lost", "zone": "lgwan", "class": "lent", "name": saying{"ja": "貸与", "en": "Lent"}}); a.Status/100 != 2 {
		t.Skipf("enrolling a terminal: %d %s", a.Status, a.Body)
	}
	m := ito.permit("", d.remote(t, saying{"terminal": "kashi-lost"}), 201)
	waits := ito.permit("", d.remote(t, saying{"terminal": "kashi-lost"}), 201)
	cio.permit("/"+m.ID+"/approve", nil, 200)
	// Another terminal's permit would carry the session, which does not say where it is.
	other := ito.permit("", d.remote(t, nil), 201)
	cio.permit("/"+other.ID+"/approve", nil, 200)
	away := d.comesIn(t, "ito")
	if a := d.in(t, "sato").Do(t, "POST", "/api/v1/terminals/kashi-lost/lost", nil); a.Status/100 != 2 {
		t.Fatalf("lost: %d %s", a.Status, a.Body)
	}
	if away.Do(t, "GET", "/api/v1/session", nil).Status == 200 {
		t.Error("the terminal is lost, and the session goes on")
	}
	ito = d.in(t, "ito")
	for id, want := range map[string]string{m.ID: "revoked", waits.ID: "cancelled", other.ID: "approved"} {
		var seen permitted
		ito.Do(t, "GET", "/api/v1/permits/"+id, nil).Into(t, &seen)
		seen.is(t, want)
	}
	if a := ito.Do(t, "POST", "/api/v1/permits", d.remote(t, saying{"terminal": "kashi-lost"})); a.Status != 422 || !strings.Contains(string(a.Body), `"rule":"lost"`) {
		t.Errorf("asking with a lost terminal: %d %s", a.Status, a.Body)
	}
	// A terminal that is not enrolled may be named, and be lost; and whoever is closed
	// out has no permit left, and asks for none.
	if a := ito.Do(t, "POST", "/api/v1/permits", d.remote(t, saying{"terminal": "jitaku-pc"})); a.Status != 422 || !strings.Contains(string(a.Body), `"rule":"own_permit"`) {
		t.Errorf("asking with a private terminal alone: %d %s", a.Status, a.Body)
	}
	ito.permit("", saying{"kind": "private_terminal", "terminal": "jitaku-pc", "measures": "暗号化", "reason": "在宅", "until": d.now(t).Add(72 * time.Hour).Format(time.RFC3339)}, 201)
	own := ito.permit("", d.remote(t, saying{"terminal": "jitaku-pc"}), 201)
	d.in(t, "yoshida").permit("/"+own.ID+"/approve", nil, 200)
	sato = d.in(t, "sato")
	for _, want := range []int{2, 4} {
		if a := sato.Do(t, "POST", "/api/v1/terminals/jitaku-pc/lost", nil); a.Status/100 != want {
			t.Errorf("a terminal that is not enrolled is lost: %d %s", a.Status, a.Body)
		}
	}
	waits = ito.permit("", d.remote(t, nil), 201)
	if a := sato.Do(t, "POST", "/api/v1/people/ito/suspend", saying{"reason": "調査"}); a.Status/100 != 2 {
		t.Fatalf("suspended: %d %s", a.Status, a.Body)
	}
	auditor := d.in(t, "inoue")
	for id, want := range map[string]string{own.ID: "revoked", other.ID: "revoked", waits.ID: "cancelled"} {
		var seen permitted
		auditor.Do(t, "GET", "/api/v1/permits/"+id, nil).Into(t, &seen)
		seen.is(t, want)
	}
}

func permitOthers(t *testing.T, d lender) {
	tanaka, cio, auditor := d.in(t, "tanaka"), d.in(t, "yoshida"), d.in(t, "inoue")
	m := tanaka.permit("", saying{"kind": "take_out", "reason": "出張", "until": d.now(t).Add(24 * time.Hour).Format(time.RFC3339), "asset": "名簿", "class": "2", "destination": "研修所", "measures": "暗号化"}, 201)
	if a := d.in(t, "suzuki").Do(t, "GET", "/api/v1/permits/"+m.ID, nil); a.Status != 404 {
		t.Errorf("somebody else reads it: %d", a.Status)
	}
	if a := auditor.Do(t, "GET", "/api/v1/permits/"+m.ID, nil); a.Status != 200 {
		t.Errorf("the auditor reads it: %d", a.Status)
	}
	for _, act := range []string{"approve", "revoke", "cancel", "end"} {
		if a := auditor.Do(t, "POST", "/api/v1/permits/"+m.ID+"/"+act, nil); a.Status != 403 {
			t.Errorf("the auditor: %s answers %d", act, a.Status)
		}
	}
	if a := auditor.Do(t, "POST", "/api/v1/permits", d.remote(t, nil)); a.Status != 403 {
		t.Errorf("the auditor asks: %d", a.Status)
	}
	nakamura := d.in(t, "nakamura") // security manager of tanaka's section
	var waits struct{ Items []permitted }
	if nakamura.Do(t, "GET", "/api/v1/permits?to_approve=true", nil).Into(t, &waits); !slices.ContainsFunc(waits.Items, func(one permitted) bool { return one.ID == m.ID }) {
		t.Errorf("what waits: %+v", waits.Items)
	}
	nakamura.permit("/"+m.ID+"/approve", nil, 200).is(t, "approved")
	if a := cio.Do(t, "GET", "/api/v1/permits?kind=take_out&state=approved", nil); !strings.Contains(string(a.Body), m.ID) {
		t.Errorf("the register: %s", a.Body)
	}
	// That one is over is so at once; it is written down when a gate comes to it.
	reads := d.in(t, "inoue")
	harness.Until(t, "an end to be entered", func() bool {
		a := reads.Do(t, "GET", "/api/v1/audit?action=permit.expired", nil)
		return a.Status == 200 && strings.Contains(string(a.Body), "permit.expired")
	})
	_, text := trail(t, d.Dev)
	for _, act := range []string{"permit.asked", "permit.approved", "permit.revoked", "permit.expired", "permit.ended", "permit.denied", "permit.cancelled", "terminal.confirmed"} {
		if !strings.Contains(text, `"action":"`+act+`"`) {
			t.Errorf("%s is not on the trail", act)
		}
	}
}

// TestDoorsFromOutside tries every door with each permit that is none: never asked for,
// waiting, expired, revoked, given back; and that all open with one that lives
// (articles 63-1; security.md section 2, rows 6 and 18).
func TestDoorsFromOutside(t *testing.T) {
	t.Parallel()
	d := newLender(t)
	tanaka, gear := d.in(t, "tanaka"), d.byGear(t, "tanaka")
	shut := func(when string, clients ...*harness.Client) {
		t.Helper()
		gear.out(t)
		if a := gear.comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, "許可を申請") {
			t.Errorf("%s the network door answers %s", when, a.all)
		}
		c, s, a := d.away(t, "tanaka")
		if a.Status != 403 {
			t.Errorf("%s the sign-in answers %d %q", when, a.Status, s.State)
		}
		for _, c := range append(clients, c) {
			for _, door := range doors {
				if door.open(t, d.Dev, c.Fork()) {
					t.Errorf("%s %s is open", when, door.name)
				}
			}
		}
	}
	inside := tanaka.Fork()
	inside.From = outside(t, d.Dev)
	shut("without a permit", inside)
	for _, tt := range []struct {
		name string
		end  func(m permitted)
	}{
		{"revoked", func(m permitted) { d.in(t, "yoshida").permit("/"+m.ID+"/revoke", nil, 200) }},
		{"ended", func(m permitted) { d.in(t, "tanaka").permit("/"+m.ID+"/end", nil, 200) }},
		{"expired", func(m permitted) { d.Advance(t, m.Until.Sub(d.now(t))+time.Second) }},
	} {
		tanaka = d.in(t, "tanaka")
		m := tanaka.permit("", d.remote(t, saying{"until": d.now(t).Add(time.Hour).Format(time.RFC3339)}), 201)
		if tt.name == "revoked" {
			shut("waiting,")
		}
		d.in(t, "yoshida").permit("/"+m.ID+"/approve", nil, 200)
		if a := gear.comes(t); a.code != "Access-Accept" {
			t.Errorf("with a permit the network door answers %s", a.all)
		}
		c := d.comesIn(t, "tanaka")
		if body, _ := open(t, c, d.Dev, app(d.Dev)); body == "" {
			t.Fatal("the application does not open")
		}
		for _, door := range doors {
			// A shared ID is handed out in its own zone alone (articles 26no2-1, 46-1).
			if want := door.name != "POST /shared-ids/checkout"; door.open(t, d.Dev, c) != want {
				t.Errorf("with a permit %s is open: %t", door.name, !want)
			}
		}
		tt.end(m)
		shut(tt.name, c)
	}
}
