// Package approval decides what people ask for: one engine for lent privilege,
// permits, credentials of powerful people, policies and restores.
//
// A matter is asked once and never changes. Persons decide it, by the posts that
// they hold along the organisation tree, as deputies, on duty, or, when nobody
// answers, from the next step up. It has one outcome, whoever races for it, and
// the outcome's transaction holds what follows from it (Kind.Settle) and its
// entry on the trail.
//
//	pending --every step has its quorum--> approved
//	pending --one who may decide says no--> denied
//	pending --who asked takes it back--> cancelled
//	pending --its end has come--> lapsed, whether or not anything ran
//
// What it promises:
//
//   - Nobody decides what they asked for, or what is asked for them. Human
//     beings are compared, not IDs (article 16-1).
//   - Who may decide is asked when the matter is asked and again when it is
//     decided, with posts read afresh, of somebody who has just signed in with a
//     phishing-resistant factor that has rested.
//   - Who stands in for the holder of a post leaves a review behind (後閲).
//
// It knows neither privileges nor permits, and changes nothing outside the store.
package approval

import (
	"slices"
	"strings"
	"time"

	"sekisho/directory"
	"sekisho/policy"
)

// A PersonRef is a person as they were when they asked or decided.
type PersonRef struct {
	ID      directory.PersonID `json:"id"`
	Login   string             `json:"login"`
	Name    string             `json:"name"`
	Number  string             `json:"number,omitempty"`
	Mail    string             `json:"mail,omitempty"`
	Section string             `json:"section,omitempty"`
}

// Ref is who a person is.
func Ref(p directory.Person) PersonRef {
	return PersonRef{p.ID, p.Login, p.Name, p.Number, p.Mail, p.Section}
}

// human is what a human being is told from others by.
func (r PersonRef) human() directory.Person {
	return directory.Person{ID: r.ID, Number: r.Number, Mail: r.Mail}
}

// atTerminal begins the ID of whom the directory does not know.
const atTerminal = "login:"

// AtTerminal is somebody at a terminal whom the directory does not know: an account
// of the machine, known by its name alone.
func AtTerminal(login string) PersonRef {
	return PersonRef{ID: directory.PersonID(atTerminal + directory.Canonical(login)), Login: login, Name: login}
}

// Known reports whether the directory knows who it is. Of others nothing but a login
// at a terminal is known, and nobody can tell them from whoever decides.
func (r PersonRef) Known() bool { return !strings.HasPrefix(string(r.ID), atTerminal) }

// Same reports whether two may be IDs of one human being: whether the directory
// does not show that they are two. One login is one person, also where somebody at
// a terminal is known by nothing else.
func (r PersonRef) Same(o PersonRef) bool {
	login := directory.Canonical(r.Login)
	if login != "" && login == directory.Canonical(o.Login) {
		return true
	}
	if r.Known() != o.Known() && r.ID != "" && o.ID != "" {
		return false // nothing but the logins can be compared
	}
	return !r.human().Apart(o.human())
}

// A Kind names what sort of matter it is.
type Kind string

// The kinds there are, beside those that other rooms name.
const (
	Elevation    Kind = "elevation"
	Credential   Kind = "credential"    // a factor, password or code of somebody powerful
	PolicyChange Kind = "policy_change" // a policy.yaml that waits for a second person
	Restoration  Kind = "restoration"   // a backup over a store in use
)

// A State is how far a matter has come.
type State string

// The states.
const (
	Pending   State = "pending"
	Approved  State = "approved"
	Denied    State = "denied"
	Cancelled State = "cancelled"
	Lapsed    State = "lapsed"
)

// Where is how far from whom it is asked for a step's posts may be held.
type Where string

// The places. The zero value is the nearest.
const (
	Own      Where = ""         // the own section, or the 部局 above it
	Anywhere Where = "anywhere" // the whole prefecture
)

// A Step is what one round of a matter asks for.
type Step struct {
	Posts  []policy.PostID `json:"posts"`
	Quorum int             `json:"quorum"`        // how many human beings; under 1 counts as 1
	All    bool            `json:"all,omitempty"` // each of the posts, not any of them
	// Joint: an official who holds several of the posts speaks once for all of them
	// (article 58-1; often one official is both, articles 13-1 and 14-1).
	Joint bool  `json:"joint,omitempty"`
	Where Where `json:"where,omitempty"`
}

// A Rule is who decides: each step in turn, everyone once.
type Rule struct {
	Steps []Step `json:"steps"`
	// Strict keeps the matter with the posts that are named: neither deputies nor
	// the way up.
	Strict bool `json:"strict,omitempty"`
	// ACR is what a decision takes until ACRUntil, where that is less than a
	// phishing-resistant factor that has rested. Without an end it is no exception.
	ACR      policy.ACR `json:"acr,omitempty"`
	ACRUntil time.Time  `json:"acr_until,omitzero"`
}

// takes is what a decision takes at a time; "" for the full measure.
func (r Rule) takes(now time.Time) policy.ACR {
	if now.Before(r.ACRUntil) {
		return r.ACR
	}
	return ""
}

// names reports whether one of the posts may have a say in it; where it is not strict,
// anybody may come to have one.
func (r Rule) names(posts []policy.PostID) bool {
	return !r.Strict || slices.ContainsFunc(r.Steps, func(s Step) bool {
		return slices.ContainsFunc(s.Posts, func(id policy.PostID) bool { return slices.Contains(posts, id) })
	})
}

// A Matter is what is asked for. It never changes.
type Matter struct {
	ID          string
	Kind        Kind
	Subject     string // what is asked for, such as a privilege's id
	Requester   PersonRef
	Beneficiary PersonRef // whom it is for; the zero value: the requester
	// Nobody: it is for no one in particular (a policy).
	Nobody        bool
	Section       string // of whom it is asked for; empty: the beneficiary's
	Zone          policy.ZoneID
	Reason        string
	Detail        map[string]string // what the kind needs to say and do it; no secret
	Rule          Rule
	AskedAt       time.Time
	LapsesAt      time.Time
	PolicyVersion int64
	Articles      []policy.Article
	// RequesterPosts are those the requester held when asking.
	RequesterPosts []policy.PostID
	// BeneficiaryPosts are those that whom it is for holds, where the kind has what the
	// CIO gets decided as what the CIO asks for. Consider alone asks.
	BeneficiaryPosts []policy.PostID
	// Unheard: nobody can have decided it beforehand, for a yes confirms what only
	// whoever looks at it can. Consider alone asks.
	Unheard bool

	state     State
	settledAt time.Time
	spentAt   time.Time
	reminded  int
}

// For is whom the matter is for.
func (m Matter) For() PersonRef {
	if m.Beneficiary.ID == "" {
		return m.Requester
	}
	return m.Beneficiary
}

// State is the matter's at a time: one whose end has come is lapsed, whether or
// not anything ran. The zero Matter is in no state.
func (m Matter) State(now time.Time) State {
	if m.state == Pending && !now.Before(m.LapsesAt) {
		return Lapsed
	}
	return m.state
}

// SettledAt is when it got its outcome; zero before, and when it lapsed unseen.
func (m Matter) SettledAt() time.Time { return m.settledAt }

// Usable reports whether it was approved so lately and not used yet.
func (m Matter) Usable(now time.Time, within time.Duration) bool {
	return m.state == Approved && m.spentAt.IsZero() && now.Before(m.settledAt.Add(within))
}

// concerned are the human beings who may not decide it.
func (m Matter) concerned(who PersonRef) bool {
	return m.Requester.Same(who) || !m.Nobody && m.For().Same(who)
}

// How somebody comes to decide.
type How string

// The ways.
const (
	ByPost     How = "post"       // holding the post
	ByDeputy   How = "deputy"     // standing in for a holder
	ByActing   How = "acting"     // 代決
	ByDuty     How = "duty"       // by the roster; an acting decision
	ByWayUp    How = "way_up"     // from the next step of the tree
	ByStanding How = "standing"   // 専決: decided beforehand
	BySealed   How = "sealed_key" // with the sealed key, at the console
)

// Reviewed reports whether a decision made so is reviewed afterwards (後閲).
func (h How) Reviewed() bool { return h == ByActing || h == ByDuty || h == BySealed }

// A Decision is one person's word on a matter.
type Decision struct {
	ID        string
	Step      int
	By        PersonRef
	Post      policy.PostID
	Also      []policy.PostID // further posts that this word counts for
	How       How
	Through   string // the id of the deputy's entry, the turn or the standing decision
	Yes       bool
	Comment   string
	Confirmed []string // what they have confirmed to have looked at
	At        time.Time
	ReviewDue time.Time // zero: no review is owed
	Review    Review

	reminded int
}

// A Review is a later look at an acting decision.
type Review struct {
	By      PersonRef
	At      time.Time // zero: not yet
	Comment string
	Objects bool // it should not have been decided so
}

// Owed reports whether a review is still owed.
func (d Decision) Owed() bool { return !d.ReviewDue.IsZero() && d.Review.At.IsZero() }

// current is the step that a matter waits at, given the decisions so far, and how
// many words it still lacks; len(Steps) when it waits for none. A decision counts
// at the step it was made for and nowhere else.
func (m Matter) current(made []Decision) int {
	for i, step := range m.Rule.Steps {
		if missing(step, i, made) {
			return i
		}
	}
	return len(m.Rule.Steps)
}

func missing(step Step, i int, made []Decision) bool {
	var counted []PersonRef
	posts := map[policy.PostID]bool{}
	for _, d := range made {
		if d.Step != i || !d.Yes || slices.ContainsFunc(counted, d.By.Same) {
			continue
		}
		counted = append(counted, d.By)
		posts[d.Post] = true
		for _, also := range d.Also {
			posts[also] = true
		}
	}
	if len(counted) < max(1, step.Quorum) {
		return true
	}
	return step.All && slices.ContainsFunc(step.Posts, func(id policy.PostID) bool { return !posts[id] })
}
