// Package grant lends privilege: nobody holds it, people borrow it for minutes
// (articles 62-6, 62-7, 65).
//
// A lease is asked for, decided by others, activated by its borrower, and over
// at its end, whatever has died in between:
//
//	pending --decided--> approved --activated--> active --given back--> ended
//	pending --decided--> denied     |              | --its end has come--> expired
//	pending --its end----> lapsed   | --its end--> lapsed   | --taken away--> revoked
//	pending, approved --taken back by its borrower--> cancelled
//
// What it promises:
//
//   - When a lease ends is computed in one place (lend), from what was asked for
//     and every cap there is, and answered in one place (Lease.Live). There is no
//     other way to say that a lease lives, so none that it outlives its end:
//     whoever asks at the end or after it is told that it is over, whether or not
//     any job ran.
//   - A lease is active when its row says so, with its entry on the trail in the
//     same transaction, and only after the directory has what it gives.
//   - Who may borrow is asked when a lease is asked for, when it is activated, and
//     as long as it lives.
//
// It knows neither who decides (approval), nor how a directory is changed
// (elevate), nor what an answer looks like (web). The rules below are pure
// functions over plain time; Book keeps the rows.
package grant

import (
	"slices"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
)

// A State is how far a lease has come.
type State string

// The states.
const (
	Pending   State = "pending"
	Approved  State = "approved"
	Active    State = "active"
	Ended     State = "ended"   // given back, or over for a reason of its own
	Expired   State = "expired" // its time is over
	Revoked   State = "revoked" // taken away
	Denied    State = "denied"
	Cancelled State = "cancelled" // taken back before it was active
	Lapsed    State = "lapsed"    // nobody decided, or it was not activated in time
)

// States are all of them.
func States() []State {
	return []State{Pending, Approved, Active, Ended, Expired, Revoked, Denied, Cancelled, Lapsed}
}

// Open reports whether something may still come of a lease in this state.
func (s State) Open() bool { return s == Pending || s == Approved || s == Active }

// A Ref is a person as they were when they did something.
type Ref = approval.PersonRef

// A Borrower is who asks, read afresh, with the posts they hold.
type Borrower = approval.Holder

// A By is somebody who does something about a lease: who they are at this moment,
// how they have signed in, and from where.
type By = approval.Approver

// A Lease is privilege that was asked for, as far as it has come. Its zero value
// is in no state and lives at no time.
type Lease struct {
	ID            string
	Privilege     string
	By            Ref // who borrows
	Zone          policy.ZoneID
	Reason        string
	Ticket        string
	Asked         time.Duration
	PolicyVersion int64 // under which it was asked for
	Matter        string
	Gives         []policy.Gift // what it gave when it was activated

	AskedAt       time.Time
	LapsesAt      time.Time // undecided until then
	ApprovedAt    time.Time
	ApprovedUntil time.Time // not activated until then
	StartedAt     time.Time
	EndedAt       time.Time
	EndedBy       Ref // the zero Ref: nobody, it was time
	EndReason     string

	Emergency bool   // taken without approval, article 80-2
	Incident  string // the first lease of the incident
	Times     int    // how many it is within it, from 1

	TwoPerson    bool
	WitnessEvery time.Duration
	ReadyAt      time.Time // the borrower has asked to activate and waits for a second person
	Witness      Ref
	WitnessDue   time.Time // then it pauses

	Session  string // it ends with this one, unless it outlives it
	Outlives bool

	Extension Extension
	Record    Record
	Judgement Judgement

	// Account is the login of the ID that was lent with it. Its password is
	// nowhere.
	Account string
	// Handle is the one that the session of whoever activated it has from now on, in
	// the answer to that and nowhere else; "" where it has the one it had.
	Handle string

	state  State
	endsAt time.Time // set by lend alone, answered by Live and EndsAt alone
	limit  time.Time // what no extension passes
	// activation names the activation under way, which began at activating and
	// whose effects may not last beyond notAfter.
	activation string
	activating time.Time
	notAfter   time.Time
	version    int64
	wish       string // digest of what was asked for under a key
	suspended  bool   // it was paused, and the directory has been told
	// What people were told, so that they are told once.
	toldEnding, toldOverdue bool
}

// An Extension is more time that was asked for and waits.
type Extension struct {
	Matter   string
	For      time.Duration
	LapsesAt time.Time
}

// A Record is what was written of the work (article 49-1).
type Record struct {
	Asked         bool // the privilege asks for one
	Within        time.Duration
	Text          string
	WrittenAt     time.Time
	Countersigned Ref
	At            time.Time // countersigned
	Comment       string
}

// A Judgement is the CIO's word on a use that nobody approved.
type Judgement struct {
	By      Ref
	At      time.Time
	Comment string
}

// State is the lease's at a time. One whose end has come is over, whether or not
// anything ran.
func (l Lease) State(now time.Time) State {
	switch {
	case l.state == Pending && !now.Before(l.LapsesAt):
		return Lapsed
	case l.state == Approved && !now.Before(l.ApprovedUntil):
		return Lapsed
	case l.state == Active && !now.Before(l.endsAt):
		return Expired
	}
	return l.state
}

// Live is the one answer to whether a lease gives anything at a time, and until
// when it does unless it is taken back before. A lease that is paused gives
// nothing.
func (l Lease) Live(now time.Time) (until time.Time, ok bool) {
	if l.State(now) != Active || l.Paused(now) {
		return time.Time{}, false
	}
	if l.TwoPerson && l.WitnessDue.Before(l.endsAt) {
		return l.WitnessDue, true
	}
	return l.endsAt, true
}

// EndsAt is when the lease ends or ended by itself, to be shown; zero before it
// was activated. Whether it lives is Live's to say.
func (l Lease) EndsAt() time.Time { return l.endsAt }

// Limit is what no extension passes; zero before activation.
func (l Lease) Limit() time.Time { return l.limit }

// Version counts the changes of a lease.
func (l Lease) Version() int64 { return l.version }

// Paused reports whether an active lease gives nothing because the second person
// has not confirmed to be there (article 49-3).
func (l Lease) Paused(now time.Time) bool {
	return l.State(now) == Active && l.TwoPerson && !now.Before(l.WitnessDue)
}

// Over is when the lease ended, if it was ever active and has: by somebody's act
// or by itself.
func (l Lease) Over(now time.Time) (at time.Time, ok bool) {
	switch {
	case l.StartedAt.IsZero():
		return time.Time{}, false
	case !l.EndedAt.IsZero():
		return l.EndedAt, true
	case !l.State(now).Open(): // its time is over, or a restored store has ended it
		return l.endsAt, true
	}
	return time.Time{}, false
}

// Owed reports whether the borrower owes a work record, and when it is due
// (article 49-1). Of a use without approval the report is owed from its first
// moment (article 80-2).
func (l Lease) Owed(now time.Time) (due time.Time, owed bool) {
	if l.StartedAt.IsZero() || !l.Record.WrittenAt.IsZero() || !l.Record.Asked && !l.Emergency {
		return time.Time{}, false
	}
	from, over := l.Over(now)
	switch {
	case over:
	case l.Emergency:
		from = l.StartedAt
	default:
		return time.Time{}, false
	}
	return from.Add(l.Record.Within), true
}

// Overdue reports whether a record is owed past its date.
func (l Lease) Overdue(now time.Time) bool {
	due, owed := l.Owed(now)
	return owed && !now.Before(due)
}

// Activating reports whether an activation is under way: the directory is being
// asked, and the lease is not active yet.
func (l Lease) Activating() bool { return l.activation != "" }

// Waits reports whether the lease waits for a second person to start it.
func (l Lease) Waits(now time.Time) bool {
	return l.State(now) == Approved && l.TwoPerson && !l.ReadyAt.IsZero() && now.Before(l.ReadyAt.Add(readyFor))
}

// Extending reports whether more time was asked for and may still be decided.
func (l Lease) Extending(now time.Time) bool {
	return l.State(now) == Active && l.Extension.Matter != "" && now.Before(l.Extension.LapsesAt)
}

// endingSoon is how long before its end the borrower is told.
const endingSoon = 5 * time.Minute

// due is when a lease is to be looked at again: its state will be another by
// itself, or somebody is to be told of something. The zero time: never.
func (l Lease) due() time.Time {
	first := time.Time{}
	at := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	switch l.state {
	case Pending:
		at(l.LapsesAt)
	case Approved:
		at(l.ApprovedUntil)
		if l.activation != "" {
			at(l.activating.Add(applyWithin))
		}
	case Active:
		at(l.endsAt)
		if !l.toldEnding && l.endsAt.Sub(l.StartedAt) > 2*endingSoon {
			at(l.endsAt.Add(-endingSoon))
		}
		if l.TwoPerson && !l.suspended {
			at(l.WitnessDue)
		}
		if l.activation != "" { // it goes on after a pause
			at(l.activating.Add(applyWithin))
		}
		if l.Extension.Matter != "" {
			at(l.Extension.LapsesAt)
		}
	}
	if !l.toldOverdue && !l.state.Open() {
		if due, owed := l.Owed(l.EndedAt); owed {
			at(due)
		}
	}
	return first
}

// Outside reports whether the lease changes the directory.
func (l Lease) Outside() bool { return slices.ContainsFunc(l.Gives, policy.Gift.Outside) }
