package recertify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sekisho/authz/approval"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// haltWaits is how long a round that has halted waits for somebody.
const haltWaits = 7 * 24 * time.Hour

// considerHalt prepares the question whether what is unconfirmed ends after all; nil
// where there is none, or nobody could decide it: then the round stays halted until the
// next one of its campaign begins.
func (w *work) considerHalt(ctx context.Context, why Stop, open int) (*approval.Considered, error) {
	if why == "" {
		return nil, nil
	}
	requester := approval.AtTerminal("sekisho")
	requester.Name = "関所 Sekisho"
	c, err := w.Matters.Consider(ctx, approval.Matter{
		Kind: GoOn, Subject: w.ID, Requester: requester, Nobody: true, LapsesAt: w.Now().Add(haltWaits), Reason: why.Words().JA, Articles: articlesOf(w.Kind),
		Rule: approval.Rule{Steps: []approval.Step{{Posts: []policy.PostID{policy.SecurityOfficer, policy.CIO}, Quorum: 1, Where: approval.Anywhere}}},
		Detail: map[string]string{
			"why": string(why), "open": fmt.Sprint(open), "lines": fmt.Sprint(w.Lines), "campaign": w.Campaign, "slot": w.Slot, "name": w.Name.JA, "kind": w.Kind,
		},
	})
	if refused := (*approval.Refused)(nil); errors.As(err, &refused) {
		w.Log.ErrorContext(ctx, "nobody can decide whether a recertification goes on", "reason", string(refused.Verdict.Reason))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// settleHalt has a halted round go on, or leaves what is unconfirmed as it is.
func (b *Book) settleHalt(ctx context.Context, tx *store.Tx, m approval.Matter, to approval.State) error {
	r, err := roundOf(ctx, tx, m.Subject)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil || r.State != Halted {
		return err
	}
	if to == approval.Approved {
		if err := b.takeBack(ctx, tx, r, "deadline"); err != nil {
			return err
		}
		if err := tx.ExecOne(ctx, `UPDATE recertify_campaign SET state = 'ending', claimed_until = 0, holder = '' WHERE id = $1 AND state = 'halted'`, r.ID); err != nil {
			return err
		}
	} else if err := b.over(ctx, tx, r, Dropped, Left, string(to)); err != nil {
		return err
	}
	e := r.entry("recertify.decided")
	e.Reason, e.Detail["matter"], e.Outcome = string(to), m.ID, audit.OK
	return b.Trail.Append(ctx, tx, e)
}

func (b *Book) cardOfHalt(_ context.Context, m approval.Matter, c *approval.Card) error {
	c.Yes = policy.Words{
		JA: "そのとき確認のないものが、一つずつもう一度確かめてから終わります。決めるまでは、点検する人が確認を続けられます。閉じたIDは、利用再開で戻せます。",
		EN: "What is not confirmed by then ends, each looked at once more first. Until you decide, whoever reviews can go on confirming. An ID that is closed can be opened again.",
	}
	for _, f := range []struct{ key, ja, en string }{{"name", "棚卸し", "Recertification"}, {"lines", "対象の数", "Lines"}, {"open", "確認のない数", "Not confirmed"}} {
		c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: f.ja, EN: f.en}, Value: m.Detail[f.key]})
	}
	why := Stop(m.Detail["why"]).Words()
	c.Facts = append(c.Facts, approval.Fact{Label: policy.Words{JA: "止まった理由", EN: "Why it halted"}, Value: why.JA, Says: why})
	return nil
}
