// Package desk is where privilege is borrowed and given back, and where permits are
// asked for, renewed and ended: what pages and API have in common before either makes
// HTML or JSON of it.
//
// It turns a cookie into a person, asks for the fresh sign-in that an act needs,
// and gathers from the rooms of authz what a reader is shown of a lease or of a
// matter that waits: who, what, why, until when, and what the reader may do now.
// It holds no rule: whether something may be done is asked of grant, permit and
// approval at every call, and what is shown here grants nothing.
package desk

import (
	"time"

	"sekisho/authn/account"
	"sekisho/authn/signin"
	"sekisho/policy"
	"sekisho/policy/secret"
)

// Who is a person as others are shown them.
type Who struct{ Login, Name, Section string }

// A Privilege is what may be borrowed, as somebody who may ask for it sees it.
type Privilege struct {
	ID            string
	Name          policy.Words
	Gives         []policy.Words // what a lease of it does, one thing each
	Residual      []policy.Words // what its end does not reach
	Usual         time.Duration
	Longest       time.Duration
	Approvers     []policy.PostID
	Quorum        int
	All           bool   // of each post one
	Decided       bool   // by a standing decision: it is approved as soon as it is asked for
	Ticket        string // the pattern of the ticket that is asked for; "" for none
	TwoPerson     bool
	WitnessEvery  time.Duration
	Emergency     bool          // may be taken without approval
	ShortestTime  time.Duration // the longest that it may then be taken for
	WorkRecord    bool
	RecordEnd     time.Duration
	ShowsSecret   bool
	Outlives      bool // goes on when its session ends
	CoolDown      time.Duration
	Refused       Answer          // why the reader cannot ask for it now
	RefusedAtOnce Answer          // nor take it without approval
	StepUp        *account.StepUp // the sign-in that asking takes first; nil: the present one does
}

// A State is how far a lease has come.
type State string

// The states, as contract and API name them.
const (
	Pending   State = "pending"
	Approved  State = "approved"
	Active    State = "active"
	Ended     State = "ended"
	Expired   State = "expired"
	Revoked   State = "revoked"
	Denied    State = "denied"
	Cancelled State = "cancelled"
	Lapsed    State = "lapsed"
)

// States are all of them.
func States() []State {
	return []State{Pending, Approved, Active, Ended, Expired, Revoked, Denied, Cancelled, Lapsed}
}

// An Act is something that may be done to a lease.
type Act string

// The acts.
const (
	Approve     Act = "approve"
	Deny        Act = "deny"
	Cancel      Act = "cancel"
	Activate    Act = "activate"
	Extend      Act = "extend"
	End         Act = "end"
	Revoke      Act = "revoke"
	Witness     Act = "witness"
	Report      Act = "report"
	Countersign Act = "countersign"
	Judge       Act = "judge"
	Renew       Act = "password" // of the ID that was lent
)

// Acts are all of them, in the order in which they are shown.
func Acts() []Act {
	return []Act{Approve, Deny, Activate, Witness, End, Extend, Renew, Report, Countersign, Judge, Cancel, Revoke}
}

// Answer says whether something may be done and, if not, why. The zero Answer
// does not let anybody do anything: it is not the reader's to do.
type Answer struct {
	OK       bool
	Why      policy.Words
	Articles []policy.Article
	StepUp   *account.StepUp // the sign-in that it takes first; nil: the present one does
}

// A Decision is one person's word.
type Decision struct {
	By       Who
	Yes      bool
	At       time.Time
	Comment  string
	Acting   bool // in somebody's place: a holder of the post looks at it afterwards
	Standing bool // nobody's: it was decided beforehand
}

// A Use is an earlier lease of the same privilege to the same person.
type Use struct {
	ID        string
	At        time.Time
	For       time.Duration
	Reason    string
	State     State
	Emergency bool
}

// An Account is the ID that a lease lends. The password is there once: in the
// answer to what made it.
type Account struct {
	Login    string
	Password secret.Text
}

// A Record is what was written of the work (article 49-1).
type Record struct {
	Owed      bool
	Due       time.Time
	Text      string
	WrittenAt time.Time
	By        Who // who confirmed it; the zero Who: nobody yet
	At        time.Time
	Comment   string
}

// A Judgement is the CIO's word on a use without approval (article 80-2).
type Judgement struct {
	By      Who
	At      time.Time
	Comment string
}

// A Lease is privilege that was asked for, with what its reader may do about it.
type Lease struct {
	ID        string
	State     State
	Privilege Privilege
	Requester Who
	Reason    string
	Ticket    string
	Minutes   int

	RequestedAt   time.Time
	LapsesAt      time.Time // while pending
	ApprovedUntil time.Time
	StartedAt     time.Time
	EndsAt        time.Time
	EndedAt       time.Time
	EndedBy       Who
	EndReason     string

	Decisions []Decision
	Missing   int   // yeses
	Asked     []Who // who may decide it now, as far as is known
	Extending bool  // more time was asked for and waits

	Emergency  bool
	Times      int // of this privilege within one incident; 1 for the first
	Judgement  Judgement
	Witness    Who
	WitnessDue time.Time
	Paused     bool
	// Shut: the reader's privileged session is over, and the lease gives nothing at
	// the gate and its applications until they sign in anew as Resume says.
	Shut    bool
	Resume  *account.StepUp
	Record  Record
	Cleanup string // none, pending or confirmed
	Account Account
	Uses    []Use

	Mine bool
	May  map[Act]Answer // what is not in it is not the reader's business

	// Raised is what whoever activated the lease carries from now on, in the answer
	// to that: the handle that they had is refused. nil: the one they have.
	Raised *signin.Step
}

// Live reports whether the lease gives anything at a time. What its end has
// come for is over, whether or not anything ran.
func (l Lease) Live(now time.Time) bool { return l.State == Active && now.Before(l.EndsAt) }

// A Card is a matter that waits for the reader's word, of whatever kind: what
// must be known to say yes or no in a few seconds.
type Card struct {
	ID        string // of the matter
	Kind      string // elevation, extension or another room's
	Lease     string // whose matter it is; "" for those of other rooms
	What      policy.Words
	By        Who
	For       Who // whom it is for, where it is somebody else
	Reason    string
	Ticket    string
	Lasts     time.Duration // how long it would last; 0 where that says nothing
	AskedAt   time.Time
	LapsesAt  time.Time
	Yes       []policy.Words // what a yes does
	Facts     []Fact
	Uses      []Use
	Decisions []Decision
	Missing   int
	As        policy.PostID // the post by which the reader decides
	Acting    bool          // in a holder's place
	Refused   Answer        // why the reader cannot decide it after all; zero: they can
	Articles  []policy.Article
	StepUp    *account.StepUp
	Permit    string         // that it asks for; "" where it is about something else
	Import    string         // of personnel changes that it is about; "" likewise
	Project   string         // that it is about; "" likewise
	Confirms  []Confirmation // what a yes confirms
	Term      policy.Words   // from when until when; empty where Lasts says it
}

// A Fact is one line more of a card.
type Fact struct {
	Label policy.Words
	Value string
	Says  policy.Words // the value, where it is said in words; empty: Value is all
}

// Waiting is what waits for a person, and what they hold.
type Waiting struct {
	Decide      []Card
	Witness     []Lease
	Countersign []Lease
	Judge       []Lease
	Review      int     // acting decisions
	Owed        []Lease // their own records
	Own         []Lease // their own that are asked for, approved or live
}

// Count is how many things wait for the person to act on what is others'.
func (w Waiting) Count() int {
	return len(w.Decide) + len(w.Witness) + len(w.Countersign) + len(w.Judge) + w.Review
}

// A Wish is what somebody asks for.
type Wish struct {
	Privilege string
	Reason    string
	Ticket    string
	Minutes   int // 0: the usual time
	Emergency bool
	Key       string // the request's Idempotency-Key; "" for none
}

// Said is what goes along with an act.
type Said struct {
	Comment string
	Minutes int
	Report  string
}

// A Filter says which leases are listed.
type Filter struct {
	State     State
	Mine      bool
	ToApprove bool
	After     string
	Limit     int
}

// A List is one page of leases, the newest first.
type List struct {
	Leases []Lease
	Next   string
}

// A Finding is privilege that no lease accounts for, or the other way round.
type Finding struct {
	ID        string
	Kind      string // as elevate calls it
	Privilege Privilege
	Account   string // whose it is
	Object    string // the group, or where the ID is
	SeenAt    time.Time
	LastAt    time.Time
	RemovedAt time.Time // we have taken it away
	Hindrance string    // why we could not
	ClosedAt  time.Time
	ClosedBy  string // as elevate calls it
	Residual  []policy.Words
	TakenAt   time.Time // when somebody took it up; zero: nobody has
	TakenBy   Who
	Note      string
	MayTake   bool     // the reader may take it up
	Sealed    []string // systems of which the register has an emergency ID of this name
}

// An Acting is a decision that was made in a holder's place, with the matter that it
// decided.
type Acting struct {
	Card
	Decision  Decision
	Key       string        // of the decision
	Post      policy.PostID // in whose place
	Duty      bool          // by the roster
	Sealed    bool          // with the sealed key
	Due       time.Time
	Reviewer  Who
	ReviewAt  time.Time // zero: not yet
	Comment   string    // of the review
	Objects   bool
	Theirs    bool            // the reader may review it
	NeedsSign *account.StepUp // the sign-in that it takes first
}

// Reviews are the acting decisions that wait for the reader, and, for who sees what
// others do, the last of all.
type Reviews struct {
	Owed []Acting
	Past []Acting
}
