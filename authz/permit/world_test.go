package permit

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authn/terminal"
	"sekisho/authz/approval"
	"sekisho/authz/approval/approvaltest"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/clock"
	"sekisho/policy/secret"
	"sekisho/policy/store"
	"sekisho/policy/store/storetest"
)

// sections are those of the test's prefecture: soumu > jinji, zaisei; dejitaru > joho.
func sections() []policy.Section {
	return []policy.Section{{ID: "soumu"}, {ID: "jinji", Parent: "soumu"}, {ID: "zaisei", Parent: "soumu"}, {ID: "dejitaru"}, {ID: "joho", Parent: "dejitaru"}}
}

// staff are its people: who they are and where they work.
var staff = map[string]struct {
	post    policy.PostID
	section string
}{
	"tanaka": {policy.Staff, "jinji"}, "mori": {policy.Staff, "zaisei"},
	"endo": {policy.SecurityManager, "jinji"}, "eto": {policy.SecurityManager, "joho"}, "zen": {policy.SecurityManager, "zaisei"},
	"ono": {policy.SecurityOfficer, "soumu"}, "oda": {policy.SecurityOfficer, "dejitaru"},
	"cho": {policy.CIO, "dejitaru"}, "choei": {policy.CIO, "dejitaru"}, "sasa": {policy.CSIRT, "joho"}, "kan": {policy.Auditor, "joho"}, "sato": {policy.SystemAdministrator, "joho"},
}

// A world is the register of permits on a real store, with the real engine of approvals
// and a clock of its own.
type world struct {
	testing.TB
	*Book
	clock   *clock.Fake
	policy  *policy.Policy
	office  *approvaltest.Office
	matters *approval.Book
	listed  terminals
}

// terminals are those that are enrolled.
type terminals map[string]terminal.Terminal

func (l terminals) Find(_ context.Context, _ store.Reader, id string) (terminal.Terminal, error) {
	if t, ok := l[id]; ok {
		return t, nil
	}
	return terminal.Terminal{}, terminal.ErrNotFound
}

func (l terminals) List(context.Context) ([]terminal.Terminal, error) {
	var out []terminal.Terminal
	for _, t := range l {
		out = append(out, t)
	}
	return out, nil
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: clock.NewFake(t0), policy: rules(), listed: terminals{"kashi-01": {ID: "kashi-01", Class: policy.TerminalLent}}}
	w.policy.Sections = sections()
	for i := range w.policy.Posts {
		w.policy.Posts[i].Group = "cn=" + string(w.policy.Posts[i].ID) + ",ou=groups"
	}
	for i := range w.policy.Zones {
		w.policy.Zones[i].MailNotices = true
	}
	w.policy.Mail.From = "sekisho@pref.example"
	w.policy.Terminals = []policy.Terminal{{ID: "kashi-01", Zone: policy.LGWAN, Class: policy.TerminalLent}}
	w.policy.Remote.LentByRemotePermit = true
	db := storetest.Open(t)
	pol := func() *policy.Policy { return w.policy }
	trail := audit.New(db, w.clock.Now)
	posts := map[string]policy.PostID{}
	for login, one := range staff {
		posts[login] = one.post
	}
	w.office = approvaltest.Open(t, db, trail, pol, w.clock, posts)
	for login, one := range staff {
		p := w.office.People[login]
		p.Section, p.Mail, p.Kind = one.section, login+"@pref.example", directory.KindStaff
		w.office.People[login] = p
	}
	ring, err := secret.CreateKeyRing(filepath.Join(t.TempDir(), "ring"))
	w.must(err)
	notices := notice.New(db, w.clock.Now, pol)
	version := func() int64 { return 7 }
	w.matters = approval.New(approval.House{
		DB: db, Trail: trail, Policy: pol, Version: version, People: w.office, Facts: w.office, Presence: w.office, Notices: notices, Now: w.clock.Now,
	})
	w.Book = New(House{
		DB: db, Trail: trail, Policy: pol, Version: version, Matters: w.matters, People: w.office, Facts: w.office, Terminals: w.listed,
		Sessions: session.New(db, ring, trail, nil, pol, w.clock.Now), Notices: notices, Now: w.clock.Now,
	})
	w.Book.Open(w.matters)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// as is somebody who has just signed in with a key of last year.
func (w *world) as(login string) By {
	w.Helper()
	cookie := w.office.SignIn(w, login, policy.PHR, t0.AddDate(-1, 0, 0))
	by, err := w.Signed(w.Context(), signin.Origin{Zone: policy.LGWAN}, cookie)
	w.must(err)
	return by
}

// remote is a wish with nothing wrong in it.
func remote(change ...func(*Wish)) Wish {
	w := Wish{
		Kind: policy.PermitRemote, Reason: "在宅", From: "2026-11-26", Until: "2027-03-31", Stated: Stated{"terminal": {"kashi-01"}, "applications": {"bunsho"}},
	}
	for _, c := range change {
		c(&w)
	}
	return w
}

// privately is a wish of a kind that the manager of the section decides.
func privately(change ...func(*Wish)) Wish {
	return remote(append([]func(*Wish){func(w *Wish) {
		w.Kind, w.Stated = policy.PermitPrivateTerminal, Stated{"terminal": {"jitaku-pc"}, "measures": {"暗号化"}}
	}}, change...)...)
}

func (w *world) asks(login string, wish Wish) Permit {
	w.Helper()
	m, err := w.Ask(w.Context(), w.as(login), wish)
	w.must(err)
	return m
}

// given is a permit that was asked for and granted.
func (w *world) given(login string, wish Wish, by string) Permit {
	w.Helper()
	m, err := w.Decide(w.Context(), w.as(by), w.asks(login, wish).ID, true, "", nil)
	w.must(err)
	if m.State(w.clock.Now()) != Approved {
		w.Fatalf("the permit is %s", m.State(w.clock.Now()))
	}
	return m
}

func (w *world) count(q string, args ...any) int {
	w.Helper()
	var n int
	w.must(w.DB.QueryRow(w.Context(), q, args...).Scan(&n))
	return n
}

func (w *world) told(login string, k notice.Kind) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM notice WHERE person_id = $1 AND kind = $2`, "id-"+login, string(k))
}

// entries counts the trail's entries that hold all the parts, in this order.
func (w *world) entries(parts ...string) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM trail_pending WHERE `+storetest.Text("data")+` LIKE $1`, "%"+strings.Join(parts, "%")+"%")
}

// past moves the clock and signs nobody in.
func (w *world) past(d time.Duration) { w.clock.Advance(d) }
