package approval

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Refusals are those that a room has entered on the trail lately. Whoever tries again
// and again must not fill it, so each is entered once a minute; what it is refused for
// is the room's to say. The zero value is ready. It is safe for concurrent use.
type Refusals struct {
	lately sync.Map // when each was entered last, by its key
}

// Enter writes a refusal's entry in a transaction of its own, unless one of the same
// key was written within the last minute.
func (r *Refusals) Enter(ctx context.Context, db *store.DB, trail *audit.Trail, key string, e audit.Entry, now time.Time) error {
	if at, ok := r.lately.Load(key); ok && now.Sub(at.(time.Time)) < time.Minute {
		return nil
	}
	if err := db.WithTx(ctx, func(tx *store.Tx) error { return trail.Append(ctx, tx, e) }); err != nil {
		return err
	}
	r.lately.Store(key, now)
	r.lately.Range(func(k, at any) bool {
		if now.Sub(at.(time.Time)) >= time.Minute {
			r.lately.Delete(k)
		}
		return true
	})
	return nil
}

// refuse enters a refusal on the trail, once a minute for each person, matter and
// reason, and answers it.
func (b *Book) refuse(ctx context.Context, by Approver, m Matter, v Verdict) error {
	if v.StepUp {
		// What signing in again would mend is no breach.
		need := policy.PHR
		if less := m.Rule.takes(b.Now()); less != "" {
			need = less
		}
		return &StepUp{v, need, b.Policy().Approval.FreshFor}
	}
	refused := &Refused{v}
	if v.Reason == Over || v.Reason == NotStated {
		return refused
	}
	e := b.entry(m, by.Person.Login, "approval.refused", string(v.Reason))
	e.Outcome, e.Articles = audit.Refused, v.Articles
	e.From, e.RequestID, e.Terminal, e.Zone = by.From, by.RequestID, by.Terminal, string(by.Zone)
	if err := b.refused.Enter(ctx, b.DB, b.Trail, string(by.Person.ID)+" "+m.ID+" "+string(v.Reason), e, b.Now()); err != nil {
		return fmt.Errorf("recording a refused decision: %w", err)
	}
	return refused
}
