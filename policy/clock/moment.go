package clock

import "time"

// A Moment is one look at both clocks, for what asks many rooms how old their copies
// are: all that an answer rests on is judged at one moment, and the clocks are read
// once. It is taken where a request begins, and anew after whatever had to be waited
// for: a copy that was young before a wait need not be after it.
type Moment struct {
	Now  time.Time     // by which things end
	Tick time.Duration // by which copies grow old beside it: see Ticks
}

// begun is when the process began, for all rooms alike: a Moment goes from one to
// another.
var begun = time.Now()

// Ticks is the machine's monotonic clock since the process began: a Stopwatch that all
// share.
func Ticks() time.Duration { return time.Since(begun) }
