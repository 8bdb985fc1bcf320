package grant

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

// What is served by each entry about a lease, and by some.
var (
	lending   = []policy.Article{"62-6", "62-7", "65"}
	recording = []policy.Article{"49-1", "49-2"}
	together  = []policy.Article{"49-3", "62-7"}
	breaking  = []policy.Article{"62-7", "65", "80-2"}
	apart     = []policy.Article{"16-1", "62-6"}
)

// Bounds of what people write, in characters.
const (
	maxReason  = 500
	maxTicket  = 100
	maxReport  = 10_000
	maxComment = 500
)

// readyFor is how long a borrower who asked to activate waits for the second
// person, before asking anew.
const readyFor = 15 * time.Minute

// applyWithin is how long an activation may take from its first transaction to
// its last. What the directory was given is withdrawn after it.
const applyWithin = 30 * time.Second

// Caps are what a lease may not outlast, as they are known at the moment when its
// end is computed.
type Caps struct {
	Longest  time.Duration // of the privilege, from activation on
	Hours    time.Time     // when the hours of the privilege end; zero: it has none
	Validity time.Time     // when the borrower's own account ends; zero: it does not
	NotAfter time.Time     // what the directory was told at the latest; zero: it was told nothing
}

// lend sets when a lease ends. It is the only function that does: an activation
// begins at now and lasts for d, an extension adds d to what is left, and neither
// passes any cap.
func (l Lease) lend(now time.Time, d time.Duration, c Caps) Lease {
	from := l.endsAt
	if l.StartedAt.IsZero() {
		l.StartedAt, from = now, now
		l.limit = now.Add(c.Longest)
	}
	l.limit = earliest(l.limit, l.StartedAt.Add(c.Longest), c.Hours, c.Validity)
	l.endsAt = earliest(from.Add(d), l.limit, c.NotAfter)
	return l
}

// earliest is the earliest of some times, of which zero ones say nothing.
func earliest(first time.Time, more ...time.Time) time.Time {
	for _, t := range more {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// endOf is when somebody's ID ends by itself: by the directory, or with its projects. Zero:
// it does not.
func endOf(b Borrower) time.Time {
	return sooner(b.Person.Account.ExpiresAt, b.Tied.Until)
}

// sooner is the earlier of two ends, of which a zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return earliest(a, b)
}

// MayBorrow asks whether a privilege is lent to somebody at all: asked when a
// lease is asked for, when it is activated and while it lives.
func MayBorrow(p *policy.Policy, v policy.Privilege, b Borrower, now time.Time) error {
	a := b.Person.Account
	switch {
	case v.ID == "":
		return forbidden(UnknownPrivilege, lending, "そのような特権はありません。", "There is no such privilege.")
	case b.Person.ID == "" || !a.Usable(now):
		return forbidden(AccountEnds, lending, "このIDは現在利用できません。", "This ID cannot be used at present.")
	case b.Person.Kind == directory.KindService || b.Person.Kind == directory.KindShared:
		return forbidden(NotEligible, lending, "人のIDにだけ貸し出します。", "Privilege is lent to people's own IDs alone.")
	}
	if no, ok := b.Tied.Refuses(v.Environment, now); ok {
		return &Refusal{Reason: Reason(no.Reason), Is: Forbidden, Says: no.Says, Articles: no.Articles}
	}
	if !p.MayBorrow(v, b.Person.Login, b.Posts, b.Person.Groups, b.Person.Section) {
		return forbidden(NotEligible, lending, "この特権は、あなたの役割又は所属には貸し出されません。必要な場合は情報システム管理者に相談してください。",
			"This privilege is not lent to your post or section. If you need it, please ask the system administrator.")
	}
	return nil
}

// A Wish is what somebody asks for.
type Wish struct {
	Privilege string
	Reason    string
	Ticket    string
	For       time.Duration // 0: the usual time
	Emergency bool
	// Key makes one of requests that are sent twice; empty: each counts.
	Key string
}

// plain cuts a wish to how it is kept, and refuses what cannot be.
func (w Wish) plain(v policy.Privilege) (Wish, error) {
	var err error
	if w.Reason, err = words("reason", BadReason, w.Reason, maxReason, true); err != nil {
		return w, err
	}
	if w.Ticket, err = words("ticket", BadTicket, w.Ticket, maxTicket, false); err != nil {
		return w, err
	}
	if w.For == 0 {
		w.For = v.Usual
	}
	switch {
	case w.For < time.Minute || w.For%time.Minute != 0:
		return w, invalid("minutes", BadMinutes, lending, "1分以上を、分で入力してください。", "Give whole minutes, one or more.")
	case w.Emergency:
		w.For = min(w.For, v.EmergencyLongest) // the shortest time, without a discussion
	case w.For > v.Longest:
		longest := policy.ShowDuration(v.Longest)
		return w, invalid("minutes", BadMinutes, lending, "この特権は最長 "+longest+" です。", "This privilege is lent for "+longest+" at most.")
	case !v.TicketFits(w.Ticket):
		return w, invalid("ticket", BadTicket, lending, "票の番号を、決められた形で入力してください。", "Give the number of a ticket in the form that is asked for.")
	}
	return w, nil
}

// MayAsk asks whether somebody may ask for a privilege now. theirs are the
// person's own leases: those that are open, those that owe a record, and the
// last of each privilege.
func MayAsk(p *policy.Policy, v policy.Privilege, b Borrower, theirs []Lease, emergency bool, now time.Time) error {
	if err := MayBorrow(p, v, b, now); err != nil {
		return err
	}
	if emergency && !v.Emergency {
		return forbidden(NoEmergency, breaking, "この特権は、承認なしでは使えません。", "This privilege is not to be taken without approval.")
	}
	for _, l := range theirs {
		switch s := l.State(now); {
		case l.Privilege == v.ID && s.Open() && !(emergency && s != Active):
			return conflict(HasOne, lending, "この特権は、もう申請しているか、借りています。", "You have asked for this privilege, or have it, already.")
		case emergency:
			// What is owed, or too soon, does not wait in an emergency: it is told.
		case l.Overdue(now):
			return conflict(RecordDue, recording, "期限の過ぎた作業の記録があります。先に記録を出してください。", "A work record is past its date. Write it before you ask for anything new.")
		case l.Privilege == v.ID && v.CoolDown > 0:
			over, ok := l.Over(now)
			if again := over.Add(v.CoolDown); ok && now.Before(again) {
				r := conflict(CoolingDown, lending, "終わったばかりです。しばらくしてから申請してください。", "The last one has only just ended. Please ask a little later.")
				r.At = again
				return r
			}
		}
	}
	return nil
}

// ask begins a lease that waits to be decided. Who may ask is asked before.
func ask(id string, v policy.Privilege, b Borrower, w Wish, version int64, now time.Time) Lease {
	return Lease{
		ID: id, Privilege: v.ID, By: approval.Ref(b.Person), Reason: w.Reason, Ticket: w.Ticket, Asked: w.For, PolicyVersion: version,
		AskedAt: now, LapsesAt: now.Add(v.AskEnd), TwoPerson: v.TwoPerson, WitnessEvery: v.WitnessEvery, Outlives: v.OutlivesSession,
		Record: Record{Asked: v.WorkRecord, Within: v.RecordEnd}, state: Pending,
	}
}

// takeAtOnce begins a lease that nobody decides. It is approved for as long as its
// own activation takes, and for nothing else.
func takeAtOnce(id string, v policy.Privilege, b Borrower, w Wish, version int64, incident string, times int, now time.Time) Lease {
	l := ask(id, v, b, w, version, now)
	if incident == "" {
		incident = id
	}
	l.Emergency, l.Incident, l.Times = true, incident, times
	l.state, l.ApprovedAt, l.ApprovedUntil = Approved, now, now.Add(applyWithin)
	return l
}

// settle is what the decision of a request makes of it.
func (l Lease) settle(to State, v policy.Privilege, now time.Time) (Lease, error) {
	if l.state != Pending {
		return l, wrongState(l, now)
	}
	switch to {
	case Approved:
		if l.State(now) != Pending {
			return l, wrongState(l, now)
		}
		l.state, l.ApprovedAt, l.ApprovedUntil = Approved, now, now.Add(v.ActivateEnd)
	case Denied, Cancelled, Lapsed:
		l.state, l.EndedAt = to, now
	default:
		return l, wrongState(l, now)
	}
	return l, nil
}

// cancel takes back what is not active yet.
func (l Lease) cancel(by Ref, why string, now time.Time) (Lease, error) {
	if s := l.State(now); s != Pending && s != Approved {
		return l, wrongState(l, now)
	}
	l.state, l.EndedAt, l.EndedBy, l.EndReason = Cancelled, now, by, why
	l.activation = ""
	return l, nil
}

// ready notes that the borrower wants to begin and waits for a second person.
func (l Lease) ready(session string, now time.Time) (Lease, error) {
	if l.State(now) != Approved || !l.TwoPerson {
		return l, wrongState(l, now)
	}
	l.ReadyAt, l.Session = now, session
	return l, nil
}

// Meets reports whether a sign-in is as strong as a privilege asks for. A passkey that
// its maker copies is not where one that cannot be phished is asked for.
func Meets(needed, acr policy.ACR, synced bool) bool {
	return acr.AtLeast(needed) && (needed != policy.PHR || !synced)
}

// begin opens an activation: from here on the directory is asked. What it is
// given may last until what is answered by lasts, at the latest.
func (l Lease) begin(token string, v policy.Privilege, c Caps, now time.Time) (Lease, error) {
	switch {
	case l.State(now) != Approved:
		return l, wrongState(l, now)
	case l.activation != "" && now.Before(l.activating.Add(applyWithin)):
		return l, conflict(StillUnderWay, lending, "いま開始しているところです。", "It is being activated at this moment.")
	}
	trial := l.lend(now.Add(applyWithin), min(l.Asked, l.most(v)), c)
	if !trial.endsAt.After(now.Add(applyWithin)) {
		return l, conflict(OutOfHours, lending, "使える時間が残っていません。", "No time is left in which it could be used.")
	}
	l.activation, l.activating, l.notAfter = token, now, trial.endsAt
	l.Gives = slices.Clone(v.Gives)
	return l, nil
}

// most is the longest that a lease may last under the privilege in force.
func (l Lease) most(v policy.Privilege) time.Duration {
	if l.Emergency {
		return min(v.Longest, v.EmergencyLongest)
	}
	return v.Longest
}

// start makes an approved lease active. Its clock starts here.
func (l Lease) start(token string, v policy.Privilege, c Caps, now time.Time) (Lease, error) {
	if l.activation == "" || l.activation != token || l.state != Approved || !now.Before(l.activating.Add(applyWithin)) {
		return l, wrongState(l, now)
	}
	c.NotAfter = l.notAfter
	l = l.lend(now, min(l.Asked, l.most(v)), c)
	if !l.endsAt.After(now) {
		return l, conflict(OutOfHours, lending, "使える時間が残っていません。", "No time is left in which it could be used.")
	}
	l.state, l.activation = Active, ""
	if l.TwoPerson {
		l.WitnessDue = now.Add(l.WitnessEvery)
	}
	return l, nil
}

// abandon gives up an activation whose directory did not answer, or whose
// gateway died. A lease that was approved by others stays approved.
func (l Lease) abandon(token, why string, now time.Time) (Lease, error) {
	if l.activation == "" || token != "" && l.activation != token || l.state != Approved && l.state != Active {
		return l, wrongState(l, now)
	}
	l.activation = ""
	if l.Emergency && l.state == Approved {
		l.state, l.EndedAt, l.EndReason = Cancelled, now, why
	}
	return l, nil
}

// witnessed notes that a second person is there. One may take another's place.
func (l Lease) witnessed(who Ref, now time.Time) (Lease, error) {
	switch {
	case !l.TwoPerson:
		return l, conflict(WrongState, together, "この特権に立会人は要りません。", "This privilege takes no second person.")
	case same(l.By, who):
		return l, forbidden(OwnLease, together, "自分の作業に立ち会うことはできません。もう一人の方に依頼してください。", "Nobody is their own second person. Please ask somebody else.")
	}
	switch l.State(now) {
	case Active:
		l.Witness, l.WitnessDue = who, now.Add(l.WitnessEvery)
		return l, nil
	case Approved:
		if !l.Waits(now) {
			return l, conflict(WrongState, together, "借りる人がまだ開始していません。", "The borrower has not begun yet.")
		}
		l.Witness = who
		return l, nil
	}
	return l, wrongState(l, now)
}

// resume opens an activation anew for a lease whose pause the directory was told
// of. Its end stays what it was.
func (l Lease) resume(token string, now time.Time) (Lease, error) {
	switch {
	case l.State(now) != Active || !l.suspended:
		return l, wrongState(l, now)
	case l.activation != "" && now.Before(l.activating.Add(applyWithin)):
		return l, conflict(StillUnderWay, together, "いま再開しているところです。", "It is being resumed at this moment.")
	}
	l.activation, l.activating, l.notAfter = token, now, l.endsAt
	return l, nil
}

// resumed ends a pause.
func (l Lease) resumed(token string, witness Ref, now time.Time) (Lease, error) {
	if l.activation == "" || l.activation != token || !now.Before(l.activating.Add(applyWithin)) || l.State(now) != Active {
		return l, wrongState(l, now)
	}
	l.activation, l.suspended = "", false
	return l.witnessed(witness, now)
}

// pause writes down that an unconfirmed lease gives nothing, once.
func (l Lease) pause(now time.Time) (Lease, bool) {
	if !l.Paused(now) || l.suspended {
		return l, false
	}
	l.suspended = true
	return l, true
}

// askMore notes that more time was asked for.
func (l Lease) askMore(matter string, d time.Duration, lapses, now time.Time) (Lease, error) {
	switch {
	case l.State(now) != Active:
		return l, wrongState(l, now)
	case l.Emergency:
		return l, conflict(NoMore, breaking, "緊急の利用は延長できません。必要なら、もう一度使ってください。", "A use without approval is not extended. If need be, take it again.")
	case l.Extending(now):
		return l, conflict(HasOne, lending, "延長はもう申請しています。", "More time has been asked for already.")
	case !l.endsAt.Before(l.limit):
		return l, conflict(NoMore, lending, "これより長くは延長できません。", "It cannot last any longer.")
	}
	l.Extension = Extension{Matter: matter, For: d, LapsesAt: earliest(lapses, l.endsAt)}
	return l, nil
}

// more is what the decision on more time makes of a lease. One that is over stays
// over.
func (l Lease) more(yes bool, c Caps, now time.Time) (Lease, error) {
	if l.Extension.Matter == "" {
		return l, wrongState(l, now)
	}
	d := l.Extension.For
	l.Extension = Extension{}
	if !yes {
		return l, nil
	}
	if l.State(now) != Active {
		return l, wrongState(l, now)
	}
	l = l.lend(now, d, c)
	l.notAfter = l.endsAt
	return l, nil
}

// over ends an active lease: given back (Ended) or taken away (Revoked). What is
// over by itself stays Expired.
func (l Lease) over(to State, by Ref, why string, now time.Time) (Lease, error) {
	if l.State(now) != Active {
		return l, wrongState(l, now)
	}
	l.state, l.EndedAt, l.EndedBy, l.EndReason = to, now, by, why
	return l, nil
}

// tidied writes down what is so already: a lease whose end has come is over.
func (l Lease) tidied(now time.Time) (Lease, bool) {
	is := l.State(now)
	if is == l.state {
		return l, false
	}
	switch is {
	case Expired:
		l.EndedAt = l.endsAt
	case Lapsed:
		l.EndedAt = l.LapsesAt
		if l.state == Approved {
			l.EndedAt = l.ApprovedUntil
		}
	}
	l.state = is
	return l, true
}

// write keeps a work record. It may be written again until somebody has
// countersigned it.
func (l Lease) write(text string, now time.Time) (Lease, error) {
	_, over := l.Over(now)
	switch {
	case l.StartedAt.IsZero() || !over && !l.Emergency:
		return l, wrongState(l, now)
	case !l.Record.At.IsZero():
		return l, conflict(WrongState, recording, "確認の済んだ記録は変えられません。", "A record that was countersigned is not changed.")
	}
	l.Record.Text, l.Record.WrittenAt = text, now
	return l, nil
}

// countersign confirms a record. Nobody confirms their own.
func (l Lease) countersign(by Ref, comment string, now time.Time) (Lease, error) {
	switch {
	case same(l.By, by):
		return l, forbidden(OwnLease, recording, "自分の記録を確認することはできません。", "Nobody countersigns their own record.")
	case l.Record.WrittenAt.IsZero():
		return l, conflict(WrongState, recording, "作業の記録がまだありません。", "No work record has been written yet.")
	case !l.Record.At.IsZero():
		return l, conflict(WrongState, recording, "この記録はもう確認されています。", "This record has been countersigned already.")
	}
	l.Record.Countersigned, l.Record.At, l.Record.Comment = by, now, comment
	return l, nil
}

// judge is the CIO's word on a use without approval. It may come before the
// report, and once.
func (l Lease) judge(by Ref, comment string, now time.Time) (Lease, error) {
	switch {
	case !l.Emergency || l.StartedAt.IsZero():
		return l, conflict(NotJudged, breaking, "緊急の利用ではありません。", "This was not taken without approval.")
	case same(l.By, by):
		return l, forbidden(OwnLease, []policy.Article{"16-1", "80-2"}, "自分の緊急の利用を判定することはできません。もう一人のＣＩＯに依頼してください。", "Nobody judges their own use. Please ask the other CIO.")
	case !l.Judgement.At.IsZero():
		return l, conflict(WrongState, breaking, "もう判定されています。", "It has been judged already.")
	}
	l.Judgement = Judgement{By: by, At: now, Comment: comment}
	return l, nil
}

// same reports whether two are IDs of one human being. An unknown one is
// everybody.
func same(a, b Ref) bool { return a.Same(b) }

// words are what somebody wrote as it is kept: without the space around it, and
// without what could make one line look like another.
func words(field string, why Reason, text string, longest int, needed bool) (string, error) {
	text = strings.TrimSpace(text)
	odd := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || unicode.In(r, unicode.Bidi_Control)
	}
	switch {
	case text == "" && needed:
		return "", invalid(field, why, nil, "入力してください。", "Please fill this in.")
	case utf8.RuneCountInString(text) > longest:
		return "", invalid(field, why, nil, "長すぎます。", "This is too long.")
	case !utf8.ValidString(text), strings.ContainsFunc(text, odd):
		return "", invalid(field, why, nil, "使えない文字があります。", "It holds characters that cannot be used.")
	}
	return text, nil
}
