// Package recertify has sections confirm, round by round, what their people still need
// (棚卸し; access review): IDs, who may borrow which privilege, remote access (articles
// 62-6, 63-2(1), 79-4). It is not the review of acting decisions (後閲), which is
// authz/approval's.
//
//	freezing ──all lines are kept──► open ──deadline, after both reminders──► ending ──► done
//	                                              very much is unconfirmed ──► halted ──yes──► ending
//	                                                                              └──no, or nobody──► dropped
//
// One whose campaign is taken out of the policy is dropped wherever it stands. A round
// begins by itself, once however many gateways, and keeps a line for each thing as it was
// then. Whoever answers for the section confirms a line or ends it; nobody theirs. What
// nobody has confirmed ends at the deadline:
//
//	open ──► confirmed
//	   └──► ended | ending ──the directory has it──► ended
//	   └──► to_end ──a second person says yes──► agreed ──► ended | ending | held
//	   │       └──no, nobody, or the deadline──► open
//	   └──► owed   only an administrator can end it: the policy itself gives it
//	   └──► held   it is not closed by itself: somebody above is told
//	   └──► void   gone, moved, or over before anybody decided
//
// What ends, ends in the room that owns it: an ID in lifecycle, a permit in permit, a
// membership in the directory. It refuses to know how any of them does it.
package recertify

import (
	"slices"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

// A State is how far a round has come.
type State string

// The states.
const (
	Freezing   State = "freezing"
	Open       State = "open"
	Halted     State = "halted" // somebody is asked
	Ending     State = "ending"
	Done       State = "done"
	Dropped    State = "dropped"    // somebody said no, or the policy has its campaign no more: what was unconfirmed goes on
	Superseded State = "superseded" // a later round began, or the store is an old copy
)

// takes reports whether lines are decided: also while somebody is asked, for nothing has
// ended yet, and what is confirmed meanwhile does not.
func (s State) takes() bool { return s == Open || s == Halted }

// Takes reports whether lines of the round are decided.
func (r Round) Takes() bool { return r.State.takes() }

// A Round is one time that a campaign comes round.
type Round struct {
	ID       string
	Campaign string
	Name     policy.Words
	Kind     string // one of policy.RecertifyKinds
	Sections []string
	Slot     string // when it was due, in Japan
	State    State
	Why      Stop // of one that is halted
	BeganAt  time.Time
	Deadline time.Time
	EndedAt  time.Time // zero: not yet
	Lines    int
	Matter   string
	Course

	holder string
}

// A LineState is what became of a line.
type LineState string

// The states of a line.
const (
	Waits     LineState = "open"
	Confirmed LineState = "confirmed"
	ToEnd     LineState = "to_end" // somebody ends it, and a second person is asked
	Agreed    LineState = "agreed" // they have said yes: it ends in a moment
	Leaving   LineState = "ending" // the directory is being told
	Ended     LineState = "ended"
	Owed      LineState = "owed" // an administrator ends it
	Held      LineState = "held"
	Void      LineState = "void"
	Left      LineState = "left" // unconfirmed, and goes on: the round was dropped
)

// LineStates are all of them.
func LineStates() []LineState {
	return []LineState{Waits, Confirmed, ToEnd, Agreed, Leaving, Ended, Owed, Held, Void, Left}
}

// A Ref is a person as they were.
type Ref = approval.PersonRef

// A Line is one thing that is to be confirmed, as it was when the round began.
type Line struct {
	ID        string
	Round     string
	Person    Ref
	Kind      directory.Kind
	Company   string
	Posts     []policy.PostID
	Object    string    // "": the ID itself; a group's DN; RuleObject and a privilege; a permit's id
	About     []string  // ids of the privileges that a group or rule opens, or of the kind of permit
	Why       string    // of a permit: the reason that was given
	Projects  []string  // names of those that the ID is for, which ran then
	Until     time.Time // of a permit, or of the last of the projects
	CreatedAt time.Time
	LastUse   time.Time // zero: never, as far as is known
	// Raised is how far above the section's own post it is put before somebody: for
	// nobody is there, or it is theirs.
	Raised int
	// Apex: it is about the CIO, above whom nobody is. An officer of any 部局 decides.
	Apex bool

	State     LineState
	Reason    string // why it is void or held
	Comment   string
	DecidedBy Ref // the zero Ref: nobody; it was time
	DecidedAt time.Time
	Matter    string // by which a second person is asked, or has said yes; "": nobody is

	tries   int
	dn      string                                 // of the person, when a membership is taken away
	above   map[policy.PostID][]directory.PersonID // who is told where it does not end by itself; not stored
	version int64
}

// RuleObject begins the object of a line that the policy itself gives: by post, section
// or name.
const RuleObject = "rule:"

// articlesOf are those that a kind of campaign serves.
func articlesOf(kind string) []policy.Article {
	switch kind {
	case policy.RecertifyPermits:
		return []policy.Article{"63-2(1)", "79-4"}
	case policy.RecertifyEligibility:
		return []policy.Article{"62-6"}
	}
	return []policy.Article{"62-3", "62-5", "79-4"}
}

// Course is how a round goes on by the calendar.
type Course struct {
	RemindDays     int       // before the deadline
	RemindedAt     time.Time // zero: not yet
	LastRemindedAt time.Time // the reminder of the last day
}

// A Step is what is to be done about a round that is open.
type Step string

// The steps.
const (
	Wait       Step = ""
	Remind     Step = "remind"
	RemindLast Step = "remind_last"
	End        Step = "end"
)

// Next is what is to be done at now about a round whose deadline, a midnight in Japan,
// is given. Each step keeps a day's distance from when the one before was really done:
// whoever reviews was reminded twice before anything ends, however far a clock has
// jumped or a gate has slept.
func (c Course) Next(deadline, now time.Time) Step {
	today := day(now)
	switch {
	case !c.LastRemindedAt.IsZero():
		if !now.Before(deadline) && today.After(day(c.LastRemindedAt)) {
			return End
		}
	case c.RemindDays > 1 && c.RemindedAt.IsZero():
		if !today.Before(deadline.AddDate(0, 0, -c.RemindDays)) {
			return Remind
		}
	case !today.Before(deadline.AddDate(0, 0, -1)) && (c.RemindedAt.IsZero() || today.After(day(c.RemindedAt))):
		return RemindLast
	}
	return Wait
}

// EndsAt is the midnight in Japan at which a round ends at the earliest.
func (c Course) EndsAt(deadline, now time.Time) time.Time {
	least := day(now).AddDate(0, 0, 2)
	switch {
	case !c.LastRemindedAt.IsZero():
		least = day(c.LastRemindedAt).AddDate(0, 0, 1)
	case !c.RemindedAt.IsZero():
		least = later(day(now), day(c.RemindedAt).AddDate(0, 0, 1)).AddDate(0, 0, 1)
	case c.RemindDays <= 1:
		least = day(now).AddDate(0, 0, 1)
	}
	return later(deadline, least)
}

// AnswerBy is until when a second person is waited for: until before the last reminder,
// so that whoever reviews is told of what waits for them again and can confirm it. Else
// one who asks, and silence, would end together what neither ends alone. On the last day
// it is the end itself.
func (c Course) AnswerBy(deadline, now time.Time) time.Time {
	end := c.EndsAt(deadline, now)
	if by := end.AddDate(0, 0, -1).Add(-time.Hour); by.After(now) {
		return by
	}
	return end
}

// day is the first instant of a time's day in Japan.
func day(at time.Time) time.Time {
	first, _ := policy.JapanDay(policy.DayInJapan(at))
	return first
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// A Stop is why what is unconfirmed does not end before somebody has said so.
type Stop string

// The stops.
const (
	TooMany Stop = "too_many" // much more than usual is unconfirmed
	Missing Stop = "missing"  // the directory has very many of those people no more
)

var stopWords = map[Stop]policy.Words{
	TooMany: {JA: "期限に確認のないものが多すぎます。点検する人に通知が届いているか、確かめてください。", EN: "Very much was not confirmed at the deadline; see whether those who review have heard of it."},
	Missing: {JA: "棚卸しの対象の人の多くが、ディレクトリに見当たりません。ディレクトリの答えを確かめてください。", EN: "Very many of these people are not in the directory any more; see whether its answer is right."},
}

// Words say why a round is halted.
func (s Stop) Words() policy.Words { return stopWords[s] }

// Halt says whether what is unconfirmed may end: open of so many lines, of whose people
// the directory has missing no more (F8: an answer that is none). share is in percent; up
// to few are nothing to ask about.
func Halt(open, missing, lines, share, few int) Stop {
	beyond := func(n, of int) bool { return n > few && n*100 > of*share }
	switch {
	case beyond(missing, open):
		return Missing
	case beyond(open, lines):
		return TooMany
	}
	return ""
}

// reviewing is the step by which a section's lines are decided: its security manager, or
// who lies above along the organisation tree (articles 12-2, 13-1).
var reviewing = approval.Step{Posts: []policy.PostID{policy.SecurityManager}}

// anyOfficer is who decides about the CIO.
var anyOfficer = approval.Step{Posts: []policy.PostID{policy.SecurityOfficer}, Where: approval.Anywhere}

// Over is how far above a line's section somebody stands who may decide it; false for who
// may not by any post. Whether it is theirs is not asked.
func (l Line) Over(p *policy.Policy, by approval.Holder, now time.Time) (height int, ok bool) {
	if l.Apex {
		height, ok = approval.Height(p, anyOfficer, l.Person.Section, by, now)
		return besideTop, ok && height == 0
	}
	return approval.Height(p, reviewing, l.Person.Section, by, now)
}

// MayDecide says why somebody may not decide a line; nil: they may. How they have signed
// in is not asked.
func MayDecide(p *policy.Policy, l Line, by approval.Holder, now time.Time) *Refusal {
	switch _, ok := l.Over(p, by, now); {
	case audits(p, by.Posts):
		return no(Forbidden, "reads_only", "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.", "16-2", "82-2")
	case l.theirs(by):
		return no(Forbidden, "own", "自分のものは、自分では確認できません（別のIDでも同じです）。上の職の方が確認します。",
			"Nobody confirms what is their own, whichever of their IDs they use. Whoever stands above does.", "16-1")
	case !ok:
		return no(Forbidden, "not_theirs", "この室課の棚卸しは、あなたの役割では行えません。室課の情報セキュリティ管理者、部局の情報セキュリティ責任者又はCIOが行います。",
			"Your post does not recertify for this section. Its security manager, the department's security officer or the CIO does.", "12-2", "13-1")
	}
	return nil
}

// theirs reports whether a line may be about somebody themselves. Of an ID that has
// neither number nor address nothing is known that could be compared, and those of
// programs often have neither: it is somebody's own only if it is that very one.
func (l Line) theirs(by approval.Holder) bool {
	if l.Person.Number == "" && l.Person.Mail == "" {
		return l.Person.ID == by.Person.ID
	}
	return l.Person.Same(approval.Ref(by.Person))
}

func audits(p *policy.Policy, posts []policy.PostID) bool {
	return slices.ContainsFunc(posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits })
}

// What a refusal is to whoever hears it.
const (
	Forbidden = "forbidden"
	Conflict  = "conflict"
	Invalid   = "invalid" // something they entered: Field
)

// A Refusal says why something is not done.
type Refusal struct {
	Reason   string // for machines and auditors
	Is       string // Forbidden, Conflict or Invalid
	Field    string // of Invalid
	Says     policy.Words
	Articles []policy.Article
}

func (r *Refusal) Error() string { return "recertification: " + r.Reason }

func no(is, reason, ja, en string, articles ...policy.Article) *Refusal {
	return &Refusal{Reason: reason, Is: is, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

// raise is how far above its section a line is put before somebody: to the nearest of
// these who may decide it. Where there is nobody it is the CIO's.
func (l Line) raise(p *policy.Policy, reviewers []approval.Holder, now time.Time) int {
	if l.Apex {
		return besideTop
	}
	least := topmost
	for _, by := range reviewers {
		if height, ok := l.Over(p, by, now); ok && height < least && MayDecide(p, l, by, now) == nil {
			least = height
		}
	}
	return least
}

const (
	topmost   = 2 // the CIO's height
	besideTop = 3 // of lines about the CIO: the officers'
)
