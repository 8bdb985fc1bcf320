package signin

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"sekisho/policy/clock"
)

// pace makes every refusal take the same time, whoever was asked for and
// whyever they were refused (security.md section 2, row 1). A directory answers
// a name that does not exist at once and a wrong password after a slow hash;
// hashing a dummy here would cost as much as a real one and still not equal the
// directory's own hash. So refusals wait until as long has passed as wrong
// passwords lately took.
type pace struct {
	mu     sync.Mutex
	recent [32]time.Duration
	n      int
}

const (
	// unlearned is the pace until the first wrong password was seen.
	unlearned = 250 * time.Millisecond
	slowest   = 3 * time.Second
	margin    = 3 * time.Millisecond
	// jitter is drawn anew for each wait. Timers wake to the millisecond at
	// best, counted from when the sleep began, so of two that aim at one moment
	// the one that began to wait later ends, again and again, a little apart.
	jitter = 16 * time.Millisecond
)

func newPace() *pace { return &pace{} }

// start begins to measure; the function it returns says how long it has been.
func (p *pace) start() func() time.Duration { return clock.Stopwatch() }

// learn remembers how long a refusal took that the directory had to compare a
// password for.
func (p *pace) learn(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent[p.n%len(p.recent)] = d
	p.n++
}

// target is a little longer than the longest of the recent ones.
func (p *pace) target() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		return unlearned
	}
	var longest time.Duration
	for _, d := range p.recent {
		longest = max(longest, d)
	}
	return min(longest+margin, slowest)
}

// wait returns when the target has been reached.
func (p *pace) wait(ctx context.Context, elapsed func() time.Duration) error {
	return clock.Wait(ctx, p.target()+rand.N(jitter)-elapsed())
}
