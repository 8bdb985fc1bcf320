package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A PermitKind is one of the permissions that the guideline asks for, as data: who
// may ask, what must be stated, who decides and in which order, for how long it can
// be given, and what becomes of it.
type PermitKind struct {
	ID       string    `yaml:"id"`
	Name     Words     `yaml:"name"`
	Articles []Article `yaml:"articles"`
	// Enforces is what a live permit of this kind opens, and nothing else does: one
	// of PermitEnforcements.
	Enforces string        `yaml:"enforces"`
	Askers   []PostID      `yaml:"askers"` // one of them; empty: whoever audits nothing
	Steps    []PermitStep  `yaml:"steps"`  // who decides, each step in turn
	Fields   []PermitField `yaml:"fields"` // what is stated, beside whose it is, why, from when and until when
	// Confirm is what whoever says yes confirms; of the house's own kinds it is the
	// guideline's, and not for a file to change.
	Confirm []PermitConfirmation `yaml:"confirm"`

	LongestDays int  `yaml:"longest_days"` // 0: to the end of the fiscal year in which it begins
	AheadDays   int  `yaml:"ahead_days"`   // how long before its beginning it may be asked for
	RenewDays   int  `yaml:"renew_days"`   // its holder is told so long before its end; 0: not
	ReviewDays  int  `yaml:"review_days"`  // whoever decides such permits looks at it so often; 0: never
	Done        bool `yaml:"done"`         // what was done under it is written down (article 26-2)
	TellStart   bool `yaml:"tell_start"`   // the asking section is told when its use begins
	TellEnd     bool `yaml:"tell_end"`     // and when it ends
}

// A PermitStep is one round of deciding.
type PermitStep struct {
	Posts  []PostID `yaml:"posts"`
	Quorum int      `yaml:"quorum"`
	All    bool     `yaml:"all"`   // each of the posts; one official who holds several speaks once for all of them
	Where  string   `yaml:"where"` // one of ApproverPlaces
}

func (s PermitStep) name() string { return strings.Join(texts(s.Posts), ",") }

// A PermitField is something that must, or may, be stated.
type PermitField struct {
	ID       string `yaml:"id"`
	Name     Words  `yaml:"name"`
	Type     string `yaml:"type"` // one of PermitFieldTypes
	Required bool   `yaml:"required"`
	// OfContractors: it is stated where the permit is a contractor's, and nowhere
	// else (article 79-3(13)).
	OfContractors bool     `yaml:"of_contractors"`
	Max           int      `yaml:"max"`     // characters of a text, items of a list
	Choices       []string `yaml:"choices"` // of a FieldChoice
}

// The types of fields.
const (
	FieldText         = "text"
	FieldChoice       = "choice"
	FieldDate         = "date"
	FieldTerminal     = "terminal"     // an enrolled terminal's id, or what people call one that is not enrolled
	FieldApplication  = "application"  // one
	FieldApplications = "applications" // one or more
	FieldNetworks     = "networks"     // CIDRs or addresses
	FieldDays         = "days"         // of Weekdays
	FieldHours        = "hours"        // 08:30-17:15
	FieldZone         = "zone"
	FieldPath         = "path"
)

// PermitFieldTypes are all of them.
func PermitFieldTypes() []string {
	return []string{FieldText, FieldChoice, FieldDate, FieldTerminal, FieldApplication, FieldApplications, FieldNetworks, FieldDays, FieldHours, FieldZone, FieldPath}
}

// Many reports whether the field holds a list.
func (f PermitField) Many() bool {
	return slices.Contains([]string{FieldApplications, FieldNetworks, FieldDays, FieldHours}, f.Type)
}

// A PermitConfirmation is what whoever says yes confirms to have looked at.
type PermitConfirmation struct {
	ID      string  `yaml:"id"`
	Article Article `yaml:"article"`
	Says    Words   `yaml:"says"`
	// Instead is the confirmation whose place it takes: an exception.
	Instead string `yaml:"instead"`
	// Zone: it is asked where this zone is at one end; empty: always.
	Zone ZoneID `yaml:"zone"`
}

// What a live permit can open.
const (
	EnforcesNothing  = "nothing" // the register is the record
	EnforcesRemote   = "remote"
	EnforcesCrossing = "crossing"
	EnforcesTerminal = "terminal" // a terminal that a remote permit may then name
)

// PermitEnforcements are all of them.
func PermitEnforcements() []string {
	return []string{EnforcesNothing, EnforcesRemote, EnforcesCrossing, EnforcesTerminal}
}

// The built-in kinds that rooms know by name.
const (
	PermitRemote          = "remote_access"
	PermitCrossing        = "zone_crossing"
	PermitLentTerminal    = "lent_terminal"
	PermitPrivateTerminal = "private_terminal"
)

// The confirmations of article 26no2-3, and the exception of its third item.
const (
	ConfirmReason     = "reason"
	ConfirmLimited    = "limited"
	ConfirmNoInternet = "no_internet"
	ConfirmPublicBody = "public_body"
)

// RemoteRules govern sessions that begin outside (article 63-7).
type RemoteRules struct {
	IdleEnd     time.Duration `yaml:"idle_end"`
	AbsoluteEnd time.Duration `yaml:"absolute_end"`
	// LentByRemotePermit: who may come from outside with a lent terminal is lent it by
	// that. Otherwise it takes the permit lent_terminal beside (article 63-3).
	LentByRemotePermit bool `yaml:"lent_by_remote_permit"`
}

// fieldMax bounds a field whose kind says nothing.
const fieldMax = 500

func standardPermits() (out []PermitKind) {
	var (
		cio     = PermitStep{Posts: []PostID{CIO}, Quorum: 1, Where: ApproversAnywhere}
		officer = PermitStep{Posts: []PostID{SecurityOfficer}, Quorum: 1, Where: ApproversUpward}
		manager = PermitStep{Posts: []PostID{SecurityManager}, Quorum: 1, Where: ApproversUpward}
		system  = PermitStep{Posts: []PostID{SystemAdministrator}, Quorum: 1, Where: ApproversAnywhere}
		admins  = []PostID{SystemAdministrator}
		bosses  = []PostID{SecurityManager, SystemAdministrator, SecurityOfficer}
		text    = func(id, ja, en string) PermitField {
			return PermitField{ID: id, Name: Words{ja, en}, Type: FieldText, Required: true}
		}
		class    = PermitField{ID: "class", Name: Words{"重要度", "Class"}, Type: FieldChoice, Required: true, Choices: []string{"1", "2", "3", "4"}}
		asset    = text("asset", "情報資産", "Information asset")
		measures = text("measures", "安全のための措置", "Safeguards")
	)
	kind := func(id, ja, en string, articles []Article, steps []PermitStep, fields ...PermitField) PermitKind {
		return PermitKind{ID: id, Name: Words{ja, en}, Articles: articles, Enforces: EnforcesNothing, Steps: steps, Fields: fields, AheadDays: 120, RenewDays: 30}
	}
	defer func() {
		for i := range out {
			for j := range out[i].Fields {
				if out[i].Fields[j].Max == 0 {
					out[i].Fields[j].Max = fieldMax
				}
			}
		}
	}()
	with := func(k PermitKind, change func(*PermitKind)) PermitKind { change(&k); return k }
	return []PermitKind{
		with(kind(PermitRemote, "リモートアクセス", "Remote access", []Article{"63-1", "63-2(1)"}, []PermitStep{cio},
			PermitField{ID: "terminal", Name: Words{"使う端末機", "Terminal"}, Type: FieldTerminal, Required: true},
			PermitField{ID: "applications", Name: Words{"使うシステム", "Applications"}, Type: FieldApplications, Required: true},
			PermitField{ID: "networks", Name: Words{"接続元のネットワーク", "Source networks"}, Type: FieldNetworks},
			PermitField{ID: "days", Name: Words{"曜日", "Days"}, Type: FieldDays},
			PermitField{ID: "hours", Name: Words{"時間", "Hours"}, Type: FieldHours},
			PermitField{ID: "company", Name: Words{"事業者", "Company"}, Type: FieldText, OfContractors: true, Required: true},
			PermitField{ID: "subcontractor", Name: Words{"再委託先", "Subcontractor"}, Type: FieldText, OfContractors: true},
			PermitField{ID: "contract_end", Name: Words{"契約の終わり", "End of the contract"}, Type: FieldDate, OfContractors: true, Required: true},
		), func(k *PermitKind) { k.Enforces, k.ReviewDays = EnforcesRemote, 90 }),
		with(kind(PermitCrossing, "領域間の通信", "Crossing between zones", []Article{"26no2-2", "26no2-3", "26no4-1"}, []PermitStep{cio},
			PermitField{ID: "application", Name: Words{"接続先のシステム", "Application"}, Type: FieldApplication, Required: true},
			PermitField{ID: "from_zone", Name: Words{"接続元の領域", "From zone"}, Type: FieldZone, Required: true},
			PermitField{ID: "path", Name: Words{"通信経路", "Path"}, Type: FieldPath, Required: true},
			PermitField{ID: "protocol", Name: Words{"プロトコル", "Protocol"}, Type: FieldChoice, Required: true, Choices: []string{"https", "http"}},
		), func(k *PermitKind) {
			k.Enforces, k.Askers, k.ReviewDays = EnforcesCrossing, admins, 180
			k.Confirm = []PermitConfirmation{
				{ID: ConfirmReason, Article: "26no2-3(1)", Zone: MyNumber, Says: Words{"接続が必要な合理的な理由がある。", "There is a good reason why the link is needed."}},
				{ID: ConfirmLimited, Article: "26no2-3(2)", Zone: MyNumber, Says: Words{"通信経路とプロトコルを限っている。", "Path and protocol are limited."}},
				{ID: ConfirmNoInternet, Article: "26no2-3(3)", Zone: MyNumber, Says: Words{"インターネットに直接つながっていない。", "It is not linked to the Internet directly."}},
				{ID: ConfirmPublicBody, Article: "26no2-3(3)", Zone: MyNumber, Instead: ConfirmNoInternet, Says: Words{"公的機関が構築し運用するシステムであり、インターネットに直接つながってもよい。", "The system is built and run by a public body, so a direct link to the Internet is excepted."}},
			}
		}),
		with(kind(PermitLentTerminal, "端末機の貸与", "Lent terminal", []Article{"63-3", "63-4"}, []PermitStep{cio},
			PermitField{ID: "terminal", Name: Words{"貸与する端末機", "Terminal"}, Type: FieldTerminal, Required: true}, measures),
			func(k *PermitKind) { k.Enforces, k.ReviewDays = EnforcesTerminal, 180 }),
		with(kind(PermitPrivateTerminal, "私物の端末機の使用", "Private terminal", []Article{"38-4"}, []PermitStep{manager},
			PermitField{ID: "terminal", Name: Words{"使う私物の端末機", "Terminal"}, Type: FieldTerminal, Required: true}, measures),
			func(k *PermitKind) { k.Enforces, k.ReviewDays = EnforcesTerminal, 90 }),
		with(kind("take_out", "情報資産の持ち出し", "Taking assets out", []Article{"22-4", "38-3"}, []PermitStep{manager}, asset, class, text("destination", "持ち出し先", "Where to"), measures),
			func(k *PermitKind) { k.Done = true }),
		kind("outside_work", "管理外の場所での業務", "Work outside the prefecture's premises", []Article{"38-3"}, []PermitStep{manager}, text("place", "場所", "Place"), text("work", "業務の内容", "Work"), measures),
		with(kind("transport", "データの運搬", "Carrying data", []Article{"24"}, []PermitStep{manager}, asset, class, text("destination", "運搬先", "Where to"), measures),
			func(k *PermitKind) { k.Done = true }),
		kind("provide", "データの外部への提供", "Giving data to others", []Article{"25-1"}, []PermitStep{manager}, asset, class, text("recipient", "提供先", "To whom"), measures),
		with(kind("dispose", "データの廃棄", "Disposal of data", []Article{"26-1", "26-2"}, []PermitStep{manager}, asset, class, text("method", "復元できないようにする方法", "How it is made irrecoverable")),
			func(k *PermitKind) { k.Done = true }),
		kind("setting_change", "端末機の設定の変更", "Change of a terminal's security settings", []Article{"38-5"}, []PermitStep{manager}, text("terminal", "端末機", "Terminal"), text("setting", "変更する設定", "Setting")),
		with(kind("exchange", "他の団体との情報の交換", "Exchange with another body", []Article{"48"}, []PermitStep{officer, cio}, text("body", "相手の団体", "Other body"), asset, text("terms", "取扱いの定め", "Terms")),
			func(k *PermitKind) { k.Askers = admins }),
		with(kind("wireless", "無線のネットワークの整備", "Wireless network", []Article{"55-1", "55-2"}, []PermitStep{cio}, text("place", "場所", "Place"), text("encryption", "暗号化の方式", "Encryption"), text("authentication", "認証の方式", "Authentication")),
			func(k *PermitKind) { k.Askers = admins }),
		with(kind("software", "ソフトウェアの導入", "Software", []Article{"58-1", "58-2"},
			[]PermitStep{{Posts: []PostID{SecurityManager, SystemAdministrator}, Quorum: 1, All: true, Where: ApproversUpward}},
			text("software", "ソフトウェア", "Software"), text("licence", "利用の権限", "Licence"), text("terminal", "端末機", "Terminal")),
			func(k *PermitKind) { k.ReviewDays = 366 }),
		kind("hardware_change", "端末機の改造又は増設", "Change of hardware", []Article{"59-2"}, []PermitStep{system}, text("terminal", "端末機", "Terminal"), text("change", "変更の内容", "Change")),
		kind("network_connection", "ネットワークへの接続", "Connection to the network", []Article{"60"}, []PermitStep{cio}, text("terminal", "端末機", "Terminal"), text("network", "ネットワーク", "Network")),
		with(kind("exception", "例外措置", "Exception", []Article{"80-1", "80-3"}, []PermitStep{cio}, text("rule", "守れない定め", "Rule that is not kept"), text("owner", "責任を持つ人", "Owner"), text("compensating_control", "代わりの措置", "Compensating control")),
			func(k *PermitKind) { k.Askers, k.ReviewDays = bosses, 90 }),
		with(kind("separation_exception", "兼務の例外", "Exception from separation of duties", []Article{"16-1", "80-1"}, []PermitStep{cio}, text("matter", "対象の申請", "Which requests"), text("owner", "責任を持つ人", "Owner"), text("compensating_control", "代わりの措置", "Compensating control")),
			func(k *PermitKind) { k.Askers, k.ReviewDays = bosses, 90 }),
	}
}

// Permit finds a kind of permit by its id.
func (p *Policy) Permit(id string) (PermitKind, bool) {
	for _, k := range p.Permits {
		if id != "" && k.ID == id {
			return k, true
		}
	}
	return PermitKind{}, false
}

// Field finds a field by its id.
func (k PermitKind) Field(id string) (PermitField, bool) {
	for _, f := range k.Fields {
		if f.ID == id {
			return f, true
		}
	}
	return PermitField{}, false
}

// AskedOf are the confirmations of a kind where these zones are at its ends.
func (k PermitKind) AskedOf(zones ...ZoneID) []PermitConfirmation {
	var out []PermitConfirmation
	for _, c := range k.Confirm {
		if c.Zone == "" || slices.Contains(zones, c.Zone) {
			out = append(out, c)
		}
	}
	return out
}

// FiscalYearEnd is the end of the fiscal year in which a time lies: the first
// instant of 1 April in Japan.
func FiscalYearEnd(at time.Time) time.Time {
	at = at.In(japan)
	year := at.Year()
	if at.Month() >= time.April {
		year++
	}
	return time.Date(year, time.April, 1, 0, 0, 0, 0, japan).UTC()
}

// Longest is the last instant to which a permit may be given that begins then: the end
// of a day in Japan, for people write days.
func (k PermitKind) Longest(from time.Time) time.Time {
	if k.LongestDays <= 0 {
		return FiscalYearEnd(from)
	}
	last, _ := JapanDay(DayInJapan(from.AddDate(0, 0, k.LongestDays).Add(-time.Nanosecond)))
	return last.AddDate(0, 0, 1)
}

// JapanDay is the first instant of a day written as 2026-04-01; ok is false for
// what is none.
func JapanDay(text string) (time.Time, bool) {
	at, err := time.ParseInLocation(dateForm, text, japan)
	return at.UTC(), err == nil
}

// DayInJapan is the day of an instant, as 2026-04-01.
func DayInJapan(at time.Time) string { return at.In(japan).Format(dateForm) }

// OpenUntil is Privilege.OpenUntil for hours that belong to anything.
func OpenUntil(hours []Hours, at time.Time) (until time.Time, ok bool) {
	return Privilege{Hours: hours}.OpenUntil(at)
}

// ParseHours reads "08:30-17:15" for some days; none are all of them. ok is false
// for what is no time of day, and for an end that does not come after its
// beginning.
func ParseHours(text string, days []string) (Hours, bool) {
	if len(text) != len("08:30-17:15") || text[5] != '-' {
		return Hours{}, false
	}
	h := Hours{Days: days, From: text[:5], Until: text[6:]}
	from, okFrom := minutes(h.From)
	until, okUntil := minutes(h.Until)
	return h, okFrom && okUntil && from < until
}

// RulesOf are the rules by which somebody who comes from a zone is treated here: the
// zone's own, where it is served. Who comes from elsewhere all the same, by a permit,
// is treated by the strictest of those served. ok is false for a zone that the policy
// knows nothing of.
func (p *Policy) RulesOf(id ZoneID) (Zone, bool) {
	if z, ok := p.Zone(id); ok {
		return z, true
	}
	if len(p.Zones) == 0 || id != "" && !slices.ContainsFunc(p.Networks, func(n Network) bool { return n.Zone == id }) {
		return Zone{}, false
	}
	out := p.Zones[0]
	for _, z := range p.Zones[1:] {
		if !out.SignInACR.AtLeast(z.SignInACR) {
			out.SignInACR = z.SignInACR
		}
		out.IdleEnd, out.AbsoluteEnd = min(out.IdleEnd, z.IdleEnd), min(out.AbsoluteEnd, z.AbsoluteEnd)
		out.CounterIdleEnd, out.DirectoryStale = min(out.CounterIdleEnd, z.CounterIdleEnd), min(out.DirectoryStale, z.DirectoryStale)
	}
	out.ID, out.Name, out.MailNotices = id, Words{}, false
	return out, true
}

// permits are kinds of permission. What the guideline has enforced is not taken out
// of force by a file, and nobody decides what nobody is named for.
func (c *checker) permits() {
	ids := once{}
	for i, k := range c.p.Permits {
		at := fmt.Sprintf("permits[%d]", i)
		c.id(at+".id", k.ID)
		ids.check(c, k.ID, at+".id", "63-1", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".name", k.Name)
		standard, built := PermitKind{}, false
		for _, s := range standardPermits() {
			if s.ID == k.ID {
				standard, built = s, true
			}
		}
		if built && k.Enforces != standard.Enforces && !c.problemAt(at+".enforces") {
			c.refuse(at+".enforces", standard.Articles[0], standard.Enforces, "この許可の働きは変えられません。", "What this permit opens cannot be changed.")
		}
		if !built && k.Enforces != EnforcesNothing && !c.problemAt(at+".enforces") {
			c.refuse(at+".enforces", "63-1", EnforcesNothing, "新しく定める許可は、台帳への記録だけができます（nothing）。", "A kind of your own is a register's alone (nothing).")
		}
		if len(k.Articles) == 0 && !c.problemAt(at+".articles") {
			c.refuse(at+".articles", "80-1", "", "もとになる条文を書いてください。", "Name the articles it serves.")
		}
		for j, a := range k.Articles {
			if !ValidArticle(a) && !c.problemAt(fmt.Sprintf("%s.articles[%d]", at, j)) {
				c.refuse(fmt.Sprintf("%s.articles[%d]", at, j), "", "", "この条文はありません。", "There is no such article.")
			}
		}
		if len(k.Steps) == 0 && !c.problemAt(at+".steps") {
			c.refuse(at+".steps", "16-1", "", "誰が決めるか（steps）を書いてください。", "Say who decides (steps).")
		}
		if built && c.written(at+".confirm") && !c.problemAt(at+".confirm") {
			c.refuse(at+".confirm", standard.Articles[0], "", "この許可で確認することは変えられません。", "What this permit has confirmed cannot be changed.")
		}
		for j, f := range k.Confirm {
			c.words(fmt.Sprintf("%s.confirm[%d].says", at, j), f.Says)
		}
		c.permitFields(at, k, standard)
		for j, s := range k.Steps {
			field := fmt.Sprintf("%s.steps[%d]", at, j)
			if len(s.Posts) == 0 && !c.problemAt(field+".posts") {
				c.refuse(field+".posts", "16-1", string(SecurityManager), "決める職を書いてください。", "Name the posts that decide.")
			}
			for n, id := range s.Posts {
				place := fmt.Sprintf("%s.posts[%d]", field, n)
				// 59-2 and 58-1 have the 情報システム管理者 decide.
				if post, ok := c.post(id); ok && !post.Approves && id != SystemAdministrator && !c.problemAt(place) {
					c.refuse(place, "16-1", string(SecurityManager), "この職は許可する職ではありません。", "This post permits nothing.")
				}
			}
		}
	}
}

var fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// ownNames are those that every permit has.
var ownNames = []string{"id", "kind", "state", "person", "reason", "from", "until", "renews"}

func (c *checker) permitFields(at string, k, standard PermitKind) {
	ids := once{}
	for j, f := range k.Fields {
		field := fmt.Sprintf("%s.fields[%d]", at, j)
		if !fieldName.MatchString(f.ID) && !c.problemAt(field+".id") || slices.Contains(ownNames, f.ID) {
			c.refuse(field+".id", "63-1", "", "英小文字で始まる英小文字・数字・_ の32文字までで書いてください。どの許可にもある項目の名前は使えません。", "A field's id has at most 32 of a-z, 0-9 and _, begins with a letter, and is none that every permit has.")
		}
		ids.check(c, f.ID, field+".id", "63-1", "同じidが二度使われています。", "The id is used twice.")
		c.words(field+".name", f.Name)
		if f.Type == FieldChoice && len(f.Choices) == 0 && !c.problemAt(field+".choices") {
			c.refuse(field+".choices", "63-1", "", "選べる値を書いてください。", "Name what can be chosen.")
		}
	}
	if standard.Enforces == "" || standard.Enforces == EnforcesNothing {
		return
	}
	// What is enforced goes by what is stated: none of it can be left out.
	for _, s := range standard.Fields {
		f, ok := k.Field(s.ID)
		if (!ok || f.Type != s.Type || s.Required && !f.Required || f.OfContractors != s.OfContractors) && !c.problemAt(at+".fields") {
			c.refuse(at+".fields", standard.Articles[0], s.ID, "この許可には、項目 "+s.ID+" が元の形で要ります。", "This permit needs the field "+s.ID+" as it was.")
		}
	}
}
