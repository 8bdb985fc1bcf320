package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ApprovalRules say how what people ask for is decided (articles 11 to 16): how
// long it waits, who stands in for whom, who is on duty, and what was decided
// beforehand. Who decides which kind of matter is said where the matter is.
type ApprovalRules struct {
	LapseAfter    time.Duration `yaml:"lapse_after"`    // undecided, a request lapses
	FreshFor      time.Duration `yaml:"fresh_for"`      // a decision takes a phishing-resistant sign-in this recent
	FactorRest    time.Duration `yaml:"factor_rest"`    // a new factor rests so long before it decides
	RemindAfter   time.Duration `yaml:"remind_after"`   // whoever may decide is reminded; 0: never
	EscalateAfter time.Duration `yaml:"escalate_after"` // the next step up may decide too; 0: never
	ReviewWithin  time.Duration `yaml:"review_within"`  // 後閲: an acting decision is reviewed within

	Deputies []Deputy           `yaml:"deputies"`
	Duty     []Duty             `yaml:"duty"`
	Standing []StandingDecision `yaml:"standing"`
	Holidays []string           `yaml:"holidays"` // dates on which the office is closed, beside Saturdays and Sundays
}

// A Deputy stands in for those who hold a post in a section, between two days.
type Deputy struct {
	ID      string `yaml:"id"`
	Login   string `yaml:"login"`
	Post    PostID `yaml:"post"`
	Section string `yaml:"section"` // where the post is held; empty for a post of the whole prefecture
	From    string `yaml:"from"`    // the first day, Japan time
	Until   string `yaml:"until"`   // the last
	// Acting: what they decide is 代決, which a holder of the post reviews (後閲).
	Acting bool  `yaml:"acting"`
	Reason Words `yaml:"reason"`
}

// Duty is a turn of the roster. Whoever is on duty may decide in the place of the
// posts that it names; each decision is an acting one.
type Duty struct {
	ID       string   `yaml:"id"`
	Logins   []string `yaml:"logins"`
	Posts    []PostID `yaml:"posts"`
	Sections []string `yaml:"sections"` // empty: the whole prefecture
	From     string   `yaml:"from"`     // RFC 3339
	Until    string   `yaml:"until"`
}

// A StandingDecision (専決) approves beforehand what is asked for in its hours.
// It is decided when the policy is: by two persons, with a reason and an end.
type StandingDecision struct {
	ID       string   `yaml:"id"`
	Kinds    []string `yaml:"kinds"`    // of StandingKinds
	Subjects []string `yaml:"subjects"` // what is asked for, such as a privilege's id
	Sections []string `yaml:"sections"` // of whom it is asked for; empty: every one
	From     string   `yaml:"from"`     // the first day, Japan time
	Until    string   `yaml:"until"`    // the last
	Hours    []Hours  `yaml:"hours"`    // empty: outside office days and 8:30 to 17:15
	Decision string   `yaml:"decision"` // its number
	Reason   Words    `yaml:"reason"`
}

// StandingKinds are the matters that may be decided beforehand. What makes
// somebody powerful (design rule 7) is not among them.
func StandingKinds() []string { return []string{"elevation", "remote_access", "zone_crossing"} }

// Holiday stands for the days on which the office is closed.
const Holiday = "holiday"

// WorkWeek are the names of days in a standing decision's hours.
func WorkWeek() []string { return append(Weekdays(), Holiday) }

// longestStanding is how long ahead a standing decision, and a deputy, may be
// decided: a year has new officials.
const longestStanding = 366

// Closed reports whether the office is closed on the day of a time.
func (r ApprovalRules) Closed(at time.Time) bool {
	at = at.In(japan)
	return at.Weekday() == time.Saturday || at.Weekday() == time.Sunday || slices.Contains(r.Holidays, at.Format(dateForm))
}

// In reports whether a time lies in any of the hours; none are no time at all.
func (r ApprovalRules) In(hours []Hours, at time.Time) bool {
	return slices.ContainsFunc(hours, func(h Hours) bool {
		if slices.Contains(h.Days, Holiday) && r.Closed(at) {
			h.Days = nil
		}
		_, ok := h.open(at)
		return ok
	})
}

// outOfOffice are the nights of every day and the whole of closed ones.
var outOfOffice = []Hours{{From: "00:00", Until: "08:30"}, {From: "17:15", Until: "24:00"}, {Days: []string{Holiday}, From: "00:00", Until: "24:00"}}

// between reports whether a time lies between two days, both included. What
// cannot be read is never.
func between(from, until string, at time.Time) bool {
	first, err := time.ParseInLocation(dateForm, from, japan)
	last, err2 := time.ParseInLocation(dateForm, until, japan)
	return err == nil && err2 == nil && !at.Before(first) && at.Before(last.AddDate(0, 0, 1))
}

// InForce reports whether the deputy stands in at a time.
func (d Deputy) InForce(at time.Time) bool { return between(d.From, d.Until, at) }

// InForce reports whether the turn goes on at a time.
func (d Duty) InForce(at time.Time) bool {
	from, err := time.Parse(time.RFC3339, d.From)
	until, err2 := time.Parse(time.RFC3339, d.Until)
	return err == nil && err2 == nil && !at.Before(from) && at.Before(until)
}

// StandingFor finds the standing decision that approves a matter at a time.
func (p *Policy) StandingFor(kind, subject, section string, at time.Time) (StandingDecision, bool) {
	for _, s := range p.Approval.Standing {
		hours := s.Hours
		if len(hours) == 0 {
			hours = outOfOffice
		}
		if slices.Contains(StandingKinds(), kind) && slices.Contains(s.Kinds, kind) && subject != "" && slices.Contains(s.Subjects, subject) &&
			p.InSection(section, s.Sections) && between(s.From, s.Until, at) && p.Approval.In(hours, at) {
			return s, true
		}
	}
	return StandingDecision{}, false
}

// Department is the 部局 of a section: itself, or what lies above it; "" for a
// section that nobody knows.
func (p *Policy) Department(section string) string {
	top := ""
	for range len(p.Sections) + 1 { // a ring ends
		s, ok := p.Section(section)
		if !ok {
			return ""
		}
		if top = s.ID; s.Parent == "" {
			return top
		}
		section = s.Parent
	}
	return ""
}

func (c *checker) approval() {
	r := c.p.Approval
	if r.RemindAfter > 0 && r.RemindAfter >= r.LapseAfter {
		c.refuse("approval.remind_after", "16-1", ShowDuration(r.LapseAfter/2), "申請が失効する前に催促しなければなりません。", "The reminder must come before the request lapses.")
	}
	if r.EscalateAfter > 0 && r.EscalateAfter >= r.LapseAfter {
		c.refuse("approval.escalate_after", "16-1", ShowDuration(r.LapseAfter/2), "申請が失効する前に上の職へ回さなければなりません。", "The way up must open before the request lapses.")
	}
	for i, day := range r.Holidays {
		at := fmt.Sprintf("approval.holidays[%d]", i)
		c.need(at, day, "16-1")
		c.date(at, day)
	}
	c.deputies()
	c.duty()
	c.standingDecisions()
}

// days checks a first and a last day, which are both needed.
func (c *checker) days(at, from, until string, most int) {
	c.need(at+".from", from, "16-1")
	c.need(at+".until", until, "16-1")
	first, last := c.date(at+".from", from), c.date(at+".until", until)
	switch {
	case first.IsZero() || last.IsZero():
	case last.Before(first):
		c.refuse(at+".until", "16-1", from, "終わりの日が始まりの日より前です。", "The last day is before the first.")
	case last.After(first.AddDate(0, 0, most)):
		c.refuse(at+".until", "16-1", first.AddDate(0, 0, most).Format(dateForm), fmt.Sprintf("%d日を超えて決めておくことはできません。", most), fmt.Sprintf("This cannot be decided for more than %d days.", most))
	}
}

// decides refuses posts that decide nothing.
func (c *checker) decides(field string, id PostID) {
	if id == "" {
		c.need(field, "", "16-1")
		return
	}
	for _, post := range beside(c.p.Posts, standardPosts(), func(p Post) PostID { return p.ID }) {
		if post.ID == id && !post.Approves && !c.problemAt(field) {
			c.refuse(field, "16-1", "", "承認しない職です。承認する職を書いてください。", "This post decides nothing; name one that approves.")
		}
	}
}

func (c *checker) section(field, id string) {
	if _, ok := c.known[id]; !ok && !c.problemAt(field) {
		c.refuse(field, "12-2", Nearest(id, c.ids), "知らない部局・室課です。", "This section is not known.")
	}
}

func (c *checker) deputies() {
	ids := once{}
	for i, d := range c.p.Approval.Deputies {
		at := fmt.Sprintf("approval.deputies[%d]", i)
		c.id(at+".id", d.ID)
		ids.check(c, d.ID, at+".id", "16-1", "同じidが二度使われています。", "The id is used twice.")
		c.need(at+".login", strings.TrimSpace(d.Login), "16-1")
		c.decides(at+".post", d.Post)
		c.words(at+".reason", d.Reason)
		c.days(at, d.From, d.Until, longestStanding)
		switch {
		case d.Section != "":
			c.section(at+".section", d.Section)
		case d.Post == SecurityManager || d.Post == SecurityOfficer:
			c.refuse(at+".section", "12-1", "", "どの部局・室課の職かを書いてください。", "Say in which section the post is held.")
		}
	}
}

func (c *checker) duty() {
	ids := once{}
	for i, d := range c.p.Approval.Duty {
		at := fmt.Sprintf("approval.duty[%d]", i)
		c.id(at+".id", d.ID)
		ids.check(c, d.ID, at+".id", "16-1", "同じidが二度使われています。", "The id is used twice.")
		if len(d.Logins) == 0 && !c.problemAt(at+".logins") {
			c.refuse(at+".logins", "11-6", "", "当番の職員を書いてください。", "Name who is on duty.")
		}
		if len(d.Posts) == 0 && !c.problemAt(at+".posts") {
			c.refuse(at+".posts", "16-1", "", "どの職に代わるかを書いてください。", "Name the posts in whose place they decide.")
		}
		for j, id := range d.Posts {
			c.decides(fmt.Sprintf("%s.posts[%d]", at, j), id)
		}
		for j, id := range d.Sections {
			c.section(fmt.Sprintf("%s.sections[%d]", at, j), id)
		}
		from, okFrom := c.moment(at+".from", d.From)
		until, okUntil := c.moment(at+".until", d.Until)
		switch {
		case !okFrom || !okUntil:
		case !until.After(from):
			c.refuse(at+".until", "11-6", "", "終わりが始まりより前です。", "It ends before it begins.")
		case until.Sub(from) > 31*day:
			c.refuse(at+".until", "11-6", from.Add(31*day).Format(time.RFC3339), "当番は31日までとします。", "A turn is at most 31 days.")
		}
	}
}

func (c *checker) moment(field, text string) (time.Time, bool) {
	if text == "" {
		c.need(field, "", "11-6")
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		c.refuse(field, "11-6", "", "時刻を 2026-04-01T17:15:00+09:00 のように書いてください。", "Write a time such as 2026-04-01T17:15:00+09:00.")
	}
	return at, err == nil
}

func (c *checker) standingDecisions() {
	ids := once{}
	for i, s := range c.p.Approval.Standing {
		at := fmt.Sprintf("approval.standing[%d]", i)
		c.id(at+".id", s.ID)
		ids.check(c, s.ID, at+".id", "16-1", "同じidが二度使われています。", "The id is used twice.")
		c.words(at+".reason", s.Reason)
		c.need(at+".decision", strings.TrimSpace(s.Decision), "16-1")
		c.days(at, s.From, s.Until, longestStanding)
		if len(s.Kinds) == 0 && !c.problemAt(at+".kinds") {
			c.refuse(at+".kinds", "16-1", StandingKinds()[0], "何の申請についての専決かを書いてください。", "Say which kinds of request it decides.")
		}
		if len(s.Subjects) == 0 && !c.problemAt(at+".subjects") {
			c.refuse(at+".subjects", "16-1", "", "何についての専決かを書いてください。すべてを前もって承認することはできません。", "Say what it is about: not everything is approved beforehand.")
		}
		for j, id := range s.Sections {
			c.section(fmt.Sprintf("%s.sections[%d]", at, j), id)
		}
		c.hours(at+".hours", s.Hours)
	}
}
