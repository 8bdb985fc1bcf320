package authz

import (
	"slices"

	"sekisho/policy"
)

// An Act is something that administrators and those who approve do to other
// people's accounts, to terminals and to hardware tokens.
type Act string

// The acts.
const (
	ViewPeople        Act = "view_people"
	Suspend           Act = "suspend"
	Restore           Act = "restore"
	RecordLeave       Act = "record_leave" // 育休, 休職
	EndLeave          Act = "end_leave"
	Unlock            Act = "unlock"
	TemporaryPassword Act = "temporary_password"
	RecoveryCode      Act = "recovery_code"
	RemoveFactor      Act = "remove_factor"
	ViewTerminals     Act = "view_terminals"
	EnrolTerminal     Act = "enrol_terminal"
	LoseTerminal      Act = "lose_terminal"
	RemoveTerminal    Act = "remove_terminal"
	ViewTokens        Act = "view_tokens"
	ImportTokens      Act = "import_tokens"
	AssignToken       Act = "assign_token" // to give one to a person, or to take it back
	ResyncToken       Act = "resync_token"
	LoseToken         Act = "lose_token"

	ViewApplications Act = "view_applications"
	TryAccess        Act = "try_access" // to ask what somebody could open
	EndInside        Act = "end_inside" // somebody's session at one application
)

// Acts are all acts there are, in the order in which they are shown.
func Acts() []Act {
	return []Act{
		ViewPeople, Suspend, Restore, RecordLeave, EndLeave, Unlock, TemporaryPassword, RecoveryCode, RemoveFactor,
		ViewTerminals, EnrolTerminal, LoseTerminal, RemoveTerminal,
		ViewTokens, ImportTokens, AssignToken, ResyncToken, LoseToken,
		ViewApplications, TryAccess, EndInside,
	}
}

// narrowing are the acts that give nobody anything.
var narrowing = []Act{ViewPeople, ViewTerminals, ViewTokens, Suspend, RecordLeave, RemoveFactor, LoseTerminal, RemoveTerminal, LoseToken, ViewApplications, TryAccess, EndInside}

// Gives says that an act may leave somebody with more than they had. Such an act
// does not begin where the trail may not hold what follows from it.
func (a Act) Gives() bool { return !slices.Contains(narrowing, a) }

// Why a Permission is what it is, beside Allowed and NotStated.
const (
	UnknownAct Reason = "unknown_act"
	NoPost     Reason = "no_post"     // no post of theirs includes it
	ReadsOnly  Reason = "reads_only"  // who audits changes nothing
	OwnAccount Reason = "own_account" // nobody does this to themselves
	TwoPersons Reason = "two_persons" // not by one person alone
)

// A Permission is what May answers. Its zero value refuses, and only this
// package can set ok. Unlike a Verdict it has no end: it is asked for in the
// request that needs it and never kept.
type Permission struct {
	ok       bool
	Reason   Reason
	Says     policy.Words     // for the person who was refused
	Articles []policy.Article // those the act, or its refusal, serves
}

// OK reports whether the act may be done.
func (p Permission) OK() bool { return p.ok }

// A duty is what an act asks of the posts of whoever does it.
type duty struct {
	approvers bool // posts that approve may, too: what only narrows must not wait for an administrator
	reads     bool // nothing changes: auditors may, and the subject may be oneself
	binds     bool // gives or takes what its holder proves themselves with
	articles  []policy.Article
}

var duties = map[Act]duty{
	ViewPeople:        {approvers: true, reads: true, articles: []policy.Article{"47-3", "62-3"}},
	Suspend:           {approvers: true, articles: []policy.Article{"75-2", "78-3"}},
	Restore:           {approvers: true, articles: []policy.Article{"62-5", "78-3"}},
	RecordLeave:       {approvers: true, articles: []policy.Article{"62-3", "62-5"}},
	EndLeave:          {approvers: true, articles: []policy.Article{"62-3", "62-5"}},
	Unlock:            {articles: []policy.Article{"63-7", "64-1"}},
	TemporaryPassword: {binds: true, articles: []policy.Article{"46-2(6)", "64-2"}},
	RecoveryCode:      {binds: true, articles: []policy.Article{"64-1", "64-3"}},
	RemoveFactor:      {binds: true, articles: []policy.Article{"64-1", "64-3"}},
	ViewTerminals:     {approvers: true, reads: true, articles: []policy.Article{"38-6", "63-3"}},
	EnrolTerminal:     {articles: []policy.Article{"26no3-1", "60", "63-3"}},
	LoseTerminal:      {approvers: true, articles: []policy.Article{"38-6", "43-1", "63-3"}},
	RemoveTerminal:    {articles: []policy.Article{"38-7", "63-3"}},
	ViewTokens:        {reads: true, articles: []policy.Article{"64-1"}},
	ImportTokens:      {articles: []policy.Article{"64-1"}},
	AssignToken:       {binds: true, articles: []policy.Article{"38-7", "64-1"}},
	ResyncToken:       {articles: []policy.Article{"64-1"}},
	LoseToken:         {articles: []policy.Article{"43-1", "64-1"}},
	ViewApplications:  {approvers: true, reads: true, articles: []policy.Article{"47-3", "62-1"}},
	TryAccess:         {approvers: true, reads: true, articles: []policy.Article{"47-3", "62-1", "62-2"}},
	EndInside:         {approvers: true, articles: []policy.Article{"62-1", "75-2"}},
}

// May says whether whoever holds the posts of by may do act to someone who
// holds those of on; self: to themselves. Where the act has no person for its
// object, on is nil and self false.
func May(p *policy.Policy, act Act, by, on []policy.PostID, self bool) Permission {
	return may(p, act, by, on, self, false)
}

// MayJointly is May for who has a second person's approval of this very act.
func MayJointly(p *policy.Policy, act Act, by, on []policy.PostID, self bool) Permission {
	return may(p, act, by, on, self, true)
}

func may(p *policy.Policy, act Act, by, on []policy.PostID, self, jointly bool) Permission {
	d, known := duties[act]
	if !known {
		return forbid(UnknownAct, every, policy.Words{
			JA: "そのような操作はありません。", EN: "There is no such act.",
		})
	}
	audits := holds(p, by, func(post policy.Post) bool { return post.Audits })
	able := holds(p, by, func(post policy.Post) bool {
		return post.Administers || d.approvers && post.Approves || d.reads && post.Audits
	})
	switch {
	case audits && !d.reads:
		// Also beside another post: who changed it could not audit it (article 16-2).
		return forbid(ReadsOnly, served(d, "16-2", "82-2"), policy.Words{
			JA: "監査の役割を持つ方は、閲覧だけができます。",
			EN: "Whoever audits reads and changes nothing.",
		})
	case !able && d.approvers:
		return forbid(NoPost, d.articles, policy.Words{
			JA: "この操作は、あなたの役割では行えません。情報システム管理者又は情報セキュリティ管理者に依頼してください。",
			EN: "Your post does not include this. Please ask the system administrator or the security manager.",
		})
	case !able:
		return forbid(NoPost, d.articles, policy.Words{
			JA: "この操作は、あなたの役割では行えません。情報システム管理者に依頼してください。",
			EN: "Your post does not include this. Please ask the system administrator.",
		})
	case self && !d.reads:
		return forbid(OwnAccount, served(d, "16-1"), policy.Words{
			JA: "自分のIDに対しては行えません。同じ役割の別の方に依頼してください。",
			EN: "Nobody does this to their own ID. Please ask another person who holds the post.",
		})
	case d.binds && p.Powerful(on) && !jointly:
		return forbid(TwoPersons, served(d, "16-1", "62-7"), policy.Words{
			JA: "承認又は管理の役割を持つ方の認証の手段は、一人では変更できません。提案し、もう一人の管理者又は承認者が承認してから行います。急ぐときは利用停止にしてください。",
			EN: "What people who approve or administer prove themselves with is not changed by one person alone: it is proposed, and done when a second administrator or approver has approved. In a hurry, suspend the ID.",
		})
	}
	if d.binds && p.Powerful(on) {
		return Permission{ok: true, Reason: Allowed, Articles: served(d, "16-1", "62-7")}
	}
	return Permission{ok: true, Reason: Allowed, Articles: d.articles}
}

func holds(p *policy.Policy, posts []policy.PostID, what func(policy.Post) bool) bool {
	return slices.ContainsFunc(posts, func(id policy.PostID) bool {
		post, ok := p.Post(id)
		return ok && what(post)
	})
}

// served are the articles of a duty and those that a refusal of it rests on.
func served(d duty, more ...policy.Article) []policy.Article {
	return append(slices.Clone(d.articles), more...)
}

func forbid(why Reason, articles []policy.Article, says policy.Words) Permission {
	return Permission{Reason: why, Articles: articles, Says: says}
}
