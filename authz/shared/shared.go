// Package shared keeps who has a shared ID, and since when (article 46-1): an ID of
// the directory that several people use is checked out by one of them under their own
// name, for a time, and given back.
//
//	starting ──the directory has the new password──► active ──► ended | expired | revoked
//	    └──► failed
//
// Where several may have it at once they share a tenure: one password, made when the
// first of them checks it out and changed when the last gives it back, and after the
// longest time that one person may have it. Whoever is cut off in between (suspended, no
// longer eligible, under a lock-down, ended by somebody) knows that password, also who
// has given the ID back by then, so that the tenure ends for all of them.
//
// What happens in the directory is elevate's: the password is intended, set and kept
// under the tenure's name, and turned round whatever dies meanwhile. An end counts
// when it has come, whether or not anything ran; Tidy only writes it down.
//
// It refuses to know what the ID opens, and it gives nothing at the gate: nobody signs
// in here with a shared ID.
package shared

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

// ErrNotFound says that there is no such shared ID, or none of the reader's.
var ErrNotFound = errors.New("no such shared ID")

// A Ref is a person as they were.
type Ref = approval.PersonRef

// A State is how far a check-out has come.
type State string

// The states.
const (
	Starting State = "starting" // the directory is being told
	Active   State = "active"
	Ended    State = "ended"   // given back, or its session is over
	Expired  State = "expired" // its time is over
	Revoked  State = "revoked"
	Failed   State = "failed" // the directory never had it
)

// startWithin is how long a check-out may take from its first transaction to its last.
const startWithin = 30 * time.Second

// A Checkout is that somebody has, or had, a shared ID.
type Checkout struct {
	ID     string
	Shared string // the id of the shared ID
	Tenure string // what it is for the directory, together with those who have it too
	By     Ref
	Session,
	Reason string
	Zone      policy.ZoneID
	Outlives  bool
	Account   string // the login; "" before it is active
	AskedAt   time.Time
	EndsAt    time.Time
	EndedAt   time.Time
	EndedBy   Ref // the zero Ref: nobody, it was time
	EndReason string
	ToldAt    time.Time // when its holder was told that the end is near; zero: not yet

	state   State
	version int64
}

// State is how far it has come at a time.
func (c Checkout) State(now time.Time) State {
	switch {
	case c.state == Active && !now.Before(c.EndsAt):
		return Expired
	case c.state == Starting && !now.Before(c.AskedAt.Add(startWithin)):
		return Failed
	}
	return c.state
}

// Open reports whether somebody has it, or is about to.
func (s State) Open() bool { return s == Starting || s == Active }

// endingSoon is how long before its end a holder is told.
const endingSoon = 5 * time.Minute

// toBeTold reports whether a holder is to be told now that the end is near: nobody who
// asked for so little that they know.
func (c Checkout) toBeTold(now time.Time) bool {
	return c.State(now) == Active && c.ToldAt.IsZero() && c.EndsAt.Sub(c.AskedAt) > 2*endingSoon && !now.Before(c.EndsAt.Add(-endingSoon))
}

// over is the check-out at its end.
func (c Checkout) over(to State, by Ref, why string, now time.Time) Checkout {
	c.state, c.EndedAt, c.EndedBy, c.EndReason = to, now, by, why
	if to == Expired {
		c.EndedAt = c.EndsAt
	}
	return c
}

// articles are those that every act of this room serves.
var articles = []policy.Article{"46-1", "65"}

// What a refusal is to whoever hears it.
const (
	Forbidden = "forbidden"
	Conflict  = "conflict" // not now
	Invalid   = "invalid"  // something they entered: Field
	Away      = "away"     // the directory cannot be reached
)

// A Refusal says why a shared ID is not given.
type Refusal struct {
	Reason   string // for machines and auditors
	Is       string // Forbidden, Conflict, Invalid or Away
	Field    string // of Invalid
	Says     policy.Words
	Articles []policy.Article
	Err      error // beneath it, for the log
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return "shared ID: " + r.Reason + ": " + r.Err.Error()
	}
	return "shared ID: " + r.Reason
}

func (r *Refusal) Unwrap() error { return r.Err }

func no(is, reason, ja, en string) *Refusal {
	return &Refusal{Reason: reason, Is: is, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

// May says whether a shared ID is for somebody at all: asked at check-out and while
// they have it.
func May(p *policy.Policy, s policy.SharedID, who approval.Holder, now time.Time) *Refusal {
	a := who.Person
	switch {
	case s.ID == "":
		return no(Forbidden, "unknown", "そのような共用IDはありません。", "There is no such shared ID.")
	case a.ID == "" || !a.Account.Usable(now):
		return no(Forbidden, "account", "このIDは現在利用できません。", "This ID cannot be used at present.")
	case a.Kind == directory.KindService || a.Kind == directory.KindShared:
		return no(Forbidden, "no_person", "共用IDは、人のIDでサインインした方だけが受け取れます。", "Shared IDs are for people, who sign in with IDs of their own.")
	}
	if over, refused := who.Tied.Refuses(s.Environment, now); refused {
		return &Refusal{Reason: string(over.Reason), Is: Forbidden, Says: over.Says, Articles: over.Articles}
	}
	if !For(p, s, who) {
		return no(Forbidden, "not_eligible", "この共用IDは、あなたの役割又は所属では使えません。必要な場合は情報セキュリティ管理者に相談してください。",
			"This shared ID is not for your post or section. If you need it, please ask your security manager.")
	}
	return nil
}

// For reports whether a shared ID is for somebody's posts, groups and section, whatever else
// may stand in the way.
func For(p *policy.Policy, s policy.SharedID, who approval.Holder) bool {
	a := who.Person
	return a.ID != "" && a.Kind != directory.KindService && a.Kind != directory.KindShared && p.MayShare(s, a.Login, who.Posts, a.Groups, a.Section)
}

// MaySee says whether these posts see who has which shared ID.
func MaySee(p *policy.Policy, posts []policy.PostID) *Refusal {
	for _, id := range posts {
		if post, ok := p.Post(id); ok && (post.Approves || post.Audits) || id == policy.CSIRT {
			return nil
		}
	}
	return no(Forbidden, "no_post", "ほかの人が使っている共用IDを見られるのは、承認、監査又はCSIRTの役割を持つ方です。",
		"Who has a shared ID is seen by those who approve or audit, and by the CSIRT.")
}

// MayEnd says whether these posts end somebody else's use: those who approve, and the
// CSIRT (article 75-2). Who audits reads.
func MayEnd(p *policy.Policy, posts []policy.PostID) *Refusal {
	if why := MaySee(p, posts); why != nil {
		return why
	}
	for _, id := range posts {
		if post, ok := p.Post(id); ok && post.Audits {
			why := no(Forbidden, "reads_only", "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.")
			why.Articles = []policy.Article{"16-2", "82-2"}
			return why
		}
	}
	return nil
}

// room says whether another may have it too, besides those who have it or are about to.
func room(s policy.SharedID, held []Checkout, who directory.PersonID, now time.Time) *Refusal {
	var there []Checkout
	for _, c := range held {
		if !c.State(now).Open() {
			continue
		}
		if c.By.ID == who {
			return no(Conflict, "has_it", "この共用IDは、もうあなたが受け取っています。パスワードが分からないときは、返してから受け取り直してください。",
				"You have this shared ID already. If you do not know its password, give it back and check it out anew.")
		}
		there = append(there, c)
	}
	if len(there) < max(1, s.Holders) {
		return nil
	}
	return taken(there)
}

// taken says who has it.
func taken(by []Checkout) *Refusal {
	var names []string
	for _, c := range by {
		names = append(names, c.By.Name)
	}
	slices.Sort(names)
	return no(Conflict, "taken", "この共用IDは、いま"+strings.Join(names, "さん、")+"さんが使っています。返されるまで待つか、本人に返してもらってください。",
		strings.Join(names, ", ")+" has this shared ID now. Wait until it is given back, or ask for that.")
}

// plain refuses an ID that is in a group which carries a post or which a privilege lends:
// whoever had it would have that without being asked for it (article 62-6; design rule 7).
func plain(p *policy.Policy, groups []string) error {
	group := p.PowerIn(groups)
	if group == "" {
		return nil
	}
	why := no(Conflict, "privileged", "この共用IDは、特権又は職務のグループに入っているため渡せません。情報システム管理者に、グループから外すよう依頼してください。",
		"This shared ID is in a group of privilege, or of a post, and is not given out. Please ask the system administrator to take it out of that group.")
	why.Articles, why.Err = slices.Concat(articles, []policy.Article{"62-6"}), errors.New("it is a member of "+group)
	return why
}

// unsealed refuses an ID that lies sealed for emergencies, of these systems: a check-out
// would change its password, and whoever opens the envelope when nothing else works would
// find one that opens nothing (article 80-2).
func unsealed(systems []string) *Refusal {
	if len(systems) == 0 {
		return nil
	}
	names := strings.Join(systems, "、")
	why := no(Conflict, "sealed", "この共用IDは、緊急用ID（"+names+"）として封印されています。渡すとパスワードが変わり、封筒が役に立たなくなるため、渡せません。情報システム管理者に、共用IDの定めか緊急用IDの台帳の、どちらかから外すよう依頼してください。",
		"This shared ID lies sealed for emergencies ("+strings.Join(systems, ", ")+"). Given out, its password would change and the envelope be of no use. Please ask the system administrator to take it out of the shared IDs or off the register of emergency IDs.")
	why.Articles = slices.Concat(articles, []policy.Article{"62-6", "80-2"})
	return why
}

// maxReason bounds what somebody writes, in characters.
const maxReason = 500

// wish reads what somebody asks for: whole minutes, 0 for the usual time.
func wish(s policy.SharedID, reason string, minutes int) (string, time.Duration, *Refusal) {
	reason = strings.TrimSpace(reason)
	if why := said("reason", reason); why != nil {
		return "", 0, why
	}
	d := time.Duration(minutes) * time.Minute
	if minutes == 0 {
		d = s.Usual
	}
	if minutes < 0 || minutes > 24*60 || d > s.Longest {
		longest := policy.ShowDuration(s.Longest)
		why := no(Invalid, "minutes", "1分以上、最長 "+longest+" で、分を入力してください。", "Give whole minutes, "+longest+" at most.")
		why.Field = "minutes"
		return "", 0, why
	}
	return reason, d, nil
}

func said(field, text string) *Refusal {
	odd := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' || unicode.In(r, unicode.Bidi_Control)
	}
	var why *Refusal
	switch {
	case text == "":
		why = no(Invalid, "required", "使う理由を入力してください。", "Please say what it is for.")
	case utf8.RuneCountInString(text) > maxReason:
		why = no(Invalid, "too_long", "500文字までで入力してください。", "500 characters at most, please.")
	case !utf8.ValidString(text), strings.ContainsFunc(text, odd):
		why = no(Invalid, "unusable", "使えない文字があります。", "It holds characters that cannot be used.")
	default:
		return nil
	}
	why.Field = field
	return why
}
