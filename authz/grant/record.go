package grant

import (
	"context"
	"time"

	"sekisho/authn/notice"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Report writes the work record that is owed (article 49-1), or the report on a
// use without approval (article 80-2).
func (b *Book) Report(ctx context.Context, by By, id, text string) (Lease, error) {
	text, err := words("report", BadReport, text, maxReport, true)
	if err != nil {
		return Lease{}, err
	}
	l, err := b.own(ctx, by, id)
	if err != nil {
		return Lease{}, err
	}
	readers := b.approversOf(ctx, l)
	return b.record(ctx, by, id, "lease.record_written", text, recording, func(tx *store.Tx, l Lease) (Lease, error) {
		if _, err := b.tidy(ctx, tx, &l); err != nil {
			return l, err
		}
		out, err := l.write(text, b.Now().Truncate(time.Microsecond))
		if err != nil {
			return l, err
		}
		for _, to := range readers {
			if to == l.By.ID {
				continue
			}
			if err := b.tell(ctx, tx, l, to, notice.RecordWritten, map[string]string{"by": l.By.Name}); err != nil {
				return l, err
			}
		}
		return out, nil
	})
}

// record is change for what people write: the trail has its digest beside as much
// of it as an entry takes (article 49-2).
func (b *Book) record(ctx context.Context, by By, id, action, text string, articles []policy.Article, do func(tx *store.Tx, l Lease) (Lease, error)) (Lease, error) {
	return b.change(ctx, by, id, action, text, do, func(e *audit.Entry) { e.Articles, e.Detail["sha256"] = articles, digest(text) })
}

// Countersign confirms a work record: somebody who approves the privilege, or who
// was there as the second person.
func (b *Book) Countersign(ctx context.Context, by By, id, comment string) (Lease, error) {
	_, comment, err := b.overseen(ctx, by, id, comment, false, b.MayCountersign)
	if err != nil {
		return Lease{}, err
	}
	return b.record(ctx, by, id, "lease.record_countersigned", comment, recording, func(_ *store.Tx, l Lease) (Lease, error) {
		return l.countersign(refOf(by), comment, b.Now().Truncate(time.Microsecond))
	})
}

// MayCountersign asks whether somebody may confirm the record of a lease.
func (b *Book) MayCountersign(by By, l Lease) error {
	if same(l.By, refOf(by)) {
		return forbidden(OwnLease, recording, "自分の記録を確認することはできません。", "Nobody countersigns their own record.")
	}
	if l.Witness.ID != "" && l.Witness.ID == by.Person.ID {
		return nil
	}
	v, _ := b.Policy().Privilege(l.Privilege)
	return b.oversees(by, v, policy.SecurityManager, policy.SecurityOfficer, policy.CIO)
}

// Judge is the CIO's word on a use that nobody approved (article 80-2).
func (b *Book) Judge(ctx context.Context, by By, id, comment string) (Lease, error) {
	_, comment, err := b.overseen(ctx, by, id, comment, false, b.MayJudge)
	if err != nil {
		return Lease{}, err
	}
	return b.record(ctx, by, id, "lease.emergency_judged", comment, breaking, func(tx *store.Tx, l Lease) (Lease, error) {
		out, err := l.judge(refOf(by), comment, b.Now().Truncate(time.Microsecond))
		if err != nil {
			return l, err
		}
		return out, b.tell(ctx, tx, l, l.By.ID, notice.EmergencyJudged, map[string]string{"by": by.Person.Name, "reason": comment})
	})
}

// MayJudge asks whether somebody may judge a use without approval.
func (b *Book) MayJudge(by By, l Lease) error {
	if same(l.By, refOf(by)) {
		return forbidden(OwnLease, []policy.Article{"16-1", "80-2"}, "自分の緊急の利用を判定することはできません。もう一人のＣＩＯに依頼してください。", "Nobody judges their own use. Please ask the other CIO.")
	}
	return b.oversees(by, policy.Privilege{}, policy.CIO)
}
