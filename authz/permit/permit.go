// Package permit keeps the permissions that the guideline asks for: who asked for
// what, who said yes, until when, and what became of it (articles 22-4, 24 to 26,
// 26no2, 38, 48, 55, 58 to 60, 63, 80).
//
//	pending --decided--> approved --given back--> ended
//	pending --decided--> denied     |--its end has come--> expired
//	pending --its end----> lapsed   `--taken away--> revoked
//	pending --taken back by who asked--> cancelled
//
// What it promises:
//
//   - A permit lives while its row says so and its time has not come: State and Live
//     are the only answers, asked for at the time of use. Nothing has to run for a
//     permit to be over.
//   - It lives from the transaction of the deciding yes, with its entry on the trail.
//     Its end, whyever, ends what depends on it in the same transaction, and is known
//     at every gateway within a second.
//   - What must be stated, for how long a permit can be given and who decides is the
//     policy's (policy.PermitKind). Who asks does not decide (authz/approval).
//
// It opens nothing: authz.Decide and authz.Enter do, by the facts that Book.Fill
// gathers for every door. It knows neither how somebody signs in nor what an answer
// looks like.
package permit

import (
	"slices"
	"strings"
	"time"

	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/policy"
)

// A State is how far a permit has come.
type State string

// The states.
const (
	Pending   State = "pending"
	Approved  State = "approved"
	Ended     State = "ended"   // given back
	Expired   State = "expired" // its time is over
	Revoked   State = "revoked" // taken away
	Denied    State = "denied"
	Cancelled State = "cancelled"
	Lapsed    State = "lapsed" // nobody decided in time
)

// States are all of them.
func States() []State {
	return []State{Pending, Approved, Ended, Expired, Revoked, Denied, Cancelled, Lapsed}
}

// Open reports whether something may still come of a permit in this state.
func (s State) Open() bool { return s == Pending || s == Approved }

// A Ref is a person as they were when they did something.
type Ref = approval.PersonRef

// A By is somebody who does something about a permit: who they are at this moment,
// how they have signed in, and from where.
type By = approval.Approver

// Stated is what was stated beside person, reason and term: for each field its
// value, or several where the field holds a list.
type Stated map[string][]string

// One is the value of a field that holds one.
func (s Stated) One(field string) string {
	if v := s[field]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// A Permit is a permission that was asked for, as far as it has come. Its zero value
// is in no state and lives at no time.
type Permit struct {
	ID            string
	Kind          string
	Person        Ref // whose it is; of a crossing, who asked
	Requester     Ref
	Contractor    bool // it is a contractor's (article 79-3(13))
	Reason        string
	Stated        Stated
	From          time.Time
	Until         time.Time
	Zone          policy.ZoneID // where it was asked for
	Matter        string
	Renews        string // the id of the permit that it follows
	PolicyVersion int64

	AskedAt   time.Time
	LapsesAt  time.Time
	DecidedAt time.Time
	Deciders  []Ref    // who had their say
	Confirmed []string // what whoever said yes has confirmed
	EndedAt   time.Time
	EndedBy   Ref // the zero Ref: nobody, it was time
	EndReason string

	UsedAt     time.Time // last; zero: never
	UsedFrom   string
	ReviewedAt time.Time // last
	ReviewedBy Ref
	Done       Done

	state     State
	version   int64
	wish      string
	enrolled  string          // what administrators have enrolled its terminal as; "": they have not
	posts     []policy.PostID // whose it is holds them, as it is asked for; not stored
	toldRenew bool
	toldDue   time.Time // the review that was told of
}

// Done is what was done under a permit (article 26-2).
type Done struct {
	At     time.Time `json:"at"` // when it was done
	By     string    `json:"by"` // who did it
	What   string    `json:"what"`
	Writer Ref       `json:"writer"`
	Wrote  time.Time `json:"wrote"`
}

// State is the permit's at a time. One whose end has come is over, whether or not
// anything ran.
func (m Permit) State(now time.Time) State {
	switch {
	case m.state == Pending && (!now.Before(m.LapsesAt) || !now.Before(m.Until)):
		return Lapsed
	case m.state == Approved && !now.Before(m.Until):
		return Expired
	}
	return m.state
}

// Live reports whether the permit is in force at a time.
func (m Permit) Live(now time.Time) bool { return m.State(now) == Approved && !now.Before(m.From) }

// Version counts the changes of a permit.
func (m Permit) Version() int64 { return m.version }

// EndsAt is when it ends or ended; zero where it never was in force.
func (m Permit) EndsAt() time.Time {
	switch {
	case !m.EndedAt.IsZero():
		return m.EndedAt
	case m.DecidedAt.IsZero():
		return time.Time{}
	}
	return m.Until
}

// Hours are when it may be used.
func (m Permit) Hours() []policy.Hours {
	days, hours := m.Stated["days"], m.Stated["hours"]
	if len(hours) == 0 {
		if len(days) == 0 {
			return nil
		}
		hours = []string{"00:00-24:00"}
	}
	out := make([]policy.Hours, 0, len(hours))
	for _, text := range hours {
		h, ok := policy.ParseHours(text, days)
		if !ok {
			h = policy.Hours{Days: []string{"never"}, From: "00:00", Until: "00:01"} // what cannot be read opens nothing
		}
		out = append(out, h)
	}
	return out
}

// ReviewDue is when the permit is to be looked at; zero: not.
func (m Permit) ReviewDue(k policy.PermitKind, now time.Time) time.Time {
	if k.ReviewDays <= 0 || m.State(now) != Approved {
		return time.Time{}
	}
	if due := m.looked().AddDate(0, 0, k.ReviewDays); due.Before(m.Until) {
		return due
	}
	return time.Time{}
}

// Owes reports whether it is still to be written down that something was done under it
// (article 26-2).
func (m Permit) Owes(k policy.PermitKind, now time.Time) bool {
	state := m.State(now)
	return k.Done && m.Done.Wrote.IsZero() && !m.DecidedAt.IsZero() && (state == Approved || state == Expired || state == Ended)
}

// looked is when it was last decided or reviewed; zero: not yet.
func (m Permit) looked() time.Time {
	if m.ReviewedAt.After(m.DecidedAt) {
		return m.ReviewedAt
	}
	return m.DecidedAt
}

// words are what somebody types to find it, in small letters.
func (m Permit) words() string {
	return strings.ToLower(strings.Join([]string{m.Person.Name, m.Person.Login, m.Requester.Name, m.Requester.Login, m.Stated.One("company"), m.Stated.One("subcontractor"), m.Reason}, "\n"))
}

// opens are the applications that it names, each between blanks.
func (m Permit) opens() string {
	return " " + strings.Join(slices.Concat(m.Stated["applications"], m.Stated["application"]), " ") + " "
}

// renewAt is when its holder is told that it will end; zero: not.
func (m Permit) renewAt(k policy.PermitKind) time.Time {
	if k.RenewDays <= 0 {
		return time.Time{}
	}
	at := m.Until.AddDate(0, 0, -k.RenewDays)
	if at.Before(m.From) { // too short to be told of
		return time.Time{}
	}
	return at
}

// due is when a permit is to be looked at again: its state will be another by
// itself, or somebody is to be told of something. The zero time: never.
func (m Permit) due(k policy.PermitKind) time.Time {
	var first time.Time
	at := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	switch m.state {
	case Pending:
		at(m.Until) // the matter itself lapses
	case Approved:
		at(m.Until)
		if !m.toldRenew {
			at(m.renewAt(k))
		}
		if review := m.ReviewDue(k, m.DecidedAt); !review.IsZero() && !review.Equal(m.toldDue) {
			at(review)
		}
	}
	return first
}

// Fact is what the permit says to who decides; ok is false for one that opens
// nothing.
func (m Permit) Fact() (f authz.Permit, ok bool) {
	f = authz.Permit{ID: m.ID, Since: m.From, Until: m.Until}
	switch m.Kind {
	case policy.PermitRemote:
		f.Kind, f.Person, f.Applications = authz.RemoteAccess, m.Person.ID, m.Stated["applications"]
		f.Terminal, f.Enrolled, f.Hours = m.Stated.One("terminal"), m.enrolled, m.Hours()
		for _, text := range m.Stated["networks"] {
			n, ok := network(text)
			if !ok {
				return authz.Permit{}, false
			}
			f.Networks = append(f.Networks, n)
		}
	case policy.PermitCrossing:
		f.Kind, f.Applications = authz.ZoneCrossing, []string{m.Stated.One("application")}
		f.From, f.Path = policy.ZoneID(m.Stated.One("from_zone")), m.Stated.One("path")
	case policy.PermitPrivateTerminal, policy.PermitLentTerminal:
		f.Kind, f.Person, f.Terminal = authz.PermitKind(m.Kind), m.Person.ID, m.Stated.One("terminal")
	default:
		return authz.Permit{}, false
	}
	return f, true
}

// concerns reports whether somebody is the permit's own: whose it is, or who asked.
func (m Permit) concerns(who Ref) bool {
	return m.Person.ID == who.ID || m.Requester.ID == who.ID
}

// enforced reports whether a kind opens something.
func enforced(kind string) bool {
	return slices.Contains([]string{policy.PermitRemote, policy.PermitCrossing, policy.PermitLentTerminal, policy.PermitPrivateTerminal}, kind)
}
