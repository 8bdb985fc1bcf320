package grant

import (
	"errors"
	"time"

	"sekisho/policy"
)

// ErrNotFound means that there is no such lease, or none that concerns whoever
// asks.
var ErrNotFound = errors.New("no such lease")

// A Reason is why something is not done, for machines and auditors.
type Reason string

// The reasons.
const (
	UnknownPrivilege Reason = "unknown_privilege"
	NotEligible      Reason = "not_eligible"     // the privilege is not lent to them
	EligibilityEnds  Reason = "eligibility_ends" // a recertification has decided so
	NotTheirs        Reason = "not_theirs"       // another's lease
	OwnLease         Reason = "own_lease"        // nobody does this about their own
	NoPost           Reason = "no_post"          // no post of theirs includes it
	WrongState       Reason = "wrong_state"      // the lease has gone on, or is over
	HasOne           Reason = "has_one"          // one at a time
	CoolingDown      Reason = "cooling_down"     // too soon after the last
	RecordDue        Reason = "record_due"       // a work record is owed past its date
	OutOfHours       Reason = "out_of_hours"     //
	NoEmergency      Reason = "no_emergency"     // not to be taken without approval
	NoMore           Reason = "no_more"          // its longest time is used up
	AccountEnds      Reason = "account_ends"     // the person's own validity is over
	NeedsWitness     Reason = "needs_witness"    // a second person starts it
	BadMinutes       Reason = "minutes"          // field
	BadReason        Reason = "reason"           // field
	BadTicket        Reason = "ticket"           // field
	BadReport        Reason = "report"           // field
	OtherRequest     Reason = "other_request"    // the key was used for another request
	StillUnderWay    Reason = "under_way"        // an activation is under way
	NotJudged        Reason = "not_to_judge"     // nobody took it without approval
	SessionOver      Reason = "session_over"     // whoever acts has been signed out
	DirectoryAway    Reason = "directory_away"   // nothing was lent
	NoAccount        Reason = "no_account"       // no ID is lent with it, or not any more
	Elsewhere        Reason = "elsewhere"        // it is used in another session
)

// What a refusal is to whoever hears it.
const (
	Forbidden = "forbidden" // not theirs to do
	Conflict  = "conflict"  // not now
	Invalid   = "invalid"   // something they entered: Field
	Away      = "away"      // something that it needs cannot be reached
)

// A Refusal says why something about a lease is not done, in words for whoever
// asked.
type Refusal struct {
	Reason   Reason
	Is       string // Forbidden, Conflict, Invalid or Away
	Field    string // of Invalid
	Says     policy.Words
	Articles []policy.Article
	At       time.Time // when it may be tried again; zero: that does not help
	Err      error     // beneath it, for the log
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return "not lent: " + string(r.Reason) + ": " + r.Err.Error()
	}
	return "not lent: " + string(r.Reason)
}

func (r *Refusal) Unwrap() error { return r.Err }

func forbidden(why Reason, articles []policy.Article, ja, en string) *Refusal {
	return &Refusal{Reason: why, Is: Forbidden, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

func conflict(why Reason, articles []policy.Article, ja, en string) *Refusal {
	return &Refusal{Reason: why, Is: Conflict, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

func invalid(field string, why Reason, articles []policy.Article, ja, en string) *Refusal {
	return &Refusal{Reason: why, Is: Invalid, Field: field, Says: policy.Words{JA: ja, EN: en}, Articles: articles}
}

// wrongState is the answer to an act that comes too early, or too late.
func wrongState(l Lease, now time.Time) *Refusal {
	says := map[State]policy.Words{
		Pending:   {JA: "この申請はまだ承認されていません。", EN: "This request is still waiting for approval."},
		Approved:  {JA: "この貸出しはまだ始まっていません。", EN: "This lease has not been activated."},
		Active:    {JA: "この貸出しはもう始まっています。", EN: "This lease is active already."},
		Ended:     {JA: "この貸出しは返されました。", EN: "This lease has been given back."},
		Expired:   {JA: "この貸出しは時間が終わりました。", EN: "This lease's time is over."},
		Revoked:   {JA: "この貸出しは取り消されました。", EN: "This lease has been revoked."},
		Denied:    {JA: "この申請は承認されませんでした。", EN: "This request was denied."},
		Cancelled: {JA: "この申請は取り下げられました。", EN: "This request was cancelled."},
		Lapsed:    {JA: "この申請は期限が過ぎました。もう一度申請してください。", EN: "This request has lapsed. Please ask again."},
	}[l.State(now)]
	return conflict(WrongState, lending, says.JA, says.EN)
}
