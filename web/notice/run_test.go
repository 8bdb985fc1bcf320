package notice

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	queue "sekisho/authn/notice"
	"sekisho/policy"
	"sekisho/policy/store"
	"sekisho/web/notice/smtptest"
)

// TestStoppingGivesBack: a gateway that is stopped in the middle gives back what
// it has not sent, and the next one sends all of it, once.
func TestStoppingGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 20 {
		w.add(queue.Notice{Kind: queue.PasswordChanged})
	}
	ending, stop := context.WithCancel(ctx)
	w.mail.fail = func(_ Message, nth int) error {
		if nth == 2 {
			stop()
			return context.Canceled
		}
		return nil
	}
	if _, err := w.Deliver(ending); err != nil {
		t.Fatal(err)
	}
	sent := len(w.mail.all())
	next := w.open(store.Config{})
	if _, err := next.Deliver(ctx); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range append(w.mail.all(), next.mail.all()...) {
		names[m.ID] = true
	}
	if sent == 20 || sent+len(next.mail.all()) != 20 || len(names) != 20 {
		t.Errorf("%d before the stop, %d after it, %d names; want 20 in all", sent, len(next.mail.all()), len(names))
	}
}

// TestRun: what this process queues is sent because it wakes the sender, what
// another queues because the sender looks.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		look  time.Duration
		other bool
	}{
		{"woken", time.Hour, false},
		{"looking", 10 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := smtptest.Open(t, nil)
			w.Mail, w.look = smtpTo(t, server, nil), tt.look
			from := w.gateway
			if tt.other {
				from = w.open(store.Config{})
			}
			running, stop := context.WithCancel(ctx)
			var run sync.WaitGroup
			run.Go(func() { w.Run(running) })
			for i := range 3 {
				if err := from.DB.WithTx(ctx, func(tx *store.Tx) error {
					return from.Queue.Add(ctx, tx, queue.Notice{Person: tanaka.ID, Kind: queue.RecoveryUsed, Zone: policy.LGWAN})
				}); err != nil {
					t.Fatal(err)
				}
				waitFor(t, func() bool { return len(server.Messages()) == i+1 })
			}
			waitFor(t, func() bool { return w.metric("sekisho_notices_waiting") == 0 })
			stop()
			run.Wait()
		})
	}
}

// waitFor waits for a condition, as long as a busy machine may take.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("waited in vain")
		case <-tick.C:
		}
	}
}

// TestAGatewayWithoutMail leaves the queue to those who have it, and still keeps
// it tidy.
func TestAGatewayWithoutMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent := w.open(store.Config{})
	silent.Mail, silent.look = nil, 10*time.Millisecond
	running, stop := context.WithCancel(ctx)
	var run sync.WaitGroup
	run.Go(func() { silent.Run(running) })
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	waitFor(t, func() bool { return silent.metric("sekisho_notices_waiting") == 1 })
	stop()
	run.Wait()
	if n := strings.Count(silent.log.String(), "no mail server"); n != 1 {
		t.Errorf("said %d times that it has no mail server", n)
	}
	w.deliver()
	if n := len(w.mail.all()); n != 1 {
		t.Fatalf("%d told by the gateway that has mail", n)
	}
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	w.clock.Advance(queue.Kept)
	if err := silent.Tidy(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _, err := w.Queue.Waiting(ctx); n != 0 || err != nil {
		t.Errorf("%d wait, %v", n, err)
	}
	if trail := w.trail(); len(trail) != 1 || !strings.Contains(trail[0], `"action":"notice.dropped"`) || !strings.Contains(trail[0], `"copies":"1"`) {
		t.Errorf("trail %q", trail)
	}
	if err := silent.Tidy(ctx); err != nil || len(w.trail()) != 1 {
		t.Errorf("tidied again: %v, trail %q", err, w.trail())
	}
}

func TestMeasures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.second("me@home.example")
	w.add(queue.Notice{Kind: queue.PasswordChanged})
	w.clock.Advance(90 * time.Second)
	w.measure(ctx)
	if n, age := w.metric("sekisho_notices_waiting"), w.metric("sekisho_notice_oldest_seconds"); n != 2 || age != 90 {
		t.Errorf("%v wait for %v s, want 2 for 90", n, age)
	}
	w.deliver()
	w.measure(ctx)
	if n, age := w.metric("sekisho_notices_waiting"), w.metric("sekisho_notice_oldest_seconds"); n != 0 || age != 0 {
		t.Errorf("%v wait for %v s after all was sent", n, age)
	}
}
