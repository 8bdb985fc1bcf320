package personnel

import (
	"slices"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

// An Act is what becomes of one person.
type Act string

// The acts, in the order in which they are shown. The zero Act is none: the directory
// is so already.
const (
	Joins   Act = "joins"
	Moves   Act = "moves"
	Renewed Act = "renewed" // the end moves; the person and what they prove themselves with stay
	Returns Act = "returns" // an ID that was closed is opened again
	Changes Act = "changes" // anything else, such as a name
	Leaves  Act = "leaves"
	OnLeave Act = "on_leave"
)

// Acts are all of them.
func Acts() []Act { return []Act{Joins, Moves, Renewed, Returns, Changes, OnLeave, Leaves} }

var actWords = map[Act]policy.Words{
	Joins: {JA: "採用", EN: "joins"}, Moves: {JA: "異動", EN: "moves"}, Renewed: {JA: "任用・契約の更新", EN: "is renewed"}, Returns: {JA: "再開", EN: "returns"},
	Changes: {JA: "変更", EN: "changes"}, OnLeave: {JA: "休業・休職", EN: "goes on leave"}, Leaves: {JA: "退職", EN: "leaves"}, "": {JA: "変更なし", EN: "unchanged"},
}

// Words are what an act is called.
func (a Act) Words() policy.Words { return actWords[a] }

// A Record is what the directory says of a person, as far as an import writes it.
type Record struct {
	Name     string         `json:"name"`
	Mail     string         `json:"mail,omitempty"`
	Section  string         `json:"section,omitempty"`
	Company  string         `json:"company,omitempty"`
	Number   string         `json:"number,omitempty"`
	Kind     directory.Kind `json:"kind"`
	Disabled bool           `json:"disabled,omitempty"`
	Expires  time.Time      `json:"expires,omitzero"`
	Groups   []string       `json:"groups,omitempty"` // those that carry a post, and no other
}

func recordOf(p *policy.Policy, who directory.Person) Record {
	r := Record{
		Name: who.Name, Mail: who.Mail, Section: who.Section, Company: who.Company, Number: who.Number, Kind: who.Kind,
		Disabled: who.Account.Disabled, Expires: who.Account.ExpiresAt.UTC(),
	}
	for _, post := range p.Posts {
		if post.Group != "" && policy.InGroup(who.Groups, []string{post.Group}) {
			r.Groups = append(r.Groups, post.Group)
		}
	}
	return r
}

func (r Record) same(o Record) bool {
	return r.Name == o.Name && r.Mail == o.Mail && r.Section == o.Section && r.Company == o.Company && r.Number == o.Number && r.Kind == o.Kind &&
		r.Disabled == o.Disabled && r.Expires.Equal(o.Expires) && slices.Equal(r.Groups, o.Groups)
}

// A Holding is something that somebody has, or has asked for, that an import ends.
type Holding struct {
	Kind    string `json:"kind"` // "lease", "lease_request", "permit", "permit_request"
	Subject string `json:"subject"`
	ID      string `json:"id"`
}

// A Change is what an import does about one person.
type Change struct {
	Line   int                `json:"line"` // of the file; 0: they are not in it
	Act    Act                `json:"act"`
	Person directory.PersonID `json:"person,omitempty"` // "" for who joins
	Login  string             `json:"login"`
	Number string             `json:"number,omitempty"`
	Name   string             `json:"name"`
	Kana   string             `json:"kana,omitempty"`
	Kind   Kind               `json:"kind"`
	Before Record             `json:"before"` // its zero value for who joins
	After  Record             `json:"after"`
	Gained []policy.PostID    `json:"gained,omitempty"`
	Lost   []policy.PostID    `json:"lost,omitempty"`
	// Concurrent are the sections beside the own from then on; Says tells whether the
	// file speaks of them.
	Concurrent     []string `json:"concurrent,omitempty"`
	SaysConcurrent bool     `json:"says_concurrent,omitempty"`
	// Handover is until when what belongs to the former section stays open.
	Handover   time.Time `json:"handover,omitzero"`
	LeaveFrom  time.Time `json:"leave_from,omitzero"`
	LeaveUntil time.Time `json:"leave_until,omitzero"`
	LeaveOver  bool      `json:"leave_over,omitempty"`
	Prime      string    `json:"prime,omitempty"`
	Owner      string    `json:"owner,omitempty"`
	Due        time.Time `json:"due"`
	// EndsAhead: the end is written as soon as the import is approved, so that it holds
	// at its minute whether or not anything runs then.
	EndsAhead bool      `json:"ends_ahead,omitempty"`
	Holdings  []Holding `json:"holdings,omitempty"` // that end with it
	// Projects are those that the ID has from then on, and Released those that it has no
	// more; Says tells whether that is another than before.
	Projects     []Tied             `json:"projects,omitempty"`
	Released     []Tied             `json:"released,omitempty"`
	SaysProjects bool               `json:"says_projects,omitempty"`
	Turns        policy.Environment `json:"turns,omitempty"` // the ID is of it from then on, and was of the other
	// Own is the ID's own end, where the line says it or its projects: the account ends
	// with the last of them, if that is sooner.
	Own      time.Time `json:"own,omitzero"`
	SaysOwn  bool      `json:"says_own,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
}

// bound is the change with what it makes of the ID's projects.
func (c Change) bound(b binding, own time.Time, l Line) Change {
	c.Projects, c.Released, c.SaysProjects, c.Turns = b.after, b.released, b.changed, b.turns
	if len(b.after)+len(b.released) > 0 && (l.Says("ends") || l.Says("project")) {
		c.Own, c.SaysOwn = own, true
	}
	return c
}

// moved reports whether somebody leaves their section for another.
func (c Change) moved() bool { return c.Person != "" && c.Before.Section != c.After.Section }

// EndsLeases reports whether what is lent to the person ends with the change: it was
// lent for what they did before.
func (c Change) EndsLeases() bool { return c.Act == Leaves || c.moved() || len(c.Lost) > 0 }

// EndsPermits is EndsLeases for permits, which a handover keeps until its end.
func (c Change) EndsPermits() bool { return c.Act == Leaves || c.moved() && c.Handover.IsZero() }

// later reports whether one end of an ID lies after another; none lies after all.
func later(end, than time.Time) bool { return !than.IsZero() && (end.IsZero() || end.After(than)) }

// gives reports whether the person can do something by the change that they could not
// before, or elsewhere, or for longer.
func (c Change) gives() bool {
	switch c.Act {
	case Leaves, OnLeave, "":
		return false
	case Joins, Returns, Moves:
		return true
	}
	return c.SaysProjects || c.SaysOwn && later(c.Own, c.Before.Expires) || len(c.Gained) > 0 || len(c.Concurrent) > 0 || later(c.After.Expires, c.Before.Expires) || c.Before.Number != c.After.Number || c.Before.Mail != c.After.Mail
}

// takes is gives for the change turned round.
func (c Change) takes() bool {
	return c.SaysProjects || c.Act == Leaves || c.Act == Moves || len(c.Lost) > 0 || later(c.Before.Expires, c.After.Expires)
}

// about reports whether a change is about an ID of a human being, or one they answer for.
func (c Change) about(who approval.PersonRef) bool {
	if c.Person != "" && c.Person == who.ID || c.Login != "" && directory.Canonical(c.Login) == directory.Canonical(who.Login) {
		return true
	}
	is := directory.Person{ID: who.ID, Number: who.Number, Mail: who.Mail}
	for _, r := range []Record{c.Before, c.After} {
		if is.ID != "" && is.SameHuman(directory.Person{ID: "-", Number: r.Number, Mail: r.Mail}) {
			return true
		}
	}
	return false
}

// A Warning is something about a person that somebody should look at.
type Warning string

// The warnings.
const (
	KeepsPosts   Warning = "keeps_posts"   // the section changes, and the file does not speak of posts
	StandsIn     Warning = "stands_in"     // the policy names them as a deputy or on duty
	Powerful     Warning = "powerful"      // they gain a post that approves or administers
	NoMail       Warning = "no_mail"       // notices reach nobody
	OwnerLeaves  Warning = "owner_leaves"  // whoever answers for the ID leaves
	Turns        Warning = "turns"         // the ID is of the other environment from then on
	Released     Warning = "released"      // the ID has no project any more
	ProjectEnds  Warning = "project_ends"  // its project ends before the end that the line says
	KeepsProject Warning = "keeps_project" // the section changes, and the project stays
)

var warningWords = map[Warning]policy.Words{
	KeepsPosts:   {JA: "所属が変わるのに役割の列がないため、いまの役割が残ります。", EN: "The section changes and the file does not speak of posts, so the present ones stay."},
	StandsIn:     {JA: "方針の代理者又は当番に、この人の名があります。方針を直してください。", EN: "The policy names them as a deputy or on duty; mend it."},
	Powerful:     {JA: "承認又は管理の役割が新しく付きます。", EN: "They gain a post that approves or administers."},
	NoMail:       {JA: "メールアドレスがないため、通知が届きません。", EN: "There is no mail address, so no notice reaches them."},
	Turns:        {JA: "開発のIDか運用のIDかが変わるため、開いているセッション、貸し出された特権、許可が終わります。", EN: "The ID turns to the other environment: its sessions, leases and permits end."},
	Released:     {JA: "案件から外れ、案件の終わりでは止まらなくなります。使える期間と範囲が広がる変更です。", EN: "It is released from its project, and no project's end stops it any more: this widens what it may do, and for how long."},
	ProjectEnds:  {JA: "案件の終わりのほうが早いため、IDはその日で止まります。", EN: "Its project ends sooner, and the ID with it."},
	KeepsProject: {JA: "所属が変わるのに案件の列がないため、前の所属の案件に入ったままです。", EN: "The section changes and the file does not speak of projects, so it stays bound to one of the former section."},
	OwnerLeaves:  {JA: "責任を持つ職員が退職します。新しい管理者を決めてください。", EN: "Whoever answers for it leaves; name another owner."},
}

// Words are what a warning says.
func (w Warning) Words() policy.Words { return warningWords[w] }
