package notice

import (
	"context"
	"strconv"
	"time"

	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// Tidy removes what is old. What was never sent in all that time is on the
// trail.
func (s *Sender) Tidy(ctx context.Context) error {
	for more := true; more; {
		err := s.DB.WithTx(ctx, func(tx *store.Tx) (err error) {
			var n int
			if n, more, err = s.Queue.Tidy(ctx, tx); err != nil || n == 0 {
				return err
			}
			return s.Trail.Append(ctx, tx, audit.Entry{
				Actor: "system", Action: "notice.dropped", Outcome: audit.Failed, Articles: []policy.Article{"64-1"},
				Reason: "nobody mailed them in time", Detail: map[string]string{"copies": strconv.Itoa(n)},
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) measure(ctx context.Context) {
	n, oldest, err := s.Queue.Waiting(ctx)
	if err != nil {
		s.complain(ctx, "counting notices", err)
		return
	}
	s.meter.waiting.Set(float64(n))
	age := time.Duration(0)
	if n > 0 {
		age = max(0, s.Now().Sub(oldest))
	}
	s.meter.oldest.Set(age.Seconds())
}
