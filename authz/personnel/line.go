package personnel

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

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
	b, ok := m.bind(l, "", login, Record{}, after)
	if !ok {
		return
	}
	var own time.Time
	if !l.Ends.IsZero() {
		own = After(l.Ends)
	}
	after.Expires = sooner(own, b.last)
	m.add(m.finish(l, Change{Act: Joins, Login: login, After: after}.bound(b, own, l)))
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
	was := m.known.Ends[who.ID].OwnEnd(before.Expires)
	own := was
	switch {
	case !l.Ends.IsZero():
		own = After(l.Ends)
	case l.EndsNever:
		own = time.Time{}
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
		b, ok := m.bind(l, who.ID, who.Login, before, after)
		if !ok {
			return c
		}
		if l.Says("ends") || l.Says("project") {
			after.Expires = sooner(own, b.last)
		}
		c = c.bound(b, own, l)
		after.Disabled = false
		if before.Disabled && m.stillOver(l, after.Expires) {
			return c
		}
		switch {
		case before.Disabled:
			c.Act = Returns
		case before.Section != after.Section:
			c.Act = Moves
		case !before.Expires.Equal(after.Expires) || !was.Equal(own):
			c.Act = Renewed
		case !before.same(after):
			c.Act = Changes
		}
	}
	c.After = after
	return m.finish(l, c)
}

// stillOver refuses a line that opens an ID again whose end has passed by then: it would
// let nobody in, and whether they come for good or for a time is for the file to say.
func (m *maker) stillOver(l Line, ends time.Time) bool {
	if ends.IsZero() || ends.After(latest(m.effective, l.Starts)) {
		return false
	}
	last := policy.DayInJapan(ends.Add(-1))
	m.fault(l.N, "ends", "over", last+"で終わったIDです。終わりの列に、新しい最後の日か「なし」を書いてください。",
		"This ID ended with "+last+". Write its new last day in the column of ends, or that there is none.")
	return true
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// finish fills in what does not depend on whether somebody was there before.
func (m *maker) finish(l Line, c Change) Change {
	c.Line, c.Number, c.Name, c.Kana, c.Kind, c.Prime, c.Owner = l.N, c.After.Number, c.After.Name, l.Kana, l.Kind, l.Prime, l.Owner
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
	if c.EndsLeases() || c.EndsPermits() || c.Turns != "" {
		for _, h := range m.known.Holdings[c.Person] {
			if c.Turns != "" || strings.HasPrefix(h.Kind, "lease") && c.EndsLeases() || strings.HasPrefix(h.Kind, "permit") && c.EndsPermits() {
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
		case c.SaysConcurrent, c.SaysProjects:
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
	shortens := later(before, after)
	if c.SaysProjects && !(shortens && after.Equal(c.Own)) {
		return false // it follows from projects, which end at their minute by themselves
	}
	if shortens {
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
	if c.Turns != "" {
		add(Turns)
	}
	if len(c.Released) > 0 && !slices.ContainsFunc(c.Projects, func(t Tied) bool { return c.Due.Before(t.Until) }) {
		add(Released)
	}
	if c.SaysOwn && l.Says("ends") && later(c.Own, c.After.Expires) {
		add(ProjectEnds)
	}
	if c.Act != Leaves && c.moved() && slices.ContainsFunc(c.Projects, func(t Tied) bool {
		return !t.New && !m.p.InSection(c.After.Section, []string{m.projects.byID[fold(t.ID)].Section})
	}) {
		add(KeepsProject)
	}
}
