package page

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
)

// office answers as the administrators' service does, for a policy of its own.
type office struct {
	err     error
	failAct error           // what the next act answers
	posts   []policy.PostID // of the person who is looked at
	closed  []standing.Record
	did     []string
}

const officeSecret = "KASUMI-7KQ2M-X9TRD"

func (f *office) do(what string, args ...any) error {
	f.did = append(f.did, strings.TrimSpace(what+" "+fmt.Sprintln(args...)))
	if f.failAct != nil {
		return f.failAct
	}
	return f.err
}

func (f *office) Find(_ context.Context, _ signin.Origin, _, query, _ string, _ int) ([]people.Listed, string, error) {
	if query == "nobody" {
		return nil, "", f.err
	}
	return []people.Listed{
		{Login: "tanaka", Name: `田中 <b>美咲</b>`, Section: "joho", State: "active", Posts: []policy.PostID{policy.Staff}},
		{Login: "saito", Name: "斎藤 実", Section: "joho", State: "dormant"},
	}, "saito", f.err
}

func (f *office) Show(_ context.Context, _ signin.Origin, _, login string) (people.Detail, error) {
	p := policy.Standard()
	d := people.Detail{
		Person: directory.Person{Login: login, Name: `田中 <b>美咲</b>`, Section: "joho", Mail: login + "@pref.example", Account: directory.Account{
			PasswordChangedAt: t0.Add(-time.Hour), MustChange: true, LastUsedAt: t0.Add(-time.Hour)}},
		Posts: f.posts, State: "active", Closed: f.closed, Sessions: 2, Recovery: t0.Add(time.Hour),
		Factors:  []account.Factor{{ID: "k1", Kind: "passkey", Name: "鍵", AddedAt: t0}, {ID: "d1", Kind: "token", Serial: "77", Name: "77", AddedAt: t0}},
		Attempts: []people.Attempt{{Kind: "password", Failures: 7, HeldUntil: t0.Add(time.Minute)}, {Kind: "code", Failures: 50, Spent: true}},
		May:      map[authz.Act]authz.Permission{},
	}
	if len(f.closed) > 0 {
		d.State = string(f.closed[0].Kind)
	}
	for _, act := range authz.Acts() {
		d.May[act] = authz.May(p, act, []policy.PostID{policy.SystemAdministrator}, f.posts, false)
	}
	return d, f.err
}

func (f *office) Suspend(_ context.Context, _ signin.Origin, _, login, reason string, until time.Time) error {
	return f.do("suspend", login, reason, until.Format(time.RFC3339))
}
func (f *office) Restore(_ context.Context, _ signin.Origin, _, login, reason string) error {
	return f.do("restore", login, reason)
}
func (f *office) Unlock(_ context.Context, _ signin.Origin, _, login string) error {
	return f.do("unlock", login)
}
func (f *office) slip(login string) people.Slip {
	return people.Slip{Login: login, Name: "田中 美咲", Section: "joho", Secret: secret.NewText([]byte(officeSecret)), EndsAt: t0.Add(24 * time.Hour)}
}
func (f *office) TemporaryPassword(_ context.Context, _ signin.Origin, _, login string) (people.Slip, error) {
	return f.slip(login), f.do("password", login)
}
func (f *office) RecoveryCode(_ context.Context, _ signin.Origin, _, login string) (people.Slip, error) {
	return f.slip(login), f.do("recovery", login)
}
func (f *office) RemoveFactor(_ context.Context, _ signin.Origin, _, login, id string) error {
	return f.do("unbind", login, id)
}
func (f *office) Terminals(context.Context, signin.Origin, string) ([]people.TerminalSeen, error) {
	at := func(id, class string, declared bool, lost time.Time) people.TerminalSeen {
		return people.TerminalSeen{Terminal: terminal.Terminal{
			ID: id, Zone: policy.LGWAN, Class: class, Name: policy.Words{JA: "端末 " + id, EN: "Terminal " + id}, Key: strings.Repeat("ab12", 16), Declared: declared, LostAt: lost, SeenAt: t0,
		}, WhoName: "田中 美咲"}
	}
	return []people.TerminalSeen{
		at("dedicated-01", policy.TerminalDedicated, true, time.Time{}), at("counter-01", policy.TerminalCounter, false, time.Time{}), at("lent-01", policy.TerminalLent, true, t0),
	}, f.err
}
func (f *office) EnrolTerminal(_ context.Context, _ signin.Origin, _ string, t terminal.Terminal, key string) error {
	return f.do("enrol", t.ID, t.Class, t.Zone, t.Name.JA, key)
}
func (f *office) LoseTerminal(_ context.Context, _ signin.Origin, _, id string) error {
	return f.do("lose", id)
}
func (f *office) RemoveTerminal(_ context.Context, _ signin.Origin, _, id string) error {
	return f.do("remove", id)
}
func (f *office) Tokens(context.Context, signin.Origin, string, string, string, int) ([]totp.Token, string, error) {
	return []totp.Token{
		{Serial: "S1", Maker: "Rei", State: totp.StateStock}, {Serial: "S2", State: totp.StateAssigned, Login: "tanaka", Name: "田中", LastUsedAt: t0, NotAfter: t0.Add(time.Hour)},
		{Serial: "S3", State: totp.StateLost, Login: "tanaka"},
	}, "S3", f.err
}
func (f *office) ImportTokens(_ context.Context, _ signin.Origin, _, format string, data []byte, key secret.Text) (totp.Imported, error) {
	return totp.Imported{Added: 3, Known: []string{"S1"}}, f.do("import", format, len(data), len(key.Reveal()))
}
func (f *office) AssignToken(_ context.Context, _ signin.Origin, _, serial, login string) error {
	return f.do("assign", serial, login)
}
func (f *office) UnassignToken(_ context.Context, _ signin.Origin, _, serial string) error {
	return f.do("unassign", serial)
}
func (f *office) ResyncToken(_ context.Context, _ signin.Origin, _, serial, first, second string) error {
	return f.do("resync", serial, first, second)
}
func (f *office) LoseToken(_ context.Context, _ signin.Origin, _, serial string) error {
	return f.do("losetoken", serial)
}

// The administrators' pages, in every shape that differs in its structure.
func init() {
	bad := web.Invalid(web.FieldError{Field: "id", Rule: "form", Detail: policy.Words{JA: "使えない名前です。", EN: "Not a name."}})
	scenes = append(scenes,
		scene{"people", 200, func(w *world) *answer { return w.signedIn().get("/people?q=tana") }},
		scene{"people-nobody", 200, func(w *world) *answer { return w.signedIn().get("/people?q=nobody") }},
		scene{"person", 200, func(w *world) *answer { return w.signedIn().get("/people/tanaka?done=unlock") }},
		scene{"person-powerful", 200, func(w *world) *answer {
			w.signedIn().office.posts = []policy.PostID{policy.CIO}
			return w.get("/people/yoshida")
		}},
		scene{"person-suspended", 200, func(w *world) *answer {
			w.signedIn().office.closed = []standing.Record{{Kind: standing.Suspended, Since: t0, Until: t0.Add(time.Hour), Reason: "調査のため", By: "sato"}}
			return w.get("/people/tanaka")
		}},
		scene{"person-act", 200, func(w *world) *answer { return w.signedIn().get("/people/tanaka/suspend") }},
		scene{"person-act-refused", 422, func(w *world) *answer { return w.signedIn().post("/people/tanaka/suspend", "until", "2020-01-01") }},
		scene{"person-act-not", 200, func(w *world) *answer {
			w.signedIn().office.posts = []policy.PostID{policy.CIO}
			return w.get("/people/yoshida/recovery-code")
		}},
		scene{"person-unbind", 200, func(w *world) *answer { return w.signedIn().get("/people/tanaka/factors/k1/remove") }},
		scene{"slip-password", 200, func(w *world) *answer { return w.signedIn().post("/people/tanaka/temporary-password") }},
		scene{"slip-recovery", 200, func(w *world) *answer { return w.signedIn().post("/people/tanaka/recovery-code") }},
		scene{"terminals", 200, func(w *world) *answer { return w.signedIn().get("/terminals?done=lost") }},
		scene{"terminals-refused", 422, func(w *world) *answer {
			w.signedIn()
			return w.failing(bad).post("/terminals", "id", "A B", "name_ja", "窓口", "class", "lent")
		}},
		scene{"terminal-lost", 200, func(w *world) *answer { return w.signedIn().get("/terminals/counter-01/lost") }},
		scene{"terminal-remove", 200, func(w *world) *answer { return w.signedIn().get("/terminals/counter-01/remove") }},
		scene{"tokens", 200, func(w *world) *answer { return w.signedIn().get("/tokens?q=S") }},
		scene{"tokens-imported", 200, func(w *world) *answer { return w.signedIn().post("/tokens/import", "format", "csv", "data", "x") }},
		scene{"token-stock", 200, func(w *world) *answer { return w.signedIn().get("/tokens/S1") }},
		scene{"token-assigned", 200, func(w *world) *answer { return w.signedIn().get("/tokens/S2?done=resync") }},
		scene{"token-refused", 409, func(w *world) *answer {
			w.signedIn()
			return w.failing(totp.ErrTokenState).post("/tokens/S1/assign", "login", "tanaka")
		}},
	)
}

// failing has the next act fail, not the looking.
func (w *world) failing(err error) *world { w.office.failAct = err; return w }

// TestSlipIsShownOnce: a secret stands in the answer to the POST, once, and
// nowhere else; a reload shows nothing.
func TestSlipIsShownOnce(t *testing.T) {
	for _, path := range []string{"/people/tanaka/temporary-password", "/people/tanaka/recovery-code"} {
		w := newWorld(t).signedIn()
		a := w.post(path).is(http.StatusOK)
		if n := strings.Count(a.body, officeSecret); n != 1 {
			t.Errorf("%s: the secret is on the page %d times", path, n)
		}
		if cc := a.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
			t.Errorf("%s: Cache-Control %q", path, cc)
		}
		for name, values := range a.Header {
			if strings.Contains(strings.Join(values, " "), officeSecret) {
				t.Errorf("%s: the secret is in %s", path, name)
			}
		}
		if again := w.get(path); strings.Contains(again.body, officeSecret) || len(w.office.did) != 1 {
			t.Errorf("%s: a GET gives another: %v", path, w.office.did)
		}
	}
}

// TestOfficeActs: what is posted becomes one call, and leads back.
func TestOfficeActs(t *testing.T) {
	for _, tt := range []struct {
		path   string
		form   []string
		did    string
		leads  string
		status int
	}{
		{"/people/tanaka/suspend", []string{"reason", "調査のため", "until", "2027-01-31"}, "suspend tanaka 調査のため 2027-01-31T15:00:00Z", "/people/tanaka?done=suspend", 303},
		{"/people/tanaka/suspend", []string{"reason", "調査のため"}, "suspend tanaka 調査のため 0001-01-01T00:00:00Z", "/people/tanaka?done=suspend", 303},
		{"/people/tanaka/suspend", []string{"reason", " "}, "", "", 422},
		{"/people/tanaka/suspend", []string{"reason", "x", "until", "tomorrow"}, "", "", 422},
		{"/people/tanaka/suspend", []string{"reason", strings.Repeat("長", 501)}, "", "", 422},
		{"/people/tanaka/restore", []string{"reason", "調査が終わった"}, "restore tanaka 調査が終わった", "/people/tanaka?done=restore", 303},
		{"/people/tanaka/unlock", nil, "unlock tanaka", "/people/tanaka?done=unlock", 303},
		{"/people/tanaka/promote", nil, "", "", 404},
		{"/people/tanaka/factors/k1/remove", nil, "unbind tanaka k1", "/people/tanaka?done=factor", 303},
		{"/terminals", []string{"id", "c-3", "class", "counter", "zone", "lgwan", "name_ja", "窓口", "public_key", "PEM"}, "enrol c-3 counter lgwan 窓口 PEM", "/terminals?done=enrolled", 303},
		{"/terminals/counter-01/lost", nil, "lose counter-01", "/terminals?done=lost", 303},
		{"/terminals/counter-01/remove", nil, "remove counter-01", "/terminals?done=removed", 303},
		{"/terminals/counter-01/burn", nil, "", "", 404},
		{"/tokens/S1/assign", []string{"login", "tanaka"}, "assign S1 tanaka", "/tokens/S1?done=assign", 303},
		{"/tokens/S2/unassign", nil, "unassign S2", "/tokens/S2?done=unassign", 303},
		{"/tokens/S2/resync", []string{"first", "123 456", "second", "６５４３２１"}, "resync S2 123456 654321", "/tokens/S2?done=resync", 303},
		{"/tokens/S2/lost", nil, "losetoken S2", "/tokens/S2?done=token-lost", 303},
		{"/tokens/S2/eat", nil, "", "", 404},
	} {
		w := newWorld(t).signedIn()
		a := w.post(tt.path, tt.form...).is(tt.status)
		if got := strings.Join(w.office.did, ";"); got != tt.did {
			t.Errorf("%s did %q, want %q", tt.path, got, tt.did)
		}
		if to := a.Header.Get("Location"); to != tt.leads {
			t.Errorf("%s leads to %q, want %q", tt.path, to, tt.leads)
		}
	}
}

// TestOfficeRefusals: what the service refuses is said in its own words, and a
// sign-in that is too weak is led to a stronger one.
func TestOfficeRefusals(t *testing.T) {
	denied := &people.Denied{Permission: authz.May(policy.Standard(), authz.ViewPeople, nil, nil, false)}
	for _, path := range []string{"/people", "/people/tanaka", "/people/tanaka/suspend", "/terminals", "/terminals/counter-01/lost", "/tokens", "/tokens/S1"} {
		w := newWorld(t).signedIn()
		w.office.err = denied
		a := w.get(path).is(http.StatusForbidden)
		if strings.Contains(a.body, "tanaka@pref.example") {
			t.Errorf("%s shows somebody to whoever may not see", path)
		}
		w = newWorld(t).signedIn()
		w.office.err = &account.StepUp{Required: policy.PHR, MaxAge: 10 * time.Minute}
		a = w.get(path).is(http.StatusSeeOther)
		if to := a.Header.Get("Location"); !strings.HasPrefix(to, "/signin?") || !strings.Contains(to, "acr=phr") {
			t.Errorf("%s leads to %q", path, to)
		}
		w = newWorld(t)
		if a := w.get(path).is(http.StatusSeeOther); !strings.HasPrefix(a.Header.Get("Location"), "/signin?") {
			t.Errorf("%s without a session leads to %q", path, a.Header.Get("Location"))
		}
	}
}

// TestOfficeEscapes: a name is text, whatever is in it, and an imported file is
// not sent back.
func TestOfficeEscapes(t *testing.T) {
	w := newWorld(t).signedIn()
	for _, path := range []string{"/people", "/people/tanaka", "/people/tanaka/unlock"} {
		if a := w.get(path); strings.Contains(a.body, "<b>美咲") || !strings.Contains(a.body, "&lt;b&gt;美咲") {
			t.Errorf("%s does not escape a name", path)
		}
	}
	a := w.failing(web.Invalid(web.FieldError{Field: "data", Rule: "line", Detail: policy.Words{JA: "3行目が読めません。", EN: "Line 3 cannot be read."}})).
		post("/tokens/import", "format", "csv", "data", "serial,seed_hex\nS9,deadbeef", "key", "hush")
	if a.is(422); strings.Contains(a.body, "deadbeef") || strings.Contains(a.body, "hush") {
		t.Error("a refused import sends secrets back")
	}
	if !strings.Contains(a.body, "3行目") {
		t.Error("it does not say which line")
	}
}
