package approval

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/clock"
	"sekisho/policy/store"
)

// mostWaiting bounds how many matters are looked through at once.
const mostWaiting = 1000

// A Card is what an approver reads in five seconds.
type Card struct {
	View
	Title policy.Words // what is asked for
	Yes   policy.Words // what a yes does
	Until policy.Words // for how long, or until when it would hold
	Facts []Fact
	Last  []Past // the same for the same person, the newest first
	Who   []Candidate
}

// A Fact is one line more of a card.
type Fact struct {
	Label policy.Words
	Value string
	Says  policy.Words // the value, where it is said in words; empty: Value is all
}

// Past is an earlier matter of the same kind, subject and person.
type Past struct {
	ID     string
	At     time.Time
	State  State
	Reason string
}

// Card fills a matter's card.
func (b *Book) Card(ctx context.Context, id string) (Card, error) {
	v, err := b.Get(ctx, id)
	if err != nil {
		return Card{}, err
	}
	return b.card(ctx, v)
}

func (b *Book) card(ctx context.Context, v View) (Card, error) {
	desk := b.desks[v.Kind]
	c := Card{View: v, Title: desk.Name}
	past, err := matters(ctx, b.DB, `beneficiary_id = $1 AND kind = $2 AND subject = $3 AND id <> $4 ORDER BY asked_at DESC, id LIMIT 5`,
		string(v.For().ID), string(v.Kind), v.Subject, v.ID)
	if err != nil {
		return Card{}, err
	}
	for _, m := range past {
		c.Last = append(c.Last, Past{m.ID, m.AskedAt, m.State(v.Now), m.Reason})
	}
	if v.At() == Pending {
		p := b.Policy()
		people, err := b.whoMay(ctx, p, v.Rule)
		if err != nil {
			return Card{}, err
		}
		c.Who = Who(p, v.Matter, v.Decisions, people, v.Now)
	}
	if desk.Card != nil {
		if err := desk.Card(ctx, v.Matter, &c); err != nil {
			return Card{}, fmt.Errorf("reading what a request is about: %w", err)
		}
	}
	return c, nil
}

// Verdict says whether somebody could decide a matter now, and what would help.
func (b *Book) Verdict(ctx context.Context, v View, by Approver) (Verdict, error) {
	p := b.Policy()
	people, err := b.whoMay(ctx, p, v.Rule)
	if err != nil {
		return Verdict{}, err
	}
	return May(p, v.Matter, v.Decisions, people, by, b.Now()), nil
}

// Pending are the matters that somebody may decide, the one that lapses first at
// the front. How they have signed in is not asked: that they can mend.
func (b *Book) Pending(ctx context.Context, by Approver) ([]View, error) {
	p, now := b.Policy(), b.Now()
	all, err := b.waiting(ctx, now)
	if err != nil {
		return nil, err
	}
	var out []View
	for _, m := range all {
		made, err := readDecisions(ctx, b.DB, m.ID)
		if err != nil {
			return nil, err
		}
		people, err := b.whoMay(ctx, p, m.Rule)
		if err != nil {
			return nil, err
		}
		if (question{p, m, made, people, now}).may(by.Holder, by.Usable).ok {
			out = append(out, View{m, now, made})
		}
	}
	return out, nil
}

func (b *Book) waiting(ctx context.Context, now time.Time) ([]Matter, error) {
	return matters(ctx, b.DB, `state = 'pending' AND lapses_at > $1 ORDER BY lapses_at, id LIMIT $2`, store.Micros(now), mostWaiting)
}

// Mine are what somebody has asked for, the newest first.
func (b *Book) Mine(ctx context.Context, who directory.PersonID) ([]View, error) {
	all, err := matters(ctx, b.DB, `requester_id = $1 ORDER BY asked_at DESC, id LIMIT 100`, string(who))
	if err != nil {
		return nil, err
	}
	var out []View
	for _, m := range all {
		made, err := readDecisions(ctx, b.DB, m.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, View{m, b.Now(), made})
	}
	return out, nil
}

// Last is the newest matter of a kind about a subject that somebody has asked for,
// and that has not lapsed or ended; ErrNotFound when there is none.
func (b *Book) Last(ctx context.Context, who directory.PersonID, k Kind, subject string) (View, error) {
	all, err := matters(ctx, b.DB, `requester_id = $1 AND kind = $2 AND subject = $3 ORDER BY asked_at DESC, id LIMIT 1`, string(who), string(k), subject)
	if err != nil {
		return View{}, err
	}
	if len(all) == 0 {
		return View{}, ErrNotFound
	}
	made, err := readDecisions(ctx, b.DB, all[0].ID)
	return View{all[0], b.Now(), made}, err
}

// An Acting is an acting decision that somebody is to review, or has reviewed.
type Acting struct {
	View
	Decision Decision
}

// acting reads acting decisions that a condition finds, each with its matter.
func (b *Book) acting(ctx context.Context, where string, args ...any) ([]Acting, error) {
	type owed struct {
		d      Decision
		matter string
	}
	all, err := store.All(ctx, b.DB, "acting decisions", func(row store.Row) (owed, error) {
		d, matter, err := scanDecision(row)
		return owed{d, matter}, err
	}, `SELECT `+decisionColumns+` FROM approval_decision WHERE review_due > 0 AND `+where, args...)
	if err != nil {
		return nil, err
	}
	var out []Acting
	for _, o := range all {
		v, err := b.Get(ctx, o.matter)
		if err != nil {
			return nil, err
		}
		out = append(out, Acting{v, o.d})
	}
	return out, nil
}

const unreviewed = `reviewed_at = 0 ORDER BY review_due, id LIMIT $1`

// Owed are the acting decisions that somebody may review, the most urgent first.
func (b *Book) Owed(ctx context.Context, by Approver) ([]Acting, error) {
	all, err := b.acting(ctx, unreviewed, mostWaiting)
	if err != nil {
		return nil, err
	}
	p := b.Policy()
	return slices.DeleteFunc(all, func(a Acting) bool { return !Reviewer(p, a.Matter, a.Decision, by.Holder).ok }), nil
}

// ReviewsOwed counts the acting decisions that wait for somebody's look, and of them
// those whose date has passed.
func (b *Book) ReviewsOwed(ctx context.Context) (owed, overdue int, err error) {
	err = b.DB.QueryRow(ctx, `
		SELECT COUNT(*), COUNT(CASE WHEN review_due <= $1 THEN 1 END) FROM approval_decision
		WHERE  review_due > 0 AND reviewed_at = 0`, store.Micros(b.Now())).Scan(&owed, &overdue)
	if err != nil {
		return 0, 0, fmt.Errorf("counting acting decisions: %w", err)
	}
	return owed, overdue, nil
}

// Acted are the last acting decisions, reviewed or not, the newest first.
func (b *Book) Acted(ctx context.Context, most int) ([]Acting, error) {
	return b.acting(ctx, `1 = 1 ORDER BY at DESC, id LIMIT $1`, most)
}

// mostReminders bounds how often people are told of a review that is overdue. The
// page goes on showing it.
const mostReminders = 5

// overdue is how many reminders of a review are due: one at its date, and one after
// each further stretch as long as was given for it, a day at least.
func overdue(r policy.ApprovalRules, d Decision, now time.Time) int {
	if !d.Owed() || now.Before(d.ReviewDue) {
		return 0
	}
	return min(mostReminders, 1+int(now.Sub(d.ReviewDue)/max(r.ReviewWithin, 24*time.Hour)))
}

// RemindReviews tells those who may review an acting decision that its date has
// passed. That it was done is a row: of several gateways one does it.
func (b *Book) RemindReviews(ctx context.Context) error {
	p, now := b.Policy(), b.Now()
	late, err := b.acting(ctx, `review_due <= $2 AND `+unreviewed, mostWaiting, store.Micros(now))
	if err != nil {
		return err
	}
	for _, a := range late {
		due := overdue(p.Approval, a.Decision, now)
		if due <= a.Decision.reminded {
			continue
		}
		people, err := b.whoMay(ctx, p, a.Rule)
		if err != nil {
			return err
		}
		err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `
				UPDATE approval_decision SET review_reminded = $1
				WHERE  id = $2 AND reviewed_at = 0 AND review_reminded = $3`, due, a.Decision.ID, a.Decision.reminded)
			if err != nil {
				return err
			}
			return b.tellReviewers(ctx, tx, p, a.Matter, a.Decision, people, notice.ReviewOverdue)
		})
		if err != nil && !errors.Is(err, store.ErrUntouched) {
			return fmt.Errorf("reminding of a review: %w", err)
		}
	}
	return nil
}

// Lapse ends the matters whose end has come. They are lapsed already for whoever
// asks; this tells their desks and those who asked.
func (b *Book) Lapse(ctx context.Context) error {
	for {
		due, err := matters(ctx, b.DB, `state = 'pending' AND lapses_at <= $1 ORDER BY lapses_at, id LIMIT 100`, store.Micros(b.Now()))
		if err != nil {
			return err
		}
		for _, m := range due {
			err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
				now := b.Now().UTC().Truncate(time.Microsecond)
				if err := seize(ctx, tx, m.ID); err != nil {
					return err
				}
				if err := b.Trail.Append(ctx, tx, b.entry(m, "system", "approval.lapsed", "nobody decided in time")); err != nil {
					return err
				}
				_, err := b.give(ctx, tx, m, Lapsed, now, "")
				return err
			})
			if errors.Is(err, store.ErrUntouched) {
				continue // another gateway was first
			}
			if err != nil {
				return fmt.Errorf("letting a request lapse: %w", err)
			}
			m.state = Lapsed
			b.settled(ctx, m, Lapsed)
		}
		if len(due) < 100 {
			return nil
		}
	}
}

// reminders are when those who may decide are told of a matter again: once after a
// while, and when the way up opens.
func reminders(r policy.ApprovalRules, m Matter) []time.Time {
	var at []time.Time
	if r.RemindAfter > 0 {
		at = append(at, m.AskedAt.Add(r.RemindAfter))
	}
	if r.EscalateAfter > 0 && !m.Rule.Strict {
		at = append(at, m.AskedAt.Add(r.EscalateAfter), m.AskedAt.Add(2*r.EscalateAfter))
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}

// Remind tells those who may decide of what waits for them. That it was done is a
// row: of several gateways one does it.
func (b *Book) Remind(ctx context.Context) error {
	p, now := b.Policy(), b.Now()
	all, err := b.waiting(ctx, now)
	if err != nil {
		return err
	}
	for _, m := range all {
		due := 0
		for _, at := range reminders(p.Approval, m) {
			if !now.Before(at) {
				due++
			}
		}
		if due <= m.reminded {
			continue
		}
		made, err := readDecisions(ctx, b.DB, m.ID)
		if err != nil {
			return err
		}
		people, err := b.whoMay(ctx, p, m.Rule)
		if err != nil {
			return err
		}
		var tell []directory.PersonID
		for _, c := range Who(p, m, made, people, now) {
			if c.Verdict.ok && len(tell) < mostTold {
				tell = append(tell, c.Person.ID)
			}
		}
		err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
			err := tx.ExecOne(ctx, `
				UPDATE approval_matter SET reminded = $1, version = version + 1
				WHERE  id = $2 AND state = 'pending' AND reminded = $3`, due, m.ID, m.reminded)
			if err != nil {
				return err
			}
			return b.tell(ctx, tx, m, Reminded, Pending, m.Requester.Name, tell)
		})
		if err != nil && !errors.Is(err, store.ErrUntouched) {
			return fmt.Errorf("reminding of a request: %w", err)
		}
	}
	return nil
}

// tidyEvery is how often Run lets lapse and reminds.
const tidyEvery = 15 * time.Second

// Run lets matters lapse and reminds until ctx ends. What fails is tried again;
// complain hears of it.
func (b *Book) Run(ctx context.Context, complain func(ctx context.Context, what string, err error)) {
	if complain == nil {
		complain = func(ctx context.Context, what string, err error) {
			if err != nil {
				slog.WarnContext(ctx, what+" failed; it is tried again", "error", err)
			}
		}
	}
	for clock.Wait(ctx, tidyEvery) == nil {
		complain(ctx, "letting requests lapse", b.Lapse(ctx))
		complain(ctx, "reminding of requests", b.Remind(ctx))
		complain(ctx, "reminding of reviews", b.RemindReviews(ctx))
	}
}
