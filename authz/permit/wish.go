package permit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sekisho/authn/terminal"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

// A Wish is what somebody asks for, as it was entered.
type Wish struct {
	Kind   string
	Person string // login; "": for oneself
	Reason string
	// From and Until are RFC 3339, or days in Japan: From its first instant, Until
	// its last. An empty From is now, where the kind may do without.
	From, Until string
	Stated      Stated
	Renews      string
	Key         string // the request's Idempotency-Key; "" for none
}

func (w Wish) digest() string {
	if w.Key == "" {
		return ""
	}
	text, _ := json.Marshal([]any{w.Kind, w.Person, w.Reason, w.From, w.Until, w.Stated, w.Renews}) // texts: it cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

const (
	mostReason = 1000
	// begunWithin is how long ago a permit may have begun when it is asked for: a day
	// that is written as today has begun already.
	begunWithin = 36 * time.Hour
)

// A room is what a wish is read in.
type room struct {
	p        *policy.Policy
	k        policy.PermitKind
	now      time.Time
	whose    directory.Person
	hired    bool       // whose is a contractor
	tied     authz.Tied // what their projects make of the ID of whose
	terminal Standing   // of the terminal that was named
	before   Permit     // the one that it is said to follow; the zero Permit: there is none
	cap      time.Time  // a terminal's own permit ends then; zero: it has none
	// owes is the permit of its own that the terminal takes and that whose has not asked
	// for; "" for none.
	owes authz.PermitKind
}

// Standing is what is known of a terminal.
type Standing string

// The standings.
const (
	Unlisted Standing = ""      // not enrolled
	Enrolled Standing = "in"    //
	Lost     Standing = "lost"  //
	Misspelt Standing = "spelt" // an enrolled one has this name by another spelling
)

// faults gathers what is wrong.
type faults []Fault

func (f *faults) add(field, rule, ja, en string) {
	*f = append(*f, Fault{field, rule, policy.Words{JA: ja, EN: en}})
}

// read turns a wish into a permit, or says everything that is wrong with it. What it
// goes by beside the policy is in the room; it reads nothing itself.
func (r room) read(w Wish) (Permit, error) {
	var bad faults
	m := Permit{Kind: r.k.ID, Reason: strings.TrimSpace(w.Reason), Stated: Stated{}, Contractor: r.hired, Renews: w.Renews}
	switch {
	case m.Reason == "":
		bad.add("reason", "required", "理由を書いてください。", "Please give a reason.")
	case utf8.RuneCountInString(m.Reason) > mostReason:
		bad.add("reason", "too_long", "1000文字までで書いてください。", "Please use 1000 characters at most.")
	}
	for _, f := range r.k.Fields {
		values := r.field(f, w.Stated[f.ID], &bad)
		if len(values) > 0 {
			m.Stated[f.ID] = values
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Stated)) {
		if _, known := r.k.Field(name); !known && len(w.Stated[name]) > 0 {
			bad.add(name, "unknown", "この許可にない項目です。", "This kind of permit has no such field.")
		}
	}
	r.term(w, &m, &bad)
	if w.Renews != "" && !Follows(r.before, r.k.ID, approval.Ref(r.whose), r.now) {
		bad.add("renews", "other", "続けられるのは、同じ人の同じ種類の許可で、有効なもの又は終わって"+strconv.Itoa(followsDays)+"日以内のものだけです。続けるのでなければ、新しく申請してください。",
			"Only a permit of the same kind and person can be followed that is in force, or ended within "+strconv.Itoa(followsDays)+" days. Otherwise ask for a new one.")
	}
	if r.k.Enforces == policy.EnforcesCrossing && len(bad) == 0 {
		r.crossing(m, &bad)
	}
	if r.k.Enforces == policy.EnforcesRemote && r.tied.Of == "" {
		bad.add("person", "project_over", "この人のIDの案件は終わりました。", "The project that this person's ID was for is over.")
	}
	if len(bad) > 0 {
		articles := r.k.Articles
		for _, f := range bad {
			switch f.Rule {
			case "wrong_environment":
				articles = append(slices.Clone(articles), "68-1", "68-2")
			case "project_over":
				articles = append(slices.Clone(articles), "67-2(1)")
			}
		}
		switch r.owes {
		case authz.PrivateTerminal:
			articles = append(slices.Clone(articles), "38-4")
		case authz.LentTerminal:
			articles = append(slices.Clone(articles), "63-3")
		}
		return Permit{}, &Invalid{bad, articles}
	}
	return m, nil
}

// field reads the value of one field.
func (r room) field(f policy.PermitField, values []string, bad *faults) []string {
	var out []string
	for _, v := range values {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	if f.OfContractors && !r.hired {
		if len(out) > 0 {
			bad.add(f.ID, "of_contractors", "事業者の許可にだけ書く項目です。", "This is stated for contractors alone.")
		}
		return nil
	}
	if f.OfContractors && len(out) == 0 { // what the directory knows need not be written
		out = r.known(f.ID)
	}
	switch {
	case len(out) == 0 && f.Required:
		bad.add(f.ID, "required", "入力してください。", "Please fill this in.")
		return nil
	case len(out) == 0:
		return nil
	case !f.Many() && len(out) > 1:
		bad.add(f.ID, "single", "一つだけ書いてください。", "Give one value.")
		return nil
	case f.Many() && len(out) > f.Max:
		bad.add(f.ID, "too_many", "多すぎます。"+strconv.Itoa(f.Max)+"個までです。", "There are too many; at most "+strconv.Itoa(f.Max)+".")
		return nil
	}
	for i, v := range out {
		plain, rule, says := r.value(f, v)
		if rule != "" {
			*bad = append(*bad, Fault{f.ID, rule, says})
			return nil
		}
		out[i] = plain
	}
	if f.Many() {
		out = unique(out)
	}
	return out
}

func unique(in []string) []string {
	var out []string
	for _, v := range in {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// known is what the directory says of a contractor.
func (r room) known(field string) []string {
	switch {
	case field == "company" && r.whose.Company != "":
		return []string{r.whose.Company}
	case field == "contract_end" && !r.whose.Account.ExpiresAt.IsZero():
		return []string{policy.DayInJapan(r.whose.Account.ExpiresAt.Add(-time.Nanosecond))}
	}
	return nil
}

// value reads one value of a field; rule is "" where it can be taken.
func (r room) value(f policy.PermitField, v string) (plain, rule string, says policy.Words) {
	no := func(rule, ja, en string) (string, string, policy.Words) {
		return "", rule, policy.Words{JA: ja, EN: en}
	}
	if most := max(f.Max, 1); !f.Many() && utf8.RuneCountInString(v) > most || len(v) > 4*2000 {
		return no("too_long", strconv.Itoa(most)+"文字までで書いてください。", "Please use "+strconv.Itoa(most)+" characters at most.")
	}
	switch f.Type {
	case policy.FieldChoice:
		if !slices.Contains(f.Choices, v) {
			return no("choice", "次のどれかを選んでください: "+strings.Join(f.Choices, "、"), "Choose one of: "+strings.Join(f.Choices, ", ")+".")
		}
	case policy.FieldDate:
		if _, ok := policy.JapanDay(v); !ok {
			return no("date", "日付を 2027-03-31 のように書いてください。", "Write a date such as 2027-03-31.")
		}
	case policy.FieldZone:
		if !slices.Contains(policy.ZoneIDs(), policy.ZoneID(v)) {
			return no("unknown", "知らない領域です。", "This zone is not known.")
		}
	case policy.FieldPath:
		path, plain := policy.PlainPath(v)
		if !plain || !strings.HasPrefix(v, "/") || strings.ContainsAny(v, "?#") {
			return no("path", "/ で始まる経路を書いてください（.. や // 及び ? は使えません）。", "Write a path that begins with / and has no .., // or ?.")
		}
		return path, "", policy.Words{}
	case policy.FieldApplication, policy.FieldApplications:
		app, known := application(r.p, v)
		if !known {
			return no("unknown", "「"+v+"」というシステムは登録されていません。", "No application “"+v+"” is registered.")
		}
		if r.otherEnvironment(app) {
			return no("wrong_environment", "「"+v+"」は、この人のIDとは別の環境（運用又は開発）のシステムなので、許可があっても開きません。その環境のIDについて申請してください。",
				"“"+v+"” is of the other environment (production or development) than this person's ID, and would not open whatever permit there is. Ask for the ID that is of it.")
		}
	case policy.FieldNetworks:
		n, ok := network(v)
		if !ok {
			return no("network", "ネットワークを 198.51.100.0/24 のように書いてください。", "Write a network such as 198.51.100.0/24.")
		}
		return n.String(), "", policy.Words{}
	case policy.FieldDays:
		if v = strings.ToLower(v); !slices.Contains(policy.Weekdays(), v) {
			return no("day", "曜日を mon、tue のように書いてください。", "Write a day such as mon or tue.")
		}
		return v, "", policy.Words{}
	case policy.FieldHours:
		if _, ok := policy.ParseHours(v, nil); !ok {
			return no("hours", "時間を 08:30-17:15 のように書いてください（日本時間、24:00まで）。", "Write hours such as 08:30-17:15 (Japan time, to 24:00).")
		}
	case policy.FieldTerminal:
		if rule, says := refuseTerminal(r.k, r.terminal); rule != "" {
			return "", rule, says
		}
		if r.owes != "" {
			return "", "own_permit", saysOwing[r.owes]
		}
	}
	return v, "", policy.Words{}
}

// saysOwing is said of a terminal that takes a permit of its own.
var saysOwing = map[authz.PermitKind]policy.Words{
	authz.PrivateTerminal: {
		JA: "この端末機は登録されていません。登録された端末機なら、登録のとおりの番号を書いてください。私物なら、先に同じ名前で「私物の端末機の使用」の許可を申請してください。その承認を待つ間も、リモートアクセスを申請できます。",
		EN: "This terminal is not enrolled. If it is one of ours, write its id as enrolled. If it is private, first ask for the permit “Private terminal” by the same name; remote access may be asked for while that waits.",
	},
	authz.LentTerminal: {
		JA: "この端末機は貸与の端末機です。先に「端末機の貸与」の許可を申請してください。その承認を待つ間も、リモートアクセスを申請できます。",
		EN: "This terminal is one that is lent. First ask for the permit “Lent terminal”; remote access may be asked for while that waits.",
	},
}

// refuseTerminal says why a terminal of such a standing cannot be named; rule is ""
// where it can.
func refuseTerminal(k policy.PermitKind, is Standing) (rule string, says policy.Words) {
	switch {
	case k.Enforces == policy.EnforcesNothing:
	case is == Lost:
		return "lost", policy.Words{JA: "この端末機は紛失の届出があります。", EN: "This terminal was reported lost."}
	case is == Misspelt:
		return "spelling", policy.Words{JA: "登録されている端末機の番号と、大文字・小文字、全角・半角又は空白だけが違います。登録のとおりに書いてください。", EN: "An enrolled terminal has this id but for capitals, widths or blanks. Write it as it is enrolled."}
	case is == Unlisted && k.ID == policy.PermitLentTerminal:
		return "unknown", policy.Words{JA: "この端末機は登録されていません。先に端末機を登録してください。", EN: "This terminal is not enrolled. Enrol it first."}
	}
	return "", policy.Words{}
}

// followsDays is how long after its end a permit can still be followed by another.
const followsDays = 90

// Follows reports whether a permit of a kind and a person may be said to follow this
// one: it was theirs, of that kind, and is in force or ended lately, by its time or
// given back. What was taken away is not renewed: it is asked for anew.
func Follows(before Permit, kind string, whose Ref, now time.Time) bool {
	switch before.State(now) {
	case Approved:
	case Expired, Ended:
		if !now.Before(before.EndsAt().AddDate(0, 0, followsDays)) {
			return false
		}
	default:
		return false
	}
	return before.Kind == kind && before.Person.Same(whose)
}

// misspelt reports whether a name is an enrolled terminal's by another spelling: what
// is said of the terminal, that it was lost, would not be said of it.
func misspelt(name string, all []terminal.Terminal) bool {
	plain := directory.Canonical(name)
	return slices.ContainsFunc(all, func(t terminal.Terminal) bool { return t.ID != name && directory.Canonical(t.ID) == plain })
}

// application finds an application, or a program that is one.
func application(p *policy.Policy, id string) (policy.Application, bool) {
	if app, ok := p.Application(id); ok {
		return app, true
	}
	for _, c := range p.Clients {
		if app, ok := p.ClientApplication(c); ok && app.ID == id {
			return app, true
		}
	}
	return policy.Application{}, false
}

// otherEnvironment reports whether a remote access to an application would be one that no
// door lets through (article 68-2). A crossing is a path of machines, and opens to nobody
// by itself.
func (r room) otherEnvironment(app policy.Application) bool {
	return r.k.Enforces == policy.EnforcesRemote && r.tied.Of != "" && !app.Environment.Opens(r.tied.Of)
}

func network(text string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	n, err := netip.ParsePrefix(text)
	if err != nil || n.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return n.Masked(), true
}

// moment reads a time, or a day in Japan; last: the day's end.
func moment(text string, last bool) (time.Time, bool) {
	if day, ok := policy.JapanDay(text); ok {
		if last {
			day = day.AddDate(0, 0, 1)
		}
		return day, true
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), err == nil
}

// term reads from when and until when. The person's own validity is a cap that is
// taken without a word; what the policy and a contract allow is said.
func (r room) term(w Wish, m *Permit, bad *faults) {
	before := len(*bad)
	from, ok := moment(w.From, false)
	switch {
	case w.From == "" && r.k.Enforces != policy.EnforcesRemote:
		from = r.now
	case w.From == "":
		bad.add("from", "required", "いつから使うかを書いてください。", "Please say from when.")
	case !ok:
		bad.add("from", "time", "日付（2026-04-01）又は時刻（RFC 3339）で書いてください。", "Write a day such as 2026-04-01, or a time (RFC 3339).")
	case from.Before(r.now.Add(-begunWithin)):
		bad.add("from", "past", "始まりが過去です。", "The beginning lies in the past.")
	case from.After(r.now.AddDate(0, 0, r.k.AheadDays)):
		bad.add("from", "too_early", "始まりの"+strconv.Itoa(r.k.AheadDays)+"日前から申請できます。", "A permit may be asked for "+strconv.Itoa(r.k.AheadDays)+" days before it begins.")
	}
	until, ok := moment(w.Until, true)
	switch {
	case w.Until == "":
		bad.add("until", "required", "いつまで使うかを書いてください。", "Please say until when.")
	case !ok:
		bad.add("until", "time", "日付（2027-03-31）又は時刻（RFC 3339）で書いてください。", "Write a day such as 2027-03-31, or a time (RFC 3339).")
	case !until.After(r.now):
		bad.add("until", "past", "終わりが過去です。", "The end lies in the past.")
	}
	if len(*bad) > before {
		return
	}
	if from.Before(r.now) {
		from = r.now
	}
	longest := r.k.Longest(from)
	contract, hired := policy.JapanDay(m.Stated.One("contract_end"))
	switch {
	case !until.After(from):
		bad.add("until", "order", "終わりは始まりより後にしてください。", "The end comes after the beginning.")
	case until.After(longest):
		day := policy.DayInJapan(longest.Add(-time.Nanosecond))
		bad.add("until", "too_late", day+"までとしてください。続けるときは、改めて申請します。", "It ends on "+day+" at the latest; to go on, it is asked for again.")
	case r.hired && hired && until.After(contract.AddDate(0, 0, 1)):
		bad.add("until", "contract_end", "契約の終わりより後にはできません。", "It cannot end after the contract.")
	case !r.cap.IsZero() && until.After(r.cap):
		bad.add("until", "terminal_end", "端末機の許可の終わり（"+policy.DayInJapan(r.cap.Add(-time.Nanosecond))+"）より後にはできません。", "It cannot end after the terminal's own permit ("+policy.DayInJapan(r.cap.Add(-time.Nanosecond))+").")
	}
	end := r.whose.Account.ExpiresAt
	if r.k.Enforces == policy.EnforcesRemote && !r.tied.Until.IsZero() && (end.IsZero() || r.tied.Until.Before(end)) {
		end = r.tied.Until // of their projects
	}
	if !end.IsZero() && end.Before(until) {
		until = end
		if !until.After(from) && len(*bad) == before {
			bad.add("from", "id_ends", "このIDの期限は、始まりより前に来ます。", "The ID ends before this begins.")
		}
	}
	m.From, m.Until = from.UTC().Truncate(time.Microsecond), until.UTC().Truncate(time.Microsecond)
}

// crossing asks whether a permit could open this way at all.
func (r room) crossing(m Permit, bad *faults) {
	app, _ := r.p.Application(m.Stated.One("application"))
	from := policy.ZoneID(m.Stated.One("from_zone"))
	switch {
	case app.ID == "":
		bad.add("application", "unknown", "このシステムは関所の後ろにありません。", "This application does not stand behind the gate.")
	case from == app.Zone:
		bad.add("from_zone", "same_zone", "システムと同じ領域です。許可は要りません。", "The application lies in this zone; no permit is needed.")
	case r.p.ZoneMatrix.Between(from, app.Zone).Rule != policy.CrossingPermit:
		bad.add("from_zone", "walled", "この二つの領域の間は、許可があっても通れません。", "Between these zones nothing passes, whatever permit there is.")
	}
}

// MayAsk says whether somebody may ask for a permit of a kind for somebody.
func MayAsk(p *policy.Policy, k policy.PermitKind, by approval.Holder, whose directory.Person, now time.Time) error {
	holds := func(what func(policy.Post) bool) bool {
		return slices.ContainsFunc(by.Posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && what(post) })
	}
	switch {
	case holds(func(post policy.Post) bool { return post.Audits }):
		return refused(ReadsOnly, "監査の役割を持つ方は、申請できません。", "Whoever audits asks for nothing.", "16-2", "82-2")
	case by.Person.Kind == directory.KindContractor || slices.Contains(by.Posts, policy.Contractor):
		return refused(ByOwner, "事業者の許可は、委託している室課の職員が申請します。担当の職員に依頼してください。", "A contractor's permit is asked for by the section that has the contract. Please ask your contact there.", "63-1", "79-3(13)")
	case len(k.Askers) > 0 && !slices.ContainsFunc(by.Posts, func(id policy.PostID) bool { return slices.Contains(k.Askers, id) }):
		return refused(NoPost, "この許可は、定められた役割の方（情報システム管理者など）が申請します。", "This permit is asked for by those who hold its posts, such as the system administrator.", k.Articles...)
	case !whose.MaySignIn(now):
		return refused(AccountEnds, "この人のIDは現在利用できません。", "That person's ID cannot be used at present.", "62-2")
	case whose.ID != by.Person.ID && whose.Section != by.Person.Section && !holds(func(post policy.Post) bool { return post.Approves || post.Administers }):
		return refused(NotTheirs, "ほかの室課の人の許可は、その室課の職員又は管理する役割の方が申請します。", "A permit for somebody of another section is asked for there, or by those who administer.", "63-2(1)")
	}
	return nil
}

// Hired reports whether a person works for a contractor.
func Hired(p *policy.Policy, who directory.Person) bool {
	return who.Kind == directory.KindContractor || slices.Contains(p.PostsOf(who.Groups), policy.Contractor)
}
