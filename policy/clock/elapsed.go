package clock

import (
	"context"
	"time"
)

// Stopwatch starts measuring how long something takes by the machine's
// monotonic clock, which no change of the time of day moves. It is for pacing
// and measuring, and for how old a copy is: a clock with a floor stands still after
// the machine's was set back, and what is copied would stay young. When something
// ends is never decided by it.
func Stopwatch() (elapsed func() time.Duration) {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// Wait returns after d of the machine's time, or with the context's error
// before.
func Wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
