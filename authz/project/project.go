// Package project keeps the projects (案件) that IDs are for: who answers for one and who
// works at it (article 67-1), in which environment (article 68-2), and until when.
//
//	running ──its day passes──► over
//	   └──────completed───────► completed
//
// An ID that is bound to projects is good while one of them runs, and no instant longer,
// whether or not any job runs: the tie itself says so at each door (authz.Tie). What is
// left to do then is tidying: the ID is closed in the store and in the directory
// (article 67-2(1)), batch by batch, by whichever gate lives. The directory hears of the
// end beforehand, for it may be asked without us.
//
// What narrows is done at once by whoever administers the project's section; what widens,
// such as a later end, takes a second person.
//
// It refuses to know how an ID is closed (lifecycle), how the directory is spoken to, and
// what an environment opens (authz).
package project

import (
	"slices"
	"time"

	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

// A Ref is a person as they were.
type Ref = approval.PersonRef

// A Role is what somebody does in a project (article 67-1).
type Role string

// The roles.
const (
	Responsible Role = "responsible" // 責任者
	Worker      Role = "worker"      // 作業者
)

// Roles are all of them.
func Roles() []Role { return []Role{Responsible, Worker} }

// A State is how far a project has come.
type State string

// The states.
const (
	Running   State = "running"
	Over      State = "over"      // its last day has passed
	Completed State = "completed" // somebody has said so
)

// States are all of them.
func States() []State { return []State{Running, Over, Completed} }

// A Project is one that IDs are bound to.
type Project struct {
	ID, Name, Section string
	Environment       policy.Environment
	Contract, Company string
	From              time.Time // the first instant of its first day
	Until             time.Time // the instant after its last day, in Japan
	CompletedAt       time.Time // zero: it is not
	CompletedBy       Ref
	Reason            string // why it was completed
	RegisteredBy      Ref
	RegisteredAt      time.Time
	Version           int64

	settledAt time.Time
	warnedFor time.Time
	admins    []directory.PersonID // who hears of it; read before a transaction, not stored
}

// State is the project's at a time. It depends on nothing that has run.
func (p Project) State(now time.Time) State {
	switch {
	case !p.CompletedAt.IsZero():
		return Completed
	case !now.Before(p.Until):
		return Over
	}
	return Running
}

// ended is when it ends, or has ended.
func (p Project) ended() time.Time {
	if !p.CompletedAt.IsZero() && p.CompletedAt.Before(p.Until) {
		return p.CompletedAt
	}
	return p.Until
}

// LastDay is its last day in Japan, such as 2027-03-31.
func (p Project) LastDay() string { return policy.DayInJapan(p.Until.Add(-time.Microsecond)) }

// tie is what it makes of an ID that is bound to it.
func (p Project) tie() authz.Tie {
	t := authz.Tie{Project: p.ID, Environment: p.Environment, Until: p.Until}
	if !p.CompletedAt.IsZero() {
		t.Until = time.Time{} // over, also for a gate whose clock is a little behind
	}
	return t
}

// What became of an ID at its project's end. Held ones say why: "held:last_of_post".
const (
	NotDealt = ""
	Closed   = "closed"
	Pending  = "pending"
	heldBy   = "held:"
)

// A Member is an ID that is, or was, bound to a project.
type Member struct {
	Project   string
	Person    Ref
	Role      Role
	BoundAt   time.Time
	UnboundAt time.Time // zero: it is bound
	BoundBy   string
	Imported  string // the file of personnel changes that bound it; "" for none
	UnboundBy string
	Why       string // it was released
	Closed    string // NotDealt, Closed, Pending, or why it is held

	id      string
	dealtAt time.Time
}

// Bound reports whether it is bound still.
func (m Member) Bound() bool { return m.UnboundAt.IsZero() }

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

func (r *Refusal) Error() string { return "project: " + r.Reason }

func no(is, reason, ja, en string, articles ...policy.Article) *Refusal {
	return &Refusal{Reason: reason, Is: is, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

// wrong refuses something that was entered.
func wrong(field, rule, ja, en string, articles ...policy.Article) *Refusal {
	r := no(Invalid, rule, ja, en, articles...)
	r.Field = field
	return r
}

// articles are those that each project serves.
var articles = []policy.Article{"67-1", "67-2(1)", "68-2"}

// administering is who registers projects, binds and completes: who administers the
// project's section, and who stands above along the organisation tree (article 67-2(1)).
var administering = approval.Step{Posts: []policy.PostID{policy.SystemAdministrator}}

// overseeing is who decides what widens.
var overseeing = approval.Step{Posts: []policy.PostID{policy.SecurityManager}}

// MayAct reports whether somebody acts for projects of a section.
func MayAct(p *policy.Policy, section string, by approval.Holder, now time.Time) bool {
	if audits(p, by.Posts) {
		return false
	}
	if _, ok := approval.Height(p, administering, section, by, now); ok {
		return true
	}
	// A department's own administrator has its 室課 too.
	return slices.Contains(by.Posts, policy.SystemAdministrator) && by.Person.Section != "" && p.InSection(section, []string{by.Person.Section})
}

// MaySee reports whether somebody may see projects of a section.
func MaySee(p *policy.Policy, section string, by approval.Holder, now time.Time) bool {
	if audits(p, by.Posts) || slices.Contains(by.Posts, policy.CIO) || slices.Contains(by.Posts, policy.CSIRT) || MayAct(p, section, by, now) {
		return true
	}
	_, ok := approval.Height(p, overseeing, section, by, now)
	return ok
}

func audits(p *policy.Policy, posts []policy.PostID) bool {
	return slices.ContainsFunc(posts, func(id policy.PostID) bool { post, ok := p.Post(id); return ok && post.Audits })
}

// latest is the last of the ends of ties that are not over at now; zero for none.
func latest(ties []authz.Tie, now time.Time) time.Time {
	var last time.Time
	for _, t := range ties {
		if now.Before(t.Until) && t.Until.After(last) {
			last = t.Until
		}
	}
	return last
}

// Object names somebody on the trail.
func object(login string, id directory.PersonID) string { return login + " (" + string(id) + ")" }
