package session

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sekisho/policy/store"
)

// A counted follower counts polls, and fails or waits where it is told to.
type counted struct {
	mu    sync.Mutex
	n     int
	fault error
	hold  chan struct{} // nil: waits for nothing
}

func (p *counted) Follow(ctx context.Context, _ time.Time) error {
	p.mu.Lock()
	p.n++
	fault, hold := p.fault, p.hold
	p.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fault
}

func (p *counted) fail(err error) { p.mu.Lock(); p.fault = err; p.mu.Unlock() }

func (p *counted) counts(t *testing.T, want int, when string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n != want {
		t.Errorf("%s: %d polls, want %d", when, p.n, want)
	}
}

// catching is a gateway whose own polls do not come, and whose ticks stand where they
// are put.
func catching(t *testing.T) (g *gate, other *Sessions, polls *counted, ticks *time.Duration) {
	t.Helper()
	g = newGate(t)
	other, polls, ticks = g.beside(), &counted{}, new(time.Duration)
	*ticks = time.Minute
	other.ticks = func() time.Duration { return *ticks }
	other.PollWith(polls)
	return g, other, polls, ticks
}

// TestCatchUp: one poll serves everybody who finds the last one too old, and what
// another gateway ended before it is refused from then on.
func TestCatchUp(t *testing.T) {
	g, other, polls, ticks := catching(t)
	n, cookie := g.begin(t)
	other.CatchUp(ctx)
	polls.counts(t, 1, "never polled")
	wantAlive(t, other, cookie, "before")
	other.CatchUp(ctx)
	polls.counts(t, 1, "in step")

	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "signed out") }); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(time.Second)
	*ticks += time.Second
	polls.hold = make(chan struct{})
	var all, asked sync.WaitGroup
	for range 50 {
		asked.Add(1)
		all.Go(func() {
			asked.Done()
			other.CatchUp(ctx)
			if _, err := other.Load(ctx, cookie); !errors.Is(err, ErrNone) || !other.InStep() {
				t.Errorf("ended elsewhere, in step %t: %v, want ErrNone", other.InStep(), err)
			}
		})
	}
	asked.Wait()
	close(polls.hold)
	all.Wait()
	polls.counts(t, 2, "fifty at once")
}

// TestCatchUpInVain: a poll that fails leaves memory unused, each session is read from
// its row, and nobody tries again before the next poll is due.
func TestCatchUpInVain(t *testing.T) {
	g, other, polls, ticks := catching(t)
	n, cookie := g.begin(t)
	polls.fail(errors.New("the store struggles"))
	for range 5 {
		other.CatchUp(ctx)
		if other.InStep() {
			t.Error("in step by a poll that failed")
		}
	}
	polls.counts(t, 1, "within the time between two")
	wantAlive(t, other, cookie, "read from its row")
	if err := g.db.WithTx(ctx, func(tx *store.Tx) error { return g.End(ctx, tx, n.ID, "signed out") }); err != nil {
		t.Fatal(err)
	}
	wantDead(t, other, cookie, "ended elsewhere")
	*ticks += g.policy.Session.RevocationPoll
	polls.fail(nil)
	other.CatchUp(ctx)
	polls.counts(t, 2, "when the next is due")
	if !other.InStep() {
		t.Error("not in step after a poll that succeeded")
	}
}

// TestCatchUpEndsWithTheRequest: whoever hangs up waits for nobody's poll, and takes it
// from nobody.
func TestCatchUpEndsWithTheRequest(t *testing.T) {
	_, other, polls, _ := catching(t)
	polls.hold = make(chan struct{})
	gone, hangUp := context.WithCancel(ctx)
	hangUp()
	other.CatchUp(gone) // returns, or the test ends with go test's own limit
	done := make(chan struct{})
	go func() { other.CatchUp(ctx); close(done) }()
	close(polls.hold)
	<-done
	if !other.InStep() {
		t.Error("the poll ended with the request of whoever began it")
	}
	polls.counts(t, 1, "one who hung up and one who waits")
}
