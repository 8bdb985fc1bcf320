package page

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/web"
	"sekisho/web/desk"
)

// A counter is the desk as a test tells it to be.
type counter struct {
	lent     []desk.Privilege
	leases   []desk.Lease
	next     string
	waiting  desk.Waiting
	live     []desk.Lease
	findings []desk.Finding
	answer   desk.Lease // of Ask and Do
	lookErr  error
	actErr   error
	did      []string
	reviews  desk.Reviews
}

func (c *counter) do(what ...any) { c.did = append(c.did, strings.TrimSpace(fmt.Sprintln(what...))) }

func (c *counter) Privileges(context.Context, signin.Origin, string) ([]desk.Privilege, error) {
	return c.lent, c.lookErr
}
func (c *counter) Ask(_ context.Context, _ signin.Origin, _ string, w desk.Wish) (desk.Lease, error) {
	c.do("ask", w.Privilege, w.Minutes, w.Reason, w.Ticket, w.Emergency)
	return c.answer, c.actErr
}
func (c *counter) Lease(_ context.Context, _ signin.Origin, _, id string) (desk.Lease, error) {
	for _, l := range slices.Concat(c.leases, c.live) {
		if l.ID == id {
			return l, c.lookErr
		}
	}
	return desk.Lease{}, web.ErrNoPage
}
func (c *counter) Leases(context.Context, signin.Origin, string, desk.Filter) (desk.List, error) {
	return desk.List{Leases: c.leases, Next: c.next}, c.lookErr
}
func (c *counter) Do(_ context.Context, _ signin.Origin, _, id string, a desk.Act, s desk.Said) (desk.Lease, error) {
	c.do(a, id, s.Minutes, s.Comment, s.Report)
	return c.answer, c.actErr
}
func (c *counter) Waiting(context.Context, signin.Origin, string) (desk.Waiting, error) {
	return c.waiting, c.lookErr
}
func (c *counter) Card(_ context.Context, _ signin.Origin, _, id string) (desk.Card, error) {
	for _, one := range c.waiting.Decide {
		if one.ID == id {
			return one, c.lookErr
		}
	}
	return desk.Card{}, web.ErrNoPage
}
func (c *counter) Decide(_ context.Context, _ signin.Origin, _, id string, yes bool, comment string) error {
	c.do("decide", id, yes, comment)
	return c.actErr
}
func (c *counter) Live(context.Context, signin.Origin, string) ([]desk.Lease, error) {
	return c.live, c.lookErr
}
func (c *counter) Findings(context.Context, signin.Origin, string) ([]desk.Finding, error) {
	return c.findings, c.lookErr
}

func (c *counter) TakeUp(_ context.Context, _ signin.Origin, _, id, note string) error {
	c.do("take up", id, note)
	return c.actErr
}
func (c *counter) Reviews(context.Context, signin.Origin, string) (desk.Reviews, error) {
	return c.reviews, c.lookErr
}
func (c *counter) Owes(context.Context, signin.Origin, string) (int, error) {
	return len(c.reviews.Owed), c.lookErr
}
func (c *counter) Review(_ context.Context, _ signin.Origin, _, decision string, objects bool, comment string) error {
	c.do("review", decision, objects, comment)
	return c.actErr
}

var (
	ok      = desk.Answer{OK: true}
	dba     = desk.Privilege{ID: "db-admin", Name: policy.Words{JA: "データベース管理", EN: "Database administration"}, Gives: []policy.Words{{JA: "グループ cn=dba の構成員になります", EN: "Member of the group cn=dba"}}, Residual: []policy.Words{{JA: "開いたままのリモートデスクトップは、終わっても閉じません", EN: "Open remote desktop sessions are not closed"}}, Usual: 30 * time.Minute, Longest: time.Hour, Approvers: []policy.PostID{policy.SecurityManager, policy.CIO}, Quorum: 1, Emergency: true, ShortestTime: 15 * time.Minute, WorkRecord: true, RecordEnd: 24 * time.Hour}
	core    = desk.Privilege{ID: "core", Name: policy.Words{JA: "基幹ネットワークの変更", EN: "Changes of the core network"}, Gives: []policy.Words{{JA: "管理者ID net-admin が使えます", EN: "The administrator's ID net-admin"}}, Usual: time.Hour, Longest: 2 * time.Hour, Approvers: []policy.PostID{policy.SecurityManager, policy.SecurityOfficer}, Quorum: 2, All: true, Ticket: "CHG-[0-9]+", TwoPerson: true, WitnessEvery: 10 * time.Minute, ShowsSecret: true, Outlives: true, WorkRecord: true, RecordEnd: 24 * time.Hour}
	night   = desk.Privilege{ID: "night", Name: policy.Words{JA: "夜間バッチの再実行", EN: "Night batch, again"}, Gives: []policy.Words{{JA: "文書管理で管理の画面が開きます", EN: "The management pages of Documents"}}, Usual: 20 * time.Minute, Longest: 40 * time.Minute, Approvers: []policy.PostID{policy.SecurityManager}, Quorum: 2, Decided: true, Refused: desk.Answer{Why: policy.Words{JA: "夜間と休日にだけ使えます。", EN: "It is for nights and holidays."}, Articles: []policy.Article{"65"}}}
	sasaki  = desk.Who{Login: "sasaki", Name: "佐々木 健", Section: "joho"}
	yamada  = desk.Who{Login: "yamada", Name: "山田 <b>花子</b>", Section: "joho"}
	freshly = &account.StepUp{Required: policy.PHR, MaxAge: 10 * time.Minute}
)

// borrowed is a lease of dba by the reader, in a state.
func borrowed(id string, state desk.State, may ...desk.Act) desk.Lease {
	l := desk.Lease{
		ID: id, State: state, Privilege: dba, Requester: sasaki, Reason: "月次処理の停止を調べる <i>", Ticket: "INC-1234", Minutes: 30, Mine: true,
		RequestedAt: t0.Add(-20 * time.Minute), LapsesAt: t0.Add(4 * time.Hour), May: map[desk.Act]desk.Answer{}, Cleanup: "none", Missing: 1,
		Asked: []desk.Who{yamada, {Login: "ogawa"}},
		Uses:  []desk.Use{{ID: "u1", At: t0.AddDate(0, 0, -7), For: 25 * time.Minute, Reason: "索引の作り直し", State: desk.Ended}, {ID: "u2", At: t0.AddDate(0, -1, 0), For: 15 * time.Minute, Reason: "障害", State: desk.Expired, Emergency: true}},
	}
	if state != desk.Pending {
		l.Decisions = []desk.Decision{{By: yamada, Yes: state != desk.Denied, At: t0.Add(-15 * time.Minute), Comment: "作業票を確認した", Acting: true}}
		l.Missing, l.ApprovedUntil = 0, t0.Add(8*time.Hour)
	}
	switch state {
	case desk.Active, desk.Ended, desk.Expired, desk.Revoked:
		l.StartedAt, l.EndsAt = t0.Add(-10*time.Minute), t0.Add(20*time.Minute)
	}
	switch state {
	case desk.Ended, desk.Expired, desk.Revoked:
		l.EndedAt, l.EndsAt = t0.Add(-time.Minute), t0.Add(-time.Minute)
	}
	for _, a := range may {
		l.May[a] = ok
	}
	return l
}

// atDesk is a reader who holds a post, with something in every place of the
// pages of lent privilege.
func atDesk(w *world, posts ...string) *world {
	if len(posts) == 0 {
		posts = []string{"system_administrator"}
	}
	w.signedIn(posts...)
	w.now.Session.ACR = policy.PHR
	w.now.Person.Name, w.now.Person.Login = "佐々木 健", "sasaki"
	c := w.desk
	c.lent = []desk.Privilege{dba, core, night}
	active := borrowed("l1", desk.Active, desk.End, desk.Extend)
	pending := borrowed("l2", desk.Pending, desk.Cancel)
	approved := borrowed("l3", desk.Approved, desk.Activate, desk.Cancel)
	owed := borrowed("l4", desk.Expired, desk.Report)
	owed.Record = desk.Record{Owed: true, Due: t0.Add(20 * time.Hour)}
	over := borrowed("l5", desk.Ended, desk.Report)
	over.Record = desk.Record{Owed: true, Due: t0.Add(-time.Hour)}
	c.leases = []desk.Lease{active, pending, approved, owed, over, borrowed("l6", desk.Denied), borrowed("l7", desk.Cancelled), borrowed("l8", desk.Lapsed), borrowed("l9", desk.Revoked)}
	c.waiting = desk.Waiting{Own: []desk.Lease{active, pending, approved}, Owed: []desk.Lease{owed, over}}
	c.answer = active
	return w
}

// matter is a card that waits for the reader.
func matter(id string) desk.Card {
	return desk.Card{
		ID: id, Kind: "elevation", Lease: "l2", What: dba.Name, By: sasaki, Reason: "月次処理の停止を調べる <i>\n作業票のとおり", Ticket: "INC-1234", Lasts: 30 * time.Minute,
		AskedAt: t0.Add(-5 * time.Minute), LapsesAt: t0.Add(4 * time.Hour), Yes: dba.Gives, Uses: borrowed("x", desk.Pending).Uses, Missing: 1,
		As: policy.SecurityManager, Articles: []policy.Article{"16-1", "62-7"},
	}
}

// asApprover is a reader who decides, with everything in the queue.
func asApprover(w *world) *world {
	atDesk(w, "security_manager")
	w.now.Person.Name, w.now.Person.Login = "山田 花子", "yamada"
	other := matter("m2")
	other.What, other.Missing, other.Uses, other.StepUp, other.Ticket, other.Kind = core.Name, 2, nil, freshly, "", "extension"
	other.Decisions = []desk.Decision{{By: desk.Who{Login: "ogawa", Name: "小川"}, Yes: true, At: t0.Add(-time.Minute), Comment: "了解"}}
	own := matter("m3")
	own.By = yamada
	own.As, own.Refused = "", desk.Answer{Why: policy.Words{JA: "自分の申請は判断できません。", EN: "Nobody decides their own request."}, Articles: []policy.Article{"16-1"}}
	secondhand := matter("m4")
	secondhand.Kind, secondhand.Lease, secondhand.What, secondhand.Lasts, secondhand.Acting = "credential", "", policy.Words{JA: "仮パスワードの発行", EN: "A temporary password"}, 0, true
	secondhand.For, secondhand.Uses = desk.Who{Login: "suzuki", Name: "鈴木"}, nil
	two := borrowed("t1", desk.Approved, desk.Witness)
	two.Privilege, two.Mine = core, false
	record := borrowed("t2", desk.Ended, desk.Countersign)
	record.Mine, record.Record = false, desk.Record{Text: "索引を作り直した。\n件数を確かめた。", WrittenAt: t0}
	broken := borrowed("t3", desk.Expired, desk.Judge)
	broken.Mine, broken.Emergency, broken.Times, broken.Decisions = false, true, 2, nil
	w.desk.leases = append(w.desk.leases, two, record, broken)
	w.desk.waiting = desk.Waiting{Decide: []desk.Card{matter("m1"), other, own, secondhand}, Witness: []desk.Lease{two}, Countersign: []desk.Lease{record}, Judge: []desk.Lease{broken}}
	return w
}

// withLive has some leases live, of which one is an emergency and one paused.
func withLive(w *world) *world {
	asApprover(w)
	one := borrowed("v1", desk.Active, desk.Revoke)
	two := borrowed("v2", desk.Active, desk.Revoke)
	two.Privilege, two.Paused, two.Requester, two.StartedAt, two.EndsAt = core, true, yamada, t0.Add(-50*time.Minute), t0.Add(70*time.Minute)
	two.Witness, two.WitnessDue = sasaki, t0.Add(-time.Minute)
	three := borrowed("v3", desk.Active)
	three.Emergency, three.Times, three.Requester, three.EndsAt = true, 2, desk.Who{Login: "ogawa"}, t0.Add(5*time.Minute)
	four := borrowed("v4", desk.Active)
	four.May[desk.Revoke], four.StartedAt, four.EndsAt = desk.Answer{OK: true, StepUp: freshly}, t0, t0.Add(time.Hour)
	over := borrowed("v5", desk.Active, desk.Revoke)
	over.EndsAt = t0
	w.desk.live = []desk.Lease{one, two, three, four, over}
	w.desk.findings = []desk.Finding{
		{ID: "f1", Kind: "membership", Privilege: dba, Account: "mallory", Object: "cn=dba,ou=groups,dc=pref,dc=example", SeenAt: t0.Add(-2 * time.Minute), LastAt: t0, Hindrance: "insufficient access rights", MayTake: true, Sealed: []string{"庁内ファイアウォール", "基幹DB"}},
		{ID: "f2", Kind: "enabled", Privilege: core, Account: "net-admin", Object: "ou=admins,dc=pref,dc=example", SeenAt: t0.AddDate(0, 0, -1), RemovedAt: t0.AddDate(0, 0, -1), ClosedAt: t0.AddDate(0, 0, -1), ClosedBy: "sekisho", Residual: dba.Residual},
		{ID: "f3", Kind: "leftover", Account: "tmp-1", Object: "ou=admins,dc=pref,dc=example", SeenAt: t0.AddDate(0, 0, -1), ClosedAt: t0, ClosedBy: "directory"},
		{ID: "f4", Kind: "missing", Privilege: dba, Account: "sasaki", Object: "cn=dba,dc=pref,dc=example", SeenAt: t0.Add(-time.Minute), TakenAt: t0, TakenBy: yamada, Note: "委託先に確認中 <i>", MayTake: true},
		{ID: "f5", Kind: "undo", Privilege: dba, Account: "ogawa", Object: "cn=dba,dc=pref,dc=example", SeenAt: t0.AddDate(0, 0, -2), ClosedAt: t0, ClosedBy: "lease"},
	}
	return w
}

func lent(l desk.Lease, password string) desk.Lease {
	l.Account = desk.Account{Login: "tmp-sasaki-7", Password: secret.NewText([]byte(password))}
	return l
}
