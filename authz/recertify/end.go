package recertify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/authn/standing"
	"sekisho/authz/approval"
	"sekisho/authz/lifecycle"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// What a line becomes void for.
const (
	Gone   = "gone"   // whose it was is not in the directory
	Moved  = "moved"  // they work elsewhere: the new section reviews it at its next round
	IsOver = "over"   // the permit, the membership or the ID is over already
	Failed = "failed" // of a held line: it could not be dealt with
)

// An ending is a line that is about to end: what was read for it before its transaction.
type ending struct {
	line    Line
	round   Round
	by      approval.Approver // the zero Approver: nobody, it was time
	closing lifecycle.Closing
	person  directory.Person
	void    string // there is nothing left to end
}

// asked reports whether a person wants it.
func (e ending) asked() bool { return e.by.Person.ID != "" }

// actor is who ends it, as rooms that close things write it down.
func (e ending) actor() Ref {
	if e.asked() {
		return approval.Ref(e.by.Person)
	}
	return Ref{Login: system, Name: "関所 Sekisho"}
}

// why is the reason that is kept with what ends.
func (e ending) why() string {
	if e.asked() {
		return e.line.Comment
	}
	return "not confirmed at the recertification of " + e.round.Slot
}

// prepare reads afresh what a line is about: the person, and what closing them goes by.
func (b *Book) prepare(ctx context.Context, r Round, l Line, by approval.Approver) (ending, error) {
	e := ending{line: l, round: r, by: by}
	var err error
	if r.Kind == policy.RecertifyIDs {
		e.closing, err = b.IDs.Prepare(ctx, l.Person.ID)
		e.person = e.closing.Who
	} else {
		e.person, err = b.Directory.ByID(ctx, l.Person.ID)
	}
	switch {
	case errors.Is(err, directory.ErrNotFound):
		e.void = Gone
		return e, nil
	case err != nil:
		return e, fmt.Errorf("reading %s again: %w", l.Person.Login, err)
	case e.person.Section != l.Person.Section:
		e.void = Moved
	case r.Kind == policy.RecertifyEligibility && !stands(b.Policy(), l, e.person):
		e.void = IsOver
	}
	return e, nil
}

// stands reports whether a line of eligibility is still so.
func stands(p *policy.Policy, l Line, who directory.Person) bool {
	return slices.ContainsFunc(ways(p, who), func(w way) bool { return w.is(l.Object) })
}

// end ends a line in the caller's transaction, or finds that there is nothing to end. It
// answers the line as it is then; where that is Held, nothing was done.
func (b *Book) end(ctx context.Context, tx *store.Tx, e ending) (Line, error) {
	l := e.line
	l.DecidedAt = b.Now().UTC().Truncate(time.Microsecond)
	if e.asked() {
		l.DecidedBy = approval.Ref(e.by.Person)
	}
	if e.void != "" {
		return b.voided(ctx, tx, e, l, e.void)
	}
	var due time.Time
	l.State = Ended
	switch {
	case e.round.Kind == policy.RecertifyIDs:
		shut, err := b.IDs.Shut(ctx, tx, []directory.Person{e.person})
		if err != nil {
			return l, err
		}
		if shut[e.person.ID] {
			return b.voided(ctx, tx, e, l, IsOver)
		}
		hold, err := b.IDs.CloseOut(ctx, tx, e.closing, e.actor().Login, e.why(), "recertification", e.asked())
		if err != nil {
			return l, err
		}
		if hold != "" {
			return b.held(ctx, tx, e, l, string(hold))
		}
	case e.round.Kind == policy.RecertifyPermits:
		ended, err := b.Permits.EndOne(ctx, tx, l.Object, e.actor(), e.why())
		if err != nil {
			return l, err
		}
		if !ended {
			return b.voided(ctx, tx, e, l, IsOver)
		}
	case strings.HasPrefix(l.Object, RuleObject):
		l.State, due = Owed, b.Now().Add(owedEvery)
	default:
		l.State, due, l.dn = Leaving, b.Now(), e.person.DN
	}
	if err := put(ctx, tx, l, due); err != nil {
		return l, err
	}
	entry := e.round.about("recertify.ended", l, e.by)
	if l.State == Owed {
		entry.Action = "recertify.owed"
	}
	entry.Reason = e.why()
	if err := b.tellEnded(ctx, tx, e, l); err != nil {
		return l, err
	}
	return l, b.Trail.Append(ctx, tx, entry)
}

// tellEnded tells whose it was, and, where only a person can do it, who administers.
func (b *Book) tellEnded(ctx context.Context, tx *store.Tx, e ending, l Line) error {
	if l.State == Owed {
		return b.tellAbove(ctx, tx, l, policy.SystemAdministrator, map[string]string{"account": l.Person.Login, "what": e.round.Kind, "why": "policy"})
	}
	if e.round.Kind == policy.RecertifyPermits {
		return nil // the permits tell of it
	}
	detail := map[string]string{"account": l.Person.Login, "what": e.round.Kind, "by": e.by.Person.Name, "reason": l.Comment}
	if err := b.tell(ctx, tx, l.Person.ID, notice.RecertifyEnded, detail); err != nil {
		return err
	}
	for _, o := range e.closing.Owners {
		if err := b.tell(ctx, tx, o.ID, notice.RecertifyEnded, detail); err != nil {
			return err
		}
	}
	return nil
}

// mostTold bounds who is told of one line.
const mostTold = 20

// tellAbove tells the holders of a post of a line that a person is to see to.
func (b *Book) tellAbove(ctx context.Context, tx *store.Tx, l Line, post policy.PostID, detail map[string]string) error {
	for i, id := range l.above[post] {
		if i == mostTold {
			break
		}
		if err := b.tell(ctx, tx, id, notice.RecertifyLeft, detail); err != nil {
			return err
		}
	}
	return nil
}

// voided writes down that there was nothing to end.
func (b *Book) voided(ctx context.Context, tx *store.Tx, e ending, l Line, why string) (Line, error) {
	l.State, l.Reason = Void, why
	if err := put(ctx, tx, l, time.Time{}); err != nil {
		return l, err
	}
	entry := e.round.about("recertify.void", l, e.by)
	entry.Reason = why
	return l, b.Trail.Append(ctx, tx, entry)
}

// held writes down that an ID is not closed by itself; those above hear of all of a round
// together (tellHeld). Whoever has asked for it hears why instead, and the line waits on.
func (b *Book) held(ctx context.Context, tx *store.Tx, e ending, l Line, why string) (Line, error) {
	l.State, l.Reason = Held, why
	if e.asked() {
		return l, nil
	}
	return l, b.putHeld(ctx, tx, e, l)
}

// putHeld keeps a line as held.
func (b *Book) putHeld(ctx context.Context, tx *store.Tx, e ending, l Line) error {
	if err := put(ctx, tx, l, time.Time{}); err != nil {
		return err
	}
	entry := e.round.about("recertify.held", l, e.by)
	entry.Outcome, entry.Reason = audit.Refused, l.Reason
	return b.Trail.Append(ctx, tx, entry)
}

// unconfirmed ends a line that nobody has confirmed.
func (w *work) unconfirmed(ctx context.Context, l Line) error {
	e, err := w.prepare(ctx, w.Round, l, approval.Approver{})
	if err != nil {
		return err
	}
	if e.line.above, err = w.above(ctx, l); err != nil {
		return err
	}
	err = w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		_, err := w.end(ctx, tx, e)
		return err
	})
	if errors.Is(err, store.ErrUntouched) {
		return nil // somebody has decided it this moment
	}
	if err != nil {
		return err
	}
	if err := w.at(PointEnded); err != nil {
		return err
	}
	return w.seen(ctx, e)
}

// stumbled counts that a line could not be dealt with; after some tries a person is told,
// and the round goes on without it.
func (w *work) stumbled(ctx context.Context, l Line, why error) error {
	l.tries++
	var err error
	if l.above, err = w.above(ctx, l); err != nil {
		return err
	}
	return w.DB.WithTx(ctx, func(tx *store.Tx) error {
		if err := w.beat(ctx, tx); err != nil {
			return err
		}
		l := l
		if l.tries < triesOfLine {
			return put(ctx, tx, l, time.Time{})
		}
		l.Comment = store.Brief(why)
		_, err := w.held(ctx, tx, ending{line: l, round: w.Round}, l, Failed)
		return err
	})
}

// triesOfLine is how often it is tried to end a line before it is left to a person.
const triesOfLine = 3

// above are those who are told of a line that does not end by itself, by post.
func (b *Book) above(ctx context.Context, l Line) (map[policy.PostID][]directory.PersonID, error) {
	p, out := b.Policy(), map[policy.PostID][]directory.PersonID{}
	all, err := b.reviewers(ctx, l.Person.Section)
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		for _, post := range []policy.PostID{policy.SecurityOfficer, policy.CIO} {
			if height, ok := l.Over(p, h, b.Now()); ok && height > 0 && slices.Contains(h.Posts, post) {
				out[policy.SecurityOfficer] = append(out[policy.SecurityOfficer], h.Person.ID)
				break
			}
		}
	}
	admins, err := b.Matters.Overseers(ctx, approval.Rule{Steps: []approval.Step{{Posts: []policy.PostID{policy.SystemAdministrator}, Where: approval.Anywhere}}, Strict: true}, l.Person.Section)
	if err != nil {
		return nil, err
	}
	for _, h := range admins {
		if slices.Contains(h.Posts, policy.SystemAdministrator) {
			out[policy.SystemAdministrator] = append(out[policy.SystemAdministrator], h.Person.ID)
		}
	}
	return out, nil
}

// seen has what was committed seen here at once, and by the directory. What fails is done
// again by whoever looks next.
func (b *Book) seen(ctx context.Context, e ending) error {
	ctx = context.WithoutCancel(ctx)
	switch e.round.Kind {
	case policy.RecertifyIDs:
		if b.Forget != nil {
			b.Forget.Forget(e.line.Person.ID)
		}
		b.IDs.Told(ctx)
		b.complain(ctx, "closing an ID in the directory", b.IDs.Bring(ctx, e.line.Person.ID))
		b.complain(ctx, "noting ended sessions", b.Sessions.Poll(ctx))
	case policy.RecertifyPermits:
		b.Permits.Changed(ctx)
	case policy.RecertifyEligibility:
		err := b.Follow(ctx)
		if errors.Is(err, errCrash) {
			return err
		}
		b.complain(ctx, "taking somebody out of a group", err)
	}
	return nil
}

func (b *Book) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.Log.WarnContext(ctx, what+" failed; it is tried again", "error", err)
	}
}

const (
	// leaveLasts is for how long one gateway is at taking somebody out of a group.
	leaveLasts = 30 * time.Second
	// owedEvery is how often it is looked whether an administrator has done what is owed.
	owedEvery = time.Hour
	// stubborn is after how many tries a person is told that a group keeps somebody.
	stubborn = 3
)

// leaveRests are how long it rests that somebody could not be taken out of a group; the
// last repeats, for ever.
var leaveRests = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// Follow has the directory follow what was decided, and looks whether what is owed was
// done.
func (b *Book) Follow(ctx context.Context) error {
	due, err := lines(ctx, b.DB, `due_at > 0 AND due_at <= $1 ORDER BY due_at, id LIMIT 50`, store.Micros(b.Now()))
	if err != nil {
		return err
	}
	var problems []error
	for _, l := range due {
		if err := b.follow(ctx, l); err != nil {
			problems = append(problems, fmt.Errorf("what was decided of %s: %w", l.Person.Login, err))
			if errors.Is(err, errCrash) || errors.Is(err, directory.ErrAway) && len(problems) > 1 {
				break // two time-outs are enough
			}
		}
	}
	return errors.Join(problems...)
}

func (b *Book) follow(ctx context.Context, l Line) error {
	// Its due time is its claim: one who dies at it is waited for so long.
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error { return put(ctx, tx, l, b.Now().Add(leaveLasts)) })
	if errors.Is(err, store.ErrUntouched) {
		return nil // another gateway is at it
	}
	if err != nil {
		return err
	}
	l.version++
	r, err := roundOf(ctx, b.DB, l.Round)
	if err != nil {
		return err
	}
	if l.above, err = b.above(ctx, l); err != nil {
		return err
	}
	if l.State == Agreed {
		return b.endAgreed(ctx, r, l)
	}
	if l.State == Leaving {
		if err := b.at(PointLeaving); err != nil {
			return err
		}
		if err := b.Directory.Leave(ctx, l.Object, l.Person.ID, l.dn); err != nil {
			return errors.Join(err, b.stays(ctx, r, l, err))
		}
		if b.Forget != nil {
			b.Forget.Forget(l.Person.ID)
		}
		if err := b.at(PointLeft); err != nil {
			return err
		}
	}
	who, err := b.Directory.ByID(ctx, l.Person.ID)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	still := err == nil && stands(b.Policy(), l, who)
	return b.DB.WithTx(ctx, func(tx *store.Tx) error {
		l := l
		if still {
			first := l.State == Leaving
			// In a group that lies in it, say: not ours to take them out of.
			l.State = Owed
			if first {
				if err := b.tellAbove(ctx, tx, l, policy.SystemAdministrator, map[string]string{"account": l.Person.Login, "what": r.Kind, "why": "nested"}); err != nil {
					return err
				}
			}
			return put(ctx, tx, l, b.Now().Add(owedEvery))
		}
		l.State = Ended
		if err := put(ctx, tx, l, time.Time{}); err != nil {
			return err
		}
		if err := standing.Changed(ctx, tx, l.Person.ID, b.Now()); err != nil {
			return err
		}
		return b.Trail.Append(ctx, tx, r.about("recertify.effect_confirmed", l, approval.Approver{}))
	})
}

// stays writes down that the directory keeps somebody in a group.
func (b *Book) stays(ctx context.Context, r Round, l Line, why error) error {
	if errors.Is(why, errCrash) {
		return nil
	}
	return b.DB.WithTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		l := l
		l.tries++
		if err := put(ctx, tx, l, b.Now().Add(leaveRests[min(l.tries, len(leaveRests))-1])); err != nil {
			return err
		}
		if l.tries != stubborn {
			return nil
		}
		if err := b.tellAbove(ctx, tx, l, policy.SystemAdministrator, map[string]string{"account": l.Person.Login, "what": r.Kind, "why": "directory"}); err != nil {
			return err
		}
		e := r.about("recertify.effect_unconfirmed", l, approval.Approver{})
		e.Outcome, e.Reason, e.Detail["tries"] = audit.Failed, store.Brief(why), strconv.Itoa(l.tries)
		return b.Trail.Append(ctx, tx, e)
	})
}
