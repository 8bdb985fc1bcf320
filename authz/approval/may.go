package approval

import (
	"slices"
	"time"

	"sekisho/authn/account"
	"sekisho/directory"
	"sekisho/policy"
)

// A Reason is why a verdict is what it is.
type Reason string

// The reasons.
const (
	NotStated Reason = ""           // the zero value: refused
	Allowed   Reason = "allowed"    //
	Over      Reason = "over"       // the matter has its outcome already
	Closed    Reason = "closed"     // the person may use nothing
	OwnMatter Reason = "own_matter" // asked by or for the same human being
	Audits    Reason = "audits"     // who audits decides nothing
	Twice     Reason = "twice"      // they have decided it already
	NotTheirs Reason = "not_theirs" // no post of theirs decides it, or not yet
	TooWeak   Reason = "too_weak"   // signing in with a phishing-resistant factor would help
	Stale     Reason = "stale"      // signing in again would help
	NewFactor Reason = "new_factor" // the factor has not rested
)

// A Verdict is what May answers. Its zero value refuses, and only this package
// can set ok.
type Verdict struct {
	ok       bool
	Reason   Reason
	Says     policy.Words
	Articles []policy.Article
	As       Capacity
	StepUp   bool // signing in again, or more strongly, would help
}

// OK reports whether the decision may be made.
func (v Verdict) OK() bool { return v.ok }

// An Approver is somebody who would decide, as they are at this moment.
type Approver struct {
	Holder
	Usable   bool
	ACR      policy.ACR
	AuthAt   time.Time
	FactorAt time.Time // since when they have had the factor they signed in with
	Synced   bool      // it is copied between devices

	// Of the request.
	SessionID, Terminal, From, RequestID string
	Zone                                 policy.ZoneID
}

// Elevated is the sign-in that acts about other people's rights take first; nil: the
// present one does. A passkey that its maker copies is not where one that cannot be
// phished is asked for.
func (a Approver) Elevated(p *policy.Policy, now time.Time) *account.StepUp {
	s := p.Session
	need := &account.StepUp{Required: s.ElevatedACR, MaxAge: min(p.SignIn.FreshFor, s.ElevatedIdleEnd, s.ElevatedAbsoluteEnd)}
	if a.ACR.AtLeast(need.Required) && !a.AuthAt.IsZero() && now.Sub(a.AuthAt) <= need.MaxAge && !(need.Required == policy.PHR && a.Synced) {
		return nil
	}
	return need
}

// May says whether somebody may decide a matter now. It is pure: what it goes by
// is read by the caller, at the time of use.
func May(p *policy.Policy, m Matter, made []Decision, roster []Holder, by Approver, now time.Time) Verdict {
	q := question{p, m, made, roster, now}
	v := q.may(by.Holder, by.Usable)
	if !v.ok {
		return v
	}
	r := p.Approval
	if m.Rule.takes(now) == policy.AAL2 && by.ACR.AtLeast(policy.AAL2) && !by.AuthAt.IsZero() && now.Sub(by.AuthAt) <= r.FreshFor {
		return v
	}
	switch {
	case !by.ACR.AtLeast(policy.PHR) || by.Synced:
		return refusal(TooWeak, policy.Words{
			JA: "承認には、端末に固定されたパスキー又はICカードによるサインインが必要です。",
			EN: "To decide, sign in with a passkey that stays on its device, or a card.",
		}, true, "62-7")
	case by.AuthAt.IsZero() || now.Sub(by.AuthAt) > r.FreshFor || by.FactorAt.IsZero():
		// Whose factor has no written age signed in before that was written down.
		return refusal(Stale, policy.Words{
			JA: "最後の認証から時間がたっています。もう一度パスキー又はICカードで確かめてください。",
			EN: "You signed in too long ago for this. Please prove yourself again with your passkey or card.",
		}, true, "62-7")
	case now.Sub(by.FactorAt) < r.FactorRest:
		return refusal(NewFactor, policy.Words{
			JA: "このサインインに使った認証手段は、登録から" + policy.ShowDuration(r.FactorRest) + "たっていないため、承認には使えません。前から使っている認証手段でサインインしてください。",
			EN: "The factor you signed in with was added less than " + policy.ShowDuration(r.FactorRest) + " ago and cannot decide yet. Sign in with one that you have had for longer.",
		}, false, "16-1")
	}
	return v
}

// may is May but for how somebody has signed in.
func (q question) may(h Holder, usable bool) Verdict {
	if !usable {
		return refusal(Closed, policy.Words{
			JA: "このIDは現在利用できません。", EN: "This ID cannot be used at present.",
		}, false, "62-2")
	}
	if state := q.m.State(q.now); state != Pending {
		return over(state)
	}
	switch why(q, h) {
	case OwnMatter:
		return refusal(OwnMatter, policy.Words{
			JA: "自分が申請したもの、自分のためのものは、自分では決められません（別のIDでも同じです）。ほかの承認者が決めます。",
			EN: "Nobody decides what they asked for or what is for themselves, whichever of their IDs they use. Another approver decides it.",
		}, false, "16-1")
	case Audits:
		return refusal(Audits, policy.Words{
			JA: "監査の役割を持つ方は、承認も却下もできません。", EN: "Whoever audits decides nothing.",
		}, false, "16-2", "82-2")
	case Twice:
		return refusal(Twice, policy.Words{
			JA: "この申請はすでに決めています。一人の決定は一回だけ数えます。", EN: "You have decided this already; everyone counts once.",
		}, false, "16-1")
	}
	as, ok := q.stands(h)
	if !ok {
		return refusal(NotTheirs, policy.Words{
			JA: "この申請は、あなたの役割では決められません。決められる人は申請のページに示しています。",
			EN: "Your post does not decide this. The page of the request says who does.",
		}, false, "12-2", "13-1")
	}
	return Verdict{ok: true, Reason: Allowed, As: as, Articles: []policy.Article{"16-1"}}
}

// why is the reason against somebody that has nothing to do with their post.
func why(q question, h Holder) Reason {
	ref := Ref(h.Person)
	switch {
	case q.m.concerned(ref):
		return OwnMatter
	case slices.ContainsFunc(h.Posts, func(id policy.PostID) bool { post, ok := q.p.Post(id); return ok && post.Audits }):
		return Audits
	case slices.ContainsFunc(q.made, func(d Decision) bool { return d.By.Same(ref) }):
		return Twice
	}
	return Allowed
}

func over(state State) Verdict {
	says := map[State]policy.Words{
		Approved:  {JA: "この申請はすでに承認されています。", EN: "This request is approved already."},
		Denied:    {JA: "この申請はすでに却下されています。", EN: "This request is denied already."},
		Cancelled: {JA: "この申請は取り下げられています。", EN: "This request was taken back."},
		Lapsed:    {JA: "この申請は期限を過ぎて失効しています。必要なら、もう一度申請してもらってください。", EN: "This request has lapsed. If it is still needed, have it asked for again."},
	}[state]
	return refusal(Over, says, false, "16-1")
}

func refusal(why Reason, says policy.Words, stepUp bool, articles ...policy.Article) Verdict {
	return Verdict{Reason: why, Says: says, StepUp: stepUp, Articles: articles}
}

// A Candidate is somebody of the roster, and what stands against them.
type Candidate struct {
	Holder
	Verdict Verdict
}

// Who goes through the roster: who may decide a matter now, and why not the
// others. How they will have signed in is not asked. Those who may come first.
func Who(p *policy.Policy, m Matter, made []Decision, roster []Holder, now time.Time) []Candidate {
	q := question{p, m, made, roster, now}
	var may, not []Candidate
	for _, h := range roster {
		c := Candidate{h, q.may(h, h.Person.MaySignIn(now))}
		if c.Verdict.ok {
			may = append(may, c)
		} else {
			not = append(not, c)
		}
	}
	return append(may, not...)
}

// MayAsk says whether a matter may be asked for at all: not by somebody who
// audits, and not where too few are left who could ever decide it.
func MayAsk(p *policy.Policy, m Matter, roster []Holder, now time.Time) Verdict {
	if slices.ContainsFunc(m.RequesterPosts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits }) {
		return refusal(Audits, policy.Words{
			JA: "監査の役割を持つ方は、申請できません。", EN: "Whoever audits asks for nothing.",
		}, false, "16-2", "82-2")
	}
	if len(m.Rule.Steps) == 0 {
		return refusal(NotStated, policy.Words{
			JA: "誰が決めるかが定められていません。情報システム管理者に知らせてください。", EN: "Nobody is named who decides this. Please tell the system administrator.",
		}, false, "16-1")
	}
	if !enough(p, m, roster, now) {
		return refusal(NotTheirs, policy.Words{
			JA: "この申請を決められる人が足りません（申請する本人は数えません）。職の割当て又は代理の登録を、情報システム管理者に確かめてください。",
			EN: "Too few people are left who could decide this; whoever asks does not count. Please have the posts or deputies looked at.",
		}, false, "16-1")
	}
	return Verdict{ok: true, Reason: Allowed, Articles: []policy.Article{"16-1"}}
}

// enough plays the matter through: at each step somebody must be found who says
// yes, the way up being open where those below are used up.
func enough(p *policy.Policy, m Matter, roster []Holder, now time.Time) bool {
	m.state = Pending
	m.LapsesAt = now.Add(time.Hour)
	var made []Decision
	// Those with the fewest posts first: whoever holds several is kept for what
	// nobody else decides.
	roster = slices.Clone(roster)
	slices.SortStableFunc(roster, func(a, b Holder) int { return len(a.Posts) - len(b.Posts) })
	for m.current(made) < len(m.Rule.Steps) {
		q := question{p, m, made, roster, now}
		found := false
		for _, h := range roster {
			if v := q.may(h, h.Person.MaySignIn(now)); v.ok {
				made = append(made, Decision{Step: m.current(made), By: Ref(h.Person), Post: v.As.Post, Also: v.As.Also, Yes: true})
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// Reviewer says whether somebody may review an acting decision: who holds the
// post in whose place it was made, and had no part in the matter.
func Reviewer(p *policy.Policy, m Matter, d Decision, by Holder) Verdict {
	q := question{p: p, m: m}
	switch {
	case !d.Owed():
		return refusal(Over, policy.Words{JA: "この決定に後閲は残っていません。", EN: "No review of this decision is owed."}, false, "16-1")
	case slices.ContainsFunc(by.Posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits }):
		return refusal(Audits, policy.Words{JA: "監査の役割を持つ方は、後閲できません。", EN: "Whoever audits reviews nothing."}, false, "16-2", "82-2")
	case d.By.Same(Ref(by.Person)), why(q, by) != Allowed:
		return refusal(OwnMatter, policy.Words{
			JA: "自分が関わった決定は後閲できません。", EN: "Nobody reviews a decision they had a part in.",
		}, false, "16-1")
	}
	higher := []policy.PostID{d.Post, policy.SecurityOfficer, policy.CIO}
	for _, post := range higher {
		if slices.Contains(by.Posts, post) && reaches(p, post, by.Person.Section, m.section(), Own) {
			return Verdict{ok: true, Reason: Allowed, As: Capacity{Post: post, How: ByPost}, Articles: []policy.Article{"16-1"}}
		}
	}
	return refusal(NotTheirs, policy.Words{
		JA: "後閲は、代わりに決めてもらった職の方が行います。", EN: "Whoever holds the post that was stood in for reviews it.",
	}, false, "12-2", "13-1")
}

// logins are whom the policy names to stand in, now or later.
func logins(p *policy.Policy, now time.Time) []string {
	var out []string
	add := func(login string) {
		if !slices.ContainsFunc(out, func(o string) bool { return directory.Canonical(o) == directory.Canonical(login) }) {
			out = append(out, login)
		}
	}
	for _, d := range p.Approval.Deputies {
		if d.InForce(now) {
			add(d.Login)
		}
	}
	for _, d := range p.Approval.Duty {
		if d.InForce(now) {
			for _, l := range d.Logins {
				add(l)
			}
		}
	}
	return out
}
