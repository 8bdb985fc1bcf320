package approval

import (
	"context"
	"time"

	"sekisho/authn/notice"
	"sekisho/directory"
	"sekisho/policy"
	"sekisho/policy/store"
)

// tell queues what people hear of a matter.
func (b *Book) tell(ctx context.Context, tx *store.Tx, m Matter, ev Event, to State, by string, people []directory.PersonID) error {
	k, detail := plainNotice(m, ev, to, by)
	if words := b.desks[m.Kind].Notice; words != nil {
		if kind, d, ok := words(m, ev, to, by); ok {
			k, detail = kind, d
		}
	}
	if k == "" {
		return nil
	}
	for _, id := range people {
		if err := b.Notices.Add(ctx, tx, notice.Notice{Person: id, Kind: k, Zone: m.Zone, At: b.Now(), Detail: detail}); err != nil {
			return err
		}
	}
	return nil
}

// tellReviewers tells those who may review an acting decision that it waits, or that
// its date has passed.
func (b *Book) tellReviewers(ctx context.Context, tx *store.Tx, p *policy.Policy, m Matter, d Decision, people []Holder, k notice.Kind) error {
	told := 0
	for _, h := range people {
		if !d.Owed() || told == mostTold || !Reviewer(p, m, d, h).ok {
			continue
		}
		told++
		if err := b.Notices.Add(ctx, tx, notice.Notice{Person: h.Person.ID, Kind: k, Zone: m.Zone, At: b.Now(), Detail: map[string]string{
			"by": d.By.Name, "kind": string(m.Kind), "due": d.ReviewDue.Format(time.RFC3339),
		}}); err != nil {
			return err
		}
	}
	return nil
}

func plainNotice(m Matter, ev Event, to State, by string) (notice.Kind, map[string]string) {
	detail := map[string]string{"by": by, "kind": string(m.Kind), "reason": m.Reason, "until": m.LapsesAt.Format(time.RFC3339)}
	if ev == Settled {
		detail["outcome"] = string(to)
		return notice.RequestSettled, detail
	}
	detail["by"] = m.Requester.Name
	return notice.RequestWaits, detail
}
