package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sekisho/cmd/sekisho/folder"
	"sekisho/test/harness"
)

// A route is one thing that is served.
type route struct{ method, path string }

// routes are all that the API documents and all that pages and gate mount,
// read from their source so that a new one is tried without being told.
func routes(t testing.TB, d *harness.Dev) []route {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	harness.NewClient(d.URL).Do(t, "GET", "/api/openapi.json", nil).Into(t, &doc)
	var out []route
	for path, methods := range doc.Paths {
		for m := range methods {
			out = append(out, route{strings.ToUpper(m), path})
		}
	}
	if len(out) < 15 {
		t.Fatalf("the API documents %d operations only", len(out))
	}
	mounted := regexp.MustCompile(`Mount(?:App)?\("([A-Z]+) (/[^"]*)"`)
	before := len(out)
	for _, dir := range []string{"../web/page", "../web/gate"} {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
				continue
			}
			b, err := os.ReadFile(dir + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range mounted.FindAllStringSubmatch(string(b), -1) {
				out = append(out, route{m[1], strings.TrimSuffix(m[2], "{$}")})
			}
		}
	}
	if len(out)-before < 25 {
		t.Fatalf("found %d page routes only", len(out)-before)
	}
	slices.SortFunc(out, func(a, b route) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	// What gives the sign-in up comes last, or nothing after it would be tried
	// with a live cookie.
	slices.SortStableFunc(out, func(a, b route) int { return last(a) - last(b) })
	return out
}

func last(r route) int {
	for i, end := range []string{"/signin/restart", "/signout", "/api/v1/session"} {
		if strings.HasSuffix(r.path, end) && r.method != "GET" {
			return i + 1
		}
	}
	return 0
}

// anybody may see these, signed in or not.
var anybody = map[string]bool{
	"GET /rules": true, "GET /leak-reported": true, "GET /signin": true,
	"GET /.sekisho/signout":      true, // shows a button
	"GET /.well-known/jwks.json": true, // public keys

	// Questions: they say nothing of anybody, and answering one is a sign-in.
	"GET /api/v1/signin/nonce": true, "POST /api/v1/signin/passkey/begin": true,
}

// bodies are what a script would send, so that a refusal is not for the body.
func body(r route, p folder.Person, step string) map[string]string {
	switch strings.TrimPrefix(strings.TrimPrefix(r.path, "/api/v1"), "/signin") {
	case "/totp":
		return map[string]string{"code": "12x456"}
	case "/password", "/me/password":
		if strings.HasSuffix(r.path, "/signin/password") {
			return map[string]string{"new_password": "x", "again": "x"} // refused by the rules where it is the step
		}
		return map[string]string{"current": p.Password, "new": "harusame furikomu tera no kane"}
	case "/acknowledge":
		return map[string]string{"version": "1999-01"}
	case "/leak-reports", "/me/leak":
		return map[string]string{"what": "seen over my shoulder"}
	case "/factors/totp/finish", "/me/factors/totp", "/enrol":
		return map[string]string{"id": "x", "code": "12x456", "name": "phone"}
	case "":
		return map[string]string{"login": p.Login, "password": "wrong once more"}
	}
	return nil
}

// TestPeersHalfSignedIn is row 8: with the cookie of a sign-in that is not
// done, nothing answers but the steps of a sign-in.
func TestPeersHalfSignedIn(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	all := routes(t, d)
	for _, tt := range []struct {
		state string
		reach func(t *testing.T) (*harness.Client, folder.Person)
	}{
		{"second_factor", func(t *testing.T) (*harness.Client, folder.Person) {
			p := d.Person(t, "yoshida") // a CIO: what they may do signed in is most
			return toCode(t, d, p, 1), p
		}},
		{"acknowledge", func(t *testing.T) (*harness.Client, folder.Person) {
			p := d.Person(t, "inoue") // an auditor
			c := toCode(t, d, p, 2)
			if s, a := c.TOTP(t, harness.Code(t, *p.TOTPSecret, c.Now(t))); s.State != "acknowledge" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			return c, p
		}},
		{"password_change", func(t *testing.T) (*harness.Client, folder.Person) {
			p := d.InState(t, "must_change")
			c := from(d, 3)
			if s, a := c.Password(t, p.Login, p.Password); s.State != "password_change" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			return c, p
		}},
		{"enrol", func(t *testing.T) (*harness.Client, folder.Person) {
			p := d.InState(t, "must_change")
			c := from(d, 4)
			c.Password(t, p.Login, p.Password)
			newPassword(t, c, "harusame furikomu tera no kane")
			return c, p
		}},
	} {
		t.Run(tt.state, func(t *testing.T) {
			c, p := tt.reach(t)
			alive := func() bool { return form(t, c.Fork(), "/signin/"+page(tt.state)).Get("csrf_token") != "" }
			if !alive() {
				t.Fatalf("the page of %s does not open for its own cookie", tt.state)
			}
			tried := 0
			for _, r := range all {
				if last(r) > 0 && tried >= 0 {
					if !alive() {
						t.Fatal("the sign-in was lost on the way: what was tried after that proves nothing")
					}
					tried = -1 << 20
				}
				tried++
				try(t, d, c.Fork(), r, p, tt.state)
			}
		})
	}
}

// newPassword takes somebody with a temporary password on to the enrolment.
func newPassword(t testing.TB, c *harness.Client, pw string) {
	t.Helper()
	var s harness.Step
	a := c.Do(t, "POST", "/api/v1/signin/password", map[string]string{"new_password": pw})
	if a.Into(t, &s); s.State != "enrol" {
		t.Fatalf("the new password: %d %s", a.Status, a.Body)
	}
}

func page(state string) string {
	return map[string]string{
		"second_factor": "totp", "acknowledge": "acknowledge", "password_change": "password", "enrol": "enrol",
	}[state]
}

// try asks for one route and refuses an answer that only a session may get.
func try(t *testing.T, d *harness.Dev, c *harness.Client, r route, p folder.Person, state string) {
	t.Helper()
	path := strings.NewReplacer("{id}", "x", "{login}", "tanaka").Replace(r.path)
	fields := body(r, p, state)
	headers := []string{"Accept", "text/html"}
	if strings.HasPrefix(path, "/.sekisho") {
		headers = append(headers, "Host", d.Apps[0].Host)
		c.Cookies["__Host-sekisho-app"] = c.Cookies["__Host-sekisho"]
	}
	var (
		a   harness.Answer
		err error
	)
	switch {
	case r.method == "GET" || r.method == "DELETE":
		a, err = c.Send(r.method, path, "", nil, headers...)
	case strings.HasPrefix(path, "/api/"):
		b, _ := json.Marshal(fields) // a map of strings
		if fields == nil {
			b = []byte("{}")
		}
		a, err = c.Send(r.method, path, "application/json", b, headers...)
	default:
		v := url.Values{}
		for k, s := range fields {
			v.Set(k, s)
		}
		a, err = c.Send(r.method, path, "application/x-www-form-urlencoded", []byte(v.Encode()), headers...)
	}
	if err != nil {
		t.Fatal(err)
	}
	own := "/signin/" + page(state)
	ofSignIn := r.path == own || r.path == own+"/begin" ||
		state == "enrol" && (r.path == "/api/v1/factors/totp/begin" || r.path == "/api/v1/factors/passkey/begin") ||
		state == "second_factor" && r.path == "/signin/recovery" || last(r) > 0 || strings.Contains(r.path, "sekisho.")
	switch {
	case a.Status >= 500:
		t.Errorf("%s %s: %d %s", r.method, path, a.Status, a.Body)
	case a.Status/100 == 2 && !ofSignIn && !anybody[r.method+" "+r.path]:
		t.Errorf("%s %s answers %d at %s: %.200s", r.method, path, a.Status, state, a.Body)
	case a.Status/100 == 3:
		to := a.Header.Get("Location")
		// Where it leads on this host is tried by itself.
		if strings.Contains(to, "code=") || !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, d.URL+"/") {
			t.Errorf("%s %s at %s leads to %s", r.method, path, state, to)
		}
	}
	if !ofSignIn {
		for _, k := range []string{"__Host-sekisho-device", "__Host-sekisho-app"} {
			if k == "__Host-sekisho-app" && c.Cookies[k] == c.Cookies["__Host-sekisho"] {
				continue
			}
			if c.Cookies[k] != "" && !strings.HasPrefix(path, "/.sekisho") {
				t.Errorf("%s %s at %s gave out %s", r.method, path, state, k)
			}
		}
	}
}

// TestPeersInjection is row 17: what is typed as a name or a password is data
// to LDAP, in a filter and in a DN, and an empty password never binds.
func TestPeersInjection(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	p := d.Person(t, "takahashi")
	people := "ou=people," + d.LDAP.BaseDN
	logins := []string{
		"*", "taka*", "(takahashi)", "takahashi)(uid=*", "takahashi)(|(uid=*", "*)(|(uid=*", "*)(uid=*))(|(uid=*", "takahashi)(&", "takahashi))%00",
		"|(uid=takahashi)", "!(uid=x)", "takahashi\x00", "takahashi\x00*", "\x00", "\\2a", "takahash\\69", "takahashi\\00", "takahashi\\", "takahashi,", "takahashi;",
		"uid=*," + people, "uid=taka*," + people, "uid=takahashi+cn=x," + people, "uid=takahashi," + people + "\x00", "uid=takahashi\\00," + people,
		"uid=takahashi,cn=x," + people, people, d.LDAP.BaseDN, "", ",", "=", "uid=", "cn=*", "cn=staff,ou=groups," + d.LDAP.BaseDN,
		"<SID=S-1-5-21>", "#04024869", "uid=#0474616b61," + people, "takahashi@*", "*@pref.example", "takahashi@pref.example)(uid=tanaka", strings.Repeat("(", 500), strings.Repeat("takahashi", 50),
	}
	atOnce(2*len(logins), func(i int) int {
		login := logins[i/2]
		ask := func() (harness.Answer, error) {
			return from(d, i).Try("POST", "/api/v1/signin", credentials(login, p.Password))
		}
		if i%2 == 1 {
			ask = func() (harness.Answer, error) {
				f := url.Values{"login": {login}, "password": {p.Password}}
				return from(d, i).Send("POST", "/signin", "application/x-www-form-urlencoded", []byte(f.Encode()))
			}
		}
		if a, err := ask(); err != nil || a.Status != 401 && a.Status != 422 {
			t.Errorf("login %q with takahashi's password: %d to %q, %v", login, a.Status, a.Header.Get("Location"), err)
		}
		return 0
	})
	// Nobody signs in as what the directory is administered with.
	if _, a := from(d, 1).Password(t, d.LDAP.BindDN, d.LDAP.BindPassword); a.Status != 401 {
		t.Errorf("Sekisho's own directory account: %d %s", a.Status, a.Body)
	}
	for _, pw := range []string{"", "\x00", " ", "\u3000", "*", "\x00" + p.Password, p.Password + "\x00", p.Password[:8], p.Password + " ", strings.Repeat("a", 5000)} {
		d.Advance(t, 61*time.Minute)
		a := from(d, 2).Do(t, "POST", "/api/v1/signin", credentials(p.Login, pw))
		if a.Status != 401 && a.Status != 422 {
			t.Errorf("API, password %.30q: %d %s", pw, a.Status, a.Body)
		}
		d.Advance(t, 61*time.Minute)
		a = from(d, 3).Form(t, "/signin", url.Values{"login": {p.Login}, "password": {pw}})
		if a.Status != 401 && a.Status != 422 {
			t.Errorf("page, password %.30q: %d to %s", pw, a.Status, a.Header.Get("Location"))
		}
	}
	if a := from(d, 4).Do(t, "POST", "/api/v1/signin", map[string]string{"login": p.Login}); a.Status != 422 {
		t.Errorf("no password at all: %d %s", a.Status, a.Body)
	}
	d.Advance(t, 61*time.Minute)
	if s, a := from(d, 5).Password(t, p.Login, p.Password); s.State != "second_factor" {
		t.Errorf("takahashi afterwards: %d %s", a.Status, a.Body)
	}
}

// TestPeersMalformed is row 11: what cannot be read is refused. It is never a
// yes, and never our fault.
func TestPeersMalformed(t *testing.T) {
	t.Parallel()
	d := harness.StartSample(t)
	c := signIn(t, d, d.Person(t, "tanaka"))
	refused := func(what string, a harness.Answer, err error) {
		t.Helper()
		if err == nil && (a.Status < 400 || a.Status >= 500) {
			t.Errorf("%s: %d %.200s", what, a.Status, a.Body)
		}
	}
	deep := strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)
	for _, path := range []string{
		"/signin", "/signin/totp", "/signin/password", "/signin/acknowledge", "/password", "/factors/totp/finish", "/leak-reports",
	} {
		for _, body := range []string{
			"{", "}", "[]", "null", "1", `"x"`, "{}", `{"login":}`, `{"login":"a","login":"b","password":"c"}`, `{"Login":"a","password":"b"}`,
			`{"login":["tanaka"],"password":"x"}`, `{"login":{"$ne":1},"password":{"$ne":1}}`, `{"login":"tanaka","password":null}`, `{"login":"tanaka","password":"x","admin":true}`,
			`{"code":123456}`, `{"code":null}`, `{"code":"000000","code":"111111"}`, `{"code":["000000","111111"]}`, `{"code":""}`, `{"version":1}`,
			`{"id":"nobody's","code":"000000","name":"x"}`, `{"id":"x","code":"000000","name":"` + strings.Repeat("n", 300) + `"}`, `{"id":"x","code":"00","name":"\u0000"}`,
			`{"what":1}`, `{"what":""}`, `{"current":"x"}`, `{"current":"x","new":"` + strings.Repeat("n", 5000) + `"}`, `{"new_password":true}`,
			"{} {}", "{}x", "\xff\xfe{}", "{\"login\":\"\xff\"}", deep, strings.Repeat("[", 50000), `{"login":"` + strings.Repeat("a", 1<<20) + `"}`, " ",
		} {
			a, err := c.Fork().Send("POST", "/api/v1"+path, "application/json", []byte(body))
			refused(fmt.Sprintf("POST %s %.60q", path, body), a, err)
		}
		for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/json, text/plain", "json"} {
			a, err := c.Fork().Send("POST", "/api/v1"+path, kind, []byte(`{"login":"tanaka","password":"x"}`))
			refused(fmt.Sprintf("POST %s as %q", path, kind), a, err)
		}
	}
	for _, path := range []string{"/signin", "/signin/totp", "/signin/password", "/signin/enrol", "/me/password", "/me/factors/totp", "/me/leak"} {
		for _, body := range []string{"%", "a=%zz", "login=a&login=b;password=c", strings.Repeat("a=b&", 40000), "\x00\x01", "login=%00&password=%00"} {
			a, err := c.Fork().Send("POST", path, "application/x-www-form-urlencoded", []byte(body))
			if err == nil && (a.Status/100 == 2 || a.Status >= 500 || a.Status/100 == 3 && !strings.HasPrefix(a.Header.Get("Location"), "/signin") && a.Header.Get("Location") != "/me") {
				t.Errorf("POST %s %.40q: %d to %s", path, body, a.Status, a.Header.Get("Location"))
			}
		}
	}
	app := app(d)
	live := c.Cookies["__Host-sekisho"]
	for _, cookie := range []string{
		"", "x", ".", "..", "a.b", live + "x", "x" + live, live[1:], live[:len(live)-1], strings.ToUpper(live), live + "; __Host-sekisho=" + live,
		live + "; __Host-sekisho=x", `"` + live + `"`, "\x7f", "%00", strings.Repeat("A", 900), strings.Repeat("A", 20000), strings.Replace(live, ".", "..", 1), "=" + live,
	} {
		for _, r := range []route{{"GET", "/api/v1/session"}, {"GET", "/auth/check"}, {"POST", "/api/v1/factors/totp/begin"}, {"POST", "/api/v1/leak-reports"}} {
			fresh := harness.NewClient(d.URL)
			a, err := fresh.Send(r.method, r.path, "", nil, "Cookie", "__Host-sekisho="+cookie, "X-Original-URL", app.URL, "X-Original-Method", "GET")
			refused(fmt.Sprintf("%s %s with the cookie %.50q", r.method, r.path, cookie), a, err)
		}
	}
	for _, h := range [][]string{
		{}, {"X-Original-Method", "GET"}, {"X-Original-URL", app.URL}, {"X-Original-URL", "", "X-Original-Method", "GET"},
		{"X-Original-URL", "bunsho.localhost", "X-Original-Method", "GET"}, {"X-Original-URL", "//bunsho.localhost/", "X-Original-Method", "GET"},
		{"X-Original-URL", "http://", "X-Original-Method", "GET"}, {"X-Original-URL", "http:///", "X-Original-Method", "GET"}, {"X-Original-URL", "ftp://bunsho.localhost/", "X-Original-Method", "GET"},
		{"X-Original-URL", app.URL + "%zz", "X-Original-Method", "GET"}, {"X-Original-URL", app.URL + "%00", "X-Original-Method", "GET"}, {"X-Original-URL", app.URL + "\\..", "X-Original-Method", "GET"},
		{"X-Original-URL", app.URL + "#x", "X-Original-Method", "GET"}, {"X-Original-URL", "http://u:p@" + app.Host + "/", "X-Original-Method", "GET"},
		{"X-Original-URL", app.URL, "X-Original-Method", "G E T"}, {"X-Original-URL", app.URL, "X-Original-Method", strings.Repeat("A", 100)},
		{"X-Original-URL", "http://nobody.localhost/", "X-Original-Method", "GET"}, {"X-Original-URL", "http://" + app.Host + ":99999999/", "X-Original-Method", "GET"},
		{"X-Original-URL", "http://" + app.Host + ".evil.example/", "X-Original-Method", "GET"}, {"X-Original-URL", "http://evil.example/http://" + app.Host, "X-Original-Method", "GET"},
		{"X-Original-URL", app.URL, "X-Original-Method", "GET", "X-Forwarded-Host", "zaimu.localhost"}, {"X-Original-URL", app.URL, "X-Original-Method", "GET", "X-Forwarded-Uri", "/other"},
		{"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "http", "X-Forwarded-Uri", "/"}, {"X-Forwarded-Method", "GET", "X-Forwarded-Proto", "gopher", "X-Forwarded-Host", app.Host, "X-Forwarded-Uri", "/"},
		{"X-Forwarded-Host", app.Host, "X-Forwarded-Uri", "/"}, {"X-Original-URL", app.URL, "X-Original-Method", "GET", "X-Forwarded-For", "nonsense"},
		{"X-Original-URL", app.URL, "X-Original-Method", "GET", "X-Forwarded-For", "10.2.0.1, nonsense"},
	} {
		a, err := c.Fork().Send("GET", "/auth/check", "", nil, h...)
		refused(fmt.Sprintf("/auth/check with %.100q", h), a, err)
		if a.Header.Get("Remote-User") != "" {
			t.Errorf("/auth/check with %q tells who it is", h)
		}
	}
	for _, name := range []string{"X-Original-URL", "X-Original-Method"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", d.URL+"/auth/check", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cookie", "__Host-sekisho="+live)
		req.Header.Set("X-Original-URL", app.URL)
		req.Header.Set("X-Original-Method", "GET")
		req.Header.Add(name, req.Header.Get(name))
		resp, err := c.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("/auth/check with %s twice: %d", name, resp.StatusCode)
		}
	}
	if a := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", app.URL, "X-Original-Method", "GET"); a.Status != 200 || a.Header.Get("Remote-User") != "tanaka" {
		t.Errorf("/auth/check asked properly: %d for %q; nothing above proves anything", a.Status, a.Header.Get("Remote-User"))
	}
}
