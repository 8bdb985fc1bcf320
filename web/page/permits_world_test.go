package page

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/web"
	"sekisho/web/desk"
)

// A tollbooth is the permits as a test tells them to be.
type tollbooth struct {
	kinds    []desk.PermitKind
	form     desk.PermitForm
	permits  []desk.Permit
	next     string
	became   []desk.Decided
	taken    desk.Imported
	remote   []desk.RemoteSession
	answer   desk.Permit // of AskPermit
	lookErr  error
	actErr   error
	did      []string
	asked    []desk.PermitWish
	filtered desk.PermitFilter
}

func (b *tollbooth) do(what ...any) { b.did = append(b.did, strings.TrimSpace(fmt.Sprintln(what...))) }

func (b *tollbooth) PermitKinds(context.Context, signin.Origin, string) ([]desk.PermitKind, error) {
	return b.kinds, b.lookErr
}
func (b *tollbooth) CountPermits(context.Context, signin.Origin, string) (map[string]desk.PermitCount, error) {
	return map[string]desk.PermitCount{desk.RemoteAccess: {Live: 12, Pending: 2}, "dispose": {Live: 4, Due: 1, Owed: 2}}, b.lookErr
}
func (b *tollbooth) PermitForm(_ context.Context, _ signin.Origin, _, kind string) (desk.PermitForm, error) {
	for _, k := range b.kinds {
		if k.ID == kind {
			f := b.form
			f.PermitKind = k
			return f, b.lookErr
		}
	}
	return desk.PermitForm{}, web.ErrNoPage
}
func (b *tollbooth) AskPermit(_ context.Context, _ signin.Origin, _ string, w desk.PermitWish) (desk.Permit, error) {
	b.asked = append(b.asked, w)
	b.do("ask", w.Kind, w.Reason)
	return b.answer, b.actErr
}
func (b *tollbooth) Permit(_ context.Context, _ signin.Origin, _, id string) (desk.Permit, error) {
	for _, p := range b.permits {
		if p.ID == id {
			return p, b.lookErr
		}
	}
	return desk.Permit{}, web.ErrNoPage
}
func (b *tollbooth) ListPermits(_ context.Context, _ signin.Origin, _ string, f desk.PermitFilter) (desk.PermitList, error) {
	b.filtered = f
	out := desk.PermitList{Next: b.next, Live: 12, Soon: 3, Unused: 2}
	for _, p := range b.permits {
		if (f.Kind == "" || p.Kind == f.Kind) && (f.Which != desk.WhichRenew || p.May[desk.PermitRenew].OK) {
			out.Permits = append(out.Permits, p)
		}
	}
	return out, b.lookErr
}
func (b *tollbooth) DoPermit(_ context.Context, _ signin.Origin, _, id string, a desk.PermitAct, s desk.PermitSaid) (desk.Permit, error) {
	b.do(a, id, dayOf(s.At), s.By, s.Comment)
	return b.answer, b.actErr
}
func (b *tollbooth) DecideAll(_ context.Context, _ signin.Origin, _ string, ids []string, yes bool, comment string, confirmed []string) ([]desk.Decided, error) {
	b.do("decide", ids, yes, comment, confirmed)
	if b.became != nil {
		return b.became, b.actErr
	}
	if b.actErr != nil {
		return nil, b.actErr
	}
	out := make([]desk.Decided, len(ids))
	for i, id := range ids {
		out[i].ID = id
	}
	return out, nil
}
func (b *tollbooth) ImportPermits(_ context.Context, _ signin.Origin, _, kind string, data []byte) (desk.Imported, error) {
	b.do("import", kind, len(data))
	return b.taken, b.actErr
}
func (b *tollbooth) ExportPermits(_ context.Context, _ signin.Origin, _ string, f desk.PermitFilter, w io.Writer) error {
	b.filtered = f
	_, err := io.WriteString(w, "id,person\r\np1,sasaki\r\n")
	if err == nil {
		err = b.lookErr
	}
	return err
}
func (b *tollbooth) RemoteSessions(context.Context, signin.Origin, string) ([]desk.RemoteSession, error) {
	return b.remote, b.lookErr
}
func (b *tollbooth) EndRemote(_ context.Context, _ signin.Origin, _, id, reason string) error {
	b.do("end remote", id, reason)
	return b.actErr
}

var (
	remoteKind = desk.PermitKind{
		ID: desk.RemoteAccess, Name: policy.Words{JA: "リモートアクセス", EN: "Remote access"}, Says: policy.Words{JA: "庁外から庁内のシステムを使います。", EN: "Use of our applications from outside."},
		Articles: []policy.Article{"63-1", "63-2(1)"}, Deciders: []policy.Words{{JA: "最高情報統括責任者", EN: "CIO"}}, Enforced: true, Review: 90 * 24 * time.Hour,
		Fields: []desk.PermitField{
			{ID: "terminal", Label: policy.Words{JA: "使う端末機", EN: "Terminal"}, Type: desk.FieldTerminal, Must: true},
			{ID: "applications", Label: policy.Words{JA: "使うシステム", EN: "Applications"}, Type: desk.FieldApplications, Must: true},
			{ID: "networks", Label: policy.Words{JA: "接続元のネットワーク", EN: "Source networks"}, Type: desk.FieldNetworks},
			{ID: "days", Label: policy.Words{JA: "曜日", EN: "Days"}, Type: desk.FieldDays},
			{ID: "hours", Label: policy.Words{JA: "時間", EN: "Hours"}, Type: desk.FieldHours},
			{ID: "company", Label: policy.Words{JA: "事業者", EN: "Company"}, Type: desk.FieldText, OfContractor: true, Must: true},
			{ID: "subcontractor", Label: policy.Words{JA: "再委託先", EN: "Subcontractor"}, Type: desk.FieldText, OfContractor: true},
			{ID: "contract_end", Label: policy.Words{JA: "契約の終わり", EN: "End of the contract"}, Type: desk.FieldDate, OfContractor: true, Must: true},
		},
		Ask: ok, Others: true,
	}
	crossingKind = desk.PermitKind{
		ID: desk.ZoneCrossing, Name: policy.Words{JA: "領域間の通信", EN: "Crossing between zones"}, Articles: []policy.Article{"26no2-2", "26no2-3"},
		Deciders: []policy.Words{{JA: "最高情報統括責任者", EN: "CIO"}}, Enforced: true,
		Fields: []desk.PermitField{
			{ID: "application", Label: policy.Words{JA: "接続先のシステム", EN: "Application"}, Type: desk.FieldApplication, Must: true},
			{ID: "from_zone", Label: policy.Words{JA: "接続元の領域", EN: "From zone"}, Type: desk.FieldZone, Must: true},
			{ID: "path", Label: policy.Words{JA: "通信経路", EN: "Path"}, Type: desk.FieldPath, Must: true},
			{ID: "protocol", Label: policy.Words{JA: "プロトコル", EN: "Protocol"}, Type: desk.FieldChoice, Must: true, Choices: []string{"https", "http"}},
		},
		Confirms: confirmations, Ask: ok,
	}
	disposeKind = desk.PermitKind{
		ID: "dispose", Name: policy.Words{JA: "データの廃棄", EN: "Disposal of data"}, Articles: []policy.Article{"26-1", "26-2"},
		Deciders: []policy.Words{{JA: "情報セキュリティ管理者", EN: "Security manager"}, {JA: "最高情報統括責任者", EN: "CIO"}}, Done: true, Longest: 90 * 24 * time.Hour,
		Fields: []desk.PermitField{
			{ID: "asset", Label: policy.Words{JA: "情報資産", EN: "Information asset"}, Type: desk.FieldText, Must: true},
			{ID: "class", Label: policy.Words{JA: "重要度", EN: "Class"}, Type: desk.FieldChoice, Must: true, Choices: []string{"1", "2"}},
			{ID: "on", Label: policy.Words{JA: "予定日", EN: "Planned for"}, Type: desk.FieldDate},
		},
		Ask: ok,
	}
	wirelessKind = desk.PermitKind{
		ID: "wireless", Name: policy.Words{JA: "無線のネットワークの整備", EN: "Wireless network"}, Articles: []policy.Article{"55-1"}, Review: 90 * 24 * time.Hour,
		Deciders: []policy.Words{{JA: "最高情報統括責任者", EN: "CIO"}},
		Ask:      desk.Answer{Why: policy.Words{JA: "情報システム管理者が申請します。", EN: "The system administrator asks for it."}, Articles: []policy.Article{"55-1"}},
	}
	confirmations = []desk.Confirmation{
		{ID: "reason", Says: policy.Words{JA: "接続が必要な合理的な理由がある。", EN: "There is a good reason."}, Articles: []policy.Article{"26no2-3(1)"}},
		{ID: "limited", Says: policy.Words{JA: "通信経路とプロトコルを限っている。", EN: "Path and protocol are limited."}},
		{ID: "no_internet", Says: policy.Words{JA: "インターネットに直接つながっていない。", EN: "It is not linked to the Internet directly."}},
		{ID: "public_body", Says: policy.Words{JA: "公的機関が構築し運用するシステムである。", EN: "A public body built and runs the system."}, Instead: "no_internet"},
	}
	yearsEnd = time.Date(2027, 3, 31, 15, 0, 0, 0, time.UTC)
)

// granted is a permit for remote access, in a state.
func granted(id string, state desk.State, may ...desk.PermitAct) desk.Permit {
	p := desk.Permit{
		ID: id, Kind: desk.RemoteAccess, Name: remoteKind.Name, Enforced: true, State: state, Person: sasaki, By: sasaki, Reason: "在宅勤務のため <b>",
		Terminal: policy.Words{JA: "貸与端末 12番", EN: "Lent terminal 12"}, Opens: []policy.Words{{JA: "文書管理", EN: "Documents"}, {JA: "財務会計", EN: "Finance"}},
		When: policy.Words{JA: "月・火・水・木・金 08:00-20:00", EN: "Mon, Tue, Wed, Thu, Fri 08:00-20:00"}, From: t0.AddDate(0, -1, 0), Until: yearsEnd, AskedAt: t0.AddDate(0, -1, -1),
		Facts: []desk.PermitFact{
			{Label: policy.Words{JA: "使う端末機", EN: "Terminal"}, Value: policy.Words{JA: "貸与端末 12番", EN: "Lent terminal 12"}},
			{Label: policy.Words{JA: "使うシステム", EN: "Applications"}, Value: policy.Words{JA: "文書管理、財務会計", EN: "Documents, Finance"}},
		},
		Wish: desk.PermitWish{Kind: desk.RemoteAccess, Reason: "在宅勤務のため <b>", Stated: map[string][]string{
			"terminal": {"lent-12"}, "applications": {"bunsho"}, "days": {"mon", "fri"}, "hours": {"08:30-12:00", "13:00-17:15"}, "networks": {"198.51.100.0/24"},
		}},
		UsedAt: t0.Add(-20 * time.Hour), Mine: true, May: map[desk.PermitAct]desk.Answer{},
	}
	switch state {
	case desk.Pending:
		p.LapsesAt, p.Asked, p.Missing, p.UsedAt, p.From = t0.AddDate(0, 0, 7), []desk.Who{yamada}, 1, time.Time{}, t0.AddDate(0, 0, 3)
	case desk.Denied:
		p.Decisions = []desk.Decision{{By: yamada, At: t0, Comment: "庁内でできる"}}
	default:
		p.Decisions = []desk.Decision{{By: yamada, Yes: true, At: t0.AddDate(0, -1, 0), Comment: "確認した"}}
	}
	switch state {
	case desk.Ended, desk.Revoked:
		p.EndedAt, p.EndedBy, p.EndReason = t0, yamada, "異動のため"
	case desk.Expired:
		p.Until = t0.AddDate(0, 0, -1)
	}
	for _, a := range may {
		p.May[a] = ok
	}
	return p
}

// atTollbooth is a reader with a permit of every sort.
func atTollbooth(w *world, posts ...string) *world {
	atDesk(w, posts...)
	b := w.permits
	b.kinds = []desk.PermitKind{remoteKind, crossingKind, disposeKind, wirelessKind}
	b.form = desk.PermitForm{
		Terminals:    []desk.PermitChoice{{Value: "lent-12", Says: policy.Words{JA: "貸与端末 12番", EN: "Lent terminal 12"}}},
		Applications: []desk.PermitChoice{{Value: "bunsho", Says: policy.Words{JA: "文書管理", EN: "Documents"}}, {Value: "zaimu", Says: policy.Words{JA: "財務会計", EN: "Finance"}}, {Value: "juki", Says: policy.Words{JA: "住民基本台帳", EN: "Resident register"}}},
		Zones:        []desk.PermitChoice{{Value: "lgwan", Says: policy.Words{JA: "LGWAN接続系", EN: "LGWAN"}}, {Value: "internet", Says: policy.Words{JA: "インターネット接続系", EN: "Internet"}}},
		Until:        yearsEnd, Last: yearsEnd,
	}
	soon := granted("p2", desk.Approved, desk.PermitRenew, desk.PermitEnd)
	soon.Soon, soon.Until, soon.UsedAt = true, t0.AddDate(0, 0, 9), time.Time{}
	record := granted("p3", desk.Approved, desk.PermitDone, desk.PermitEnd)
	record.Enforced, record.Kind, record.Name, record.Opens, record.When, record.Terminal, record.OwesIt = false, "dispose", disposeKind.Name, nil, policy.Words{}, policy.Words{}, true
	record.Reason, record.Facts, record.UsedAt = "保存期間が過ぎたため", []desk.PermitFact{{Label: policy.Words{JA: "情報資産", EN: "Information asset"}, Value: policy.Words{JA: "調査票 平成元年度", EN: "Survey 1989"}}}, time.Time{}
	b.permits = []desk.Permit{granted("p1", desk.Approved, desk.PermitRenew, desk.PermitEnd), soon, record, granted("p4", desk.Pending, desk.PermitCancel), granted("p5", desk.Expired), granted("p6", desk.Denied), granted("p7", desk.Revoked), granted("p8", desk.Ended)}
	b.answer = b.permits[3]
	return w
}

// keepsRegisters is a reader who sees everybody's and may end them.
func keepsRegisters(w *world) *world {
	asApprover(atTollbooth(w, "security_manager"))
	b := w.permits
	for i := range b.kinds {
		b.kinds[i].Reads, b.kinds[i].Brings = true, true
		b.kinds[i].Columns = []string{"person", "reason", "from", "until", "terminal", "applications"}
	}
	one := granted("r1", desk.Approved, desk.PermitRevoke)
	one.Where, one.Review = []string{"198.51.100.0/24", "203.0.113.7/32"}, t0.AddDate(0, 0, -1)
	one.May[desk.PermitReview] = ok
	two := granted("r2", desk.Approved)
	two.Person, two.Company, two.UsedAt, two.When, two.Soon, two.Until = desk.Who{Login: "y-maint", Name: "吉田 保"}, "例システム株式会社（再委託：例保守株式会社）", time.Time{}, policy.Words{}, true, t0.AddDate(0, 0, 5)
	two.May[desk.PermitRevoke] = desk.Answer{OK: true, StepUp: freshly}
	three := granted("r3", desk.Approved)
	three.Person, three.From = yamada, t0.AddDate(0, 0, 2)
	four := granted("r4", desk.Approved, desk.PermitDone)
	four.Enforced, four.Kind, four.Name, four.OwesIt, four.Opens, four.Reason = false, "dispose", disposeKind.Name, true, nil, "保存期間が過ぎたため"
	five := four
	five.ID, five.OwesIt, five.DoneAt, five.DoneBy, five.DoneHow, five.State = "r5", false, t0.AddDate(0, 0, -2), yamada, "11月20日14時、記録媒体3枚を裁断した。", desk.Expired
	five.May = map[desk.PermitAct]desk.Answer{}
	six := granted("r6", desk.Approved, desk.PermitReview)
	six.Enforced, six.Kind, six.Name, six.Review = false, "wireless", wirelessKind.Name, t0.AddDate(0, 0, -1)
	seven := six
	seven.ID, seven.Review = "r7", t0.AddDate(0, 1, 0)
	seven.May = map[desk.PermitAct]desk.Answer{}
	b.permits = []desk.Permit{one, two, three, four, five, six, seven}
	return w
}

// askedFor is a card about a permit.
func askedFor(id string) desk.Card {
	c := matter(id)
	c.Kind, c.Lease, c.Permit, c.What, c.Reason, c.Lasts, c.Ticket, c.Uses = "permit", "", "p4", remoteKind.Name, "在宅勤務のため", 0, "", nil
	c.Facts = []desk.Fact{
		{Label: policy.Words{JA: "どこから", EN: "From where"}, Value: "198.51.100.0/24"}, {Label: policy.Words{JA: "端末", EN: "Terminal"}, Value: "lent-12"},
		{Label: policy.Words{JA: "いつまで", EN: "Until"}, Value: "2027-03-31"},
	}
	c.Yes = []policy.Words{{JA: "庁外から「文書管理」を使えるようになります", EN: "Documents opens from outside"}}
	return c
}

// withRequests has permits among what waits: two that may be decided together, and
// a crossing whose yes confirms something.
func withRequests(w *world) *world {
	keepsRegisters(w)
	crossing := askedFor("m12")
	crossing.What, crossing.Confirms = crossingKind.Name, confirmations
	second := askedFor("m11")
	second.By = desk.Who{Login: "ogawa", Name: "小川"}
	w.desk.waiting = desk.Waiting{Decide: []desk.Card{askedFor("m10"), second, crossing, matter("m1")}}
	return w
}
