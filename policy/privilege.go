package policy

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Privilege is what nobody holds and some may borrow for minutes (articles
// 62-6, 62-7, 65): what it gives, to whom, who says yes, for how long.
type Privilege struct {
	ID        string    `yaml:"id"`
	Name      Words     `yaml:"name"`
	Gives     []Gift    `yaml:"gives"`
	Eligible  Eligible  `yaml:"eligible"`
	Approvers Approvers `yaml:"approvers"`
	// Environment is that of what it opens; empty: production. It is lent to IDs of it alone
	// (article 68).
	Environment Environment `yaml:"environment"`

	Usual       time.Duration `yaml:"usual"`        // what a request begins with
	Longest     time.Duration `yaml:"longest"`      // from activation to the end, extensions included
	AskEnd      time.Duration `yaml:"ask_end"`      // a request that nobody decides lapses
	ActivateEnd time.Duration `yaml:"activate_end"` // an approval that nobody uses lapses
	CoolDown    time.Duration `yaml:"cool_down"`    // between one lease's end and the same person's next
	Hours       []Hours       `yaml:"hours"`        // when it may be used; none: always

	ACR       ACR           `yaml:"acr"`        // of the sign-in that asks and activates
	FreshFor  time.Duration `yaml:"fresh_for"`  // and how recent it is
	Ticket    string        `yaml:"ticket"`     // the whole ticket matches this pattern (RE2); empty: no ticket is asked for
	TwoPerson bool          `yaml:"two_person"` // article 49-3: a second eligible person starts it and stays with it
	// WitnessEvery is how often the second person confirms; a lease that is not
	// confirmed pauses.
	WitnessEvery    time.Duration `yaml:"witness_every"`
	OutlivesSession bool          `yaml:"outlives_session"` // batch work goes on when its session ends

	Emergency        bool          `yaml:"emergency"`         // article 80-2: may be taken without approval
	EmergencyLongest time.Duration `yaml:"emergency_longest"` // and then for so long at most

	WorkRecord bool          `yaml:"work_record"` // article 49-1: one is owed at the end
	RecordEnd  time.Duration `yaml:"record_end"`  // within so long; after that nothing new is lent to who owes it

	// Standing is what becomes of a membership or an enabled ID that no lease
	// accounts for: one of StandingRules.
	Standing string `yaml:"standing"`
}

// What becomes of privilege that no lease accounts for. It is a finding in
// either case.
const (
	StandingRemove = "remove"
	StandingReport = "report"
)

// StandingRules are both.
func StandingRules() []string { return []string{StandingRemove, StandingReport} }

// A Gift is one thing that a lease gives, and takes back at its end.
type Gift struct {
	Kind string `yaml:"kind"` // one of GiftKinds

	Group string `yaml:"group"` // DN, of a GiftGroup

	Account string `yaml:"account"` // DN of the named administrator's ID, of a GiftAccount

	Under  string   `yaml:"under"`  // DN below which a GiftEphemeral is made
	Prefix string   `yaml:"prefix"` // what its login begins with
	Groups []string `yaml:"groups"` // DNs of the groups that it joins

	Application string   `yaml:"application"` // id, of a GiftApplication
	Roles       []string `yaml:"roles"`       // what the application is told while the lease lives
}

// The kinds of gifts.
const (
	GiftGroup       = "group"       // membership of a directory group
	GiftAccount     = "account"     // a named administrator's ID, enabled with a fresh password
	GiftEphemeral   = "ephemeral"   // an ID that is made for this lease and goes with it
	GiftApplication = "application" // claims and headers to an application, and what it asks this privilege for
)

// GiftKinds are all of them.
func GiftKinds() []string { return []string{GiftGroup, GiftAccount, GiftEphemeral, GiftApplication} }

// Outside reports whether giving it changes the directory.
func (g Gift) Outside() bool { return g.Kind != GiftApplication }

// ShowsSecret reports whether giving it makes a password that its borrower is
// shown.
func (g Gift) ShowsSecret() bool { return g.Kind == GiftAccount || g.Kind == GiftEphemeral }

// GroupDNs are the directory groups that the gift makes somebody a member of.
func (g Gift) GroupDNs() []string {
	if g.Kind == GiftGroup {
		return []string{g.Group}
	}
	return g.Groups
}

func (g Gift) name() string {
	return strings.Join(slices.DeleteFunc([]string{g.Kind, g.Group, g.Account, g.Prefix, g.Application}, func(s string) bool { return s == "" }), " ")
}

// Eligible says who may ask: the people who are named, and everybody whom
// posts, groups and sections all include. Whoever audits is never among them
// (article 16-2).
type Eligible struct {
	Posts    []PostID `yaml:"posts"`    // one suffices; empty: not asked
	Groups   []string `yaml:"groups"`   // DNs, likewise
	Sections []string `yaml:"sections"` // likewise; a 部局 stands for its 室課
	Persons  []string `yaml:"persons"`  // logins
}

// Approvers say who decides a request.
type Approvers struct {
	Posts  []PostID `yaml:"posts"`
	Quorum int      `yaml:"quorum"` // how many persons say yes
	All    bool     `yaml:"all"`    // of each post at least one
	Where  string   `yaml:"where"`  // one of ApproverPlaces
}

// Where the approvers of a request are looked for.
const (
	ApproversUpward   = "upward"   // in the section of whoever asks, then in what lies above it
	ApproversAnywhere = "anywhere" // in the whole prefecture
)

// ApproverPlaces are both.
func ApproverPlaces() []string { return []string{ApproversUpward, ApproversAnywhere} }

// Hours are a time of the week, in Japan.
type Hours struct {
	Days  []string `yaml:"days"`  // of Weekdays; empty: every day
	From  string   `yaml:"from"`  // 08:30
	Until string   `yaml:"until"` // 17:15; 24:00 is the day's end
}

// Weekdays are the names of days, in the order of time.Weekday.
func Weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

var clockTime = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$`)

// minutes is a time of day in minutes; ok is false for what is none.
func minutes(text string) (int, bool) {
	if !clockTime.MatchString(text) {
		return 0, false
	}
	n := func(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }
	return n(text[:2])*60 + n(text[3:]), true
}

// open reports whether the hours include an instant and, if so, when on that
// day they end.
func (h Hours) open(at time.Time) (until time.Time, ok bool) {
	at = at.In(japan)
	if len(h.Days) > 0 && !slices.Contains(h.Days, Weekdays()[at.Weekday()]) {
		return time.Time{}, false
	}
	from, okFrom := minutes(h.From)
	end, okEnd := minutes(h.Until)
	now := at.Hour()*60 + at.Minute()
	if !okFrom || !okEnd || now < from || now >= end {
		return time.Time{}, false
	}
	midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, japan)
	return midnight.Add(time.Duration(end) * time.Minute).UTC(), true
}

// OpenUntil is when the hours in which an instant lies end; ok is false when it
// lies in none. Where no hours are named there is no end: the zero time. Hours
// that touch are one, so that a night is no reason to stop at midnight.
func (v Privilege) OpenUntil(at time.Time) (until time.Time, ok bool) {
	if len(v.Hours) == 0 {
		return time.Time{}, true
	}
	until = at
	for range 8 * (len(v.Hours) + 1) { // a week has been gone round by then
		longer := until
		for _, h := range v.Hours {
			if end, open := h.open(until); open && end.After(longer) {
				longer = end
			}
		}
		if !longer.After(until) {
			return until, until.After(at)
		}
		if until = longer; until.Sub(at) > 8*day {
			return time.Time{}, true // always, written as hours
		}
	}
	return until, true
}

// TicketFits reports whether a ticket is what the privilege asks for.
func (v Privilege) TicketFits(ticket string) bool {
	if v.Ticket == "" {
		return true
	}
	pattern, err := regexp.Compile(`^(?:` + v.Ticket + `)$`)
	return err == nil && pattern.MatchString(ticket)
}

// ShowsSecret reports whether a lease of it shows its borrower a password.
func (v Privilege) ShowsSecret() bool { return slices.ContainsFunc(v.Gives, Gift.ShowsSecret) }

// Privilege finds a privilege by its id.
func (p *Policy) Privilege(id string) (Privilege, bool) {
	for _, v := range p.Privileges {
		if id != "" && v.ID == id {
			return v, true
		}
	}
	return Privilege{}, false
}

// MayBorrow reports whether somebody with this login, these posts, groups and
// this section is among those a privilege is lent to. It speaks of the policy
// alone: that the person may use anything at all is asked elsewhere.
func (p *Policy) MayBorrow(v Privilege, login string, posts []PostID, groupDNs []string, section string) bool {
	for _, id := range posts {
		if post, ok := p.Post(id); ok && post.Audits {
			return false
		}
	}
	e := v.Eligible
	if login != "" && slices.ContainsFunc(e.Persons, func(named string) bool { return strings.EqualFold(named, login) }) {
		return true
	}
	if len(e.Posts) == 0 && len(e.Groups) == 0 && len(e.Sections) == 0 {
		return false // nobody but those who are named
	}
	if len(e.Posts) > 0 && !slices.ContainsFunc(posts, func(id PostID) bool { return slices.Contains(e.Posts, id) }) {
		return false
	}
	return InGroup(groupDNs, e.Groups) && p.InSection(section, e.Sections)
}

// CarriesPost reports whether the members of a group hold a post. Such a group
// is never lent: whoever borrowed it could approve, or make others powerful
// (design rule 7).
func (p *Policy) CarriesPost(groupDN string) bool {
	dn := canonicalDN(groupDN)
	return slices.ContainsFunc(p.Posts, func(post Post) bool { return post.Group != "" && canonicalDN(post.Group) == dn })
}

// CanonicalDN is the one spelling of a name that SameDN compares by.
func CanonicalDN(dn string) string { return canonicalDN(dn) }

// SameDN reports whether two names are of one entry, as far as their spelling
// tells.
func SameDN(a, b string) bool { return canonicalDN(a) == canonicalDN(b) }
