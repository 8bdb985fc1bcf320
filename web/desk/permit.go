package desk

import (
	"time"

	"sekisho/authn/account"
	"sekisho/policy"
)

// A PermitKind is one sort of permit, or of entry in a register, as the policy has
// it and as its reader may use it.
type PermitKind struct {
	ID       string
	Name     policy.Words
	Says     policy.Words // what it is for
	Articles []policy.Article
	Deciders []policy.Words // who decides, each step in turn
	Enforced bool           // a door asks for it; otherwise it is a register alone
	Confirms []Confirmation // what whoever decides confirms
	Done     bool           // that it was done is recorded (article 26-2)
	Longest  time.Duration  // 0: to the end of the fiscal year
	Review   time.Duration  // how often it is looked at again; 0: never
	Fields   []PermitField  // what must be stated beside what every permit states
	Ask      Answer         // whether the reader may ask for one now
	Others   bool           // also for somebody else of their section
	Reads    bool           // the reader sees everybody's
	Brings   bool           // the reader may take a file of them in
	Columns  []string       // of such a file
}

// A PermitCount is how many permits of a kind there are that somebody has to look at.
type PermitCount struct{ Live, Pending, Due, Owed int }

// The types of fields, as the policy calls them.
const (
	FieldText         = "text"
	FieldChoice       = "choice"
	FieldDate         = "date"
	FieldTerminal     = "terminal"
	FieldApplication  = "application"
	FieldApplications = "applications"
	FieldNetworks     = "networks"
	FieldDays         = "days"
	FieldHours        = "hours"
	FieldZone         = "zone"
	FieldPath         = "path"
)

// A PermitField is one thing that a kind asks for.
type PermitField struct {
	ID           string
	Label        policy.Words
	Type         string // of the above
	Must         bool
	OfContractor bool // of a contractor's permit alone
	Choices      []string
}

// A PermitChoice is one of several values that a field may have.
type PermitChoice struct {
	Value string
	Says  policy.Words
}

// A PermitForm is a kind with what its form offers and proposes.
type PermitForm struct {
	PermitKind
	Terminals    []PermitChoice // those that are suggested
	Applications []PermitChoice
	Zones        []PermitChoice
	Until        time.Time       // the end that is proposed
	Last         time.Time       // the last end that may be asked for
	StepUp       *account.StepUp // the sign-in that asking takes first; nil: the present one does
}

// The kinds that pages of their own know.
const (
	RemoteAccess = "remote_access"
	ZoneCrossing = "zone_crossing"
)

// A Confirmation is something that whoever says yes confirms to have looked at
// (article 26no2-3).
type Confirmation struct {
	ID       string
	Says     policy.Words
	Instead  string // the confirmation whose place it takes: an exception
	Articles []policy.Article
}

// A PermitWish is what somebody asks for.
type PermitWish struct {
	Kind   string
	Person string // a login; "" for the reader
	Reason string
	Stated map[string][]string // by field
	From   time.Time           // zero: at once
	Until  time.Time
	Renews string // the permit that this one follows; "" for none
	Key    string // the request's Idempotency-Key; "" for none
}

// A PermitAct is something that may be done to a permit.
type PermitAct string

// The acts.
const (
	PermitCancel PermitAct = "cancel"
	PermitEnd    PermitAct = "end"
	PermitRevoke PermitAct = "revoke"
	PermitRenew  PermitAct = "renew"
	PermitDone   PermitAct = "done"   // it was done: when, who, how (article 26-2)
	PermitReview PermitAct = "review" // it was looked at, and is still needed
)

// PermitActs are all of them, in the order in which they are shown.
func PermitActs() []PermitAct {
	return []PermitAct{PermitRenew, PermitDone, PermitReview, PermitEnd, PermitCancel, PermitRevoke}
}

// PermitSaid is what goes along with an act.
type PermitSaid struct {
	Comment string
	At      time.Time // when it was done (article 26-2)
	By      string    // who did it
}

// A PermitFact is one thing that was stated.
type PermitFact struct{ Label, Value policy.Words }

// A Permit is one that was asked for, with what its reader may do about it.
type Permit struct {
	ID        string
	Kind      string
	Name      policy.Words // of its kind
	Enforced  bool
	State     State
	Person    Who // whose it is
	By        Who // who asked
	Company   string
	Reason    string
	Facts     []PermitFact
	Wish      PermitWish // as it was asked for: what a renewal begins with
	Where     []string   // networks; empty: from anywhere
	Terminal  policy.Words
	Opens     []policy.Words // the applications
	When      policy.Words   // days and hours; empty: at any time
	From      time.Time
	Until     time.Time
	AskedAt   time.Time
	LapsesAt  time.Time
	EndedAt   time.Time
	EndedBy   Who
	EndReason string
	Decisions []Decision
	Missing   int
	Asked     []Who

	UsedAt  time.Time // zero: never
	Uses    []PermitUse
	Soon    bool      // its end is near
	Renewed string    // the permit that follows it; "" for none
	DoneAt  time.Time // zero: not recorded yet
	DoneBy  Who
	DoneHow string
	OwesIt  bool      // that it was done is to be recorded
	Review  time.Time // the next look is due; zero: none

	Mine bool
	May  map[PermitAct]Answer
}

// A PermitUse is a day on which a permit was used; of the last of them, on its page
// alone.
type PermitUse struct {
	First, Last time.Time
	From        string
}

// Live reports whether the permit permits anything at a time.
func (p Permit) Live(now time.Time) bool {
	return p.State == Approved && !now.Before(p.From) && now.Before(p.Until)
}

// A PermitFilter says which permits are listed. Its zero value is the live ones.
type PermitFilter struct {
	Kind        string // "" for every kind
	Which       Which
	Words       string
	Section     string
	Application string
	After       string
	Limit       int
}

// Which of them.
type Which string

// The lists.
const (
	WhichLive    Which = "" // and what is approved for later
	WhichMine    Which = "mine"
	WhichSoon    Which = "soon"
	WhichUnused  Which = "unused"
	WhichPending Which = "pending"
	WhichDue     Which = "due"  // reviews
	WhichOwed    Which = "owed" // that it was done is not recorded
	WhichOver    Which = "over"
	WhichAll     Which = "all"
	WhichRenew   Which = "renew" // what the reader may renew now
)

// A PermitList is one page of permits.
type PermitList struct {
	Permits []Permit
	Next    string
	// How many there are of the kind, whichever are listed.
	Live, Soon, Unused int
}

// A Decided is what became of one of several requests.
type Decided struct {
	ID   string
	Name policy.Words // of what was asked for
	For  Who
	Err  error // nil: it was decided
}

// A BadLine is one line of a file that was not taken.
type BadLine struct {
	Line  int
	Field string
	Says  policy.Words
}

// An Imported is what became of a file: all of it was taken, or nothing.
type Imported struct {
	Added int
	Known int // lines that had been taken in before: nothing was asked for anew
	Bad   []BadLine
}

// A RemoteSession is somebody who is inside from outside now.
type RemoteSession struct {
	ID     string
	Person Who
	Since  time.Time
	SeenAt time.Time
	From   string
	Door   policy.Words // by what they came: the gate's pages, a VPN
	Permit string       // under which; "" where none is known
	Until  time.Time
	Ending bool   // it was ended, and the gear has not said yet that it has gone
	End    Answer // whether the reader may end it
}
