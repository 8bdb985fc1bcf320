package recertify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authz/approval"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Alone reports whether somebody who has ended so many lines of a round by themselves may
// end more of them so: what whoever reviews can do to a whole section by mistake, or with
// a session that is not theirs, is bounded. Beyond it a second person is asked.
func Alone(ended, more, most int) bool { return ended+more <= most }

// errNotAlone: beyond what somebody ends alone.
var errNotAlone = errors.New("a second person is asked")

// A sole is what one human being ends alone of a round, whichever of their IDs they use.
type sole struct {
	round       string
	ids         []directory.PersonID
	ended, most int
}

func (s sole) may(more int) bool { return Alone(s.ended, more, s.most) }

// soleOf reads what somebody has ended of a round already.
func (b *Book) soleOf(ctx context.Context, r Round, by approval.Approver) (sole, error) {
	s, me := sole{round: r.ID, ids: []directory.PersonID{by.Person.ID}, most: b.Policy().Recertification.EndsAlone}, approval.Ref(by.Person)
	// Of each who has decided something, one line says who they are.
	known, err := lines(ctx, b.DB, `campaign = $1 AND id IN (SELECT MIN(id) FROM recertify_line WHERE campaign = $1 AND decided_by <> '' GROUP BY decided_by)`, r.ID)
	if err != nil {
		return s, err
	}
	for _, l := range known {
		if id := l.DecidedBy.ID; !slices.Contains(s.ids, id) && l.DecidedBy.Same(me) {
			s.ids = append(s.ids, id)
		}
	}
	s.ended, err = s.count(ctx, b.DB)
	return s, err
}

// count is how many lines they have ended alone. What an administrator is still to end, or
// the directory to do, counts; what a second person has agreed to does not.
func (s sole) count(ctx context.Context, in store.Reader) (n int, err error) {
	args, marks := []any{s.round}, make([]string, len(s.ids))
	for i, id := range s.ids {
		args = append(args, string(id))
		marks[i] = "$" + strconv.Itoa(len(args))
	}
	err = in.QueryRow(ctx, `
		SELECT COUNT(*) FROM recertify_line
		WHERE  campaign = $1 AND decided_by IN (`+strings.Join(marks, ", ")+`) AND matter = '' AND state IN ('ending', 'ended', 'owed')`, args...).Scan(&n)
	return n, err
}

// holds makes sure, in the transaction that ends one line more, that they end it alone
// still: of several requests at once the database lets so many through.
func (s sole) holds(ctx context.Context, tx *store.Tx) error {
	n, err := s.count(ctx, tx)
	if err == nil && !Alone(n, 1, s.most) {
		err = errNotAlone
	}
	return err
}

// askSecond marks lines that somebody would end, and asks a second person, in one
// transaction. Nothing has ended until they say yes. What is about the CIO is asked of the
// officers, for nobody else stands above it.
func (b *Book) askSecond(ctx context.Context, by approval.Approver, r Round, all []Line, comment string, out Result) (Result, error) {
	for _, apex := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(all), func(l Line) bool { return l.Apex != apex })
		if len(some) == 0 {
			continue
		}
		asked, not, err := b.askAbout(ctx, by, r, some, apex, comment)
		if err != nil {
			return out, err
		}
		out.Asked += asked
		out.Not = append(out.Not, not...)
	}
	return out, out.nothing()
}

func (b *Book) askAbout(ctx context.Context, by approval.Approver, r Round, some []Line, apex bool, comment string) (asked int, not []NotDone, err error) {
	step := approval.Step{Posts: []policy.PostID{policy.SecurityOfficer, policy.CIO}, Quorum: 1, Where: approval.Anywhere}
	if apex {
		step.Posts = step.Posts[:1]
	}
	m := approval.Matter{
		Kind: EndMany, Subject: r.ID, Requester: approval.Ref(by.Person), RequesterPosts: by.Posts, Nobody: true, Zone: by.Zone, Reason: comment,
		// It is looked at line by line: no decision of before covers it.
		Unheard: true, Articles: articlesOf(r.Kind), Rule: approval.Rule{Steps: []approval.Step{step}},
		Detail: map[string]string{"campaign": r.Campaign, "slot": r.Slot, "name": r.Name.JA, "kind": r.Kind, "lines": strconv.Itoa(len(some))},
	}
	if r.State == Open {
		m.LapsesAt = r.AnswerBy(r.Deadline, b.Now())
	}
	c, err := b.Matters.Consider(ctx, m)
	if refused := (*approval.Refused)(nil); errors.As(err, &refused) {
		return 0, nil, nobodySecond(b.Policy().Recertification.EndsAlone)
	}
	if err != nil {
		return 0, nil, err
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		asked, not = 0, nil
		if err := b.open(ctx, tx, by, r); err != nil {
			return err
		}
		for _, seen := range some {
			found, err := lines(ctx, tx, `campaign = $1 AND id = $2`, r.ID, seen.ID)
			if err != nil || len(found) == 0 {
				return errors.Join(err, ErrNotFound)
			}
			l := found[0]
			if l.State != Waits {
				not = append(not, NotDone{l, decidedRefusal(l)})
				continue
			}
			l.State, l.Comment, l.DecidedBy, l.DecidedAt, l.Matter = ToEnd, comment, approval.Ref(by.Person), b.Now().UTC().Truncate(time.Microsecond), c.Matter().ID
			err = put(ctx, tx, l, time.Time{})
			if errors.Is(err, store.ErrUntouched) {
				not = append(not, NotDone{seen, decidedRefusal(seen)})
				continue
			}
			if err != nil {
				return err
			}
			asked++
			if err := b.Trail.Append(ctx, tx, r.about("recertify.asked", l, by)); err != nil {
				return err
			}
		}
		if asked == 0 {
			return nil
		}
		_, err := b.Matters.Ask(ctx, tx, c)
		return err
	})
	return asked, not, err
}

func nobodySecond(most int) *Refusal {
	return no(Conflict, "no_second", fmt.Sprintf("一人で終わらせられるのは、一つの棚卸しで%d件までです。その先を認める二人目の方が見当たりません。情報システム管理者に知らせてください。", most),
		fmt.Sprintf("One person ends %d lines of a recertification at most, and nobody is there who could agree to more. Please tell the system administrator.", most), "62-6", "16-1")
}

// asked are the lines that a matter is about and that are not decided.
func asked(ctx context.Context, in store.Reader, matter string) ([]Line, error) {
	return lines(ctx, in, `matter = $1 AND state = 'to_end' ORDER BY login, id`, matter)
}

// settleEnds has what a second person has agreed to end, or the lines wait again.
func (b *Book) settleEnds(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	r, err := roundOf(ctx, tx, m.Subject)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if to != approval.Approved {
		return b.giveBack(ctx, tx, r, m.ID, string(to))
	}
	all, err := asked(ctx, tx, m.ID)
	if err != nil {
		return err
	}
	for _, l := range all {
		l.State = Agreed
		if err := put(ctx, tx, l, b.Now()); err != nil {
			return err
		}
	}
	return b.enterMatter(ctx, tx, r, "recertify.agreed", m.ID, string(to), len(all))
}

// giveBack has the lines of a matter wait for whoever reviews, as before anybody ended
// them.
func (b *Book) giveBack(ctx context.Context, tx *store.Tx, r Round, matter, why string) error {
	all, err := asked(ctx, tx, matter)
	if err != nil {
		return err
	}
	for _, l := range all {
		l = l.undecided()
		if !r.State.takes() && r.State != Ending { // nobody comes to it any more
			l.State, l.Reason, l.DecidedAt = Left, why, b.Now().UTC().Truncate(time.Microsecond)
		}
		if err := put(ctx, tx, l, time.Time{}); err != nil {
			return err
		}
	}
	return b.enterMatter(ctx, tx, r, "recertify.returned", matter, why, len(all))
}

// undecided is a line as it was before somebody ended it.
func (l Line) undecided() Line {
	l.State, l.Reason, l.Comment, l.DecidedBy, l.DecidedAt, l.Matter, l.tries = Waits, "", "", Ref{}, time.Time{}, "", 0
	return l
}

func (b *Book) enterMatter(ctx context.Context, tx *store.Tx, r Round, action, matter, why string, n int) error {
	if n == 0 {
		return nil
	}
	e := r.entry(action)
	e.Reason, e.Detail["matter"], e.Detail["lines"] = why, matter, strconv.Itoa(n)
	return b.Trail.Append(ctx, tx, e)
}

// takeBack has all lines of a round wait again about which a second person is asked, and
// asks them no more: the deadline holds whether or not somebody answers.
func (b *Book) takeBack(ctx context.Context, tx *store.Tx, r Round, why string) error {
	all, err := store.All(ctx, tx, "what a second person is asked", func(row store.Row) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}, `SELECT DISTINCT matter FROM recertify_line WHERE campaign = $1 AND state = 'to_end' ORDER BY matter`, r.ID)
	if err != nil {
		return err
	}
	for _, id := range all {
		if err := b.Matters.Void(ctx, tx, id, "the recertification takes no more decisions"); err != nil {
			return err
		}
		if err := b.giveBack(ctx, tx, r, id, why); err != nil {
			return err
		}
	}
	return nil
}

// endAgreed ends a line that two persons want ended. Nobody waits for the answer: what
// cannot be ended is held, and those above hear of it.
func (b *Book) endAgreed(ctx context.Context, r Round, l Line) error {
	who := l.DecidedBy
	by := approval.Approver{Holder: approval.Holder{Person: directory.Person{ID: who.ID, Login: who.Login, Name: who.Name, Number: who.Number, Mail: who.Mail, Section: who.Section}}}
	e, err := b.prepare(ctx, r, l, by)
	if err != nil {
		return errors.Join(err, b.stays(ctx, r, l, err))
	}
	e.line.above = l.above
	if !l.Apex && slices.Contains(b.Policy().PostsOf(e.person.Groups), policy.CIO) {
		return b.DB.WithTx(ctx, func(tx *store.Tx) error { return b.aboveAll(ctx, tx, e) })
	}
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		now, err := b.end(ctx, tx, e)
		if err == nil && now.State == Held {
			err = b.putHeld(ctx, tx, e, now)
		}
		return err
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway was quicker
	}
	if err != nil {
		return errors.Join(err, b.stays(ctx, r, l, err))
	}
	if err := b.at(PointEnded); err != nil {
		return err
	}
	if r.Kind == policy.RecertifyEligibility {
		return nil // Follow, which has called this, goes on with it
	}
	return b.seen(ctx, e)
}

// aboveAll has a line wait again whose person has become the CIO meanwhile: the officers
// decide about them, as of every other.
func (b *Book) aboveAll(ctx context.Context, tx *store.Tx, e ending) error {
	now, err := roundOf(ctx, tx, e.round.ID)
	if err != nil {
		return err
	}
	l := e.line.undecided()
	if l.Apex, l.Raised = true, besideTop; !now.State.takes() {
		l.State, l.DecidedAt = Left, b.Now().UTC().Truncate(time.Microsecond)
	}
	if err := put(ctx, tx, l, time.Time{}); err != nil {
		return err
	}
	entry := e.round.about("recertify.returned", l, e.by)
	entry.Outcome, entry.Reason = audit.Refused, "cio"
	return b.Trail.Append(ctx, tx, entry)
}

// againstEnds keeps whom a line is about from saying yes to it (article 16-1).
func (b *Book) againstEnds(ctx context.Context, m approval.Matter, by Ref) (policy.Words, error) {
	all, err := asked(ctx, b.DB, m.ID)
	if err != nil {
		return policy.Words{}, err
	}
	who := approval.Holder{Person: directory.Person{ID: by.ID, Login: by.Login, Name: by.Name, Number: by.Number, Mail: by.Mail, Section: by.Section}}
	if !slices.ContainsFunc(all, func(l Line) bool { return l.theirs(who) }) {
		return policy.Words{}, nil
	}
	return policy.Words{JA: "あなた自身のものが含まれているため、ほかの方が決めます。", EN: "Something of your own is among it, so somebody else decides."}, nil
}

// cardOfEnds shows a second person each line: whose, what, and when it was last used.
func (b *Book) cardOfEnds(ctx context.Context, m approval.Matter, c *approval.Card) error {
	c.Yes = policy.Words{
		JA: "次のものが、一つずつもう一度確かめてから終わります。認めないときと、この申請の期限までに決まらないときは、確認待ちに戻ります。棚卸しの期限までに確認されなければ、終わります。",
		EN: "The following end, each looked at once more first. If you deny it, or this lapses undecided, they wait for whoever reviews again; what nobody has confirmed at the deadline ends.",
	}
	all, err := lines(ctx, b.DB, `matter = $1 ORDER BY login, id`, m.ID)
	if err != nil {
		return err
	}
	fact := func(ja, en, value string) {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: ja, EN: en}, Value: value})
	}
	fact("棚卸し", "Recertification", m.Detail["name"])
	fact("終わらせる数", "How many", m.Detail["lines"])
	sections := map[string][]string{}
	for _, l := range all {
		one := l.Person.Name + " (" + l.Person.Login + ")"
		if l.Object != "" && m.Detail["kind"] == policy.RecertifyEligibility {
			one += " " + strings.Join(l.About, " ")
		}
		used := "–"
		if !l.LastUse.IsZero() {
			used = policy.DayInJapan(l.LastUse)
		}
		sections[l.Person.Section] = append(sections[l.Person.Section], one+" "+used)
	}
	p := b.Policy()
	for _, id := range sortedKeys(sections) {
		label := policy.Words{JA: "対象と最後の利用", EN: "Whose, and last use"}
		if s, ok := p.Section(id); ok {
			label = policy.Words{JA: s.Name.JA + "の" + label.JA, EN: s.Name.In("en") + ": " + label.EN}
		}
		c.Facts = append(c.Facts, approval.Fact{Label: label, Value: strings.Join(sections[id], " / ")})
	}
	return nil
}
