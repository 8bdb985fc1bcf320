// Package sealed is the register of emergency IDs that lie in envelopes, for when
// Sekisho itself is down (article 80-2).
//
//	registered, sealed ──► confirmed by a second person ──► tested now and then
//	        ▲                                                      │ opened
//	        └── sealed anew, reported, reconciled ◄────────────────┘
//
// It holds no secret and gives no power: an entry opens no envelope and accounts for
// nothing that is found in the directory, so it is written by one person. What a
// reader trusts an entry for, that the envelope is closed and where it says, is
// confirmed by a second human being; and what was done with an opened one is
// compared with its report by somebody who did not open it (article 16-1).
//
// It refuses to know the passwords, the systems, and how an ID is found in the
// directory: elevate compares, and the desk names what the register knows.
package sealed

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
)

// A Ref is a person as they were.
type Ref = approval.PersonRef

// An Act is something that is done about an envelope, and entered.
type Act string

// The acts.
const (
	Register  Act = "register"
	Confirm   Act = "confirm"   // a second person has seen it closed and in its place
	Test      Act = "test"      // it was tried, or found to be whole
	Open      Act = "open"      // it was opened
	Report    Act = "report"    // what was done with it
	Seal      Act = "seal"      // a new password was set and sealed
	Reconcile Act = "reconcile" // the report was compared with what the system logged
	Move      Act = "move"      // it lies elsewhere now
	Withdraw  Act = "withdraw"  // the ID is no more
)

// Acts are those that may be done to an envelope there is, in the order in which
// they are shown.
func Acts() []Act { return []Act{Confirm, Test, Open, Report, Seal, Reconcile, Move, Withdraw} }

// An Opening is that an envelope was opened.
type Opening struct {
	At     time.Time `json:"at"`
	By     Ref       `json:"by"` // who opened it
	Writer Ref       `json:"writer"`
	Reason string    `json:"reason"`
}

// A Deed is that somebody did something, and what they said of it.
type Deed struct {
	At   time.Time `json:"at"`
	By   Ref       `json:"by"`
	Note string    `json:"note,omitempty"`
}

// Done reports whether it was done at all.
func (d Deed) Done() bool { return !d.At.IsZero() }

// An Envelope is an emergency ID that is sealed. Its zero value is none.
type Envelope struct {
	ID      string `json:"id"`
	System  string `json:"system"`  // what it opens
	Account string `json:"account"` // its name there
	Place   string `json:"place"`   // where the envelope lies
	Note    string `json:"note,omitempty"`

	Registered Deed      `json:"registered"`
	Sealed     Deed      `json:"sealed"`    // the last time a password was set and sealed
	Placed     Deed      `json:"placed"`    // the last time it was sealed or moved: what is to be confirmed
	Confirmed  Deed      `json:"confirmed"` // since it was placed
	Tested     Deed      `json:"tested"`    // the last time that it was found good
	Failed     Deed      `json:"failed"`    // it was found bad since it was sealed
	Openings   []Opening `json:"openings,omitempty"`
	ReportDue  time.Time `json:"report_due"`
	Reported   Deed      `json:"reported"`   // since the last opening
	Reconciled Deed      `json:"reconciled"` // since the last opening
	Withdrawn  Deed      `json:"withdrawn"`

	version int64
}

// Opened is the last opening; the zero Opening for none.
func (e Envelope) Opened() Opening {
	if len(e.Openings) == 0 {
		return Opening{}
	}
	return e.Openings[len(e.Openings)-1]
}

// IsOpen reports whether it was opened and not sealed since.
func (e Envelope) IsOpen() bool {
	o := e.Opened()
	return !o.At.IsZero() && !e.Sealed.At.After(o.At)
}

// Owes reports whether something is owed since it was opened.
func (e Envelope) Owes() bool {
	return len(e.Openings) > 0 && (e.IsOpen() || !e.Reported.Done() || !e.Reconciled.Done())
}

// A Debt is something that is owed about an envelope.
type Debt string

// The debts.
const (
	OwesConfirm   Debt = "confirm"
	OwesTest      Debt = "test"
	OwesRotation  Debt = "rotation"
	OwesReport    Debt = "report"
	OwesSeal      Debt = "seal"
	OwesReconcile Debt = "reconcile"
)

// An Owed is a debt, and until when it is to be paid.
type Owed struct {
	What Debt
	Due  time.Time
}

// Overdue reports whether its date has passed.
func (o Owed) Overdue(now time.Time) bool { return !now.Before(o.Due) }

// confirmWithin is how soon a second person confirms what was placed.
const confirmWithin = 24 * time.Hour

const day = 24 * time.Hour

// TestDue is when it is to be tested again.
func (e Envelope) TestDue(r policy.SealedRules) time.Time {
	last := e.Registered.At
	if e.Tested.At.After(last) {
		last = e.Tested.At
	}
	return last.Add(time.Duration(r.TestDays) * day)
}

// RotationDue is when its password is to be changed again.
func (e Envelope) RotationDue(r policy.SealedRules) time.Time {
	return e.Sealed.At.Add(time.Duration(r.RotateDays) * day)
}

// Debts are what is owed about it now, the most urgent first. What is due later is
// none.
func (e Envelope) Debts(r policy.SealedRules, now time.Time) []Owed {
	if e.Withdrawn.Done() || e.ID == "" {
		return nil
	}
	var out []Owed
	if len(e.Openings) > 0 {
		if !e.Reported.Done() {
			out = append(out, Owed{OwesReport, e.ReportDue})
		}
		if e.IsOpen() {
			out = append(out, Owed{OwesSeal, e.ReportDue})
		}
		if !e.Reconciled.Done() {
			out = append(out, Owed{OwesReconcile, e.ReportDue})
		}
	}
	if !e.IsOpen() {
		if !e.Confirmed.Done() {
			out = append(out, Owed{OwesConfirm, e.Placed.At.Add(confirmWithin)})
		}
		if e.Failed.Done() {
			out = append(out, Owed{OwesSeal, e.Failed.At})
		} else if due := e.TestDue(r); !now.Before(due) {
			out = append(out, Owed{OwesTest, due})
		}
		if due := e.RotationDue(r); !now.Before(due) {
			out = append(out, Owed{OwesRotation, due})
		}
	}
	slices.SortStableFunc(out, func(a, b Owed) int { return a.Due.Compare(b.Due) })
	return out
}

// Tally counts the envelopes that are open, and those of which something is owed past
// its date.
func Tally(all []Envelope, r policy.SealedRules, now time.Time) (open, overdue int) {
	for _, e := range all {
		if !e.Withdrawn.Done() && e.IsOpen() {
			open++
		}
		if slices.ContainsFunc(e.Debts(r, now), func(o Owed) bool { return o.Overdue(now) }) {
			overdue++
		}
	}
	return open, overdue
}

// A Refusal says why something cannot be done or entered.
type Refusal struct {
	Reason   string // for machines and auditors
	Field    string // "" where it is not about something that was entered
	Conflict bool   // it does not fit the state
	Says     policy.Words
	Articles []policy.Article
}

func (r *Refusal) Error() string { return "emergency ID: " + r.Reason }

// articles are those that every act of this room serves.
var articles = []policy.Article{"62-6", "80-2"}

func no(reason, ja, en string, more ...policy.Article) *Refusal {
	return &Refusal{Reason: reason, Says: policy.Words{JA: ja, EN: en}, Articles: append(slices.Clone(more), articles...)}
}

func state(reason, ja, en string) *Refusal {
	r := no(reason, ja, en)
	r.Conflict = true
	return r
}

func bad(field, reason, ja, en string) *Refusal {
	r := no(reason, ja, en)
	r.Field = field
	return r
}

// MaySee says whether these posts read the register.
func MaySee(p *policy.Policy, posts []policy.PostID) *Refusal {
	for _, id := range posts {
		if post, ok := p.Post(id); ok && (post.Approves || post.Administers || post.Audits) || id == policy.CSIRT || id == policy.CIO {
			return nil
		}
	}
	return no("no_post", "緊急用IDの台帳は、あなたの役割では見られません。", "Your post does not include the register of emergency IDs.")
}

// MayWrite says whether these posts enter something: those who administer or
// approve, and the CSIRT. Who audits reads.
func MayWrite(p *policy.Policy, posts []policy.PostID) *Refusal {
	if why := MaySee(p, posts); why != nil {
		return why
	}
	for _, id := range posts {
		if post, ok := p.Post(id); ok && post.Audits {
			return no("reads_only", "監査の役割を持つ方は、閲覧だけができます。", "Whoever audits reads and changes nothing.", "16-2")
		}
	}
	return nil
}

// Said is what is entered with an act.
type Said struct {
	Note   string
	Place  string    // of Seal and Move; empty: where it was
	Failed bool      // of Test
	By     Ref       // of Open: who opened it
	At     time.Time // of Open: when; zero: now
}

// A Draft is what is registered.
type Draft struct{ System, Account, Place, Note string }

// The longest texts, in characters.
const (
	maxName = 100
	maxNote = 1000
	MaxText = 4000 // of a report
)

// Begin is an envelope that is registered: it was sealed by whoever registers it.
func Begin(id string, n Draft, by Ref, now time.Time) (Envelope, error) {
	n.System, n.Account, n.Place, n.Note = strings.TrimSpace(n.System), strings.TrimSpace(n.Account), strings.TrimSpace(n.Place), strings.TrimSpace(n.Note)
	for _, f := range []struct {
		field, value string
		most         int
		must, line   bool
	}{
		{"system", n.System, maxName, true, true}, {"account", n.Account, maxName, true, true}, {"place", n.Place, maxName, true, true}, {"note", n.Note, maxNote, false, false},
	} {
		if why := text(f.field, f.value, f.most, f.must, f.line); why != nil {
			return Envelope{}, why
		}
	}
	d := Deed{At: now, By: by}
	return Envelope{ID: id, System: n.System, Account: n.Account, Place: n.Place, Note: n.Note, Registered: d, Sealed: d, Placed: d}, nil
}

func text(field, value string, most int, must, line bool) *Refusal {
	odd := func(r rune) bool {
		return unicode.IsControl(r) && (line || r != '\n' && r != '\t' && r != '\r') || unicode.In(r, unicode.Bidi_Control)
	}
	switch {
	case value == "" && must:
		return bad(field, "required", "入力してください。", "Please fill this in.")
	case utf8.RuneCountInString(value) > most:
		return bad(field, "too_long", "長すぎます。", "This is too long.")
	case !utf8.ValidString(value), strings.ContainsFunc(value, odd):
		return bad(field, "unusable", "使えない文字があります。", "It holds characters that cannot be used.")
	}
	return nil
}

// May says whether an act fits the envelope as it is, and whoever does it; nil: it
// does.
func (e Envelope) May(a Act, by Ref) *Refusal {
	if e.Withdrawn.Done() {
		return state("withdrawn", "この緊急用IDは、台帳から外されています。", "This emergency ID was taken off the register.")
	}
	switch a {
	case Confirm:
		switch {
		case e.IsOpen():
			return state("open", "開封されています。先に、封印し直してください。", "It is open: seal it anew first.")
		case e.Confirmed.Done():
			return state("confirmed", "確認は済んでいます。", "It is confirmed already.")
		case e.Placed.By.Same(by):
			return no("oneself", "封印した本人や置いた本人は確認できません。ほかの人が現物を見て確認します。", "Whoever sealed or placed it does not confirm it: somebody else looks at it.", "16-1")
		}
	case Test:
		if e.IsOpen() {
			return state("open", "開封されています。先に、封印し直してください。", "It is open: seal it anew first.")
		}
	case Open:
		if e.IsOpen() {
			return state("open", "すでに開封されています。", "It is open already.")
		}
	case Report:
		switch {
		case len(e.Openings) == 0:
			return state("closed", "開封されていません。", "It was not opened.")
		case e.Reported.Done():
			return state("reported", "報告は済んでいます。", "It is reported already.")
		}
	case Reconcile:
		switch {
		case len(e.Openings) == 0 || !e.Reported.Done():
			return state("unreported", "先に、何をしたかの報告が要ります。", "The report of what was done comes first.")
		case e.Reconciled.Done():
			return state("reconciled", "突き合わせは済んでいます。", "It is reconciled already.")
		case slices.ContainsFunc(e.Openings, func(o Opening) bool { return o.By.Same(by) }), e.Reported.By.Same(by):
			return no("oneself", "開封した本人や報告した本人は突き合わせられません。ほかの人が、システムの記録と比べます。", "Whoever opened it or reported does not reconcile it: somebody else compares it with the system's logs.", "16-1")
		}
	case Seal, Move:
		if a == Move && e.IsOpen() {
			return state("open", "開封されています。先に、封印し直してください。", "It is open: seal it anew first.")
		}
	case Withdraw:
		if e.Owes() {
			return state("owes", "開封の後の手続が残っています。", "Something is still owed since it was opened.")
		}
	default:
		return state("unknown", "そのような操作はありません。", "There is no such act.")
	}
	return nil
}

// After is the envelope when an act was done to it.
func (e Envelope) After(a Act, by Ref, s Said, r policy.SealedRules, now time.Time) (Envelope, error) {
	if why := e.May(a, by); why != nil {
		return e, why
	}
	s.Note, s.Place = strings.TrimSpace(s.Note), strings.TrimSpace(s.Place)
	most, must := maxNote, a == Test || a == Open || a == Report || a == Reconcile || a == Withdraw
	if a == Report {
		most = MaxText
	}
	if why := text("note", s.Note, most, must, false); why != nil {
		return e, why
	}
	if why := text("place", s.Place, maxName, a == Move, true); why != nil {
		return e, why
	}
	d := Deed{At: now, By: by, Note: s.Note}
	switch a {
	case Confirm:
		e.Confirmed = d
	case Test:
		if s.Failed {
			e.Failed = d
		} else {
			e.Tested, e.Failed = d, Deed{}
		}
	case Open:
		if s.At.IsZero() {
			s.At = now
		}
		if s.At.After(now) || s.At.Before(e.Sealed.At) {
			return e, bad("at", "bounds", "封印した時刻から今までの間で入力してください。", "Give a time between its sealing and now.")
		}
		if s.By.ID == "" {
			s.By = by
		}
		if !e.Owes() {
			e.Openings = nil // of another case, which is over
		}
		e.Openings = append(slices.Clone(e.Openings), Opening{At: s.At, By: s.By, Writer: by, Reason: s.Note})
		e.ReportDue, e.Reported, e.Reconciled = now.Add(r.ReportWithin), Deed{}, Deed{}
	case Report:
		e.Reported = d
	case Seal:
		e.Sealed, e.Placed, e.Confirmed, e.Failed = d, d, Deed{}, Deed{}
		if s.Place != "" {
			e.Place = s.Place
		}
	case Reconcile:
		e.Reconciled = d
	case Move:
		e.Place, e.Placed, e.Confirmed = s.Place, d, Deed{}
	case Withdraw:
		e.Withdrawn = d
	}
	return e, nil
}

// name tells two emergency IDs apart, whatever way they are spelt.
func (e Envelope) name() string {
	return directory.Canonical(e.System) + "\n" + directory.Canonical(e.Account)
}
