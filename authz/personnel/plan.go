package personnel

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	Project    string    `json:"project,omitempty"`
	Owner      string    `json:"owner,omitempty"`
	Due        time.Time `json:"due"`
	// EndsAhead: the end is written as soon as the import is approved, so that it holds
	// at its minute whether or not anything runs then.
	EndsAhead bool      `json:"ends_ahead,omitempty"`
	Holdings  []Holding `json:"holdings,omitempty"` // that end with it
	Warnings  []Warning `json:"warnings,omitempty"`
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
	return len(c.Gained) > 0 || len(c.Concurrent) > 0 || later(c.After.Expires, c.Before.Expires) || c.Before.Number != c.After.Number || c.Before.Mail != c.After.Mail
}

// takes is gives for the change turned round.
func (c Change) takes() bool {
	return c.Act == Leaves || c.Act == Moves || len(c.Lost) > 0 || later(c.Before.Expires, c.After.Expires)
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
	KeepsPosts  Warning = "keeps_posts"  // the section changes, and the file does not speak of posts
	StandsIn    Warning = "stands_in"    // the policy names them as a deputy or on duty
	Powerful    Warning = "powerful"     // they gain a post that approves or administers
	NoMail      Warning = "no_mail"      // notices reach nobody
	OwnerLeaves Warning = "owner_leaves" // whoever answers for the ID leaves
)

var warningWords = map[Warning]policy.Words{
	KeepsPosts:  {JA: "所属が変わるのに役割の列がないため、いまの役割が残ります。", EN: "The section changes and the file does not speak of posts, so the present ones stay."},
	StandsIn:    {JA: "方針の代理者又は当番に、この人の名があります。方針を直してください。", EN: "The policy names them as a deputy or on duty; mend it."},
	Powerful:    {JA: "承認又は管理の役割が新しく付きます。", EN: "They gain a post that approves or administers."},
	NoMail:      {JA: "メールアドレスがないため、通知が届きません。", EN: "There is no mail address, so no notice reaches them."},
	OwnerLeaves: {JA: "責任を持つ職員が退職します。新しい管理者を決めてください。", EN: "Whoever answers for it leaves; name another owner."},
}

// Words are what a warning says.
func (w Warning) Words() policy.Words { return warningWords[w] }

// A Vacancy is a post that somebody holds now and nobody will.
type Vacancy struct {
	Post    policy.PostID `json:"post"`
	Section string        `json:"section,omitempty"` // "": in the whole prefecture
}

// A Known is what the plan goes by, beside the file and the policy.
type Known struct {
	People   []directory.Person
	Holdings map[directory.PersonID][]Holding
	OnLeave  map[directory.PersonID]time.Time // until when; zero: without an end
	Former   map[string]bool                  // logins that were somebody's who is deleted, in canonical spelling
	Places   map[directory.PersonID][]string
	Own      string // the name that Sekisho itself binds with
}

// A Plan is what an import would do.
type Plan struct {
	Effective time.Time     `json:"effective"`
	People    int           `json:"people"` // IDs in use now
	Counts    map[Act]int   `json:"counts"`
	Changes   []Change      `json:"changes"`
	Vacant    []Vacancy     `json:"vacant,omitempty"`
	Unchanged int           `json:"unchanged"`
	Stop      *policy.Words `json:"stop,omitempty"` // why it may not be carried out
}

// Make says what a file would do on a day, given what is known. It is pure. Faults
// name every line that cannot be carried out; then there is no plan.
func Make(p *policy.Policy, lines []Line, k Known, effective, now time.Time) (Plan, error) {
	m := maker{p: p, known: k, effective: effective, now: now, byNumber: map[string][]int{}, byLogin: map[string]int{}, byMail: map[string]int{}, seen: map[directory.PersonID]int{}, logins: map[string]int{}}
	for i, who := range k.People {
		if who.Number != "" {
			m.byNumber[fold(who.Number)] = append(m.byNumber[fold(who.Number)], i)
		}
		m.byLogin[fold(who.Login)] = i
		if who.Mail != "" {
			m.byMail[fold(who.Mail)] = i
		}
		if who.Account.Usable(now) {
			m.plan.People++
		}
	}
	m.plan.Effective, m.plan.Counts = effective, map[Act]int{}
	for _, l := range lines {
		m.line(l)
	}
	if p.Personnel.Roster {
		m.absent()
	}
	if len(m.faults) > 0 {
		slices.SortStableFunc(m.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return Plan{}, m.faults[:min(len(m.faults), mostFaults)]
	}
	m.owners()
	m.plan.Vacant = m.vacant()
	m.plan.Stop = m.stop()
	return m.plan, nil
}

type maker struct {
	p              *policy.Policy
	known          Known
	effective, now time.Time
	byNumber       map[string][]int
	byLogin        map[string]int
	byMail         map[string]int
	seen           map[directory.PersonID]int // the line of each person
	logins         map[string]int             // of who joins
	plan           Plan
	faults         Faults
}

func (m *maker) fault(line int, field, rule, ja, en string) {
	m.faults = append(m.faults, Fault{line, field, rule, policy.Words{JA: ja, EN: en}})
}

// match finds whom a line is about; false with ok where nobody is, and without it
// where that cannot be told.
func (m *maker) match(l Line) (who directory.Person, found, ok bool) {
	if i, there := m.byLogin[l.Login]; there && l.Login != "" {
		who = m.known.People[i]
		switch {
		case l.ofNobody():
			if who.Kind != l.Kind.directory() {
				m.fault(l.N, "login", "other", "このログインは、別の区分のIDです。", "This login is an ID of another kind.")
				return who, false, false
			}
			return who, true, true
		case who.Kind == directory.KindShared || who.Kind == directory.KindService:
			m.fault(l.N, "kind", "other", "このログインは共用IDかプログラムのIDです。区分に書いてください。", "This login is a shared ID or a program's; say so in the column of kinds.")
			return who, false, false
		case who.Number == "" || fold(who.Number) == fold(l.Number):
			return who, true, true
		}
		m.fault(l.N, "login", "taken", "このログインは、別の人のものです。ほかのログインを書いてください。", "This login is somebody else's; write another.")
		return who, false, false
	}
	if l.ofNobody() {
		return who, false, true
	}
	var ids []directory.Person
	for _, i := range m.byNumber[fold(l.Number)] {
		if who := m.known.People[i]; who.Kind == l.Kind.directory() {
			ids = append(ids, who)
		}
	}
	if len(ids) == 0 {
		// An ID of another kind that somebody alone has is theirs still: staff who come
		// back by a contract.
		for _, i := range m.byNumber[fold(l.Number)] {
			if who := m.known.People[i]; who.Kind == directory.KindStaff || who.Kind == directory.KindContractor {
				ids = append(ids, who)
			}
		}
	}
	switch {
	case len(ids) == 0:
		return who, false, true
	case len(ids) > 1:
		var names []string
		for _, who := range ids {
			names = append(names, who.Login)
		}
		slices.Sort(names)
		m.fault(l.N, "login", "ambiguous", "この番号のIDが複数あります（"+strings.Join(names, "、")+"）。ログインを書いてください。",
			"Several IDs have this number ("+strings.Join(names, ", ")+"); write the login.")
		return who, false, false
	case l.Login != "":
		m.fault(l.N, "login", "fixed", "この人のログインは "+ids[0].Login+" です。ログインは変えられません。", "This person's login is "+ids[0].Login+"; a login does not change.")
		return who, false, false
	case !l.Leaves && !sameName(l.Name, ids[0].Name) && (!ids[0].Account.Usable(m.now) || ids[0].Kind != l.Kind.directory()):
		// A number that is given again would open to one human being what another had:
		// the password and the factors of somebody who has left.
		m.fault(l.N, "number", "other_person", "この番号は、いま使われていないか別の区分の、氏名の違うID（"+ids[0].Login+"）のものです。同じ人なら、そのログインも書いてください。別の人なら、別の番号にしてください。",
			"This number is of an ID ("+ids[0].Login+") with another name, which is closed or of another kind. If it is the same person, write that login too; if not, another number.")
		return who, false, false
	}
	return ids[0], true, true
}

// sameName compares names without the blanks in them.
func sameName(a, b string) bool {
	bare := func(s string) string { return strings.Join(strings.Fields(fold(s)), "") }
	return bare(a) == bare(b)
}

func (m *maker) line(l Line) {
	who, found, ok := m.match(l)
	if !ok {
		return
	}
	if i, there := m.byMail[fold(l.Mail)]; there && l.Mail != "" && (!found || m.known.People[i].ID != who.ID) && !m.known.People[i].SameHuman(directory.Person{ID: "-", Number: l.Number}) {
		m.fault(l.N, "mail", "taken", "このアドレスは、別の人のものです。", "This address is somebody else's.")
		return
	}
	if l.Leaves && l.EndsNever {
		m.fault(l.N, "ends", "contrary", "退職とあり、終わりの日がなしとあります。", "It says leave, and no end.")
		return
	}
	if !found {
		m.joins(l)
		return
	}
	if first, twice := m.seen[who.ID]; twice {
		m.fault(l.N, "number", "twice", fmt.Sprintf("この人は%d行目にもあります。一つにしてください。", first), fmt.Sprintf("This person is on line %d too. Keep one.", first))
		return
	}
	m.seen[who.ID] = l.N
	switch {
	case who.Protected:
		m.fault(l.N, "number", "protected", "このIDはディレクトリが守っているため、関所からは変えられません。ディレクトリの管理者が変えてください。",
			"The directory guards this ID itself, so Sekisho does not change it; its administrator does.")
		return
	case m.known.Own != "" && policy.CanonicalDN(who.DN) == policy.CanonicalDN(m.known.Own):
		m.fault(l.N, "number", "own", "関所自身のIDは、ファイルでは変えられません。", "Sekisho's own ID is not changed by a file.")
		return
	}
	m.add(m.changed(l, who))
}

// leavesAt is when a line has somebody leave; zero where it does not.
func (m *maker) leavesAt(l Line) time.Time {
	end := m.effective
	if !l.Ends.IsZero() {
		end = After(l.Ends)
	}
	if l.Leaves || !l.Ends.IsZero() && !end.After(m.effective) {
		return end
	}
	return time.Time{}
}

func (m *maker) joins(l Line) {
	if l.Leaves || !m.leavesAt(l).IsZero() {
		m.fault(l.N, "number", "nobody", "この番号の人はディレクトリにいないため、退職とできません。番号を確かめてください。", "Nobody in the directory has this number, so nobody leaves; see the number.")
		return
	}
	login := l.Login
	if login == "" {
		login = directory.Canonical(l.Number)
	}
	if !directory.Wellformed(login) || strings.ContainsAny(login, ",=+<>#;\\\"@/") {
		m.fault(l.N, "login", "characters", "番号からログインを作れません。ログインを書いてください。", "No login can be made of the number; write one.")
		return
	}
	switch first, twice := m.logins[login]; {
	case twice:
		m.fault(l.N, "login", "twice", fmt.Sprintf("このログインは%d行目にもなります。別のログインを書いてください。", first), fmt.Sprintf("This login becomes that of line %d too; write another.", first))
		return
	case m.known.Former[login]:
		m.fault(l.N, "login", "used_before", "このログインは、前に別のIDのものでした。一度使ったログインは二度と使えません。別のログインを書いてください。",
			"This login was another ID's before. A login is never given again; write another.")
		return
	}
	if _, there := m.byLogin[login]; there {
		m.fault(l.N, "login", "taken", "このログインは、別の人のものです。ログインの列に別のログインを書いてください。", "This login is somebody else's; write another in the column of logins.")
		return
	}
	if l.Section == "" {
		m.fault(l.N, "section", "required", "新しい人には所属が必要です。", "Who is new needs a section.")
		return
	}
	m.logins[login] = l.N
	after := Record{
		Name: l.Name, Mail: l.Mail, Section: l.Section, Company: l.Company, Number: l.Number, Kind: l.Kind.directory(), Groups: m.groups(l, Record{}),
	}
	if l.ofNobody() {
		after.Number = l.Owner
	}
	if !l.Ends.IsZero() {
		after.Expires = After(l.Ends)
	}
	m.add(m.finish(l, Change{Act: Joins, Login: login, After: after}))
}

// groups are those that carry the posts a line leaves somebody with.
func (m *maker) groups(l Line, before Record) []string {
	var out []string
	base := policy.Staff
	if l.Kind.directory() == directory.KindContractor {
		base = policy.Contractor
	}
	for _, post := range m.p.Posts {
		if post.Group == "" {
			continue
		}
		holds := slices.Contains(l.Posts, post.ID)
		switch {
		case post.ID == policy.Staff || post.ID == policy.Contractor:
			holds = post.ID == base && !l.ofNobody()
		case !l.Says("posts"):
			holds = policy.InGroup(before.Groups, []string{post.Group})
		}
		if holds {
			out = append(out, post.Group)
		}
	}
	return out
}

// changed is what a line makes of somebody who is there.
func (m *maker) changed(l Line, who directory.Person) Change {
	before := recordOf(m.p, who)
	after := before
	set := func(into *string, v string) {
		if v != "" {
			*into = v
		}
	}
	set(&after.Name, l.Name)
	set(&after.Mail, l.Mail)
	set(&after.Section, l.Section)
	set(&after.Company, l.Company)
	number := l.Number
	if l.ofNobody() {
		number = l.Owner
	}
	if fold(number) != fold(before.Number) {
		set(&after.Number, number)
	}
	if l.Says("kind") {
		after.Kind = l.Kind.directory()
	} else if who.Kind == directory.KindContractor {
		l.Kind = Contractor
	}
	switch {
	case !l.Ends.IsZero():
		after.Expires = After(l.Ends)
	case l.EndsNever:
		after.Expires = time.Time{}
	}
	after.Groups = m.groups(l, before)
	c := Change{Person: who.ID, Login: who.Login, Before: before}
	if end := m.leavesAt(l); !end.IsZero() {
		after.Disabled, after.Expires, after.Groups = true, end, nil
		if !before.Expires.IsZero() && before.Expires.Before(end) {
			after.Expires = before.Expires // a file does not lengthen what has ended
		}
		if before.Disabled {
			after.Expires = before.Expires
		}
		c.Act = Leaves
		c.Due = latest(m.effective, after.Expires)
	} else {
		after.Disabled = false
		switch {
		case before.Disabled:
			c.Act = Returns
		case before.Section != after.Section:
			c.Act = Moves
		case !before.Expires.Equal(after.Expires):
			c.Act = Renewed
		case !before.same(after):
			c.Act = Changes
		}
	}
	c.After = after
	return m.finish(l, c)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// finish fills in what does not depend on whether somebody was there before.
func (m *maker) finish(l Line, c Change) Change {
	c.Line, c.Number, c.Name, c.Kana, c.Kind, c.Prime, c.Project, c.Owner = l.N, c.After.Number, c.After.Name, l.Kana, l.Kind, l.Prime, l.Project, l.Owner
	if c.Due.IsZero() {
		c.Due = latest(m.effective, l.Starts)
	}
	was, is := m.p.PostsOf(c.Before.Groups), m.p.PostsOf(c.After.Groups)
	for _, id := range is {
		if !slices.Contains(was, id) {
			c.Gained = append(c.Gained, id)
		}
	}
	for _, id := range was {
		if !slices.Contains(is, id) {
			c.Lost = append(c.Lost, id)
		}
	}
	if c.Act != Leaves {
		m.beside(l, &c)
	}
	if c.Act == "" {
		return c
	}
	c.EndsAhead = m.ahead(l, c)
	if c.EndsLeases() || c.EndsPermits() {
		for _, h := range m.known.Holdings[c.Person] {
			if strings.HasPrefix(h.Kind, "lease") && c.EndsLeases() || strings.HasPrefix(h.Kind, "permit") && c.EndsPermits() {
				c.Holdings = append(c.Holdings, h)
			}
		}
	}
	m.warn(l, &c)
	return c
}

// beside is what stands beside the directory's record: concurrent posts, a handover,
// and leave.
func (m *maker) beside(l Line, c *Change) {
	if l.Says("concurrent") {
		now := slices.Clone(m.known.Places[c.Person])
		slices.Sort(now)
		next := slices.Clone(l.Concurrent)
		slices.Sort(next)
		if !slices.Equal(now, next) {
			c.Concurrent, c.SaysConcurrent = next, true
		}
	}
	if !l.Handover.IsZero() && c.moved() {
		c.Handover = After(l.Handover)
	}
	until, onLeave := m.known.OnLeave[c.Person]
	if !l.LeaveFrom.IsZero() {
		end := time.Time{}
		if !l.LeaveUntil.IsZero() {
			end = After(l.LeaveUntil)
		}
		if !onLeave || !end.Equal(until) {
			c.LeaveFrom, c.LeaveUntil = latest(m.effective, l.LeaveFrom), end
		}
	}
	c.LeaveOver = l.Returns && onLeave
	if c.Act == "" {
		switch {
		case !c.LeaveFrom.IsZero():
			c.Act = OnLeave
		case c.LeaveOver:
			c.Act = Returns
		case c.SaysConcurrent:
			c.Act = Changes
		}
	}
}

// ahead reports whether a change's end may be written before its day comes: one that
// shortens may always be, one that lengthens where nothing lies between the two terms,
// so that who is appointed anew is not shut out at midnight.
func (m *maker) ahead(l Line, c Change) bool {
	before, after := c.Before.Expires, c.After.Expires
	if c.Person == "" || c.Before.Disabled || before.Equal(after) || !c.Due.After(m.now) {
		return false
	}
	if !after.IsZero() && (before.IsZero() || after.Before(before)) {
		return true
	}
	return !before.IsZero() && before.After(m.now) && !l.Starts.After(before)
}

func (m *maker) warn(l Line, c *Change) {
	add := func(w Warning) { c.Warnings = append(c.Warnings, w) }
	if c.moved() && c.Act != Leaves && !l.Says("posts") && m.p.Powerful(m.p.PostsOf(c.After.Groups)) {
		add(KeepsPosts)
	}
	if c.Act == Leaves && len(m.p.StandsInFor(c.Login, m.now)) > 0 {
		add(StandsIn)
	}
	if m.p.Powerful(c.Gained) {
		add(Powerful)
	}
	if c.Act == Joins && c.After.Mail == "" && !l.ofNobody() {
		add(NoMail)
	}
}

func (m *maker) add(c Change) {
	if c.Act == "" || c.Act == Leaves && c.Before.same(c.After) {
		m.plan.Unchanged++
		return
	}
	m.plan.Counts[c.Act]++
	m.plan.Changes = append(m.plan.Changes, c)
}

// absent has those leave who are not in a file that names all staff.
func (m *maker) absent() {
	for _, who := range m.known.People {
		_, named := m.seen[who.ID]
		own := m.known.Own != "" && policy.CanonicalDN(who.DN) == policy.CanonicalDN(m.known.Own)
		if named || own || who.Kind != directory.KindStaff || who.Protected || who.Number == "" || !who.Account.Usable(m.effective) {
			continue
		}
		m.add(m.changed(Line{Kind: Staff, Leaves: true}, who))
	}
}

// owners warns where whoever answers for an ID leaves.
func (m *maker) owners() {
	left := map[string]bool{}
	for _, c := range m.plan.Changes {
		if c.Act == Leaves && c.Before.Number != "" && (c.Before.Kind == directory.KindStaff || c.Before.Kind == directory.KindContractor) {
			left[fold(c.Before.Number)] = true
		}
	}
	for i := range m.plan.Changes {
		if c := &m.plan.Changes[i]; c.Owner != "" && c.Act != Leaves && left[fold(c.Owner)] {
			c.Warnings = append(c.Warnings, OwnerLeaves)
		}
	}
}

// vacant are the posts that approve or administer which somebody holds now and nobody
// will: in a section, or in the whole prefecture.
func (m *maker) vacant() []Vacancy {
	after := map[directory.PersonID]Record{}
	var joined []Record
	for _, c := range m.plan.Changes {
		if c.Person == "" {
			joined = append(joined, c.After)
		} else {
			after[c.Person] = c.After
		}
	}
	was, is := map[Vacancy]int{}, map[Vacancy]int{}
	count := func(r Record, into map[Vacancy]int, at time.Time) {
		if r.Disabled || !r.Expires.IsZero() && !at.Before(r.Expires) {
			return
		}
		for _, id := range m.p.PostsOf(r.Groups) {
			if post, _ := m.p.Post(id); !post.Approves && !post.Administers {
				continue
			}
			into[Vacancy{id, ""}]++
			if r.Section != "" {
				into[Vacancy{id, r.Section}]++
			}
		}
	}
	for _, who := range m.known.People {
		r := recordOf(m.p, who)
		count(r, was, m.now)
		if next, changes := after[who.ID]; changes {
			r = next
		}
		count(r, is, m.effective)
	}
	for _, r := range joined {
		count(r, is, m.effective)
	}
	var out []Vacancy
	for v := range was {
		if is[v] == 0 {
			out = append(out, v)
		}
	}
	order := policy.PostIDs()
	slices.SortFunc(out, func(a, b Vacancy) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Post), slices.Index(order, b.Post)), cmp.Compare(a.Section, b.Section))
	})
	return out
}

// fewLeave is how many may leave whatever their share is: in a small directory, and a
// branch office that closes.
const fewLeave = 5

func (m *maker) stop() *policy.Words {
	n, share := m.plan.Counts[Leaves], m.p.Personnel.StopShare
	if n <= fewLeave || n*100 <= share*m.plan.People {
		return nil
	}
	at := strconv.Itoa(share)
	return &policy.Words{
		JA: fmt.Sprintf("退職が%d件あり、使われているID %d件の%s％（方針の personnel.stop_share）を超えます。ファイルを確かめ、正しければ分けるか、方針を変えてください。", n, m.plan.People, at),
		EN: fmt.Sprintf("%d would leave, which is more than %s %% (personnel.stop_share of the policy) of the %d IDs in use. Look at the file; if it is right, split it or change the policy.", n, at, m.plan.People),
	}
}

// SortedCounts are how many there are of each act, in the order of Acts.
func (p Plan) SortedCounts() []struct {
	Act Act
	N   int
} {
	var out []struct {
		Act Act
		N   int
	}
	for _, a := range Acts() {
		if n := p.Counts[a]; n > 0 {
			out = append(out, struct {
				Act Act
				N   int
			}{a, n})
		}
	}
	return out
}
