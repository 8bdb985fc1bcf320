package grant

import (
	"context"
	"errors"
	"time"

	"sekisho/authn/notice"
	"sekisho/authz"
	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/store"
)

// Settle is what follows from a decision, in the transaction that gives it. The
// house hands it to approval for both kinds.
func (b *Book) Settle(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	l, err := read(ctx, tx, m.Detail["lease"])
	if errors.Is(err, ErrNotFound) {
		return nil // nothing hangs on it
	}
	if err != nil {
		return err
	}
	v, known := b.Policy().Privilege(l.Privilege)
	if m.Kind == KindExtension {
		return b.settleMore(ctx, tx, l, v, m, to)
	}
	state := map[approval.State]State{approval.Approved: Approved, approval.Denied: Denied, approval.Cancelled: Cancelled, approval.Lapsed: Lapsed}[to]
	if state == Approved && !known {
		state = Lapsed // the privilege is gone from the policy: there is nothing to lend
	}
	settled, err := l.settle(state, v, b.Now())
	if err != nil {
		return nil //nolint:nilerr // it went on without the decision, which changes nothing any more
	}
	if state == Approved {
		if _, err := b.stillFor(ctx, tx, l, v); err != nil {
			return err
		}
	}
	if err := b.put(ctx, tx, &settled); err != nil {
		return err
	}
	e := b.entry(settled, By{}, "lease."+string(state), "")
	e.Actor, e.Detail["matter"] = "system", m.ID
	if state == Approved {
		e.Detail["approved_until"] = settled.ApprovedUntil.Format(time.RFC3339)
	}
	return b.Trail.Append(ctx, tx, e)
}

// stillFor refuses a yes to somebody whose ID has come to be of the other environment, or
// whose projects are over, since they asked (articles 67-2(1), 68-2). It answers what their
// projects make of the ID now.
func (b *Book) stillFor(ctx context.Context, tx *store.Tx, l Lease, v policy.Privilege) (authz.Tied, error) {
	now := b.Now()
	tied, err := b.Ties.Of(ctx, tx, l.By.ID, now)
	if err != nil {
		return tied, err
	}
	no, refused := tied.Refuses(v.Environment, now)
	if !refused {
		return tied, nil
	}
	why := conflict(Reason(no.Reason), no.Articles, "申請した人のIDは、この特権の環境（運用又は開発）のものではなくなりました。承認できないので、否認してください。",
		"The ID of whoever asked is not of this privilege's environment (production or development) any more. It cannot be approved; please deny it.")
	if no.Reason == authz.ProjectOver {
		why.Says = policy.Words{JA: "申請した人のIDの案件は終わりました。承認できないので、否認してください。", EN: "The project of whoever asked is over. It cannot be approved; please deny it."}
	}
	return tied, why
}

// Notice says how the decision of a matter is told, for approval's desk.
func (b *Book) Notice(m approval.Matter, e approval.Event, to approval.State, by string) (notice.Kind, map[string]string, bool) {
	detail := map[string]string{"by": by, "privilege": m.Subject, "reason": m.Reason, "minutes": m.Detail["minutes"]}
	switch {
	case e == approval.Asked || e == approval.Reminded:
		detail["by"] = m.Requester.Name
		return notice.LeaseAsked, detail, true
	case e == approval.Settled && to == approval.Approved:
		if v, ok := b.Policy().Privilege(m.Subject); ok {
			detail["until"] = b.Now().Add(v.ActivateEnd).UTC().Format(time.RFC3339)
		}
		return notice.LeaseApproved, detail, m.Kind == KindElevation
	case e == approval.Settled && to == approval.Denied:
		return notice.LeaseDenied, detail, true
	case e == approval.Settled && to == approval.Lapsed:
		return notice.LeaseLapsed, detail, true
	}
	return "", nil, false
}
