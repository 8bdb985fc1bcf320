package approval

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/secret"
	"sekisho/policy/store"
)

// Decide says yes or no. It has its own transaction, which is the only one that
// gives the matter its outcome, and in which the kind's Settle runs. Asked again
// by the same person for the same, it gives the same answer. *StepUp, *Refused
// and *Invalid say why not; ErrNotFound that there is nothing to decide.
func (b *Book) Decide(ctx context.Context, by Approver, id string, yes bool, comment string) (View, error) {
	return b.DecideWith(ctx, by, id, yes, comment, nil)
}

// DecideWith is Decide for matters whose yes confirms something.
func (b *Book) DecideWith(ctx context.Context, by Approver, id string, yes bool, comment string, confirmed []string) (View, error) {
	if err := words("comment", comment, !yes); err != nil {
		return View{}, err
	}
	m, err := readMatter(ctx, b.DB, id)
	if err != nil {
		return View{}, err
	}
	// Who may not decide hears that, and not what they would have to confirm: see below.
	lacking := error(nil)
	if yes && m.State(b.Now()) == Pending {
		confirmed, lacking = confirm(b.Confirmations(m), confirmed)
	}
	if !yes {
		confirmed = nil
	}
	if yes {
		if err := b.Trail.MayBegin(); err != nil {
			return View{}, fmt.Errorf("deciding a request: %w", err)
		}
	}
	p := b.Policy()
	people, err := b.whoMay(ctx, p, m.Rule)
	if err != nil {
		return View{}, err
	}
	var against policy.Words
	// Who cannot decide it by any post has nothing looked up.
	if ask := b.desks[m.Kind].Against; yes && ask != nil && m.Rule.names(by.Posts) {
		if against, err = ask(ctx, m, Ref(by.Person)); err != nil {
			return View{}, fmt.Errorf("deciding a request: %w", err)
		}
	}
	var (
		out  View
		no   Verdict
		to   State
		said bool
	)
	err = b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out, no, to, said = View{}, Verdict{}, "", false
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		waits := seize(ctx, tx, id)
		if waits != nil && !errors.Is(waits, store.ErrUntouched) {
			return waits
		}
		now := b.Now()
		m, made, err := b.read(ctx, tx, id)
		if err != nil {
			return err
		}
		out = View{m, now, made}
		if i := slices.IndexFunc(made, func(d Decision) bool { return d.By.Same(Ref(by.Person)) }); i >= 0 && made[i].Yes == yes {
			return nil // the answer to the first may have been lost
		}
		v := May(p, m, made, people, by, now)
		if !v.ok {
			no = v
			return nil
		}
		if !against.IsEmpty() {
			no = refusal(OwnMatter, against, false, "16-1")
			return nil
		}
		if lacking != nil {
			return lacking
		}
		d := Decision{
			ID: secret.Token(12), Step: m.current(made), By: Ref(by.Person), Post: v.As.Post, Also: v.As.Also, How: v.As.How, Through: v.As.Through,
			Yes: yes, Comment: comment, Confirmed: confirmed, At: now.UTC().Truncate(time.Microsecond),
		}
		if d.How.Reviewed() {
			d.ReviewDue = d.At.Add(p.Approval.ReviewWithin)
		}
		if err := insertDecision(ctx, tx, id, d); err != nil {
			return fmt.Errorf("writing a decision: %w", err)
		}
		made = append(made, d)
		switch {
		case !yes:
			to = Denied
		case m.current(made) == len(m.Rule.Steps):
			to = Approved
		}
		said = true
		if err := b.tellReviewers(ctx, tx, p, m, d, people, notice.ReviewOwed); err != nil {
			return err
		}
		out, err = b.said(ctx, tx, p, by, m, made, d, to)
		return err
	})
	if err != nil {
		return View{}, fmt.Errorf("deciding a request: %w", err)
	}
	if no.Reason != NotStated {
		return View{}, b.refuse(ctx, by, out.Matter, no)
	}
	if said && to != "" {
		b.settled(ctx, out.Matter, to)
	}
	return out, nil
}

// said enters a decision on the trail, and gives the matter its outcome.
func (b *Book) said(ctx context.Context, tx *store.Tx, p *policy.Policy, by Approver, m Matter, made []Decision, d Decision, to State) (View, error) {
	action, state := "approval.given", Pending
	if !d.Yes {
		action = "approval.denied"
	}
	if to != "" {
		state = to
	}
	e := b.entry(m, by.Person.Login, action, d.Comment)
	e.From, e.RequestID, e.Terminal, e.Zone = by.From, by.RequestID, by.Terminal, string(by.Zone)
	maps.Copy(e.Detail, map[string]string{
		"post": string(d.Post), "how": string(d.How), "state": string(state), "step": strconv.Itoa(d.Step + 1), "policy_version_now": strconv.FormatInt(b.Version(), 10),
	})
	if d.Through != "" {
		e.Detail["through"] = d.Through
	}
	if len(d.Also) > 0 {
		posts := string(d.Post)
		for _, also := range d.Also {
			posts += " " + string(also)
		}
		e.Detail["posts"] = posts
	}
	if len(d.Confirmed) > 0 {
		e.Detail["confirmed"] = strings.Join(d.Confirmed, " ")
	}
	if !d.ReviewDue.IsZero() {
		e.Detail["review_due"] = d.ReviewDue.Format(time.RFC3339)
	}
	if err := b.Trail.Append(ctx, tx, e); err != nil {
		return View{}, err
	}
	if to == "" {
		return View{m, d.At, made}, nil
	}
	m, err := b.give(ctx, tx, m, to, d.At, by.Person.Name)
	return View{m, d.At, made}, err
}

// give gives a matter its outcome, with what follows from it.
func (b *Book) give(ctx context.Context, tx *store.Tx, m Matter, to State, at time.Time, by string) (Matter, error) {
	if err := end(ctx, tx, m.ID, to, at); err != nil {
		return m, err
	}
	m.state, m.settledAt = to, at
	if settle := b.desks[m.Kind].Settle; settle != nil {
		if err := settle(ctx, tx, m, to); err != nil {
			return m, err
		}
	}
	told := []directory.PersonID{m.Requester.ID}
	if f := m.For().ID; !m.Nobody && f != m.Requester.ID {
		told = append(told, f)
	}
	return m, b.tell(ctx, tx, m, Settled, to, by, told)
}

func (b *Book) settled(ctx context.Context, m Matter, to State) {
	if after := b.desks[m.Kind].Settled; after != nil {
		after(context.WithoutCancel(ctx), m, to)
	}
}

// Cancel takes a matter back: who asked may, and whom it is for.
func (b *Book) Cancel(ctx context.Context, by Approver, id, comment string) (View, error) {
	if err := words("comment", comment, false); err != nil {
		return View{}, err
	}
	var (
		out View
		no  Verdict
	)
	err := b.DB.WithTx(ctx, func(tx *store.Tx) error {
		out, no = View{}, Verdict{}
		if err := b.still(ctx, tx, by); err != nil {
			return err
		}
		if err := seize(ctx, tx, id); err != nil && !errors.Is(err, store.ErrUntouched) {
			return err
		}
		m, made, err := b.read(ctx, tx, id)
		if err != nil {
			return err
		}
		now := b.Now().UTC().Truncate(time.Microsecond)
		out = View{m, now, made}
		switch state := m.State(now); {
		case !m.concerned(Ref(by.Person)) || !by.Usable:
			no = refusal(NotTheirs, policy.Words{JA: "取り下げられるのは、申請した本人だけです。", EN: "Only who asked takes a request back."}, false, "16-1")
			return nil
		case state == Cancelled:
			return nil
		case state != Pending:
			no = over(state)
			return nil
		}
		e := b.entry(m, by.Person.Login, "approval.cancelled", comment)
		e.From, e.RequestID, e.Terminal, e.Zone = by.From, by.RequestID, by.Terminal, string(by.Zone)
		if err := b.Trail.Append(ctx, tx, e); err != nil {
			return err
		}
		m, err = b.give(ctx, tx, m, Cancelled, now, by.Person.Name)
		out.Matter = m
		return err
	})
	if err != nil {
		return View{}, fmt.Errorf("taking a request back: %w", err)
	}
	if no.Reason != NotStated {
		return View{}, b.refuse(ctx, by, out.Matter, no)
	}
	b.settled(ctx, out.Matter, Cancelled)
	return out, nil
}

// Void takes a matter off the table in the caller's transaction: what it asks for
// is no more, so a yes would lead to nothing. The caller knows that already and
// tells whom it concerns, so Settle is not called. What has its outcome keeps it.
func (b *Book) Void(ctx context.Context, tx *store.Tx, id, why string) error {
	if err := seize(ctx, tx, id); errors.Is(err, store.ErrUntouched) {
		return nil
	} else if err != nil {
		return err
	}
	m, err := readMatter(ctx, tx, id)
	if err != nil {
		return err
	}
	if err := end(ctx, tx, id, Cancelled, b.Now().UTC().Truncate(time.Microsecond)); err != nil {
		return err
	}
	return b.Trail.Append(ctx, tx, b.entry(m, "system", "approval.void", why))
}
