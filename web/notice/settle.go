package notice

import (
	"context"
	"errors"
	"fmt"

	queue "sekisho/authn/notice"
	"sekisho/policy"
	"sekisho/policy/audit"
	"sekisho/policy/store"
)

// end is an error that ends a copy without a message having been tried.
type end struct {
	how queue.Outcome
	why string
}

func (e *end) Error() string { return e.why }

// settle tells the queue what became of a copy. A copy that is given up is on
// the trail: somebody was not told. It is done whether or not ctx has ended: a
// message that is out must not go out again for want of a word.
func (s *Sender) settle(ctx context.Context, d queue.Due, tried error) error {
	stopped := tried != nil && errors.Is(ctx.Err(), context.Canceled)
	ctx = context.WithoutCancel(ctx)
	if stopped {
		// We hung up because this gateway stops. The server may have the message
		// or not; asked again, it gets one of the same name.
		return s.Queue.Release(ctx, []queue.Due{d})
	}
	s.hear(d, tried)
	if tried == nil {
		s.meter.count(d.Kind, string(queue.Sent))
		return s.Queue.Done(ctx, d)
	}
	var (
		how queue.Outcome
		e   *end
	)
	err := s.DB.WithTx(ctx, func(tx *store.Tx) (err error) {
		var ended bool
		if errors.As(tried, &e) {
			how = e.how
			ended, err = s.Queue.End(ctx, tx, d, e.how)
		} else {
			how, err = s.Queue.Failed(ctx, tx, d, errors.Is(tried, ErrRefused))
			ended = how != ""
		}
		if err != nil || !ended {
			return err
		}
		return s.Trail.Append(ctx, tx, lost(d, how, tried))
	})
	if err != nil {
		return fmt.Errorf("settling a notice: %w", err)
	}
	if how == "" {
		how = retried
	}
	s.meter.count(d.Kind, string(how))
	return nil
}

// lost is the entry of a copy that was given up. It names no address: the
// trail is read by more people than the directory.
func lost(d queue.Due, how queue.Outcome, tried error) audit.Entry {
	which := "directory"
	if d.Address != "" {
		which = "second"
	}
	why, outcome := "the mail server did not take it in all the time it was tried", audit.Failed
	switch e := (*end)(nil); {
	case errors.As(tried, &e):
		why = e.why
	case how == queue.Refused:
		why = "the mail server refuses it for this address"
	}
	if how == queue.Withheld {
		outcome = audit.Refused // by a rule of ours
	}
	return audit.Entry{
		Actor: "system", Action: "notice." + string(how), Object: string(d.Person), Outcome: outcome, Reason: why,
		Articles: []policy.Article{"64-1"}, Zone: string(d.Zone),
		Detail: map[string]string{"kind": string(d.Kind), "notice": d.ID, "address": which},
	}
}

// hear logs a failure. What stands in the way of every message is said once, and
// its end once, not for each notice that waits.
func (s *Sender) hear(d queue.Due, tried error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var settled *end
	switch {
	case blocks(tried):
		if !s.held {
			s.Log.Warn("notices cannot be mailed; they are kept and tried again", "error", tried)
		}
		s.held = true
	case tried == nil:
		if s.held {
			s.Log.Warn("notices are mailed again")
		}
		s.held = false
	case !errors.As(tried, &settled): // what the trail is told of by itself
		s.Log.Warn("a notice was not mailed", "notice", d.ID, "kind", string(d.Kind), "tries", d.Tries+1, "error", tried)
	}
}
