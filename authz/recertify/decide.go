package recertify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sekisho/authn/session"
	"sekisho/authn/signin"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// MostAtOnce bounds how many lines are decided by one request.
const MostAtOnce = 200

// maxComment bounds what somebody writes, in characters.
const maxComment = 500

// reader is who is behind a cookie, read afresh.
func (b *Book) reader(ctx context.Context, o signin.Origin, cookie string) (approval.Approver, error) {
	if cookie == "" {
		return approval.Approver{}, signin.ErrNone
	}
	by, err := b.Matters.Signed(ctx, o, cookie)
	if err != nil {
		return by, err
	}
	if !by.Usable {
		return by, session.ErrNone
	}
	return by, nil
}

// A Result is what became of lines that somebody decided.
type Result struct {
	Confirmed, Ended, Owed int
	Asked                  int // a second person is asked about them
	// Not are those that were not decided, or had nothing left to end, each with why.
	Not []NotDone
}

// A NotDone is a line that was not decided.
type NotDone struct {
	Line Line
	Why  *Refusal
}

// Decide confirms lines, or ends them, for whoever is behind a cookie and has just signed
// in: each with an entry of its own on the trail, and what ends in a transaction of its
// own. A line that somebody else has decided first, and one that is not theirs to decide,
// is told of and keeps no other waiting. *Refusal where none could be.
func (b *Book) Decide(ctx context.Context, o signin.Origin, cookie, round string, ids []string, end bool, comment string) (Result, error) {
	by, err := b.reader(ctx, o, cookie)
	if err != nil {
		return Result{}, err
	}
	return b.DecideAs(ctx, by, round, ids, end, comment)
}

// DecideAs is Decide for somebody who is known already.
func (b *Book) DecideAs(ctx context.Context, by approval.Approver, round string, ids []string, end bool, comment string) (Result, error) {
	comment = strings.TrimSpace(comment)
	if why := words(comment, end); why != nil {
		return Result{}, why
	}
	if len(ids) == 0 || len(ids) > MostAtOnce {
		why := no(Invalid, "lines", fmt.Sprintf("確認するものを、1件から%d件まで選んでください。", MostAtOnce), fmt.Sprintf("Choose at least one line, and %d at most.", MostAtOnce))
		why.Field = "line"
		return Result{}, why
	}
	r, err := roundOf(ctx, b.DB, round)
	if err != nil {
		return Result{}, err
	}
	if audits(b.Policy(), by.Posts) {
		return Result{}, b.refuse(ctx, by, r, MayDecide(b.Policy(), Line{}, by.Holder, b.Now()))
	}
	if !r.State.takes() {
		return Result{}, overRefusal()
	}
	var out Result
	var decided []Line
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		found, err := lines(ctx, b.DB, `campaign = $1 AND id = $2`, round, id)
		if err != nil {
			return Result{}, err
		}
		if len(found) == 0 {
			return Result{}, ErrNotFound
		}
		l := found[0]
		why := MayDecide(b.Policy(), l, by.Holder, b.Now())
		if why == nil && l.State != Waits {
			why = decidedRefusal(l)
		}
		if why != nil {
			if why.Is == Forbidden {
				if err := b.refuse(ctx, by, r, why); !errors.Is(err, why) {
					return Result{}, err
				}
			}
			out.Not = append(out.Not, NotDone{l, why})
			continue
		}
		decided = append(decided, l)
	}
	if len(decided) == 0 {
		return out, out.Not[0].Why
	}
	if need := by.Elevated(b.Policy(), b.Now()); need != nil {
		return Result{}, need
	}
	if end {
		return b.endEach(ctx, by, r, decided, comment, out)
	}
	return b.confirm(ctx, by, r, decided, comment, out)
}

// confirm confirms lines in one transaction, each with its entry. What somebody else was
// quicker with is left out.
func (b *Book) confirm(ctx context.Context, by approval.Approver, r Round, all []Line, comment string, out Result) (Result, error) {
	before := out
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out = Result{Not: slices.Clone(before.Not)}
		if err := b.open(ctx, tx, by, r); err != nil {
			return err
		}
		for _, seen := range all {
			found, err := lines(ctx, tx, `campaign = $1 AND id = $2`, r.ID, seen.ID)
			if err != nil || len(found) == 0 {
				return errors.Join(err, ErrNotFound)
			}
			l := found[0]
			if l.State != Waits {
				out.Not = append(out.Not, NotDone{l, decidedRefusal(l)})
				continue
			}
			l.State, l.Comment, l.DecidedBy, l.DecidedAt = Confirmed, comment, approval.Ref(by.Person), b.Now().UTC().Truncate(time.Microsecond)
			err = put(ctx, tx, l, time.Time{})
			if errors.Is(err, store.ErrUntouched) {
				out.Not = append(out.Not, NotDone{seen, decidedRefusal(seen)})
				continue
			}
			if err != nil {
				return err
			}
			out.Confirmed++
			if err := b.Trail.Append(ctx, tx, r.about("recertify.confirmed", l, by)); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// endEach ends lines, one after the other. Where they are more than somebody ends alone,
// none of them ends, and a second person is asked about all.
func (b *Book) endEach(ctx context.Context, by approval.Approver, r Round, all []Line, comment string, out Result) (Result, error) {
	s, err := b.soleOf(ctx, r, by)
	if err != nil {
		return out, err
	}
	if !s.may(len(all)) {
		return b.askSecond(ctx, by, r, all, comment, out)
	}
	var more []Line // somebody's other requests were quicker
	for _, l := range all {
		l.Comment = comment
		e, err := b.prepare(ctx, r, l, by)
		if err == nil && slices.Contains(b.Policy().PostsOf(e.person.Groups), policy.CIO) {
			now := l
			now.Apex = true // who has become the CIO since the round began is nobody's below
			if why := MayDecide(b.Policy(), now, by.Holder, b.Now()); why != nil {
				if err := b.refuse(ctx, by, r, why); !errors.Is(err, why) {
					return out, err
				}
				out.Not = append(out.Not, NotDone{l, why})
				continue
			}
		}
		if err == nil {
			e.line.above, err = b.above(ctx, l)
		}
		if err != nil {
			return out, err
		}
		var now Line
		err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
			if err := b.open(ctx, tx, by, r); err != nil {
				return err
			}
			if err := s.holds(ctx, tx); err != nil {
				return err
			}
			var err error
			now, err = b.end(ctx, tx, e)
			if err == nil && now.State == Held {
				return heldRefusal(now.Reason)
			}
			return err
		})
		var why *Refusal
		switch {
		case errors.Is(err, errNotAlone):
			more = append(more, l)
			continue
		case errors.As(err, &why):
			if why.Reason == "over" {
				return out, why
			}
			out.Not = append(out.Not, NotDone{l, why})
			continue
		case errors.Is(err, store.ErrUntouched):
			out.Not = append(out.Not, NotDone{l, decidedRefusal(l)})
			continue
		case err != nil:
			return out, err
		}
		switch now.State {
		case Void:
			out.Not = append(out.Not, NotDone{now, voidRefusal(now)})
		case Owed:
			out.Owed++
		default:
			out.Ended++
		}
		if err := b.at(PointEnded); err != nil {
			return out, err
		}
		if err := b.seen(ctx, e); err != nil {
			return out, err
		}
	}
	if len(more) > 0 {
		return b.askSecond(ctx, by, r, more, comment, out)
	}
	return out, out.nothing()
}

// nothing is why nothing at all was done; nil: something was.
func (r Result) nothing() error {
	if r.Confirmed+r.Ended+r.Owed+r.Asked == 0 && len(r.Not) > 0 {
		return r.Not[0].Why
	}
	return nil
}

// open makes sure, in the caller's transaction, that somebody is signed in still and the
// round takes decisions.
func (b *Book) open(ctx context.Context, tx *store.Tx, by approval.Approver, r Round) error {
	if err := session.StillSignedIn(ctx, tx, by.SessionID, by.Person.ID, b.Now()); err != nil {
		return err
	}
	now, err := roundOf(ctx, tx, r.ID)
	if err != nil {
		return err
	}
	if !now.State.takes() {
		return overRefusal()
	}
	return nil
}

func overRefusal() *Refusal {
	return no(Conflict, "over", "この棚卸しは締め切られています。閉じたIDを使うときは、情報システム管理者に利用再開を依頼してください。",
		"This recertification is closed. If a closed ID is needed, ask the system administrator to open it again.", "62-6")
}

func decidedRefusal(l Line) *Refusal {
	who := l.DecidedBy.Name
	if l.State == ToEnd {
		return no(Conflict, "asked", l.Person.Name+"さんのものは、"+who+"さんが終わらせると決め、二人目の確認を待っています。",
			who+" would end this, and a second person is asked: "+l.Person.Name+".", "62-6", "16-1")
	}
	if who == "" {
		return no(Conflict, "decided", l.Person.Name+"さんのものは、もう決まっています。", "This is decided already: "+l.Person.Name+".", "62-6")
	}
	return no(Conflict, "decided", l.Person.Name+"さんのものは、"+who+"さんがもう決めています。", who+" has decided this already: "+l.Person.Name+".", "62-6")
}

// voidRefusal tells somebody who would end a line that there was nothing left to end, so
// that nobody takes an ID for closed that is not.
func voidRefusal(l Line) *Refusal {
	switch l.Reason {
	case Moved:
		return no(Conflict, Moved, l.Person.Name+"さんは、ほかの室課に移っています。何も終わらせていません。必要なときは、新しい室課の情報セキュリティ管理者に伝えてください。",
			l.Person.Name+" works in another section now; nothing was ended. If it should end, tell that section's security manager.", "62-6")
	case Gone:
		return no(Conflict, Gone, l.Person.Name+"さんは、ディレクトリにいません。終わらせるものはありません。", l.Person.Name+" is not in the directory any more; there is nothing to end.", "62-6")
	}
	return no(Conflict, "is_over", l.Person.Name+"さんのものは、もう終わっています。終わらせるものはありません。", "This is over already, there is nothing to end: "+l.Person.Name+".", "62-6")
}

// holdWords say why an ID is not closed, and what to do instead.
var holdWords = map[lifecycle.Hold]policy.Words{
	lifecycle.Own:         {JA: "関所がディレクトリに接続するためのIDなので、ここでは閉じられません。情報システム管理者に相談してください。", EN: "Sekisho itself binds with this ID; it is not closed here. Please ask the system administrator."},
	lifecycle.Sealed:      {JA: "封印した緊急用のIDなので、ここでは閉じられません。緊急用IDの台帳で扱ってください。", EN: "This is a sealed emergency ID; it is not closed here. See the register of emergency IDs."},
	lifecycle.Guarded:     {JA: "ディレクトリが保護しているIDなので、関所からは閉じられません。ディレクトリの管理者に依頼してください。", EN: "The directory guards this ID, so Sekisho cannot close it. Please ask who runs the directory."},
	lifecycle.LastOfPost:  {JA: "閉じると、決める職の人が足りなくなります。先に後任を任命してください。", EN: "Too few would be left of a post that decides. Please have a successor appointed first."},
	lifecycle.OnLeave:     {JA: "休業中のIDなので、確認がなくても閉じません。", EN: "Its owner is on leave, so it is not closed for want of a confirmation."},
	lifecycle.Exempt:      {JA: "緊急用のIDとして方針で除かれているので、確認がなくても閉じません。", EN: "The policy exempts it as an ID for emergencies, so it is not closed for want of a confirmation."},
	lifecycle.NoOwnerTold: {JA: "責任を負う人に知らせることができないIDなので、確認がなくても閉じません。", EN: "Nobody who answers for it could be told, so it is not closed for want of a confirmation."},
}

// HoldWords say why a line is held; empty words for what is no hold.
func HoldWords(why string) policy.Words {
	if why == Failed {
		return policy.Words{JA: "ディレクトリで閉じることができませんでした。情報システム管理者が確かめてください。", EN: "It could not be closed in the directory. The system administrator should see to it."}
	}
	return holdWords[lifecycle.Hold(why)]
}

func heldRefusal(why string) *Refusal {
	says := HoldWords(why)
	return no(Conflict, why, says.JA, says.EN, "62-5", "62-6")
}

// words refuses what is no comment; an end has a reason.
func words(text string, needed bool) *Refusal {
	odd := func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' || unicode.In(r, unicode.Bidi_Control)
	}
	var why *Refusal
	switch {
	case text == "" && needed:
		why = no(Invalid, "required", "終わらせる理由を書いてください。", "Please say why it ends.")
	case utf8.RuneCountInString(text) > maxComment:
		why = no(Invalid, "too_long", "500文字までで書いてください。", "500 characters at most, please.")
	case !utf8.ValidString(text), strings.ContainsFunc(text, odd):
		why = no(Invalid, "unusable", "使えない文字があります。", "It holds characters that cannot be used.")
	default:
		return nil
	}
	why.Field = "comment"
	return why
}

// refuse enters on the trail that something was refused, once a minute for each person,
// round and reason, and answers it.
func (b *Book) refuse(ctx context.Context, by approval.Approver, r Round, why *Refusal) error {
	e := r.about("recertify.refused", Line{}, by)
	e.Outcome, e.Reason, e.Articles, e.Object = audit.Refused, why.Reason, why.Articles, "recertification/"+r.Campaign
	delete(e.Detail, "line")
	delete(e.Detail, "section")
	if err := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+r.ID+" "+why.Reason, e, b.Now()); err != nil {
		return fmt.Errorf("recording a refusal: %w", err)
	}
	return why
}
