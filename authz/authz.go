// Package authz decides what a person may open, and what they may do to others.
//
// Decide and May are pure functions from facts to an answer, with the articles
// and the words that go with it. They read nothing, store nothing and do not
// know HTTP. Whoever calls them calls them at the time of use (design rule 2).
package authz

import (
	"net/netip"
	"slices"
	"time"

	"sekisho/authn"
	"sekisho/directory"
	"sekisho/policy"
)

// A Reason is why a verdict is what it is, for machines and auditors.
type Reason string

const (
	Allowed    Reason = "allowed"
	NoSession  Reason = "no_session"  // signing in would help
	TooWeak    Reason = "too_weak"    // signing in with more factors would help
	Stale      Reason = "stale"       // signing in again would help
	Synced     Reason = "synced_key"  // signed in by a passkey that is copied between devices
	Closed     Reason = "closed"      // the person may use nothing
	NotYours   Reason = "not_yours"   // posts, groups or sections are not among those concerned
	Unknown    Reason = "unknown_app" // no such application
	NotStated  Reason = ""            // the zero value: refused
	WrongZones Reason = "wrong_zone"  // this gateway does not serve the application's zone
	Walled     Reason = "walled"      // no permit can lead from the request's network to the application's zone
	NoCrossing Reason = "no_crossing" // a crossing permit of the path would help
	NoRemote   Reason = "no_remote"   // a remote-access permit would help
	NoTerminal Reason = "no_terminal" // a permit of the terminal that the remote access names would help
	Unchecked  Reason = "unchecked"   // begun inside: signing in from where one is would help
	Unreadable Reason = "unreadable"  // the path can be read in more than one way
	LockedDown Reason = "locked_down" // a lock-down is in force
	NoLease    Reason = "no_lease"    // a privilege that is lent would help
	SharedID   Reason = "shared_id"   // several people use the ID: signing in with one's own would help

	ProjectOver      Reason = "project_over"      // the projects that the ID was for are over
	WrongEnvironment Reason = "wrong_environment" // an ID of development at production, or the other way round
)

// A PermitKind is what a permit is for.
type PermitKind string

// The permits that decide whether a request passes.
const (
	ZoneCrossing    PermitKind = "zone_crossing"    // articles 26no2-2 and 26no4-1
	RemoteAccess    PermitKind = "remote_access"    // article 63-1
	PrivateTerminal PermitKind = "private_terminal" // article 38-4
	LentTerminal    PermitKind = "lent_terminal"    // article 63-3
)

// A Permit is one that lives as far as its register knows; whether it still
// does at the moment of use is asked here.
type Permit struct {
	ID   string
	Kind PermitKind
	// Applications are the ids it is good for.
	Applications []string
	// From is the zone a crossing leads from, and Path what lies at its end: the
	// path itself and all below it.
	From policy.ZoneID
	Path string
	// Person is whose a permit of remote access or of a terminal is.
	Person directory.PersonID
	Since  time.Time // zero: at once
	Until  time.Time
	// Networks are where a remote-access permit may be used from; none: anywhere.
	Networks []netip.Prefix
	Hours    []policy.Hours // when it may be used; none: always
	// Terminal is the one that it names. A terminal that speaks for itself must be
	// that one; where none does, its holder's word stands for it (articles 63-4, 63-6).
	Terminal string
	// Enrolled is the class of that terminal where administrators enrolled it; "" where
	// none did. What the policy declares of it goes before.
	Enrolled string
}

// live is until when the permit lets through what the facts say, if it does.
func (m *Permit) live(f *Facts) (until time.Time, ok bool) {
	if f.Now.Before(m.Since) || !f.Now.Before(m.Until) {
		return time.Time{}, false
	}
	if len(m.Networks) > 0 && !slices.ContainsFunc(m.Networks, func(n netip.Prefix) bool { return n.Contains(f.Source) }) {
		return time.Time{}, false
	}
	if m.Terminal != "" && f.Terminal != "" && m.Terminal != f.Terminal {
		return time.Time{}, false
	}
	if len(m.Hours) == 0 {
		return m.Until, true
	}
	end, open := policy.OpenUntil(m.Hours, f.Now)
	if open && !end.IsZero() && end.Before(m.Until) {
		return end, true
	}
	return m.Until, open
}

// A Place is a section that somebody belongs to beside their own: by a concurrent post
// (兼務), or until they have handed over what they did there (引継ぎ).
type Place struct {
	Section string
	Until   time.Time // zero: none
}

// Facts are what a decision goes by.
type Facts struct {
	SignedIn    bool
	Person      directory.Person
	Posts       []policy.PostID
	ACR         policy.ACR
	AMR         []string  // how the person signed in, RFC 8176
	AuthAt      time.Time // when the person last proved who they are
	SessionEnds time.Time
	Application policy.Application // zero for none
	URI         string             // path and query asked for; "" for the application as a whole
	From        policy.ZoneID      // of the network that this request comes from; "" for none of ours
	Outside     bool               // it comes over the Internet or a public line
	Source      netip.Addr         // the address that it comes from
	// Checked: the session began outside, so its person has confirmed the terminal
	// and remote time-outs govern it (articles 63-4, 63-6, 63-7).
	Checked   bool
	Permits   []Permit
	Beside    []Place    // sections that the person belongs to beside their own
	LockDowns []LockDown // those that may be in force
	Leases    []Lease    // that the person holds in this session
	Ties      []Tie      // projects that the ID is bound to
	Terminal  string     // that the session began on; "" for none that spoke for itself
	Now       time.Time
}

// A Verdict is what Decide answers. Its zero value denies, and only this
// package can set allowed, so a forgotten branch fails closed.
type Verdict struct {
	allowed  bool
	Reason   Reason
	Says     policy.Words     // for the person who was refused
	Articles []policy.Article // those the decision serves
	StepUp   policy.ACR       // assurance that would help, "" if none would
	// Fresh is how recent a sign-in would help; 0 where its age is not the matter.
	Fresh time.Duration
	Ask   PermitKind // what to ask for; "" where no permit would help
	// Borrow is the privilege that would help; "" where none would.
	Borrow string
	// Permits are the ids of those that it rests on.
	Permits []string
	Until   time.Time // when the verdict must be asked for again
}

// Allowed reports whether the verdict lets the request through at now.
func (v Verdict) Allowed(now time.Time) bool { return v.allowed && now.Before(v.Until) }

// every is served by each decision (article 62).
var every = []policy.Article{"62-1", "62-2"}

// Decide says whether the facts allow a request to an application.
//
// What nobody can help comes first: a reader who is refused for good is not sent
// to sign in before they hear of it. Whether somebody from outside has a permit
// is said only to who has signed in, because the permit is a person's.
func Decide(p *policy.Policy, f Facts) Verdict {
	app := f.Application
	zone, served := p.Zone(app.Zone)
	switch {
	case app.ID == "":
		return refuse(Unknown, every, policy.Words{
			JA: "この宛先のシステムは登録されていません。情報システム管理者にお尋ねください。",
			EN: "No application is registered here. Please ask the system administrator.",
		})
	case !served:
		return refuse(WrongZones, []policy.Article{"26no2-1", "26no4-1"}, policy.Words{
			JA: "このシステムの領域は、この関所では扱っていません。",
			EN: "This gateway does not serve the application's zone.",
		})
	}
	// What is from no network of ours is from outside, whatever else is said of it.
	f.Outside = f.Outside || f.From == ""
	if v, shut := locked(p, f); shut {
		return v
	}
	ends, by, refused, ok := crosses(p, f)
	if !ok {
		return refused
	}
	need, fresh, readable := p.Asks(app, f.URI)
	if !readable {
		return unreadable()
	}
	if f.Outside && !need.AtLeast(policy.AAL2) {
		need = policy.AAL2 // article 63-2(2): who comes from outside is identified by more than a password
	}
	if !f.SignedIn {
		v := refuse(NoSession, every, policy.Words{
			JA: "サインインしてください。", EN: "Please sign in.",
		})
		v.StepUp = need
		return v
	}
	if !f.Person.MaySignIn(f.Now) {
		return closed(f)
	}
	of, good, ok := tied(f.Ties, f.Now)
	switch {
	case !ok:
		return projectOver()
	case !app.Environment.Opens(of):
		return OtherEnvironment(of)
	}
	belongs, ok := concerned(p, app, f)
	if !ok {
		return refuse(NotYours, with(every, "47-2"), policy.Words{
			JA: "このシステムは、あなたの所属又は役割では利用できません。必要な場合は情報システム管理者に相談してください。",
			EN: "Your section or post does not include this application. If you need it, please ask the system administrator.",
		})
	}
	if v, ok := identified(f, zone.ID, need, fresh); !ok {
		return v
	}
	lent, refused, ok := borrowed(p, f)
	if !ok {
		return refused
	}
	ends = append(append(ends, belongs...), lent...)
	if !good.IsZero() {
		ends = append(ends, good)
	}
	// What is told of a lease is not told beyond its end, though the application
	// does not ask for it.
	for _, l := range f.Leases {
		if l.Live(f.Now) && l.Concerns(app) {
			ends = append(ends, l.Until)
		}
	}
	if f.Outside {
		way := remotely(p, &f)
		if way.owes != "" {
			return owing(way.owes)
		}
		if way.until.IsZero() {
			v := refuse(NoRemote, with(every, "63-1", "63-2(1)"), policy.Words{
				JA: "庁外からこのシステムを使うには、ＣＩＯの許可が必要です。リモートアクセスの許可を申請してください。",
				EN: "Using this application from outside takes the CIO's permit. Please ask for remote access.",
			})
			v.Ask = RemoteAccess
			return v
		}
		if !f.Checked {
			return unchecked(need)
		}
		ends, by = append(ends, way.until), way.onto(by)
	}
	if fresh > 0 {
		ends = append(ends, f.AuthAt.Add(fresh))
	}
	// A session without an end has none to give: zero stays zero, and denies.
	until := f.SessionEnds
	for _, end := range ends {
		if end.Before(until) {
			until = end
		}
	}
	return Verdict{allowed: true, Reason: Allowed, Articles: every, Until: until, Permits: by}
}

// identified asks how strongly and how recently the person proved who they are.
func identified(f Facts, zone policy.ZoneID, need policy.ACR, fresh time.Duration) (Verdict, bool) {
	articles := every
	if zone == policy.MyNumber {
		articles = with(every, "26no3-1")
	}
	switch {
	case !f.ACR.AtLeast(need):
		v := refuse(TooWeak, articles, policy.Words{
			JA: "このシステムには、より強い認証が必要です。もう一度サインインしてください。",
			EN: "This application needs a stronger sign-in. Please sign in again.",
		})
		v.StepUp = need
		return v, false
	case zone == policy.MyNumber && slices.Contains(f.AMR, string(authn.SyncedKey)):
		return refuse(Synced, articles, policy.Words{
			JA: "同期されるパスキーでは、個人番号利用事務系のシステムを開けません。サインアウトして、端末に固定されたパスキー、カード又は確認コードでサインインし直してください。",
			EN: "A passkey that is copied between devices does not open the My Number zone. Sign out, then sign in with a passkey that stays on its device, a card, or a one-time code.",
		}), false
	case fresh > 0 && !f.Now.Before(f.AuthAt.Add(fresh)):
		v := refuse(Stale, articles, policy.Words{
			JA: "最後の認証から時間がたっています。もう一度サインインしてください。",
			EN: "You signed in too long ago for this. Please sign in again.",
		})
		v.StepUp, v.Fresh = need, fresh
		return v, false
	}
	return Verdict{}, true
}

// crosses asks whether a request may come from where it does (articles 26no2
// and 26no4). Within one zone, nothing is crossed; between two, the matrix
// decides whether a permit of this path may lead through, and the permit must
// live. ends holds that permit's end and by its id, and nothing where none was needed.
func crosses(p *policy.Policy, f Facts) (ends []time.Time, by []string, refused Verdict, ok bool) {
	app := f.Application
	if f.From == app.Zone {
		return nil, nil, Verdict{}, true
	}
	from := f.From
	if f.Outside {
		// That is remote access and no crossing. The mynumber zone alone is closed
		// to it: it would be linked to the Internet.
		if app.Zone != policy.MyNumber {
			return nil, nil, Verdict{}, true
		}
		from = policy.Internet
	}
	way := p.ZoneMatrix.Between(from, app.Zone)
	if way.Rule != policy.CrossingPermit {
		return nil, nil, refuse(Walled, crossingArticles(from, app.Zone, way.Article), policy.Words{
			JA: "この領域の端末から、別の領域にあるこのシステムは使えません。システムと同じ領域の端末から使ってください。",
			EN: "This application lies in another zone, which is not used from here. Please use a terminal of the application's own zone.",
		}), false
	}
	path, plain := policy.PlainPath(f.URI)
	if f.URI == "" {
		path, plain = "/", true
	}
	if !plain {
		return nil, nil, unreadable(), false
	}
	until, id, ok := permitted(&f, ZoneCrossing, func(m *Permit) bool { return m.From == from && policy.Below(path, m.Path) })
	if ok {
		return []time.Time{until}, []string{id}, Verdict{}, true
	}
	v := refuse(NoCrossing, crossingArticles(from, app.Zone, way.Article), policy.Words{
		JA: "この端末とシステムは別の領域にあり、この通信は許可されていません。必要な場合は、情報システム管理者がＣＩＯの許可を申請します。",
		EN: "This terminal and the application lie in different zones, and nobody has permitted this path. If it is needed, the system administrator asks the CIO for a permit.",
	})
	v.Ask = ZoneCrossing
	return nil, nil, v, false
}

func crossingArticles(from, to policy.ZoneID, of policy.Article) []policy.Article {
	if from == policy.MyNumber || to == policy.MyNumber {
		return with([]policy.Article{"26no2-1", "26no2-2"}, of)
	}
	return with([]policy.Article{"26no4-1"}, of)
}

// permitted finds the permit of a kind that lets this request through for the
// longest, its end and its id. Without an application it is one for any.
func permitted(f *Facts, kind PermitKind, fits func(*Permit) bool) (until time.Time, id string, ok bool) {
	for i := range f.Permits {
		m := &f.Permits[i]
		if m.Kind != kind || f.Application.ID != "" && !slices.Contains(m.Applications, f.Application.ID) || !fits(m) {
			continue
		}
		if end, live := m.live(f); live && end.After(until) {
			until, id, ok = end, m.ID, true
		}
	}
	return until, id, ok
}

// closed refuses an ID that may use nothing.
func closed(f Facts) Verdict {
	if f.Person.Kind == directory.KindShared {
		return NobodysOwn()
	}
	return refuse(Closed, every, policy.Words{
		JA: "このIDは現在利用できません。情報システム管理者にお尋ねください。",
		EN: "This ID cannot be used at present. Please ask the system administrator.",
	})
}

// NobodysOwn refuses whoever comes by an ID that several people use: of what is done with
// it nobody could say by whom (article 46-1).
func NobodysOwn() Verdict {
	return refuse(SharedID, with(every, "46-1"), policy.Words{
		JA: "これは共用IDです。だれが使っているか分からなくなるため、共用IDではサインインできません。",
		EN: "This is a shared ID. Nobody signs in with one, for nobody could say who uses it.",
	})
}

// with is a list of articles and more, each once; the list itself is shared.
func with(articles []policy.Article, more ...policy.Article) []policy.Article {
	out := slices.Clone(articles)
	for _, a := range more {
		if a != "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// An Opening is an application, and what Decide says of it.
type Opening struct {
	Application policy.Application
	// Client is the program that this application is nothing but: one that says
	// itself whom it serves. Zero for what stands behind the gate.
	Client  policy.Client
	Verdict Verdict
	// Paths are what Decide says of the application's stricter paths, in the
	// policy's order.
	Paths []PathOpening
}

// A PathOpening is a path with a rule of its own, and what Decide says of it.
type PathOpening struct {
	Rule    policy.PathRule
	Verdict Verdict
}

// Survey asks Decide about every application of the policy for one set of facts,
// real or supposed: what somebody may open, from where, signed in how, and why
// not the rest. Programs that ask for people and belong to no application are
// among them. It opens nothing.
func Survey(p *policy.Policy, f Facts) []Opening {
	out := make([]Opening, 0, len(p.Applications)+len(p.Clients))
	for _, app := range p.Applications {
		out = append(out, survey(p, f, Opening{Application: app}))
	}
	for _, c := range p.Clients {
		if app, ok := p.ClientApplication(c); ok && c.Application == "" && len(c.RedirectURIs) > 0 {
			out = append(out, survey(p, f, Opening{Application: app, Client: c}))
		}
	}
	return out
}

func survey(p *policy.Policy, f Facts, o Opening) Opening {
	f.Application, f.URI = o.Application, ""
	o.Verdict = Decide(p, f)
	for _, rule := range o.Application.Paths {
		f.URI = rule.Path
		o.Paths = append(o.Paths, PathOpening{rule, Decide(p, f)})
	}
	return o
}
