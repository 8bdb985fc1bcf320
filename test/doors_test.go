package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"sekisho/authn/session"
	"sekisho/authn/standing"
	"sekisho/cmd/sekisho/folder"
	"sekisho/directory"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/test/harness"
)

// A door is a way in: something that gives out a session or a token, or answers
// yes about a person. open reports whether it let this client through.
type door struct {
	name string
	open func(t *testing.T, d *harness.Dev, c *harness.Client) bool
}

func app(d *harness.Dev) folder.App { return d.Apps[0] }

// doors are all there are. A new one goes in here.
var doors = slices.Concat(openIDDoors, []door{
	{"GET /session", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/api/v1/session", nil).Status == 200
	}},
	{"GET /sessions", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/api/v1/sessions", nil).Status == 200
	}},
	{"POST /factors/totp/begin", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "POST", "/api/v1/factors/totp/begin", nil).Status/100 == 2
	}},
	{"GET /privileges", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/api/v1/privileges", nil).Status == 200
	}},
	{"GET /elevations", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/api/v1/elevations", nil).Status == 200
	}},
	// Nothing is lent to tanaka: the door is open where that is the answer.
	{"POST /elevations", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "POST", "/api/v1/elevations", map[string]any{"privilege": "db-admin", "reason": "索引を作り直す", "minutes": 15})
		return a.Status == 201 || a.Status == 409 || a.Status == 403 && strings.Contains(string(a.Body), "62-6")
	}},
	{"POST /elevations/emergency", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "POST", "/api/v1/elevations/emergency", map[string]any{"privilege": "db-admin", "reason": "障害", "minutes": 15})
		return a.Status == 201 || a.Status == 409 || a.Status == 403 && strings.Contains(string(a.Body), "62-6")
	}},
	{"GET /permits", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/api/v1/permits", nil).Status == 200
	}},
	{"POST /permits", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "POST", "/api/v1/permits", map[string]any{"kind": "outside_work", "place": "自宅", "work": "文書の作成", "measures": "画面を見せない", "reason": "在宅", "until": "2000-01-01"}).Status == 422
	}},
	{"GET /shared-ids", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/api/v1/shared-ids", nil).Status == 200
	}},
	// What tanaka has already, or somebody else has, is open too.
	{"POST /shared-ids/checkout", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "POST", "/api/v1/shared-ids/hoso/checkout", map[string]any{"reason": "放送", "minutes": 5})
		return a.Status == 201 || a.Status == 409
	}},
	// tanaka audits nothing: the door is open where that is the answer.
	{"GET /audit", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "GET", "/api/v1/audit", nil)
		return a.Status == 403 && strings.Contains(string(a.Body), "82-1")
	}},
	{"GET /trail", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		for _, path := range []string{"/trail?from=", "/trail/0"} {
			a := c.Do(t, "GET", path, nil)
			if a.Status != 403 || !strings.Contains(string(a.Body), "Article 82(1)") && !strings.Contains(string(a.Body), "第82条第1項") {
				return false
			}
		}
		return true
	}},
	// tanaka reviews nothing: the door is open where that is the answer.
	{"GET /recertifications", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "GET", "/api/v1/recertifications", nil)
		return a.Status == 403 && strings.Contains(string(a.Body), "13-1")
	}},
	{"POST /recertifications/decide", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "POST", "/api/v1/recertifications/none/decide", map[string]any{"lines": []string{"x"}, "answer": "confirm"}).Status == 404
	}},
	// tanaka has no projects to look after: the door is open where that is the answer.
	{"GET /projects", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "GET", "/api/v1/projects", nil)
		return a.Status == 403 && strings.Contains(string(a.Body), "67-1")
	}},
	{"POST /projects", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "POST", "/api/v1/projects", map[string]any{"id": "a", "name": "a", "section": "jinji", "environment": "development", "until": "2000-01-01"})
		return a.Status == 403 && strings.Contains(string(a.Body), "67-2(1)")
	}},
	{"POST /projects/complete", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "POST", "/api/v1/projects/none/complete", map[string]any{"reason": "x"}).Status == 404
	}},
	{"the page of projects", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "GET", "/projects", nil, "Accept", "text/html")
		return a.Status == 403 && strings.Contains(string(a.Body), "67")
	}},
	{"what is lent to me", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/leases", nil).Status == 200
	}},
	{"my page", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", "/me", nil).Status == 200
	}},
	{"forward-auth", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		a := c.Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET")
		return a.Status == 200
	}},
	{"the application", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		return c.Do(t, "GET", d.URL+"/", nil, "Host", app(d).Host).Status == 200
	}},
	{"the handover", func(t *testing.T, d *harness.Dev, c *harness.Client) bool {
		fresh := harness.NewClient(d.URL)
		fresh.From = c.From
		fresh.Cookies["__Host-sekisho"] = c.Cookies["__Host-sekisho"]
		host, at := app(d).Host, "/"
		for range 6 {
			a := fresh.Do(t, "GET", d.URL+at, nil, "Host", host, "Accept", "text/html")
			if a.Status/100 != 3 {
				return a.Status == 200 && strings.HasPrefix(host, app(d).Host)
			}
			host, at = follow(t, a, host)
		}
		return false
	}},
})

// directoryDo changes the directory without Sekisho, as its administrators do.
func directoryDo(t *testing.T, d *harness.Dev, do func(*goldap.Conn) error) {
	t.Helper()
	conn, err := goldap.DialURL(d.LDAP.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Bind(d.LDAP.BindDN, d.LDAP.BindPassword); err != nil {
		t.Fatal(err)
	}
	if err := do(conn); err != nil {
		t.Fatal(err)
	}
}

// TestDoorsClose: somebody who was let in, and is then disabled, expired, deleted or
// made an ID that several people use (article 46-1) in the directory without Sekisho, is refused at every door within
// 30 s (design rules 2 and 9; security.md section 2, rows 6 and 20).
func TestDoorsClose(t *testing.T) {
	t.Parallel()
	modify := func(attr string, value ...string) func(p folder.Person) func(*goldap.Conn) error {
		return func(p folder.Person) func(*goldap.Conn) error {
			return func(c *goldap.Conn) error {
				m := goldap.NewModifyRequest(p.DN, nil)
				m.Replace(attr, value)
				return c.Modify(m)
			}
		}
	}
	for _, tt := range []struct {
		name string
		do   func(p folder.Person) func(*goldap.Conn) error
		says string // to whoever has the password and code; "": what a stranger is told
	}{
		{"disabled", modify("pwdAccountLockedTime", "000001010000Z"), ""},
		{"expired", modify("shadowExpire", "1"), ""},
		{"deleted", func(p folder.Person) func(*goldap.Conn) error {
			return func(c *goldap.Conn) error { return c.Del(goldap.NewDelRequest(p.DN, nil)) }
		}, ""},
		{"shared by several", modify("employeeType", "shared"), "shared ID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := harness.StartDev(t, "")
			tanaka := d.Person(t, "tanaka")
			c := signIn(t, d, tanaka)
			handed := c.Fork()
			if body, _ := open(t, handed, d, app(d)); body == "" {
				t.Fatal("the application does not open")
			}
			for _, door := range doors {
				if !door.open(t, d, handed) {
					t.Fatalf("%s is closed to tanaka before anything happened", door.name)
				}
			}
			gear := lender{Dev: d}.remotely(t, tanaka.Login)
			directoryDo(t, d, tt.do(tanaka))
			d.Advance(t, 30*time.Second)
			for _, door := range doors {
				if door.open(t, d, handed.Fork()) {
					t.Errorf("%s is open", door.name)
				}
			}
			s, a := harness.NewClient(d.URL).Password(t, tanaka.Login, tanaka.Password)
			if tt.says == "" && a.Status != 401 || tt.says != "" && (a.Status != 403 || !strings.Contains(string(a.Body), tt.says) || !strings.Contains(string(a.Body), "46-1") || !strings.Contains(string(a.Body), "/shared")) {
				t.Errorf("signing in: %d %q %s", a.Status, s.State, a.Body)
			}
			if tt.says == "" {
				gear.shut(t)
				return
			}
			if a := gear.comes(t); a.code != "Access-Reject" || !strings.Contains(a.message, tt.says) {
				t.Errorf("the network door: %s", a.all)
			}
			gear.out(t)
		})
	}
}

// TestDoorsStayClosed tries everybody of the sample who may use nothing, and
// somebody whose password is spent, at every door.
func TestDoorsStayClosed(t *testing.T) {
	t.Parallel()
	d := harness.StartDev(t, "")
	for _, state := range []string{"dormant", "left", "on_leave", "ended"} {
		t.Run(state, func(t *testing.T) {
			p := d.InState(t, state)
			c := harness.NewClient(d.URL)
			if s, a := c.Password(t, p.Login, p.Password); a.Status != 401 || a.Code() != "refused" {
				t.Errorf("signing in with the right password: %d %q %s", a.Status, s.State, a.Body)
			}
			if len(c.Cookies) > 0 {
				t.Errorf("a refused sign-in set cookies %v", c.Cookies)
			}
			for _, door := range doors {
				if door.open(t, d, c.Fork()) {
					t.Errorf("%s is open", door.name)
				}
			}
		})
	}
	t.Run("held", func(t *testing.T) {
		p := d.Person(t, "tanaka")
		for range 5 {
			if _, a := harness.NewClient(d.URL).Password(t, p.Login, "wrong"); a.Status != 401 {
				t.Fatalf("a wrong password: %d", a.Status)
			}
		}
		c := harness.NewClient(d.URL)
		if _, a := c.Password(t, p.Login, p.Password); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
			t.Errorf("the right password while held: %d %s", a.Status, a.Body)
		}
		for _, door := range doors {
			if door.open(t, d, c.Fork()) {
				t.Errorf("%s is open", door.name)
			}
		}
	})
	t.Run("a sign-in under way", func(t *testing.T) {
		p := d.InState(t, "active")
		for _, q := range d.People {
			if q.State == "active" && q.Login != "tanaka" {
				p = q
			}
		}
		c := harness.NewClient(d.URL)
		if s, a := c.Password(t, p.Login, p.Password); s.State != "second_factor" {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		for _, door := range doors {
			if door.open(t, d, c.Fork()) {
				t.Errorf("%s is open before the second factor (security.md section 2, row 8)", door.name)
			}
		}
	})
}

// TestDoorsCloseOnSuspension: what Sekisho itself records against a person, at
// another gateway on the same store, closes every door here within a second
// (design rules 4 and 9). The doors of a sign-in under way close with them.
func TestDoorsCloseOnSuspension(t *testing.T) {
	t.Parallel()
	for _, kind := range []standing.Kind{standing.Suspended, standing.Dormant, standing.OnLeave} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			d := harness.StartSample(t)
			tanaka := d.Person(t, "tanaka")
			gear := lender{Dev: d}.remotely(t, tanaka.Login)
			nextStep(t, d)
			c := signIn(t, d, tanaka)
			if body, _ := open(t, c, d, app(d)); body == "" {
				t.Fatal("the application does not open")
			}
			halfway := harness.NewClient(d.URL)
			if s, a := halfway.Password(t, tanaka.Login, tanaka.Password); s.State != "second_factor" {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			record := elsewhere(t, d)
			for _, door := range doors {
				if !door.open(t, d, c) {
					t.Fatalf("%s is closed to tanaka before anything happened", door.name)
				}
			}
			closed := clock.Stopwatch()
			record(tanaka.Login, kind)
			harness.Until(t, "the session to be refused", func() bool {
				return c.Fork().Do(t, "GET", "/auth/check", nil, "X-Original-URL", app(d).URL, "X-Original-Method", "GET").Status != 200
			})
			if took := closed(); took > time.Second {
				t.Errorf("refused after %v, want within a second", took)
			}
			for _, door := range doors {
				if door.open(t, d, c.Fork()) {
					t.Errorf("%s is open", door.name)
				}
			}
			gear.shut(t)
			nextStep(t, d)
			if s, a := halfway.TOTP(t, harness.Code(t, *tanaka.TOTPSecret, halfway.Now(t))); a.Status != 401 {
				t.Errorf("the sign-in under way went on: %d %q", a.Status, s.State)
			}
			if s, a := harness.NewClient(d.URL).Password(t, tanaka.Login, tanaka.Password); a.Status != 401 || a.Code() != "refused" {
				t.Errorf("signing in: %d %q", a.Status, s.State)
			}
		})
	}
}

// storeOf opens the store of a dev beside it, as another gateway does.
func storeOf(t *testing.T, d *harness.Dev) (*store.DB, folder.Folder) {
	t.Helper()
	f, err := folder.Existing(d.Folder)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Driver: "sqlite", Path: f.Store()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, f
}

// elsewhere is another gateway on dev's store. What it returns records a kind
// against a person and ends their sessions in one transaction.
func elsewhere(t *testing.T, d *harness.Dev) func(login string, k standing.Kind) {
	t.Helper()
	db, f := storeOf(t, d)
	ring, err := secret.LoadKeyRing(f.SessionKey())
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return harness.NewClient(d.URL).Now(t) } // the gateways of a store agree about the time
	sessions := session.New(db, ring, audit.New(db, now), nil, nil, now)
	return func(login string, k standing.Kind) {
		t.Helper()
		var person string
		if err := db.QueryRow(t.Context(), `SELECT person_id FROM session WHERE login = $1`, login).Scan(&person); err != nil {
			t.Fatal(err)
		}
		err := db.WithTx(t.Context(), func(tx *store.Tx) error {
			id := directory.PersonID(person)
			if err := standing.Set(t.Context(), tx, id, k, now(), time.Time{}, "test", "kobayashi"); err != nil {
				return err
			}
			return sessions.EndAll(t.Context(), tx, id, login, "", string(k))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
