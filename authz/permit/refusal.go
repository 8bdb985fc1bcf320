package permit

import (
	"errors"
	"strings"

	"sekisho/policy"
)

// ErrNotFound means that there is no such permit, or none that concerns whoever asks.
var ErrNotFound = errors.New("no such permit")

// A Reason is why something is not done, for machines and auditors.
type Reason string

// The reasons.
const (
	ReadsOnly    Reason = "reads_only"    // who audits changes nothing
	ByOwner      Reason = "by_owner"      // a contractor's is asked for by the section
	NoPost       Reason = "no_post"       // no post of theirs includes it
	NotTheirs    Reason = "not_theirs"    // another's permit
	WrongState   Reason = "wrong_state"   // it has gone on, or is over
	AccountEnds  Reason = "account_ends"  // the ID can be used no more
	OtherRequest Reason = "other_request" // the key was used for another request
	Decided      Reason = "decided"       // they had a part in its decision
	NotRecorded  Reason = "not_recorded"  // the kind keeps no record of what was done
)

// Refused is a rule that said no to whoever asked or acted.
type Refused struct {
	Reason   Reason
	Says     policy.Words
	Articles []policy.Article
}

func (r *Refused) Error() string { return "refused: " + string(r.Reason) }

// Conflict reports whether it is the permit's state that stands against it, and not
// who asks.
func (r *Refused) Conflict() bool {
	return r.Reason == WrongState || r.Reason == OtherRequest || r.Reason == NotRecorded
}

func refused(why Reason, ja, en string, articles ...policy.Article) *Refused {
	return &Refused{why, policy.Words{JA: ja, EN: en}, articles}
}

// A Fault is a field that cannot be taken, and the rule that it breaks.
type Fault struct {
	Field, Rule string
	Says        policy.Words
}

// Invalid is everything that is wrong with what was entered.
type Invalid struct {
	Faults   []Fault
	Articles []policy.Article
}

func (i *Invalid) Error() string {
	var all []string
	for _, f := range i.Faults {
		all = append(all, f.Field+" ("+f.Rule+")")
	}
	return "cannot be taken: " + strings.Join(all, ", ")
}
