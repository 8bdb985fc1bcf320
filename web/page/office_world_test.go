package page

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/standing"
	"sekisho/authn/terminal"
	"sekisho/authn/totp"
	"sekisho/authz"
	"sekisho/authz/people"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/ephemeral"
	"sekisho/policy/secret"
	"sekisho/web"
)

var _ People = (*people.Service)(nil)

// An officeWorld is a world whose reader holds a post, and whose service for
// administrators answers what a test tells it to.
type officeWorld struct {
	*world
	*office
	log bytes.Buffer
}

// office is the service for administrators. Reading answers with what it holds or
// with lookErr, an act with actErr.
type office struct {
	found     []people.Line
	next      string
	read      int
	subject   people.Detail
	slip      people.Slip
	handful   people.Handful
	terminals []people.TerminalSeen
	tokens    []totp.Token
	imported  totp.Imported
	lookErr   error
	looksAt   bool // lookErr is of the dry run alone
	actErr    error
	did       []string
	applications
}

func (d *office) do(what ...any) { d.did = append(d.did, strings.TrimSpace(fmt.Sprintln(what...))) }

func (d *office) List(_ context.Context, _ signin.Origin, _ string, f people.Filter, after string, limit int) (people.List, error) {
	d.do("find", f, after, limit)
	return people.List{People: d.found, Next: d.next, Total: len(d.found), Read: max(d.read, len(d.found))}, d.lookErr
}
func (d *office) Show(_ context.Context, _ signin.Origin, _, login string) (people.Detail, error) {
	if d.lookErr == nil && login != d.subject.Person.Login {
		return people.Detail{}, people.ErrNotFound
	}
	return d.subject, d.lookErr
}
func (d *office) Suspend(_ context.Context, _ signin.Origin, _, login, reason string, until time.Time) error {
	d.do("suspend", login, reason, until.UTC().Format(time.RFC3339))
	return d.actErr
}
func (d *office) Restore(_ context.Context, _ signin.Origin, _, login, reason string) error {
	d.do("restore", login, reason)
	return d.actErr
}
func (d *office) RecordLeave(_ context.Context, _ signin.Origin, _, login string, days people.LeaveDays) error {
	d.do("leave", login, days.Reason, days.From, days.Until)
	return d.actErr
}
func (d *office) EndLeave(_ context.Context, _ signin.Origin, _, login, reason string) error {
	d.do("end leave", login, reason)
	return d.actErr
}
func (d *office) Unlock(_ context.Context, _ signin.Origin, _, login string) error {
	d.do("unlock", login)
	return d.actErr
}
func (d *office) TemporaryPassword(_ context.Context, _ signin.Origin, _, login string) (people.Slip, error) {
	d.do("temporary", login)
	return d.slip, d.actErr
}
func (d *office) TemporaryPasswords(_ context.Context, _ signin.Origin, _ string, logins []string) (people.Handful, error) {
	d.do("slips", logins)
	return d.handful, d.actErr
}
func (d *office) RecoveryCode(_ context.Context, _ signin.Origin, _, login string) (people.Slip, error) {
	d.do("recovery", login)
	return d.slip, d.actErr
}
func (d *office) RemoveFactor(_ context.Context, _ signin.Origin, _, login, id string) error {
	d.do("drop", login, id)
	return d.actErr
}
func (d *office) Terminals(context.Context, signin.Origin, string) ([]people.TerminalSeen, error) {
	return d.terminals, d.lookErr
}
func (d *office) EnrolTerminal(_ context.Context, _ signin.Origin, _ string, t terminal.Terminal, key string) error {
	d.do("enrol", t.ID, t.Class, t.Zone, t.Name.JA, t.Name.EN, key)
	return d.actErr
}
func (d *office) LoseTerminal(_ context.Context, _ signin.Origin, _, id string) error {
	d.do("lose terminal", id)
	return d.actErr
}
func (d *office) RemoveTerminal(_ context.Context, _ signin.Origin, _, id string) error {
	d.do("remove terminal", id)
	return d.actErr
}
func (d *office) Tokens(_ context.Context, _ signin.Origin, _, query, after string, _ int) ([]totp.Token, string, error) {
	d.do("tokens", query, after)
	return d.tokens, d.next, d.lookErr
}
func (d *office) ImportTokens(_ context.Context, _ signin.Origin, _, format string, data []byte, key secret.Text) (totp.Imported, error) {
	d.do("import", format, string(data), string(key.Reveal()))
	return d.imported, d.actErr
}
func (d *office) AssignToken(_ context.Context, _ signin.Origin, _, serial, login string) error {
	d.do("assign", serial, login)
	return d.actErr
}
func (d *office) UnassignToken(_ context.Context, _ signin.Origin, _, serial string) error {
	d.do("unassign", serial)
	return d.actErr
}
func (d *office) ResyncToken(_ context.Context, _ signin.Origin, _, serial, first, second string) error {
	d.do("resync", serial, first, second)
	return d.actErr
}
func (d *office) LoseToken(_ context.Context, _ signin.Origin, _, serial string) error {
	d.do("lose token", serial)
	return d.actErr
}

// last is the last act that was asked for; "" for none.
func (d *office) last() string {
	if len(d.did) == 0 {
		return ""
	}
	return d.did[len(d.did)-1]
}

// The secret of the slips, and a name that is not to be taken for HTML.
const (
	slipSecret = "kamg-7fxw-2mqp-h9rt"
	evilName   = `<img src=x onerror=alert(1)> "鈴木"`
)

// inOffice gives the reader a post and a proof that is strong and fresh, the
// people something to do, and the server a log that can be read.
func inOffice(w *world, posts ...string) *officeWorld {
	if len(posts) == 0 {
		posts = []string{"system_administrator"}
	}
	o := &officeWorld{world: w.signedIn(posts...), office: w.office}
	w.now.Session.ACR = policy.PHR
	w.now.Person.Name, w.now.Person.Login = "佐々木 健", "sasaki"
	o.remount(o.office, &o.log)
	o.found = []people.Line{
		{Listed: people.Listed{Login: "suzuki", Name: evilName, Section: "joho", Kind: directory.KindStaff, State: people.Active, Posts: []policy.PostID{policy.Staff, policy.CIO}}, LastUsedAt: t0, ShutOut: true, NoFactor: true, Temporary: true},
		{Listed: people.Listed{Login: "hayashi", Name: "林 健太", Kind: directory.KindContractor, State: people.Suspended}},
		{Listed: people.Listed{Login: "batch", Name: "", Kind: directory.KindService, State: people.Disabled}},
		{Listed: people.Listed{Login: "madoguchi", Name: "窓口", Kind: directory.KindShared, State: people.Dormant}},
		{Listed: people.Listed{Login: "ito", Name: "伊藤", Kind: directory.KindStaff, State: people.OnLeave}},
		{Listed: people.Listed{Login: "kato", Name: "加藤", Kind: directory.KindStaff, State: people.Expired}},
	}
	o.subject = o.suzuki()
	o.slip = people.Slip{Login: "suzuki", Name: "鈴木 一郎", Section: "joho", Secret: secret.NewText([]byte(slipSecret)), EndsAt: t0.Add(24 * time.Hour)}
	o.terminals = []people.TerminalSeen{
		{Terminal: terminal.Terminal{ID: "juki-01", Zone: policy.MyNumber, Class: policy.TerminalDedicated, Name: policy.Words{JA: "住基端末1", EN: "Register 1"}, Key: "SHA256:aaaaaaaaaaaaaaaaaaaa", Declared: true, SeenAt: t0}, Who: "suzuki", WhoName: evilName},
		{Terminal: terminal.Terminal{ID: "madoguchi-03", Zone: policy.LGWAN, Class: policy.TerminalCounter, Name: policy.Words{JA: evilName}, AddedAt: t0, AddedBy: "sasaki"}},
		{Terminal: terminal.Terminal{ID: "kashi-7", Zone: policy.LGWAN, Class: policy.TerminalLent, Name: policy.Words{JA: "貸与7"}, Key: "SHA256:b", AddedAt: t0, AddedBy: "sasaki", LostAt: t0}},
	}
	o.tokens = []totp.Token{
		{Serial: "A0001", Maker: "Example", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, State: totp.StateStock, ImportedAt: t0},
		{Serial: "A0002", Maker: "Example", Algorithm: "SHA256", Digits: 8, Period: time.Minute, State: totp.StateAssigned, Login: "suzuki", Name: evilName, ImportedAt: t0, AssignedAt: t0, LastUsedAt: t0},
		{Serial: "A0003", Algorithm: "SHA1", Digits: 6, Period: 30 * time.Second, State: totp.StateLost, ImportedAt: t0},
	}
	return o
}

// remount puts the pages on a server of their own, whose log can be read.
func (w *world) remount(p People, log io.Writer) {
	w.srv = web.New(web.Config{
		PublicURL: w.srv.PublicURL(), Now: w.clock.Now, Policy: func() *policy.Policy { return w.policy },
		Guard: w.services, LoopbackZone: policy.LGWAN, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	Mount(w.srv, Services{Steps: w.services, Presence: w.services, Factors: ways{w.services}, Account: w.services, Charter: w.services, Terminal: w.services, People: p, Desk: w.desk, Projects: w.project, Drafts: ephemeral.NewMemory(w.clock.Now, 100)})
}

// suzuki is somebody with something in every place of the page.
func (o *officeWorld) suzuki() people.Detail {
	d := people.Detail{
		Person: directory.Person{
			ID: "p2", Login: "suzuki", Name: evilName, Mail: "suzuki@pref.example", Section: "joho", Kind: directory.KindStaff,
			Account: directory.Account{
				LastUsedAt: t0.Add(-time.Hour), PasswordChangedAt: t0.AddDate(0, -1, 0), MustChange: true,
				PasswordLocked: true, PasswordLockedUntil: t0.Add(time.Minute), PasswordExpiresAt: t0.AddDate(1, 0, 0), ExpiresAt: t0.AddDate(2, 0, 0),
			},
		},
		Posts: []policy.PostID{policy.Staff}, State: people.Active, Sessions: 2, Live: []session.Session{
			{ID: "s1", Zone: policy.LGWAN, From: "10.2.0.7", UserAgent: agent, SeenAt: t0, Terminal: "madoguchi-01", TerminalClass: policy.TerminalCounter},
			{ID: "s2", Zone: policy.LGWAN, From: "10.2.0.99", SeenAt: t0.Add(-time.Hour)},
		}, Past: []people.Past{
			{At: t0, Action: "person.suspended", By: "sasaki", Reason: "紛失の連絡 <i>"}, {At: t0.AddDate(0, -1, 0), Action: "factor.removed", By: "sasaki", What: evilName},
		}, Recovery: t0.Add(2 * time.Hour),
		Factors: []account.Factor{
			{ID: "f/1", Kind: "totp", Name: evilName, AddedAt: t0},
			{ID: "f2", Kind: "token", Name: "トークン", Serial: "A0002", AddedAt: t0, LastUsedAt: t0},
			{ID: "f3", Kind: "passkey", Name: "鍵", AddedAt: t0}, {ID: "f4", Kind: "passkey", Name: "電話", Synced: true, AddedAt: t0},
		},
		Attempts: []people.Attempt{{Kind: "password", Failures: 7, HeldUntil: t0.Add(time.Minute)}, {Kind: "code", Failures: 50, Spent: true}},
	}
	return o.seenBy(d, "system_administrator")
}

// seenBy fills in what a reader of these posts may do, as the service would.
func (o *officeWorld) seenBy(d people.Detail, posts ...policy.PostID) people.Detail {
	d.May = map[authz.Act]authz.Permission{}
	for _, act := range authz.Acts() {
		d.May[act] = authz.May(o.policy, act, posts, d.Posts, false)
	}
	return d
}

// suspended is suzuki when suspended.
func (o *officeWorld) suspended() people.Detail {
	d := o.suzuki()
	d.State, d.Sessions, d.Live, d.Attempts = people.Suspended, 0, nil, nil
	d.Person.Account.PasswordLocked = false
	d.Closed = []standing.Record{{Kind: standing.Suspended, Since: t0, Until: t0.AddDate(0, 0, 3), Reason: "不正利用の疑い\n<b>", By: "sasaki"}, {Kind: standing.OnLeave, Since: t0}}
	return d
}
